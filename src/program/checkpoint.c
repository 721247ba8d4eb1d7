/* The state to and from a safetensors file, in PyTorch's axis order. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "program/state.h"
#include "program/state_entry.h"
#include "vkgan/io.h"

static vkg_file_dtype file_dtype(vkg_dtype dtype)
{
    return dtype == VKG_UINT32 ? VKG_FILE_U32 : VKG_FILE_F32;
}

static void torch_dims(const vkg_state_entry *entry, uint64_t dims[VKG_MAX_RANK])
{
    for (uint32_t i = 0; i < entry->shape.rank; i++)
        dims[i] = entry->shape.dims[entry->torch_axes[i]];
}

/* Copies all elements between our order and PyTorch's. */
static void permute(const vkg_state_entry *entry, const uint32_t *from, uint32_t *to, bool to_torch)
{
    uint32_t rank = entry->shape.rank, index[VKG_MAX_RANK] = {0};
    uint64_t stride[VKG_MAX_RANK]; /* in our order, of PyTorch's axis i */
    for (uint32_t i = 0; i < rank; i++) {
        stride[i] = 1;
        for (uint32_t k = entry->torch_axes[i] + 1; k < rank; k++)
            stride[i] *= entry->shape.dims[k];
    }
    for (uint64_t torch = 0, ours = 0; torch < entry->elements; torch++) {
        to[to_torch ? torch : ours] = from[to_torch ? ours : torch];
        for (uint32_t i = rank; i-- > 0;) { /* the next index, in PyTorch's order */
            ours += stride[i];
            if (++index[i] < entry->shape.dims[entry->torch_axes[i]])
                break;
            ours -= stride[i] * index[i];
            index[i] = 0;
        }
    }
}

vkg_result vkg_state_save(vkg_state *state, const char *path, uint64_t step)
{
    const vkg_log *log = &state->device->log;
    char step_text[24];
    snprintf(step_text, sizeof step_text, "%" PRIu64, step);
    unsigned char *image = malloc(state->bytes), *torch = malloc(state->bytes);
    vkg_safetensors_item *items = calloc(state->count + 1, sizeof *items);
    vkg_result result = image && torch && items
                            ? transfer_download(state->device, &state->buffer, 0, state->bytes, image)
                            : vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of host memory", path);
    if (result == VKG_OK) {
        for (size_t i = 0; i < state->count; i++) {
            const struct state_entry *entry = &state->entries[i];
            void *data = torch + entry->address;
            permute(&entry->public, (const uint32_t *)(image + entry->address), data, true);
            items[i] = (vkg_safetensors_item){.name = entry->public.name, .dtype = file_dtype(entry->public.dtype),
                                              .rank = entry->public.shape.rank, .data = data};
            torch_dims(&entry->public, items[i].dims);
        }
        const vkg_safetensors_metadata metadata[] = {{"format", "vkgan"}, {"step", step_text}};
        result = vkg_safetensors_save(log, path, items, (uint32_t)state->count, metadata, 2);
    }
    free(image);
    free(torch);
    free(items);
    return result;
}

static bool shape_matches(const vkg_safetensors_entry *found, const vkg_state_entry *entry)
{
    uint64_t dims[VKG_MAX_RANK];
    torch_dims(entry, dims);
    return found->rank == entry->shape.rank && found->dtype == file_dtype(entry->dtype) &&
           memcmp(found->dims, dims, found->rank * sizeof dims[0]) == 0;
}

static const char *torch_shape_text(const vkg_state_entry *entry, char text[SHAPE_TEXT])
{
    vkg_shape shape = {.rank = entry->shape.rank};
    for (uint32_t i = 0; i < shape.rank; i++)
        shape.dims[i] = entry->shape.dims[entry->torch_axes[i]];
    return shape_text(&shape, text);
}

static const char *file_shape_text(const vkg_safetensors_entry *found, char text[SHAPE_TEXT])
{
    size_t used = (size_t)snprintf(text, SHAPE_TEXT, "[");
    for (uint32_t i = 0; i < found->rank && used < SHAPE_TEXT; i++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT - used, i ? ",%" PRIu64 : "%" PRIu64, found->dims[i]);
    if (used < SHAPE_TEXT - 1)
        snprintf(text + used, SHAPE_TEXT - used, "]");
    return text;
}

/* Reads one entry of the file into the state's image. */
static vkg_result load_entry(const vkg_log *log, const vkg_safetensors *file, const char *path,
                             const struct state_entry *entry, unsigned char *image, uint32_t *torch)
{
    uint32_t index = vkg_safetensors_find(file, entry->public.name);
    if (index == UINT32_MAX)
        return vkg_fail(log, VKG_ERROR_FORMAT, "%s: there is no tensor \"%s\", which this network needs", path,
                        entry->public.name);
    const vkg_safetensors_entry *found = vkg_safetensors_get(file, index);
    char have[SHAPE_TEXT], want[SHAPE_TEXT];
    if (!shape_matches(found, &entry->public))
        return vkg_fail(log, VKG_ERROR_FORMAT, "%s: \"%s\" is %s %s, expected %s %s (is it of another width or size?)", path,
                        entry->public.name, vkg_file_dtype_name(found->dtype), file_shape_text(found, have),
                        vkg_file_dtype_name(file_dtype(entry->public.dtype)), torch_shape_text(&entry->public, want));
    vkg_result result = vkg_safetensors_read(file, index, torch, entry->public.elements * 4);
    if (result == VKG_OK)
        permute(&entry->public, torch, (uint32_t *)(void *)(image + entry->address), false);
    return result;
}

static vkg_result parse_step(const vkg_log *log, const vkg_safetensors *file, const char *path, uint64_t *step)
{
    const char *text = vkg_safetensors_metadata_find(file, "step");
    char *end;
    *step = 0;
    if (!text)
        return VKG_OK; /* weights that another program wrote */
    errno = 0;
    *step = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno)
        return vkg_fail(log, VKG_ERROR_FORMAT, "%s: the metadata's \"step\" is \"%s\", expected a number", path, text);
    return VKG_OK;
}

vkg_result state_load_file(vkg_state *state, const vkg_safetensors *file, const char *path, const char *prefix,
                           uint64_t *step)
{
    const vkg_log *log = &state->device->log;
    unsigned char *image = malloc(state->bytes);
    uint32_t *torch = malloc(state->bytes);
    uint64_t file_step;
    vkg_result result = image && torch ? transfer_download(state->device, &state->buffer, 0, state->bytes, image)
                                       : vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of host memory", path);
    for (size_t i = 0; i < state->count && result == VKG_OK; i++)
        if (!prefix || strncmp(state->entries[i].public.name, prefix, strlen(prefix)) == 0)
            result = load_entry(log, file, path, &state->entries[i], image, torch);
    if (result == VKG_OK)
        result = parse_step(log, file, path, &file_step);
    if (result == VKG_OK)
        result = transfer_upload(state->device, &state->buffer, 0, state->bytes, image);
    if (result == VKG_OK && step)
        *step = file_step;
    free(image);
    free(torch);
    return result;
}

vkg_result vkg_state_load(vkg_state *state, const char *path, const char *prefix, uint64_t *step)
{
    vkg_safetensors *file = NULL;
    vkg_result result = vkg_safetensors_open(&state->device->log, path, &file);
    if (result == VKG_OK)
        result = state_load_file(state, file, path, prefix, step);
    vkg_safetensors_close(&file);
    return result;
}
