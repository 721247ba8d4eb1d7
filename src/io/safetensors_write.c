#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "io/elements.h"
#include "io/json.h"
#include "io/safetensors.h"

enum { HEADER_ALIGNMENT = 8 };

/* --- names --- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts `names` to see that they differ. */
static vkg_result check_names(const vkg_log *log, const char *path, const char **names, uint32_t count)
{
    for (uint32_t i = 0; i < count; ++i) {
        if (!names[i] || utf8_fault(names[i], strlen(names[i])) < strlen(names[i]))
            return vkg_fail(log, VKG_ERROR_INVALID, "%s: a name that is not UTF-8 cannot be saved", path);
    }
    qsort(names, count, sizeof *names, compare_texts);
    for (uint32_t i = 1; i < count; ++i)
        if (strcmp(names[i - 1], names[i]) == 0)
            return vkg_fail(log, VKG_ERROR_INVALID, "%s: \"%.80s\" is to be saved twice", path, names[i]);
    return VKG_OK;
}

static vkg_result check_arguments(const vkg_log *log, const char *path, const vkg_safetensors_item *items,
                                  uint32_t count, const vkg_safetensors_metadata *metadata,
                                  uint32_t metadata_count)
{
    const char **names = calloc((size_t)count + metadata_count + 1, sizeof *names);
    if (!names)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: cannot be written: no memory", path);
    for (uint32_t i = 0; i < count; ++i)
        names[i] = items[i].name;
    names[count] = SAFETENSORS_METADATA;
    vkg_result result = check_names(log, path, names, count + 1);
    for (uint32_t i = 0; i < metadata_count; ++i)
        names[i] = metadata[i].key;
    if (result == VKG_OK)
        result = check_names(log, path, names, metadata_count);
    for (uint32_t i = 0; result == VKG_OK && i < metadata_count; ++i)
        result = check_names(log, path, &(const char *){metadata[i].value}, 1);
    free(names);
    return result;
}

/* --- the header --- */

static void put_metadata(struct json_text *json, const vkg_safetensors_metadata *metadata, uint32_t count)
{
    json_put_string(json, SAFETENSORS_METADATA);
    json_put(json, ":{", 2);
    for (uint32_t i = 0; i < count; ++i) {
        json_put(json, ",", i > 0);
        json_put_string(json, metadata[i].key);
        json_put(json, ":", 1);
        json_put_string(json, metadata[i].value);
    }
    json_put(json, "}", 1);
}

static void put_item(struct json_text *json, const vkg_safetensors_item *item, uint64_t begin, uint64_t end)
{
    char shape[ELEMENTS_TEXT], rest[ELEMENTS_TEXT + 128];
    json_put_string(json, item->name);
    int length = snprintf(
        rest, sizeof rest, ":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
        vkg_file_dtype_name(item->dtype), elements_text(item->rank, item->dims, shape), begin, end);
    json_put(json, rest, (size_t)length);
}

/* The eight bytes of the length, the JSON, spaces up to a multiple of 8; and the parts of the data. */
static vkg_result build_header(const vkg_log *log, const char *path, const vkg_safetensors_item *items,
                               uint32_t count, const vkg_safetensors_metadata *metadata,
                               uint32_t metadata_count, struct json_text *json, struct file_part *data)
{
    uint64_t begin = 0, length;
    json_put(json, "????????{", SAFETENSORS_LENGTH_BYTES + 1);
    if (metadata_count)
        put_metadata(json, metadata, metadata_count);
    for (uint32_t i = 0; i < count; ++i) {
        uint64_t size;
        if (items[i].rank > VKG_FILE_MAX_RANK || vkg_file_dtype_size(items[i].dtype) == 0 ||
            !elements_bytes(items[i].dtype, items[i].rank, items[i].dims, &size) || size > INT64_MAX - begin)
            return vkg_fail(log, VKG_ERROR_INVALID,
                            "%s: \"%.80s\": %u dimensions of type %s: rank, type or size is out of range", path,
                            items[i].name, items[i].rank, vkg_file_dtype_name(items[i].dtype));
        json_put(json, ",", i > 0 || metadata_count > 0);
        put_item(json, &items[i], begin, begin + size);
        data[i] = (struct file_part){items[i].data, size};
        begin += size;
    }
    json_put(json, "}", 1);
    while (!json->failed && json->length % HEADER_ALIGNMENT != 0)
        json_put(json, " ", 1);
    if (json->failed)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: cannot be written: no memory for the header", path);
    length = json->length - SAFETENSORS_LENGTH_BYTES;
    if (length > SAFETENSORS_MAX_HEADER)
        return vkg_fail(log, VKG_ERROR_INVALID, "%s: a header of %" PRIu64 " bytes, expected at most %" PRIu64,
                        path, length, SAFETENSORS_MAX_HEADER);
    memcpy(json->text, &length, SAFETENSORS_LENGTH_BYTES);
    return VKG_OK;
}

vkg_result vkg_safetensors_save(const vkg_log *log, const char *path, const vkg_safetensors_item *items,
                                uint32_t count, const vkg_safetensors_metadata *metadata,
                                uint32_t metadata_count)
{
    struct json_text header = {0};
    vkg_result result = check_arguments(log, path, items, count, metadata, metadata_count);
    if (result != VKG_OK)
        return result;
    struct file_part *parts = calloc((size_t)count + 1, sizeof *parts);
    if (!parts)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: cannot be written: no memory", path);
    result = build_header(log, path, items, count, metadata, metadata_count, &header, parts + 1);
    if (result == VKG_OK) {
        parts[0] = (struct file_part){header.text, header.length};
        result = file_write_atomic(log, path, parts, (size_t)count + 1);
    }
    free(header.text);
    free(parts);
    return result;
}
