/* Operations that move elements and compute nothing. Views change a shape or a name; everything else that takes an
 * element to one place at most is one operation, the rearrangement, which is its own gradient with other numbers,
 * and which costs nothing where fused kernels read through it. */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/resample.h"

/* --- views --- */

static void reshape_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                             vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_reshape(graph, dy, node->inputs[0]->shape);
}

static const struct op op_reshape = {.name = "reshape", .doc = "the same elements under another shape",
                                     .kind = OP_VIEW, .gradient = reshape_gradient};
static const struct op op_detach = {.name = "detach", .doc = "a, with no gradient", .kind = OP_VIEW};

static void again_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                           vkg_tensor **gradients)
{
    (void)graph, (void)node, (void)wanted;
    gradients[0] = dy;
}

static const struct op op_again = {.name = "again", .doc = "a, read once more", .kind = OP_VIEW, .unique = true,
                                   .gradient = again_gradient};

static vkg_tensor *add_view(vkg_graph *graph, const struct op *op, vkg_tensor *a, vkg_shape shape)
{
    return graph_add_node(graph, &(struct node_desc){.op = op, .shape = shape, .input_count = 1, .inputs = &a,
                                                     .value = a, .dtype = a->dtype});
}

vkg_tensor *vkg_reshape(vkg_graph *graph, vkg_tensor *a, vkg_shape shape)
{
    float value;
    if (a->poisoned)
        return a;
    if (shape.rank > VKG_MAX_RANK || shape_elements(&shape) != shape_elements(&a->shape))
        return graph_fail(graph, "reshape: %s has %llu elements, %s has %llu", SHAPE(&a->shape),
                          (unsigned long long)shape_elements(&a->shape), SHAPE(&shape),
                          (unsigned long long)shape_elements(&shape));
    if (shape_equal(&a->shape, &shape))
        return a;
    if (tensor_is_constant(a, &value))
        return vkg_constant(graph, value, shape);
    if (a->op == &op_reshape)
        return vkg_reshape(graph, a->inputs[0], shape);
    return add_view(graph, &op_reshape, a, shape);
}

vkg_tensor *vkg_detach(vkg_graph *graph, vkg_tensor *a)
{
    float value;
    return tensor_is_constant(a, &value) ? a : add_view(graph, &op_detach, a, a->shape);
}

vkg_tensor *read_again(vkg_graph *graph, vkg_tensor *a)
{
    return add_view(graph, &op_again, a, a->shape);
}

/* --- rearrangement --- */

bool rearranged_axis_is_guarded(const struct rearranged_axis *axis, uint32_t size, uint32_t from_size)
{
    int64_t first = axis->add, last = (int64_t)axis->mul * (size - 1) + axis->add;
    int64_t low = first < last ? first : last, high = first < last ? last : first;
    return axis->div != 1 || low < 0 || high >= from_size;
}

/* The element of the input's axis of `size` that element k comes from; −1: it is 0. */
static int64_t source_of(const struct rearranged_axis *axis, uint32_t k, uint32_t size)
{
    int64_t at = (int64_t)axis->mul * k + axis->add;
    return at < 0 || at >= (int64_t)size * axis->div || at % axis->div != 0 ? -1 : at / axis->div;
}

/* k = (i · div − add)/mul: the same kind of step backwards. */
static struct rearranged_axis transposed_axis(const struct rearranged_axis *axis, uint32_t axis_index)
{
    int32_t sign = axis->mul < 0 ? -1 : 1;
    return (struct rearranged_axis){.from = axis_index, .mul = sign * axis->div, .add = -sign * axis->add,
                                    .div = sign * axis->mul};
}

static void rearrange_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                               vkg_tensor **gradients)
{
    (void)wanted;
    struct rearrangement back = {0};
    for (uint32_t i = 0; i < node->shape.rank; i++) {
        const struct rearranged_axis *axis = &node->attributes.rearrangement.axes[i];
        back.axes[axis->from] = transposed_axis(axis, i);
    }
    gradients[0] = rearrange(graph, dy, node->inputs[0]->shape, &back);
}

const struct op op_rearrange = {
    .name = "rearrange", .doc = "element k of each axis is element (k · mul + add)/div of an axis of a, or 0",
    .kind = OP_POINTWISE, .glsl = "a", .gradient = rearrange_gradient};

static bool is_identity(const vkg_tensor *a, const vkg_shape *shape, const struct rearrangement *r)
{
    bool identity = shape_equal(&a->shape, shape);
    for (uint32_t i = 0; i < shape->rank; i++)
        identity &= r->axes[i].from == i && r->axes[i].mul == 1 && r->axes[i].add == 0 && r->axes[i].div == 1;
    return identity;
}

/* A constant is the same everywhere but where it becomes 0: a product of one mask for each axis. */
static vkg_tensor *rearrange_constant(vkg_graph *graph, const vkg_shape *from, float value, const vkg_shape *shape,
                                      const struct rearrangement *r)
{
    vkg_tensor *result = vkg_constant(graph, value, VKG_SCALAR);
    for (uint32_t i = 0; i < shape->rank; i++) {
        const struct rearranged_axis *axis = &r->axes[i];
        uint32_t size = shape->dims[i], from_size = from->dims[axis->from];
        if (!rearranged_axis_is_guarded(axis, size, from_size))
            continue;
        float *mask = arena_alloc(&graph->arena, size * sizeof *mask);
        if (!mask)
            return graph_fail(graph, "rearrange: out of memory");
        for (uint32_t k = 0; k < size; k++)
            mask[k] = source_of(axis, k, from_size) >= 0 ? 1 : 0;
        vkg_shape line = {.rank = shape->rank};
        for (uint32_t d = 0; d < shape->rank; d++)
            line.dims[d] = d == i ? size : 1;
        vkg_tensor *inside = vkg_data(graph, line, VKG_FLOAT32, mask);
        result = isfinite(value) ? vkg_mul(graph, result, inside) : vkg_where(graph, inside, result, vkg_constant(graph, 0, VKG_SCALAR));
    }
    return vkg_broadcast(graph, result, *shape);
}

/* r after the rearrangement that made `a`, where r itself neither misses nor divides. */
static bool compose(const vkg_tensor *a, const vkg_shape *shape, const struct rearrangement *r,
                    struct rearrangement *composed)
{
    for (uint32_t i = 0; i < shape->rank; i++) {
        const struct rearranged_axis *outer = &r->axes[i], *inner = &a->attributes.rearrangement.axes[outer->from];
        if (rearranged_axis_is_guarded(outer, shape->dims[i], a->shape.dims[outer->from]))
            return false;
        int64_t mul = (int64_t)outer->mul * inner->mul, add = (int64_t)outer->add * inner->mul + inner->add;
        if (mul != (int32_t)mul || add != (int32_t)add)
            return false;
        composed->axes[i] = (struct rearranged_axis){inner->from, (int32_t)mul, (int32_t)add, inner->div};
    }
    return true;
}

vkg_tensor *rearrange(vkg_graph *graph, vkg_tensor *a, vkg_shape shape, const struct rearrangement *r)
{
    float value;
    struct rearrangement composed = {0};
    if (a->poisoned)
        return a;
    if (is_identity(a, &shape, r))
        return vkg_cast(graph, a, moved_dtype(a)); /* the type does not depend on how far anything moves */
    if (tensor_is_constant(a, &value))
        return rearrange_constant(graph, &a->shape, value, &shape, r);
    if (a->op == &op_rearrange && tensor_is_current(a->inputs[0]) && compose(a, &shape, r, &composed))
        return rearrange(graph, a->inputs[0], shape, &composed);
    return graph_add_node(graph, &(struct node_desc){.op = &op_rearrange, .shape = shape, .input_count = 1,
                                                     .inputs = &a, .dtype = moved_dtype(a),
                                                     .attributes.rearrangement = *r});
}

/* Every element from its own place. */
static struct rearrangement stay(const vkg_tensor *a)
{
    struct rearrangement r = {0};
    for (uint32_t i = 0; i < a->shape.rank; i++)
        r.axes[i] = (struct rearranged_axis){.from = i, .mul = 1, .div = 1};
    return r;
}

static vkg_tensor *rearrange_axis(vkg_graph *graph, vkg_tensor *a, uint32_t axis, uint32_t size, int32_t mul,
                                  int32_t add, int32_t div)
{
    struct rearrangement r = stay(a);
    vkg_shape shape = a->shape;
    shape.dims[axis] = size;
    r.axes[axis] = (struct rearranged_axis){axis, mul, add, div};
    return rearrange(graph, a, shape, &r);
}

bool axis_is_valid(vkg_graph *graph, const char *call, const vkg_tensor *a, uint32_t axis)
{
    if (a->poisoned)
        return false;
    if (axis >= a->shape.rank)
        graph_fail(graph, "%s: axis %u, but %s has %u dimensions", call, axis, SHAPE(&a->shape), a->shape.rank);
    return axis < a->shape.rank;
}

/* --- the public calls --- */

vkg_tensor *vkg_permute(vkg_graph *graph, vkg_tensor *a, const uint32_t *axes)
{
    if (a->poisoned)
        return a;
    struct rearrangement r = stay(a);
    vkg_shape shape = a->shape;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < shape.rank; i++) {
        if (!axis_is_valid(graph, "permute", a, axes[i]))
            return graph->poison;
        seen |= 1u << axes[i];
        shape.dims[i] = a->shape.dims[axes[i]];
        r.axes[i].from = axes[i];
    }
    if (seen != (1u << shape.rank) - 1)
        return graph_fail(graph, "permute: the axes do not name each of the %u dimensions of %s once", shape.rank,
                          SHAPE(&a->shape));
    return rearrange(graph, a, shape, &r);
}

vkg_tensor *vkg_transpose(vkg_graph *graph, vkg_tensor *a, uint32_t axis0, uint32_t axis1)
{
    uint32_t axes[VKG_MAX_RANK] = {0, 1, 2, 3, 4, 5};
    if (!axis_is_valid(graph, "transpose", a, axis0) || !axis_is_valid(graph, "transpose", a, axis1))
        return graph->poison;
    axes[axis0] = axis1;
    axes[axis1] = axis0;
    return vkg_permute(graph, a, axes);
}

vkg_tensor *vkg_slice(vkg_graph *graph, vkg_tensor *a, uint32_t axis, uint32_t start, uint32_t length, uint32_t step)
{
    if (!axis_is_valid(graph, "slice", a, axis))
        return graph->poison;
    uint32_t size = a->shape.dims[axis];
    if (length == 0 || step == 0 || start >= size || (uint64_t)(length - 1) * step >= size - start)
        return graph_fail(graph, "slice: %u elements from %u on in steps of %u do not lie within axis %u of %s", length,
                          start, step, axis, SHAPE(&a->shape));
    return rearrange_axis(graph, a, axis, length, (int32_t)step, (int32_t)start, 1);
}

vkg_tensor *vkg_spread(vkg_graph *graph, vkg_tensor *a, uint32_t axis, uint32_t spacing)
{
    if (!axis_is_valid(graph, "spread", a, axis))
        return graph->poison;
    uint64_t size = ((uint64_t)a->shape.dims[axis] - 1) * spacing + 1;
    if (spacing == 0 || size + spacing > INT32_MAX)
        return graph_fail(graph, "spread: a spacing of %u along axis %u of %s", spacing, axis, SHAPE(&a->shape));
    return rearrange_axis(graph, a, axis, (uint32_t)size, 1, 0, (int32_t)spacing);
}

vkg_tensor *vkg_flip(vkg_graph *graph, vkg_tensor *a, uint32_t axes)
{
    if (a->poisoned)
        return a;
    if (axes >> a->shape.rank)
        return graph_fail(graph, "flip: the axes 0x%x name a dimension that shape %s does not have", axes, SHAPE(&a->shape));
    struct rearrangement r = stay(a);
    for (uint32_t i = 0; i < a->shape.rank; i++)
        if (axes >> i & 1)
            r.axes[i].mul = -1, r.axes[i].add = (int32_t)a->shape.dims[i] - 1;
    return rearrange(graph, a, a->shape, &r);
}

/* Zeros where low and high are positive; cuts where they are negative. */
vkg_tensor *pad_with_zeros(vkg_graph *graph, vkg_tensor *a, uint32_t axis, int32_t low, int32_t high)
{
    int64_t size = (int64_t)a->shape.dims[axis] + low + high;
    if (size <= 0 || size > INT32_MAX)
        return graph_fail(graph, "pad: %d before and %d behind axis %u of %s leave nothing", low, high, axis,
                          SHAPE(&a->shape));
    return rearrange_axis(graph, a, axis, (uint32_t)size, 1, -low, 1);
}

vkg_tensor *vkg_roll(vkg_graph *graph, vkg_tensor *a, uint32_t axis, int32_t shift)
{
    if (!axis_is_valid(graph, "roll", a, axis))
        return graph->poison;
    int64_t size = a->shape.dims[axis];
    int32_t by = (int32_t)((shift % size + size) % size);
    if (by == 0)
        return vkg_cast(graph, a, moved_dtype(a));
    vkg_tensor *body = rearrange_axis(graph, a, axis, (uint32_t)size, 1, -by, 1);
    vkg_tensor *wrapped = rearrange_axis(graph, a, axis, (uint32_t)size, 1, (int32_t)size - by, 1);
    return vkg_cast(graph, vkg_add(graph, body, wrapped), moved_dtype(a));
}

/* --- joining and parting --- */

/* Do all tensors have the shape of the first, apart from `axis`? Their size along it in all. */
static uint32_t joined_size(vkg_graph *graph, vkg_tensor *const *tensors, uint32_t count, uint32_t axis)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!axis_is_valid(graph, "concat", tensors[i], axis))
            return 0;
        vkg_shape alike = tensors[i]->shape;
        alike.dims[axis] = tensors[0]->shape.dims[axis];
        if (!shape_equal(&alike, &tensors[0]->shape)) {
            graph_fail(graph, "concat: tensor %u has shape %s, the first one %s: they may differ in axis %u only", i,
                       SHAPE(&tensors[i]->shape), SHAPE(&tensors[0]->shape), axis);
            return 0;
        }
        size += tensors[i]->shape.dims[axis];
    }
    if (size == 0 || size > INT32_MAX) {
        graph_fail(graph, "concat: %u tensors of %llu elements along axis %u", count, (unsigned long long)size, axis);
        return 0;
    }
    return (uint32_t)size;
}

/* The type that all have when they are moved, or float32: no fraction is cut off because a tensor of integers comes first. */
static vkg_dtype joined_dtype(vkg_tensor *const *tensors, uint32_t count)
{
    vkg_dtype dtype = moved_dtype(tensors[0]);
    for (uint32_t i = 1; i < count; i++)
        dtype = moved_dtype(tensors[i]) == dtype ? dtype : VKG_FLOAT32;
    return dtype;
}

/* Each tensor is padded with zeros to the whole, and all are added: a kernel that reads each element once. */
vkg_tensor *vkg_concat(vkg_graph *graph, vkg_tensor *const *tensors, uint32_t count, uint32_t axis)
{
    uint32_t size = joined_size(graph, tensors, count, axis), before = 0;
    vkg_tensor *joined = NULL;
    if (size == 0)
        return graph->poison;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t own = tensors[i]->shape.dims[axis];
        vkg_tensor *part = pad_with_zeros(graph, tensors[i], axis, (int32_t)before, (int32_t)(size - before - own));
        joined = joined ? vkg_add(graph, joined, part) : part;
        before += own;
    }
    return vkg_cast(graph, joined, joined_dtype(tensors, count));
}

vkg_tensor *vkg_stack(vkg_graph *graph, vkg_tensor *const *tensors, uint32_t count, uint32_t axis)
{
    vkg_tensor *joined = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (tensors[i]->poisoned)
            return graph->poison;
        vkg_shape shape = tensors[i]->shape;
        if (!shape_equal(&shape, &tensors[0]->shape) || axis > shape.rank || shape.rank == VKG_MAX_RANK)
            return graph_fail(graph, "stack: tensor %u of shape %s, the first one of %s, along a new axis %u", i,
                              SHAPE(&shape), SHAPE(&tensors[0]->shape), axis);
        memmove(&shape.dims[axis + 1], &shape.dims[axis], (shape.rank - axis) * sizeof shape.dims[0]);
        shape.rank++;
        shape.dims[axis] = 1;
        vkg_tensor *layer = vkg_reshape(graph, tensors[i], shape);
        layer = pad_with_zeros(graph, layer, axis, (int32_t)i, (int32_t)(count - 1 - i));
        joined = joined ? vkg_add(graph, joined, layer) : layer;
    }
    return joined ? vkg_cast(graph, joined, joined_dtype(tensors, count)) : graph_fail(graph, "stack: no tensors");
}

void vkg_split(vkg_graph *graph, vkg_tensor *a, uint32_t axis, uint32_t parts, vkg_tensor **results)
{
    for (uint32_t i = 0; i < parts; i++)
        results[i] = graph->poison;
    if (!axis_is_valid(graph, "split", a, axis))
        return;
    uint32_t size = parts ? a->shape.dims[axis] / parts : 0;
    if (parts == 0 || size * parts != a->shape.dims[axis]) {
        graph_fail(graph, "split: axis %u of %s cannot be parted into %u equal ones", axis, SHAPE(&a->shape), parts);
        return;
    }
    for (uint32_t i = 0; i < parts; i++)
        results[i] = vkg_slice(graph, a, axis, i * size, size, 1);
}

/* --- padding --- */

/* 1 where an element of the axis is the input's own. */
static vkg_tensor *own_elements(vkg_graph *graph, const vkg_tensor *a, uint32_t axis, int32_t low, int32_t high)
{
    vkg_shape line = a->shape;
    for (uint32_t i = 0; i < line.rank; i++)
        line.dims[i] = i == axis ? line.dims[i] : 1;
    return pad_with_zeros(graph, vkg_constant(graph, 1, line), axis, low, high);
}

vkg_tensor *vkg_pad(vkg_graph *graph, vkg_tensor *a, uint32_t axis, int32_t low, int32_t high, vkg_pad_mode mode,
                    float value)
{
    if (!axis_is_valid(graph, "pad", a, axis))
        return graph->poison;
    if ((uint32_t)mode > VKG_PAD_CIRCULAR)
        return graph_fail(graph, "pad: mode %d is not known", (int)mode);
    if (mode != VKG_PAD_CONSTANT)
        return vkg_cast(graph, pad_with_own(graph, vkg_cast(graph, a, VKG_FLOAT32), axis, low, high, mode), moved_dtype(a));
    vkg_tensor *padded = pad_with_zeros(graph, a, axis, low, high);
    if (value == 0 || padded->poisoned)
        return padded;
    padded = vkg_where(graph, own_elements(graph, a, axis, low, high), padded, vkg_constant(graph, value, VKG_SCALAR));
    return vkg_cast(graph, padded, moved_dtype(a));
}
