/* Mean and covariance. Sums of products are the device's part, and they are exact there: a feature, less its mean, becomes
 * a whole number of 23 bits and a sign (of the spread, so no worse than float32), cut into three digits of base 256, and the
 * products of digits of 1024 samples add up to less than 2²⁴. So every device gives the same bits, and directions in which
 * nothing varies (a collapsed generator's) keep a variance of nothing: the Fréchet distance takes roots, and float32's own
 * rounding, at 1e-8 of the variance, would be at 1e-4 of the result. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/device.h"
#include "measures/measures.h"
#include "vkgan/ops.h"

enum { BLOCK = 1024, DIGITS = 3, BITS = 22 };

void column_means(struct feature_set set, double *mean)
{
    memset(mean, 0, set.size * sizeof *mean);
    for (uint32_t i = 0; i < set.count; i++)
        for (uint32_t k = 0; k < set.size; k++)
            mean[k] += (double)set.values[(uint64_t)i * set.size + k];
    for (uint32_t k = 0; k < set.size; k++)
        mean[k] /= set.count;
}

struct products {
    vkg_graph *graph;
    vkg_program *program;
    vkg_tensor *rows, *sums;
    int *exponent; /* of a feature: 2^exponent is above all of its deviations from the mean */
};

static vkg_result create_products(vkg_device *device, uint32_t size, struct products *products)
{
    products->exponent = calloc(size, sizeof *products->exponent);
    if (!products->exponent)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "measures: out of host memory for a covariance");
    vkg_result result = vkg_graph_create(&device->log, &products->graph);
    if (result != VKG_OK)
        return result;
    products->rows = vkg_input(products->graph, "rows", VKG_SHAPE(BLOCK, DIGITS * size));
    products->sums = vkg_matmul(products->graph, products->rows, products->rows, true, false);
    vkg_output(products->graph, "sums", products->sums);
    return vkg_program_create(device, products->graph, NULL, &(vkg_program_desc){.name = "covariance"}, &products->program);
}

static double deviation(struct feature_set set, uint32_t i, uint32_t k, const double *mean)
{
    return (double)set.values[(uint64_t)i * set.size + k] - mean[k];
}

static void find_exponents(struct feature_set set, const double *mean, int *exponent)
{
    for (uint32_t k = 0; k < set.size; k++) {
        double greatest = 0;
        for (uint32_t i = 0; i < set.count; i++)
            greatest = fmax(greatest, fabs(deviation(set, i, k, mean)));
        frexp(greatest, &exponent[k]);
    }
}

/* Digit d of feature k is column d·size + k. Zeros fill the last block: they add nothing. */
static void fill_block(const struct products *products, struct feature_set set, uint32_t first, const double *mean,
                       float *rows)
{
    memset(rows, 0, (uint64_t)BLOCK * DIGITS * set.size * sizeof *rows);
    for (uint32_t i = 0; i < BLOCK && first + i < set.count; i++, rows += DIGITS * set.size)
        for (uint32_t k = 0; k < set.size; k++) {
            int32_t rest = (int32_t)lrint(ldexp(deviation(set, first + i, k, mean), BITS - products->exponent[k]));
            for (uint32_t d = 0; d < DIGITS; d++) {
                const int32_t digit = ((rest + 128) & 255) - 128;
                rows[d * set.size + k] = (float)digit;
                rest = (rest - digit) / 256;
            }
        }
}

/* Puts the digits' products together again, in units of the whole numbers. */
static void add_block(const float *block, uint32_t size, double *sums)
{
    for (uint32_t d = 0; d < DIGITS; d++)
        for (uint32_t i = 0; i < size; i++)
            for (uint32_t e = 0; e < DIGITS; e++) {
                const float *products = block + ((uint64_t)(d * size + i) * DIGITS + e) * size;
                const double weight = ldexp(1, (int)(8 * (d + e)));
                for (uint32_t j = 0; j < size; j++)
                    sums[(uint64_t)i * size + j] += weight * (double)products[j];
            }
}

static vkg_result add_products(const struct products *products, struct feature_set set, const double *mean, double *sums)
{
    find_exponents(set, mean, products->exponent);
    for (uint32_t first = 0; first < set.count; first += BLOCK) {
        fill_block(products, set, first, mean, vkg_program_input(products->program, products->rows, 0));
        vkg_result result = vkg_program_run(products->program);
        if (result != VKG_OK)
            return result;
        add_block(vkg_program_output(products->program, products->sums, 0), set.size, sums);
    }
    for (uint32_t i = 0; i < set.size; i++)
        for (uint32_t j = 0; j < set.size; j++)
            sums[(uint64_t)i * set.size + j] = ldexp(sums[(uint64_t)i * set.size + j] / (set.count - 1),
                                                     products->exponent[i] + products->exponent[j] - 2 * BITS);
    return VKG_OK;
}

vkg_result vkg_feature_moments(vkg_device *device, const float *values, uint32_t count, uint32_t size, double *mean,
                               double *covariance)
{
    const struct feature_set set = {values, count, size};
    struct products products = {0};
    if (count < 2 || size == 0)
        return vkg_fail(&device->log, VKG_ERROR_INVALID, "vkg_feature_moments: %u samples of %u features, expected at least "
                        "2 of 1", count, size);
    column_means(set, mean);
    memset(covariance, 0, (uint64_t)size * size * sizeof *covariance);
    vkg_result result = create_products(device, size, &products);
    if (result == VKG_OK)
        result = add_products(&products, set, mean, covariance);
    vkg_program_destroy(&products.program);
    vkg_graph_destroy(&products.graph);
    free(products.exponent);
    return result;
}
