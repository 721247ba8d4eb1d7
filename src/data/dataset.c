#include "data/dataset.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "data/source.h"

/* Tried in this order. */
static const struct source_format *const FORMATS[] = {&idx_format, &npy_format, &folder_format};

static const char DEFAULT_PATH[] = "/usr/share/datasets/fashion-mnist";
static const char DEFAULT_PACKAGE[] = "dataset-fashion-mnist";

/* Images that cost something to make are kept in memory, as many as this takes. */
static const uint64_t CACHE_BYTES = UINT64_C(512) << 20;
enum { MAX_SIZE = 16384 };

struct cache {
    atomic_size_t bytes;
    _Atomic(struct picture *) pictures[]; /* one an image, NULL until it was read */
};

struct vkg_dataset {
    struct source source;
    uint32_t height, width, channels; /* of the images given out; 0×0 where each keeps its own size */
    uint32_t classes;
    struct cache *cache; /* or NULL */
};

/* --- opening --- */

static const char *choose_path(const vkg_dataset_desc *desc)
{
    const char *named = getenv("VKGAN_DATA");
    if (desc->path)
        return desc->path;
    return named && *named ? named : DEFAULT_PATH;
}

static vkg_result look_at(const vkg_log *log, const char *path, struct source_clue *clue)
{
    struct stat status;
    *clue = (struct source_clue){.path = path};
    if (stat(path, &status) != 0) {
        if (strcmp(path, DEFAULT_PATH) == 0)
            return vkg_fail(log, VKG_ERROR_IO, "%s: %s; install the Debian package %s, or name a set of images",
                            path, strerror(errno), DEFAULT_PACKAGE);
        return vkg_fail(log, VKG_ERROR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    clue->folder = S_ISDIR(status.st_mode);
    if (clue->folder)
        return VKG_OK;
    int fd;
    uint64_t size;
    vkg_result result = file_open(log, path, &fd, &size);
    if (result != VKG_OK)
        return result;
    clue->head_size = size < sizeof clue->head ? (size_t)size : sizeof clue->head;
    result = file_read_at(log, path, fd, 0, clue->head, clue->head_size);
    close(fd);
    return result;
}

static vkg_result open_source(struct source *source)
{
    struct source_clue clue;
    vkg_result result = look_at(&source->log, source->path, &clue);
    if (result != VKG_OK)
        return result;
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; ++i) {
        if (FORMATS[i]->probe(&clue)) {
            source->format = FORMATS[i];
            return source->format->open(source);
        }
    }
    char head[3 * sizeof clue.head + 1] = " nothing";
    for (size_t k = 0; k < clue.head_size; ++k)
        snprintf(head + 3 * k, 4, " %02x", clue.head[k]);
    return vkg_fail(
        &source->log, VKG_ERROR_FORMAT,
        "%s: begins with%s, expected an IDX file (00 00 08 03, plain or gzip), a .npy file (93 4e 55 4d), or "
        "a PNG, a JPEG, or a folder of them",
        source->path, head);
}

static void choose_shape(vkg_dataset *dataset, const vkg_dataset_desc *desc)
{
    const struct source *source = &dataset->source;
    dataset->channels = desc->channels ? desc->channels : source->channels;
    dataset->width = desc->image_size ? desc->image_size : source->width;
    dataset->height = desc->image_size ? desc->image_size : source->height;
    for (uint32_t i = 0; source->labels && i < source->count; ++i)
        if (source->labels[i] >= 0 && (uint32_t)source->labels[i] >= dataset->classes)
            dataset->classes = (uint32_t)source->labels[i] + 1u;
}

/* Without memory for it there is simply no cache. */
static void create_cache(vkg_dataset *dataset)
{
    const struct source *source = &dataset->source;
    bool fitted = source->width != dataset->width || source->height != dataset->height;
    if (source->format->costly || fitted)
        dataset->cache = calloc(1, sizeof *dataset->cache + source->count * sizeof *dataset->cache->pictures);
}

static vkg_result check_desc(const vkg_log *log, const vkg_dataset_desc *desc)
{
    if (desc->image_size > MAX_SIZE)
        return vkg_fail(log, VKG_ERROR_INVALID, "dataset: image size %u, expected at most %d", desc->image_size,
                        MAX_SIZE);
    if (desc->channels != 0 && desc->channels != 1 && desc->channels != 3)
        return vkg_fail(log, VKG_ERROR_INVALID,
                        "dataset: %u channels, expected 1, 3, or 0 for those of the data", desc->channels);
    if (desc->any_size && desc->image_size)
        return vkg_fail(log, VKG_ERROR_INVALID,
                        "dataset: image size %u and images of any size, expected one of the two",
                        desc->image_size);
    return VKG_OK;
}

vkg_result vkg_dataset_open(const vkg_log *log, const vkg_dataset_desc *desc, vkg_dataset **dataset)
{
    static const vkg_dataset_desc DEFAULTS;
    *dataset = NULL;
    if (!desc)
        desc = &DEFAULTS;
    vkg_result result = check_desc(log, desc);
    if (result != VKG_OK)
        return result;
    const char *path = choose_path(desc);
    vkg_dataset *opened = calloc(1, sizeof *opened);
    if (!opened || !(opened->source.path = strdup(path))) {
        free(opened);
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: cannot be opened: no memory", path);
    }
    opened->source.log = log ? *log : (vkg_log){0};
    opened->source.any_size = desc->any_size || desc->image_size != 0;
    result = open_source(&opened->source);
    if (result != VKG_OK) {
        vkg_dataset_close(&opened);
        return result;
    }
    choose_shape(opened, desc);
    create_cache(opened);
    *dataset = opened;
    return VKG_OK;
}

static vkg_result check_source(const vkg_log *log, const vkg_dataset_source *own)
{
    const uint64_t most = UINT64_C(1) << 30;
    if (own->name && own->read && own->count && own->height && own->width && own->channels && own->height <= most &&
        own->width <= most / own->height && own->channels <= most / own->height / own->width)
        return VKG_OK;
    return vkg_fail(log, VKG_ERROR_INVALID,
                    "vkg_dataset_create \"%s\": %u samples of %u×%u×%u; expected a name, a read function, and no number of 0 "
                    "or samples of more than 2³⁰ numbers", own->name ? own->name : "", own->count, own->height, own->width,
                    own->channels);
}

vkg_result vkg_dataset_create(const vkg_log *log, const vkg_dataset_source *own, vkg_dataset **dataset)
{
    *dataset = NULL;
    vkg_result result = check_source(log, own);
    if (result != VKG_OK)
        return result;
    vkg_dataset *made = calloc(1, sizeof *made);
    char *path = strdup(own->name);
    vkg_dataset_source *state = malloc(sizeof *state);
    int32_t *labels = own->labels ? calloc(own->count, sizeof *labels) : NULL;
    if (!made || !path || !state || (own->labels && !labels)) {
        free(made), free(path), free(state), free(labels);
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for the set", own->name);
    }
    if (labels)
        memcpy(labels, own->labels, own->count * sizeof *labels);
    *state = *own;
    made->source = (struct source){.format = &own_format, .log = log ? *log : (vkg_log){0}, .path = path, .count = own->count,
                                   .width = own->width, .height = own->height, .channels = own->channels,
                                   .labels = labels, .state = state};
    choose_shape(made, &(vkg_dataset_desc){0});
    *dataset = made;
    return VKG_OK;
}

void vkg_dataset_close(vkg_dataset **dataset)
{
    if (!dataset || !*dataset)
        return;
    struct source *source = &(*dataset)->source;
    for (uint32_t i = 0; (*dataset)->cache && i < source->count; ++i)
        free((*dataset)->cache->pictures[i]);
    free((*dataset)->cache);
    if (source->format)
        source->format->close(source);
    free(source->labels);
    free(source->sizes);
    free(source->path);
    free(*dataset);
    *dataset = NULL;
}

/* --- asking --- */

vkg_dataset_info vkg_dataset_get_info(const vkg_dataset *dataset)
{
    return (vkg_dataset_info){
        .path = dataset->source.path,
        .format = dataset->source.format->name,
        .count = dataset->source.count,
        .height = dataset->height,
        .width = dataset->width,
        .channels = dataset->channels,
        .classes = dataset->classes,
    };
}

int32_t vkg_dataset_label(const vkg_dataset *dataset, uint32_t index)
{
    return dataset->source.labels && index < dataset->source.count ? dataset->source.labels[index] : -1;
}

const char *vkg_dataset_class_name(const vkg_dataset *dataset, int32_t label)
{
    bool named = label >= 0 && (uint32_t)label < dataset->source.class_count;
    return named ? dataset->source.class_names[label] : NULL;
}

const char *vkg_dataset_name(const vkg_dataset *dataset, uint32_t index)
{
    return dataset->source.names && index < dataset->source.count ? dataset->source.names[index] : NULL;
}

static vkg_result check_index(const vkg_dataset *dataset, uint32_t index)
{
    const struct source *source = &dataset->source;
    if (index < source->count)
        return VKG_OK;
    return vkg_fail(&source->log, VKG_ERROR_INVALID, "%s: image %u asked for, there are %u", source->path,
                    index, source->count);
}

vkg_result vkg_dataset_size(const vkg_dataset *dataset, uint32_t index, uint32_t *height, uint32_t *width)
{
    vkg_result result = check_index(dataset, index);
    if (result != VKG_OK)
        return result;
    bool own = dataset->width == 0;
    *height = own ? dataset->source.sizes[index].height : dataset->height;
    *width = own ? dataset->source.sizes[index].width : dataset->width;
    return VKG_OK;
}

const vkg_log *dataset_log(const vkg_dataset *dataset)
{
    return &dataset->source.log;
}

/* --- reading --- */

static bool find_cached(const vkg_dataset *dataset, uint32_t index, struct picture *picture)
{
    const struct picture *kept = dataset->cache ? atomic_load(&dataset->cache->pictures[index]) : NULL;
    if (kept)
        *picture = *kept;
    return kept != NULL;
}

/* The picture and its bytes in one piece of memory. */
static struct picture *copy_picture(const struct picture *picture, size_t bytes)
{
    struct picture *copy = malloc(sizeof *copy + bytes);
    if (copy) {
        *copy = *picture;
        copy->pixels = memcpy(copy + 1, picture->pixels, bytes);
    }
    return copy;
}

static void keep(const vkg_dataset *dataset, uint32_t index, const struct picture *picture)
{
    size_t bytes = picture_bytes(picture);
    if (!dataset->cache || picture->floats)
        return;
    struct picture *nothing = NULL, *copy = NULL;
    if (atomic_fetch_add(&dataset->cache->bytes, bytes) + bytes <= CACHE_BYTES)
        copy = copy_picture(picture, bytes);
    if (copy && atomic_compare_exchange_strong(&dataset->cache->pictures[index], &nothing, copy))
        return;
    free(copy); /* another reader was faster, or memory is out */
    atomic_fetch_sub(&dataset->cache->bytes, bytes);
}

vkg_result dataset_picture(const vkg_dataset *dataset, uint32_t index, struct scratch *scratch,
                           struct picture *picture)
{
    const struct source *source = &dataset->source;
    uint32_t width, height;
    vkg_result result = vkg_dataset_size(dataset, index, &height, &width);
    if (result != VKG_OK || find_cached(dataset, index, picture))
        return result;
    result = source->format->read(source, index, scratch, picture);
    if (result != VKG_OK)
        return result;
    if (!picture_fit(picture, width, height, dataset->channels, scratch))
        return vkg_fail(&source->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory to resize image %u", source->path,
                        index);
    keep(dataset, index, picture);
    return VKG_OK;
}

vkg_result vkg_dataset_read(const vkg_dataset *dataset, uint32_t index, float *pixels)
{
    struct scratch scratch = {0};
    struct picture picture;
    vkg_result result = dataset_picture(dataset, index, &scratch, &picture);
    if (result == VKG_OK)
        picture_write_floats(&picture, pixels);
    scratch_free(&scratch);
    return result;
}
