/* Index arithmetic of fused kernels, pure: which dimensions a kernel needs to tell apart. */
#ifndef VKG_KERNELS_FUSED_SPACE_H
#define VKG_KERNELS_FUSED_SPACE_H

#include "kernels/fused.h"

/* A tensor that is loaded. */
struct fused_leaf {
    const vkg_tensor *tensor; /* as it is read: its shape counts, not its memory's */
    uint32_t varies;          /* bits of fused_space_dims: the leaf has that dimension (the others it repeats over) */
    bool vector;              /* loads are vec4 */
};

/* The space with dimensions of 1 dropped, and neighbours merged wherever no leaf and no sum tells them apart. */
struct fused_dims {
    uint32_t count;
    uint32_t size[VKG_MAX_RANK];
    uint32_t reduced_first, reduced_count; /* the run of summed dimensions among them */
    uint32_t width;                        /* elements an invocation handles together: 4 or 1 */
};

/* Fills dims and each leaf's `varies` and `vector`. */
void fused_collapse(const vkg_shape *space, uint32_t axes, struct fused_leaf *leaves, uint32_t leaf_count,
                    struct fused_dims *dims);

/* Product of size[first … first+count−1]. */
uint64_t fused_extent(const struct fused_dims *dims, uint32_t first, uint32_t count);

#endif
