/* A run that is there already: its settings, its checkpoint, and what a state takes from it. */
#include <string.h>
#include <sys/stat.h>

#include "app/app.h"

/* The target is a run folder, or a checkpoint in one: RUN/checkpoints/FILE. */
static vkg_result find_checkpoint(vkg_app *app, const char *target, char folder[PATH_BYTES])
{
    struct stat status;
    uint64_t step;
    if (stat(target, &status) != 0)
        return vkg_fail(&app->log, VKG_ERROR_IO, "%s: there is no such run folder or checkpoint", target);
    if (S_ISDIR(status.st_mode)) {
        snprintf(folder, PATH_BYTES, "%s", target);
        vkg_result result = run_newest_checkpoint(app, target, app->checkpoint, &step);
        if (result == VKG_OK && !app->checkpoint[0])
            return vkg_fail(&app->log, VKG_ERROR_INVALID, "%s: there is no checkpoint yet", target);
        return result;
    }
    snprintf(app->checkpoint, sizeof app->checkpoint, "%s", target);
    const char *slash = strrchr(target, '/');
    snprintf(folder, PATH_BYTES, "%.*s..", slash ? (int)(slash - target + 1) : 0, target);
    return VKG_OK;
}

vkg_result trained_open(vkg_app *app, const char *target, struct run_image *run, vkg_network_settings *settings)
{
    char folder[PATH_BYTES];
    const double seed = app->options.seed;
    vkg_result result = find_checkpoint(app, target, folder);
    if (result == VKG_OK)
        result = run_read_config(app, folder, run);
    app->options.seed = seed;
    if (result == VKG_OK && !app_settings(app, run, settings))
        result = VKG_ERROR_INVALID;
    return result;
}

vkg_result vkg_app_open_run(vkg_app *app, vkg_network_settings *settings)
{
    char folder[256];
    struct run_image run;
    snprintf(folder, sizeof folder, "runs/%s", app->desc->name);
    return trained_open(app, app->options.run ? app->options.run : folder, &run, settings);
}

vkg_result vkg_app_load(vkg_app *app, vkg_state *state, const char *prefix)
{
    const char *broken = NULL;
    vkg_result result = vkg_state_load(state, app->checkpoint, prefix, NULL);
    if (result == VKG_OK)
        result = find_broken(app, state, &broken);
    return broken ? vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: \"%s\" holds what is no number", app->checkpoint, broken)
                  : result;
}

/* A sampler of the checkpoint that was found, and the state that it reads. */
static vkg_result load_sampler(vkg_app *app, vkg_sampler_desc desc, vkg_state **state, vkg_sampler **sampler)
{
    vkg_result result = app->device ? VKG_OK : app_open_device(app);
    desc.scope = vkg_app_generator_scope(app);
    if (result == VKG_OK)
        result = vkg_sampler_create_state(app->device, &desc, state);
    if (result == VKG_OK)
        result = vkg_app_load(app, *state, vkg_app_generator_prefix(app));
    desc.state = *state;
    return result == VKG_OK ? vkg_sampler_create(app->device, &desc, sampler) : result;
}

vkg_result vkg_app_open_sampler(vkg_app *app, vkg_network network, const vkg_network_settings *settings, uint32_t batch,
                                vkg_sampler **sampler)
{
    const vkg_sampler_desc desc = {.generator = network, .settings = *settings, .batch = batch};
    trained_close(&app->opened);
    vkg_result result = load_sampler(app, desc, &app->opened.state, &app->opened.sampler);
    *sampler = app->opened.sampler;
    return result;
}

vkg_result trained_open_sampler(vkg_app *app, const char *target, uint32_t count, struct trained *trained)
{
    vkg_network_settings settings;
    vkg_result result = trained_open(app, target, &trained->run, &settings);
    const vkg_sampler_desc desc = {.generator = app->desc->gan.generator, .settings = settings,
                                   .batch = app_sampler_batch(app, count)};
    return result == VKG_OK ? load_sampler(app, desc, &trained->state, &trained->sampler) : result;
}

void trained_close(struct trained *trained)
{
    vkg_sampler_destroy(&trained->sampler);
    vkg_state_destroy(&trained->state);
}
