/* train, before the first step: device, data, run folder, trainer, checkpoint. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "app/evaluation.h"
#include "app/watch.h"

static void describe_data(const struct training *t)
{
    const vkg_dataset_info info = vkg_dataset_get_info(t->dataset);
    const uint32_t *image = t->run.image, *input = t->run.input;
    if (t->app->desc->open_data && !t->view.view)
        printf("data: %s, %u samples\n", info.path, info.count);
    else if (input[0] != 0)
        printf("data: %s, %u pairs, of %u×%u×%u to %u×%u×%u\n", info.path, info.count, input[0], input[1], input[2], image[0],
               image[1], image[2]);
    else
        printf("data: %s, %u images of %u×%u, %s\n", info.path, info.count, image[0], image[1],
               image[2] == 1 ? "grey" : "colour");
}

static vkg_result open_data(struct training *t, const char *path)
{
    vkg_result result = app_open_data(t->app, path && path[0] ? path : NULL, &t->dataset);
    if (result == VKG_OK)
        result = app_open_view(t->app, t->dataset, false, &t->view);
    if (result != VKG_OK)
        return result;
    const vkg_dataset_info info = vkg_dataset_get_info(t->dataset);
    vkg_view_shape shape = {.target = {info.height, info.width, info.channels}};
    if (t->view.view)
        shape = vkg_view_get_shape(t->view.view);
    snprintf(t->run.data, sizeof t->run.data, "%s", info.path);
    memcpy(t->run.image, shape.target, sizeof shape.target);
    memcpy(t->run.input, shape.input, sizeof shape.input);
    t->run.classes = info.classes;
    t->run.count = info.count;
    describe_data(t);
    return app_settings(t->app, &t->run, &t->settings) ? training_open_evaluation(t) : VKG_ERROR_INVALID;
}

static vkg_result create_trainer(struct training *t)
{
    vkg_app *app = t->app;
    const uint32_t samples = app->desc->samples, most = app->desc->pairs ? 1 : SAMPLES; /* images of inputs are large */
    vkg_result result = app_create_trainer(app, &t->settings, &t->trainer);
    if (result == VKG_OK)
        result = vkg_sampler_create(app->device, &(vkg_sampler_desc){
            .generator = app->desc->gan.generator, .settings = t->settings,
            .batch = app_sampler_batch(app, samples && samples < most ? samples : most),
            .state = vkg_trainer_state(t->trainer), .scope = vkg_app_generator_scope(app)}, &t->sampler);
    return result;
}

static vkg_result refuse_second_run(const struct training *t)
{
    return !run_exists(t->folder) ? VKG_OK
                                  : vkg_fail(&t->app->log, VKG_ERROR_INVALID,
                                             "%s holds a run already: --resume goes on with it, --out DIR begins another", t->folder);
}

static vkg_result start_run(struct training *t)
{
    vkg_app *app = t->app;
    if (refuse_second_run(t) != VKG_OK)
        return VKG_ERROR_INVALID;
    if (app->options.lr_schedule > 0 && app->options.lr_steps == 0)
        app->options.lr_steps = app->options.steps; /* and not what --steps says when the run is resumed */
    return open_data(t, app->options.target);
}

static vkg_result other_shape(const struct training *t, const char *what, const uint32_t was[3], const uint32_t is[3])
{
    return vkg_fail(&t->app->log, VKG_ERROR_FORMAT, "%s: its %s are %u×%u×%u now, and were %u×%u×%u when the run in %s began",
                    t->run.data, what, is[0], is[1], is[2], was[0], was[1], was[2], t->folder);
}

/* Are the data still what the run learned from? */
static vkg_result check_data(const struct training *t, const struct run_image *was)
{
    const struct run_image *is = &t->run;
    if (memcmp(was->input, is->input, sizeof is->input) != 0)
        return other_shape(t, "inputs", was->input, is->input);
    if (memcmp(was->image, is->image, sizeof is->image) != 0)
        return other_shape(t, "images", was->image, is->image);
    if (was->count != 0 && was->count != is->count)
        vkg_logf(&t->app->log, VKG_LOG_WARNING, "%s holds %u images now, and held %u when the run in %s stopped: they come in "
                 "another order, and the run does not go on as if it had never stopped", is->data, is->count, was->count, t->folder);
    return VKG_OK;
}

/* Fills the settings that the run had. */
static vkg_result reopen_run(struct training *t)
{
    vkg_app *app = t->app;
    struct run_image was;
    vkg_result result = run_read_config(app, t->folder, &was);
    const char *target = app->options.target;
    if (result == VKG_OK && target && strcmp(target, was.data) != 0)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "%s: the run in %s learns from %s, which resuming cannot change",
                        target, t->folder, was.data);
    if (result == VKG_OK)
        result = open_data(t, was.data);
    return result == VKG_OK ? check_data(t, &was) : result;
}

/* A new run's folder, or the one to go on with. */
static vkg_result open_run(struct training *t)
{
    vkg_result result = t->app->options.resume ? reopen_run(t) : start_run(t);
    if (result == VKG_OK)
        result = run_create(t->app, t->folder, &t->lock);
    return result == VKG_OK && !t->app->options.resume ? refuse_second_run(t) : result; /* that came while data were opened */
}

/* Nothing of it counts when a run begins anew. */
static vkg_result remove_log(const struct training *t)
{
    char path[PATH_BYTES];
    if (!run_path(t->app, t->folder, "log.jsonl", path))
        return VKG_ERROR_INVALID;
    return unlink(path) == 0 || errno == ENOENT ? VKG_OK
                                                : vkg_fail(&t->app->log, VKG_ERROR_IO, "%s: %s", path, strerror(errno));
}

static vkg_result load_checkpoint(struct training *t)
{
    uint64_t named, step;
    vkg_result result = run_newest_checkpoint(t->app, t->folder, t->checkpoint, &named);
    if (result == VKG_OK && !t->checkpoint[0]) { /* it ended before its first: all follows from the seed again */
        printf("%s has no checkpoint yet: its run begins anew\n", t->folder);
        return remove_log(t);
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

static vkg_result choose_last_step(struct training *t)
{
    const struct options *options = &t->app->options;
    const bool by_time = options->minutes > 0 && !option_given(t->app, "steps");
    t->last_step = by_time ? NO_LAST_STEP : (uint64_t)options->steps;
    if (t->first_step < t->last_step)
        return VKG_OK;
    return vkg_fail(&t->app->log, VKG_ERROR_INVALID, "the run is at step %" PRIu64 " already: give --steps a larger number",
                    t->first_step);
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
        .batch = (uint32_t)options->batch, .seed = (uint64_t)options->seed, .view = t->view.view, .slots = most < 62 ? most + 2 : 64,
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
    if (result == VKG_OK && app->options.resume)
        result = load_checkpoint(t);
    if (result == VKG_OK)
        result = choose_last_step(t);
    if (result == VKG_OK)
        result = run_write_config(app, t->folder, &t->run); /* of a resumed run too: it may have been given new --steps */
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
    app_close_view(&t->view);
    vkg_dataset_close(&t->dataset);
    if (t->lock >= 0)
        close(t->lock);
}
