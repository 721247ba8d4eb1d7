/* generate: samples of a trained generator. */
#include <stdlib.h>
#include <string.h>

#include "app/app.h"

static vkg_result choose_class(const vkg_app *app, vkg_sampler *sampler)
{
    const double label = app->options.label;
    if (label >= app->classes)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "--class %g: the run knows %u classes, from 0 on", label, app->classes);
    vkg_sampler_set_label(sampler, (int32_t)label);
    return VKG_OK;
}

/* Images as bytes, anything else as the numbers that it is. */
static vkg_result write_npy(const vkg_app *app, const float *samples, const uint32_t image[3], const char *path)
{
    const vkg_log *log = &app->log;
    const uint64_t dims[4] = {(uint64_t)app->options.count, image[0], image[1], image[2]};
    const size_t elements = (size_t)(dims[0] * dims[1] * dims[2] * dims[3]);
    if (app->desc->draw)
        return vkg_npy_save(log, path, VKG_FILE_F32, 4, dims, samples);
    uint8_t *bytes = malloc(elements);
    if (!bytes)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of memory", path);
    vkg_image_bytes(samples, elements, bytes);
    vkg_result result = vkg_npy_save(log, path, VKG_FILE_U8, 4, dims, bytes);
    free(bytes);
    return result;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length > end_length && strcmp(text + length - end_length, end) == 0;
}

int command_generate(vkg_app *app)
{
    struct trained trained = {0};
    const char *output = app->options.output ? app->options.output : "samples.png";
    const bool npy = ends_with(output, ".npy");
    const uint32_t count = (uint32_t)app->options.count;
    float *samples = NULL;
    if (!npy && !ends_with(output, ".png"))
        return app_error(app, "--output %s: the name must end in .png or .npy", output);
    if (!app->options.target)
        return app_error(app, "generate needs a run folder or a checkpoint; see %s generate --help", app->desc->name);
    vkg_result result = trained_open_sampler(app, app->options.target, count, &trained);
    if (result == VKG_OK && option_given(app, "class"))
        result = choose_class(app, trained.sampler);
    if (result == VKG_OK)
        result = draw_samples(app, trained.sampler, (uint64_t)app->options.seed, count, trained.run.image, output, &samples);
    if (result == VKG_OK)
        result = npy ? write_npy(app, samples, trained.run.image, output)
                     : write_picture(app, samples, count, trained.run.image, output);
    if (result == VKG_OK)
        printf("%s: %u samples from %s\n", output, count, app->checkpoint);
    free(samples);
    trained_close(&trained);
    return result != VKG_OK;
}
