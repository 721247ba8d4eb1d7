/* Convolutions of one and of three dimensions as two-dimensional ones. A line is an image of height 1. Of a volume,
 * the slices that the kernel's depth meets are laid side by side as channels, so that one image convolution sums over
 * depth and channels alike; memory for x grows by the kernel's depth. */
#include "ops/convolution.h"

struct conv_problem conv_plane_problem(const struct conv_space *s)
{
    return (struct conv_problem){
        .n = s->n * s->out[0], .ih = s->in[1], .iw = s->in[2], .ci = s->kernel[0] * s->ci,
        .oh = s->out[1], .ow = s->out[2], .co = s->co, .kh = s->kernel[1], .kw = s->kernel[2],
        .sh = s->stride[1], .sw = s->stride[2], .ph = s->padding[1], .pw = s->padding[2],
        .dh = s->dilation[1], .dw = s->dilation[2], .groups = s->groups};
}

static vkg_shape space_shape(const struct conv_space *s, enum conv_operand operand)
{
    const uint32_t *sizes = operand == CONV_X ? s->in : operand == CONV_Y ? s->out : s->kernel;
    vkg_shape shape = {0};
    if (operand != CONV_W)
        shape.dims[shape.rank++] = s->n;
    for (uint32_t i = 3 - s->rank; i < 3; i++)
        shape.dims[shape.rank++] = sizes[i];
    if (operand == CONV_W)
        shape.dims[shape.rank++] = s->ci;
    shape.dims[shape.rank++] = s->groups * (operand == CONV_X ? s->ci : s->co);
    return shape;
}

/* Does each slice of y see one slice of x, its own? */
static bool is_plane(const struct conv_space *s)
{
    return s->kernel[0] == 1 && s->stride[0] == 1 && s->padding[0] == 0;
}

/* Every element from its own place. */
static const struct rearrangement stay = {
    {{0, 1, 0, 1}, {1, 1, 0, 1}, {2, 1, 0, 1}, {3, 1, 0, 1}, {4, 1, 0, 1}, {5, 1, 0, 1}}};

/* Slice o of tap k is x's slice o · stride + k · dilation − padding: [n, d, h·w, groups, 1, ci] to
 * [n, out, h·w, groups, kernel, ci], a group's channels staying together. */
static vkg_tensor *unfold_depth(vkg_graph *graph, const struct conv_space *s, vkg_tensor *x)
{
    const uint32_t plane = s->in[1] * s->in[2], taps = s->kernel[0];
    vkg_tensor *sum = NULL;
    x = vkg_reshape(graph, x, VKG_SHAPE(s->n, s->in[0], plane, s->groups, 1, s->ci));
    for (uint32_t k = 0; k < taps; k++) {
        struct rearrangement r = stay;
        r.axes[1].mul = (int32_t)s->stride[0];
        r.axes[1].add = (int32_t)(k * s->dilation[0]) - (int32_t)s->padding[0];
        r.axes[4].add = -(int32_t)k;
        vkg_tensor *tap = rearrange(graph, x, VKG_SHAPE(s->n, s->out[0], plane, s->groups, taps, s->ci), &r);
        sum = sum ? vkg_add(graph, sum, tap) : tap;
    }
    return sum;
}

/* Its transpose: slice d gets tap k of slice (d + padding − k · dilation)/stride. */
static vkg_tensor *fold_depth(vkg_graph *graph, const struct conv_space *s, vkg_tensor *x)
{
    const uint32_t plane = s->in[1] * s->in[2], taps = s->kernel[0];
    vkg_tensor *sum = NULL;
    x = vkg_reshape(graph, x, VKG_SHAPE(s->n, s->out[0], plane, s->groups, taps, s->ci));
    for (uint32_t k = 0; k < taps; k++) {
        struct rearrangement r = stay;
        r.axes[1].add = (int32_t)s->padding[0] - (int32_t)(k * s->dilation[0]);
        r.axes[1].div = (int32_t)s->stride[0];
        r.axes[4].add = (int32_t)k;
        vkg_tensor *tap = rearrange(graph, x, VKG_SHAPE(s->n, s->in[0], plane, s->groups, 1, s->ci), &r);
        sum = sum ? vkg_add(graph, sum, tap) : tap;
    }
    return sum;
}

vkg_tensor *conv_to_plane(vkg_graph *graph, const struct conv_space *s, enum conv_operand operand, vkg_tensor *a)
{
    const struct conv_problem p = conv_plane_problem(s);
    if (operand == CONV_Y)
        return vkg_reshape(graph, a, VKG_SHAPE(p.n, p.oh, p.ow, p.groups * p.co));
    if (operand == CONV_W) {
        if (s->kernel[0] > 1)
            a = vkg_permute(graph, a, (const uint32_t[]){1, 2, 0, 3, 4});
        return vkg_reshape(graph, a, VKG_SHAPE(p.kh, p.kw, p.ci, p.groups * p.co));
    }
    if (!is_plane(s))
        a = unfold_depth(graph, s, a);
    return vkg_reshape(graph, a, VKG_SHAPE(p.n, p.ih, p.iw, p.groups * p.ci));
}

vkg_tensor *conv_from_plane(vkg_graph *graph, const struct conv_space *s, enum conv_operand operand, vkg_tensor *a)
{
    if (operand == CONV_W && s->kernel[0] > 1) {
        vkg_shape taps = VKG_SHAPE(s->kernel[1], s->kernel[2], s->kernel[0], s->ci, s->groups * s->co);
        a = vkg_permute(graph, vkg_reshape(graph, a, taps), (const uint32_t[]){2, 0, 1, 3, 4});
    }
    if (operand == CONV_X && !is_plane(s))
        a = fold_depth(graph, s, a);
    return vkg_reshape(graph, a, space_shape(s, operand));
}
