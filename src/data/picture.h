/* Pictures on their way from a file to a batch: cropping, resizing, channels, floats. */
#ifndef VKG_DATA_PICTURE_H
#define VKG_DATA_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vkgan/io.h"

/* [height, width, channels] of bytes, or of floats in [−1, 1]. Does not own its pixels. */
struct picture {
    uint32_t width, height, channels;
    bool floats;
    const void *pixels;
};

size_t picture_bytes(const struct picture *picture);

/* Memory that a reader keeps from picture to picture, so that reading soon allocates nothing. Zeroed is empty.
 */
struct scratch_block {
    void *memory;
    size_t size;
};
struct scratch {
    struct scratch_block decoded, resized, recoloured;
};
/* At least `bytes` of memory, or NULL; what was there is lost. */
void *scratch_reserve(struct scratch_block *block, size_t bytes);
void scratch_free(struct scratch *scratch);

/* Lays bytes of 2 or 4 channels on white, in place, and drops the alpha: leaves 1 or 3 channels. */
void picture_drop_alpha(uint8_t *pixels, size_t count, uint32_t channels);

/* Makes `picture` (1 or 3 channels) width × height × channels: the greatest part of that aspect is cut from its
 * centre and resized, grey is repeated, colour becomes luma. The result lies in `scratch` where anything
 * changed. false when memory is out. */
bool picture_fit(struct picture *picture, uint32_t width, uint32_t height, uint32_t channels,
                 struct scratch *scratch);

/* Makes `picture` width × height, whatever its aspect; the result lies in `block`. false when memory is out. */
bool picture_resize(struct picture *picture, vkg_image_filter filter, uint32_t width, uint32_t height,
                    struct scratch_block *block);

/* A part that lies inside a picture; left and right may change places. */
struct picture_part {
    uint32_t x, y, width, height;
    bool mirror;
};
/* Narrows `picture` to a part; the result lies in `block` where that is not the whole. false when memory is
 * out. */
bool picture_take(struct picture *picture, const struct picture_part *part, struct scratch_block *block);

/* Writes width × height × channels floats, front to back. */
void picture_write_floats(const struct picture *picture, float *values);

#endif
