/* report.html is a page (src/app/report.html, embedded by the build) with the run's files put in as they are: the page's script
 * makes curves of log.jsonl's lines. Long runs are thinned, so that a report stays small enough to be sent on. */
#include "app/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/app.h"
#include "base/file.h"
#include "io/json.h"

extern const unsigned char report_page[];
extern const size_t report_page_size;

enum { MAX_FRAMES = 60, MAX_PICTURE_BYTES = 8 << 20, MAX_LINES = 2000 };

static bool find_path(const vkg_log *log, const char *folder, const char *name, char path[PATH_BYTES])
{
    if (snprintf(path, PATH_BYTES, "%s/%s", folder, name) < PATH_BYTES)
        return true;
    vkg_fail(log, VKG_ERROR_INVALID, "%s/%s: the path is too long", folder, name);
    return false;
}

static void put(struct json_text *page, const char *text)
{
    json_put(page, text, strlen(text));
}

/* JSON inside HTML: a script's text ends at "</script", so that no '<' may be there; in JSON it is in strings only. */
static void put_json(struct json_text *page, const char *json, size_t size)
{
    for (const char *end = json + size; json < end;) {
        const char *bracket = memchr(json, '<', (size_t)(end - json));
        json_put(page, json, (size_t)((bracket ? bracket : end) - json));
        if (bracket)
            put(page, "\\u003c");
        json = bracket ? bracket + 1 : end;
    }
}

/* --- what the run is --- */

static void put_run(struct json_text *page, const char *state)
{
    char written[64];
    const time_t now = time(NULL);
    struct tm local;
    struct json_text json = {0};
    strftime(written, sizeof written, "%Y-%m-%d at %H:%M", localtime_r(&now, &local));
    put(&json, "{\"state\": ");
    json_put_string(&json, state);
    put(&json, ", \"written\": ");
    json_put_string(&json, written);
    put(&json, ", \"version\": \"" VKGAN_VERSION "\"}");
    put(page, "<script type=\"application/json\" id=\"run\">");
    if (json.text)
        put_json(page, json.text, json.length);
    put(page, "</script>\n");
    page->failed |= json.failed;
    free(json.text);
}

/* Text of a file of the run folder; the caller frees it. */
static vkg_result read_from_run(const vkg_log *log, const char *folder, const char *name, uint64_t most, void **text,
                                size_t *size)
{
    char path[PATH_BYTES];
    return find_path(log, folder, name, path) ? file_read_whole(log, path, most, text, size) : VKG_ERROR_INVALID;
}

static vkg_result put_config(const vkg_log *log, const char *folder, struct json_text *page)
{
    void *text;
    size_t size;
    vkg_result result = read_from_run(log, folder, "config.json", 1 << 20, &text, &size);
    if (result != VKG_OK)
        return result;
    put(page, "<script type=\"application/json\" id=\"config\">");
    put_json(page, text, size);
    put(page, "</script>\n");
    free(text);
    return VKG_OK;
}

/* --- the log --- */

/* Lines that come every few steps may be left out; warnings and measures, which are few, may not. */
static bool is_regular(const char *line, size_t size)
{
    return memmem(line, size, "\"images_per_second\"", 19) != NULL;
}

static const char *line_end(const char *line, const char *end)
{
    const char *found = memchr(line, '\n', (size_t)(end - line));
    return found ? found + 1 : end;
}

static void put_lines(struct json_text *page, const char *text, size_t size)
{
    const char *end = text + size;
    size_t regular = 0, number = 0;
    for (const char *line = text; line < end; line = line_end(line, end))
        regular += is_regular(line, (size_t)(line_end(line, end) - line));
    const size_t every = regular / MAX_LINES + 1;
    for (const char *line = text; line < end; line = line_end(line, end)) {
        const size_t length = (size_t)(line_end(line, end) - line);
        if (is_regular(line, length) && ++number != regular && number % every != 0)
            continue;
        put_json(page, line, length);
    }
}

static vkg_result put_log(const vkg_log *log, const char *folder, struct json_text *page)
{
    void *text;
    size_t size;
    vkg_result result = read_from_run(log, folder, "log.jsonl", (uint64_t)1 << 32, &text, &size);
    if (result != VKG_OK)
        return result;
    put(page, "<script type=\"text/plain\" id=\"log\">\n");
    put_lines(page, text, size);
    put(page, "</script>\n");
    free(text);
    return VKG_OK;
}

/* --- pictures --- */

static void put_base64(struct json_text *page, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t word = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
        json_put(page, (char[]){digits[word >> 18], digits[word >> 12 & 63], left > 1 ? digits[word >> 6 & 63] : '=',
                                left > 2 ? digits[word & 63] : '='}, 4);
    }
}

/* *size: of the file. */
static vkg_result put_picture(const vkg_log *log, const char *folder, const struct run_sample *picture, struct json_text *page,
                              size_t *size)
{
    char path[PATH_BYTES], name[sizeof picture->name + 16], tag[128];
    void *bytes;
    snprintf(name, sizeof name, "samples/%s", picture->name);
    if (!find_path(log, folder, name, path))
        return VKG_ERROR_INVALID;
    vkg_result result = file_read_whole(log, path, 1u << 30, &bytes, size);
    if (result != VKG_OK)
        return result;
    snprintf(tag, sizeof tag, "<img alt=\"\" data-step=\"%" PRIu64 "\" src=\"data:image/png;base64,", picture->step);
    put(page, tag);
    put_base64(page, bytes, *size);
    put(page, "\">\n");
    free(bytes);
    return VKG_OK;
}

/* So many, evenly apart, as there is room for. */
static vkg_result put_pictures(const vkg_log *log, const char *folder, struct json_text *page)
{
    struct run_samples pictures = {0};
    size_t frames = MAX_FRAMES, size = 0;
    vkg_result result = run_find_samples(log, folder, &pictures);
    put(page, "<template id=\"pictures\">\n");
    const size_t begin = page->length, count = pictures.count;
    for (size_t frame = 0; frame < frames && count > 0 && result == VKG_OK; frame++) {
        if (frames > count)
            frames = count;
        /* evenly from the first to the last, both included; alone, the last */
        const size_t index = frames > 1 ? frame * (count - 1) / (frames - 1) : count - 1;
        result = put_picture(log, folder, &pictures.items[index], page, &size);
        if (page->length - begin > MAX_PICTURE_BYTES && frames > 1) { /* begin again with fewer */
            page->length = begin;
            frames = frames * 2 / 3;
            frame = (size_t)-1;
        }
    }
    put(page, "</template>\n");
    free(pictures.items);
    return result;
}

/* --- the page --- */

vkg_result report_write(const vkg_log *log, const char *folder, const char *state)
{
    static const char marker[] = "<!--RUN-->";
    const char *page = (const char *)report_page, *place = memmem(page, report_page_size, marker, sizeof marker - 1);
    struct json_text run = {0};
    char path[PATH_BYTES];
    if (!find_path(log, folder, "report.html", path))
        return VKG_ERROR_INVALID;
    put_run(&run, state);
    vkg_result result = put_config(log, folder, &run);
    if (result == VKG_OK)
        result = put_log(log, folder, &run);
    if (result == VKG_OK)
        result = put_pictures(log, folder, &run);
    if (result == VKG_OK && run.failed)
        result = vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of memory", path);
    const char *rest = place + sizeof marker - 1;
    if (result == VKG_OK)
        result = file_write_atomic(log, path, (struct file_part[]){
            {page, (uint64_t)(place - page)}, {run.text, run.length},
            {rest, report_page_size - (uint64_t)(rest - page)}}, 3);
    free(run.text);
    return result;
}

int command_report(vkg_app *app)
{
    const char *folder = app->options.target;
    if (!folder)
        return app_error(app, "report needs a run folder; see %s report --help", app->desc->name);
    if (report_write(&app->log, folder, "") != VKG_OK)
        return 1;
    printf("%s/report.html\n", folder);
    return 0;
}
