#include "data/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/resize.h"
#include "io/stb.h"

size_t picture_bytes(const struct picture *picture)
{
    return (size_t)picture->width * picture->height * picture->channels * (picture->floats ? sizeof(float) : 1);
}

/* --- scratch memory --- */

void *scratch_reserve(struct scratch_block *block, size_t bytes)
{
    if (bytes > block->size) {
        free(block->memory);
        block->memory = malloc(bytes);
        block->size = block->memory ? bytes : 0;
    }
    return block->memory;
}

void scratch_free(struct scratch *scratch)
{
    free(scratch->decoded.memory);
    free(scratch->resized.memory);
    free(scratch->recoloured.memory);
    *scratch = (struct scratch){0};
}

/* --- channels --- */

void picture_drop_alpha(uint8_t *pixels, size_t count, uint32_t channels)
{
    uint32_t colours = channels - 1;
    for (size_t i = 0; i < count; ++i) {
        unsigned alpha = pixels[i * channels + colours];
        for (uint32_t c = 0; c < colours; ++c) {
            unsigned colour = pixels[i * channels + c];
            pixels[i * colours + c] = (uint8_t)((colour * alpha + 255 * (255 - alpha) + 127) / 255);
        }
    }
}

static void repeat_grey(const struct picture *grey, size_t count, void *colour)
{
    for (size_t i = 0; i < count * 3; ++i) {
        if (grey->floats)
            ((float *)colour)[i] = ((const float *)grey->pixels)[i / 3];
        else
            ((uint8_t *)colour)[i] = ((const uint8_t *)grey->pixels)[i / 3];
    }
}

/* ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B */
static void take_luma(const struct picture *colour, size_t count, void *grey)
{
    for (size_t i = 0; i < count; ++i) {
        if (colour->floats) {
            const float *rgb = (const float *)colour->pixels + i * 3;
            ((float *)grey)[i] = 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
        } else {
            const uint8_t *rgb = (const uint8_t *)colour->pixels + i * 3;
            ((uint8_t *)grey)[i] = (uint8_t)((299u * rgb[0] + 587u * rgb[1] + 114u * rgb[2] + 500u) / 1000u);
        }
    }
}

static bool recolour(struct picture *picture, uint32_t channels, struct scratch *scratch)
{
    struct picture made = *picture;
    made.channels = channels;
    void *pixels = scratch_reserve(&scratch->recoloured, picture_bytes(&made));
    if (!pixels)
        return false;
    size_t count = (size_t)picture->width * picture->height;
    if (channels == 3)
        repeat_grey(picture, count, pixels);
    else
        take_luma(picture, count, pixels);
    made.pixels = pixels;
    *picture = made;
    return true;
}

/* --- size --- */

/* Narrows to the greatest centred part with the aspect of width × height; the rows keep their pitch. */
static struct picture crop(const struct picture *picture, uint32_t width, uint32_t height)
{
    struct picture part = *picture;
    uint64_t wide = (uint64_t)picture->height * width / height,
             high = (uint64_t)picture->width * height / width;
    if (wide < part.width)
        part.width = wide ? (uint32_t)wide : 1;
    else if (high < part.height)
        part.height = high ? (uint32_t)high : 1;
    size_t x = (picture->width - part.width) / 2, y = (picture->height - part.height) / 2;
    size_t element = picture->channels * (picture->floats ? sizeof(float) : 1);
    part.pixels = (const char *)picture->pixels + (y * picture->width + x) * element;
    return part;
}

static bool resize(struct picture *picture, uint32_t width, uint32_t height, struct scratch *scratch)
{
    struct picture part = crop(picture, width, height);
    struct picture made = {width, height, picture->channels, picture->floats, NULL};
    void *pixels = scratch_reserve(&scratch->resized, picture_bytes(&made));
    if (!pixels)
        return false;
    size_t element = picture->floats ? sizeof(float) : 1;
    int pitch = (int)(picture->width * picture->channels * element);
    int from_width = (int)part.width, from_height = (int)part.height, channels = (int)part.channels;
    /* A box averages the area that a new pixel covers; a triangle is bilinear. */
    stbir_filter filter = width < part.width || height < part.height ? STBIR_FILTER_BOX : STBIR_FILTER_TRIANGLE;
    int good;
    if (picture->floats)
        good = stbir_resize_float_generic(part.pixels, from_width, from_height, pitch, pixels, (int)width,
                                          (int)height, 0, channels, STBIR_ALPHA_CHANNEL_NONE, 0,
                                          STBIR_EDGE_CLAMP, filter, STBIR_COLORSPACE_LINEAR, NULL);
    else
        good = stbir_resize_uint8_generic(part.pixels, from_width, from_height, pitch, pixels, (int)width,
                                          (int)height, 0, channels, STBIR_ALPHA_CHANNEL_NONE, 0,
                                          STBIR_EDGE_CLAMP, filter, STBIR_COLORSPACE_LINEAR, NULL);
    made.pixels = pixels;
    *picture = made;
    return good;
}

bool picture_fit(struct picture *picture, uint32_t width, uint32_t height, uint32_t channels,
                 struct scratch *scratch)
{
    if ((picture->width != width || picture->height != height) && !resize(picture, width, height, scratch))
        return false;
    return picture->channels == channels || recolour(picture, channels, scratch);
}

bool picture_resize(struct picture *picture, vkg_image_filter filter, uint32_t width, uint32_t height,
                    struct scratch_block *block)
{
    size_t element = picture->floats ? sizeof(float) : 1;
    const struct resize_source source = {picture->pixels,   picture->width * picture->channels * element,
                                         picture->width,    picture->height,
                                         picture->channels, picture->floats};
    struct picture made = {width, height, picture->channels, picture->floats, NULL};
    void *pixels = scratch_reserve(block, picture_bytes(&made));
    if (!pixels || !resize_pixels(&source, filter, width, height, pixels))
        return false;
    float *values = picture->floats ? pixels : NULL; /* which overshoot at edges, where bytes have ends */
    for (size_t i = 0; values && i < (size_t)width * height * picture->channels; ++i)
        values[i] = fminf(1, fmaxf(-1, values[i]));
    made.pixels = pixels;
    *picture = made;
    return true;
}

bool picture_take(struct picture *picture, const struct picture_part *part, struct scratch_block *block)
{
    if (part->width == picture->width && part->height == picture->height && !part->mirror)
        return true;
    struct picture made = {part->width, part->height, picture->channels, picture->floats, NULL};
    size_t pixel = picture->channels * (picture->floats ? sizeof(float) : 1);
    char *pixels = scratch_reserve(block, picture_bytes(&made));
    if (!pixels)
        return false;
    for (uint32_t y = 0; y < part->height; ++y) {
        const char *from =
            (const char *)picture->pixels + ((part->y + y) * (size_t)picture->width + part->x) * pixel;
        char *to = pixels + (size_t)y * part->width * pixel;
        if (!part->mirror)
            memcpy(to, from, part->width * pixel);
        for (uint32_t x = 0; part->mirror && x < part->width; ++x)
            memcpy(to + x * pixel, from + (part->width - 1 - x) * pixel, pixel);
    }
    made.pixels = pixels;
    *picture = made;
    return true;
}

/* --- floats --- */

void picture_write_floats(const struct picture *picture, float *values)
{
    size_t count = (size_t)picture->width * picture->height * picture->channels;
    if (picture->floats) {
        memcpy(values, picture->pixels, count * sizeof *values);
        return;
    }
    const uint8_t *bytes = picture->pixels;
    for (size_t i = 0; i < count; ++i)
        values[i] = (float)bytes[i] / 127.5f - 1.0f;
}
