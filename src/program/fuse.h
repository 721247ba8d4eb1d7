/* Which nodes run, which are computed inside others, and in what order: the graph as a list of units. */
#ifndef VKG_PROGRAM_FUSE_H
#define VKG_PROGRAM_FUSE_H

#include "kernels/epilogue.h"
#include "kernels/fused.h"

struct unit {
    const vkg_tensor *node;    /* a node with a lowering of its own; NULL for a fused kernel */
    struct fused_kernel fused;
};

struct fusion {
    bool *live, *inlined; /* a flag a tensor id */
    bool *finished;       /* computed by a convolution's kernel, as its epilogue */
    struct epilogue *epilogues; /* one a tensor id, of convolutions */
    vkg_dtype *memory;    /* one a tensor id: in which type it lies in memory */
    struct unit *units;
    size_t unit_count;
};

/* Of the device. */
struct fusion_limits {
    uint32_t bindings;              /* that one kernel can have */
    uint64_t elements_of_epilogues; /* that a tensor read by one has at most */
    bool repeats_small; /* computing a small tensor once more for every element of a large one costs less than a dispatch */
};

/* Pure: reads the graph only. false: out of memory. */
bool fusion_create(const vkg_graph *graph, const struct fusion_limits *limits, struct fusion *fusion);
void fusion_free(struct fusion *fusion);

#endif
