#include "kernels/tile_moments.h"

#include <string.h>

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

/* Takes the output of that operation that is made of these moments out of those from `from` on, if there is one. */
static const vkg_tensor *take(const struct lowering *lowering, struct fused_kernel *kernel, uint32_t from, const struct op *op,
                              const struct tile_moments *moments)
{
    for (uint32_t i = from; i < kernel->output_count; i++) {
        const vkg_tensor *node = kernel->outputs[i];
        if (node->op != op || moments_for(lowering, node) != moments)
            continue;
        memmove(&kernel->outputs[i], &kernel->outputs[i + 1], (--kernel->output_count - i) * sizeof kernel->outputs[0]);
        return node;
    }
    return NULL;
}

vkg_result moments_lower(struct lowering *lowering, struct fused_kernel *kernel)
{
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < kernel->output_count && result == VKG_OK && kernel->axes;) {
        const struct tile_moments *moments = moments_for(lowering, kernel->outputs[i]);
        if (!moments) {
            i++;
            continue;
        }
        const vkg_tensor *sum = take(lowering, kernel, i, &op_sum, moments);
        result = lowering_reduce_parts(lowering, &(struct partial_results){
            .reduction = REDUCE_DEVIATIONS, .outer = 1, .parts = moments->parts, .inner = moments->columns,
            .at.storage = moments->storage, .tiles = moments,
            .deviations = take(lowering, kernel, i, &op_deviations, moments)}, sum);
    }
    return result;
}
