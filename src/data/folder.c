/* A folder of PNG and JPEG files: sizes are read at opening, pixels when they are asked for. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"
#include "data/source.h"
#include "io/stb.h"

enum { MAX_DEPTH = 32 };
static const uint64_t MAX_FILE_BYTES = UINT64_C(256) << 20;

struct folder_state {
    struct arena names;
    const char **paths; /* sorted; `count` of the source */
    size_t count, capacity;
};

/* --- finding the files --- */

static bool is_picture_name(const char *name)
{
    static const char *const ENDINGS[] = {".png", ".jpg", ".jpeg"};
    const char *ending = strrchr(name, '.');
    for (size_t i = 0; ending && i < sizeof ENDINGS / sizeof *ENDINGS; ++i)
        if (strcasecmp(ending, ENDINGS[i]) == 0)
            return true;
    return false;
}

static vkg_result no_memory(const struct source *source)
{
    return vkg_fail(&source->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for the names of its files",
                    source->path);
}

static vkg_result walk(const struct source *source, struct folder_state *state, const char *folder, int depth);

static vkg_result visit(const struct source *source, struct folder_state *state, const char *folder,
                        const char *name, int depth)
{
    struct stat status;
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = arena_alloc(&state->names, bytes);
    if (!path)
        return no_memory(source);
    snprintf(path, bytes, "%s/%s", folder, name);
    if (lstat(path, &status) != 0)
        return VKG_OK;           /* gone since the folder was read */
    if (S_ISDIR(status.st_mode)) /* a link to a folder is not: links may go round in circles */
        return walk(source, state, path, depth + 1);
    if (!is_picture_name(name) || stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return VKG_OK;
    if (!array_reserve((void **)&state->paths, &state->capacity, state->count, sizeof *state->paths))
        return no_memory(source);
    state->paths[state->count++] = path;
    return VKG_OK;
}

static vkg_result walk(const struct source *source, struct folder_state *state, const char *folder, int depth)
{
    if (depth > MAX_DEPTH)
        return vkg_fail(&source->log, VKG_ERROR_INVALID, "%s: folders nest more than %d deep", folder,
                        MAX_DEPTH);
    DIR *stream = opendir(folder);
    if (!stream)
        return vkg_fail(&source->log, VKG_ERROR_IO, "%s: the folder cannot be read: %s", folder,
                        strerror(errno));
    vkg_result result = VKG_OK;
    for (struct dirent *entry; result == VKG_OK && (entry = readdir(stream));)
        if (entry->d_name[0] != '.')
            result = visit(source, state, folder, entry->d_name, depth);
    closedir(stream);
    return result;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* --- sizes --- */

/* Reads width, height and channels (as in the file) of the picture in `path`. */
static vkg_result read_size(const vkg_log *log, const char *path, struct picture *picture)
{
    int fd, width, height, channels;
    uint64_t size;
    *picture = (struct picture){0};
    vkg_result result = file_open(log, path, &fd, &size);
    if (result != VKG_OK)
        return result;
    FILE *stream = fdopen(fd, "rb");
    if (!stream) {
        close(fd);
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: cannot be opened: %s", path, strerror(errno));
    }
    int good = stbi_info_from_file(stream, &width, &height, &channels);
    fclose(stream);
    if (!good)
        return vkg_fail(log, VKG_ERROR_FORMAT, "%s: is no PNG or JPEG, or damaged", path);
    /* JPEG: the library's own limit comes only with the pixels. */
    if (width < 1 || height < 1 || width > STBI_MAX_DIMENSIONS || height > STBI_MAX_DIMENSIONS)
        return vkg_fail(log, VKG_ERROR_FORMAT, "%s: is %d×%d, expected 1 to %d on a side", path, width, height,
                        STBI_MAX_DIMENSIONS);
    *picture = (struct picture){(uint32_t)width, (uint32_t)height, (uint32_t)channels, false, NULL};
    return VKG_OK;
}

static vkg_result read_sizes(struct source *source, const struct folder_state *state)
{
    source->channels = 1;
    for (size_t i = 0; i < state->count; ++i) {
        struct picture picture;
        vkg_result result = read_size(&source->log, state->paths[i], &picture);
        if (result != VKG_OK)
            return result;
        if (picture.channels >= 3)
            source->channels = 3;
        if (i == 0) {
            source->width = picture.width;
            source->height = picture.height;
        } else if (source->width != picture.width || source->height != picture.height) {
            if (!source->any_size)
                return vkg_fail(
                    &source->log, VKG_ERROR_FORMAT,
                    "%s is %u×%u, but %s is %u×%u; expected one size, or an image size to resize them to",
                    state->paths[0], source->width, source->height, state->paths[i], picture.width,
                    picture.height);
            source->width = source->height = 0; /* mixed: no picture is 0×0, so they stay so */
        }
    }
    return VKG_OK;
}

/* --- the format --- */

static bool folder_probe(const struct source_clue *clue)
{
    return clue->folder;
}

static vkg_result folder_open(struct source *source)
{
    struct folder_state *state = calloc(1, sizeof *state);
    if (!state)
        return no_memory(source);
    source->state = state;
    vkg_result result = walk(source, state, source->path, 0);
    if (result != VKG_OK)
        return result;
    if (state->count == 0 || state->count > UINT32_MAX)
        return vkg_fail(&source->log, VKG_ERROR_FORMAT,
                        "%s: holds %zu PNG or JPEG files, expected at least one", source->path, state->count);
    qsort(state->paths, state->count, sizeof *state->paths, compare_paths);
    source->count = (uint32_t)state->count;
    return read_sizes(source, state);
}

static vkg_result decode(const vkg_log *log, const char *path, const void *bytes, size_t size,
                         struct scratch *scratch, struct picture *picture)
{
    int width, height, channels;
    uint8_t *pixels = stbi_load_from_memory(bytes, (int)size, &width, &height, &channels, 0);
    if (!pixels)
        return vkg_fail(log, VKG_ERROR_FORMAT, "%s: a damaged PNG or JPEG, or of a kind that cannot be decoded",
                        path);
    if (channels == 2 || channels == 4) {
        picture_drop_alpha(pixels, (size_t)width * (size_t)height, (uint32_t)channels);
        --channels;
    }
    free(scratch->decoded.memory); /* the decoder's memory takes its place */
    *picture = (struct picture){(uint32_t)width, (uint32_t)height, (uint32_t)channels, false, pixels};
    scratch->decoded = (struct scratch_block){pixels, picture_bytes(picture)};
    return VKG_OK;
}

static vkg_result folder_read(const struct source *source, uint32_t index, struct scratch *scratch,
                              struct picture *picture)
{
    const struct folder_state *state = source->state;
    const char *path = state->paths[index];
    void *bytes;
    size_t size;
    vkg_result result = file_read_whole(&source->log, path, MAX_FILE_BYTES, &bytes, &size);
    if (result != VKG_OK)
        return result;
    result = decode(&source->log, path, bytes, size, scratch, picture);
    free(bytes);
    if (result == VKG_OK && !source->any_size &&
        (picture->width != source->width || picture->height != source->height))
        return vkg_fail(&source->log, VKG_ERROR_FORMAT,
                        "%s: is %u×%u now, was %u×%u when the folder was opened", path, picture->width,
                        picture->height, source->width, source->height);
    return result;
}

static void folder_close(struct source *source)
{
    struct folder_state *state = source->state;
    if (!state)
        return;
    arena_free(&state->names);
    free(state->paths);
    free(state);
}

const struct source_format folder_format = {
    .name = "image folder",
    .costly = true,
    .probe = folder_probe,
    .open = folder_open,
    .read = folder_read,
    .close = folder_close,
};
