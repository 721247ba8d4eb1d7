/* Waves. A dispatch belongs to the first wave behind all that it depends on, but not far before its place in the graph:
 * what is computed early only waits in memory. What is so large that it fills any device for long overtakes nothing. */
#include "program/order.h"

#include <stdlib.h>
#include <string.h>

/* Dispatches that one may overtake, and the bytes of one that is large: as far as from a discriminator's layer to the same layer of
 * its other input, so that both run side by side, and the one's statistics while the other multiplies. A DCGAN of 64×64 in bf16 on an
 * H200 took 2.55 ms with 16 and 16 MiB, 2.52 with 48 and 16, 2.51 with 16 and 64, 2.47 so; its memory is the same, within 3 %. */
enum { WINDOW = 48, LARGE = 64 << 20 };

/* A range that a dispatch touches. */
struct touch {
    struct touch *next; /* of the same memory */
    uint64_t first, end;
    uint32_t wave;
    bool written;
};

struct ordering {
    struct touch **latest; /* one a storage; behind them the state, whose storages are ranges of one buffer */
    struct touch *touches;
    size_t touch_count;
};

static struct touch touch_of(const struct lowering *lowering, const struct binding *binding, size_t *memory)
{
    const struct storage *storage = &lowering->storages[binding->storage];
    const bool state = storage->kind == STORAGE_STATE;
    const uint64_t first = (state ? storage->address : 0) + binding->offset;
    *memory = state ? lowering->storage_count : binding->storage;
    return (struct touch){.first = first, .end = first + binding->bytes, .written = binding->written};
}

/* The first wave in which a dispatch may touch this range. */
static uint32_t wave_behind(const struct touch *latest, const struct touch *touch)
{
    uint32_t wave = 0;
    for (const struct touch *t = latest; t; t = t->next)
        if ((t->written || touch->written) && t->first < touch->end && touch->first < t->end && wave <= t->wave)
            wave = t->wave + 1;
    return wave;
}

static void find_wave(struct ordering *ordering, const struct lowering *lowering, struct dispatch *dispatch, uint32_t least)
{
    size_t memory;
    dispatch->wave = least;
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        const struct touch touch = touch_of(lowering, &dispatch->bindings[b], &memory);
        const uint32_t wave = wave_behind(ordering->latest[memory], &touch);
        dispatch->wave = wave > dispatch->wave ? wave : dispatch->wave;
    }
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        struct touch *touch = &ordering->touches[ordering->touch_count++];
        *touch = touch_of(lowering, &dispatch->bindings[b], &memory);
        touch->wave = dispatch->wave;
        touch->next = ordering->latest[memory];
        ordering->latest[memory] = touch;
    }
}

static bool is_large(const struct dispatch *dispatch)
{
    uint64_t bytes = 0;
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        bytes += dispatch->bindings[b].bytes;
    return bytes > LARGE;
}

static void find_waves(struct ordering *ordering, struct lowering *lowering)
{
    uint32_t least = 0, latest = 0;
    for (size_t i = 0; i < lowering->dispatch_count; i++) {
        struct dispatch *dispatch = &lowering->dispatches[i];
        if (i >= WINDOW && lowering->dispatches[i - WINDOW].wave > least)
            least = lowering->dispatches[i - WINDOW].wave;
        find_wave(ordering, lowering, dispatch, is_large(dispatch) ? latest : least);
        latest = dispatch->wave > latest ? dispatch->wave : latest;
    }
}

/* Counting sort: dispatches of one wave keep their order. There are no more waves than dispatches. */
static void sort_by_wave(const struct lowering *lowering, struct dispatch *sorted, size_t *starts)
{
    for (size_t i = 0; i < lowering->dispatch_count; i++)
        starts[lowering->dispatches[i].wave + 1]++;
    for (size_t wave = 0; wave < lowering->dispatch_count; wave++)
        starts[wave + 1] += starts[wave];
    for (size_t i = 0; i < lowering->dispatch_count; i++)
        sorted[starts[lowering->dispatches[i].wave]++] = lowering->dispatches[i];
}

vkg_result order_dispatches(struct lowering *lowering)
{
    size_t touches = 0;
    for (size_t i = 0; i < lowering->dispatch_count; i++)
        touches += lowering->dispatches[i].binding_count;
    struct ordering ordering = {.latest = calloc(lowering->storage_count + 1, sizeof *ordering.latest),
                                .touches = calloc(touches + 1, sizeof *ordering.touches)};
    struct dispatch *sorted = calloc(lowering->dispatch_count + 1, sizeof *sorted);
    size_t *starts = calloc(lowering->dispatch_count + 2, sizeof *starts);
    const bool good = ordering.latest && ordering.touches && sorted && starts;
    if (good) {
        find_waves(&ordering, lowering);
        sort_by_wave(lowering, sorted, starts);
        free(lowering->dispatches);
        lowering->dispatches = sorted;
        lowering->dispatch_capacity = lowering->dispatch_count + 1;
    } else {
        free(sorted);
    }
    free(ordering.latest);
    free(ordering.touches);
    free(starts);
    return good ? VKG_OK : lowering_out_of_memory(lowering);
}
