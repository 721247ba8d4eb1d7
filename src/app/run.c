/* The run folder: log.jsonl, samples/, checkpoints/; config.json is config.c's. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/app.h"
#include "base/arena.h"
#include "base/file.h"

bool run_path(const vkg_app *app, const char *folder, const char *name, char path[PATH_BYTES])
{
    if (snprintf(path, PATH_BYTES, "%s/%s", folder, name) < PATH_BYTES)
        return true;
    app_error(app, "%s/%s: the path is too long", folder, name);
    return false;
}

vkg_result make_folders(const vkg_app *app, const char *folder)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "%s: the path is too long", folder);
    for (char *slash = path + 1;; slash++) {
        char kept = *slash;
        if (kept != '/' && kept != 0)
            continue;
        *slash = 0;
        struct stat status;
        if (mkdir(path, 0777) != 0 && (errno != EEXIST || stat(path, &status) != 0 || !S_ISDIR(status.st_mode)))
            return vkg_fail(&app->log, VKG_ERROR_IO, "%s: the folder cannot be made: %s", path,
                            errno == EEXIST ? "there is a file of that name" : strerror(errno));
        *slash = kept;
        if (kept == 0)
            return VKG_OK;
    }
}

vkg_result run_create(const vkg_app *app, const char *folder, int *lock)
{
    static const char *const parts[] = {"samples", "checkpoints"};
    char paths[2][PATH_BYTES];
    vkg_result result = VKG_OK;
    for (int i = 0; i < 2 && result == VKG_OK; i++)
        result = run_path(app, folder, parts[i], paths[i]) ? make_folders(app, paths[i]) : VKG_ERROR_INVALID;
    if (result == VKG_OK)
        result = file_lock_folder(&app->log, folder, lock);
    if (result != VKG_OK || *lock < 0)
        return result;
    file_remove_drafts(folder);
    for (int i = 0; i < 2; i++)
        file_remove_drafts(paths[i]);
    return VKG_OK;
}

bool run_exists(const char *folder)
{
    char path[PATH_BYTES];
    struct stat status;
    return snprintf(path, sizeof path, "%s/config.json", folder) < (int)sizeof path && stat(path, &status) == 0;
}

/* --- checkpoints --- */

/* "step-000123.safetensors" → 123; false for any other name, a temporary file's for example. */
static bool checkpoint_step(const char *name, uint64_t *step)
{
    char *end;
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9')
        return false;
    errno = 0;
    *step = strtoull(name + 5, &end, 10);
    return errno == 0 && strcmp(end, ".safetensors") == 0;
}

vkg_result run_newest_checkpoint(const vkg_app *app, const char *folder, char path[PATH_BYTES], uint64_t *step)
{
    char checkpoints[PATH_BYTES], name[PATH_BYTES];
    *step = 0;
    path[0] = 0;
    if (!run_path(app, folder, "checkpoints", checkpoints))
        return VKG_ERROR_INVALID;
    DIR *directory = opendir(checkpoints);
    if (!directory)
        return vkg_fail(&app->log, VKG_ERROR_IO, "%s: %s (is %s a run folder?)", checkpoints, strerror(errno), folder);
    bool found = false;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        uint64_t this_step;
        if (!checkpoint_step(entry->d_name, &this_step) || (found && this_step <= *step))
            continue;
        found = true;
        *step = this_step;
        snprintf(name, sizeof name, "%s", entry->d_name);
    }
    closedir(directory);
    if (found && !run_path(app, checkpoints, name, path))
        return VKG_ERROR_INVALID;
    return VKG_OK;
}

/* --- samples --- */

static int by_step(const void *a, const void *b)
{
    const uint64_t x = ((const struct run_sample *)a)->step, y = ((const struct run_sample *)b)->step;
    return (x > y) - (x < y);
}

vkg_result run_find_samples(const vkg_log *log, const char *folder, struct run_samples *samples)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/samples", folder) >= (int)sizeof path)
        return vkg_fail(log, VKG_ERROR_INVALID, "%s/samples: the path is too long", folder);
    DIR *directory = opendir(path);
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        struct run_sample sample;
        int used = 0;
        if (sscanf(entry->d_name, "step-%" SCNu64 ".png%n", &sample.step, &used) != 1 || used == 0 || entry->d_name[used] != 0 ||
            used >= (int)sizeof sample.name)
            continue;
        if (!array_reserve((void **)&samples->items, &samples->capacity, samples->count, sizeof *samples->items)) {
            closedir(directory);
            return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of memory for its list", path);
        }
        memcpy(sample.name, entry->d_name, (size_t)used + 1);
        samples->items[samples->count++] = sample;
    }
    if (directory)
        closedir(directory);
    if (samples->count > 0)
        qsort(samples->items, samples->count, sizeof *samples->items, by_step);
    return VKG_OK;
}

/* --- log.jsonl --- */

vkg_result run_trim_log(const vkg_app *app, const char *folder, uint64_t step)
{
    char path[PATH_BYTES];
    void *text;
    size_t size;
    struct stat status;
    if (!run_path(app, folder, "log.jsonl", path))
        return VKG_ERROR_INVALID;
    if (stat(path, &status) != 0)
        return VKG_OK;
    vkg_result result = file_read_whole(&app->log, path, (uint64_t)1 << 32, &text, &size);
    if (result != VKG_OK)
        return result;
    char *kept = text;
    for (char *line = text, *next; line < (char *)text + size; line = next) {
        char *end = memchr(line, '\n', (size_t)((char *)text + size - line));
        next = end ? end + 1 : (char *)text + size;
        static const char begin[] = "{\"step\": "; /* not by sscanf, which would measure all the rest at every line */
        const char *number = line + sizeof begin - 1;
        if (end && strncmp(line, begin, sizeof begin - 1) == 0 && *number >= '0' && *number <= '9' && strtoull(number, NULL, 10) <= step) {
            memmove(kept, line, (size_t)(next - line));
            kept += next - line;
        }
    }
    result = file_write_atomic(&app->log, path, &(struct file_part){text, (uint64_t)(kept - (char *)text)}, 1);
    free(text);
    return result;
}
