/* The film strip: how the samples changed over training. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"

enum { MOST = 10 };

struct frame {
    uint64_t step;
    uint32_t index;
};

static int by_step(const void *a, const void *b)
{
    const uint64_t x = ((const struct frame *)a)->step, y = ((const struct frame *)b)->step;
    return (x > y) - (x < y);
}

/* The pictures step-NUMBER.png by their numbers, of which names are the order for six digits alone. */
static struct frame *list_frames(const vkg_dataset *pictures, uint32_t count)
{
    struct frame *frames = calloc(count, sizeof *frames);
    for (uint32_t i = 0; frames && i < count; i++) {
        frames[i].index = i;
        sscanf(vkg_dataset_name(pictures, i), "step-%" SCNu64, &frames[i].step);
    }
    if (frames)
        qsort(frames, count, sizeof *frames, by_step);
    return frames;
}

/* The pictures of samples/ are a dataset of images. */
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
    struct frame *frames = list_frames(pictures, info.count);
    if (!values || !frames)
        result = vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of memory", path);
    for (uint32_t i = 0; i < count && result == VKG_OK; i++)
        result = vkg_dataset_read(pictures, frames[count > 1 ? (uint64_t)i * (info.count - 1) / (count - 1) : 0].index,
                                  values + i * elements);
    if (result == VKG_OK)
        result = vkg_image_grid(&app->log, &(vkg_grid_desc){.count = count, .height = info.height, .width = info.width,
                                                            .channels = info.channels, .columns = count, .values = values},
                                &strip);
    if (result == VKG_OK)
        result = vkg_image_save_png(&app->log, path, strip.width, strip.height, strip.channels, strip.pixels);
    vkg_image_free(&strip);
    free(values);
    free(frames);
    vkg_dataset_close(&pictures);
    return result;
}
