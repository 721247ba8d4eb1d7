#include "kernels/tile_moments.h"

#include "kernels/lowering.h"
#include "ops/ops.h"

bool moments_are_of_columns(const vkg_tensor *node)
{
    const vkg_shape *shape = node->op->kind == OP_REDUCE ? &node->inputs[0]->shape : NULL;
    if (!shape || shape->rank == 0 || (node->op != &op_sum && node->op != &op_deviations))
        return false;
    bool all = !(node->attributes.axes >> (shape->rank - 1) & 1);
    for (uint32_t i = 0; i + 1 < shape->rank; i++)
        all &= shape->dims[i] == 1 || node->attributes.axes >> i & 1;
    return all;
}

static const struct tile_moments *moments_for(const struct lowering *lowering, const vkg_tensor *node)
{
    const struct tile_moments *moments = &lowering->moments[tensor_storage(node->inputs[0])->id];
    const vkg_shape *shape = &node->inputs[0]->shape;
    return moments_are_of_columns(node) && moments->parts && shape->dims[shape->rank - 1] == moments->columns ? moments : NULL;
}

vkg_result moments_lower(struct lowering *lowering, struct fused_kernel *kernel)
{
    vkg_result result = VKG_OK;
    const uint32_t count = kernel->output_count;
    kernel->output_count = 0;
    for (uint32_t i = 0; i < count && result == VKG_OK; i++) {
        const vkg_tensor *node = kernel->outputs[i];
        const struct tile_moments *moments = kernel->axes ? moments_for(lowering, node) : NULL;
        if (!moments)
            kernel->outputs[kernel->output_count++] = node;
        else
            result = lowering_reduce_parts(lowering, &(struct partial_results){
                .reduction = node->op->reduction, .outer = 1, .parts = moments->parts, .inner = moments->columns,
                .at.storage = moments->storage, .tiles = moments}, node);
    }
    return result;
}
