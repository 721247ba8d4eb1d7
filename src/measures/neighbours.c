/* Precision, recall, density and coverage: who lies in whose ball. Distances come from the device in blocks; what is
 * kept of them is a few numbers a row. */
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "device/device.h"
#include "measures/measures.h"

enum { BLOCK = 1024, NEAREST = 5, THIRD = 2, FIFTH = 4 };

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static vkg_result no_memory(vkg_device *device)
{
    return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "measures: out of host memory for the neighbours");
}

/* --- every pair of two sets --- */

/* Called for every row of a block: the squared distances of row `i` of one set to rows first … first + count − 1 of the
 * other. */
typedef void (*row_visit)(void *user, uint32_t i, uint32_t first, uint32_t count, const float *distances);

static vkg_result each_row(vkg_device *device, struct feature_set a, struct feature_set b, row_visit visit, void *user)
{
    const uint32_t rows = least(BLOCK, a.count > b.count ? a.count : b.count);
    struct pairs *pairs;
    vkg_result result = pairs_create(device, PAIR_SQUARED_DISTANCE, rows, a.size, &pairs);
    for (uint32_t i = 0; i < a.count && result == VKG_OK; i += rows)
        for (uint32_t j = 0; j < b.count && result == VKG_OK; j += rows) {
            const uint32_t a_count = least(rows, a.count - i), b_count = least(rows, b.count - j);
            const float *matrix;
            result = pairs_compute(pairs, a.values + (uint64_t)i * a.size, a_count, b.values + (uint64_t)j * b.size, b_count,
                                   &matrix);
            for (uint32_t row = 0; row < a_count && result == VKG_OK; row++)
                visit(user, i + row, j, b_count, matrix + (uint64_t)row * rows);
        }
    pairs_destroy(&pairs);
    return result;
}

/* --- within one set --- */

/* nearest[i]: the least distances of row i, ascending. */
static void keep_nearest(void *user, uint32_t i, uint32_t first, uint32_t count, const float *distances)
{
    float *nearest = (float *)user + (uint64_t)i * NEAREST;
    for (uint32_t j = 0; j < count; j++) {
        if (distances[j] >= nearest[NEAREST - 1] || first + j == i)
            continue;
        uint32_t place = NEAREST - 1;
        for (; place > 0 && nearest[place - 1] > distances[j]; place--)
            nearest[place] = nearest[place - 1];
        nearest[place] = distances[j];
    }
}

static float *centred_copy(struct feature_set set, const double *mean)
{
    float *copy = malloc((uint64_t)set.count * set.size * sizeof *copy);
    for (uint64_t i = 0; copy && i < set.count; i++)
        for (uint32_t k = 0; k < set.size; k++)
            copy[i * set.size + k] = (float)((double)set.values[i * set.size + k] - mean[k]);
    return copy;
}

vkg_result neighbourhood_find(vkg_device *device, struct feature_set set, const double *mean, struct neighbourhood *found)
{
    float *nearest = malloc((uint64_t)set.count * NEAREST * sizeof *nearest);
    found->set = (struct feature_set){centred_copy(set, mean), set.count, set.size};
    found->third = malloc(set.count * sizeof *found->third);
    found->fifth = malloc(set.count * sizeof *found->fifth);
    const bool fits = nearest && found->set.values && found->third && found->fifth;
    for (uint64_t i = 0; fits && i < (uint64_t)set.count * NEAREST; i++)
        nearest[i] = INFINITY;
    vkg_result result = fits ? each_row(device, found->set, found->set, keep_nearest, nearest) : no_memory(device);
    for (uint64_t i = 0; i < set.count && result == VKG_OK; i++) {
        found->third[i] = nearest[i * NEAREST + THIRD];
        found->fifth[i] = nearest[i * NEAREST + FIFTH];
    }
    free(nearest);
    return result;
}

void neighbourhood_free(struct neighbourhood *found)
{
    free((float *)found->set.values);
    free(found->third);
    free(found->fifth);
    *found = (struct neighbourhood){0};
}

/* --- across --- */

struct comparison {
    const struct neighbourhood *real, *samples;
    bool *precise;                      /* of a sample: is it in some real one's ball? */
    bool *real_recalled, *real_covered; /* of a real one: is it in some sample's ball; is a sample in its own? */
    uint64_t in_balls;                  /* pairs */
};

static void compare_row(void *user, uint32_t i, uint32_t first, uint32_t count, const float *distances)
{
    struct comparison *c = user;
    const float third = c->real->third[i], fifth = c->real->fifth[i];
    for (uint32_t j = 0; j < count; j++) {
        c->precise[first + j] |= distances[j] <= third;
        c->real_recalled[i] |= distances[j] <= c->samples->third[first + j];
        c->real_covered[i] |= distances[j] <= fifth;
        c->in_balls += distances[j] <= fifth;
    }
}

static double share(const bool *flags, uint32_t count)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < count; i++)
        set += flags[i];
    return (double)set / count;
}

vkg_result neighbours_compare(vkg_device *device, const struct neighbourhood *real, const struct neighbourhood *samples,
                              struct neighbour_scores *scores)
{
    const uint32_t reals = real->set.count, count = samples->set.count;
    bool *flags = calloc(count + 2 * (size_t)reals, sizeof *flags);
    if (!flags)
        return no_memory(device);
    struct comparison c = {.real = real, .samples = samples, .precise = flags, .real_recalled = flags + count,
                           .real_covered = flags + count + reals};
    vkg_result result = each_row(device, real->set, samples->set, compare_row, &c);
    *scores = (struct neighbour_scores){.precision = share(c.precise, count), .recall = share(c.real_recalled, reals),
                                        .density = (double)c.in_balls / NEAREST / count,
                                        .coverage = share(c.real_covered, reals)};
    free(flags);
    return result;
}
