/* Pointwise operations: each row is a GLSL expression and a gradient rule. Chains of them become one kernel
 * (kernels/fuse). `a`, `b` are the inputs, `p`, `q` the constants; functions that GLSL lacks, or has with poor
 * accuracy, are in shaders/lib/pointwise.glsl. */
#include "graph/graph.h"
#include "ops/ops.h"

typedef vkg_tensor *tensor_list; /* reads better in the rules below: gradients[0], gradients[1] */

static vkg_tensor *unary(vkg_graph *graph, const struct op *op, vkg_tensor *a, float p, float q)
{
    return graph_add_node(graph, &(struct node_desc){.op = op, .shape = a->shape, .input_count = 1, .inputs = &a,
                                                     .attributes = {.p = p, .q = q}});
}

/* --- constants --- */

static const struct op op_constant = {.name = "constant", .doc = "p", .kind = OP_POINTWISE, .glsl = "T(p)"};

vkg_tensor *vkg_constant(vkg_graph *graph, float value, vkg_shape shape)
{
    if (shape.rank > VKG_MAX_RANK)
        return graph_fail(graph, "vkg_constant: rank %u is more than %d", shape.rank, VKG_MAX_RANK);
    return graph_add_node(graph, &(struct node_desc){.op = &op_constant, .shape = shape, .attributes.p = value});
}

bool tensor_is_constant(const vkg_tensor *tensor, float *value)
{
    if (tensor->op == &op_constant)
        *value = tensor->attributes.p;
    return tensor->op == &op_constant;
}

/* --- broadcasting --- */

static void broadcast_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                               tensor_list *gradients)
{
    (void)wanted;
    gradients[0] = vkg_sum_to(graph, dy, node->inputs[0]->shape);
}

static const struct op op_broadcast = {.name = "broadcast", .doc = "a, repeated along dimensions of 1",
                                       .kind = OP_POINTWISE, .glsl = "a", .gradient = broadcast_gradient};

/* Can `from` be stretched to `to`? Aligned at the last dimension, 1 stretches. */
static bool stretches(const vkg_shape *from, const vkg_shape *to)
{
    if (from->rank > to->rank)
        return false;
    for (uint32_t i = 0; i < from->rank; i++) {
        uint32_t have = from->dims[from->rank - 1 - i];
        if (have != 1 && have != to->dims[to->rank - 1 - i])
            return false;
    }
    return true;
}

vkg_tensor *vkg_broadcast(vkg_graph *graph, vkg_tensor *a, vkg_shape shape)
{
    float value;
    if (a->poisoned)
        return a;
    if (shape_equal(&a->shape, &shape))
        return a;
    if (shape.rank > VKG_MAX_RANK || !stretches(&a->shape, &shape))
        return graph_fail(graph, "vkg_broadcast: %s cannot be stretched to %s (only dimensions of 1 stretch)",
                          SHAPE(&a->shape), SHAPE(&shape));
    if (tensor_is_constant(a, &value))
        return vkg_constant(graph, value, shape);
    return graph_add_node(graph, &(struct node_desc){.op = &op_broadcast, .shape = shape, .input_count = 1,
                                                     .inputs = &a});
}

static bool broadcast_shape(const vkg_shape *a, const vkg_shape *b, vkg_shape *shape)
{
    *shape = a->rank >= b->rank ? *a : *b;
    for (uint32_t i = 0; i < shape->rank; i++) {
        uint32_t da = i < a->rank ? a->dims[a->rank - 1 - i] : 1;
        uint32_t db = i < b->rank ? b->dims[b->rank - 1 - i] : 1;
        shape->dims[shape->rank - 1 - i] = da > db ? da : db;
    }
    return stretches(a, shape) && stretches(b, shape);
}

static vkg_tensor *binary(vkg_graph *graph, const struct op *op, vkg_tensor *a, vkg_tensor *b)
{
    vkg_shape shape;
    if (a->poisoned || b->poisoned)
        return graph->poison;
    if (!broadcast_shape(&a->shape, &b->shape, &shape))
        return graph_fail(graph, "vkg_%s: shapes %s and %s do not broadcast (aligned at the last dimension, each "
                                 "pair must be equal or contain a 1)", op->name, SHAPE(&a->shape), SHAPE(&b->shape));
    return graph_add_node(graph, &(struct node_desc){.op = op, .shape = shape, .input_count = 2,
                                                     .inputs = (vkg_tensor *[]){a, b}});
}

/* --- arithmetic --- */

static void add_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         tensor_list *gradients)
{
    for (uint32_t i = 0; i < 2; i++)
        if (wanted[i])
            gradients[i] = vkg_sum_to(graph, dy, node->inputs[i]->shape);
}

static const struct op op_add = {.name = "add", .doc = "a + b", .kind = OP_POINTWISE, .glsl = "a + b",
                                 .gradient = add_gradient};

static void sub_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         tensor_list *gradients)
{
    if (wanted[0])
        gradients[0] = vkg_sum_to(graph, dy, node->inputs[0]->shape);
    if (wanted[1])
        gradients[1] = vkg_neg(graph, vkg_sum_to(graph, dy, node->inputs[1]->shape));
}

static const struct op op_sub = {.name = "sub", .doc = "a − b", .kind = OP_POINTWISE, .glsl = "a - b",
                                 .gradient = sub_gradient};

static void mul_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         tensor_list *gradients)
{
    for (uint32_t i = 0; i < 2; i++)
        if (wanted[i])
            gradients[i] = vkg_sum_to(graph, vkg_mul(graph, dy, node->inputs[1 - i]), node->inputs[i]->shape);
}

static const struct op op_mul = {.name = "mul", .doc = "a · b", .kind = OP_POINTWISE, .glsl = "a * b",
                                 .gradient = mul_gradient};

static void div_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         tensor_list *gradients)
{
    vkg_tensor *b = node->inputs[1], *da = vkg_div(graph, dy, b);
    if (wanted[0])
        gradients[0] = vkg_sum_to(graph, da, node->inputs[0]->shape);
    if (wanted[1])
        gradients[1] = vkg_sum_to(graph, vkg_neg(graph, vkg_mul(graph, da, node)), b->shape);
}

static const struct op op_div = {.name = "div", .doc = "a / b", .kind = OP_POINTWISE, .glsl = "a / b",
                                 .gradient = div_gradient};

static void affine_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                            tensor_list *gradients)
{
    (void)wanted;
    gradients[0] = vkg_affine(graph, dy, node->attributes.p, 0);
}

static const struct op op_affine = {.name = "affine", .doc = "a · p + q", .kind = OP_POINTWISE,
                                    .glsl = "a * p + q", .gradient = affine_gradient};

vkg_tensor *vkg_affine(vkg_graph *graph, vkg_tensor *a, float factor, float offset)
{
    float value;
    if (factor == 1 && offset == 0)
        return a;
    if (tensor_is_constant(a, &value))
        return vkg_constant(graph, value * factor + offset, a->shape);
    if (a->op == &op_affine && a->attributes.q == 0) /* (a·p)·factor + offset */
        return vkg_affine(graph, a->inputs[0], a->attributes.p * factor, offset);
    return unary(graph, &op_affine, a, factor, offset);
}

vkg_tensor *vkg_neg(vkg_graph *graph, vkg_tensor *a)
{
    return vkg_affine(graph, a, -1, 0);
}

/* a·factor + offset under the broadcast shape of a and b: what a binary operation with a constant becomes. */
static vkg_tensor *affine_as(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, float factor, float offset)
{
    vkg_shape shape;
    if (!broadcast_shape(&a->shape, &b->shape, &shape))
        return NULL; /* binary() says what is wrong */
    if (factor == 0)
        return vkg_constant(graph, offset, shape);
    return vkg_broadcast(graph, vkg_affine(graph, a, factor, offset), shape);
}

vkg_tensor *vkg_add(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    float value;
    vkg_tensor *simple = NULL;
    if (tensor_is_constant(b, &value))
        simple = affine_as(graph, a, b, 1, value);
    else if (tensor_is_constant(a, &value))
        simple = affine_as(graph, b, a, 1, value);
    return simple ? simple : binary(graph, &op_add, a, b);
}

vkg_tensor *vkg_sub(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    float value;
    vkg_tensor *simple = NULL;
    if (tensor_is_constant(b, &value))
        simple = affine_as(graph, a, b, 1, -value);
    else if (tensor_is_constant(a, &value))
        simple = affine_as(graph, b, a, -1, value);
    return simple ? simple : binary(graph, &op_sub, a, b);
}

vkg_tensor *vkg_mul(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    float value;
    vkg_tensor *simple = NULL;
    if (tensor_is_constant(b, &value))
        simple = affine_as(graph, a, b, value, 0);
    else if (tensor_is_constant(a, &value))
        simple = affine_as(graph, b, a, value, 0);
    return simple ? simple : binary(graph, &op_mul, a, b);
}

vkg_tensor *vkg_div(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    return binary(graph, &op_div, a, b);
}

vkg_tensor *vkg_square(vkg_graph *graph, vkg_tensor *a)
{
    return vkg_mul(graph, a, a);
}

/* --- steps: piecewise constant, so no gradient passes --- */

static const struct op op_sign = {.name = "sign", .doc = "−1, 0 or 1", .kind = OP_POINTWISE, .glsl = "sign(a)"};
static const struct op op_leaky_step = {.name = "leaky_step", .doc = "a > 0 ? 1 : p", .kind = OP_POINTWISE,
                                        .glsl = "leaky_step(a, T(p))"};

/* --- functions of one input --- */

static void abs_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         tensor_list *gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, unary(graph, &op_sign, node->inputs[0], 0, 0));
}

static const struct op op_abs = {.name = "abs", .doc = "|a|", .kind = OP_POINTWISE, .glsl = "abs(a)",
                                 .gradient = abs_gradient};

static void sqrt_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                          tensor_list *gradients)
{
    (void)wanted;
    gradients[0] = vkg_affine(graph, vkg_div(graph, dy, node), 0.5f, 0);
}

static const struct op op_sqrt = {.name = "sqrt", .doc = "√a", .kind = OP_POINTWISE, .glsl = "sqrt(a)",
                                  .gradient = sqrt_gradient};

static void rsqrt_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                           tensor_list *gradients)
{
    (void)wanted;
    vkg_tensor *cubed = vkg_mul(graph, node, vkg_square(graph, node));
    gradients[0] = vkg_affine(graph, vkg_mul(graph, dy, cubed), -0.5f, 0);
}

static const struct op op_rsqrt = {.name = "rsqrt", .doc = "1/√a", .kind = OP_POINTWISE, .glsl = "T(1) / sqrt(a)",
                                   .gradient = rsqrt_gradient};

static void exp_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         tensor_list *gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, node);
}

static const struct op op_exp = {.name = "exp", .expensive = true, .doc = "eᵃ", .kind = OP_POINTWISE, .glsl = "precise_exp(a)",
                                 .gradient = exp_gradient};

static void log_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         tensor_list *gradients)
{
    (void)wanted;
    gradients[0] = vkg_div(graph, dy, node->inputs[0]);
}

static const struct op op_log = {.name = "log", .expensive = true, .doc = "natural logarithm", .kind = OP_POINTWISE,
                                 .glsl = "precise_log(a)", .gradient = log_gradient};

static void relu_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                          tensor_list *gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, unary(graph, &op_leaky_step, node->inputs[0], node->attributes.p, 0));
}

static const struct op op_relu = {.name = "relu", .doc = "max(a, 0)", .kind = OP_POINTWISE, .glsl = "relu(a)",
                                  .gradient = relu_gradient};
static const struct op op_leaky_relu = {.name = "leaky_relu", .doc = "max(a, 0) + p · min(a, 0)",
                                        .kind = OP_POINTWISE, .glsl = "leaky_relu(a, T(p))",
                                        .gradient = relu_gradient};

static void tanh_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                          tensor_list *gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, vkg_affine(graph, vkg_square(graph, node), -1, 1));
}

static const struct op op_tanh = {.name = "tanh", .expensive = true, .doc = "hyperbolic tangent", .kind = OP_POINTWISE,
                                  .glsl = "precise_tanh(a)", .gradient = tanh_gradient};

static void sigmoid_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                             tensor_list *gradients)
{
    (void)wanted;
    vkg_tensor *slope = vkg_mul(graph, node, vkg_affine(graph, node, -1, 1));
    gradients[0] = vkg_mul(graph, dy, slope);
}

static const struct op op_sigmoid = {.name = "sigmoid", .expensive = true, .doc = "1/(1 + e⁻ᵃ)", .kind = OP_POINTWISE,
                                     .glsl = "sigmoid(a)", .gradient = sigmoid_gradient};

static void softplus_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                              tensor_list *gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, vkg_sigmoid(graph, node->inputs[0]));
}

static const struct op op_softplus = {.name = "softplus", .expensive = true, .doc = "log(1 + eᵃ)", .kind = OP_POINTWISE,
                                      .glsl = "softplus(a)", .gradient = softplus_gradient};

vkg_tensor *vkg_abs(vkg_graph *graph, vkg_tensor *a)
{
    return unary(graph, &op_abs, a, 0, 0);
}

vkg_tensor *vkg_sqrt(vkg_graph *graph, vkg_tensor *a)
{
    return unary(graph, &op_sqrt, a, 0, 0);
}

vkg_tensor *vkg_rsqrt(vkg_graph *graph, vkg_tensor *a)
{
    return unary(graph, &op_rsqrt, a, 0, 0);
}

vkg_tensor *vkg_exp(vkg_graph *graph, vkg_tensor *a)
{
    return unary(graph, &op_exp, a, 0, 0);
}

vkg_tensor *vkg_ln(vkg_graph *graph, vkg_tensor *a)
{
    return unary(graph, &op_log, a, 0, 0);
}

vkg_tensor *vkg_relu(vkg_graph *graph, vkg_tensor *a)
{
    return unary(graph, &op_relu, a, 0, 0);
}

vkg_tensor *vkg_leaky_relu(vkg_graph *graph, vkg_tensor *a, float slope)
{
    return unary(graph, &op_leaky_relu, a, slope, 0);
}

vkg_tensor *vkg_tanh(vkg_graph *graph, vkg_tensor *a)
{
    return unary(graph, &op_tanh, a, 0, 0);
}

vkg_tensor *vkg_sigmoid(vkg_graph *graph, vkg_tensor *a)
{
    return unary(graph, &op_sigmoid, a, 0, 0);
}

vkg_tensor *vkg_softplus(vkg_graph *graph, vkg_tensor *a)
{
    return unary(graph, &op_softplus, a, 0, 0);
}
