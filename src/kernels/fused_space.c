#include "kernels/fused_space.h"

/* Does `shape`, aligned at the last dimension, have dimension `axis` of `space`, rather than repeat over it? */
static bool has_axis(const vkg_shape *shape, const vkg_shape *space, uint32_t axis)
{
    uint32_t lead = space->rank - shape->rank;
    return axis >= lead && shape->dims[axis - lead] != 1;
}

/* What must be equal for two neighbouring dimensions to be one: a bit a leaf, and one for the sum. */
static uint32_t signature(const vkg_shape *space, uint32_t axes, const struct fused_leaf *leaves, uint32_t leaf_count,
                          uint32_t axis)
{
    uint32_t bits = axes >> axis & 1;
    for (uint32_t l = 0; l < leaf_count; l++)
        bits |= (uint32_t)has_axis(&leaves[l].tensor->shape, space, axis) << (l + 1);
    return bits;
}

static void note_reduced(struct fused_dims *dims, bool reduced)
{
    if (!reduced)
        return;
    if (dims->reduced_count++ == 0)
        dims->reduced_first = dims->count - 1;
}

/* Four neighbours together, where the innermost dimension stays (is not summed) and is a multiple of four. */
static uint32_t choose_width(const struct fused_dims *dims)
{
    bool inner_stays = dims->reduced_first + dims->reduced_count < dims->count || dims->reduced_count == 0;
    return dims->count && inner_stays && dims->size[dims->count - 1] % 4 == 0 ? 4 : 1;
}

void fused_collapse(const vkg_shape *space, uint32_t axes, struct fused_leaf *leaves, uint32_t leaf_count,
                    struct fused_dims *dims)
{
    uint32_t previous = 0;
    *dims = (struct fused_dims){.count = 0};
    for (uint32_t l = 0; l < leaf_count; l++)
        leaves[l].varies = 0;
    for (uint32_t axis = 0; axis < space->rank; axis++) {
        if (space->dims[axis] == 1)
            continue;
        uint32_t bits = signature(space, axes, leaves, leaf_count, axis);
        if (dims->count && bits == previous) {
            dims->size[dims->count - 1] *= space->dims[axis];
            continue;
        }
        previous = bits;
        dims->size[dims->count++] = space->dims[axis];
        note_reduced(dims, bits & 1);
        for (uint32_t l = 0; l < leaf_count; l++)
            leaves[l].varies |= (bits >> (l + 1) & 1) << (dims->count - 1);
    }
    if (dims->reduced_count == 0)
        dims->reduced_first = dims->count;
    dims->width = choose_width(dims);
    for (uint32_t l = 0; l < leaf_count; l++)
        leaves[l].vector = dims->width == 4 && leaves[l].varies >> (dims->count - 1) & 1;
}

uint64_t fused_extent(const struct fused_dims *dims, uint32_t first, uint32_t count)
{
    uint64_t extent = 1;
    for (uint32_t i = first; i < first + count; i++)
        extent *= dims->size[i];
    return extent;
}
