/* Matrix products. [M,K]·[K,N] is a 1×1 convolution of M images of one pixel with K channels; with one of its inputs
 * transposed it is that convolution's input gradient or weight gradient. Batches are groups that lie one by one. So
 * products need no kernels of their own, and their gradients are one another. */
#include <string.h>

#include "ops/convolution.h"

/* One of the two matrices, or a batch of them. */
struct matrices {
    vkg_tensor *tensor;
    bool transpose;
    uint32_t rows, columns; /* after the transposition */
    uint32_t leading;       /* dimensions in front */
    uint32_t batch;         /* their product */
};

static bool describe(vkg_graph *graph, vkg_tensor *tensor, bool transpose, struct matrices *m)
{
    if (tensor->poisoned)
        return false;
    const vkg_shape *shape = &tensor->shape;
    if (shape->rank < 2) {
        graph_fail(graph, "matmul: %s must have 2 dimensions or more", SHAPE(shape));
        return false;
    }
    const uint32_t *last = &shape->dims[shape->rank - 2];
    *m = (struct matrices){.tensor = tensor, .transpose = transpose, .rows = last[transpose],
                           .columns = last[!transpose], .leading = shape->rank - 2, .batch = 1};
    for (uint32_t i = 0; i < m->leading; i++)
        m->batch *= shape->dims[i];
    return true;
}

/* Exchanges the last two dimensions. */
static vkg_tensor *transposed(vkg_graph *graph, vkg_tensor *a)
{
    return vkg_transpose(graph, a, a->shape.rank - 2, a->shape.rank - 1);
}

/* [batch, rows, columns] of one of the three matrices as the operand of a 1×1 convolution. */
static vkg_tensor *as_operand(vkg_graph *graph, const struct conv_problem *p, enum conv_operand operand, vkg_tensor *a)
{
    const vkg_shape shape = operand == CONV_X   ? VKG_SHAPE(p->groups, p->n, 1, 1, p->ci)
                            : operand == CONV_Y ? VKG_SHAPE(p->groups, p->n, 1, 1, p->co)
                                                : VKG_SHAPE(p->groups, 1, 1, p->ci, p->co);
    return vkg_reshape(graph, a, shape);
}

/* a · b of equal batches, not both transposed; the shape is left to the caller. */
static vkg_tensor *product(vkg_graph *graph, const struct matrices *a, const struct matrices *b)
{
    const enum conv_direction direction = a->transpose   ? CONV_WEIGHT_GRAD /* x [K,M], y [K,N] → w [M,N] */
                                          : b->transpose ? CONV_INPUT_GRAD  /* y [M,K], w [N,K] → x [M,N] */
                                                         : CONV_FORWARD;    /* x [M,K], w [K,N] → y [M,N] */
    const uint32_t m = a->rows, k = a->columns, n = b->columns;
    struct conv_problem p = {.n = a->transpose ? k : m, .ih = 1, .iw = 1, .oh = 1, .ow = 1, .kh = 1, .kw = 1,
                             .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = a->batch, .batched = 1};
    p.ci = a->transpose ? m : b->transpose ? n : k;
    p.co = b->transpose ? k : n;
    const enum conv_operand *operands = conv_operands[direction];
    return conv_in_precision(graph, direction, as_operand(graph, &p, operands[0], a->tensor),
                             as_operand(graph, &p, operands[1], b->tensor), &p);
}

/* Makes of two inputs of which one has no leading dimensions a product without batch, or repeats it. */
static bool match_batches(vkg_graph *graph, struct matrices *a, struct matrices *b)
{
    if (b->leading == 0 && a->leading > 0) {
        if (a->transpose)
            a->tensor = transposed(graph, a->tensor), a->transpose = false;
        a->rows *= a->batch; /* all of a's matrices one below the other are one matrix */
        a->batch = 1;
    } else if (a->leading == 0 && b->leading > 0) {
        vkg_shape shape = b->tensor->shape;
        memcpy(&shape.dims[b->leading], a->tensor->shape.dims, 2 * sizeof shape.dims[0]);
        a->tensor = vkg_broadcast(graph, a->tensor, shape);
        a->batch = b->batch;
    } else if (a->leading != b->leading ||
               memcmp(a->tensor->shape.dims, b->tensor->shape.dims, a->leading * sizeof(uint32_t)) != 0) {
        graph_fail(graph, "matmul: the leading dimensions of %s and %s must be equal, or one of the two must have none",
                   SHAPE(&a->tensor->shape), SHAPE(&b->tensor->shape));
        return false;
    }
    return true;
}

vkg_tensor *vkg_matmul(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, bool transpose_a, bool transpose_b)
{
    struct matrices ma, mb;
    if (!describe(graph, a, transpose_a, &ma) || !describe(graph, b, transpose_b, &mb))
        return graph->poison;
    if (ma.columns != mb.rows)
        return graph_fail(graph, "matmul: the inner dimensions of %s%s and %s%s differ: %u and %u", SHAPE(&a->shape),
                          transpose_a ? " transposed" : "", SHAPE(&b->shape), transpose_b ? " transposed" : "",
                          ma.columns, mb.rows);
    vkg_shape shape = ma.leading ? a->shape : b->shape;
    shape.dims[shape.rank - 2] = ma.rows;
    shape.dims[shape.rank - 1] = mb.columns;
    if (!match_batches(graph, &ma, &mb))
        return graph->poison;
    if (!ma.transpose || !mb.transpose)
        return vkg_reshape(graph, product(graph, &ma, &mb), shape);
    /* aᵀ · bᵀ = (b · a)ᵀ */
    const struct matrices first = {.tensor = mb.tensor, .rows = mb.columns, .columns = mb.rows, .batch = mb.batch};
    const struct matrices second = {.tensor = ma.tensor, .rows = ma.columns, .columns = ma.rows, .batch = ma.batch};
    vkg_shape turned = shape;
    turned.dims[shape.rank - 2] = first.rows;
    turned.dims[shape.rank - 1] = second.columns;
    return transposed(graph, vkg_reshape(graph, product(graph, &first, &second), turned));
}
