/* .npy arrays of images, read from the file one by one: a set may be larger than memory. */
#include "io/npy.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "data/source.h"
#include "io/elements.h"

enum { MAX_SIDE = 16384 };

struct npy_state {
    int fd;
    struct npy_header header;
};

static bool npy_probe(const struct source_clue *clue)
{
    size_t length = strlen(clue->path);
    if (clue->folder)
        return false;
    return (clue->head_size >= 6 && memcmp(clue->head, "\x93NUMPY", 6) == 0) ||
           (length > 4 && strcmp(clue->path + length - 4, ".npy") == 0);
}

static vkg_result check_shape(const struct source *source, const struct npy_header *header)
{
    char shape[ELEMENTS_TEXT];
    const uint64_t *dims = header->dims;
    bool good = header->dtype == VKG_FILE_U8 || header->dtype == VKG_FILE_F32;
    good = good && (header->rank == 3 || (header->rank == 4 && (dims[3] == 1 || dims[3] == 3)));
    good = good && dims[0] >= 1 && dims[0] <= UINT32_MAX;
    good = good && dims[1] >= 1 && dims[1] <= MAX_SIDE && dims[2] >= 1 && dims[2] <= MAX_SIDE;
    if (good)
        return VKG_OK;
    return vkg_fail(
        &source->log, VKG_ERROR_FORMAT,
        "%s: an array of shape %s, %s; expected U8 or F32 of [N, H, W], [N, H, W, 1] or [N, H, W, 3], "
        "N at least 1, H and W 1 to %d",
        source->path, elements_text(header->rank, dims, shape), vkg_file_dtype_name(header->dtype), MAX_SIDE);
}

static vkg_result npy_open(struct source *source)
{
    uint64_t file_size;
    struct npy_state *state = calloc(1, sizeof *state);
    if (!state)
        return vkg_fail(&source->log, VKG_ERROR_OUT_OF_MEMORY, "%s: cannot be opened: no memory", source->path);
    source->state = state;
    vkg_result result = file_open(&source->log, source->path, &state->fd, &file_size);
    if (result == VKG_OK)
        result = npy_read_header(&source->log, source->path, state->fd, file_size, &state->header);
    if (result == VKG_OK)
        result = check_shape(source, &state->header);
    if (result != VKG_OK)
        return result;
    source->count = (uint32_t)state->header.dims[0];
    source->height = (uint32_t)state->header.dims[1];
    source->width = (uint32_t)state->header.dims[2];
    source->channels = state->header.rank == 4 ? (uint32_t)state->header.dims[3] : 1;
    return VKG_OK;
}

/* The room for rounding is that of numbers that went through half precision. */
static vkg_result check_floats(const struct source *source, uint32_t index, const struct picture *picture)
{
    const float *values = picture->pixels;
    size_t count = picture_bytes(picture) / sizeof *values;
    for (size_t i = 0; i < count; ++i)
        if (!(values[i] >= -1.001f && values[i] <= 1.001f))
            return vkg_fail(&source->log, VKG_ERROR_FORMAT,
                            "%s: image %u holds the value %g, expected floats from -1 to 1", source->path,
                            index, (double)values[i]);
    return VKG_OK;
}

static vkg_result npy_read(const struct source *source, uint32_t index, struct scratch *scratch,
                           struct picture *picture)
{
    const struct npy_state *state = source->state;
    *picture = (struct picture){source->width, source->height, source->channels,
                                state->header.dtype == VKG_FILE_F32, NULL};
    size_t bytes = picture_bytes(picture);
    void *pixels = scratch_reserve(&scratch->decoded, bytes);
    if (!pixels)
        return vkg_fail(&source->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for an image", source->path);
    picture->pixels = pixels;
    vkg_result result = file_read_at(&source->log, source->path, state->fd,
                                     state->header.offset + (uint64_t)index * bytes, pixels, bytes);
    return result == VKG_OK && picture->floats ? check_floats(source, index, picture) : result;
}

static void npy_close(struct source *source)
{
    struct npy_state *state = source->state;
    if (state && state->fd >= 0)
        close(state->fd);
    free(state);
}

const struct source_format npy_format = {
    .name = "npy",
    .probe = npy_probe,
    .open = npy_open,
    .read = npy_read,
    .close = npy_close,
};
