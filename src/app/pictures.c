/* Samples, and pictures of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/app.h"

vkg_result draw_samples(vkg_app *app, vkg_sampler *sampler, uint64_t seed, uint32_t count, const uint32_t image[3],
                        const char *path, float **samples)
{
    const size_t elements = (size_t)image[0] * image[1] * image[2];
    float *values = malloc(count * elements * sizeof *values);
    vkg_result result = values ? vkg_sampler_generate(sampler, seed, 0, count, values)
                               : vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of memory for %u samples", path, count);
    if (result != VKG_OK) {
        free(values);
        values = NULL;
    }
    *samples = values;
    return result;
}

vkg_result vkg_app_save_grid(const vkg_app *app, const float *samples, const vkg_network_settings *settings, uint32_t count,
                             uint32_t columns, const char *path)
{
    const uint32_t *image = settings->image;
    vkg_image grid;
    vkg_result result = vkg_image_grid(&app->log, &(vkg_grid_desc){
        .count = count, .height = image[0], .width = image[1], .channels = image[2], .columns = columns, .values = samples}, &grid);
    if (result == VKG_OK)
        result = vkg_image_save_png(&app->log, path, grid.width, grid.height, grid.channels, grid.pixels);
    if (result == VKG_OK)
        printf("%s: %u images from %s\n", path, count, app->checkpoint);
    vkg_image_free(&grid);
    return result;
}

vkg_result write_picture(vkg_app *app, const float *samples, uint32_t count, const uint32_t image[3], const char *path)
{
    const uint32_t columns = app->classes > 1 && app->classes <= 16 ? app->classes : 0; /* a class a column */
    vkg_image picture = {0};
    vkg_result result = app->desc->draw ? app->desc->draw(app, samples, count, &picture)
                                        : vkg_image_grid(&app->log, &(vkg_grid_desc){
                                              .count = count, .columns = columns, .height = image[0], .width = image[1], .channels = image[2],
                                              .values = samples}, &picture);
    if (result == VKG_OK)
        result = vkg_image_save_png(&app->log, path, picture.width, picture.height, picture.channels, picture.pixels);
    vkg_image_free(&picture);
    return result;
}

/* --- pictures of a folder, and what is made of them --- */

/* "cat/7.jpg" is "cat/7.png" or, flat, "cat-7.png". false: that is too long. */
static bool name_result(const char *name, bool flat, char file[PATH_BYTES])
{
    const char *dot = strrchr(name, '.'), *slash = strrchr(name, '/');
    const int length = dot && (!slash || dot > slash) ? (int)(dot - name) : (int)strlen(name);
    if (snprintf(file, PATH_BYTES, "%.*s.png", length, name) >= PATH_BYTES)
        return false;
    for (char *c = file; flat && *c; c++)
        if (*c == '/')
            *c = '-';
    return true;
}

bool result_path(const vkg_app *app, const char *folder, const char *name, bool flat, char path[PATH_BYTES])
{
    char file[PATH_BYTES];
    name = name ? name : "picture";
    if (name_result(name, flat, file))
        return run_path(app, folder, file, path);
    app_error(app, "%s: the name is too long", name);
    return false;
}

struct result_name {
    const char *file, *of;
};

static int by_file(const void *a, const void *b)
{
    return strcmp(((const struct result_name *)a)->file, ((const struct result_name *)b)->file);
}

vkg_result check_result_names(vkg_app *app, const vkg_dataset *set, bool flat)
{
    const uint32_t count = vkg_dataset_get_info(set).count;
    if (!vkg_dataset_name(set, 0)) /* of no files */
        return count == 1 ? VKG_OK
                          : vkg_fail(&app->log, VKG_ERROR_INVALID, "%s: its %u images have no names for their results: expected image files",
                                     app->options.target, count);
    struct result_name *names = calloc(count, sizeof *names);
    bool good = names != NULL;
    for (uint32_t i = 0; i < count && good; i++) {
        char file[PATH_BYTES];
        names[i].of = vkg_dataset_name(set, i);
        if (!name_result(names[i].of, flat, file)) {
            free(names);
            return vkg_fail(&app->log, VKG_ERROR_INVALID, "%s: the name is too long", vkg_dataset_name(set, i));
        }
        good = (names[i].file = arena_strdup(&app->memory, file)) != NULL;
    }
    vkg_result result = good ? VKG_OK : vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for the names of %u images", count);
    if (good)
        qsort(names, count, sizeof *names, by_file);
    for (uint32_t i = 1; i < count && result == VKG_OK; i++)
        if (by_file(&names[i - 1], &names[i]) == 0)
            result = vkg_fail(&app->log, VKG_ERROR_INVALID, "%s: what is made of %s and of %s would both be called %s: rename one of them",
                              app->options.target, names[i - 1].of, names[i].of, names[i].file);
    free(names);
    return result;
}

vkg_result vkg_app_save_picture(vkg_app *app, const vkg_image *picture, const char *name)
{
    const char *folder = app->options.output;
    char path[PATH_BYTES];
    if (!folder)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "--output DIR says where the pictures go");
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return vkg_fail(&app->log, VKG_ERROR_IO, "%s: %s", folder, strerror(errno));
    if (!result_path(app, folder, name, true, path))
        return VKG_ERROR_INVALID;
    vkg_result result = vkg_image_save_png(&app->log, path, picture->width, picture->height, picture->channels, picture->pixels);
    if (result == VKG_OK)
        printf("%s: %u×%u\n", path, picture->width, picture->height);
    return result;
}

static vkg_result read_picture(const vkg_app *app, const vkg_dataset *set, uint32_t index, vkg_image *picture)
{
    uint32_t height, width;
    vkg_result result = vkg_dataset_size(set, index, &height, &width);
    if (result != VKG_OK)
        return result;
    const uint32_t channels = vkg_dataset_get_info(set).channels;
    const size_t count = (size_t)height * width * channels;
    float *values = malloc(count * sizeof *values);
    *picture = (vkg_image){width, height, channels, malloc(count)};
    if (!values || !picture->pixels)
        result = vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for a picture of %u×%u", width, height);
    if (result == VKG_OK)
        result = vkg_dataset_read(set, index, values);
    if (result == VKG_OK)
        vkg_image_bytes(values, count, picture->pixels);
    free(values);
    return result;
}

vkg_result vkg_app_each_picture(vkg_app *app, uint32_t channels, vkg_result (*work)(void *user, vkg_image *picture, const char *name),
                                void *user)
{
    vkg_dataset *set;
    if (!app->options.target)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "a picture or a folder of pictures is needed; see %s --help", app->desc->name);
    vkg_result result = vkg_dataset_open(&app->log, &(vkg_dataset_desc){.path = app->options.target, .any_size = true,
                                                                        .channels = channels}, &set);
    if (result == VKG_OK && app->options.output)
        result = check_result_names(app, set, true);
    const uint32_t count = result == VKG_OK ? vkg_dataset_get_info(set).count : 0;
    for (uint32_t i = 0; i < count && result == VKG_OK; i++) {
        const char *name = vkg_dataset_name(set, i);
        vkg_image picture = {0};
        result = read_picture(app, set, i, &picture);
        if (result == VKG_OK)
            result = work(user, &picture, name ? name : "picture");
        vkg_image_free(&picture);
    }
    vkg_dataset_close(&set);
    return result;
}
