/* train: data in, a run folder out. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "io/json.h"

enum { SAMPLES = 64 };

/* With --minutes and without --steps, time alone ends a run. */
static const uint64_t NO_LAST_STEP = UINT64_MAX;

struct training {
    struct app *app;
    const char *folder;
    struct run_image run;
    vkg_network_settings settings;
    vkg_gan_desc gan;
    vkg_dataset *dataset;
    vkg_loader *loader;
    vkg_trainer *trainer;
    vkg_sampler *sampler;
    struct json_lines *log;
    uint64_t first_step, last_step;
    double start, shown; /* seconds: of training, of the last progress line */
    double window_start; /* of the rate that is logged */
    uint64_t window_step;
    char sample[PATH_BYTES], checkpoint[PATH_BYTES]; /* the newest */
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* --- setting up --- */

static vkg_result open_data(struct training *t, const char *path)
{
    const struct options *options = &t->app->options;
    vkg_result result = vkg_dataset_open(&t->app->log, &(vkg_dataset_desc){
        .path = path && path[0] ? path : NULL, .image_size = (uint32_t)options->size,
        .channels = (uint32_t)options->channels}, &t->dataset);
    if (result != VKG_OK)
        return result;
    vkg_dataset_info info = vkg_dataset_get_info(t->dataset);
    const uint32_t image[3] = {info.height, info.width, info.channels};
    snprintf(t->run.data, sizeof t->run.data, "%s", info.path);
    memcpy(t->run.image, image, sizeof image);
    printf("data: %s, %u images of %u×%u, %s\n", info.path, info.count, info.height, info.width,
           info.channels == 1 ? "grey" : "colour");
    return app_settings(t->app, image, &t->settings) ? VKG_OK : VKG_ERROR_INVALID;
}

static vkg_result create_trainer(struct training *t)
{
    struct app *app = t->app;
    vkg_phase phases[2];
    vkg_optimizer_desc d = app->desc->optimizer_d, g = app->desc->optimizer_g;
    d.lr = g.lr = (float)app->options.lr;
    d.beta1 = g.beta1 = app->options.beta1 > 0 ? (float)app->options.beta1 : -1; /* −1 is 0: optimizer.h */
    t->gan = (vkg_gan_desc){.generator = app->desc->generator, .discriminator = app->desc->discriminator,
                            .settings = t->settings, .loss = app->desc->loss, .optimizer_d = d, .optimizer_g = g};
    vkg_gan_phases(&t->gan, phases);
    const vkg_trainer_desc desc = {
        .phases = phases, .phase_count = 2, .batch = (uint32_t)app->options.batch,
        .image = {t->run.image[0], t->run.image[1], t->run.image[2]}, .latent = t->settings.latent,
        .seed = (uint64_t)app->options.seed,
        .precision = option_precision(&app->options)};
    vkg_result result = vkg_trainer_create(app->device, &desc, &t->trainer);
    if (result == VKG_OK)
        result = vkg_sampler_create(app->device, &(vkg_sampler_desc){
            .generator = app->desc->generator, .settings = t->settings, .batch = SAMPLES,
            .state = vkg_trainer_state(t->trainer)}, &t->sampler);
    return result;
}

/* A new run's folder, or the one to go on with; fills the settings that the run had. */
static vkg_result open_run(struct training *t)
{
    struct app *app = t->app;
    if (!app->options.resume) {
        if (run_exists(t->folder))
            return vkg_fail(&app->log, VKG_ERROR_INVALID,
                            "%s holds a run already: --resume goes on with it, --out DIR begins another", t->folder);
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

static vkg_result set_up(struct training *t)
{
    struct app *app = t->app;
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
        result = vkg_loader_create(t->dataset, &(vkg_loader_desc){
            .batch = (uint32_t)app->options.batch, .seed = (uint64_t)app->options.seed, .first_step = t->first_step},
            &t->loader);
    return result;
}

/* --- what is written on the way --- */

static vkg_result save_checkpoint(struct training *t)
{
    char name[64];
    uint64_t step = vkg_trainer_get_step(t->trainer);
    snprintf(name, sizeof name, "checkpoints/step-%06" PRIu64 ".safetensors", step);
    if (!run_path(t->app, t->folder, name, t->checkpoint))
        return VKG_ERROR_INVALID;
    vkg_result result = vkg_trainer_finish(t->trainer, NULL);
    return result == VKG_OK ? vkg_state_save(vkg_trainer_state(t->trainer), t->checkpoint, step) : result;
}

static vkg_result save_samples(struct training *t)
{
    char name[64];
    snprintf(name, sizeof name, "samples/step-%06" PRIu64 ".png", vkg_trainer_get_step(t->trainer));
    if (!run_path(t->app, t->folder, name, t->sample))
        return VKG_ERROR_INVALID;
    return write_samples(t->app, t->sampler, (uint64_t)t->app->options.seed, SAMPLES, t->run.image, t->sample);
}

static double rate(struct training *t, uint64_t step)
{
    double seconds = seconds_now() - t->window_start;
    return seconds > 0 ? (double)(step - t->window_step) * t->app->options.batch / seconds : 0;
}

static vkg_result write_log(struct training *t, const vkg_trainer_report *report)
{
    json_line_begin(t->log);
    json_line_integer(t->log, "step", (int64_t)report->step);
    for (uint32_t i = 0; i < report->count; i++)
        json_line_number(t->log, report->names[i], (double)report->values[i]);
    json_line_number(t->log, "images_per_second", rate(t, report->step));
    vkg_result result = json_line_end(t->log);
    t->window_start = seconds_now();
    t->window_step = report->step;
    return result;
}

/* A bar on a terminal, a line every ten seconds elsewhere. */
static void show_progress(struct training *t, const vkg_trainer_report *report)
{
    enum { BAR = 24 };
    const double now = seconds_now();
    const bool terminal = isatty(1);
    if (now - t->shown < (terminal ? 0.2 : 10) && report->step != t->last_step)
        return;
    t->shown = now;
    const double done = (double)(report->step - t->first_step), all = (double)(t->last_step - t->first_step);
    const double passed = now - t->start, speed = done / passed, limit = t->app->options.minutes * 60;
    double left = speed > 0 ? (all - done) / speed : 0;
    left = limit > 0 && limit - passed < left ? limit - passed : left;
    char bar[BAR + 1], time[32];
    for (int i = 0; i < BAR; i++)
        bar[i] = i * (passed + left) < BAR * passed ? '#' : '.';
    bar[BAR] = 0;
    printf("%s[%s] step %" PRIu64, terminal ? "\r" : "", bar, report->step);
    if (t->last_step != NO_LAST_STEP)
        printf("/%" PRIu64, t->last_step);
    for (uint32_t i = 0; i < report->count; i++)
        printf("  %s %.3f", report->names[i], (double)report->values[i]);
    printf("  %.0f images/s  %s left%s", speed * t->app->options.batch, duration_text(left > 0 ? left : 0, time),
           terminal ? "\x1b[K" : "\n");
    fflush(stdout);
}

/* --- the loop --- */

static vkg_result broken_down(const struct training *t, uint64_t step, const char *what, const char *is)
{
    return vkg_fail(&t->app->log, VKG_ERROR_INVALID,
                    "step %" PRIu64 ": %s %s: training has broken down. %s%s; a lower --lr may help", step, what, is,
                    t->checkpoint[0] ? "The last good checkpoint is " : "There is no checkpoint yet", t->checkpoint);
}

static vkg_result check_report(const struct training *t, const vkg_trainer_report *report)
{
    char is[32];
    for (uint32_t i = 0; i < report->count; i++)
        if (!isfinite(report->values[i])) {
            snprintf(is, sizeof is, "is %g", (double)report->values[i]);
            return broken_down(t, report->step, report->names[i], is);
        }
    return VKG_OK;
}

static vkg_result check_state(struct training *t)
{
    const char *broken;
    vkg_result result = find_broken(t->app, vkg_trainer_state(t->trainer), &broken);
    return broken ? broken_down(t, vkg_trainer_get_step(t->trainer), broken, "holds what is no number") : result;
}

/* Looks at what the newest finished step reported, once. */
static vkg_result look_at(struct training *t, const vkg_trainer_report *report, uint64_t *seen)
{
    if (report->step == 0 || report->step == *seen)
        return VKG_OK;
    *seen = report->step;
    vkg_result result = check_report(t, report);
    if (result == VKG_OK && report->step % (uint64_t)t->app->options.log_every == 0)
        result = write_log(t, report);
    if (result == VKG_OK)
        show_progress(t, report);
    return result;
}

static vkg_result one_step(struct training *t, uint64_t *seen)
{
    uint32_t slot;
    const float *pixels;
    vkg_trainer_report report;
    vkg_result result = vkg_loader_acquire(t->loader, &slot, &pixels);
    if (result == VKG_OK)
        result = vkg_trainer_step(t->trainer, &pixels, &report);
    if (result == VKG_OK)
        result = vkg_loader_release(t->loader, slot);
    return result == VKG_OK ? look_at(t, &report, seen) : result;
}

static bool is_due(double every, uint64_t step)
{
    return step % (uint64_t)every == 0;
}

static vkg_result finish_and_look(struct training *t, uint64_t *seen)
{
    vkg_trainer_report report;
    vkg_result result;
    do {
        result = vkg_trainer_wait(t->trainer, &report);
        if (result == VKG_OK)
            result = look_at(t, &report, seen);
    } while (result == VKG_OK && report.step != 0);
    return result == VKG_OK ? check_state(t) : result;
}

static vkg_result run_loop(struct training *t)
{
    const struct options *options = &t->app->options;
    vkg_result result = VKG_OK;
    uint64_t seen = 0, step = t->first_step, saved = UINT64_MAX;
    t->start = t->window_start = seconds_now();
    t->window_step = t->first_step;
    while (result == VKG_OK && step < t->last_step && !interrupted &&
           !(options->minutes > 0 && seconds_now() - t->start > options->minutes * 60)) {
        result = one_step(t, &seen);
        step = vkg_trainer_get_step(t->trainer);
        bool sample = is_due(options->sample_every, step), checkpoint = is_due(options->checkpoint_every, step);
        if (result == VKG_OK && (sample || checkpoint))
            result = finish_and_look(t, &seen); /* nothing that is broken is saved */
        if (result == VKG_OK && sample)
            result = save_samples(t);
        if (result == VKG_OK && checkpoint) {
            result = save_checkpoint(t);
            saved = step;
        }
    }
    if (result == VKG_OK)
        result = finish_and_look(t, &seen);
    if (result == VKG_OK && saved != step && step > t->first_step)
        result = save_checkpoint(t);
    if (result == VKG_OK && step > t->first_step)
        result = save_samples(t);
    return result;
}

static void say_what_there_is(const struct training *t)
{
    const char *name = t->app->command;
    uint64_t step = vkg_trainer_get_step(t->trainer);
    char time[32];
    printf("\n%s at step %" PRIu64 " after %s\n", interrupted ? "stopped" : "done", step,
           duration_text(seconds_now() - t->start, time));
    if (t->sample[0])
        printf("samples:    %s\n", t->sample);
    if (t->checkpoint[0])
        printf("checkpoint: %s\n", t->checkpoint);
    if (t->last_step == NO_LAST_STEP)
        printf("go on:      %s train --resume --out %s --minutes %g\n", name, t->folder, t->app->options.minutes);
    else
        printf("go on:      %s train --resume --out %s --steps %" PRIu64 "\n", name, t->folder,
               step >= t->last_step ? 2 * step : t->last_step);
    printf("draw more:  %s generate %s --count 100 --output samples.png\n", name, t->folder);
}

static void tear_down(struct training *t)
{
    vkg_loader_destroy(&t->loader);
    json_lines_close(&t->log);
    vkg_sampler_destroy(&t->sampler);
    vkg_trainer_destroy(&t->trainer);
    vkg_dataset_close(&t->dataset);
}

int command_train(struct app *app)
{
    char folder[256];
    snprintf(folder, sizeof folder, "runs/%s", app->desc->name);
    struct training t = {.app = app, .folder = app->options.out ? app->options.out : folder};
    signal(SIGPIPE, SIG_IGN); /* a reader of the progress that goes away does not cost the run */
    vkg_result result = set_up(&t);
    const bool by_time = app->options.minutes > 0 && !option_given(app, "steps");
    t.last_step = by_time ? NO_LAST_STEP : (uint64_t)app->options.steps;
    if (result == VKG_OK && t.first_step >= t.last_step)
        result = vkg_fail(&app->log, VKG_ERROR_INVALID, "the run is at step %" PRIu64 " already: give --steps a larger number",
                          t.first_step);
    if (result == VKG_OK) {
        struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND}; /* a second time kills */
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        result = run_loop(&t);
    }
    if (result == VKG_OK)
        say_what_there_is(&t);
    tear_down(&t);
    return result != VKG_OK ? 1 : interrupted ? 130 : 0;
}
