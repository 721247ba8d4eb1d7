/* How weights move. They are read in pairs of looks, a step apart: between the two is one update; since the pair before, a
 * phase that trains has gone some way. */
#include "app/watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_PAIR = 10, BETWEEN_PAIRS = 100 }; /* steps */

static const char *const networks[] = {"generator", "discriminator"};
enum { NETWORKS = 2 };

static bool is_of(const vkg_state_entry *entry, const char *network)
{
    const size_t length = strlen(network);
    return entry->trained && entry->dtype == VKG_FLOAT32 && strncmp(entry->name, network, length) == 0 &&
           entry->name[length] == '.';
}

/* Its number of parameters. */
static uint64_t parameters_of(vkg_state *state, const char *network)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < vkg_state_count(state); i++)
        count += is_of(vkg_state_get(state, i), network) ? vkg_state_get(state, i)->elements : 0;
    return count;
}

vkg_result watch_parameters(struct training *t)
{
    struct watch *watch = t->watch;
    vkg_state *state = vkg_trainer_state(t->trainer);
    const uint64_t counts[NETWORKS] = {parameters_of(state, networks[0]), parameters_of(state, networks[1])};
    diagnosis_note(&watch->diagnosis, "parameters_g", (double)counts[0]);
    diagnosis_note(&watch->diagnosis, "parameters_d", (double)counts[1]);
    diagnosis_note(&watch->diagnosis, "lr", t->app->options.lr);
    watch->kept.count = counts[0] + counts[1];
    watch->kept.values = malloc((watch->kept.count + 1) * sizeof *watch->kept.values);
    return watch->kept.values ? VKG_OK
                              : vkg_fail(&t->app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for a copy of the weights");
}

/* --- when --- */

static bool histograms_due(const struct training *t, uint64_t step)
{
    const double every = t->app->options.histogram_every;
    return every > 0 && step % (uint64_t)every == 0;
}

static bool pair_ends(const struct training *t, uint64_t step)
{
    return step == t->first_step + FIRST_PAIR || histograms_due(t, step) ||
           (step % (uint64_t)t->app->options.sample_every == 0 && step >= t->watch->looked + BETWEEN_PAIRS);
}

bool watch_weights_due(const struct training *t, uint64_t step)
{
    return pair_ends(t, step) || pair_ends(t, step + 1);
}

/* --- one look --- */

struct change {
    double weights, difference; /* sums of squares */
};

static void compare(struct change *change, const float *before, const float *now, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const double difference = (double)now[i] - (double)before[i];
        change->weights += (double)now[i] * (double)now[i];
        change->difference += difference * difference;
    }
}

static void add_histogram(struct tensorboard *board, const char *group, const char *name, const float *values, uint64_t count)
{
    char tag[256];
    snprintf(tag, sizeof tag, "%s/%s", group, name);
    tensorboard_histogram(board, tag, values, count);
}

/* The optimiser's own mean of a parameter's gradients, which follows them; the gradients themselves do not outlive a step. */
static vkg_result add_gradients(struct training *t, const vkg_state_entry *entry, float *values)
{
    static const char *const means[] = {"exp_avg.", "momentum_buffer."};
    vkg_state *state = vkg_trainer_state(t->trainer);
    for (int i = 0; i < 2; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s%s", means[i], entry->name);
        const uint32_t index = vkg_state_find(state, name);
        if (index == UINT32_MAX || vkg_state_get(state, index)->elements != entry->elements ||
            vkg_state_get(state, index)->dtype != VKG_FLOAT32)
            continue;
        vkg_result result = vkg_state_read(state, index, values);
        if (result == VKG_OK)
            add_histogram(t->watch->board, "gradients", entry->name, values, entry->elements);
        return result;
    }
    return VKG_OK;
}

/* Weights, the update that made them of those kept before it, and gradients. `now` is overwritten. */
static vkg_result add_histograms(struct training *t, const vkg_state_entry *entry, const float *before, float *now)
{
    struct tensorboard *board = t->watch->board;
    add_histogram(board, "weights", entry->name, now, entry->elements);
    for (uint64_t i = 0; i < entry->elements; i++)
        now[i] -= before[i];
    add_histogram(board, "updates", entry->name, now, entry->elements);
    return add_gradients(t, entry, now);
}

/* Reads a network, compares it with what was kept from `place` on, and keeps it instead. */
static vkg_result look_at_network(struct training *t, const char *network, bool histograms, float *scratch, float **place,
                                  struct change *change)
{
    vkg_state *state = vkg_trainer_state(t->trainer);
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < vkg_state_count(state) && result == VKG_OK; i++) {
        const vkg_state_entry *entry = vkg_state_get(state, i);
        if (!is_of(entry, network))
            continue;
        float *now = scratch, *before = scratch + entry->elements;
        memcpy(before, *place, entry->elements * sizeof *before);
        result = vkg_state_read(state, i, now);
        if (result != VKG_OK)
            return result;
        compare(change, before, now, entry->elements);
        memcpy(*place, now, entry->elements * sizeof *now);
        *place += entry->elements;
        if (histograms)
            result = add_histograms(t, entry, before, now);
    }
    return result;
}

/* What a phase trains, by itself or as the one whose optimiser it shares. */
static const char *trained_by(const vkg_app *app, const vkg_phase *phase)
{
    const vkg_phase *owner = app->phases;
    while (phase->shares && owner < app->phases + app->phase_count - 1 && strcmp(owner->name, phase->shares) != 0)
        owner++;
    return phase->shares ? owner->trains : phase->trains;
}

/* Does any step behind `after`, up to `step`, update a network, or a part of it? */
static bool is_trained(const vkg_app *app, const char *network, uint64_t after, uint64_t step)
{
    for (const vkg_phase *phase = app->phases; phase < app->phases + app->phase_count; phase++) {
        const char *trains = trained_by(app, phase);
        const size_t a = strlen(trains), b = strlen(network);
        if (strncmp(trains, network, a < b ? a : b) == 0 && phase->from < step && (phase->until == 0 || phase->until > after))
            return true;
    }
    return false;
}

/* A change in one step is a curve of its own, since it shows whether the learning rate suits. */
static vkg_result note_change(struct training *t, uint64_t step, const char *network, const struct change *change)
{
    char name[64];
    const uint64_t passed = step - t->watch->kept.step;
    const double relative = sqrt(change->difference / fmax(change->weights, 1e-30));
    if (t->watch->kept.step == 0 || (passed > 1 && passed < BETWEEN_PAIRS / 2) ||
        !is_trained(t->app, network, t->watch->kept.step, step))
        return VKG_OK;
    snprintf(name, sizeof name, "%s_%s", passed == 1 ? "update" : "moved", network);
    if (passed == 1)
        return watch_measures(t, step, (const char *const[]){name}, &relative, 1);
    diagnosis_note(&t->watch->diagnosis, name, relative);
    return VKG_OK;
}

vkg_result watch_weights(struct training *t, uint64_t step)
{
    struct watch *watch = t->watch;
    const bool second = watch->kept.step > 0 && watch->kept.step == step - 1, histograms = second && histograms_due(t, step);
    float *scratch = malloc((2 * watch->kept.count + 1) * sizeof *scratch), *place = watch->kept.values;
    vkg_result result = scratch ? VKG_OK : vkg_fail(&t->app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for the weights");
    struct change changes[NETWORKS] = {0};
    if (histograms)
        tensorboard_begin(watch->board, step);
    for (int n = 0; n < NETWORKS && result == VKG_OK; n++)
        result = look_at_network(t, networks[n], histograms, scratch, &place, &changes[n]);
    free(scratch);
    if (result == VKG_OK && histograms)
        result = tensorboard_end(watch->board);
    for (int n = 0; n < NETWORKS && result == VKG_OK; n++)
        result = note_change(t, step, networks[n], &changes[n]);
    watch->kept.step = step;
    watch->looked = second ? step : watch->looked;
    return result == VKG_OK ? watch_judge(t, step) : result;
}
