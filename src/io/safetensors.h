/* Pieces that reading and writing of safetensors share. */
#ifndef VKG_IO_SAFETENSORS_H
#define VKG_IO_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vkgan/io.h"

/* The JSON header may have this many bytes; the format's own limit. */
static const uint64_t SAFETENSORS_MAX_HEADER = 100000000;
enum { SAFETENSORS_LENGTH_BYTES = 8 }; /* of the number before the header: its length, little endian */

#define SAFETENSORS_METADATA "__metadata__"

/* Where the first byte that is not UTF-8 (RFC 3629: shortest form, no surrogates) lies; `size` where all are.
 */
size_t utf8_fault(const char *text, size_t size);

/* A file that lies in memory, which must outlive it; `name` stands for its path in messages. */
vkg_result safetensors_open_memory(const vkg_log *log, const char *name, const void *memory, uint64_t size,
                                   vkg_safetensors **file);

#endif
