/* The parts of `train`: setting up, the loop, and what is written on the way. */
#ifndef VKG_APP_TRAIN_H
#define VKG_APP_TRAIN_H

#include "app/app.h"
#include "io/json.h"

enum { SAMPLES = 64, PAIRS = 8 }; /* in a picture */

/* With --minutes and without --steps, time alone ends a run. */
static const uint64_t NO_LAST_STEP = UINT64_MAX;

struct training {
    vkg_app *app;
    const char *folder;
    int lock; /* of the folder; −1 before it is there */
    struct run_image run;
    vkg_network_settings settings;
    vkg_dataset *dataset;
    struct run_view view; /* of it */
    vkg_loader *loader;
    vkg_trainer *trainer;
    vkg_sampler *sampler;
    struct json_lines *log;
    struct watch *watch; /* watch.h */
    uint64_t first_step, last_step;
    double start, shown; /* seconds: of training, of the last progress line */
    double window_start; /* of the rate that is logged */
    uint64_t window_step;
    char sample[PATH_BYTES], checkpoint[PATH_BYTES]; /* the newest */
    char film[PATH_BYTES];
    vkg_app_measure measures[VKG_APP_MAX_MEASURES]; /* of the newest samples */
    uint32_t measure_count;
    struct evaluation *evaluation; /* of --evaluate-every */
    double best;                   /* the lowest Fréchet distance so far */
    char best_checkpoint[PATH_BYTES];
};

/* How many are in a picture, where the data have enough. */
static inline uint32_t samples_in_picture(const struct training *t)
{
    const uint32_t own = t->app->desc->samples, pairs = vkg_dataset_get_info(t->dataset).count;
    if (t->app->desc->pairs && pairs < (own ? own : PAIRS))
        return pairs;
    return own ? own : t->app->desc->pairs ? PAIRS : SAMPLES;
}

/* --- train_setup.c --- */

/* Opens the device, the run folder, new or resumed, the data, and makes the trainer. What was opened is in *t, whatever
 * the result: training_tear_down closes it. */
vkg_result training_set_up(struct training *t);
void training_tear_down(struct training *t);

/* --- train_evaluate.c --- */

/* Where --evaluate-every asks for it: the features of real images. Needs the data and the device, not yet the run folder. */
vkg_result training_open_evaluation(struct training *t);
/* The best score that a resumed run had. */
vkg_result training_find_best(struct training *t);
/* Scores samples, logs that, and keeps the checkpoint if it is the best: checkpoints/best.safetensors. */
vkg_result training_evaluate(struct training *t);

/* --- train_output.c --- */

/* Waits for the steps in flight, and saves. */
vkg_result training_save_checkpoint(struct training *t);
vkg_result training_save_samples(struct training *t);
/* A line of log.jsonl. */
vkg_result training_write_log(struct training *t, const vkg_trainer_report *report);
/* A bar on a terminal, a line every ten seconds elsewhere. */
void training_show_progress(struct training *t, const vkg_trainer_report *report);
/* The last words: what the run left, and how to go on. */
void training_say_what_there_is(const struct training *t, bool interrupted);

#endif
