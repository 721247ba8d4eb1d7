#ifndef VKG_KERNELS_WORKGROUP_H
#define VKG_KERNELS_WORKGROUP_H

#include "vkgan/device.h"

/* Workgroup size of the simple one-dimensional kernels. */
static inline uint32_t simple_workgroup(const vkg_device_caps *caps)
{
    return caps->type == VKG_DEVICE_CPU ? 32 : 128;
}

/* How many elements an invocation of such a kernel takes: where the processor computes, starting one costs. */
static inline uint32_t elements_each(const vkg_device_caps *caps)
{
    return caps->type == VKG_DEVICE_CPU ? 4 : 1;
}

/* `wanted`, a power of two, halved until the device runs so many invocations. */
static inline uint32_t workgroup_within(const vkg_device_caps *caps, uint32_t wanted)
{
    while (wanted > caps->max_workgroup_invocations)
        wanted /= 2;
    return wanted;
}

#endif
