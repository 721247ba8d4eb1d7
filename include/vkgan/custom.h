/* vkgan: operations of your own. Their GLSL is compiled at run time, for whatever device runs the graph, and kept in the
 * cache on disk; an error of the compiler names the operation and the line of its text, and comes out of
 * vkg_program_create.
 *
 *     static void cube_gradient(const vkg_op_call *call)
 *     {
 *         vkg_tensor *slope = vkg_affine(call->graph, vkg_square(call->graph, call->inputs[0]), 3, 0);
 *         call->gradients[0] = vkg_mul(call->graph, call->dy, slope);
 *     }
 *     static const vkg_op_desc cube = {.name = "cube", .inputs = 1, .glsl = "return a * a * a;", .gradient = cube_gradient};
 *     …
 *     vkg_tensor *y = vkg_custom_pointwise(graph, &cube, &x, 0, 0);
 *
 * Descriptions are copied. Calls with equal descriptions, inputs and numbers are one tensor. */
#ifndef VKGAN_CUSTOM_H
#define VKGAN_CUSTOM_H

#include "vkgan/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a gradient rule gets, and what it gives: for every input i with wanted[i], gradients[i], built of operations (of
 * the library, or your own: then it can be differentiated again). dy has the output's shape; a gradient of that shape is
 * summed down to an input that was broadcast. */
typedef struct vkg_op_call {
    vkg_graph *graph;
    vkg_tensor *const *inputs;
    vkg_tensor *output, *dy;
    float p, q;
    const bool *wanted;
    vkg_tensor **gradients;
    void *user;
} vkg_op_call;

typedef struct vkg_op_desc {
    const char *name; /* letters, digits and '_'; required */
    uint32_t inputs;  /* pointwise: 1 to 3; kernels: 1 to 4 */
    const char *glsl; /* the body of a function that returns a float; required */
    void (*gradient)(const vkg_op_call *call); /* NULL: no gradient passes */
    void *user;                                /* handed to `gradient` */
} vkg_op_desc;

/* Pointwise: the body sees floats a, b, c (as many as there are inputs) and p, q. Inputs are broadcast; it is fused with
 * its neighbours like any pointwise operation. */
VKG_API vkg_tensor *vkg_custom_pointwise(vkg_graph *graph, const vkg_op_desc *desc, vkg_tensor *const *inputs, float p,
                                         float q);
/* Anything else: the body gives element `i` (a uint, row-major) of a result of `shape`. It sees in0(j) … in3(j), element j
 * of the inputs as a float, the sizes in0_dims[d] … in3_dims[d] and out_dims[d] (uint, 1 behind the rank), and p, q.
 * Reading beyond an input's end is undefined. Loops of more than 65,535 turns end early on some drivers. */
VKG_API vkg_tensor *vkg_custom_kernel(vkg_graph *graph, const vkg_op_desc *desc, vkg_tensor *const *inputs,
                                      vkg_shape shape, float p, float q);

#ifdef __cplusplus
}
#endif
#endif
