/* Real features once, samples again and again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/device.h"
#include "measures/measures.h"

enum { LEAST = 6 }; /* a fifth neighbour, and oneself */

struct vkg_scorer {
    vkg_device *device;
    float *values;
    struct feature_set real;
    double *mean, *covariance;       /* one allocation */
    struct neighbourhood neighbours; /* found when first asked for */
    bool has_neighbours;
};

static vkg_result check_features(vkg_device *device, const char *what, struct feature_set set)
{
    if (set.count < LEAST || set.size == 0)
        return vkg_fail(&device->log, VKG_ERROR_INVALID, "measures: %u %s with %u features, expected at least %d with 1",
                        set.count, what, set.size, LEAST);
    for (uint64_t i = 0; i < (uint64_t)set.count * set.size; i++)
        if (!isfinite(set.values[i]))
            return vkg_fail(&device->log, VKG_ERROR_INVALID, "measures: feature %u of number %u of the %s is %g",
                            (unsigned)(i % set.size), (unsigned)(i / set.size), what, (double)set.values[i]);
    return VKG_OK;
}

static double *allocate_moments(uint32_t size)
{
    return malloc(((uint64_t)size * size + size) * sizeof(double));
}

static vkg_result set_up(vkg_scorer *scorer, const float *real)
{
    const struct feature_set set = scorer->real;
    const uint64_t bytes = (uint64_t)set.count * set.size * sizeof *real;
    scorer->values = malloc(bytes);
    scorer->mean = allocate_moments(set.size);
    if (!scorer->values || !scorer->mean)
        return vkg_fail(&scorer->device->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_scorer_create: out of host memory");
    memcpy(scorer->values, real, bytes);
    scorer->real.values = scorer->values;
    scorer->covariance = scorer->mean + set.size;
    return vkg_feature_moments(scorer->device, real, set.count, set.size, scorer->mean, scorer->covariance);
}

vkg_result vkg_scorer_create(vkg_device *device, const float *real, uint32_t count, uint32_t size, vkg_scorer **scorer)
{
    *scorer = NULL;
    vkg_result result = check_features(device, "real images", (struct feature_set){real, count, size});
    if (result != VKG_OK)
        return result;
    vkg_scorer *made = calloc(1, sizeof *made);
    if (!made)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_scorer_create: out of host memory");
    made->device = device;
    made->real = (struct feature_set){NULL, count, size};
    result = set_up(made, real);
    if (result != VKG_OK)
        vkg_scorer_destroy(&made);
    *scorer = made;
    return result;
}

void vkg_scorer_destroy(vkg_scorer **scorer)
{
    if (!scorer || !*scorer)
        return;
    neighbourhood_free(&(*scorer)->neighbours);
    free((*scorer)->values);
    free((*scorer)->mean);
    free(*scorer);
    *scorer = NULL;
}

static vkg_result score_frechet(const vkg_scorer *scorer, struct feature_set samples, vkg_scores *scores)
{
    const uint32_t size = samples.size;
    double *mean = allocate_moments(size);
    if (!mean)
        return vkg_fail(&scorer->device->log, VKG_ERROR_OUT_OF_MEMORY, "Fréchet distance: out of host memory");
    vkg_result result = vkg_feature_moments(scorer->device, samples.values, samples.count, size, mean, mean + size);
    if (result == VKG_OK)
        result = vkg_frechet_distance(&scorer->device->log, size, scorer->mean, scorer->covariance, mean, mean + size,
                                      &scores->frechet_distance);
    free(mean);
    return result;
}

static vkg_result score_neighbours(vkg_scorer *scorer, struct feature_set samples, vkg_scores *scores)
{
    struct neighbourhood found = {0};
    struct neighbour_scores n;
    vkg_result result = VKG_OK;
    if (!scorer->has_neighbours) {
        neighbourhood_free(&scorer->neighbours);
        result = neighbourhood_find(scorer->device, scorer->real, scorer->mean, &scorer->neighbours);
        scorer->has_neighbours = result == VKG_OK;
    }
    if (result == VKG_OK)
        result = neighbourhood_find(scorer->device, samples, scorer->mean, &found);
    if (result == VKG_OK)
        result = neighbours_compare(scorer->device, &scorer->neighbours, &found, &n);
    neighbourhood_free(&found);
    if (result == VKG_OK) {
        scores->precision = n.precision;
        scores->recall = n.recall;
        scores->density = n.density;
        scores->coverage = n.coverage;
    }
    return result;
}

vkg_result vkg_scorer_score(vkg_scorer *scorer, const float *samples, uint32_t count, unsigned measures, vkg_scores *scores)
{
    const struct feature_set set = {samples, count, scorer->real.size};
    const double none = (double)NAN;
    *scores = (vkg_scores){none, none, none, none, none, none, none};
    vkg_result result = check_features(scorer->device, "samples", set);
    if (result == VKG_OK && (measures & VKG_MEASURE_FRECHET))
        result = score_frechet(scorer, set, scores);
    if (result == VKG_OK && (measures & VKG_MEASURE_KERNEL))
        result = kernel_distance(scorer->device, scorer->real, set, &scores->kernel_distance, &scores->kernel_distance_error);
    if (result == VKG_OK && (measures & VKG_MEASURE_NEIGHBOURS))
        result = score_neighbours(scorer, set, scores);
    return result;
}
