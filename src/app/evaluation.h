/* Scores of images against a data set, for `evaluate` and for `train --evaluate-every`. */
#ifndef VKG_APP_EVALUATION_H
#define VKG_APP_EVALUATION_H

#include "app/app.h"
#include "vkgan/measures.h"

/* Where images come from, real ones and samples. */
struct image_source {
    /* Images first … first + count − 1, [count,H,W,C] in [−1, 1]. */
    vkg_result (*read)(void *user, uint32_t first, uint32_t count, float *images);
    void *user;
};

/* A score, as it is printed and logged. */
struct score_row {
    const char *name;  /* "frechet_distance" */
    const char *title; /* "Fréchet distance" */
    const char *words; /* how to read it */
    size_t offset;     /* in vkg_scores, of a double */
};
enum { SCORE_ROWS = 7 };
extern const struct score_row score_rows[SCORE_ROWS];
double score_value(const vkg_scores *scores, const struct score_row *row);

struct evaluation;

/* Opens the feature network of --features and computes the features of real images: `count` of them, or all where there
 * are fewer, in an order that `seed` defines. The dataset is not used afterwards. */
vkg_result evaluation_open(vkg_app *app, const vkg_dataset *dataset, uint32_t count, uint64_t seed,
                           struct evaluation **evaluation);
void evaluation_close(struct evaluation **evaluation);
/* How many real images there are in it. */
uint32_t evaluation_reals(const struct evaluation *evaluation);
const vkg_features *evaluation_features(const struct evaluation *evaluation);
/* Scores `count` images; `measures`: bits of vkg_measure. */
vkg_result evaluation_score(struct evaluation *evaluation, const struct image_source *samples, uint32_t count,
                            unsigned measures, vkg_scores *scores);

/* Images of a vkg_sampler and a seed. */
struct drawing {
    vkg_sampler *sampler;
    uint64_t seed;
};
struct image_source drawing_source(struct drawing *drawing);
/* Images of a data set, in its order. */
struct image_source dataset_source(const vkg_dataset *dataset);

#endif
