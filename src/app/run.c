/* The run folder: config.json, log.jsonl, samples/, checkpoints/. */
#include <cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/app.h"
#include "base/file.h"

bool run_path(const vkg_app *app, const char *folder, const char *name, char path[PATH_BYTES])
{
    if (snprintf(path, PATH_BYTES, "%s/%s", folder, name) < PATH_BYTES)
        return true;
    app_error(app, "%s/%s: the path is too long", folder, name);
    return false;
}

/* Makes a folder and those above it. */
static vkg_result make_folders(const vkg_app *app, const char *folder)
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

vkg_result run_create(const vkg_app *app, const char *folder)
{
    static const char *const parts[] = {"samples", "checkpoints"};
    for (int i = 0; i < 2; i++) {
        char path[PATH_BYTES];
        if (!run_path(app, folder, parts[i], path))
            return VKG_ERROR_INVALID;
        vkg_result result = make_folders(app, path);
        if (result != VKG_OK)
            return result;
    }
    return VKG_OK;
}

bool run_exists(const char *folder)
{
    char path[PATH_BYTES];
    struct stat status;
    return snprintf(path, sizeof path, "%s/config.json", folder) < (int)sizeof path && stat(path, &status) == 0;
}

/* --- config.json --- */

static void add_setting(void *json, const struct setting *setting)
{
    cJSON_AddNumberToObject(json, setting->name, *setting->value);
}

vkg_result run_write_config(vkg_app *app, const char *folder, const struct run_image *image)
{
    static const char *const names[3] = {"image_height", "image_width", "image_channels"};
    char path[PATH_BYTES];
    if (!run_path(app, folder, "config.json", path))
        return VKG_ERROR_INVALID;
    const vkg_device_caps *caps = vkg_device_get_caps(app->device);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "program", app->desc->name);
    cJSON_AddStringToObject(json, "vkgan", VKGAN_VERSION);
    cJSON_AddStringToObject(json, "data", image->data);
    cJSON_AddStringToObject(json, "device", caps->name); /* for the reader: a run may go on elsewhere, with other bits */
    cJSON_AddStringToObject(json, "driver", caps->driver_info);
    cJSON_AddStringToObject(json, "kernels", vkg_kernel_family_name(caps->kernels));
    options_each_setting(&app->options, add_setting, json);
    for (int i = 0; i < 3; i++)
        cJSON_AddNumberToObject(json, names[i], image->image[i]);
    char *text = cJSON_Print(json);
    vkg_result result = text ? file_write_atomic(&app->log, path, (struct file_part[]){{text, strlen(text)}, {"\n", 1}}, 2)
                             : vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of memory", path);
    cJSON_free(text);
    cJSON_Delete(json);
    return result;
}

struct reading {
    vkg_app *app;
    const char *path;
    const cJSON *json;
    vkg_result result;
};

static void read_setting(void *user, const struct setting *setting)
{
    struct reading *reading = user;
    const vkg_app *app = reading->app;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(reading->json, setting->name);
    const double value = cJSON_IsNumber(item) ? item->valuedouble : !item && setting->choice ? 0 : NAN;
    const bool given = option_given(app, setting->name);
    if (reading->result != VKG_OK)
        return;
    if (!(value >= setting->low && value <= setting->high) || (setting->whole && value != floor(value)))
        reading->result = vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: \"%s\" is missing or no %snumber from %.16g to %.16g",
                                   reading->path, setting->name, setting->whole ? "whole " : "", setting->low,
                                   setting->high);
    else if (given && setting->fixed && app->options.resume && *setting->value != value)
        reading->result = vkg_fail(&app->log, VKG_ERROR_INVALID,
                                   "--%s %.16g: the run in %s was made with %.16g, which resuming cannot change",
                                   setting->name, *setting->value, reading->path, value);
    else if (!given)
        *setting->value = value;
}

static vkg_result read_image(struct reading *reading, struct run_image *image)
{
    static const char *const names[3] = {"image_height", "image_width", "image_channels"};
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(reading->json, "data");
    const cJSON *program = cJSON_GetObjectItemCaseSensitive(reading->json, "program");
    const vkg_app *app = reading->app;
    if (!cJSON_IsString(program) || strcmp(program->valuestring, app->desc->name) != 0)
        return vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: \"program\" is %s, expected \"%s\"", reading->path,
                        cJSON_IsString(program) ? program->valuestring : "missing", app->desc->name);
    if (!cJSON_IsString(data) || strlen(data->valuestring) >= sizeof image->data)
        return vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: \"data\" is missing or no valid path", reading->path);
    strcpy(image->data, data->valuestring);
    for (int i = 0; i < 3; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(reading->json, names[i]);
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 1 && item->valuedouble <= 65536))
            return vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: \"%s\" is missing or no size", reading->path, names[i]);
        image->image[i] = (uint32_t)item->valuedouble;
    }
    return VKG_OK;
}

vkg_result run_read_config(vkg_app *app, const char *folder, struct run_image *image)
{
    char path[PATH_BYTES];
    void *text;
    size_t size;
    if (!run_path(app, folder, "config.json", path))
        return VKG_ERROR_INVALID;
    vkg_result result = file_read_whole(&app->log, path, 1 << 20, &text, &size);
    if (result != VKG_OK)
        return result;
    cJSON *json = cJSON_ParseWithLength(text, size);
    free(text);
    if (!cJSON_IsObject(json)) {
        cJSON_Delete(json);
        return vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: not a JSON object", path);
    }
    struct reading reading = {.app = app, .path = path, .json = json};
    options_each_setting(&app->options, read_setting, &reading);
    if (reading.result == VKG_OK)
        reading.result = read_image(&reading, image);
    cJSON_Delete(json);
    return reading.result;
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
        uint64_t line_step;
        if (end && sscanf(line, "{\"step\": %" SCNu64, &line_step) == 1 && line_step <= step) {
            memmove(kept, line, (size_t)(next - line));
            kept += next - line;
        }
    }
    result = file_write_atomic(&app->log, path, &(struct file_part){text, (uint64_t)(kept - (char *)text)}, 1);
    free(text);
    return result;
}
