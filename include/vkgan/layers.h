/* vkgan: layers, that is, operations with parameters of their own, named as PyTorch names them.
 * `.name` is required: a layer called "main.0" owns "main.0.weight" and so on, below the graph's scope. */
#ifndef VKGAN_LAYERS_H
#define VKGAN_LAYERS_H

#include <math.h>

#include "vkgan/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- how weights start, by fan: fan_in is the number of inputs that one output sums over (kernel area times input
 * channels), fan_out the number of outputs that one input reaches. gain: 1; √2 for relu; √(2/(1 + slope²)) for
 * leaky_relu; 5/3 for tanh --- */

/* Glorot and Bengio 2010: uniform in ±gain·√(6/(fan_in + fan_out)). */
static inline vkg_init vkg_init_xavier_uniform(float gain, uint32_t fan_in, uint32_t fan_out)
{
    float bound = gain * sqrtf(6.0f / ((float)fan_in + (float)fan_out));
    vkg_init init = {VKG_INIT_UNIFORM, -bound, bound};
    return init;
}
/* The same variance: N(0, gain²·2/(fan_in + fan_out)). */
static inline vkg_init vkg_init_xavier_normal(float gain, uint32_t fan_in, uint32_t fan_out)
{
    vkg_init init = {VKG_INIT_NORMAL, 0, gain * sqrtf(2.0f / ((float)fan_in + (float)fan_out))};
    return init;
}
/* He et al. 2015: uniform in ±gain·√(3/fan), fan being fan_in (keeps the size of values) or fan_out (of gradients). */
static inline vkg_init vkg_init_kaiming_uniform(float gain, uint32_t fan)
{
    float bound = gain * sqrtf(3.0f / (float)fan);
    vkg_init init = {VKG_INIT_UNIFORM, -bound, bound};
    return init;
}
/* The same variance: N(0, gain²/fan). */
static inline vkg_init vkg_init_kaiming_normal(float gain, uint32_t fan)
{
    vkg_init init = {VKG_INIT_NORMAL, 0, gain / sqrtf((float)fan)};
    return init;
}

/* What becomes of a weight before it is used. */
typedef enum vkg_weight_form {
    VKG_WEIGHT_PLAIN,
    /* Divided by its greatest singular value, see vkg_spectral_norm: parameter "weight_orig", buffers "weight_u" and
     * "weight_v". With `evaluation` no power iteration is made. */
    VKG_WEIGHT_SPECTRAL,
    /* The equalised learning rate of Karras et al. 2018, section 4.1: the parameter starts from N(0, 1)/m and is multiplied
     * by m/√fan_in, the bias by m, where m is lr_multiplier. */
    VKG_WEIGHT_EQUALIZED,
} vkg_weight_form;
typedef struct vkg_weight_desc {
    vkg_weight_form form;
    float lr_multiplier;  /* VKG_WEIGHT_EQUALIZED; 0 means 1 */
    bool evaluation;      /* VKG_WEIGHT_SPECTRAL */
    const vkg_init *init; /* another start than a normal one; read at the call; not with VKG_WEIGHT_EQUALIZED */
} vkg_weight_desc;

/* The same numbers in every spatial dimension. init_std: standard deviation of the weight's normal start; 0 means 0.02
 * (Radford 2016). */
typedef struct vkg_conv_desc {
    const char *name;
    uint32_t out;            /* output channels, required */
    uint32_t kernel;         /* required */
    uint32_t stride;         /* 0 means 1 */
    uint32_t pad;            /* zeros on every side */
    uint32_t output_padding; /* transposed only: rows and columns added at the far end; < stride or < dilation */
    bool bias;
    float init_std;
    uint32_t dilation; /* 0 means 1 */
    uint32_t groups;   /* 0 means 1: see vkg_conv_geometry; divides the channels of input and output */
    vkg_weight_desc weight;
} vkg_conv_desc;

/* x [N,L,C], [N,H,W,C] or [N,D,H,W,C] → [N,…,out]; H' = (H + 2·pad − dilation·(kernel − 1) − 1)/stride + 1. Parameter
 * "weight" [k…,C/groups,out], saved as PyTorch's [out,C/groups,k…]; "bias" [out] from zeros. */
VKG_API vkg_tensor *vkg_conv1d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);
VKG_API vkg_tensor *vkg_conv2d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);
VKG_API vkg_tensor *vkg_conv3d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);
/* H' = (H − 1)·stride − 2·pad + dilation·(kernel − 1) + 1 + output_padding. "weight" [k…,out/groups,C], saved as
 * PyTorch's [C,out/groups,k…]: along its last axis lie the input channels, group after group, and each makes the
 * out/groups outputs of its group; output channel g·out/groups + j belongs to group g. */
VKG_API vkg_tensor *vkg_conv_transpose1d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);
VKG_API vkg_tensor *vkg_conv_transpose2d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);
VKG_API vkg_tensor *vkg_conv_transpose3d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);

typedef struct vkg_linear_desc {
    const char *name;
    uint32_t out;
    bool bias;
    float init_std; /* 0 means 0.02 */
    vkg_weight_desc weight;
    float bias_init; /* what every bias starts from */
} vkg_linear_desc;
/* x [N,…,C] → [N,…,out]. "weight" [C,out], saved as PyTorch's [out,C]; "bias" [out]. */
VKG_API vkg_tensor *vkg_linear(vkg_graph *graph, vkg_tensor *x, const vkg_linear_desc *desc);

typedef struct vkg_modulated_conv_desc {
    const char *name;
    uint32_t out;    /* output channels, required */
    uint32_t kernel; /* odd, required; zeros are padded so that the size stays */
    bool upsample;   /* instead: a transposed convolution of stride 2 without padding, to sides of 2·H + kernel − 2; a low-pass
                      * filter is to follow (vkg_upfirdn2d) */
    bool plain;      /* no demodulation */
} vkg_modulated_conv_desc;
/* vkg_modulated_convolution of x [N,H,W,C], each sample by a style that a linear layer makes of its w [N,L]. StyleGAN2, Karras
 * et al. 2020. Parameters, as in its authors' PyTorch program: "weight" [out,C,k,k] in files, from N(0, 1), used times
 * 1/√(C·k²); "affine.weight" [C,L] in files, equalised, and "affine.bias" [C] from ones. */
VKG_API vkg_tensor *vkg_modulated_conv2d(vkg_graph *graph, vkg_tensor *x, vkg_tensor *w, const vkg_modulated_conv_desc *desc);

typedef struct vkg_batch_norm_desc {
    const char *name;
    float epsilon;   /* 0 means 1e-5 */
    float momentum;  /* share of the new statistics in the running ones; 0 means 0.1 */
    float init_std;  /* the weight starts from N(1, init_std); 0 means 0.02; negative means all ones */
    bool evaluation; /* normalise with the running statistics, and leave them alone */
} vkg_batch_norm_desc;
/* x [..., C]. Parameters "weight", "bias" [C]; buffers "running_mean", "running_var" (unbiased) [C]. */
VKG_API vkg_tensor *vkg_batch_norm(vkg_graph *graph, vkg_tensor *x, const vkg_batch_norm_desc *desc);
/* The same without weight and bias of its own: each sample brings its scale and bias, [N,C], as of a class or of a
 * latent. de Vries et al. 2017. init_std is not used. */
VKG_API vkg_tensor *vkg_conditional_batch_norm(vkg_graph *graph, vkg_tensor *x, vkg_tensor *scale, vkg_tensor *bias,
                                               const vkg_batch_norm_desc *desc);

typedef struct vkg_norm_desc {
    const char *name;
    float epsilon;      /* 0 means 1e-5 */
    uint32_t groups;    /* group_norm: required, divides the channels */
    bool plain;         /* no weight and bias */
    bool channels_only; /* layer_norm: over the last dimension alone, as in transformers */
} vkg_norm_desc;
/* x [N,…,C], each sample on its own. Parameters "weight" from ones and "bias" from zeros: of [C]; of layer_norm of
 * [H,W,C], that is all dimensions but the first, saved as PyTorch's [C,H,W]. (PyTorch's InstanceNorm has none unless
 * affine=True: that is `plain` here.) */
VKG_API vkg_tensor *vkg_group_norm(vkg_graph *graph, vkg_tensor *x, const vkg_norm_desc *desc);
VKG_API vkg_tensor *vkg_instance_norm(vkg_graph *graph, vkg_tensor *x, const vkg_norm_desc *desc);
VKG_API vkg_tensor *vkg_layer_norm(vkg_graph *graph, vkg_tensor *x, const vkg_norm_desc *desc);

/* vkg_prelu with the parameter "weight" [C], from 0.25. */
VKG_API vkg_tensor *vkg_prelu_layer(vkg_graph *graph, vkg_tensor *x, const char *name);

typedef struct vkg_embedding_desc {
    const char *name;
    uint32_t classes, out; /* required */
    float init_std;        /* 0 means 1, as PyTorch starts */
} vkg_embedding_desc;
/* vkg_embedding (vkgan/resample.h) with the parameter "weight" [classes,out]: index of int32, any shape → [shape…,out]. */
VKG_API vkg_tensor *vkg_embedding_layer(vkg_graph *graph, vkg_tensor *index, const vkg_embedding_desc *desc);

/* --- of weights --- */

/* Spectral normalisation (Miyato et al. 2018), as torch.nn.utils.spectral_norm has it: weight/σ, where σ = uᵀWv estimates
 * the greatest singular value of W, which is the weight as a matrix [out, rest] with `out_axis` for rows (the last axis
 * of a convolution's or a linear layer's weight; axis 2 of a transposed convolution's). In training each call does one
 * power iteration, v = Wᵀu/‖Wᵀu‖ and u = Wv/‖Wv‖, and keeps both; two calls in one graph do two. In evaluation u and v
 * stay. No gradient passes through u and v. `epsilon` bounds the norms from below; 0 means 1e-12.
 * Buffers of the layer `name`: "weight_u" [out] and "weight_v" [rest], both random unit vectors at first. v is kept in
 * PyTorch's order of elements, so state files exchange both; there the weight itself is called "weight_orig". */
VKG_API vkg_tensor *vkg_spectral_norm(vkg_graph *graph, const char *name, vkg_tensor *weight, uint32_t out_axis,
                                      float epsilon, bool evaluation);

#ifdef __cplusplus
}
#endif
#endif
