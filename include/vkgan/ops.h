/* vkgan: operations. Every one has a gradient made of operations, so that gradients can be differentiated again.
 * Results are float32, unless it says otherwise. */
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
VKG_API vkg_tensor *vkg_log_sigmoid(vkg_graph *graph, vkg_tensor *a); /* log(1/(1 + e⁻ᵃ)), stable for any a */
VKG_API vkg_tensor *vkg_softplus(vkg_graph *graph, vkg_tensor *a); /* log(1 + eᵃ), stable for any a */
VKG_API vkg_tensor *vkg_pow(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b); /* aᵇ; NaN for a < 0 unless b is whole */
VKG_API vkg_tensor *vkg_log1p(vkg_graph *graph, vkg_tensor *a); /* log(1 + a), exact near 0 */
VKG_API vkg_tensor *vkg_sin(vkg_graph *graph, vkg_tensor *a); /* for |a| up to 10⁵; beyond, digits are lost; cos alike */
VKG_API vkg_tensor *vkg_cos(vkg_graph *graph, vkg_tensor *a);
VKG_API vkg_tensor *vkg_erf(vkg_graph *graph, vkg_tensor *a);  /* the error function */
VKG_API vkg_tensor *vkg_erfinv(vkg_graph *graph, vkg_tensor *a); /* its inverse, for −1 < a < 1 */
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
 * (after dimensions that no operation tells apart are merged). */
VKG_API vkg_tensor *vkg_cast(vkg_graph *graph, vkg_tensor *a, vkg_dtype dtype);

/* --- shape: int32 and uint32 stay what they are (integers exactly up to 2²⁴); smaller types become float32, also where nothing moves, but
 * for reshape and detach --- */
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
/* One behind the other along an axis in which alone they may differ (beside their types: of several it is float32); along a new axis; into
 * equal parts. */
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
/* int32: where the greatest element lies, the first of equal ones; a NaN is greater than all numbers. Errors: an axis of more than
 * 2²⁴ elements (places are computed in float32). */
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

/* (x − mean)/√(var + epsilon) with statistics over a set of axes (var: biased). */
VKG_API vkg_tensor *vkg_normalize(vkg_graph *graph, vkg_tensor *x, uint32_t axes, float epsilon);
/* The following are that, times weight plus bias; both are broadcast to x, and NULL leaves them out.
 * Layer: over the given axes, Ba et al. 2016. Group: x [N,…,C], over all but the samples, in groups of channels that lie
 * side by side, Wu and He 2018. Instance: x [N,…,C], over all but samples and channels, Ulyanov et al. 2016. */
VKG_API vkg_tensor *vkg_layer_normalization(vkg_graph *graph, vkg_tensor *x, uint32_t axes, vkg_tensor *weight,
                                            vkg_tensor *bias, float epsilon);
VKG_API vkg_tensor *vkg_group_normalization(vkg_graph *graph, vkg_tensor *x, uint32_t groups, vkg_tensor *weight,
                                            vkg_tensor *bias, float epsilon);
VKG_API vkg_tensor *vkg_instance_normalization(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_tensor *bias,
                                               float epsilon);
/* Instance normalisation with the scale and bias of each sample, [N,C]. Huang and Belongie 2017. */
VKG_API vkg_tensor *vkg_adain(vkg_graph *graph, vkg_tensor *x, vkg_tensor *scale, vkg_tensor *bias, float epsilon);
/* x/√(mean over the last axis of x² + epsilon). Karras et al. 2018. */
VKG_API vkg_tensor *vkg_pixel_normalization(vkg_graph *graph, vkg_tensor *x, float epsilon);
/* Convolution whose weight is multiplied, for each sample, by style [N,Ci] along the input channels, and with
 * `demodulate` divided by the norm √(Σ + 1e-8) of what results. Karras et al. 2020, section 2.2. */
VKG_API vkg_tensor *vkg_modulated_convolution(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_tensor *style,
                                              vkg_conv_geometry geometry, bool demodulate);
/* x [N,H,W,C] with `channels` more channels: the standard deviation over groups of `group` samples, averaged over
 * pixels and over C/channels channels each. Karras et al. 2018, section 3. group divides N, channels divides C. */
VKG_API vkg_tensor *vkg_minibatch_stddev(vkg_graph *graph, vkg_tensor *x, uint32_t group, uint32_t channels);

/* --- attention --- */
typedef struct vkg_attention_desc {
    vkg_tensor *mask;        /* added to the scores as float32, broadcast to [B…,L,S]; no gradient passes; NULL: none */
    float scale;             /* of the scores; 0 means 1/√E */
    uint32_t block_elements; /* scores that lie in memory at a time; 0: none where a kernel does without, else 2²⁴, which is 64 MiB */
} vkg_attention_desc;
/* softmax(q·kᵀ·scale + mask)·v with q [B…,L,E], k [B…,S,E], v [B…,S,F] → [B…,L,F]; `desc` may be NULL. Vaswani et al. 2017.
 * Products read all three in the type of q, or where that is float32 in the graph's precision; the result is float32.
 * On graphics cards a kernel computes it, and one each gradient, without any scores in memory (Dao et al. 2022, "FlashAttention"),
 * in mixed precision where the card multiplies matrices; but not for heads of more than 128 whose tiles, of 64 columns, would more than
 * double the products. Elsewhere queries are handled in blocks, and the backward pass computes the scores again, so that both passes need
 * memory for a few blocks of them only. A gradient of the gradient keeps the scores of the backward pass. A query whose mask is −∞ for
 * all keys gets NaN. */
VKG_API vkg_tensor *vkg_scaled_dot_product_attention(vkg_graph *graph, vkg_tensor *q, vkg_tensor *k, vkg_tensor *v,
                                                     const vkg_attention_desc *desc);

/* --- random: fresh at every run, like vkg_random_normal and vkg_random_uniform (vkgan/graph.h) --- */
/* Standard normal numbers that lie in [low, high]. */
VKG_API vkg_tensor *vkg_random_truncated_normal(vkg_graph *graph, vkg_shape shape, float low, float high);
/* 1 with probability p, else 0. */
VKG_API vkg_tensor *vkg_random_bernoulli(vkg_graph *graph, vkg_shape shape, float p);
/* a with each element zeroed with probability p, the others divided by 1 − p. Srivastava et al. 2014. */
VKG_API vkg_tensor *vkg_dropout(vkg_graph *graph, vkg_tensor *a, float p);
/* 0 … n − 1 in random order, int32 [n]; n² comparisons, so for batches and the like: n ≤ 32768. */
VKG_API vkg_tensor *vkg_random_permutation(vkg_graph *graph, uint32_t n);

/* --- losses: scalars, means over all elements --- */
/* Binary cross entropy of logits with the constant target `target` in [0, 1]:
 * mean(softplus(x) − target·x), stable for any x. And with a target for each of them. */
VKG_API vkg_tensor *vkg_bce_with_logits(vkg_graph *graph, vkg_tensor *logits, float target);
VKG_API vkg_tensor *vkg_bce_with_logits_to(vkg_graph *graph, vkg_tensor *logits, vkg_tensor *target);
/* mean(relu(1 − x)) for real and mean(relu(1 + x)) for generated samples. Lim and Ye 2017. */
VKG_API vkg_tensor *vkg_hinge_loss_real(vkg_graph *graph, vkg_tensor *logits);
VKG_API vkg_tensor *vkg_hinge_loss_fake(vkg_graph *graph, vkg_tensor *logits);
/* mean(fake) − mean(real), the critic's loss. Arjovsky et al. 2017. */
VKG_API vkg_tensor *vkg_wasserstein_loss(vkg_graph *graph, vkg_tensor *real, vkg_tensor *fake);
/* −mean(log_softmax(logits)[label]); logits [N,C], labels [N] of int32 (or whole float32 numbers); a label that is no
 * class counts as 0. */
VKG_API vkg_tensor *vkg_cross_entropy(vkg_graph *graph, vkg_tensor *logits, vkg_tensor *labels);
VKG_API vkg_tensor *vkg_mse_loss(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b); /* (a − b)² */
VKG_API vkg_tensor *vkg_l1_loss(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b);  /* |a − b| */
/* |d| < beta ? d²/(2·beta) : |d| − beta/2, d = a − b. Girshick 2015. */
VKG_API vkg_tensor *vkg_smooth_l1_loss(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, float beta);
/* The divergence of N(mean, exp(log_variance)) from N(0, 1), summed over the last axis and averaged over the others:
 * Σ (e^lv + mean² − 1 − lv)/2. Kingma and Welling 2014, appendix B. */
VKG_API vkg_tensor *vkg_gaussian_kl(vkg_graph *graph, vkg_tensor *mean, vkg_tensor *log_variance);
/* Not a scalar: a·b/(max(|a|, epsilon)·max(|b|, epsilon)) along one axis, which vanishes. */
VKG_API vkg_tensor *vkg_cosine_similarity(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, uint32_t axis, float epsilon);
/* x [N,H,W,C]: mean of |differences| of neighbours one below the other, plus that of neighbours side by side. */
VKG_API vkg_tensor *vkg_total_variation(vkg_graph *graph, vkg_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
