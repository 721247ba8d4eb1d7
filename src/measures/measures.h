/* What the files of this room share. */
#ifndef VKG_MEASURES_MEASURES_H
#define VKG_MEASURES_MEASURES_H

#include "vkgan/measures.h"

/* fashion_mnist.safetensors, as tools/embed-file made it an array. */
extern const unsigned char fashion_mnist_weights[];
extern const size_t fashion_mnist_weights_size;

/* A set of features [count,size]; does not own them. */
struct feature_set {
    const float *values;
    uint32_t count, size;
};

/* --- moments.c --- */

/* The mean of every column, in double. */
void column_means(struct feature_set set, double *mean);

/* --- pairs.c: one number for every pair of rows, block by block --- */

enum pair_measure {
    PAIR_CUBIC_KERNEL,     /* (aᵀb/size + 1)³ */
    PAIR_SQUARED_DISTANCE, /* |a − b|² */
};

struct pairs;

/* Compares up to `rows` rows of one set with up to `rows` of another at a time. */
vkg_result pairs_create(vkg_device *device, enum pair_measure measure, uint32_t rows, uint32_t size, struct pairs **pairs);
void pairs_destroy(struct pairs **pairs);
/* Rows first … first + count − 1 of both sets, count ≤ rows; *matrix [a_count][rows] is good until the next call. */
vkg_result pairs_compute(struct pairs *pairs, const float *a, uint32_t a_count, const float *b, uint32_t b_count,
                         const float **matrix);

/* --- kernel_distance.c --- */

vkg_result kernel_distance(vkg_device *device, struct feature_set real, struct feature_set samples, double *distance,
                           double *error);

/* --- neighbours.c --- */

/* Neighbours of one set within itself. */
struct neighbourhood {
    struct feature_set set; /* centred by the real ones' mean; owned */
    float *third, *fifth;   /* the squared distance to the third and the fifth nearest neighbour */
};
struct neighbour_scores {
    double precision, recall, density, coverage;
};
/* Copies the set, less `mean`, and finds the distances. Free it in any case. */
vkg_result neighbourhood_find(vkg_device *device, struct feature_set set, const double *mean, struct neighbourhood *found);
void neighbourhood_free(struct neighbourhood *found);
vkg_result neighbours_compare(vkg_device *device, const struct neighbourhood *real, const struct neighbourhood *samples,
                              struct neighbour_scores *scores);

#endif
