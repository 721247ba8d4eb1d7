/* What the operations that move elements about share with each other. */
#ifndef VKG_OPS_RESAMPLE_H
#define VKG_OPS_RESAMPLE_H

#include "graph/graph.h"

/* A tensor seen along one axis: [outer][size][inner]. */
struct extents {
    uint64_t outer, size, inner;
};
struct extents extents_around(const vkg_shape *shape, uint32_t axis);

/* False, and an error where `a` is not poisoned already, if there is no such axis. */
bool axis_is_there(vkg_graph *graph, const char *call, const vkg_tensor *a, uint32_t axis);

#endif
