/* Attention as one kernel, for graphics cards: shaders/attention.comp. */
#include <string.h>

#include "kernels/lowering.h"
#include "ops/attention.h"

enum {
    TILE = 64, /* rows and columns of scores, and of the result: as the shader's */
    DEPTH = 16,
    SHARED_BYTES = (TILE + 2 * DEPTH) * (TILE / 4 + 1) * 16,
    BINDINGS = 9,
    MOST_BATCHES = VKG_MAX_RANK - 2,
};

/* What the shader calls its operands, by the operation's inputs. */
struct form {
    const char *shaders[2]; /* of threads that compute 8 by 8 numbers, or 4 by 4 */
    uint8_t first, second, value, third, fourth;
    bool has_value, has_gradients; /* it reads value; third and fourth */
};

static const struct form forms[ATTENTION_OPS] = {
    [ATTENTION] = {{"attention", "attention_small"}, QUERY, KEY, VALUE, 0, 0, true, false},
    [ATTENTION_LOGSUMEXP] = {{"attention_logsumexp", "attention_logsumexp_small"}, QUERY, KEY, 0, 0, 0, false, false},
    [ATTENTION_DQ] = {{"attention_query_gradient", "attention_query_gradient_small"}, QUERY, KEY, KEY, DY, VALUE, true, true},
    [ATTENTION_DK] = {{"attention_key_gradient", "attention_key_gradient_small"}, KEY, QUERY, QUERY, VALUE, DY, true, true},
    [ATTENTION_DV] = {{"attention_value_gradient", "attention_value_gradient_small"}, KEY, QUERY, DY, 0, 0, true, false}};

struct attention_push {
    uint32_t batches, rows, columns, depth, gradient_depth, width;
    float scale;
    uint32_t mask_row, mask_column, batch_sizes[MOST_BATCHES], mask_batches[MOST_BATCHES];
};

static const struct form *form_of(const vkg_tensor *node)
{
    return &forms[node->op - attention_ops];
}

static const vkg_tensor *mask_of(const vkg_tensor *node)
{
    const uint32_t operands = attention_operands(node->op);
    return node->input_count > operands ? node->inputs[operands] : NULL;
}

/* The dimension that many before the last; 1 where there is none. */
static uint32_t dimension(const vkg_tensor *tensor, uint32_t before_last)
{
    return before_last < tensor->shape.rank ? tensor->shape.dims[tensor->shape.rank - 1 - before_last] : 1;
}

/* How far elements lie apart along it; 0 where all are the same one. */
static uint32_t stride(const vkg_tensor *tensor, uint32_t before_last)
{
    uint32_t distance = 1;
    for (uint32_t i = 0; i < before_last; i++)
        distance *= dimension(tensor, i);
    return dimension(tensor, before_last) == 1 ? 0 : distance;
}

static struct attention_push describe(const vkg_tensor *node)
{
    const struct form *form = form_of(node);
    const vkg_tensor *mask = mask_of(node), *first = node->inputs[form->first];
    const bool by_keys = form->first == KEY;
    struct attention_push push = {
        .batches = (uint32_t)(shape_elements(&first->shape) / dimension(first, 0) / dimension(first, 1)),
        .rows = dimension(first, 1), .columns = dimension(node->inputs[form->second], 1), .depth = dimension(first, 0),
        .gradient_depth = dimension(node->inputs[VALUE], 0), .width = dimension(node, 0), .scale = node->attributes.p};
    if (mask) {
        push.mask_row = stride(mask, by_keys ? 0 : 1);
        push.mask_column = stride(mask, by_keys ? 1 : 0);
    }
    for (uint32_t i = 0; i < MOST_BATCHES; i++) {
        push.batch_sizes[MOST_BATCHES - 1 - i] = dimension(first, 2 + i);
        push.mask_batches[MOST_BATCHES - 1 - i] = mask ? stride(mask, 2 + i) : 0;
    }
    return push;
}

static uint64_t tiles(uint32_t size)
{
    return ((uint64_t)size + TILE - 1) / TILE;
}

/* Does a thread compute 4 by 4 numbers? 8 by 8 need 180 registers and more, which Intel's cards do not have, and a compiler for
 * processors takes minutes to do without. */
static bool has_small_threads(const vkg_device_caps *caps)
{
    enum { INTEL = 0x8086 };
    return caps->type == VKG_DEVICE_CPU || caps->vendor_id == INTEL;
}

static uint32_t thread_size(const vkg_device_caps *caps)
{
    return has_small_threads(caps) ? 4 : 8;
}

static uint32_t threads(const vkg_device_caps *caps)
{
    return TILE / thread_size(caps) * (TILE / thread_size(caps));
}

/* Of all loops together, that an invocation takes: see vkg_device_caps.max_loop_iterations. */
static uint64_t iterations(const vkg_device_caps *caps, const struct form *form, const struct attention_push *push)
{
    const uint64_t depth = push->depth + (form->has_gradients ? push->gradient_depth : 0), a_piece = 1 + DEPTH / 4;
    const uint64_t pieces = depth / DEPTH + 2 + TILE / DEPTH;
    return tiles(push->columns) * (pieces * a_piece + 2 * TILE / thread_size(caps) + 1);
}

bool attention_suits(const vkg_device *device, const vkg_tensor *node)
{
    const vkg_device_caps *caps = &device->caps;
    if (!node->attributes.one_kernel || caps->kernels != VKG_KERNELS_TILED)
        return false;
    const struct attention_push push = describe(node);
    return caps->max_workgroup_invocations >= threads(caps) && caps->max_shared_memory >= SHARED_BYTES &&
           caps->max_storage_buffers_per_stage >= BINDINGS && iterations(caps, form_of(node), &push) < caps->max_loop_iterations;
}

/* What the node does not have is some memory that the shader does not look at. */
static vkg_result bind(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *tensor)
{
    if (tensor)
        return lowering_bind_tensor(lowering, dispatch, tensor, FORMAT_STORAGE, true, false);
    epilogue_bind_nothing(dispatch, 0, FORMAT_STORAGE);
    return VKG_OK;
}

static vkg_result bind_all(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *node)
{
    const struct form *form = form_of(node);
    vkg_tensor *const *inputs = node->inputs;
    const bool gradient = attention_operands(node->op) > DELTA;
    const vkg_tensor *const read[] = {
        inputs[form->first], inputs[form->second], form->has_value ? inputs[form->value] : NULL,
        form->has_gradients ? inputs[form->third] : NULL, form->has_gradients ? inputs[form->fourth] : NULL,
        gradient ? inputs[LOGSUMEXP] : NULL, form->has_gradients ? inputs[DELTA] : NULL, mask_of(node)};
    vkg_result result = VKG_OK;
    for (size_t i = 0; i < sizeof read / sizeof *read && result == VKG_OK; i++)
        result = bind(lowering, dispatch, read[i]);
    return result == VKG_OK ? lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, false, true) : result;
}

vkg_result lower_attention(struct lowering *lowering, const vkg_tensor *node)
{
    const struct form *form = form_of(node);
    const struct attention_push push = describe(node);
    const vkg_device_caps *caps = &lowering->device->caps;
    struct dispatch *dispatch = lowering_add_dispatch(lowering, node->op->name, shader_find(form->shaders[has_small_threads(caps)]));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    const uint32_t constants[] = {threads(caps), mask_of(node) != NULL, push.depth % 4 == 0, push.gradient_depth % 4 == 0,
                                  push.width % 4 == 0};
    memcpy(dispatch->constants, constants, sizeof constants);
    dispatch->constant_count = sizeof constants / sizeof *constants;
    dispatch->flops = 2.0 * push.batches * push.rows * push.columns *
                      (push.depth + (form->has_gradients ? push.gradient_depth : 0) + (form->has_value ? push.width : 0));
    dispatch_push(dispatch, &push, sizeof push);
    const vkg_result result = bind_all(lowering, dispatch, node);
    return result == VKG_OK ? dispatch_grid(lowering, dispatch, push.batches * tiles(push.rows) * tiles(push.width)) : result;
}
