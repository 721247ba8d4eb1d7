/* Which nodes run, which are computed inside others, and in what order: the graph as a list of units. */
#ifndef VKG_PROGRAM_FUSE_H
#define VKG_PROGRAM_FUSE_H

#include "kernels/epilogue.h"
#include "kernels/fused.h"

struct unit {
    const vkg_tensor *node;    /* one with a lowering of its own; NULL for a fused kernel */
    struct fused_kernel fused;
};

struct fusion {
    const vkg_tensor **nodes; /* one a tensor id: the tensor, or the composite whose kernel computes it */
    bool *live, *inlined; /* a flag a tensor id */
    bool *finished;       /* computed by a convolution's kernel, as its epilogue */
    struct epilogue *epilogues; /* one a tensor id, of convolutions */
    vkg_dtype *memory;    /* one a tensor id: in which type it lies in memory */
    struct unit *units;
    size_t unit_count;
};

/* Of the device. */
struct fusion_limits {
    const vkg_device *device;       /* which says what composites its kernels compute */
    uint32_t bindings;              /* that one kernel can have */
    uint64_t elements_of_epilogues; /* that a tensor read by one has at most */
    bool repeats_small; /* computing a small tensor once more for every element of a large one costs less than a dispatch */
};

/* Pure: reads the graph and what is known of the device only. false: out of memory. */
bool fusion_create(const vkg_graph *graph, const struct fusion_limits *limits, struct fusion *fusion);
/* Does a kernel of the device compute the composite, and is trusted to? */
bool fusion_is_one_kernel(const vkg_device *device, const vkg_tensor *node);
void fusion_free(struct fusion *fusion);

#endif
