#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "files.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/stb.h"
#include "vkgan/io.h"

/* --- replacing files --- */

static vkg_result write_text(struct messages *messages, const char *path, const char *text)
{
    struct file_part parts[] = {{text, strlen(text)}, {NULL, 0}};
    return file_write_atomic(&messages->log, path, parts, 2);
}

static void expect_text(const char *path, const char *text)
{
    size_t size;
    char *data = files_read(path, &size);
    assert_string_equal(data, text);
    free(data);
}

static void test_replace_keeps_mode(void **state)
{
    struct messages messages;
    struct stat status;
    const char *path = files_path("mode");
    (void)state;
    messages_init(&messages);
    assert_int_equal(write_text(&messages, path, "one"), VKG_OK);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(write_text(&messages, path, "two"), VKG_OK);
    expect_text(path, "two");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_int_equal(messages.errors, 0);
}

static void test_new_file_obeys_umask(void **state)
{
    struct messages messages;
    struct stat status;
    mode_t before = umask(027);
    (void)state;
    messages_init(&messages);
    assert_int_equal(write_text(&messages, files_path("umask"), "x"), VKG_OK);
    umask(before);
    assert_int_equal(stat(files_path("umask"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
}

static void test_replace_through_link(void **state)
{
    struct messages messages;
    struct stat status;
    (void)state;
    messages_init(&messages);
    files_folder(files_path("elsewhere"));
    files_write(files_path("elsewhere/real"), "old", 3);
    assert_int_equal(symlink(files_path("elsewhere/real"), files_path("link")), 0);
    assert_int_equal(write_text(&messages, files_path("link"), "new"), VKG_OK);
    expect_text(files_path("elsewhere/real"), "new");
    assert_int_equal(lstat(files_path("link"), &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    unlink(files_path("elsewhere/real"));
    const char *link = files_path("link");
    expect_failure(&messages, VKG_ERROR_IO, write_text(&messages, link, "new"), link, "symbolic link");
    assert_int_equal(lstat(files_path("link"), &status), 0);
    assert_true(S_ISLNK(status.st_mode));
}

static void test_replace_refusals(void **state)
{
    struct messages messages;
    (void)state;
    messages_init(&messages);
    files_write(files_path("plain"), "plain", 5);
    files_folder(files_path("folder"));
    const char *below = files_path("plain/below"), *folder = files_path("folder");
    const char *missing = files_path("missing/file");
    expect_failure(&messages, VKG_ERROR_IO, write_text(&messages, below, "x"), below, "Not a directory");
    expect_failure(&messages, VKG_ERROR_IO, write_text(&messages, missing, "x"), missing, "No such file");
    expect_failure(&messages, VKG_ERROR_IO, write_text(&messages, folder, "x"), folder, "not a regular file");
    expect_failure(&messages, VKG_ERROR_IO, write_text(&messages, "/dev/full", "x"), "/dev/full",
                   "not a regular file");
    expect_text(files_path("plain"), "plain");
    char name[6000];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    expect_failure(&messages, VKG_ERROR_IO, write_text(&messages, name, "x"), "too long");
}

static void test_relative_path(void **state)
{
    struct messages messages;
    char before[512];
    (void)state;
    messages_init(&messages);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(files_path("")), 0);
    assert_int_equal(write_text(&messages, "relative", "here"), VKG_OK);
    assert_int_equal(chdir(before), 0);
    expect_text(files_path("relative"), "here");
}

/* A limit on the size of files stands for the disk that fills: write fails the same way, half-way. */
static void with_full_disk(bool full)
{
    static struct rlimit before;
    struct rlimit limit;
    if (full) {
        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before);
        limit = (struct rlimit){1000, before.rlim_max};
    } else {
        limit = before;
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full_disk(void **state)
{
    struct messages messages;
    static float numbers[4096];
    static uint8_t pixels[64 * 64];
    const vkg_safetensors_item item = {"w", VKG_FILE_F32, 1, {4096}, numbers};
    const char *names[] = {"full/a.safetensors", "full/a.png", "full/a.npy"};
    (void)state;
    messages_init(&messages);
    for (size_t i = 0; i < sizeof pixels; ++i)
        pixels[i] = (uint8_t)(i * i * 2654435761u >> 11); /* does not pack */
    files_folder(files_path("full"));
    for (int i = 0; i < 3; ++i)
        files_write(files_path(names[i]), "old", 3);
    with_full_disk(true);
    vkg_result results[] = {
        vkg_safetensors_save(&messages.log, files_path(names[0]), &item, 1, NULL, 0),
        vkg_image_save_png(&messages.log, files_path(names[1]), 64, 64, 1, pixels),
        vkg_npy_save(&messages.log, files_path(names[2]), VKG_FILE_F32, 1, item.dims, numbers),
    };
    with_full_disk(false);
    assert_int_equal(messages.errors, 3);
    messages.errors = 1;
    messages_expect(&messages, files_path(names[2]), "File too large", "untouched", NULL);
    for (int i = 0; i < 3; ++i) {
        assert_int_equal(results[i], VKG_ERROR_IO);
        expect_text(files_path(names[i]), "old");
    }
    assert_int_equal(files_count(files_path("full")), 3);
}

static void test_read_whole(void **state)
{
    struct messages messages;
    void *data;
    size_t size;
    (void)state;
    messages_init(&messages);
    files_write(files_path("whole"), "12345", 5);
    assert_int_equal(file_read_whole(&messages.log, files_path("whole"), 5, &data, &size), VKG_OK);
    assert_int_equal(size, 5);
    assert_string_equal(data, "12345");
    free(data);
    expect_failure(&messages, VKG_ERROR_FORMAT,
                   file_read_whole(&messages.log, files_path("whole"), 4, &data, &size), "5 bytes",
                   "at most 4");
    expect_failure(&messages, VKG_ERROR_IO, file_read_whole(&messages.log, files_path("gone"), 4, &data, &size),
                   "gone", "No such file");
    expect_failure(&messages, VKG_ERROR_IO, file_read_whole(&messages.log, files_path(""), 4, &data, &size),
                   "not a regular file");
    assert_int_equal(mkfifo(files_path("pipe"), 0600), 0);
    expect_failure(&messages, VKG_ERROR_IO, file_read_whole(&messages.log, files_path("pipe"), 4, &data, &size),
                   "not a regular file"); /* and does not wait for a writer */
}

/* --- safetensors --- */

static const float WEIGHT[6] = {1, -2, 3.5f, 4, 5, INFINITY};
static const uint8_t STEP[3] = {7, 8, 9};
static const vkg_safetensors_item ITEMS[] = {
    {"main.0.weight", VKG_FILE_F32, 2, {2, 3}, WEIGHT},
    {"scalar", VKG_FILE_F32, 0, {0}, WEIGHT + 2},
    {"empty", VKG_FILE_F16, 2, {0, 5}, NULL},
    {"bytes \"quoted\" \\ \n é", VKG_FILE_U8, 1, {3}, STEP},
};
static const vkg_safetensors_metadata METADATA[] = {{"step", "12"}, {"seed", "0"}, {"a\tb", "ü"}};

static void save_example(const char *path)
{
    assert_int_equal(vkg_safetensors_save(NULL, path, ITEMS, 4, METADATA, 3), VKG_OK);
}

static void test_safetensors_round_trip(void **state)
{
    vkg_safetensors *file;
    const char *path = files_path("round.safetensors");
    (void)state;
    save_example(path);
    assert_int_equal(vkg_safetensors_open(NULL, path, &file), VKG_OK);
    assert_int_equal(vkg_safetensors_count(file), 4);
    for (uint32_t i = 0; i < 4; ++i) {
        uint8_t data[24];
        uint32_t index = vkg_safetensors_find(file, ITEMS[i].name);
        assert_true(index < 4);
        const vkg_safetensors_entry *entry = vkg_safetensors_get(file, index);
        assert_string_equal(entry->name, ITEMS[i].name);
        assert_int_equal(entry->dtype, ITEMS[i].dtype);
        assert_int_equal(entry->rank, ITEMS[i].rank);
        assert_memory_equal(entry->dims, ITEMS[i].dims, entry->rank * sizeof *entry->dims);
        assert_int_equal(vkg_safetensors_read(file, index, data, entry->size), VKG_OK);
        if (entry->size)
            assert_memory_equal(data, ITEMS[i].data, entry->size);
    }
    for (uint32_t i = 0; i < 3; ++i)
        assert_string_equal(vkg_safetensors_metadata_find(file, METADATA[i].key), METADATA[i].value);
    assert_null(vkg_safetensors_metadata_find(file, "steps"));
    assert_int_equal(vkg_safetensors_find(file, "main.0"), UINT32_MAX);
    assert_null(vkg_safetensors_get(file, 4));
    assert_int_equal(vkg_safetensors_get(file, 0)->offset % 8, 0);
    vkg_safetensors_close(&file);
    assert_null(file);
    vkg_safetensors_close(&file);
}

static void test_safetensors_nothing_inside(void **state)
{
    vkg_safetensors *file;
    (void)state;
    assert_int_equal(vkg_safetensors_save(NULL, files_path("none"), NULL, 0, NULL, 0), VKG_OK);
    assert_int_equal(vkg_safetensors_open(NULL, files_path("none"), &file), VKG_OK);
    assert_int_equal(vkg_safetensors_count(file), 0);
    assert_int_equal(vkg_safetensors_find(file, "x"), UINT32_MAX);
    assert_null(vkg_safetensors_metadata_find(file, "x"));
    vkg_safetensors_close(&file);
}

static void test_safetensors_wrong_calls(void **state)
{
    struct messages messages;
    vkg_safetensors *file;
    uint8_t data[64];
    const char *path = files_path("calls.safetensors");
    (void)state;
    messages_init(&messages);
    save_example(path);
    assert_int_equal(vkg_safetensors_open(&messages.log, path, &file), VKG_OK);
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_safetensors_read(file, 4, data, 4), path, "4");
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_safetensors_read(file, 0, data, 20), path, "main.0.weight",
                   "20", "24");
    assert_int_equal(truncate(path, (off_t)vkg_safetensors_get(file, 0)->offset + 4), 0);
    expect_failure(&messages, VKG_ERROR_FORMAT, vkg_safetensors_read(file, 0, data, 24), path, "ends at byte");
    vkg_safetensors_close(&file);

    vkg_safetensors_item twice[] = {ITEMS[0], ITEMS[0]}, item = ITEMS[0];
    const vkg_safetensors_metadata same[] = {{"k", "1"}, {"k", "2"}}, broken = {"k", "\xff"};
    const char *unwritten = files_path("unwritten");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_safetensors_save(&messages.log, unwritten, twice, 2, NULL, 0), "twice");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_safetensors_save(&messages.log, unwritten, NULL, 0, same, 2), "twice");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_safetensors_save(&messages.log, unwritten, NULL, 0, &broken, 1), "UTF-8");
    item.name = "__metadata__";
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_safetensors_save(&messages.log, unwritten, &item, 1, NULL, 0), "twice");
    item.name = "a\xc0\x80";
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_safetensors_save(&messages.log, unwritten, &item, 1, NULL, 0), "UTF-8");
    item = ITEMS[0];
    item.rank = 9;
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_safetensors_save(&messages.log, unwritten, &item, 1, NULL, 0), "9");
    item = ITEMS[0];
    item.dims[0] = item.dims[1] = UINT64_C(1) << 33;
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_safetensors_save(&messages.log, unwritten, &item, 1, NULL, 0), "size");
    assert_int_not_equal(access(unwritten, F_OK), 0);
}

/* Writes a file with this header (its true length unless `length` is given) and `data` bytes of zeros behind
 * it. */
static void write_header(const char *path, const char *header, size_t size, uint64_t length, size_t data)
{
    char *bytes = calloc(1, 8 + size + data);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, size);
    files_write(path, bytes, 8 + size + data);
    free(bytes);
}

struct hostile {
    const char *header;
    size_t data;
    const char *wanted; /* in the message */
};

#define TENSOR(dtype, shape, offsets)                                                                          \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
static const struct hostile HOSTILE[] = {
    {"", 0, "'{'"},
    {" {}", 0, "'{'"},
    {"[]", 0, "'{'"},
    {"{", 0, "no JSON"},
    {"{\"a\":}", 0, "no JSON"},
    {"{\"a\\", 0, "no JSON"},
    {"{}x", 0, "byte 2"},
    {"{}\n", 0, "byte 2"},
    {"{\"a\":1}", 0, "object"},
    {"{\"a\":null}", 0, "object"},
    {"{\"a\":{}}", 0, "\"dtype\" is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "\"data_offsets\" is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
     "\"dtype\" is there twice"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"more\":1}}", 4, "\"more\" is unknown"},
    {"{\"a\":" TENSOR("F33", "[1]", "[0,4]") "}", 4, "F33"},
    {"{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "string as dtype"},
    {"{\"a\":" TENSOR("F32", "4", "[0,4]") "}", 4, "array as shape"},
    {"{\"a\":" TENSOR("F32", "[-1]", "[0,4]") "}", 4, "dimension 0"},
    {"{\"a\":" TENSOR("F32", "[1,1.5]", "[0,4]") "}", 4, "dimension 1"},
    {"{\"a\":" TENSOR("F32", "[1e400]", "[0,4]") "}", 4, "dimension 0"},
    {"{\"a\":" TENSOR("F32", "[9007199254740993]", "[0,4]") "}", 4, "dimension 0"},
    {"{\"a\":" TENSOR("F32", "[\"1\"]", "[0,4]") "}", 4, "dimension 0"},
    {"{\"a\":" TENSOR("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "9 dimensions"},
    {"{\"a\":" TENSOR("F32", "[4294967296,4294967296]", "[0,4]") "}", 4, "4 bytes"},
    {"{\"a\":" TENSOR("F32", "[4294967296,1073741824]", "[0,0]") "}", 0,
     "0 bytes"}, /* 2⁶⁴ bytes: 0 when it wraps */
    {"{\"a\":" TENSOR("F32", "[2]", "[0,4]") "}", 4, "which is not its shape [2] of F32"},
    {"{\"a\":" TENSOR("F32", "[1]", "[0]") "}", 4, "data_offsets"},
    {"{\"a\":" TENSOR("F32", "[1]", "[0,4,8]") "}", 4, "data_offsets"},
    {"{\"a\":" TENSOR("F32", "[1]", "{}") "}", 4, "data_offsets"},
    {"{\"a\":" TENSOR("F32", "[1]", "[-4,0]") "}", 4, "data_offsets"},
    {"{\"a\":" TENSOR("F32", "[1]", "[4,0]") "}", 4, "bytes 4 to 0"},
    {"{\"a\":" TENSOR("F32", "[1]", "[0,4]") "}", 3, "bytes 0 to 4 of 3"},
    {"{\"a\":" TENSOR("F32", "[1]", "[9007199254740988,9007199254740991]") "}", 4, "of 4 bytes"},
    {"{\"a\":" TENSOR("F32", "[1]", "[0,4]") "}", 5, "describes"},
    {"{\"a\":" TENSOR("F32", "[1]", "[4,8]") "}", 8, "hole of 4 bytes before tensor \"a\""},
    {"{\"a\":" TENSOR("F32", "[1]", "[8,12]") ",\"b\":" TENSOR("F32", "[1]", "[0,4]") "}", 12, "hole"},
    {"{\"a\":" TENSOR("F32", "[1]", "[0,4]") ",\"b\":" TENSOR("F32", "[1]", "[2,6]") "}", 6, "overlap by 2"},
    {"{\"a\":" TENSOR("F32", "[1]", "[0,4]") ",\"b\":" TENSOR("F32", "[1]", "[0,4]") "}", 4, "overlap by 4"},
    {"{\"a\":" TENSOR("F32", "[1]", "[0,4]") ",\"a\":" TENSOR("F32", "[1]", "[4,8]") "}", 8,
     "\"a\" is there twice"},
    {"{\"a\":" TENSOR("F32", "[1]", "[0,4]") ",\"\\u0061\":" TENSOR("F32", "[1]", "[4,8]") "}", 8,
     "\"a\" is there twice"},
    {"{\"a\\u0000b\":" TENSOR("F32", "[1]", "[0,4]") "}", 4, "zero at byte 3"},
    {"{\"a\xff\":" TENSOR("F32", "[1]", "[0,4]") "}", 4, "UTF-8"},
    {"{\"a\xed\xa0\x80\":" TENSOR("F32", "[1]", "[0,4]") "}", 4, "UTF-8"},
    {"{\"a\xf4\x90\x80\x80\":" TENSOR("F32", "[1]", "[0,4]") "}", 4, "UTF-8"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "string"},
    {"{\"__metadata__\":[]}", 0, "object"},
    {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "metadata \"a\" is there twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"},
};

static void test_safetensors_hostile_headers(void **state)
{
    struct messages messages;
    const char *path = files_path("hostile.safetensors");
    (void)state;
    messages_init(&messages);
    for (size_t i = 0; i < sizeof HOSTILE / sizeof *HOSTILE; ++i) {
        vkg_safetensors *file = NULL;
        size_t size = strlen(HOSTILE[i].header);
        write_header(path, HOSTILE[i].header, size, size, HOSTILE[i].data);
        vkg_result result = vkg_safetensors_open(&messages.log, path, &file);
        if (result != VKG_ERROR_FORMAT && result != VKG_ERROR_UNSUPPORTED)
            fail_msg("header %s gave %s", HOSTILE[i].header, vkg_result_name(result));
        assert_null(file);
        messages_expect(&messages, path, HOSTILE[i].wanted, NULL);
    }
}

static void test_safetensors_accepted_headers(void **state)
{
    static const struct hostile GOOD[] = {
        {"{}", 0, NULL},
        {"{}      ", 0, NULL},
        {"{ \"a\" :\n" TENSOR("BF16", "[1, 2]", "[0, 4]") "\t}  ", 4, NULL},
        {"{\"b\":" TENSOR("F32", "[1]", "[4,8]") ",\"a\":" TENSOR("F32", "[]", "[0,4]") "}", 8, NULL},
        {"{\"a\":" TENSOR("F32", "[0]", "[0,0]") ",\"b\":" TENSOR("U8", "[1]", "[0,1]") "}", 1, NULL},
        {"{\"\":" TENSOR("I64", "[1]", "[0,8]") "}", 8, NULL},
        {"{\"a\\\\u0000\":" TENSOR("U8", "[1]", "[0,1]") "}", 1, NULL}, /* a backslash, then u0000 */
    };
    struct messages messages;
    const char *path = files_path("good.safetensors");
    (void)state;
    messages_init(&messages);
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; ++i) {
        vkg_safetensors *file;
        write_header(path, GOOD[i].header, strlen(GOOD[i].header), strlen(GOOD[i].header), GOOD[i].data);
        assert_int_equal(vkg_safetensors_open(&messages.log, path, &file), VKG_OK);
        vkg_safetensors_close(&file);
    }
    assert_int_equal(messages.errors, 0);
}

static void test_safetensors_hostile_lengths(void **state)
{
    static const uint64_t LENGTHS[] = {
        3, 100000000, 100000001, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 7, UINT64_MAX};
    struct messages messages;
    vkg_safetensors *file;
    const char *path = files_path("lengths.safetensors");
    (void)state;
    messages_init(&messages);
    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; ++i) {
        char number[24];
        snprintf(number, sizeof number, "%llu", (unsigned long long)LENGTHS[i]);
        write_header(path, "{}", 2, LENGTHS[i], 0);
        expect_failure(&messages, VKG_ERROR_FORMAT, vkg_safetensors_open(&messages.log, path, &file), path,
                       number);
    }
    char *deep = malloc(200000);
    memset(deep, '[', 200000);
    memcpy(deep, "{\"a\":", 5);
    write_header(path, deep, 200000, 200000, 0);
    expect_failure(&messages, VKG_ERROR_FORMAT, vkg_safetensors_open(&messages.log, path, &file), path,
                   "deeply");
    memcpy(deep, "{}\0", 3);
    write_header(path, deep, 3, 3, 0);
    expect_failure(&messages, VKG_ERROR_FORMAT, vkg_safetensors_open(&messages.log, path, &file), path,
                   "zero at byte 2");
    free(deep);
}

static void test_safetensors_truncations(void **state)
{
    struct messages messages;
    size_t size;
    const char *whole = files_path("whole.safetensors"), *part = files_path("part.safetensors");
    (void)state;
    messages_init(&messages);
    save_example(whole);
    uint8_t *bytes = files_read(whole, &size);
    for (size_t length = 0; length < size; ++length) {
        vkg_safetensors *file;
        files_write(part, bytes, length);
        expect_failure(&messages, VKG_ERROR_FORMAT, vkg_safetensors_open(&messages.log, part, &file), part);
    }
    free(bytes);
}

/* Whatever one changed byte does: a file that opens can be read to the end, another gives one message. */
static void test_safetensors_flips(void **state)
{
    static const uint8_t FLIPS[] = {0x01, 0x04, 0x10, 0x20, 0x80, 0xff};
    struct messages messages;
    size_t size;
    const char *path = files_path("flip.safetensors");
    (void)state;
    messages_init(&messages);
    save_example(path);
    uint8_t *bytes = files_read(path, &size);
    for (size_t i = 0; i < size * sizeof FLIPS; ++i) {
        vkg_safetensors *file;
        uint8_t data[32];
        bytes[i / sizeof FLIPS] ^= FLIPS[i % sizeof FLIPS];
        files_write(path, bytes, size);
        bytes[i / sizeof FLIPS] ^= FLIPS[i % sizeof FLIPS];
        if (vkg_safetensors_open(&messages.log, path, &file) != VKG_OK) {
            messages_expect(&messages, path, NULL);
            continue;
        }
        for (uint32_t k = 0; k < vkg_safetensors_count(file); ++k)
            assert_int_equal(vkg_safetensors_read(file, k, data, vkg_safetensors_get(file, k)->size), VKG_OK);
        vkg_safetensors_close(&file);
        assert_int_equal(messages.errors, 0);
    }
    free(bytes);
}

static void test_utf8(void **state)
{
    (void)state;
    assert_int_equal(utf8_fault("aé€😀", strlen("aé€😀")), strlen("aé€😀"));
    assert_int_equal(utf8_fault("ab\x80", 3), 2);
    assert_int_equal(utf8_fault("\xc1\xbf", 2), 0);
    assert_int_equal(utf8_fault("\xe0\x9f\xbf", 3), 0);
    assert_int_equal(utf8_fault("\xf0\x8f\xbf\xbf", 4), 0);
    assert_int_equal(utf8_fault("\xf5\x80\x80\x80", 4), 0);
    assert_int_equal(utf8_fault("x\xe2\x82", 3), 1);
}

/* --- pictures --- */

static void test_png_round_trip(void **state)
{
    uint8_t pixels[5 * 3 * 4];
    (void)state;
    for (size_t i = 0; i < sizeof pixels; ++i)
        pixels[i] = (uint8_t)(i * 37);
    for (uint32_t channels = 1; channels <= 4; ++channels) {
        size_t size;
        int width, height, found;
        assert_int_equal(vkg_image_save_png(NULL, files_path("a.png"), 5, 3, channels, pixels), VKG_OK);
        uint8_t *bytes = files_read(files_path("a.png"), &size);
        uint8_t *back = stbi_load_from_memory(bytes, (int)size, &width, &height, &found, 0);
        assert_non_null(back);
        assert_true(width == 5 && height == 3 && found == (int)channels);
        assert_memory_equal(back, pixels, 15 * channels);
        free(back);
        free(bytes);
    }
}

static void test_png_refusals(void **state)
{
    struct messages messages;
    uint8_t pixel[8] = {0};
    const char *path = files_path("refused.png"), *below = files_path("plain/x.png");
    (void)state;
    messages_init(&messages);
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_image_save_png(&messages.log, path, 0, 1, 1, pixel), path,
                   "0×1");
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_image_save_png(&messages.log, path, 1, 1, 5, pixel), path,
                   "5 channels");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_image_save_png(&messages.log, path, UINT32_MAX, UINT32_MAX, 4, pixel), path, "1 GiB");
    files_write(files_path("plain"), "", 0);
    expect_failure(&messages, VKG_ERROR_IO, vkg_image_save_png(&messages.log, below, 1, 1, 1, pixel), below,
                   "Not a directory");
}

static void test_bytes_of_floats(void **state)
{
    const float values[] = {-1, 1, 0, -2, 7, NAN, INFINITY, -INFINITY, -0.996f, 0.999f};
    const uint8_t wanted[] = {0, 255, 128, 0, 255, 0, 255, 0, 1, 255};
    uint8_t bytes[10];
    (void)state;
    vkg_image_bytes(values, 10, bytes);
    assert_memory_equal(bytes, wanted, 10);
    for (int i = 0; i < 256; ++i) { /* what a dataset makes of a byte comes back */
        float value = (float)i / 127.5f - 1.0f;
        vkg_image_bytes(&value, 1, bytes);
        assert_int_equal(bytes[0], i);
    }
}

static void test_grid(void **state)
{
    vkg_image grid;
    uint8_t tiles[5 * 2 * 3 * 3];
    (void)state;
    for (size_t i = 0; i < sizeof tiles; ++i)
        tiles[i] = (uint8_t)(i + 1);
    vkg_grid_desc desc = {.count = 5, .height = 2, .width = 3, .channels = 3, .bytes = tiles};
    assert_int_equal(vkg_image_grid(NULL, &desc, &grid), VKG_OK); /* 3 columns, 2 rows */
    assert_true(grid.width == 3 * 5 + 2 && grid.height == 2 * 4 + 2 && grid.channels == 3);
    for (uint32_t y = 0; y < grid.height; ++y) {
        for (uint32_t x = 0; x < grid.width; ++x) {
            uint32_t column = x / 5, row = y / 4, tile = row * 3 + column;
            bool gap = x % 5 < 2 || y % 4 < 2 || tile >= 5;
            uint32_t pixel = (tile * 2 + y % 4 - 2) * 3 + x % 5 - 2;
            for (uint32_t c = 0; c < 3; ++c)
                assert_int_equal(grid.pixels[(y * grid.width + x) * 3 + c], gap ? 128 : tiles[pixel * 3 + c]);
        }
    }
    vkg_image_free(&grid);
    assert_null(grid.pixels);

    const float values[4] = {-1, 1, 0, 0.5f};
    desc = (vkg_grid_desc){.count = 4, .height = 1, .width = 1, .channels = 1, .columns = 9, .values = values};
    assert_int_equal(vkg_image_grid(NULL, &desc, &grid), VKG_OK); /* no more columns than images */
    assert_true(grid.width == 14 && grid.height == 5);
    assert_int_equal(grid.pixels[2 * 14 + 2], 0);
    assert_int_equal(grid.pixels[2 * 14 + 5], 255);
    assert_int_equal(grid.pixels[2 * 14 + 11], 191);
    vkg_image_free(&grid);
}

static void test_grid_refusals(void **state)
{
    struct messages messages;
    vkg_image grid;
    const uint8_t byte = 0;
    const float value = 0;
    (void)state;
    messages_init(&messages);
    const vkg_grid_desc bad[] = {
        {.count = 0, .height = 1, .width = 1, .channels = 1, .bytes = &byte},
        {.count = 1, .height = 0, .width = 1, .channels = 1, .bytes = &byte},
        {.count = 1, .height = 1, .width = 1, .channels = 2, .bytes = &byte},
        {.count = 1, .height = 1, .width = 1, .channels = 1},
        {.count = 1, .height = 1, .width = 1, .channels = 1, .bytes = &byte, .values = &value},
        {.count = UINT32_MAX, .height = UINT32_MAX, .width = UINT32_MAX, .channels = 3, .bytes = &byte},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        expect_failure(&messages, VKG_ERROR_INVALID, vkg_image_grid(&messages.log, &bad[i], &grid),
                       "image grid");
        assert_null(grid.pixels);
    }
}

/* --- npy --- */

static void test_npy_round_trip(void **state)
{
    static const vkg_file_dtype DTYPES[] = {VKG_FILE_U8, VKG_FILE_I32, VKG_FILE_I64, VKG_FILE_F32};
    const uint64_t dims[] = {2, 1, 3, 1, 1, 1, 1, 2};
    uint8_t data[12 * 8];
    const char *path = files_path("a.npy");
    (void)state;
    for (size_t i = 0; i < sizeof data; ++i)
        data[i] = (uint8_t)(i * 7);
    for (uint32_t rank = 0; rank <= 8; ++rank) {
        for (int i = 0; i < 4; ++i) {
            vkg_npy array;
            size_t size;
            assert_int_equal(vkg_npy_save(NULL, path, DTYPES[i], rank, dims, data), VKG_OK);
            assert_int_equal(vkg_npy_load(NULL, path, &array), VKG_OK);
            assert_int_equal(array.dtype, DTYPES[i]);
            assert_int_equal(array.rank, rank);
            assert_memory_equal(array.dims, dims, rank * sizeof *dims);
            assert_memory_equal(array.data, data, array.size);
            free(files_read(path, &size));
            assert_int_equal((size - array.size) % 64, 0);
            vkg_npy_free(&array);
        }
    }
}

/* A file of version `major` with this dictionary and `data` bytes behind it. */
static void write_npy(const char *path, uint8_t major, const char *dictionary, size_t data)
{
    uint8_t bytes[1024] = "\x93NUMPY";
    size_t length = strlen(dictionary), at = major == 1 ? 10 : 12;
    bytes[6] = major;
    bytes[8] = (uint8_t)length;
    bytes[9] = (uint8_t)(length >> 8);
    memcpy(bytes + at, dictionary, length);
    files_write(path, bytes, at + length + data);
}

static void test_npy_headers(void **state)
{
    static const struct {
        uint8_t major;
        const char *dictionary;
        size_t data;
        const char *wanted; /* NULL: is read */
    } CASES[] = {
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8, NULL},
        {2, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }   \n", 8, NULL},
        {1, "{\"shape\":(1,2),\"descr\":\"|u1\",\"fortran_order\":False}", 2, NULL},
        {1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 1L)}", 2, NULL},
        {1, "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 5)}", 0, NULL},
        {1, "{'descr': '|u1', 'fortran_order': False, 'shape': ()}", 1, NULL},
        {3, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8, "version 3.0"},
        {1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", 8, "Fortran"},
        {1, "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", 8, "'>f4'"},
        {1, "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 8, "'|O'"},
        {1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, "expected {"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2), }", 8, "expected {"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,,), }", 8, "expected {"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8, "expected {"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 8, "expected {"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, "at most 8"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 2, 2), }", 0,
         "0 bytes follow"},
        {
            1,
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
            8,
            "8 bytes follow",
        },
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 8, "[1], F32"},
        {1, "{'descr': '<f4', 'fortran_order': False}", 8, "expected {"},
        {1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8, "expected {"},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", 8, "expected {"},
        {1, "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", 8, "expected {"},
        {1, "{'descr': '<f4", 8, "expected {"},
        {1, "", 8, "expected {"},
    };
    struct messages messages;
    const char *path = files_path("header.npy");
    (void)state;
    messages_init(&messages);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; ++i) {
        vkg_npy array;
        write_npy(path, CASES[i].major, CASES[i].dictionary, CASES[i].data);
        vkg_result result = vkg_npy_load(&messages.log, path, &array);
        if ((result == VKG_OK) != !CASES[i].wanted)
            fail_msg("%s gave %s: %s", CASES[i].dictionary, vkg_result_name(result), messages.last);
        if (CASES[i].wanted)
            messages_expect(&messages, path, CASES[i].wanted, NULL);
        vkg_npy_free(&array);
    }
    files_write(path, "\x93NUMPX\1\0\2\0{}", 12);
    vkg_npy array;
    expect_failure(&messages, VKG_ERROR_FORMAT, vkg_npy_load(&messages.log, path, &array), path, "magic");
    files_write(path, "\x93NUMPY\2\0\xff\xff\xff\xff", 12);
    expect_failure(&messages, VKG_ERROR_FORMAT, vkg_npy_load(&messages.log, path, &array), path, "4294967295");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_npy_save(&messages.log, path, VKG_FILE_F64, 1, (uint64_t[]){1}, path), path, "F64");
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_npy_save(&messages.log, path, VKG_FILE_U8, 9, NULL, path),
                   path, "9");
}

static void test_npy_truncations_and_flips(void **state)
{
    struct messages messages;
    vkg_npy array;
    size_t size;
    const uint64_t dims[] = {2, 3};
    const char *path = files_path("part.npy");
    (void)state;
    messages_init(&messages);
    assert_int_equal(vkg_npy_save(NULL, path, VKG_FILE_F32, 2, dims, WEIGHT), VKG_OK);
    uint8_t *bytes = files_read(path, &size);
    for (size_t length = 0; length < size; ++length) {
        files_write(path, bytes, length);
        expect_failure(&messages, VKG_ERROR_FORMAT, vkg_npy_load(&messages.log, path, &array), path);
    }
    for (size_t i = 0; i < 128 * 8; ++i) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        files_write(path, bytes, size);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        if (vkg_npy_load(&messages.log, path, &array) != VKG_OK)
            messages_expect(&messages, path, NULL);
        vkg_npy_free(&array);
    }
    free(bytes);
}

/* --- JSON lines --- */

static void test_json_lines(void **state)
{
    struct json_lines *lines;
    const char *path = files_path("log.jsonl");
    (void)state;
    files_write(path, "{\"half", 6);
    assert_int_equal(json_lines_open(NULL, path, &lines), VKG_OK);
    json_line_begin(lines);
    json_line_integer(lines, "step", -3);
    json_line_number(lines, "loss_d", 0.25);
    json_line_number(lines, "nan", NAN);
    json_line_number(lines, "inf", -INFINITY);
    json_line_string(lines, "a\"b", "c\\\n\x01é");
    assert_int_equal(json_line_end(lines), VKG_OK);
    json_line_begin(lines);
    json_line_number(lines, "tiny", (double)1.17549435e-38f);
    assert_int_equal(json_line_end(lines), VKG_OK);
    json_line_begin(lines);
    json_lines_close(&lines);
    expect_text(
        path,
        "{\"half\n"
        "{\"step\": -3, \"loss_d\": 0.25, \"nan\": null, \"inf\": null, \"a\\\"b\": \"c\\\\\\u000a\\u0001é\"}\n"
        "{\"tiny\": 1.17549435e-38}\n");
    assert_int_equal(json_lines_open(NULL, path, &lines), VKG_OK);
    json_line_begin(lines);
    assert_int_equal(json_line_end(lines), VKG_OK);
    json_lines_close(&lines);
    size_t size;
    char *text = files_read(path, &size);
    assert_string_equal(text + size - 4, "\n{}\n");
    free(text);
}

static void test_json_lines_full_disk(void **state)
{
    struct messages messages;
    struct json_lines *lines;
    char text[701];
    const char *path = files_path("full.jsonl"), *below = files_path("plain/log.jsonl");
    (void)state;
    messages_init(&messages);
    memset(text, 't', 700);
    text[700] = 0;
    with_full_disk(true);
    vkg_result opened = json_lines_open(&messages.log, path, &lines);
    vkg_result results[2];
    for (int i = 0; i < 2; ++i) {
        json_line_begin(lines);
        json_line_string(lines, "t", text);
        results[i] = json_line_end(lines);
    }
    with_full_disk(false);
    json_lines_close(&lines);
    assert_int_equal(opened, VKG_OK);
    assert_int_equal(results[0], VKG_OK);
    expect_failure(&messages, VKG_ERROR_IO, results[1], path);
    size_t size;
    free(files_read(path, &size));
    assert_int_equal(size, 710); /* the first line, nothing of the second */

    assert_int_equal(json_lines_open(&messages.log, "/dev/full", &lines), VKG_OK);
    json_line_begin(lines);
    expect_failure(&messages, VKG_ERROR_IO, json_line_end(lines), "/dev/full", "No space left");
    json_lines_close(&lines);
    files_write(files_path("plain"), "", 0);
    expect_failure(&messages, VKG_ERROR_IO, json_lines_open(&messages.log, below, &lines), below,
                   "Not a directory");
    assert_null(lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace_keeps_mode),
        cmocka_unit_test(test_new_file_obeys_umask),
        cmocka_unit_test(test_replace_through_link),
        cmocka_unit_test(test_replace_refusals),
        cmocka_unit_test(test_relative_path),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_read_whole),
        cmocka_unit_test(test_safetensors_round_trip),
        cmocka_unit_test(test_safetensors_nothing_inside),
        cmocka_unit_test(test_safetensors_wrong_calls),
        cmocka_unit_test(test_safetensors_hostile_headers),
        cmocka_unit_test(test_safetensors_accepted_headers),
        cmocka_unit_test(test_safetensors_hostile_lengths),
        cmocka_unit_test(test_safetensors_truncations),
        cmocka_unit_test(test_safetensors_flips),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_png_round_trip),
        cmocka_unit_test(test_png_refusals),
        cmocka_unit_test(test_bytes_of_floats),
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_grid_refusals),
        cmocka_unit_test(test_npy_round_trip),
        cmocka_unit_test(test_npy_headers),
        cmocka_unit_test(test_npy_truncations_and_flips),
        cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_json_lines_full_disk),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
