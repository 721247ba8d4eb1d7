/* Sampling at places that the graph computes. Indices come out of the floor of the places, weights are ordinary
 * functions of them, and what is read is gathered: so there are gradients of every order, in the places too. */
#include "ops/ops.h"
#include "ops/resample.h"

/* Indices pass through float32 on their way to int32. */
static const uint32_t MOST_INDICES = 1u << 24;

enum { MOST_AXES = 4 };

/* Places along one axis. Each lies between two neighbours, low and low + 1; where `rest` is NULL there is only
 * low. */
struct places {
    vkg_tensor *low, *rest; /* a whole number in float32, and what the place is above it */
    vkg_tensor *inside;     /* 1 or 0; NULL: always inside */
    bool free; /* a neighbour outside of [0, size) counts as zero; otherwise it is the outermost element */
    uint32_t size, step; /* of the axis; from one index to the next, in what is gathered */
};

/* Where to gather. The corners of the places' cells, bit k of whose number stands for low + 1 along axis k, are
 * a dimension of their own, so that all are gathered at once. */
struct sampling {
    vkg_tensor *from; /* flattened */
    uint32_t axis;
    uint32_t corners;       /* how many */
    vkg_shape corner_shape; /* that dimension, among ones */
    uint32_t corner_axis;   /* and its place in result_shape */
    vkg_shape index_shape, result_shape;
    uint32_t count;
    struct places axes[MOST_AXES];
};

static vkg_tensor *within(vkg_graph *graph, vkg_tensor *a, float low, float high)
{
    return vkg_mul(graph, vkg_less_equal(graph, vkg_constant(graph, low, VKG_SCALAR), a),
                   vkg_less_equal(graph, a, vkg_constant(graph, high, VKG_SCALAR)));
}

/* a·b, where NULL is 1. */
static vkg_tensor *product(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    return a && b ? vkg_mul(graph, a, b) : a ? a : b;
}

/* For every corner, whether it is low (0) or low + 1 along axis k. */
static vkg_tensor *sides(vkg_graph *graph, const struct sampling *s, uint32_t k)
{
    float numbers[1 << MOST_AXES];
    for (uint32_t corner = 0; corner < s->corners; corner++)
        numbers[corner] = (float)(corner >> k & 1);
    return vkg_data(graph, s->corner_shape, VKG_FLOAT32, numbers);
}

/* What the places along axis k add to the index, and multiply weight and inside by. */
static void add_axis(vkg_graph *graph, const struct sampling *s, uint32_t k, vkg_tensor **index,
                     vkg_tensor **inside, vkg_tensor **weight)
{
    const struct places *p = &s->axes[k];
    vkg_tensor *at = p->low, *last = vkg_constant(graph, (float)(p->size - 1), VKG_SCALAR);
    if (p->rest) {
        vkg_tensor *side = sides(graph, s, k); /* weight: rest for the second side, 1 − rest for the first */
        vkg_tensor *slope = vkg_mul(graph, p->rest, vkg_affine(graph, side, 2, -1));
        *weight = product(graph, *weight, vkg_add(graph, slope, vkg_affine(graph, side, -1, 1)));
        at = vkg_add(graph, at, side);
        at = p->free ? at : vkg_minimum(graph, at, last);
    }
    *inside = product(graph, *inside, p->inside);
    if (p->free)
        *inside = product(graph, *inside, within(graph, at, 0, (float)(p->size - 1)));
    at = vkg_affine(graph, at, (float)p->step, 0);
    *index = *index ? vkg_add(graph, *index, at) : at;
}

static vkg_tensor *sample(vkg_graph *graph, const struct sampling *s)
{
    vkg_tensor *index = NULL, *inside = NULL, *weight = NULL;
    for (uint32_t k = 0; k < s->count; k++)
        add_axis(graph, s, k, &index, &inside, &weight);
    if (inside)
        index =
            vkg_where(graph, inside, index, vkg_constant(graph, -1, VKG_SCALAR)); /* where gathering reads 0 */
    index = vkg_reshape(graph, vkg_cast(graph, index, VKG_INT32), s->index_shape);
    vkg_tensor *value = vkg_reshape(graph, vkg_gather(graph, s->from, s->axis, index), s->result_shape);
    return weight ? vkg_sum(graph, vkg_mul(graph, value, weight), 1u << s->corner_axis, false)
                  : vkg_sum(graph, value, 1u << s->corner_axis, false);
}

/* Between places on [0, size − 1]. A place at the first element itself has no gradient, as in PyTorch (clip_coordinates_set_grad); at
 * the last one both neighbours are the same. */
static struct places clamped_places(vkg_graph *graph, vkg_tensor *place, uint32_t size)
{
    vkg_tensor *at = vkg_clamp(graph, vkg_relu(graph, place), 0, (float)(size - 1)), *low = vkg_floor(graph, at);
    return (struct places){.low = low, .rest = vkg_sub(graph, at, low), .size = size};
}

/* Anywhere. */
static struct places free_places(vkg_graph *graph, vkg_tensor *place, uint32_t size)
{
    vkg_tensor *low = vkg_floor(graph, place);
    return (struct places){.low = low, .rest = vkg_sub(graph, place, low), .free = true, .size = size};
}

/* The nearest whole number, of two the even one. */
static vkg_tensor *round_to_even(vkg_graph *graph, vkg_tensor *a)
{
    vkg_tensor *up = vkg_floor(graph, vkg_affine(graph, a, 1, 0.5f));
    vkg_tensor *middle = vkg_equal(graph, vkg_sub(graph, up, a), vkg_constant(graph, 0.5f, VKG_SCALAR));
    vkg_tensor *even = vkg_affine(graph, vkg_floor(graph, vkg_affine(graph, up, 0.5f, 0)), 2, 0);
    return vkg_where(graph, middle, even, up);
}

static struct places nearest_places(vkg_graph *graph, vkg_tensor *place, uint32_t size, bool clamped)
{
    vkg_tensor *at = clamped ? vkg_clamp(graph, place, 0, (float)(size - 1)) : place;
    return (struct places){.low = round_to_even(graph, at), .free = !clamped, .size = size};
}

/* --- grids --- */

static bool check_grid(vkg_graph *graph, const vkg_tensor *x, const vkg_tensor *grid,
                       const vkg_grid_sample_desc *desc)
{
    if (grid->poisoned || !has_spatial_dimensions(graph, "grid_sample", x, 2, 3))
        return false;
    uint32_t rank = x->shape.rank;
    if (grid->shape.rank != rank || grid->shape.dims[0] != x->shape.dims[0] ||
        grid->shape.dims[rank - 1] != rank - 2) {
        graph_fail(
            graph,
            "grid_sample: the grid %s must have as many dimensions as x %s, the same first one, and %u "
            "coordinates",
            SHAPE(&grid->shape), SHAPE(&x->shape), rank - 2);
        return false;
    }
    if ((desc->mode != VKG_NEAREST && desc->mode != VKG_LINEAR) ||
        (uint32_t)desc->padding > VKG_PADDING_BORDER) {
        graph_fail(graph, "grid_sample: mode %d with padding %d", (int)desc->mode, (int)desc->padding);
        return false;
    }
    if (shape_elements(&x->shape) / x->shape.dims[0] / x->shape.dims[rank - 1] > MOST_INDICES) {
        graph_fail(graph, "grid_sample: x %s has more than 2^24 spatial elements", SHAPE(&x->shape));
        return false;
    }
    return true;
}

/* Coordinate k of the grid, as places of elements, of the given shape. */
static vkg_tensor *grid_places(vkg_graph *graph, vkg_tensor *grid, uint32_t k, uint32_t size,
                               bool align_corners, vkg_shape shape)
{
    vkg_tensor *coordinate = vkg_slice(graph, grid, grid->shape.rank - 1, k, 1, 1);
    float middle = 0.5f * (float)(size - 1);
    return vkg_reshape(
        graph, vkg_affine(graph, coordinate, align_corners ? middle : 0.5f * (float)size, middle), shape);
}

vkg_tensor *vkg_grid_sample(vkg_graph *graph, vkg_tensor *x, vkg_tensor *grid, const vkg_grid_sample_desc *desc)
{
    if (!check_grid(graph, x, grid, desc))
        return graph->poison;
    uint32_t axes = x->shape.rank - 2, n = x->shape.dims[0], channels = x->shape.dims[axes + 1], step = 1;
    uint32_t points = (uint32_t)(shape_elements(&grid->shape) / n / axes);
    uint32_t corners = desc->mode == VKG_NEAREST ? 1 : 1u << axes;
    if ((uint64_t)corners * points > INT32_MAX)
        return graph_fail(graph, "grid_sample: the grid %s has too many places", SHAPE(&grid->shape));
    struct sampling s = {.axis = 1,
                         .count = axes,
                         .corners = corners,
                         .corner_axis = 1,
                         .corner_shape = VKG_SHAPE(1, corners, 1, 1),
                         .index_shape = VKG_SHAPE(n, corners * points, 1),
                         .result_shape = VKG_SHAPE(n, corners, points, channels)};
    for (uint32_t k = 0; k < axes; k++) { /* x, which is the last spatial dimension, first */
        uint32_t size = x->shape.dims[axes - k];
        vkg_tensor *place = grid_places(graph, grid, k, size, desc->align_corners, VKG_SHAPE(n, 1, points, 1));
        bool border = desc->padding == VKG_PADDING_BORDER;
        s.axes[k] = desc->mode == VKG_NEAREST ? nearest_places(graph, place, size, border)
                    : border                  ? clamped_places(graph, place, size)
                                              : free_places(graph, place, size);
        s.axes[k].step = step;
        step *= size;
    }
    s.from = vkg_reshape(graph, x, VKG_SHAPE(n, step, channels));
    vkg_shape shape = grid->shape;
    shape.dims[axes + 1] = channels;
    return vkg_reshape(graph, sample(graph, &s), shape);
}

/* The coordinates −1 … 1 of `size` elements as data along one axis of a shape of ones. */
static vkg_tensor *base_coordinates(vkg_graph *graph, uint32_t size, bool align_corners, uint32_t axis,
                                    uint32_t rank)
{
    vkg_shape line = {.rank = rank};
    for (uint32_t i = 0; i < rank; i++)
        line.dims[i] = i == axis ? size : 1;
    float *numbers = arena_alloc(&graph->arena, size * sizeof *numbers);
    if (!numbers) {
        graph->out_of_memory = true;
        return graph->poison;
    }
    for (uint32_t i = 0; i < size; i++) {
        double aligned = size > 1 ? 2.0 * i / (size - 1.0) - 1 : 0;
        numbers[i] = (float)(align_corners ? aligned : (2.0 * i + 1) / size - 1);
    }
    return vkg_data(graph, line, VKG_FLOAT32, numbers);
}

/* A sum of a column of theta for each coordinate, and of its last column: pointwise, so that it is computed
 * where the grid is read. */
vkg_tensor *vkg_affine_grid(vkg_graph *graph, vkg_tensor *theta, const uint32_t *size, bool align_corners)
{
    if (theta->poisoned)
        return theta;
    uint32_t axes = theta->shape.rank == 3 ? theta->shape.dims[1] : 0, rank = axes + 2;
    if ((axes != 2 && axes != 3) || theta->shape.dims[2] != axes + 1)
        return graph_fail(graph, "affine_grid: theta %s must be [N, 2, 3] or [N, 3, 4]",
                          SHAPE(&theta->shape));
    vkg_shape column_shape = {.rank = rank, .dims = {1, 1, 1, 1, 1}};
    column_shape.dims[0] = theta->shape.dims[0];
    column_shape.dims[rank - 1] = axes;
    vkg_tensor *sum = NULL;
    for (uint32_t k = 0; k <= axes; k++) {
        vkg_tensor *column = vkg_reshape(graph, vkg_slice(graph, theta, 2, k, 1, 1), column_shape);
        if (k < axes) {
            uint32_t dimension = axes - 1 - k;
            if (size[dimension] == 0 || size[dimension] > INT32_MAX)
                return graph_fail(graph, "affine_grid: size[%u] is %u", dimension, size[dimension]);
            column = vkg_mul(graph, column,
                             base_coordinates(graph, size[dimension], align_corners, dimension + 1, rank));
        }
        sum = sum ? vkg_add(graph, sum, column) : column;
    }
    return sum;
}

/* --- boxes --- */

/* One side of the boxes cut into `bins` bins of so many samples: its places, [R, bins·samples]. */
static vkg_tensor *box_places(vkg_graph *graph, vkg_tensor *boxes, uint32_t first, uint32_t bins,
                              const vkg_roi_align_desc *desc)
{
    float scale = desc->scale != 0 ? desc->scale : 1;
    vkg_tensor *low =
        vkg_affine(graph, vkg_slice(graph, boxes, 1, first, 1, 1), scale, desc->aligned ? -0.5f : 0);
    vkg_tensor *high =
        vkg_affine(graph, vkg_slice(graph, boxes, 1, first + 2, 1, 1), scale, desc->aligned ? -0.5f : 0);
    vkg_tensor *extent = vkg_sub(graph, high, low);
    if (!desc->aligned)
        extent = vkg_maximum(graph, extent, vkg_constant(graph, 1, VKG_SCALAR));
    uint32_t count = bins * desc->samples;
    float *fractions = arena_alloc(&graph->arena, count * sizeof *fractions);
    if (!fractions) {
        graph->out_of_memory = true;
        return graph->poison;
    }
    for (uint32_t i = 0; i < count; i++)
        fractions[i] = (float)((i + 0.5) / count);
    return vkg_add(graph, low,
                   vkg_mul(graph, extent, vkg_data(graph, VKG_SHAPE(1, count), VKG_FLOAT32, fractions)));
}

/* Those up to one element outside are moved to the edge; those further out count as zeros. */
static struct places points_of_boxes(vkg_graph *graph, vkg_tensor *places, vkg_shape shape, uint32_t size,
                                     uint32_t step)
{
    places = vkg_reshape(graph, places, shape);
    struct places p = clamped_places(graph, places, size);
    p.inside = within(graph, places, -1, (float)size);
    p.step = step;
    return p;
}

static bool check_boxes(vkg_graph *graph, const vkg_tensor *x, const vkg_tensor *boxes,
                        const vkg_roi_align_desc *desc)
{
    const uint32_t most = 1u << 14;
    if (boxes->poisoned || !has_spatial_dimensions(graph, "roi_align", x, 2, 2))
        return false;
    if (boxes->shape.rank != 2 || boxes->shape.dims[1] != 5) {
        graph_fail(graph, "roi_align: the boxes %s must be [R, 5]", SHAPE(&boxes->shape));
        return false;
    }
    if (desc->height == 0 || desc->width == 0 || desc->samples == 0 || desc->height > most ||
        desc->width > most || desc->samples > most) {
        graph_fail(graph, "roi_align: height %u, width %u and %u samples must be 1 to 16384", desc->height,
                   desc->width, desc->samples);
        return false;
    }
    if (shape_elements(&x->shape) / x->shape.dims[3] > MOST_INDICES) {
        graph_fail(graph, "roi_align: x %s has more than 2^24 elements a channel", SHAPE(&x->shape));
        return false;
    }
    return true;
}

vkg_tensor *vkg_roi_align(vkg_graph *graph, vkg_tensor *x, vkg_tensor *boxes, const vkg_roi_align_desc *desc)
{
    if (!check_boxes(graph, x, boxes, desc))
        return graph->poison;
    const uint32_t *d = x->shape.dims, count = boxes->shape.dims[0], corners = 4;
    uint32_t rows = desc->height * desc->samples, columns = desc->width * desc->samples;
    if ((uint64_t)count * rows > INT32_MAX / columns / corners)
        return graph_fail(graph, "roi_align: %u boxes of %u·%u samples are too many", count, rows, columns);
    vkg_tensor *xs = box_places(graph, boxes, 1, desc->width, desc);
    vkg_tensor *ys = box_places(graph, boxes, 2, desc->height, desc);
    vkg_tensor *image = vkg_reshape(graph, vkg_slice(graph, boxes, 1, 0, 1, 1), VKG_SHAPE(count, 1, 1, 1));
    struct sampling s = {
        .from = vkg_reshape(graph, x, VKG_SHAPE(d[0] * d[1] * d[2], d[3])),
        .axis = 0,
        .count = 3,
        .corners = corners,
        .corner_axis = 0,
        .corner_shape = VKG_SHAPE(corners, 1, 1, 1, 1),
        .index_shape = VKG_SHAPE(corners * count * rows * columns, 1),
        .result_shape = VKG_SHAPE(corners, count, rows, columns, d[3]),
        .axes = {points_of_boxes(graph, xs, VKG_SHAPE(count, 1, columns, 1), d[2], 1),
                 points_of_boxes(graph, ys, VKG_SHAPE(count, rows, 1, 1), d[1], d[2]),
                 {.low = vkg_floor(graph, image), .free = true, .size = d[0], .step = d[1] * d[2]}}};
    vkg_shape bins = VKG_SHAPE(count, desc->height, desc->samples, desc->width, desc->samples, d[3]);
    return vkg_mean(graph, vkg_reshape(graph, sample(graph, &s), bins), 1u << 2 | 1u << 4, false);
}
