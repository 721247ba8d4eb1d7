/* Layers of normalisation, and others whose parameters belong to channels or classes. */
#include "ops/layer.h"
#include "vkgan/resample.h"

static const vkg_init zeros = {VKG_INIT_CONSTANT, 0, 0}, ones = {VKG_INIT_CONSTANT, 1, 0};

static vkg_tensor *layer_parameter(vkg_graph *graph, const char *layer, const char *name, vkg_shape shape, vkg_init init)
{
    return layer_tensor(graph, layer, (struct declaration_desc){.name = name, .shape = shape, .init = init,
                                                                .trained = true});
}

static vkg_tensor *layer_buffer(vkg_graph *graph, const char *layer, const char *name, vkg_shape shape, vkg_init init)
{
    return layer_tensor(graph, layer, (struct declaration_desc){.name = name, .shape = shape, .init = init});
}

static bool has_rank(vkg_graph *graph, const char *call, const vkg_tensor *x, uint32_t least, const char *expected)
{
    if (x->poisoned)
        return false;
    if (x->shape.rank < least)
        graph_fail(graph, "%s: input %s must be %s", call, SHAPE(&x->shape), expected);
    return x->shape.rank >= least;
}

static uint32_t channels_of(const vkg_tensor *x)
{
    return x->shape.dims[x->shape.rank - 1];
}

/* --- batch normalisation --- */

/* What both kinds of it keep. */
struct running {
    vkg_tensor *mean, *var;
    float epsilon, momentum;
};

static struct running running_statistics(vkg_graph *graph, const char *name, vkg_shape shape, float epsilon,
                                         float momentum)
{
    return (struct running){.mean = layer_buffer(graph, name, "running_mean", shape, zeros),
                            .var = layer_buffer(graph, name, "running_var", shape, ones),
                            .epsilon = epsilon != 0 ? epsilon : 1e-5f, .momentum = momentum != 0 ? momentum : 0.1f};
}

/* running ← (1 − momentum)·running + momentum·statistic */
static void update_running(vkg_graph *graph, vkg_tensor *running, vkg_tensor *statistic, float momentum, float factor)
{
    vkg_assign(graph, running, vkg_add(graph, vkg_affine(graph, running, 1 - momentum, 0),
                                       vkg_affine(graph, statistic, momentum * factor, 0)));
}

static vkg_tensor *normalise_by_running(vkg_graph *graph, vkg_tensor *x, const struct running *running,
                                        vkg_tensor *weight, vkg_tensor *bias)
{
    vkg_tensor *inverse_std = vkg_rsqrt(graph, vkg_affine(graph, running->var, 1, running->epsilon));
    vkg_tensor *scale = vkg_mul(graph, weight, inverse_std);
    return vkg_add(graph, vkg_mul(graph, vkg_sub(graph, x, running->mean), scale), bias);
}

static vkg_tensor *normalise_by_batch(vkg_graph *graph, vkg_tensor *x, const struct running *running,
                                      vkg_tensor *weight, vkg_tensor *bias)
{
    vkg_tensor *mean, *var;
    vkg_tensor *y = vkg_batch_normalization(graph, x, weight, bias, running->epsilon, &mean, &var);
    if (y->poisoned)
        return y;
    float n = (float)(shape_elements(&x->shape) / channels_of(x));
    update_running(graph, running->mean, mean, running->momentum, 1);
    update_running(graph, running->var, var, running->momentum, n > 1 ? n / (n - 1) : 1); /* unbiased, as PyTorch keeps it */
    return y;
}

static vkg_tensor *build_batch_norm(vkg_graph *graph, vkg_tensor *x, const vkg_batch_norm_desc *desc)
{
    if (!has_rank(graph, "batch_norm", x, 2, "of 2 dimensions or more"))
        return graph->poison;
    vkg_shape shape = VKG_SHAPE(channels_of(x));
    vkg_init weight_start = desc->init_std < 0 ? ones
                                               : (vkg_init){VKG_INIT_NORMAL, 1, desc->init_std > 0 ? desc->init_std : 0.02f};
    vkg_tensor *weight = layer_parameter(graph, desc->name, "weight", shape, weight_start);
    vkg_tensor *bias = layer_parameter(graph, desc->name, "bias", shape, zeros);
    struct running running = running_statistics(graph, desc->name, shape, desc->epsilon, desc->momentum);
    return desc->evaluation ? normalise_by_running(graph, x, &running, weight, bias)
                            : normalise_by_batch(graph, x, &running, weight, bias);
}

vkg_tensor *vkg_batch_norm(vkg_graph *graph, vkg_tensor *x, const vkg_batch_norm_desc *desc)
{
    graph_enter_layer(graph, "batch_norm", desc->name);
    vkg_tensor *y = build_batch_norm(graph, x, desc);
    graph_leave_layer(graph);
    return y;
}

static vkg_tensor *build_conditional(vkg_graph *graph, vkg_tensor *x, vkg_tensor *scale, vkg_tensor *bias,
                                     const vkg_batch_norm_desc *desc)
{
    if (!has_rank(graph, "conditional_batch_norm", x, 2, "of 2 dimensions or more"))
        return graph->poison;
    vkg_shape shape = VKG_SHAPE(channels_of(x));
    struct running running = running_statistics(graph, desc->name, shape, desc->epsilon, desc->momentum);
    vkg_tensor *one = vkg_constant(graph, 1, shape), *zero = vkg_constant(graph, 0, shape);
    vkg_tensor *normal = desc->evaluation ? normalise_by_running(graph, x, &running, one, zero)
                                          : normalise_by_batch(graph, x, &running, one, zero);
    vkg_tensor *scaled = vkg_mul(graph, normal, scale_of_samples(graph, "conditional_batch_norm", x, scale));
    return vkg_add(graph, scaled, scale_of_samples(graph, "conditional_batch_norm", x, bias));
}

vkg_tensor *vkg_conditional_batch_norm(vkg_graph *graph, vkg_tensor *x, vkg_tensor *scale, vkg_tensor *bias,
                                       const vkg_batch_norm_desc *desc)
{
    graph_enter_layer(graph, "conditional_batch_norm", desc->name);
    vkg_tensor *y = build_conditional(graph, x, scale, bias, desc);
    graph_leave_layer(graph);
    return y;
}

/* --- normalisation of each sample --- */

/* weight and bias of a shape, or NULL where the layer has none. PyTorch puts channels first. */
struct affine {
    vkg_tensor *weight, *bias;
};

static struct affine layer_affine(vkg_graph *graph, const vkg_norm_desc *desc, vkg_shape shape)
{
    struct declaration_desc weight = {.name = "weight", .shape = shape, .init = ones, .trained = true};
    struct declaration_desc bias = {.name = "bias", .shape = shape, .init = zeros, .trained = true};
    uint32_t torch_axes[VKG_MAX_RANK] = {0, 1, 2, 3, 4, 5};
    for (uint32_t i = 0; i < shape.rank; i++)
        torch_axes[i] = i == 0 ? shape.rank - 1 : i - 1;
    weight.torch_axes = bias.torch_axes = torch_axes;
    if (desc->plain)
        return (struct affine){NULL, NULL};
    return (struct affine){layer_tensor(graph, desc->name, weight), layer_tensor(graph, desc->name, bias)};
}

static float epsilon_of(const vkg_norm_desc *desc)
{
    return desc->epsilon != 0 ? desc->epsilon : 1e-5f;
}

vkg_tensor *vkg_group_norm(vkg_graph *graph, vkg_tensor *x, const vkg_norm_desc *desc)
{
    vkg_tensor *y = graph->poison;
    graph_enter_layer(graph, "group_norm", desc->name);
    if (has_rank(graph, "group_norm", x, 3, "[N,…,C]")) {
        struct affine affine = layer_affine(graph, desc, VKG_SHAPE(channels_of(x)));
        y = vkg_group_normalization(graph, x, desc->groups, affine.weight, affine.bias, epsilon_of(desc));
    }
    graph_leave_layer(graph);
    return y;
}

vkg_tensor *vkg_instance_norm(vkg_graph *graph, vkg_tensor *x, const vkg_norm_desc *desc)
{
    vkg_tensor *y = graph->poison;
    graph_enter_layer(graph, "instance_norm", desc->name);
    if (has_rank(graph, "instance_norm", x, 3, "[N,…,C]")) {
        struct affine affine = layer_affine(graph, desc, VKG_SHAPE(channels_of(x)));
        y = vkg_instance_normalization(graph, x, affine.weight, affine.bias, epsilon_of(desc));
    }
    graph_leave_layer(graph);
    return y;
}

vkg_tensor *vkg_layer_norm(vkg_graph *graph, vkg_tensor *x, const vkg_norm_desc *desc)
{
    vkg_tensor *y = graph->poison;
    graph_enter_layer(graph, "layer_norm", desc->name);
    if (has_rank(graph, "layer_norm", x, 2, "[N,…,C]")) {
        vkg_shape shape = {.rank = x->shape.rank - 1};
        for (uint32_t i = 0; i < shape.rank; i++)
            shape.dims[i] = x->shape.dims[i + 1];
        uint32_t axes = ((1u << x->shape.rank) - 1) & ~1u;
        if (desc->channels_only)
            shape = VKG_SHAPE(channels_of(x)), axes = 1u << (x->shape.rank - 1);
        struct affine affine = layer_affine(graph, desc, shape);
        y = vkg_layer_normalization(graph, x, axes, affine.weight, affine.bias, epsilon_of(desc));
    }
    graph_leave_layer(graph);
    return y;
}

/* --- parameters of channels and of classes --- */

vkg_tensor *vkg_prelu_layer(vkg_graph *graph, vkg_tensor *x, const char *name)
{
    vkg_tensor *y = graph->poison;
    graph_enter_layer(graph, "prelu_layer", name);
    if (has_rank(graph, "prelu_layer", x, 1, "[…,C]"))
        y = vkg_prelu(graph, x, layer_parameter(graph, name, "weight", VKG_SHAPE(channels_of(x)),
                                                (vkg_init){VKG_INIT_CONSTANT, 0.25f, 0}));
    graph_leave_layer(graph);
    return y;
}

vkg_tensor *vkg_embedding_layer(vkg_graph *graph, vkg_tensor *index, const vkg_embedding_desc *desc)
{
    vkg_tensor *y = graph->poison;
    graph_enter_layer(graph, "embedding_layer", desc->name);
    if (desc->classes == 0 || desc->out == 0) {
        graph_fail(graph, "embedding_layer: classes (%u) and out (%u) must be at least 1", desc->classes, desc->out);
    } else {
        vkg_init start = {VKG_INIT_NORMAL, 0, desc->init_std != 0 ? desc->init_std : 1};
        vkg_tensor *weight = layer_parameter(graph, desc->name, "weight", VKG_SHAPE(desc->classes, desc->out), start);
        y = vkg_embedding(graph, weight, index);
    }
    graph_leave_layer(graph);
    return y;
}
