/* train, what it writes: checkpoints, samples, log.jsonl, progress. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/watch.h"

vkg_result training_save_checkpoint(struct training *t)
{
    char name[64];
    uint64_t step = vkg_trainer_get_step(t->trainer);
    snprintf(name, sizeof name, "checkpoints/step-%06" PRIu64 ".safetensors", step);
    if (!run_path(t->app, t->folder, name, t->checkpoint))
        return VKG_ERROR_INVALID;
    vkg_result result = vkg_trainer_finish(t->trainer, NULL);
    return result == VKG_OK ? vkg_state_save(vkg_trainer_state(t->trainer), t->checkpoint, step) : result;
}

/* What the program measures of its samples, as a line of log.jsonl of its own. */
static vkg_result measure(struct training *t, const float *samples, uint32_t count)
{
    const char *names[VKG_APP_MAX_MEASURES];
    double values[VKG_APP_MAX_MEASURES];
    t->measure_count = t->app->desc->measure(t->app, samples, count, t->measures);
    for (uint32_t i = 0; i < t->measure_count; i++) {
        names[i] = t->measures[i].name;
        values[i] = t->measures[i].value;
    }
    return watch_measures(t, vkg_trainer_get_step(t->trainer), names, values, t->measure_count);
}

/* Of a picture that is written. */
static vkg_result judge_samples(struct training *t, const float *samples, uint32_t count)
{
    vkg_result result = t->app->desc->measure ? measure(t, samples, count) : VKG_OK;
    return result == VKG_OK ? watch_samples(t, vkg_trainer_get_step(t->trainer), samples, count, t->sample) : result;
}

static vkg_result save_pairs(struct training *t)
{
    const uint32_t pairs = vkg_dataset_get_info(t->dataset).count, count = samples_in_picture(t);
    const vkg_view_shape shape = vkg_view_get_shape(t->view.view);
    struct pair_samples samples;
    vkg_result result = pairs_translate(t->app, t->sampler, t->view.view, (uint64_t)t->app->options.seed, count, pairs, &samples);
    if (result == VKG_OK)
        result = pairs_write_picture(t->app, &samples, count, &shape, t->sample);
    if (result == VKG_OK)
        result = judge_samples(t, samples.outputs, count);
    pairs_free(&samples);
    return result;
}

static vkg_result save_drawn(struct training *t)
{
    const uint32_t count = samples_in_picture(t);
    float *samples;
    vkg_result result = draw_samples(t->app, t->sampler, (uint64_t)t->app->options.seed, count, t->run.image, t->sample,
                                     &samples);
    if (result == VKG_OK)
        result = write_picture(t->app, samples, count, t->run.image, t->sample);
    if (result == VKG_OK)
        result = judge_samples(t, samples, count);
    free(samples);
    return result;
}

vkg_result training_save_samples(struct training *t)
{
    char name[64];
    snprintf(name, sizeof name, "samples/step-%06" PRIu64 ".png", vkg_trainer_get_step(t->trainer));
    if (!run_path(t->app, t->folder, name, t->sample))
        return VKG_ERROR_INVALID;
    return t->app->desc->pairs ? save_pairs(t) : save_drawn(t);
}

static double rate(struct training *t, uint64_t step)
{
    double seconds = seconds_now() - t->window_start;
    return seconds > 0 ? (double)(step - t->window_step) * images_a_step(&t->app->options) / seconds : 0;
}

vkg_result training_write_log(struct training *t, const vkg_trainer_report *report)
{
    json_line_begin(t->log);
    json_line_integer(t->log, "step", (int64_t)report->step);
    for (uint32_t i = 0; i < report->count; i++)
        if (report->phases[i])
            json_line_number(t->log, report->names[i], (double)report->values[i]);
    json_line_number(t->log, "images_per_second", rate(t, report->step));
    vkg_result result = json_line_end(t->log);
    t->window_start = seconds_now();
    t->window_step = report->step;
    return result;
}

/* Learning rates are small, and other numbers steady in width. */
static void show_value(const char *name, double value)
{
    printf(value != 0 && fabs(value) < 0.01 ? "  %s %.1e" : "  %s %.3f", name, value);
}

void training_show_progress(struct training *t, const vkg_trainer_report *report)
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
        if (report->phases[i] && strncmp(report->names[i], "grad_", 5) != 0)
            show_value(report->names[i], (double)report->values[i]);
    printf("  %.0f images/s  %s left%s", speed * images_a_step(&t->app->options), duration_text(left > 0 ? left : 0, time),
           terminal ? "\x1b[K" : "\n");
    fflush(stdout);
}

void training_say_what_there_is(const struct training *t, bool interrupted)
{
    const char *name = t->app->command;
    uint64_t step = vkg_trainer_get_step(t->trainer);
    char time[32];
    printf("\n%s at step %" PRIu64 " after %s\n", interrupted ? "stopped" : "done", step,
           duration_text(seconds_now() - t->start, time));
    for (uint32_t i = 0; i < t->measure_count; i++)
        printf("%-11s %.4g\n", t->measures[i].name, t->measures[i].value);
    if (t->sample[0])
        printf("samples:    %s, and over training %s\n", t->sample, t->film);
    if (t->checkpoint[0])
        printf("checkpoint: %s\n", t->checkpoint);
    if (t->best_checkpoint[0])
        printf("the best:   %s, Fréchet distance %.4g\n", t->best_checkpoint, t->best);
    if (step > t->first_step)
        printf("report:     %s/report.html\n", t->folder);
    if (t->last_step == NO_LAST_STEP)
        printf("go on:      %s train --resume --out %s --minutes %g\n", name, t->folder, t->app->options.minutes);
    else
        printf("go on:      %s train --resume --out %s --steps %" PRIu64 "\n", name, t->folder,
               step >= t->last_step ? 2 * step : t->last_step);
    if (!t->app->desc->pairs)
        printf("draw more:  %s generate %s --count 100 --output samples.png\n", name, t->folder);
}
