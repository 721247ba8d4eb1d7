/* The rows of vkgan/ops.h, in its order. */
#include "ops_table.h"

static vkg_shape shape_of(const struct ops_call *call)
{
    vkg_shape shape = {.rank = call->count};
    for (uint32_t i = 0; i < call->count; i++)
        shape.dims[i] = (uint32_t)call->a[i];
    return shape;
}

/* --- pointwise --- */

#define UNARY(op) OPS_BUILD(op, vkg_##op(g, x[0]))
#define BINARY(op) OPS_BUILD(op, vkg_##op(g, x[0], x[1]))
UNARY(neg) UNARY(abs) UNARY(sign) UNARY(square) UNARY(sqrt) UNARY(rsqrt) UNARY(exp) UNARY(ln) UNARY(log1p) UNARY(sin)
UNARY(cos) UNARY(floor) UNARY(erf) UNARY(erfinv) UNARY(sigmoid) UNARY(tanh) UNARY(softplus) UNARY(log_sigmoid) UNARY(relu) UNARY(silu)
UNARY(gelu) UNARY(detach)
BINARY(add) BINARY(sub) BINARY(mul) BINARY(div) BINARY(pow) BINARY(minimum) BINARY(maximum) BINARY(equal) BINARY(less)
BINARY(less_equal) BINARY(prelu)
OPS_BUILD(affine, vkg_affine(g, x[0], (float)a[0], (float)a[1]))
OPS_BUILD(leaky_relu, vkg_leaky_relu(g, x[0], (float)a[0]))
OPS_BUILD(elu, vkg_elu(g, x[0], (float)a[0]))
OPS_BUILD(clamp, vkg_clamp(g, x[0], (float)a[0], (float)a[1]))
OPS_BUILD(where, vkg_where(g, c[0], x[0], x[1]))
OPS_BUILD(cast, vkg_cast(g, x[0], (vkg_dtype)a[0]))

/* --- shape --- */

static vkg_tensor *permute_by(vkg_graph *g, const struct ops_call *call)
{
    vkg_shape axes = shape_of(call);
    return vkg_permute(g, call->x[0], axes.dims);
}

static vkg_tensor *part_of(vkg_graph *g, vkg_tensor *x, const double *a)
{
    enum { MOST = 65 };
    vkg_tensor *parts[MOST] = {0};
    vkg_split(g, x, (uint32_t)a[0], (uint32_t)a[1], parts);
    return parts[(uint32_t)a[2]];
}

OPS_BUILD(broadcast, vkg_broadcast(g, x[0], shape_of(call)))
OPS_BUILD(reshape, vkg_reshape(g, x[0], shape_of(call)))
OPS_BUILD(permute, permute_by(g, call))
OPS_BUILD(transpose, vkg_transpose(g, x[0], (uint32_t)a[0], (uint32_t)a[1]))
OPS_BUILD(slice, vkg_slice(g, x[0], (uint32_t)a[0], (uint32_t)a[1], (uint32_t)a[2], (uint32_t)a[3]))
OPS_BUILD(spread, vkg_spread(g, x[0], (uint32_t)a[0], (uint32_t)a[1]))
OPS_BUILD(concat, vkg_concat(g, x, call->x_count, (uint32_t)a[0]))
OPS_BUILD(stack, vkg_stack(g, x, call->x_count, (uint32_t)a[0]))
OPS_BUILD(split, part_of(g, x[0], a))
OPS_BUILD(flip, vkg_flip(g, x[0], (uint32_t)a[0]))
OPS_BUILD(roll, vkg_roll(g, x[0], (uint32_t)a[0], (int32_t)a[1]))
OPS_BUILD(pad, vkg_pad(g, x[0], (uint32_t)a[0], (int32_t)a[1], (int32_t)a[2], (vkg_pad_mode)a[3], (float)a[4]))

/* --- reductions --- */

OPS_BUILD(sum, vkg_sum(g, x[0], (uint32_t)a[0], a[1] != 0))
OPS_BUILD(mean, vkg_mean(g, x[0], (uint32_t)a[0], a[1] != 0))
OPS_BUILD(max, vkg_max(g, x[0], (uint32_t)a[0], a[1] != 0))
OPS_BUILD(min, vkg_min(g, x[0], (uint32_t)a[0], a[1] != 0))
OPS_BUILD(var, vkg_var(g, x[0], (uint32_t)a[0], a[1] != 0, (uint32_t)a[2]))
OPS_BUILD(argmax, vkg_argmax(g, x[0], (uint32_t)a[0], a[1] != 0))
OPS_BUILD(softmax, vkg_softmax(g, x[0], (uint32_t)a[0]))
OPS_BUILD(log_softmax, vkg_log_softmax(g, x[0], (uint32_t)a[0]))
OPS_BUILD(logsumexp, vkg_logsumexp(g, x[0], (uint32_t)a[0], a[1] != 0))
OPS_BUILD(sum_to, vkg_sum_to(g, x[0], shape_of(call)))

/* --- products --- */

/* Attributes: three strides, three paddings, three dilations, groups, and three sizes where there are any. */
static vkg_conv_geometry geometry_of(const double *a)
{
    vkg_conv_geometry geometry = {.groups = (uint32_t)a[9]};
    for (int i = 0; i < 3; i++) {
        geometry.stride[i] = (uint32_t)a[i];
        geometry.padding[i] = (uint32_t)a[3 + i];
        geometry.dilation[i] = (uint32_t)a[6 + i];
    }
    return geometry;
}

static vkg_tensor *input_gradient_of(vkg_graph *g, vkg_tensor *const *x, const double *a)
{
    return vkg_convolution_input_gradient(g, x[0], x[1], geometry_of(a),
                                          (const uint32_t[]){(uint32_t)a[10], (uint32_t)a[11], (uint32_t)a[12]});
}

static vkg_tensor *weight_gradient_of(vkg_graph *g, vkg_tensor *const *x, const double *a)
{
    return vkg_convolution_weight_gradient(g, x[0], x[1], geometry_of(a),
                                           (const uint32_t[]){(uint32_t)a[10], (uint32_t)a[11], (uint32_t)a[12]});
}

OPS_BUILD(matmul, vkg_matmul(g, x[0], x[1], a[0] != 0, a[1] != 0))
OPS_BUILD(convolution, vkg_convolution(g, x[0], x[1], geometry_of(a)))
OPS_BUILD(convolution_input_gradient, input_gradient_of(g, x, a))
OPS_BUILD(convolution_weight_gradient, weight_gradient_of(g, x, a))

/* --- normalisation --- */

/* Weight and bias follow x where the bits of `which`, 1 and 2, say so. */
static vkg_tensor *weight_of(const struct ops_call *call, double which)
{
    return (int)which & 1 ? call->x[1] : NULL;
}

static vkg_tensor *bias_of(const struct ops_call *call, double which)
{
    return (int)which & 2 ? call->x[(int)which & 1 ? 2 : 1] : NULL;
}

OPS_BUILD(batch_normalization, vkg_batch_normalization(g, x[0], x[1], x[2], (float)a[0], NULL, NULL))
OPS_BUILD(normalize, vkg_normalize(g, x[0], (uint32_t)a[0], (float)a[1]))
OPS_BUILD(layer_normalization,
          vkg_layer_normalization(g, x[0], (uint32_t)a[0], weight_of(call, a[2]), bias_of(call, a[2]), (float)a[1]))
OPS_BUILD(group_normalization,
          vkg_group_normalization(g, x[0], (uint32_t)a[0], weight_of(call, a[2]), bias_of(call, a[2]), (float)a[1]))
OPS_BUILD(instance_normalization,
          vkg_instance_normalization(g, x[0], weight_of(call, a[1]), bias_of(call, a[1]), (float)a[0]))
OPS_BUILD(adain, vkg_adain(g, x[0], x[1], x[2], (float)a[0]))
OPS_BUILD(pixel_normalization, vkg_pixel_normalization(g, x[0], (float)a[0]))
OPS_BUILD(modulated_convolution, vkg_modulated_convolution(g, x[0], x[1], x[2], geometry_of(a), a[10] != 0))
OPS_BUILD(minibatch_stddev, vkg_minibatch_stddev(g, x[0], (uint32_t)a[0], (uint32_t)a[1]))

/* --- attention --- */

OPS_BUILD(scaled_dot_product_attention,
          vkg_scaled_dot_product_attention(g, x[0], x[1], x[2], &(vkg_attention_desc){
              .mask = c[0], .scale = (float)a[0], .block_elements = (uint32_t)a[1]}))

/* --- losses --- */

UNARY(hinge_loss_real) UNARY(hinge_loss_fake) UNARY(total_variation)
BINARY(bce_with_logits_to) BINARY(wasserstein_loss) BINARY(mse_loss) BINARY(l1_loss) BINARY(gaussian_kl)
OPS_BUILD(bce_with_logits, vkg_bce_with_logits(g, x[0], (float)a[0]))
OPS_BUILD(cross_entropy, vkg_cross_entropy(g, x[0], i[0]))
OPS_BUILD(smooth_l1_loss, vkg_smooth_l1_loss(g, x[0], x[1], (float)a[0]))
OPS_BUILD(cosine_similarity, vkg_cosine_similarity(g, x[0], x[1], (uint32_t)a[0], (float)a[1]))

/* Rows of one operation that differ in their cases. */
#define CONVOLUTIONS(suffix)                                                                                 \
    {"convolution" suffix, build_convolution, {1e-6, 2e-6, 3e-6}},                                           \
        {"convolution_input_gradient" suffix, build_convolution_input_gradient, {1e-6, 2e-6, 3e-6}},         \
    {                                                                                                        \
        "convolution_weight_gradient" suffix, build_convolution_weight_gradient, {1e-6, 2e-6, 3e-6}          \
    }

const struct ops_row ops_rows[] = {
    OPS_CLOSE(add), OPS_CLOSE(sub), OPS_CLOSE(mul), OPS_CLOSE(div), OPS_CLOSE(affine), OPS_EXACT(neg), OPS_EXACT(abs), OPS_CLOSE(square), OPS_CLOSE(sqrt),
    OPS_CLOSE(rsqrt), OPS_CLOSE(exp), OPS_CLOSE(ln), OPS_EXACT(relu), OPS_CLOSE(leaky_relu), OPS_CLOSE(tanh), OPS_CLOSE(sigmoid), OPS_CLOSE(softplus), OPS_CLOSE(log_sigmoid),
    OPS_NEAR(pow), OPS_CLOSE(log1p), OPS_CLOSE(sin), OPS_CLOSE(cos), OPS_CLOSE(erf), OPS_NEAR(erfinv), OPS_EXACT(sign), OPS_EXACT(floor), OPS_CLOSE(elu),
    OPS_CLOSE(silu), OPS_CLOSE(gelu), OPS_CLOSE(prelu), OPS_EXACT(clamp), OPS_CLOSE(minimum), OPS_CLOSE(maximum), OPS_EXACT(equal), OPS_EXACT(less),
    OPS_EXACT(less_equal), OPS_CLOSE(where), OPS_EXACT(cast),

    OPS_CLOSE(broadcast), OPS_EXACT(reshape), OPS_EXACT(detach), OPS_EXACT(permute), OPS_EXACT(transpose), OPS_EXACT(slice), OPS_EXACT(spread),
    OPS_EXACT(concat), OPS_EXACT(stack), OPS_EXACT(split), OPS_EXACT(flip), OPS_EXACT(roll), OPS_CLOSE(pad),
    {"pad_reflect", build_pad, {1e-6, 2e-6, 3e-6}}, {"pad_replicate", build_pad, {1e-6, 2e-6, 3e-6}},
    {"pad_circular", build_pad, {1e-6, 2e-6, 3e-6}},

    OPS_SUM(sum), OPS_SUM(mean), OPS_CLOSE(max), OPS_CLOSE(min), OPS_CLOSE(var), OPS_EXACT(argmax), OPS_NEAR(softmax), OPS_NEAR(log_softmax),
    OPS_NEAR(logsumexp), OPS_CLOSE(sum_to),

    OPS_CLOSE(matmul), {"matmul_batched", build_matmul, {1e-6, 2e-6, 3e-6}},
    CONVOLUTIONS(""), CONVOLUTIONS("_1d"), CONVOLUTIONS("_3d"), CONVOLUTIONS("_grouped"),

    OPS_ROW(batch_normalization, 2e-5, 4e-5, 6e-5), OPS_NEAR(normalize), OPS_NEAR(layer_normalization), OPS_NEAR(group_normalization),
    OPS_NEAR(instance_normalization), OPS_NEAR(adain), OPS_NEAR(pixel_normalization), OPS_NEAR(modulated_convolution), OPS_NEAR(minibatch_stddev),

    OPS_NEAR(scaled_dot_product_attention),
    {"scaled_dot_product_attention_batched", build_scaled_dot_product_attention, {5e-6, 1e-5, 1e-5}},

    OPS_SUM(bce_with_logits), OPS_SUM(bce_with_logits_to), OPS_SUM(hinge_loss_real), OPS_SUM(hinge_loss_fake),
    OPS_SUM(wasserstein_loss), OPS_NEAR(cross_entropy), OPS_SUM(mse_loss), OPS_SUM(l1_loss), OPS_SUM(smooth_l1_loss),
    OPS_SUM(gaussian_kl), OPS_NEAR(cosine_similarity), OPS_SUM(total_variation), {0}};
