/* Losses: means over all elements, unless they say otherwise. */
#include "ops/ops.h"

static vkg_tensor *mean_of_all(vkg_graph *graph, vkg_tensor *a)
{
    return vkg_mean(graph, a, VKG_ALL_AXES, false);
}

static vkg_tensor *same_shapes(vkg_graph *graph, const char *call, const vkg_tensor *a, const vkg_tensor *b)
{
    if (a->poisoned || b->poisoned)
        return graph->poison;
    if (shape_equal(&a->shape, &b->shape))
        return NULL;
    return graph_fail(graph, "%s: %s and %s must have one shape", call, SHAPE(&a->shape), SHAPE(&b->shape));
}

/* --- of logits --- */

vkg_tensor *vkg_bce_with_logits(vkg_graph *graph, vkg_tensor *logits, float target)
{
    if (!(target >= 0 && target <= 1))
        return graph_fail(graph, "bce_with_logits: the target %g is not in [0, 1]", (double)target);
    /* −target·log σ(x) − (1 − target)·log(1 − σ(x)) = softplus(x) − target·x; at target 1 that is softplus(−x),
     * which keeps its digits where x is large. */
    vkg_tensor *loss = target == 1 ? vkg_softplus(graph, vkg_neg(graph, logits))
                                   : vkg_add(graph, vkg_softplus(graph, logits), vkg_affine(graph, logits, -target, 0));
    return mean_of_all(graph, loss);
}

vkg_tensor *vkg_bce_with_logits_to(vkg_graph *graph, vkg_tensor *logits, vkg_tensor *target)
{
    vkg_tensor *wrong = same_shapes(graph, "bce_with_logits_to", logits, target);
    if (wrong)
        return wrong;
    return mean_of_all(graph, vkg_sub(graph, vkg_softplus(graph, logits), vkg_mul(graph, target, logits)));
}

vkg_tensor *vkg_hinge_loss_real(vkg_graph *graph, vkg_tensor *logits)
{
    return mean_of_all(graph, vkg_relu(graph, vkg_affine(graph, logits, -1, 1)));
}

vkg_tensor *vkg_hinge_loss_fake(vkg_graph *graph, vkg_tensor *logits)
{
    return mean_of_all(graph, vkg_relu(graph, vkg_affine(graph, logits, 1, 1)));
}

vkg_tensor *vkg_wasserstein_loss(vkg_graph *graph, vkg_tensor *real, vkg_tensor *fake)
{
    return vkg_sub(graph, mean_of_all(graph, fake), mean_of_all(graph, real));
}

/* log_softmax at the label, picked by a comparison: no memory is read out of order */
vkg_tensor *vkg_cross_entropy(vkg_graph *graph, vkg_tensor *logits, vkg_tensor *labels)
{
    if (logits->poisoned || labels->poisoned)
        return graph->poison;
    if (logits->shape.rank != 2 || labels->shape.rank != 1 || labels->shape.dims[0] != logits->shape.dims[0])
        return graph_fail(graph, "cross_entropy: logits %s must be [N,C], labels %s [N]", SHAPE(&logits->shape),
                          SHAPE(&labels->shape));
    uint32_t n = logits->shape.dims[0];
    vkg_tensor *column = vkg_reshape(graph, labels, VKG_SHAPE(n, 1));
    vkg_tensor *picked = vkg_equal(graph, column, counting_axis(graph, logits->shape.dims[1], 0));
    /* not a product: the other classes' logarithms may be −∞ */
    vkg_tensor *logarithms = vkg_where(graph, picked, vkg_log_softmax(graph, logits, 1), vkg_constant(graph, 0, VKG_SCALAR));
    vkg_tensor *sum = vkg_sum(graph, logarithms, VKG_ALL_AXES, false);
    return vkg_affine(graph, sum, -1.0f / (float)n, 0);
}

/* --- of differences --- */

vkg_tensor *vkg_mse_loss(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    vkg_tensor *wrong = same_shapes(graph, "mse_loss", a, b);
    return wrong ? wrong : mean_of_all(graph, vkg_square(graph, vkg_sub(graph, a, b)));
}

vkg_tensor *vkg_l1_loss(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    vkg_tensor *wrong = same_shapes(graph, "l1_loss", a, b);
    return wrong ? wrong : mean_of_all(graph, vkg_abs(graph, vkg_sub(graph, a, b)));
}

vkg_tensor *vkg_smooth_l1_loss(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, float beta)
{
    vkg_tensor *wrong = same_shapes(graph, "smooth_l1_loss", a, b);
    if (wrong)
        return wrong;
    if (!(beta > 0))
        return graph_fail(graph, "smooth_l1_loss: beta (%g) must be above 0", (double)beta);
    vkg_tensor *difference = vkg_sub(graph, a, b), *size = vkg_abs(graph, difference);
    vkg_tensor *near = vkg_less(graph, size, vkg_constant(graph, beta, VKG_SCALAR));
    vkg_tensor *parabola = vkg_affine(graph, vkg_square(graph, difference), 0.5f / beta, 0);
    return mean_of_all(graph, vkg_where(graph, near, parabola, vkg_affine(graph, size, 1, -0.5f * beta)));
}

/* --- of distributions, directions and pictures --- */

vkg_tensor *vkg_gaussian_kl(vkg_graph *graph, vkg_tensor *mean, vkg_tensor *log_variance)
{
    vkg_tensor *wrong = same_shapes(graph, "gaussian_kl", mean, log_variance);
    if (wrong || mean->shape.rank == 0)
        return wrong ? wrong : graph_fail(graph, "gaussian_kl: the mean has no dimensions");
    vkg_tensor *terms = vkg_sub(graph, vkg_add(graph, vkg_exp(graph, log_variance), vkg_square(graph, mean)),
                                vkg_affine(graph, log_variance, 1, 1));
    vkg_tensor *sums = vkg_sum(graph, terms, 1u << (mean->shape.rank - 1), false);
    return vkg_affine(graph, mean_of_all(graph, sums), 0.5f, 0);
}

/* 1/max(|a|, epsilon) */
static vkg_tensor *inverse_length(vkg_graph *graph, vkg_tensor *a, uint32_t axes, float epsilon)
{
    vkg_tensor *power = vkg_sum(graph, vkg_square(graph, a), axes, false);
    return vkg_rsqrt(graph, vkg_maximum(graph, power, vkg_constant(graph, epsilon * epsilon, VKG_SCALAR)));
}

vkg_tensor *vkg_cosine_similarity(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, uint32_t axis, float epsilon)
{
    vkg_tensor *wrong = same_shapes(graph, "cosine_similarity", a, b);
    if (wrong || !axis_is_valid(graph, "cosine_similarity", a, axis))
        return graph->poison;
    uint32_t axes = 1u << axis;
    vkg_tensor *product = vkg_sum(graph, vkg_mul(graph, a, b), axes, false);
    product = vkg_mul(graph, product, inverse_length(graph, a, axes, epsilon));
    return vkg_mul(graph, product, inverse_length(graph, b, axes, epsilon));
}

/* The mean of |a[i + 1] − a[i]| along an axis. */
static vkg_tensor *mean_step(vkg_graph *graph, vkg_tensor *a, uint32_t axis)
{
    uint32_t size = a->shape.dims[axis];
    vkg_tensor *step = vkg_sub(graph, vkg_slice(graph, a, axis, 1, size - 1, 1), vkg_slice(graph, a, axis, 0, size - 1, 1));
    return mean_of_all(graph, vkg_abs(graph, step));
}

vkg_tensor *vkg_total_variation(vkg_graph *graph, vkg_tensor *x)
{
    if (x->poisoned)
        return x;
    if (x->shape.rank != 4 || x->shape.dims[1] < 2 || x->shape.dims[2] < 2)
        return graph_fail(graph, "total_variation: x %s must be [N,H,W,C] of 2 pixels or more each way", SHAPE(&x->shape));
    return vkg_add(graph, mean_step(graph, x, 1), mean_step(graph, x, 2));
}
