/* Mean and covariance. The sum of products is the device's part: centred rows in blocks, each block's sum in float32. A
 * block is short, so that its sum errs by a few units in the last place; centring comes first, so that these are of the
 * spread, not of the mean. What was centred in double is rounded once, which no covariance of float32 features sees. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/device.h"
#include "measures/measures.h"
#include "vkgan/ops.h"

enum { BLOCK = 256 };

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
};

static vkg_result create_products(vkg_device *device, uint32_t size, struct products *products)
{
    vkg_result result = vkg_graph_create(&device->log, &products->graph);
    if (result != VKG_OK)
        return result;
    products->rows = vkg_input(products->graph, "rows", VKG_SHAPE(BLOCK, size));
    products->sums = vkg_matmul(products->graph, products->rows, products->rows, true, false);
    vkg_output(products->graph, "sums", products->sums);
    return vkg_program_create(device, products->graph, NULL, &(vkg_program_desc){.name = "covariance"}, &products->program);
}

/* Zeros fill the last block: they add nothing. */
static void fill_block(struct feature_set set, uint32_t first, const double *mean, float *rows)
{
    for (uint32_t i = 0; i < BLOCK; i++)
        for (uint32_t k = 0; k < set.size; k++)
            rows[(uint64_t)i * set.size + k] =
                first + i < set.count ? (float)((double)set.values[(uint64_t)(first + i) * set.size + k] - mean[k]) : 0;
}

static vkg_result add_products(struct products *products, struct feature_set set, const double *mean, double *sums)
{
    const uint64_t elements = (uint64_t)set.size * set.size;
    for (uint32_t first = 0; first < set.count; first += BLOCK) {
        fill_block(set, first, mean, vkg_program_input(products->program, products->rows, 0));
        vkg_result result = vkg_program_run(products->program);
        if (result != VKG_OK)
            return result;
        const float *block = vkg_program_output(products->program, products->sums, 0);
        for (uint64_t e = 0; e < elements; e++)
            sums[e] += (double)block[e];
    }
    return VKG_OK;
}

vkg_result vkg_feature_moments(vkg_device *device, const float *values, uint32_t count, uint32_t size, double *mean,
                               double *covariance)
{
    const uint64_t elements = (uint64_t)size * size;
    const struct feature_set set = {values, count, size};
    struct products products = {0};
    if (count < 2 || size == 0)
        return vkg_fail(&device->log, VKG_ERROR_INVALID, "vkg_feature_moments: %u samples of %u features, expected at least "
                        "2 of 1", count, size);
    column_means(set, mean);
    memset(covariance, 0, elements * sizeof *covariance);
    vkg_result result = create_products(device, size, &products);
    if (result == VKG_OK)
        result = add_products(&products, set, mean, covariance);
    for (uint64_t e = 0; e < elements; e++)
        covariance[e] /= count - 1;
    vkg_program_destroy(&products.program);
    vkg_graph_destroy(&products.graph);
    return result;
}
