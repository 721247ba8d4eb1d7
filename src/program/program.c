/* From a graph to something that runs. */
#include "program/program.h"

#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "program/arrivals.h"
#include "program/completion.h"
#include "program/fuse.h"
#include "program/order.h"
#include "program/self_test.h"
#include "program/trials.h"

VkBuffer program_buffer(const struct vkg_program *program, const struct storage *storage)
{
    return storage->kind == STORAGE_STATE ? program->state->buffer.handle : program->blocks[storage->block].handle;
}

/* --- lowering --- */

static vkg_result prepare_nodes(struct lowering *lowering, const struct fusion *fusion)
{
    for (size_t u = 0; u < fusion->unit_count; u++) {
        const vkg_tensor *node = fusion->units[u].node;
        vkg_result result = node && node->op->prepare ? node->op->prepare(lowering, node) : VKG_OK;
        if (result != VKG_OK)
            return result;
    }
    return VKG_OK;
}

static vkg_result lower_units(struct lowering *lowering, const struct fusion *fusion)
{
    for (size_t u = 0; u < fusion->unit_count; u++) {
        const struct unit *unit = &fusion->units[u];
        vkg_result result = unit->node ? unit->node->op->lower(lowering, unit->node)
                                       : lower_fused(lowering, &unit->fused, fusion->inlined);
        if (result != VKG_OK)
            return result;
    }
    const vkg_result result = lower_random_advance(lowering);
    return result == VKG_OK ? lower_step_count(lowering) : result;
}

static vkg_result add_port(struct lowering *lowering, const vkg_tensor *tensor, struct port *port, uint64_t *slot_bytes)
{
    *port = (struct port){.tensor = tensor, .bytes = round_up(tensor_bytes(tensor), 4), .offset = *slot_bytes};
    *slot_bytes += round_up(port->bytes, STORAGE_GRAIN);
    return lowering_place(lowering, tensor, &port->placement);
}

static vkg_result add_ports(struct vkg_program *program, struct lowering *lowering)
{
    const vkg_graph *graph = lowering->graph;
    program->input_bytes = RUN_NUMBER_BYTES;
    program->inputs = calloc(graph->tensor_count + 1, sizeof *program->inputs);
    program->outputs = calloc(graph->output_count + 1, sizeof *program->outputs);
    if (!program->inputs || !program->outputs)
        return lowering_out_of_memory(lowering);
    vkg_result result = VKG_OK;
    if (program->unfed)
        return result;
    for (size_t id = 0; id < graph->tensor_count && result == VKG_OK; id++)
        if (graph->tensors[id]->op == &op_input)
            result = add_port(lowering, graph->tensors[id], &program->inputs[program->input_count++],
                              &program->input_bytes);
    for (size_t i = 0; i < graph->output_count && result == VKG_OK; i++)
        result = add_port(lowering, graph->outputs[i].tensor, &program->outputs[program->output_count++],
                          &program->output_bytes);
    for (uint32_t i = 0; i < program->output_count && result == VKG_OK; i++)
        lowering->storages[program->outputs[i].placement.storage].kept = true;
    return result;
}

static struct fusion_limits fusion_limits_of(const vkg_device *device)
{
    const vkg_device_caps *caps = &device->caps;
    struct fusion_limits limits = {.device = device, .bindings = PIPELINE_MAX_BINDINGS, .elements_of_epilogues = UINT64_MAX};
    if (limits.bindings > caps->max_storage_buffers_per_stage)
        limits.bindings = caps->max_storage_buffers_per_stage;
    if (limits.bindings > caps->max_texel_buffers_per_stage)
        limits.bindings = caps->max_texel_buffers_per_stage;
    limits.repeats_small = caps->kernels != VKG_KERNELS_TEXEL;
    if (caps->kernels == VKG_KERNELS_TEXEL)
        limits.elements_of_epilogues = caps->max_texel_buffer_elements;
    return limits;
}

static vkg_result lower_graph(struct vkg_program *program, struct lowering *lowering)
{
    vkg_graph *graph = lowering->graph;
    struct fusion fusion = {0};
    const struct fusion_limits limits = fusion_limits_of(program->device);
    lowering->placements = malloc((graph->tensor_count + 1) * sizeof *lowering->placements);
    lowering->moments = calloc(graph->tensor_count + 1, sizeof *lowering->moments);
    if (!lowering->placements || !lowering->moments || !fusion_create(graph, &limits, &fusion))
        return lowering_out_of_memory(lowering);
    lowering->epilogues = fusion.epilogues;
    lowering->memory = fusion.memory;
    lowering->spares_memory = program->device->caps.kernels != VKG_KERNELS_TEXEL;
    for (size_t id = 0; id < graph->tensor_count; id++)
        lowering->placements[id] = (struct placement){.storage = UINT32_MAX};
    vkg_result result = lowering->candidate == CANDIDATE_CHOSEN ? trials_run(lowering->device, &fusion) : VKG_OK;
    if (result == VKG_OK)
        result = prepare_nodes(lowering, &fusion);
    if (result == VKG_OK)
        result = add_ports(program, lowering);
    if (result == VKG_OK)
        result = lower_units(lowering, &fusion);
    if (result == VKG_OK)
        result = lowering_check_ranges(lowering);
    if (result == VKG_OK)
        result = order_dispatches(lowering);
    fusion_free(&fusion);
    return result;
}

/* --- memory --- */

static vkg_result allocate(struct vkg_program *program, struct lowering *lowering, bool aliasing)
{
    vkg_device *device = program->device;
    const uint64_t gibibyte = 1024ull * 1024 * 1024;
    struct plan plan;
    struct plan_options options = {
        .aliasing = aliasing,
        .alignment = greater(STORAGE_GRAIN, greater(device->caps.min_storage_buffer_offset_alignment,
                                                    device->caps.min_texel_buffer_offset_alignment)),
        /* what drivers report as the largest allocation is not always true; a GiB is, and some bytes for a view */
        .block_bytes = lesser(lesser(device->caps.max_memory_allocation_size, device->caps.max_buffer_size) - VIEW_MARGIN, gibibyte + VIEW_STEP)};
    vkg_result result = plan_memory(lowering, &options, &plan);
    for (; result == VKG_OK && program->block_count < plan.block_count; program->block_count++)
        result = buffer_create(device, BUFFER_DEVICE, plan.block_bytes[program->block_count], program->name,
                               &program->blocks[program->block_count]);
    program->stats.temporary_bytes = plan.bytes;
    program->stats.temporary_bytes_unaliased = plan.unaliased_bytes;
    if (result == VKG_OK)
        result = buffer_create(device, BUFFER_UPLOAD, program->input_bytes * program->slot_count, "inputs",
                               &program->upload);
    if (result == VKG_OK)
        result = arrivals_create(program);
    if (result == VKG_OK)
        result = buffer_create(device, BUFFER_READBACK, program->output_bytes * program->slot_count + completion_bytes(lowering->dispatch_count), "outputs",
                               &program->readback);
    if (result == VKG_OK)
        completion_clear(program, lowering->dispatch_count);
    return result;
}

static vkg_result clear_counters(struct vkg_program *program, struct lowering *lowering)
{
    if (!lowering->counter_bytes)
        return VKG_OK;
    const struct storage *counters = &lowering->storages[lowering->counters];
    void *zeros = calloc(1, counters->bytes);
    const vkg_result result = zeros ? transfer_upload(program->device, &program->blocks[counters->block], counters->address, counters->bytes,
                                                      zeros)
                                    : lowering_out_of_memory(lowering);
    free(zeros);
    return result;
}

/* Fills what vkg_data fixed. */
static vkg_result upload_data(struct vkg_program *program, struct lowering *lowering)
{
    vkg_result result = clear_counters(program, lowering);
    for (size_t id = 0; id < lowering->graph->tensor_count && result == VKG_OK; id++) {
        const vkg_tensor *tensor = lowering->graph->tensors[id];
        if (tensor->op != &op_data || lowering->placements[id].storage == UINT32_MAX)
            continue;
        const struct storage *storage = &lowering->storages[lowering->placements[id].storage];
        result = transfer_upload(program->device, &program->blocks[storage->block], storage->address,
                                 tensor_bytes(tensor), tensor->data);
    }
    return result;
}

/* --- the public calls --- */

static vkg_result check_graph(vkg_device *device, vkg_graph *graph, const struct vkg_state *state)
{
    if (vkg_graph_error(graph))
        return vkg_fail(&device->log, graph->out_of_memory ? VKG_ERROR_OUT_OF_MEMORY : VKG_ERROR_INVALID, "%s",
                        vkg_graph_error(graph));
    if (!state && graph->declaration_count)
        return vkg_fail(&device->log, VKG_ERROR_INVALID, "the graph names parameters (\"%s\", …), and there is no state",
                        graph->declarations[0].name);
    return state ? state_check_graph(state, graph) : VKG_OK;
}

static void free_lowering(struct lowering *lowering)
{
    shader_cache_free(&lowering->shaders);
    free(lowering->placements);
    free(lowering->moments);
    free(lowering->storages);
    free(lowering->dispatches);
}

static vkg_result build(struct vkg_program *program, vkg_graph *graph, const vkg_program_desc *desc, uint32_t candidate)
{
    struct lowering lowering = {.device = program->device, .graph = graph, .state = program->state,
                                .candidate = candidate};
    vkg_result result = shader_cache_create(program->device, &lowering.shaders);
    if (result == VKG_OK)
        result = lower_graph(program, &lowering);
    if (result == VKG_OK)
        result = allocate(program, &lowering, !desc->no_aliasing);
    if (result == VKG_OK)
        result = upload_data(program, &lowering);
    if (result == VKG_OK)
        result = record_program(program, &lowering);
    for (size_t i = 0; i < lowering.dispatch_count; i++)
        program->stats.flops += lowering.dispatches[i].flops;
    free_lowering(&lowering);
    return result;
}

vkg_result program_want_pipelines(vkg_device *device, vkg_graph *graph, vkg_state *state, uint32_t candidate)
{
    struct vkg_program unmade = {.device = device, .state = state};
    struct lowering lowering = {.device = device, .graph = graph, .state = state, .candidate = candidate};
    vkg_result result = check_graph(device, graph, state);
    if (result == VKG_OK)
        result = shader_cache_create(device, &lowering.shaders);
    if (result == VKG_OK)
        result = lower_graph(&unmade, &lowering);
    if (result == VKG_OK)
        result = record_want_pipelines(&lowering);
    free_lowering(&lowering);
    free(unmade.inputs);
    free(unmade.outputs);
    return result;
}

static vkg_result create(vkg_device *device, vkg_graph *graph, vkg_state *state, const vkg_program_desc *desc,
                         uint32_t candidate, bool unfed, vkg_program **program)
{
    static const vkg_program_desc defaults = {0};
    *program = NULL;
    desc = desc ? desc : &defaults;
    vkg_result result = check_graph(device, graph, state);
    if (result == VKG_OK && candidate == CANDIDATE_CHOSEN)
        result = self_test_device(device);
    if (result == VKG_OK && candidate == CANDIDATE_CHOSEN)
        result = self_test_graph(device, graph);
    if (result != VKG_OK)
        return result;
    struct vkg_program *made = calloc(1, sizeof *made);
    uint32_t slot_count = desc->slots ? desc->slots : 1;
    if (made)
        made->slots = calloc(slot_count, sizeof *made->slots);
    if (!made || !made->slots) {
        free(made);
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_program_create: out of host memory");
    }
    made->device = device;
    made->state = state;
    made->slot_count = slot_count;
    made->submission_seconds = desc->submission_seconds > 0 ? desc->submission_seconds : 0.1;
    made->measured = candidate != CANDIDATE_CHOSEN; /* a trial says nothing of the device's pace */
    made->unfed = unfed;
    made->name = desc->name ? desc->name : "program";
    made->stats.state_bytes = state ? state->bytes : 0;
    result = build(made, graph, desc, candidate);
    if (result == VKG_OK)
        completion_watch(made);
    else
        vkg_program_destroy(&made);
    *program = made;
    return result;
}

vkg_result program_create_candidate(vkg_device *device, vkg_graph *graph, vkg_state *state,
                                    const vkg_program_desc *desc, uint32_t candidate, vkg_program **program)
{
    return create(device, graph, state, desc, candidate, false, program);
}

vkg_result program_create_unfed(vkg_device *device, vkg_graph *graph, const char *name, uint32_t candidate,
                                vkg_program **program)
{
    return create(device, graph, NULL, &(vkg_program_desc){.name = name}, candidate, true, program);
}

vkg_result vkg_program_create(vkg_device *device, vkg_graph *graph, vkg_state *state, const vkg_program_desc *desc,
                              vkg_program **program)
{
    return program_create_candidate(device, graph, state, desc, CANDIDATE_CHOSEN, program);
}

void vkg_program_destroy(vkg_program **program)
{
    struct vkg_program *p = program ? *program : NULL;
    if (!p)
        return;
    completion_forget(p);
    if (!p->device->lost)
        run_settle(p);
    record_destroy(p);
    arrivals_destroy(p);
    for (uint32_t b = 0; b < PLAN_MAX_BLOCKS; b++)
        buffer_destroy(p->device, &p->blocks[b]);
    buffer_destroy(p->device, &p->upload);
    buffer_destroy(p->device, &p->readback);
    free(p->inputs);
    free(p->outputs);
    free(p->slots);
    free(p);
    *program = NULL;
}

static const struct port *find_port(const struct port *ports, uint32_t count, const vkg_tensor *tensor)
{
    for (uint32_t i = 0; i < count; i++)
        if (ports[i].tensor == tensor)
            return &ports[i];
    return NULL;
}

void *vkg_program_input(vkg_program *program, const vkg_tensor *input, uint32_t slot)
{
    const struct port *port = find_port(program->inputs, program->input_count, input);
    if (!port || slot >= program->slot_count)
        return NULL;
    return (char *)program->upload.mapped + slot * program->input_bytes + port->offset;
}

const void *vkg_program_output(const vkg_program *program, const vkg_tensor *output, uint32_t slot)
{
    const struct port *port = find_port(program->outputs, program->output_count, output);
    if (!port || slot >= program->slot_count)
        return NULL;
    return (const char *)program->readback.mapped + slot * program->output_bytes + port->offset;
}

vkg_program_stats vkg_program_get_stats(const vkg_program *program)
{
    return program->stats;
}
