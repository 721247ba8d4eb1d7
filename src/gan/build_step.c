/* From phases to the graph of a step: losses, their gradients, updates, moving averages. */
#include <stdio.h>
#include <string.h>

#include "gan/step.h"
#include "vkgan/ops.h"

/* --- optimisers: a phase has its own, or continues another's --- */

static uint32_t at_least_one(uint32_t count)
{
    return count ? count : 1;
}

static const vkg_phase *find_phase(const vkg_trainer_desc *desc, const char *name)
{
    for (uint32_t p = 0; p < desc->phase_count; p++)
        if (strcmp(desc->phases[p].name, name) == 0)
            return &desc->phases[p];
    return NULL;
}

/* The phase whose optimiser this one uses. The list was checked. */
static const vkg_phase *owner_of(const vkg_trainer_desc *desc, const vkg_phase *phase)
{
    return phase->shares ? find_phase(desc, phase->shares) : phase;
}

static vkg_result check_sharing(const vkg_log *log, const vkg_trainer_desc *desc, const vkg_phase *phase)
{
    const vkg_phase *owner = owner_of(desc, phase);
    if (!owner)
        return vkg_fail(log, VKG_ERROR_INVALID, "phase \"%s\": shares is \"%s\", and there is no phase of that name",
                        phase->name, phase->shares);
    if (owner->shares && owner != phase)
        return vkg_fail(log, VKG_ERROR_INVALID, "phase \"%s\": shares is \"%s\", which shares another's optimiser itself: \"%s\"",
                        phase->name, phase->shares, owner->shares);
    if (phase->shares && (owner == phase || (phase->trains && strcmp(phase->trains, owner->trains) != 0)))
        return vkg_fail(log, VKG_ERROR_INVALID, "phase \"%s\": shares is \"%s\", expected another phase that trains the same",
                        phase->name, phase->shares);
    if (phase->lazy && !phase->shares)
        return vkg_fail(log, VKG_ERROR_INVALID, "phase \"%s\": lazy is set, and shares is not", phase->name);
    return VKG_OK;
}

vkg_result step_check_phases(const vkg_log *log, const vkg_trainer_desc *desc)
{
    vkg_result result = VKG_OK;
    for (uint32_t p = 0; p < desc->phase_count; p++) {
        const vkg_phase *phase = &desc->phases[p];
        if (!phase->name || !phase->loss || (!phase->trains && !phase->shares))
            return vkg_fail(log, VKG_ERROR_INVALID, "phase %u (\"%s\"): name, loss and trains are required", p,
                            phase->name ? phase->name : "");
    }
    for (uint32_t p = 0; p < desc->phase_count && result == VKG_OK; p++) {
        const vkg_phase *phase = &desc->phases[p];
        if (find_phase(desc, phase->name) != phase)
            return vkg_fail(log, VKG_ERROR_INVALID, "phases %u and %u have the same name, \"%s\"",
                            (uint32_t)(find_phase(desc, phase->name) - desc->phases), p, phase->name);
        result = check_sharing(log, desc, phase);
    }
    return result;
}

static double updates_a_step(const vkg_phase *phase)
{
    return (double)at_least_one(phase->times) / at_least_one(phase->every);
}

/* What an optimiser's own phase makes of all updates, lazy ones included: k/(k + 1). Karras et al. 2020, appendix B. */
static float pace_of(const vkg_trainer_desc *desc, const vkg_phase *owner)
{
    const double own = updates_a_step(owner);
    double all = own;
    for (uint32_t p = 0; p < desc->phase_count; p++)
        if (desc->phases[p].lazy && owner_of(desc, &desc->phases[p]) == owner)
            all += updates_a_step(&desc->phases[p]);
    return (float)(own / all);
}

/* Does an earlier phase with another optimiser train some of the same? */
static bool is_second(const vkg_trainer_desc *desc, const vkg_phase *owner)
{
    for (const vkg_phase *p = desc->phases; p < owner; p++) {
        if (p->shares || owner->shares)
            continue;
        const size_t a = strlen(p->trains), b = strlen(owner->trains);
        if (strncmp(p->trains, owner->trains, a < b ? a : b) == 0)
            return true;
    }
    return false;
}

/* Of a phase that has an optimiser of its own. */
static vkg_optimizer_desc optimizer_of(const vkg_trainer_desc *desc, const vkg_phase *owner)
{
    vkg_optimizer_desc optimizer = owner->optimizer;
    if (!optimizer.loss_scaling.enabled)
        optimizer.loss_scaling = desc->loss_scaling;
    optimizer.own_moments = is_second(desc, owner);
    optimizer.pace = pace_of(desc, owner) * (optimizer.pace != 0 ? optimizer.pace : 1);
    return optimizer;
}

/* --- a phase --- */

/* What a phase trains, and what its losses say to that. */
struct trained {
    uint32_t count;
    vkg_tensor **parameters, **gradients, **sums;
};

/* False, with a message: there is nothing. */
static bool find_trained(vkg_graph *graph, const vkg_phase *phase, const char *prefix, struct trained *trained)
{
    trained->count = vkg_graph_parameters(graph, prefix, NULL, 0);
    const size_t bytes = (trained->count + 1) * sizeof(vkg_tensor *);
    trained->parameters = arena_alloc(&graph->arena, bytes);
    trained->gradients = arena_alloc(&graph->arena, bytes);
    trained->sums = arena_alloc(&graph->arena, bytes);
    if (!trained->parameters || !trained->gradients || !trained->sums) {
        graph->out_of_memory = true;
        return false;
    }
    if (trained->count == 0)
        graph_fail(graph, "phase \"%s\" trains \"%s…\": the graph has no such parameter", phase->name, prefix);
    memset(trained->sums, 0, bytes);
    vkg_graph_parameters(graph, prefix, trained->parameters, trained->count);
    return trained->count > 0;
}

static vkg_tensor *build_loss(struct vkg_step *step, const vkg_phase *phase, const char *optimizer,
                              const vkg_loss_scaling *scaling)
{
    vkg_graph *graph = step->graph;
    step->current = NULL;
    step->alone = phase->accumulate > 1;
    step->own = NULL;
    vkg_tensor *loss = phase->loss(step, phase->user);
    if (loss->shape.rank != 0 && !loss->poisoned)
        return graph_fail(graph, "the loss of phase \"%s\" has shape %s, expected a scalar", phase->name,
                          SHAPE(&loss->shape));
    return scaling->enabled ? vkg_mul(graph, loss, vkg_loss_scale(graph, optimizer, scaling)) : loss;
}

/* As the optimiser takes the gradient: without the scale that its loss had. */
static void report_gradient(struct vkg_step *step, const vkg_phase *phase, const char *optimizer,
                            const vkg_loss_scaling *scaling, vkg_tensor *const *gradients, uint32_t count)
{
    vkg_graph *graph = step->graph;
    vkg_tensor *norm = vkg_global_norm(graph, gradients, count);
    char name[128];
    if (scaling->enabled)
        norm = vkg_div(graph, norm, vkg_loss_scale(graph, optimizer, scaling));
    snprintf(name, sizeof name, "grad_%s", phase->name);
    vkg_step_report(step, name, norm);
}

/* The losses of one update, their mean gradient with respect to what the phase trains and nothing else, and the update. */
static void build_update(struct vkg_step *step, const vkg_trainer_desc *desc, const vkg_phase *phase)
{
    vkg_graph *graph = step->graph;
    const vkg_phase *owner = owner_of(desc, phase);
    vkg_optimizer_desc optimizer = optimizer_of(desc, owner);
    const uint32_t batches = at_least_one(phase->accumulate);
    struct trained trained = {0};
    step->gate = NULL;
    step->phase = arena_strdup(&graph->arena, phase->name);
    for (uint32_t i = 0; i < batches; i++) {
        vkg_tensor *loss = build_loss(step, phase, owner->name, &optimizer.loss_scaling);
        if (i == 0 && !find_trained(graph, phase, owner->trains, &trained))
            return;
        vkg_gradients(graph, loss, trained.parameters, trained.count, trained.gradients);
        if (batches > 1)
            vkg_accumulate(graph, trained.gradients, trained.count, 1.0f / (float)batches, trained.sums);
    }
    vkg_tensor **gradients = batches > 1 ? trained.sums : trained.gradients;
    if (desc->gradient_norms)
        report_gradient(step, phase, owner->name, &optimizer.loss_scaling, gradients, trained.count);
    optimizer.gate = step->gate;
    vkg_optimize(graph, owner->name, trained.parameters, gradients, trained.count, &optimizer);
}

/* --- what is reported of all phases, also of those that a step leaves out, so that every step reports the same --- */

static void report_scales(struct vkg_step *step, const vkg_trainer_desc *desc)
{
    vkg_graph *graph = step->graph;
    vkg_tensor *least = NULL, *skipped = vkg_constant(graph, 0, VKG_SCALAR);
    for (uint32_t p = 0; p < desc->phase_count; p++) {
        const vkg_optimizer_desc optimizer = optimizer_of(desc, &desc->phases[p]);
        if (!optimizer.loss_scaling.enabled || desc->phases[p].shares)
            continue;
        vkg_tensor *scale = vkg_loss_scale(graph, desc->phases[p].name, &optimizer.loss_scaling);
        least = least ? vkg_minimum(graph, least, scale) : scale;
        skipped = vkg_add(graph, skipped, vkg_skipped_updates(graph, desc->phases[p].name));
    }
    if (!least)
        return;
    vkg_step_report(step, "loss_scale", least);
    vkg_step_report(step, "skipped_updates", skipped);
}

static void report_learning_rates(struct vkg_step *step, const vkg_trainer_desc *desc)
{
    for (uint32_t p = 0; p < desc->phase_count; p++) {
        const vkg_phase *phase = &desc->phases[p];
        const vkg_schedule *schedule = &phase->optimizer.schedule;
        if (phase->shares || (schedule->kind == VKG_SCHEDULE_CONSTANT && schedule->warm_up == 0))
            continue;
        const vkg_optimizer_desc optimizer = optimizer_of(desc, phase);
        char name[128];
        snprintf(name, sizeof name, "lr_%s", phase->name);
        vkg_step_report(step, name, vkg_learning_rate(step->graph, phase->name, &optimizer));
    }
}

/* --- the step --- */

static uint32_t images_a_step(const vkg_trainer_desc *desc)
{
    uint32_t batches = 1;
    for (uint32_t p = 0; p < desc->phase_count; p++)
        if (desc->phases[p].accumulate > batches)
            batches = desc->phases[p].accumulate;
    return batches * desc->batch;
}

vkg_result step_build(const vkg_log *log, const vkg_trainer_desc *desc, uint64_t phases, struct vkg_step *step)
{
    *step = (struct vkg_step){.batch = desc->batch, .latent = desc->latent,
                              .image = {desc->image[0], desc->image[1], desc->image[2]},
                              .input = {desc->input[0], desc->input[1], desc->input[2]}};
    vkg_result result = vkg_graph_create(log, &step->graph);
    if (result != VKG_OK)
        return result;
    vkg_graph_set_precision(step->graph, desc->precision);
    for (uint32_t p = 0; p < desc->phase_count; p++)
        for (uint32_t t = 0; phases >> p & 1 && t < at_least_one(desc->phases[p].times); t++)
            build_update(step, desc, &desc->phases[p]);
    step->phase = "";
    step->averaged = vkg_ema_update(step->graph, &desc->ema, images_a_step(desc));
    report_scales(step, desc);
    report_learning_rates(step, desc);
    for (uint32_t i = 0; i < step->report_count; i++)
        vkg_output(step->graph, step->reports[i].name, step->reports[i].scalar);
    return VKG_OK;
}
