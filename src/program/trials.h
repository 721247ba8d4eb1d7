/* Trials: before a program is lowered, the kernels that its convolutions could use are tested, and, where the device
 * is tuned, timed. What was found is kept in the device's notes: later programs find it there. */
#ifndef VKG_PROGRAM_TRIALS_H
#define VKG_PROGRAM_TRIALS_H

#include "device/device.h"
#include "program/fuse.h"

/* Errors are those of building and running small programs; a kernel that is wrong, or slow, is none. */
vkg_result trials_run(vkg_device *device, const struct fusion *fusion);

#endif
