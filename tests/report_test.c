/* Reports of made-up run folders; check_report.py, the program's argument, reads them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/report.h"
#include "files.h"
#include "vkgan/io.h"

static const char *checker;

static void expect_report(const char *folder, const char *expected)
{
    char command[4096], found[4096] = "";
    snprintf(command, sizeof command, "python3 '%s' '%s/report.html'", checker, folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    found[fread(found, 1, sizeof found - 1, pipe)] = 0;
    assert_int_equal(pclose(pipe), 0);
    assert_string_equal(found, expected);
}

static void make_folder(const char *folder, const char *config)
{
    char path[512];
    files_folder(folder);
    snprintf(path, sizeof path, "%s/samples", folder);
    files_folder(path);
    snprintf(path, sizeof path, "%s/config.json", folder);
    files_write(path, config, strlen(config));
}

/* Lines of steps 10, 20, …, and a warning and a measure at half. */
static void make_log(const char *folder, int lines)
{
    char path[512], *text = malloc((size_t)lines * 100 + 500), *end = text;
    assert_non_null(text);
    *end = 0;
    for (int i = 1; i <= lines; i++) {
        end += sprintf(end, "{\"step\": %d, \"loss_d\": 0.5, \"images_per_second\": 100}\n", 10 * i);
        if (i == lines / 2)
            end += sprintf(end, "{\"step\": %d, \"rule\": \"r\", \"since\": 1, \"warning\": \"</script><b>a < b\"}\n"
                                "{\"step\": %d, \"variety\": 0.5}\n", 10 * i, 10 * i);
    }
    snprintf(path, sizeof path, "%s/log.jsonl", folder);
    files_write(path, text, strlen(text));
    free(text);
}

/* Pictures of noise, which does not pack. */
static void make_pictures(const char *folder, int count, uint32_t side)
{
    uint8_t *pixels = malloc((size_t)side * side);
    uint32_t number = 1;
    assert_non_null(pixels);
    for (uint32_t i = 0; i < side * side; i++)
        pixels[i] = (uint8_t)((number = number * 1664525 + 1013904223) >> 24);
    char path[512];
    size_t size;
    snprintf(path, sizeof path, "%s/picture.png", folder);
    assert_int_equal(vkg_image_save_png(NULL, path, side, side, 1, pixels), VKG_OK);
    void *png = files_read(path, &size);
    for (int i = 1; i <= count; i++) {
        snprintf(path, sizeof path, "%s/samples/step-%06d.png", folder, 50 * i);
        files_write(path, png, size);
    }
    free(png);
    free(pixels);
}

static void test_small(void **state)
{
    (void)state;
    struct messages messages;
    const char *folder = files_path("small");
    messages_init(&messages);
    make_folder(folder, "{\"program\": \"p\", \"data\": \"</script><script>alert(1)\", \"steps\": 40}\n");
    make_log(folder, 4);
    make_pictures(folder, 3, 4);
    files_write(files_path("small/samples/step-7.png.tmp"), "x", 1); /* no picture */
    files_write(files_path("small/samples/notes.txt"), "x", 1);
    assert_int_equal(report_write(&messages.log, folder, "training"), VKG_OK);
    expect_report(folder, "state: training\ndata: </script><script>alert(1)\nlines: 6 warnings: 1 last: 40\n"
                          "pictures: 50 100 150\n");
    assert_int_equal(report_write(&messages.log, folder, "done"), VKG_OK); /* over the first */
    expect_report(folder, "state: done\ndata: </script><script>alert(1)\nlines: 6 warnings: 1 last: 40\n"
                          "pictures: 50 100 150\n");
    assert_int_equal(messages.errors, 0);
}

static void test_nothing_yet(void **state)
{
    (void)state;
    const char *folder = files_path("nothing");
    make_folder(folder, "{\"data\": \"d\"}");
    files_write(files_path("nothing/log.jsonl"), "", 0);
    assert_int_equal(report_write(NULL, folder, "stopped"), VKG_OK);
    expect_report(folder, "state: stopped\ndata: d\nlines: 0 warnings: 0 last: None\npictures:\n");
}

/* However long a run was, its report can be sent on: lines and pictures are thinned, the first and the last stay. */
static void test_long(void **state)
{
    (void)state;
    struct stat status;
    const char *folder = files_path("long");
    make_folder(folder, "{\"data\": \"d\"}");
    make_log(folder, 10001); /* every sixth, the last, a warning and a measure */
    make_pictures(folder, 101, 1000);
    assert_int_equal(report_write(NULL, folder, "done"), VKG_OK);
    assert_int_equal(stat(files_path("long/report.html"), &status), 0);
    assert_in_range(status.st_size, 4 << 20, 9 << 20);
    expect_report(folder, "state: done\ndata: d\nlines: 1669 warnings: 1 last: 100010\n"
                          "pictures: 50 1700 3350 5050\n");
}

static void test_refusals(void **state)
{
    (void)state;
    struct messages messages;
    messages_init(&messages);
    expect_failure(&messages, VKG_ERROR_IO, report_write(&messages.log, files_path("none"), "done"), "none/config.json",
                   "No such file");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small), cmocka_unit_test(test_nothing_yet), cmocka_unit_test(test_long),
        cmocka_unit_test(test_refusals),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s check_report.py\n", argv[0]);
        return 2;
    }
    checker = argv[1];
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
