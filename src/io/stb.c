#define VKG_STB_IMPLEMENTATION
#include "io/stb.h"

#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

/* One allocation of the decoder is at most this: four channels of the greatest picture, and some. A small file
 * that unpacks to more (a "zip bomb") fails as if memory were out. */
static const size_t MAX_ALLOCATION = (size_t)STBI_MAX_DIMENSIONS * STBI_MAX_DIMENSIONS * 4 + (1u << 20);

/* Zeros: of damaged files it takes some for pixels, or for tables, that it never wrote. */
static void *decoder_malloc(size_t size)
{
    return size > MAX_ALLOCATION ? NULL : calloc(1, size);
}

static void *decoder_realloc(void *memory, size_t size)
{
    return size > MAX_ALLOCATION ? NULL : realloc(memory, size);
}

/* zlib packs better and faster than the compressor that stb_image_write brings along. */
static unsigned char *deflate_with_zlib(unsigned char *data, int length, int *packed_length, int quality)
{
    uLongf size = compressBound((uLong)length);
    unsigned char *packed = malloc(size);
    if (!packed || compress2(packed, &size, data, (uLong)length, quality) != Z_OK || size > INT32_MAX) {
        free(packed);
        return NULL;
    }
    *packed_length = (int)size;
    return packed;
}

#define STBI_MALLOC(size)          decoder_malloc(size)
#define STBI_REALLOC(memory, size) decoder_realloc(memory, size)
#define STBI_FREE(memory)          free(memory)
#define STBIW_ZLIB_COMPRESS        deflate_with_zlib

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wunknown-warning-option"
#endif
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_resize.h>
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop
