#include "ops/blocks.h"

#include <string.h>

#include "base/arithmetic.h"

struct block_update *blocks_add_update(vkg_graph *graph, uint32_t count, uint32_t block_count, uint32_t *index)
{
    struct block_update update = {.count = count, .block_count = block_count};
    bool fits = array_reserve((void **)&graph->updates, &graph->update_capacity, graph->update_count,
                              sizeof *graph->updates);
    for (uint32_t b = 0; b < block_count && fits; b++) {
        update.blocks[b] = arena_alloc(&graph->arena, count * sizeof *update.blocks[b]);
        fits = update.blocks[b] != NULL;
    }
    if (!fits) {
        graph->out_of_memory = true;
        return NULL;
    }
    *index = (uint32_t)graph->update_count;
    graph->updates[graph->update_count] = update;
    return &graph->updates[graph->update_count++];
}

static vkg_result find_addresses(const struct lowering *lowering, const struct block_update *update, uint32_t tensor,
                                 uint64_t addresses[UPDATE_MAX_BLOCKS])
{
    vkg_result result = VKG_OK;
    for (uint32_t b = 0; b < update->block_count && result == VKG_OK; b++)
        result = lowering_state_address(lowering, update->blocks[b][tensor], &addresses[b]);
    return result;
}

/* A run ends where the blocks are laid out differently, where another tensor lies between, or where a range would be too long to bind. */
static vkg_result find_run(const struct lowering *lowering, const struct block_update *update, uint32_t first,
                           struct block_run *run)
{
    uint64_t start[UPDATE_MAX_BLOCKS] = {0}, address[UPDATE_MAX_BLOCKS] = {0};
    *run = (struct block_run){.first = first};
    for (uint32_t i = first; i < update->count; i++) {
        vkg_result result = find_addresses(lowering, update, i, address);
        if (result != VKG_OK)
            return result;
        if (i == first)
            memcpy(start, address, sizeof start);
        const uint64_t offset = address[0] - start[0];
        const uint64_t bytes = offset + shape_elements(&lowering->graph->declarations[update->blocks[0][i]].shape) * 4;
        bool joins = address[0] >= start[0] && (i == first || (offset == round_up(run->bytes, STORAGE_GRAIN) &&
                                                               bytes <= lowering->device->caps.max_storage_buffer_range));
        for (uint32_t b = 1; b < update->block_count; b++)
            joins &= address[b] - start[b] == offset;
        if (!joins)
            break;
        run->bytes = bytes;
        run->count++;
    }
    return VKG_OK;
}

vkg_result blocks_for_each_run(struct lowering *lowering, const vkg_tensor *node, lower_block_run lower_run)
{
    const struct block_update *update = &lowering->graph->updates[node->attributes.index];
    struct block_run run;
    for (uint32_t first = 0; first < update->count; first += run.count) {
        vkg_result result = find_run(lowering, update, first, &run);
        if (result == VKG_OK)
            result = lower_run(lowering, node, update, &run);
        if (result != VKG_OK)
            return result;
    }
    return VKG_OK;
}

vkg_result blocks_bind(struct lowering *lowering, struct dispatch *dispatch, const struct block_update *update,
                       uint32_t block, const struct block_run *run, enum binding_format format, bool written)
{
    const vkg_tensor *leaf = lowering->graph->declarations[update->blocks[block][run->first]].current;
    struct placement placement;
    vkg_result result = lowering_place(lowering, leaf, &placement);
    if (result != VKG_OK)
        return result;
    struct storage *storage = &lowering->storages[placement.storage];
    if (storage->bytes < run->bytes)
        storage->bytes = run->bytes; /* the range of the whole run, beginning at this tensor */
    dispatch_bind(dispatch, placement, run->bytes, format, !written, written);
    return VKG_OK;
}

vkg_result blocks_grid(struct lowering *lowering, struct dispatch *dispatch, const struct block_run *run)
{
    const uint32_t workgroup = simple_workgroup(&lowering->device->caps);
    dispatch->constants[dispatch->constant_count++] = workgroup;
    return dispatch_grid(lowering, dispatch, (blocks_vec4_count(run) + workgroup - 1) / workgroup);
}
