/* What StyleGAN2 (Karras et al. 2020) is built of: modulated convolution and the standard deviation over a batch.
 *
 * Section 2.2 and appendix B: modulating the weight of each sample is scaling the input's channels, and demodulating it
 * is scaling the output's, so that one convolution serves the whole batch. */
#include <math.h>
#include <stdio.h>

#include "ops/layer.h"

/* y divided by the norm of its sample's weights, √Σ (style · weight)² over taps and input channels. `transposed`: the
 * weight is [kh,kw,Co,Ci]. */
static vkg_tensor *demodulated(vkg_graph *graph, vkg_tensor *y, vkg_tensor *weight, vkg_tensor *style, bool transposed)
{
    const float epsilon = 1e-8f;
    if (y->poisoned)
        return y;
    uint32_t taps = (1u << (weight->shape.rank - 2)) - 1;
    vkg_tensor *weight_power = vkg_sum(graph, vkg_square(graph, weight), taps, false);
    vkg_tensor *power = vkg_matmul(graph, vkg_square(graph, style), weight_power, false, transposed);
    vkg_tensor *demodulation = vkg_rsqrt(graph, vkg_affine(graph, power, 1, epsilon));
    return vkg_mul(graph, y, scale_of_samples(graph, "modulated_convolution", y, demodulation));
}

vkg_tensor *vkg_modulated_convolution(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_tensor *style,
                                      vkg_conv_geometry geometry, bool demodulate)
{
    vkg_tensor *scale = scale_of_samples(graph, "modulated_convolution", x, style);
    vkg_tensor *y = vkg_convolution(graph, vkg_mul(graph, x, scale), weight, geometry);
    return demodulate ? demodulated(graph, y, weight, style, false) : y;
}

/* --- the layer --- */

/* [k,k,Ci,Co], or [k,k,Co,Ci] where it is transposed; PyTorch has [Co,Ci,k,k] for both. */
static vkg_tensor *modulated_weight(vkg_graph *graph, const vkg_tensor *x, const vkg_modulated_conv_desc *desc)
{
    const uint32_t in = x->shape.dims[3], k = desc->kernel;
    const uint32_t straight[VKG_MAX_RANK] = {3, 2, 0, 1, 4, 5}, transposed[VKG_MAX_RANK] = {2, 3, 0, 1, 4, 5};
    vkg_tensor *weight = layer_tensor(graph, desc->name, (struct declaration_desc){
        .name = "weight", .shape = desc->upsample ? VKG_SHAPE(k, k, desc->out, in) : VKG_SHAPE(k, k, in, desc->out),
        .init = {VKG_INIT_NORMAL, 0, 1}, .trained = true, .torch_axes = desc->upsample ? transposed : straight});
    return weight->poisoned ? weight : vkg_affine(graph, weight, 1 / sqrtf((float)(k * k * in)), 0);
}

static vkg_tensor *modulated_layer(vkg_graph *graph, vkg_tensor *x, vkg_tensor *w, const vkg_modulated_conv_desc *desc)
{
    const uint32_t *d = x->shape.dims;
    char affine[256];
    if (x->shape.rank != 4 || w->shape.rank != 2 || desc->out == 0 || desc->kernel % 2 == 0)
        return graph_fail(graph, "modulated_conv2d: x %s must be [N,H,W,C], w %s [N,L], out (%u) at least 1 and the kernel (%u) "
                                 "odd", SHAPE(&x->shape), SHAPE(&w->shape), desc->out, desc->kernel);
    vkg_tensor *weight = modulated_weight(graph, x, desc);
    snprintf(affine, sizeof affine, "%s.affine", desc->name ? desc->name : "");
    vkg_tensor *style = vkg_linear(graph, w, &(vkg_linear_desc){.name = affine, .out = d[3], .bias = true, .bias_init = 1,
                                                                .weight.form = VKG_WEIGHT_EQUALIZED});
    const uint32_t pad = desc->kernel / 2, size[2] = {2 * d[1] + desc->kernel - 2, 2 * d[2] + desc->kernel - 2};
    if (!desc->upsample)
        return vkg_modulated_convolution(graph, x, weight, style, (vkg_conv_geometry){.padding = {pad, pad}}, !desc->plain);
    x = vkg_mul(graph, x, scale_of_samples(graph, "modulated_conv2d", x, style));
    vkg_tensor *y = vkg_convolution_input_gradient(graph, x, weight, (vkg_conv_geometry){.stride = {2, 2}}, size);
    return desc->plain ? y : demodulated(graph, y, weight, style, true);
}

vkg_tensor *vkg_modulated_conv2d(vkg_graph *graph, vkg_tensor *x, vkg_tensor *w, const vkg_modulated_conv_desc *desc)
{
    if (x->poisoned || w->poisoned)
        return graph->poison;
    graph_enter_layer(graph, "modulated_conv2d", desc->name);
    vkg_tensor *y = modulated_layer(graph, x, w, desc);
    graph_leave_layer(graph);
    return y;
}

/* --- the discriminator's --- */

/* Karras et al. 2018, section 3, in groups as StyleGAN2 has it. Sample n belongs to the group n mod (N/group). */
vkg_tensor *vkg_minibatch_stddev(vkg_graph *graph, vkg_tensor *x, uint32_t group, uint32_t channels)
{
    const float epsilon = 1e-8f;
    if (x->poisoned)
        return x;
    const uint32_t *d = x->shape.dims;
    if (x->shape.rank != 4 || group == 0 || channels == 0 || d[0] % group != 0 || d[3] % channels != 0)
        return graph_fail(graph, "minibatch_stddev: x %s must be [N,H,W,C], N a multiple of the group %u and C of the "
                                 "channels %u", SHAPE(&x->shape), group, channels);
    const uint32_t across = d[0] / group, own = d[3] / channels;
    vkg_tensor *parted = vkg_reshape(graph, x, VKG_SHAPE(group, across, d[1] * d[2], channels, own));
    vkg_tensor *var = vkg_var(graph, parted, 1, true, 0);
    vkg_tensor *std = vkg_sqrt(graph, vkg_affine(graph, var, 1, epsilon));
    vkg_tensor *mean = vkg_mean(graph, std, 1u << 2 | 1u << 4, true); /* [1, across, 1, channels, 1] */
    vkg_tensor *all = vkg_broadcast(graph, vkg_reshape(graph, mean, VKG_SHAPE(1, across, 1, channels)),
                                    VKG_SHAPE(group, across, d[1] * d[2], channels));
    vkg_tensor *both[2] = {x, vkg_reshape(graph, all, VKG_SHAPE(d[0], d[1], d[2], channels))};
    return vkg_concat(graph, both, 2, 3);
}
