/* Operations of a program's own, written as a program would: from public headers alone. */
#include <math.h>
#include <string.h>

#include "on_device.h"

/* --- a pointwise operation with a gradient rule --- */

static void cube_gradient(const vkg_op_call *call)
{
    vkg_tensor *slope = vkg_affine(call->graph, vkg_square(call->graph, call->inputs[0]), 3, 0);
    call->gradients[0] = vkg_mul(call->graph, call->dy, slope);
}

static const vkg_op_desc cube = {.name = "cube", .inputs = 1, .glsl = "return a * a * a;", .gradient = cube_gradient};

/* x·y³·p, with another operation of its own in its gradient */
static const vkg_op_desc weigh_slope = {.name = "weigh_slope", .inputs = 2, .glsl = "return 3.0 * a * b * b * p;"};

static void weigh_gradient(const vkg_op_call *call)
{
    vkg_graph *g = call->graph;
    if (call->wanted[0])
        call->gradients[0] = vkg_affine(g, vkg_mul(g, call->dy, vkg_custom_pointwise(g, &cube, &call->inputs[1], 0, 0)),
                                        call->p, 0);
    if (call->wanted[1])
        call->gradients[1] = vkg_mul(g, call->dy, vkg_custom_pointwise(g, &weigh_slope, call->inputs, call->p, 0));
}

static const vkg_op_desc weigh = {
    .name = "weigh", .inputs = 2, .gradient = weigh_gradient,
    .glsl = "float cubed = b * b * b;\n"
            "if (cubed == 0.0)\n"
            "    return 0.0;\n"
            "return a * cubed * p;"};

struct run {
    vkg_graph *graph;
    vkg_program *program;
};

static void start(struct run *run, vkg_tensor *const *inputs, uint32_t count)
{
    assert_int_equal(vkg_program_create(test_device(), run->graph, NULL, NULL, &run->program), VKG_OK);
    for (uint32_t k = 0; k < count; k++) {
        float *data = vkg_program_input(run->program, inputs[k], 0);
        for (uint64_t i = 0; i < vkg_tensor_elements(inputs[k]); i++)
            data[i] = test_random_float();
    }
    assert_int_equal(vkg_program_run(run->program), VKG_OK);
}

static void finish(struct run *run)
{
    vkg_program_destroy(&run->program);
    vkg_graph_destroy(&run->graph);
}

static void assert_near(const float *found, double expected)
{
    if (!(fabs((double)*found - expected) <= 1e-5 * (1 + fabs(expected))))
        fail_msg("found %g, expected %g", (double)*found, expected);
}

/* Rows of `columns`: columns that are a multiple of four take the vector path. */
static void check_weigh(uint32_t rows, uint32_t columns)
{
    struct run run;
    vkg_tensor *gradients[2], *second[2];
    assert_int_equal(vkg_graph_create(test_log(), &run.graph), VKG_OK);
    vkg_tensor *x[2] = {vkg_input(run.graph, "x", VKG_SHAPE(rows, columns)), vkg_input(run.graph, "y", VKG_SHAPE(columns))};
    vkg_tensor *value = vkg_custom_pointwise(run.graph, &weigh, x, 0.5f, 0);
    assert_ptr_equal(value, vkg_custom_pointwise(run.graph, &weigh, x, 0.5f, 0));
    vkg_gradients(run.graph, value, x, 2, gradients);
    vkg_gradients(run.graph, gradients[0], x, 2, second); /* d²/dxdy, through cube's own rule */
    vkg_tensor *const outputs[] = {value, gradients[0], gradients[1], second[1]};
    for (int i = 0; i < 4; i++)
        vkg_output(run.graph, "output", outputs[i]);
    start(&run, x, 2);
    const float *data = vkg_program_input(run.program, x[0], 0), *y = vkg_program_input(run.program, x[1], 0);
    const float *found[4];
    for (int i = 0; i < 4; i++)
        found[i] = vkg_program_output(run.program, outputs[i], 0);
    for (uint32_t c = 0; c < columns; c++) {
        double cubed = pow((double)y[c], 3), sum = 0;
        for (uint32_t r = 0; r < rows; r++) {
            sum += (double)data[r * columns + c];
            assert_near(&found[0][r * columns + c], 0.5 * (double)data[r * columns + c] * cubed);
            assert_near(&found[1][r * columns + c], 0.5 * cubed);
        }
        assert_near(&found[2][c], 1.5 * sum * (double)y[c] * (double)y[c]);
        assert_near(&found[3][c], 1.5 * rows * (double)y[c] * (double)y[c]);
    }
    finish(&run);
}

static void pointwise_operations_have_gradients(void **unused)
{
    (void)unused;
    check_weigh(3, 5);
    check_weigh(2 + test_random(4), 8);
    check_weigh(1, 1 + test_random(40));
}

/* --- a kernel: a transposition, whose gradient is itself --- */

static const vkg_op_desc transposition;

static void transposition_gradient(const vkg_op_call *call)
{
    vkg_shape shape = vkg_tensor_shape(call->inputs[0]);
    call->gradients[0] = vkg_custom_kernel(call->graph, &transposition, &call->dy, shape, 0, 0);
}

static const vkg_op_desc transposition = {
    .name = "transposition", .inputs = 1, .gradient = transposition_gradient,
    .glsl = "uint row = i / out_dims[1], column = i % out_dims[1];\n"
            "return in0(column * in0_dims[1] + row);"};

static void kernels_have_gradients(void **unused)
{
    (void)unused;
    struct run run;
    vkg_tensor *gradient;
    uint32_t rows = 1 + test_random(40), columns = 1 + test_random(40);
    assert_int_equal(vkg_graph_create(test_log(), &run.graph), VKG_OK);
    vkg_tensor *x[2] = {vkg_input(run.graph, "x", VKG_SHAPE(rows, columns)), vkg_input(run.graph, "v", VKG_SHAPE(columns, rows))};
    vkg_tensor *y = vkg_custom_kernel(run.graph, &transposition, x, VKG_SHAPE(columns, rows), 0, 0);
    vkg_gradients(run.graph, vkg_sum(run.graph, vkg_mul(run.graph, y, x[1]), VKG_ALL_AXES, false), x, 1, &gradient);
    vkg_output(run.graph, "y", y);
    vkg_output(run.graph, "gradient", gradient);
    start(&run, x, 2);
    const float *data = vkg_program_input(run.program, x[0], 0), *v = vkg_program_input(run.program, x[1], 0);
    const float *found = vkg_program_output(run.program, y, 0), *slope = vkg_program_output(run.program, gradient, 0);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < columns; c++) {
            assert_true(found[c * rows + r] == data[r * columns + c]);
            assert_true(slope[r * columns + c] == v[c * rows + r]);
        }
    finish(&run);
}

/* --- mistakes --- */

static void assert_does_not_compile(const vkg_op_desc *desc, bool kernel, const char *said)
{
    struct run run = {0};
    assert_int_equal(vkg_graph_create(test_log(), &run.graph), VKG_OK);
    vkg_tensor *x = vkg_input(run.graph, "x", VKG_SHAPE(3, 4));
    vkg_tensor *y = kernel ? vkg_custom_kernel(run.graph, desc, &x, VKG_SHAPE(5), 0, 0)
                           : vkg_custom_pointwise(run.graph, desc, &x, 0, 0);
    vkg_output(run.graph, "y", y);
    test_expect_errors(true);
    assert_int_not_equal(vkg_program_create(test_device(), run.graph, NULL, NULL, &run.program), VKG_OK);
    if (!strstr(test_last_error(), said))
        fail_msg("\"%s\" does not say \"%s\"", test_last_error(), said);
    test_expect_errors(false);
    finish(&run);
}

static void compile_errors_name_the_line(void **unused)
{
    (void)unused;
    const char *broken = "float twice = 2.0 * a;\nfloat more = twice;\nreturn more + unheard_of;";
    assert_does_not_compile(&(vkg_op_desc){.name = "broken", .inputs = 1, .glsl = broken}, false, "broken:3: ");
    assert_does_not_compile(&(vkg_op_desc){.name = "broken", .inputs = 1, .glsl = "\nreturn in7(i);"}, true, "broken:2: ");
}

static void bad_descriptions_are_refused(void **unused)
{
    (void)unused;
    const vkg_op_desc bad[] = {{.name = "two words", .inputs = 1, .glsl = "return a;"},
                               {.inputs = 1, .glsl = "return a;"},
                               {.name = "none", .glsl = "return a;"},
                               {.name = "many", .inputs = 9, .glsl = "return a;"},
                               {.name = "empty", .inputs = 1},
                               {.name = "cube", .inputs = 1, .glsl = "return a;"}}; /* another one */
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vkg_graph *graph;
        assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
        vkg_tensor *x = vkg_input(graph, "x", VKG_SHAPE(3));
        vkg_custom_pointwise(graph, &cube, &x, 0, 0);
        test_expect_errors(true);
        vkg_custom_pointwise(graph, &bad[i], &x, 0, 0);
        assert_non_null(vkg_graph_error(graph));
        test_expect_errors(false);
        vkg_graph_destroy(&graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointwise_operations_have_gradients), cmocka_unit_test(kernels_have_gradients),
        cmocka_unit_test(compile_errors_name_the_line), cmocka_unit_test(bad_descriptions_are_refused)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
