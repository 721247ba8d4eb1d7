/* Layers of products: convolution and linear. */
#include "ops/layer.h"

static vkg_init weight_init(float init_std)
{
    return (vkg_init){VKG_INIT_NORMAL, 0, init_std != 0 ? init_std : 0.02f};
}

static vkg_tensor *add_bias(vkg_graph *graph, vkg_tensor *y, const char *layer, bool bias)
{
    if (!bias || y->poisoned)
        return y;
    uint32_t channels = y->shape.dims[y->shape.rank - 1];
    return vkg_add(graph, y, layer_tensor(graph, layer, (struct declaration_desc){
        .name = "bias", .shape = VKG_SHAPE(channels), .init = {VKG_INIT_CONSTANT, 0, 0}, .trained = true}));
}

static vkg_conv_geometry square_geometry(const vkg_conv_desc *desc)
{
    return (vkg_conv_geometry){.stride = {desc->stride, desc->stride}, .padding = {desc->pad, desc->pad}};
}

static bool conv_desc_is_valid(vkg_graph *graph, const char *call, const vkg_tensor *x, const vkg_conv_desc *desc)
{
    if (x->poisoned)
        return false;
    if (x->shape.rank == 4 && desc->out && desc->kernel)
        return true;
    graph_fail(graph, "%s \"%s\": x %s must be [N, H, W, C]; out (%u) and kernel (%u) at least 1", call,
               desc->name ? desc->name : "", SHAPE(&x->shape), desc->out, desc->kernel);
    return false;
}

/* [kh,kw,a,b] here is [b,a,kh,kw] in PyTorch, for both kinds of convolution. */
static vkg_tensor *conv_weight(vkg_graph *graph, const vkg_conv_desc *desc, uint32_t in, uint32_t out)
{
    return layer_tensor(graph, desc->name, (struct declaration_desc){
        .name = "weight", .shape = VKG_SHAPE(desc->kernel, desc->kernel, in, out), .init = weight_init(desc->init_std),
        .trained = true, .torch_axes = (uint32_t[VKG_MAX_RANK]){3, 2, 0, 1, 4, 5}});
}

vkg_tensor *vkg_conv2d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc)
{
    if (!conv_desc_is_valid(graph, "vkg_conv2d", x, desc))
        return graph->poison;
    if (desc->output_padding)
        return graph_fail(graph, "conv2d \"%s\": output_padding (%u) is for transposed convolutions", desc->name,
                          desc->output_padding);
    vkg_tensor *weight = conv_weight(graph, desc, x->shape.dims[3], desc->out);
    vkg_tensor *y = vkg_convolution(graph, x, weight, square_geometry(desc));
    return add_bias(graph, y, desc->name, desc->bias);
}

vkg_tensor *vkg_conv_transpose2d(vkg_graph *graph, vkg_tensor *x, const vkg_conv_desc *desc)
{
    if (!conv_desc_is_valid(graph, "vkg_conv_transpose2d", x, desc))
        return graph->poison;
    uint32_t stride = desc->stride ? desc->stride : 1, size[2];
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t full = ((uint64_t)x->shape.dims[1 + i] - 1) * stride + desc->kernel + desc->output_padding;
        if (full <= 2 * (uint64_t)desc->pad || full > INT32_MAX || desc->output_padding >= stride)
            return graph_fail(graph, "conv_transpose2d \"%s\": x %s, kernel %u, stride %u, pad %u, output_padding %u "
                                     "(which must be under the stride) leave no output",
                              desc->name, SHAPE(&x->shape), desc->kernel, stride, desc->pad, desc->output_padding);
        size[i] = (uint32_t)(full - 2 * (uint64_t)desc->pad);
    }
    vkg_tensor *weight = conv_weight(graph, desc, desc->out, x->shape.dims[3]);
    vkg_tensor *y = vkg_convolution_input_gradient(graph, x, weight, square_geometry(desc), size[0], size[1]);
    return add_bias(graph, y, desc->name, desc->bias);
}

vkg_tensor *vkg_linear(vkg_graph *graph, vkg_tensor *x, const vkg_linear_desc *desc)
{
    if (x->poisoned)
        return x;
    if (x->shape.rank != 2 || desc->out == 0)
        return graph_fail(graph, "linear \"%s\": x %s must be [N, C], and out (%u) at least 1",
                          desc->name ? desc->name : "", SHAPE(&x->shape), desc->out);
    vkg_tensor *weight = layer_tensor(graph, desc->name, (struct declaration_desc){
        .name = "weight", .shape = VKG_SHAPE(x->shape.dims[1], desc->out), .init = weight_init(desc->init_std),
        .trained = true, .torch_axes = (uint32_t[VKG_MAX_RANK]){1, 0, 2, 3, 4, 5}});
    return add_bias(graph, vkg_matmul(graph, x, weight, false, false), desc->name, desc->bias);
}
