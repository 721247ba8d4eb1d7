/* The self-test: does a convolution kernel compute, on this device and driver, what a loop on the processor does? */
#ifndef VKG_PROGRAM_SELF_TEST_H
#define VKG_PROGRAM_SELF_TEST_H

#include "device/device.h"
#include "kernels/convolution.h"

/* Runs a small problem by that plan's kernel, on inputs of its type, unless the device's notes tell the result already, notes it, and warns of a
 * kernel that is wrong. A kernel that no small problem reaches is trusted. */
vkg_result self_test(vkg_device *device, enum conv_direction direction, const struct conv_plan *plan);

#endif
