/* Sparse linear maps along one axis, and running sums, which are linear maps too dense for tables. */
#include <stdlib.h>
#include <string.h>

#include "kernels/lowering.h"
#include "ops/ops.h"
#include "ops/resample.h"
#include "vkgan/resample.h"

enum { X, START, INDEX, WEIGHT };

struct extents extents_around(const vkg_shape *shape, uint32_t axis)
{
    struct extents extents = {1, shape->dims[axis], 1};
    for (uint32_t i = 0; i < axis; i++)
        extents.outer *= shape->dims[i];
    for (uint32_t i = axis + 1; i < shape->rank; i++)
        extents.inner *= shape->dims[i];
    return extents;
}

/* --- tables --- */

enum { MOST_TERMS = 16 }; /* of a row that the kernel unrolls */

static void longest_and_shortest(const uint32_t *start, uint32_t rows, uint32_t *longest, uint32_t *shortest)
{
    *longest = 0, *shortest = UINT32_MAX;
    for (uint32_t o = 0; o < rows; o++) {
        const uint32_t terms = start[o + 1] - start[o];
        *longest = terms > *longest ? terms : *longest;
        *shortest = terms < *shortest ? terms : *shortest;
    }
}

/* The terms of every row where all have as many, at most MOST_TERMS; else 0. */
static uint32_t terms_of_all_rows(const uint32_t *start, uint32_t rows)
{
    uint32_t longest, shortest;
    longest_and_shortest(start, rows, &longest, &shortest);
    return longest == shortest && longest <= MOST_TERMS ? longest : 0;
}

/* The same matrix with rows of as many terms each, where they nearly are: shorter ones, such as those at the edges of an
 * image, repeat their last element with weight 0. All from one malloc, which `start` points to, NULL where it stays as it is. */
static bool pad_rows(const vkg_linear_map *map, vkg_linear_map *padded)
{
    uint32_t longest, shortest;
    longest_and_shortest(map->start, map->out, &longest, &shortest);
    const uint64_t terms = (uint64_t)longest * map->out;
    padded->start = NULL;
    if (longest == shortest || shortest == 0 || longest > MOST_TERMS || terms > INT32_MAX ||
        terms > 2 * (uint64_t)map->start[map->out])
        return true;
    uint32_t *start = malloc((map->out + 1 + 2 * terms) * sizeof *start);
    if (!start)
        return false;
    uint32_t *index = start + map->out + 1;
    float *weight = (float *)(void *)(index + terms);
    for (uint32_t o = 0; o <= map->out; o++)
        start[o] = o * longest;
    for (uint64_t i = 0; i < terms; i++) {
        const uint32_t o = (uint32_t)(i / longest), t = map->start[o] + (uint32_t)(i % longest), end = map->start[o + 1];
        index[i] = map->index[t < end ? t : end - 1];
        weight[i] = t < end ? map->weight[t] : 0;
    }
    *padded = (vkg_linear_map){map->out, start, index, weight};
    return true;
}

/* The rows of the transposed matrix, each in the order of its elements' rows, without zeros. The arrays are from one malloc,
 * which `start` points to. false when memory is out. */
static bool transpose(const vkg_tensor *node, vkg_linear_map *map)
{
    const uint32_t *start = node->inputs[START]->data, *index = node->inputs[INDEX]->data;
    const float *weight = node->inputs[WEIGHT]->data;
    uint32_t rows = node->shape.dims[node->attributes.axis], count = start[rows];
    map->out = node->inputs[X]->shape.dims[node->attributes.axis];
    uint32_t *table = calloc((size_t)map->out + 2 + 2 * (size_t)count, sizeof *table);
    if (!table)
        return false;
    uint32_t *begin = table, *row = table + map->out + 2;
    float *value = (float *)(void *)(row + count);
    for (uint32_t t = 0; t < count; t++)
        begin[index[t] + 2] += weight[t] != 0; /* one place late, so that filling moves each begin to where it belongs */
    for (uint32_t i = 0; i < map->out; i++)
        begin[i + 2] += begin[i + 1];
    for (uint32_t o = 0; o < rows; o++)
        for (uint32_t t = start[o]; t < start[o + 1]; t++) {
            if (weight[t] == 0)
                continue;
            uint32_t place = begin[index[t] + 1]++;
            row[place] = o;
            value[place] = weight[t];
        }
    map->start = begin, map->index = row, map->weight = value;
    return true;
}

static void linear_map_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                                vkg_tensor **gradients)
{
    vkg_linear_map map;
    if (!wanted[X])
        return;
    if (!transpose(node, &map)) {
        graph->out_of_memory = true;
        gradients[X] = graph->poison;
        return;
    }
    gradients[X] = vkg_apply_linear_map(graph, dy, node->attributes.axis, &map);
    free((void *)map.start);
}

/* --- the kernel --- */

/* How many parts every row is cut into: enough to keep the device busy, and to keep loops short. */
static uint32_t choose_parts(const vkg_device_caps *caps, uint64_t results, const vkg_tensor *start)
{
    uint32_t longest, shortest;
    longest_and_shortest(start->data, start->shape.dims[0] - 1, &longest, &shortest);
    uint64_t wanted = caps->type == VKG_DEVICE_CPU ? 512 : 32768;
    uint64_t parts = (wanted + results - 1) / results, most = longest / 16;
    uint64_t least = (uint64_t)longest / (caps->max_loop_iterations / elements_each(caps) - 1) + 1;
    parts = parts < most ? parts : most;
    parts = parts < 1024 ? parts : 1024;
    return (uint32_t)(parts > least ? parts : least);
}

static vkg_result bind_map(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *node,
                           bool texel, bool vector)
{
    const enum binding_format formats[2][4] = {{FORMAT_STORAGE, FORMAT_STORAGE, FORMAT_STORAGE, FORMAT_STORAGE},
                                               {vector ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR,
                                                FORMAT_TEXEL_INT, FORMAT_TEXEL_INT, FORMAT_TEXEL_SCALAR}};
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < 4 && result == VKG_OK; i++)
        result = lowering_bind_tensor(lowering, dispatch, node->inputs[i], formats[texel][i], true, false);
    return result;
}

/* Binds the result: the node's own memory, or that of the parts, which are then added. */
static vkg_result bind_result(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *node,
                              struct partial_results *partial)
{
    if (partial->parts == 1)
        return lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, false, true);
    uint64_t bytes = partial->outer * partial->parts * partial->inner * 4;
    vkg_result result = lowering_add_storage(lowering, STORAGE_TEMPORARY, bytes, &partial->at.storage);
    if (result != VKG_OK)
        return result;
    dispatch_bind(dispatch, partial->at, bytes, FORMAT_STORAGE, false, true);
    return lowering_reduce_parts(lowering, partial, node);
}

static vkg_result lower_linear_map(struct lowering *lowering, const vkg_tensor *node)
{
    static const char *const shaders[2][2] = {{"linear_map_storage", "linear_map_storage_by4"},
                                              {"linear_map_texel", "linear_map_texel_by4"}};
    const vkg_device_caps *caps = &lowering->device->caps;
    struct extents x = extents_around(&node->inputs[X]->shape, node->attributes.axis);
    uint32_t outputs = node->shape.dims[node->attributes.axis], workgroup = simple_workgroup(caps);
    bool vector = x.inner % 4 == 0, texel = true;
    for (uint32_t i = 0; i < 4; i++)
        texel &=
            lowering_read_format(lowering, tensor_bytes(node->inputs[i]), vector && i == X) != FORMAT_STORAGE;
    uint64_t per_group = (uint64_t)workgroup * elements_each(caps);
    struct dispatch *dispatch =
        lowering_add_dispatch(lowering, "linear map", shader_find(shaders[texel][vector]));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    uint32_t inner = (uint32_t)x.inner / (vector ? 4 : 1);
    uint32_t parts = choose_parts(caps, x.outer * outputs * inner, node->inputs[START]);
    uint64_t count = x.outer * outputs * parts * inner;
    if (count > INT32_MAX)
        return vkg_fail(&lowering->device->log, VKG_ERROR_UNSUPPORTED,
                        "linear_map of shape %s: %s ends loops early, and %u parts are too large",
                        SHAPE(&node->shape), caps->name, parts);
    const uint32_t terms = parts == 1 ? terms_of_all_rows(node->inputs[START]->data, outputs) : 0;
    const uint32_t constants[] = {workgroup, (uint32_t)count, (uint32_t)x.size, outputs, parts, inner, terms};
    memcpy(dispatch->constants, constants, sizeof constants);
    dispatch->constant_count = sizeof constants / sizeof constants[0];
    vkg_result result = bind_map(lowering, dispatch, node, texel, vector);
    if (result == VKG_OK)
        result = dispatch_grid(lowering, dispatch, (count + per_group - 1) / per_group);
    if (result != VKG_OK)
        return result;
    struct partial_results partial = {.outer = x.outer * outputs, .parts = parts, .inner = x.inner};
    return bind_result(lowering, dispatch, node, &partial);
}

static const struct op op_linear_map = {
    .name = "linear_map",
    .doc = "y[o] = Σ weight[t] · a[index[t]], start[o] ≤ t < start[o + 1], along one axis",
    .kind = OP_KERNEL,
    .input_dtypes = {VKG_FLOAT32, VKG_INT32, VKG_INT32, VKG_FLOAT32},
    .gradient = linear_map_gradient,
    .lower = lower_linear_map};

/* --- construction --- */

static bool check_map(vkg_graph *graph, const vkg_tensor *a, uint32_t axis, const vkg_linear_map *map)
{
    const char *const call = "apply_linear_map";
    uint32_t size = a->shape.dims[axis];
    if (map->out == 0 || map->out >= INT32_MAX || !map->start || map->start[0] != 0) {
        graph_fail(graph, "%s: there must be rows, fewer than 2^31 − 1, and the first must start at 0", call);
        return false;
    }
    for (uint32_t o = 0; o < map->out; o++)
        if (map->start[o + 1] < map->start[o] || map->start[o + 1] > INT32_MAX) {
            graph_fail(graph, "%s: row %u is [%u, %u)", call, o, map->start[o], map->start[o + 1]);
            return false;
        }
    for (uint32_t t = 0; t < map->start[map->out]; t++)
        if (map->index[t] >= size) {
            graph_fail(graph, "%s: index %u is %u, and axis %u of %s has %u elements", call, t, map->index[t],
                       axis, SHAPE(&a->shape), size);
            return false;
        }
    return true;
}

static vkg_tensor *add_map(vkg_graph *graph, vkg_tensor *a, uint32_t axis, vkg_shape shape, const vkg_linear_map *map)
{
    uint32_t count = map->start[map->out];
    const uint32_t no_index = 0;
    const float no_weight = 0; /* a tensor has one element at least */
    vkg_tensor *inputs[] = {
        a, vkg_data(graph, VKG_SHAPE(map->out + 1), VKG_INT32, map->start),
        vkg_data(graph, VKG_SHAPE(count ? count : 1), VKG_INT32, count ? map->index : &no_index),
        vkg_data(graph, VKG_SHAPE(count ? count : 1), VKG_FLOAT32, count ? map->weight : &no_weight)};
    return graph_add_node(
        graph,
        &(struct node_desc){
            .op = &op_linear_map, .shape = shape, .input_count = 4, .inputs = inputs, .attributes.axis = axis});
}

vkg_tensor *vkg_apply_linear_map(vkg_graph *graph, vkg_tensor *a, uint32_t axis, const vkg_linear_map *map)
{
    float value;
    if (!axis_is_valid(graph, "apply_linear_map", a, axis) || !check_map(graph, a, axis, map))
        return graph->poison;
    vkg_shape shape = a->shape;
    shape.dims[axis] = map->out;
    if (tensor_is_constant(a, &value) && value == 0)
        return vkg_constant(graph, 0, shape);
    vkg_linear_map padded;
    if (!pad_rows(map, &padded)) {
        graph->out_of_memory = true;
        return graph->poison;
    }
    vkg_tensor *result = add_map(graph, a, axis, shape, padded.start ? &padded : map);
    free((void *)padded.start);
    return result;
}
