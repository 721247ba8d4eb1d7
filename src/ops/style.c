/* What StyleGAN2 (Karras et al. 2020) is built of: modulated convolution and the standard deviation over a batch. */
#include "ops/ops.h"

/* Section 2.2 and appendix B: modulating the weight of each sample is scaling the input's channels, and demodulating it
 * is scaling the output's, so that one convolution serves the whole batch. */
vkg_tensor *vkg_modulated_convolution(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_tensor *style,
                                      vkg_conv_geometry geometry, bool demodulate)
{
    const float epsilon = 1e-8f;
    vkg_tensor *scale = scale_of_samples(graph, "modulated_convolution", x, style);
    vkg_tensor *y = vkg_convolution(graph, vkg_mul(graph, x, scale), weight, geometry);
    if (y->poisoned || !demodulate)
        return y;
    /* the norm of a sample's weights: Σ over taps and input channels of (style · weight)² */
    uint32_t taps = (1u << (weight->shape.rank - 2)) - 1;
    vkg_tensor *weight_power = vkg_sum(graph, vkg_square(graph, weight), taps, false);
    vkg_tensor *power = vkg_matmul(graph, vkg_square(graph, style), weight_power, false, false);
    vkg_tensor *demodulation = vkg_rsqrt(graph, vkg_affine(graph, power, 1, epsilon));
    return vkg_mul(graph, y, scale_of_samples(graph, "modulated_convolution", y, demodulation));
}

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
