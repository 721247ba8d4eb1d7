/* What goes wrong in a training, in plain words: rules over series of numbers. Pure C: no device, no file, no clock.
 *
 *     diagnosis_note, for every number that is known of a step ──▶ diagnosis_judge ──▶ warnings
 *
 * The series that rules read:
 *   of every step     loss_d, loss_g, d_real, d_fake (probabilities), grad_PHASE (norms), skipped_updates
 *   now and then      variety (deviation of samples over that of data), distinct (different pictures among `samples`),
 *                     update_NETWORK (relative change of weights in one step), moved_NETWORK (since the last look)
 *   once, at step 0   data_images, data_looked, data_distinct, data_groups (different pictures among as many as
 *                     samples are drawn), label_agreement, label_chance, label_deviation,
 *                     parameters_d, parameters_g, lr
 *   of a classifier   accuracy (of what it was not trained on), classes */
#ifndef VKG_APP_DIAGNOSIS_H
#define VKG_APP_DIAGNOSIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIAGNOSIS_SERIES = 48, DIAGNOSIS_WINDOW = 32, DIAGNOSIS_RULES = 24 };

/* The last numbers of one name. */
struct series {
    char name[32];
    double values[DIAGNOSIS_WINDOW];
    uint64_t count;  /* that ever came; the newest is at (count − 1) modulo the window */
    double greatest; /* mean of a window, so far */
};

/* How a rule stands. */
struct finding {
    bool holds, told;
    uint64_t since, until; /* first step of the streak; the last step at which it held */
};

/* Zeroed is empty. */
struct diagnosis {
    struct series series[DIAGNOSIS_SERIES];
    int series_count;
    struct finding findings[DIAGNOSIS_RULES];
};

struct warning {
    const char *rule; /* "discriminator-at-limit", a constant */
    uint64_t step, since;
    char text[768]; /* one line: what was seen, since when, what to try */
};

/* A number of the step that is to be judged next. One that is not finite is none. Names beyond the table's room are dropped. */
void diagnosis_note(struct diagnosis *diagnosis, const char *name, double value);
/* Looks at all rules after a step's numbers; calls back for each that has held for long enough and was not told since it
 * began to. */
void diagnosis_judge(struct diagnosis *diagnosis, uint64_t step, void (*warn)(void *user, const struct warning *warning),
                     void *user);

#endif
