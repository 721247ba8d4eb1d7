/* JSON lines: one object a line, appended to a file, whole lines only. */
#ifndef VKG_IO_JSON_H
#define VKG_IO_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "vkgan/result.h"

struct json_lines;

/* Opens `path` for appending, makes it where it is missing; a half line that a crash left behind is ended
 * first. `log` is copied. Not thread-safe. */
vkg_result json_lines_open(const vkg_log *log, const char *path, struct json_lines **lines);
/* Closes, frees, clears the handle. A line that was begun and not ended is dropped. NULL is fine. */
void json_lines_close(struct json_lines **lines);

/* begin, then the members in order, then end, which appends the line in one write and returns what went wrong
 * on the way. A line that cannot be written in full (a full disk) is taken back. */
void json_line_begin(struct json_lines *lines);
void json_line_number(struct json_lines *lines, const char *key, double value); /* NaN and infinity: null */
void json_line_integer(struct json_lines *lines, const char *key, int64_t value);
void json_line_string(struct json_lines *lines, const char *key, const char *value);
vkg_result json_line_end(struct json_lines *lines);

/* --- the text itself, for those who write JSON elsewhere --- */

/* A text that grows; zeroed is empty. Free `text` with free(). */
struct json_text {
    char *text; /* ends in 0 when not NULL */
    size_t length, capacity;
    int failed; /* memory was out: all later calls do nothing */
};
void json_put(struct json_text *json, const char *bytes, size_t count);
/* With the quotes; control characters, quote and backslash are escaped. */
void json_put_string(struct json_text *json, const char *text);

#endif
