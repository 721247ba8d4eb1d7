/* The film strip: how the samples changed over training. */
#include <stdlib.h>

#include "app/app.h"

enum { MOST = 10 };

/* Frames of one size, that of the first. */
struct film {
    uint32_t count, height, width, channels;
    float *values; /* room for MOST; NULL before the first */
};

/* Reads a picture of samples/, as a set of one. */
static vkg_result add_frame(const vkg_app *app, const char *folder, const char *name, struct film *film)
{
    char samples[PATH_BYTES], path[PATH_BYTES];
    vkg_dataset *picture;
    if (!run_path(app, folder, "samples", samples) || !run_path(app, samples, name, path))
        return VKG_ERROR_INVALID;
    vkg_result result = vkg_dataset_open(&app->log, &(vkg_dataset_desc){.path = path, .channels = film->channels}, &picture);
    if (result != VKG_OK)
        return result;
    const vkg_dataset_info info = vkg_dataset_get_info(picture);
    const size_t elements = (size_t)info.height * info.width * info.channels;
    if (!film->values)
        *film = (struct film){0, info.height, info.width, info.channels, malloc(MOST * elements * sizeof *film->values)};
    if (!film->values)
        result = vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of memory", path);
    else if (info.height != film->height || info.width != film->width)
        result = vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: is %u×%u, expected %u×%u as the samples before", path, info.width, info.height,
                          film->width, film->height);
    else
        result = vkg_dataset_read(picture, 0, film->values + film->count++ * elements);
    vkg_dataset_close(&picture);
    return result;
}

vkg_result film_write(const vkg_app *app, const char *folder, char path[PATH_BYTES])
{
    struct run_samples samples = {0};
    struct film film = {0};
    vkg_image strip = {0};
    if (!run_path(app, folder, "film.png", path))
        return VKG_ERROR_INVALID;
    vkg_result result = run_find_samples(&app->log, folder, &samples);
    const size_t count = samples.count < MOST ? samples.count : MOST;
    if (result == VKG_OK && count == 0)
        result = vkg_fail(&app->log, VKG_ERROR_IO, "%s/samples: there is no picture for the film", folder);
    for (size_t i = 0; i < count && result == VKG_OK; i++)
        result = add_frame(app, folder, samples.items[count > 1 ? i * (samples.count - 1) / (count - 1) : 0].name, &film);
    if (result == VKG_OK)
        result = vkg_image_grid(&app->log, &(vkg_grid_desc){.count = film.count, .height = film.height, .width = film.width,
                                                            .channels = film.channels, .columns = film.count, .values = film.values},
                                &strip);
    if (result == VKG_OK)
        result = vkg_image_save_png(&app->log, path, strip.width, strip.height, strip.channels, strip.pixels);
    vkg_image_free(&strip);
    free(film.values);
    free(samples.items);
    return result;
}
