/* Running sums along an axis. */
#include "kernels/lowering.h"
#include "ops/ops.h"
#include "ops/resample.h"
#include "vkgan/resample.h"

static const struct op op_cumsum_reversed; /* each one's gradient is the other */

struct cumsum_push {
    uint32_t count, size, inner, block, blocks, reversed, exclusive;
};

/* What one dispatch reads and writes; `offset` of stage 2 only. */
struct cumsum_stage {
    int stage;
    struct cumsum_push push;
    struct placement x, y, offset;
    uint64_t x_bytes, y_bytes;
};

static vkg_result add_stage(struct lowering *lowering, const struct cumsum_stage *s)
{
    static const char *const shaders[2][3] = {{"cumsum_0_storage", "cumsum_1_storage", "cumsum_2_storage"},
                                              {"cumsum_0_texel", "cumsum_1_texel", "cumsum_2_texel"}};
    uint32_t workgroup = simple_workgroup(&lowering->device->caps);
    enum binding_format format = lowering_read_format(lowering, s->x_bytes, false);
    struct dispatch *dispatch =
        lowering_add_dispatch(lowering, "cumsum", shader_find(shaders[format != FORMAT_STORAGE][s->stage]));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    dispatch_bind(dispatch, s->x, s->x_bytes, format, true, false);
    dispatch_bind(dispatch, s->y, s->y_bytes, FORMAT_STORAGE, false, true);
    if (s->stage == 2)
        dispatch_bind(dispatch, s->offset, (uint64_t)s->push.count * 4, FORMAT_STORAGE, true, false);
    dispatch_push(dispatch, &s->push, sizeof s->push);
    dispatch->constants[dispatch->constant_count++] = workgroup;
    return dispatch_grid(lowering, dispatch, (s->push.count + workgroup - 1) / workgroup);
}

static uint32_t root_above(uint32_t n)
{
    uint32_t root = 1;
    while ((uint64_t)root * root < n)
        root++;
    return root;
}

/* One block where that keeps the device busy, or is short, and otherwise as many blocks as each has elements:
 * then no loop is longer than the root of 2³¹, which every driver runs to its end. */
static uint32_t choose_block(const vkg_device_caps *caps, uint64_t lines, uint32_t size)
{
    uint64_t wanted = caps->type == VKG_DEVICE_CPU ? 512 : 32768;
    bool one = size <= 64 || (lines >= wanted && size <= 4096);
    return one ? size : root_above(size);
}

static vkg_result lower_cumsum(struct lowering *lowering, const vkg_tensor *node)
{
    struct extents x = extents_around(&node->shape, node->attributes.axis);
    uint32_t size = (uint32_t)x.size, inner = (uint32_t)x.inner, outer = (uint32_t)x.outer;
    uint32_t block = choose_block(&lowering->device->caps, x.outer * x.inner, size),
             blocks = (size + block - 1) / block;
    uint32_t reversed = node->op == &op_cumsum_reversed;
    uint64_t bytes = tensor_bytes(node), block_bytes = x.outer * blocks * x.inner * 4;
    struct placement from, to, totals = {0}, offsets = {0};
    vkg_result result = lowering_place(lowering, node->inputs[0], &from);
    if (result == VKG_OK)
        result = lowering_place(lowering, node, &to);
    if (result != VKG_OK)
        return result;
    struct cumsum_push push = {outer * blocks * inner, size, inner, block, blocks, reversed, 0};
    if (blocks == 1)
        return add_stage(lowering, &(struct cumsum_stage){1, push, from, to, to, bytes, bytes});
    result = lowering_add_storage(lowering, STORAGE_TEMPORARY, block_bytes, &totals.storage);
    if (result == VKG_OK)
        result = lowering_add_storage(lowering, STORAGE_TEMPORARY, block_bytes, &offsets.storage);
    if (result == VKG_OK)
        result = add_stage(lowering, &(struct cumsum_stage){0, push, from, totals, to, bytes, block_bytes});
    struct cumsum_push scan = {outer * inner, blocks, inner, blocks, 1, 0, 1};
    if (result == VKG_OK)
        result =
            add_stage(lowering, &(struct cumsum_stage){1, scan, totals, offsets, to, block_bytes, block_bytes});
    if (result == VKG_OK)
        result = add_stage(lowering, &(struct cumsum_stage){2, push, from, to, offsets, bytes, bytes});
    return result;
}

static vkg_tensor *add_cumsum(vkg_graph *graph, const struct op *op, vkg_tensor *a, uint32_t axis)
{
    return graph_add_node(
        graph, &(struct node_desc){
                   .op = op, .shape = a->shape, .input_count = 1, .inputs = &a, .attributes.axis = axis});
}

static void cumsum_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                            vkg_tensor **gradients);

static const struct op op_cumsum = {.name = "cumsum",
                                    .doc = "y[j] = Σ a[k], k ≤ j",
                                    .kind = OP_KERNEL,
                                    .gradient = cumsum_gradient,
                                    .lower = lower_cumsum};
static const struct op op_cumsum_reversed = {.name = "cumsum_reversed",
                                             .doc = "y[j] = Σ a[k], k ≥ j",
                                             .kind = OP_KERNEL,
                                             .gradient = cumsum_gradient,
                                             .lower = lower_cumsum};

static void cumsum_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                            vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] =
        add_cumsum(graph, node->op == &op_cumsum ? &op_cumsum_reversed : &op_cumsum, dy, node->attributes.axis);
}

vkg_tensor *vkg_cumsum(vkg_graph *graph, vkg_tensor *a, uint32_t axis)
{
    if (!axis_is_valid(graph, "cumsum", a, axis))
        return graph->poison;
    return a->shape.dims[axis] == 1 ? a : add_cumsum(graph, &op_cumsum, a, axis);
}
