#include "io/npy.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "io/elements.h"

static const struct {
    const char *descr;
    vkg_file_dtype dtype;
} DTYPES[] = {
    {"|u1", VKG_FILE_U8},
    {"<i4", VKG_FILE_I32},
    {"<i8", VKG_FILE_I64},
    {"<f4", VKG_FILE_F32},
};
enum { DTYPE_COUNT = sizeof DTYPES / sizeof *DTYPES };

static const char MAGIC[6] = "\x93NUMPY";
enum {
    PREAMBLE = 10,            /* magic, version, header length of two bytes (version 2.0: four, so 12) */
    ALIGNMENT = 64,           /* of the array in the file */
    MAX_HEADER = 1024 * 1024, /* NumPy itself writes a few hundred bytes */
};

/* --- the header: a Python dictionary literal --- */

/* A place in the header text; every function skips spaces first and moves on only where it succeeds. */
struct cursor {
    const char *at;
};

static void skip_spaces(struct cursor *cursor)
{
    while (*cursor->at == ' ' || *cursor->at == '\n' || *cursor->at == '\t')
        ++cursor->at;
}

static bool take(struct cursor *cursor, const char *text)
{
    skip_spaces(cursor);
    size_t length = strlen(text);
    if (strncmp(cursor->at, text, length) != 0)
        return false;
    cursor->at += length;
    return true;
}

/* A string in either kind of quotes, without escapes, into text[capacity]. */
static bool take_string(struct cursor *cursor, char *text, size_t capacity)
{
    skip_spaces(cursor);
    char quote = *cursor->at;
    if (quote != '\'' && quote != '"')
        return false;
    const char *end = strchr(cursor->at + 1, quote);
    size_t length = end ? (size_t)(end - cursor->at - 1) : capacity;
    if (length >= capacity)
        return false;
    memcpy(text, cursor->at + 1, length);
    text[length] = 0;
    cursor->at = end + 1;
    return true;
}

static bool take_number(struct cursor *cursor, uint64_t *number)
{
    skip_spaces(cursor);
    if (*cursor->at < '0' || *cursor->at > '9')
        return false;
    for (*number = 0; *cursor->at >= '0' && *cursor->at <= '9'; ++cursor->at) {
        uint64_t digit = (uint64_t)(*cursor->at - '0');
        if (*number > (INT64_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    (void)take(cursor, "L"); /* Python 2 wrote long integers so */
    return true;
}

/* (), (3,) or (3, 4) */
static bool take_shape(struct cursor *cursor, struct npy_header *header)
{
    if (!take(cursor, "("))
        return false;
    bool comma = true;
    for (header->rank = 0; !take(cursor, ")"); comma = take(cursor, ",")) {
        uint64_t dim;
        if (!comma || header->rank == VKG_FILE_MAX_RANK || !take_number(cursor, &dim))
            return false;
        header->dims[header->rank++] = dim;
    }
    return header->rank != 1 || comma; /* (3) is a number, not a tuple */
}

/* What the dictionary says, each with a flag whether it was there. */
struct fields {
    char descr[32];
    bool fortran_order;
    bool has_descr, has_order, has_shape;
};

static bool take_member(struct cursor *cursor, struct fields *fields, struct npy_header *header)
{
    char key[16];
    if (!take_string(cursor, key, sizeof key) || !take(cursor, ":"))
        return false;
    if (strcmp(key, "descr") == 0 && !fields->has_descr)
        return fields->has_descr = take_string(cursor, fields->descr, sizeof fields->descr);
    if (strcmp(key, "shape") == 0 && !fields->has_shape)
        return fields->has_shape = take_shape(cursor, header);
    if (strcmp(key, "fortran_order") == 0 && !fields->has_order) {
        fields->fortran_order = take(cursor, "True");
        return fields->has_order = fields->fortran_order || take(cursor, "False");
    }
    return false;
}

static bool take_dictionary(const char *text, size_t length, struct fields *fields, struct npy_header *header)
{
    struct cursor cursor = {text};
    if (strlen(text) != length || !take(&cursor, "{"))
        return false;
    bool comma = true;
    for (; !take(&cursor, "}"); comma = take(&cursor, ","))
        if (!comma || !take_member(&cursor, fields, header))
            return false;
    skip_spaces(&cursor);
    return *cursor.at == 0 && fields->has_descr && fields->has_order && fields->has_shape;
}

static vkg_result parse_header(const vkg_log *log, const char *path, const char *text, size_t length,
                               struct npy_header *header)
{
    struct fields fields = {0};
    if (!take_dictionary(text, length, &fields, header))
        return vkg_fail(log, VKG_ERROR_FORMAT,
                        "%s: header \"%.200s\", expected {'descr': …, 'fortran_order': …, 'shape': (…)} with "
                        "at most %d dimensions",
                        path, text, VKG_FILE_MAX_RANK);
    if (fields.fortran_order)
        return vkg_fail(log, VKG_ERROR_UNSUPPORTED,
                        "%s: is in Fortran order, expected C order (numpy.ascontiguousarray)", path);
    for (int i = 0; i < DTYPE_COUNT; ++i) {
        if (strcmp(fields.descr, DTYPES[i].descr) == 0) {
            header->dtype = DTYPES[i].dtype;
            return VKG_OK;
        }
    }
    return vkg_fail(log, VKG_ERROR_UNSUPPORTED, "%s: elements are '%s', expected '|u1', '<i4', '<i8' or '<f4'",
                    path, fields.descr);
}

/* Magic, version and length; sets where the header's text begins and how long it is. */
static vkg_result read_preamble(const vkg_log *log, const char *path, int fd, uint64_t file_size,
                                uint64_t *begin, uint64_t *length)
{
    uint8_t bytes[PREAMBLE + 2] = {0};
    if (file_size < sizeof bytes)
        return vkg_fail(log, VKG_ERROR_FORMAT, "%s: has %" PRIu64 " bytes, a .npy file has more", path,
                        file_size);
    vkg_result result = file_read_at(log, path, fd, 0, bytes, sizeof bytes);
    if (result != VKG_OK)
        return result;
    if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0)
        return vkg_fail(log, VKG_ERROR_FORMAT, "%s: does not begin with the .npy magic \"\\x93NUMPY\"", path);
    if ((bytes[6] != 1 && bytes[6] != 2) || bytes[7] != 0)
        return vkg_fail(log, VKG_ERROR_UNSUPPORTED, "%s: .npy version %u.%u, expected 1.0 or 2.0", path,
                        bytes[6], bytes[7]);
    *begin = bytes[6] == 1 ? PREAMBLE : PREAMBLE + 2;
    *length = bytes[8] | (uint64_t)bytes[9] << 8;
    if (bytes[6] == 2)
        *length |= (uint64_t)bytes[10] << 16 | (uint64_t)bytes[11] << 24;
    if (*length > MAX_HEADER || *length > file_size - *begin)
        return vkg_fail(log, VKG_ERROR_FORMAT, "%s: header of %" PRIu64 " bytes in a file of %" PRIu64, path,
                        *length, file_size);
    return VKG_OK;
}

vkg_result npy_read_header(const vkg_log *log, const char *path, int fd, uint64_t file_size,
                           struct npy_header *header)
{
    uint64_t begin = 0, length = 0;
    *header = (struct npy_header){0};
    vkg_result result = read_preamble(log, path, fd, file_size, &begin, &length);
    if (result != VKG_OK)
        return result;
    char *text = calloc(1, (size_t)length + 1);
    if (!text)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for its header", path);
    result = file_read_at(log, path, fd, begin, text, length);
    if (result == VKG_OK)
        result = parse_header(log, path, text, (size_t)length, header);
    free(text);
    if (result != VKG_OK)
        return result;
    header->offset = begin + length;
    if (!elements_bytes(header->dtype, header->rank, header->dims, &header->size) ||
        header->size != file_size - header->offset) {
        char shape[ELEMENTS_TEXT];
        return vkg_fail(log, VKG_ERROR_FORMAT,
                        "%s: %" PRIu64 " bytes follow the header, expected an array of shape %s, %s", path,
                        file_size - header->offset, elements_text(header->rank, header->dims, shape),
                        vkg_file_dtype_name(header->dtype));
    }
    return VKG_OK;
}

/* --- whole arrays --- */

void vkg_npy_free(vkg_npy *array)
{
    if (!array)
        return;
    free(array->data);
    *array = (vkg_npy){0};
}

vkg_result vkg_npy_load(const vkg_log *log, const char *path, vkg_npy *array)
{
    int fd;
    uint64_t file_size;
    struct npy_header header;
    *array = (vkg_npy){0};
    vkg_result result = file_open(log, path, &fd, &file_size);
    if (result != VKG_OK)
        return result;
    result = npy_read_header(log, path, fd, file_size, &header);
    if (result == VKG_OK) {
        array->data = header.size < SIZE_MAX ? malloc(header.size ? (size_t)header.size : 1) : NULL;
        if (array->data)
            result = file_read_at(log, path, fd, header.offset, array->data, header.size);
        else
            result = vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for its %" PRIu64 " bytes", path,
                              header.size);
    }
    close(fd);
    if (result != VKG_OK) {
        vkg_npy_free(array);
        return result;
    }
    array->dtype = header.dtype;
    array->rank = header.rank;
    array->size = header.size;
    memcpy(array->dims, header.dims, sizeof array->dims);
    return VKG_OK;
}

/* Writes the preamble and the dictionary, padded so that the array begins at a multiple of ALIGNMENT; returns
 * the length. `header` holds 512 bytes: room for VKG_FILE_MAX_RANK numbers of 20 digits. */
static size_t format_header(char header[512], const char *descr, uint32_t rank, const uint64_t *dims)
{
    size_t length = PREAMBLE;
    length += (size_t)snprintf(header + length, 512 - length,
                               "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (uint32_t i = 0; i < rank; ++i)
        length += (size_t)snprintf(header + length, 512 - length,
                                   rank == 1 ? "%" PRIu64 ","
                                   : i       ? ", %" PRIu64
                                             : "%" PRIu64,
                                   dims[i]);
    length += (size_t)snprintf(header + length, 512 - length, "), }");
    while ((length + 1) % ALIGNMENT != 0)
        header[length++] = ' ';
    header[length++] = '\n';
    memcpy(header, MAGIC, sizeof MAGIC);
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)((length - PREAMBLE) & 0xff);
    header[9] = (char)((length - PREAMBLE) >> 8);
    return length;
}

vkg_result vkg_npy_save(const vkg_log *log, const char *path, vkg_file_dtype dtype, uint32_t rank,
                        const uint64_t *dims, const void *data)
{
    char header[512];
    uint64_t size;
    const char *descr = NULL;
    for (int i = 0; i < DTYPE_COUNT; ++i)
        if (DTYPES[i].dtype == dtype)
            descr = DTYPES[i].descr;
    if (!descr)
        return vkg_fail(log, VKG_ERROR_INVALID, "%s: elements of type %s, expected U8, I32, I64 or F32", path,
                        vkg_file_dtype_name(dtype));
    if (rank > VKG_FILE_MAX_RANK || !elements_bytes(dtype, rank, dims, &size))
        return vkg_fail(log, VKG_ERROR_INVALID,
                        "%s: rank %u or size out of range, expected at most %d dimensions", path, rank,
                        VKG_FILE_MAX_RANK);
    struct file_part parts[] = {{header, format_header(header, descr, rank, dims)}, {data, size}};
    return file_write_atomic(log, path, parts, 2);
}
