/* How long submissions last. */
#ifndef VKG_PROGRAM_PACE_H
#define VKG_PROGRAM_PACE_H

#include "program/program.h"

/* Guesses what every dispatch takes, from its work and what is known of the device. */
void pace_estimate(struct vkg_program *program);
/* The program's first run, measured and waited for; then its submissions are cut anew where they are far off. The slot stays
 * in flight, finished. */
vkg_result pace_first_run(struct vkg_program *program, uint32_t slot);

#endif
