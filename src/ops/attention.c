/* Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1), a block of queries at a time: the scores of one block
 * are gone before the next one's are made, and the backward pass makes them again. So the memory for scores is that of a
 * few blocks, whatever the length. Where one kernel computes it all, there is none. */
#include "ops/attention.h"

#include <math.h>

/* How the queries are cut. The softmax of a block is [B…, rows, S]. */
struct blocks {
    uint32_t axis, length, rows; /* of the queries; rows of one block, but for the last */
    float scale;
};

/* Into blocks of so many scores; 0: of the default. */
static struct blocks cut(const vkg_tensor *q, const vkg_tensor *k, float scale, uint32_t block_elements)
{
    enum { DEFAULT = 1 << 24 }; /* 64 MiB */
    const uint64_t elements = block_elements ? block_elements : DEFAULT;
    uint32_t rank = q->shape.rank, length = q->shape.dims[rank - 2];
    uint64_t row = shape_elements(&q->shape) / q->shape.dims[rank - 1] / length * k->shape.dims[rank - 2];
    uint64_t rows = elements / row ? elements / row : 1;
    return (struct blocks){rank - 2, length, rows < length ? (uint32_t)rows : length, scale};
}

static uint32_t block_count(const struct blocks *blocks)
{
    return (blocks->length + blocks->rows - 1) / blocks->rows;
}

static uint32_t rows_from(const struct blocks *blocks, uint32_t first)
{
    uint32_t left = blocks->length - first;
    return left < blocks->rows ? left : blocks->rows;
}

/* Rows first … of a tensor whose dimension before the last is the queries', or 1. All of them stay halves where they are. */
static vkg_tensor *block_of(vkg_graph *graph, vkg_tensor *a, const struct blocks *blocks, uint32_t first)
{
    uint32_t axis = a->shape.rank - 2, rows = rows_from(blocks, first);
    return a->shape.dims[axis] == 1 || rows == blocks->length ? a : vkg_slice(graph, a, axis, first, rows, 1);
}

/* q·kᵀ·scale + mask of a block of queries */
static vkg_tensor *scores_of(vkg_graph *graph, vkg_tensor *q, vkg_tensor *k, vkg_tensor *mask,
                             const struct blocks *blocks, uint32_t first)
{
    vkg_tensor *scores = vkg_affine(graph, vkg_matmul(graph, q, k, false, true), blocks->scale, 0);
    return mask ? vkg_add(graph, scores, block_of(graph, mask, blocks, first)) : scores;
}

/* softmax(scores)·v, divided behind the product, where there is less to divide. */
static vkg_tensor *attend(vkg_graph *graph, vkg_tensor *scores, vkg_tensor *v, uint32_t axis)
{
    vkg_tensor *weights = vkg_exp(graph, vkg_sub(graph, scores, vkg_max(graph, scores, 1u << axis, true)));
    return vkg_div(graph, vkg_matmul(graph, weights, v, false, false), vkg_sum(graph, weights, 1u << axis, true));
}

static vkg_tensor *add_to(vkg_graph *graph, vkg_tensor *sum, vkg_tensor *part)
{
    return sum ? vkg_add(graph, sum, part) : part;
}

/* The greatest score of a block's queries, and log Σ exp(score − greatest). */
static vkg_tensor *logsumexp_of(vkg_graph *graph, vkg_tensor *scores, vkg_tensor *v, uint32_t axis)
{
    (void)v;
    vkg_tensor *greatest = vkg_max(graph, scores, 1u << axis, true);
    vkg_tensor *sum = vkg_sum(graph, vkg_exp(graph, vkg_sub(graph, scores, greatest)), 1u << axis, true);
    return vkg_concat(graph, (vkg_tensor *[]){greatest, vkg_ln(graph, sum)}, 2, axis);
}

/* A node of `op`, whose inputs are those of its enum up to its count, and the mask or NULL. */
static vkg_tensor *add_node(vkg_graph *graph, enum attention_op op, vkg_tensor *const *operands, vkg_tensor *mask,
                            vkg_tensor *value, const struct attributes *attributes)
{
    vkg_tensor *inputs[OP_MAX_INPUTS];
    uint32_t count = attention_operands(&attention_ops[op]);
    for (uint32_t i = 0; i < count; i++)
        inputs[i] = operands[i];
    if (mask)
        inputs[count++] = mask;
    return value->poisoned ? value
                           : graph_add_node(graph, &(struct node_desc){
                                 .op = &attention_ops[op], .shape = value->shape, .input_count = count, .inputs = inputs,
                                 .value = value, .attributes = *attributes});
}

/* What of_scores makes of each block's scores, one behind the other. */
static vkg_tensor *of_blocks(vkg_graph *graph, vkg_tensor *const *operands, vkg_tensor *mask, const struct blocks *blocks,
                             vkg_tensor *(*of_scores)(vkg_graph *graph, vkg_tensor *scores, vkg_tensor *v, uint32_t axis))
{
    vkg_tensor **parts = arena_alloc(&graph->arena, block_count(blocks) * sizeof *parts);
    if (!parts)
        return graph_fail(graph, "scaled_dot_product_attention: out of memory");
    for (uint32_t first = 0; first < blocks->length; first += blocks->rows) {
        vkg_tensor *rows = block_of(graph, operands[QUERY], blocks, first);
        vkg_tensor *scores = scores_of(graph, rows, operands[KEY], mask, blocks, first);
        parts[first / blocks->rows] = of_scores(graph, scores, operands[VALUE], blocks->axis + 1);
    }
    return vkg_concat(graph, parts, block_count(blocks), blocks->axis);
}

/* With P = softmax(S): dV = Pᵀ·dO, dS = P ∘ (dP − Σ dP ∘ P), dP = dO·Vᵀ, dQ = dS·K·scale, dK = dSᵀ·Q·scale. */
static void gradients_of_blocks(vkg_graph *graph, vkg_tensor *const *operands, vkg_tensor *mask, const struct blocks *blocks,
                                const bool *wanted, vkg_tensor **gradients)
{
    vkg_tensor *k = operands[KEY], *v = operands[VALUE];
    vkg_tensor **dq = arena_alloc(&graph->arena, block_count(blocks) * sizeof *dq);
    if (!dq)
        return;
    for (uint32_t first = 0; first < blocks->length; first += blocks->rows) {
        vkg_tensor *rows = block_of(graph, operands[QUERY], blocks, first), *dy_rows = block_of(graph, operands[DY], blocks, first);
        vkg_tensor *p = vkg_softmax(graph, scores_of(graph, rows, k, mask, blocks, first), blocks->axis + 1);
        vkg_tensor *dp = vkg_matmul(graph, dy_rows, v, false, true);
        vkg_tensor *common = vkg_sum(graph, vkg_mul(graph, dp, p), 1u << (blocks->axis + 1), true);
        vkg_tensor *ds = vkg_affine(graph, vkg_mul(graph, p, vkg_sub(graph, dp, common)), blocks->scale, 0);
        if (wanted[QUERY])
            dq[first / blocks->rows] = vkg_matmul(graph, ds, k, false, false);
        if (wanted[KEY])
            gradients[KEY] = add_to(graph, gradients[KEY], vkg_matmul(graph, ds, rows, true, false));
        if (wanted[VALUE])
            gradients[VALUE] = add_to(graph, gradients[VALUE], vkg_matmul(graph, p, dy_rows, true, false));
    }
    if (wanted[QUERY])
        gradients[QUERY] = vkg_concat(graph, dq, block_count(blocks), blocks->axis);
}

static void attention_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                               vkg_tensor **gradients)
{
    vkg_tensor *q = node->inputs[QUERY], *k = node->inputs[KEY], *v = node->inputs[VALUE];
    vkg_tensor *mask = node->input_count > VALUE + 1 ? node->inputs[VALUE + 1] : NULL;
    const struct blocks blocks = cut(q, k, node->attributes.p, node->attributes.index);
    /* what a kernel reads beside these comes before what the values are made of, as it must */
    vkg_tensor *delta = vkg_sum(graph, vkg_mul(graph, dy, node), 1u << (blocks.axis + 1), true);
    vkg_tensor *operands[] = {
        q, k, v, vkg_cast(graph, dy, q->dtype),
        [LOGSUMEXP] = add_node(graph, ATTENTION_LOGSUMEXP, (vkg_tensor *[]){q, k, v}, mask,
                               of_blocks(graph, (vkg_tensor *[]){q, k, v}, mask, &blocks, logsumexp_of), &node->attributes),
        [DELTA] = delta};
    vkg_tensor *again[] = {read_again(graph, q), k, v, operands[DY]};
    gradients_of_blocks(graph, again, mask, &blocks, wanted, gradients);
    for (int i = QUERY; i <= VALUE; i++)
        if (gradients[i])
            gradients[i] = add_node(graph, ATTENTION_DQ + i, operands, mask, gradients[i], &node->attributes);
}

const struct op attention_ops[ATTENTION_OPS] = {
    [ATTENTION] = {.name = "scaled_dot_product_attention", .doc = "softmax(q·kᵀ·scale + mask)·v", .kind = OP_COMPOSITE,
                   .gradient = attention_gradient, .kernel_check = attention_check, .lower = lower_attention},
    [ATTENTION_LOGSUMEXP] = {.name = "attention_logsumexp", .doc = "the greatest of q·kᵀ·scale + mask, and log Σ exp of what it is above the others", .kind = OP_COMPOSITE,
                             .kernel_check = attention_check, .lower = lower_attention},
    [ATTENTION_DQ] = {.name = "attention_query_gradient", .doc = "dS·k·scale", .kind = OP_COMPOSITE,
                      .kernel_check = attention_check, .lower = lower_attention},
    [ATTENTION_DK] = {.name = "attention_key_gradient", .doc = "dSᵀ·q·scale", .kind = OP_COMPOSITE,
                      .kernel_check = attention_check, .lower = lower_attention},
    [ATTENTION_DV] = {.name = "attention_value_gradient", .doc = "Pᵀ·dy", .kind = OP_COMPOSITE,
                      .kernel_check = attention_check, .lower = lower_attention}};

static bool shapes_fit(vkg_graph *graph, const vkg_tensor *q, const vkg_tensor *k, const vkg_tensor *v)
{
    uint32_t rank = q->shape.rank;
    bool fit = rank >= 2 && k->shape.rank == rank && v->shape.rank == rank;
    for (uint32_t i = 0; fit && i + 2 < rank; i++)
        fit = q->shape.dims[i] == k->shape.dims[i] && q->shape.dims[i] == v->shape.dims[i];
    fit = fit && q->shape.dims[rank - 1] == k->shape.dims[rank - 1] && k->shape.dims[rank - 2] == v->shape.dims[rank - 2];
    if (!fit)
        graph_fail(graph, "scaled_dot_product_attention: q %s, k %s and v %s must be [B…,L,E], [B…,S,E] and [B…,S,F]",
                   SHAPE(&q->shape), SHAPE(&k->shape), SHAPE(&v->shape));
    return fit;
}

static bool mask_fits(vkg_graph *graph, const vkg_tensor *q, const vkg_tensor *k, const vkg_tensor *mask)
{
    uint32_t rank = q->shape.rank;
    vkg_shape scores = q->shape, together;
    scores.dims[rank - 1] = k->shape.dims[rank - 2];
    bool fits = !mask || (mask->shape.rank >= 2 && broadcast_shape(&scores, &mask->shape, &together) &&
                          shape_equal(&scores, &together));
    if (!fits)
        graph_fail(graph, "scaled_dot_product_attention: the mask %s does not broadcast to the scores %s",
                   SHAPE(&mask->shape), SHAPE(&scores));
    return fits;
}

vkg_tensor *vkg_scaled_dot_product_attention(vkg_graph *graph, vkg_tensor *q, vkg_tensor *k, vkg_tensor *v,
                                             const vkg_attention_desc *desc)
{
    static const vkg_attention_desc defaults = {0};
    desc = desc ? desc : &defaults;
    vkg_tensor *mask = desc->mask ? vkg_cast(graph, vkg_detach(graph, desc->mask), VKG_FLOAT32) : NULL;
    if (q->poisoned || k->poisoned || v->poisoned || (mask && mask->poisoned) || !shapes_fit(graph, q, k, v) ||
        !mask_fits(graph, q, k, mask))
        return graph->poison;
    float scale = desc->scale != 0 ? desc->scale : 1 / sqrtf((float)q->shape.dims[q->shape.rank - 1]);
    const struct blocks blocks = cut(q, k, scale, desc->block_elements);
    const vkg_dtype dtype = q->dtype == VKG_FLOAT32 ? graph->precision : q->dtype;
    vkg_tensor *const operands[] = {vkg_cast(graph, q, dtype), vkg_cast(graph, k, dtype), vkg_cast(graph, v, dtype)};
    const struct attributes attributes = {.p = scale, .index = desc->block_elements};
    return add_node(graph, ATTENTION, operands, mask, of_blocks(graph, operands, mask, &blocks, attend), &attributes);
}
