/* config.json: the settings that a run keeps, and what it learned from. */
#include <cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/options.h"
#include "base/file.h"

static const char *const image_names[3] = {"image_height", "image_width", "image_channels"};
static const char *const input_names[3] = {"input_height", "input_width", "input_channels"};

static void add_setting(cJSON *json, struct options *options, const struct option_row *row)
{
    void *field = option_field(options, row);
    char word[64];
    int length;
    switch (row->kind) {
    case WHOLE:
    case REAL: cJSON_AddNumberToObject(json, row->name, *(double *)field); break;
    case FLAG: cJSON_AddBoolToObject(json, row->name, *(bool *)field); break;
    case TEXT: cJSON_AddStringToObject(json, row->name, *(char **)field ? *(char **)field : ""); break;
    case CHOICE: {
        const char *name = option_word(row->argument, (int)*(double *)field, &length);
        snprintf(word, sizeof word, "%.*s", length, name);
        cJSON_AddStringToObject(json, row->name, word);
    }
    }
}

vkg_result run_write_config(vkg_app *app, const char *folder, const struct run_image *image)
{
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
    for (const struct option_row *row = app->rows; row < app->rows + app->row_count; row++)
        if (row->memory != FORGOTTEN)
            add_setting(json, &app->options, row);
    for (int i = 0; i < 3; i++)
        cJSON_AddNumberToObject(json, image_names[i], image->image[i]);
    for (int i = 0; i < 3 && image->input[0] != 0; i++)
        cJSON_AddNumberToObject(json, input_names[i], image->input[i]);
    cJSON_AddNumberToObject(json, "classes", image->classes);
    cJSON_AddNumberToObject(json, "images", image->count);
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
};

/* What the file says of a row, as its field holds it. false: that is nothing it can hold. */
static bool parse_setting(struct reading *reading, const struct option_row *row, const cJSON *item, struct options *read)
{
    double *number = option_field(read, row);
    const char *text = cJSON_GetStringValue(item);
    int length;
    switch (row->kind) {
    case FLAG:
        *(bool *)(void *)number = cJSON_IsTrue(item);
        return cJSON_IsBool(item);
    case TEXT:
        *(const char **)(void *)number = text && text[0] ? arena_strdup(&reading->app->memory, text) : NULL;
        return text != NULL;
    case CHOICE: /* a number in files of earlier versions */
        *number = text ? option_word_number(row->argument, text, strlen(text)) : cJSON_IsNumber(item) ? item->valuedouble : -1;
        return *number >= 0 && *number <= 64 && *number == floor(*number) && *option_word(row->argument, (int)*number, &length);
    default:
        *number = cJSON_IsNumber(item) ? item->valuedouble : NAN;
        return *number >= row->low && *number <= row->high && (row->kind != WHOLE || *number == floor(*number));
    }
}

static size_t field_size(const struct option_row *row)
{
    return row->kind == FLAG ? sizeof(bool) : row->kind == TEXT ? sizeof(char *) : sizeof(double);
}

static bool is_same(struct options *a, struct options *b, const struct option_row *row)
{
    if (row->kind != TEXT)
        return memcmp(option_field(a, row), option_field(b, row), field_size(row)) == 0;
    const char *x = *(char **)option_field(a, row), *y = *(char **)option_field(b, row);
    return strcmp(x ? x : "", y ? y : "") == 0;
}

/* A setting's value in words, for messages. */
static const char *value_text(struct options *options, const struct option_row *row, char text[64])
{
    const double *number = option_field(options, row);
    int length;
    if (row->kind == TEXT || row->kind == FLAG)
        snprintf(text, 64, "%s", row->kind == FLAG ? "" : *(char **)option_field(options, row));
    else if (row->kind == CHOICE) {
        const char *word = option_word(row->argument, (int)*number, &length);
        snprintf(text, 64, "%.*s", length, word);
    } else
        snprintf(text, 64, "%.16g", *number);
    return text;
}

static vkg_result wrong_setting(const struct reading *reading, const struct option_row *row)
{
    if (row->kind == WHOLE || row->kind == REAL)
        return vkg_fail(&reading->app->log, VKG_ERROR_FORMAT, "%s: \"%s\" is no %snumber from %.16g to %.16g", reading->path,
                        row->name, row->kind == WHOLE ? "whole " : "", row->low, row->high);
    return vkg_fail(&reading->app->log, VKG_ERROR_FORMAT, "%s: \"%s\" is not %s", reading->path, row->name,
                    row->kind == FLAG ? "true or false" : row->kind == TEXT ? "a text" : row->argument);
}

/* A setting that the file lacks is of a later version than the run: its default is how it was then. */
static vkg_result read_setting(struct reading *reading, const struct option_row *row)
{
    vkg_app *app = reading->app;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(reading->json, row->name);
    struct options read = app->options;
    char said[64], was[64];
    memcpy(option_field(&read, row), option_field(&app->defaults, row), field_size(row));
    if (item && !parse_setting(reading, row, item, &read))
        return wrong_setting(reading, row);
    const bool given = app->options.given[row - app->rows];
    if (given && row->memory == FIXED && app->options.resume && !is_same(&read, &app->options, row))
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "--%s %s: the run in %s was made with %s, which resuming cannot change",
                        row->name, value_text(&app->options, row, said), reading->path, value_text(&read, row, was));
    if (!given)
        app->options = read;
    return VKG_OK;
}

static vkg_result read_shape(struct reading *reading, const char *const names[3], uint32_t shape[3])
{
    for (int i = 0; i < 3; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(reading->json, names[i]);
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 1 && item->valuedouble <= 65536))
            return vkg_fail(&reading->app->log, VKG_ERROR_FORMAT, "%s: \"%s\" is missing or no size", reading->path, names[i]);
        shape[i] = (uint32_t)item->valuedouble;
    }
    return VKG_OK;
}

/* A number that files of earlier versions lack: 0. */
static uint32_t read_count(const struct reading *reading, const char *name, uint32_t most)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(reading->json, name);
    return cJSON_IsNumber(item) && item->valuedouble > 0 && item->valuedouble <= most ? (uint32_t)item->valuedouble : 0;
}

static vkg_result read_image(struct reading *reading, struct run_image *image)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(reading->json, "data");
    const cJSON *program = cJSON_GetObjectItemCaseSensitive(reading->json, "program");
    const vkg_app *app = reading->app;
    if (!cJSON_IsString(program) || strcmp(program->valuestring, app->desc->name) != 0)
        return vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: \"program\" is %s, expected \"%s\"", reading->path,
                        cJSON_IsString(program) ? program->valuestring : "missing", app->desc->name);
    if (!cJSON_IsString(data) || strlen(data->valuestring) >= sizeof image->data)
        return vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: \"data\" is missing or no valid path", reading->path);
    strcpy(image->data, data->valuestring);
    vkg_result result = read_shape(reading, image_names, image->image);
    memset(image->input, 0, sizeof image->input);
    if (result == VKG_OK && app->desc->pairs)
        result = read_shape(reading, input_names, image->input);
    if (result != VKG_OK)
        return result;
    image->classes = read_count(reading, "classes", 65536);
    image->count = read_count(reading, "images", UINT32_MAX);
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
    for (const struct option_row *row = app->rows; row < app->rows + app->row_count && result == VKG_OK; row++)
        if (row->memory != FORGOTTEN)
            result = read_setting(&reading, row);
    if (result == VKG_OK)
        result = read_image(&reading, image);
    cJSON_Delete(json);
    return result;
}
