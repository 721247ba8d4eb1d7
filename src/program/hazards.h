/* Where barriers are needed: pure arithmetic over planned dispatches, no device. */
#ifndef VKG_PROGRAM_HAZARDS_H
#define VKG_PROGRAM_HAZARDS_H

#include "program/program.h"

/* Sets dispatches[i].barrier for every dispatch of the lowering and counts them. The answer holds however the run is
 * cut into submissions: each begins with a barrier of its own, and one more never hurts. */
vkg_result hazards_find(const struct lowering *lowering, struct prepared_dispatch *dispatches, uint32_t *barriers);

#endif
