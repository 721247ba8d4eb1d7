/* Which phases run in which step. Every combination that coincides becomes a program; the timeline says whose turn it is. */
#ifndef VKG_GAN_TIMELINE_H
#define VKG_GAN_TIMELINE_H

#include "base/log.h"
#include "vkgan/gan.h"

enum { TIMELINE_MAX_COMBINATIONS = 16, TIMELINE_MAX_PERIOD = 4096 };

struct timeline {
    uint64_t combinations[TIMELINE_MAX_COMBINATIONS]; /* of phases, a bit each */
    uint32_t combination_count;
    /* Between two steps at which a phase begins or ends, combinations repeat. */
    uint64_t *starts; /* the first step of each stretch, rising from 0 */
    uint32_t stretch_count, period;
    uint8_t *turns; /* [stretch][step modulo period] → combination */
};

vkg_result timeline_create(const vkg_log *log, const vkg_trainer_desc *desc, struct timeline *timeline);
void timeline_free(struct timeline *timeline);
/* The combination that runs in a step. */
uint32_t timeline_at(const struct timeline *timeline, uint64_t step);

#endif
