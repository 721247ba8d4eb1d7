/* Attention as one kernel, for graphics cards: shaders/attention.comp, and of halves where the device multiplies matrices
 * shaders/attention_coopmat.comp. */
#include <stdio.h>
#include <string.h>

#include "kernels/lowering.h"
#include "ops/attention.h"

enum {
    TILE = 64, /* rows and columns of scores, and of the result: as the shaders' */
    DEPTH = 16, MATRIX_DEPTH = 32,
    SUBGROUPS = 4, /* of a workgroup with matrices */
    SHARED_BYTES = (TILE + 2 * DEPTH) * (TILE / 4 + 1) * 16, MATRIX_SHARED_BYTES = 1904 * 16,
    BINDINGS = 9,
    MOST_BATCHES = VKG_MAX_RANK - 2,
};

/* What the shaders call their operands, by the operation's inputs. */
struct form {
    const char *shader;
    uint8_t first, second, value, third, fourth;
    bool has_value, has_gradients; /* it reads value; third and fourth */
};

static const struct form forms[ATTENTION_OPS] = {
    [ATTENTION] = {"attention", QUERY, KEY, VALUE, 0, 0, true, false},
    [ATTENTION_LOGSUMEXP] = {"attention_logsumexp", QUERY, KEY, 0, 0, 0, false, false},
    [ATTENTION_DQ] = {"attention_query_gradient", QUERY, KEY, KEY, DY, VALUE, true, true},
    [ATTENTION_DK] = {"attention_key_gradient", KEY, QUERY, QUERY, VALUE, DY, true, true},
    [ATTENTION_DV] = {"attention_value_gradient", KEY, QUERY, DY, 0, 0, true, false}};

struct attention_push {
    uint32_t batches, rows, columns, depth, gradient_depth, width;
    float scale;
    uint32_t mask_row, mask_column, batch_sizes[MOST_BATCHES], mask_batches[MOST_BATCHES];
};

static enum attention_op which(const vkg_tensor *node)
{
    return (enum attention_op)(node->op - attention_ops);
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

static struct attention_push describe(const vkg_tensor *node, enum attention_op op)
{
    const struct form *form = &forms[op];
    const vkg_tensor *mask = mask_of(node), *first = node->inputs[form->first];
    const bool by_keys = form->first == KEY;
    struct attention_push push = {
        .batches = (uint32_t)(shape_elements(&first->shape) / dimension(first, 0) / dimension(first, 1)),
        .rows = dimension(first, 1), .columns = dimension(node->inputs[form->second], 1), .depth = dimension(first, 0),
        .gradient_depth = dimension(node->inputs[VALUE], 0), .width = form->has_value ? dimension(node, 0) : 2,
        .scale = node->attributes.p};
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

/* --- which kernel --- */

static vkg_dtype dtype_of(const vkg_tensor *node)
{
    return node->inputs[QUERY]->dtype;
}

static vkg_matrix_shape matrix_of(const vkg_device_caps *caps, vkg_dtype dtype)
{
    return dtype == VKG_FLOAT16 ? caps->matrix_float16 : dtype == VKG_BFLOAT16 ? caps->matrix_bfloat16 : (vkg_matrix_shape){0};
}

/* Does a thread compute 4 by 4 numbers? 8 by 8 need 180 registers and more, which few cards have, and compilers for processors take
 * minutes to do without. */
static bool has_small_threads(const vkg_device_caps *caps)
{
    enum { AMD = 0x1002, NVIDIA = 0x10de };
    return caps->type == VKG_DEVICE_CPU || (caps->vendor_id != AMD && caps->vendor_id != NVIDIA);
}

static uint32_t threads(const vkg_device_caps *caps, vkg_dtype dtype)
{
    const uint32_t size = has_small_threads(caps) ? 4 : 8;
    return dtype_is_half(dtype) ? SUBGROUPS * caps->subgroup_size : TILE / size * (TILE / size);
}

static uint64_t tiles(uint32_t size)
{
    return ((uint64_t)size + TILE - 1) / TILE;
}

/* Of all loops together, that an invocation takes at most: see vkg_device_caps.max_loop_iterations. */
static uint64_t most_iterations(const vkg_device_caps *caps, vkg_dtype dtype, const struct attention_push *push)
{
    const uint32_t depth = dtype_is_half(dtype) ? MATRIX_DEPTH : DEPTH, count = threads(caps, dtype);
    const uint64_t pieces = ((uint64_t)push->depth + push->gradient_depth) / depth + 2;
    const uint64_t a_piece = 1 + DEPTH / 4 + TILE * depth / 4 / count, weights = TILE * TILE / count;
    return tiles(push->columns) * (pieces * a_piece + weights + 4 * TILE);
}

/* Products of a kernel, for each score: every tile of the result's columns begins with the scores. */
static double products(const struct form *form, const struct attention_push *push)
{
    const double depth = push->depth + (form->has_gradients ? push->gradient_depth : 0);
    return depth * (double)tiles(push->width) + (form->has_value ? push->width : 0);
}

/* Does no kernel more than double the products of what its node is built of, whose scores pass through memory five times? All gradients
 * go one way, as they share the logarithms of sums or, otherwise, scores. */
static bool computes_little_twice(const vkg_tensor *node)
{
    const uint64_t depth = dimension(node->inputs[QUERY], 0), width = dimension(node->inputs[VALUE], 0);
    const bool of_values = depth * tiles((uint32_t)width) <= 2 * depth + width, of_queries = tiles((uint32_t)depth) <= 2;
    return of_values && (which(node) == ATTENTION || of_queries);
}

static bool suits(const vkg_device_caps *caps, const vkg_tensor *node)
{
    const vkg_dtype dtype = dtype_of(node);
    const vkg_matrix_shape matrix = matrix_of(caps, dtype);
    const bool halves = dtype_is_half(dtype), multiplies = matrix.m && matrix.m <= 16 && matrix.n <= 16;
    const struct attention_push push = describe(node, which(node));
    return (!halves || multiplies) && computes_little_twice(node) &&
           caps->max_workgroup_invocations >= threads(caps, dtype) &&
           caps->max_shared_memory >= (halves ? MATRIX_SHARED_BYTES : SHARED_BYTES) &&
           caps->max_storage_buffers_per_stage >= BINDINGS && most_iterations(caps, dtype, &push) < caps->max_loop_iterations;
}

const char *attention_check(const vkg_device *device, const vkg_tensor *node)
{
    static const char *const checks[][2] = {
        [VKG_FLOAT32] = {"attention", "gradients of attention"},
        [VKG_FLOAT16] = {"attention of float16", "gradients of attention of float16"},
        [VKG_BFLOAT16] = {"attention of bfloat16", "gradients of attention of bfloat16"}};
    const vkg_dtype dtype = dtype_of(node);
    const bool known = dtype == VKG_FLOAT32 || dtype_is_half(dtype), in_blocks = node->attributes.index != 0;
    return known && !in_blocks && device->caps.kernels == VKG_KERNELS_TILED && suits(&device->caps, node)
               ? checks[dtype][which(node) != ATTENTION]
               : NULL;
}

/* --- dispatches --- */

/* Where a kernel leaves the logarithms of sums for another one. */
struct launch {
    enum attention_op op;
    const struct placement *logsumexp; /* NULL: they are the node's input, or the node */
};

static uint64_t logsumexp_elements(const vkg_tensor *node)
{
    const vkg_tensor *q = node->inputs[QUERY];
    return shape_elements(&q->shape) / dimension(q, 0) * 2;
}

/* What a kernel does not have is some memory that it does not look at. */
static vkg_result bind(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *tensor)
{
    if (tensor)
        return lowering_bind_tensor(lowering, dispatch, tensor, FORMAT_STORAGE, true, false);
    epilogue_bind_nothing(dispatch, 0, FORMAT_STORAGE);
    return VKG_OK;
}

static vkg_result bind_all(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *node, const struct launch *launch)
{
    const struct form *form = &forms[launch->op];
    vkg_tensor *const *inputs = node->inputs;
    const bool of_gradient = attention_operands(node->op) > DELTA;
    const vkg_tensor *const read[] = {
        inputs[form->first], inputs[form->second], form->has_value ? inputs[form->value] : NULL,
        form->has_gradients ? inputs[form->third] : NULL, form->has_gradients ? inputs[form->fourth] : NULL};
    const uint64_t logsumexp_bytes = logsumexp_elements(node) * sizeof(float);
    vkg_result result = VKG_OK;
    for (size_t i = 0; i < sizeof read / sizeof *read && result == VKG_OK; i++)
        result = bind(lowering, dispatch, read[i]);
    if (result == VKG_OK && launch->logsumexp && launch->op == ATTENTION)
        dispatch_bind(dispatch, *launch->logsumexp, logsumexp_bytes, FORMAT_STORAGE, true, false);
    else if (result == VKG_OK)
        result = bind(lowering, dispatch, of_gradient ? inputs[LOGSUMEXP] : NULL);
    if (result == VKG_OK)
        result = bind(lowering, dispatch, form->has_gradients ? inputs[DELTA] : NULL);
    if (result == VKG_OK)
        result = bind(lowering, dispatch, mask_of(node));
    if (result == VKG_OK && launch->op == which(node))
        return lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, false, true);
    if (result == VKG_OK)
        dispatch_bind(dispatch, *launch->logsumexp, logsumexp_bytes, FORMAT_STORAGE, false, true);
    return result;
}

static void set_constants(struct dispatch *dispatch, const vkg_device_caps *caps, const vkg_tensor *node,
                          const struct attention_push *push)
{
    const vkg_dtype dtype = dtype_of(node);
    const vkg_matrix_shape matrix = matrix_of(caps, dtype);
    const uint32_t together = dtype_is_half(dtype) ? 8 : 4; /* elements that are read so, where they come so */
    const uint32_t reads[] = {push->depth % together == 0, push->gradient_depth % together == 0, push->width % together == 0};
    uint32_t *constants = dispatch->constants, count = 0;
    constants[count++] = threads(caps, dtype);
    constants[count++] = mask_of(node) != NULL;
    if (dtype_is_half(dtype)) {
        constants[count++] = matrix.m;
        constants[count++] = matrix.n;
        constants[count++] = matrix.k;
        dispatch->subgroup_size = caps->subgroup_size;
    }
    memcpy(&constants[count], reads, sizeof reads);
    dispatch->constant_count = count + sizeof reads / sizeof *reads;
}

static vkg_result add_launch(struct lowering *lowering, const vkg_tensor *node, const struct launch *launch)
{
    const vkg_device_caps *caps = &lowering->device->caps;
    const struct form *form = &forms[launch->op];
    const struct attention_push push = describe(node, launch->op);
    const vkg_dtype dtype = dtype_of(node);
    char shader[64];
    snprintf(shader, sizeof shader, "%s%s", form->shader, dtype == VKG_FLOAT16    ? "_coopmat_float16"
                                                          : dtype == VKG_BFLOAT16 ? "_coopmat_bfloat16"
                                                          : has_small_threads(caps) ? "_small" : "");
    struct dispatch *dispatch = lowering_add_dispatch(lowering, attention_ops[launch->op].name, shader_find(shader));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    set_constants(dispatch, caps, node, &push);
    dispatch->flops = 2.0 * push.batches * push.rows * push.columns * products(form, &push);
    dispatch_push(dispatch, &push, sizeof push);
    const vkg_result result = bind_all(lowering, dispatch, node, launch);
    return result == VKG_OK ? dispatch_grid(lowering, dispatch, push.batches * tiles(push.rows) * tiles(push.width)) : result;
}

/* By matrices, attention itself is given the logarithms of its sums: a first kernel leaves them. */
vkg_result lower_attention(struct lowering *lowering, const vkg_tensor *node)
{
    if (!dtype_is_half(dtype_of(node)) || which(node) != ATTENTION)
        return add_launch(lowering, node, &(struct launch){which(node), NULL});
    struct placement logsumexp = {0};
    const uint64_t bytes = logsumexp_elements(node) * sizeof(float);
    vkg_result result = lowering_add_storage(lowering, STORAGE_TEMPORARY, bytes, &logsumexp.storage);
    if (result == VKG_OK)
        result = add_launch(lowering, node, &(struct launch){ATTENTION_LOGSUMEXP, &logsumexp});
    return result == VKG_OK ? add_launch(lowering, node, &(struct launch){ATTENTION, &logsumexp}) : result;
}
