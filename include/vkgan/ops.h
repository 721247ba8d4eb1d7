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
VKG_API vkg_tensor *vkg_pow(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b); /* aᵇ; NaN for a < 0 unless b is whole */
VKG_API vkg_tensor *vkg_log1p(vkg_graph *graph, vkg_tensor *a); /* log(1 + a), exact near 0 */
VKG_API vkg_tensor *vkg_sin(vkg_graph *graph, vkg_tensor *a);
VKG_API vkg_tensor *vkg_cos(vkg_graph *graph, vkg_tensor *a);
VKG_API vkg_tensor *vkg_erf(vkg_graph *graph, vkg_tensor *a);  /* the error function */
VKG_API vkg_tensor *vkg_sign(vkg_graph *graph, vkg_tensor *a); /* −1, 0, 1; no gradient passes */
VKG_API vkg_tensor *vkg_floor(vkg_graph *graph, vkg_tensor *a); /* no gradient passes */
VKG_API vkg_tensor *vkg_elu(vkg_graph *graph, vkg_tensor *a, float alpha); /* a > 0 ? a : alpha·(eᵃ − 1) */
VKG_API vkg_tensor *vkg_silu(vkg_graph *graph, vkg_tensor *a); /* a·σ(a) */
VKG_API vkg_tensor *vkg_gelu(vkg_graph *graph, vkg_tensor *a); /* a·Φ(a), by erf: PyTorch's approximate="none" */
/* Negative ones times slope, of [C] (a slope a channel) or [1]. He et al. 2015. */
VKG_API vkg_tensor *vkg_prelu(vkg_graph *graph, vkg_tensor *a, vkg_tensor *slope);
/* At least low and at most high; the gradient passes within and at both ends. */
VKG_API vkg_tensor *vkg_clamp(vkg_graph *graph, vkg_tensor *a, float low, float high);
/* Where both are equal, each gets half of the gradient. */
VKG_API vkg_tensor *vkg_minimum(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b);
VKG_API vkg_tensor *vkg_maximum(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b);
/* 1 where it is so, else 0; no gradient passes. */
VKG_API vkg_tensor *vkg_equal(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b);
VKG_API vkg_tensor *vkg_less(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b);
VKG_API vkg_tensor *vkg_less_equal(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b);
/* condition ≠ 0 ? a : b; all three are broadcast. */
VKG_API vkg_tensor *vkg_where(vkg_graph *graph, vkg_tensor *condition, vkg_tensor *a, vkg_tensor *b);
/* The same numbers as another type. To integers: towards zero, and no gradient passes; to uint8 within [0, 255]. To
 * float16 and bfloat16: rounded to the nearest. uint8 results need an innermost dimension that is a multiple of four
 * (after dimensions that no operation tells apart are merged); the halves need that or a device with 16-bit storage. */
VKG_API vkg_tensor *vkg_cast(vkg_graph *graph, vkg_tensor *a, vkg_dtype dtype);

/* --- shape --- */
/* Repeats along dimensions of 1, and along new leading ones, up to `shape`. */
VKG_API vkg_tensor *vkg_broadcast(vkg_graph *graph, vkg_tensor *a, vkg_shape shape);
/* The same elements in the same order under another shape of equal size; costs nothing. */
VKG_API vkg_tensor *vkg_reshape(vkg_graph *graph, vkg_tensor *a, vkg_shape shape);
/* The same value, with no gradient through it; costs nothing. */
VKG_API vkg_tensor *vkg_detach(vkg_graph *graph, vkg_tensor *a);

/* Dimension i of the result is a's dimension axes[i]; axes names each once. */
VKG_API vkg_tensor *vkg_permute(vkg_graph *graph, vkg_tensor *a, const uint32_t *axes);
VKG_API vkg_tensor *vkg_transpose(vkg_graph *graph, vkg_tensor *a, uint32_t axis0, uint32_t axis1);
/* Elements start, start + step, … along one axis, `length` of them. */
VKG_API vkg_tensor *vkg_slice(vkg_graph *graph, vkg_tensor *a, uint32_t axis, uint32_t start, uint32_t length,
                              uint32_t step);
/* The reverse of a slice with a step: element i · spacing is a's element i, those between are 0. */
VKG_API vkg_tensor *vkg_spread(vkg_graph *graph, vkg_tensor *a, uint32_t axis, uint32_t spacing);
/* One behind the other along an axis in which alone they may differ; along a new axis; into equal parts. */
VKG_API vkg_tensor *vkg_concat(vkg_graph *graph, vkg_tensor *const *tensors, uint32_t count, uint32_t axis);
VKG_API vkg_tensor *vkg_stack(vkg_graph *graph, vkg_tensor *const *tensors, uint32_t count, uint32_t axis);
VKG_API void vkg_split(vkg_graph *graph, vkg_tensor *a, uint32_t axis, uint32_t parts, vkg_tensor **results);
/* Backwards along every axis of a set of bits. */
VKG_API vkg_tensor *vkg_flip(vkg_graph *graph, vkg_tensor *a, uint32_t axes);
/* Element i goes to i + shift, and round the end. */
VKG_API vkg_tensor *vkg_roll(vkg_graph *graph, vkg_tensor *a, uint32_t axis, int32_t shift);
/* What lies beyond the ends: `value`, or zero. */
typedef enum vkg_pad_mode { VKG_PAD_CONSTANT, VKG_PAD_REFLECT, VKG_PAD_REPLICATE, VKG_PAD_CIRCULAR } vkg_pad_mode;
/* `low` elements in front and `high` behind along one axis; negative numbers cut off. */
VKG_API vkg_tensor *vkg_pad(vkg_graph *graph, vkg_tensor *a, uint32_t axis, int32_t low, int32_t high,
                            vkg_pad_mode mode, float value);

/* --- reductions: `axes` is a set of bits, bit i for dimension i; VKG_ALL_AXES for all --- */
#define VKG_ALL_AXES UINT32_MAX
/* keep: reduced dimensions stay as 1; otherwise they vanish. */
VKG_API vkg_tensor *vkg_sum(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep);
VKG_API vkg_tensor *vkg_mean(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep);
/* Equal greatest (least) elements share the gradient equally, as PyTorch's amax has it. */
VKG_API vkg_tensor *vkg_max(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep);
VKG_API vkg_tensor *vkg_min(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep);
/* Σ (a − mean)²/(n − correction) */
VKG_API vkg_tensor *vkg_var(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep, uint32_t correction);
/* int32: where the greatest element lies, the first of equal ones. */
VKG_API vkg_tensor *vkg_argmax(vkg_graph *graph, vkg_tensor *a, uint32_t axis, bool keep);
/* eᵃ/Σeᵃ along one axis, its logarithm, and log Σeᵃ over a set of axes; none overflows. */
VKG_API vkg_tensor *vkg_softmax(vkg_graph *graph, vkg_tensor *a, uint32_t axis);
VKG_API vkg_tensor *vkg_log_softmax(vkg_graph *graph, vkg_tensor *a, uint32_t axis);
VKG_API vkg_tensor *vkg_logsumexp(vkg_graph *graph, vkg_tensor *a, uint32_t axes, bool keep);
/* Sums `a` down to `shape`, the reverse of a broadcast from `shape`. */
VKG_API vkg_tensor *vkg_sum_to(vkg_graph *graph, vkg_tensor *a, vkg_shape shape);

/* --- products --- */
/* a [...,M,K] · b [...,K,N] → [...,M,N] for every matrix of the leading dimensions, which are equal, or which one of
 * the two does not have: it is then the same for all. transpose_a: a is [...,K,M]; transpose_b: b is [...,N,K]. */
VKG_API vkg_tensor *vkg_matmul(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, bool transpose_a, bool transpose_b);

/* Stride, padding and dilation of a convolution, one entry a spatial dimension in the order of the shape; those of
 * dimensions that are not there are not read. A zero stride or dilation means 1. Padding is of zeros, the same on both
 * sides. groups: channels are parted into so many groups of equal size, one behind the other, and each group of
 * outputs sees its own group of inputs alone; as many groups as channels make a depthwise convolution. 0 means 1. */
typedef struct vkg_conv_geometry {
    uint32_t stride[3], padding[3], dilation[3];
    uint32_t groups;
} vkg_conv_geometry;

/* It is the field's convolution, that is, cross-correlation, of sequences, images or volumes:
 *   x [N,L,Ci],     weight [k,Ci/groups,Co]        → [N,OL,Co]
 *   x [N,H,W,Ci],   weight [kh,kw,Ci/groups,Co]    → [N,OH,OW,Co]
 *   x [N,D,H,W,Ci], weight [kd,kh,kw,Ci/groups,Co] → [N,OD,OH,OW,Co]
 * with OH = (H + 2·padding − dilation·(kh−1) − 1)/stride + 1, and OL, OD, OW alike. Of volumes a copy of x is made that
 * is kd·OD/D times as large. */
VKG_API vkg_tensor *vkg_convolution(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_conv_geometry geometry);
/* The gradient of that with respect to x, whose spatial dimensions are `size`: y [N,OH,OW,Co],
 * weight [kh,kw,Ci/groups,Co] → [N,size…,Ci]. It is also the transposed convolution from Co to Ci channels. */
VKG_API vkg_tensor *vkg_convolution_input_gradient(vkg_graph *graph, vkg_tensor *y, vkg_tensor *weight,
                                                   vkg_conv_geometry geometry, const uint32_t *size);
/* The gradient with respect to the weight, whose spatial dimensions are `kernel`: x, y → [kernel…,Ci/groups,Co]. */
VKG_API vkg_tensor *vkg_convolution_weight_gradient(vkg_graph *graph, vkg_tensor *x, vkg_tensor *y,
                                                    vkg_conv_geometry geometry, const uint32_t *kernel);

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
