/* Indexing: reading at computed indices and adding at them are each other's gradients. */
#include <string.h>

#include "kernels/lowering.h"
#include "ops/ops.h"
#include "ops/resample.h"
#include "vkgan/resample.h"

enum { DATA, INDICES };

/* --- walking over data, indices and what they point into --- */

struct run {
    uint32_t size, index_stride, stride;
};

/* The constants of shaders/lib/runs.glsl, and more. */
struct runs {
    struct runs_constants {
        uint32_t count, axis_size, axis_stride, total_bits;
        struct run runs[VKG_MAX_RANK]; /* what is not there has a size of 1 */
    } constants;
    uint32_t run_count;
    bool vector; /* four neighbours share an index */
};

static void add_run(struct runs *runs, struct run run)
{
    struct run *last = runs->run_count ? &runs->constants.runs[runs->run_count - 1] : NULL;
    if (run.size == 1)
        return;
    if (last && last->index_stride == run.index_stride * run.size && last->stride == run.stride * run.size) {
        run.size *= last->size; /* one run with the dimension in front of it */
        *last = run;
        return;
    }
    runs->constants.runs[runs->run_count++] = run;
}

/* walked: every element of it has an index; pointed: what the indices point into, along the axis. */
static struct runs make_runs(const vkg_shape *walked, const vkg_shape *index, const vkg_shape *pointed,
                             uint32_t axis)
{
    struct runs runs = {
        .constants = {.count = (uint32_t)shape_elements(walked), .axis_size = pointed->dims[axis]}};
    struct run dims[VKG_MAX_RANK];
    uint32_t index_stride = 1, stride = 1;
    for (uint32_t d = walked->rank; d-- > 0;) {
        dims[d] = (struct run){walked->dims[d], index->dims[d] == 1 ? 0 : index_stride, d == axis ? 0 : stride};
        if (d == axis)
            runs.constants.axis_stride = stride;
        index_stride *= index->dims[d];
        stride *= pointed->dims[d];
    }
    for (uint32_t d = 0; d < walked->rank; d++)
        add_run(&runs, dims[d]);
    const struct run *last = runs.run_count ? &runs.constants.runs[runs.run_count - 1] : NULL;
    runs.vector = last && last->index_stride == 0 && last->stride == 1 && last->size % 4 == 0;
    for (uint32_t r = runs.run_count; r < VKG_MAX_RANK; r++)
        runs.constants.runs[r].size = 1;
    return runs;
}

/* From here on one invocation takes four neighbours. */
static void take_vectors(struct runs *runs)
{
    runs->constants.count /= 4;
    runs->constants.axis_stride /= 4;
    runs->constants.runs[runs->run_count - 1].size /= 4;
    for (uint32_t r = 0; r + 1 < runs->run_count; r++)
        runs->constants.runs[r].stride /= 4;
}

static vkg_result set_runs(struct lowering *lowering, struct dispatch *dispatch, const struct runs *runs)
{
    uint32_t workgroup = simple_workgroup(&lowering->device->caps);
    dispatch->constants[0] = workgroup;
    memcpy(&dispatch->constants[1], &runs->constants, sizeof runs->constants);
    dispatch->constant_count = 1 + sizeof runs->constants / sizeof(uint32_t);
    return dispatch_grid(lowering, dispatch, (runs->constants.count + workgroup - 1) / workgroup);
}

static bool reads_texels(const struct lowering *lowering, const vkg_tensor *node, bool vector)
{
    return lowering_read_format(lowering, tensor_bytes(node->inputs[DATA]), vector) != FORMAT_STORAGE &&
           lowering_read_format(lowering, tensor_bytes(node->inputs[INDICES]), false) != FORMAT_STORAGE;
}

/* --- gather --- */

static void gather_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                            vkg_tensor **gradients)
{
    uint32_t axis = node->attributes.axis;
    if (wanted[DATA])
        gradients[DATA] =
            vkg_scatter_add(graph, dy, axis, node->inputs[INDICES], node->inputs[DATA]->shape.dims[axis]);
}

static vkg_result lower_gather(struct lowering *lowering, const vkg_tensor *node)
{
    static const char *const shaders[2][2] = {{"gather_storage", "gather_storage_by4"},
                                              {"gather_texel", "gather_texel_by4"}};
    const vkg_tensor *a = node->inputs[DATA], *index = node->inputs[INDICES];
    struct runs runs = make_runs(&node->shape, &index->shape, &a->shape, node->attributes.axis);
    bool texel = reads_texels(lowering, node, runs.vector);
    enum binding_format format = runs.vector ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    struct dispatch *dispatch =
        lowering_add_dispatch(lowering, "gather", shader_find(shaders[texel][runs.vector]));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    if (runs.vector)
        take_vectors(&runs);
    vkg_result result =
        lowering_bind_tensor(lowering, dispatch, a, texel ? format : FORMAT_STORAGE, true, false);
    if (result == VKG_OK)
        result = lowering_bind_tensor(lowering, dispatch, index, texel ? FORMAT_TEXEL_INT : FORMAT_STORAGE,
                                      true, false);
    if (result == VKG_OK)
        result = lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, false, true);
    return result == VKG_OK ? set_runs(lowering, dispatch, &runs) : result;
}

static const struct op op_gather = {.name = "gather",
                                    .doc = "y[.., m, ..] = a[.., index[.., m, ..], ..]",
                                    .kind = OP_KERNEL,
                                    .input_dtypes = {VKG_FLOAT32, VKG_INT32},
                                    .gradient = gather_gradient,
                                    .lower = lower_gather};

/* Does the index have the data's dimensions, or 1? Along the axis only where repeats is set for it too. */
static bool index_fits(vkg_graph *graph, const char *call, const vkg_tensor *data, uint32_t axis,
                       const vkg_tensor *index, bool free_axis)
{
    bool fits = index->shape.rank == data->shape.rank;
    for (uint32_t d = 0; fits && d < data->shape.rank; d++) {
        uint32_t size = index->shape.dims[d], expected = data->shape.dims[d];
        fits &= d == axis ? free_axis || size == expected : size == 1 || size == expected;
    }
    if (!fits)
        graph_fail(graph, "%s: the index %s must have the dimensions of %s, or 1, apart from axis %u%s", call,
                   SHAPE(&index->shape), SHAPE(&data->shape), axis,
                   free_axis ? "" : ", which must be the same");
    return fits;
}

vkg_tensor *vkg_gather(vkg_graph *graph, vkg_tensor *a, uint32_t axis, vkg_tensor *index)
{
    if (index->poisoned || !axis_is_valid(graph, "gather", a, axis) ||
        !index_fits(graph, "gather", a, axis, index, true))
        return graph->poison;
    vkg_shape shape = a->shape;
    shape.dims[axis] = index->shape.dims[axis];
    return graph_add_node(graph, &(struct node_desc){.op = &op_gather,
                                                     .shape = shape,
                                                     .input_count = 2,
                                                     .inputs = (vkg_tensor *[]){a, index},
                                                     .attributes.axis = axis});
}

/* --- scatter --- */

static void scatter_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                             vkg_tensor **gradients)
{
    if (wanted[DATA])
        gradients[DATA] = vkg_gather(graph, dy, node->attributes.axis, node->inputs[INDICES]);
}

/* 64 bits hold the sum of `count` numbers of so many bits and a sign. */
static uint32_t total_bits(uint32_t count)
{
    uint32_t bits = 62;
    for (uint32_t rest = count - 1; rest; rest /= 2)
        bits--;
    return bits;
}

/* Stages 0 and 3: for every element of the result. sums: the low and the high words. */
static vkg_result add_result_stage(struct lowering *lowering, const vkg_tensor *node,
                                   const struct placement *sums, const struct runs *runs, int stage)
{
    struct runs all = *runs;
    uint64_t bytes = tensor_bytes(node);
    all.constants.count = (uint32_t)shape_elements(&node->shape);
    struct dispatch *dispatch =
        lowering_add_dispatch(lowering, stage ? "scatter add: result" : "scatter add: clear",
                              shader_find(stage ? "scatter_add_3" : "scatter_add_0"));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    vkg_result result = lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, stage == 3, true);
    for (int i = 0; i < 2; i++)
        dispatch_bind(dispatch, sums[i], bytes, FORMAT_STORAGE, stage == 3, stage == 0);
    return result == VKG_OK ? set_runs(lowering, dispatch, &all) : result;
}

/* Stages 1 and 2: for every element of the source. */
static vkg_result add_source_stage(struct lowering *lowering, const vkg_tensor *node,
                                   const struct placement *sums, const struct runs *runs, int stage)
{
    static const char *const shaders[2][2] = {{"scatter_add_1_storage", "scatter_add_2_storage"},
                                              {"scatter_add_1_texel", "scatter_add_2_texel"}};
    bool texel = reads_texels(lowering, node, false);
    struct dispatch *dispatch = lowering_add_dispatch(
        lowering, stage == 1 ? "scatter add: greatest" : "scatter add", shader_find(shaders[texel][stage - 1]));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < 2 && result == VKG_OK; i++)
        result = lowering_bind_tensor(lowering, dispatch, node->inputs[i],
                                      texel ? FORMAT_TEXEL_INT : FORMAT_STORAGE, true, false);
    if (result == VKG_OK)
        result = lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, true, stage == 1);
    for (int i = 0; i < 2 && stage == 2; i++)
        dispatch_bind(dispatch, sums[i], tensor_bytes(node), FORMAT_STORAGE, true, true);
    return result == VKG_OK ? set_runs(lowering, dispatch, runs) : result;
}

static vkg_result lower_scatter_add(struct lowering *lowering, const vkg_tensor *node)
{
    const vkg_tensor *source = node->inputs[DATA];
    uint32_t axis = node->attributes.axis;
    struct runs runs = make_runs(&source->shape, &node->inputs[INDICES]->shape, &node->shape, axis);
    runs.constants.total_bits = total_bits(source->shape.dims[axis]);
    struct placement sums[2] = {{0}};
    vkg_result result = VKG_OK;
    for (int i = 0; i < 2 && result == VKG_OK; i++)
        result = lowering_add_storage(lowering, STORAGE_TEMPORARY, tensor_bytes(node), &sums[i].storage);
    if (result == VKG_OK)
        result = add_result_stage(lowering, node, sums, &runs, 0);
    for (int stage = 1; stage <= 2 && result == VKG_OK; stage++)
        result = add_source_stage(lowering, node, sums, &runs, stage);
    return result == VKG_OK ? add_result_stage(lowering, node, sums, &runs, 3) : result;
}

static const struct op op_scatter_add = {.name = "scatter_add",
                                         .doc = "y = 0; y[.., index[.., m, ..], ..] += a[.., m, ..]",
                                         .kind = OP_KERNEL,
                                         .input_dtypes = {VKG_FLOAT32, VKG_INT32},
                                         .gradient = scatter_gradient,
                                         .lower = lower_scatter_add};

vkg_tensor *vkg_scatter_add(vkg_graph *graph, vkg_tensor *src, uint32_t axis, vkg_tensor *index, uint32_t size)
{
    if (index->poisoned || !axis_is_valid(graph, "scatter_add", src, axis) ||
        !index_fits(graph, "scatter_add", src, axis, index, false))
        return graph->poison;
    vkg_shape shape = src->shape;
    shape.dims[axis] = size;
    return graph_add_node(graph, &(struct node_desc){.op = &op_scatter_add,
                                                     .shape = shape,
                                                     .input_count = 2,
                                                     .inputs = (vkg_tensor *[]){src, index},
                                                     .attributes.axis = axis});
}

/* --- what is made of them --- */

vkg_tensor *vkg_index_select(vkg_graph *graph, vkg_tensor *a, uint32_t axis, vkg_tensor *index)
{
    if (index->poisoned || !axis_is_valid(graph, "index_select", a, axis))
        return graph->poison;
    if (index->shape.rank != 1)
        return graph_fail(graph, "index_select: the index %s must have 1 dimension", SHAPE(&index->shape));
    vkg_shape shape = {.rank = a->shape.rank};
    for (uint32_t d = 0; d < shape.rank; d++)
        shape.dims[d] = d == axis ? index->shape.dims[0] : 1;
    return vkg_gather(graph, a, axis, vkg_reshape(graph, index, shape));
}

vkg_tensor *vkg_embedding(vkg_graph *graph, vkg_tensor *weight, vkg_tensor *index)
{
    if (weight->poisoned || index->poisoned)
        return graph->poison;
    if (weight->shape.rank != 2 || index->shape.rank == VKG_MAX_RANK)
        return graph_fail(graph, "embedding: weight %s must have 2 dimensions, the index %s fewer than %d",
                          SHAPE(&weight->shape), SHAPE(&index->shape), VKG_MAX_RANK);
    vkg_shape shape = index->shape;
    shape.dims[shape.rank++] = weight->shape.dims[1];
    vkg_tensor *flat = vkg_reshape(graph, index, VKG_SHAPE((uint32_t)shape_elements(&index->shape), 1));
    return vkg_reshape(graph, vkg_gather(graph, weight, 0, flat), shape);
}

vkg_tensor *vkg_one_hot(vkg_graph *graph, vkg_tensor *index, uint32_t classes)
{
    if (index->poisoned)
        return index;
    if (index->dtype != VKG_INT32 || index->shape.rank == VKG_MAX_RANK || classes == 0 || classes > 1u << 24)
        return graph_fail(
            graph,
            "one_hot: the index %s of type %s must be of int32 with fewer than %d dimensions, "
            "and there must be 1 to 2^24 classes, not %u",
            SHAPE(&index->shape), vkg_dtype_name(index->dtype), VKG_MAX_RANK, classes);
    vkg_shape shape = index->shape;
    shape.dims[shape.rank++] = 1;
    return vkg_equal(graph, vkg_reshape(graph, index, shape), counting_axis(graph, classes, 0));
}
