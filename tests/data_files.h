/* What tests of datasets share: small sets, and how they are opened. */
#ifndef VKG_TESTS_DATA_FILES_H
#define VKG_TESTS_DATA_FILES_H

#include "files.h"
#include "vkgan/data.h"

/* An IDX file of `rank` dimensions in `bytes` (room for 16 and `size` more); returns its size. */
size_t make_idx(uint8_t *bytes, uint32_t rank, const uint32_t *dims, const uint8_t *data, size_t size);
void write_gzip(const char *path, const void *data, size_t size);
void save_png(const char *path, uint32_t width, uint32_t height, uint32_t channels, const uint8_t *pixels);

vkg_result open_set(struct messages *messages, const char *path, uint32_t size, uint32_t channels,
                    vkg_dataset **dataset);

/* The example: seven grey images of 3×2. */
enum { COUNT = 7, HEIGHT = 3, WIDTH = 2, IMAGE = HEIGHT * WIDTH };
/* Pixel p of image i: different for all of the small sets here. */
uint8_t example_pixel(uint32_t i, uint32_t p);
/* The example and its labels as IDX files; return their size. */
size_t example_idx(uint8_t *bytes);
size_t example_labels(uint8_t *bytes, uint32_t count);
void expect_example(vkg_dataset *dataset);
void expect_opens_as_example(const char *path);

#endif
