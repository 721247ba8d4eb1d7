/* What runs inside what: small tensors that larger spaces compute again, assignments in place, results that lie in memory as halves. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "on_device.h"
#include "ops/convolution.h"
#include "ops/ops.h"
#include "program/program.h"

static bool is_texel(void)
{
    return vkg_device_get_caps(test_device())->kernels == VKG_KERNELS_TEXEL;
}

static vkg_program *create(vkg_graph *graph, vkg_state *state)
{
    vkg_program *program;
    assert_int_equal(vkg_program_create(test_device(), graph, state, NULL, &program), VKG_OK);
    return program;
}

static void fill(vkg_program *program, const vkg_tensor *input)
{
    float *numbers = vkg_program_input(program, input, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(input); i++)
        numbers[i] = test_random_float();
}

static void assert_near(float found, double expected, double tolerance)
{
    if (!(fabs((double)found - expected) <= tolerance * fmax(1, fabs(expected))))
        fail_msg("%.9g, expected %.9g", (double)found, expected);
}

/* --- small tensors --- */

/* x · 1/√(1 + a²) + b, where a and b repeat over x: of `turned` an element is read from the other end. */
static void check_small(const vkg_shape *shape, const vkg_shape *small, bool turned)
{
    vkg_graph *g;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *x = vkg_input(g, "x", *shape), *a = vkg_input(g, "a", *small), *b = vkg_input(g, "b", *small);
    const uint32_t last = small->rank - 1, all = (1u << small->rank) - 1;
    vkg_tensor *scale = vkg_rsqrt(g, vkg_affine(g, vkg_square(g, turned ? vkg_flip(g, a, all) : a), 1, 1));
    vkg_tensor *y = vkg_add(g, vkg_mul(g, x, scale), b), *sums = vkg_sum(g, y, 1u << (shape->rank - 1), false);
    vkg_output(g, "y", y);
    vkg_output(g, "sums", sums);
    vkg_program *program = create(g, NULL);
    fill(program, x), fill(program, a), fill(program, b);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    const float *xs = vkg_program_input(program, x, 0), *as = vkg_program_input(program, a, 0), *bs = vkg_program_input(program, b, 0),
                *found = vkg_program_output(program, y, 0), *found_sums = vkg_program_output(program, sums, 0);
    const uint32_t columns = shape->dims[shape->rank - 1], kept = small->dims[last];
    double sum = 0;
    for (uint64_t i = 0; i < vkg_tensor_elements(x); i++) {
        const uint64_t at = kept == 1 ? i / columns % vkg_tensor_elements(a) : i % vkg_tensor_elements(a);
        const double of = (double)as[turned ? vkg_tensor_elements(a) - 1 - at : at];
        const double expected = (double)xs[i] / sqrt(1 + of * of) + (double)bs[at];
        sum = i % columns ? sum + expected : expected;
        assert_near(found[i], expected, 2e-6);
        if (i % columns == columns - 1)
            assert_near(found_sums[i / columns], sum, 1e-5);
    }
    if (!turned && vkg_tensor_elements(a) < vkg_tensor_elements(x)) /* the two results; and the scale, unless both compute it */
        assert_int_equal(vkg_program_get_stats(program).dispatches, is_texel() ? 3 : 2);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&g);
}

static void small_ones_are_computed_again(void **unused)
{
    (void)unused;
    static const uint32_t channels[] = {1, 3, 4, 5, 8, 20};
    for (int i = 0; i < 6; i++) {
        const uint32_t n = 1 + test_random(4), h = 2 + test_random(5), w = 1 + test_random(5), c = channels[i];
        const vkg_shape shape = VKG_SHAPE(n, h, w, c);
        const vkg_shape smaller[] = {VKG_SHAPE(c), VKG_SHAPE(w, c), VKG_SHAPE(h, w, 1)};
        for (int s = 0; s < 3; s++)
            for (int turned = 0; turned < 2; turned++)
                if (c > 1)
                    check_small(&shape, &smaller[s], turned);
    }
}

/* --- assignments --- */

enum { SIZE = 60, RUNS = 3 };

/* s ← 0.9·s + 0.1·x, from s itself or turned around; and what another reader makes of the s before. */
static void check_assignment(bool turned, bool read, uint32_t dispatches)
{
    vkg_graph *g;
    vkg_state *state;
    float expected[SIZE];
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(SIZE)), *s = vkg_buffer(g, "s", VKG_SHAPE(SIZE), (vkg_init){VKG_INIT_CONSTANT, 1, 0});
    vkg_tensor *before = vkg_affine(g, s, 2, 0);
    vkg_assign(g, s, vkg_add(g, vkg_affine(g, turned ? vkg_flip(g, s, 1) : s, 0.9f, 0), vkg_affine(g, x, 0.1f, 0)));
    if (read)
        vkg_output(g, "before", before);
    assert_int_equal(vkg_state_create(test_device(), &g, 1, 1, &state), VKG_OK);
    vkg_program *program = create(g, state);
    for (int i = 0; i < SIZE; i++)
        expected[i] = 1;
    for (int run = 0; run < RUNS; run++) {
        fill(program, x);
        assert_int_equal(vkg_program_run(program), VKG_OK);
        const float *xs = vkg_program_input(program, x, 0), *found = read ? vkg_program_output(program, before, 0) : NULL;
        float next[SIZE], kept[SIZE];
        for (int i = 0; i < SIZE; i++) {
            if (read)
                assert_near(found[i], 2 * (double)expected[i], 1e-6);
            next[i] = 0.9f * expected[turned ? SIZE - 1 - i : i] + 0.1f * xs[i];
        }
        memcpy(expected, next, sizeof next);
        assert_int_equal(vkg_state_read(state, vkg_state_find(state, "s"), kept), VKG_OK);
        for (int i = 0; i < SIZE; i++)
            assert_near(kept[i], (double)expected[i], 1e-6);
    }
    if (dispatches)
        assert_int_equal(vkg_program_get_stats(program).dispatches, dispatches);
    vkg_program_destroy(&program);
    vkg_state_destroy(&state);
    vkg_graph_destroy(&g);
}

/* One dispatch where an element becomes what follows it; not where it is read from elsewhere. */
static void assignments_are_done_in_place(void **unused)
{
    (void)unused;
    check_assignment(false, false, 1);
    check_assignment(true, false, 2);
    check_assignment(false, true, 0);
    check_assignment(true, true, 0);
}

enum { FIRST = 7, SECOND = 31 };

/* Of a late value, then of an early one, for which an older kernel has room: the last one counts. */
static void the_last_assignment_counts(void **unused)
{
    (void)unused;
    static const char *const names[] = {"p", "q", "r"};
    vkg_graph *g;
    vkg_state *state;
    float kept[SIZE];
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(SIZE)), *s = vkg_buffer(g, "s", VKG_SHAPE(SIZE), (vkg_init){VKG_INIT_CONSTANT, 1, 0});
    vkg_tensor *early = vkg_affine(g, x, 2, 0), *turned = vkg_flip(g, early, 1);
    vkg_output(g, "early", early);
    for (int i = 0; i < 3; i++)
        vkg_output(g, names[i], vkg_affine(g, turned, (float)(3 + i), 0));
    vkg_assign(g, s, vkg_affine(g, turned, FIRST, 0));
    vkg_assign(g, vkg_buffer(g, "s", VKG_SHAPE(SIZE), (vkg_init){VKG_INIT_CONSTANT, 1, 0}), vkg_affine(g, x, SECOND, 0));
    assert_int_equal(vkg_state_create(test_device(), &g, 1, 1, &state), VKG_OK);
    vkg_program *program = create(g, state);
    fill(program, x);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    assert_int_equal(vkg_state_read(state, vkg_state_find(state, "s"), kept), VKG_OK);
    const float *xs = vkg_program_input(program, x, 0);
    for (int i = 0; i < SIZE; i++)
        assert_near(kept[i], SECOND * (double)xs[i], 1e-6);
    vkg_program_destroy(&program);
    vkg_state_destroy(&state);
    vkg_graph_destroy(&g);
}

/* --- chains that get too large --- */

enum { ROWS = 9, COLUMNS = 13, FACTORS = 10, TERMS = 9 };

/* x = a·b·b·… is computed inside of its sum, until z, which reads eleven tensors with it, has it lie in memory. The sum of x, which is built
 * before that, may then no more run beside the sum of a. */
static void what_lies_in_memory_is_read_behind_it(void **unused)
{
    (void)unused;
    vkg_graph *g;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *inputs[2 + TERMS], *x, *y;
    for (int i = 0; i < 2 + TERMS; i++) {
        char name[8];
        snprintf(name, sizeof name, "in%d", i);
        inputs[i] = vkg_input(g, name, VKG_SHAPE(ROWS, COLUMNS));
    }
    vkg_tensor *sum_a = vkg_sum(g, inputs[0], 1, false);
    x = inputs[0];
    for (int i = 0; i < FACTORS; i++)
        x = vkg_mul(g, x, inputs[1]);
    vkg_tensor *sum_x = vkg_sum(g, x, 1, false);
    y = inputs[2];
    for (int i = 3; i < 2 + TERMS; i++)
        y = vkg_add(g, y, inputs[i]);
    vkg_tensor *z = vkg_add(g, x, y);
    vkg_output(g, "sum_a", sum_a);
    vkg_output(g, "sum_x", sum_x);
    vkg_output(g, "z", z);
    vkg_program *program = create(g, NULL);
    for (int run = 0; run < 2; run++) {
        for (int i = 0; i < 2 + TERMS; i++)
            fill(program, inputs[i]);
        assert_int_equal(vkg_program_run(program), VKG_OK);
        const float *as = vkg_program_input(program, inputs[0], 0), *bs = vkg_program_input(program, inputs[1], 0),
                    *found = vkg_program_output(program, sum_x, 0), *found_z = vkg_program_output(program, z, 0);
        for (int c = 0; c < COLUMNS; c++) {
            double sum = 0;
            for (int r = 0; r < ROWS; r++) {
                const int at = r * COLUMNS + c;
                double product = (double)as[at] * pow((double)bs[at], FACTORS), all = product;
                for (int i = 2; i < 2 + TERMS; i++)
                    all += (double)((const float *)vkg_program_input(program, inputs[i], 0))[at];
                assert_near(found_z[at], all, 1e-5);
                sum += product;
            }
            assert_near(found[c], sum, 1e-5);
        }
    }
    vkg_program_destroy(&program);
    vkg_graph_destroy(&g);
}

enum { LINKS = 60 };

/* More numbers than a kernel has specialisation constants. */
static void long_chains_of_numbers(void **unused)
{
    (void)unused;
    vkg_graph *g;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(SIZE)), *y = x;
    for (int i = 0; i < LINKS; i++)
        y = i % 2 ? vkg_clamp(g, y, -2 - (float)i, 2 + (float)i) : vkg_affine(g, y, i % 4 ? -1.01f : 0.98f, 0.01f * (float)i);
    vkg_output(g, "y", y);
    vkg_program *program = create(g, NULL);
    fill(program, x);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    const float *xs = vkg_program_input(program, x, 0), *found = vkg_program_output(program, y, 0);
    for (int at = 0; at < SIZE; at++) {
        double expected = (double)xs[at];
        for (int i = 0; i < LINKS; i++)
            expected = i % 2 ? fmin(fmax(expected, -2 - i), 2 + i) : (i % 4 ? -1.01 : 0.98) * expected + 0.01 * i;
        assert_near(found[at], expected, 1e-5);
    }
    vkg_program_destroy(&program);
    vkg_graph_destroy(&g);
}

/* --- rearrangements --- */

/* A sum over axes with one of size 1 between them, along which the rearrangement may miss. */
static void sums_skip_axes_of_one(void **unused)
{
    (void)unused;
    const uint32_t n = 2 + test_random(5), c = 1 + test_random(9);
    vkg_graph *g;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(n, 1, c)), *spread = vkg_spread(g, x, 1, 2);
    vkg_tensor *sum = vkg_sum(g, spread, VKG_ALL_AXES, false), *lines = vkg_sum(g, spread, 4, false);
    vkg_output(g, "sum", sum);
    vkg_output(g, "lines", lines);
    vkg_program *program = create(g, NULL);
    fill(program, x);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    const float *xs = vkg_program_input(program, x, 0), *found = vkg_program_output(program, lines, 0);
    double all = 0;
    for (uint32_t i = 0; i < n; i++) {
        double line = 0;
        for (uint32_t k = 0; k < c; k++)
            line += (double)xs[i * c + k];
        assert_near(found[i], line, 1e-5);
        all += line;
    }
    assert_near(*(const float *)vkg_program_output(program, sum, 0), all, 1e-5);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&g);
}

/* Beside a constant that moves are zeros, whether it is known as one while the graph is built, or infinite. */
static void constants_move(void **unused)
{
    (void)unused;
    enum { N = 3, C = 3 };
    vkg_graph *g;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(N, C)), *one = vkg_constant(g, 1, VKG_SHAPE(N, 1));
    vkg_tensor *with_ones = vkg_concat(g, (vkg_tensor *[]){read_again(g, one), x}, 2, 1);
    vkg_tensor *masked = vkg_concat(g, (vkg_tensor *[]){x, vkg_constant(g, -INFINITY, VKG_SHAPE(N, 1))}, 2, 1);
    vkg_output(g, "ones", with_ones);
    vkg_output(g, "masked", masked);
    vkg_program *program = create(g, NULL);
    fill(program, x);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    const float *xs = vkg_program_input(program, x, 0), *ones = vkg_program_output(program, with_ones, 0),
                *infinite = vkg_program_output(program, masked, 0);
    for (int n = 0; n < N; n++)
        for (int c = 0; c <= C; c++) {
            assert_true(ones[n * (C + 1) + c] == (c ? xs[n * C + c - 1] : 1));
            assert_true(infinite[n * (C + 1) + c] == (c < C ? xs[n * C + c] : -INFINITY));
        }
    vkg_program_destroy(&program);
    vkg_graph_destroy(&g);
}

/* --- halves --- */

/* A convolution's result whose halves alone are read, by the program's user. */
static void halves_may_be_an_output(void **unused)
{
    (void)unused;
    vkg_graph *g;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_graph_set_precision(g, VKG_BFLOAT16);
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(2, 6, 6, 8)), *w = vkg_input(g, "w", VKG_SHAPE(3, 3, 8, 16));
    vkg_tensor *y = vkg_relu(g, vkg_convolution(g, x, w, (vkg_conv_geometry){.padding = {1, 1}}));
    vkg_tensor *halves = vkg_cast(g, y, VKG_BFLOAT16), *same = vkg_relu(g, vkg_affine(g, vkg_convolution(g, x, w, (vkg_conv_geometry){.padding = {1, 1}}), 2, 0));
    vkg_output(g, "halves", halves);
    vkg_program *alone = create(g, NULL);
    fill(alone, x), fill(alone, w);
    assert_int_equal(vkg_program_run(alone), VKG_OK);
    vkg_output(g, "same", same); /* twice that, in float32 */
    vkg_program *both = create(g, NULL);
    memcpy(vkg_program_input(both, x, 0), vkg_program_input(alone, x, 0), vkg_tensor_elements(x) * sizeof(float));
    memcpy(vkg_program_input(both, w, 0), vkg_program_input(alone, w, 0), vkg_tensor_elements(w) * sizeof(float));
    assert_int_equal(vkg_program_run(both), VKG_OK);
    const uint16_t *found = vkg_program_output(alone, halves, 0);
    const float *twice = vkg_program_output(both, same, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(y); i++) {
        const uint32_t bits = (uint32_t)found[i] << 16;
        float number;
        memcpy(&number, &bits, sizeof number);
        assert_near(number, (double)twice[i] / 2, 0x1p-8);
    }
    vkg_program_destroy(&alone);
    vkg_program_destroy(&both);
    vkg_graph_destroy(&g);
}

/* A convolution of halves in a batch normalisation: its result x, rounded, is what the normalisation and its gradient read. */
static void results_lie_as_halves(void **unused)
{
    (void)unused;
    const vkg_conv_geometry geometry = {.stride = {2, 2}, .padding = {1, 1}};
    for (int i = 0; i < 2; i++) {
        const uint32_t n = 2 + test_random(3), channels = 8 * (1 + test_random(3));
        vkg_graph *g[2];
        vkg_tensor *inputs[2][2], *y[2], *dw[2];
        vkg_program *program[2];
        for (int whole = 0; whole < 2; whole++) { /* the same, of which the result is kept in float32, as somebody asks for it */
            assert_int_equal(vkg_graph_create(test_log(), &g[whole]), VKG_OK);
            vkg_graph_set_precision(g[whole], i ? VKG_BFLOAT16 : VKG_FLOAT16);
            inputs[whole][0] = vkg_input(g[whole], "x", VKG_SHAPE(n, 8, 8, 8));
            inputs[whole][1] = vkg_input(g[whole], "w", VKG_SHAPE(4, 4, 8, channels));
            vkg_tensor *result = vkg_convolution(g[whole], inputs[whole][0], inputs[whole][1], geometry);
            vkg_tensor *one = vkg_constant(g[whole], 1, VKG_SHAPE(channels)), *zero = vkg_constant(g[whole], 0, VKG_SHAPE(channels));
            y[whole] = vkg_batch_normalization(g[whole], result, one, zero, 1e-5f, NULL, NULL);
            vkg_tensor *loss = vkg_sum(g[whole], vkg_exp(g[whole], y[whole]), VKG_ALL_AXES, false);
            vkg_gradients(g[whole], loss, &inputs[whole][1], 1, &dw[whole]);
            vkg_output(g[whole], "y", y[whole]);
            vkg_output(g[whole], "dw", dw[whole]);
            if (whole)
                vkg_output(g[whole], "result", result);
            program[whole] = create(g[whole], NULL);
        }
        for (int k = 0; k < 2; k++) {
            fill(program[0], inputs[0][k]);
            memcpy(vkg_program_input(program[1], inputs[1][k], 0), vkg_program_input(program[0], inputs[0][k], 0),
                   vkg_tensor_elements(inputs[0][k]) * sizeof(float));
        }
        double difference = 0, largest = 0;
        for (int whole = 0; whole < 2; whole++)
            assert_int_equal(vkg_program_run(program[whole]), VKG_OK);
        const float *found = vkg_program_output(program[0], y[0], 0), *exact = vkg_program_output(program[1], y[1], 0);
        const double unit = i ? 0x1p-8 : 0x1p-11; /* of rounding; a value is at most some four deviations from its mean */
        for (uint64_t k = 0; k < vkg_tensor_elements(y[0]); k++) {
            assert_near(found[k], (double)exact[k], 8 * unit);
            difference = fmax(difference, fabs((double)(found[k] - exact[k])));
        }
        assert_true(difference > unit / 64); /* it was rounded */
        const float *found_dw = vkg_program_output(program[0], dw[0], 0), *exact_dw = vkg_program_output(program[1], dw[1], 0);
        difference = 0;
        for (uint64_t k = 0; k < vkg_tensor_elements(dw[0]); k++) {
            difference = fmax(difference, fabs((double)(found_dw[k] - exact_dw[k])));
            largest = fmax(largest, fabs((double)exact_dw[k]));
        }
        assert_true(difference <= 8 * unit * largest);
        for (int whole = 0; whole < 2; whole++) {
            vkg_program_destroy(&program[whole]);
            vkg_graph_destroy(&g[whole]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(small_ones_are_computed_again), cmocka_unit_test(assignments_are_done_in_place),
                                       cmocka_unit_test(the_last_assignment_counts), cmocka_unit_test(what_lies_in_memory_is_read_behind_it),
                                       cmocka_unit_test(long_chains_of_numbers), cmocka_unit_test(sums_skip_axes_of_one),
                                       cmocka_unit_test(constants_move), cmocka_unit_test(halves_may_be_an_output),
                                       cmocka_unit_test(results_lie_as_halves)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
