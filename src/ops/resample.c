/* Resizing and filtering along the spatial dimensions, one axis after the other, each a sparse linear map. */
#include "ops/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"

/* --- maps that are written term by term --- */

bool map_begin(struct map_builder *m, vkg_graph *graph, uint32_t out, uint64_t most_terms)
{
    *m = (struct map_builder){.graph = graph};
    if (out == 0 || out >= INT32_MAX || most_terms >= INT32_MAX)
        return false;
    m->start = calloc((size_t)out + 1, sizeof *m->start);
    m->index = calloc(most_terms + 1, sizeof *m->index);
    m->weight = calloc(most_terms + 1, sizeof *m->weight);
    if (m->start && m->index && m->weight)
        return true;
    graph->out_of_memory = true;
    map_free(m);
    return false;
}

void map_add(struct map_builder *m, uint32_t index, double weight)
{
    m->index[m->terms] = index;
    m->weight[m->terms++] = (float)weight;
}

void map_end_row(struct map_builder *m)
{
    m->start[++m->rows] = m->terms;
}

void map_free(struct map_builder *m)
{
    free(m->start);
    free(m->index);
    free(m->weight);
    *m = (struct map_builder){0};
}

vkg_tensor *map_apply(struct map_builder *m, vkg_tensor *a, uint32_t axis)
{
    vkg_tensor *result = vkg_apply_linear_map(
        m->graph, a, axis,
        &(vkg_linear_map){.out = m->rows, .start = m->start, .index = m->index, .weight = m->weight});
    map_free(m);
    return result;
}

vkg_tensor *map_failed(vkg_graph *graph, const char *call, const vkg_tensor *a)
{
    if (graph->out_of_memory)
        return graph->poison;
    return graph_fail(graph, "%s of %s: there would be too many elements", call, SHAPE(&a->shape));
}

bool has_spatial_dimensions(vkg_graph *graph, const char *call, const vkg_tensor *x, uint32_t least,
                            uint32_t most)
{
    if (x->poisoned)
        return false;
    if (x->shape.rank >= least + 2 && x->shape.rank <= most + 2)
        return true;
    graph_fail(graph, "%s: x %s must have %u to %u dimensions", call, SHAPE(&x->shape), least + 2, most + 2);
    return false;
}

/* --- interpolation --- */

/* The filters, of the distance in elements. Keys 1981. */
static double linear_filter(double x)
{
    return fabs(x) < 1 ? 1 - fabs(x) : 0;
}

static double cubic_filter(double x, double a)
{
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

struct interpolation {
    vkg_interpolation mode;
    bool align_corners, antialias;
    int64_t size, out;
};

/* Steps in the input for one in the output. */
static double scale_of(const struct interpolation *p)
{
    if (p->align_corners)
        return p->out > 1 ? (double)(p->size - 1) / (double)(p->out - 1) : 0;
    return (double)p->size / (double)p->out;
}

/* In float32, as PyTorch has it, since where the product is nearly whole the rounding decides. */
static void nearest_row(struct map_builder *m, const struct interpolation *p, int64_t o)
{
    float scale = (float)p->size / (float)p->out;
    int64_t i = (int64_t)floorf((float)o * scale);
    map_add(m, (uint32_t)(i < p->size ? i : p->size - 1), 1);
}

/* Taps to the left and right of the place; those outside of the input are its outermost elements. */
static void filter_row(struct map_builder *m, const struct interpolation *p, int64_t o)
{
    double scale = scale_of(p);
    double place = p->align_corners ? scale * (double)o : scale * ((double)o + 0.5) - 0.5;
    if (p->mode == VKG_LINEAR && place < 0)
        place = 0;
    int64_t first = (int64_t)floor(place), reach = p->mode == VKG_CUBIC ? 2 : 1;
    for (int64_t i = first - reach + 1; i <= first + reach; i++) {
        double distance = place - (double)i;
        double weight = p->mode == VKG_CUBIC ? cubic_filter(distance, -0.75) : linear_filter(distance);
        int64_t there = i < 0 ? 0 : i >= p->size ? p->size - 1 : i;
        if (weight != 0)
            map_add(m, (uint32_t)there, weight);
    }
}

/* The filter as wide as the step, where that is more than one element, and only over what is there. */
static void antialias_row(struct map_builder *m, const struct interpolation *p, int64_t o)
{
    double scale = scale_of(p), stretch = scale > 1 ? scale : 1, sum = 0;
    double support = (p->mode == VKG_CUBIC ? 2 : 1) * stretch, centre = scale * ((double)o + 0.5);
    int64_t first = (int64_t)(centre - support + 0.5), end = (int64_t)(centre + support + 0.5);
    first = first > 0 ? first : 0;
    end = end < p->size ? end : p->size;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = first; i < end; i++) {
            double distance = ((double)i - centre + 0.5) / stretch;
            double weight = p->mode == VKG_CUBIC ? cubic_filter(distance, -0.5) : linear_filter(distance);
            if (pass == 0)
                sum += weight;
            else if (weight != 0)
                map_add(m, (uint32_t)i, weight / sum);
        }
}

static vkg_tensor *interpolate_axis(vkg_graph *graph, vkg_tensor *a, uint32_t axis,
                                    const struct interpolation *p)
{
    struct map_builder m;
    double reach = 2 * (p->antialias ? ceil(scale_of(p)) + 1 : 1) + 2;
    if (p->size == p->out)
        return a;
    if (!map_begin(&m, graph, (uint32_t)p->out, (uint64_t)((double)p->out * 2 * reach)))
        return map_failed(graph, "interpolate", a);
    for (int64_t o = 0; o < p->out; o++) {
        if (p->mode == VKG_NEAREST)
            nearest_row(&m, p, o);
        else if (p->antialias)
            antialias_row(&m, p, o);
        else
            filter_row(&m, p, o);
        map_end_row(&m);
    }
    return map_apply(&m, a, axis);
}

vkg_tensor *vkg_interpolate(vkg_graph *graph, vkg_tensor *x, const vkg_interpolate_desc *desc)
{
    if (!has_spatial_dimensions(graph, "interpolate", x, 1, 3))
        return graph->poison;
    uint32_t spatial = x->shape.rank - 2;
    if ((uint32_t)desc->mode > VKG_CUBIC ||
        (desc->mode == VKG_NEAREST && (desc->align_corners || desc->antialias)))
        return graph_fail(graph, "interpolate: mode %d%s", (int)desc->mode,
                          desc->mode == VKG_NEAREST ? " has neither align_corners nor antialias"
                                                    : " is not known");
    if (desc->mode == VKG_CUBIC && spatial != 2)
        return graph_fail(graph, "interpolate: x %s must have 4 dimensions for VKG_CUBIC",
                          SHAPE(&x->shape));
    for (uint32_t i = 0; i < spatial; i++)
        if (desc->size[i] == 0 || desc->size[i] > INT32_MAX)
            return graph_fail(graph, "interpolate: size[%u] is %u", i, desc->size[i]);
    x = vkg_cast(graph, x, VKG_FLOAT32);
    for (uint32_t i = 0; i < spatial && !x->poisoned; i++) {
        struct interpolation p = {desc->mode, desc->align_corners, desc->antialias, x->shape.dims[i + 1],
                                  desc->size[i]};
        x = interpolate_axis(graph, x, i + 1, &p);
    }
    return x;
}

/* --- zero insertion, filter, decimation --- */

static vkg_tensor *fir_axis(vkg_graph *graph, vkg_tensor *a, uint32_t axis, const vkg_fir_desc *d, double gain)
{
    struct map_builder m;
    int64_t size = a->shape.dims[axis], up = d->up ? d->up : 1, down = d->down ? d->down : 1, taps = d->taps;
    int64_t room = size * up + d->pad_low + d->pad_high - taps;
    int64_t out = room < 0 ? 0 : room / down + 1;
    if (out == 0)
        return graph_fail(
            graph, "upfirdn2d: %u taps are more than axis %u of %s has with up %u and padding [%d, %d]",
            d->taps, axis, SHAPE(&a->shape), (uint32_t)up, d->pad_low, d->pad_high);
    if (out > INT32_MAX || !map_begin(&m, graph, (uint32_t)out, (uint64_t)(out * (taps / up + 1))))
        return map_failed(graph, "upfirdn2d", a);
    for (int64_t o = 0; o < out; o++) {
        int64_t first = o * down - d->pad_low;    /* of the window, in the input with its zeros */
        int64_t late = ((-first) % up + up) % up; /* how far behind it the first element that is no zero lies */
        for (int64_t t = late; t < taps; t += up) {
            int64_t i = (first + t) / up;
            if (first + t >= 0 && i < size)
                map_add(&m, (uint32_t)i, d->filter[taps - 1 - t] * gain);
        }
        map_end_row(&m);
    }
    return map_apply(&m, a, axis);
}

vkg_tensor *vkg_upfirdn2d(vkg_graph *graph, vkg_tensor *x, const vkg_fir_desc *desc)
{
    const uint32_t most = 1u << 16; /* far beyond any use, and no product below overflows */
    if (!has_spatial_dimensions(graph, "upfirdn2d", x, 2, 2))
        return graph->poison;
    if (!desc->filter || desc->taps == 0 || desc->taps > most || desc->up > most || desc->down > most)
        return graph_fail(graph,
                          "upfirdn2d: %u taps, up %u and down %u, of which each may be 65536 at most",
                          desc->filter ? desc->taps : 0, desc->up, desc->down);
    double gain = sqrt(desc->gain != 0 ? (double)desc->gain : 1);
    if (!(gain >= 0))
        return graph_fail(graph, "upfirdn2d: the gain %g is negative", (double)desc->gain);
    x = fir_axis(graph, vkg_cast(graph, x, VKG_FLOAT32), 1, desc, gain);
    return x->poisoned ? x : fir_axis(graph, x, 2, desc, gain);
}

/* --- padding with the tensor's own elements --- */

/* Where element i of the padded axis comes from; i may lie outside of [0, size). */
static int64_t padding_source(int64_t i, int64_t size, vkg_pad_mode mode)
{
    if (i >= 0 && i < size)
        return i;
    if (mode == VKG_PAD_REPLICATE)
        return i < 0 ? 0 : size - 1;
    if (mode == VKG_PAD_CIRCULAR)
        return i < 0 ? i + size : i - size;
    return i < 0 ? -i : 2 * (size - 1) - i;
}

vkg_tensor *pad_with_own(vkg_graph *graph, vkg_tensor *a, uint32_t axis, int32_t low, int32_t high,
                         vkg_pad_mode mode)
{
    struct map_builder m;
    int64_t size = a->shape.dims[axis], before = low, behind = high, out = size + before + behind;
    int64_t most = mode == VKG_PAD_REPLICATE ? INT32_MAX : mode == VKG_PAD_CIRCULAR ? size : size - 1;
    if (before > most || behind > most || out <= 0 || out > INT32_MAX || -before >= size || -behind >= size)
        return graph_fail(graph, "pad: %d before and %d behind axis %u of %s in mode %d", low, high, axis,
                          SHAPE(&a->shape), (int)mode);
    if (!map_begin(&m, graph, (uint32_t)out, (uint64_t)out))
        return map_failed(graph, "pad", a);
    for (int64_t o = 0; o < out; o++) {
        map_add(&m, (uint32_t)padding_source(o - before, size, mode), 1);
        map_end_row(&m);
    }
    return map_apply(&m, a, axis);
}

/* --- blocks of channels --- */

vkg_tensor *vkg_pixel_shuffle(vkg_graph *graph, vkg_tensor *x, uint32_t factor)
{
    if (!has_spatial_dimensions(graph, "pixel_shuffle", x, 2, 2))
        return graph->poison;
    const uint32_t *d = x->shape.dims, f = factor;
    if (f == 0 || f > 32768 || d[3] % (f * f) != 0 || (uint64_t)d[1] * f > INT32_MAX ||
        (uint64_t)d[2] * f > INT32_MAX)
        return graph_fail(graph, "pixel_shuffle: the channels of %s are not a multiple of %u²",
                          SHAPE(&x->shape), f);
    vkg_tensor *blocks = vkg_reshape(graph, x, VKG_SHAPE(d[0], d[1], d[2], d[3] / (f * f), f, f));
    blocks = vkg_permute(graph, blocks, (const uint32_t[]){0, 1, 4, 2, 5, 3});
    return vkg_reshape(graph, blocks, VKG_SHAPE(d[0], d[1] * f, d[2] * f, d[3] / (f * f)));
}

vkg_tensor *vkg_pixel_unshuffle(vkg_graph *graph, vkg_tensor *x, uint32_t factor)
{
    if (!has_spatial_dimensions(graph, "pixel_unshuffle", x, 2, 2))
        return graph->poison;
    const uint32_t *d = x->shape.dims, f = factor;
    if (f == 0 || f > 32768 || d[1] % f != 0 || d[2] % f != 0 || (uint64_t)d[3] * f > INT32_MAX / f)
        return graph_fail(graph, "pixel_unshuffle: height and width of %s are not multiples of %u",
                          SHAPE(&x->shape), f);
    vkg_tensor *blocks = vkg_reshape(graph, x, VKG_SHAPE(d[0], d[1] / f, f, d[2] / f, f, d[3]));
    blocks = vkg_permute(graph, blocks, (const uint32_t[]){0, 1, 3, 5, 2, 4});
    return vkg_reshape(graph, blocks, VKG_SHAPE(d[0], d[1] / f, d[2] / f, d[3] * f * f));
}
