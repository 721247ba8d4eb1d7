/* Index arithmetic of fused kernels, pure: which dimensions a kernel needs to tell apart, and where in memory each
 * of its reads lies. */
#ifndef VKG_KERNELS_FUSED_SPACE_H
#define VKG_KERNELS_FUSED_SPACE_H

#include "kernels/fused.h"

/* How one read walks along one dimension k of the space: element offset + k · stride; where it is guarded, element
 * (k · mul + add)/div · stride, which is there only if 0 ≤ k · mul + add < limit and div divides it. */
struct fused_walk {
    int32_t stride; /* 0: the read repeats over this dimension */
    bool guarded;
    int32_t mul, add, div, limit;
};

enum fused_load {
    FUSED_LOAD_ONE,    /* one element, repeated where an invocation handles four */
    FUSED_LOAD_VECTOR, /* four neighbours at once */
    FUSED_LOAD_EACH,   /* four elements, one by one */
};

struct fused_leaf {
    struct fused_read read;
    int32_t offset;
    struct fused_walk walks[VKG_MAX_RANK]; /* by fused_dims */
    enum fused_load load;
};

/* The space with dimensions of 1 dropped, and neighbours merged wherever no read and no sum tells them apart. */
struct fused_dims {
    uint32_t count;
    uint32_t size[VKG_MAX_RANK];
    uint32_t reduced_first, reduced_count; /* the run of summed dimensions among them */
    uint32_t width;                        /* elements an invocation handles together: 4 or 1 */
};

/* Fills dims and each leaf's walks, offset and load. */
void fused_collapse(const vkg_shape *space, uint32_t axes, struct fused_leaf *leaves, uint32_t leaf_count,
                    struct fused_dims *dims);

/* Does the leaf's element depend on one of the dimensions first … first + count − 1? */
bool fused_leaf_varies(const struct fused_leaf *leaf, uint32_t first, uint32_t count);

/* Product of size[first … first+count−1]. */
uint64_t fused_extent(const struct fused_dims *dims, uint32_t first, uint32_t count);

#endif
