/* Softmax and its logarithm: built of a greatest, exponentials and sums, with shorter gradients than theirs. */
#include "ops/ops.h"

/* x less its greatest, so that no exponential overflows; what is subtracted cancels out of every result. */
static vkg_tensor *shifted(vkg_graph *graph, vkg_tensor *x, uint32_t axes)
{
    return vkg_sub(graph, x, vkg_detach(graph, vkg_max(graph, x, axes, true)));
}

/* dx = y·(dy − Σ dy·y) */
static void softmax_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                             vkg_tensor **gradients)
{
    (void)wanted;
    vkg_tensor *common = vkg_sum(graph, vkg_mul(graph, dy, node), 1u << node->attributes.index, true);
    gradients[0] = vkg_mul(graph, node, vkg_sub(graph, dy, common));
}

static const struct op op_softmax = {.name = "softmax", .doc = "eˣ/Σeˣ along an axis", .kind = OP_COMPOSITE,
                                     .gradient = softmax_gradient};

/* dx = dy − eʸ·Σ dy */
static void log_softmax_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                                 vkg_tensor **gradients)
{
    (void)wanted;
    vkg_tensor *sum = vkg_sum(graph, dy, 1u << node->attributes.index, true);
    gradients[0] = vkg_sub(graph, dy, vkg_mul(graph, vkg_exp(graph, node), sum));
}

static const struct op op_log_softmax = {.name = "log_softmax", .doc = "x − log Σeˣ along an axis",
                                         .kind = OP_COMPOSITE, .gradient = log_softmax_gradient};

static vkg_tensor *composite(vkg_graph *graph, const struct op *op, vkg_tensor *x, uint32_t axis, vkg_tensor *value)
{
    return graph_add_node(graph, &(struct node_desc){.op = op, .shape = x->shape, .input_count = 1, .inputs = &x,
                                                     .value = value, .attributes.index = axis});
}

vkg_tensor *vkg_softmax(vkg_graph *graph, vkg_tensor *x, uint32_t axis)
{
    if (!axis_is_valid(graph, "softmax", x, axis))
        return graph->poison;
    vkg_tensor *e = vkg_exp(graph, shifted(graph, x, 1u << axis));
    vkg_tensor *value = vkg_div(graph, e, vkg_sum(graph, e, 1u << axis, true));
    return composite(graph, &op_softmax, x, axis, value);
}

vkg_tensor *vkg_log_softmax(vkg_graph *graph, vkg_tensor *x, uint32_t axis)
{
    if (!axis_is_valid(graph, "log_softmax", x, axis))
        return graph->poison;
    vkg_tensor *s = shifted(graph, x, 1u << axis);
    vkg_tensor *value = vkg_sub(graph, s, vkg_ln(graph, vkg_sum(graph, vkg_exp(graph, s), 1u << axis, true)));
    return composite(graph, &op_log_softmax, x, axis, value);
}

/* dx = dy·eˣ⁻ʸ */
static void logsumexp_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients)
{
    (void)wanted;
    gradients[0] = vkg_mul(graph, dy, vkg_exp(graph, vkg_sub(graph, node->inputs[0], node)));
}

static const struct op op_logsumexp = {.name = "logsumexp", .doc = "log Σeˣ over a set of axes",
                                       .kind = OP_COMPOSITE, .gradient = logsumexp_gradient};

/* 0 where it is infinite: infinity less itself would be no number. */
static const struct op op_finite_or_zero = {.name = "finite_or_zero", .doc = "a is infinite ? 0 : a", .kind = OP_POINTWISE,
                                            .glsl = "WHERE_NUMBER(a, where(is_not_finite(a), T(0), a))"};

vkg_tensor *vkg_logsumexp(vkg_graph *graph, vkg_tensor *x, uint32_t axes, bool keep)
{
    vkg_tensor *greatest = vkg_max(graph, x, axes, true), *shift = pointwise_unary(graph, &op_finite_or_zero, greatest, 0, 0);
    vkg_tensor *sum = vkg_sum(graph, vkg_exp(graph, vkg_sub(graph, x, shift)), axes, true);
    /* an infinity is added as it is: of e⁻∞ some drivers make more than nothing */
    vkg_tensor *kept = vkg_add(graph, vkg_ln(graph, sum), greatest);
    if (!kept->poisoned)
        kept = graph_add_node(graph, &(struct node_desc){.op = &op_logsumexp, .shape = kept->shape, .input_count = 1, .inputs = &x,
                                                         .value = kept, .attributes.axes = axes});
    if (keep || kept->poisoned)
        return kept;
    return vkg_reshape(graph, kept, vkg_tensor_shape(vkg_sum(graph, x, axes, false)));
}
