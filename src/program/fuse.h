/* Which nodes run, which are computed inside others, and in what order: the graph as a list of units. */
#ifndef VKG_PROGRAM_FUSE_H
#define VKG_PROGRAM_FUSE_H

#include "kernels/fused.h"

struct unit {
    const vkg_tensor *node;    /* a node with a lowering of its own; NULL for a fused kernel */
    struct fused_kernel fused;
};

struct fusion {
    bool *live, *inlined; /* a flag a tensor id */
    struct unit *units;
    size_t unit_count;
};

/* Pure: reads the graph only. max_bindings: what one kernel can bind on the device. */
bool fusion_create(const vkg_graph *graph, uint32_t max_bindings, struct fusion *fusion);
void fusion_free(struct fusion *fusion);

#endif
