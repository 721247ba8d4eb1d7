#include "program/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"

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

bool plan_is_shared(const struct storage *storage)
{
    return (storage->kind == STORAGE_TEMPORARY || storage->kind == STORAGE_INPUT) && storage->first <= storage->last;
}

static void change_alive(int64_t *changes, const struct storage *storage)
{
    changes[storage->first] += (int64_t)storage->bytes;
    changes[storage->last + 1] -= (int64_t)storage->bytes;
}

static void sum_changes(int64_t *changes, size_t waves)
{
    for (size_t wave = 1; wave < waves; wave++)
        changes[wave] += changes[wave - 1];
}

void plan_find_alive(struct lowering *lowering, int64_t *alive)
{
    plan_find_uses(lowering);
    for (size_t s = 0; s < lowering->storage_count; s++)
        if (plan_is_shared(&lowering->storages[s]))
            change_alive(alive, &lowering->storages[s]);
    sum_changes(alive, lowering->dispatch_count + 1);
}

static void find_lifetimes(struct lowering *lowering)
{
    plan_find_uses(lowering);
    for (size_t s = 0; s < lowering->storage_count; s++) {
        struct storage *storage = &lowering->storages[s];
        if (storage->kind == STORAGE_INPUT || storage->kind == STORAGE_DATA || storage->first == UINT32_MAX)
            storage->first = 0; /* uploaded before the first dispatch */
        if (storage->kind == STORAGE_DATA || storage->kept)
            storage->last = (uint32_t)lowering->dispatch_count; /* the next run reads it again; it is downloaded behind the last one */
    }
}

/* A storage that chooses its place. */
struct choosing {
    struct storage *storage;
    int64_t crowd; /* the most bytes that live beside it at once, itself included */
};

/* A fixed order, as plans are to be the same everywhere. */
static int by_size(const void *a, const void *b)
{
    const struct storage *x = ((const struct choosing *)a)->storage, *y = ((const struct choosing *)b)->storage;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y;
}

static int by_crowd(const void *a, const void *b)
{
    const int64_t x = ((const struct choosing *)a)->crowd, y = ((const struct choosing *)b)->crowd;
    return x != y ? (x < y ? 1 : -1) : by_size(a, b);
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

/* The gaps of a block between those that are placed there already and live at the same time. */
struct gaps {
    const struct plan_options *options;
    const struct choosing *placed;
    size_t placed_count;
    struct storage **neighbours;
    bool tightest; /* else the first */
};

/* An address at which `storage` meets no neighbour: in the lowest gap that holds it, or the tightest. */
static uint64_t find_gap(const struct gaps *gaps, const struct storage *storage, uint32_t block)
{
    const uint64_t alignment = gaps->options->alignment;
    size_t count = 0;
    for (size_t i = 0; i < gaps->placed_count; i++)
        if (gaps->placed[i].storage->block == block && lives_with(storage, gaps->placed[i].storage, gaps->options))
            gaps->neighbours[count++] = gaps->placed[i].storage;
    qsort(gaps->neighbours, count, sizeof *gaps->neighbours, by_address);
    uint64_t address = 0, found = UINT64_MAX, size = UINT64_MAX;
    for (size_t i = 0; i < count && (gaps->tightest || found == UINT64_MAX); i++) {
        const struct storage *next = gaps->neighbours[i];
        if (next->address >= address + storage->bytes && next->address - address < size)
            found = address, size = next->address - address;
        if (next->address + next->bytes > address)
            address = round_up(next->address + next->bytes, alignment);
    }
    return found == UINT64_MAX ? address : found;
}

static bool place(const struct gaps *gaps, struct storage *storage, struct plan *plan)
{
    for (uint32_t block = 0; block < PLAN_MAX_BLOCKS; block++) {
        const uint64_t address = find_gap(gaps, storage, block);
        if (address + storage->bytes > gaps->options->block_bytes)
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

/* NULL, or the storage for which there is no place. */
static const struct storage *place_all(struct gaps gaps, size_t count, struct plan *plan)
{
    *plan = (struct plan){0};
    for (; gaps.placed_count < count; gaps.placed_count++) {
        struct storage *storage = gaps.placed[gaps.placed_count].storage;
        plan->unaliased_bytes += storage->bytes;
        if (!place(&gaps, storage, plan))
            return storage;
    }
    for (uint32_t b = 0; b < plan->block_count; b++)
        plan->bytes += plan->block_bytes[b];
    return NULL;
}

/* Those that the plan places, and how many bytes live with each. */
static size_t list_storages(struct lowering *lowering, struct choosing *list, int64_t *alive)
{
    size_t count = 0;
    for (size_t s = 0; s < lowering->storage_count; s++)
        if (lowering->storages[s].kind != STORAGE_STATE)
            list[count++].storage = &lowering->storages[s];
    for (size_t i = 0; i < count; i++)
        change_alive(alive, list[i].storage);
    sum_changes(alive, lowering->dispatch_count + 1);
    for (size_t i = 0; i < count; i++)
        for (uint32_t wave = list[i].storage->first; wave <= list[i].storage->last; wave++)
            list[i].crowd = alive[wave] > list[i].crowd ? alive[wave] : list[i].crowd;
    return count;
}

/* Two ways, of which neither is the better one always. */
static const struct storage *place_better(struct choosing *list, size_t count, struct gaps gaps, struct plan *plan)
{
    struct plan large_first;
    qsort(list, count, sizeof *list, by_size);
    const bool fits = !place_all(gaps, count, &large_first);
    qsort(list, count, sizeof *list, by_crowd);
    gaps.tightest = true;
    if (!place_all(gaps, count, plan) && !(fits && large_first.bytes < plan->bytes))
        return NULL;
    qsort(list, count, sizeof *list, by_size);
    gaps.tightest = false;
    return place_all(gaps, count, plan);
}

vkg_result plan_memory(struct lowering *lowering, const struct plan_options *options, struct plan *plan)
{
    find_lifetimes(lowering);
    struct choosing *list = calloc(lowering->storage_count + 1, sizeof *list);
    struct storage **neighbours = calloc(lowering->storage_count + 1, sizeof *neighbours);
    int64_t *alive = calloc(lowering->dispatch_count + 2, sizeof *alive);
    const bool made = list && neighbours && alive;
    const struct storage *homeless = NULL;
    if (made)
        homeless = place_better(list, list_storages(lowering, list, alive),
                                (struct gaps){.options = options, .placed = list, .neighbours = neighbours}, plan);
    free(list);
    free(neighbours);
    free(alive);
    if (homeless)
        return vkg_fail(&lowering->device->log, VKG_ERROR_OUT_OF_MEMORY,
                        "a tensor of %llu bytes does not fit into %u blocks of %llu bytes: use a smaller batch",
                        (unsigned long long)homeless->bytes, PLAN_MAX_BLOCKS, (unsigned long long)options->block_bytes);
    return made ? VKG_OK : lowering_out_of_memory(lowering);
}
