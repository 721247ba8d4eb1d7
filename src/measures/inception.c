/* Inception v3 (Szegedy et al. 2016) as the Fréchet Inception Distance takes it: up to the average over places, 2048 features,
 * with the names that torchvision and pytorch-fid give the weights. The original, TensorFlow's of 2015, differs from
 * torchvision's in its pooling: averages leave the padding out, and the last block takes the greatest element. */
#include "graph/graph.h"
#include "measures/measures.h"
#include "vkgan/layers.h"
#include "vkgan/resample.h"

enum { SIZE = 299 };

/* A convolution without bias, batch normalisation, relu. Zeroes mean a kernel and a stride of 1, and no padding. */
struct unit {
    const char *name;
    uint32_t out, height, width; /* of the kernel */
    uint32_t stride, pad_height, pad_width;
};

static uint32_t or_one(uint32_t x)
{
    return x ? x : 1;
}

static vkg_tensor *apply(vkg_graph *graph, vkg_tensor *x, struct unit unit)
{
    if (x->poisoned)
        return x;
    const vkg_shape shape = {.rank = 4, .dims = {or_one(unit.height), or_one(unit.width), x->shape.dims[3], unit.out}};
    vkg_graph_enter(graph, unit.name);
    vkg_tensor *weight = graph_declare(graph, &(struct declaration_desc){
        .name = "conv.weight", .shape = shape, .trained = true, .torch_axes = (const uint32_t[VKG_MAX_RANK]){3, 2, 0, 1, 4, 5}});
    x = vkg_convolution(graph, x, weight, (vkg_conv_geometry){
        .stride = {or_one(unit.stride), or_one(unit.stride)}, .padding = {unit.pad_height, unit.pad_width}});
    x = vkg_batch_norm(graph, x, &(vkg_batch_norm_desc){.name = "bn", .epsilon = 1e-3f, .init_std = -1, .evaluation = true});
    vkg_graph_leave(graph);
    return vkg_relu(graph, x);
}

/* Units one after the other, up to one without a name. */
static vkg_tensor *chain(vkg_graph *graph, vkg_tensor *x, const struct unit *units)
{
    for (; units->name; units++)
        x = apply(graph, x, *units);
    return x;
}

#define CHAIN(...) chain(graph, x, (const struct unit[]){__VA_ARGS__, {0}})

static vkg_tensor *join(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, vkg_tensor *c, vkg_tensor *d)
{
    vkg_tensor *branches[] = {a, b, c, d};
    return vkg_concat(graph, branches, d ? 4 : 3, 3);
}

static vkg_tensor *pool_average(vkg_graph *graph, vkg_tensor *x)
{
    return vkg_avg_pool(graph, x, &(vkg_pool_desc){.kernel = {3, 3}, .stride = {1, 1}, .padding = {1, 1},
                                                   .exclude_padding = true});
}

static vkg_tensor *pool_greatest(vkg_graph *graph, vkg_tensor *x, uint32_t stride, uint32_t padding)
{
    return vkg_max_pool(graph, x, &(vkg_pool_desc){.kernel = {3, 3}, .stride = {stride, stride}, .padding = {padding, padding}});
}

/* --- the blocks, by what they are called in torchvision --- */

static vkg_tensor *block_a(vkg_graph *graph, vkg_tensor *x, const char *name, uint32_t pool_out)
{
    vkg_graph_enter(graph, name);
    vkg_tensor *one = CHAIN({"branch1x1", 64});
    vkg_tensor *five = CHAIN({"branch5x5_1", 48}, {"branch5x5_2", 64, 5, 5, 1, 2, 2});
    vkg_tensor *three = CHAIN({"branch3x3dbl_1", 64}, {"branch3x3dbl_2", 96, 3, 3, 1, 1, 1},
                              {"branch3x3dbl_3", 96, 3, 3, 1, 1, 1});
    vkg_tensor *pool = apply(graph, pool_average(graph, x), (struct unit){"branch_pool", pool_out});
    vkg_graph_leave(graph);
    return join(graph, one, five, three, pool);
}

static vkg_tensor *block_b(vkg_graph *graph, vkg_tensor *x, const char *name)
{
    vkg_graph_enter(graph, name);
    vkg_tensor *three = CHAIN({"branch3x3", 384, 3, 3, 2});
    vkg_tensor *twice = CHAIN({"branch3x3dbl_1", 64}, {"branch3x3dbl_2", 96, 3, 3, 1, 1, 1}, {"branch3x3dbl_3", 96, 3, 3, 2});
    vkg_graph_leave(graph);
    return join(graph, three, twice, pool_greatest(graph, x, 2, 0), NULL);
}

static vkg_tensor *block_c(vkg_graph *graph, vkg_tensor *x, const char *name, uint32_t narrow)
{
    vkg_graph_enter(graph, name);
    vkg_tensor *one = CHAIN({"branch1x1", 192});
    vkg_tensor *seven = CHAIN({"branch7x7_1", narrow}, {"branch7x7_2", narrow, 1, 7, 1, 0, 3},
                              {"branch7x7_3", 192, 7, 1, 1, 3, 0});
    vkg_tensor *twice = CHAIN({"branch7x7dbl_1", narrow}, {"branch7x7dbl_2", narrow, 7, 1, 1, 3, 0},
                              {"branch7x7dbl_3", narrow, 1, 7, 1, 0, 3}, {"branch7x7dbl_4", narrow, 7, 1, 1, 3, 0},
                              {"branch7x7dbl_5", 192, 1, 7, 1, 0, 3});
    vkg_tensor *pool = apply(graph, pool_average(graph, x), (struct unit){"branch_pool", 192});
    vkg_graph_leave(graph);
    return join(graph, one, seven, twice, pool);
}

static vkg_tensor *block_d(vkg_graph *graph, vkg_tensor *x, const char *name)
{
    vkg_graph_enter(graph, name);
    vkg_tensor *three = CHAIN({"branch3x3_1", 192}, {"branch3x3_2", 320, 3, 3, 2});
    vkg_tensor *seven = CHAIN({"branch7x7x3_1", 192}, {"branch7x7x3_2", 192, 1, 7, 1, 0, 3},
                              {"branch7x7x3_3", 192, 7, 1, 1, 3, 0}, {"branch7x7x3_4", 192, 3, 3, 2});
    vkg_graph_leave(graph);
    return join(graph, three, seven, pool_greatest(graph, x, 2, 0), NULL);
}

/* A row and a column of the same, side by side. */
static vkg_tensor *cross(vkg_graph *graph, vkg_tensor *x, const char *row, const char *column)
{
    vkg_tensor *arms[] = {apply(graph, x, (struct unit){row, 384, 1, 3, 1, 0, 1}),
                          apply(graph, x, (struct unit){column, 384, 3, 1, 1, 1, 0})};
    return vkg_concat(graph, arms, 2, 3);
}

static vkg_tensor *block_e(vkg_graph *graph, vkg_tensor *x, const char *name, bool greatest)
{
    vkg_tensor *pooled = greatest ? pool_greatest(graph, x, 1, 1) : pool_average(graph, x);
    vkg_graph_enter(graph, name);
    vkg_tensor *one = CHAIN({"branch1x1", 320});
    vkg_tensor *three = cross(graph, CHAIN({"branch3x3_1", 384}), "branch3x3_2a", "branch3x3_2b");
    vkg_tensor *twice = CHAIN({"branch3x3dbl_1", 448}, {"branch3x3dbl_2", 384, 3, 3, 1, 1, 1});
    twice = cross(graph, twice, "branch3x3dbl_3a", "branch3x3dbl_3b");
    vkg_tensor *pool = apply(graph, pooled, (struct unit){"branch_pool", 192});
    vkg_graph_leave(graph);
    return join(graph, one, three, twice, pool);
}

/* --- the whole --- */

/* 299×299 and three channels, as pytorch-fid resizes. */
static vkg_tensor *prepare(vkg_graph *graph, vkg_tensor *x)
{
    const vkg_shape shape = vkg_tensor_shape(x);
    if (shape.dims[3] == 1)
        x = vkg_broadcast(graph, x, VKG_SHAPE(shape.dims[0], shape.dims[1], shape.dims[2], 3));
    return vkg_interpolate(graph, x, &(vkg_interpolate_desc){.size = {SIZE, SIZE}, .mode = VKG_LINEAR});
}

vkg_tensor *vkg_inception_features(vkg_graph *graph, vkg_tensor *images)
{
    vkg_tensor *x = prepare(graph, images);
    x = CHAIN({"Conv2d_1a_3x3", 32, 3, 3, 2}, {"Conv2d_2a_3x3", 32, 3, 3}, {"Conv2d_2b_3x3", 64, 3, 3, 1, 1, 1});
    x = pool_greatest(graph, x, 2, 0);
    x = CHAIN({"Conv2d_3b_1x1", 80}, {"Conv2d_4a_3x3", 192, 3, 3});
    x = pool_greatest(graph, x, 2, 0);
    x = block_a(graph, x, "Mixed_5b", 32);
    x = block_a(graph, x, "Mixed_5c", 64);
    x = block_a(graph, x, "Mixed_5d", 64);
    x = block_b(graph, x, "Mixed_6a");
    x = block_c(graph, x, "Mixed_6b", 128);
    x = block_c(graph, x, "Mixed_6c", 160);
    x = block_c(graph, x, "Mixed_6d", 160);
    x = block_c(graph, x, "Mixed_6e", 192);
    x = block_d(graph, x, "Mixed_7a");
    x = block_e(graph, x, "Mixed_7b", false);
    x = block_e(graph, x, "Mixed_7c", true);
    return vkg_mean(graph, x, 1u << 1 | 1u << 2, false);
}
