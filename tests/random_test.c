/* Random operations: their distributions, and that every run draws anew. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"

struct run {
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
};

static void begin(struct run *run)
{
    *run = (struct run){0};
    assert_int_equal(vkg_graph_create(test_log(), &run->graph), VKG_OK);
}

static void build(struct run *run, vkg_tensor *output)
{
    vkg_output(run->graph, "y", output);
    assert_int_equal(vkg_state_create(test_device(), &run->graph, 1, test_random(1000), &run->state), VKG_OK);
    assert_int_equal(vkg_program_create(test_device(), run->graph, run->state, NULL, &run->program), VKG_OK);
    assert_int_equal(vkg_program_run(run->program), VKG_OK);
}

static void finish(struct run *run)
{
    vkg_program_destroy(&run->program);
    vkg_state_destroy(&run->state);
    vkg_graph_destroy(&run->graph);
}

static double mean_of(const float *values, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += (double)values[i];
    return sum / count;
}

/* Five standard deviations of the mean of `count` values that spread by `std`. */
static double far_off(double std, uint32_t count)
{
    return 5 * std / sqrt(count);
}

static void bernoulli_is_one_with_its_probability(void **unused)
{
    (void)unused;
    const float probabilities[] = {0, 0.1f, 0.5f, 0.9f, 1};
    for (int i = 0; i < 5; i++) {
        enum { COUNT = 40000 };
        struct run run;
        begin(&run);
        vkg_tensor *y = vkg_random_bernoulli(run.graph, VKG_SHAPE(COUNT), probabilities[i]);
        build(&run, y);
        const float *values = vkg_program_output(run.program, y, 0);
        double p = (double)probabilities[i];
        for (uint32_t k = 0; k < COUNT; k++)
            assert_true(values[k] == 0 || values[k] == 1);
        assert_true(fabs(mean_of(values, COUNT) - p) <= far_off(sqrt(p * (1 - p)), COUNT));
        finish(&run);
    }
}

/* Of what a normal distribution has in [low, high]: sums over fine steps, beside its density at the end that is nearer to 0. */
static void moments_within(double low, double high, double *mean, double *std)
{
    enum { CELLS = 100000 };
    const double nearest = low > 0 ? low : high < 0 ? high : 0, least = fmax(low, nearest - 12);
    const double step = (fmin(high, nearest + 12) - least) / CELLS;
    double share = 0, sum = 0, squares = 0;
    for (int i = 0; i < CELLS; i++) {
        const double x = least + (i + 0.5) * step, density = exp((nearest - x) * (nearest + x) / 2);
        share += density;
        sum += density * (x - nearest);
        squares += density * (x - nearest) * (x - nearest);
    }
    *mean = nearest + sum / share;
    *std = sqrt(squares / share - (sum / share) * (sum / share));
}

static void truncated_normal_keeps_its_ends(void **unused)
{
    (void)unused;
    const double ends[][2] = {{-2, 2}, {-0.5, 3}, {1, 2}, {-6, 6}, {2.5, 4}, {3, 4}, {5, 6}, {8, 9}, {-9, -8}, {-6, -5.5}, {4, INFINITY},
                              {-INFINITY, -20}, {40, 41}, {-INFINITY, INFINITY}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        enum { COUNT = 40000 };
        struct run run;
        double low = ends[i][0], high = ends[i][1], mean, std, squares = 0;
        begin(&run);
        vkg_tensor *y = vkg_random_truncated_normal(run.graph, VKG_SHAPE(COUNT / 2, 2), (float)low, (float)high);
        build(&run, y);
        const float *values = vkg_program_output(run.program, y, 0);
        moments_within(low, high, &mean, &std);
        for (uint32_t k = 0; k < COUNT; k++) {
            assert_true((double)values[k] >= low && (double)values[k] <= high);
            squares += ((double)values[k] - mean) * ((double)values[k] - mean);
        }
        if (!(fabs(mean_of(values, COUNT) - mean) <= far_off(std, COUNT)) || !(fabs(sqrt(squares / COUNT) / std - 1) <= 0.05))
            fail_msg("[%g, %g]: mean %g and deviation %g, expected %g and %g", low, high, mean_of(values, COUNT), sqrt(squares / COUNT),
                     mean, std);
        finish(&run);
    }
}

/* What is kept is scaled, and the gradient goes through what is kept alone. */
static void dropout_keeps_the_mean(void **unused)
{
    (void)unused;
    enum { COUNT = 30000 };
    struct run run;
    vkg_tensor *gradient;
    begin(&run);
    vkg_tensor *x = vkg_input(run.graph, "x", VKG_SHAPE(COUNT)), *y = vkg_dropout(run.graph, x, 0.3f);
    vkg_gradients(run.graph, y, &x, 1, &gradient);
    vkg_output(run.graph, "gradient", gradient);
    vkg_output(run.graph, "y", y);
    assert_int_equal(vkg_state_create(test_device(), &run.graph, 1, 5, &run.state), VKG_OK);
    assert_int_equal(vkg_program_create(test_device(), run.graph, run.state, NULL, &run.program), VKG_OK);
    float *data = vkg_program_input(run.program, x, 0);
    for (uint32_t i = 0; i < COUNT; i++)
        data[i] = 2;
    assert_int_equal(vkg_program_run(run.program), VKG_OK);
    const float *values = vkg_program_output(run.program, y, 0), *slopes = vkg_program_output(run.program, gradient, 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(values[i] == 0 || fabsf(values[i] - 2 / 0.7f) < 1e-5f);
        assert_true(values[i] == 2 * slopes[i]);
    }
    assert_true(fabs(mean_of(values, COUNT) - 2) <= far_off(2 * sqrt(0.3 / 0.7), COUNT));
    finish(&run);
}

static void permutations_name_each_once(void **unused)
{
    (void)unused;
    const uint32_t sizes[] = {1, 2, 64, 1 + test_random(300)};
    for (int i = 0; i < 4; i++) {
        struct run run;
        int32_t before[301];
        bool seen[301] = {false};
        begin(&run);
        vkg_tensor *y = vkg_random_permutation(run.graph, sizes[i]);
        build(&run, y);
        const int32_t *order = vkg_program_output(run.program, y, 0);
        for (uint32_t k = 0; k < sizes[i]; k++) {
            assert_true(order[k] >= 0 && order[k] < (int32_t)sizes[i] && !seen[order[k]]);
            seen[order[k]] = true;
        }
        memcpy(before, order, sizes[i] * sizeof *before);
        assert_int_equal(vkg_program_run(run.program), VKG_OK);
        if (sizes[i] >= 64) /* one in 64! would be the same again */
            assert_memory_not_equal(before, vkg_program_output(run.program, y, 0), sizes[i] * sizeof *before);
        finish(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bernoulli_is_one_with_its_probability), cmocka_unit_test(truncated_normal_keeps_its_ends),
        cmocka_unit_test(dropout_keeps_the_mean), cmocka_unit_test(permutations_name_each_once)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
