/* train: data in, a run folder out. */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "app/report.h"
#include "app/watch.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static vkg_result broken_down(const struct training *t, uint64_t step, const char *what, const char *is)
{
    return vkg_fail(&t->app->log, VKG_ERROR_INVALID,
                    "step %" PRIu64 ": %s %s: training has broken down. %s%s; a lower --lr may help", step, what, is,
                    t->checkpoint[0] ? "The last good checkpoint is " : "There is no checkpoint yet", t->checkpoint);
}

/* The first number that broke tells the step and the phase, and the state which tensor has taken it over since. */
static vkg_result report_broken(const struct training *t, const vkg_trainer_report *report, uint32_t index)
{
    const char *tensor = NULL;
    char is[512];
    find_broken(t->app, vkg_trainer_state(t->trainer), &tensor);
    snprintf(is, sizeof is, "is %g in phase \"%s\"%s%s%s", (double)report->values[index], report->phases[index],
             tensor ? ", and \"" : "", tensor ? tensor : "", tensor ? "\" holds what is no number" : "");
    return broken_down(t, report->step, report->names[index], is);
}

/* Gradients may be infinite: where losses are scaled, their update is skipped, and elsewhere what they make is not finite. */
static vkg_result check_report(const struct training *t, const vkg_trainer_report *report)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (report->phases[i] && !isfinite(report->values[i]) && strncmp(report->names[i], "grad_", 5) != 0)
            return report_broken(t, report, i);
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
    const bool logged = report->step % (uint64_t)t->app->options.log_every == 0;
    if (result == VKG_OK && logged)
        result = training_write_log(t, report);
    if (result == VKG_OK)
        result = watch_step(t, report, logged);
    if (result == VKG_OK)
        training_show_progress(t, report);
    return result;
}

static vkg_result one_step(struct training *t, uint64_t *seen)
{
    enum { MOST = 64 }; /* slots that a loader has at most */
    uint32_t slots[MOST], count = vkg_trainer_batches(t->trainer);
    vkg_batch batches[MOST] = {{0}};
    vkg_trainer_report report;
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < count && result == VKG_OK; i++) {
        result = vkg_loader_acquire(t->loader, &slots[i], &batches[i].images);
        if (result != VKG_OK)
            break;
        batches[i].labels = vkg_loader_labels(t->loader, slots[i]);
        batches[i].inputs = vkg_loader_inputs(t->loader, slots[i]);
    }
    if (result == VKG_OK)
        result = vkg_trainer_step(t->trainer, batches, &report);
    for (uint32_t i = 0; i < count && result == VKG_OK; i++)
        result = vkg_loader_release(t->loader, slots[i]);
    return result == VKG_OK ? look_at(t, &report, seen) : result;
}

static bool is_due(double every, uint64_t step)
{
    return every > 0 && step % (uint64_t)every == 0;
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
    uint64_t seen = 0, step = t->first_step, saved = UINT64_MAX, drawn = UINT64_MAX;
    t->start = t->window_start = seconds_now();
    t->window_step = t->first_step;
    while (result == VKG_OK && step < t->last_step && !interrupted &&
           !(options->minutes > 0 && seconds_now() - t->start > options->minutes * 60)) {
        result = one_step(t, &seen);
        step = vkg_trainer_get_step(t->trainer);
        bool sample = is_due(options->sample_every, step), checkpoint = is_due(options->checkpoint_every, step);
        bool weights = watch_weights_due(t, step), evaluate = is_due(options->evaluate_every, step);
        if (result == VKG_OK && (sample || checkpoint || weights || evaluate))
            result = finish_and_look(t, &seen); /* nothing that is broken is saved */
        if (result == VKG_OK && weights)
            result = watch_weights(t, step);
        if (result == VKG_OK && sample) {
            result = training_save_samples(t);
            drawn = step;
        }
        if (result == VKG_OK && evaluate)
            result = training_evaluate(t);
        if (result == VKG_OK && checkpoint) {
            result = training_save_checkpoint(t);
            saved = step;
        }
        if (result == VKG_OK && checkpoint)
            result = report_write(&t->app->log, t->folder, "training");
    }
    if (result == VKG_OK)
        result = finish_and_look(t, &seen);
    if (result == VKG_OK && saved != step && step > t->first_step)
        result = training_save_checkpoint(t);
    if (result == VKG_OK && drawn != step && step > t->first_step)
        result = training_save_samples(t);
    if (result == VKG_OK && step > t->first_step)
        result = film_write(t->app, t->folder, t->film);
    return result;
}

/* Of a run that broke down too; then the message of what broke it is the one that counts. */
static vkg_result write_last_report(const struct training *t, vkg_result result)
{
    if (result == VKG_OK)
        return report_write(&t->app->log, t->folder, interrupted ? "stopped" : "done");
    report_write(NULL, t->folder, "broken down");
    return result;
}

/* Of a rate that has fallen to 0 before the last step. Programs with phases of their own have schedules of their own. */
static void warn_of_rate(const struct training *t)
{
    const struct options *o = &t->app->options;
    const bool falls = o->lr_schedule == VKG_SCHEDULE_LINEAR || o->lr_schedule == VKG_SCHEDULE_COSINE;
    const uint64_t end = (uint64_t)o->warmup + (uint64_t)o->lr_steps;
    if (falls && !t->app->desc->phases && t->last_step > end)
        vkg_logf(&t->app->log, VKG_LOG_WARNING, "from step %" PRIu64 " on the learning rate is 0 (--lr-schedule, --lr-steps), and nothing is learned",
                 end);
}

int command_train(vkg_app *app)
{
    char folder[256];
    snprintf(folder, sizeof folder, "runs/%s", app->desc->name);
    struct training t = {.app = app, .folder = app->options.out ? app->options.out : folder, .lock = -1};
    signal(SIGPIPE, SIG_IGN); /* a reader of the progress that goes away does not cost the run */
    vkg_result result = training_set_up(&t);
    if (result == VKG_OK) {
        warn_of_rate(&t);
        struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND}; /* a second time kills */
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        result = run_loop(&t);
        result = write_last_report(&t, result);
    }
    if (result == VKG_OK)
        training_say_what_there_is(&t, interrupted);
    training_tear_down(&t);
    return result != VKG_OK ? 1 : interrupted ? 130 : 0;
}
