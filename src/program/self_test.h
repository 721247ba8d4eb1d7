/* The self-test: do the kernels compute, on this device and driver, what loops on the processor do? What was seen is
 * noted: a kernel is tested once a device, driver and set of shaders. One that computes wrong numbers, or cannot be
 * built or run, is distrusted, and a warning names it. VKGAN_SELF_TEST=0: nothing is tested, and all are trusted. */
#ifndef VKG_PROGRAM_SELF_TEST_H
#define VKG_PROGRAM_SELF_TEST_H

#include "device/device.h"
#include "graph/graph.h"
#include "kernels/convolution.h"

/* Before the device's first program: all kernels but those of convolutions, and those that only some graphs ask for
 * (kernel_checks.c). Where one is distrusted that reads through texel buffers, the device's family becomes that of tiled kernels, which read storage buffers.
 * Errors: UNSUPPORTED (one of those is distrusted too), and those of memory and a lost device. */
vkg_result self_test_device(vkg_device *device);

/* Before a graph becomes a program: the kernels of its composites (struct op), which are built of other operations where these are
 * distrusted. Errors: those of memory and a lost device. */
vkg_result self_test_graph(vkg_device *device, const vkg_graph *graph);

/* A convolution's kernel: runs a small problem by it, on inputs of the plan's type. A kernel that no small problem
 * reaches is trusted.
 * Errors: those of memory and a lost device. */
vkg_result self_test(vkg_device *device, enum conv_direction direction, const struct conv_plan *plan);

/* Says which pipelines self_test will ask for. */
vkg_result self_test_want(vkg_device *device, enum conv_direction direction, const struct conv_plan *plan);

/* UNSUPPORTED, with a message: `kernel` is distrusted, and nothing can run instead. */
vkg_result self_test_fail(vkg_device *device, const char *kernel);

#endif
