/* Pointwise arithmetic, comparison, selection: each row is a GLSL expression and a gradient rule. Chains of them become
 * one kernel (kernels/fused.c). `a`, `b`, `c` are the inputs, `p`, `q` the constants; functions that GLSL lacks, or has with poor
 * accuracy, are in shaders/lib/pointwise.glsl. */
#include "graph/graph.h"
#include "ops/ops.h"

vkg_tensor *pointwise_unary(vkg_graph *graph, const struct op *op, vkg_tensor *a, float p, float q)
{
    return graph_add_node(graph, &(struct node_desc){.op = op, .shape = a->shape, .input_count = 1, .inputs = &a,
                                                     .attributes = {.p = p, .q = q}});
}

/* --- constants --- */

const struct op op_constant = {.name = "constant", .doc = "p", .kind = OP_POINTWISE, .glsl = "T(p)"};

vkg_tensor *vkg_constant(vkg_graph *graph, float value, vkg_shape shape)
{
    if (shape.rank > VKG_MAX_RANK)
        return graph_fail(graph, "constant: rank %u is more than %d", shape.rank, VKG_MAX_RANK);
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
                               vkg_tensor **gradients)
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
        return vkg_cast(graph, a, moved_dtype(a));
    if (shape.rank > VKG_MAX_RANK || !stretches(&a->shape, &shape))
        return graph_fail(graph, "broadcast: %s cannot be stretched to %s (only dimensions of 1 stretch)",
                          SHAPE(&a->shape), SHAPE(&shape));
    if (tensor_is_constant(a, &value))
        return vkg_constant(graph, value, shape);
    return graph_add_node(graph, &(struct node_desc){.op = &op_broadcast, .shape = shape, .input_count = 1,
                                                     .inputs = &a, .dtype = moved_dtype(a)});
}

bool broadcast_shape(const vkg_shape *a, const vkg_shape *b, vkg_shape *shape)
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
        return graph_fail(graph, "%s: shapes %s and %s do not broadcast (aligned at the last dimension, each "
                                 "pair must be equal or contain a 1)", op->name, SHAPE(&a->shape), SHAPE(&b->shape));
    return graph_add_node(graph, &(struct node_desc){.op = op, .shape = shape, .input_count = 2,
                                                     .inputs = (vkg_tensor *[]){a, b}});
}

/* --- arithmetic --- */

static void add_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         vkg_tensor **gradients)
{
    for (uint32_t i = 0; i < 2; i++)
        if (wanted[i])
            gradients[i] = vkg_sum_to(graph, dy, node->inputs[i]->shape);
}

const struct op op_add = {.name = "add", .doc = "a + b", .kind = OP_POINTWISE, .glsl = "a + b",
                          .gradient = add_gradient};

static void sub_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         vkg_tensor **gradients)
{
    if (wanted[0])
        gradients[0] = vkg_sum_to(graph, dy, node->inputs[0]->shape);
    if (wanted[1])
        gradients[1] = vkg_neg(graph, vkg_sum_to(graph, dy, node->inputs[1]->shape));
}

static const struct op op_sub = {.name = "sub", .doc = "a − b", .kind = OP_POINTWISE, .glsl = "a - b",
                                 .gradient = sub_gradient};

static void mul_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         vkg_tensor **gradients)
{
    for (uint32_t i = 0; i < 2; i++)
        if (wanted[i])
            gradients[i] = vkg_sum_to(graph, vkg_mul(graph, dy, node->inputs[1 - i]), node->inputs[i]->shape);
}

const struct op op_mul = {.name = "mul", .doc = "a · b", .kind = OP_POINTWISE, .glsl = "a * b",
                          .gradient = mul_gradient};

static void div_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                         vkg_tensor **gradients)
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
                            vkg_tensor **gradients)
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
        return vkg_cast(graph, a, VKG_FLOAT32);
    if (tensor_is_constant(a, &value))
        return vkg_constant(graph, value * factor + offset, a->shape);
    if (a->op == &op_affine && a->attributes.q == 0 && tensor_is_current(a->inputs[0])) /* (a·p)·factor + offset */
        return vkg_affine(graph, a->inputs[0], a->attributes.p * factor, offset);
    return pointwise_unary(graph, &op_affine, a, factor, offset);
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

/* x^n for the few n that need no logarithm; NULL for others. */
static vkg_tensor *simple_power(vkg_graph *graph, vkg_tensor *a, float exponent)
{
    if (exponent == 1)
        return vkg_cast(graph, a, VKG_FLOAT32);
    if (exponent == 2)
        return vkg_square(graph, a);
    if (exponent == 3)
        return vkg_mul(graph, a, vkg_square(graph, a));
    if (exponent == 0.5f)
        return vkg_sqrt(graph, a);
    if (exponent == -0.5f)
        return vkg_rsqrt(graph, a);
    if (exponent == -1)
        return vkg_div(graph, vkg_constant(graph, 1, VKG_SCALAR), a);
    return NULL;
}

/* d aᵇ = b·aᵇ⁻¹ da + aᵇ·log a db, the former 0 at b = 0, also where a is 0 (another base there keeps gradients of it finite); the latter
 * 0 at a = 0 */
static void pow_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients)
{
    vkg_tensor *a = node->inputs[0], *b = node->inputs[1], *zero = vkg_constant(graph, 0, VKG_SCALAR);
    if (wanted[0]) {
        vkg_tensor *base = vkg_where(graph, vkg_equal(graph, b, zero), vkg_constant(graph, 1, VKG_SCALAR), a);
        vkg_tensor *slope = vkg_mul(graph, b, vkg_pow(graph, base, vkg_affine(graph, b, 1, -1)));
        gradients[0] = vkg_sum_to(graph, vkg_mul(graph, dy, slope), a->shape);
    }
    if (wanted[1]) {
        vkg_tensor *slope = vkg_mul(graph, node, vkg_ln(graph, a));
        slope = vkg_where(graph, vkg_equal(graph, a, zero), zero, slope);
        gradients[1] = vkg_sum_to(graph, vkg_mul(graph, dy, slope), b->shape);
    }
}

static const struct op op_pow = {.name = "pow", .doc = "aᵇ", .kind = OP_POINTWISE, .expensive = true,
                                 .glsl = "power(a, b)", .gradient = pow_gradient};

vkg_tensor *vkg_pow(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    float exponent;
    vkg_shape shape;
    bool simple = tensor_is_constant(b, &exponent) && broadcast_shape(&a->shape, &b->shape, &shape);
    vkg_tensor *power = simple ? simple_power(graph, a, exponent) : NULL;
    return power ? vkg_broadcast(graph, power, shape) : binary(graph, &op_pow, a, b);
}

/* --- comparison: 1 or 0, through which no gradient passes --- */

static const struct op op_equal = {.name = "equal", .doc = "a = b ? 1 : 0", .kind = OP_POINTWISE, .glsl = "is_equal(a, b)"};
static const struct op op_less = {.name = "less", .doc = "a < b ? 1 : 0", .kind = OP_POINTWISE, .glsl = "is_less(a, b)"};
static const struct op op_less_equal = {.name = "less_equal", .doc = "a ≤ b ? 1 : 0", .kind = OP_POINTWISE,
                                        .glsl = "maximum(is_less(a, b), is_equal(a, b))"};

vkg_tensor *vkg_equal(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    return binary(graph, &op_equal, a, b);
}

vkg_tensor *vkg_less(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    return binary(graph, &op_less, a, b);
}

vkg_tensor *vkg_less_equal(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    return binary(graph, &op_less_equal, a, b);
}

/* --- selection --- */

/* The share of the gradient that goes to `this`: all where it wins, half where both are equal. */
static void pass_to_winner(vkg_graph *graph, vkg_tensor *dy, vkg_tensor *wins, vkg_tensor *ties, const vkg_tensor *input,
                           vkg_tensor **gradient)
{
    vkg_tensor *share = vkg_add(graph, wins, vkg_affine(graph, ties, 0.5f, 0));
    *gradient = vkg_sum_to(graph, vkg_mul(graph, dy, share), input->shape);
}

static void maximum_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                             vkg_tensor **gradients)
{
    vkg_tensor *a = node->inputs[0], *b = node->inputs[1], *ties = vkg_equal(graph, a, b);
    if (wanted[0])
        pass_to_winner(graph, dy, vkg_less(graph, b, a), ties, a, &gradients[0]);
    if (wanted[1])
        pass_to_winner(graph, dy, vkg_less(graph, a, b), ties, b, &gradients[1]);
}

static void minimum_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                             vkg_tensor **gradients)
{
    vkg_tensor *a = node->inputs[0], *b = node->inputs[1], *ties = vkg_equal(graph, a, b);
    if (wanted[0])
        pass_to_winner(graph, dy, vkg_less(graph, a, b), ties, a, &gradients[0]);
    if (wanted[1])
        pass_to_winner(graph, dy, vkg_less(graph, b, a), ties, b, &gradients[1]);
}

static const struct op op_maximum = {.name = "maximum", .doc = "the greater one", .kind = OP_POINTWISE,
                                     .glsl = "maximum(a, b)", .gradient = maximum_gradient};
static const struct op op_minimum = {.name = "minimum", .doc = "the lesser one", .kind = OP_POINTWISE,
                                     .glsl = "minimum(a, b)", .gradient = minimum_gradient};

vkg_tensor *vkg_maximum(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    return binary(graph, &op_maximum, a, b);
}

vkg_tensor *vkg_minimum(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b)
{
    return binary(graph, &op_minimum, a, b);
}

static void where_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                           vkg_tensor **gradients)
{
    vkg_tensor *condition = node->inputs[0], *zero = vkg_constant(graph, 0, VKG_SCALAR);
    if (wanted[1])
        gradients[1] = vkg_sum_to(graph, vkg_where(graph, condition, dy, zero), node->inputs[1]->shape);
    if (wanted[2])
        gradients[2] = vkg_sum_to(graph, vkg_where(graph, condition, zero, dy), node->inputs[2]->shape);
}

static const struct op op_where = {.name = "where", .doc = "a ≠ 0 ? b : c", .kind = OP_POINTWISE,
                                   .glsl = "where(a, b, c)", .gradient = where_gradient};

vkg_tensor *vkg_where(vkg_graph *graph, vkg_tensor *condition, vkg_tensor *a, vkg_tensor *b)
{
    vkg_shape pair, shape;
    if (condition->poisoned || a->poisoned || b->poisoned)
        return graph->poison;
    if (!broadcast_shape(&a->shape, &b->shape, &pair) || !broadcast_shape(&pair, &condition->shape, &shape))
        return graph_fail(graph, "where: shapes %s, %s and %s do not broadcast", SHAPE(&condition->shape),
                          SHAPE(&a->shape), SHAPE(&b->shape));
    return graph_add_node(graph, &(struct node_desc){.op = &op_where, .shape = shape, .input_count = 3,
                                                     .inputs = (vkg_tensor *[]){condition, a, b}});
}

/* --- types --- */

static void cast_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients)
{
    (void)graph, (void)node, (void)wanted;
    gradients[0] = dy;
}

/* To whole numbers no gradient passes; to the short floats it passes unchanged, as PyTorch has it. */
static const struct op casts[] = {
    [VKG_FLOAT32] = {.name = "cast", .doc = "a as float32", .kind = OP_POINTWISE, .glsl = "a", .gradient = cast_gradient},
    [VKG_UINT32] = {.name = "cast", .doc = "a as uint32", .kind = OP_POINTWISE, .glsl = "relu(trunc(a))"},
    [VKG_INT32] = {.name = "cast", .doc = "a as int32, towards zero", .kind = OP_POINTWISE, .glsl = "trunc(a)"},
    [VKG_UINT8] = {.name = "cast", .doc = "a as uint8, towards zero, within [0, 255]", .kind = OP_POINTWISE,
                   .glsl = "limit(trunc(a), T(0), T(255))"},
    [VKG_FLOAT16] = {.name = "cast", .doc = "a as float16", .kind = OP_POINTWISE, .glsl = "round_to_float16(a)",
                     .gradient = cast_gradient},
    [VKG_BFLOAT16] = {.name = "cast", .doc = "a as bfloat16", .kind = OP_POINTWISE, .glsl = "round_to_bfloat16(a)",
                      .gradient = cast_gradient},
};

bool is_cast(const vkg_tensor *tensor)
{
    return tensor->op >= casts && tensor->op < casts + sizeof casts / sizeof *casts;
}

vkg_tensor *vkg_cast(vkg_graph *graph, vkg_tensor *a, vkg_dtype dtype)
{
    if ((size_t)dtype >= sizeof casts / sizeof casts[0])
        return graph_fail(graph, "cast: %d is no type", (int)dtype);
    if (a->poisoned || a->dtype == dtype)
        return a;
    return graph_add_node(graph, &(struct node_desc){.op = &casts[dtype], .shape = a->shape, .input_count = 1,
                                                     .inputs = &a, .dtype = dtype});
}
