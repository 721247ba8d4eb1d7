#include "gan/timeline.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"

static uint32_t every(const vkg_phase *phase)
{
    return phase->every ? phase->every : 1;
}

static uint64_t phases_at(const vkg_trainer_desc *desc, uint64_t step)
{
    uint64_t phases = 0;
    for (uint32_t p = 0; p < desc->phase_count; p++) {
        const vkg_phase *phase = &desc->phases[p];
        if (step % every(phase) == 0 && step >= phase->from && (step < phase->until || phase->until == 0))
            phases |= 1ull << p;
    }
    return phases;
}

static uint32_t least_common_multiple(uint32_t a, uint32_t b)
{
    uint32_t x = a, y = b;
    while (y) {
        uint32_t rest = x % y;
        x = y;
        y = rest;
    }
    uint64_t multiple = (uint64_t)a / x * b;
    return multiple > TIMELINE_MAX_PERIOD ? TIMELINE_MAX_PERIOD + 1 : (uint32_t)multiple;
}

static int by_step(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The steps at which something begins or ends, each once; 0 is the first. */
static void find_starts(struct timeline *timeline, const vkg_trainer_desc *desc)
{
    uint32_t count = 1;
    for (uint32_t p = 0; p < desc->phase_count; p++) {
        timeline->starts[count++] = desc->phases[p].from;
        timeline->starts[count++] = desc->phases[p].until;
    }
    qsort(timeline->starts, count, sizeof *timeline->starts, by_step);
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || timeline->starts[i] != timeline->starts[i - 1])
            timeline->starts[timeline->stretch_count++] = timeline->starts[i];
}

static vkg_result find_combination(const vkg_log *log, struct timeline *timeline, uint64_t phases, uint64_t step,
                                   uint8_t *turn)
{
    uint32_t c = 0;
    while (c < timeline->combination_count && timeline->combinations[c] != phases)
        c++;
    if (!phases)
        return vkg_fail(log, VKG_ERROR_INVALID, "no phase runs at step %" PRIu64 ": some phase must run in every step", step);
    if (c == TIMELINE_MAX_COMBINATIONS)
        return vkg_fail(log, VKG_ERROR_INVALID, "more than %d combinations of phases", TIMELINE_MAX_COMBINATIONS);
    if (c == timeline->combination_count)
        timeline->combinations[timeline->combination_count++] = phases;
    *turn = (uint8_t)c;
    return VKG_OK;
}

/* One period of every stretch, or as much of it as there is. */
static vkg_result find_turns(const vkg_log *log, struct timeline *timeline, const vkg_trainer_desc *desc)
{
    vkg_result result = VKG_OK;
    for (uint32_t s = 0; s < timeline->stretch_count; s++) {
        const uint64_t start = timeline->starts[s], end = s + 1 < timeline->stretch_count ? timeline->starts[s + 1] : UINT64_MAX;
        uint8_t *turns = &timeline->turns[(size_t)s * timeline->period];
        for (uint64_t i = 0; i < timeline->period && i < end - start && result == VKG_OK; i++)
            result = find_combination(log, timeline, phases_at(desc, start + i), start + i,
                                      &turns[(start + i) % timeline->period]);
    }
    return result;
}

vkg_result timeline_create(const vkg_log *log, const vkg_trainer_desc *desc, struct timeline *timeline)
{
    *timeline = (struct timeline){.period = 1};
    for (uint32_t p = 0; p < desc->phase_count; p++) {
        const vkg_phase *phase = &desc->phases[p];
        if (phase->until != 0 && round_up(phase->from, every(phase)) >= phase->until)
            return vkg_fail(log, VKG_ERROR_INVALID,
                            "phase \"%s\" never runs: no multiple of every, %u, lies from step %" PRIu64 " to before until, %" PRIu64 " (0: no end)",
                            phase->name, every(phase), phase->from, phase->until);
        timeline->period = least_common_multiple(timeline->period, every(phase));
    }
    if (timeline->period > TIMELINE_MAX_PERIOD)
        return vkg_fail(log, VKG_ERROR_INVALID, "the phases' `every` repeat only after more than %d steps",
                        TIMELINE_MAX_PERIOD);
    timeline->starts = calloc(2 * desc->phase_count + 1, sizeof *timeline->starts);
    if (timeline->starts)
        find_starts(timeline, desc);
    timeline->turns = calloc(timeline->stretch_count, timeline->period);
    if (!timeline->starts || !timeline->turns)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "vkg_trainer_create: out of host memory");
    return find_turns(log, timeline, desc);
}

void timeline_free(struct timeline *timeline)
{
    free(timeline->starts);
    free(timeline->turns);
    *timeline = (struct timeline){0};
}

uint32_t timeline_at(const struct timeline *timeline, uint64_t step)
{
    uint32_t stretch = timeline->stretch_count - 1;
    while (timeline->starts[stretch] > step)
        stretch--;
    return timeline->turns[(size_t)stretch * timeline->period + step % timeline->period];
}
