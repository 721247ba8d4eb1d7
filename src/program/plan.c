#include "program/plan.h"

#include <stdlib.h>
#include <string.h>

void plan_find_uses(struct lowering *lowering)
{
    for (size_t s = 0; s < lowering->storage_count; s++)
        lowering->storages[s].first = UINT32_MAX, lowering->storages[s].last = 0;
    for (size_t i = 0; i < lowering->dispatch_count; i++) {
        const struct dispatch *dispatch = &lowering->dispatches[i];
        for (uint32_t b = 0; b < dispatch->binding_count; b++) {
            struct storage *storage = &lowering->storages[dispatch->bindings[b].storage];
            storage->first = dispatch->wave < storage->first ? dispatch->wave : storage->first;
            storage->last = dispatch->wave > storage->last ? dispatch->wave : storage->last;
        }
    }
}

static void find_lifetimes(struct lowering *lowering, const uint32_t *kept, uint32_t kept_count)
{
    plan_find_uses(lowering);
    for (size_t s = 0; s < lowering->storage_count; s++) {
        struct storage *storage = &lowering->storages[s];
        if (storage->kind == STORAGE_INPUT || storage->kind == STORAGE_DATA || storage->first == UINT32_MAX)
            storage->first = 0; /* uploaded before the first dispatch */
        if (storage->kind == STORAGE_DATA)
            storage->last = (uint32_t)lowering->dispatch_count; /* the next run reads it again */
    }
    for (uint32_t k = 0; k < kept_count; k++)
        lowering->storages[kept[k]].last = (uint32_t)lowering->dispatch_count; /* downloaded behind the last one */
}

static int by_size(const void *a, const void *b)
{
    const struct storage *x = *(struct storage *const *)a, *y = *(struct storage *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y; /* a fixed order: plans are the same everywhere */
}

static bool lives_with(const struct storage *a, const struct storage *b, const struct plan_options *options)
{
    return !options->aliasing || (a->first <= b->last && b->first <= a->last);
}

static int by_address(const void *a, const void *b)
{
    const struct storage *x = *(struct storage *const *)a, *y = *(struct storage *const *)b;
    return x->address < y->address ? -1 : x->address > y->address;
}

/* The lowest address of a block at which `storage` meets no neighbour that lives at the same time. */
static uint64_t lowest_address(const struct storage *storage, uint32_t block, struct storage *const *placed,
                               size_t placed_count, struct storage **neighbours, const struct plan_options *options)
{
    size_t count = 0;
    for (size_t i = 0; i < placed_count; i++)
        if (placed[i]->block == block && lives_with(storage, placed[i], options))
            neighbours[count++] = placed[i];
    qsort(neighbours, count, sizeof *neighbours, by_address);
    uint64_t address = 0;
    for (size_t i = 0; i < count; i++) {
        if (neighbours[i]->address >= address + storage->bytes)
            break;
        uint64_t end = neighbours[i]->address + neighbours[i]->bytes;
        if (end > address)
            address = (end + options->alignment - 1) / options->alignment * options->alignment;
    }
    return address;
}

static bool place(struct storage *storage, struct storage *const *placed, size_t placed_count,
                  struct storage **neighbours, const struct plan_options *options, struct plan *plan)
{
    for (uint32_t block = 0; block < PLAN_MAX_BLOCKS; block++) {
        uint64_t address = lowest_address(storage, block, placed, placed_count, neighbours, options);
        if (address + storage->bytes > options->block_bytes)
            continue;
        storage->block = block;
        storage->address = address;
        if (plan->block_bytes[block] < address + storage->bytes)
            plan->block_bytes[block] = address + storage->bytes;
        if (plan->block_count <= block)
            plan->block_count = block + 1;
        return true;
    }
    return false;
}

vkg_result plan_memory(struct lowering *lowering, const struct plan_options *options, const uint32_t *kept,
                       uint32_t kept_count, struct plan *plan)
{
    *plan = (struct plan){0};
    find_lifetimes(lowering, kept, kept_count);
    size_t count = 0;
    struct storage **order = calloc(lowering->storage_count + 1, sizeof *order);
    struct storage **neighbours = calloc(lowering->storage_count + 1, sizeof *neighbours);
    vkg_result result = order && neighbours ? VKG_OK : lowering_out_of_memory(lowering);
    for (size_t s = 0; s < lowering->storage_count && result == VKG_OK; s++)
        if (lowering->storages[s].kind != STORAGE_STATE)
            order[count++] = &lowering->storages[s];
    if (result == VKG_OK)
        qsort(order, count, sizeof *order, by_size);
    for (size_t i = 0; i < count && result == VKG_OK; i++) {
        plan->unaliased_bytes += order[i]->bytes;
        if (!place(order[i], order, i, neighbours, options, plan))
            result = vkg_fail(&lowering->device->log, VKG_ERROR_OUT_OF_MEMORY,
                              "a tensor of %llu bytes does not fit into %u blocks of %llu bytes: use a smaller batch",
                              (unsigned long long)order[i]->bytes, PLAN_MAX_BLOCKS,
                              (unsigned long long)options->block_bytes);
    }
    for (uint32_t b = 0; b < plan->block_count; b++)
        plan->bytes += plan->block_bytes[b];
    free(order);
    free(neighbours);
    return result;
}
