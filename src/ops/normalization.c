/* Normalisations: built of pointwise operations and sums, with a shorter gradient than theirs. */
#include "ops/ops.h"

enum { X, WEIGHT, BIAS, MEAN, INVERSE_STD };

/* With x̂ = (x − mean)/std over n elements a channel (Ioffe and Szegedy 2015, section 3, simplified):
 * db = Σ dy, dw = Σ dy·x̂, dx = weight/std · (dy − (db + x̂·dw)/n). The tensors of the rule are functions of x
 * themselves, so its own gradient is the true second derivative. */
static void batch_normalization_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                                         vkg_tensor **gradients)
{
    vkg_tensor *x = node->inputs[X], *weight = node->inputs[WEIGHT];
    uint32_t axes = axes_all_but_last(x);
    float n = (float)(shape_elements(&x->shape) / shape_elements(&weight->shape));
    vkg_tensor *x_hat = vkg_mul(graph, vkg_sub(graph, x, node->inputs[MEAN]), node->inputs[INVERSE_STD]);
    vkg_tensor *db = vkg_sum(graph, dy, axes, false);
    vkg_tensor *dw = vkg_sum(graph, vkg_mul(graph, dy, x_hat), axes, false);
    if (wanted[X]) {
        vkg_tensor *common = vkg_affine(graph, vkg_add(graph, db, vkg_mul(graph, x_hat, dw)), 1 / n, 0);
        vkg_tensor *scale = vkg_mul(graph, weight, node->inputs[INVERSE_STD]);
        gradients[X] = vkg_mul(graph, vkg_sub(graph, dy, common), scale);
    }
    if (wanted[WEIGHT])
        gradients[WEIGHT] = dw;
    if (wanted[BIAS])
        gradients[BIAS] = db;
}

static const struct op op_batch_normalization = {
    .name = "batch_normalization", .doc = "(x − mean)/√(var + ε) · weight + bias, statistics of all axes but the last",
    .kind = OP_COMPOSITE, .gradient = batch_normalization_gradient};

vkg_tensor *vkg_batch_normalization(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_tensor *bias,
                                    float epsilon, vkg_tensor **mean_out, vkg_tensor **var_out)
{
    if (mean_out)
        *mean_out = graph->poison;
    if (var_out)
        *var_out = graph->poison;
    if (x->poisoned || weight->poisoned || bias->poisoned)
        return graph->poison;
    uint32_t channels = x->shape.rank ? x->shape.dims[x->shape.rank - 1] : 0;
    if (x->shape.rank < 2 || weight->shape.rank != 1 || weight->shape.dims[0] != channels ||
        !shape_equal(&weight->shape, &bias->shape))
        return graph_fail(graph, "batch_normalization: x %s needs 2 dimensions or more, and weight %s and bias %s "
                                 "one element for each of its %u channels",
                          SHAPE(&x->shape), SHAPE(&weight->shape), SHAPE(&bias->shape), channels);
    uint32_t axes = axes_all_but_last(x);
    vkg_tensor *mean = vkg_mean(graph, x, axes, false);
    vkg_tensor *centred = vkg_sub(graph, x, mean);
    vkg_tensor *var = vkg_var(graph, x, axes, false, 0);
    vkg_tensor *inverse_std = vkg_rsqrt(graph, vkg_affine(graph, var, 1, epsilon));
    vkg_tensor *x_hat = vkg_mul(graph, centred, inverse_std);
    vkg_tensor *value = vkg_add(graph, vkg_mul(graph, x_hat, weight), bias);
    if (mean_out)
        *mean_out = mean;
    if (var_out)
        *var_out = var;
    return graph_add_node(graph, &(struct node_desc){
        .op = &op_batch_normalization, .shape = x->shape, .input_count = 3, .saved_count = 2,
        .inputs = (vkg_tensor *[]){x, weight, bias, mean, inverse_std}, .value = value,
        .attributes.p = epsilon});
}

/* --- over any axes --- */

/* With x̂ = (x − mean)/std: dx = (dy − mean(dy) − x̂·mean(dy·x̂))/std. */
static void normalize_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                               vkg_tensor **gradients)
{
    (void)wanted;
    uint32_t axes = node->attributes.axes;
    vkg_tensor *inverse_std = node->inputs[1];
    vkg_tensor *mean = vkg_mean(graph, dy, axes, true), *slope = vkg_mean(graph, vkg_mul(graph, dy, node), axes, true);
    vkg_tensor *common = vkg_add(graph, mean, vkg_mul(graph, node, slope));
    gradients[0] = vkg_mul(graph, vkg_sub(graph, dy, common), inverse_std);
}

static const struct op op_normalize = {.name = "normalize", .doc = "(x − mean)/√(var + ε), statistics over a set of axes",
                                       .kind = OP_COMPOSITE, .gradient = normalize_gradient};

vkg_tensor *vkg_normalize(vkg_graph *graph, vkg_tensor *x, uint32_t axes, float epsilon)
{
    vkg_tensor *mean = vkg_mean(graph, x, axes, true);
    if (mean->poisoned)
        return mean;
    vkg_tensor *centred = vkg_sub(graph, x, mean);
    vkg_tensor *var = vkg_var(graph, x, axes, true, 0);
    vkg_tensor *inverse_std = vkg_rsqrt(graph, vkg_affine(graph, var, 1, epsilon));
    return graph_add_node(graph, &(struct node_desc){
        .op = &op_normalize, .shape = x->shape, .input_count = 1, .saved_count = 1,
        .inputs = (vkg_tensor *[]){x, inverse_std}, .value = vkg_mul(graph, centred, inverse_std),
        .attributes = {.axes = axes, .p = epsilon}});
}

/* x·weight + bias, either of which may be missing. */
static vkg_tensor *scale_and_shift(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_tensor *bias)
{
    vkg_tensor *scaled = weight ? vkg_mul(graph, x, weight) : x;
    return bias ? vkg_add(graph, scaled, bias) : scaled;
}

vkg_tensor *vkg_layer_normalization(vkg_graph *graph, vkg_tensor *x, uint32_t axes, vkg_tensor *weight,
                                    vkg_tensor *bias, float epsilon)
{
    return scale_and_shift(graph, vkg_normalize(graph, x, axes, epsilon), weight, bias);
}

/* Images, volumes and sequences, that is [N, …, C]. */
static bool has_channels(vkg_graph *graph, const char *call, const vkg_tensor *x)
{
    if (x->poisoned)
        return false;
    if (x->shape.rank < 3)
        graph_fail(graph, "%s: x %s must be [N,…,C] with one dimension or more between", call, SHAPE(&x->shape));
    return x->shape.rank >= 3;
}

vkg_tensor *vkg_group_normalization(vkg_graph *graph, vkg_tensor *x, uint32_t groups, vkg_tensor *weight,
                                    vkg_tensor *bias, float epsilon)
{
    if (!has_channels(graph, "group_normalization", x))
        return graph->poison;
    uint32_t n = x->shape.dims[0], c = x->shape.dims[x->shape.rank - 1];
    if (groups == 0 || c % groups != 0)
        return graph_fail(graph, "group_normalization: %u channels of %s cannot be parted into %u groups", c,
                          SHAPE(&x->shape), groups);
    uint32_t places = (uint32_t)(shape_elements(&x->shape) / n / c);
    vkg_tensor *parted = vkg_reshape(graph, x, VKG_SHAPE(n, places, groups, c / groups));
    vkg_tensor *normal = vkg_reshape(graph, vkg_normalize(graph, parted, 1u << 1 | 1u << 3, epsilon), x->shape);
    return scale_and_shift(graph, normal, weight, bias);
}

vkg_tensor *vkg_instance_normalization(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_tensor *bias,
                                       float epsilon)
{
    if (!has_channels(graph, "instance_normalization", x))
        return graph->poison;
    uint32_t between = axes_all_but_last(x) & ~1u;
    return scale_and_shift(graph, vkg_normalize(graph, x, between, epsilon), weight, bias);
}

vkg_tensor *vkg_pixel_normalization(vkg_graph *graph, vkg_tensor *x, float epsilon)
{
    if (x->poisoned || x->shape.rank == 0)
        return x->poisoned ? x : graph_fail(graph, "pixel_normalization: x has no channels");
    vkg_tensor *power = vkg_mean(graph, vkg_square(graph, x), 1u << (x->shape.rank - 1), true);
    return vkg_mul(graph, x, vkg_rsqrt(graph, vkg_affine(graph, power, 1, epsilon)));
}

vkg_tensor *scale_of_samples(vkg_graph *graph, const char *call, const vkg_tensor *x, vkg_tensor *scale)
{
    if (x->poisoned || scale->poisoned)
        return graph->poison;
    uint32_t rank = x->shape.rank;
    vkg_shape shape = {.rank = rank, .dims = {1, 1, 1, 1, 1, 1}};
    if (rank < 2 || scale->shape.rank != 2 || scale->shape.dims[0] != x->shape.dims[0] ||
        scale->shape.dims[1] != x->shape.dims[rank - 1])
        return graph_fail(graph, "%s: scale or bias %s must be [N,C] of x %s", call, SHAPE(&scale->shape),
                          SHAPE(&x->shape));
    shape.dims[0] = x->shape.dims[0];
    shape.dims[rank - 1] = x->shape.dims[rank - 1];
    return vkg_reshape(graph, scale, shape);
}

vkg_tensor *vkg_adain(vkg_graph *graph, vkg_tensor *x, vkg_tensor *scale, vkg_tensor *bias, float epsilon)
{
    return vkg_instance_normalization(graph, x, scale_of_samples(graph, "adain", x, scale),
                                      scale_of_samples(graph, "adain", x, bias), epsilon);
}
