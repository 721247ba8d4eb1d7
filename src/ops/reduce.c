/* Reductions: sums and greatest elements, and what is built of them. */
#include "ops/ops.h"

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

/* Reduces over the set, run by run; reduced dimensions stay as 1. */
static vkg_tensor *reduce_keeping(vkg_graph *graph, const struct op *op, vkg_tensor *a, uint32_t axes)
{
    for (uint32_t i = 0; i < a->shape.rank; i++)
        if (a->shape.dims[i] == 1)
            axes &= ~(1u << i); /* reducing a dimension of 1 does nothing */
    while (axes) {
        uint32_t run = first_run(&a->shape, axes);
        vkg_shape kept = a->shape;
        for (uint32_t i = 0; i < kept.rank; i++)
            kept.dims[i] = run >> i & 1 ? 1 : kept.dims[i];
        a = graph_add_node(graph, &(struct node_desc){.op = op, .shape = kept, .input_count = 1, .inputs = &a,
                                                      .attributes.axes = run});
        axes &= ~run;
    }
    return vkg_cast(graph, a, VKG_FLOAT32);
}

/* What remains when a set of axes is reduced. */
struct reduced {
    uint32_t axes;
    vkg_shape kept, squeezed; /* reduced dimensions as 1, and without them */
    uint64_t elements;        /* that become one */
};

static bool find_reduced(vkg_graph *graph, const char *call, const vkg_tensor *a, uint32_t axes, struct reduced *r)
{
    if (a->poisoned)
        return false;
    uint32_t all = (1u << a->shape.rank) - 1;
    if (axes != VKG_ALL_AXES && (axes & ~all)) {
        graph_fail(graph, "%s: the axes 0x%x name a dimension that shape %s does not have", call, axes, SHAPE(&a->shape));
        return false;
    }
    *r = (struct reduced){.axes = axes & all, .kept = a->shape, .elements = 1};
    for (uint32_t i = 0; i < a->shape.rank; i++) {
        if (r->axes >> i & 1) {
            r->elements *= a->shape.dims[i];
            r->kept.dims[i] = 1;
        } else {
            r->squeezed.dims[r->squeezed.rank++] = a->shape.dims[i];
        }
    }
    return true;
}

vkg_tensor *vkg_sum(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep)
{
    struct reduced r;
    float value;
    if (!find_reduced(graph, "sum", a, axes, &r))
        return graph->poison;
    vkg_tensor *sum = tensor_is_constant(a, &value) ? vkg_constant(graph, value * (float)r.elements, r.kept)
                                                    : reduce_keeping(graph, &op_sum, a, r.axes);
    return keep ? sum : vkg_reshape(graph, sum, r.squeezed);
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
        return graph_fail(graph, "sum_to: %s cannot be summed to %s", SHAPE(&a->shape), SHAPE(&shape));
    uint32_t axes = 0, lead = a->shape.rank - shape.rank;
    for (uint32_t i = 0; i < a->shape.rank; i++) {
        uint32_t target = i < lead ? 1 : shape.dims[i - lead];
        if (i < lead || (target == 1 && a->shape.dims[i] != 1))
            axes |= 1u << i;
        else if (target != a->shape.dims[i])
            return graph_fail(graph, "sum_to: %s cannot be summed to %s", SHAPE(&a->shape), SHAPE(&shape));
    }
    return vkg_reshape(graph, vkg_sum(graph, a, axes, true), shape);
}

uint32_t axes_all_but_last(const vkg_tensor *tensor)
{
    return tensor->shape.rank ? (1u << (tensor->shape.rank - 1)) - 1 : 0;
}

/* --- the greatest and the least --- */

/* Equal greatest ones share the gradient equally. */
static void max_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients)
{
    (void)wanted;
    vkg_tensor *is_max = vkg_equal(graph, node->inputs[0], node);
    vkg_tensor *count = vkg_sum(graph, is_max, node->attributes.axes, true);
    gradients[0] = vkg_mul(graph, vkg_div(graph, dy, count), is_max);
}

static const struct op op_max = {.name = "max", .doc = "the greatest over one run of axes, which stay as dimensions of 1",
                                 .kind = OP_REDUCE, .reduction = REDUCE_MAX, .gradient = max_gradient};

/* Of several runs, so that equal greatest ones of all of them share alike. */
static const struct op op_max_of_runs = {.name = "max", .doc = "the greatest over any axes", .kind = OP_COMPOSITE,
                                         .gradient = max_gradient};

vkg_tensor *vkg_max(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep)
{
    struct reduced r;
    float value;
    if (!find_reduced(graph, "max", a, axes, &r))
        return graph->poison;
    vkg_tensor *max = tensor_is_constant(a, &value) ? vkg_constant(graph, value, r.kept)
                                                    : reduce_keeping(graph, &op_max, a, r.axes);
    if (max->op == &op_max && max->inputs[0] != a)
        max = graph_add_node(graph, &(struct node_desc){.op = &op_max_of_runs, .shape = r.kept, .input_count = 1,
                                                        .inputs = &a, .value = max, .attributes.axes = r.axes});
    return keep ? max : vkg_reshape(graph, max, r.squeezed);
}

vkg_tensor *vkg_min(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep)
{
    return vkg_neg(graph, vkg_max(graph, vkg_neg(graph, a), axes, keep));
}

vkg_tensor *counting_axis(vkg_graph *graph, uint32_t size, uint32_t axes_behind)
{
    vkg_shape shape = {.rank = 1 + axes_behind, .dims = {size, 1, 1, 1, 1, 1}};
    float *numbers = arena_alloc(&graph->arena, size * sizeof *numbers);
    if (!numbers)
        return graph_fail(graph, "out of memory");
    for (uint32_t i = 0; i < size; i++)
        numbers[i] = (float)i;
    return vkg_data(graph, shape, VKG_FLOAT32, numbers);
}

/* A NaN is greater than all numbers, as vkg_max has it, but equals none, not even the greatest of its own line. */
static const struct op op_is_greatest = {.name = "is_greatest", .doc = "a = b or a is a NaN ? 1 : 0", .kind = OP_POINTWISE,
                                         .glsl = "SELECT(LESS(floatBitsToUint(a) & 0x7fffffffu, WORDS(0x7f800001u)), is_equal(a, b), T(1))"};

/* The least index of those whose element is the greatest. */
vkg_tensor *vkg_argmax(vkg_graph *graph, vkg_tensor *a, uint32_t axis, bool keep)
{
    const uint32_t most = 1u << 24; /* places are computed in float32 */
    if (!axis_is_valid(graph, "argmax", a, axis))
        return graph->poison;
    uint32_t size = a->shape.dims[axis];
    if (size > most)
        return graph_fail(graph, "argmax: axis %u of %s has more than 2^24 elements", axis, SHAPE(&a->shape));
    vkg_tensor *inputs[] = {a, vkg_max(graph, a, 1u << axis, true)};
    vkg_tensor *is_max = graph_add_node(graph, &(struct node_desc){.op = &op_is_greatest, .shape = a->shape, .input_count = 2,
                                                                   .inputs = inputs});
    vkg_tensor *indices = counting_axis(graph, size, a->shape.rank - 1 - axis);
    vkg_tensor *candidates = vkg_where(graph, is_max, indices, vkg_constant(graph, (float)size, VKG_SCALAR));
    return vkg_cast(graph, vkg_min(graph, candidates, 1u << axis, keep), VKG_INT32);
}

/* --- variance --- */

static void deviations_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients)
{
    (void)wanted;
    vkg_tensor *a = node->inputs[0], *mean = vkg_mean(graph, a, node->attributes.axes, true);
    gradients[0] = vkg_mul(graph, vkg_affine(graph, vkg_sub(graph, a, mean), 2, 0), dy);
}

const struct op op_deviations = {.name = "squared_deviations", .kind = OP_REDUCE, .reduction = REDUCE_DEVIATIONS,
                                 .doc = "Σ (a − mean)² over one run of axes, which stay as dimensions of 1",
                                 .gradient = deviations_gradient};

vkg_tensor *squared_deviations(vkg_graph *graph, vkg_tensor *a, uint32_t axes)
{
    struct reduced r;
    if (!find_reduced(graph, "squared_deviations", a, axes, &r))
        return graph->poison;
    if (first_run(&a->shape, r.axes) == r.axes && r.elements > 1)
        return reduce_keeping(graph, &op_deviations, a, r.axes);
    return vkg_sum(graph, vkg_square(graph, vkg_sub(graph, a, vkg_mean(graph, a, axes, true))), axes, true);
}

vkg_tensor *vkg_var(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep, uint32_t correction)
{
    struct reduced r;
    if (!find_reduced(graph, "var", a, axes, &r))
        return graph->poison;
    if (correction >= r.elements)
        return graph_fail(graph, "var: %llu elements of %s less the correction %u leave none",
                          (unsigned long long)r.elements, SHAPE(&a->shape), correction);
    vkg_tensor *sum = squared_deviations(graph, a, axes);
    return vkg_affine(graph, keep ? sum : vkg_reshape(graph, sum, r.squeezed),
                      (float)(1.0 / (double)(r.elements - correction)), 0);
}
