/* train, before the first step: device, data, run folder, trainer, checkpoint. */
#include <inttypes.h>
#include <string.h>

#include "app/evaluation.h"
#include "app/watch.h"

static vkg_result open_data(struct training *t, const char *path)
{
    const struct options *options = &t->app->options;
    path = path && path[0] ? path : NULL;
    vkg_result result = t->app->desc->open_data
                            ? t->app->desc->open_data(t->app, path, &t->dataset)
                            : vkg_dataset_open(&t->app->log, &(vkg_dataset_desc){
                                  .path = path, .image_size = (uint32_t)options->size,
                                  .channels = (uint32_t)options->channels}, &t->dataset);
    if (result != VKG_OK)
        return result;
    vkg_dataset_info info = vkg_dataset_get_info(t->dataset);
    const uint32_t image[3] = {info.height, info.width, info.channels};
    snprintf(t->run.data, sizeof t->run.data, "%s", info.path);
    memcpy(t->run.image, image, sizeof image);
    t->run.classes = info.classes;
    if (t->app->desc->open_data)
        printf("data: %s, %u samples\n", info.path, info.count);
    else
        printf("data: %s, %u images of %u×%u, %s\n", info.path, info.count, info.height, info.width,
               info.channels == 1 ? "grey" : "colour");
    return app_settings(t->app, &t->run, &t->settings) ? training_open_evaluation(t) : VKG_ERROR_INVALID;
}

static vkg_result create_trainer(struct training *t)
{
    vkg_app *app = t->app;
    vkg_result result = app_create_trainer(app, &t->settings, &t->trainer);
    if (result == VKG_OK)
        result = vkg_sampler_create(app->device, &(vkg_sampler_desc){
            .generator = app->desc->gan.generator, .settings = t->settings,
            .batch = app_sampler_batch(app, app->desc->samples ? app->desc->samples : SAMPLES),
            .state = vkg_trainer_state(t->trainer), .scope = app_generator_scope(app)}, &t->sampler);
    return result;
}

/* A new run's folder, or the one to go on with; fills the settings that the run had. */
static vkg_result open_run(struct training *t)
{
    vkg_app *app = t->app;
    if (!app->options.resume) {
        if (run_exists(t->folder))
            return vkg_fail(&app->log, VKG_ERROR_INVALID,
                            "%s holds a run already: --resume goes on with it, --out DIR begins another", t->folder);
        if (app->options.lr_schedule > 0 && app->options.lr_steps == 0)
            app->options.lr_steps = app->options.steps; /* and not what --steps says when the run is resumed */
        vkg_result result = open_data(t, app->options.target);
        return result == VKG_OK ? run_create(app, t->folder) : result;
    }
    vkg_result result = run_read_config(app, t->folder, &t->run);
    const char *target = app->options.target;
    if (result == VKG_OK && target && strcmp(target, t->run.data) != 0)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "%s: the run in %s learns from %s, which resuming cannot change",
                        target, t->folder, t->run.data);
    uint32_t image[3];
    char data[PATH_BYTES];
    memcpy(image, t->run.image, sizeof image);
    snprintf(data, sizeof data, "%s", t->run.data);
    if (result == VKG_OK)
        result = open_data(t, data);
    if (result == VKG_OK && memcmp(image, t->run.image, sizeof image) != 0)
        result = vkg_fail(&app->log, VKG_ERROR_FORMAT, "%s: its images are %u×%u×%u now, and were %u×%u×%u when the run in "
                          "%s began", data, t->run.image[0], t->run.image[1], t->run.image[2], image[0], image[1], image[2],
                          t->folder);
    return result;
}

static vkg_result load_checkpoint(struct training *t)
{
    uint64_t named, step;
    vkg_result result = run_newest_checkpoint(t->app, t->folder, t->checkpoint, &named);
    if (result == VKG_OK && !t->checkpoint[0]) { /* it ended before its first: all follows from the seed again */
        printf("%s has no checkpoint yet: its run begins anew\n", t->folder);
        return run_trim_log(t->app, t->folder, 0);
    }
    if (result == VKG_OK)
        result = vkg_state_load(vkg_trainer_state(t->trainer), t->checkpoint, NULL, &step);
    const char *broken = NULL;
    if (result == VKG_OK)
        result = find_broken(t->app, vkg_trainer_state(t->trainer), &broken);
    if (broken)
        return vkg_fail(&t->app->log, VKG_ERROR_FORMAT, "%s: \"%s\" holds what is no number; remove this checkpoint to go "
                        "on from an older one", t->checkpoint, broken);
    if (result == VKG_OK && step != named)
        return vkg_fail(&t->app->log, VKG_ERROR_FORMAT, "%s: holds step %" PRIu64 ", its name says %" PRIu64, t->checkpoint,
                        step, named);
    if (result == VKG_OK)
        result = run_trim_log(t->app, t->folder, step);
    if (result != VKG_OK)
        return result;
    vkg_trainer_set_step(t->trainer, step);
    t->first_step = step;
    printf("resuming %s at step %" PRIu64 "\n", t->folder, step);
    return VKG_OK;
}

static vkg_result open_log(struct training *t)
{
    char path[PATH_BYTES];
    if (!run_path(t->app, t->folder, "log.jsonl", path))
        return VKG_ERROR_INVALID;
    return json_lines_open(&t->app->log, path, &t->log);
}

/* Steps may take different numbers of batches. */
static uint64_t batches_before(vkg_trainer *trainer, uint64_t step)
{
    uint64_t batches = 0;
    for (uint64_t s = 0; s < step; s++) {
        vkg_trainer_set_step(trainer, s);
        batches += vkg_trainer_batches(trainer);
    }
    vkg_trainer_set_step(trainer, step);
    return batches;
}

/* Some batches more than a step holds, to read ahead. */
static vkg_result open_loader(struct training *t)
{
    const struct options *options = &t->app->options;
    const uint32_t most = vkg_trainer_most_batches(t->trainer);
    return vkg_loader_create(t->dataset, &(vkg_loader_desc){
        .batch = (uint32_t)options->batch, .seed = (uint64_t)options->seed, .slots = most < 62 ? most + 2 : 64,
        .first_step = batches_before(t->trainer, t->first_step)}, &t->loader);
}

vkg_result training_set_up(struct training *t)
{
    vkg_app *app = t->app;
    vkg_result result = app_open_device(app);
    if (result == VKG_OK)
        result = open_run(t);
    if (result != VKG_OK)
        return result;
    const vkg_device_caps *caps = vkg_device_get_caps(app->device);
    printf("device: %s (%s), %s kernels\n", caps->name, vkg_device_type_name(caps->type),
           vkg_kernel_family_name(caps->kernels));
    fflush(stdout);
    result = create_trainer(t);
    if (result == VKG_OK)
        result = app->options.resume ? load_checkpoint(t) : run_write_config(app, t->folder, &t->run);
    if (result == VKG_OK)
        result = open_log(t);
    if (result == VKG_OK)
        result = watch_create(t);
    if (result == VKG_OK)
        result = training_find_best(t);
    return result == VKG_OK ? open_loader(t) : result;
}

void training_tear_down(struct training *t)
{
    vkg_loader_destroy(&t->loader);
    evaluation_close(&t->evaluation);
    watch_destroy(&t->watch);
    json_lines_close(&t->log);
    vkg_sampler_destroy(&t->sampler);
    vkg_trainer_destroy(&t->trainer);
    vkg_dataset_close(&t->dataset);
}
