/* Samples of a known mixture: which components were found, and how many samples belong to any. */
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "vkgan/measures.h"

static double squared_distance(const float *a, const float *b, uint32_t dimensions)
{
    double sum = 0;
    for (uint32_t d = 0; d < dimensions; d++)
        sum += ((double)a[d] - (double)b[d]) * ((double)a[d] - (double)b[d]);
    return sum;
}

static uint32_t nearest_centre(const vkg_mixture *mixture, const float *point, double *distance)
{
    uint32_t nearest = 0;
    *distance = INFINITY;
    for (uint32_t c = 0; c < mixture->count; c++) {
        const double found = squared_distance(point, mixture->centres + (uint64_t)c * mixture->dimensions,
                                              mixture->dimensions);
        if (found < *distance) {
            *distance = found;
            nearest = c;
        }
    }
    return nearest;
}

vkg_result vkg_mixture_evaluate(const vkg_log *log, const vkg_mixture *mixture, const float *points, uint32_t count,
                                vkg_mixture_score *score)
{
    const double reach = mixture->sigma * (mixture->deviations > 0 ? mixture->deviations : 4);
    *score = (vkg_mixture_score){0};
    if (count == 0 || mixture->count == 0 || mixture->dimensions == 0 || !(mixture->sigma > 0))
        return vkg_fail(log, VKG_ERROR_INVALID, "vkg_mixture_evaluate: %u points, %u centres of %u dimensions, sigma %g: "
                        "expected all of them above 0", count, mixture->count, mixture->dimensions, mixture->sigma);
    bool *found = calloc(mixture->count, sizeof *found);
    if (!found)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "vkg_mixture_evaluate: out of host memory");
    uint32_t good = 0;
    for (uint32_t i = 0; i < count; i++) {
        double distance;
        const uint32_t nearest = nearest_centre(mixture, points + (uint64_t)i * mixture->dimensions, &distance);
        if (distance > reach * reach)
            continue;
        good++;
        score->modes += !found[nearest];
        found[nearest] = true;
    }
    score->high_quality = (double)good / count;
    free(found);
    return VKG_OK;
}
