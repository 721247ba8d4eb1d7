#include "io/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* --- text --- */

void json_put(struct json_text *json, const char *bytes, size_t count)
{
    if (json->failed)
        return;
    if (json->capacity - json->length <= count) {
        size_t grown = (json->length + count + 1) * 2;
        char *moved = realloc(json->text, grown);
        if (!moved) {
            json->failed = 1;
            return;
        }
        json->text = moved;
        json->capacity = grown;
    }
    memcpy(json->text + json->length, bytes, count);
    json->length += count;
    json->text[json->length] = 0;
}

void json_put_string(struct json_text *json, const char *text)
{
    json_put(json, "\"", 1);
    for (; *text; ++text) {
        unsigned char c = (unsigned char)*text;
        char escape[8];
        if (c < 0x20)
            json_put(json, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
        else if (c == '"' || c == '\\')
            json_put(json, (char[]){'\\', (char)c}, 2);
        else
            json_put(json, text, 1);
    }
    json_put(json, "\"", 1);
}

/* --- lines --- */

struct json_lines {
    vkg_log log;
    char *path;
    int fd;
    struct json_text line; /* kept from line to line, so that logging soon allocates nothing */
};

static int ends_in_half_line(int fd)
{
    char last;
    off_t size = lseek(fd, 0, SEEK_END);
    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

vkg_result json_lines_open(const vkg_log *log, const char *path, struct json_lines **lines)
{
    struct json_lines *opened = calloc(1, sizeof *opened);
    *lines = NULL;
    if (!opened || !(opened->path = strdup(path))) {
        free(opened);
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: cannot be opened: no memory", path);
    }
    if (log)
        opened->log = *log;
    opened->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (opened->fd < 0 || (ends_in_half_line(opened->fd) && write(opened->fd, "\n", 1) != 1)) {
        vkg_result result =
            vkg_fail(log, VKG_ERROR_IO, "%s: cannot be opened to append: %s", path, strerror(errno));
        json_lines_close(&opened);
        return result;
    }
    *lines = opened;
    return VKG_OK;
}

void json_lines_close(struct json_lines **lines)
{
    if (!*lines)
        return;
    if ((*lines)->fd >= 0)
        close((*lines)->fd);
    free((*lines)->line.text);
    free((*lines)->path);
    free(*lines);
    *lines = NULL;
}

void json_line_begin(struct json_lines *lines)
{
    lines->line.length = 0;
    lines->line.failed = 0;
    json_put(&lines->line, "{", 1);
}

static void put_key(struct json_lines *lines, const char *key)
{
    if (lines->line.length > 1)
        json_put(&lines->line, ", ", 2);
    json_put_string(&lines->line, key);
    json_put(&lines->line, ": ", 2);
}

void json_line_number(struct json_lines *lines, const char *key, double value)
{
    char text[40] = "null";
    if (isfinite(value))
        snprintf(text, sizeof text, "%.9g", value); /* nine digits bring any float back */
    for (char *c = text; *c; ++c)
        if (*c == ',') /* the decimal point of the application's locale */
            *c = '.';
    put_key(lines, key);
    json_put(&lines->line, text, strlen(text));
}

void json_line_integer(struct json_lines *lines, const char *key, int64_t value)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%" PRId64, value);
    put_key(lines, key);
    json_put(&lines->line, text, (size_t)length);
}

void json_line_string(struct json_lines *lines, const char *key, const char *value)
{
    put_key(lines, key);
    json_put_string(&lines->line, value);
}

vkg_result json_line_end(struct json_lines *lines)
{
    json_put(&lines->line, "}\n", 2);
    if (lines->line.failed)
        return vkg_fail(&lines->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for a line", lines->path);
    off_t before = lseek(lines->fd, 0, SEEK_END);
    ssize_t put;
    do
        put = write(lines->fd, lines->line.text, lines->line.length);
    while (put < 0 && errno == EINTR);
    if (put == (ssize_t)lines->line.length)
        return VKG_OK;
    int error = put < 0 ? errno : ENOSPC; /* a file takes less than it is given only where it is full */
    if (put > 0 && before >= 0 && ftruncate(lines->fd, before) != 0)
        error = errno;
    return vkg_fail(&lines->log, VKG_ERROR_IO, "%s: a line cannot be written: %s", lines->path,
                    strerror(error));
}
