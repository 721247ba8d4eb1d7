/* Gradients against central differences, over shapes that are drawn anew at every run: for a random direction u,
 * (f(x + hu) − f(x − hu))/2h is <∇f, u>; and the same with f replaced by <∇f, w>, which tests second gradients. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"

enum { MAX_INPUTS = 3 };

struct function {
    const char *name;
    uint32_t inputs;
    float low, high; /* where the inputs lie: away from kinks and poles */
    void (*shapes)(vkg_shape *shapes);
    vkg_tensor *(*build)(vkg_graph *g, vkg_tensor *const *x);
};

/* --- shapes --- */

static uint32_t size(void)
{
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17};
    return sizes[test_random(10)];
}

static void any_shape(vkg_shape *s)
{
    s[0].rank = 1 + test_random(3);
    for (uint32_t i = 0; i < s[0].rank; i++)
        s[0].dims[i] = size();
}

static void two_shapes(vkg_shape *s)
{
    any_shape(s);
    s[1] = s[0];
    for (uint32_t i = 0; i < s[1].rank; i++)
        s[1].dims[i] = test_random(2) ? 1 : s[1].dims[i];
}

static void conv_shapes(vkg_shape *s)
{
    uint32_t in = size(), out = size();
    s[0] = VKG_SHAPE(1 + test_random(3), 4 + test_random(4), 4 + test_random(4), in);
    s[1] = VKG_SHAPE(1 + test_random(3), 1 + test_random(3), in, out);
}

static void transposed_shapes(vkg_shape *s)
{
    uint32_t in = size(), out = size();
    s[0] = VKG_SHAPE(1 + test_random(3), 1 + test_random(4), 1 + test_random(4), in);
    s[1] = VKG_SHAPE(2 + test_random(3), 2 + test_random(3), out, in);
}

static void product_shapes(vkg_shape *s)
{
    uint32_t inner = size();
    s[0] = VKG_SHAPE(size(), inner);
    s[1] = VKG_SHAPE(inner, size());
}

static void norm_shapes(vkg_shape *s)
{
    s[0] = VKG_SHAPE(2 + test_random(4), 2 + test_random(3), size());
    s[1] = s[2] = VKG_SHAPE(s[0].dims[2]);
}

/* --- functions --- */

#define FUNCTION(name, expression)                                                                           \
    static vkg_tensor *name(vkg_graph *g, vkg_tensor *const *x)                                              \
    {                                                                                                        \
        return expression;                                                                                   \
    }
FUNCTION(f_add, vkg_add(g, x[0], x[1]))
FUNCTION(f_sub, vkg_sub(g, x[0], x[1]))
FUNCTION(f_mul, vkg_mul(g, x[0], x[1]))
FUNCTION(f_div, vkg_div(g, x[0], x[1]))
FUNCTION(f_affine, vkg_affine(g, vkg_square(g, x[0]), -0.7f, 0.3f))
FUNCTION(f_abs, vkg_abs(g, x[0]))
FUNCTION(f_sqrt, vkg_sqrt(g, x[0]))
FUNCTION(f_rsqrt, vkg_rsqrt(g, x[0]))
FUNCTION(f_exp, vkg_exp(g, x[0]))
FUNCTION(f_ln, vkg_ln(g, x[0]))
FUNCTION(f_relu, vkg_relu(g, vkg_affine(g, x[0], 1, -0.1f)))
FUNCTION(f_leaky_relu, vkg_leaky_relu(g, x[0], 0.2f))
FUNCTION(f_tanh, vkg_tanh(g, x[0]))
FUNCTION(f_sigmoid, vkg_sigmoid(g, x[0]))
FUNCTION(f_softplus, vkg_softplus(g, x[0]))
FUNCTION(f_sum, vkg_square(g, vkg_sum(g, x[0], 1, true)))
FUNCTION(f_mean, vkg_exp(g, vkg_mean(g, x[0], VKG_ALL_AXES, false)))
FUNCTION(f_matmul, vkg_matmul(g, x[0], x[1], false, false))
FUNCTION(f_conv, vkg_convolution(g, x[0], x[1], (vkg_conv_geometry){{2, 1}, {1, 1}, {1, 1}}))
FUNCTION(f_bce, vkg_bce_with_logits(g, x[0], 0.9f))
FUNCTION(f_norm, vkg_batch_normalization(g, x[0], x[1], x[2], 1e-2f, NULL, NULL))

static vkg_tensor *f_transposed(vkg_graph *g, vkg_tensor *const *x)
{
    vkg_shape y = vkg_tensor_shape(x[0]), w = vkg_tensor_shape(x[1]);
    const uint32_t size[] = {(y.dims[1] - 1) * 2 + w.dims[0], y.dims[2] - 1 + w.dims[1] - 2};
    return vkg_convolution_input_gradient(g, x[0], x[1], (vkg_conv_geometry){{2, 1}, {0, 1}, {1, 1}}, size);
}

/* A discriminator's worth of everything at once. */
static vkg_tensor *f_layers(vkg_graph *g, vkg_tensor *const *x)
{
    vkg_tensor *h = vkg_convolution(g, x[0], x[1], (vkg_conv_geometry){.padding = {1, 1}});
    vkg_shape shape = vkg_tensor_shape(h);
    vkg_tensor *weight = vkg_constant(g, 1.2f, VKG_SHAPE(shape.dims[3])), *bias = vkg_constant(g, 0.1f, VKG_SHAPE(shape.dims[3]));
    return vkg_tanh(g, vkg_batch_normalization(g, h, weight, bias, 0.1f, NULL, NULL));
}

static const struct function functions[] = {
    {"add", 2, -1, 1, two_shapes, f_add},          {"sub", 2, -1, 1, two_shapes, f_sub},
    {"mul", 2, -1, 1, two_shapes, f_mul},          {"div", 2, 0.7f, 2, two_shapes, f_div},
    {"affine", 1, -1, 1, any_shape, f_affine},     {"abs", 1, 0.2f, 1, any_shape, f_abs},
    {"sqrt", 1, 0.5f, 2, any_shape, f_sqrt},       {"rsqrt", 1, 0.5f, 2, any_shape, f_rsqrt},
    {"exp", 1, -1, 1, any_shape, f_exp},           {"ln", 1, 0.5f, 2, any_shape, f_ln},
    {"relu", 1, 0.3f, 1, any_shape, f_relu},       {"leaky_relu", 1, -1, -0.2f, any_shape, f_leaky_relu},
    {"tanh", 1, -2, 2, any_shape, f_tanh},         {"sigmoid", 1, -2, 2, any_shape, f_sigmoid},
    {"softplus", 1, -2, 2, any_shape, f_softplus}, {"sum", 1, -1, 1, any_shape, f_sum},
    {"mean", 1, -1, 1, any_shape, f_mean},         {"matmul", 2, -1, 1, product_shapes, f_matmul},
    {"convolution", 2, -1, 1, conv_shapes, f_conv}, {"transposed", 2, -1, 1, transposed_shapes, f_transposed},
    {"bce", 1, -2, 2, any_shape, f_bce},           {"batch norm", 3, -1, 1, norm_shapes, f_norm},
    {"layers", 2, -1, 1, conv_shapes, f_layers},
};

/* --- the check --- */

struct check {
    vkg_graph *graph;
    vkg_program *program;
    uint32_t count;
    vkg_tensor *x[MAX_INPUTS], *u[MAX_INPUTS], *w[MAX_INPUTS], *v;
    vkg_tensor *value, *slope; /* f = <y, v>, and <∇f, w> */
    vkg_tensor *along[2];      /* the derivatives of both along u */
    float *start[MAX_INPUTS];
};

static vkg_tensor *inner(vkg_graph *g, vkg_tensor *const *a, vkg_tensor *const *b, uint32_t count)
{
    vkg_tensor *sum = vkg_constant(g, 0, VKG_SCALAR);
    for (uint32_t i = 0; i < count; i++)
        sum = vkg_add(g, sum, vkg_sum(g, vkg_mul(g, a[i], b[i]), VKG_ALL_AXES, false));
    return sum;
}

static void fill(struct check *c, const vkg_tensor *input, float low, float high)
{
    float *data = vkg_program_input(c->program, input, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(input); i++)
        data[i] = low + (high - low) * (test_random_float() + 1) / 2;
}

static bool build(struct check *c, const struct function *f)
{
    vkg_shape shapes[MAX_INPUTS];
    vkg_tensor *first[MAX_INPUTS], *second[MAX_INPUTS];
    *c = (struct check){.count = f->inputs};
    assert_int_equal(vkg_graph_create(test_log(), &c->graph), VKG_OK);
    f->shapes(shapes);
    for (uint32_t i = 0; i < c->count; i++) {
        c->x[i] = vkg_input(c->graph, "x", shapes[i]);
        c->u[i] = vkg_input(c->graph, "u", shapes[i]);
        c->w[i] = vkg_input(c->graph, "w", shapes[i]);
    }
    vkg_tensor *y = f->build(c->graph, c->x);
    if (vkg_graph_error(c->graph))
        return false; /* a drawn shape that the rule forbids */
    c->v = vkg_input(c->graph, "v", vkg_tensor_shape(y));
    c->value = inner(c->graph, &y, &c->v, 1);
    vkg_gradients(c->graph, c->value, c->x, c->count, first);
    c->slope = inner(c->graph, first, c->w, c->count);
    vkg_gradients(c->graph, c->slope, c->x, c->count, second);
    c->along[0] = inner(c->graph, first, c->u, c->count);
    c->along[1] = inner(c->graph, second, c->u, c->count);
    vkg_tensor *const outputs[] = {c->value, c->slope, c->along[0], c->along[1]};
    for (int i = 0; i < 4; i++)
        vkg_output(c->graph, "output", outputs[i]);
    assert_int_equal(vkg_program_create(test_device(), c->graph, NULL, NULL, &c->program), VKG_OK);
    return true;
}

static void start(struct check *c, const struct function *f)
{
    fill(c, c->v, -1, 1);
    for (uint32_t i = 0; i < c->count; i++) {
        fill(c, c->x[i], f->low, f->high), fill(c, c->u[i], -1, 1), fill(c, c->w[i], -1, 1);
        size_t bytes = vkg_tensor_elements(c->x[i]) * sizeof(float);
        c->start[i] = malloc(bytes);
        memcpy(c->start[i], vkg_program_input(c->program, c->x[i], 0), bytes);
    }
}

static void run_at(struct check *c, float h)
{
    for (uint32_t i = 0; i < c->count; i++) {
        float *x = vkg_program_input(c->program, c->x[i], 0);
        const float *u = vkg_program_input(c->program, c->u[i], 0);
        for (uint64_t k = 0; k < vkg_tensor_elements(c->x[i]); k++)
            x[k] = c->start[i][k] + h * u[k];
    }
    assert_int_equal(vkg_program_run(c->program), VKG_OK);
}

static double read(const struct check *c, const vkg_tensor *tensor)
{
    return *(const float *)vkg_program_output(c->program, tensor, 0);
}

/* Rounding of f over 2h, and the third derivative's share h²: at h near the cube root of float's precision both are
 * about 1e-4 of what f itself is made of. Differences of two steps (Richardson) take the h² away. */
static void check_function(const struct function *f, int round)
{
    struct check c;
    if (build(&c, f)) {
        const float h = 0.02f;
        double at[4][2], scale[2];
        start(&c, f);
        run_at(&c, 0);
        double along[2] = {read(&c, c.along[0]), read(&c, c.along[1])};
        const float steps[4] = {h, -h, h / 2, -h / 2};
        for (int s = 0; s < 4; s++) {
            run_at(&c, steps[s]);
            at[s][0] = read(&c, c.value), at[s][1] = read(&c, c.slope);
        }
        for (int order = 0; order < 2; order++) {
            double wide = (at[0][order] - at[1][order]) / (2.0 * h), narrow = (at[2][order] - at[3][order]) / h;
            double difference = (4 * narrow - wide) / 3;
            scale[order] = 1 + fabs(at[0][order]) + fabs(along[order]) + fabs(wide - narrow) * 10;
            double size = sqrt((double)vkg_tensor_elements(c.v)) + 1;
            if (!(fabs(difference - along[order]) < 2e-3 * (scale[order] + size)))
                fail_msg("%s, round %d, order %d: differences give %g, the gradient %g", f->name, round, order + 1,
                         difference, along[order]);
        }
        for (uint32_t i = 0; i < c.count; i++)
            free(c.start[i]);
    }
    vkg_program_destroy(&c.program);
    vkg_graph_destroy(&c.graph);
}

static void gradients_are_slopes(void **unused)
{
    (void)unused;
    test_expect_errors(true); /* of shapes that do not fit */
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        for (int round = 0; round < 4; round++)
            check_function(&functions[i], round);
    test_expect_errors(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients_are_slopes)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
