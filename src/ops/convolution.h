/* What the families that are built on convolution share. */
#ifndef VKG_OPS_CONVOLUTION_H
#define VKG_OPS_CONVOLUTION_H

#include "kernels/convolution.h"
#include "kernels/epilogue.h"
#include "ops/ops.h"

/* A convolution of one to three dimensions as its caller described it. The arrays are (depth, height, width);
 * dimensions that are not there have size 1, and change nothing. ci and co are the channels of one group. */
struct conv_space {
    uint32_t rank; /* 1, 2 or 3 */
    uint32_t n, ci, co, groups;
    uint32_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
};

/* x [n, in…, groups·ci], weight [kernel…, ci, groups·co], y [n, out…, groups·co] */
enum conv_operand { CONV_X, CONV_W, CONV_Y };

/* The two-dimensional convolution that computes the same: depth becomes channels. */
struct conv_problem conv_plane_problem(const struct conv_space *space);
/* That one's operand from this one's, and back. What is done to x and back again are transposes of each other. */
vkg_tensor *conv_to_plane(vkg_graph *graph, const struct conv_space *space, enum conv_operand operand, vkg_tensor *a);
vkg_tensor *conv_from_plane(vkg_graph *graph, const struct conv_space *space, enum conv_operand operand, vkg_tensor *a);

/* The node itself, with operands of the shapes that conv_problem states: what each direction reads and makes is,
 * in this order, forward x, w, y; input gradient y, w, x; weight gradient x, y, w. */
extern const enum conv_operand conv_operands[3][3];
vkg_shape conv_operand_shape(const struct conv_problem *p, enum conv_operand operand);
/* Is it one, and of which direction? */
bool conv_is_node(const vkg_tensor *node, enum conv_direction *direction);
/* conv_candidates of a node that has this epilogue. */
uint32_t conv_node_candidates(const vkg_device_caps *caps, const vkg_tensor *node, enum conv_direction direction,
                              const struct epilogue *epilogue, struct conv_plan plans[CONV_MAX_CANDIDATES + 1]);
vkg_tensor *conv_node(vkg_graph *graph, enum conv_direction direction, vkg_tensor *a, vkg_tensor *b,
                      const struct conv_problem *problem);
/* The same for operations to use: of halves, a node of more channels where kernels would read these one by one, and what belongs
 * to the problem of its result. */
vkg_tensor *conv_in_precision(vkg_graph *graph, enum conv_direction direction, vkg_tensor *a, vkg_tensor *b,
                              const struct conv_problem *problem);

#endif
