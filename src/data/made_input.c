/* Inputs of pairs that are made of their targets, in floats. */
#include "data/made_input.h"

#include <assert.h>
#include <math.h>

/* ITU-R BT.601, as everywhere in the library. */
static void write_luma(const struct picture *target, const float *pixels, float *luma)
{
    size_t count = (size_t)target->width * target->height;
    for (size_t i = 0; i < count; ++i) {
        const float *pixel = pixels + i * target->channels;
        luma[i] = target->channels == 1 ? pixel[0] : 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
    }
}

/* The luma at (x, y), or at the border's nearest pixel. */
static float luma_at(const struct picture *target, const float *luma, int64_t x, int64_t y)
{
    int64_t right = (int64_t)target->width - 1, bottom = (int64_t)target->height - 1;
    x = x < 0 ? 0 : x > right ? right : x;
    y = y < 0 ? 0 : y > bottom ? bottom : y;
    return luma[y * target->width + x];
}

/* Sobel's operator: differences, smoothed across. */
static void write_edges(const struct picture *target, const float *luma, float *input)
{
    static const float SMOOTH[] = {1, 2, 1};
    for (int64_t y = 0; y < target->height; ++y) {
        for (int64_t x = 0; x < target->width; ++x) {
            float across = 0, down = 0;
            for (int k = -1; k <= 1; ++k) {
                float weight = SMOOTH[k + 1];
                across += weight * (luma_at(target, luma, x + 1, y + k) - luma_at(target, luma, x - 1, y + k));
                down += weight * (luma_at(target, luma, x + k, y + 1) - luma_at(target, luma, x + k, y - 1));
            }
            input[y * target->width + x] = fmaxf(-1, 1 - sqrtf(across * across + down * down));
        }
    }
}

static void write_block(const struct picture *target, const float *pixels, uint32_t x, uint32_t y,
                        uint32_t size, float *input)
{
    uint32_t right = target->width - x < size ? target->width : x + size;
    uint32_t bottom = target->height - y < size ? target->height : y + size;
    for (uint32_t c = 0; c < target->channels; ++c) {
        double sum = 0;
        for (uint32_t i = y; i < bottom; ++i)
            for (uint32_t j = x; j < right; ++j)
                sum += (double)pixels[((size_t)i * target->width + j) * target->channels + c];
        float mean = (float)(sum / ((double)(right - x) * (bottom - y)));
        for (uint32_t i = y; i < bottom; ++i)
            for (uint32_t j = x; j < right; ++j)
                input[((size_t)i * target->width + j) * target->channels + c] = mean;
    }
}

bool make_input(vkg_pairing pairing, uint32_t factor, const struct picture *target,
                struct scratch_block *scratch, float *input)
{
    size_t area = (size_t)target->width * target->height, count = area * target->channels;
    float *pixels = scratch_reserve(scratch, (count + area) * sizeof *pixels);
    if (!pixels)
        return false;
    float *luma = pixels + count;
    picture_write_floats(target, pixels);
    if (pairing == VKG_PAIRING_GREY) {
        write_luma(target, pixels, input);
    } else if (pairing == VKG_PAIRING_EDGES) {
        write_luma(target, pixels, luma);
        write_edges(target, luma, input);
    } else {
        assert(pairing == VKG_PAIRING_BLOCKS);
        for (uint32_t y = 0; y < target->height; y += factor)
            for (uint32_t x = 0; x < target->width; x += factor)
                write_block(target, pixels, x, y, factor, input);
    }
    return true;
}
