/* Convolution, its input gradient and its weight gradient: three operations whose gradients are one another.
 * Matrix products are 1×1 convolutions of one-pixel images, so they need no kernels of their own. */
#include <string.h>

#include "ops/ops.h"

#include "kernels/convolution.h"
#include "kernels/lowering.h"

static vkg_conv_geometry geometry_of(const struct conv_problem *p)
{
    return (vkg_conv_geometry){.stride = {p->sh, p->sw}, .padding = {p->ph, p->pw}, .dilation = {p->dh, p->dw}};
}

/* Fills stride, padding and dilation with their defaults. */
static struct conv_problem problem_from(vkg_conv_geometry g)
{
    return (struct conv_problem){
        .sh = g.stride[0] ? g.stride[0] : 1, .sw = g.stride[1] ? g.stride[1] : 1,
        .ph = g.padding[0], .pw = g.padding[1],
        .dh = g.dilation[0] ? g.dilation[0] : 1, .dw = g.dilation[1] ? g.dilation[1] : 1,
    };
}

/* The output size along one dimension, or 0 where the kernel does not fit into the padded input. */
static uint32_t output_size(uint32_t input, uint32_t kernel, uint32_t stride, uint32_t pad, uint32_t dilation)
{
    uint64_t extent = (uint64_t)dilation * (kernel - 1) + 1, padded = input + 2 * (uint64_t)pad;
    return padded < extent ? 0 : (uint32_t)((padded - extent) / stride + 1);
}

static bool output_sizes_agree(const struct conv_problem *p)
{
    return p->oh && p->ow && output_size(p->ih, p->kh, p->sh, p->ph, p->dh) == p->oh &&
           output_size(p->iw, p->kw, p->sw, p->pw, p->dw) == p->ow;
}

static void convolution_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                                 vkg_tensor **gradients)
{
    const struct conv_problem *p = &node->attributes.conv;
    if (wanted[0])
        gradients[0] = vkg_convolution_input_gradient(graph, dy, node->inputs[1], geometry_of(p), p->ih, p->iw);
    if (wanted[1])
        gradients[1] = vkg_convolution_weight_gradient(graph, node->inputs[0], dy, geometry_of(p), p->kh, p->kw);
}

static void input_gradient_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                                    vkg_tensor **gradients)
{
    const struct conv_problem *p = &node->attributes.conv;
    if (wanted[0])
        gradients[0] = vkg_convolution(graph, dy, node->inputs[1], geometry_of(p));
    if (wanted[1])
        gradients[1] = vkg_convolution_weight_gradient(graph, dy, node->inputs[0], geometry_of(p), p->kh, p->kw);
}

static void weight_gradient_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dw, const bool *wanted,
                                     vkg_tensor **gradients)
{
    const struct conv_problem *p = &node->attributes.conv;
    if (wanted[0])
        gradients[0] = vkg_convolution_input_gradient(graph, node->inputs[1], dw, geometry_of(p), p->ih, p->iw);
    if (wanted[1])
        gradients[1] = vkg_convolution(graph, node->inputs[0], dw, geometry_of(p));
}

static vkg_result lower_convolution(struct lowering *lowering, const vkg_tensor *node, enum conv_direction direction)
{
    struct conv_plan plan;
    const vkg_device_caps *caps = &lowering->device->caps;
    vkg_result result = conv_plan_build(caps, direction, &node->attributes.conv, &plan);
    if (result != VKG_OK)
        return vkg_fail(&lowering->device->log, result, "%s of shape %s: no kernel can run it on %s", node->op->name,
                        SHAPE(&node->shape), caps->name);
    struct dispatch *dispatch = lowering_add_dispatch(lowering, plan.step.shader, shader_find(plan.step.shader));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    for (uint32_t i = 0; i < 2 && result == VKG_OK; i++)
        result = lowering_bind_tensor(lowering, dispatch, node->inputs[i], plan.step.formats[i], true, false);
    memcpy(dispatch->groups, plan.step.groups, sizeof plan.step.groups);
    dispatch->constants[dispatch->constant_count++] = plan.step.workgroup;
    dispatch->flops = plan.flops;
    dispatch_push(dispatch, &plan.push, sizeof plan.push);
    if (result != VKG_OK || plan.push.split == 1)
        return result == VKG_OK ? lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, false, true) : result;
    struct partial_results sum = {.outer = 1, .parts = plan.push.split, .inner = shape_elements(&node->shape)};
    result = lowering_add_storage(lowering, STORAGE_TEMPORARY, sum.parts * sum.inner * 4, &sum.at.storage);
    if (result != VKG_OK)
        return result;
    dispatch_bind(dispatch, sum.at, sum.parts * sum.inner * 4, FORMAT_STORAGE, false, true);
    return lowering_reduce_parts(lowering, &sum, node);
}

static vkg_result lower_forward(struct lowering *lowering, const vkg_tensor *node)
{
    return lower_convolution(lowering, node, CONV_FORWARD);
}

static vkg_result lower_input_gradient(struct lowering *lowering, const vkg_tensor *node)
{
    return lower_convolution(lowering, node, CONV_INPUT_GRAD);
}

static vkg_result lower_weight_gradient(struct lowering *lowering, const vkg_tensor *node)
{
    return lower_convolution(lowering, node, CONV_WEIGHT_GRAD);
}

static const struct op op_convolution = {
    .name = "convolution", .doc = "y[n,oh,ow,co] = Σ x[n, oh·s − p + kh·d, ow·s − p + kw·d, ci] · w[kh,kw,ci,co]",
    .kind = OP_KERNEL, .gradient = convolution_gradient, .lower = lower_forward};
static const struct op op_convolution_input_gradient = {
    .name = "convolution_input_gradient", .doc = "the gradient of convolution with respect to x",
    .kind = OP_KERNEL, .gradient = input_gradient_gradient, .lower = lower_input_gradient};
static const struct op op_convolution_weight_gradient = {
    .name = "convolution_weight_gradient", .doc = "the gradient of convolution with respect to w",
    .kind = OP_KERNEL, .gradient = weight_gradient_gradient, .lower = lower_weight_gradient};

static vkg_tensor *add_convolution(vkg_graph *graph, const struct op *op, vkg_tensor *a, vkg_tensor *b,
                                   vkg_shape shape, const struct conv_problem *problem)
{
    return graph_add_node(graph, &(struct node_desc){.op = op, .shape = shape, .input_count = 2,
                                                     .inputs = (vkg_tensor *[]){a, b}, .attributes.conv = *problem});
}

static bool ranks_are_4(vkg_graph *graph, const char *call, const vkg_tensor *a, const char *a_name,
                        const vkg_tensor *b, const char *b_name)
{
    if (a->poisoned || b->poisoned)
        return false;
    if (a->shape.rank == 4 && b->shape.rank == 4)
        return true;
    graph_fail(graph, "%s: %s %s and %s %s must both have 4 dimensions", call, a_name, SHAPE(&a->shape), b_name,
               SHAPE(&b->shape));
    return false;
}

vkg_tensor *vkg_convolution(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_conv_geometry geometry)
{
    if (!ranks_are_4(graph, "vkg_convolution", x, "x", weight, "weight"))
        return graph->poison;
    const uint32_t *xd = x->shape.dims, *wd = weight->shape.dims;
    struct conv_problem p = problem_from(geometry);
    p.n = xd[0], p.ih = xd[1], p.iw = xd[2], p.ci = xd[3], p.kh = wd[0], p.kw = wd[1], p.co = wd[3];
    p.oh = output_size(p.ih, p.kh, p.sh, p.ph, p.dh);
    p.ow = output_size(p.iw, p.kw, p.sw, p.pw, p.dw);
    if (wd[2] != p.ci)
        return graph_fail(graph, "convolution: x %s has %u channels, weight %s takes %u", SHAPE(&x->shape), p.ci,
                          SHAPE(&weight->shape), wd[2]);
    if (!p.oh || !p.ow)
        return graph_fail(graph, "convolution: the kernel of weight %s is larger than x %s with padding [%u, %u]",
                          SHAPE(&weight->shape), SHAPE(&x->shape), p.ph, p.pw);
    return add_convolution(graph, &op_convolution, x, weight, VKG_SHAPE(p.n, p.oh, p.ow, p.co), &p);
}

vkg_tensor *vkg_convolution_input_gradient(vkg_graph *graph, vkg_tensor *y, vkg_tensor *weight,
                                           vkg_conv_geometry geometry, uint32_t height, uint32_t width)
{
    if (!ranks_are_4(graph, "vkg_convolution_input_gradient", y, "y", weight, "weight"))
        return graph->poison;
    const uint32_t *yd = y->shape.dims, *wd = weight->shape.dims;
    struct conv_problem p = problem_from(geometry);
    p.n = yd[0], p.oh = yd[1], p.ow = yd[2], p.co = yd[3], p.kh = wd[0], p.kw = wd[1], p.ci = wd[2];
    p.ih = height, p.iw = width;
    if (wd[3] != p.co)
        return graph_fail(graph, "convolution_input_gradient: y %s has %u channels, weight %s gives %u",
                          SHAPE(&y->shape), p.co, SHAPE(&weight->shape), wd[3]);
    if (!output_sizes_agree(&p))
        return graph_fail(graph, "convolution_input_gradient: y %s is not what weight %s makes of [%u, %u] "
                                 "(stride [%u, %u], padding [%u, %u])",
                          SHAPE(&y->shape), SHAPE(&weight->shape), height, width, p.sh, p.sw, p.ph, p.pw);
    return add_convolution(graph, &op_convolution_input_gradient, y, weight, VKG_SHAPE(p.n, p.ih, p.iw, p.ci), &p);
}

vkg_tensor *vkg_convolution_weight_gradient(vkg_graph *graph, vkg_tensor *x, vkg_tensor *y,
                                            vkg_conv_geometry geometry, uint32_t kh, uint32_t kw)
{
    if (!ranks_are_4(graph, "vkg_convolution_weight_gradient", x, "x", y, "y"))
        return graph->poison;
    const uint32_t *xd = x->shape.dims, *yd = y->shape.dims;
    struct conv_problem p = problem_from(geometry);
    p.n = xd[0], p.ih = xd[1], p.iw = xd[2], p.ci = xd[3], p.oh = yd[1], p.ow = yd[2], p.co = yd[3];
    p.kh = kh, p.kw = kw;
    if (xd[0] != yd[0] || !output_sizes_agree(&p))
        return graph_fail(graph, "convolution_weight_gradient: y %s is not what a kernel of [%u, %u] makes of "
                                 "x %s (stride [%u, %u], padding [%u, %u])",
                          SHAPE(&y->shape), kh, kw, SHAPE(&x->shape), p.sh, p.sw, p.ph, p.pw);
    return add_convolution(graph, &op_convolution_weight_gradient, x, y, VKG_SHAPE(kh, kw, p.ci, p.co), &p);
}

vkg_tensor *vkg_matmul(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, bool transpose_a, bool transpose_b)
{
    if (a->poisoned || b->poisoned)
        return graph->poison;
    if (a->shape.rank != 2 || b->shape.rank != 2 || (transpose_a && transpose_b))
        return graph_fail(graph, "matmul: a %s and b %s must have 2 dimensions, and at most one be transposed",
                          SHAPE(&a->shape), SHAPE(&b->shape));
    const uint32_t *ad = a->shape.dims, *bd = b->shape.dims;
    uint32_t m = ad[transpose_a ? 1 : 0], k = ad[transpose_a ? 0 : 1], n = bd[transpose_b ? 0 : 1];
    if (k != bd[transpose_b ? 1 : 0])
        return graph_fail(graph, "matmul: inner dimensions of a %s%s and b %s%s differ", SHAPE(&a->shape),
                          transpose_a ? " transposed" : "", SHAPE(&b->shape), transpose_b ? " transposed" : "");
    const vkg_conv_geometry one = {0};
    vkg_tensor *product;
    if (transpose_a)
        product = vkg_convolution_weight_gradient(graph, vkg_reshape(graph, a, VKG_SHAPE(k, 1, 1, m)),
                                                  vkg_reshape(graph, b, VKG_SHAPE(k, 1, 1, n)), one, 1, 1);
    else if (transpose_b)
        product = vkg_convolution_input_gradient(graph, vkg_reshape(graph, a, VKG_SHAPE(m, 1, 1, k)),
                                                 vkg_reshape(graph, b, VKG_SHAPE(1, 1, n, k)), one, 1, 1);
    else
        product = vkg_convolution(graph, vkg_reshape(graph, a, VKG_SHAPE(m, 1, 1, k)),
                                  vkg_reshape(graph, b, VKG_SHAPE(1, 1, k, n)), one);
    return vkg_reshape(graph, product, VKG_SHAPE(m, n));
}
