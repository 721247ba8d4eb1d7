/* Resizing with filters that widen where the picture gets smaller. */
#ifndef VKG_IO_RESIZE_H
#define VKG_IO_RESIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vkgan/io.h"

/* Pixels of bytes or of floats, rows `pitch` bytes apart. */
struct resize_source {
    const void *pixels;
    size_t pitch;
    uint32_t width, height, channels;
    bool floats;
};

/* Writes width × height × channels of the same type, rows without gaps. false when memory is out. */
bool resize_pixels(const struct resize_source *source, vkg_image_filter filter, uint32_t width, uint32_t height,
                   void *pixels);

#endif
