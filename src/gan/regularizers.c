/* Regularisers: losses that are made of gradients. */
#include <math.h>

#include "graph/graph.h"
#include "ops/ops.h"
#include "vkgan/gan_loss.h"
#include "vkgan/ops.h"

static vkg_tensor *mean_of_all(vkg_graph *graph, vkg_tensor *a)
{
    return vkg_mean(graph, a, VKG_ALL_AXES, false);
}

/* [N]: the squared norm of each sample's gradient. */
static vkg_tensor *squared_norms(vkg_graph *graph, const char *call, vkg_tensor *logits, vkg_tensor *samples)
{
    if (logits->poisoned || samples->poisoned)
        return graph->poison;
    if (samples->shape.rank < 2)
        return graph_fail(graph, "%s: samples %s must be [N,…]", call, SHAPE(&samples->shape));
    vkg_tensor *gradient;
    vkg_gradients(graph, logits, &samples, 1, &gradient);
    uint32_t axes = ((1u << samples->shape.rank) - 1) & ~1u;
    return vkg_sum(graph, vkg_square(graph, gradient), axes, false);
}

/* √a with a finite slope at 0, where a gradient that vanishes would become NaN. */
static vkg_tensor *safe_sqrt(vkg_graph *graph, vkg_tensor *a)
{
    return vkg_sqrt(graph, vkg_affine(graph, a, 1, 1e-12f));
}

vkg_tensor *vkg_gradient_penalty(vkg_graph *graph, vkg_tensor *logits, vkg_tensor *samples, float target, bool one_sided)
{
    vkg_tensor *norms = safe_sqrt(graph, squared_norms(graph, "gradient_penalty", logits, samples));
    vkg_tensor *excess = vkg_affine(graph, norms, 1, -target);
    return mean_of_all(graph, vkg_square(graph, one_sided ? vkg_relu(graph, excess) : excess));
}

vkg_tensor *vkg_squared_gradient(vkg_graph *graph, vkg_tensor *logits, vkg_tensor *samples)
{
    return mean_of_all(graph, squared_norms(graph, "squared_gradient", logits, samples));
}

vkg_tensor *vkg_consistency_penalty(vkg_graph *graph, vkg_tensor *logits, vkg_tensor *changed_logits)
{
    return vkg_mse_loss(graph, logits, changed_logits);
}

/* --- where gradients are penalised --- */

/* One number a sample, to be multiplied with samples of this shape: the given ones, or fresh uniform ones. */
static vkg_tensor *number_per_sample(vkg_graph *graph, const char *call, const vkg_tensor *samples, vkg_tensor *given)
{
    vkg_shape shape = {.rank = samples->shape.rank, .dims = {samples->shape.dims[0], 1, 1, 1, 1, 1}};
    if (!given)
        return vkg_random_uniform(graph, shape);
    if (given->poisoned)
        return given;
    if (shape_elements(&given->shape) != shape.dims[0])
        return graph_fail(graph, "%s: epsilon %s must hold one number for each sample of %s", call, SHAPE(&given->shape),
                          SHAPE(&samples->shape));
    return vkg_reshape(graph, given, shape);
}

vkg_tensor *vkg_between(vkg_graph *graph, vkg_tensor *real, vkg_tensor *fake, vkg_tensor *epsilon)
{
    if (real->poisoned || fake->poisoned)
        return graph->poison;
    if (real->shape.rank < 1 || !shape_equal(&real->shape, &fake->shape))
        return graph_fail(graph, "between: real samples %s and generated ones %s must have one shape [N,…]",
                          SHAPE(&real->shape), SHAPE(&fake->shape));
    vkg_tensor *share = number_per_sample(graph, "between", real, epsilon);
    return vkg_detach(graph, vkg_add(graph, fake, vkg_mul(graph, share, vkg_sub(graph, real, fake))));
}

vkg_tensor *vkg_around(vkg_graph *graph, vkg_tensor *real, float spread, vkg_tensor *epsilon, vkg_tensor *noise)
{
    if (real->poisoned || (noise && noise->poisoned))
        return graph->poison;
    if (real->shape.rank < 1 || (noise && !shape_equal(&real->shape, &noise->shape)))
        return graph_fail(graph, "around: samples %s must be [N,…], and noise %s of their shape", SHAPE(&real->shape),
                          noise ? SHAPE(&noise->shape) : "(NULL)");
    vkg_tensor *share = number_per_sample(graph, "around", real, epsilon);
    vkg_tensor *deviation = vkg_sqrt(graph, vkg_var(graph, real, VKG_ALL_AXES, false, 0));
    vkg_tensor *reach = vkg_affine(graph, deviation, spread == 0 ? 0.5f : spread, 0);
    if (!noise)
        noise = vkg_random_uniform(graph, real->shape);
    vkg_tensor *step = vkg_mul(graph, vkg_mul(graph, share, reach), noise);
    return vkg_detach(graph, vkg_add(graph, real, step));
}

/* --- path length --- */

/* [N]: √ of the squared norms over the last axis, averaged over the axes between it and the samples. */
static vkg_tensor *style_norms(vkg_graph *graph, vkg_tensor *gradient)
{
    uint32_t rank = gradient->shape.rank, last = 1u << (rank - 1);
    vkg_tensor *squares = vkg_sum(graph, vkg_square(graph, gradient), last, false);
    if (rank > 2)
        squares = vkg_mean(graph, squares, (last - 1) & ~1u, false);
    return safe_sqrt(graph, squares);
}

/* The running mean of `lengths`, moved by this step's. */
static vkg_tensor *move_mean(vkg_graph *graph, const vkg_path_length_desc *desc, vkg_tensor *mean_length)
{
    vkg_tensor *before = vkg_buffer(graph, desc->name, VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    vkg_tensor *way = vkg_sub(graph, vkg_detach(graph, mean_length), before);
    vkg_tensor *after = vkg_add(graph, before, vkg_affine(graph, way, desc->decay == 0 ? 0.01f : desc->decay, 0));
    /* one batch whose gradients are no numbers, as of halves that overflowed, does not spoil the mean for ever */
    vkg_assign(graph, before, vkg_where(graph, not_finite(graph, after), before, after));
    return after;
}

vkg_tensor *vkg_path_length_penalty(vkg_graph *graph, vkg_tensor *images, vkg_tensor *styles,
                                    const vkg_path_length_desc *desc, vkg_tensor **lengths)
{
    if (lengths)
        *lengths = graph->poison;
    if (images->poisoned || styles->poisoned || (desc->noise && desc->noise->poisoned))
        return graph->poison;
    if (images->shape.rank != 4 || styles->shape.rank < 2 || styles->shape.dims[0] != images->shape.dims[0])
        return graph_fail(graph, "path_length_penalty: images %s must be [N,H,W,C], styles %s [N,…,C]",
                          SHAPE(&images->shape), SHAPE(&styles->shape));
    float scale = 1.0f / sqrtf((float)images->shape.dims[1] * (float)images->shape.dims[2]);
    vkg_tensor *noise = desc->noise ? desc->noise : vkg_random_normal(graph, images->shape);
    vkg_tensor *products = vkg_mul(graph, images, vkg_affine(graph, noise, scale, 0)), *gradient;
    vkg_tensor *projection = vkg_sum(graph, products, VKG_ALL_AXES, false);
    vkg_gradients(graph, projection, &styles, 1, &gradient);
    vkg_tensor *norms = style_norms(graph, gradient), *mean_length = mean_of_all(graph, norms);
    if (lengths)
        *lengths = mean_length;
    return mean_of_all(graph, vkg_square(graph, vkg_sub(graph, norms, move_mean(graph, desc, mean_length))));
}
