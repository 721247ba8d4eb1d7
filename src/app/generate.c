/* generate: samples of a trained generator. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/app.h"

struct generation {
    vkg_app *app;
    struct run_image run;
    vkg_network_settings settings;
    char folder[PATH_BYTES], checkpoint[PATH_BYTES];
    vkg_state *state;
    vkg_sampler *sampler;
};

/* The target is a run folder, or a checkpoint in one: RUN/checkpoints/FILE. */
static vkg_result find_checkpoint(struct generation *g)
{
    const char *target = g->app->options.target;
    struct stat status;
    uint64_t step;
    if (!target)
        return vkg_fail(&g->app->log, VKG_ERROR_INVALID, "generate needs a run folder or a checkpoint; see %s generate --help",
                        g->app->desc->name);
    if (stat(target, &status) != 0)
        return vkg_fail(&g->app->log, VKG_ERROR_IO, "%s: there is no such run folder or checkpoint", target);
    if (S_ISDIR(status.st_mode)) {
        snprintf(g->folder, sizeof g->folder, "%s", target);
        vkg_result result = run_newest_checkpoint(g->app, target, g->checkpoint, &step);
        if (result == VKG_OK && !g->checkpoint[0])
            return vkg_fail(&g->app->log, VKG_ERROR_INVALID, "%s: there is no checkpoint yet", target);
        return result;
    }
    snprintf(g->checkpoint, sizeof g->checkpoint, "%s", target);
    const char *slash = strrchr(target, '/');
    snprintf(g->folder, sizeof g->folder, "%.*s..", slash ? (int)(slash - target + 1) : 0, target);
    return VKG_OK;
}

static vkg_result load(struct generation *g)
{
    vkg_app *app = g->app;
    const double seed = app->options.seed; /* of the samples; the run's own is another thing */
    vkg_result result = find_checkpoint(g);
    if (result == VKG_OK)
        result = run_read_config(app, g->folder, &g->run);
    app->options.seed = seed;
    if (result != VKG_OK)
        return result;
    if (!app_settings(app, g->run.image, &g->settings))
        return VKG_ERROR_INVALID;
    result = app_open_device(app);
    vkg_sampler_desc desc = {.generator = app->desc->gan.generator, .settings = g->settings,
                             .batch = app->options.count < 64 ? (uint32_t)app->options.count : 64};
    if (result == VKG_OK)
        result = vkg_sampler_create_state(app->device, &desc, &g->state);
    if (result == VKG_OK)
        result = vkg_state_load(g->state, g->checkpoint, "generator.", NULL);
    const char *broken = NULL;
    if (result == VKG_OK)
        result = find_broken(app, g->state, &broken);
    if (broken)
        return vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: \"%s\" holds what is no number", g->checkpoint, broken);
    desc.state = g->state;
    return result == VKG_OK ? vkg_sampler_create(app->device, &desc, &g->sampler) : result;
}

static vkg_result write_npy(struct generation *g, const char *path)
{
    const uint64_t dims[4] = {(uint64_t)g->app->options.count, g->run.image[0], g->run.image[1], g->run.image[2]};
    uint8_t *bytes;
    vkg_result result = draw_samples(g->app, g->sampler, (uint64_t)g->app->options.seed, (uint32_t)dims[0], g->run.image,
                                     path, &bytes);
    if (result == VKG_OK)
        result = vkg_npy_save(&g->app->log, path, VKG_FILE_U8, 4, dims, bytes);
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
    if (!npy && !ends_with(output, ".png"))
        return app_error(app, "--output %s: the name must end in .png or .npy", output);
    vkg_result result = load(&g);
    if (result == VKG_OK)
        result = npy ? write_npy(&g, output)
                     : write_samples(app, g.sampler, (uint64_t)app->options.seed, (uint32_t)app->options.count, g.run.image,
                                     output);
    if (result == VKG_OK)
        printf("%s: %g images of %u×%u from %s\n", output, app->options.count, g.run.image[0], g.run.image[1],
               g.checkpoint);
    vkg_sampler_destroy(&g.sampler);
    vkg_state_destroy(&g.state);
    return result != VKG_OK;
}
