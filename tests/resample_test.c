/* What PyTorch cannot say of the operations of vkgan/resample.h: sums that are the same at every run, numbers
 * that are none, long axes, broken rules. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"

/* A graph with one program and what it is fed with: for tests of a few lines. */
struct run {
    vkg_graph *graph;
    vkg_program *program;
};

static void start(struct run *run)
{
    assert_int_equal(vkg_graph_create(test_log(), &run->graph), VKG_OK);
}

static void build(struct run *run, vkg_tensor *const *outputs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        vkg_output(run->graph, "output", outputs[i]);
    assert_int_equal(vkg_program_create(test_device(), run->graph, NULL, NULL, &run->program), VKG_OK);
}

static const float *output_of(const struct run *run, const vkg_tensor *tensor)
{
    return vkg_program_output(run->program, tensor, 0);
}

static void end(struct run *run)
{
    vkg_program_destroy(&run->program);
    vkg_graph_destroy(&run->graph);
}

/* Many elements meet at few places: every run gives the same bits, those of the exact sum, rounded. */
static void scatter_add_is_exact(void **unused)
{
    (void)unused;
    enum { N = 50000, PLACES = 7 };
    struct run run;
    start(&run);
    vkg_tensor *x = vkg_input(run.graph, "x", VKG_SHAPE(N)),
               *index = vkg_input_typed(run.graph, "i", VKG_SHAPE(N), VKG_INT32);
    vkg_tensor *y = vkg_scatter_add(run.graph, x, 0, index, PLACES);
    build(&run, &y, 1);
    float *values = vkg_program_input(run.program, x, 0), first[PLACES];
    int32_t *indices = vkg_program_input(run.program, index, 0);
    long double exact[PLACES] = {0};
    for (uint32_t i = 0; i < N; i++) {
        indices[i] = (int32_t)test_random(PLACES);
        values[i] = ldexpf((float)test_random(1 << 21) - (1 << 20), (int)test_random(12) - 24);
        exact[indices[i]] += (long double)values[i]; /* 64 bits: more than the 21 + 12 + 16 of the sum */
    }
    for (int round = 0; round < 3; round++) {
        assert_int_equal(vkg_program_run(run.program), VKG_OK);
        if (round == 0)
            memcpy(first, output_of(&run, y), sizeof first);
        assert_memory_equal(first, output_of(&run, y), sizeof first);
    }
    for (int i = 0; i < PLACES; i++)
        if (first[i] != (float)exact[i])
            fail_msg("place %d: %.9g, exactly %.9Lg", i, (double)first[i], exact[i]);
    end(&run);
}

/* Infinities, NaNs, overflow, and numbers below the normal ones come out as adding floats would have them. */
static void scatter_add_of_extremes(void **unused)
{
    (void)unused;
    static const struct {
        float a, b, c;
    } sums[] = {
        {INFINITY, 1, 2},         {-INFINITY, 1, 2},      {INFINITY, -INFINITY, 1}, {NAN, 1, 2},
        {1, NAN, INFINITY},       {3e38f, 3e38f, 0},      {-3e38f, -3e38f, 1},      {3e38f, 3e38f, -3e38f},
        {1e-45f, 1e-45f, 1e-45f}, {1e-38f, -9.9e-39f, 0}, {1, 6e-8f, 6e-8f},        {0, -0.0f, 0},
        {1e30f, 1, -1e30f},       {16777216, 1, 0},       {16777218, 1, 0},         {1, -1, 1e-45f},
        {1, -1e-9f, -1}};
    enum { SUMS = sizeof sums / sizeof sums[0] };
    struct run run;
    start(&run);
    vkg_tensor *x = vkg_input(run.graph, "x", VKG_SHAPE(3, SUMS)),
               *index = vkg_input_typed(run.graph, "i", VKG_SHAPE(3, 1), VKG_INT32);
    vkg_tensor *y = vkg_scatter_add(run.graph, x, 0, index, 2);
    build(&run, &y, 1);
    float *values = vkg_program_input(run.program, x, 0);
    for (uint32_t i = 0; i < SUMS; i++)
        values[i] = sums[i].a, values[SUMS + i] = sums[i].b, values[2 * SUMS + i] = sums[i].c;
    memcpy(vkg_program_input(run.program, index, 0), (const int32_t[]){1, 1, 1}, 12);
    assert_int_equal(vkg_program_run(run.program), VKG_OK);
    for (uint32_t i = 0; i < SUMS; i++) {
        float found = output_of(&run, y)[SUMS + i],
              expected = (float)((long double)sums[i].a + sums[i].b + sums[i].c);
        if (sums[i].a == 1 && sums[i].c == 1e-45f)
            expected = 0; /* below the last of 62 bits under 1 */
        assert_true(output_of(&run, y)[i] == 0);
        if (isnan(expected) ? !isnan(found) : memcmp(&found, &expected, 4) != 0)
            fail_msg("%g + %g + %g: %.9g instead of %.9g", (double)sums[i].a, (double)sums[i].b,
                     (double)sums[i].c, (double)found, (double)expected);
    }
    end(&run);
}

static void expect_close(double found, double expected, const char *what, uint32_t i)
{
    if (!(fabs(found - expected) <= 2e-5 * fabs(expected)))
        fail_msg("%s, element %u: %.9g instead of %.9g", what, i, found, expected);
}

/* Axes longer than the loops that some drivers run to their end. */
static void long_axes(void **unused)
{
    (void)unused;
    enum { N = 200000 };
    static const struct {
        uint32_t lines, channels;
    } shapes[] = {{1, 1}, {1, 4}, {3, 2}};
    for (int k = 0; k < 3; k++) {
        uint32_t lines = shapes[k].lines, channels = shapes[k].channels;
        struct run run;
        start(&run);
        vkg_tensor *x = vkg_input(run.graph, "x", VKG_SHAPE(lines, N, channels)), *outputs[4];
        outputs[0] = vkg_cumsum(run.graph, x, 1);
        vkg_gradients(run.graph, vkg_sum(run.graph, outputs[0], VKG_ALL_AXES, false), &x, 1, &outputs[1]);
        outputs[2] = vkg_adaptive_avg_pool(run.graph, x, (const uint32_t[]){1});
        vkg_gradients(run.graph, vkg_sum(run.graph, vkg_square(run.graph, outputs[2]), VKG_ALL_AXES, false), &x,
                      1, &outputs[3]);
        build(&run, outputs, 4);
        float *values = vkg_program_input(run.program, x, 0);
        for (uint32_t i = 0; i < lines * N * channels; i++)
            values[i] = 1;
        assert_int_equal(vkg_program_run(run.program), VKG_OK);
        for (uint32_t i = 0; i < lines * N * channels; i++) {
            uint32_t j = i / channels % N;
            assert_true(output_of(&run, outputs[0])[i] == (float)(j + 1)); /* whole numbers below 2²⁴ */
            assert_true(output_of(&run, outputs[1])[i] == (float)(N - j));
            expect_close((double)output_of(&run, outputs[3])[i], 2.0 / N, "gradient of the average", i);
        }
        for (uint32_t i = 0; i < lines * channels; i++)
            expect_close((double)output_of(&run, outputs[2])[i], 1, "average", i);
        end(&run);
    }
}

static void max_pool_keeps_nan(void **unused)
{
    (void)unused;
    struct run run;
    start(&run);
    vkg_tensor *x = vkg_input(run.graph, "x", VKG_SHAPE(1, 9, 1));
    vkg_tensor *y = vkg_max_pool(run.graph, x, &(vkg_pool_desc){.kernel = {3}});
    build(&run, &y, 1);
    memcpy(vkg_program_input(run.program, x, 0), (const float[]){NAN, 1, 2, 3, 1, NAN, 5, 4, -1}, 36);
    assert_int_equal(vkg_program_run(run.program), VKG_OK);
    assert_true(isnan(output_of(&run, y)[0]) && isnan(output_of(&run, y)[1]) && output_of(&run, y)[2] == 5);
    end(&run);
}

static void one_hot_of_indices(void **unused)
{
    (void)unused;
    struct run run;
    start(&run);
    vkg_tensor *index = vkg_data(run.graph, VKG_SHAPE(2, 2), VKG_INT32, (const int32_t[]){2, 0, -1, 5});
    vkg_tensor *y = vkg_one_hot(run.graph, index, 5);
    assert_int_equal(vkg_tensor_shape(y).rank, 3);
    build(&run, &y, 1);
    assert_int_equal(vkg_program_run(run.program), VKG_OK);
    for (uint32_t i = 0; i < 20; i++)
        assert_true(output_of(&run, y)[i] == (i == 2 || i == 5 ? 1.0f : 0.0f));
    end(&run);
}

static void equal_maps_are_one(void **unused)
{
    (void)unused;
    struct run run;
    start(&run);
    vkg_tensor *x = vkg_input(run.graph, "x", VKG_SHAPE(1, 8, 8, 4));
    const vkg_interpolate_desc desc = {.size = {16, 16}, .mode = VKG_LINEAR};
    assert_ptr_equal(vkg_interpolate(run.graph, x, &desc), vkg_interpolate(run.graph, x, &desc));
    vkg_graph_destroy(&run.graph);
}

static vkg_tensor *broken_call(vkg_graph *g, int call)
{
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(2, 4, 6, 3)), *flat = vkg_input(g, "f", VKG_SHAPE(4)),
               *index = vkg_input_typed(g, "i", VKG_SHAPE(2, 4, 6, 3), VKG_INT32);
    const float one[2] = {1, 1};
    vkg_linear_map map = {
        .out = 2, .start = (const uint32_t[]){0, 1, 2}, .index = (const uint32_t[]){0, 4}, .weight = one};
    switch (call) {
    case 0: return vkg_apply_linear_map(g, x, 1, &map); /* index 4 of 4 */
    case 1: return vkg_apply_linear_map(g, x, 4, &map);
    case 2: map.start = (const uint32_t[]){0, 2, 1}; return vkg_apply_linear_map(g, x, 2, &map);
    case 3: map.start = (const uint32_t[]){1, 1, 2}; return vkg_apply_linear_map(g, x, 2, &map);
    case 4: map.out = 0; return vkg_apply_linear_map(g, x, 2, &map);
    case 5: return vkg_apply_linear_map(g, index, 2, &map);
    case 6: return vkg_cumsum(g, x, 4);
    case 7: return vkg_interpolate(g, flat, &(vkg_interpolate_desc){.size = {2}});
    case 8: return vkg_interpolate(g, x, &(vkg_interpolate_desc){.size = {2, 0}});
    case 9: return vkg_interpolate(g, x, &(vkg_interpolate_desc){.size = {2, 2}, .antialias = true});
    case 10: return vkg_interpolate(g, x, &(vkg_interpolate_desc){.size = {UINT32_MAX, 2}});
    case 11:
        return vkg_interpolate(g, x, &(vkg_interpolate_desc){.size = {INT32_MAX - 1, 2}, .mode = VKG_CUBIC});
    case 12: return vkg_upfirdn2d(g, x, &(vkg_fir_desc){.filter = one, .taps = 0});
    case 13: return vkg_upfirdn2d(g, x, &(vkg_fir_desc){.filter = one, .taps = 2, .pad_low = -9});
    case 14: return vkg_upfirdn2d(g, x, &(vkg_fir_desc){.filter = one, .taps = 2, .gain = -1});
    case 15: return vkg_pixel_shuffle(g, x, 2);
    case 16: return vkg_pixel_shuffle(g, x, 65536);
    case 17: return vkg_pixel_unshuffle(g, x, 4);
    case 18: return vkg_pad(g, x, 1, 4, 0, VKG_PAD_REFLECT, 0);
    case 19: return vkg_pad(g, x, 1, 0, 5, VKG_PAD_CIRCULAR, 0);
    case 20: return vkg_pad(g, x, 1, -2, -2, VKG_PAD_REPLICATE, 0);
    case 21: return vkg_pad(g, x, 1, INT32_MIN, INT32_MAX, VKG_PAD_REPLICATE, 0);
    case 22: return vkg_avg_pool(g, x, &(vkg_pool_desc){.kernel = {5, 2}});
    case 23: return vkg_avg_pool(g, x, &(vkg_pool_desc){.kernel = {2, 2}, .padding = {2, 0}});
    case 24: return vkg_max_pool(g, x, &(vkg_pool_desc){.kernel = {0, 2}});
    case 25: return vkg_adaptive_avg_pool(g, x, (const uint32_t[]){2, 0});
    case 26: return vkg_grid_sample(g, x, vkg_input(g, "g", VKG_SHAPE(2, 3, 3, 3)), &(vkg_grid_sample_desc){0});
    case 27: return vkg_grid_sample(g, x, vkg_input(g, "g", VKG_SHAPE(1, 3, 3, 2)), &(vkg_grid_sample_desc){0});
    case 28:
        return vkg_grid_sample(g, x, vkg_input(g, "g", VKG_SHAPE(2, 3, 3, 2)),
                               &(vkg_grid_sample_desc){.mode = VKG_CUBIC});
    case 29: return vkg_affine_grid(g, x, (const uint32_t[]){2, 2}, false);
    case 30: return vkg_affine_grid(g, vkg_input(g, "t", VKG_SHAPE(1, 2, 3)), (const uint32_t[]){2, 0}, false);
    case 31: return vkg_roi_align(g, x, flat, &(vkg_roi_align_desc){2, 2, 1, 2, false});
    case 32:
        return vkg_roi_align(g, x, vkg_input(g, "b", VKG_SHAPE(1, 5)),
                             &(vkg_roi_align_desc){2, 2, 1, 0, false});
    case 33: return vkg_gather(g, x, 1, flat);
    case 34: return vkg_gather(g, x, 1, x); /* float32 indices */
    case 35: return vkg_gather(g, x, 4, index);
    case 36: return vkg_scatter_add(g, x, 1, index, 0);
    case 37: return vkg_scatter_add(g, x, 1, vkg_input_typed(g, "j", VKG_SHAPE(2, 1, 6, 3), VKG_INT32), 3);
    case 38: return vkg_index_select(g, x, 1, index);
    case 39: return vkg_embedding(g, x, index);
    case 40: return vkg_one_hot(g, x, 3);
    case 41: return vkg_one_hot(g, index, 0);
    default: return NULL;
    }
}

static void broken_rules_are_reported(void **unused)
{
    (void)unused;
    for (int call = 0;; call++) {
        vkg_graph *graph;
        assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
        test_expect_errors(true);
        vkg_tensor *y = broken_call(graph, call);
        if (y && (test_error_count() != 1 || !vkg_graph_error(graph)))
            fail_msg("broken call %d: %u messages", call, test_error_count());
        test_expect_errors(false);
        vkg_graph_destroy(&graph);
        if (!y)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scatter_add_is_exact),
                                       cmocka_unit_test(scatter_add_of_extremes),
                                       cmocka_unit_test(long_axes),
                                       cmocka_unit_test(max_pool_keeps_nan),
                                       cmocka_unit_test(one_hot_of_indices),
                                       cmocka_unit_test(equal_maps_are_one),
                                       cmocka_unit_test(broken_rules_are_reported)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
