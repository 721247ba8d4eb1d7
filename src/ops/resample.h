/* What the operations that move elements about share with each other. */
#ifndef VKG_OPS_RESAMPLE_H
#define VKG_OPS_RESAMPLE_H

#include "graph/graph.h"
#include "vkgan/ops.h"
#include "vkgan/resample.h"

/* A tensor seen along one axis: [outer][size][inner]. */
struct extents {
    uint64_t outer, size, inner;
};
struct extents extents_around(const vkg_shape *shape, uint32_t axis);

/* A linear map that is written row by row: begin, then for every row its terms and end_row, then apply, which
 * frees it. */
struct map_builder {
    vkg_graph *graph;
    uint32_t *start, *index;
    float *weight;
    uint32_t rows, terms;
};
/* False where memory is out, or where there would be no rows, or more rows or terms than 2^31: map_failed says
 * so. */
bool map_begin(struct map_builder *m, vkg_graph *graph, uint32_t out, uint64_t most_terms);
void map_add(struct map_builder *m, uint32_t index, double weight);
void map_end_row(struct map_builder *m);
vkg_tensor *map_apply(struct map_builder *m, vkg_tensor *a, uint32_t axis);
void map_free(struct map_builder *m);
vkg_tensor *map_failed(vkg_graph *graph, const char *call, const vkg_tensor *a);

/* False, and an error where x is not poisoned already, if it is not [N, so many spatial dimensions, C]. */
bool has_spatial_dimensions(vkg_graph *graph, const char *call, const vkg_tensor *x, uint32_t least,
                            uint32_t most);

/* vkg_pad with what lies in the tensor itself; the axis is valid. */
vkg_tensor *pad_with_own(vkg_graph *graph, vkg_tensor *a, uint32_t axis, int32_t low, int32_t high,
                         vkg_pad_mode mode);

#endif
