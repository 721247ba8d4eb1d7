/* Separable resizing: along the rows, then along the columns, each result rounded to the pixels' type. Bytes
 * are those of PIL's Image.resize to the bit, which wants its fixed-point weights too. */
#include "io/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { MAX_SIDE = 16384, WEIGHT_BITS = 22 };

/* --- filters: their weight at a distance in source pixels, 0 from `support` on --- */

static double bilinear(double x)
{
    return fmax(0, 1 - fabs(x));
}

/* Keys 1981, a = −0.5. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((x - 5) * x + 8) * x * a - 4 * a : 0;
}

static double sinc(double x)
{
    return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI);
}

static double lanczos(double x)
{
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct {
    double (*weight)(double x);
    double support;
} FILTERS[] = {
    [VKG_IMAGE_BILINEAR] = {bilinear, 1},
    [VKG_IMAGE_BICUBIC] = {bicubic, 2},
    [VKG_IMAGE_LANCZOS] = {lanczos, 3},
};

/* --- the weights of one axis --- */

/* New pixel j is the sum over t < counts[j] of weights[j · taps + t] times old pixel first[j] + t. */
struct axis {
    uint32_t from, to, taps;
    uint32_t *first, *counts;
    double *weights;
    int32_t *fixed; /* the weights times 2^WEIGHT_BITS */
};

static void axis_free(struct axis *axis)
{
    free(axis->first);
    free(axis->counts);
    free(axis->weights);
    free(axis->fixed);
}

static void weigh(struct axis *axis, vkg_image_filter filter, uint32_t j)
{
    double scale = (double)axis->from / axis->to, widening = fmax(scale, 1);
    double support = FILTERS[filter].support * widening, centre = (j + 0.5) * scale, sum = 0;
    double *weights = axis->weights + (size_t)j * axis->taps;
    uint32_t first = (uint32_t)fmax(0, trunc(centre - support + 0.5));
    uint32_t end = (uint32_t)fmin(axis->from, trunc(centre + support + 0.5));
    axis->first[j] = first;
    axis->counts[j] = end - first;
    for (uint32_t t = 0; t < end - first; ++t)
        sum += weights[t] = FILTERS[filter].weight((t + first - centre + 0.5) / widening);
    for (uint32_t t = 0; t < end - first; ++t) {
        weights[t] /= sum;
        axis->fixed[(size_t)j * axis->taps + t] = (int32_t)round(weights[t] * (1 << WEIGHT_BITS));
    }
}

static bool axis_create(struct axis *axis, vkg_image_filter filter, uint32_t from, uint32_t to)
{
    double widening = fmax((double)from / to, 1);
    uint32_t taps = (uint32_t)ceil(FILTERS[filter].support * widening) * 2 + 1;
    *axis = (struct axis){.from = from, .to = to, .taps = taps};
    axis->first = calloc(to, sizeof *axis->first);
    axis->counts = calloc(to, sizeof *axis->counts);
    axis->weights = calloc((size_t)to * taps, sizeof *axis->weights);
    axis->fixed = calloc((size_t)to * taps, sizeof *axis->fixed);
    if (!axis->first || !axis->counts || !axis->weights || !axis->fixed)
        return false;
    for (uint32_t j = 0; j < to; ++j)
        weigh(axis, filter, j);
    return true;
}

/* --- the sums --- */

static uint8_t sum_bytes(const uint8_t *pixels, size_t stride, const int32_t *weights, uint32_t count)
{
    int32_t sum = 1 << (WEIGHT_BITS - 1);
    for (uint32_t t = 0; t < count; ++t)
        sum += pixels[t * stride] * weights[t];
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static float sum_floats(const float *pixels, size_t stride, const double *weights, uint32_t count)
{
    double sum = 0;
    for (uint32_t t = 0; t < count; ++t)
        sum += (double)pixels[t * stride] * weights[t];
    return (float)sum;
}

/* [lines][axis->from][inner], lines `pitch` bytes apart, to [lines][axis->to][inner]. */
static void apply(const struct axis *axis, const void *from, size_t pitch, size_t lines, size_t inner,
                  bool floats, void *to)
{
    size_t place = 0;
    for (size_t line = 0; line < lines; ++line) {
        const char *pixels = (const char *)from + line * pitch;
        for (uint32_t j = 0; j < axis->to; ++j) {
            size_t first = axis->first[j] * inner, row = (size_t)j * axis->taps;
            for (size_t k = 0; k < inner; ++k, ++place) {
                if (floats)
                    ((float *)to)[place] = sum_floats((const float *)pixels + first + k, inner,
                                                      axis->weights + row, axis->counts[j]);
                else
                    ((uint8_t *)to)[place] = sum_bytes((const uint8_t *)pixels + first + k, inner,
                                                       axis->fixed + row, axis->counts[j]);
            }
        }
    }
}

bool resize_pixels(const struct resize_source *source, vkg_image_filter filter, uint32_t width, uint32_t height,
                   void *pixels)
{
    struct axis columns = {0}, rows = {0};
    size_t element = source->floats ? sizeof(float) : 1, row = (size_t)width * source->channels;
    void *narrowed = malloc(row * source->height * element);
    bool good = narrowed && axis_create(&columns, filter, source->width, width) &&
                axis_create(&rows, filter, source->height, height);
    if (good) {
        apply(&columns, source->pixels, source->pitch, source->height, source->channels, source->floats,
              narrowed);
        apply(&rows, narrowed, 0, 1, row, source->floats, pixels);
    }
    axis_free(&columns);
    axis_free(&rows);
    free(narrowed);
    return good;
}

/* --- for programs --- */

vkg_result vkg_image_resize(const vkg_log *log, const vkg_image *image, uint32_t width, uint32_t height,
                            vkg_image_filter filter, vkg_image *resized)
{
    *resized = (vkg_image){0};
    if (image->width == 0 || image->height == 0 || width == 0 || height == 0 || image->width > MAX_SIDE ||
        image->height > MAX_SIDE || width > MAX_SIDE || height > MAX_SIDE || image->channels == 0 ||
        image->channels > 4 || filter > VKG_IMAGE_LANCZOS)
        return vkg_fail(log, VKG_ERROR_INVALID,
                        "resize: %u×%u of %u channels to %u×%u by filter %d, expected sides of 1 to %d, 1 to 4 "
                        "channels, and a vkg_image_filter",
                        image->width, image->height, image->channels, width, height, (int)filter, MAX_SIDE);
    const struct resize_source source = {image->pixels,   (size_t)image->width * image->channels,
                                         image->width,    image->height,
                                         image->channels, false};
    uint8_t *pixels = malloc((size_t)width * height * image->channels);
    if (!pixels || !resize_pixels(&source, filter, width, height, pixels)) {
        free(pixels);
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "resize: no memory for %u×%u to %u×%u", image->width,
                        image->height, width, height);
    }
    *resized = (vkg_image){width, height, image->channels, pixels};
    return VKG_OK;
}
