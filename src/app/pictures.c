/* Samples, and pictures of them. */
#include <stdlib.h>
#include <string.h>

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
