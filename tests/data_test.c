#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "data/picture.h"
#include "data/shuffle.h"
#include "files.h"
#include "vkgan/data.h"
#include "vkgan/io.h"

/* --- fixtures --- */

/* An IDX file of `rank` dimensions in `bytes` (room for 16 and `size` more); returns its size. */
static size_t make_idx(uint8_t *bytes, uint32_t rank, const uint32_t *dims, const uint8_t *data, size_t size)
{
    const uint8_t magic[4] = {0, 0, 8, (uint8_t)rank};
    memcpy(bytes, magic, 4);
    for (uint32_t i = 0; i < rank; ++i)
        for (int k = 0; k < 4; ++k)
            bytes[4 + 4 * i + (uint32_t)k] = (uint8_t)(dims[i] >> (24 - 8 * k));
    memcpy(bytes + 4 + 4 * rank, data, size);
    return 4 + 4 * rank + size;
}

static void write_gzip(const char *path, const void *data, size_t size)
{
    gzFile stream = gzopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(gzwrite(stream, data, (unsigned)size), size);
    assert_int_equal(gzclose(stream), Z_OK);
}

/* Pixel p of image i: different for all of the small sets here. */
static uint8_t pixel(uint32_t i, uint32_t p)
{
    return (uint8_t)(i * 16 + p * 5);
}

enum { COUNT = 7, HEIGHT = 3, WIDTH = 2, IMAGE = HEIGHT * WIDTH };

static size_t example_idx(uint8_t *bytes)
{
    const uint32_t dims[] = {COUNT, HEIGHT, WIDTH};
    uint8_t data[COUNT * IMAGE];
    for (uint32_t i = 0; i < COUNT * IMAGE; ++i)
        data[i] = pixel(i / IMAGE, i % IMAGE);
    return make_idx(bytes, 3, dims, data, sizeof data);
}

static size_t example_labels(uint8_t *bytes, uint32_t count)
{
    const uint8_t labels[] = {3, 1, 4, 1, 5, 9, 2, 6};
    return make_idx(bytes, 1, &count, labels, count);
}

static vkg_result open_set(struct messages *messages, const char *path, uint32_t size, uint32_t channels,
                           vkg_dataset **dataset)
{
    const vkg_dataset_desc desc = {.path = path, .image_size = size, .channels = channels};
    return vkg_dataset_open(&messages->log, &desc, dataset);
}

static void expect_example(vkg_dataset *dataset)
{
    vkg_dataset_info info = vkg_dataset_get_info(dataset);
    assert_true(info.count == COUNT && info.height == HEIGHT && info.width == WIDTH && info.channels == 1);
    for (uint32_t i = 0; i < COUNT; ++i) {
        float pixels[IMAGE];
        assert_int_equal(vkg_dataset_read(dataset, i, pixels), VKG_OK);
        for (uint32_t p = 0; p < IMAGE; ++p)
            assert_true(pixels[p] == (float)pixel(i, p) / 127.5f - 1.0f);
    }
}

static void expect_opens_as_example(const char *path)
{
    struct messages messages;
    vkg_dataset *dataset;
    messages_init(&messages);
    assert_int_equal(open_set(&messages, path, 0, 0, &dataset), VKG_OK);
    expect_example(dataset);
    vkg_dataset_close(&dataset);
    assert_null(dataset);
}

static void save_png(const char *path, uint32_t width, uint32_t height, uint32_t channels,
                     const uint8_t *pixels)
{
    assert_int_equal(vkg_image_save_png(NULL, path, width, height, channels, pixels), VKG_OK);
}

/* --- IDX --- */

static void test_idx_plain_and_gzip(void **state)
{
    uint8_t bytes[256], labels[64];
    size_t size = example_idx(bytes), label_size = example_labels(labels, COUNT);
    struct messages messages;
    vkg_dataset *dataset;
    (void)state;
    messages_init(&messages);
    files_write(files_path("set-images-idx3-ubyte"), bytes, size);
    expect_opens_as_example(files_path("set-images-idx3-ubyte"));
    files_write(files_path("any-name"), bytes, size);
    expect_opens_as_example(files_path("any-name"));
    write_gzip(files_path("packed.gz"), bytes, size);
    expect_opens_as_example(files_path("packed.gz"));

    files_folder(files_path("idx"));
    write_gzip(files_path("idx/train-images-idx3-ubyte.gz"), bytes, size);
    expect_opens_as_example(files_path("idx"));
    write_gzip(files_path("idx/train-labels-idx1-ubyte.gz"), labels, label_size);
    expect_opens_as_example(files_path("idx"));
    assert_int_equal(open_set(&messages, files_path("idx"), 0, 0, &dataset), VKG_OK);
    assert_int_equal(vkg_dataset_label(dataset, 4), 5);
    assert_int_equal(vkg_dataset_label(dataset, COUNT), -1);
    assert_int_equal(vkg_dataset_get_info(dataset).classes, 10);
    assert_string_equal(vkg_dataset_get_info(dataset).format, "IDX");
    assert_string_equal(vkg_dataset_get_info(dataset).path, files_path("idx"));
    float unused[IMAGE];
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_dataset_read(dataset, COUNT, unused), "image 7",
                   "there are 7");
    vkg_dataset_close(&dataset);
    vkg_dataset_close(&dataset);

    files_write(files_path("idx/train-labels-idx1-ubyte"), labels, example_labels(labels, COUNT - 1));
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, files_path("idx"), 0, 0, &dataset), "idx1",
                   "6 labels", "7 images");
    assert_null(dataset);
    files_write(files_path("idx/train-labels-idx1-ubyte"), bytes, size);
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, files_path("idx"), 0, 0, &dataset), "idx1",
                   "0x00000803", "expected 0x00000801");
}

static void test_idx_truncations(void **state)
{
    uint8_t bytes[256];
    size_t size = example_idx(bytes), packed_size;
    struct messages messages;
    vkg_dataset *dataset;
    const char *path = files_path("cut-images-idx3-ubyte"), *whole = files_path("whole.gz");
    (void)state;
    messages_init(&messages);
    for (size_t length = 0; length < size; ++length) {
        files_write(path, bytes, length);
        expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, path, 0, 0, &dataset), path);
        assert_null(dataset);
    }
    files_write(path, bytes, size + 1);
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, path, 0, 0, &dataset), path, "goes on");
    write_gzip(whole, bytes, size);
    uint8_t *packed = files_read(whole, &packed_size);
    for (size_t length = 0; length < packed_size; ++length) {
        files_write(path, packed, length);
        expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, path, 0, 0, &dataset), path);
    }
    packed[packed_size - 6] ^= 1; /* the checksum */
    files_write(path, packed, packed_size);
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, path, 0, 0, &dataset), path, "gzip");
    free(packed);
}

static void test_idx_hostile(void **state)
{
    static const struct {
        uint32_t dims[3];
        const char *wanted;
    } CASES[] = {
        {{0, 3, 2}, "dimension 0 is 0"},
        {{7, 0, 2}, "dimension 1 is 0"},
        {{7, 3, 0}, "dimension 2 is 0"},
        {{8, 3, 2}, "48 bytes"},
        {{0xffffffff, 0xffffffff, 0xffffffff}, "4294967295"},
        {{0xffffffff, 16384, 16384}, "1152921504338411520 bytes"},
        {{6, 3, 2}, "goes on"},
    };
    uint8_t bytes[256], data[42] = {0};
    struct messages messages;
    vkg_dataset *dataset;
    const char *path = files_path("hostile-idx3-ubyte");
    (void)state;
    messages_init(&messages);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; ++i) {
        size_t size = make_idx(bytes, 3, CASES[i].dims, data, sizeof data);
        files_write(path, bytes, size);
        expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, path, 0, 0, &dataset), path,
                       CASES[i].wanted);
    }
    size_t size = example_idx(bytes);
    bytes[3] = 4;
    files_write(path, bytes, size);
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, path, 0, 0, &dataset), path, "0x00000804",
                   "expected 0x00000803");

    /* A small file that unpacks to 64 MiB of zeros: no more is read than it announces. */
    const uint32_t announced[] = {7, 3, 2};
    size_t bomb_size = (size_t)64 << 20;
    uint8_t *bomb = calloc(1, bomb_size + 16);
    make_idx(bomb, 3, announced, data, sizeof data);
    write_gzip(path, bomb, bomb_size);
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, path, 0, 0, &dataset), path,
                   "goes on after the 58");
    /* And one that announces more than any gzip file of its size can hold. */
    const uint32_t greedy[] = {0xffffffff, 1000, 1000};
    write_gzip(path, bomb, make_idx(bomb, 3, greedy, data, sizeof data));
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, path, 0, 0, &dataset), path,
                   "4294967295000000 bytes");
    free(bomb);
}

static void test_unknown_files(void **state)
{
    struct messages messages;
    vkg_dataset *dataset;
    (void)state;
    messages_init(&messages);
    files_write(files_path("text.txt"), "hello", 5);
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, files_path("text.txt"), 0, 0, &dataset),
                   "text.txt", "68 65 6c 6c", "00 00 08 03");
    files_write(files_path("empty"), "", 0);
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, files_path("empty"), 0, 0, &dataset),
                   "empty", "nothing");
    expect_failure(&messages, VKG_ERROR_IO, open_set(&messages, files_path("missing"), 0, 0, &dataset),
                   "missing", "No such file");
    expect_failure(&messages, VKG_ERROR_IO, open_set(&messages, "/dev/zero", 0, 0, &dataset), "/dev/zero",
                   "regular");
    files_folder(files_path("nothing"));
    files_write(files_path("nothing/notes.txt"), "x", 1);
    files_write(files_path("nothing/.hidden.png"), "x", 1);
    expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, files_path("nothing"), 0, 0, &dataset),
                   "nothing", "0 PNG or JPEG");
    expect_failure(&messages, VKG_ERROR_INVALID, open_set(&messages, files_path("nothing"), 0, 2, &dataset),
                   "2 channels");
    expect_failure(&messages, VKG_ERROR_INVALID, open_set(&messages, files_path("nothing"), 99999, 0, &dataset),
                   "99999");
    assert_null(dataset);
}

static void test_default_set(void **state)
{
    uint8_t bytes[256];
    struct messages messages;
    vkg_dataset *dataset;
    const char *path = files_path("named-images-idx3-ubyte");
    (void)state;
    messages_init(&messages);
    files_write(path, bytes, example_idx(bytes));
    assert_int_equal(setenv("VKGAN_DATA", path, 1), 0);
    assert_int_equal(vkg_dataset_open(&messages.log, NULL, &dataset), VKG_OK);
    expect_example(dataset);
    vkg_dataset_close(&dataset);
    assert_int_equal(setenv("VKGAN_DATA", "", 1), 0);
    vkg_result result = vkg_dataset_open(&messages.log, NULL, &dataset);
    if (result == VKG_OK) { /* the package is there */
        vkg_dataset_info info = vkg_dataset_get_info(dataset);
        assert_true(info.count == 60000 && info.height == 28 && info.width == 28 && info.channels == 1);
        assert_int_equal(info.classes, 10);
        vkg_dataset_close(&dataset);
    } else {
        expect_failure(&messages, VKG_ERROR_IO, result, "Debian package dataset-fashion-mnist");
    }
}

/* --- .npy --- */

static void test_npy(void **state)
{
    uint8_t data[COUNT * IMAGE];
    float values[COUNT * IMAGE];
    const uint64_t dims[] = {COUNT, HEIGHT, WIDTH, 1};
    const char *path = files_path("set.npy");
    (void)state;
    for (uint32_t i = 0; i < COUNT * IMAGE; ++i) {
        data[i] = pixel(i / IMAGE, i % IMAGE);
        values[i] = (float)data[i] / 127.5f - 1.0f;
    }
    for (uint32_t rank = 3; rank <= 4; ++rank) {
        assert_int_equal(vkg_npy_save(NULL, path, VKG_FILE_U8, rank, dims, data), VKG_OK);
        expect_opens_as_example(path);
        assert_int_equal(vkg_npy_save(NULL, path, VKG_FILE_F32, rank, dims, values), VKG_OK);
        expect_opens_as_example(path);
    }
}

static void test_npy_refusals(void **state)
{
    static const struct {
        vkg_file_dtype dtype;
        uint32_t rank;
        uint64_t dims[5];
        const char *wanted;
    } CASES[] = {
        {VKG_FILE_U8, 2, {4, 4}, "[4,4], U8"},
        {VKG_FILE_U8, 4, {1, 4, 4, 2}, "[1,4,4,2]"},
        {VKG_FILE_U8, 5, {1, 1, 4, 4, 1}, "[1,1,4,4,1]"},
        {VKG_FILE_I32, 3, {1, 4, 4}, "I32"},
        {VKG_FILE_U8, 3, {0, 4, 4}, "[0,4,4]"},
        {VKG_FILE_U8, 3, {1, 0, 4}, "[1,0,4]"},
        {VKG_FILE_U8, 3, {1, 1, 20000}, "20000"},
    };
    static uint8_t data[20000];
    struct messages messages;
    vkg_dataset *dataset;
    size_t size;
    const char *path = files_path("refused.npy");
    (void)state;
    messages_init(&messages);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; ++i) {
        assert_int_equal(vkg_npy_save(NULL, path, CASES[i].dtype, CASES[i].rank, CASES[i].dims, data), VKG_OK);
        expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, path, 0, 0, &dataset), path,
                       CASES[i].wanted);
    }
    const float values[] = {0, 1, 0, 255, NAN, 0};
    float pixels[2];
    assert_int_equal(vkg_npy_save(NULL, path, VKG_FILE_F32, 3, (uint64_t[]){3, 1, 2}, values), VKG_OK);
    assert_int_equal(open_set(&messages, path, 0, 0, &dataset), VKG_OK);
    assert_int_equal(vkg_dataset_read(dataset, 0, pixels), VKG_OK);
    expect_failure(&messages, VKG_ERROR_FORMAT, vkg_dataset_read(dataset, 1, pixels), path, "image 1", "255");
    expect_failure(&messages, VKG_ERROR_FORMAT, vkg_dataset_read(dataset, 2, pixels), path, "image 2", "nan");
    assert_int_equal(truncate(path, 130), 0); /* while it is open */
    expect_failure(&messages, VKG_ERROR_FORMAT, vkg_dataset_read(dataset, 0, pixels), path, "ends at byte");
    vkg_dataset_close(&dataset);

    assert_int_equal(vkg_npy_save(NULL, path, VKG_FILE_U8, 3, (uint64_t[]){2, 2, 2}, data), VKG_OK);
    uint8_t *bytes = files_read(path, &size);
    for (size_t length = 0; length < size; ++length) {
        files_write(path, bytes, length);
        expect_failure(&messages, VKG_ERROR_FORMAT, open_set(&messages, path, 0, 0, &dataset), path);
    }
    free(bytes);
}

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

/* --- the order --- */

static void test_shuffle_epochs(void **state)
{
    enum { IMAGES = 23, BATCH = 5 };
    struct shuffle shuffle;
    uint32_t first[20], indices[BATCH];
    (void)state;
    assert_true(shuffle_create(&shuffle, IMAGES, BATCH, 42));
    for (uint64_t epoch = 0; epoch < 10; ++epoch) {
        bool seen[IMAGES] = {0};
        for (uint64_t i = 0; i < IMAGES / BATCH; ++i) {
            shuffle_batch(&shuffle, epoch * (IMAGES / BATCH) + i, indices);
            for (int k = 0; k < BATCH; ++k) {
                assert_true(indices[k] < IMAGES && !seen[indices[k]]);
                seen[indices[k]] = true;
            }
            if (epoch == 0)
                memcpy(first + i * BATCH, indices, sizeof indices);
            else
                assert_memory_not_equal(first + i * BATCH, indices, sizeof indices);
        }
    }
    shuffle_batch(&shuffle, 1, indices); /* back again */
    assert_memory_equal(first + BATCH, indices, sizeof indices);
    shuffle_free(&shuffle);
}

/* The order is part of what a seed promises: it must not change from version to version. */
static void test_shuffle_golden(void **state)
{
    const uint32_t wanted[] = {7, 1, 9, 3, 2, 6, 4, 0, 5, 8};
    struct shuffle shuffle;
    uint32_t indices[10];
    (void)state;
    assert_true(shuffle_create(&shuffle, 10, 10, UINT64_C(0x123456789)));
    shuffle_batch(&shuffle, UINT64_C(0x100000007), indices);
    for (int i = 0; i < 10; ++i)
        assert_int_equal(indices[i], wanted[i]);
    shuffle_free(&shuffle);
}

/* Every image is as likely at every place: χ² with 25 cells, 16 degrees of freedom, 0.1 % at 39.3. */
static void test_shuffle_is_even(void **state)
{
    enum { EPOCHS = 20000 };
    struct shuffle shuffle;
    uint32_t counts[5][5] = {0}, indices[5];
    double square = 0;
    (void)state;
    assert_true(shuffle_create(&shuffle, 5, 5, 1));
    for (uint64_t epoch = 0; epoch < EPOCHS; ++epoch) {
        shuffle_batch(&shuffle, epoch, indices);
        for (int i = 0; i < 5; ++i)
            ++counts[i][indices[i]];
    }
    for (int i = 0; i < 25; ++i)
        square += pow((double)counts[i / 5][i % 5] - EPOCHS / 5, 2) / (EPOCHS / 5);
    assert_true(square < 39.3);
    shuffle_free(&shuffle);
}

static void test_shuffle_large_batch(void **state)
{
    struct shuffle shuffle;
    uint32_t indices[8], seen[3] = {0};
    (void)state;
    assert_true(shuffle_create(&shuffle, 3, 8, 1));
    for (uint64_t step = 0; step < 3; ++step) { /* 24 places: 8 epochs of 3 */
        shuffle_batch(&shuffle, step, indices);
        for (int i = 0; i < 8; ++i)
            ++seen[indices[i]];
    }
    assert_true(seen[0] == 8 && seen[1] == 8 && seen[2] == 8);
    shuffle_free(&shuffle);
}

/* --- the loader --- */

static vkg_dataset *open_example(struct messages *messages)
{
    uint8_t bytes[256];
    vkg_dataset *dataset;
    files_write(files_path("loader-idx3-ubyte"), bytes, example_idx(bytes));
    assert_int_equal(open_set(messages, files_path("loader-idx3-ubyte"), 0, 0, &dataset), VKG_OK);
    return dataset;
}

static void expect_batch(vkg_loader *loader, uint64_t step, uint32_t batch, const float *pixels)
{
    uint32_t indices[16];
    assert_int_equal(vkg_loader_indices(loader, step, indices), VKG_OK);
    for (uint32_t i = 0; i < batch * IMAGE; ++i)
        assert_true(pixels[i] == (float)pixel(indices[i / IMAGE], i % IMAGE) / 127.5f - 1.0f);
}

static void test_loader_in_order(void **state)
{
    struct messages messages;
    vkg_loader *loader;
    static float memory[2][3 * IMAGE];
    float *const slots[] = {memory[0], memory[1]};
    (void)state;
    messages_init(&messages);
    vkg_dataset *dataset = open_example(&messages);
    for (uint64_t first = 0; first < 1000; first += 497) {
        vkg_loader_desc desc = {.batch = 3, .seed = 9, .first_step = first, .slots = 2, .slot_memory = slots};
        assert_int_equal(vkg_loader_create(dataset, &desc, &loader), VKG_OK);
        for (uint64_t step = first; step < first + 50; ++step) {
            uint32_t slot;
            const float *pixels;
            assert_int_equal(vkg_loader_acquire(loader, &slot, &pixels), VKG_OK);
            assert_int_equal(slot, (step - first) % 2);
            assert_ptr_equal(pixels, memory[slot]);
            expect_batch(loader, step, 3, pixels);
            assert_int_equal(vkg_loader_release(loader, slot), VKG_OK);
        }
        vkg_loader_destroy(&loader);
        assert_null(loader);
    }
    vkg_loader_destroy(&loader);
    vkg_dataset_close(&dataset);
}

/* Several batches are held while more are acquired; slots keep what they hold until they are released. */
static void test_loader_holds_slots(void **state)
{
    struct messages messages;
    vkg_loader *loader;
    const float *pixels[3];
    uint32_t slot;
    (void)state;
    messages_init(&messages);
    vkg_dataset *dataset = open_example(&messages);
    const vkg_loader_desc desc = {.batch = 16, .seed = 1};
    assert_int_equal(vkg_loader_create(dataset, &desc, &loader), VKG_OK);
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_loader_release(loader, 0), "none is acquired");
    for (uint64_t step = 0; step < 60; ++step) {
        if (step >= 3)
            assert_int_equal(vkg_loader_release(loader, (uint32_t)(step % 3)), VKG_OK);
        assert_int_equal(vkg_loader_acquire(loader, &slot, &pixels[step % 3]), VKG_OK);
        assert_int_equal(slot, step % 3);
        for (uint64_t held = step < 2 ? 0 : step - 2; held <= step; ++held)
            expect_batch(loader, held, 16, pixels[held % 3]);
    }
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_loader_acquire(loader, &slot, NULL), "all 3 slots");
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_loader_release(loader, 2), "slot 2", "expected 0");
    vkg_loader_destroy(&loader);
    vkg_dataset_close(&dataset);
}

static void test_loader_refusals(void **state)
{
    struct messages messages;
    vkg_loader *loader;
    (void)state;
    messages_init(&messages);
    vkg_dataset *dataset = open_example(&messages);
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_loader_create(dataset, &(vkg_loader_desc){.batch = 0}, &loader), "batch of 0");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_loader_create(dataset, &(vkg_loader_desc){.batch = 1, .slots = 65}, &loader),
                   "65 slots");
    assert_null(loader);
    vkg_dataset_close(&dataset);
}

static void test_loader_ends_at_any_moment(void **state)
{
    struct messages messages;
    (void)state;
    messages_init(&messages);
    vkg_dataset *dataset = open_example(&messages);
    for (uint32_t i = 0; i < 200; ++i) {
        vkg_loader *loader;
        uint32_t slot;
        const vkg_loader_desc desc = {.batch = 1 + i % 16, .seed = i, .slots = 1 + i % 4};
        assert_int_equal(vkg_loader_create(dataset, &desc, &loader), VKG_OK);
        for (uint32_t k = 0; k < i % 3 && k < desc.slots; ++k)
            assert_int_equal(vkg_loader_acquire(loader, &slot, NULL), VKG_OK);
        if (i % 5 == 0)
            usleep(i);
        vkg_loader_destroy(&loader);
    }
    vkg_dataset_close(&dataset);
    assert_int_equal(messages.errors, 0);
}

/* A file that is damaged between others: batches before it come, then the fault, once in the log. */
static void test_loader_fault(void **state)
{
    struct messages messages;
    vkg_dataset *dataset;
    vkg_loader *loader;
    uint32_t slot, given = 0, before = 0, indices[1];
    vkg_result result;
    (void)state;
    messages_init(&messages);
    files_folder(files_path("fault"));
    for (int i = 0; i < 9; ++i) {
        char name[32];
        snprintf(name, sizeof name, "fault/%d.png", i);
        save_png(files_path(name), 1, 1, 1, (const uint8_t *)"x");
    }
    assert_int_equal(open_set(&messages, files_path("fault"), 0, 0, &dataset), VKG_OK);
    files_write(files_path("fault/5.png"), "", 0);
    assert_int_equal(vkg_loader_create(dataset, &(vkg_loader_desc){.batch = 1, .seed = 3}, &loader), VKG_OK);
    for (;; ++before) {
        assert_int_equal(vkg_loader_indices(loader, before, indices), VKG_OK);
        if (indices[0] == 5)
            break;
    }
    while ((result = vkg_loader_acquire(loader, &slot, NULL)) == VKG_OK) {
        assert_int_equal(vkg_loader_release(loader, slot), VKG_OK);
        ++given;
    }
    assert_int_equal(given, before);
    expect_failure(&messages, VKG_ERROR_FORMAT, result, "fault/5.png");
    assert_int_equal(vkg_loader_acquire(loader, &slot, NULL), VKG_ERROR_FORMAT);
    assert_int_equal(messages.errors, 0);
    vkg_loader_destroy(&loader);
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
            pixels[p] = pixel(i, p);
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
        cmocka_unit_test(test_idx_plain_and_gzip),
        cmocka_unit_test(test_idx_truncations),
        cmocka_unit_test(test_idx_hostile),
        cmocka_unit_test(test_unknown_files),
        cmocka_unit_test(test_default_set),
        cmocka_unit_test(test_npy),
        cmocka_unit_test(test_npy_refusals),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_folder_of_mixed_sizes),
        cmocka_unit_test(test_damaged_pictures),
        cmocka_unit_test(test_jpeg),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_float_pictures),
        cmocka_unit_test(test_shuffle_epochs),
        cmocka_unit_test(test_shuffle_golden),
        cmocka_unit_test(test_shuffle_is_even),
        cmocka_unit_test(test_shuffle_large_batch),
        cmocka_unit_test(test_loader_in_order),
        cmocka_unit_test(test_loader_holds_slots),
        cmocka_unit_test(test_loader_refusals),
        cmocka_unit_test(test_loader_ends_at_any_moment),
        cmocka_unit_test(test_loader_fault),
        cmocka_unit_test(test_readers_at_once),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
