/* Barriers: only where a dispatch touches bytes that an earlier one, since the last barrier, wrote, or writes bytes that
 * one read. */
#include "program/hazards.h"

#include <stdlib.h>

/* A range of memory touched since the last barrier. */
struct access {
    uint32_t buffer; /* a block of the program, or STATE */
    uint64_t first, end;
    bool written;
};

struct hazards {
    const struct lowering *lowering;
    struct access *accesses;
    size_t count, capacity;
};

enum { STATE = PLAN_MAX_BLOCKS };

static struct access access_of(const struct hazards *hazards, const struct binding *binding)
{
    const struct storage *storage = &hazards->lowering->storages[binding->storage];
    const uint64_t first = storage->address + binding->offset;
    /* a view shows more than is read, and the validation layer goes by what it shows */
    const uint64_t bytes = binding->format == FORMAT_STORAGE ? binding->bytes : view_bytes(binding->bytes);
    return (struct access){storage->kind == STORAGE_STATE ? STATE : storage->block, first, first + bytes, binding->written};
}

static bool conflicts(const struct hazards *hazards, const struct access *access)
{
    for (size_t i = 0; i < hazards->count; i++) {
        const struct access *earlier = &hazards->accesses[i];
        if (earlier->buffer == access->buffer && (earlier->written || access->written) &&
            earlier->first < access->end && access->first < earlier->end)
            return true;
    }
    return false;
}

static bool needs_barrier(const struct hazards *hazards, const struct dispatch *dispatch)
{
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        struct access access = access_of(hazards, &dispatch->bindings[b]);
        if (conflicts(hazards, &access))
            return true;
    }
    return false;
}

static bool note_accesses(struct hazards *hazards, const struct dispatch *dispatch)
{
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        if (!array_reserve((void **)&hazards->accesses, &hazards->capacity, hazards->count, sizeof *hazards->accesses))
            return false;
        hazards->accesses[hazards->count++] = access_of(hazards, &dispatch->bindings[b]);
    }
    return true;
}

vkg_result hazards_find(const struct lowering *lowering, struct prepared_dispatch *dispatches, uint32_t *barriers)
{
    struct hazards hazards = {.lowering = lowering};
    bool noted = true;
    *barriers = 0;
    for (size_t i = 0; i < lowering->dispatch_count && noted; i++) {
        dispatches[i].barrier = needs_barrier(&hazards, &lowering->dispatches[i]);
        *barriers += dispatches[i].barrier;
        if (dispatches[i].barrier)
            hazards.count = 0;
        noted = note_accesses(&hazards, &lowering->dispatches[i]);
    }
    free(hazards.accesses);
    return noted ? VKG_OK
                 : vkg_fail(&lowering->device->log, VKG_ERROR_OUT_OF_MEMORY, "recording: out of host memory");
}
