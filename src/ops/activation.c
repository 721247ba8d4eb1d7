/* Pointwise functions of one input. Those that GLSL lacks, or has with poor accuracy, are in
 * shaders/lib/pointwise.glsl. */
#include "ops/ops.h"

/* --- steps: constant in pieces, so no gradient passes --- */

static const struct op op_sign = {.name = "sign", .doc = "−1, 0 or 1; 0 of NaN", .kind = OP_POINTWISE,
                                 .glsl = "(step(T(0), a) - step(a, T(0)))"}; /* of sign(NaN) GLSL promises nothing */
const struct op op_leaky_step = {.name = "leaky_step", .doc = "a > 0 ? 1 : p", .kind = OP_POINTWISE,
                                 .glsl = "leaky_step(a, T(p))"};

static const struct op op_floor = {.name = "floor", .doc = "the greatest whole number that is not above a",
                                   .kind = OP_POINTWISE, .glsl = "floor(a)"};
static const struct op op_within = {.name = "within", .doc = "p ≤ a ≤ q ? 1 : 0", .kind = OP_POINTWISE,
                                    .glsl = "is_within(a, T(p), T(q))"};

/* --- functions --- */

static void abs_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, pointwise_unary(graph, &op_sign, node->inputs[0], 0, 0));
}

static const struct op op_abs = {.name = "abs", .doc = "|a|", .kind = OP_POINTWISE, .glsl = "abs(a)",
                                 .gradient = abs_gradient};

static void sqrt_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                          vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_affine(graph, vkg_div(graph, dy, node), 0.5f, 0);
}

static const struct op op_sqrt = {.name = "sqrt", .doc = "√a", .kind = OP_POINTWISE, .glsl = "sqrt(a)",
                                  .gradient = sqrt_gradient};

static void rsqrt_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                           vkg_tensor **gradients)
{
    (void)wanted;
    vkg_tensor *cubed = vkg_mul(graph, node, vkg_square(graph, node));
    gradients[0] = vkg_affine(graph, vkg_mul(graph, dy, cubed), -0.5f, 0);
}

static const struct op op_rsqrt = {.name = "rsqrt", .doc = "1/√a", .kind = OP_POINTWISE, .glsl = "T(1) / sqrt(a)",
                                   .gradient = rsqrt_gradient};

static void exp_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, node);
}

static const struct op op_exp = {.name = "exp", .expensive = true, .doc = "eᵃ", .kind = OP_POINTWISE, .glsl = "precise_exp(a)",
                                 .gradient = exp_gradient};

static void log_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_div(graph, dy, node->inputs[0]);
}

static const struct op op_log = {.name = "log", .expensive = true, .doc = "natural logarithm", .kind = OP_POINTWISE,
                                 .glsl = "precise_log(a)", .gradient = log_gradient};

/* Of a kernel, perhaps with a bias: it can compute what follows in its epilogue, and would not be kept itself. */
static bool comes_from_kernel(const vkg_tensor *a)
{
    const vkg_tensor *storage = tensor_storage(a);
    bool comes = storage->op->kind == OP_KERNEL;
    for (uint32_t i = 0; i < 2 && storage->op == &op_add; i++)
        comes |= tensor_storage(storage->inputs[i])->op->kind == OP_KERNEL;
    return comes;
}

/* With slopes that are not negative, the sign of what came out is that of what went in. */
static void relu_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                          vkg_tensor **gradients)
{
    (void)wanted;
    vkg_tensor *decides = node->attributes.p >= 0 && comes_from_kernel(node->inputs[0]) ? node : node->inputs[0];
    gradients[0] = vkg_mul(graph, dy, pointwise_unary(graph, &op_leaky_step, decides, node->attributes.p, 0));
}

const struct op op_relu = {.name = "relu", .doc = "max(a, 0)", .kind = OP_POINTWISE, .glsl = "relu(a)",
                           .gradient = relu_gradient};
const struct op op_leaky_relu = {.name = "leaky_relu", .doc = "max(a, 0) + p · min(a, 0)",
                                 .kind = OP_POINTWISE, .glsl = "leaky_relu(a, T(p))",
                                 .gradient = relu_gradient};

static void tanh_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                          vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, vkg_affine(graph, vkg_square(graph, node), -1, 1));
}

static const struct op op_tanh = {.name = "tanh", .expensive = true, .doc = "hyperbolic tangent", .kind = OP_POINTWISE,
                                  .glsl = "precise_tanh(a)", .gradient = tanh_gradient};

static void sigmoid_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                             vkg_tensor **gradients)
{
    (void)wanted;
    vkg_tensor *slope = vkg_mul(graph, node, vkg_affine(graph, node, -1, 1));
    gradients[0] = vkg_mul(graph, dy, slope);
}

static const struct op op_sigmoid = {.name = "sigmoid", .expensive = true, .doc = "1/(1 + e⁻ᵃ)", .kind = OP_POINTWISE,
                                     .glsl = "sigmoid(a)", .gradient = sigmoid_gradient};

static void softplus_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                              vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, vkg_sigmoid(graph, node->inputs[0]));
}

static const struct op op_softplus = {.name = "softplus", .expensive = true, .doc = "log(1 + eᵃ)", .kind = OP_POINTWISE,
                                      .glsl = "softplus(a)", .gradient = softplus_gradient};

static void log_sigmoid_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                                 vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, vkg_sigmoid(graph, vkg_neg(graph, node->inputs[0])));
}

static const struct op op_log_sigmoid = {.name = "log_sigmoid", .expensive = true, .doc = "log(1/(1 + e⁻ᵃ))",
                                         .kind = OP_POINTWISE, .glsl = "-softplus(-a)", .gradient = log_sigmoid_gradient};

static void log1p_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                           vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_div(graph, dy, vkg_affine(graph, node->inputs[0], 1, 1));
}

static const struct op op_log1p = {.name = "log1p", .doc = "log(1 + a), exact near 0", .kind = OP_POINTWISE,
                                   .expensive = true, .glsl = "log_of_one_plus(a)", .gradient = log1p_gradient};

static void sin_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, vkg_cos(graph, node->inputs[0]));
}

static void cos_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_neg(graph, vkg_mul(graph, dy, vkg_sin(graph, node->inputs[0])));
}

static const struct op op_sin = {.name = "sin", .doc = "sine", .kind = OP_POINTWISE, .expensive = true,
                                 .glsl = "precise_sin(a)", .gradient = sin_gradient};
static const struct op op_cos = {.name = "cos", .doc = "cosine", .kind = OP_POINTWISE, .expensive = true,
                                 .glsl = "precise_cos(a)", .gradient = cos_gradient};

/* d erf a = 2/√π · e^(−a²) */
static void erf_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients)
{
    (void)wanted;
    vkg_tensor *bell = vkg_exp(graph, vkg_neg(graph, vkg_square(graph, node->inputs[0])));
    gradients[0] = vkg_mul(graph, dy, vkg_affine(graph, bell, 1.1283791670955126f, 0));
}

static const struct op op_erf = {.name = "erf", .doc = "2/√π · ∫₀ᵃ e^(−t²) dt", .kind = OP_POINTWISE, .expensive = true,
                                 .glsl = "error_function(a)", .gradient = erf_gradient};

/* d erf⁻¹ a = √π/2 · e^(y²) */
static void erfinv_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                            vkg_tensor **gradients)
{
    (void)wanted;
    vkg_tensor *slope = vkg_affine(graph, vkg_exp(graph, vkg_square(graph, node)), 0.88622692545275801f, 0);
    gradients[0] = vkg_mul(graph, dy, slope);
}

static const struct op op_erfinv = {.name = "erfinv", .doc = "the y with erf y = a", .kind = OP_POINTWISE,
                                    .expensive = true, .glsl = "inverse_error_function(a)",
                                    .gradient = erfinv_gradient};

/* The slope of p·(eᵃ − 1) below zero and of a above it, and, with q = 0, the slope of that. */
static vkg_tensor *elu_slope(vkg_graph *graph, vkg_tensor *a, float alpha, float above);

static void elu_slope_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                               vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, elu_slope(graph, node->inputs[0], node->attributes.p, 0));
}

static const struct op op_elu_slope = {.name = "elu_slope", .doc = "a > 0 ? q : p · eᵃ", .kind = OP_POINTWISE,
                                       .expensive = true, .glsl = "elu_slope(a, T(p), T(q))",
                                       .gradient = elu_slope_gradient};

static vkg_tensor *elu_slope(vkg_graph *graph, vkg_tensor *a, float alpha, float above)
{
    return pointwise_unary(graph, &op_elu_slope, a, alpha, above);
}

static void elu_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, elu_slope(graph, node->inputs[0], node->attributes.p, 1));
}

static const struct op op_elu = {.name = "elu", .doc = "a > 0 ? a : p · (eᵃ − 1)", .kind = OP_POINTWISE,
                                 .expensive = true, .glsl = "elu(a, T(p))", .gradient = elu_gradient};

static void clamp_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                           vkg_tensor **gradients)
{
    (void)wanted;
    vkg_tensor *within = pointwise_unary(graph, &op_within, node->inputs[0], node->attributes.p, node->attributes.q);
    gradients[0] = vkg_mul(graph, dy, within);
}

static const struct op op_clamp = {.name = "clamp", .doc = "a, but at least p and at most q", .kind = OP_POINTWISE,
                                   .glsl = "limit(a, T(p), T(q))", .gradient = clamp_gradient};

/* --- the public calls --- */

/* A function without constants. */
#define FUNCTION(name)                                                                                       \
    vkg_tensor *vkg_##name(vkg_graph *graph, vkg_tensor *a)                                                  \
    {                                                                                                        \
        return pointwise_unary(graph, &op_##name, a, 0, 0);                                                  \
    }
FUNCTION(sign) FUNCTION(floor) FUNCTION(log1p) FUNCTION(sin) FUNCTION(cos) FUNCTION(erf) FUNCTION(erfinv)
FUNCTION(abs) FUNCTION(sqrt) FUNCTION(rsqrt) FUNCTION(exp) FUNCTION(relu) FUNCTION(tanh) FUNCTION(sigmoid)
FUNCTION(softplus) FUNCTION(log_sigmoid)

vkg_tensor *vkg_elu(vkg_graph *graph, vkg_tensor *a, float alpha)
{
    return pointwise_unary(graph, &op_elu, a, alpha, 0);
}

vkg_tensor *vkg_clamp(vkg_graph *graph, vkg_tensor *a, float low, float high)
{
    if (!(low <= high))
        return graph_fail(graph, "clamp: the low end %g is above the high end %g", (double)low, (double)high);
    return pointwise_unary(graph, &op_clamp, a, low, high);
}

/* a·σ(a), whose gradients follow from those of its parts */
vkg_tensor *vkg_silu(vkg_graph *graph, vkg_tensor *a)
{
    return vkg_mul(graph, a, vkg_sigmoid(graph, a));
}

/* a·Φ(a) = a·(1 + erf(a/√2))/2 */
vkg_tensor *vkg_gelu(vkg_graph *graph, vkg_tensor *a)
{
    vkg_tensor *erf = vkg_erf(graph, vkg_affine(graph, a, 0.70710678118654752f, 0));
    return vkg_mul(graph, a, vkg_affine(graph, erf, 0.5f, 0.5f));
}

vkg_tensor *vkg_prelu(vkg_graph *graph, vkg_tensor *a, vkg_tensor *slope)
{
    vkg_tensor *positive = vkg_less(graph, vkg_constant(graph, 0, VKG_SCALAR), a);
    return vkg_where(graph, positive, a, vkg_mul(graph, a, slope));
}

vkg_tensor *vkg_ln(vkg_graph *graph, vkg_tensor *a)
{
    return pointwise_unary(graph, &op_log, a, 0, 0);
}

vkg_tensor *vkg_leaky_relu(vkg_graph *graph, vkg_tensor *a, float slope)
{
    return pointwise_unary(graph, &op_leaky_relu, a, slope, 0);
}
