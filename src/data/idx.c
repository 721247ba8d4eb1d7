/* IDX, the format of MNIST: a big-endian magic number whose last byte is the number of dimensions, the
 * dimensions, the bytes. http://yann.lecun.com/exdb/mnist/ */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "base/log.h"
#include "data/source.h"

static const uint32_t IMAGES_MAGIC = 0x00000803, LABELS_MAGIC = 0x00000801;
static const char *const FOLDER_IMAGES[] = {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz",
                                            "t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"};
enum { MAX_SIDE = 16384 }; /* as for every other picture */

/* --- reading, through zlib, which passes plain files on as they are --- */

struct idx_reader {
    const vkg_log *log;
    const char *path;
    gzFile stream;
    uint64_t file_size;
};

static vkg_result open_reader(const vkg_log *log, const char *path, struct idx_reader *reader)
{
    int fd;
    *reader = (struct idx_reader){.log = log, .path = path};
    vkg_result result = file_open(log, path, &fd, &reader->file_size);
    if (result != VKG_OK)
        return result;
    reader->stream = gzdopen(fd, "rb");
    if (!reader->stream) {
        close(fd);
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory to unpack it", path);
    }
    gzbuffer(reader->stream, 256 * 1024);
    return VKG_OK;
}

static vkg_result read_fault(const struct idx_reader *reader, uint64_t done, uint64_t size)
{
    int code;
    const char *message = gzerror(reader->stream, &code);
    if (code == Z_ERRNO)
        return vkg_fail(reader->log, VKG_ERROR_IO, "%s: cannot be read: %s", reader->path, strerror(errno));
    if (code != Z_OK && code != Z_BUF_ERROR)
        return vkg_fail(reader->log, VKG_ERROR_FORMAT, "%s: damaged gzip: %s", reader->path, message);
    return vkg_fail(reader->log, VKG_ERROR_FORMAT, "%s: ends after %" PRIu64 " bytes, expected %" PRIu64,
                    reader->path, done, size);
}

/* Reads `size` bytes, `done` of the whole before them. */
static vkg_result read_bytes(const struct idx_reader *reader, void *data, uint64_t size, uint64_t done)
{
    for (uint64_t got_all = 0; got_all < size;) {
        uint64_t left = size - got_all;
        int got = gzread(reader->stream, (char *)data + got_all, left < (1u << 30) ? (unsigned)left : 1u << 30);
        if (got <= 0)
            return read_fault(reader, done + got_all, done + size);
        got_all += (uint64_t)got;
    }
    return VKG_OK;
}

/* Nothing may follow; asking makes zlib check the sum at the end of a gzip file too. */
static vkg_result expect_end(const struct idx_reader *reader, uint64_t size)
{
    char extra;
    int got = gzread(reader->stream, &extra, 1);
    int code;
    const char *message = gzerror(reader->stream, &code);
    if (got <= 0 && code != Z_OK)
        return vkg_fail(reader->log, VKG_ERROR_FORMAT, "%s: damaged at its end: %s", reader->path, message);
    if (got > 0)
        return vkg_fail(reader->log, VKG_ERROR_FORMAT,
                        "%s: goes on after the %" PRIu64 " bytes that its header announces", reader->path,
                        size);
    return VKG_OK;
}

/* --- an array of bytes --- */

struct idx_array {
    uint32_t dims[3];
    uint8_t *data;
};

static uint32_t big_endian(const uint8_t bytes[4])
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static vkg_result read_header(const struct idx_reader *reader, uint32_t magic, struct idx_array *array,
                              uint64_t *bytes)
{
    uint8_t header[16];
    uint32_t rank = magic & 0xff;
    vkg_result result = read_bytes(reader, header, 4, 0);
    if (result != VKG_OK)
        return result;
    if (big_endian(header) != magic)
        return vkg_fail(reader->log, VKG_ERROR_FORMAT,
                        "%s: magic number 0x%08x, expected 0x%08x (IDX, bytes, %u dimension%s)", reader->path,
                        big_endian(header), magic, rank, rank > 1 ? "s" : "");
    result = read_bytes(reader, header + 4, rank * 4, 4);
    *bytes = 1;
    for (uint32_t i = 0; result == VKG_OK && i < rank; ++i) {
        array->dims[i] = big_endian(header + 4 + 4 * i);
        if (array->dims[i] == 0 || (i > 0 && array->dims[i] > MAX_SIDE))
            return vkg_fail(reader->log, VKG_ERROR_FORMAT, "%s: dimension %u is %u, expected 1 to %u",
                            reader->path, i, array->dims[i], i ? MAX_SIDE : UINT32_MAX);
        *bytes *= array->dims[i]; /* at most 2³² · 2¹⁴ · 2¹⁴ */
    }
    return result;
}

static vkg_result read_array(const struct idx_reader *reader, uint32_t magic, struct idx_array *array)
{
    uint64_t bytes = 0, header = 4 + 4 * (magic & 0xff);
    vkg_result result = read_header(reader, magic, array, &bytes);
    if (result != VKG_OK)
        return result;
    /* Deflate packs at most 1032 to 1: so nothing is allocated for what cannot be in the file. */
    uint64_t greatest = gzdirect(reader->stream) ? reader->file_size - header : reader->file_size * 1032;
    if (bytes > greatest)
        return vkg_fail(reader->log, VKG_ERROR_FORMAT,
                        "%s: the header announces %" PRIu64 " bytes, the file can hold at most %" PRIu64,
                        reader->path, bytes, greatest);
    array->data = malloc((size_t)bytes);
    if (!array->data)
        return vkg_fail(reader->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for its %" PRIu64 " bytes",
                        reader->path, bytes);
    result = read_bytes(reader, array->data, bytes, header);
    if (result == VKG_OK)
        result = expect_end(reader, header + bytes);
    return result;
}

static vkg_result load_array(const vkg_log *log, const char *path, uint32_t magic, struct idx_array *array)
{
    struct idx_reader reader;
    *array = (struct idx_array){0};
    vkg_result result = open_reader(log, path, &reader);
    if (result != VKG_OK)
        return result;
    result = read_array(&reader, magic, array);
    gzclose(reader.stream);
    if (result != VKG_OK) {
        free(array->data);
        array->data = NULL;
    }
    return result;
}

/* --- the files of a set --- */

static char *join(const char *folder, const char *name)
{
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path)
        snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

/* The images file of a folder, or NULL. */
static char *find_images(const char *folder)
{
    for (size_t i = 0; i < sizeof FOLDER_IMAGES / sizeof *FOLDER_IMAGES; ++i) {
        char *path = join(folder, FOLDER_IMAGES[i]);
        if (path && access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

/* x-images-idx3-ubyte[.gz] → x-labels-idx1-ubyte[.gz], whichever of the two is there, or NULL. */
static char *find_labels(const char *images)
{
    static const char WORD[] = "images-idx3", TAIL[] = "labels-idx1-ubyte";
    const char *name = strrchr(images, '/');
    const char *word = strstr(name ? name : images, WORD);
    if (!word)
        return NULL;
    size_t stem = (size_t)(word - images), bytes = stem + sizeof TAIL + sizeof ".gz";
    char *path = malloc(bytes);
    if (!path)
        return NULL;
    for (int packed = 0; packed < 2; ++packed) {
        snprintf(path, bytes, "%.*s%s%s", (int)stem, images, TAIL, packed ? ".gz" : "");
        if (access(path, F_OK) == 0)
            return path;
    }
    free(path);
    return NULL;
}

static vkg_result load_labels(struct source *source, const char *images)
{
    struct idx_array labels;
    char *path = find_labels(images);
    if (!path)
        return VKG_OK;
    vkg_result result = load_array(&source->log, path, LABELS_MAGIC, &labels);
    if (result == VKG_OK && labels.dims[0] != source->count)
        result = vkg_fail(&source->log, VKG_ERROR_FORMAT, "%s: has %u labels, but there are %u images", path,
                          labels.dims[0], source->count);
    if (result == VKG_OK && !(source->labels = calloc(source->count, sizeof *source->labels)))
        result =
            vkg_fail(&source->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for %u labels", path, source->count);
    for (uint32_t i = 0; result == VKG_OK && i < source->count; ++i)
        source->labels[i] = ((const uint8_t *)labels.data)[i];
    free(labels.data);
    free(path);
    return result;
}

static vkg_result load_images(struct source *source, const char *path)
{
    struct idx_array images;
    vkg_result result = load_array(&source->log, path, IMAGES_MAGIC, &images);
    source->state = images.data;
    source->count = images.dims[0];
    source->height = images.dims[1];
    source->width = images.dims[2];
    source->channels = 1;
    return result == VKG_OK ? load_labels(source, path) : result;
}

/* --- the format --- */

static bool idx_probe(const struct source_clue *clue)
{
    if (clue->folder) {
        char *images = find_images(clue->path);
        free(images);
        return images != NULL;
    }
    bool gzip = clue->head_size >= 2 && clue->head[0] == 0x1f && clue->head[1] == 0x8b;
    bool zeros = clue->head_size >= 2 && clue->head[0] == 0 && clue->head[1] == 0;
    const char *slash = strrchr(clue->path, '/');
    return gzip || zeros || strstr(slash ? slash : clue->path, "-ubyte");
}

static vkg_result idx_open(struct source *source)
{
    char *inside = find_images(source->path);
    vkg_result result = load_images(source, inside ? inside : source->path);
    free(inside);
    return result;
}

static vkg_result idx_read(const struct source *source, uint32_t index, struct scratch *scratch,
                           struct picture *picture)
{
    (void)scratch;
    size_t bytes = (size_t)source->width * source->height;
    *picture = (struct picture){source->width, source->height, 1, false,
                                (const uint8_t *)source->state + index * bytes};
    return VKG_OK;
}

static void idx_close(struct source *source)
{
    free(source->state);
}

const struct source_format idx_format = {
    .name = "IDX",
    .probe = idx_probe,
    .open = idx_open,
    .read = idx_read,
    .close = idx_close,
};
