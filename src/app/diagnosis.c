#include "app/diagnosis.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- series --- */

static const struct series *find(const struct diagnosis *diagnosis, const char *name)
{
    for (int i = 0; i < diagnosis->series_count; i++)
        if (strcmp(diagnosis->series[i].name, name) == 0)
            return &diagnosis->series[i];
    return NULL;
}

static double mean(const struct series *series)
{
    const uint64_t count = series->count < DIAGNOSIS_WINDOW ? series->count : DIAGNOSIS_WINDOW;
    double sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += series->values[i];
    return sum / (double)count;
}

void diagnosis_note(struct diagnosis *diagnosis, const char *name, double value)
{
    if (!isfinite(value))
        return;
    struct series *series = (struct series *)find(diagnosis, name);
    if (!series) {
        if (diagnosis->series_count == DIAGNOSIS_SERIES || strlen(name) >= sizeof series->name)
            return;
        series = &diagnosis->series[diagnosis->series_count++];
        strcpy(series->name, name);
    }
    series->values[series->count++ % DIAGNOSIS_WINDOW] = value;
    if (series->count >= DIAGNOSIS_WINDOW && mean(series) > series->greatest)
        series->greatest = mean(series);
}

/* The newest number, or NaN: comparisons with what is not there are false. */
static double last(const struct diagnosis *diagnosis, const char *name)
{
    const struct series *series = find(diagnosis, name);
    return series ? series->values[(series->count - 1) % DIAGNOSIS_WINDOW] : NAN;
}

/* The mean of a whole window, or NaN. */
static double average(const struct diagnosis *diagnosis, const char *name)
{
    const struct series *series = find(diagnosis, name);
    return series && series->count >= DIAGNOSIS_WINDOW ? mean(series) : NAN;
}

/* By how much a number that only grows has grown in the window, or NaN. */
static double growth(const struct diagnosis *diagnosis, const char *name)
{
    const struct series *series = find(diagnosis, name);
    if (!series || series->count < DIAGNOSIS_WINDOW)
        return NAN;
    return last(diagnosis, name) - series->values[series->count % DIAGNOSIS_WINDOW];
}

/* --- conditions: each writes what it saw, for the warning --- */

enum { SEEN = 384 };

/* Behind a condition, so that it reads: these numbers, and this is how they are said. */
#define SAYS(...) (snprintf(seen, SEEN, __VA_ARGS__) >= 0)

static bool learning_rate_high(const struct diagnosis *d, char *seen)
{
    for (const struct series *s = d->series; s < d->series + d->series_count; s++) {
        const double update = strncmp(s->name, "update_", 7) == 0 ? last(d, s->name) : NAN;
        if (update > 0.05)
            return SAYS("one step changed the weights of the %s by %.0f %% (about 1 %% or less is usual), with a learning rate "
                        "of %g", s->name + 7, 100 * update, last(d, "lr"));
    }
    return false;
}

static bool one_image(const struct diagnosis *d, char *seen)
{
    if (last(d, "data_images") == 1)
        return SAYS("the data are a single image");
    return last(d, "data_distinct") == 1 && SAYS("all %.0f images of the data that were looked at are the same picture",
                                                last(d, "data_looked"));
}

static bool few_images(const struct diagnosis *d, char *seen)
{
    const double looked = last(d, "data_looked"), distinct = last(d, "data_distinct"), all = last(d, "data_images");
    if (distinct > 1 && distinct < looked / 2)
        return SAYS("of %.0f images of the data that were looked at, only %.0f are different", looked, distinct);
    return distinct > 1 && all < 100 && SAYS("the data are %.0f images only", all);
}

static bool labels_unrelated(const struct diagnosis *d, char *seen)
{
    const double agreement = last(d, "label_agreement"), chance = last(d, "label_chance");
    return agreement < chance + 3 * last(d, "label_deviation") &&
           SAYS("of %.0f images, %.0f %% have the label of the image that is most like them, and %.0f %% would by chance",
                last(d, "data_looked"), 100 * agreement, 100 * chance);
}

static bool accuracy_at_chance(const struct diagnosis *d, char *seen)
{
    const double accuracy = last(d, "accuracy"), chance = 1 / last(d, "classes");
    return accuracy < 1.3 * chance && SAYS("%.1f %% of what the classifier was not trained on is named rightly, and %.1f %% would "
                                          "be by chance", 100 * accuracy, 100 * chance);
}

/* Real images are real by that much at least, and fakes as little. */
static bool is_sure(const struct diagnosis *d, double probability)
{
    return average(d, "d_real") > probability && average(d, "d_fake") < 1 - probability;
}

static bool discriminator_large(const struct diagnosis *d, char *seen)
{
    const double parameters_d = last(d, "parameters_d"), parameters_g = last(d, "parameters_g");
    return is_sure(d, 0.95) && parameters_d >= 2 * parameters_g &&
           SAYS("the discriminator, with %.0f parameters against the generator's %.0f (%.0f times as many), tells real from "
                "fake with ease: d_real %.3f, d_fake %.3f", parameters_d, parameters_g, parameters_d / parameters_g,
                average(d, "d_real"), average(d, "d_fake"));
}

static bool discriminator_at_limit(const struct diagnosis *d, char *seen)
{
    return is_sure(d, 0.98) && SAYS("the discriminator tells real from fake without fault: d_real %.3f, d_fake %.3f, loss_d %.3f",
                               average(d, "d_real"), average(d, "d_fake"), average(d, "loss_d"));
}

static bool discriminator_weak(const struct diagnosis *d, char *seen)
{
    const double real = average(d, "d_real"), fake = average(d, "d_fake");
    return fabs(real - fake) < 0.02 && SAYS("the discriminator judges real and fake images alike: d_real %.3f, d_fake %.3f, "
                                            "loss_d %.3f", real, fake, average(d, "loss_d"));
}

static bool generator_winning(const struct diagnosis *d, char *seen)
{
    return average(d, "d_fake") > average(d, "d_real") + 0.1 &&
           SAYS("the discriminator takes fakes for real rather than what is real: d_real %.3f, d_fake %.3f",
                average(d, "d_real"), average(d, "d_fake"));
}

static bool no_variety(const struct diagnosis *d, char *seen)
{
    const double variety = last(d, "variety");
    return variety < 0.25 && SAYS("the samples differ from each other by %.0f %% of what the images of the data do; different "
                                  "pictures among %.0f samples: %.0f", 100 * variety, last(d, "samples"), last(d, "distinct"));
}

static bool few_modes(const struct diagnosis *d, char *seen)
{
    const double distinct = last(d, "distinct"), expected = last(d, "data_groups");
    return distinct < expected / 2 && SAYS("different pictures among %.0f samples: only %.0f, where the data have %.0f",
                                           last(d, "samples"), distinct, expected);
}

static bool gradients_vanish(const struct diagnosis *d, char *seen)
{
    for (const struct series *s = d->series; s < d->series + d->series_count; s++) {
        const double norm = strncmp(s->name, "grad_", 5) == 0 ? average(d, s->name) : NAN;
        if (norm <= 1e-4 * s->greatest || norm < 1e-12)
            return SAYS("the gradient of the %s has a norm of %.2g, and had %.2g", s->name + 5, norm, s->greatest);
    }
    return false;
}

static bool weights_stand_still(const struct diagnosis *d, char *seen)
{
    for (const struct series *s = d->series; s < d->series + d->series_count; s++) {
        const double moved = strncmp(s->name, "moved_", 6) == 0 ? last(d, s->name) : NAN;
        if (moved < 1e-6)
            return SAYS("the weights of the %s do not move: they changed by %.1g of their size since they were last looked at",
                        s->name + 6, moved);
    }
    return false;
}

static bool updates_skipped(const struct diagnosis *d, char *seen)
{
    const double skipped = growth(d, "skipped_updates");
    return skipped > DIAGNOSIS_WINDOW / 2 && SAYS("gradients were not finite: %.0f updates of the last %d steps were skipped",
                                                  skipped, DIAGNOSIS_WINDOW - 1);
}

/* --- the rules: causes before what they lead to --- */

struct rule {
    const char *name;
    uint32_t patience; /* steps for which the condition must hold */
    uint32_t lag;      /* steps by which it is seen late: those of a window */
    bool (*holds)(const struct diagnosis *diagnosis, char *seen);
    const char *advice;
    const char *explained_by[4]; /* not told while one of these has been */
};

static const struct rule rules[] = {
    {"learning-rate-too-high", 0, 0, learning_rate_high,
     "Begin anew with a tenth or a hundredth of it (--lr 0.0002 suits Adam in most GANs)", {0}},
    {"one-image", 0, 0, one_image,
     "There is nothing to learn but this picture: check the path and what is in it", {0}},
    {"few-images", 0, 0, few_images,
     "The discriminator can learn them by heart: use more data, augmentation, or stop early", {"one-image"}},
    {"labels-unrelated", 0, 0, labels_unrelated,
     "Labels and images seem not to belong together: check that both files are of the same set and in the same order (without "
     "labels, as most programs learn, it does not matter)", {"one-image"}},
    {"accuracy-at-chance", 200, 0, accuracy_at_chance,
     "Check that labels belong to their images, and that the learning rate is neither tiny nor huge", {"labels-unrelated"}},
    {"updates-skipped", 0, DIAGNOSIS_WINDOW, updates_skipped,
     "Halves may be too narrow for this training: try --precision bf16 or fp32, or a lower --lr", {0}},
    {"discriminator-too-large", 32, DIAGNOSIS_WINDOW, discriminator_large,
     "Bring the two networks nearer to each other in size: a narrower discriminator, or a wider generator",
     {"learning-rate-too-high", "one-image"}},
    {"discriminator-at-limit", 200, DIAGNOSIS_WINDOW, discriminator_at_limit,
     "The generator learns little from a judge who is always sure: try a lower --lr-d, --r1 or --gradient-penalty, "
     "augmentation, or more data", {"learning-rate-too-high", "one-image", "few-images", "discriminator-too-large"}},
    {"discriminator-too-weak", 300, DIAGNOSIS_WINDOW, discriminator_weak,
     "If the samples are as good as the data, training is done; otherwise try a wider discriminator, more --d-steps, or a higher "
     "--lr-d", {"learning-rate-too-high", "one-image", "samples-alike"}},
    {"generator-winning", 100, DIAGNOSIS_WINDOW, generator_winning,
     "The discriminator is fooled faster than it learns: try more --d-steps, or a lower --lr-g", {"learning-rate-too-high", "one-image"}},
    {"samples-alike", 400, 0, no_variety,
     "The generator has collapsed: go back to an earlier checkpoint, or try another --loss (hinge, relativistic, wasserstein with "
     "--gradient-penalty) or a lower --lr", {"learning-rate-too-high", "one-image", "few-images", "discriminator-too-large"}},
    {"few-pictures", 400, 0, few_modes,
     "The generator draws a few pictures again and again (mode collapse): try another --loss (relativistic, wasserstein with "
     "--gradient-penalty), or a larger --batch", {"learning-rate-too-high", "one-image", "few-images", "samples-alike"}},
    {"gradients-vanish", 100, DIAGNOSIS_WINDOW, gradients_vanish,
     "Nothing is learnt from a loss that is flat: try another --loss (non-saturating, hinge, wasserstein), or a weaker discriminator",
     {"learning-rate-too-high"}},
    {"weights-stand-still", 0, 0, weights_stand_still,
     "Check that a phase trains these weights, that its learning rate is not 0, and that its updates are not all skipped",
     {"gradients-vanish", "updates-skipped"}},
};
enum { RULES = sizeof rules / sizeof rules[0] };
_Static_assert((int)RULES <= (int)DIAGNOSIS_RULES, "findings have room for every rule");

/* --- the engine --- */

static bool explained(const struct diagnosis *diagnosis, const struct rule *rule)
{
    for (int c = 0; c < 4 && rule->explained_by[c]; c++)
        for (int r = 0; r < RULES; r++)
            if (strcmp(rules[r].name, rule->explained_by[c]) == 0 && diagnosis->findings[r].told)
                return true;
    return false;
}

/* Follows a rule to this step; true when it is time to tell. A rule that was told is told again only after its condition was
 * away for as long as it must hold. */
static bool follow(struct finding *finding, const struct rule *rule, uint64_t step, bool holds)
{
    if (holds && !finding->holds && !(finding->told && step - finding->until <= rule->patience))
        finding->since = step > rule->lag ? step - rule->lag : step;
    if (!holds && finding->told && step - finding->until > rule->patience)
        finding->told = false;
    finding->holds = holds;
    if (holds)
        finding->until = step;
    return holds && !finding->told && step >= finding->since + rule->patience;
}

void diagnosis_judge(struct diagnosis *diagnosis, uint64_t step, void (*warn)(void *user, const struct warning *warning),
                     void *user)
{
    for (int r = 0; r < RULES; r++) {
        const struct rule *rule = &rules[r];
        struct finding *finding = &diagnosis->findings[r];
        char seen[SEEN];
        if (!follow(finding, rule, step, rule->holds(diagnosis, seen)) || explained(diagnosis, rule))
            continue;
        finding->told = true;
        struct warning warning = {.rule = rule->name, .step = step, .since = finding->since};
        if (finding->since == 0)
            snprintf(warning.text, sizeof warning.text, "%s. %s.", seen, rule->advice);
        else
            snprintf(warning.text, sizeof warning.text, "%s step %" PRIu64 ", %s. %s.", finding->since < step ? "since" : "at",
                     finding->since, seen, rule->advice);
        warn(user, &warning);
    }
}
