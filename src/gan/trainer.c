/* The trainer: a program for every combination of phases that coincides in a step, which run in turn. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gan/step.h"
#include "gan/timeline.h"
#include "program/program.h"

enum { MAX_IN_FLIGHT = 8 };

/* A combination of phases that run in the same step, as one program. */
struct variant {
    struct vkg_step step;
    vkg_program *program;
};

/* A run that was sent and not yet looked at. */
struct flight {
    bool pending;
    uint32_t variant;
    uint64_t step;
};

struct vkg_trainer {
    vkg_device *device;
    vkg_state *state;
    struct timeline timeline;
    struct variant variants[TIMELINE_MAX_COMBINATIONS]; /* one a combination of the timeline */
    uint32_t variant_count;
    uint64_t steps_done;
    struct flight flights[MAX_IN_FLIGHT];
    uint32_t in_flight;
    const char *names[STEP_MAX_REPORTS]; /* every name that any variant reports; owned by the variants' steps */
    uint32_t name_count;
    float values[STEP_MAX_REPORTS];
    const char *phases[STEP_MAX_REPORTS]; /* who reported the value; NULL: the step did not */
    uint64_t reported_step;
};

/* --- making --- */

static vkg_result collect_names(vkg_trainer *trainer)
{
    for (uint32_t v = 0; v < trainer->variant_count; v++) {
        struct vkg_step *step = &trainer->variants[v].step;
        for (uint32_t i = 0; i < step->report_count; i++) {
            uint32_t n = 0;
            while (n < trainer->name_count && strcmp(trainer->names[n], step->reports[i].name) != 0)
                n++;
            if (n == STEP_MAX_REPORTS)
                return vkg_fail(&trainer->device->log, VKG_ERROR_INVALID, "phases report more than %d names",
                                STEP_MAX_REPORTS);
            if (n == trainer->name_count)
                trainer->names[trainer->name_count++] = step->reports[i].name;
            step->reports[i].index = n;
        }
    }
    return VKG_OK;
}

static vkg_result check_desc(vkg_device *device, const vkg_trainer_desc *desc)
{
    if (desc->phase_count == 0 || desc->phase_count > 64 || desc->batch == 0 || !desc->image[0] || !desc->image[1] ||
        !desc->image[2] || !desc->input[0] != !desc->input[1] || !desc->input[0] != !desc->input[2] ||
        desc->in_flight > MAX_IN_FLIGHT)
        return vkg_fail(&device->log, VKG_ERROR_INVALID,
                        "vkg_trainer_create: %u phases (1 to 64), batch %u, image [%u, %u, %u] (none may be 0), input "
                        "[%u, %u, %u] (all or none may be 0), in_flight %u (at most %d)",
                        desc->phase_count, desc->batch, desc->image[0], desc->image[1], desc->image[2], desc->input[0],
                        desc->input[1], desc->input[2], desc->in_flight, MAX_IN_FLIGHT);
    if (desc->precision != VKG_FLOAT32 && desc->precision != VKG_BFLOAT16 && desc->precision != VKG_FLOAT16)
        return vkg_fail(&device->log, VKG_ERROR_INVALID,
                        "vkg_trainer_create: training in %s is not possible, expected float32, bfloat16 or float16",
                        vkg_dtype_name(desc->precision));
    return step_check_phases(&device->log, desc);
}

/* Steps are counted in all programs or in none. */
static void count_steps_alike(vkg_trainer *trainer)
{
    bool counted = false;
    for (uint32_t v = 0; v < trainer->variant_count; v++)
        counted |= trainer->variants[v].step.graph->counts_steps;
    for (uint32_t v = 0; v < trainer->variant_count && counted; v++)
        vkg_steps_done(trainer->variants[v].step.graph);
}

static vkg_result build_variants(vkg_trainer *trainer, const vkg_trainer_desc *desc)
{
    const vkg_log *log = &trainer->device->log;
    bool averaged = desc->ema.of == NULL;
    vkg_result result = VKG_OK;
    for (uint32_t v = 0; v < trainer->timeline.combination_count && result == VKG_OK; v++) {
        struct vkg_step *step = &trainer->variants[trainer->variant_count++].step;
        result = step_build(log, desc, trainer->timeline.combinations[v], step);
        if (result == VKG_OK && step->graph->error)
            return VKG_ERROR_INVALID; /* which was said when it happened */
        if (result == VKG_OK && step->graph->out_of_memory)
            result = vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "vkg_trainer_create: out of host memory");
        averaged |= result == VKG_OK && step->averaged;
    }
    if (result == VKG_OK && !averaged)
        return vkg_fail(log, VKG_ERROR_INVALID, "ema.of is \"%s\": no phase builds a tensor whose name begins so",
                        desc->ema.of);
    if (result == VKG_OK)
        count_steps_alike(trainer);
    return result;
}

static vkg_result create_state(vkg_trainer *trainer, uint64_t seed)
{
    vkg_graph *graphs[TIMELINE_MAX_COMBINATIONS];
    for (uint32_t v = 0; v < trainer->variant_count; v++)
        graphs[v] = trainer->variants[v].step.graph;
    return vkg_state_create(trainer->device, graphs, trainer->variant_count, seed, &trainer->state);
}

vkg_result vkg_trainer_create(vkg_device *device, const vkg_trainer_desc *given, vkg_trainer **trainer)
{
    *trainer = NULL;
    vkg_result result = check_desc(device, given);
    if (result != VKG_OK)
        return result;
    vkg_trainer_desc scaled = *given;
    scaled.loss_scaling.enabled |= given->precision == VKG_FLOAT16;
    const vkg_trainer_desc *desc = &scaled;
    vkg_trainer *made = calloc(1, sizeof *made);
    if (!made)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_trainer_create: out of host memory");
    made->device = device;
    made->in_flight = desc->in_flight ? desc->in_flight : 2;
    result = timeline_create(&device->log, desc, &made->timeline);
    if (result == VKG_OK)
        result = build_variants(made, desc);
    if (result == VKG_OK)
        result = collect_names(made);
    if (result == VKG_OK)
        result = create_state(made, desc->seed);
    for (uint32_t v = 0; v < made->variant_count && result == VKG_OK; v++)
        result = vkg_program_create(device, made->variants[v].step.graph, made->state,
                                    &(vkg_program_desc){.name = "training step", .slots = made->in_flight},
                                    &made->variants[v].program);
    if (result != VKG_OK)
        vkg_trainer_destroy(&made);
    *trainer = made;
    return result;
}

void vkg_trainer_destroy(vkg_trainer **trainer)
{
    vkg_trainer *t = trainer ? *trainer : NULL;
    if (!t)
        return;
    for (uint32_t v = 0; v < t->variant_count; v++) {
        vkg_program_destroy(&t->variants[v].program);
        vkg_graph_destroy(&t->variants[v].step.graph);
    }
    vkg_state_destroy(&t->state);
    timeline_free(&t->timeline);
    free(t);
    *trainer = NULL;
}

/* --- running --- */

vkg_state *vkg_trainer_state(vkg_trainer *trainer)
{
    return trainer->state;
}

uint64_t vkg_trainer_get_step(const vkg_trainer *trainer)
{
    return trainer->steps_done;
}

void vkg_trainer_set_step(vkg_trainer *trainer, uint64_t step)
{
    trainer->steps_done = step;
    trainer->reported_step = 0;
}

static uint32_t variant_at(const vkg_trainer *trainer, uint64_t step)
{
    return timeline_at(&trainer->timeline, step);
}

uint32_t vkg_trainer_batches(const vkg_trainer *trainer)
{
    return trainer->variants[variant_at(trainer, trainer->steps_done)].step.batch_count;
}

uint32_t vkg_trainer_most_batches(const vkg_trainer *trainer)
{
    uint32_t most = 0;
    for (uint32_t v = 0; v < trainer->variant_count; v++)
        if (trainer->variants[v].step.batch_count > most)
            most = trainer->variants[v].step.batch_count;
    return most;
}

/* What a finished step reported. */
static void keep_values(vkg_trainer *trainer, const struct variant *variant, uint32_t slot, uint64_t step)
{
    trainer->reported_step = step;
    for (uint32_t n = 0; n < trainer->name_count; n++) {
        trainer->values[n] = NAN;
        trainer->phases[n] = NULL;
    }
    for (uint32_t i = 0; i < variant->step.report_count; i++) {
        const struct step_report *report = &variant->step.reports[i];
        trainer->values[report->index] = *(const float *)vkg_program_output(variant->program, report->scalar, slot);
        trainer->phases[report->index] = report->phase;
    }
}

/* Waits for a slot's run and keeps what it reported, if that is news. */
static vkg_result land(vkg_trainer *trainer, uint32_t slot)
{
    struct flight *flight = &trainer->flights[slot];
    if (!flight->pending)
        return VKG_OK;
    struct variant *variant = &trainer->variants[flight->variant];
    flight->pending = false;
    vkg_result result = vkg_program_wait(variant->program, slot);
    if (result == VKG_OK && flight->step > trainer->reported_step)
        keep_values(trainer, variant, slot, flight->step);
    return result;
}

static void fill_report(const vkg_trainer *trainer, vkg_trainer_report *report)
{
    if (report)
        *report = (vkg_trainer_report){.step = trainer->reported_step, .count = trainer->name_count,
                                       .names = trainer->names, .phases = trainer->phases, .values = trainer->values};
}

/* Into an input of the step's, where it has it. */
static bool copy_input(const struct variant *variant, uint32_t slot, const vkg_tensor *input, const void *data)
{
    if (input && data)
        memcpy(vkg_program_input(variant->program, input, slot), data,
               vkg_tensor_elements(input) * vkg_dtype_size(vkg_tensor_dtype(input)));
    return !input || data;
}

static vkg_result copy_batches(const vkg_trainer *trainer, const struct variant *variant, uint32_t slot,
                               const vkg_batch *batches)
{
    for (uint32_t i = 0; i < variant->step.batch_count; i++) {
        const struct step_batch *asked = &variant->step.batches[i];
        if (!copy_input(variant, slot, asked->images, batches[i].images))
            return vkg_fail(&trainer->device->log, VKG_ERROR_INVALID, "a phase asks for images, and batch %u has none", i);
        if (!copy_input(variant, slot, asked->labels, batches[i].labels))
            return vkg_fail(&trainer->device->log, VKG_ERROR_INVALID, "a phase asks for labels, and batch %u has none", i);
        if (!copy_input(variant, slot, asked->inputs, batches[i].inputs))
            return vkg_fail(&trainer->device->log, VKG_ERROR_INVALID, "a phase asks for inputs, and batch %u has none", i);
    }
    return VKG_OK;
}

vkg_result vkg_trainer_step(vkg_trainer *trainer, const vkg_batch *batches, vkg_trainer_report *report)
{
    uint32_t slot = (uint32_t)(trainer->steps_done % trainer->in_flight);
    vkg_result result = land(trainer, slot);
    if (result != VKG_OK)
        return result;
    uint32_t v = variant_at(trainer, trainer->steps_done);
    struct variant *variant = &trainer->variants[v];
    result = copy_batches(trainer, variant, slot, batches);
    if (result == VKG_OK)
        result = vkg_program_submit(variant->program, slot);
    if (result != VKG_OK)
        return result;
    trainer->flights[slot] = (struct flight){.pending = true, .variant = v, .step = ++trainer->steps_done};
    fill_report(trainer, report);
    return VKG_OK;
}

/* Lands the oldest run in flight; *landed: was there one? */
static vkg_result land_oldest(vkg_trainer *trainer, bool *landed)
{
    *landed = false;
    for (uint32_t i = 0; i < trainer->in_flight; i++) {
        uint32_t slot = (uint32_t)((trainer->steps_done + i) % trainer->in_flight);
        if (!trainer->flights[slot].pending)
            continue;
        *landed = true;
        return land(trainer, slot);
    }
    return VKG_OK;
}

vkg_result vkg_trainer_wait(vkg_trainer *trainer, vkg_trainer_report *report)
{
    bool landed;
    vkg_result result = land_oldest(trainer, &landed);
    *report = (vkg_trainer_report){0};
    if (landed)
        fill_report(trainer, report);
    return result;
}

vkg_result vkg_trainer_finish(vkg_trainer *trainer, vkg_trainer_report *report)
{
    bool landed;
    vkg_result result;
    do
        result = land_oldest(trainer, &landed);
    while (landed && result == VKG_OK);
    fill_report(trainer, report);
    return result;
}

vkg_result vkg_trainer_profile(vkg_trainer *trainer, const vkg_batch *batches, vkg_dispatch_profile *dispatches,
                               uint32_t *count)
{
    struct variant *variant = &trainer->variants[variant_at(trainer, trainer->steps_done)];
    if (!dispatches)
        return vkg_program_profile(variant->program, NULL, count);
    vkg_result result = vkg_trainer_finish(trainer, NULL);
    if (result == VKG_OK)
        result = copy_batches(trainer, variant, 0, batches);
    if (result == VKG_OK)
        result = vkg_program_profile(variant->program, dispatches, count);
    if (result == VKG_OK)
        keep_values(trainer, variant, 0, ++trainer->steps_done);
    return result;
}

vkg_program_stats vkg_trainer_get_stats(const vkg_trainer *trainer)
{
    return vkg_program_get_stats(trainer->variants[variant_at(trainer, trainer->steps_done)].program);
}
