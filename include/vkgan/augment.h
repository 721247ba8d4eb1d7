/* vkgan: augmentation of what a discriminator sees. Real and generated images alike are changed at random before they are
 * judged, so that few images last longer; the gradient passes through the change, to any order. Images are [N,H,W,C] in
 * [−1, 1], and every image is changed by numbers of its own. */
#ifndef VKGAN_AUGMENT_H
#define VKGAN_AUGMENT_H

#include "vkgan/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sets of changes are sums of these; 0 means all that a function knows. */
enum {
    VKG_CHANGE_COLOR = 1,
    VKG_CHANGE_TRANSLATION = 2, /* vkg_diff_augment */
    VKG_CHANGE_CUTOUT = 4,      /* vkg_diff_augment */
    VKG_CHANGE_BLIT = 8,        /* vkg_ada_augment: pixels move, and stay what they are (of images whose sides are both even or both odd) */
    VKG_CHANGE_GEOMETRY = 16,   /* vkg_ada_augment: pixels are interpolated */
};

/* DiffAugment, Zhao et al. 2020. Color: brightness, x + b with b in ±½; saturation, distances from the channels' mean
 * times 0 to 2 (of more than one channel); contrast, distances from the image's mean times ½ to 1½. Translation: by whole
 * pixels, up to ⅛ of the size each way, zeros come in. Cutout: a rectangle of half of either size becomes zeros.
 * uniform: [N,7] in (0, 1], for brightness, saturation, contrast, rows and columns of the translation, rows and columns of
 * the cutout; NULL: fresh ones. Errors: a set with changes that it does not know. */
VKG_API vkg_tensor *vkg_diff_augment(vkg_graph *graph, vkg_tensor *images, uint32_t changes, vkg_tensor *uniform);

/* The change of consistency regularisation (Zhang et al. 2020): mirrored with probability ½, then translated as above.
 * uniform: [N,3] in (0, 1], for the mirror, rows, columns; NULL: fresh ones. */
VKG_API vkg_tensor *vkg_mirror_and_shift(vkg_graph *graph, vkg_tensor *images, vkg_tensor *uniform);

/* --- adaptive discriminator augmentation (ADA), Karras et al. 2020 --- */

/* What is random in a call; NULL: fresh. The columns are in the order of the changes below: a number that decides whether
 * (at most p: yes), then, where there are any, the numbers that say how. */
enum { VKG_ADA_UNIFORM = 21, VKG_ADA_NORMAL = 7 };
typedef struct vkg_ada_noise {
    vkg_tensor *uniform; /* [N,VKG_ADA_UNIFORM] in (0, 1] */
    vkg_tensor *normal;  /* [N,VKG_ADA_NORMAL] */
} vkg_ada_noise;

/* Each of these with probability p (a tensor of one element), after appendix B there; n are normal numbers.
 * Blits: mirror (½); rotation by 0 to 3 quarter turns; translation by whole pixels within ±⅛ of the size.
 * Geometry: zoom by 2^(0.2 n); rotation in ±π, with probability 1 − √(1 − p); stretch by 2^(0.2 n) and the reverse across;
 * rotation once more; translation by n/8 of the size.
 * Color: brightness, + 0.2 n; contrast, times 2^(n/2); luma flip, the sign of the grey part (½); hue, a turn within ±π
 * about the grey axis (three channels); saturation, times 2^n (more than one channel).
 * All movements are one affine map of the image, which goes on mirrored beyond its edges, read by bilinear interpolation.
 * Left out: the paper's wavelet filters around that, and its filtering and corruption of images.
 * noise may be NULL. Errors: a set with changes that it does not know, p of more than one element. */
VKG_API vkg_tensor *vkg_ada_augment(vkg_graph *graph, vkg_tensor *images, uint32_t changes, vkg_tensor *p,
                                    const vkg_ada_noise *noise);

/* How p follows the discriminator. Zero means the defaults in brackets, the paper's. */
typedef struct vkg_ada_desc {
    float target;   /* of the mean sign [0.6] */
    uint32_t every; /* calls from one adjustment to the next [4] */
    float images;   /* real images in which p may go from 0 to 1 [500000] */
} vkg_ada_desc;

/* p, [1]: the buffer "NAME.p" of the state, from 0. */
VKG_API vkg_tensor *vkg_ada_probability(vkg_graph *graph, const char *name);
/* Takes note of a batch's logits of real images (or of what else is positive where real images are known as real): every
 * so many calls, p moves by every · N/images, up where the mean of their signs since the last time is above the target,
 * down where it is below, and stays within [0, 1]. Later calls of vkg_ada_probability give the new p. Counts in the buffers
 * "NAME.calls" and "NAME.signs". Returns the mean sign of this batch, a scalar. */
VKG_API vkg_tensor *vkg_ada_adjust(vkg_graph *graph, const char *name, vkg_tensor *logits, const vkg_ada_desc *desc);

/* --- by name --- */

typedef enum vkg_augment_kind { VKG_AUGMENT_NONE, VKG_AUGMENT_DIFF, VKG_AUGMENT_ADA, VKG_AUGMENT_COUNT } vkg_augment_kind;
typedef struct vkg_augment_desc {
    vkg_augment_kind kind;
    uint32_t changes; /* 0: all of the kind */
    vkg_ada_desc ada;
} vkg_augment_desc;
/* "none", "diffaugment", "ada"; NULL for another value. */
VKG_API const char *vkg_augment_name(vkg_augment_kind kind);
/* False, and *kind stays, where no augmentation has this name. */
VKG_API bool vkg_augment_by_name(const char *name, vkg_augment_kind *kind);

/* --- generated images of earlier steps --- */

typedef struct vkg_history_noise {
    vkg_tensor *uniform; /* [N] in (0, 1] */
    vkg_tensor *places;  /* int32 [N], of 0 … capacity − 1, each once at most */
} vkg_history_noise;
/* What a discriminator is shown, so that it does not forget (Shrivastava et al. 2017, section 2.3; CycleGAN: 50 images):
 * the buffer NAME, [capacity,H,W,C], keeps images of earlier calls. While it fills, images are kept and returned as they
 * are; afterwards each is, with probability ½ (uniform at most ½), exchanged for the one at its place. No gradient passes.
 * "NAME.count", [1], says how many there are. noise: NULL: fresh. Errors: a capacity below N. */
VKG_API vkg_tensor *vkg_history(vkg_graph *graph, const char *name, vkg_tensor *images, uint32_t capacity,
                                const vkg_history_noise *noise);

#ifdef __cplusplus
}
#endif
#endif
