#include "kernels/fused_space.h"

/* --- walks over the dimensions of the space, before any are merged --- */

/* Row-major strides of a shape. */
static void strides_of(const vkg_shape *shape, int32_t *strides)
{
    int32_t stride = 1;
    for (uint32_t i = shape->rank; i-- > 0;) {
        strides[i] = stride;
        stride *= (int32_t)shape->dims[i];
    }
}

/* A tensor that is read as it is: aligned at the last dimension, dimensions of 1 repeat. */
static void walk_plainly(const struct fused_leaf *leaf, const vkg_shape *space, struct fused_walk *walks)
{
    const vkg_shape *shape = &leaf->read.tensor->shape;
    int32_t strides[VKG_MAX_RANK];
    strides_of(shape, strides);
    for (uint32_t axis = 0; axis < space->rank; axis++) {
        uint32_t lead = space->rank - shape->rank;
        bool has = axis >= lead && shape->dims[axis - lead] != 1;
        walks[axis] = (struct fused_walk){.stride = has ? strides[axis - lead] : 0};
    }
}

/* A tensor that is read through a rearrangement, whose shape is the space. */
static void walk_rearranged(struct fused_leaf *leaf, const vkg_shape *space, struct fused_walk *walks)
{
    const struct rearrangement *r = &leaf->read.through->attributes.rearrangement;
    const vkg_shape *shape = &leaf->read.tensor->shape;
    int32_t strides[VKG_MAX_RANK];
    strides_of(shape, strides);
    for (uint32_t axis = 0; axis < space->rank; axis++) {
        const struct rearranged_axis *a = &r->axes[axis];
        int32_t stride = strides[a->from];
        if (rearranged_axis_is_guarded(a, space->dims[axis], shape->dims[a->from])) {
            walks[axis] = (struct fused_walk){.stride = stride, .guarded = true, .mul = a->mul, .add = a->add, .div = a->div,
                                              .limit = (int32_t)shape->dims[a->from] * a->div};
        } else {
            walks[axis] = (struct fused_walk){.stride = stride * a->mul};
            leaf->offset += stride * a->add;
        }
    }
}

/* --- merging --- */

/* A leaf's walks along the space's own axes, of each leaf. */
typedef struct fused_walk axis_walks[VKG_MAX_RANK];

/* Is dimension `axis` of the space there for some read, or for the size? */
static bool axis_counts(const axis_walks *walks, uint32_t leaf_count, const vkg_shape *space, uint32_t axis)
{
    bool counts = space->dims[axis] != 1;
    for (uint32_t l = 0; l < leaf_count; l++)
        counts |= walks[l][axis].guarded;
    return counts;
}

/* Do all reads walk over the last of dims and over `axis` as over one dimension? */
static bool axis_continues(const axis_walks *walks, const struct fused_leaf *leaves, uint32_t leaf_count,
                           const struct fused_dims *dims, uint32_t axis, uint32_t size)
{
    for (uint32_t l = 0; l < leaf_count; l++) {
        const struct fused_walk *outer = &leaves[l].walks[dims->count - 1], *inner = &walks[l][axis];
        if (outer->guarded || inner->guarded || outer->stride != inner->stride * (int32_t)size)
            return false;
    }
    return true;
}

static void merge(const vkg_shape *space, uint32_t axes, const axis_walks *walks, struct fused_leaf *leaves,
                  uint32_t leaf_count, struct fused_dims *dims)
{
    bool reduced_before = false;
    for (uint32_t axis = 0; axis < space->rank; axis++) {
        uint32_t size = space->dims[axis];
        bool reduced = axes >> axis & 1 || (size == 1 && reduced_before); /* so that what is reduced is one run */
        if (!axis_counts(walks, leaf_count, space, axis))
            continue;
        if (dims->count && reduced == reduced_before &&
            axis_continues(walks, leaves, leaf_count, dims, axis, size)) {
            dims->size[dims->count - 1] *= size;
        } else {
            dims->size[dims->count++] = size;
            if (reduced && dims->reduced_count++ == 0)
                dims->reduced_first = dims->count - 1;
        }
        reduced_before = reduced;
        for (uint32_t l = 0; l < leaf_count; l++)
            leaves[l].walks[dims->count - 1] = walks[l][axis];
    }
    if (dims->reduced_count == 0)
        dims->reduced_first = dims->count;
}

/* --- four at once --- */

/* Four neighbours together, where the innermost dimension stays (is not summed) and is a multiple of four. */
static uint32_t choose_width(const struct fused_dims *dims)
{
    bool inner_stays = dims->reduced_first + dims->reduced_count < dims->count || dims->reduced_count == 0;
    return dims->count && inner_stays && dims->size[dims->count - 1] % 4 == 0 ? 4 : 1;
}

static enum fused_load choose_load(const struct fused_leaf *leaf, const struct fused_dims *dims)
{
    if (dims->width == 1)
        return FUSED_LOAD_ONE;
    const struct fused_walk *last = &leaf->walks[dims->count - 1];
    if (!last->guarded && last->stride == 0)
        return FUSED_LOAD_ONE;
    bool aligned = leaf->offset % 4 == 0 && !last->guarded && last->stride == 1;
    for (uint32_t d = 0; d + 1 < dims->count; d++)
        aligned &= leaf->walks[d].stride % 4 == 0;
    return aligned ? FUSED_LOAD_VECTOR : FUSED_LOAD_EACH;
}

void fused_collapse(const vkg_shape *space, uint32_t axes, struct fused_leaf *leaves, uint32_t leaf_count,
                    struct fused_dims *dims)
{
    axis_walks walks[PIPELINE_MAX_BINDINGS];
    *dims = (struct fused_dims){.count = 0};
    for (uint32_t l = 0; l < leaf_count; l++) {
        leaves[l].offset = 0;
        if (leaves[l].read.through)
            walk_rearranged(&leaves[l], space, walks[l]);
        else
            walk_plainly(&leaves[l], space, walks[l]);
    }
    merge(space, axes, walks, leaves, leaf_count, dims);
    dims->width = choose_width(dims);
    for (uint32_t l = 0; l < leaf_count; l++)
        leaves[l].load = choose_load(&leaves[l], dims);
}

bool fused_leaf_varies(const struct fused_leaf *leaf, uint32_t first, uint32_t count)
{
    for (uint32_t d = first; d < first + count; d++)
        if (leaf->walks[d].guarded || leaf->walks[d].stride != 0)
            return true;
    return false;
}

uint64_t fused_extent(const struct fused_dims *dims, uint32_t first, uint32_t count)
{
    uint64_t extent = 1;
    for (uint32_t i = first; i < first + count; i++)
        extent *= dims->size[i];
    return extent;
}
