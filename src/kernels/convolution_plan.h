/* What the families of convolution kernels share when they lay one of theirs out for a problem: convolution.c (tiled and plain ones, and
 * the choice), convolution_texel.c, convolution_matrices.c. */
#ifndef VKG_KERNELS_CONVOLUTION_PLAN_H
#define VKG_KERNELS_CONVOLUTION_PLAN_H

#include "base/arithmetic.h"
#include "kernels/convolution.h"

/* One group of a convolution as a matrix product: result[row][column] = Σ over terms. */
struct sizes {
    uint64_t inputs[2], outputs, groups; /* elements of all groups, and how many these are */
    uint64_t rows, columns; /* of input_grad: the rows of its largest phase, places equal modulo the stride */
    uint64_t phases;
    uint64_t terms, summed; /* products summed for one output; channels among them */
};

/* What is asked for, and on which device. */
struct question {
    const vkg_device_caps *caps;
    enum conv_direction direction;
    const struct conv_problem *problem;
    vkg_dtype dtype;
    struct sizes sizes;
};

/* A row of the table of kernels: how one of them is laid out for a problem. plan() fills the step, and the push
 * constants that are the kernel's own, of a plan that holds the problem's; false where the kernel cannot run it. */
struct kernel {
    vkg_kernel_family family;
    bool (*plan)(const struct question *question, const struct kernel *kernel, struct conv_plan *plan);
    const char *names[3]; /* of the shaders, by direction; kernels with variants by shape name them in plan() */
    uint32_t rows, columns;               /* tiled kernels: the tile of a workgroup, */
    uint32_t thread_rows, thread_columns; /* and that of a thread */
    uint32_t workgroups; /* sums are cut until there are so many, where the terms are enough; 0: as the device likes */
};

#define OF_EACH_DIRECTION(name) {"conv_forward_" name, "conv_input_grad_" name, "conv_weight_grad_" name}

/* --- all families --- */

/* x and y fold the groups' workgroups, `blocks` of each, and z counts phases or splits. false: more than the device runs. */
bool conv_set_grid(const vkg_device_caps *caps, struct conv_plan *plan, uint64_t blocks, uint64_t groups, uint64_t z);

/* The workgroups that keep a device of this kind busy. */
uint32_t conv_enough_workgroups(const vkg_device_caps *caps);

/* Cuts the terms of a sum into splits: so many that `workgroups` times splits are `enough`, and that no invocation, which takes
 * `stride` terms in a turn of its loop, loops for longer than the driver lets it. false: the parts would not fit into a buffer. */
bool conv_choose_split(const vkg_device_caps *caps, const struct sizes *s, uint64_t workgroups, uint32_t enough, uint64_t stride,
                       struct conv_plan *plan);

/* Can they be viewed as texels of `width` elements? */
bool conv_texels_fit(const vkg_device_caps *caps, uint64_t elements, uint32_t width);

/* Is the plan behind those `count` one of them? */
bool conv_is_there(const struct conv_plan *plans, uint32_t count);

/* --- kernels of tiles in shared memory, of matrices too --- */

/* What one read of an input takes: a `piece`, of 16 bytes, where the channels that lie side by side come in these. */
void conv_set_grains(const struct question *question, uint32_t piece, struct conv_plan *plan);

/* Tiles that are for other shapes are not even tried: each costs a compilation. Up to `least` columns may be mostly empty. */
bool conv_suits(const struct kernel *tile, const struct sizes *s, uint32_t least);

/* The grid and the splits of a kernel of that tile, which takes `depth` terms at a time. */
bool conv_set_tiles(const struct question *question, const struct kernel *tile, uint32_t depth, struct conv_plan *plan);

/* --- the families of files of their own --- */

/* As struct kernel's plan(). */
bool conv_plan_depthwise_texel(const struct question *question, const struct kernel *kernel, struct conv_plan *plan);
bool conv_plan_texel(const struct question *question, const struct kernel *kernel, struct conv_plan *plan);

/* Matrices in several tiles, the likely ones first, each of which begins as `unfinished`; returns how many. */
enum { CONV_MOST_MATRICES = 8 };
uint32_t conv_add_matrices(const struct question *question, const struct conv_plan *unfinished, struct conv_plan *plans);

#endif
