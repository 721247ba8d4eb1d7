/* Event files are read back by read_events.py, whose path is the program's argument. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "files.h"
#include "io/tensorboard.h"
#include "vkgan/io.h"

static const char *reader;

/* What the reader says of a folder's event files, in the order of their names. */
static void expect_events(const char *folder, const char *expected)
{
    char command[4096], found[4096] = "";
    snprintf(command, sizeof command, "python3 '%s' '%s'/events.out.tfevents.*", reader, folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    const size_t length = fread(found, 1, sizeof found - 1, pipe);
    found[length] = 0;
    assert_int_equal(pclose(pipe), 0);
    assert_string_equal(found, expected);
}

static void test_crc(void **state)
{
    (void)state;
    assert_int_equal(crc32c("123456789", 9), 0xe3069283); /* the check value of CRC-32C's definition */
    assert_int_equal(crc32c("", 0), 0);
}

static void test_values(void **state)
{
    (void)state;
    struct messages messages;
    struct tensorboard *board;
    const char *folder = files_path("values"), *png = files_path("values/two.png");
    messages_init(&messages);
    files_folder(folder);
    assert_int_equal(vkg_image_save_png(&messages.log, png, 2, 1, 3, (const uint8_t *)"abcdef"), VKG_OK);
    size_t size;
    char *bytes = files_read(png, &size);
    assert_int_equal(tensorboard_open(&messages.log, folder, 0, &board), VKG_OK);
    tensorboard_begin(board, 7);
    tensorboard_scalar(board, "loss_d", 0.25);
    tensorboard_scalar(board, "loss_g", -1e10);
    tensorboard_scalar(board, "broken", NAN);
    assert_int_equal(tensorboard_end(board), VKG_OK);
    tensorboard_begin(board, 1000000000000);
    tensorboard_image(board, "samples", 2, 1, 3, bytes, size);
    tensorboard_histogram(board, "weights", (const float[]){-1, 0, 0.5f, NAN, 3}, 5);
    tensorboard_histogram(board, "equal", (const float[]){2, 2}, 2);
    tensorboard_histogram(board, "none", (const float[]){INFINITY}, 1);
    assert_int_equal(tensorboard_end(board), VKG_OK);
    tensorboard_begin(board, 8);
    tensorboard_scalar(board, "dropped", 1); /* never ended */
    tensorboard_close(&board);
    assert_null(board);
    free(bytes);
    expect_events(folder, "0 brain.Event:2\n1 session starts\n"
                          "7 loss_d scalar 0.25\n7 loss_g scalar -1e+10\n7 broken scalar nan\n"
                          "1000000000000 samples image 1x2x3\n"
                          "1000000000000 weights histogram -1 3 4 2.5 10.25 in 64\n"
                          "1000000000000 equal histogram 2 2 2 4 8 in 1\n"
                          "1000000000000 none histogram 0 0 0 0 0 in 1\n");
    assert_int_equal(messages.errors, 0);
}

/* A resumed run, in the same second: its file comes behind the first, and says which steps it replaces. */
static void test_sessions(void **state)
{
    (void)state;
    struct messages messages;
    struct tensorboard *board;
    const char *folder = files_path("sessions");
    messages_init(&messages);
    files_folder(folder);
    for (uint64_t step = 0; step <= 20; step += 10) {
        assert_int_equal(tensorboard_open(&messages.log, folder, step, &board), VKG_OK);
        tensorboard_begin(board, step + 5);
        tensorboard_scalar(board, "x", 1);
        assert_int_equal(tensorboard_end(board), VKG_OK);
        tensorboard_close(&board);
    }
    assert_int_equal(files_count(folder), 3);
    expect_events(folder, "0 brain.Event:2\n1 session starts\n5 x scalar 1\n"
                          "0 brain.Event:2\n11 session starts\n15 x scalar 1\n"
                          "0 brain.Event:2\n21 session starts\n25 x scalar 1\n");
}

static void test_refusals(void **state)
{
    (void)state;
    struct messages messages;
    struct tensorboard *board;
    messages_init(&messages);
    expect_failure(&messages, VKG_ERROR_IO, tensorboard_open(&messages.log, files_path("nowhere"), 0, &board), "nowhere",
                   "No such file");
    assert_null(board);
    tensorboard_close(&board);
}

/* Half a record would hide all that follow from a reader. */
static void test_full_disk(void **state)
{
    (void)state;
    struct messages messages;
    struct tensorboard *board;
    struct rlimit limit, small;
    const char *folder = files_path("full");
    messages_init(&messages);
    files_folder(folder);
    assert_int_equal(tensorboard_open(&messages.log, folder, 0, &board), VKG_OK);
    float values[64];
    for (int i = 0; i < 64; i++)
        values[i] = (float)i;
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 300;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    tensorboard_begin(board, 1);
    tensorboard_histogram(board, "long", values, 64);
    const vkg_result result = tensorboard_end(board);
    setrlimit(RLIMIT_FSIZE, &limit);
    expect_failure(&messages, VKG_ERROR_IO, result, "cannot be written");
    tensorboard_begin(board, 2);
    tensorboard_scalar(board, "short", 1);
    assert_int_equal(tensorboard_end(board), VKG_OK);
    tensorboard_close(&board);
    expect_events(folder, "0 brain.Event:2\n1 session starts\n2 short scalar 1\n");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),      cmocka_unit_test(test_values),    cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_full_disk),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s read_events.py\n", argv[0]);
        return 2;
    }
    reader = argv[1];
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
