/* What tests of files share: a folder of their own, files made of bytes, and the messages that came. */
#ifndef VKG_TESTS_FILES_H
#define VKG_TESTS_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vkgan/result.h"

/* A new, empty folder below $TMPDIR; every path below comes from it. Setup and teardown of a cmocka group. */
int files_setup(void **state);
int files_teardown(void **state);

/* The path of a name in the folder. Good until sixteen calls later. */
const char *files_path(const char *name);
void files_write(const char *path, const void *data, size_t size);
/* The whole file in new memory. */
void *files_read(const char *path, size_t *size);
void files_folder(const char *path);
/* Entries of a folder, without "." and "..". */
int files_count(const char *folder);

/* Counts error messages and keeps the latest. */
struct messages {
    vkg_log log; /* give &log to the library */
    int errors;
    char last[1024];
};
void messages_init(struct messages *messages);
/* Exactly one error has come since the last look, and it holds every one of the texts (ended by NULL). */
void messages_expect(struct messages *messages, ...);

/* result is `wanted`, with one message that holds the texts. */
#define expect_failure(messages, wanted, result, ...)                                                          \
    do {                                                                                                       \
        assert_int_equal(result, wanted);                                                                      \
        messages_expect(messages, __VA_ARGS__, (const char *)NULL);                                            \
    } while (0)

#endif
