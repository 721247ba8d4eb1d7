/* Samples of programs that make images of inputs: pairs of the data, and what the generator makes of them. */
#include <stdlib.h>
#include <string.h>

#include "app/app.h"

static size_t elements_of(const uint32_t shape[3])
{
    return (size_t)shape[0] * shape[1] * shape[2];
}

void pairs_free(struct pair_samples *samples)
{
    free(samples->inputs);
    free(samples->outputs);
    free(samples->targets);
    *samples = (struct pair_samples){0};
}

vkg_result pairs_translate(vkg_app *app, vkg_sampler *sampler, const vkg_view *view, uint64_t seed, uint32_t count,
                           uint32_t pairs, struct pair_samples *samples)
{
    const vkg_view_shape shape = vkg_view_get_shape(view);
    const size_t input = elements_of(shape.input), target = elements_of(shape.target);
    *samples = (struct pair_samples){malloc(count * input * sizeof(float)), malloc(count * target * sizeof(float)),
                                     malloc(count * target * sizeof(float))};
    vkg_result result = VKG_OK;
    if (!samples->inputs || !samples->outputs || !samples->targets)
        result = vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for %u pairs of images", count);
    for (uint32_t i = 0; i < count && result == VKG_OK; i++)
        result = vkg_view_read(view, (uint32_t)((uint64_t)i * pairs / count), samples->targets + i * target,
                               samples->inputs + i * input);
    if (result == VKG_OK)
        result = vkg_sampler_translate(sampler, seed, samples->inputs, count, samples->outputs);
    return result;
}

/* --- pictures --- */

/* ITU-R BT.601, as everywhere in the library. */
static float luma(const float pixel[3])
{
    return 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
}

/* The value at a place of [height, width, channels]. */
static float nearest(const float *values, const uint32_t from[3], const uint32_t to[3], const uint32_t place[3])
{
    const size_t y = (size_t)place[0] * from[0] / to[0], x = (size_t)place[1] * from[1] / to[1];
    const float *pixel = values + (y * from[1] + x) * from[2];
    return from[2] == to[2] ? pixel[place[2]] : from[2] == 3 ? luma(pixel) : pixel[0];
}

void fit_picture(const float *values, const uint32_t from[3], const uint32_t to[3], float *fitted)
{
    uint32_t place[3];
    for (place[0] = 0; place[0] < to[0]; place[0]++)
        for (place[1] = 0; place[1] < to[1]; place[1]++)
            for (place[2] = 0; place[2] < to[2]; place[2]++)
                *fitted++ = nearest(values, from, to, place);
}

vkg_result pairs_write_picture(const vkg_app *app, const struct pair_samples *samples, uint32_t count,
                               const vkg_view_shape *shape, const char *path)
{
    const uint32_t *input = shape->input, *target = shape->target;
    const uint32_t cell[3] = {target[0], target[1], input[2] > target[2] ? input[2] : target[2]};
    const size_t elements = elements_of(cell);
    float *cells = malloc(3 * count * elements * sizeof *cells);
    vkg_image picture = {0};
    if (!cells)
        return vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of memory", path);
    for (uint32_t i = 0; i < count; i++) {
        fit_picture(samples->inputs + i * elements_of(input), input, cell, cells + (3 * i) * elements);
        fit_picture(samples->outputs + i * elements_of(target), target, cell, cells + (3 * i + 1) * elements);
        fit_picture(samples->targets + i * elements_of(target), target, cell, cells + (3 * i + 2) * elements);
    }
    vkg_result result = vkg_image_grid(&app->log, &(vkg_grid_desc){.count = 3 * count, .columns = count > 4 ? 6 : 3,
                                                                   .height = cell[0], .width = cell[1], .channels = cell[2],
                                                                   .values = cells}, &picture);
    if (result == VKG_OK)
        result = vkg_image_save_png(&app->log, path, picture.width, picture.height, picture.channels, picture.pixels);
    vkg_image_free(&picture);
    free(cells);
    return result;
}
