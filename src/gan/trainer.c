/* The schedule: phases become graphs, one for every combination that coincides in a step, and run in turn. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gan/step.h"
#include "program/program.h"
#include "vkgan/ops.h"

enum { MAX_VARIANTS = 16, MAX_PERIOD = 4096, MAX_IN_FLIGHT = 8 };

/* A combination of phases that run in the same step, as one program. */
struct variant {
    uint64_t phases; /* a bit a phase */
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
    struct variant variants[MAX_VARIANTS];
    uint32_t variant_count;
    uint8_t *schedule; /* step modulo period → variant */
    uint32_t period;
    uint64_t steps_done;
    struct flight flights[MAX_IN_FLIGHT];
    uint32_t in_flight;
    const char *names[STEP_MAX_REPORTS]; /* every name that any variant reports; owned by the variants' steps */
    uint32_t name_count;
    float values[STEP_MAX_REPORTS];
    uint64_t reported_step;
};

/* --- which phases coincide --- */

static uint64_t phases_at(const vkg_trainer_desc *desc, uint32_t step)
{
    uint64_t phases = 0;
    for (uint32_t p = 0; p < desc->phase_count; p++)
        if (step % (desc->phases[p].every ? desc->phases[p].every : 1) == 0)
            phases |= 1ull << p;
    return phases;
}

static uint32_t least_common_multiple(uint32_t a, uint32_t b)
{
    uint32_t x = a, y = b;
    while (y) {
        uint32_t rest = x % y;
        x = y;
        y = rest;
    }
    uint64_t multiple = (uint64_t)a / x * b;
    return multiple > MAX_PERIOD ? MAX_PERIOD + 1 : (uint32_t)multiple;
}

static vkg_result find_variants(vkg_trainer *trainer, const vkg_trainer_desc *desc)
{
    const vkg_log *log = &trainer->device->log;
    trainer->period = 1;
    for (uint32_t p = 0; p < desc->phase_count; p++)
        trainer->period = least_common_multiple(trainer->period, desc->phases[p].every ? desc->phases[p].every : 1);
    if (trainer->period > MAX_PERIOD)
        return vkg_fail(log, VKG_ERROR_INVALID, "the phases' `every` repeat only after more than %d steps", MAX_PERIOD);
    trainer->schedule = calloc(trainer->period, 1);
    if (!trainer->schedule)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "vkg_trainer_create: out of host memory");
    for (uint32_t step = 0; step < trainer->period; step++) {
        uint64_t phases = phases_at(desc, step);
        uint32_t v = 0;
        while (v < trainer->variant_count && trainer->variants[v].phases != phases)
            v++;
        if (!phases)
            return vkg_fail(log, VKG_ERROR_INVALID, "no phase runs at step %u: at least one must have every = 1", step);
        if (v == MAX_VARIANTS)
            return vkg_fail(log, VKG_ERROR_INVALID, "more than %d combinations of phases", MAX_VARIANTS);
        if (v == trainer->variant_count)
            trainer->variants[trainer->variant_count++].phases = phases;
        trainer->schedule[step] = (uint8_t)v;
    }
    return VKG_OK;
}

/* --- graphs --- */

/* The loss, its gradient with respect to what the phase trains and nothing else, and the update. */
static void build_phase(struct vkg_step *step, const vkg_phase *phase, const vkg_loss_scaling *scaling)
{
    vkg_graph *graph = step->graph;
    step->current = NULL;
    vkg_tensor *loss = phase->loss(step, phase->user);
    uint32_t count = vkg_graph_parameters(graph, phase->trains, NULL, 0);
    vkg_tensor **parameters = arena_alloc(&graph->arena, (count + 1) * sizeof *parameters);
    vkg_tensor **gradients = arena_alloc(&graph->arena, (count + 1) * sizeof *gradients);
    if (!parameters || !gradients) {
        graph->out_of_memory = true;
        return;
    }
    if (loss->shape.rank != 0 && !loss->poisoned) {
        graph_fail(graph, "the loss of phase \"%s\" has shape %s, expected a scalar", phase->name, SHAPE(&loss->shape));
        return;
    }
    if (count == 0) {
        graph_fail(graph, "phase \"%s\" trains \"%s…\": the graph has no such parameter", phase->name, phase->trains);
        return;
    }
    vkg_graph_parameters(graph, phase->trains, parameters, count);
    vkg_optimizer_desc optimizer = phase->optimizer;
    optimizer.loss_scaling = *scaling;
    if (scaling->enabled)
        loss = vkg_mul(graph, loss, vkg_loss_scale(graph, phase->name, scaling));
    vkg_gradients(graph, loss, parameters, count, gradients);
    vkg_optimize(graph, phase->name, parameters, gradients, count, &optimizer);
}

static const vkg_loss_scaling *phase_scaling(const vkg_trainer_desc *desc, const vkg_phase *phase)
{
    return phase->optimizer.loss_scaling.enabled ? &phase->optimizer.loss_scaling : &desc->loss_scaling;
}

/* Of all phases, also those that this step leaves out, so that every step reports the same things. */
static void report_scales(struct vkg_step *step, const vkg_trainer_desc *desc)
{
    vkg_graph *graph = step->graph;
    vkg_tensor *least = NULL, *skipped = vkg_constant(graph, 0, VKG_SCALAR);
    for (uint32_t p = 0; p < desc->phase_count; p++) {
        const vkg_loss_scaling *scaling = phase_scaling(desc, &desc->phases[p]);
        if (!scaling->enabled)
            continue;
        vkg_tensor *scale = vkg_loss_scale(graph, desc->phases[p].name, scaling);
        least = least ? vkg_minimum(graph, least, scale) : scale;
        skipped = vkg_add(graph, skipped, vkg_skipped_updates(graph, desc->phases[p].name));
    }
    if (!least)
        return;
    vkg_step_report(step, "loss_scale", least);
    vkg_step_report(step, "skipped_updates", skipped);
}

static vkg_result build_variant(vkg_trainer *trainer, const vkg_trainer_desc *desc, struct variant *variant)
{
    struct vkg_step *step = &variant->step;
    *step = (struct vkg_step){.batch = desc->batch, .latent = desc->latent,
                              .image = {desc->image[0], desc->image[1], desc->image[2]}};
    vkg_result result = vkg_graph_create(&trainer->device->log, &step->graph);
    if (result == VKG_OK)
        vkg_graph_set_precision(step->graph, desc->precision);
    for (uint32_t p = 0; p < desc->phase_count && result == VKG_OK; p++) {
        const vkg_phase *phase = &desc->phases[p];
        for (uint32_t t = 0; variant->phases >> p & 1 && t < (phase->times ? phase->times : 1); t++)
            build_phase(step, phase, phase_scaling(desc, phase));
    }
    if (result == VKG_OK)
        report_scales(step, desc);
    for (uint32_t i = 0; i < step->report_count && result == VKG_OK; i++)
        vkg_output(step->graph, step->reports[i].name, step->reports[i].scalar);
    return result;
}

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
        !desc->image[2] || desc->in_flight > MAX_IN_FLIGHT)
        return vkg_fail(&device->log, VKG_ERROR_INVALID,
                        "vkg_trainer_create: %u phases (1 to 64), batch %u, image [%u, %u, %u] (none may be 0), in_flight "
                        "%u (at most %d)",
                        desc->phase_count, desc->batch, desc->image[0], desc->image[1], desc->image[2], desc->in_flight,
                        MAX_IN_FLIGHT);
    if (desc->precision != VKG_FLOAT32 && desc->precision != VKG_BFLOAT16 && desc->precision != VKG_FLOAT16)
        return vkg_fail(&device->log, VKG_ERROR_INVALID,
                        "vkg_trainer_create: training in %s is not possible, expected float32, bfloat16 or float16",
                        vkg_dtype_name(desc->precision));
    return VKG_OK;
}

static vkg_result create_state(vkg_trainer *trainer, uint64_t seed)
{
    vkg_graph *graphs[MAX_VARIANTS];
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
    result = find_variants(made, desc);
    for (uint32_t v = 0; v < made->variant_count && result == VKG_OK; v++)
        result = build_variant(made, desc, &made->variants[v]);
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
    free(t->schedule);
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
    return trainer->schedule[step % trainer->period];
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
    for (uint32_t n = 0; n < trainer->name_count; n++)
        trainer->values[n] = NAN;
    for (uint32_t i = 0; i < variant->step.report_count; i++)
        trainer->values[variant->step.reports[i].index] =
            *(const float *)vkg_program_output(variant->program, variant->step.reports[i].scalar, slot);
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
                                       .names = trainer->names, .values = trainer->values};
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
    vkg_program_stats most = {0};
    for (uint32_t v = 0; v < trainer->variant_count; v++) {
        vkg_program_stats stats = vkg_program_get_stats(trainer->variants[v].program);
        if (stats.dispatches > most.dispatches)
            most = stats;
    }
    return most;
}
