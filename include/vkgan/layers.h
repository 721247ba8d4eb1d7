/* vkgan: layers, that is, operations with parameters of their own, named as PyTorch names them.
 * `.name` is required: a layer called "main.0" owns "main.0.weight" and so on, below the graph's scope. */
#ifndef VKGAN_LAYERS_H
#define VKGAN_LAYERS_H

#include "vkgan/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

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
} vkg_conv_desc;

/* x [N,L,C], [N,H,W,C] or [N,D,H,W,C] → [N,…,out]; H' = (H + 2·pad − dilation·(kernel − 1) − 1)/stride + 1. Parameter
 * "weight" [k…,C/groups,out], saved as PyTorch's [out,C/groups,k…]; "bias" [out] from zeros. */
VKG_API vkg_tensor *vkg_conv1d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);
VKG_API vkg_tensor *vkg_conv2d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);
VKG_API vkg_tensor *vkg_conv3d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);
/* H' = (H − 1)·stride − 2·pad + dilation·(kernel − 1) + 1 + output_padding. "weight" [k…,out/groups,C], saved as PyTorch's
 * [C,out/groups,k…]: along its last axis lie the input channels, group after group, and each makes the out/groups outputs
 * of its group; output channel g·out/groups + j belongs to group g. */
VKG_API vkg_tensor *vkg_conv_transpose1d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);
VKG_API vkg_tensor *vkg_conv_transpose2d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);
VKG_API vkg_tensor *vkg_conv_transpose3d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc);

typedef struct vkg_linear_desc {
    const char *name;
    uint32_t out;
    bool bias;
    float init_std; /* 0 means 0.02 */
} vkg_linear_desc;
/* x [N,C] → [N,out]. "weight" [C,out], saved as PyTorch's [out,C]; "bias" [out]. */
VKG_API vkg_tensor *vkg_linear(vkg_graph *graph, vkg_tensor *x, const vkg_linear_desc *desc);

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

#ifdef __cplusplus
}
#endif
#endif
