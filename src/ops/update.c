/* Operations that change state in place: assignment, and Adam over a whole network at once. */
#include <stdio.h>
#include <string.h>

#include "kernels/lowering.h"
#include "ops/ops.h"
#include "vkgan/optimizer.h"

/* Fused like any pointwise operation; its result lies in the buffer's own memory. */
const struct op op_assign = {.name = "assign", .doc = "buffer ← a", .kind = OP_POINTWISE, .unique = true, .glsl = "a"};

void vkg_assign(vkg_graph *graph, vkg_tensor *buffer, vkg_tensor *value)
{
    if (buffer->poisoned || value->poisoned)
        return;
    if (buffer->op != &op_state || graph->declarations[buffer->attributes.index].current != buffer) {
        graph_fail(graph, "assign: the target is not the present version of a buffer or parameter");
        return;
    }
    if (!shape_equal(&buffer->shape, &value->shape)) {
        graph_fail(graph, "assign: \"%s\" has shape %s, the value %s", buffer->name, SHAPE(&buffer->shape),
                   SHAPE(&value->shape));
        return;
    }
    uint32_t index = buffer->attributes.index;
    vkg_tensor *update = graph_add_node(graph, &(struct node_desc){
        .op = &op_assign, .shape = value->shape, .input_count = 1, .inputs = &value, .attributes.index = index});
    graph_supersede(graph, index, update);
}

/* --- Adam --- */

/* A gradient gets a place of its own in the network's block of gradients. What a kernel or a sum computes for
 * nobody else is put there directly; everything else is computed, or copied, into it by this. */
static const struct op op_gradient_slot = {.name = "gradient", .doc = "a, placed in its network's block",
                                           .kind = OP_POINTWISE, .unique = true, .glsl = "a"};

/* One dispatch covers a run of parameters that lie side by side, and so do their moments. */
struct adam_run {
    uint32_t first, count;
    uint64_t bytes;
};

/* The bytes from parameter `first` to the end of the run of parameters that begins there. */
static vkg_result find_run(struct lowering *lowering, const struct adam_update *update, uint32_t first,
                           struct adam_run *run)
{
    uint64_t start[3] = {0}, address[3];
    *run = (struct adam_run){.first = first};
    for (uint32_t i = first; i < update->count; i++) {
        const uint32_t tensors[3] = {update->parameters[i], update->first_moments[i], update->second_moments[i]};
        for (int k = 0; k < 3; k++) {
            vkg_result result = lowering_state_address(lowering, tensors[k], &address[k]);
            if (result != VKG_OK)
                return result;
        }
        if (i == first)
            memcpy(start, address, sizeof start);
        uint64_t offset = address[0] - start[0];
        uint64_t bytes = offset + shape_elements(&lowering->graph->declarations[update->parameters[i]].shape) * 4;
        /* the run ends where the three blocks are laid out differently, or a range would be too long to bind */
        if (address[0] < start[0] || address[1] - start[1] != offset || address[2] - start[2] != offset ||
            (i > first && (offset > run->bytes + 4096 || bytes > lowering->device->caps.max_storage_buffer_range)))
            break;
        run->bytes = bytes;
        run->count++;
    }
    return VKG_OK;
}

static vkg_result place_gradients(struct lowering *lowering, const vkg_tensor *node,
                                  const struct adam_update *update, const struct adam_run *run, uint32_t *storage)
{
    uint64_t start, address;
    vkg_result result = lowering_state_address(lowering, update->parameters[run->first], &start);
    if (result == VKG_OK)
        result = lowering_add_storage(lowering, STORAGE_TEMPORARY, run->bytes, storage);
    for (uint32_t i = run->first; i < run->first + run->count && result == VKG_OK; i++) {
        result = lowering_state_address(lowering, update->parameters[i], &address);
        if (result == VKG_OK)
            lowering_place_at(lowering, node->inputs[i], *storage, address - start);
    }
    return result;
}

/* Runs before everything is lowered: where the gradients lie must be known to the kernels that write them. */
static vkg_result prepare_adam(struct lowering *lowering, const vkg_tensor *node)
{
    const struct adam_update *update = &lowering->graph->adams[node->attributes.index];
    struct adam_run run;
    for (uint32_t first = 0; first < update->count; first += run.count) {
        uint32_t storage;
        vkg_result result = find_run(lowering, update, first, &run);
        if (result == VKG_OK)
            result = place_gradients(lowering, node, update, &run, &storage);
        if (result != VKG_OK)
            return result;
    }
    return VKG_OK;
}

struct adam_push {
    uint32_t count; /* vec4 */
    float beta1, beta2, epsilon;
};

static vkg_result bind_block(struct lowering *lowering, struct dispatch *dispatch, uint32_t declaration,
                             uint64_t bytes, enum binding_format format, bool written)
{
    const vkg_tensor *leaf = lowering->graph->declarations[declaration].current;
    struct placement placement;
    vkg_result result = lowering_place(lowering, leaf, &placement);
    if (result != VKG_OK)
        return result;
    struct storage *storage = &lowering->storages[placement.storage];
    if (storage->bytes < bytes)
        storage->bytes = bytes; /* the range of the whole run, beginning at this parameter */
    dispatch_bind(dispatch, placement, bytes, format, !written, written);
    return VKG_OK;
}

static vkg_result bind_setting(struct lowering *lowering, struct dispatch *dispatch, uint32_t declaration, bool written)
{
    return lowering_bind_tensor(lowering, dispatch, lowering->graph->declarations[declaration].current, FORMAT_STORAGE,
                                true, written);
}

/* Behind the gradients: what they are to be divided by. */
static vkg_result bind_scale(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *node,
                             const struct adam_update *update)
{
    if (!update->scaled)
        return VKG_OK;
    return lowering_bind_tensor(lowering, dispatch, node->inputs[update->count], FORMAT_STORAGE, true, false);
}

static vkg_result lower_run(struct lowering *lowering, const vkg_tensor *node, const struct adam_update *update,
                            const struct adam_run *run)
{
    enum binding_format format = lowering_read_format(lowering, run->bytes, true);
    const char *const kernels[2][2] = {{"adam_texel", "adam_storage"}, {"adam_scaled_texel", "adam_scaled_storage"}};
    uint32_t count = (uint32_t)((run->bytes + 15) / 16), workgroup = simple_workgroup(&lowering->device->caps);
    struct dispatch *dispatch = lowering_add_dispatch(
        lowering, "adam", shader_find(kernels[update->scaled][format == FORMAT_STORAGE]));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    const uint32_t blocks[3] = {update->parameters[run->first], update->first_moments[run->first],
                                update->second_moments[run->first]};
    struct placement gradients = lowering->placements[tensor_storage(node->inputs[run->first])->id];
    dispatch_bind(dispatch, gradients, run->bytes, format, true, false);
    vkg_result result = bind_setting(lowering, dispatch, update->lr, false);
    if (result == VKG_OK)
        result = bind_setting(lowering, dispatch, update->corrections, false);
    for (int i = 0; i < 3 && result == VKG_OK; i++)
        result = bind_block(lowering, dispatch, blocks[i], run->bytes, format, false);
    for (int i = 0; i < 3 && result == VKG_OK; i++)
        result = bind_block(lowering, dispatch, blocks[i], run->bytes, FORMAT_STORAGE, true);
    if (result == VKG_OK)
        result = bind_scale(lowering, dispatch, node, update);
    struct adam_push push = {count, update->beta1, update->beta2, update->epsilon};
    dispatch_push(dispatch, &push, sizeof push);
    dispatch->constants[dispatch->constant_count++] = workgroup;
    return result == VKG_OK ? dispatch_grid(lowering, dispatch, (count + workgroup - 1) / workgroup) : result;
}

static vkg_result lower_corrections(struct lowering *lowering, const vkg_tensor *node, const struct adam_update *update)
{
    struct dispatch *dispatch = lowering_add_dispatch(
        lowering, "adam corrections", shader_find(update->scaled ? "adam_scaled_corrections" : "adam_corrections"));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    struct adam_push push = {1, update->beta1, update->beta2, update->epsilon};
    dispatch_push(dispatch, &push, sizeof push);
    vkg_result result = bind_setting(lowering, dispatch, update->corrections, true);
    return result == VKG_OK ? bind_scale(lowering, dispatch, node, update) : result;
}

static vkg_result lower_adam(struct lowering *lowering, const vkg_tensor *node)
{
    const struct adam_update *update = &lowering->graph->adams[node->attributes.index];
    struct adam_run run;
    for (uint32_t first = 0; first < update->count; first += run.count) {
        vkg_result result = find_run(lowering, update, first, &run);
        if (result == VKG_OK)
            result = lower_run(lowering, node, update, &run);
        if (result != VKG_OK)
            return result;
    }
    return lower_corrections(lowering, node, update);
}

static const struct op op_adam = {.name = "adam", .doc = "one optimiser step over a network's parameters",
                                  .kind = OP_UPDATE, .unique = true, .prepare = prepare_adam, .lower = lower_adam};

/* Does an earlier update of this graph own the memory of `tensor` already? */
static bool is_placed(const vkg_graph *graph, const vkg_tensor *tensor, vkg_tensor *const *mine, uint32_t mine_count)
{
    for (uint32_t i = 0; i < mine_count; i++)
        if (tensor_storage(mine[i]) == tensor)
            return true;
    for (size_t id = 0; id < graph->tensor_count; id++) {
        const vkg_tensor *node = graph->tensors[id];
        for (uint32_t i = 0; node->op == &op_adam && i < node->input_count; i++)
            if (tensor_storage(node->inputs[i]) == tensor)
                return true;
    }
    return false;
}

static vkg_tensor *gradient_slot(vkg_graph *graph, vkg_tensor *gradient, vkg_tensor *const *mine, uint32_t mine_count)
{
    const vkg_tensor *storage = tensor_storage(gradient);
    bool direct = storage->op->kind == OP_KERNEL || storage->op->kind == OP_REDUCE;
    for (size_t i = 0; i < graph->output_count; i++)
        direct &= tensor_storage(graph->outputs[i].tensor) != storage;
    if (direct && !is_placed(graph, storage, mine, mine_count))
        return gradient;
    return graph_add_node(graph, &(struct node_desc){.op = &op_gradient_slot, .shape = gradient->shape,
                                                     .input_count = 1, .inputs = &gradient});
}

/* `parameter` by value: declaring moves the graph's list. */
static uint32_t declare_moment(vkg_graph *graph, const char *kind, struct declaration parameter)
{
    char name[512];
    if (snprintf(name, sizeof name, "%s.%s", kind, parameter.name) >= (int)sizeof name) {
        graph_fail(graph, "adam: the name \"%s\" is too long", parameter.name);
        return UINT32_MAX;
    }
    vkg_tensor *moment = graph_declare(graph, &(struct declaration_desc){
        .name = name, .shape = parameter.shape, .torch_axes = parameter.torch_axes, .absolute = true});
    return moment->poisoned ? UINT32_MAX : moment->attributes.index;
}

static float value_or(float value, float otherwise)
{
    return value == 0 ? otherwise : value < 0 ? 0 : value;
}

static bool check_adam(vkg_graph *graph, const char *name, vkg_tensor *const *parameters,
                       vkg_tensor *const *gradients, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const vkg_tensor *p = parameters[i];
        if (p->poisoned || gradients[i]->poisoned)
            return false;
        if (p->op != &op_state || graph->declarations[p->attributes.index].current != p ||
            !graph->declarations[p->attributes.index].trained) {
            graph_fail(graph, "optimizer \"%s\": parameter %u (\"%s\") is not the present version of a parameter", name,
                       i, p->name);
            return false;
        }
        if (!shape_equal(&p->shape, &gradients[i]->shape)) {
            graph_fail(graph, "optimizer \"%s\": \"%s\" has shape %s, its gradient %s", name, p->name, SHAPE(&p->shape),
                       SHAPE(&gradients[i]->shape));
            return false;
        }
    }
    if (count == 0)
        graph_fail(graph, "optimizer \"%s\": there are no parameters to train", name);
    return count > 0;
}

vkg_tensor *optimizer_setting(vkg_graph *graph, const char *name, const char *what, uint32_t elements, float value)
{
    char full_name[256];
    snprintf(full_name, sizeof full_name, "optimizer.%s.%s", name, what);
    return graph_declare(graph, &(struct declaration_desc){
        .name = full_name, .shape = VKG_SHAPE(elements), .init = {VKG_INIT_CONSTANT, value, 0}, .absolute = true});
}

static uint32_t declare_setting(vkg_graph *graph, const char *name, const char *what, uint32_t elements, float value)
{
    vkg_tensor *setting = optimizer_setting(graph, name, what, elements, value);
    return setting->poisoned ? UINT32_MAX : setting->attributes.index;
}

void vkg_optimize(vkg_graph *graph, const char *name, vkg_tensor *const *parameters, vkg_tensor *const *gradients,
                  uint32_t count, const vkg_optimizer_desc *desc)
{
    if (!check_adam(graph, name, parameters, gradients, count))
        return;
    struct adam_update update = {.count = count, .beta1 = value_or(desc->beta1, 0.5f),
                                 .beta2 = value_or(desc->beta2, 0.999f), .epsilon = value_or(desc->epsilon, 1e-8f),
                                 .scaled = desc->loss_scaling.enabled};
    vkg_tensor **slots = arena_alloc(&graph->arena, (count + 1) * sizeof *slots);
    update.parameters = arena_alloc(&graph->arena, count * sizeof *update.parameters);
    update.first_moments = arena_alloc(&graph->arena, count * sizeof *update.first_moments);
    update.second_moments = arena_alloc(&graph->arena, count * sizeof *update.second_moments);
    if (!slots || !update.parameters || !update.first_moments || !update.second_moments ||
        !array_reserve((void **)&graph->adams, &graph->adam_capacity, graph->adam_count, sizeof *graph->adams)) {
        graph->out_of_memory = true;
        return;
    }
    update.lr = declare_setting(graph, name, "lr", 1, value_or(desc->lr, 2e-4f));
    update.corrections = declare_setting(graph, name, "corrections", 4, 0);
    for (uint32_t i = 0; i < count; i++) {
        update.parameters[i] = parameters[i]->attributes.index;
        slots[i] = gradient_slot(graph, gradients[i], slots, i);
    }
    /* first all of one kind, then all of the other: each is one block, in the parameters' order */
    for (uint32_t i = 0; i < count; i++)
        update.first_moments[i] = declare_moment(graph, "exp_avg", graph->declarations[update.parameters[i]]);
    for (uint32_t i = 0; i < count; i++)
        update.second_moments[i] = declare_moment(graph, "exp_avg_sq", graph->declarations[update.parameters[i]]);
    if (update.scaled)
        slots[count] = loss_scale_judge(graph, name, &desc->loss_scaling, slots, count);
    if (graph->error || graph->out_of_memory)
        return;
    graph->adams[graph->adam_count] = update;
    vkg_tensor *node = graph_add_node(graph, &(struct node_desc){
        .op = &op_adam, .shape = VKG_SCALAR, .input_count = count + update.scaled, .inputs = slots,
        .attributes.index = (uint32_t)graph->adam_count++});
    for (uint32_t i = 0; i < count; i++)
        graph_supersede(graph, update.parameters[i], node);
}
