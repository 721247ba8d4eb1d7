/* train --evaluate-every: scores in log.jsonl, and the best checkpoint. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/evaluation.h"
#include "app/watch.h"
#include "base/file.h"

/* The lowest Fréchet distance that log.jsonl tells of; infinity where it tells of none. */
vkg_result training_find_best(struct training *t)
{
    static const char KEY[] = "\"frechet_distance\": ";
    char path[PATH_BYTES];
    void *text;
    size_t size;
    struct stat status;
    t->best = INFINITY;
    if (!run_path(t->app, t->folder, "log.jsonl", path))
        return VKG_ERROR_INVALID;
    if (stat(path, &status) != 0)
        return VKG_OK;
    vkg_result result = file_read_whole(&t->app->log, path, (uint64_t)1 << 32, &text, &size);
    if (result != VKG_OK)
        return result;
    for (const char *at = text; (at = strstr(at, KEY)); at += sizeof KEY - 1) {
        const double value = strtod(at + sizeof KEY - 1, NULL); /* 0 for null */
        if (value > 0 && value < t->best)
            t->best = value;
    }
    free(text);
    return VKG_OK;
}

vkg_result training_open_evaluation(struct training *t)
{
    const struct options *options = &t->app->options;
    if (options->evaluate_every == 0)
        return VKG_OK;
    if (t->view.view)
        return vkg_fail(&t->app->log, VKG_ERROR_INVALID, "--evaluate-every is for whole images that are drawn: %s sees parts or "
                        "pairs of them", t->app->desc->name);
    vkg_result result = evaluation_open(t->app, t->dataset, (uint32_t)options->evaluate_count, (uint64_t)options->seed,
                                        &t->evaluation);
    if (result == VKG_OK)
        printf("evaluation: every %.0f steps, %.0f samples against %u real images, by %s\n", options->evaluate_every,
               options->evaluate_count, evaluation_reals(t->evaluation),
               vkg_features_name(evaluation_features(t->evaluation)));
    return result;
}

static vkg_result write_scores(struct training *t, const vkg_scores *scores, uint64_t step)
{
    const char *names[SCORE_ROWS];
    double values[SCORE_ROWS];
    uint32_t count = 0;
    for (int i = 0; i < SCORE_ROWS; i++) {
        names[count] = score_rows[i].name;
        values[count] = score_value(scores, &score_rows[i]);
        count += !isnan(values[count]); /* few samples have no standard error */
    }
    return watch_measures(t, step, names, values, count);
}

vkg_result training_evaluate(struct training *t)
{
    const uint64_t step = vkg_trainer_get_step(t->trainer);
    struct drawing drawing = {t->sampler, (uint64_t)t->app->options.seed};
    const struct image_source samples = drawing_source(&drawing);
    vkg_scores scores;
    const double begin = seconds_now();
    vkg_result result = vkg_trainer_finish(t->trainer, NULL);
    if (result == VKG_OK)
        result = evaluation_score(t->evaluation, &samples, (uint32_t)t->app->options.evaluate_count, VKG_MEASURE_ALL, &scores);
    if (result == VKG_OK)
        result = write_scores(t, &scores, step);
    if (result != VKG_OK)
        return result;
    t->window_start += seconds_now() - begin; /* the rate is of training alone */
    const bool best = scores.frechet_distance < t->best;
    printf("%sstep %" PRIu64 "  Fréchet distance %.4g%s  precision %.3f  recall %.3f\n", isatty(1) ? "\r\x1b[K" : "", step,
           scores.frechet_distance, best ? ", the best so far" : "", scores.precision, scores.recall);
    fflush(stdout);
    if (!best)
        return VKG_OK;
    t->best = scores.frechet_distance;
    if (!run_path(t->app, t->folder, "checkpoints/best.safetensors", t->best_checkpoint))
        return VKG_ERROR_INVALID;
    return vkg_state_save(vkg_trainer_state(t->trainer), t->best_checkpoint, step);
}
