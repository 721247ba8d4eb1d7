#include "data_files.h"

#include <string.h>
#include <zlib.h>

#include "vkgan/io.h"

size_t make_idx(uint8_t *bytes, uint32_t rank, const uint32_t *dims, const uint8_t *data, size_t size)
{
    const uint8_t magic[4] = {0, 0, 8, (uint8_t)rank};
    memcpy(bytes, magic, 4);
    for (uint32_t i = 0; i < rank; ++i)
        for (int k = 0; k < 4; ++k)
            bytes[4 + 4 * i + (uint32_t)k] = (uint8_t)(dims[i] >> (24 - 8 * k));
    memcpy(bytes + 4 + 4 * rank, data, size);
    return 4 + 4 * rank + size;
}

void write_gzip(const char *path, const void *data, size_t size)
{
    gzFile stream = gzopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(gzwrite(stream, data, (unsigned)size), size);
    assert_int_equal(gzclose(stream), Z_OK);
}

uint8_t example_pixel(uint32_t i, uint32_t p)
{
    return (uint8_t)(i * 16 + p * 5);
}

size_t example_idx(uint8_t *bytes)
{
    const uint32_t dims[] = {COUNT, HEIGHT, WIDTH};
    uint8_t data[COUNT * IMAGE];
    for (uint32_t i = 0; i < COUNT * IMAGE; ++i)
        data[i] = example_pixel(i / IMAGE, i % IMAGE);
    return make_idx(bytes, 3, dims, data, sizeof data);
}

size_t example_labels(uint8_t *bytes, uint32_t count)
{
    const uint8_t labels[] = {3, 1, 4, 1, 5, 9, 2, 6};
    return make_idx(bytes, 1, &count, labels, count);
}

vkg_result open_set(struct messages *messages, const char *path, uint32_t size, uint32_t channels,
                    vkg_dataset **dataset)
{
    const vkg_dataset_desc desc = {.path = path, .image_size = size, .channels = channels};
    return vkg_dataset_open(&messages->log, &desc, dataset);
}

void expect_example(vkg_dataset *dataset)
{
    vkg_dataset_info info = vkg_dataset_get_info(dataset);
    assert_true(info.count == COUNT && info.height == HEIGHT && info.width == WIDTH && info.channels == 1);
    for (uint32_t i = 0; i < COUNT; ++i) {
        float pixels[IMAGE];
        assert_int_equal(vkg_dataset_read(dataset, i, pixels), VKG_OK);
        for (uint32_t p = 0; p < IMAGE; ++p)
            assert_true(pixels[p] == (float)example_pixel(i, p) / 127.5f - 1.0f);
    }
}

void expect_opens_as_example(const char *path)
{
    struct messages messages;
    vkg_dataset *dataset;
    messages_init(&messages);
    assert_int_equal(open_set(&messages, path, 0, 0, &dataset), VKG_OK);
    expect_example(dataset);
    vkg_dataset_close(&dataset);
    assert_null(dataset);
}

void save_png(const char *path, uint32_t width, uint32_t height, uint32_t channels, const uint8_t *pixels)
{
    assert_int_equal(vkg_image_save_png(NULL, path, width, height, channels, pixels), VKG_OK);
}
