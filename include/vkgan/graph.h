/* vkgan: graphs of tensors, the builder's ground floor, and differentiation.
 *
 * A graph is a recipe: it holds shapes and operations, no numbers. Numbers that outlive a run (parameters,
 * running statistics, optimiser moments) are a vkg_state (vkgan/program.h); numbers of one run belong to a
 * vkg_program.
 *
 * Tensors are channels last: images are [N, H, W, C]. A tensor belongs to its graph and dies with it.
 *
 * Errors: builder calls never return NULL. A call that breaks a rule returns a poisoned tensor; the first
 * message (which call, which shapes, which rule) is kept in the graph, sent to its log, and returned by
 * vkg_program_create. Whatever is built on a poisoned tensor is poisoned in silence.
 * Thread-safety: one thread at a time a graph. */
#ifndef VKGAN_GRAPH_H
#define VKGAN_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vkgan/result.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VKG_MAX_RANK 6

typedef struct vkg_graph vkg_graph;
typedef struct vkg_tensor vkg_tensor;

/* float32 is what operations compute in. Pointwise operations and reductions read every type as float32 (integers
 * exactly up to 2²⁴); indices of vkg_gather and its like are int32; images may come as uint8; vkg_cast converts. */
typedef enum vkg_dtype { VKG_FLOAT32, VKG_UINT32, VKG_INT32, VKG_UINT8, VKG_FLOAT16, VKG_BFLOAT16 } vkg_dtype;
/* Bytes of one element. */
VKG_API size_t vkg_dtype_size(vkg_dtype dtype);
VKG_API const char *vkg_dtype_name(vkg_dtype dtype); /* "float32" */

/* Rank 0 is a scalar of one element. Every dimension is at least 1. */
typedef struct vkg_shape {
    uint32_t rank;
    uint32_t dims[VKG_MAX_RANK];
} vkg_shape;

/* VKG_SHAPE(64, 28, 28, 1) is a vkg_shape of rank 4. */
#define VKG_SHAPE(...)                                                                                       \
    ((vkg_shape){.rank = sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), .dims = {__VA_ARGS__}})
#define VKG_SCALAR ((vkg_shape){.rank = 0})

/* How a parameter starts. The numbers are drawn on the host by Philox, keyed by the seed of the vkg_state
 * and the parameter's name, so they do not depend on the device or on what else the graph holds. */
typedef enum vkg_init_kind {
    VKG_INIT_CONSTANT,
    VKG_INIT_NORMAL,
    VKG_INIT_UNIFORM,
    VKG_INIT_TRUNCATED_NORMAL, /* a normal distribution cut at two standard deviations (before the cut) on both sides */
    VKG_INIT_ORTHOGONAL, /* the matrix [first PyTorch dimension, all others] has orthonormal rows, or columns where
                          * there are fewer of them, times a gain (Saxe et al. 2014); a vector has length `gain` */
} vkg_init_kind;
typedef struct vkg_init {
    vkg_init_kind kind;
    float a; /* the constant; the mean; the low end; the mean; the gain */
    float b; /* –; the standard deviation; the high end; the standard deviation; – */
} vkg_init;

/* `log` may be NULL; it is copied, its user pointer must outlive the graph. */
VKG_API vkg_result vkg_graph_create(const vkg_log *log, vkg_graph **graph);
/* Frees the graph and all of its tensors, and clears the handle. NULL is fine. */
VKG_API void vkg_graph_destroy(vkg_graph **graph);
/* The first message of a broken rule, or NULL while there is none. Valid as long as the graph. */
VKG_API const char *vkg_graph_error(const vkg_graph *graph);

/* Mixed precision: convolutions and matrix products that are built from here on, those of gradients among them, read
 * their inputs as this type (float32, the default; float16 or bfloat16), which is what lies in memory of them, and sum
 * in float32. Their results are rounded to it, as by PyTorch's autocast, where the next one reads them or where they are read to be
 * normalised (sums over them leave each channel its own, in the gradient too), unless somebody else reads them as well: outputs of a
 * program, losses and images are float32, and so are parameters and all else. Where one of two inputs is of 16 bits already, the other
 * becomes the same, whatever the precision. Another type is an error. Channels that do not come in eights are computed with zeros
 * beside them.
 * float16 holds nothing below 6e-8: losses must be scaled by their caller for small gradients to survive in it. */
VKG_API void vkg_graph_set_precision(vkg_graph *graph, vkg_dtype precision);

/* Names given between enter and leave are prefixed with "scope.": a network's parameters share a prefix. */
VKG_API void vkg_graph_enter(vkg_graph *graph, const char *scope);
/* The scope "list.index", as PyTorch names what is in a ModuleList or Sequential. */
VKG_API void vkg_graph_enter_item(vkg_graph *graph, const char *list, uint32_t index);
VKG_API void vkg_graph_leave(vkg_graph *graph);

/* --- leaves --- */

/* A tensor whose numbers the host gives at every run. */
VKG_API vkg_tensor *vkg_input(vkg_graph *graph, const char *name, vkg_shape shape);
/* The same for numbers of another type: labels, indices, images of bytes. */
VKG_API vkg_tensor *vkg_input_typed(vkg_graph *graph, const char *name, vkg_shape shape, vkg_dtype dtype);
/* Numbers that are fixed now: a table, a filter, a mask. They are copied into the graph, and uploaded once for
 * every program. Equal data is one tensor. */
VKG_API vkg_tensor *vkg_data(vkg_graph *graph, vkg_shape shape, vkg_dtype dtype, const void *data);
/* Every element is `value`. Costs no memory: it becomes part of the kernels that read it. */
VKG_API vkg_tensor *vkg_constant(vkg_graph *graph, float value, vkg_shape shape);
/* A trained tensor of the vkg_state. Asking again for a name gives the same parameter (its present version,
 * where an optimiser has updated it since), so a network function may be called several times in one graph.
 * Asking with another shape is an error. */
VKG_API vkg_tensor *vkg_parameter(vkg_graph *graph, const char *name, vkg_shape shape, vkg_init init);
/* The same for a tensor that is kept and saved, but not trained: running statistics, for example. */
VKG_API vkg_tensor *vkg_buffer(vkg_graph *graph, const char *name, vkg_shape shape, vkg_init init);
/* From here on, `buffer` (a result of vkg_buffer or vkg_parameter) holds `value` (same shape): later calls
 * of vkg_buffer with its name see the new value, tensors built earlier keep the old one. What is computed of the old
 * version itself must have been built before: reading it later is an error. */
VKG_API void vkg_assign(vkg_graph *graph, vkg_tensor *buffer, vkg_tensor *value);
/* Standard normal numbers, or uniform ones in (0, 1]: Philox 4x32-10 keyed by the state's seed, the step and
 * the place of the call among the random calls of the graph; fresh at every run. */
VKG_API vkg_tensor *vkg_random_normal(vkg_graph *graph, vkg_shape shape);
VKG_API vkg_tensor *vkg_random_uniform(vkg_graph *graph, vkg_shape shape);

/* Marks a tensor whose numbers the host reads after a run. A parameter or buffer itself is given as it is at the end of the run. */
VKG_API void vkg_output(vkg_graph *graph, const char *name, vkg_tensor *tensor);

/* --- what is known of a tensor --- */
VKG_API vkg_shape vkg_tensor_shape(const vkg_tensor *tensor);
VKG_API vkg_dtype vkg_tensor_dtype(const vkg_tensor *tensor);
VKG_API uint64_t vkg_tensor_elements(const vkg_tensor *tensor);
VKG_API const char *vkg_tensor_name(const vkg_tensor *tensor); /* "" where it has none */

/* --- differentiation --- */

/* Reverse-mode differentiation as a graph-to-graph function: builds, out of ordinary operations, the
 * gradient of `loss` with respect to each of wrt[0 … count−1] into gradients[0 … count−1]. As they are
 * ordinary tensors, they can be used in a loss and differentiated again, to any order.
 * `loss`: one element; for a tensor `loss` of more elements the gradient of its sum is meant.
 * A tensor of wrt on which the loss does not depend gets a constant of zeros.
 * Only what lies between wrt and loss is visited: what nobody asked for is not computed. */
VKG_API void vkg_gradients(vkg_graph *graph, vkg_tensor *loss, vkg_tensor *const *wrt, uint32_t count,
                           vkg_tensor **gradients);

/* The parameters of the graph whose names begin with `prefix`, in the order in which they were made, in
 * their present versions. Writes at most `capacity`; returns how many there are. */
VKG_API uint32_t vkg_graph_parameters(vkg_graph *graph, const char *prefix, vkg_tensor **parameters,
                                      uint32_t capacity);

#ifdef __cplusplus
}
#endif
#endif
