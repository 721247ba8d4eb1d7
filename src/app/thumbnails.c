#include "app/thumbnails.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SIDE = 16 };

static uint32_t side(uint32_t length)
{
    return length < SIDE ? length : SIDE;
}

bool thumbnails_create(struct thumbnails *thumbnails, uint32_t count, const uint32_t image[3])
{
    *thumbnails = (struct thumbnails){.count = count, .size = side(image[0]) * side(image[1]) * image[2],
                                      .image = {image[0], image[1], image[2]}};
    thumbnails->values = calloc((size_t)count * thumbnails->size + 1, sizeof *thumbnails->values);
    return thumbnails->values;
}

static float block_mean(const float *picture, const uint32_t image[3], uint32_t y, uint32_t x, uint32_t channel)
{
    const uint32_t rows = side(image[0]), columns = side(image[1]);
    const uint32_t bottom = (y + 1) * image[0] / rows, right = (x + 1) * image[1] / columns;
    double sum = 0;
    uint32_t count = 0;
    for (uint32_t i = y * image[0] / rows; i < bottom; i++)
        for (uint32_t j = x * image[1] / columns; j < right; j++, count++)
            sum += (double)picture[((size_t)i * image[1] + j) * image[2] + channel];
    return (float)(sum / count);
}

void thumbnails_put(struct thumbnails *thumbnails, uint32_t index, const float *picture)
{
    const uint32_t *image = thumbnails->image;
    float *value = thumbnails->values + (size_t)index * thumbnails->size;
    for (uint32_t y = 0; y < side(image[0]); y++)
        for (uint32_t x = 0; x < side(image[1]); x++)
            for (uint32_t channel = 0; channel < image[2]; channel++)
                *value++ = block_mean(picture, image, y, x, channel);
}

void thumbnails_free(struct thumbnails *thumbnails)
{
    free(thumbnails->values);
    *thumbnails = (struct thumbnails){0};
}

double thumbnails_deviation(const struct thumbnails *thumbnails)
{
    double variance = 0;
    for (uint32_t k = 0; k < thumbnails->size; k++) {
        double sum = 0, squares = 0;
        for (uint32_t n = 0; n < thumbnails->count; n++) {
            const double x = (double)thumbnails->values[(size_t)n * thumbnails->size + k];
            sum += x;
            squares += x * x;
        }
        const double mean = sum / thumbnails->count;
        variance += squares / thumbnails->count - mean * mean;
    }
    variance /= thumbnails->size;
    return variance > 1e-12 ? sqrt(variance) : 0; /* below is what rounding leaves of none */
}

/* The root of the mean square difference of two pictures. */
static double distance(const float *x, const float *y, uint32_t size)
{
    float sum = 0;
    for (uint32_t k = 0; k < size; k++)
        sum += (x[k] - y[k]) * (x[k] - y[k]);
    return sqrt((double)sum / size);
}

static const float *picture(const struct thumbnails *thumbnails, uint32_t index)
{
    return thumbnails->values + (size_t)index * thumbnails->size;
}

uint32_t thumbnails_nearest_in(const struct thumbnails *set, const struct thumbnails *thumbnails, uint32_t index)
{
    uint32_t best = 0;
    double how_near = INFINITY;
    for (uint32_t other = 0; other < set->count; other++) {
        const double this_far = distance(picture(set, other), picture(thumbnails, index), set->size);
        if (this_far < how_near)
            best = other, how_near = this_far;
    }
    return best;
}

static double distance_within(const struct thumbnails *thumbnails, uint32_t a, uint32_t b)
{
    return distance(picture(thumbnails, a), picture(thumbnails, b), thumbnails->size);
}

static uint32_t nearest(const struct thumbnails *thumbnails, uint32_t of, double *how_near)
{
    uint32_t best = of;
    *how_near = INFINITY;
    for (uint32_t other = 0; other < thumbnails->count; other++) {
        const double this_far = other == of ? INFINITY : distance_within(thumbnails, of, other);
        if (this_far < *how_near) {
            *how_near = this_far;
            best = other;
        }
    }
    return best;
}

double thumbnails_nearest(const struct thumbnails *thumbnails)
{
    double sum = 0;
    for (uint32_t n = 0; n < thumbnails->count && thumbnails->count > 1; n++) {
        double near;
        nearest(thumbnails, n, &near);
        sum += near;
    }
    return sum / (thumbnails->count ? thumbnails->count : 1);
}

uint32_t thumbnails_distinct(const struct thumbnails *thumbnails, double further_than)
{
    uint32_t distinct = 0;
    for (uint32_t n = 0; n < thumbnails->count; n++) {
        bool fresh = true;
        for (uint32_t before = 0; before < n && fresh; before++)
            fresh = distance_within(thumbnails, n, before) > further_than;
        distinct += fresh;
    }
    return distinct;
}

double thumbnails_agreement(const struct thumbnails *thumbnails, const int32_t *labels)
{
    uint32_t agree = 0;
    for (uint32_t n = 0; n < thumbnails->count; n++) {
        double near;
        const uint32_t other = nearest(thumbnails, n, &near);
        agree += other != n && labels[other] == labels[n];
    }
    return (double)agree / (thumbnails->count ? thumbnails->count : 1);
}
