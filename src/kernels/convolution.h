/* Which kernels run a convolution on a device, and with what grid. Pure: no device is called. */
#ifndef VKG_KERNELS_CONVOLUTION_H
#define VKG_KERNELS_CONVOLUTION_H

#include <stdbool.h>

#include "kernels/binding_format.h"
#include "kernels/convolution_problem.h"
#include "vkgan/device.h"
#include "vkgan/graph.h"

/* The push constants of shaders/conv_*.comp; shaders/lib/conv.glsl has the same fields. */
struct conv_push {
    struct conv_problem problem;
    uint32_t chunk;        /* terms of the sum that one split adds up */
    uint32_t split;        /* splits; their results lie one after the other */
    uint32_t lane_columns; /* texel kernels: so many lanes lie side by side over the columns, */
    uint32_t lane_splits;  /* and so many take splits of their own */
    uint32_t blocks;       /* workgroups of one group, in one phase and split */
    /* from one group's tensor to the next one's, and from one place (of w: one ci) to the next, in elements */
    uint32_t x_group, w_group, y_group, x_pitch, w_pitch, y_pitch;
    float slope, step_slope; /* of the epilogue */
};

struct conv_step {
    const char *shader;             /* a variant's name */
    uint32_t workgroup;             /* specialisation constant 0; 1 is the epilogue's */
    uint32_t constants[11];         /* those from 2 on, */
    uint32_t constant_count;        /* and how many they are */
    bool specialized;               /* conv_push up to its slopes are the constants that follow, instead of push constants */
    uint32_t subgroup_size;         /* as in pipeline_desc */
    uint32_t tile[3];               /* of a shader that has several: rows, columns, and terms at a time; else 0 */
    bool by_image;                  /* rows of that tile go image by image */
    uint32_t sharers;               /* of texel kernels: lanes that read for one another; else 0 */
    uint32_t grains[2];             /* of kernels that read pieces: elements of one read of each input; else 0 */
    bool copies;                    /* it can write its result as halves, and read a step of halves, as its inputs are */
    uint32_t moments_tile[2]; /* the same, of a kernel that can leave the moments of its tiles (tile_moments.h); else 0 */
    enum binding_format formats[2]; /* of the two inputs */
    enum binding_format epilogue_format; /* of what an epilogue reads */
    uint32_t groups[3];
};

/* A kernel; where split > 1 it writes `split` parts of the result one after the other, to be added. */
struct conv_plan {
    vkg_dtype dtype; /* of both inputs */
    bool unpacks;    /* the kernel reads float32: inputs of halves are copied to that first */
    struct conv_step step;
    struct conv_push push;
    double flops; /* products with padding do not count */
    bool unlikely; /* to be the fastest: not worth a trial */
    bool finishes; /* its parts are added, where an epilogue follows, by kernels/finish.h, which can do all of one */
    uint32_t epilogue; /* that the result is to have: its constant (kernels/epilogue.h); for the caller to set */
};

enum { CONV_MAX_CANDIDATES = 31 };

/* Every way to run a problem on a device that its shape and the device's limits allow, best guess first: the device's
 * own family of kernels in several tiles and splits, then the slower ones, the plain kernel last. Each is complete, and
 * they differ in shader, tile or split. The inputs are, by direction: forward x, w; input gradient dy, w; weight
 * gradient x, dy, both of `dtype`: float32, float16 or bfloat16; the result is float32. Kernels of cooperative matrices
 * come first for halves, where the device has them for that type; the others read float16 through texel buffers that
 * convert it, or copies in float32. Returns how many there are (plans[] has room for one more). 0 where not even the plain one fits: a tensor of more
 * than 2³¹ − 1 elements, more workgroups than the device runs, splits of more than a storage buffer's range. */
uint32_t conv_candidates(const vkg_device_caps *caps, enum conv_direction direction,
                         const struct conv_problem *problem, vkg_dtype dtype,
                         struct conv_plan plans[CONV_MAX_CANDIDATES + 1]);

/* What the plan's convolution reads and writes, each number once. */
double conv_bytes(enum conv_direction direction, const struct conv_plan *plan);
/* What a plan that takes so many seconds is compared by: its time; and a tenth of that if the parts of its sums are as large as all
 * that is read and written: they take memory, and caches from what runs beside them. */
double conv_cost(enum conv_direction direction, const struct conv_plan *plan, double seconds);

#endif
