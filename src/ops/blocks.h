/* Updates of blocks: tensors of the state that lie side by side are one dispatch, of however many of them. */
#ifndef VKG_OPS_BLOCKS_H
#define VKG_OPS_BLOCKS_H

#include "kernels/lowering.h"

/* An update of `count` tensors in so many blocks, its declarations to be filled in, and its index in graph->updates.
 * NULL when memory is out. */
struct block_update *blocks_add_update(vkg_graph *graph, uint32_t count, uint32_t block_count, uint32_t *index);

/* Tensors first … first + count − 1 of an update, which one dispatch covers: in every block they lie side by side. */
struct block_run {
    uint32_t first, count;
    uint64_t bytes;
};

/* Calls `lower_run` for each run of the update that `node` is, in order. */
typedef vkg_result (*lower_block_run)(struct lowering *lowering, const vkg_tensor *node,
                                      const struct block_update *update, const struct block_run *run);
vkg_result blocks_for_each_run(struct lowering *lowering, const vkg_tensor *node, lower_block_run lower_run);

/* The next binding: a run's part of one block. */
vkg_result blocks_bind(struct lowering *lowering, struct dispatch *dispatch, const struct block_update *update,
                       uint32_t block, const struct block_run *run, enum binding_format format, bool written);

/* Four elements an invocation. */
vkg_result blocks_grid(struct lowering *lowering, struct dispatch *dispatch, const struct block_run *run);
static inline uint32_t blocks_vec4_count(const struct block_run *run)
{
    return (uint32_t)((run->bytes + 15) / 16);
}

#endif
