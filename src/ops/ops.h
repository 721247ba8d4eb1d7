/* What the families of operations share with each other. */
#ifndef VKG_OPS_OPS_H
#define VKG_OPS_OPS_H

#include "graph/graph.h"
#include "vkgan/ops.h"

/* Is every element the same number, known now? */
bool tensor_is_constant(const vkg_tensor *tensor, float *value);

/* Sets of axes. */
uint32_t axes_all_but_last(const vkg_tensor *tensor);

extern const struct op op_sum, op_assign;

#endif
