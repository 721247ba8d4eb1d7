#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "io/elements.h"
#include "io/safetensors.h"

/* Numbers of the header are copied as they lie. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files are little endian, and so must the machine be");

struct vkg_safetensors {
    vkg_log log;
    char *path;
    int fd;
    const unsigned char *memory; /* the whole file, instead of fd; or NULL */
    uint64_t size;
    uint64_t data; /* where the tensors' bytes begin */
    cJSON *header; /* owns all names */
    uint32_t count, metadata_count;
    vkg_safetensors_entry *entries;        /* by offset */
    const vkg_safetensors_entry **by_name; /* sorted */
    const cJSON **metadata;                /* sorted by key */
};

static vkg_result read_at(const struct vkg_safetensors *file, uint64_t offset, void *data, uint64_t size)
{
    if (!file->memory)
        return file_read_at(&file->log, file->path, file->fd, offset, data, size);
    memcpy(data, file->memory + offset, (size_t)size);
    return VKG_OK;
}

/* --- the header as text --- */

static vkg_result read_length(struct vkg_safetensors *file, uint64_t *length)
{
    if (file->size < SAFETENSORS_LENGTH_BYTES)
        return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                        "%s: has %" PRIu64
                        " bytes, a safetensors file begins with the 8 bytes of its header's length",
                        file->path, file->size);
    vkg_result result = read_at(file, 0, length, sizeof *length);
    if (result != VKG_OK)
        return result;
    if (*length > SAFETENSORS_MAX_HEADER)
        return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                        "%s: header of %" PRIu64 " bytes, expected at most %" PRIu64, file->path, *length,
                        SAFETENSORS_MAX_HEADER);
    if (*length > file->size - SAFETENSORS_LENGTH_BYTES)
        return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: header of %" PRIu64 " bytes in a file of %" PRIu64,
                        file->path, *length, file->size);
    file->data = SAFETENSORS_LENGTH_BYTES + *length;
    return VKG_OK;
}

/* cJSON ends a string at an escaped 0 and does not look at encodings, so two names could become one. */
static vkg_result check_text(const struct vkg_safetensors *file, const char *text, size_t length)
{
    if (text[0] != '{')
        return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: the header does not begin with '{'", file->path);
    size_t fault = utf8_fault(text, length), zero = strlen(text);
    for (const char *at = text; (at = strchr(at, '\\')) && at[1]; at += 2)
        if (strncmp(at, "\\u0000", 6) == 0 && (size_t)(at - text) < zero)
            zero = (size_t)(at - text);
    if (fault < length)
        return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: byte %zu of the header is not UTF-8", file->path,
                        fault);
    if (zero < length)
        return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: a zero at byte %zu of the header", file->path, zero);
    return VKG_OK;
}

static vkg_result parse_text(struct vkg_safetensors *file, const char *text, size_t length)
{
    const char *end = text;
    vkg_result result = check_text(file, text, length);
    if (result != VKG_OK)
        return result;
    file->header = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (!file->header)
        return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                        "%s: the header is no JSON from its byte %td on (or nests too deeply)", file->path,
                        end - text);
    size_t tail = (size_t)(end - text) + strspn(end, " ");
    if (tail < length)
        return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                        "%s: the header goes on behind its JSON at byte %zu, expected spaces only", file->path,
                        tail);
    return VKG_OK;
}

static vkg_result read_header(struct vkg_safetensors *file)
{
    uint64_t length = 0;
    vkg_result result = read_length(file, &length);
    if (result != VKG_OK)
        return result;
    char *text = calloc(1, (size_t)length + 1);
    if (!text)
        return vkg_fail(&file->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for its header", file->path);
    result = read_at(file, SAFETENSORS_LENGTH_BYTES, text, length);
    if (result == VKG_OK)
        result = parse_text(file, text, (size_t)length);
    free(text);
    return result;
}

/* --- one tensor --- */

/* cJSON keeps numbers as doubles, which are exact for integers below 2⁵³; larger ones are refused. */
static bool exact_integer(const cJSON *json, uint64_t *value)
{
    if (!cJSON_IsNumber(json) || !(json->valuedouble >= 0) || json->valuedouble >= 0x1p53 ||
        floor(json->valuedouble) != json->valuedouble)
        return false;
    *value = (uint64_t)json->valuedouble;
    return true;
}

static vkg_result parse_dtype(const struct vkg_safetensors *file, const cJSON *json,
                              vkg_safetensors_entry *entry)
{
    if (!cJSON_IsString(json))
        return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: tensor \"%.80s\": expected a string as dtype",
                        file->path, entry->name);
    for (entry->dtype = 0; vkg_file_dtype_size(entry->dtype); ++entry->dtype)
        if (strcmp(json->valuestring, vkg_file_dtype_name(entry->dtype)) == 0)
            return VKG_OK;
    return vkg_fail(&file->log, VKG_ERROR_UNSUPPORTED,
                    "%s: tensor \"%.80s\": dtype \"%.20s\", expected F32, F16, U8 or the like", file->path,
                    entry->name, json->valuestring);
}

static vkg_result parse_shape(const struct vkg_safetensors *file, const cJSON *json,
                              vkg_safetensors_entry *entry)
{
    const cJSON *dim;
    if (!cJSON_IsArray(json))
        return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: tensor \"%.80s\": expected an array as shape",
                        file->path, entry->name);
    cJSON_ArrayForEach(dim, json)
    {
        if (entry->rank == VKG_FILE_MAX_RANK)
            return vkg_fail(&file->log, VKG_ERROR_UNSUPPORTED,
                            "%s: tensor \"%.80s\": %d dimensions, expected at most %d", file->path, entry->name,
                            cJSON_GetArraySize(json), VKG_FILE_MAX_RANK);
        if (!exact_integer(dim, &entry->dims[entry->rank]))
            return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                            "%s: tensor \"%.80s\": dimension %u: expected an integer from 0 to 2^53 - 1",
                            file->path, entry->name, entry->rank);
        ++entry->rank;
    }
    return VKG_OK;
}

static vkg_result parse_offsets(const struct vkg_safetensors *file, const cJSON *json,
                                vkg_safetensors_entry *entry)
{
    uint64_t end, available = file->size - file->data;
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != 2 || !exact_integer(json->child, &entry->offset) ||
        !exact_integer(json->child->next, &end))
        return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                        "%s: tensor \"%.80s\": expected two integers from 0 to 2^53 - 1 as data_offsets",
                        file->path, entry->name);
    if (entry->offset > end || end > available)
        return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                        "%s: tensor \"%.80s\": lies at bytes %" PRIu64 " to %" PRIu64 " of %" PRIu64
                        " bytes of data",
                        file->path, entry->name, entry->offset, end, available);
    entry->size = end - entry->offset;
    entry->offset += file->data;
    return VKG_OK;
}

static vkg_result check_size(const struct vkg_safetensors *file, const vkg_safetensors_entry *entry)
{
    uint64_t bytes;
    char shape[ELEMENTS_TEXT];
    if (elements_bytes(entry->dtype, entry->rank, entry->dims, &bytes) && bytes == entry->size)
        return VKG_OK;
    return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                    "%s: tensor \"%.80s\": has %" PRIu64 " bytes, which is not its shape %s of %s", file->path,
                    entry->name, entry->size, elements_text(entry->rank, entry->dims, shape),
                    vkg_file_dtype_name(entry->dtype));
}

typedef vkg_result member_parser(const struct vkg_safetensors *, const cJSON *, vkg_safetensors_entry *);
static const struct {
    const char *key;
    member_parser *parse;
} MEMBERS[] = {{"dtype", parse_dtype}, {"shape", parse_shape}, {"data_offsets", parse_offsets}};
enum { MEMBER_COUNT = sizeof MEMBERS / sizeof *MEMBERS };

static vkg_result parse_entry(const struct vkg_safetensors *file, const cJSON *json,
                              vkg_safetensors_entry *entry)
{
    bool seen[MEMBER_COUNT] = {0};
    const cJSON *member;
    entry->name = json->string;
    if (!cJSON_IsObject(json))
        return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: tensor \"%.80s\": expected an object", file->path,
                        entry->name);
    cJSON_ArrayForEach(member, json)
    {
        int row = 0;
        while (row < MEMBER_COUNT && strcmp(member->string, MEMBERS[row].key) != 0)
            ++row;
        if (row == MEMBER_COUNT || seen[row])
            return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: tensor \"%.80s\": key \"%.80s\" is %s",
                            file->path, entry->name, member->string,
                            row == MEMBER_COUNT ? "unknown" : "there twice");
        seen[row] = true;
        vkg_result result = MEMBERS[row].parse(file, member, entry);
        if (result != VKG_OK)
            return result;
    }
    for (int row = 0; row < MEMBER_COUNT; ++row)
        if (!seen[row])
            return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: tensor \"%.80s\": key \"%s\" is missing",
                            file->path, entry->name, MEMBERS[row].key);
    return check_size(file, entry);
}

/* --- all tensors --- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

static vkg_result parse_metadata(struct vkg_safetensors *file, const cJSON *json)
{
    const cJSON *member;
    if (file->metadata)
        return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: key \"" SAFETENSORS_METADATA "\" is there twice",
                        file->path);
    if (!cJSON_IsObject(json))
        return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: expected an object as \"" SAFETENSORS_METADATA "\"",
                        file->path);
    file->metadata = calloc((size_t)cJSON_GetArraySize(json) + 1, sizeof(cJSON *));
    if (!file->metadata)
        return vkg_fail(&file->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for its metadata", file->path);
    cJSON_ArrayForEach(member, json)
    {
        if (!cJSON_IsString(member))
            return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: metadata \"%.80s\": expected a string",
                            file->path, member->string);
        file->metadata[file->metadata_count++] = member;
    }
    qsort(file->metadata, file->metadata_count, sizeof(cJSON *), compare_keys);
    for (uint32_t i = 1; i < file->metadata_count; ++i)
        if (compare_keys(&file->metadata[i - 1], &file->metadata[i]) == 0)
            return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: metadata \"%.80s\" is there twice", file->path,
                            file->metadata[i]->string);
    return VKG_OK;
}

static vkg_result parse_entries(struct vkg_safetensors *file)
{
    const cJSON *json;
    size_t capacity = (size_t)cJSON_GetArraySize(file->header) + 1;
    file->entries = calloc(capacity, sizeof *file->entries);
    file->by_name = calloc(capacity, sizeof *file->by_name);
    if (!file->entries || !file->by_name)
        return vkg_fail(&file->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for its list of tensors",
                        file->path);
    cJSON_ArrayForEach(json, file->header)
    {
        vkg_result result = strcmp(json->string, SAFETENSORS_METADATA) == 0
                                ? parse_metadata(file, json)
                                : parse_entry(file, json, &file->entries[file->count++]);
        if (result != VKG_OK)
            return result;
    }
    return VKG_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const vkg_safetensors_entry *const *)a)->name,
                  (*(const vkg_safetensors_entry *const *)b)->name);
}

static int compare_offsets(const void *a, const void *b)
{
    const vkg_safetensors_entry *left = a, *right = b;
    if (left->offset != right->offset)
        return left->offset < right->offset ? -1 : 1;
    return (left->size > right->size) - (left->size < right->size);
}

static vkg_result check_names(struct vkg_safetensors *file)
{
    for (uint32_t i = 0; i < file->count; ++i)
        file->by_name[i] = &file->entries[i];
    qsort(file->by_name, file->count, sizeof *file->by_name, compare_names);
    for (uint32_t i = 1; i < file->count; ++i)
        if (compare_names(&file->by_name[i - 1], &file->by_name[i]) == 0)
            return vkg_fail(&file->log, VKG_ERROR_FORMAT, "%s: tensor \"%.80s\" is there twice", file->path,
                            file->by_name[i]->name);
    return VKG_OK;
}

static vkg_result check_offsets(struct vkg_safetensors *file)
{
    uint64_t next = file->data;
    for (uint32_t i = 0; i < file->count; ++i) {
        const vkg_safetensors_entry *entry = &file->entries[i];
        if (entry->offset < next)
            return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                            "%s: tensors \"%.80s\" and \"%.80s\" overlap by %" PRIu64 " bytes", file->path,
                            entry[-1].name, entry->name, next - entry->offset);
        if (entry->offset > next)
            return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                            "%s: a hole of %" PRIu64 " bytes before tensor \"%.80s\"", file->path,
                            entry->offset - next, entry->name);
        next += entry->size;
    }
    if (next != file->size)
        return vkg_fail(&file->log, VKG_ERROR_FORMAT,
                        "%s: has %" PRIu64 " bytes, its header describes %" PRIu64, file->path, file->size,
                        next);
    return VKG_OK;
}

/* --- what the public sees --- */

static vkg_result check_header(struct vkg_safetensors *file)
{
    vkg_result result = read_header(file);
    if (result == VKG_OK)
        result = parse_entries(file);
    if (result == VKG_OK) {
        qsort(file->entries, file->count, sizeof *file->entries, compare_offsets);
        result = check_names(file);
    }
    return result == VKG_OK ? check_offsets(file) : result;
}

/* From `memory`, or from the disk where that is NULL. */
static vkg_result open_file(const vkg_log *log, const char *path, const void *memory, uint64_t size, vkg_safetensors **file)
{
    *file = NULL;
    struct vkg_safetensors *opened = calloc(1, sizeof *opened);
    char *path_copy = strdup(path);
    if (!opened || !path_copy) {
        free(opened);
        free(path_copy);
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: cannot be opened: no memory", path);
    }
    *opened = (struct vkg_safetensors){.log = log ? *log : (vkg_log){0}, .path = path_copy, .fd = -1, .memory = memory,
                                       .size = size};
    vkg_result result = memory ? VKG_OK : file_open(log, path, &opened->fd, &opened->size);
    if (result == VKG_OK)
        result = check_header(opened);
    if (result == VKG_OK)
        *file = opened;
    else
        vkg_safetensors_close(&opened);
    return result;
}

vkg_result vkg_safetensors_open(const vkg_log *log, const char *path, vkg_safetensors **file)
{
    return open_file(log, path, NULL, 0, file);
}

vkg_result safetensors_open_memory(const vkg_log *log, const char *name, const void *memory, uint64_t size,
                                   vkg_safetensors **file)
{
    return open_file(log, name, memory, size, file);
}

void vkg_safetensors_close(vkg_safetensors **file)
{
    if (!file || !*file)
        return;
    if ((*file)->fd >= 0)
        close((*file)->fd);
    cJSON_Delete((*file)->header);
    free((*file)->entries);
    free((*file)->by_name);
    free((*file)->metadata);
    free((*file)->path);
    free(*file);
    *file = NULL;
}

uint32_t vkg_safetensors_count(const vkg_safetensors *file)
{
    return file->count;
}

const vkg_safetensors_entry *vkg_safetensors_get(const vkg_safetensors *file, uint32_t index)
{
    return index < file->count ? &file->entries[index] : NULL;
}

uint32_t vkg_safetensors_find(const vkg_safetensors *file, const char *name)
{
    const vkg_safetensors_entry wanted = {.name = name}, *pointer = &wanted;
    const vkg_safetensors_entry **found =
        bsearch(&pointer, file->by_name, file->count, sizeof *file->by_name, compare_names);
    return found ? (uint32_t)(*found - file->entries) : UINT32_MAX;
}

const char *vkg_safetensors_metadata_find(const vkg_safetensors *file, const char *key)
{
    for (uint32_t low = 0, high = file->metadata_count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(key, file->metadata[middle]->string);
        if (order == 0)
            return file->metadata[middle]->valuestring;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

vkg_result vkg_safetensors_read(const vkg_safetensors *file, uint32_t index, void *data, uint64_t size)
{
    if (index >= file->count)
        return vkg_fail(&file->log, VKG_ERROR_INVALID, "%s: tensor %u asked for, there are %u", file->path,
                        index, file->count);
    const vkg_safetensors_entry *entry = &file->entries[index];
    if (size != entry->size)
        return vkg_fail(&file->log, VKG_ERROR_INVALID,
                        "%s: tensor \"%.80s\": %" PRIu64 " bytes asked for, it has %" PRIu64, file->path,
                        entry->name, size, entry->size);
    return read_at(file, entry->offset, data, size);
}
