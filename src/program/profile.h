/* Measuring single dispatches. */
#ifndef VKG_PROGRAM_PROFILE_H
#define VKG_PROGRAM_PROFILE_H

#include "program/program.h"

/* Seconds, from the beginning of the run's first dispatch. */
struct dispatch_time {
    double start, seconds;
};

/* Runs the slot once, and waits; times[0 … stats.dispatches−1] by timestamps, which the queue must have; *whole: the
 * seconds that went by meanwhile. */
vkg_result profile_run(struct vkg_program *program, uint32_t slot, struct dispatch_time *times, double *whole);

#endif
