/* The order of training: which images make the batch of a step. */
#ifndef VKG_DATA_SHUFFLE_H
#define VKG_DATA_SHUFFLE_H

#include <stdbool.h>
#include <stdint.h>

struct shuffle {
    uint32_t count, batch;
    uint64_t seed;
    uint64_t epoch;  /* of which `order` is the permutation */
    bool filled;     /* `order` holds one */
    uint32_t *order; /* count indices */
};

/* false when memory is out. */
bool shuffle_create(struct shuffle *shuffle, uint32_t count, uint32_t batch, uint64_t seed);
void shuffle_free(struct shuffle *shuffle);

/* Writes the `batch` indices of a step: a pure function of (count, batch, seed, step). Steps may be asked for
 * in any order; in rising order it is fast. */
void shuffle_batch(struct shuffle *shuffle, uint64_t step, uint32_t *indices);

#endif
