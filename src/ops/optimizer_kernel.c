/* Optimisers' steps as dispatches: one for a whole network, whose gradients are placed in a block of their own, laid out
 * like the parameters. */
#include "ops/blocks.h"
#include "ops/optimizer.h"

static vkg_result place_gradients(struct lowering *lowering, const vkg_tensor *node, const struct block_update *update,
                                  const struct block_run *run)
{
    uint64_t start, address;
    uint32_t storage;
    vkg_result result = lowering_state_address(lowering, update->blocks[0][run->first], &start);
    if (result == VKG_OK)
        result = lowering_add_storage(lowering, STORAGE_TEMPORARY, run->bytes, &storage);
    for (uint32_t i = run->first; i < run->first + run->count && result == VKG_OK; i++) {
        result = lowering_state_address(lowering, update->blocks[0][i], &address);
        if (result == VKG_OK)
            lowering_place_at(lowering, node->inputs[i], storage, address - start);
    }
    return result;
}

/* Runs before everything is lowered: where the gradients lie must be known to the kernels that write them. */
static vkg_result prepare_optimizer(struct lowering *lowering, const vkg_tensor *node)
{
    return blocks_for_each_run(lowering, node, place_gradients);
}

/* The learning rate, or behind it the factor. */
static vkg_result bind_scalar(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *node, uint32_t input)
{
    return lowering_bind_tensor(lowering, dispatch, node->inputs[input], FORMAT_STORAGE, true, false);
}

static vkg_result bind_corrections(struct lowering *lowering, struct dispatch *dispatch,
                                   const struct optimizer_settings *settings, bool written)
{
    return lowering_bind_tensor(lowering, dispatch, lowering->graph->declarations[settings->corrections].current,
                                FORMAT_STORAGE, true, written);
}

/* Behind the workgroup's size: what the kernel has to do beside the optimiser's own. */
static void add_switches(struct dispatch *dispatch, const struct optimizer_settings *settings)
{
    const struct optimizer_push *push = &settings->push;
    dispatch->constants[dispatch->constant_count++] = settings->scales;
    dispatch->constants[dispatch->constant_count++] = push->clip_value > 0 || push->clip_parameters > 0;
    dispatch->constants[dispatch->constant_count++] = push->weight_decay > 0 || push->parameter_decay > 0;
}

static vkg_result lower_run(struct lowering *lowering, const vkg_tensor *node, const struct block_update *update,
                            const struct block_run *run)
{
    const struct optimizer_settings *settings = update->settings;
    const struct optimizer_rule *rule = settings->rule;
    const enum binding_format format = lowering_read_format(lowering, run->bytes, true);
    struct dispatch *dispatch = lowering_add_dispatch(lowering, rule->name,
                                                      shader_find(rule->shaders[format != FORMAT_STORAGE]));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    dispatch_bind(dispatch, lowering->placements[tensor_storage(node->inputs[run->first])->id], run->bytes, format, true,
                  false);
    vkg_result result = bind_scalar(lowering, dispatch, node, update->count);
    if (result == VKG_OK)
        result = bind_scalar(lowering, dispatch, node, update->count + 1);
    for (uint32_t b = 0; b < update->block_count && result == VKG_OK; b++) {
        result = blocks_bind(lowering, dispatch, update, b, run, format, false);
        if (result == VKG_OK)
            result = blocks_bind(lowering, dispatch, update, b, run, FORMAT_STORAGE, true);
    }
    if (result == VKG_OK && rule->corrects)
        result = bind_corrections(lowering, dispatch, settings, false);
    struct optimizer_push push = settings->push;
    push.count = blocks_vec4_count(run);
    dispatch_push(dispatch, &push, sizeof push);
    result = result == VKG_OK ? blocks_grid(lowering, dispatch, run) : result;
    add_switches(dispatch, settings);
    return result;
}

static vkg_result lower_corrections(struct lowering *lowering, const vkg_tensor *node, const struct block_update *update)
{
    const struct optimizer_settings *settings = update->settings;
    struct dispatch *dispatch = lowering_add_dispatch(lowering, "bias corrections", shader_find("optimizer_corrections"));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    dispatch_push(dispatch, &settings->push, sizeof settings->push);
    vkg_result result = bind_corrections(lowering, dispatch, settings, true);
    return result == VKG_OK ? bind_scalar(lowering, dispatch, node, update->count + 1) : result;
}

static vkg_result lower_optimizer(struct lowering *lowering, const vkg_tensor *node)
{
    const struct block_update *update = &lowering->graph->updates[node->attributes.index];
    const struct optimizer_settings *settings = update->settings;
    vkg_result result = blocks_for_each_run(lowering, node, lower_run);
    return result == VKG_OK && settings->rule->corrects ? lower_corrections(lowering, node, update) : result;
}

const struct op op_optimizer = {.name = "optimizer", .doc = "one optimiser step over a network's parameters",
                                .kind = OP_UPDATE, .unique = true, .prepare = prepare_optimizer,
                                .lower = lower_optimizer};
