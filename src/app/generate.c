/* generate: samples of a trained generator. */
#include <stdlib.h>
#include <string.h>

#include "app/app.h"

struct generation {
    vkg_app *app;
    struct run_image run;
    vkg_network_settings settings;
    vkg_state *state;
    vkg_sampler *sampler;
};

static vkg_result load(struct generation *g)
{
    vkg_app *app = g->app;
    if (!app->options.target)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "generate needs a run folder or a checkpoint; see %s generate --help",
                        app->desc->name);
    vkg_result result = trained_open(app, app->options.target, &g->run, &g->settings);
    if (result == VKG_OK)
        result = app_open_device(app);
    vkg_sampler_desc desc = {.generator = app->desc->gan.generator, .settings = g->settings, .scope = app_generator_scope(app),
                             .batch = app->options.count < 64 ? (uint32_t)app->options.count : 64};
    if (result == VKG_OK)
        result = vkg_sampler_create_state(app->device, &desc, &g->state);
    if (result == VKG_OK)
        result = vkg_app_load(app, g->state, app_generator_prefix(app));
    desc.state = g->state;
    return result == VKG_OK ? vkg_sampler_create(app->device, &desc, &g->sampler) : result;
}

/* Images as bytes, anything else as the numbers that it is. */
static vkg_result write_npy(struct generation *g, const float *samples, const char *path)
{
    const vkg_log *log = &g->app->log;
    const uint64_t dims[4] = {(uint64_t)g->app->options.count, g->run.image[0], g->run.image[1], g->run.image[2]};
    const size_t elements = (size_t)(dims[0] * dims[1] * dims[2] * dims[3]);
    if (g->app->desc->draw)
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
    struct generation g = {.app = app};
    const char *output = app->options.output ? app->options.output : "samples.png";
    const bool npy = ends_with(output, ".npy");
    const uint32_t count = (uint32_t)app->options.count;
    float *samples = NULL;
    if (!npy && !ends_with(output, ".png"))
        return app_error(app, "--output %s: the name must end in .png or .npy", output);
    vkg_result result = load(&g);
    if (result == VKG_OK)
        result = draw_samples(app, g.sampler, (uint64_t)app->options.seed, count, g.run.image, output, &samples);
    if (result == VKG_OK)
        result = npy ? write_npy(&g, samples, output) : write_picture(app, samples, count, g.run.image, output);
    if (result == VKG_OK)
        printf("%s: %u samples from %s\n", output, count, app->checkpoint);
    free(samples);
    vkg_sampler_destroy(&g.sampler);
    vkg_state_destroy(&g.state);
    return result != VKG_OK;
}
