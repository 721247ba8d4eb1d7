/* The film strip: how the samples changed over training. */
#include <stdlib.h>

#include "app/app.h"

enum { MOST = 10 };

/* The pictures of samples/ are a dataset of images, in the order of their names, which is that of their steps. */
static vkg_result open_pictures(const vkg_app *app, const char *folder, vkg_dataset **pictures)
{
    char path[PATH_BYTES];
    if (!run_path(app, folder, "samples", path))
        return VKG_ERROR_INVALID;
    return vkg_dataset_open(&app->log, &(vkg_dataset_desc){.path = path}, pictures);
}

vkg_result film_write(const vkg_app *app, const char *folder, char path[PATH_BYTES])
{
    vkg_dataset *pictures;
    vkg_image strip = {0};
    if (!run_path(app, folder, "film.png", path))
        return VKG_ERROR_INVALID;
    vkg_result result = open_pictures(app, folder, &pictures);
    if (result != VKG_OK)
        return result;
    const vkg_dataset_info info = vkg_dataset_get_info(pictures);
    const uint32_t count = info.count < MOST ? info.count : MOST;
    const size_t elements = (size_t)info.height * info.width * info.channels;
    float *values = malloc(count * elements * sizeof *values);
    if (!values)
        result = vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of memory", path);
    for (uint32_t i = 0; i < count && result == VKG_OK; i++)
        result = vkg_dataset_read(pictures, count > 1 ? (uint32_t)((uint64_t)i * (info.count - 1) / (count - 1)) : 0,
                                  values + i * elements);
    if (result == VKG_OK)
        result = vkg_image_grid(&app->log, &(vkg_grid_desc){.count = count, .height = info.height, .width = info.width,
                                                            .channels = info.channels, .columns = count, .values = values},
                                &strip);
    if (result == VKG_OK)
        result = vkg_image_save_png(&app->log, path, strip.width, strip.height, strip.channels, strip.pixels);
    vkg_image_free(&strip);
    free(values);
    vkg_dataset_close(&pictures);
    return result;
}
