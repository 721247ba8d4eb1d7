/* Layers of products: convolution and linear. */
#include "ops/layer.h"

#include <math.h>
#include <stdio.h>

/* --- weights --- */

/* A weight as the layer declares it. */
struct weight {
    const char *layer;
    const vkg_weight_desc *desc;
    vkg_shape shape;
    const uint32_t *torch_axes;
    uint32_t in_axis, out_axis; /* which of its axes count channels of the input and of the output */
    uint64_t fan_in;            /* how many products an output is the sum of */
    float init_std;
};

static vkg_init weight_init(const struct weight *w)
{
    if (w->desc->form == VKG_WEIGHT_EQUALIZED)
        return (vkg_init){VKG_INIT_NORMAL, 0, 1 / (w->desc->lr_multiplier != 0 ? w->desc->lr_multiplier : 1)};
    return w->desc->init ? *w->desc->init : (vkg_init){VKG_INIT_NORMAL, 0, w->init_std != 0 ? w->init_std : 0.02f};
}

/* A layer that is called again must be given what it was given before. */
static bool channels_fit(vkg_graph *graph, const char *call, const struct weight *w, const char *name, const vkg_tensor *x)
{
    char full_name[256];
    snprintf(full_name, sizeof full_name, "%s.%s", w->layer ? w->layer : "", name);
    const struct declaration *known = graph_find_declaration(graph, full_name);
    bool fit = !known || known->shape.rank != w->shape.rank ||
               known->shape.dims[w->in_axis] == w->shape.dims[w->in_axis];
    if (!fit) {
        uint32_t channels = x->shape.dims[x->shape.rank - 1], groups = channels / w->shape.dims[w->in_axis];
        graph_fail(graph, "%s: input has %u channels in %s, weight expects %u", call, channels, SHAPE(&x->shape),
                   known->shape.dims[w->in_axis] * groups);
    }
    return fit;
}

static vkg_tensor *layer_weight(vkg_graph *graph, const char *call, const struct weight *w, const vkg_tensor *x)
{
    bool spectral = w->desc->form == VKG_WEIGHT_SPECTRAL;
    const char *name = spectral ? "weight_orig" : "weight";
    if (!channels_fit(graph, call, w, name, x))
        return graph->poison;
    vkg_tensor *weight = layer_tensor(graph, w->layer, (struct declaration_desc){
        .name = name, .shape = w->shape, .init = weight_init(w), .trained = true, .torch_axes = w->torch_axes});
    if (spectral)
        return vkg_spectral_norm(graph, w->layer, weight, w->out_axis, 0, w->desc->evaluation);
    if (w->desc->form != VKG_WEIGHT_EQUALIZED || weight->poisoned)
        return weight;
    float multiplier = w->desc->lr_multiplier != 0 ? w->desc->lr_multiplier : 1;
    return vkg_affine(graph, weight, multiplier / sqrtf((float)w->fan_in), 0);
}

static vkg_tensor *add_bias(vkg_graph *graph, vkg_tensor *y, const char *layer, const vkg_weight_desc *desc, bool has_bias,
                            float start)
{
    if (!has_bias || y->poisoned)
        return y;
    vkg_tensor *bias = layer_tensor(graph, layer, (struct declaration_desc){
        .name = "bias", .shape = VKG_SHAPE(y->shape.dims[y->shape.rank - 1]), .init = {VKG_INIT_CONSTANT, start, 0},
        .trained = true});
    if (desc->form == VKG_WEIGHT_EQUALIZED && desc->lr_multiplier != 0)
        bias = vkg_affine(graph, bias, desc->lr_multiplier, 0);
    return vkg_add(graph, y, bias);
}

/* --- convolutions: the same number in every spatial dimension --- */

static vkg_conv_geometry conv_geometry(const vkg_conv_desc *desc)
{
    vkg_conv_geometry geometry = {.groups = desc->groups};
    for (uint32_t i = 0; i < 3; i++)
        geometry.stride[i] = desc->stride, geometry.padding[i] = desc->pad, geometry.dilation[i] = desc->dilation;
    return geometry;
}

/* PyTorch counts channels first, ours lie last: the axes [k…,a,b] here are [b,a,k…] there, for both kinds of
 * convolution. inner, outer: how long the last two axes are. */
static vkg_tensor *conv_weight(vkg_graph *graph, const char *call, const vkg_tensor *x, const vkg_conv_desc *desc,
                               uint32_t inner, uint32_t outer, bool transposed)
{
    const uint32_t rank = x->shape.rank;
    uint32_t torch_axes[VKG_MAX_RANK] = {rank - 1, rank - 2};
    struct weight w = {.layer = desc->name, .desc = &desc->weight, .shape.rank = rank, .torch_axes = torch_axes,
                       .in_axis = transposed ? rank - 1 : rank - 2, .out_axis = transposed ? rank - 2 : rank - 1,
                       .init_std = desc->init_std};
    for (uint32_t i = 0; i < VKG_MAX_RANK - 2; i++)
        torch_axes[2 + i] = i + 2 < rank ? i : i + 2;
    for (uint32_t i = 0; i + 2 < rank; i++)
        w.shape.dims[i] = desc->kernel;
    w.shape.dims[rank - 2] = inner;
    w.shape.dims[rank - 1] = outer;
    w.fan_in = shape_elements(&w.shape) / w.shape.dims[w.out_axis] / (transposed && desc->groups ? desc->groups : 1);
    return layer_weight(graph, call, &w, x);
}

/* `channels`: of the tensor that the weight's last axis does not count. */
static bool conv_desc_is_valid(vkg_graph *graph, const char *call, const vkg_tensor *x, uint32_t rank,
                               const vkg_conv_desc *desc, uint32_t channels)
{
    static const char *const expected[] = {[3] = "[N, L, C]", [4] = "[N, H, W, C]", [5] = "[N, D, H, W, C]"};
    const uint32_t groups = desc->groups ? desc->groups : 1;
    if (x->shape.rank != rank || !desc->out || !desc->kernel)
        graph_fail(graph, "%s: input %s must be %s; out (%u) and kernel (%u) at least 1", call, SHAPE(&x->shape),
                   expected[rank], desc->out, desc->kernel);
    else if (channels % groups != 0)
        graph_fail(graph, "%s: %u channels (input %s, out %u) are not a multiple of %u groups", call, channels,
                   SHAPE(&x->shape), desc->out, groups);
    else
        return true;
    return false;
}

static vkg_tensor *conv_layer(vkg_graph *graph, const char *call, vkg_tensor *x, uint32_t rank,
                              const vkg_conv_desc *desc)
{
    const uint32_t channels = x->shape.dims[rank - 1], groups = desc->groups ? desc->groups : 1;
    if (!conv_desc_is_valid(graph, call, x, rank, desc, channels))
        return graph->poison;
    if (desc->output_padding)
        return graph_fail(graph, "%s: output_padding (%u) is for transposed convolutions", call, desc->output_padding);
    vkg_tensor *weight = conv_weight(graph, call, x, desc, channels / groups, desc->out, false);
    vkg_tensor *y = vkg_convolution(graph, x, weight, conv_geometry(desc));
    return add_bias(graph, y, desc->name, &desc->weight, desc->bias, 0);
}

/* Of the result of a transposed convolution; `behind`: zeros to be put behind each spatial dimension of x. */
struct transposed_size {
    uint32_t size[3], behind;
};

/* The result's size, (H − 1)·stride − 2·pad + dilation·(kernel − 1) + 1 + output_padding. An output_padding of a whole
 * stride or more, which a larger dilation allows, is what x with zeros behind it makes. */
static bool transposed_size(vkg_graph *graph, const char *call, const vkg_tensor *x, const vkg_conv_desc *desc,
                            struct transposed_size *result)
{
    const uint32_t stride = desc->stride ? desc->stride : 1, dilation = desc->dilation ? desc->dilation : 1;
    bool fits = desc->output_padding < stride || desc->output_padding < dilation;
    result->behind = desc->output_padding / stride;
    for (uint32_t i = 0; fits && i + 2 < x->shape.rank; i++) {
        uint64_t full = ((uint64_t)x->shape.dims[1 + i] - 1) * stride + (uint64_t)dilation * (desc->kernel - 1) + 1 +
                        desc->output_padding;
        fits = full > 2 * (uint64_t)desc->pad && full <= INT32_MAX;
        result->size[i] = (uint32_t)(full - 2 * (uint64_t)desc->pad);
    }
    if (!fits)
        graph_fail(graph, "%s: input %s, kernel %u, stride %u, pad %u, dilation %u, output_padding %u (which must be "
                          "under the stride or the dilation) leave no output", call, SHAPE(&x->shape), desc->kernel,
                   stride, desc->pad, dilation, desc->output_padding);
    return fits;
}

static vkg_tensor *conv_transpose_layer(vkg_graph *graph, const char *call, vkg_tensor *x, uint32_t rank,
                                        const vkg_conv_desc *desc)
{
    struct transposed_size size;
    if (!conv_desc_is_valid(graph, call, x, rank, desc, desc->out) || !transposed_size(graph, call, x, desc, &size))
        return graph->poison;
    vkg_tensor *weight = conv_weight(graph, call, x, desc, desc->out / (desc->groups ? desc->groups : 1),
                                     x->shape.dims[rank - 1], true);
    for (uint32_t i = 1; size.behind && i + 1 < rank; i++)
        x = vkg_pad(graph, x, i, 0, (int32_t)size.behind, VKG_PAD_CONSTANT, 0);
    vkg_tensor *y = vkg_convolution_input_gradient(graph, x, weight, conv_geometry(desc), size.size);
    return add_bias(graph, y, desc->name, &desc->weight, desc->bias, 0);
}

#define CONV_LAYER(call, layer, rank)                                                                        \
    vkg_tensor *vkg_##call(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc)                       \
    {                                                                                                        \
        if (x->poisoned)                                                                                     \
            return x;                                                                                        \
        graph_enter_layer(graph, #call, desc->name);                                                         \
        vkg_tensor *y = layer(graph, #call, x, rank, desc);                                                  \
        graph_leave_layer(graph);                                                                            \
        return y;                                                                                            \
    }
CONV_LAYER(conv1d, conv_layer, 3)
CONV_LAYER(conv2d, conv_layer, 4)
CONV_LAYER(conv3d, conv_layer, 5)
CONV_LAYER(conv_transpose1d, conv_transpose_layer, 3)
CONV_LAYER(conv_transpose2d, conv_transpose_layer, 4)
CONV_LAYER(conv_transpose3d, conv_transpose_layer, 5)

/* --- linear --- */

static vkg_tensor *linear_layer(vkg_graph *graph, vkg_tensor *x, const vkg_linear_desc *desc)
{
    if (x->shape.rank < 2 || desc->out == 0)
        return graph_fail(graph, "linear: input %s must be [N,…,C], and out (%u) at least 1", SHAPE(&x->shape), desc->out);
    const struct weight w = {.layer = desc->name, .desc = &desc->weight, .in_axis = 0, .out_axis = 1,
                             .shape = VKG_SHAPE(x->shape.dims[x->shape.rank - 1], desc->out),
                             .torch_axes = (const uint32_t[VKG_MAX_RANK]){1, 0, 2, 3, 4, 5}, .init_std = desc->init_std,
                             .fan_in = x->shape.dims[x->shape.rank - 1]};
    vkg_tensor *weight = layer_weight(graph, "linear", &w, x);
    return add_bias(graph, vkg_matmul(graph, x, weight, false, false), desc->name, &desc->weight, desc->bias,
                    desc->bias_init);
}

vkg_tensor *vkg_linear(vkg_graph *graph, vkg_tensor *x, const vkg_linear_desc *desc)
{
    if (x->poisoned)
        return x;
    graph_enter_layer(graph, "linear", desc->name);
    vkg_tensor *y = linear_layer(graph, x, desc);
    graph_leave_layer(graph);
    return y;
}
