/* What a phase's loss function may ask of the step that it is part of. */
#include "gan/step.h"

#include <string.h>

#include "vkgan/ops.h"

vkg_graph *vkg_step_graph(vkg_step *step)
{
    return step->graph;
}

static struct step_batch *current_batch(vkg_step *step)
{
    if (!step->current && step->batch_count < STEP_MAX_BATCHES)
        step->current = &step->batches[step->batch_count++];
    if (!step->current)
        graph_fail(step->graph, "the phases of one step take more than %d batches", STEP_MAX_BATCHES);
    return step->current;
}

vkg_tensor *vkg_step_real(vkg_step *step)
{
    struct step_batch *batch = current_batch(step);
    if (!batch)
        return step->graph->poison;
    if (!batch->images)
        batch->images = vkg_input(step->graph, "real",
                                  VKG_SHAPE(step->batch, step->image[0], step->image[1], step->image[2]));
    return batch->images;
}

vkg_tensor *vkg_step_labels(vkg_step *step)
{
    struct step_batch *batch = current_batch(step);
    if (!batch)
        return step->graph->poison;
    if (!batch->labels)
        batch->labels = vkg_input_typed(step->graph, "labels", VKG_SHAPE(step->batch), VKG_INT32);
    return batch->labels;
}

vkg_tensor *vkg_step_input(vkg_step *step)
{
    if (step->input[0] == 0)
        return graph_fail(step->graph, "a phase asks for the inputs of pairs, and the trainer's input size is 0");
    struct step_batch *batch = current_batch(step);
    if (!batch)
        return step->graph->poison;
    if (!batch->inputs)
        batch->inputs = vkg_input(step->graph, "input",
                                  VKG_SHAPE(step->batch, step->input[0], step->input[1], step->input[2]));
    return batch->inputs;
}

vkg_tensor *vkg_step_latents(vkg_step *step)
{
    if (step->latent == 0)
        return graph_fail(step->graph, "a phase asks for latents, and the trainer's latent size is 0");
    return vkg_random_normal(step->graph, VKG_SHAPE(step->batch, step->latent));
}

void vkg_step_report(vkg_step *step, const char *name, vkg_tensor *scalar)
{
    if (scalar->poisoned)
        return;
    if (shape_elements(&scalar->shape) != 1) {
        graph_fail(step->graph, "vkg_step_report \"%s\": shape %s is not a scalar", name, SHAPE(&scalar->shape));
        return;
    }
    scalar = vkg_cast(step->graph, scalar, VKG_FLOAT32);
    uint32_t i = 0;
    while (i < step->report_count && strcmp(step->reports[i].name, name) != 0)
        i++;
    const char *copy = arena_strdup(&step->graph->arena, name);
    if (i == STEP_MAX_REPORTS || !copy) {
        graph_fail(step->graph, "vkg_step_report \"%s\": more than %d names, or out of memory", name, STEP_MAX_REPORTS);
        return;
    }
    step->report_count += i == step->report_count;
    step->reports[i] = (struct step_report){.name = copy, .phase = step->phase, .scalar = scalar};
}

void vkg_step_gate(vkg_step *step, vkg_tensor *scalar)
{
    if (scalar->poisoned)
        return;
    if (shape_elements(&scalar->shape) != 1)
        graph_fail(step->graph, "vkg_step_gate: shape %s is not a scalar", SHAPE(&scalar->shape));
    else
        step->gate = scalar;
}

void **vkg_step_shared(vkg_step *step)
{
    return step->alone ? &step->own : &step->shared;
}
