/* Generators of pairs on pictures of any size: part by part, where the parts overlap by what a pixel can depend on. */
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "base/log.h"
#include "device/device.h"
#include "vkgan/gan.h"

struct vkg_tiles {
    vkg_device *device;
    vkg_tiles_desc desc;
    vkg_state *state;
    vkg_sampler *sampler; /* of parts of height × width, the last that were asked for */
    uint32_t height, width;
    float *part, *made; /* a part of the input and what becomes of it */
};

/* Settings for parts of that size. */
static vkg_sampler_desc sampler_desc(const vkg_tiles *tiles, uint32_t height, uint32_t width)
{
    vkg_sampler_desc desc = {.generator = tiles->desc.generator, .scope = tiles->desc.scope, .settings = tiles->desc.settings,
                             .batch = 1, .state = tiles->state};
    vkg_network_settings *s = &desc.settings;
    s->input[0] = height, s->input[1] = width;
    s->image[0] = height * tiles->desc.factor, s->image[1] = width * tiles->desc.factor;
    return desc;
}

vkg_result vkg_tiles_create(vkg_device *device, const vkg_tiles_desc *desc, vkg_tiles **tiles)
{
    *tiles = NULL;
    const uint32_t step = desc->step ? desc->step : 1, most = 16384;
    if (desc->reach > 2048 || step > most)
        return vkg_fail(&device->log, VKG_ERROR_INVALID, "vkg_tiles_create: a reach of %u and a step of %u, expected at most 2048 and %u",
                        desc->reach, step, most);
    const uint32_t reach = (uint32_t)round_up(desc->reach, step); /* so that parts begin where a step does */
    const uint32_t side = desc->side ? desc->side : (uint32_t)round_up(reach > 21 ? 6 * reach : 128, step);
    if (side > most || side <= 2 * reach || side % step != 0 || desc->settings.input[2] == 0)
        return vkg_fail(&device->log, VKG_ERROR_INVALID, "vkg_tiles_create: parts of %u with a reach of %u, a step of %u and %u channels, "
                        "expected more than twice the reach, at most %u, a multiple of the step, and channels", side, reach, step,
                        desc->settings.input[2], most);
    vkg_tiles *made = calloc(1, sizeof *made);
    if (!made)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_tiles_create: out of host memory");
    made->device = device;
    made->desc = *desc;
    made->desc.side = side;
    made->desc.reach = reach;
    made->desc.step = step;
    made->desc.factor = desc->factor ? desc->factor : 1;
    const vkg_sampler_desc whole = sampler_desc(made, made->desc.side, made->desc.side);
    vkg_result result = vkg_sampler_create_state(device, &whole, &made->state);
    if (result != VKG_OK)
        vkg_tiles_destroy(&made);
    *tiles = made;
    return result;
}

static void free_sampler(vkg_tiles *tiles)
{
    vkg_sampler_destroy(&tiles->sampler);
    free(tiles->part);
    free(tiles->made);
    tiles->part = tiles->made = NULL;
    tiles->height = tiles->width = 0;
}

void vkg_tiles_destroy(vkg_tiles **tiles)
{
    if (!tiles || !*tiles)
        return;
    free_sampler(*tiles);
    vkg_state_destroy(&(*tiles)->state);
    free(*tiles);
    *tiles = NULL;
}

vkg_state *vkg_tiles_state(vkg_tiles *tiles)
{
    return tiles->state;
}

/* Ready for parts of that size: as a rule those of the call before. */
static vkg_result prepare(vkg_tiles *tiles, uint32_t height, uint32_t width)
{
    if (tiles->sampler && tiles->height == height && tiles->width == width)
        return VKG_OK;
    free_sampler(tiles);
    const vkg_sampler_desc desc = sampler_desc(tiles, height, width);
    const size_t pixels = (size_t)height * width, factor = tiles->desc.factor;
    tiles->part = malloc(pixels * desc.settings.input[2] * sizeof *tiles->part);
    tiles->made = malloc(pixels * factor * factor * desc.settings.image[2] * sizeof *tiles->made);
    if (!tiles->part || !tiles->made)
        return vkg_fail(&tiles->device->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_tiles_run: out of host memory");
    vkg_result result = vkg_sampler_create(tiles->device, &desc, &tiles->sampler);
    if (result != VKG_OK)
        return result;
    uint32_t made[3];
    vkg_sampler_image(tiles->sampler, made);
    if (made[0] != desc.settings.image[0] || made[1] != desc.settings.image[1])
        return vkg_fail(&tiles->device->log, VKG_ERROR_INVALID, "vkg_tiles_run: the generator makes %u×%u of parts of %u×%u, expected %u×%u",
                        made[0], made[1], height, width, desc.settings.image[0], desc.settings.image[1]);
    tiles->height = height, tiles->width = width;
    return VKG_OK;
}

/* Along one side of the picture: a part of it, and what of that is kept, because all that it depends on lies in the part. */
struct span {
    uint32_t start, keep, end; /* the part begins at start; keep up to end */
};

/* The first part begins with the picture and the last ends with it, so that its borders are padded as those of a whole one. */
static struct span next_span(uint32_t done, uint32_t length, uint32_t side, uint32_t reach)
{
    uint32_t start = done > reach ? done - reach : 0;
    if (start > length - side)
        start = length - side;
    const uint32_t end = start + side == length ? length : start + side - reach;
    return (struct span){start, done, end};
}

static vkg_result run_part(vkg_tiles *tiles, const float *input, uint32_t picture_width, struct span y, struct span x, float *output)
{
    const uint32_t channels = tiles->desc.settings.input[2], factor = tiles->desc.factor, out = tiles->desc.settings.image[2];
    const size_t row = (size_t)tiles->width * channels, made_row = (size_t)tiles->width * factor * out;
    for (size_t i = 0; i < tiles->height; i++)
        memcpy(tiles->part + i * row, input + ((y.start + i) * picture_width + x.start) * channels, row * sizeof *input);
    vkg_result result = vkg_sampler_translate(tiles->sampler, 0, tiles->part, 1, tiles->made);
    for (size_t i = (size_t)y.keep * factor; i < (size_t)y.end * factor && result == VKG_OK; i++)
        memcpy(output + (i * picture_width + x.keep) * factor * out,
               tiles->made + (i - (size_t)y.start * factor) * made_row + (size_t)(x.keep - x.start) * factor * out,
               (size_t)(x.end - x.keep) * factor * out * sizeof *output);
    return result;
}

vkg_result vkg_tiles_run(vkg_tiles *tiles, const float *input, uint32_t height, uint32_t width, float *output)
{
    const uint32_t side = tiles->desc.side, reach = tiles->desc.reach, step = tiles->desc.step;
    if (height == 0 || width == 0 || height % step != 0 || width % step != 0)
        return vkg_fail(&tiles->device->log, VKG_ERROR_INVALID, "vkg_tiles_run: a picture of %u×%u, expected multiples of %u", height, width,
                        step);
    vkg_result result = prepare(tiles, height < side ? height : side, width < side ? width : side);
    for (struct span y = {0}; y.end < height && result == VKG_OK;) {
        y = next_span(y.end, height, tiles->height, reach);
        for (struct span x = {0}; x.end < width && result == VKG_OK;) {
            x = next_span(x.end, width, tiles->width, reach);
            result = run_part(tiles, input, width, y, x, output);
        }
    }
    return result;
}

vkg_result vkg_tiles_run_image(vkg_tiles *tiles, const vkg_image *input, vkg_image *output)
{
    const uint32_t channels = tiles->desc.settings.image[2], factor = tiles->desc.factor;
    const vkg_log *log = &tiles->device->log;
    *output = (vkg_image){0};
    if (input->channels != tiles->desc.settings.input[2])
        return vkg_fail(log, VKG_ERROR_INVALID, "vkg_tiles_run_image: a picture of %u channels, expected %u", input->channels,
                        tiles->desc.settings.input[2]);
    const size_t pixels = (size_t)input->height * input->width, made = pixels * factor * factor * channels;
    float *values = malloc(pixels * input->channels * sizeof *values), *results = malloc(made * sizeof *results);
    vkg_image image = {input->width * factor, input->height * factor, channels, malloc(made)};
    vkg_result result = VKG_OK;
    if (!values || !results || !image.pixels)
        result = vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for a picture of %u×%u", image.width, image.height);
    for (size_t i = 0; i < pixels * input->channels && result == VKG_OK; i++)
        values[i] = (float)input->pixels[i] / 127.5f - 1;
    if (result == VKG_OK)
        result = vkg_tiles_run(tiles, values, input->height, input->width, results);
    if (result == VKG_OK)
        vkg_image_bytes(results, made, image.pixels);
    else
        vkg_image_free(&image);
    free(values);
    free(results);
    *output = image;
    return result;
}
