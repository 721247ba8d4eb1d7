/* What the operations that move elements about share with each other. */
#ifndef VKG_OPS_RESAMPLE_H
#define VKG_OPS_RESAMPLE_H

#include "graph/graph.h"

/* A tensor seen along one axis: [outer][size][inner]. */
struct extents {
    uint64_t outer, size, inner;
};
struct extents extents_around(const vkg_shape *shape, uint32_t axis);

#endif
