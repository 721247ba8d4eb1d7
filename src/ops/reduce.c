/* Reductions and the operations that only change a shape. */
#include "ops/ops.h"

/* --- views --- */

static void reshape_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                             vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_reshape(graph, dy, node->inputs[0]->shape);
}

static const struct op op_reshape = {.name = "reshape", .doc = "the same elements under another shape",
                                     .kind = OP_VIEW, .gradient = reshape_gradient};
static const struct op op_detach = {.name = "detach", .doc = "a, with no gradient", .kind = OP_VIEW};

static vkg_tensor *add_view(vkg_graph *graph, const struct op *op, vkg_tensor *a, vkg_shape shape)
{
    return graph_add_node(graph, &(struct node_desc){.op = op, .shape = shape, .input_count = 1, .inputs = &a,
                                                     .value = a, .dtype = a->dtype});
}

vkg_tensor *vkg_reshape(vkg_graph *graph, vkg_tensor *a, vkg_shape shape)
{
    float value;
    if (a->poisoned)
        return a;
    if (shape.rank > VKG_MAX_RANK || shape_elements(&shape) != shape_elements(&a->shape))
        return graph_fail(graph, "vkg_reshape: %s has %llu elements, %s has %llu", SHAPE(&a->shape),
                          (unsigned long long)shape_elements(&a->shape), SHAPE(&shape),
                          (unsigned long long)shape_elements(&shape));
    if (shape_equal(&a->shape, &shape))
        return a;
    if (tensor_is_constant(a, &value))
        return vkg_constant(graph, value, shape);
    if (a->op == &op_reshape)
        return vkg_reshape(graph, a->inputs[0], shape);
    return add_view(graph, &op_reshape, a, shape);
}

vkg_tensor *vkg_detach(vkg_graph *graph, vkg_tensor *a)
{
    return add_view(graph, &op_detach, a, a->shape);
}

/* --- sums --- */

static void sum_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_broadcast(graph, dy, node->inputs[0]->shape);
}

const struct op op_sum = {.name = "sum", .doc = "sum over one run of axes, which stay as dimensions of 1", .kind = OP_REDUCE,
                          .gradient = sum_gradient};

/* The first run of axes in the set that lie side by side (dimensions of 1 do not separate): kernels sum one run. */
static uint32_t first_run(const vkg_shape *shape, uint32_t axes)
{
    uint32_t run = 0;
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (axes >> i & 1)
            run |= 1u << i;
        else if (run && shape->dims[i] > 1)
            break;
    }
    return run;
}

/* Sums over the set, run by run; reduced dimensions stay as 1. */
static vkg_tensor *sum_keeping(vkg_graph *graph, vkg_tensor *a, uint32_t axes)
{
    for (uint32_t i = 0; i < a->shape.rank; i++)
        if (a->shape.dims[i] == 1)
            axes &= ~(1u << i); /* summing over a dimension of 1 does nothing */
    while (axes) {
        uint32_t run = first_run(&a->shape, axes);
        vkg_shape kept = a->shape;
        for (uint32_t i = 0; i < kept.rank; i++)
            kept.dims[i] = run >> i & 1 ? 1 : kept.dims[i];
        a = graph_add_node(graph, &(struct node_desc){.op = &op_sum, .shape = kept, .input_count = 1, .inputs = &a,
                                                      .attributes.axes = run});
        axes &= ~run;
    }
    return a;
}

vkg_tensor *vkg_sum(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep)
{
    if (a->poisoned)
        return a;
    uint32_t all = (1u << a->shape.rank) - 1;
    if (axes != VKG_ALL_AXES && (axes & ~all))
        return graph_fail(graph, "vkg_sum: the axes 0x%x name a dimension that shape %s does not have", axes,
                          SHAPE(&a->shape));
    axes &= all;
    vkg_shape kept = a->shape, squeezed = {.rank = 0};
    uint64_t reduced = 1;
    for (uint32_t i = 0; i < a->shape.rank; i++) {
        if (axes >> i & 1) {
            reduced *= a->shape.dims[i];
            kept.dims[i] = 1;
        } else {
            squeezed.dims[squeezed.rank++] = a->shape.dims[i];
        }
    }
    float value;
    vkg_tensor *sum = tensor_is_constant(a, &value) ? vkg_constant(graph, value * (float)reduced, kept)
                                                    : sum_keeping(graph, a, axes);
    return keep ? sum : vkg_reshape(graph, sum, squeezed);
}

vkg_tensor *vkg_mean(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep)
{
    vkg_tensor *sum = vkg_sum(graph, a, axes, keep);
    if (sum->poisoned)
        return sum;
    double count = (double)shape_elements(&a->shape) / (double)shape_elements(&sum->shape);
    return vkg_affine(graph, sum, (float)(1.0 / count), 0);
}

vkg_tensor *vkg_sum_to(vkg_graph *graph, vkg_tensor *a, vkg_shape shape)
{
    if (a->poisoned)
        return a;
    if (shape.rank > a->shape.rank)
        return graph_fail(graph, "vkg_sum_to: %s cannot be summed to %s", SHAPE(&a->shape), SHAPE(&shape));
    uint32_t axes = 0, lead = a->shape.rank - shape.rank;
    for (uint32_t i = 0; i < a->shape.rank; i++) {
        uint32_t target = i < lead ? 1 : shape.dims[i - lead];
        if (i < lead || (target == 1 && a->shape.dims[i] != 1))
            axes |= 1u << i;
        else if (target != a->shape.dims[i])
            return graph_fail(graph, "vkg_sum_to: %s cannot be summed to %s", SHAPE(&a->shape), SHAPE(&shape));
    }
    return vkg_reshape(graph, vkg_sum(graph, a, axes, true), shape);
}

uint32_t axes_all_but_last(const vkg_tensor *tensor)
{
    return tensor->shape.rank ? (1u << (tensor->shape.rank - 1)) - 1 : 0;
}
