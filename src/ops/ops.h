/* What the families of operations share with each other. */
#ifndef VKG_OPS_OPS_H
#define VKG_OPS_OPS_H

#include "graph/graph.h"
#include "vkgan/ops.h"
#include "vkgan/optimizer.h"

/* A pointwise operation of one input and two constants. */
vkg_tensor *pointwise_unary(vkg_graph *graph, const struct op *op, vkg_tensor *a, float p, float q);
/* 1 where an element is infinite or NaN, else 0: by the bits, as drivers may take it that none is. */
vkg_tensor *not_finite(vkg_graph *graph, vkg_tensor *a);

/* The type of moved elements: words stay what they are, smaller types become float32, since not every device can store
 * them one by one. */
static inline vkg_dtype moved_dtype(const vkg_tensor *a)
{
    return vkg_dtype_size(a->dtype) == 4 ? a->dtype : VKG_FLOAT32;
}

/* The shape that both are stretched to; false: there is none. */
bool broadcast_shape(const vkg_shape *a, const vkg_shape *b, vkg_shape *shape);

bool is_cast(const vkg_tensor *tensor);

/* The same tensor as something new: what is computed from it is not merged with what was computed from `a` before, but
 * computed once more, so that the first results need not be kept. */
vkg_tensor *read_again(vkg_graph *graph, vkg_tensor *a);

/* Is every element the same number, known now? */
bool tensor_is_constant(const vkg_tensor *tensor, float *value);

/* Along each axis i, element k is element (k · mul + add)/div of a's axis `from`, or 0. Axes behind the rank are zero. */
vkg_tensor *rearrange(vkg_graph *graph, vkg_tensor *a, vkg_shape shape, const struct rearrangement *r);
vkg_tensor *pad_with_zeros(vkg_graph *graph, vkg_tensor *a, uint32_t axis, int32_t low, int32_t high);
/* False, with a message: a has no such axis (or is poisoned). */
bool axis_is_valid(vkg_graph *graph, const char *call, const vkg_tensor *a, uint32_t axis);
/* 0, 1, … size − 1 as [size, 1, 1, …] with so many axes behind. */
vkg_tensor *counting_axis(vkg_graph *graph, uint32_t size, uint32_t axes_behind);

/* [N,C] as [N,1,…,1,C], to scale the channels of each sample of x. */
vkg_tensor *scale_of_samples(vkg_graph *graph, const char *call, const vkg_tensor *x, vkg_tensor *scale);

/* vkg_split and vkg_concat for very many parts (parts.c): neighbours' gradients, and neighbours, meet in groups first. */
void split_finely(vkg_graph *graph, vkg_tensor *a, uint32_t axis, uint32_t parts, vkg_tensor **results);
vkg_tensor *join_finely(vkg_graph *graph, vkg_tensor *const *tensors, uint32_t count, uint32_t axis);

/* Σ (a − mean)² over a set of axes, which stay as dimensions of 1; of one run of axes in one pass over a. */
vkg_tensor *squared_deviations(vkg_graph *graph, vkg_tensor *a, uint32_t axes);

/* Sets of axes. */
uint32_t axes_all_but_last(const vkg_tensor *tensor);

extern const struct op op_sum, op_deviations, op_assign, op_add, op_mul, op_relu, op_leaky_relu, op_leaky_step;

#endif
