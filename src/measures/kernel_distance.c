/* The kernel distance (KID): the maximum mean discrepancy by blocks. Products are float32; the sums over a block's million
 * pairs, whose differences are small, are double. */
#include <math.h>

#include "measures/measures.h"

enum { BLOCK = 1000 };

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The mean over pairs of different rows, or over all pairs where the sets differ. */
static vkg_result mean_kernel(struct pairs *pairs, const float *a, const float *b, uint32_t rows, double *mean)
{
    const float *matrix;
    double sum = 0;
    vkg_result result = pairs_compute(pairs, a, rows, b, rows, &matrix);
    for (uint32_t i = 0; i < rows && result == VKG_OK; i++)
        for (uint32_t j = 0; j < rows; j++)
            sum += a == b && i == j ? 0 : (double)matrix[(uint64_t)i * rows + j];
    *mean = sum / rows / (a == b ? rows - 1 : rows);
    return result;
}

static vkg_result block_distance(struct pairs *pairs, const float *real, const float *samples, uint32_t rows,
                                 double *distance)
{
    double within_real, within_samples, across;
    vkg_result result = mean_kernel(pairs, real, real, rows, &within_real);
    if (result == VKG_OK)
        result = mean_kernel(pairs, samples, samples, rows, &within_samples);
    if (result == VKG_OK)
        result = mean_kernel(pairs, real, samples, rows, &across);
    if (result == VKG_OK)
        *distance = within_real + within_samples - 2 * across;
    return result;
}

vkg_result kernel_distance(vkg_device *device, struct feature_set real, struct feature_set samples, double *distance,
                           double *error)
{
    const uint32_t count = least(real.count, samples.count), rows = least(count, BLOCK), blocks = count / rows;
    struct pairs *pairs;
    double sum = 0, squares = 0;
    vkg_result result = pairs_create(device, PAIR_CUBIC_KERNEL, rows, real.size, &pairs);
    for (uint32_t block = 0; block < blocks && result == VKG_OK; block++) {
        const uint64_t first = (uint64_t)block * rows * real.size;
        double found = 0;
        result = block_distance(pairs, real.values + first, samples.values + first, rows, &found);
        sum += found;
        squares += found * found;
    }
    pairs_destroy(&pairs);
    *distance = sum / blocks;
    *error = blocks > 1 ? sqrt(fmax(squares - sum * sum / blocks, 0) / (blocks - 1) / blocks) : (double)NAN;
    return result;
}
