/* Pooling. Averages are linear maps, one axis after the other; the greatest of a window is a chain of
 * selections between shifted views, which fusion makes into one kernel. */
#include <math.h>
#include <string.h>

#include "kernels/lowering.h"
#include "ops/ops.h"
#include "ops/resample.h"

/* One axis of a pool, with its defaults filled in. */
struct window {
    uint32_t size, kernel, stride, padding, out;
};

static bool find_windows(vkg_graph *graph, const char *call, const vkg_tensor *x, const vkg_pool_desc *desc,
                         struct window *windows)
{
    if (!has_spatial_dimensions(graph, call, x, 1, 3))
        return false;
    for (uint32_t i = 0; i < x->shape.rank - 2; i++) {
        struct window *w = &windows[i];
        *w = (struct window){.size = x->shape.dims[i + 1],
                             .kernel = desc->kernel[i],
                             .padding = desc->padding[i],
                             .stride = desc->stride[i] ? desc->stride[i] : desc->kernel[i]};
        uint64_t padded = (uint64_t)w->size + 2 * (uint64_t)w->padding;
        if (w->kernel == 0 || w->kernel > padded || w->padding > w->kernel / 2 || w->stride > INT32_MAX) {
            graph_fail(graph,
                       "%s: a kernel of %u with stride %u and padding %u along axis %u of %s (padding: at most "
                       "half the kernel)",
                       call, w->kernel, w->stride, w->padding, i + 1, SHAPE(&x->shape));
            return false;
        }
        w->out = (uint32_t)((padded - w->kernel) / w->stride) + 1;
    }
    return true;
}

/* --- averages --- */

static vkg_tensor *average_axis(vkg_graph *graph, vkg_tensor *a, uint32_t axis, const struct window *w,
                                bool exclude)
{
    struct map_builder m;
    if (w->kernel == 1 && w->stride == 1)
        return a;
    if (!map_begin(&m, graph, w->out, (uint64_t)w->out * (w->kernel < w->size ? w->kernel : w->size)))
        return map_failed(graph, "avg_pool", a);
    for (uint32_t o = 0; o < w->out; o++) {
        int64_t first = (int64_t)o * w->stride - w->padding, end = first + w->kernel;
        first = first > 0 ? first : 0;
        end = end < w->size ? end : w->size;
        for (int64_t i = first; i < end; i++)
            map_add(&m, (uint32_t)i, 1 / (double)(exclude ? end - first : w->kernel));
        map_end_row(&m);
    }
    return map_apply(&m, a, axis);
}

vkg_tensor *vkg_avg_pool(vkg_graph *graph, vkg_tensor *x, const vkg_pool_desc *desc)
{
    struct window windows[3];
    if (!find_windows(graph, "avg_pool", x, desc, windows))
        return graph->poison;
    uint32_t spatial = x->shape.rank - 2;
    x = vkg_cast(graph, x, VKG_FLOAT32);
    for (uint32_t i = 0; i < spatial && !x->poisoned; i++)
        x = average_axis(graph, x, i + 1, &windows[i], desc->exclude_padding);
    return x;
}

vkg_tensor *vkg_adaptive_avg_pool(vkg_graph *graph, vkg_tensor *x, const uint32_t *size)
{
    if (!has_spatial_dimensions(graph, "adaptive_avg_pool", x, 1, 3))
        return graph->poison;
    x = vkg_cast(graph, x, VKG_FLOAT32);
    for (uint32_t axis = 1; axis + 1 < x->shape.rank && !x->poisoned; axis++) {
        struct map_builder m;
        uint64_t n = x->shape.dims[axis], out = size[axis - 1];
        if (out == n)
            continue;
        if (out == 0 || out > INT32_MAX || !map_begin(&m, graph, (uint32_t)out, n + 2 * out))
            return map_failed(graph, "adaptive_avg_pool", x);
        for (uint64_t o = 0; o < out; o++) {
            uint64_t first = o * n / out, end = ((o + 1) * n + out - 1) / out;
            for (uint64_t i = first; i < end; i++)
                map_add(&m, (uint32_t)i, 1 / (double)(end - first));
            map_end_row(&m);
        }
        x = map_apply(&m, x, axis);
    }
    return x;
}

/* --- the greatest --- */

enum { X, WINNER };

/* Its gradient goes back to where each window's greatest came from. No atomics: a place looks at its windows. */

static vkg_result lower_scatter_windows(struct lowering *lowering, const vkg_tensor *node)
{
    const vkg_device_caps *caps = &lowering->device->caps;
    const struct attributes *a = &node->attributes;
    struct extents y = extents_around(&node->shape, a->axis);
    enum binding_format format = lowering_read_format(lowering, tensor_bytes(node->inputs[X]), false);
    bool texel = format != FORMAT_STORAGE;
    uint32_t workgroup = simple_workgroup(caps), count = (uint32_t)shape_elements(&node->shape);
    uint64_t per_group = (uint64_t)workgroup * elements_each(caps);
    struct dispatch *dispatch = lowering_add_dispatch(
        lowering, node->op->name, shader_find(texel ? "scatter_windows_texel" : "scatter_windows_storage"));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    if (a->window.kernel / a->window.stride + 1 > caps->max_loop_iterations / elements_each(caps) - 1)
        return vkg_fail(&lowering->device->log, VKG_ERROR_UNSUPPORTED,
                        "%s: %s ends loops early, and windows of %u are too large", node->op->name, caps->name,
                        a->window.kernel);
    const uint32_t constants[] = {workgroup,         count,
                                  (uint32_t)y.size,  node->inputs[X]->shape.dims[a->axis],
                                  (uint32_t)y.inner, a->window.kernel,
                                  a->window.stride,  a->window.padding};
    memcpy(dispatch->constants, constants, sizeof constants);
    dispatch->constant_count = sizeof constants / sizeof constants[0];
    vkg_result result = lowering_bind_tensor(lowering, dispatch, node->inputs[X], format, true, false);
    if (result == VKG_OK)
        result = lowering_bind_tensor(lowering, dispatch, node->inputs[WINNER],
                                      texel ? FORMAT_TEXEL_INT : FORMAT_STORAGE, true, false);
    if (result == VKG_OK)
        result = lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, false, true);
    return result == VKG_OK ? dispatch_grid(lowering, dispatch, (count + per_group - 1) / per_group) : result;
}

static void scatter_windows_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                                     vkg_tensor **gradients)
{
    if (wanted[X])
        gradients[X] = vkg_gather(graph, dy, node->attributes.axis, node->inputs[WINNER]);
}

static const struct op op_scatter_windows = {.name = "scatter_windows",
                                             .doc = "y[i] = Σ a[o] over the windows o whose index is i",
                                             .kind = OP_KERNEL,
                                             .input_dtypes = {VKG_FLOAT32, VKG_INT32},
                                             .gradient = scatter_windows_gradient,
                                             .lower = lower_scatter_windows};

static void greatest_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                              vkg_tensor **gradients)
{
    (void)wanted;
    gradients[X] =
        graph_add_node(graph, &(struct node_desc){.op = &op_scatter_windows,
                                                  .shape = node->inputs[X]->shape,
                                                  .input_count = 2,
                                                  .inputs = (vkg_tensor *[]){dy, node->inputs[WINNER]},
                                                  .attributes = node->attributes});
}

static const struct op op_greatest = {.name = "greatest",
                                      .doc = "the greatest of each window along one axis",
                                      .kind = OP_COMPOSITE,
                                      .gradient = greatest_gradient};

/* --- and itself --- */

/* 1 where `next` is greater, or a NaN; a NaN in `greatest` stays. */
static vkg_tensor *takes_its_place(vkg_graph *graph, vkg_tensor *next, vkg_tensor *greatest)
{
    return vkg_where(graph, vkg_equal(graph, next, next), vkg_less(graph, greatest, next),
                     vkg_constant(graph, 1, VKG_SCALAR));
}

/* o · stride − padding along the axis of the windows o. */
static vkg_tensor *window_starts(vkg_graph *graph, const vkg_tensor *a, uint32_t axis, const struct window *w)
{
    vkg_shape line = {.rank = a->shape.rank};
    for (uint32_t d = 0; d < line.rank; d++)
        line.dims[d] = d == axis ? w->out : 1;
    float *starts = arena_alloc(&graph->arena, w->out * sizeof *starts);
    if (!starts) {
        graph->out_of_memory = true;
        return graph->poison;
    }
    for (uint32_t o = 0; o < w->out; o++)
        starts[o] = (float)((int64_t)o * w->stride - w->padding);
    return vkg_data(graph, line, VKG_FLOAT32, starts);
}

/* Along one axis: the greatest of `kernel` slices, and where the first such element lies. */
static vkg_tensor *greatest_along(vkg_graph *graph, vkg_tensor *a, uint32_t axis, const struct window *w)
{
    vkg_tensor *padded = a, *greatest = NULL, *winner = vkg_constant(graph, 0, VKG_SCALAR);
    if (w->kernel == 1 && w->stride == 1)
        return a;
    if (w->padding)
        padded = vkg_pad(graph, a, axis, (int32_t)w->padding, (int32_t)w->padding, VKG_PAD_CONSTANT, -INFINITY);
    for (uint32_t k = 0; k < w->kernel; k++) {
        vkg_tensor *slice = vkg_slice(graph, padded, axis, k, w->out, w->stride);
        vkg_tensor *taken = greatest ? takes_its_place(graph, slice, greatest) : NULL;
        if (taken)
            winner = vkg_where(graph, taken, vkg_constant(graph, (float)k, VKG_SCALAR), winner);
        greatest = taken ? vkg_where(graph, taken, slice, greatest) : slice;
    }
    winner = vkg_add(graph, vkg_broadcast(graph, winner, greatest->shape), window_starts(graph, a, axis, w));
    /* where all are −∞ the first is padding, before the axis; no element is there to get the gradient but the axis' first one */
    winner = vkg_cast(graph, w->padding ? vkg_relu(graph, winner) : winner, VKG_INT32);
    if (greatest->poisoned || winner->poisoned)
        return graph->poison;
    return graph_add_node(
        graph, &(struct node_desc){.op = &op_greatest,
                                   .shape = greatest->shape,
                                   .input_count = 1,
                                   .saved_count = 1,
                                   .inputs = (vkg_tensor *[]){a, winner},
                                   .value = greatest,
                                   .attributes = {.axis = axis, .window = {w->kernel, w->stride, w->padding}}});
}

/* One axis after the other, the last one first: of equal elements in a window the first in memory is kept by
 * the first row that has it. */
vkg_tensor *vkg_max_pool(vkg_graph *graph, vkg_tensor *x, const vkg_pool_desc *desc)
{
    struct window windows[3];
    if (!find_windows(graph, "max_pool", x, desc, windows))
        return graph->poison;
    for (uint32_t i = 0; i < x->shape.rank - 2; i++)
        if (windows[i].size > 1u << 24 || windows[i].kernel > 4096)
            return graph_fail(
                graph,
                "max_pool: axis %u of %s with a kernel of %u; at most 2^24 elements (places are "
                "computed in float32) and kernels of 4096",
                i + 1, SHAPE(&x->shape), windows[i].kernel);
    x = vkg_cast(graph, x, VKG_FLOAT32);
    for (uint32_t i = x->shape.rank - 2; i-- > 0 && !x->poisoned;)
        x = greatest_along(graph, x, i + 1, &windows[i]);
    return x;
}
