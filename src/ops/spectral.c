/* Spectral normalisation. Here W is the matrix [rest, out], and u and v are rows. */
#include "graph/graph.h"
#include "ops/layer.h"
#include "vkgan/layers.h"

/* The weight's axes but the one of the outputs, in our order and in PyTorch's. */
struct rest {
    uint32_t count, size;
    uint32_t axes[VKG_MAX_RANK];         /* the weight's, in our order */
    uint32_t torch_order[VKG_MAX_RANK];  /* axis i in PyTorch's order is axis torch_order[i] of those above */
    uint32_t our_order[VKG_MAX_RANK];    /* the reverse */
};

static struct rest find_rest(const vkg_tensor *weight, uint32_t out_axis)
{
    const uint32_t *torch_axes = weight->op == &op_state
        ? weight->graph->declarations[weight->attributes.index].torch_axes : (uint32_t[]){0, 1, 2, 3, 4, 5};
    uint32_t place[VKG_MAX_RANK] = {0}, torch_count = 0;
    struct rest rest = {.size = 1};
    for (uint32_t axis = 0; axis < weight->shape.rank; axis++) {
        if (axis == out_axis)
            continue;
        place[axis] = rest.count;
        rest.axes[rest.count++] = axis;
        rest.size *= weight->shape.dims[axis];
    }
    for (uint32_t i = 0; i < weight->shape.rank; i++) {
        if (torch_axes[i] == out_axis)
            continue;
        rest.torch_order[torch_count] = place[torch_axes[i]];
        rest.our_order[place[torch_axes[i]]] = torch_count++;
    }
    return rest;
}

/* [rest, out] */
static vkg_tensor *as_matrix(vkg_graph *graph, vkg_tensor *weight, const struct rest *rest, uint32_t out_axis)
{
    uint32_t axes[VKG_MAX_RANK];
    for (uint32_t i = 0; i < rest->count; i++)
        axes[i] = rest->axes[i];
    axes[rest->count] = out_axis;
    return vkg_reshape(graph, vkg_permute(graph, weight, axes), VKG_SHAPE(rest->size, weight->shape.dims[out_axis]));
}

/* v between [rest] in PyTorch's order and [1, rest] in ours. */
static vkg_tensor *v_from_torch(vkg_graph *graph, vkg_tensor *v, const vkg_tensor *weight, const struct rest *rest)
{
    vkg_shape shape = {.rank = rest->count};
    for (uint32_t i = 0; i < rest->count; i++)
        shape.dims[i] = weight->shape.dims[rest->axes[rest->torch_order[i]]];
    v = vkg_permute(graph, vkg_reshape(graph, v, shape), rest->our_order);
    return vkg_reshape(graph, v, VKG_SHAPE(1, rest->size));
}

static vkg_tensor *v_to_torch(vkg_graph *graph, vkg_tensor *v, const vkg_tensor *weight, const struct rest *rest)
{
    vkg_shape shape = {.rank = rest->count};
    for (uint32_t i = 0; i < rest->count; i++)
        shape.dims[i] = weight->shape.dims[rest->axes[i]];
    v = vkg_permute(graph, vkg_reshape(graph, v, shape), rest->torch_order);
    return vkg_reshape(graph, v, VKG_SHAPE(rest->size));
}

static vkg_tensor *unit(vkg_graph *graph, vkg_tensor *a, float epsilon)
{
    vkg_tensor *norm = vkg_sqrt(graph, vkg_sum(graph, vkg_square(graph, a), VKG_ALL_AXES, false));
    return vkg_div(graph, a, vkg_maximum(graph, norm, vkg_constant(graph, epsilon, VKG_SCALAR)));
}

static vkg_tensor *normalise(vkg_graph *graph, const char *name, vkg_tensor *weight, uint32_t out_axis, float epsilon,
                             bool evaluation)
{
    uint32_t out = weight->shape.dims[out_axis];
    struct rest rest = find_rest(weight, out_axis);
    vkg_init random_unit = {VKG_INIT_ORTHOGONAL, 1, 0};
    vkg_tensor *u_kept = layer_tensor(graph, name, (struct declaration_desc){
        .name = "weight_u", .shape = VKG_SHAPE(out), .init = random_unit});
    vkg_tensor *v_kept = layer_tensor(graph, name, (struct declaration_desc){
        .name = "weight_v", .shape = VKG_SHAPE(rest.size), .init = random_unit});
    if (u_kept->poisoned || v_kept->poisoned)
        return graph->poison;
    vkg_tensor *matrix = as_matrix(graph, weight, &rest, out_axis), *u = vkg_reshape(graph, u_kept, VKG_SHAPE(1, out)), *v;
    if (evaluation)
        v = v_from_torch(graph, v_kept, weight, &rest);
    else
        v = vkg_detach(graph, unit(graph, vkg_matmul(graph, u, vkg_detach(graph, matrix), false, true), epsilon));
    vkg_tensor *product = vkg_matmul(graph, v, matrix, false, false);
    if (!evaluation) {
        u = unit(graph, vkg_detach(graph, product), epsilon);
        vkg_assign(graph, u_kept, vkg_reshape(graph, u, VKG_SHAPE(out)));
        vkg_assign(graph, v_kept, v_to_torch(graph, v, weight, &rest));
    }
    vkg_tensor *sigma = vkg_sum(graph, vkg_mul(graph, product, vkg_detach(graph, u)), VKG_ALL_AXES, false);
    return vkg_div(graph, weight, sigma);
}

vkg_tensor *vkg_spectral_norm(vkg_graph *graph, const char *name, vkg_tensor *weight, uint32_t out_axis, float epsilon,
                              bool evaluation)
{
    if (weight->poisoned)
        return weight;
    graph_enter_layer(graph, "spectral_norm", name);
    vkg_tensor *result = graph->poison;
    if (out_axis >= weight->shape.rank || weight->shape.rank < 2)
        graph_fail(graph, "spectral_norm: out_axis %u of weight %s, which needs 2 dimensions or more", out_axis,
                   SHAPE(&weight->shape));
    else
        result = normalise(graph, name, weight, out_axis, epsilon != 0 ? epsilon : 1e-12f, evaluation);
    graph_leave_layer(graph);
    return result;
}
