/* Images become bytes, as a file would hold them, then features, then scores. */
#include "app/evaluation.h"

#include <stdlib.h>

#include "base/philox.h"

enum { PART = 256 }; /* images in memory at a time */

#define AT(field) offsetof(vkg_scores, field)
const struct score_row score_rows[SCORE_ROWS] = {
    {"frechet_distance", "Fréchet distance", "lower is better; 0: the same mean and covariance of features", AT(frechet_distance)},
    {"kernel_distance", "kernel distance", "lower is better; around 0: the same distribution", AT(kernel_distance)},
    {"kernel_distance_error", "± standard error", "of the kernel distance", AT(kernel_distance_error)},
    {"precision", "precision", "the share of samples that could be real", AT(precision)},
    {"recall", "recall", "the share of real images that could be drawn", AT(recall)},
    {"density", "density", "real neighbours of a sample; around 1 for equal distributions", AT(density)},
    {"coverage", "coverage", "the share of real images with a sample near by", AT(coverage)},
};

double score_value(const vkg_scores *scores, const struct score_row *row)
{
    return *(const double *)(const void *)((const char *)scores + row->offset);
}

struct evaluation {
    vkg_app *app;
    vkg_features *features;
    vkg_scorer *scorer;
    uint64_t image_elements;
    uint32_t reals;
};

/* --- sources --- */

/* Real images in a random order: sets are often sorted. */
struct shuffled {
    const vkg_dataset *dataset;
    uint32_t *order;
    uint64_t image_elements;
};

static vkg_result read_shuffled(void *user, uint32_t first, uint32_t count, float *images)
{
    const struct shuffled *s = user;
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < count && result == VKG_OK; i++)
        result = vkg_dataset_read(s->dataset, s->order[first + i], images + i * s->image_elements);
    return result;
}

/* Fisher and Yates; NULL when memory is out. */
static uint32_t *random_order(uint32_t count, uint64_t seed)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t *order = malloc(count * sizeof *order);
    for (uint32_t i = 0; order && i < count; i++) {
        const uint32_t counter[4] = {i, 0, 0, 0x7265616cu};
        uint32_t bits[4];
        philox4x32(counter, key, bits);
        const uint32_t place = (uint32_t)(((uint64_t)bits[0] * (i + 1)) >> 32);
        order[i] = order[place];
        order[place] = i;
    }
    return order;
}

static vkg_result read_drawing(void *user, uint32_t first, uint32_t count, float *images)
{
    const struct drawing *drawing = user;
    return vkg_sampler_generate(drawing->sampler, drawing->seed, first, count, images);
}

struct image_source drawing_source(struct drawing *drawing)
{
    return (struct image_source){read_drawing, drawing};
}

static vkg_result read_dataset(void *user, uint32_t first, uint32_t count, float *images)
{
    const vkg_dataset *dataset = user;
    const vkg_dataset_info info = vkg_dataset_get_info(dataset);
    const uint64_t elements = (uint64_t)info.height * info.width * info.channels;
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < count && result == VKG_OK; i++)
        result = vkg_dataset_read(dataset, first + i, images + i * elements);
    return result;
}

struct image_source dataset_source(const vkg_dataset *dataset)
{
    return (struct image_source){read_dataset, (void *)dataset}; /* read only */
}

/* --- features --- */

/* What a file of bytes would make of them: samples score the same, drawn now or saved before. */
static void round_to_bytes(float *images, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint8_t byte;
        vkg_image_bytes(images + i, 1, &byte);
        images[i] = (float)byte / 127.5f - 1;
    }
}

static vkg_result no_memory(const struct evaluation *evaluation, uint32_t count)
{
    return vkg_fail(&evaluation->app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for the features of %u images", count);
}

/* Free *values. */
static vkg_result compute_features(struct evaluation *evaluation, const struct image_source *source, uint32_t count,
                                   float **values)
{
    const uint64_t elements = evaluation->image_elements, size = vkg_features_size(evaluation->features);
    float *images = malloc(PART * elements * sizeof *images);
    *values = malloc(count * size * sizeof **values);
    vkg_result result = images && *values ? VKG_OK : no_memory(evaluation, count);
    for (uint32_t first = 0; first < count && result == VKG_OK; first += PART) {
        const uint32_t part = count - first < PART ? count - first : PART;
        result = source->read(source->user, first, part, images);
        if (result != VKG_OK)
            break;
        round_to_bytes(images, part * elements);
        result = vkg_features_compute(evaluation->features, images, part, *values + first * size);
    }
    free(images);
    return result;
}

/* --- opening and scoring --- */

static vkg_result set_up(struct evaluation *evaluation, const vkg_dataset *dataset, uint64_t seed)
{
    vkg_app *app = evaluation->app;
    const vkg_dataset_info info = vkg_dataset_get_info(dataset);
    const vkg_features_desc desc = {.weights = app->options.features, .image = {info.height, info.width, info.channels}};
    float *values = NULL;
    vkg_result result = vkg_features_create(app->device, &desc, &evaluation->features);
    if (result != VKG_OK)
        return result;
    evaluation->image_elements = (uint64_t)info.height * info.width * info.channels;
    struct shuffled shuffled = {dataset, random_order(info.count, seed), evaluation->image_elements};
    result = shuffled.order ? compute_features(evaluation, &(struct image_source){read_shuffled, &shuffled},
                                               evaluation->reals, &values)
                            : no_memory(evaluation, info.count);
    if (result == VKG_OK)
        result = vkg_scorer_create(app->device, values, evaluation->reals, vkg_features_size(evaluation->features),
                                   &evaluation->scorer);
    free(shuffled.order);
    free(values);
    return result;
}

vkg_result evaluation_open(vkg_app *app, const vkg_dataset *dataset, uint32_t count, uint64_t seed,
                           struct evaluation **evaluation)
{
    const uint32_t there = vkg_dataset_get_info(dataset).count;
    *evaluation = calloc(1, sizeof **evaluation);
    if (!*evaluation)
        return vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for an evaluation");
    **evaluation = (struct evaluation){.app = app, .reals = count < there ? count : there};
    vkg_result result = set_up(*evaluation, dataset, seed);
    if (result != VKG_OK)
        evaluation_close(evaluation);
    return result;
}

void evaluation_close(struct evaluation **evaluation)
{
    if (!*evaluation)
        return;
    vkg_scorer_destroy(&(*evaluation)->scorer);
    vkg_features_destroy(&(*evaluation)->features);
    free(*evaluation);
    *evaluation = NULL;
}

uint32_t evaluation_reals(const struct evaluation *evaluation)
{
    return evaluation->reals;
}

const vkg_features *evaluation_features(const struct evaluation *evaluation)
{
    return evaluation->features;
}

vkg_result evaluation_score(struct evaluation *evaluation, const struct image_source *samples, uint32_t count,
                            unsigned measures, vkg_scores *scores)
{
    float *values = NULL;
    vkg_result result = compute_features(evaluation, samples, count, &values);
    if (result == VKG_OK)
        result = vkg_scorer_score(evaluation->scorer, values, count, measures, scores);
    free(values);
    return result;
}
