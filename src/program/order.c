/* Waves. A dispatch belongs to the first wave behind all that it depends on, but not far before its place in the graph:
 * what is computed early only waits in memory. What is so large that it fills any device for long overtakes nothing. */
#include "program/order.h"

#include <stdlib.h>

#include "program/plan.h"
#include "program/recompute.h"

/* How far dispatches may move. */
struct reach {
    size_t window;  /* dispatches that one may overtake */
    uint64_t large; /* the bytes of one that is */
    uint64_t crowd; /* the most bytes of tensors that may begin in one wave; 0: any */
};

/* The near one: what a barrier takes is some microseconds, and of a DCGAN's 110 barriers at 28×28 pixels a window of 4 leaves 87, 16
 * leaves 73, at the same memory. The far one: from a discriminator's layer to the same layer of its other input, so that both run side
 * by side, and the one's statistics while the other multiplies: a DCGAN of 64×64 in bf16 on an H200 took 2.47 ms instead of 2.55, with
 * 108 barriers instead of 130. It is taken where it needs little more memory, which it does not where gradients are accumulated. */
static const struct reach near = {16, 16 << 20, 0}, far = {48, 64 << 20, 0};
enum {
    LITTLE = 16, /* a sixteenth */
    CROWD = 4,   /* not more than a quarter of all memory may begin in one wave, where that saves */
    MUCH = 8,    /* an eighth */
    AHEAD = 2, /* waves by which what is computed again may be early, so that its reader need not be late */
};

/* What a dispatch touches. */
struct touch {
    struct touch *next; /* of the same memory */
    struct extent extent;
    uint32_t wave;
    bool written;
};

struct ordering {
    struct touch **latest; /* one a memory: the storages, and the state */
    struct touch *touches;
    size_t touch_count;
    uint64_t *begun; /* bytes, one a wave */
};

/* The first wave in which a dispatch may touch this. */
static uint32_t wave_behind(const struct touch *latest, const struct extent *extent, bool written)
{
    uint32_t wave = 0;
    for (const struct touch *t = latest; t; t = t->next)
        if ((t->written || written) && t->extent.first < extent->end && extent->first < t->extent.end && wave <= t->wave)
            wave = t->wave + 1;
    return wave;
}

/* Not before `least`, and beside others only where not too much begins there; the waves end where the dispatches do. */
static void find_wave(struct ordering *ordering, const struct lowering *lowering, struct dispatch *dispatch, uint32_t least, uint64_t crowd)
{
    uint64_t begins = 0;
    dispatch->wave = least;
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        const struct binding *binding = &dispatch->bindings[b];
        const struct extent extent = binding_extent(lowering, binding);
        const uint32_t wave = wave_behind(ordering->latest[extent.memory], &extent, binding->written);
        dispatch->wave = wave > dispatch->wave ? wave : dispatch->wave;
        begins += binding->written && !ordering->latest[extent.memory] ? binding->bytes : 0;
    }
    while (crowd && begins * CROWD > crowd && ordering->begun[dispatch->wave] && ordering->begun[dispatch->wave] + begins > crowd)
        dispatch->wave++;
    ordering->begun[dispatch->wave] += begins;
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        struct touch *touch = &ordering->touches[ordering->touch_count++];
        const struct extent extent = binding_extent(lowering, &dispatch->bindings[b]);
        *touch = (struct touch){ordering->latest[extent.memory], extent, dispatch->wave, dispatch->bindings[b].written};
        ordering->latest[extent.memory] = touch;
    }
}

static vkg_result find_waves(struct lowering *lowering, const struct reach *reach)
{
    size_t touches = 0;
    for (size_t i = 0; i < lowering->dispatch_count; i++)
        touches += lowering->dispatches[i].binding_count;
    struct ordering ordering = {.latest = calloc(lowering->storage_count + 1, sizeof *ordering.latest),
                                .touches = calloc(touches + 1, sizeof *ordering.touches),
                                .begun = calloc(lowering->dispatch_count + 1, sizeof *ordering.begun)};
    const bool good = ordering.latest && ordering.touches && ordering.begun;
    uint32_t least = 0, latest = 0;
    for (size_t i = 0; i < lowering->dispatch_count && good; i++) {
        struct dispatch *dispatch = &lowering->dispatches[i];
        if (i >= reach->window && lowering->dispatches[i - reach->window].wave > least)
            least = lowering->dispatches[i - reach->window].wave;
        const uint32_t first = dispatch->late                               ? latest - (latest < AHEAD ? latest : AHEAD)
                               : dispatch_bytes(dispatch) > reach->large ? latest
                                                                            : least;
        find_wave(&ordering, lowering, dispatch, first, reach->crowd);
        latest = dispatch->wave > latest ? dispatch->wave : latest;
    }
    free(ordering.latest);
    free(ordering.touches);
    free(ordering.begun);
    return good ? VKG_OK : lowering_out_of_memory(lowering);
}

/* The most bytes of temporary tensors that live in one wave. */
static vkg_result find_most_alive(struct lowering *lowering, int64_t *most)
{
    int64_t *alive = calloc(lowering->dispatch_count + 2, sizeof *alive);
    if (!alive)
        return lowering_out_of_memory(lowering);
    plan_find_alive(lowering, alive);
    *most = 0;
    for (size_t wave = 0; wave < lowering->dispatch_count; wave++)
        *most = alive[wave] > *most ? alive[wave] : *most;
    free(alive);
    return VKG_OK;
}

static vkg_result measure(struct lowering *lowering, const struct reach *reach, int64_t *most)
{
    const vkg_result result = find_waves(lowering, reach);
    return result == VKG_OK ? find_most_alive(lowering, most) : result;
}

/* Leaves the waves of the far reach, or of the near one. */
static vkg_result choose_reach(struct lowering *lowering, struct reach *reach, int64_t *most)
{
    int64_t least;
    *reach = far;
    vkg_result result = measure(lowering, &near, &least);
    if (result == VKG_OK)
        result = measure(lowering, &far, most);
    if (result != VKG_OK || *most <= least + least / LITTLE)
        return result;
    *reach = near;
    return measure(lowering, &near, most);
}

/* Has what takes much memory run one after the other, where that takes much less. */
static vkg_result thin_crowds(struct lowering *lowering, struct reach *reach, int64_t *most)
{
    const struct reach thin = {reach->window, reach->large, (uint64_t)*most / CROWD};
    int64_t now;
    vkg_result result = measure(lowering, &thin, &now);
    if (result != VKG_OK || now > *most - *most / MUCH)
        return result == VKG_OK ? measure(lowering, reach, most) : result;
    *reach = thin;
    *most = now;
    return result;
}

/* Where that takes less memory. */
static vkg_result recompute(struct lowering *lowering, const struct reach *reach, int64_t most)
{
    struct dispatch *old;
    size_t old_count;
    const size_t storage_count = lowering->storage_count;
    int64_t now = most;
    vkg_result result = recompute_dispatches(lowering, &old, &old_count);
    if (old && result == VKG_OK)
        result = measure(lowering, reach, &now);
    if (old && now >= most) {
        struct dispatch *unused = lowering->dispatches;
        lowering->dispatches = old;
        lowering->dispatch_count = lowering->dispatch_capacity = old_count;
        lowering->storage_count = storage_count;
        old = unused;
    }
    free(old);
    return result;
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
    struct reach reach;
    int64_t most;
    vkg_result result = choose_reach(lowering, &reach, &most);
    if (result == VKG_OK && lowering->spares_memory)
        result = thin_crowds(lowering, &reach, &most);
    if (result == VKG_OK && lowering->spares_memory)
        result = recompute(lowering, &reach, most);
    struct dispatch *sorted = calloc(lowering->dispatch_count + 1, sizeof *sorted);
    size_t *starts = calloc(lowering->dispatch_count + 2, sizeof *starts);
    const bool good = sorted && starts;
    if (good && result == VKG_OK) {
        sort_by_wave(lowering, sorted, starts);
        free(lowering->dispatches);
        lowering->dispatches = sorted;
        lowering->dispatch_capacity = lowering->dispatch_count + 1;
    } else {
        free(sorted);
    }
    free(starts);
    return good ? result : lowering_out_of_memory(lowering);
}
