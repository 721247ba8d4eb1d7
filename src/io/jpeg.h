/* What stb_image takes for granted of a JPEG. */
#ifndef VKG_IO_JPEG_H
#define VKG_IO_JPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No table has more than 255 codes (the decoder would write behind its arrays; of 256, it takes the last one for a mark of its own), and
 * a scan follows (it would give memory as it found it for pixels). For files that begin as a JPEG does. */
bool jpeg_is_sound(const uint8_t *bytes, size_t size);

#endif
