#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "io/stb.h"
#include "vkgan/io.h"

void vkg_image_free(vkg_image *image)
{
    if (!image)
        return;
    free(image->pixels);
    *image = (vkg_image){0};
}

void vkg_image_cut(vkg_image *image, uint32_t width, uint32_t height)
{
    const size_t row = (size_t)image->width * image->channels;
    image->width = image->width < width ? image->width : width;
    image->height = image->height < height ? image->height : height;
    const size_t kept = (size_t)image->width * image->channels;
    for (size_t y = 1; y < image->height; y++)
        memmove(image->pixels + y * kept, image->pixels + y * row, kept);
}

/* --- PNG --- */

struct png_target {
    const vkg_log *log;
    const char *path;
    vkg_result result;
};

static void write_png(void *user, void *data, int size)
{
    struct png_target *target = user;
    struct file_part part = {data, (uint64_t)size};
    target->result = file_write_atomic(target->log, target->path, &part, 1);
}

vkg_result vkg_image_save_png(const vkg_log *log, const char *path, uint32_t width, uint32_t height,
                              uint32_t channels, const uint8_t *pixels)
{
    if (width == 0 || height == 0 || channels == 0 || channels > 4)
        return vkg_fail(log, VKG_ERROR_INVALID,
                        "%s: a PNG of %u×%u with %u channels; expected 1 to 4 channels, no side 0", path, width,
                        height, channels);
    /* The encoder counts in int, a filter byte a row included. */
    if (((uint64_t)width * channels + 1) > INT_MAX / 2 / (uint64_t)height)
        return vkg_fail(log, VKG_ERROR_INVALID, "%s: a PNG of %u×%u with %u channels; expected less than 1 GiB",
                        path, width, height, channels);
    /* Stays so where the encoder gives up without calling back, which it does only for memory. */
    struct png_target target = {log, path, VKG_ERROR_OUT_OF_MEMORY};
    if (!stbi_write_png_to_func(write_png, &target, (int)width, (int)height, (int)channels, pixels,
                                (int)(width * channels)))
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory to pack a PNG of %u×%u", path, width,
                        height);
    return target.result;
}

/* --- grids --- */

enum { GAP = 2, GAP_GREY = 128 }; /* grey shows between black tiles and between white ones */

void vkg_image_bytes(const float *values, size_t count, uint8_t *bytes)
{
    for (size_t i = 0; i < count; ++i) {
        float x = (values[i] + 1.0f) * 127.5f;
        bytes[i] = x >= 255.0f ? 255 : x > 0.0f ? (uint8_t)(x + 0.5f) : 0; /* NaN compares false: 0 */
    }
}

static vkg_result check_grid(const vkg_log *log, const vkg_grid_desc *desc)
{
    if (desc->count == 0 || desc->width == 0 || desc->height == 0)
        return vkg_fail(log, VKG_ERROR_INVALID,
                        "image grid: %u images of %u×%u; expected at least one, no side 0", desc->count,
                        desc->width, desc->height);
    if (desc->channels != 1 && desc->channels != 3)
        return vkg_fail(log, VKG_ERROR_INVALID, "image grid: %u channels, expected 1 or 3", desc->channels);
    if (!desc->values == !desc->bytes)
        return vkg_fail(log, VKG_ERROR_INVALID, "image grid: expected either values or bytes");
    return VKG_OK;
}

/* The smallest number whose square is at least `count`. */
static uint32_t near_square(uint32_t count)
{
    uint32_t columns = (uint32_t)sqrt((double)count);
    while ((uint64_t)columns * columns < count)
        ++columns;
    return columns;
}

static void copy_tile(const vkg_grid_desc *desc, uint32_t index, uint8_t *corner, size_t pitch)
{
    size_t row_bytes = (size_t)desc->width * desc->channels;
    for (uint32_t y = 0; y < desc->height; ++y) {
        size_t from = ((size_t)index * desc->height + y) * row_bytes;
        if (desc->values)
            vkg_image_bytes(desc->values + from, row_bytes, corner + y * pitch);
        else
            memcpy(corner + y * pitch, desc->bytes + from, row_bytes);
    }
}

vkg_result vkg_image_grid(const vkg_log *log, const vkg_grid_desc *desc, vkg_image *grid)
{
    *grid = (vkg_image){0};
    vkg_result result = check_grid(log, desc);
    if (result != VKG_OK)
        return result;
    uint32_t columns = desc->columns ? desc->columns : near_square(desc->count);
    if (columns > desc->count)
        columns = desc->count;
    uint32_t rows = (desc->count - 1) / columns + 1;
    uint64_t cell_width = (uint64_t)desc->width + GAP, cell_height = (uint64_t)desc->height + GAP;
    if (cell_width > INT_MAX / 4 / columns || cell_height > INT_MAX / 4 / rows)
        return vkg_fail(log, VKG_ERROR_INVALID, "image grid: %u×%u tiles of %u×%u are too many", columns, rows,
                        desc->width, desc->height);
    uint64_t width = columns * cell_width + GAP, height = rows * cell_height + GAP;
    size_t pitch = (size_t)width * desc->channels;
    uint64_t bytes = pitch * height;
    uint8_t *pixels = bytes <= SIZE_MAX ? malloc((size_t)bytes) : NULL;
    if (!pixels)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "image grid: no memory for %" PRIu64 " bytes", bytes);
    memset(pixels, GAP_GREY, (size_t)bytes);
    for (uint32_t i = 0; i < desc->count; ++i) {
        size_t x = i % columns * (size_t)cell_width + GAP, y = i / columns * (size_t)cell_height + GAP;
        copy_tile(desc, i, pixels + y * pitch + x * desc->channels, pitch);
    }
    *grid = (vkg_image){(uint32_t)width, (uint32_t)height, desc->channels, pixels};
    return VKG_OK;
}
