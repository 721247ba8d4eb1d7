#define _XOPEN_SOURCE 700 /* nftw */
#include "files.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[256];

int files_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    (void)state;
    snprintf(folder, sizeof folder, "%s/vkgan-test-XXXXXX", base ? base : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

int files_teardown(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *files_path(const char *name)
{
    static char paths[16][512];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void files_write(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void *files_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *data = calloc(1, *size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

void files_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0777), 0);
}

int files_count(const char *path)
{
    int count = 0;
    DIR *stream = opendir(path);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(stream);
    return count;
}

static void keep_message(void *user, vkg_log_level level, const char *message)
{
    struct messages *messages = user;
    if (level != VKG_LOG_ERROR)
        return;
    ++messages->errors;
    snprintf(messages->last, sizeof messages->last, "%s", message);
}

void messages_init(struct messages *messages)
{
    *messages = (struct messages){.log = {keep_message, messages}};
}

void messages_expect(struct messages *messages, ...)
{
    va_list texts;
    if (messages->errors != 1)
        fail_msg("%d messages instead of one; the last: %s", messages->errors, messages->last);
    messages->errors = 0;
    va_start(texts, messages);
    for (const char *text; (text = va_arg(texts, const char *));)
        if (!strstr(messages->last, text))
            fail_msg("\"%s\" is not in the message: %s", text, messages->last);
    va_end(texts);
    if (getenv("VKGAN_TEST_MESSAGES"))
        print_message("    %s\n", messages->last);
}
