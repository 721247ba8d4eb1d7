#include "program/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "graph/graph.h"
#include "kernels/lowering.h"
#include "program/initial.h"


/* --- layout --- */

static struct state_entry *find_entry(const struct vkg_state *state, const char *name)
{
    for (size_t i = 0; i < state->count; i++)
        if (strcmp(state->entries[i].public.name, name) == 0)
            return &state->entries[i];
    return NULL;
}

static vkg_result add_entry(struct vkg_state *state, const struct declaration *declaration)
{
    const vkg_log *log = &state->device->log;
    const struct state_entry *known = find_entry(state, declaration->name);
    if (known) {
        if (shape_equal(&known->public.shape, &declaration->shape) && known->public.dtype == declaration->dtype)
            return VKG_OK;
        return vkg_fail(log, VKG_ERROR_INVALID, "\"%s\" has shape %s in one graph and %s in another", declaration->name,
                        SHAPE(&known->public.shape), SHAPE(&declaration->shape));
    }
    char *name = strdup(declaration->name);
    if (!name || !array_reserve((void **)&state->entries, &state->capacity, state->count, sizeof *state->entries)) {
        free(name);
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "vkg_state_create: out of host memory");
    }
    struct state_entry *entry = &state->entries[state->count++];
    *entry = (struct state_entry){
        .public = {.name = name, .dtype = declaration->dtype, .shape = declaration->shape,
                   .trained = declaration->trained, .elements = shape_elements(&declaration->shape)},
        .init = declaration->init};
    memcpy(entry->public.torch_axes, declaration->torch_axes, sizeof declaration->torch_axes);
    return VKG_OK;
}

/* Entries of one block lie side by side: the same network (first part of the name) and the same role. */
static bool same_block(const vkg_state_entry *a, const vkg_state_entry *b)
{
    size_t length = strcspn(a->name, ".");
    return a->trained == b->trained && length == strcspn(b->name, ".") && strncmp(a->name, b->name, length) == 0;
}

static void lay_out(struct vkg_state *state)
{
    uint64_t end = 0;
    for (size_t first = 0; first < state->count; first++) {
        if (state->entries[first].placed)
            continue;
        for (size_t i = first; i < state->count; i++) {
            struct state_entry *entry = &state->entries[i];
            if (entry->placed || !same_block(&state->entries[first].public, &entry->public))
                continue;
            entry->placed = true;
            entry->address = end;
            end += round_up(entry->public.elements * 4, STORAGE_GRAIN);
        }
    }
    state->bytes = end ? end : STORAGE_GRAIN;
}

/* --- initial values --- */

static vkg_result initialise_entry(struct vkg_state *state, const struct state_entry *entry, uint64_t seed)
{
    const uint64_t bytes = entry->public.elements * 4;
    float *values = malloc(bytes);
    const bool fits = values && initial_values(entry, seed, values);
    vkg_result result = fits ? transfer_upload(state->device, &state->buffer, entry->address, bytes, values)
                             : vkg_fail(&state->device->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_state_create: out of host memory");
    free(values);
    return result;
}

/* One entry after the other: the host never holds the whole state, whose larger part (moments) is zero anyway. */
static vkg_result initialise(struct vkg_state *state, uint64_t seed)
{
    vkg_result result = transfer_fill(state->device, &state->buffer, state->bytes, 0);
    for (size_t i = 0; i < state->count && result == VKG_OK; i++) {
        const struct state_entry *entry = &state->entries[i];
        const bool zero = entry->init.kind == VKG_INIT_CONSTANT && fpclassify(entry->init.a) == FP_ZERO;
        if (entry->public.dtype == VKG_FLOAT32 && !zero)
            result = initialise_entry(state, entry, seed);
        else if (strcmp(entry->public.name, "random.state") == 0)
            result = transfer_upload(state->device, &state->buffer, entry->address, 16,
                                     (uint32_t[]){(uint32_t)seed, (uint32_t)(seed >> 32), 0, 0});
    }
    return result;
}

/* --- the public calls --- */

vkg_result vkg_state_create(vkg_device *device, vkg_graph *const *graphs, uint32_t graph_count, uint64_t seed,
                            vkg_state **state)
{
    *state = NULL;
    struct vkg_state *made = calloc(1, sizeof *made);
    if (!made)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_state_create: out of host memory");
    made->device = device;
    vkg_result result = VKG_OK;
    for (uint32_t g = 0; g < graph_count && result == VKG_OK; g++) {
        if (vkg_graph_error(graphs[g]))
            result = vkg_fail(&device->log, VKG_ERROR_INVALID, "%s", vkg_graph_error(graphs[g]));
        for (size_t i = 0; i < graphs[g]->declaration_count && result == VKG_OK; i++)
            result = add_entry(made, &graphs[g]->declarations[i]);
    }
    if (result == VKG_OK) {
        lay_out(made);
        result = buffer_create(device, BUFFER_DEVICE, made->bytes, "state", &made->buffer);
    }
    if (result == VKG_OK)
        result = initialise(made, seed);
    if (result != VKG_OK)
        vkg_state_destroy(&made);
    *state = made;
    return result;
}

void vkg_state_destroy(vkg_state **state)
{
    if (!state || !*state)
        return;
    device_wait_idle((*state)->device);
    buffer_destroy((*state)->device, &(*state)->buffer);
    for (size_t i = 0; i < (*state)->count; i++)
        free((char *)(*state)->entries[i].public.name);
    free((*state)->entries);
    free(*state);
    *state = NULL;
}

uint32_t vkg_state_count(const vkg_state *state)
{
    return (uint32_t)state->count;
}

const vkg_state_entry *vkg_state_get(const vkg_state *state, uint32_t index)
{
    return index < state->count ? &state->entries[index].public : NULL;
}

uint32_t vkg_state_find(const vkg_state *state, const char *name)
{
    const struct state_entry *entry = find_entry(state, name);
    return entry ? (uint32_t)(entry - state->entries) : UINT32_MAX;
}

vkg_result vkg_state_read(vkg_state *state, uint32_t index, void *data)
{
    if (index >= state->count)
        return vkg_fail(&state->device->log, VKG_ERROR_INVALID, "vkg_state_read: there is no entry %u", index);
    const struct state_entry *entry = &state->entries[index];
    return transfer_download(state->device, &state->buffer, entry->address, entry->public.elements * 4, data);
}

vkg_result vkg_state_write(vkg_state *state, uint32_t index, const void *data)
{
    if (index >= state->count)
        return vkg_fail(&state->device->log, VKG_ERROR_INVALID, "vkg_state_write: there is no entry %u", index);
    const struct state_entry *entry = &state->entries[index];
    return transfer_upload(state->device, &state->buffer, entry->address, entry->public.elements * 4, data);
}

vkg_result state_address(const struct vkg_state *state, const char *name, uint64_t *address)
{
    const struct state_entry *entry = find_entry(state, name);
    if (!entry)
        return vkg_fail(&state->device->log, VKG_ERROR_INVALID,
                        "the state has no \"%s\": it was created without the graph that names it", name);
    *address = entry->address;
    return VKG_OK;
}

vkg_result state_check_graph(const struct vkg_state *state, const struct vkg_graph *graph)
{
    for (size_t i = 0; i < graph->declaration_count; i++) {
        const struct declaration *declaration = &graph->declarations[i];
        const struct state_entry *entry = find_entry(state, declaration->name);
        if (!entry || !shape_equal(&entry->public.shape, &declaration->shape) ||
            entry->public.dtype != declaration->dtype)
            return vkg_fail(&state->device->log, VKG_ERROR_INVALID,
                            "the graph's \"%s\" of shape %s: the state has %s%s", declaration->name,
                            SHAPE(&declaration->shape), entry ? "it with shape " : "no such tensor",
                            entry ? SHAPE(&entry->public.shape) : "");
    }
    return VKG_OK;
}
