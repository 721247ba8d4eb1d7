/* Epilogues of convolutions: what one kernel computes is what the convolution alone gives, and then a loop on the
 * processor; and they are taken where that is right, and only there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/convolution.h"
#include "kernels/finish.h"
#include "on_device.h"
#include "ops/convolution.h"
#include "program/program.h"

enum { BIAS = 1, ACTIVATION = 2, STEP = 4, ALL = 7 };

/* A convolution and what follows it. */
struct chain {
    vkg_graph *graph;
    vkg_tensor *inputs[4]; /* the convolution's two, bias, step */
    vkg_tensor *result;
};

struct slopes {
    float activation, step;
};

static struct slopes random_slopes(void)
{
    static const float choices[] = {0, 0.2f, 1};
    return (struct slopes){choices[test_random(3)], choices[test_random(3)]};
}

static void chain_create(struct chain *c, enum conv_direction direction, const struct conv_problem *p, vkg_dtype dtype,
                         int parts, struct slopes slopes)
{
    assert_int_equal(vkg_graph_create(test_log(), &c->graph), VKG_OK);
    for (int i = 0; i < 2; i++)
        c->inputs[i] = vkg_input(c->graph, i ? "b" : "a", conv_operand_shape(p, conv_operands[direction][i]));
    c->result = conv_node(c->graph, direction, vkg_cast(c->graph, c->inputs[0], dtype), vkg_cast(c->graph, c->inputs[1], dtype), p);
    const vkg_shape shape = vkg_tensor_shape(c->result);
    c->inputs[2] = vkg_input(c->graph, "bias", VKG_SHAPE(shape.dims[shape.rank - 1]));
    c->inputs[3] = vkg_input(c->graph, "step", shape);
    if (parts & BIAS)
        c->result = vkg_add(c->graph, c->result, c->inputs[2]);
    if (parts & ACTIVATION)
        c->result = slopes.activation == 0 ? vkg_relu(c->graph, c->result)
                                           : vkg_leaky_relu(c->graph, c->result, slopes.activation);
    if (parts & STEP) /* as the gradient of an activation of the step is made */
        c->result = vkg_mul(c->graph, c->result, pointwise_unary(c->graph, &op_leaky_step, c->inputs[3], slopes.step, 0));
}

/* The same numbers for every program: of the seed. Sixteenths, which halves hold, some of them 0. */
static void fill(vkg_program *program, const vkg_tensor *input, uint64_t seed)
{
    float *numbers = vkg_program_input(program, input, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(input); i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        numbers[i] = (float)((int32_t)(seed >> 59) - 16) / 16;
    }
}

static void chain_create_read(struct chain *c, enum conv_direction direction, const struct conv_problem *p, vkg_dtype dtype,
                              int parts, struct slopes slopes)
{
    chain_create(c, direction, p, dtype, parts, slopes);
    vkg_output(c->graph, "result", c->result);
}

/* A program of the chain that has run. */
static vkg_program *run(struct chain *c, uint32_t candidate)
{
    vkg_program *program;
    assert_int_equal(program_create_candidate(test_device(), c->graph, NULL, NULL, candidate, &program), VKG_OK);
    for (uint64_t i = 0; i < 4; i++)
        fill(program, c->inputs[i], i + 7);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    return program;
}

static float finish(float sum, float bias, float step, int parts, struct slopes slopes)
{
    if (parts & BIAS)
        sum += bias;
    if (parts & ACTIVATION && sum < 0)
        sum *= slopes.activation;
    return parts & STEP && !(step > 0) ? sum * slopes.step : sum;
}

static void compare(const struct conv_problem *p, uint32_t candidate, int parts, struct slopes slopes, vkg_program *plain,
                    const struct chain *alone, vkg_program *finished, const struct chain *chain)
{
    const float *sums = vkg_program_output(plain, alone->result, 0), *found = vkg_program_output(finished, chain->result, 0),
                *bias = vkg_program_input(finished, chain->inputs[2], 0), *step = vkg_program_input(finished, chain->inputs[3], 0);
    const uint64_t columns = vkg_tensor_elements(chain->inputs[2]);
    for (uint64_t i = 0; i < vkg_tensor_elements(chain->result); i++) {
        const float expected = finish(sums[i], bias[i % columns], step[i], parts, slopes);
        if (!(fabsf(found[i] - expected) <= 1e-6f * fmaxf(1, fabsf(expected))))
            fail_msg("candidate %u, parts %d, slopes %g %g, element %llu: %g, expected %g (n %u, in %ux%u, channels %u to %u, "
                     "kernel %ux%u)", candidate, parts, (double)slopes.activation, (double)slopes.step, (unsigned long long)i,
                     (double)found[i], (double)expected, p->n, p->ih, p->iw, p->ci, p->co, p->kh, p->kw);
    }
}

/* Every part of an epilogue that is asked for, in the kernel of that number, and in no dispatch more. */
static void check(const struct conv_problem *p, enum conv_direction direction, vkg_dtype dtype, uint32_t candidate, int parts)
{
    const struct slopes slopes = random_slopes();
    struct chain alone, chain;
    chain_create_read(&alone, direction, p, dtype, 0, slopes);
    chain_create_read(&chain, direction, p, dtype, parts, slopes);
    vkg_program *plain = run(&alone, candidate), *finished = run(&chain, candidate);
    compare(p, candidate, parts, slopes, plain, &alone, finished, &chain);
    assert_int_equal(vkg_program_get_stats(finished).dispatches, vkg_program_get_stats(plain).dispatches);
    vkg_program_destroy(&plain);
    vkg_program_destroy(&finished);
    vkg_graph_destroy(&alone.graph);
    vkg_graph_destroy(&chain.graph);
}

static struct conv_problem random_problem(void)
{
    static const uint32_t channels[] = {1, 3, 4, 5, 16, 20, 33, 64, 100};
    struct conv_problem p = {.n = 1 + test_random(6), .ih = 4 + test_random(6), .iw = 4 + test_random(6),
                             .ci = channels[test_random(9)], .co = channels[test_random(9)], .groups = 1,
                             .kh = 1 + test_random(4), .kw = 1 + test_random(4), .sh = 1 + test_random(2),
                             .sw = 1 + test_random(2), .ph = test_random(2), .pw = test_random(2), .dh = 1, .dw = 1};
    p.oh = (p.ih + 2 * p.ph - p.kh) / p.sh + 1;
    p.ow = (p.iw + 2 * p.pw - p.kw) / p.sw + 1;
    return p;
}

/* Sums and variances of the columns of a finished result, which kernels that compute tiles leave the parts of. */
static void check_moments(const struct conv_problem *p, enum conv_direction direction, vkg_dtype dtype, uint32_t candidate,
                          bool by_tiles)
{
    struct chain alone, c;
    chain_create_read(&alone, direction, p, dtype, 0, (struct slopes){0, 0});
    chain_create_read(&c, direction, p, dtype, BIAS | ACTIVATION, (struct slopes){0.2f, 0});
    const uint32_t axes = axes_all_but_last(c.result);
    vkg_tensor *sum = vkg_sum(c.graph, c.result, axes, false), *var = vkg_var(c.graph, c.result, axes, false, 0);
    vkg_output(c.graph, "sum", sum);
    vkg_output(c.graph, "var", var);
    vkg_program *plain = run(&alone, candidate), *program = run(&c, candidate);
    if (by_tiles) /* one that merges the parts, and the division by how many there are */
        assert_int_equal(vkg_program_get_stats(program).dispatches, vkg_program_get_stats(plain).dispatches + 2);
    const float *elements = vkg_program_output(program, c.result, 0), *sums = vkg_program_output(program, sum, 0),
                *variances = vkg_program_output(program, var, 0);
    const uint64_t columns = vkg_tensor_elements(sum), rows = vkg_tensor_elements(c.result) / columns;
    for (uint64_t k = 0; k < columns; k++) {
        double total = 0, size = 1e-6, squares = 0;
        for (uint64_t i = 0; i < rows; i++)
            total += (double)elements[i * columns + k], size += fabs((double)elements[i * columns + k]);
        for (uint64_t i = 0; i < rows; i++)
            squares += pow((double)elements[i * columns + k] - total / (double)rows, 2);
        const double variance = squares / (double)rows;
        if (!(fabs((double)sums[k] - total) <= 1e-5 * size) ||
            !(fabs((double)variances[k] - variance) <= 1e-5 * variance + 1e-9 * size * size))
            fail_msg("candidate %u, column %u: sum %g and variance %g, expected %g and %g (n %u, in %ux%u, channels %u to %u, kernel "
                     "%ux%u, stride %ux%u)", candidate, (uint32_t)k, (double)sums[k], (double)variances[k], total, variance,
                     p->n, p->ih, p->iw, p->ci, p->co, p->kh, p->kw, p->sh, p->sw);
    }
    vkg_program_destroy(&plain);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&alone.graph);
    vkg_graph_destroy(&c.graph);
}

/* A result that the next convolution reads as halves is written as these, rounded as a cast rounds it; and in float32 where
 * another reads that. Where the kernel can, in no dispatch more. */
static void check_copy(const struct conv_problem *p, enum conv_direction direction, vkg_dtype dtype, uint32_t candidate,
                       bool only_copy, bool by_kernel)
{
    struct chain alone, c;
    chain_create_read(&alone, direction, p, dtype, BIAS | ACTIVATION, (struct slopes){0.2f, 0});
    chain_create(&c, direction, p, dtype, BIAS | ACTIVATION, (struct slopes){0.2f, 0});
    vkg_tensor *halves = vkg_cast(c.graph, c.result, dtype);
    if (!only_copy)
        vkg_output(c.graph, "result", c.result);
    vkg_tensor *again = vkg_cast(c.graph, halves, VKG_FLOAT32);
    vkg_output(c.graph, "halves", again);
    vkg_program *plain = run(&alone, candidate), *program = run(&c, candidate);
    const float *exact = vkg_program_output(plain, alone.result, 0), *found = vkg_program_output(program, again, 0);
    const float unit = dtype == VKG_BFLOAT16 ? 0x1p-8f : 0x1p-11f;
    for (uint64_t i = 0; i < vkg_tensor_elements(again); i++)
        if (!(fabsf(found[i] - exact[i]) <= unit * fabsf(exact[i]) + 1e-7f))
            fail_msg("candidate %u, element %llu: %g as %s, expected %g (n %u, in %ux%u, channels %u to %u)", candidate,
                     (unsigned long long)i, (double)found[i], vkg_dtype_name(dtype), (double)exact[i], p->n, p->ih, p->iw, p->ci, p->co);
    if (by_kernel && only_copy) /* one that makes float32 of them for this test */
        assert_int_equal(vkg_program_get_stats(program).dispatches, vkg_program_get_stats(plain).dispatches + 1);
    vkg_program_destroy(&plain);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&alone.graph);
    vkg_graph_destroy(&c.graph);
}

/* Those of a device's own family; of others the first one, since drivers for processors take seconds to build one. */
static void of_every_candidate(void **unused)
{
    (void)unused;
    const vkg_device_caps *caps = vkg_device_get_caps(test_device());
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    const struct conv_problem p = random_problem();
    for (int d = CONV_FORWARD; d <= CONV_INPUT_GRAD; d++) {
        const enum conv_direction direction = (enum conv_direction)d;
        const uint32_t count = conv_candidates(caps, direction, &p, VKG_FLOAT32, plans);
        assert_true(count > 0);
        for (uint32_t i = 0; i < count && (caps->kernels == VKG_KERNELS_TILED || i < 2); i++) {
            check(&p, direction, VKG_FLOAT32, i, i ? 1 + (int)test_random(ALL) : ALL);
            check_moments(&p, direction, VKG_FLOAT32, i, plans[i].step.moments_tile[0] && plans[i].push.split == 1);
        }
        check(&p, direction, VKG_FLOAT32, count - 1, ALL);
    }
}

/* Fresh problems for the first candidate: phases of odd sizes, tiles that are not full. */
static void of_random_problems(void **unused)
{
    (void)unused;
    for (int i = 0; i < 6; i++) {
        const struct conv_problem p = random_problem();
        const enum conv_direction direction = (enum conv_direction)(i % 2);
        struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
        assert_true(conv_candidates(vkg_device_get_caps(test_device()), direction, &p, VKG_FLOAT32, plans) > 0);
        check(&p, direction, VKG_FLOAT32, 0, 1 + (int)test_random(ALL));
        check_moments(&p, direction, VKG_FLOAT32, 0, plans[0].step.moments_tile[0] && plans[0].push.split == 1);
    }
}

enum { DECIDED = 3 };

/* Two convolutions with an activation between them, and the gradients of both weights. */
static vkg_program *run_decided(vkg_dtype dtype, uint32_t channels, bool keep_float32, vkg_graph **graph, vkg_tensor *results[DECIDED])
{
    const vkg_conv_geometry geometry = {.stride = {2, 2}, .padding = {1, 1}};
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), graph), VKG_OK);
    vkg_graph_set_precision(*graph, dtype);
    vkg_tensor *inputs[] = {vkg_input(*graph, "x", VKG_SHAPE(3, 8, 8, 3)), vkg_input(*graph, "v", VKG_SHAPE(4, 4, 3, channels)),
                            vkg_input(*graph, "w", VKG_SHAPE(4, 4, channels, 8))};
    vkg_tensor *hidden = vkg_leaky_relu(*graph, vkg_convolution(*graph, inputs[0], inputs[1], geometry), 0.2f);
    results[0] = vkg_convolution(*graph, hidden, inputs[2], geometry);
    vkg_gradients(*graph, vkg_sum(*graph, vkg_square(*graph, results[0]), VKG_ALL_AXES, false), inputs + 1, 2, results + 1);
    for (int i = 0; i < DECIDED; i++)
        vkg_output(*graph, "result", results[i]);
    if (keep_float32)
        vkg_output(*graph, "hidden", hidden);
    assert_int_equal(vkg_program_create(test_device(), *graph, NULL, NULL, &program), VKG_OK);
    for (uint64_t i = 0; i < 3; i++)
        fill(program, inputs[i], i + 11);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    return program;
}

/* Of a result that the next convolution reads, and that decides the slopes of its gradient, the halves are all that is kept. */
static void copies_decide(void **unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++) {
        const uint32_t channels = i < 2 ? 16 : 5;
        vkg_graph *graphs[2];
        vkg_tensor *results[2][DECIDED];
        vkg_program *programs[2];
        for (int k = 0; k < 2; k++)
            programs[k] = run_decided(i % 2 ? VKG_BFLOAT16 : VKG_FLOAT16, channels, k, &graphs[k], results[k]);
        for (int r = 0; r < DECIDED; r++) {
            const float *found = vkg_program_output(programs[0], results[0][r], 0),
                        *expected = vkg_program_output(programs[1], results[1][r], 0);
            for (uint64_t e = 0; e < vkg_tensor_elements(results[0][r]); e++)
                assert_true(fabsf(found[e] - expected[e]) <= 1e-5f * fmaxf(1, fabsf(expected[e])));
        }
        for (int k = 0; k < 2; k++) {
            vkg_program_destroy(&programs[k]);
            vkg_graph_destroy(&graphs[k]);
        }
    }
}

static void of_halves(void **unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++) {
        const struct conv_problem p = random_problem();
        const enum conv_direction direction = (enum conv_direction)(i % 2);
        const vkg_dtype dtype = i < 2 ? VKG_FLOAT16 : VKG_BFLOAT16;
        struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
        assert_true(conv_candidates(vkg_device_get_caps(test_device()), direction, &p, dtype, plans) > 0);
        check(&p, direction, dtype, 0, ALL);
        check(&p, direction, dtype, 1, 1 + (int)test_random(ALL));
        check_moments(&p, direction, dtype, 0, plans[0].step.moments_tile[0] && plans[0].push.split == 1);
        check_copy(&p, direction, dtype, (uint32_t)i / 2, (i + i / 2) % 2, plans[i / 2].step.copies && plans[i / 2].push.split == 1);
    }
}

static bool find_parts(enum conv_direction direction, const struct conv_problem *p, vkg_dtype dtype, uint32_t *candidate)
{
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    const uint32_t count = conv_candidates(vkg_device_get_caps(test_device()), direction, p, dtype, plans);
    for (*candidate = 0; *candidate < count; ++*candidate)
        if (plans[*candidate].push.split > 1)
            return true;
    return false;
}

/* Sums of parts are finished where they are added: all that is asked for, where columns come in fours. */
static void of_sums_in_parts(void **unused)
{
    (void)unused;
    static const uint32_t columns[] = {5, 4, 20, 100};
    uint32_t candidate, found = 0;
    bool *fixed = &test_device()->caps.shared_sizes_fixed; /* where it is, nobody leaves moments of such sums */
    const bool was_fixed = *fixed;
    for (uint32_t i = 0; i < 9; i++) { /* the last one has several tiles of rows, where a kernel cuts so many sums at all */
        const enum conv_direction direction = (enum conv_direction)(i % 2);
        const uint32_t few = columns[i / 2 % 4 + i / 8 * 3], many = 72, side = i < 8 ? 4 + test_random(3) : 12;
        const bool finishes = finish_can(vkg_device_get_caps(test_device()), few);
        *fixed = was_fixed || i / 2 % 2;
        struct conv_problem p = {.n = 1 + test_random(2), .ih = side, .iw = side + 1, .kh = 4, .kw = 4, .sh = 1 + i / 2 % 2, .sw = 1, .ph = 1,
                                 .pw = 1, .dh = 1, .dw = 1, .groups = 1, .ci = direction ? few : many, .co = direction ? many : few};
        p.oh = (p.ih - 2) / p.sh + 1;
        p.ow = p.iw - 1;
        for (vkg_dtype dtype = VKG_FLOAT32; dtype <= VKG_BFLOAT16; dtype++) {
            if ((dtype != VKG_FLOAT32 && !dtype_is_half(dtype)) || !find_parts(direction, &p, dtype, &candidate))
                continue;
            found++;
            check(&p, direction, dtype, candidate, 1 + (int)test_random(ALL));
            check(&p, direction, dtype, candidate, ALL);
            check_moments(&p, direction, dtype, candidate, finishes && !*fixed);
            if (dtype_is_half(dtype))
                check_copy(&p, direction, dtype, candidate, test_random(2), finishes);
        }
    }
    *fixed = was_fixed;
    assert_true(found >= 8);
}

/* A NaN stays one, and ReLU makes 0 of −∞. */
static void of_what_is_no_number(void **unused)
{
    (void)unused;
    const struct conv_problem p = {1, 2, 2, 1, 2, 2, 4, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0};
    struct chain c;
    vkg_program *program;
    chain_create_read(&c, CONV_FORWARD, &p, VKG_FLOAT32, BIAS | ACTIVATION, (struct slopes){0, 0});
    assert_int_equal(vkg_program_create(test_device(), c.graph, NULL, NULL, &program), VKG_OK);
    for (uint64_t i = 0; i < 4; i++)
        fill(program, c.inputs[i], i);
    const float bias[4] = {NAN, -INFINITY, INFINITY, 100};
    memcpy(vkg_program_input(program, c.inputs[2], 0), bias, sizeof bias);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    const float *found = vkg_program_output(program, c.result, 0);
    for (int i = 0; i < 16; i += 4) {
        assert_true(isnan(found[i]));
        assert_true(found[i + 1] == 0 && isinf(found[i + 2]) && found[i + 3] > 90);
    }
    vkg_program_destroy(&program);
    vkg_graph_destroy(&c.graph);
}

/* --- where there must be none --- */

static uint32_t count_dispatches(vkg_graph *graph)
{
    vkg_program *program;
    assert_int_equal(vkg_program_create(test_device(), graph, NULL, NULL, &program), VKG_OK);
    const uint32_t count = vkg_program_get_stats(program).dispatches;
    vkg_program_destroy(&program);
    return count;
}

static const struct conv_problem small = {2, 4, 4, 3, 4, 4, 4, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0};

/* Dispatches that follow the convolution of a chain to which `more` was done. */
static uint32_t count_more(void (*more)(struct chain *))
{
    struct chain c;
    chain_create_read(&c, CONV_FORWARD, &small, VKG_FLOAT32, 0, (struct slopes){0, 0});
    const uint32_t before = count_dispatches(c.graph);
    vkg_graph_destroy(&c.graph);
    chain_create_read(&c, CONV_FORWARD, &small, VKG_FLOAT32, 0, (struct slopes){0, 0});
    c.graph->output_count = 0;
    more(&c);
    const uint32_t after = count_dispatches(c.graph);
    vkg_graph_destroy(&c.graph);
    return after - before;
}

static void output(struct chain *c, vkg_tensor *tensor)
{
    vkg_output(c->graph, "result", tensor);
}

static void one_reader(struct chain *c)
{
    output(c, vkg_relu(c->graph, c->result));
}

static void two_readers(struct chain *c)
{
    output(c, vkg_relu(c->graph, c->result));
    output(c, vkg_exp(c->graph, c->result));
}

static void read_from_outside(struct chain *c)
{
    output(c, vkg_relu(c->graph, c->result));
    output(c, c->result);
}

static void bias_of_places(struct chain *c)
{
    output(c, vkg_add(c->graph, c->result, vkg_reshape(c->graph, c->inputs[2], VKG_SHAPE(4, 1))));
}

static void computed_bias(struct chain *c)
{
    output(c, vkg_add(c->graph, c->result, vkg_exp(c->graph, c->inputs[2])));
}

static void step_that_is_computed(struct chain *c)
{
    vkg_tensor *step = vkg_affine(c->graph, c->inputs[3], 2, 1);
    output(c, vkg_mul(c->graph, c->result, pointwise_unary(c->graph, &op_leaky_step, step, 0, 0)));
}

static void sum_of_two(struct chain *c)
{
    output(c, vkg_add(c->graph, c->result, c->inputs[3]));
}

static void another_shape(struct chain *c)
{
    output(c, vkg_relu(c->graph, vkg_reshape(c->graph, c->result, VKG_SHAPE(2, 64))));
}

static void only_where_it_is_right(void **unused)
{
    (void)unused;
    assert_int_equal(count_more(one_reader), 0);
    assert_int_equal(count_more(another_shape), 0);
    assert_int_equal(count_more(two_readers), 1);
    assert_int_equal(count_more(read_from_outside), 1);
    assert_int_equal(count_more(bias_of_places), 1);
    assert_int_equal(count_more(computed_bias), 2); /* the bias, and the sum */
    assert_int_equal(count_more(step_that_is_computed), 1);
    assert_int_equal(count_more(sum_of_two), 1);
}

/* Dispatches of two layers, or of their convolutions alone, and of the gradient with respect to what they read. */
static uint32_t count_of_layers(bool alone)
{
    vkg_graph *graph;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_tensor *x = vkg_input(graph, "x", VKG_SHAPE(3, 8, 8, 3)), *w1 = vkg_input(graph, "w1", VKG_SHAPE(3, 3, 3, 8)),
               *w2 = vkg_input(graph, "w2", VKG_SHAPE(3, 3, 8, 5)), *b = vkg_input(graph, "b", VKG_SHAPE(8));
    const vkg_conv_geometry geometry = {.padding = {1, 1}};
    vkg_tensor *y = vkg_convolution(graph, x, w1, geometry);
    y = alone ? y : vkg_leaky_relu(graph, vkg_add(graph, y, b), 0.2f);
    y = vkg_convolution(graph, y, w2, geometry);
    y = alone ? y : vkg_relu(graph, y);
    vkg_tensor *loss = vkg_sum(graph, vkg_square(graph, y), VKG_ALL_AXES, false), *gradient;
    vkg_gradients(graph, loss, &x, 1, &gradient);
    vkg_output(graph, "gradient", gradient);
    const uint32_t count = count_dispatches(graph);
    vkg_graph_destroy(&graph);
    return count;
}

/* Bias, activations and their slopes take no dispatch: the last slope is part of the loss's gradient. */
static void of_layers_and_their_gradients(void **unused)
{
    (void)unused;
    assert_int_equal(count_of_layers(false), count_of_layers(true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_every_candidate), cmocka_unit_test(of_random_problems), cmocka_unit_test(of_halves), cmocka_unit_test(copies_decide), cmocka_unit_test(of_sums_in_parts),
        cmocka_unit_test(of_what_is_no_number), cmocka_unit_test(only_where_it_is_right),
        cmocka_unit_test(of_layers_and_their_gradients)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
