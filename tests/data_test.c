#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data_files.h"
#include "vkgan/io.h"

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

/* The held-out files of MNIST and its kin. */
static void test_idx_t10k(void **state)
{
    uint8_t bytes[256];
    (void)state;
    files_folder(files_path("held_out"));
    write_gzip(files_path("held_out/t10k-images-idx3-ubyte.gz"), bytes, example_idx(bytes));
    expect_opens_as_example(files_path("held_out"));
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

/* --- sets that a program makes --- */

static vkg_result read_own(void *user, uint32_t index, float *values)
{
    for (uint32_t i = 0; i < 4; ++i)
        values[i] = (float)index * 10 + (float)i;
    return *(bool *)user ? VKG_ERROR_IO : VKG_OK;
}

static void close_own(void *user)
{
    *(bool *)user = true;
}

static void test_own(void **state)
{
    struct messages messages;
    vkg_dataset *dataset;
    bool closed = false;
    int32_t labels[] = {2, -1, 0};
    float values[4];
    (void)state;
    messages_init(&messages);
    vkg_dataset_source source = {.name = "points", .count = 3, .height = 1, .width = 1, .channels = 4,
                                 .labels = labels, .read = read_own, .close = close_own, .user = &closed};
    assert_int_equal(vkg_dataset_create(&messages.log, &source, &dataset), VKG_OK);
    labels[0] = 7; /* copied */
    assert_int_equal(vkg_dataset_get_info(dataset).classes, 3);
    assert_int_equal(vkg_dataset_label(dataset, 0), 2);
    assert_int_equal(vkg_dataset_label(dataset, 1), -1);
    assert_int_equal(vkg_dataset_read(dataset, 2, values), VKG_OK);
    assert_true(values[0] == 20 && values[3] == 23);
    vkg_dataset_close(&dataset);
    assert_true(closed);
    source.channels = 0;
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_dataset_create(&messages.log, &source, &dataset), "points",
                   "1×1×0");
    assert_null(dataset);
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
        data[i] = example_pixel(i / IMAGE, i % IMAGE);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx_plain_and_gzip),
        cmocka_unit_test(test_idx_t10k),
        cmocka_unit_test(test_idx_truncations),
        cmocka_unit_test(test_idx_hostile),
        cmocka_unit_test(test_unknown_files),
        cmocka_unit_test(test_default_set),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_npy),
        cmocka_unit_test(test_npy_refusals),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
