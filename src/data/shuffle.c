#include "data/shuffle.h"

#include <stdlib.h>

#include "base/philox.h"

/* The last word of the counter keeps these numbers apart from all others that are drawn with the same seed. */
static const uint32_t SHUFFLE_STREAM = 0x73687566; /* "shuf" */

bool shuffle_create(struct shuffle *shuffle, uint32_t count, uint32_t batch, uint64_t seed)
{
    *shuffle = (struct shuffle){.count = count, .batch = batch, .seed = seed};
    shuffle->order = calloc(count, sizeof *shuffle->order);
    return shuffle->order != NULL;
}

void shuffle_free(struct shuffle *shuffle)
{
    free(shuffle->order);
    shuffle->order = NULL;
}

/* 64 bits, so that the remainder by a count below 2³² is as good as unbiased. */
static uint64_t draw(const struct shuffle *shuffle, uint64_t epoch, uint32_t i)
{
    uint32_t counter[4] = {i, (uint32_t)epoch, (uint32_t)(epoch >> 32), SHUFFLE_STREAM};
    uint32_t key[2] = {(uint32_t)shuffle->seed, (uint32_t)(shuffle->seed >> 32)};
    philox4x32(counter, key, counter);
    return (uint64_t)counter[1] << 32 | counter[0];
}

/* Fisher and Yates, from the identity on, so that an epoch does not depend on the one before. */
static void permute(struct shuffle *shuffle, uint64_t epoch)
{
    if (shuffle->filled && shuffle->epoch == epoch)
        return;
    uint32_t *order = shuffle->order;
    for (uint32_t i = 0; i < shuffle->count; ++i)
        order[i] = i;
    for (uint32_t i = shuffle->count - 1; i > 0; --i) {
        uint32_t j = (uint32_t)(draw(shuffle, epoch, i) % ((uint64_t)i + 1));
        uint32_t moved = order[i];
        order[i] = order[j];
        order[j] = moved;
    }
    shuffle->epoch = epoch;
    shuffle->filled = true;
}

void shuffle_batch(struct shuffle *shuffle, uint64_t step, uint32_t *indices)
{
    uint64_t epoch, position;
    if (shuffle->batch <= shuffle->count) {
        uint64_t batches = shuffle->count / shuffle->batch; /* the rest of an epoch is dropped */
        epoch = step / batches;
        position = step % batches * shuffle->batch;
    } else {
        epoch = step * shuffle->batch / shuffle->count;
        position = step * shuffle->batch % shuffle->count;
    }
    for (uint32_t i = 0; i < shuffle->batch; ++i) {
        permute(shuffle, epoch);
        indices[i] = shuffle->order[position];
        if (++position == shuffle->count) {
            position = 0;
            ++epoch;
        }
    }
}
