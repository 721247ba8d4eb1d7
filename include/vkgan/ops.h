/* vkgan: operations. Every one has a gradient made of operations of this page. float32 throughout. */
#ifndef VKGAN_OPS_H
#define VKGAN_OPS_H

#include "vkgan/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- pointwise, with NumPy's broadcasting: shapes are aligned at the last dimension, 1 stretches --- */
VKG_API vkg_tensor *vkg_add(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b);
VKG_API vkg_tensor *vkg_sub(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b);
VKG_API vkg_tensor *vkg_mul(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b);
VKG_API vkg_tensor *vkg_div(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b);
/* a·factor + offset */
VKG_API vkg_tensor *vkg_affine(vkg_graph *graph, vkg_tensor *a, float factor, float offset);
VKG_API vkg_tensor *vkg_neg(vkg_graph *graph, vkg_tensor *a);
VKG_API vkg_tensor *vkg_abs(vkg_graph *graph, vkg_tensor *a);   /* gradient at 0: 0 */
VKG_API vkg_tensor *vkg_square(vkg_graph *graph, vkg_tensor *a);
VKG_API vkg_tensor *vkg_sqrt(vkg_graph *graph, vkg_tensor *a);
VKG_API vkg_tensor *vkg_rsqrt(vkg_graph *graph, vkg_tensor *a); /* 1/√a */
VKG_API vkg_tensor *vkg_exp(vkg_graph *graph, vkg_tensor *a);
VKG_API vkg_tensor *vkg_ln(vkg_graph *graph, vkg_tensor *a);    /* natural logarithm; vkg_log is where messages go */
VKG_API vkg_tensor *vkg_relu(vkg_graph *graph, vkg_tensor *a);  /* gradient at 0: 0 */
VKG_API vkg_tensor *vkg_leaky_relu(vkg_graph *graph, vkg_tensor *a, float slope); /* at 0: slope */
VKG_API vkg_tensor *vkg_tanh(vkg_graph *graph, vkg_tensor *a);
VKG_API vkg_tensor *vkg_sigmoid(vkg_graph *graph, vkg_tensor *a);
VKG_API vkg_tensor *vkg_softplus(vkg_graph *graph, vkg_tensor *a); /* log(1 + eᵃ), stable for any a */

/* --- shape --- */
/* Repeats along dimensions of 1, and along new leading ones, up to `shape`. */
VKG_API vkg_tensor *vkg_broadcast(vkg_graph *graph, vkg_tensor *a, vkg_shape shape);
/* The same elements in the same order under another shape of equal size; costs nothing. */
VKG_API vkg_tensor *vkg_reshape(vkg_graph *graph, vkg_tensor *a, vkg_shape shape);
/* The same value, with no gradient through it; costs nothing. */
VKG_API vkg_tensor *vkg_detach(vkg_graph *graph, vkg_tensor *a);

/* --- reductions: `axes` is a set of bits, bit i for dimension i; VKG_ALL_AXES for all --- */
#define VKG_ALL_AXES UINT32_MAX
/* keep: reduced dimensions stay as 1; otherwise they vanish. */
VKG_API vkg_tensor *vkg_sum(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep);
VKG_API vkg_tensor *vkg_mean(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep);
/* Sums `a` down to `shape`, the reverse of a broadcast from `shape`. */
VKG_API vkg_tensor *vkg_sum_to(vkg_graph *graph, vkg_tensor *a, vkg_shape shape);

/* --- products --- */
/* [M,K]·[K,N] → [M,N]; transpose_a: a is [K,M]; transpose_b: b is [N,K]; not both. */
VKG_API vkg_tensor *vkg_matmul(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, bool transpose_a, bool transpose_b);

/* Stride, padding and dilation of a two-dimensional convolution, [vertical, horizontal]. A zero stride or
 * dilation means 1. Padding is of zeros, the same on both sides. */
typedef struct vkg_conv_geometry {
    uint32_t stride[2], padding[2], dilation[2];
} vkg_conv_geometry;

/* x [N,H,W,Ci], weight [kh,kw,Ci,Co] → [N,OH,OW,Co], OH = (H + 2·padding − dilation·(kh−1) − 1)/stride + 1.
 * It is the field's convolution, that is, cross-correlation. */
VKG_API vkg_tensor *vkg_convolution(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_conv_geometry geometry);
/* The gradient of that with respect to x of size [height, width]: y [N,OH,OW,Co], weight [kh,kw,Ci,Co] →
 * [N,height,width,Ci]. It is also the transposed convolution from Co to Ci channels. */
VKG_API vkg_tensor *vkg_convolution_input_gradient(vkg_graph *graph, vkg_tensor *y, vkg_tensor *weight,
                                                   vkg_conv_geometry geometry, uint32_t height, uint32_t width);
/* The gradient with respect to the weight of kernel size [kh, kw]: x, y → [kh,kw,Ci,Co]. */
VKG_API vkg_tensor *vkg_convolution_weight_gradient(vkg_graph *graph, vkg_tensor *x, vkg_tensor *y,
                                                    vkg_conv_geometry geometry, uint32_t kh, uint32_t kw);

/* --- normalisation --- */
/* (x − mean)/√(var + epsilon)·weight + bias with the statistics of x over all axes but the last
 * (var: biased). Ioffe and Szegedy 2015. weight and bias [C]. Where mean_out, var_out are not NULL they
 * receive the statistics, [C]. */
VKG_API vkg_tensor *vkg_batch_normalization(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_tensor *bias,
                                            float epsilon, vkg_tensor **mean_out, vkg_tensor **var_out);

/* --- losses, each a mean over all elements, a scalar --- */
/* Binary cross entropy of logits with the constant target `target` in [0, 1]:
 * mean(softplus(x) − target·x), stable for any x. */
VKG_API vkg_tensor *vkg_bce_with_logits(vkg_graph *graph, vkg_tensor *logits, float target);

#ifdef __cplusplus
}
#endif
#endif
