/* Random numbers: Philox 4x32-10 (Salmon et al. 2011), counter-based, so that a number depends on the seed, the
 * step and its place alone. */
#include <math.h>

#include "kernels/lowering.h"
#include "ops/ops.h"
#include "vkgan/resample.h"

struct random_push {
    uint32_t count; /* numbers */
    uint32_t stream;
};

static vkg_result lower_random(struct lowering *lowering, const vkg_tensor *node)
{
    struct dispatch *dispatch = lowering_add_dispatch(lowering, node->op->name, shader_find(node->op->name));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    vkg_result result = lowering_bind_tensor(lowering, dispatch, node->inputs[0], FORMAT_STORAGE, true, false);
    if (result == VKG_OK)
        result = lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, false, true);
    if (result != VKG_OK)
        return result;
    uint32_t workgroup = simple_workgroup(&lowering->device->caps);
    struct random_push push = {(uint32_t)shape_elements(&node->shape), node->attributes.index};
    dispatch_push(dispatch, &push, sizeof push);
    dispatch->constants[dispatch->constant_count++] = workgroup;
    return dispatch_grid(lowering, dispatch, ((push.count + 3) / 4 + workgroup - 1) / workgroup);
}

static const struct op op_random_normal = {.name = "random_normal", .doc = "standard normal numbers",
                                           .kind = OP_KERNEL, .unique = true, .input_dtypes = {VKG_UINT32},
                                           .lower = lower_random};
static const struct op op_random_uniform = {.name = "random_uniform", .doc = "uniform numbers in (0, 1]",
                                            .kind = OP_KERNEL, .unique = true, .input_dtypes = {VKG_UINT32},
                                            .lower = lower_random};

static vkg_tensor *add_random(vkg_graph *graph, const struct op *op, vkg_shape shape)
{
    vkg_tensor *state = graph_random_state(graph);
    if (shape.rank > VKG_MAX_RANK)
        return graph_fail(graph, "%s: rank %u is more than %d", op->name, shape.rank, VKG_MAX_RANK);
    return graph_add_node(graph, &(struct node_desc){.op = op, .shape = shape, .input_count = 1, .inputs = &state,
                                                     .attributes.index = graph->random_count++});
}

vkg_tensor *vkg_random_normal(vkg_graph *graph, vkg_shape shape)
{
    return add_random(graph, &op_random_normal, shape);
}

vkg_tensor *vkg_random_uniform(vkg_graph *graph, vkg_shape shape)
{
    return add_random(graph, &op_random_uniform, shape);
}

/* Φ(x), the share of standard normal numbers below x */
static double normal_share_below(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752);
}

/* (1 − Φ(x))/φ(x) for x ≥ 3, by Laplace's continued fraction. */
static double mills_ratio(double x)
{
    double fraction = x;
    for (int k = 32; k > 0; k--)
        fraction = x + k / fraction;
    return 1 / fraction;
}

/* Numbers in [near, far], near ≥ 3. Float32 has few numbers between the shares Φ of such ends. So the share above x is written as that
 * above `near` times e⁻ᵗ: then dx/dt is Mills' ratio, and x, which bends little, is read from a table. */
static vkg_tensor *normal_of_tail(vkg_graph *graph, vkg_shape shape, float near, float far)
{
    enum { CELLS = 512 };
    const double longest = 18; /* no uniform number is below 2⁻²⁵ */
    const double apart = ((double)near - (double)far) * ((double)near + (double)far) / 2;
    const double rest = isinf(far) ? 0 : mills_ratio((double)far) / mills_ratio((double)near) * exp(apart);
    const double end = fmin(-log(rest), longest), step = end / CELLS;
    float table[CELLS + 1];
    double x = (double)near;
    for (uint32_t i = 0; i <= CELLS; i++) {
        table[i] = (float)x;
        x += step * mills_ratio(x + step / 2 * mills_ratio(x));
    }
    vkg_tensor *share = vkg_affine(graph, vkg_random_uniform(graph, shape), (float)(1 - rest), (float)rest);
    if (share->poisoned)
        return share;
    vkg_tensor *place = vkg_clamp(graph, vkg_affine(graph, vkg_ln(graph, share), (float)(-1 / step), 0), 0, CELLS);
    vkg_tensor *cell = vkg_minimum(graph, vkg_floor(graph, place), vkg_constant(graph, CELLS - 1, VKG_SCALAR));
    vkg_tensor *index = vkg_reshape(graph, vkg_cast(graph, cell, VKG_INT32), VKG_SHAPE((uint32_t)shape_elements(&shape)));
    vkg_tensor *ends[2];
    for (int i = 0; i < 2; i++) {
        vkg_tensor *line = vkg_data(graph, VKG_SHAPE(CELLS), VKG_FLOAT32, table + i);
        ends[i] = vkg_reshape(graph, vkg_gather(graph, line, 0, index), shape);
    }
    return vkg_add(graph, ends[0], vkg_mul(graph, vkg_sub(graph, place, cell), vkg_sub(graph, ends[1], ends[0])));
}

/* Uniform numbers between Φ(low) and Φ(high), through Φ⁻¹; in the tails their logarithms. */
vkg_tensor *vkg_random_truncated_normal(vkg_graph *graph, vkg_shape shape, float low, float high)
{
    const float tail = 3;
    if (!(low < high))
        return graph_fail(graph, "random_truncated_normal: the low end %g is not below the high end %g", (double)low,
                          (double)high);
    if (low >= tail)
        return vkg_clamp(graph, normal_of_tail(graph, shape, low, high), low, high);
    if (high <= -tail)
        return vkg_clamp(graph, vkg_neg(graph, normal_of_tail(graph, shape, -high, -low)), low, high);
    double from = 2 * normal_share_below((double)low) - 1, to = 2 * normal_share_below((double)high) - 1;
    vkg_tensor *uniform = vkg_affine(graph, vkg_random_uniform(graph, shape), (float)(to - from), (float)from);
    vkg_tensor *inside = vkg_clamp(graph, uniform, -0.9999999f, 0.9999999f); /* the ends themselves are at infinity */
    return vkg_clamp(graph, vkg_affine(graph, vkg_erfinv(graph, inside), 1.41421356237f, 0), low, high);
}

vkg_tensor *vkg_random_bernoulli(vkg_graph *graph, vkg_shape shape, float p)
{
    if (!(p >= 0 && p <= 1))
        return graph_fail(graph, "random_bernoulli: the probability %g is not in [0, 1]", (double)p);
    return vkg_less_equal(graph, vkg_random_uniform(graph, shape), vkg_constant(graph, p, VKG_SCALAR));
}

vkg_tensor *vkg_dropout(vkg_graph *graph, vkg_tensor *a, float p)
{
    if (!(p >= 0 && p < 1))
        return graph_fail(graph, "dropout: the probability %g is not in [0, 1)", (double)p);
    if (p == 0)
        return vkg_cast(graph, a, VKG_FLOAT32);
    vkg_tensor *kept = vkg_random_bernoulli(graph, a->shape, 1 - p);
    return vkg_mul(graph, a, vkg_affine(graph, kept, 1 / (1 - p), 0));
}

/* The rank of each of n random numbers is a random permutation; of equal ones the first ranks lower. */
vkg_tensor *vkg_random_permutation(vkg_graph *graph, uint32_t n)
{
    if (n == 0 || n > 32768)
        return graph_fail(graph, "random_permutation: n is %u, expected 1 to 32768", n);
    vkg_tensor *keys = vkg_random_uniform(graph, VKG_SHAPE(n)), *column = vkg_reshape(graph, keys, VKG_SHAPE(n, 1));
    vkg_tensor *places = counting_axis(graph, n, 0), *place_column = counting_axis(graph, n, 1);
    vkg_tensor *ties = vkg_mul(graph, vkg_equal(graph, keys, column), vkg_less(graph, places, place_column));
    vkg_tensor *ranks = vkg_sum(graph, vkg_add(graph, vkg_less(graph, keys, column), ties), 1u << 1, false);
    return vkg_cast(graph, ranks, VKG_INT32);
}

vkg_result lower_random_advance(struct lowering *lowering)
{
    if (lowering->graph->random_count == 0)
        return VKG_OK;
    struct dispatch *dispatch = lowering_add_dispatch(lowering, "advance random state", shader_find("random_advance"));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    return lowering_bind_tensor(lowering, dispatch, graph_random_state(lowering->graph), FORMAT_STORAGE, true, true);
}
