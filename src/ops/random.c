/* Random numbers: Philox 4x32-10 (Salmon et al. 2011), counter-based, so that a number depends on the seed, the
 * step and its place alone. */
#include "kernels/lowering.h"
#include "ops/ops.h"

struct random_push {
    uint32_t count; /* numbers */
    uint32_t stream;
};

static vkg_result lower_random(struct lowering *lowering, const vkg_tensor *node)
{
    struct dispatch *dispatch = lowering_add_dispatch(lowering, node->op->name, shader_find(node->op->name));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    vkg_result result = lowering_bind_tensor(lowering, dispatch, node->inputs[0], FORMAT_STORAGE, true, false);
    if (result == VKG_OK)
        result = lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, false, true);
    if (result != VKG_OK)
        return result;
    uint32_t workgroup = simple_workgroup(&lowering->device->caps);
    struct random_push push = {(uint32_t)shape_elements(&node->shape), node->attributes.index};
    dispatch_push(dispatch, &push, sizeof push);
    dispatch->constants[dispatch->constant_count++] = workgroup;
    return dispatch_grid(lowering, dispatch, ((push.count + 3) / 4 + workgroup - 1) / workgroup);
}

static const struct op op_random_normal = {.name = "random_normal", .doc = "standard normal numbers",
                                           .kind = OP_KERNEL, .unique = true, .input_dtypes = {VKG_UINT32},
                                           .lower = lower_random};
static const struct op op_random_uniform = {.name = "random_uniform", .doc = "uniform numbers in (0, 1]",
                                            .kind = OP_KERNEL, .unique = true, .input_dtypes = {VKG_UINT32},
                                            .lower = lower_random};

static vkg_tensor *add_random(vkg_graph *graph, const struct op *op, vkg_shape shape)
{
    vkg_tensor *state = graph_random_state(graph);
    if (shape.rank > VKG_MAX_RANK)
        return graph_fail(graph, "%s: rank %u is more than %d", op->name, shape.rank, VKG_MAX_RANK);
    return graph_add_node(graph, &(struct node_desc){.op = op, .shape = shape, .input_count = 1, .inputs = &state,
                                                     .attributes.index = graph->random_count++});
}

vkg_tensor *vkg_random_normal(vkg_graph *graph, vkg_shape shape)
{
    return add_random(graph, &op_random_normal, shape);
}

vkg_tensor *vkg_random_uniform(vkg_graph *graph, vkg_shape shape)
{
    return add_random(graph, &op_random_uniform, shape);
}

vkg_result lower_random_advance(struct lowering *lowering)
{
    if (lowering->graph->random_count == 0)
        return VKG_OK;
    struct dispatch *dispatch = lowering_add_dispatch(lowering, "advance random state", shader_find("random_advance"));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    return lowering_bind_tensor(lowering, dispatch, graph_random_state(lowering->graph), FORMAT_STORAGE, true, true);
}
