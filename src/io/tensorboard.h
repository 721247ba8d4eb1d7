/* TensorBoard event files: scalars, pictures and histograms by step, appended as training goes. */
#ifndef VKG_IO_TENSORBOARD_H
#define VKG_IO_TENSORBOARD_H

#include <stddef.h>
#include <stdint.h>

#include "vkgan/result.h"

struct tensorboard;

/* Begins a new event file, events.out.tfevents.TIME.vkgan, in the folder. It tells TensorBoard that a session starts
 * behind `step` (0: at the beginning): what earlier files in the folder hold of later steps no longer counts.
 * `log` is copied. Not thread-safe. Errors: IO, OUT_OF_MEMORY; *board is NULL then. */
vkg_result tensorboard_open(const vkg_log *log, const char *folder, uint64_t step, struct tensorboard **board);
/* Closes, frees, clears the handle. An event that was begun and not ended is dropped. NULL is fine. */
void tensorboard_close(struct tensorboard **board);

/* begin, then any number of values, then end, which appends them as one record in one write and returns what went wrong
 * on the way. A record that cannot be written in full (a full disk) is taken back. */
void tensorboard_begin(struct tensorboard *board, uint64_t step);
void tensorboard_scalar(struct tensorboard *board, const char *tag, double value);
/* channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. `png`: the bytes of a PNG file of that size. */
void tensorboard_image(struct tensorboard *board, const char *tag, uint32_t width, uint32_t height, uint32_t channels,
                       const void *png, size_t size);
/* Of the values that are finite. */
void tensorboard_histogram(struct tensorboard *board, const char *tag, const float *values, uint64_t count);
vkg_result tensorboard_end(struct tensorboard *board);

/* CRC-32C (Castagnoli) of bytes; public for its test. */
uint32_t crc32c(const void *data, size_t size);

#endif
