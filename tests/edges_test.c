/* What operations make of numbers at their edges: infinities, NaNs, ties. tests/ops_test.c measures distances, and nothing is near an
 * infinity; what is expected here is what PyTorch says. */
#include <math.h>
#include <string.h>

#include "on_device.h"

/* y of an input, and perhaps its gradient. */
struct edge {
    vkg_graph *graph;
    vkg_program *program;
    vkg_tensor *x, *y, *gradient;
};

static void begin(struct edge *e, vkg_shape shape)
{
    *e = (struct edge){0};
    assert_int_equal(vkg_graph_create(test_log(), &e->graph), VKG_OK);
    e->x = vkg_input(e->graph, "x", shape);
}

static void run(struct edge *e, const float *numbers, bool differentiate)
{
    vkg_output(e->graph, "y", e->y);
    if (differentiate) {
        vkg_gradients(e->graph, e->y, &e->x, 1, &e->gradient);
        vkg_output(e->graph, "gradient", e->gradient);
    }
    assert_int_equal(vkg_program_create(test_device(), e->graph, NULL, NULL, &e->program), VKG_OK);
    memcpy(vkg_program_input(e->program, e->x, 0), numbers, vkg_tensor_elements(e->x) * sizeof *numbers);
    assert_int_equal(vkg_program_run(e->program), VKG_OK);
}

static void expect(const struct edge *e, const vkg_tensor *tensor, const float *expected, const char *what)
{
    const float *found = vkg_program_output(e->program, tensor, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(tensor); i++) {
        const bool near = isfinite(expected[i]) && fabsf(found[i] - expected[i]) <= 1e-6f * (1 + fabsf(expected[i]));
        if (!(isnan(expected[i]) ? isnan(found[i]) : found[i] == expected[i] || near))
            fail_msg("%s, element %u: %g, expected %g", what, (unsigned)i, (double)found[i], (double)expected[i]);
    }
}

static void end(struct edge *e)
{
    vkg_program_destroy(&e->program);
    vkg_graph_destroy(&e->graph);
}

static void signs(void **unused)
{
    (void)unused;
    struct edge e;
    begin(&e, VKG_SHAPE(7));
    e.y = vkg_sign(e.graph, e.x);
    run(&e, (const float[]){NAN, -INFINITY, -2, -0.0f, 0, 1e-30f, INFINITY}, false);
    expect(&e, e.y, (const float[]){0, -1, -1, 0, 0, 1, 1}, "sign");
    end(&e);
}

static void a_nan_is_the_greatest(void **unused)
{
    (void)unused;
    enum { ROWS = 6, COLUMNS = 4 };
    static const float rows[ROWS][COLUMNS] = {{1, 2, NAN, 3},
                                              {NAN, NAN, 1, 0},
                                              {INFINITY, NAN, 2, -INFINITY},
                                              {-INFINITY, -INFINITY, -INFINITY, -INFINITY},
                                              {NAN, NAN, NAN, NAN},
                                              {0, -INFINITY, INFINITY, INFINITY}};
    static const int32_t expected[ROWS] = {2, 0, 1, 0, 0, 2};
    for (uint32_t axis = 0; axis < 2; axis++) {
        struct edge e;
        begin(&e, VKG_SHAPE(ROWS, COLUMNS));
        e.y = vkg_argmax(e.graph, axis ? e.x : vkg_transpose(e.graph, e.x, 0, 1), axis, false);
        run(&e, rows[0], false);
        assert_memory_equal(vkg_program_output(e.program, e.y, 0), expected, sizeof expected);
        end(&e);
    }
}

static void places_beyond_float32_are_refused(void **unused)
{
    (void)unused;
    struct edge e;
    begin(&e, VKG_SHAPE(1, (1 << 24) + 1));
    test_expect_errors(true);
    vkg_argmax(e.graph, e.x, 1, false);
    test_expect_errors(false);
    assert_non_null(strstr(vkg_graph_error(e.graph), "argmax: axis 1 of [1,16777217] has more than 2^24 elements"));
    end(&e);
}

static void logsumexp_of_infinities(void **unused)
{
    (void)unused;
    enum { ROWS = 6, COLUMNS = 3 };
    static const float rows[ROWS][COLUMNS] = {{-INFINITY, -INFINITY, -INFINITY}, {INFINITY, 1, 100}, {-INFINITY, 1, 1},
                                              {INFINITY, INFINITY, 0},           {INFINITY, -INFINITY, 9}, {NAN, 1, 2}};
    static const float values[ROWS] = {-INFINITY, INFINITY, 1.6931472f, INFINITY, INFINITY, NAN};
    static const float slopes[ROWS][COLUMNS] = {{NAN, NAN, NAN}, {NAN, 0, 0}, {0, 0.5f, 0.5f}, {NAN, NAN, 0}, {NAN, 0, 0}, {NAN, NAN, NAN}};
    struct edge e;
    begin(&e, VKG_SHAPE(ROWS, COLUMNS));
    e.y = vkg_logsumexp(e.graph, e.x, 1u << 1, false);
    run(&e, rows[0], true);
    expect(&e, e.y, values, "logsumexp");
    expect(&e, e.gradient, slopes[0], "its gradient");
    end(&e);
}

/* Coordinates of squares of 0 … 3: there is no slope at the outermost elements themselves, nor beyond. */
static void no_slope_at_the_border(void **unused)
{
    (void)unused;
    enum { POINTS = 7 };
    static const float at[POINTS][2] = {{-1, 0}, {1, 0}, {-0.75f, 0}, {0.75f, 0}, {-2, 0}, {2, 0}, {0.5f, 0}};
    static const float slopes[2][POINTS][2] = {{{0}, {0}, {0}, {0}, {0}, {0}, {10}}, {{0}, {0}, {1.5f}, {7.5f}, {0}, {0}, {7.5f}}};
    for (int align = 0; align < 2; align++) {
        struct edge e;
        begin(&e, VKG_SHAPE(1, 1, POINTS, 2));
        vkg_tensor *squares = vkg_data(e.graph, VKG_SHAPE(1, 1, 4, 1), VKG_FLOAT32, (const float[]){0, 1, 4, 9});
        e.y = vkg_grid_sample(e.graph, squares, e.x, &(vkg_grid_sample_desc){VKG_LINEAR, VKG_PADDING_BORDER, align});
        run(&e, at[0], true);
        expect(&e, e.gradient, slopes[align][0], align ? "aligned" : "not aligned");
        end(&e);
    }
}

/* Padding is −∞, and no greater than elements that are: the first of these gets the gradient. */
static void max_pool_of_infinities(void **unused)
{
    (void)unused;
    enum { LENGTH = 9, RESULTS = 5 };
    static const float numbers[LENGTH] = {-INFINITY, -INFINITY, 1, INFINITY, 2, 3, NAN, 0, -INFINITY};
    static const float values[RESULTS] = {-INFINITY, INFINITY, INFINITY, NAN, 0}, slopes[LENGTH] = {1, 0, 0, 2, 0, 0, 1, 1, 0};
    struct edge e;
    begin(&e, VKG_SHAPE(1, LENGTH, 1));
    e.y = vkg_max_pool(e.graph, e.x, &(vkg_pool_desc){.kernel = {3}, .stride = {2}, .padding = {1}});
    run(&e, numbers, true);
    expect(&e, e.y, values, "the greatest");
    expect(&e, e.gradient, slopes, "its gradient");
    end(&e);
}

/* With each vector itself: short ones, and such as have no fourth power. */
static void cosines_of_any_length(void **unused)
{
    (void)unused;
    static const float vectors[5][2] = {{0, 0}, {3e-6f, 4e-6f}, {3, 4}, {3e12f, 4e12f}, {-3e17f, 4e17f}}, cosines[5] = {0, 1, 1, 1, 1};
    struct edge e;
    begin(&e, VKG_SHAPE(5, 2));
    e.y = vkg_cosine_similarity(e.graph, e.x, e.x, 1, 1e-8f);
    run(&e, vectors[0], false);
    expect(&e, e.y, cosines, "the cosine");
    end(&e);
}

/* Around each multiple of `steps`, whether or not the device divides exactly: the rate drops at it, not a step before or behind. */
static void steps_drop_when_they_should(void **unused)
{
    (void)unused;
    enum { DROPS = 3000, MOST_STEPS = 1 << 24 }; /* 0.99 to the power of DROPS is a normal number still */
    static float steps[3 * DROPS], expected[3 * DROPS];
    const uint32_t all[] = {1, 3, 7, 41, 49, 100, 5593, 99999, MOST_STEPS - 1, 1 + test_random(20000)};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        for (uint32_t i = 0; i < 3 * DROPS; i++) {
            const uint64_t at = (uint64_t)(i / 3) * all[k] + i % 3;
            const uint32_t step = (uint32_t)(at == 0 ? 0 : at > MOST_STEPS ? MOST_STEPS - 1 : at - 1);
            steps[i] = (float)step, expected[i] = (float)(step / all[k]);
        }
        struct edge e;
        begin(&e, VKG_SHAPE(3 * DROPS));
        vkg_tensor *factor = vkg_schedule_factor(e.graph, &(vkg_schedule){VKG_SCHEDULE_STEP, .steps = all[k], .gamma = 0.99f}, e.x);
        const float drop = 1 / logf(0.99f);
        e.y = vkg_floor(e.graph, vkg_affine(e.graph, vkg_ln(e.graph, factor), drop, 0.5f)); /* to the nearest */
        run(&e, steps, false);
        expect(&e, e.y, expected, "drops");
        end(&e);
    }
}

/* usage: edges_test [PATTERN]: only the tests whose name fits */
int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(signs), cmocka_unit_test(a_nan_is_the_greatest),
                                       cmocka_unit_test(places_beyond_float32_are_refused),
                                       cmocka_unit_test(logsumexp_of_infinities),
                                       cmocka_unit_test(no_slope_at_the_border),
                                       cmocka_unit_test(max_pool_of_infinities), cmocka_unit_test(cosines_of_any_length),
                                       cmocka_unit_test(steps_drop_when_they_should)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
