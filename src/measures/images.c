/* Comparisons of pairs of images, built of ordinary operations. */
#include <math.h>

#include "graph/graph.h"
#include "vkgan/measures.h"
#include "vkgan/ops.h"
#include "vkgan/resample.h"

enum { WINDOW = 11 };

/* All but the samples. */
static const uint32_t IMAGE_AXES = 1u << 1 | 1u << 2 | 1u << 3;

static vkg_tensor *check(vkg_graph *graph, const char *call, vkg_tensor *a, vkg_tensor *b, float range, uint32_t least)
{
    const vkg_shape *x = &a->shape, *y = &b->shape;
    if (a->poisoned || b->poisoned)
        return a->poisoned ? a : b;
    if (x->rank != 4 || !shape_equal(x, y) || x->dims[1] < least || x->dims[2] < least || !(range > 0))
        return graph_fail(graph, "%s: images %s and %s with a range of %g, expected two [N,H,W,C] of one shape, at least "
                          "%u×%u, and a positive range", call, SHAPE(x), SHAPE(y), (double)range, least, least);
    return NULL;
}

vkg_tensor *vkg_psnr(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, float range)
{
    vkg_tensor *fault = check(graph, "vkg_psnr", a, b, range, 1);
    if (fault)
        return fault;
    const float decibel = 10 / logf(10);
    vkg_tensor *mse = vkg_mean(graph, vkg_square(graph, vkg_sub(graph, a, b)), IMAGE_AXES, false);
    vkg_tensor *equal = vkg_equal(graph, mse, vkg_constant(graph, 0, VKG_SCALAR)); /* GLSL leaves the logarithm of 0 open */
    return vkg_where(graph, equal, vkg_constant(graph, INFINITY, VKG_SCALAR),
                     vkg_affine(graph, vkg_ln(graph, mse), -decibel, 2 * decibel * logf(range)));
}

/* The Gaussian mean of every window that lies within the image. */
static vkg_tensor *window_mean(vkg_graph *graph, vkg_tensor *x)
{
    float filter[WINDOW], sum = 0;
    for (int i = 0; i < WINDOW; i++)
        sum += filter[i] = expf(-0.5f * (float)((i - WINDOW / 2) * (i - WINDOW / 2)) / (1.5f * 1.5f));
    for (int i = 0; i < WINDOW; i++)
        filter[i] /= sum;
    return vkg_upfirdn2d(graph, x, &(vkg_fir_desc){.filter = filter, .taps = WINDOW});
}

/* (2·x + c)/(y + c) */
static vkg_tensor *ratio(vkg_graph *graph, vkg_tensor *x, vkg_tensor *y, float c)
{
    return vkg_div(graph, vkg_affine(graph, x, 2, c), vkg_affine(graph, y, 1, c));
}

vkg_tensor *vkg_ssim(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, float range)
{
    vkg_tensor *fault = check(graph, "vkg_ssim", a, b, range, WINDOW);
    if (fault)
        return fault;
    const float c1 = 0.01f * range * 0.01f * range, c2 = 0.03f * range * 0.03f * range;
    vkg_tensor *mean_a = window_mean(graph, a), *mean_b = window_mean(graph, b);
    vkg_tensor *means = vkg_mul(graph, mean_a, mean_b);
    vkg_tensor *mean_squares = vkg_add(graph, vkg_square(graph, mean_a), vkg_square(graph, mean_b));
    vkg_tensor *squares = vkg_add(graph, vkg_square(graph, a), vkg_square(graph, b));
    vkg_tensor *variances = vkg_sub(graph, window_mean(graph, squares), mean_squares);
    vkg_tensor *covariance = vkg_sub(graph, window_mean(graph, vkg_mul(graph, a, b)), means);
    vkg_tensor *similarity = vkg_mul(graph, ratio(graph, means, mean_squares, c1), ratio(graph, covariance, variances, c2));
    return vkg_mean(graph, similarity, IMAGE_AXES, false);
}
