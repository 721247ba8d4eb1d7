/* Which kernels run a convolution on a device, and with what grid. Pure: no device is called. */
#ifndef VKG_KERNELS_CONVOLUTION_H
#define VKG_KERNELS_CONVOLUTION_H

#include "kernels/binding_format.h"
#include "kernels/convolution_problem.h"
#include "vkgan/device.h"

/* The push constants of shaders/conv_*.comp; shaders/lib/conv.glsl has the same fields. */
struct conv_push {
    struct conv_problem problem;
    uint32_t chunk, split;
};

struct conv_step {
    const char *shader;              /* a variant's name */
    uint32_t workgroup;              /* specialisation constant 0 */
    enum binding_format formats[2];  /* of the two inputs */
    uint32_t groups[3];
};

/* The kernel; where split > 1 it writes `split` parts of the result one after the other, to be added. */
struct conv_plan {
    struct conv_step step;
    struct conv_push push;
    double flops; /* that count: products with padding are not done */
};

/* Chooses among the kernels of a family those that fit the shape and the device's limits: the fast ones first, the
 * plain one last. VKG_ERROR_UNSUPPORTED where not even that fits. */
vkg_result conv_plan_build(const vkg_device_caps *caps, enum conv_direction direction,
                           const struct conv_problem *problem, struct conv_plan *plan);

#endif
