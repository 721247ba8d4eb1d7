#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data_files.h"
#include "vkgan/io.h"

/* --- folders of pictures --- */

static void test_folder(void **state)
{
    const uint8_t red[4] = {200, 10, 20, 128}, grey[2] = {60, 255}, blue[3] = {0, 0, 255}, dark[1] = {51};
    struct messages messages;
    vkg_dataset *dataset;
    float rgb[3], luma;
    (void)state;
    messages_init(&messages);
    files_folder(files_path("pictures"));
    files_folder(files_path("pictures/below"));
    save_png(files_path("pictures/c.png"), 1, 1, 4, red);
    save_png(files_path("pictures/a.PNG"), 1, 1, 2, grey);
    save_png(files_path("pictures/below/z.png"), 1, 1, 3, blue);
    save_png(files_path("pictures/d.png"), 1, 1, 1, dark);
    files_write(files_path("pictures/readme.txt"), "x", 1);
    assert_int_equal(symlink(files_path("pictures"), files_path("pictures/circle")), 0);
    assert_int_equal(open_set(&messages, files_path("pictures"), 0, 0, &dataset), VKG_OK);
    vkg_dataset_info info = vkg_dataset_get_info(dataset);
    assert_true(info.count == 4 && info.width == 1 && info.height == 1 && info.channels == 3 &&
                info.classes == 0);
    assert_int_equal(vkg_dataset_label(dataset, 0), -1);
    /* a.PNG, below/z.png, c.png (half red on white), d.png; each twice: decoded, then kept */
    const uint8_t wanted[4][3] = {{60, 60, 60}, {0, 0, 255}, {227, 132, 137}, {51, 51, 51}};
    for (uint32_t i = 0; i < 8; ++i) {
        assert_int_equal(vkg_dataset_read(dataset, i / 2, rgb), VKG_OK);
        for (int c = 0; c < 3; ++c)
            assert_true(rgb[c] == (float)wanted[i / 2][c] / 127.5f - 1.0f);
    }
    vkg_dataset_close(&dataset);
    assert_int_equal(open_set(&messages, files_path("pictures"), 0, 1, &dataset), VKG_OK);
    assert_int_equal(vkg_dataset_read(dataset, 1, &luma), VKG_OK);
    assert_true(luma == 29.0f / 127.5f - 1.0f); /* 0.114 · 255 */
    vkg_dataset_close(&dataset);
}

/* Classes are first-level folders in the order of their names, where every file lies in one of at least two. */
static void test_classes(void **state)
{
    static const char *const FILES[] = {"cat-big/1.png", "cat/2.png", "cat/deep/3.png", "dog/0.png"};
    static const int32_t LABELS[] = {1, 0, 0, 2};
    static const char *const NAMES[] = {"cat", "cat-big", "dog"};
    struct messages messages;
    vkg_dataset *dataset;
    char name[64];
    (void)state;
    messages_init(&messages);
    files_folder(files_path("classes"));
    files_folder(files_path("classes/empty"));
    for (uint32_t i = 0; i < 3; ++i) {
        snprintf(name, sizeof name, "classes/%s", NAMES[i]);
        files_folder(files_path(name));
    }
    files_folder(files_path("classes/cat/deep"));
    for (uint32_t i = 0; i < 4; ++i) {
        snprintf(name, sizeof name, "classes/%s", FILES[i]);
        save_png(files_path(name), 1, 1, 1, (const uint8_t *)"x");
    }
    assert_int_equal(open_set(&messages, files_path("classes/"), 0, 0, &dataset), VKG_OK);
    assert_int_equal(vkg_dataset_get_info(dataset).classes, 3);
    for (uint32_t i = 0; i < 4; ++i) {
        assert_string_equal(vkg_dataset_name(dataset, i), FILES[i]);
        assert_int_equal(vkg_dataset_label(dataset, i), LABELS[i]);
        assert_string_equal(vkg_dataset_class_name(dataset, LABELS[i]), NAMES[LABELS[i]]);
    }
    assert_null(vkg_dataset_name(dataset, 4));
    assert_null(vkg_dataset_class_name(dataset, 3));
    assert_null(vkg_dataset_class_name(dataset, -1));
    vkg_dataset_close(&dataset);

    assert_int_equal(open_set(&messages, files_path("classes/cat"), 0, 0, &dataset),
                     VKG_OK); /* a file beside */
    assert_int_equal(vkg_dataset_get_info(dataset).classes, 0);
    assert_int_equal(vkg_dataset_label(dataset, 0), -1);
    vkg_dataset_close(&dataset);
}

static void test_single_file(void **state)
{
    const uint8_t pixels[6] = {1, 2, 3, 4, 5, 6};
    struct messages messages;
    vkg_dataset *dataset;
    float image[6];
    (void)state;
    messages_init(&messages);
    save_png(files_path("alone.png"), 3, 2, 1, pixels);
    assert_int_equal(open_set(&messages, files_path("alone.png"), 0, 0, &dataset), VKG_OK);
    vkg_dataset_info info = vkg_dataset_get_info(dataset);
    assert_true(info.count == 1 && info.width == 3 && info.height == 2 && info.classes == 0);
    assert_string_equal(vkg_dataset_name(dataset, 0), "alone.png");
    assert_int_equal(vkg_dataset_read(dataset, 0, image), VKG_OK);
    assert_true(image[5] == 6.0f / 127.5f - 1.0f);
    vkg_dataset_close(&dataset);
}

static void test_folder_of_mixed_sizes(void **state)
{
    uint8_t pixels[12 * 4];
    struct messages messages;
    vkg_dataset *dataset;
    float image[16];
    (void)state;
    messages_init(&messages);
    files_folder(files_path("mixed"));
    for (int i = 0; i < 48; ++i)
        pixels[i] = (uint8_t)(i % 12 < 4 ? 0 : i % 12 < 8 ? 100 : 255); /* three squares side by side, 12×4 */
    save_png(files_path("mixed/a.png"), 12, 4, 1, pixels);
    save_png(files_path("mixed/b.png"), 4, 12, 1, pixels);
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, files_path("mixed"), 0, 0, &dataset),
                   "mixed/a.png is 12×4", "mixed/b.png is 4×12");
    assert_int_equal(open_set(&messages, files_path("mixed"), 2, 0, &dataset), VKG_OK);
    assert_int_equal(vkg_dataset_get_info(dataset).width, 2);
    assert_int_equal(vkg_dataset_read(dataset, 0, image), VKG_OK);
    for (int i = 0; i < 4; ++i)
        assert_true(image[i] == 100.0f / 127.5f - 1.0f); /* the middle square */
    vkg_dataset_close(&dataset);

    vkg_dataset_desc desc = {.path = files_path("mixed"), .any_size = true};
    uint32_t height, width;
    float whole[48];
    assert_int_equal(vkg_dataset_open(&messages.log, &desc, &dataset), VKG_OK);
    assert_int_equal(vkg_dataset_get_info(dataset).width, 0);
    assert_int_equal(vkg_dataset_size(dataset, 1, &height, &width), VKG_OK);
    assert_true(height == 12 && width == 4);
    assert_int_equal(vkg_dataset_read(dataset, 1, whole), VKG_OK);
    assert_true(whole[47] == 1.0f && whole[0] == -1.0f);
    save_png(files_path("mixed/a.png"), 4, 4, 1, pixels); /* another one in the meantime */
    expect_failure(&messages, VKG_ERROR_FORMAT, vkg_dataset_read(dataset, 0, whole), "mixed/a.png", "4×4 now, was 12×4");
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_dataset_size(dataset, 2, &height, &width), "image 2");
    vkg_dataset_close(&dataset);
    desc.image_size = 2;
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_dataset_open(&messages.log, &desc, &dataset), "any size");
}

static void test_damaged_pictures(void **state)
{
    uint8_t pixels[64];
    struct messages messages;
    vkg_dataset *dataset;
    size_t size;
    float image[64];
    (void)state;
    messages_init(&messages);
    files_folder(files_path("damaged"));
    const char *path = files_path("damaged/a.png"), *folder = files_path("damaged");
    for (uint32_t i = 0; i < 64; ++i)
        pixels[i] = (uint8_t)(i * i * 37);
    save_png(path, 8, 8, 1, pixels);
    uint8_t *bytes = files_read(path, &size);
    for (size_t length = 0; length + 4 < size; ++length) { /* the last four bytes are a checksum */
        files_write(path, bytes, length);
        vkg_result result = open_set(&messages, folder, 0, 0, &dataset);
        if (result == VKG_OK)
            result = vkg_dataset_read(dataset, 0, image);
        expect_failure(&messages, VKG_ERROR_FORMAT, result, path);
        vkg_dataset_close(&dataset);
    }
    for (size_t i = 0; i < size * 8; ++i) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        files_write(path, bytes, size);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        vkg_result result = open_set(&messages, folder, 8, 1, &dataset);
        if (result == VKG_OK)
            result = vkg_dataset_read(dataset, 0, image);
        if (result != VKG_OK)
            messages_expect(&messages, path, NULL);
        vkg_dataset_close(&dataset);
    }
    /* A picture of another size takes the place of the one that was looked at. */
    files_write(path, bytes, size);
    assert_int_equal(open_set(&messages, folder, 0, 0, &dataset), VKG_OK);
    save_png(path, 4, 8, 1, pixels);
    expect_failure(&messages, VKG_ERROR_FORMAT, vkg_dataset_read(dataset, 0, image), path, "4×8 now", "8×8");
    assert_int_equal(unlink(path), 0);
    expect_failure(&messages, VKG_ERROR_IO, vkg_dataset_read(dataset, 0, image), path, "No such file");
    vkg_dataset_close(&dataset);
    /* 2³¹ − 1 pixels on a side. */
    memcpy(bytes + 16, "\x7f\xff\xff\xff\x7f\xff\xff\xff", 8);
    files_write(path, bytes, size);
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, folder, 0, 0, &dataset), path);
    free(bytes);
}

/* An 8×8 grey JPEG of one value: quantised by 8, one Huffman code a table, so that the whole picture is one
 * byte. */
static size_t make_jpeg(uint8_t *bytes)
{
    static const uint8_t HEAD[] = {0xff, 0xd8, 0xff, 0xdb, 0, 67, 0};
    static const uint8_t FRAME[] = {0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0};
    static const uint8_t DC[] = {0xff, 0xc4, 0, 20, 0x00, 1, 0, 0, 0, 0, 0,
                                 0,    0,    0, 0,  0,    0, 0, 0, 0, 0, 6}; /* 0: 6 bits follow */
    static const uint8_t AC[] = {0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0,
                                 0,    0,    0, 0,  0,    0, 0, 0, 0, 0, 0}; /* 0: all zero */
    static const uint8_t SCAN[] = {0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x54 /* 0, 42 in six bits, 0 */,
                                   0xff, 0xd9};
    static const struct {
        const uint8_t *bytes;
        size_t size;
    } PARTS[] = {{FRAME, sizeof FRAME}, {DC, sizeof DC}, {AC, sizeof AC}, {SCAN, sizeof SCAN}};
    size_t size = sizeof HEAD + 64;
    memcpy(bytes, HEAD, sizeof HEAD);
    memset(bytes + sizeof HEAD, 8, 64);
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; ++i) {
        memcpy(bytes + size, PARTS[i].bytes, PARTS[i].size);
        size += PARTS[i].size;
    }
    return size;
}

static void test_jpeg(void **state)
{
    uint8_t bytes[256];
    struct messages messages;
    vkg_dataset *dataset;
    float image[64];
    size_t size = make_jpeg(bytes);
    (void)state;
    messages_init(&messages);
    files_folder(files_path("jpeg"));
    const char *path = files_path("jpeg/a.JPEG"), *folder = files_path("jpeg");
    files_write(path, bytes, size);
    assert_int_equal(open_set(&messages, folder, 0, 0, &dataset), VKG_OK);
    assert_int_equal(vkg_dataset_get_info(dataset).channels, 1);
    assert_int_equal(vkg_dataset_read(dataset, 0, image), VKG_OK);
    for (int i = 0; i < 64; ++i)
        assert_true(image[i] == (128.0f + 42.0f) / 127.5f - 1.0f);
    vkg_dataset_close(&dataset);
    for (size_t length = 0; length < size; ++length) { /* the decoder makes what it can of half a JPEG */
        files_write(path, bytes, length);
        vkg_result result = open_set(&messages, folder, 0, 0, &dataset);
        if (result == VKG_OK)
            result = vkg_dataset_read(dataset, 0, image);
        if (result != VKG_OK)
            messages_expect(&messages, path, NULL);
        vkg_dataset_close(&dataset);
    }
}

/* A JPEG of 8×8 whose table of codes has so many of each length from `first` on. */
static size_t make_codes(uint8_t *bytes, uint32_t first, const uint8_t counts[3])
{
    static const uint8_t FRAME[] = {0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0};
    static const uint8_t SCAN[] = {0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x80, 0, 0xff, 0xd9};
    const uint32_t codes = (uint32_t)counts[0] + counts[1] + counts[2], length = 2 + 17 + codes;
    uint8_t *at = bytes;
    memcpy(at, FRAME, sizeof FRAME), at += sizeof FRAME;
    *at++ = 0xff, *at++ = 0xc4, *at++ = (uint8_t)(length >> 8), *at++ = (uint8_t)length, *at++ = 0;
    memset(at, 0, 16);
    memcpy(at + first - 1, counts, 3), at += 16;
    memset(at, 0xff, codes), at += codes;
    memcpy(at, SCAN, sizeof SCAN), at += sizeof SCAN;
    return (size_t)(at - bytes);
}

/* What the decoder would write behind its tables, or take memory as it finds it for pixels, or gigabytes for. */
static void test_unsound_jpegs(void **state)
{
    static const uint8_t EMPTY[] = {0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 64, 0, 64, 1, 1, 0x11, 0, 0xff, 0xd9};
    static const uint8_t HUGE[] = {0xff, 0xd8, 0xff, 0xc2, 0,    20,   8, 0x40, 0,    0x40, 0, 4, 1, 0x11, 0, 2, 0x11,
                                   0,    3,    0x11, 0,    4,    0x11, 0, 0xff, 0xda, 0,    6, 0, 0,  63,   0, 0xff, 0xd9};
    uint8_t files[5][1024];
    const size_t sizes[5] = {make_codes(files[0], 8, (const uint8_t[]){1, 255, 0}), make_codes(files[1], 14, (const uint8_t[]){255, 255, 190}),
                             sizeof EMPTY, sizeof HUGE, 1 + make_codes(files[4] + 1, 14, (const uint8_t[]){255, 255, 190})};
    struct messages messages;
    vkg_dataset *dataset;
    (void)state;
    memcpy(files[2], EMPTY, sizeof EMPTY);
    memcpy(files[3], HUGE, sizeof HUGE);
    files[4][0] = 0xff; /* filling */
    messages_init(&messages);
    files_folder(files_path("unsound"));
    const char *path = files_path("unsound/a.jpg"), *folder = files_path("unsound");
    for (int i = 0; i < 5; ++i) {
        float image[64 * 64];
        files_write(path, files[i], sizes[i]);
        vkg_result result = vkg_dataset_open(&messages.log, &(vkg_dataset_desc){.path = folder, .any_size = i == 3}, &dataset);
        if (result == VKG_OK && i == 3) { /* no memory for its pixels is taken, nor is there any */
            vkg_view *view;
            assert_int_equal(vkg_view_create(dataset, &(vkg_view_desc){.crop = 8}, &view), VKG_OK);
            result = vkg_view_read(view, 0, image, NULL);
            vkg_view_destroy(&view);
        } else if (result == VKG_OK) {
            result = vkg_dataset_read(dataset, 0, image);
        }
        assert_int_equal(result, VKG_ERROR_FORMAT);
        messages_expect(&messages, path, NULL);
        vkg_dataset_close(&dataset);
    }
    assert_int_equal(symlink("/nowhere/b.png", files_path("unsound/b.png")), 0);
    assert_int_equal(open_set(&messages, folder, 0, 0, &dataset), VKG_ERROR_IO);
    messages_expect(&messages, "b.png", NULL);
}

/* --- fitting --- */

static void test_resize(void **state)
{
    uint8_t bytes[16 + 2 * 4 * 4], data[2 * 4 * 4];
    const uint32_t dims[] = {2, 4, 4};
    struct messages messages;
    vkg_dataset *dataset;
    float image[8 * 8 * 3];
    const char *path = files_path("resize-idx3-ubyte");
    (void)state;
    messages_init(&messages);
    for (uint32_t i = 0; i < 32; ++i)
        data[i] = (uint8_t)(i % 2 * 100 + i / 16 * 50); /* stripes: 0, 100, 0, 100; 50, 150, … */
    files_write(path, bytes, make_idx(bytes, 3, dims, data, sizeof data));
    assert_int_equal(open_set(&messages, path, 2, 3, &dataset), VKG_OK);
    for (uint32_t k = 0; k < 4; ++k) { /* each twice: made, then kept */
        assert_int_equal(vkg_dataset_read(dataset, k / 2, image), VKG_OK);
        for (int i = 0; i < 2 * 2 * 3; ++i)
            assert_true(image[i] == (k / 2 ? 100.0f : 50.0f) / 127.5f - 1.0f);
    }
    vkg_dataset_close(&dataset);
    assert_int_equal(open_set(&messages, path, 8, 0, &dataset), VKG_OK);
    assert_int_equal(vkg_dataset_read(dataset, 0, image), VKG_OK);
    const float row[8] = {0, 25, 75, 75, 25, 25, 75, 100}; /* bilinear, the centres of pixels at halves */
    for (int i = 0; i < 64; ++i)
        assert_true(fabsf(image[i] - (row[i % 8] / 127.5f - 1.0f)) < 1.01f / 127.5f);
    vkg_dataset_close(&dataset);
    assert_int_equal(open_set(&messages, path, 4, 0, &dataset), VKG_OK);
    assert_int_equal(vkg_dataset_read(dataset, 1, image), VKG_OK);
    assert_true(image[0] == 50.0f / 127.5f - 1.0f && image[15] == 150.0f / 127.5f - 1.0f);
    vkg_dataset_close(&dataset);
}

static void test_float_pictures(void **state)
{
    float values[2 * 4 * 3], image[2 * 2];
    struct messages messages;
    vkg_dataset *dataset;
    const char *path = files_path("floats.npy");
    (void)state;
    messages_init(&messages);
    for (int i = 0; i < 24; ++i)
        values[i] = i / 3 % 4 == 1 ? 0.5f : i / 3 % 4 == 2 ? -0.25f : 1.0f; /* columns: 1, 0.5, −0.25, 1 */
    assert_int_equal(vkg_npy_save(NULL, path, VKG_FILE_F32, 4, (uint64_t[]){1, 2, 4, 3}, values), VKG_OK);
    assert_int_equal(open_set(&messages, path, 2, 1, &dataset), VKG_OK); /* a crop, then luma */
    for (int k = 0; k < 2; ++k) {
        assert_int_equal(vkg_dataset_read(dataset, 0, image), VKG_OK);
        assert_true(fabsf(image[0] - 0.5f) < 1e-6f && fabsf(image[1] + 0.25f) < 1e-6f);
        assert_true(fabsf(image[2] - 0.5f) < 1e-6f && fabsf(image[3] + 0.25f) < 1e-6f);
    }
    vkg_dataset_close(&dataset);
}

/* --- several readers of one set --- */

static void *read_all(void *argument)
{
    float first[16 * 16], image[16 * 16];
    vkg_dataset *dataset = argument;
    for (int round = 0; round < 3; ++round) {
        for (uint32_t i = 0; i < 12; ++i) {
            if (vkg_dataset_read(dataset, i, image) != VKG_OK)
                return (void *)"a read failed";
            if (round == 0 && i == 0)
                memcpy(first, image, sizeof first);
            if (i == 0 && memcmp(first, image, sizeof first) != 0)
                return (void *)"an image changed";
        }
    }
    return NULL;
}

static void test_readers_at_once(void **state)
{
    struct messages messages;
    vkg_dataset *dataset;
    uint8_t pixels[20 * 20 * 3];
    pthread_t threads[4];
    (void)state;
    messages_init(&messages);
    files_folder(files_path("shared"));
    for (uint32_t i = 0; i < 12; ++i) {
        char name[32];
        snprintf(name, sizeof name, "shared/%u.png", i);
        for (uint32_t p = 0; p < sizeof pixels; ++p)
            pixels[p] = example_pixel(i, p);
        save_png(files_path(name), 20, 20, 3, pixels);
    }
    assert_int_equal(open_set(&messages, files_path("shared"), 16, 1, &dataset), VKG_OK);
    for (int i = 0; i < 4; ++i)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, dataset), 0);
    for (int i = 0; i < 4; ++i) {
        void *fault;
        pthread_join(threads[i], &fault);
        if (fault)
            fail_msg("%s", (const char *)fault);
    }
    vkg_dataset_close(&dataset);
    assert_int_equal(messages.errors, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),           cmocka_unit_test(test_classes),
        cmocka_unit_test(test_single_file),      cmocka_unit_test(test_folder_of_mixed_sizes),
        cmocka_unit_test(test_damaged_pictures), cmocka_unit_test(test_jpeg), cmocka_unit_test(test_unsound_jpegs),
        cmocka_unit_test(test_resize),           cmocka_unit_test(test_float_pictures),
        cmocka_unit_test(test_readers_at_once),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
