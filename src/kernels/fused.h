/* A fused kernel: a chain of pointwise operations over one space of indices, ending in up to four results that
 * are written, or summed over one run of axes. */
#ifndef VKG_KERNELS_FUSED_H
#define VKG_KERNELS_FUSED_H

#include <string.h>

#include "kernels/lowering.h"

enum { FUSED_MAX_OUTPUTS = 4, FUSED_MAX_LEAVES = 10 };

struct fused_kernel {
    vkg_shape space; /* the shape of every pointwise node in it; of what is summed, where it sums */
    uint32_t axes;   /* summed over; 0: nothing is */
    uint32_t output_count;
    const vkg_tensor *outputs[FUSED_MAX_OUTPUTS];
};

/* What a chain reads from memory: a tensor, as it is or through a rearrangement (the node that says how). */
struct fused_read {
    const vkg_tensor *tensor, *through;
};

/* Is the node one that fused kernels compute? */
static inline bool fused_can_compute(const vkg_tensor *node)
{
    return node->op->kind == OP_POINTWISE || node->op->kind == OP_REDUCE;
}

/* The space in which a pointwise operation or a sum works. */
static inline const vkg_shape *fused_space(const vkg_tensor *node)
{
    return node->op->kind == OP_REDUCE ? &node->inputs[0]->shape : &node->shape;
}

/* Is the tensor that is read here computed in place (true) or loaded from memory? inlined: a flag a tensor id. */
static inline bool fused_is_inline(const vkg_tensor *read, const bool *inlined)
{
    const vkg_tensor *storage = tensor_storage(read);
    return inlined[storage->id] && (shape_equal(&storage->shape, &read->shape) || storage->op == &op_constant);
}

/* What node's input i reads, where that is loaded from memory. */
static inline struct fused_read fused_read_of(const vkg_tensor *node, uint32_t i)
{
    return (struct fused_read){node->inputs[i], node->op == &op_rearrange ? node : NULL};
}

/* Two reads of the same memory in the same way need one load. */
static inline bool fused_same_read(const struct fused_read *a, const struct fused_read *b)
{
    return tensor_storage(a->tensor) == tensor_storage(b->tensor) &&
           shape_equal(&a->tensor->shape, &b->tensor->shape) &&
           (a->through == b->through ||
            (a->through && b->through && shape_equal(&a->through->shape, &b->through->shape) &&
             memcmp(&a->through->attributes, &b->through->attributes, sizeof a->through->attributes) == 0));
}

/* How many specialisation constants the numbers p and q of a pointwise operation take. */
uint32_t fused_count_numbers(const vkg_tensor *node);

/* Writes the GLSL, finds its shader, adds one dispatch (two for a sum in two stages). */
vkg_result lower_fused(struct lowering *lowering, const struct fused_kernel *kernel, const bool *inlined);

#endif
