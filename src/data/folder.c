/* A folder of PNG and JPEG files, or one such file: sizes are read at opening, pixels when they are asked
 * for. */
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
#include "io/jpeg.h"
#include "io/stb.h"

enum { MAX_DEPTH = 32 };
static const uint64_t MAX_FILE_BYTES = UINT64_C(256) << 20;

struct folder_state {
    struct arena names;
    const char **paths; /* sorted; `count` of the source */
    const char **below; /* of each path, what follows the folder's name and its slash */
    const char **classes;
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

/* A picture that is left out without a word makes another data set. */
static vkg_result unreadable(const struct source *source, const char *path)
{
    return vkg_fail(&source->log, VKG_ERROR_IO, "%s: cannot be read: %s", path, strerror(errno));
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
        return errno == ENOENT ? VKG_OK : unreadable(source, path); /* gone since the folder was read */
    if (S_ISDIR(status.st_mode)) /* a link to a folder is not: links may go round in circles */
        return walk(source, state, path, depth + 1);
    if (!is_picture_name(name))
        return VKG_OK;
    if (stat(path, &status) != 0)
        return unreadable(source, path);
    if (!S_ISREG(status.st_mode))
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
    for (struct dirent *entry; result == VKG_OK && (errno = 0, entry = readdir(stream));)
        if (entry->d_name[0] != '.')
            result = visit(source, state, folder, entry->d_name, depth);
    if (result == VKG_OK && errno)
        result = unreadable(source, folder);
    closedir(stream);
    return result;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static vkg_result find_files(const struct source *source, struct folder_state *state)
{
    struct stat status;
    if (stat(source->path, &status) == 0 && S_ISDIR(status.st_mode))
        return walk(source, state, source->path, 0);
    if (!array_reserve((void **)&state->paths, &state->capacity, 0, sizeof *state->paths))
        return no_memory(source);
    state->paths[state->count++] = source->path;
    return VKG_OK;
}

/* --- names and classes --- */

static bool name_files(struct source *source, struct folder_state *state)
{
    size_t folder = strlen(source->path);
    state->below = calloc(state->count, sizeof *state->below);
    for (size_t i = 0; state->below && i < state->count; ++i) {
        const char *last = strrchr(state->paths[i], '/');
        bool alone = state->paths[i] == source->path;
        state->below[i] = !alone ? state->paths[i] + folder + 1 : last ? last + 1 : source->path;
    }
    source->names = state->below;
    return state->below != NULL;
}

static bool is_folder_of(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    return strncmp(name, folder, length) == 0 && name[length] == '/';
}

/* The folders of "cat/…", "dog/…", each once, sorted; none where a file lies in the set's folder itself.
 * false when memory is out. */
static bool find_classes(struct folder_state *state, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < state->count; ++i) {
        if (*count && is_folder_of(state->classes[*count - 1], state->below[i]))
            continue; /* files are sorted, so those of a folder are together */
        size_t length = strcspn(state->below[i], "/");
        char *name = arena_alloc(&state->names, length + 1);
        if (!name)
            return false;
        state->classes[(*count)++] = memcpy(name, state->below[i], length);
        if (!state->below[i][length]) {
            *count = 0;
            return true;
        }
    }
    /* "a" comes before "a-b", but "a/" comes after "a-b/" */
    qsort(state->classes, *count, sizeof *state->classes, compare_paths);
    return true;
}

/* Where every file lies in a sub-folder, and there are at least two, these are the classes. */
static bool label_files(struct source *source, struct folder_state *state)
{
    size_t count, label = 0;
    state->classes = calloc(state->count, sizeof *state->classes);
    if (!state->classes || !find_classes(state, &count))
        return false;
    if (count < 2)
        return true;
    if (!(source->labels = calloc(state->count, sizeof *source->labels)))
        return false;
    source->class_names = state->classes;
    source->class_count = (uint32_t)count;
    for (size_t i = 0; i < state->count; ++i) {
        while (!is_folder_of(state->classes[label], state->below[i]))
            label = (label + 1) % count;
        source->labels[i] = (int32_t)label;
    }
    return true;
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

static vkg_result mixed_sizes(const struct source *source, const struct folder_state *state, size_t index)
{
    return vkg_fail(&source->log, VKG_ERROR_FORMAT,
                    "%s is %u×%u, but %s is %u×%u; expected one size, or an image size to resize them to",
                    state->paths[0], source->sizes[0].width, source->sizes[0].height, state->paths[index],
                    source->sizes[index].width, source->sizes[index].height);
}

static vkg_result read_sizes(struct source *source, const struct folder_state *state)
{
    bool mixed = false;
    source->channels = 1;
    if (!(source->sizes = calloc(state->count, sizeof *source->sizes)))
        return no_memory(source);
    for (size_t i = 0; i < state->count; ++i) {
        struct picture picture;
        vkg_result result = read_size(&source->log, state->paths[i], &picture);
        if (result != VKG_OK)
            return result;
        if (picture.channels >= 3)
            source->channels = 3;
        source->sizes[i] = (struct picture_size){picture.width, picture.height};
        bool differs = picture.width != source->sizes[0].width || picture.height != source->sizes[0].height;
        if (differs && !source->any_size)
            return mixed_sizes(source, state, i);
        mixed = mixed || differs;
    }
    source->width = mixed ? 0 : source->sizes[0].width;
    source->height = mixed ? 0 : source->sizes[0].height;
    return VKG_OK;
}

/* --- the format --- */

static bool folder_probe(const struct source_clue *clue)
{
    static const uint8_t PNG[] = {0x89, 'P', 'N', 'G'}, JPEG[] = {0xff, 0xd8, 0xff};
    return clue->folder || (clue->head_size >= 4 && (memcmp(clue->head, PNG, sizeof PNG) == 0 ||
                                                     memcmp(clue->head, JPEG, sizeof JPEG) == 0));
}

static vkg_result folder_open(struct source *source)
{
    struct folder_state *state = calloc(1, sizeof *state);
    if (!state)
        return no_memory(source);
    source->state = state;
    vkg_result result = find_files(source, state);
    if (result != VKG_OK)
        return result;
    if (state->count == 0 || state->count > UINT32_MAX)
        return vkg_fail(&source->log, VKG_ERROR_FORMAT,
                        "%s: holds %zu PNG or JPEG files, expected at least one", source->path, state->count);
    qsort(state->paths, state->count, sizeof *state->paths, compare_paths);
    source->count = (uint32_t)state->count;
    if (!name_files(source, state) || !label_files(source, state))
        return no_memory(source);
    return read_sizes(source, state);
}

/* Not more pixels than such a file can hold (one a bit of a PNG, which deflate packs 1032 times; a JPEG's block of 64, a quarter of the
 * size to either side at most, takes a bit), so that a few bytes do not take gigabytes. */
static bool is_sound(const uint8_t *bytes, size_t size)
{
    int width, height, channels;
    const bool jpeg = size > 0 && bytes[0] == 0xff; /* which may be filling */
    const uint64_t most = (uint64_t)size * (jpeg ? 1024 : 1032 * 8);
    return (!jpeg || jpeg_is_sound(bytes, size)) && stbi_info_from_memory(bytes, (int)size, &width, &height, &channels) &&
           (uint64_t)width * (uint64_t)height <= most;
}

static vkg_result decode(const vkg_log *log, const char *path, const void *bytes, size_t size,
                         struct scratch *scratch, struct picture *picture)
{
    int width, height, channels;
    uint8_t *pixels = is_sound(bytes, size) ? stbi_load_from_memory(bytes, (int)size, &width, &height, &channels, 0) : NULL;
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
    const struct picture_size *was = &source->sizes[index];
    if (result == VKG_OK && (picture->width != was->width || picture->height != was->height))
        return vkg_fail(&source->log, VKG_ERROR_FORMAT,
                        "%s: is %u×%u now, was %u×%u when the folder was opened", path, picture->width,
                        picture->height, was->width, was->height);
    return result;
}

static void folder_close(struct source *source)
{
    struct folder_state *state = source->state;
    if (!state)
        return;
    arena_free(&state->names);
    free(state->paths);
    free(state->below);
    free(state->classes);
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
