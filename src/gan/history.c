/* A buffer of generated images of earlier steps. */
#include <stdio.h>

#include "gan/augment.h"
#include "vkgan/augment.h"
#include "vkgan/ops.h"
#include "vkgan/resample.h"

/* [N,1,1,1] as a row [1,N]. */
static vkg_tensor *row(vkg_graph *graph, vkg_tensor *column)
{
    return column->poisoned ? column : vkg_reshape(graph, column, VKG_SHAPE(1, column->shape.dims[0]));
}

/* A number an image, [N,1,1,1]; `given` of [N]. */
static vkg_tensor *column_of(vkg_graph *graph, vkg_tensor *given, uint32_t n)
{
    if (given->poisoned)
        return given;
    if (given->shape.rank != 1 || given->shape.dims[0] != n)
        return graph_fail(graph, "history: noise %s, expected [%u]", SHAPE(&given->shape), n);
    return vkg_reshape(graph, given, VKG_SHAPE(n, 1, 1, 1));
}

/* The pool in which, at places[i], images[i] lies where kept[i] is 1. places, kept [N,1,1,1], in float32. */
static vkg_tensor *put(vkg_graph *graph, vkg_tensor *pool, vkg_tensor *images, vkg_tensor *places, vkg_tensor *kept)
{
    const uint32_t n = images->shape.dims[0], capacity = pool->shape.dims[0];
    vkg_tensor *slots = vkg_reshape(graph, pixel_numbers(graph, capacity, 0), VKG_SHAPE(capacity, 1));
    vkg_tensor *numbers = vkg_reshape(graph, pixel_numbers(graph, n, 0), VKG_SHAPE(1, n));
    vkg_tensor *lands = vkg_mul(graph, vkg_equal(graph, slots, row(graph, places)), row(graph, kept));
    /* which image comes to a slot; −1: none, which gathering reads as 0 */
    vkg_tensor *from = vkg_sum(graph, vkg_mul(graph, lands, vkg_affine(graph, numbers, 1, 1)), 1u << 1, false);
    from = vkg_reshape(graph, vkg_affine(graph, from, 1, -1), VKG_SHAPE(capacity, 1, 1, 1));
    vkg_tensor *arrived = vkg_gather(graph, images, 0, vkg_cast(graph, from, VKG_INT32));
    return vkg_where(graph, vkg_less(graph, from, vkg_constant(graph, 0, VKG_SCALAR)), pool, arrived);
}

vkg_tensor *vkg_history(vkg_graph *graph, const char *name, vkg_tensor *images, uint32_t capacity,
                        const vkg_history_noise *noise)
{
    if (images->poisoned)
        return images;
    const uint32_t n = images->shape.rank == 4 ? images->shape.dims[0] : 0;
    char count_name[256];
    if (n == 0 || capacity < n)
        return graph_fail(graph, "history \"%s\": images %s must be [N,H,W,C], and N at most the capacity %u", name,
                          SHAPE(&images->shape), capacity);
    if (snprintf(count_name, sizeof count_name, "%s.count", name) >= (int)sizeof count_name)
        return graph_fail(graph, "history: the name \"%s\" is too long", name);
    images = vkg_detach(graph, images);
    vkg_shape shape = images->shape;
    shape.dims[0] = capacity;
    vkg_tensor *pool = vkg_buffer(graph, name, shape, (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    vkg_tensor *count = vkg_buffer(graph, count_name, VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    vkg_tensor *uniform = noise && noise->uniform ? noise->uniform : vkg_random_uniform(graph, VKG_SHAPE(n));
    vkg_tensor *places = noise && noise->places
                             ? noise->places
                             : vkg_slice(graph, vkg_random_permutation(graph, capacity), 0, 0, n, 1);
    uniform = column_of(graph, uniform, n), places = column_of(graph, places, n);

    vkg_tensor *size = vkg_constant(graph, (float)capacity, VKG_SCALAR);
    vkg_tensor *full = vkg_less_equal(graph, size, count);
    vkg_tensor *chosen = vkg_less_equal(graph, uniform, vkg_constant(graph, 0.5f, VKG_SCALAR));
    vkg_tensor *exchanged = vkg_mul(graph, full, chosen);
    vkg_tensor *next = vkg_add(graph, pixel_numbers(graph, n, 0), count); /* where they go while it fills */
    vkg_tensor *appended = vkg_less(graph, next, size);
    vkg_tensor *result = vkg_where(graph, exchanged, vkg_gather(graph, pool, 0, places), images);
    vkg_assign(graph, pool, put(graph, pool, images, vkg_where(graph, full, places, next),
                                vkg_maximum(graph, exchanged, appended)));
    vkg_assign(graph, count, vkg_minimum(graph, vkg_affine(graph, count, 1, (float)n), size));
    return vkg_detach(graph, result);
}
