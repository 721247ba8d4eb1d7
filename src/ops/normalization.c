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
    vkg_tensor *var = vkg_mean(graph, vkg_square(graph, centred), axes, false);
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
