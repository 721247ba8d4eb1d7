/* train: who looks after a run: the diagnosis and its warnings, TensorBoard's event file. */
#ifndef VKG_APP_WATCH_H
#define VKG_APP_WATCH_H

#include "app/train.h"

struct watch;

/* Looks at the data, and begins an event file; the log is open already. What was opened is in t->watch, whatever the result. */
vkg_result watch_create(struct training *t);
void watch_destroy(struct watch **watch);

/* Of every step that finished; a line of the log has been written for it where `logged`. */
vkg_result watch_step(struct training *t, const vkg_trainer_report *report, bool logged);
/* Of the samples of a step: `count` pictures, [count, H, W, C], and the PNG file that shows them. */
vkg_result watch_samples(struct training *t, uint64_t step, const float *samples, uint32_t count, const char *png);
/* Numbers that were measured now and then: a line of log.jsonl of their own, curves in TensorBoard and in the report. */
vkg_result watch_measures(struct training *t, uint64_t step, const char *const *names, const double *values, uint32_t count);

/* Are the weights to be looked at after this step? Then finish the steps in flight, and call watch_weights. */
bool watch_weights_due(const struct training *t, uint64_t step);
vkg_result watch_weights(struct training *t, uint64_t step);

/* --- between its files --- */

#include "app/diagnosis.h"
#include "app/thumbnails.h"
#include "io/tensorboard.h"

/* The weights of the networks at one moment. */
struct kept_weights {
    uint64_t step; /* 0: none are kept */
    uint64_t count;
    float *values; /* of all trained entries, one after the other */
};

struct watch {
    struct diagnosis diagnosis;
    struct tensorboard *board;
    double data_deviation, near; /* of thumbnails: of those of the data; below it, two show the same */
    struct kept_weights kept;
    uint64_t looked; /* at the weights: the step of the last pair of looks */
};

/* Judges after what was noted; warnings go to the log of the program, log.jsonl and TensorBoard. */
vkg_result watch_judge(struct training *t, uint64_t step);

/* watch_data.c: notes what can be known of the data before the first step. */
vkg_result watch_data(struct training *t);
/* watch_weights.c: notes how many parameters there are; makes room. */
vkg_result watch_parameters(struct training *t);

#endif
