/* vkgan: operations that move elements about: linear maps along an axis, resizing and pooling, sampling at
 * computed places, indexing. Tensors are channels last: [N,L,C], [N,H,W,C], [N,D,H,W,C]. Every float32 result
 * has a gradient made of operations; an index has none. Resizing and pooling read every type, and give float32. axis: 0 … rank − 1. */
#ifndef VKGAN_RESAMPLE_H
#define VKGAN_RESAMPLE_H

#include "vkgan/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- linear maps along one axis --- */

/* A sparse matrix by its rows: y[o] = Σ weight[t] · a[index[t]] for t in [start[o], start[o + 1]). start has
 * out + 1 elements, does not decrease and begins with 0. A row may be empty. */
typedef struct vkg_linear_map {
    uint32_t out;
    const uint32_t *start, *index;
    const float *weight;
} vkg_linear_map;
/* Applies the matrix to every line of `a` along `axis`; that dimension of the result is map->out. The tables
 * are copied. Its gradient is the map of the transposed matrix.
 * Errors: an index that `a` does not have, a start that decreases, out of 0. */
VKG_API vkg_tensor *vkg_apply_linear_map(vkg_graph *graph, vkg_tensor *a, uint32_t axis,
                                         const vkg_linear_map *map);
/* y[j] = a[0] + … + a[j] along the axis. */
VKG_API vkg_tensor *vkg_cumsum(vkg_graph *graph, vkg_tensor *a, uint32_t axis);

/* --- resizing --- */

typedef enum vkg_interpolation { VKG_NEAREST, VKG_LINEAR, VKG_CUBIC } vkg_interpolation;
typedef struct vkg_interpolate_desc {
    uint32_t size[3]; /* of the result's spatial dimensions */
    vkg_interpolation mode;
    bool align_corners; /* the centres of the corners' elements stay where they are; not with VKG_NEAREST */
    bool antialias;     /* where it gets smaller the filter is widened; not with VKG_NEAREST */
} vkg_interpolate_desc;
/* x with 1 to 3 spatial dimensions, as torch.nn.functional.interpolate(size=…) with nearest, linear, bilinear,
 * trilinear or bicubic (Keys 1981, a = −0.75, and −0.5 where antialias is set). */
VKG_API vkg_tensor *vkg_interpolate(vkg_graph *graph, vkg_tensor *x, const vkg_interpolate_desc *desc);

/* Zero insertion, a filter and decimation, the same along both spatial dimensions (Karras et al. 2020): each
 * element is followed by up − 1 zeros, pad_low and pad_high zeros are added (or cut off where negative), the
 * result is convolved with the filter, and every down-th element is kept. */
typedef struct vkg_fir_desc {
    const float *filter;
    uint32_t taps;
    uint32_t up, down; /* 0: 1 */
    int32_t pad_low, pad_high;
    float gain; /* of the two dimensions together; 0: 1 */
} vkg_fir_desc;
/* x [N,H,W,C] → [N,OH,OW,C], OH = (H·up + pad_low + pad_high − taps)/down + 1. */
VKG_API vkg_tensor *vkg_upfirdn2d(vkg_graph *graph, vkg_tensor *x, const vkg_fir_desc *desc);

/* [N,H,W,C·f²] → [N,H·f,W·f,C]; channel c·f² + i·f + j goes to row i and column j of its block.
 * Shi et al. 2016. */
VKG_API vkg_tensor *vkg_pixel_shuffle(vkg_graph *graph, vkg_tensor *x, uint32_t factor);
/* Its inverse: [N,H·f,W·f,C] → [N,H,W,C·f²]. */
VKG_API vkg_tensor *vkg_pixel_unshuffle(vkg_graph *graph, vkg_tensor *x, uint32_t factor);

/* --- pooling: 1 to 3 spatial dimensions --- */

typedef struct vkg_pool_desc {
    uint32_t kernel[3];
    uint32_t stride[3];   /* 0: the kernel's size */
    uint32_t padding[3];  /* at both ends; at most half the kernel */
    bool exclude_padding; /* averages: of the elements that are there; otherwise padding counts as zeros */
} vkg_pool_desc;
VKG_API vkg_tensor *vkg_avg_pool(vkg_graph *graph, vkg_tensor *x, const vkg_pool_desc *desc);
/* Padding counts as −∞. Of equal elements the first one gets the gradient.
 * Errors: an axis of more than 2²⁴ elements (places are computed in float32), a kernel of more than 4096. */
VKG_API vkg_tensor *vkg_max_pool(vkg_graph *graph, vkg_tensor *x, const vkg_pool_desc *desc);
/* Averages over windows that share the n elements of an axis out among `size` results: result o is of those
 * from ⌊o·n/size⌋ up to ⌈(o + 1)·n/size⌉. */
VKG_API vkg_tensor *vkg_adaptive_avg_pool(vkg_graph *graph, vkg_tensor *x, const uint32_t *size);

/* --- sampling at computed places --- */

typedef enum vkg_sample_padding { VKG_PADDING_ZEROS, VKG_PADDING_BORDER } vkg_sample_padding;
typedef struct vkg_grid_sample_desc {
    vkg_interpolation mode;     /* VKG_NEAREST (halves go to the even one) or VKG_LINEAR */
    vkg_sample_padding padding; /* outside of x: zeros, or the nearest element */
    bool align_corners; /* −1 and 1 are the centres of the outermost elements; otherwise their outer edges */
} vkg_grid_sample_desc;
/* x [N,H,W,C] at grid [N,OH,OW,2] of places (x, y), or x [N,D,H,W,C] at grid [N,OD,OH,OW,3] of (x, y, z); a
 * place is within [−1, 1] → [N,OH,OW,C] or [N,OD,OH,OW,C]. Differentiable in x and grid.
 * As torch's grid_sample. Errors: more than 2²⁴ spatial elements of x (indices are computed in float32). */
VKG_API vkg_tensor *vkg_grid_sample(vkg_graph *graph, vkg_tensor *x, vkg_tensor *grid,
                                    const vkg_grid_sample_desc *desc);
/* theta [N,2,3], size [OH, OW] → [N,OH,OW,2], or theta [N,3,4], size [OD, OH, OW] → [N,OD,OH,OW,3]: the grid
 * whose place at p is theta·(p, 1) (Jaderberg et al. 2015). */
VKG_API vkg_tensor *vkg_affine_grid(vkg_graph *graph, vkg_tensor *theta, const uint32_t *size,
                                    bool align_corners);

typedef struct vkg_roi_align_desc {
    uint32_t height, width; /* of the result */
    float scale;            /* of boxes to x; 0: 1 */
    uint32_t samples;       /* in each of a bin's two directions; at least 1 */
    bool aligned; /* an element's centre is at half a step; otherwise at 0, and boxes are at least 1 wide */
} vkg_roi_align_desc;
/* x [N,H,W,C], boxes [R,5] of (image, x1, y1, x2, y2) → [R,height,width,C]: averages of points in each bin of
 * each box (He et al. 2017). As torchvision's roi_align with sampling_ratio = samples; boxes have a gradient
 * here too. Errors: more than 2²⁴ elements a channel (indices are computed in float32). */
VKG_API vkg_tensor *vkg_roi_align(vkg_graph *graph, vkg_tensor *x, vkg_tensor *boxes,
                                  const vkg_roi_align_desc *desc);

/* --- indexing: `index` is of int32; one outside of [0, n) reads 0, and adds to nothing --- */

/* y[.., m, ..] = a[.., index[.., m, ..], ..] along the axis. index has as many dimensions as a; those other
 * than the axis are a's, or 1, where the index is the same for all. */
VKG_API vkg_tensor *vkg_gather(vkg_graph *graph, vkg_tensor *a, uint32_t axis, vkg_tensor *index);
/* y is zeros of src's shape, `size` along the axis; y[.., index[.., m, ..], ..] += src[.., m, ..]. index has
 * src's dimensions, or 1 (not along the axis). The same bits at every run and on every device: each sum is made
 * of whole multiples of 2^−(62 − b) times the largest term that it has (2^b: the size of src along the axis),
 * in any order, and then rounded once. */
VKG_API vkg_tensor *vkg_scatter_add(vkg_graph *graph, vkg_tensor *src, uint32_t axis, vkg_tensor *index,
                                    uint32_t size);
/* index [M]: the dimension `axis` of the result is a's at these indices. */
VKG_API vkg_tensor *vkg_index_select(vkg_graph *graph, vkg_tensor *a, uint32_t axis, vkg_tensor *index);
/* weight [V,C], index of any shape → [index's shape, C]. */
VKG_API vkg_tensor *vkg_embedding(vkg_graph *graph, vkg_tensor *weight, vkg_tensor *index);
/* index of any shape → [index's shape, classes] of ones and zeros. */
VKG_API vkg_tensor *vkg_one_hot(vkg_graph *graph, vkg_tensor *index, uint32_t classes);

#ifdef __cplusplus
}
#endif
#endif
