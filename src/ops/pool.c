/* Pooling. Averages are linear maps, one axis after the other; the greatest of a window is a chain of selections
 * between shifted views, which fusion makes into one kernel. */
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
        *w = (struct window){.size = x->shape.dims[i + 1], .kernel = desc->kernel[i], .padding = desc->padding[i],
                             .stride = desc->stride[i] ? desc->stride[i] : desc->kernel[i]};
        uint64_t padded = (uint64_t)w->size + 2 * (uint64_t)w->padding;
        if (w->kernel == 0 || w->kernel > padded || w->padding > w->kernel / 2 || w->stride > INT32_MAX) {
            graph_fail(graph, "%s: a kernel of %u with stride %u and padding %u along axis %u of %s (padding: at most "
                              "half the kernel)", call, w->kernel, w->stride, w->padding, i + 1, SHAPE(&x->shape));
            return false;
        }
        w->out = (uint32_t)((padded - w->kernel) / w->stride) + 1;
    }
    return true;
}

/* --- averages --- */

static vkg_tensor *average_axis(vkg_graph *graph, vkg_tensor *a, uint32_t axis, const struct window *w, bool exclude)
{
    struct map_builder m;
    if (w->kernel == 1 && w->stride == 1)
        return a;
    if (!map_begin(&m, graph, w->out, (uint64_t)w->out * (w->kernel < w->size ? w->kernel : w->size)))
        return map_failed(graph, "vkg_avg_pool", a);
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
    if (!find_windows(graph, "vkg_avg_pool", x, desc, windows))
        return graph->poison;
    uint32_t spatial = x->shape.rank - 2;
    for (uint32_t i = 0; i < spatial && !x->poisoned; i++)
        x = average_axis(graph, x, i + 1, &windows[i], desc->exclude_padding);
    return x;
}

vkg_tensor *vkg_adaptive_avg_pool(vkg_graph *graph, vkg_tensor *x, const uint32_t *size)
{
    if (!has_spatial_dimensions(graph, "vkg_adaptive_avg_pool", x, 1, 3))
        return graph->poison;
    for (uint32_t axis = 1; axis + 1 < x->shape.rank && !x->poisoned; axis++) {
        struct map_builder m;
        uint64_t n = x->shape.dims[axis], out = size[axis - 1];
        if (out == n)
            continue;
        if (out == 0 || out > INT32_MAX || !map_begin(&m, graph, (uint32_t)out, n + 2 * out))
            return map_failed(graph, "vkg_adaptive_avg_pool", x);
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

/* Element i of the axis is element (i · mul + add)/div of a's axis, or 0. */
static vkg_tensor *rearrange_axis(vkg_graph *graph, vkg_tensor *a, uint32_t size, struct rearranged_axis axis)
{
    struct rearrangement r = {0};
    vkg_shape shape = a->shape;
    for (uint32_t i = 0; i < shape.rank; i++)
        r.axes[i] = (struct rearranged_axis){.from = i, .mul = 1, .div = 1};
    r.axes[axis.from] = axis;
    shape.dims[axis.from] = size;
    return rearrange(graph, a, shape, &r);
}

/* Element i is the greatest of window o with i = o · stride − padding + k for the k that is o's winner: the sum over all
 * k of dy at such o. Winners have no gradient, so it is linear in dy, as it should be. */
static void greatest_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                              vkg_tensor **gradients)
{
    (void)wanted;
    const struct attributes *window = &node->attributes;
    uint32_t axis = window->axis, size = node->inputs[X]->shape.dims[axis];
    for (uint32_t k = 0; k < window->window.kernel; k++) {
        struct rearranged_axis back = {axis, 1, (int32_t)window->window.padding - (int32_t)k,
                                       (int32_t)window->window.stride};
        vkg_tensor *winner = rearrange_axis(graph, node->inputs[WINNER], size, back);
        vkg_tensor *wins = vkg_equal(graph, winner, vkg_constant(graph, (float)(k + 1), VKG_SCALAR));
        vkg_tensor *part = vkg_mul(graph, rearrange_axis(graph, dy, size, back), wins);
        gradients[X] = gradients[X] ? vkg_add(graph, gradients[X], part) : part;
    }
}

static const struct op op_greatest = {.name = "greatest", .doc = "the greatest of each window along one axis",
                                      .kind = OP_COMPOSITE, .gradient = greatest_gradient};

/* 1 where `next` is greater, or a NaN; a NaN in `greatest` stays. */
static vkg_tensor *takes_its_place(vkg_graph *graph, vkg_tensor *next, vkg_tensor *greatest)
{
    return vkg_where(graph, vkg_equal(graph, next, next), vkg_less(graph, greatest, next),
                     vkg_constant(graph, 1, VKG_SCALAR));
}

/* Along one axis: the greatest of `kernel` slices, and the first one's number from 1 on. */
static vkg_tensor *greatest_along(vkg_graph *graph, vkg_tensor *a, uint32_t axis, const struct window *w)
{
    const float lowest = -3.4028234663852886e38f; /* finite: nothing times it in a gradient makes a NaN */
    vkg_tensor *padded = a, *greatest = NULL, *winner = vkg_constant(graph, 1, VKG_SCALAR);
    if (w->kernel == 1 && w->stride == 1)
        return a;
    if (w->padding)
        padded = vkg_pad(graph, a, axis, (int32_t)w->padding, (int32_t)w->padding, VKG_PAD_CONSTANT, lowest);
    for (uint32_t k = 0; k < w->kernel; k++) {
        vkg_tensor *slice = vkg_slice(graph, padded, axis, k, w->out, w->stride);
        vkg_tensor *taken = greatest ? takes_its_place(graph, slice, greatest) : NULL;
        if (taken)
            winner = vkg_where(graph, taken, vkg_constant(graph, (float)(k + 1), VKG_SCALAR), winner);
        greatest = taken ? vkg_where(graph, taken, slice, greatest) : slice;
    }
    if (greatest->poisoned || winner->poisoned)
        return graph->poison;
    winner = vkg_broadcast(graph, winner, greatest->shape);
    return graph_add_node(graph, &(struct node_desc){
        .op = &op_greatest, .shape = greatest->shape, .input_count = 1, .saved_count = 1,
        .inputs = (vkg_tensor *[]){a, winner}, .value = greatest,
        .attributes = {.axis = axis, .window = {w->kernel, w->stride, w->padding}}});
}

/* One axis after the other, the last one first: of equal elements in a window the first in memory is kept by the first
 * row that has it. */
vkg_tensor *vkg_max_pool(vkg_graph *graph, vkg_tensor *x, const vkg_pool_desc *desc)
{
    struct window windows[3];
    if (!find_windows(graph, "vkg_max_pool", x, desc, windows))
        return graph->poison;
    for (uint32_t i = x->shape.rank - 2; i-- > 0;)
        x = greatest_along(graph, x, i + 1, &windows[i]);
    return x;
}
