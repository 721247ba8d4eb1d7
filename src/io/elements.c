#include "io/elements.h"

#include <inttypes.h>
#include <stdio.h>

/* Rows in the order of vkg_file_dtype. */
static const struct {
    const char *name;
    size_t size;
} DTYPES[] = {
    [VKG_FILE_BOOL] = {"BOOL", 1},       [VKG_FILE_U8] = {"U8", 1},           [VKG_FILE_I8] = {"I8", 1},
    [VKG_FILE_F8_E5M2] = {"F8_E5M2", 1}, [VKG_FILE_F8_E4M3] = {"F8_E4M3", 1}, [VKG_FILE_U16] = {"U16", 2},
    [VKG_FILE_I16] = {"I16", 2},         [VKG_FILE_F16] = {"F16", 2},         [VKG_FILE_BF16] = {"BF16", 2},
    [VKG_FILE_U32] = {"U32", 4},         [VKG_FILE_I32] = {"I32", 4},         [VKG_FILE_F32] = {"F32", 4},
    [VKG_FILE_U64] = {"U64", 8},         [VKG_FILE_I64] = {"I64", 8},         [VKG_FILE_F64] = {"F64", 8},
};

static int known(vkg_file_dtype dtype)
{
    return (unsigned)dtype < sizeof DTYPES / sizeof *DTYPES;
}

const char *vkg_file_dtype_name(vkg_file_dtype dtype)
{
    return known(dtype) ? DTYPES[dtype].name : "?";
}

size_t vkg_file_dtype_size(vkg_file_dtype dtype)
{
    return known(dtype) ? DTYPES[dtype].size : 0;
}

bool elements_bytes(vkg_file_dtype dtype, uint32_t rank, const uint64_t *dims, uint64_t *bytes)
{
    *bytes = vkg_file_dtype_size(dtype);
    for (uint32_t i = 0; i < rank; ++i)
        if (__builtin_mul_overflow(*bytes, dims[i], bytes) || *bytes > INT64_MAX)
            return false;
    return true;
}

const char *elements_text(uint32_t rank, const uint64_t *dims, char text[ELEMENTS_TEXT])
{
    size_t length = 0;
    text[length++] = '[';
    for (uint32_t i = 0; i < rank; ++i)
        length +=
            (size_t)snprintf(text + length, ELEMENTS_TEXT - length, i ? ",%" PRIu64 : "%" PRIu64, dims[i]);
    text[length++] = ']';
    text[length] = 0;
    return text;
}
