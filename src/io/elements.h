/* Sizes and texts of array shapes. */
#ifndef VKG_IO_ELEMENTS_H
#define VKG_IO_ELEMENTS_H

#include <stdbool.h>

#include "vkgan/io.h"

/* The bytes of an array; false where they pass 2⁶³ − 1. */
bool elements_bytes(vkg_file_dtype dtype, uint32_t rank, const uint64_t *dims, uint64_t *bytes);

enum { ELEMENTS_TEXT = VKG_FILE_MAX_RANK * 22 + 4 };
/* "[64, 3, 4, 4]" for messages; returns `text`. */
const char *elements_text(uint32_t rank, const uint64_t *dims, char text[ELEMENTS_TEXT]);

#endif
