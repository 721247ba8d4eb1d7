/* Every operation against PyTorch: the value, the gradient, the gradient of the gradient. The cases are made by
 * tests/reference/ops.py; a row of the table below says how an operation is called. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"

enum { MAX_INPUTS = 3, MAX_ATTRIBUTES = 16 };

typedef vkg_tensor *(*builder)(vkg_graph *g, vkg_tensor *const *x, const double *a, uint32_t attribute_count);

#define UNARY(op)                                                                                            \
    static vkg_tensor *build_##op(vkg_graph *g, vkg_tensor *const *x, const double *a, uint32_t n)           \
    {                                                                                                        \
        (void)a, (void)n;                                                                                    \
        return vkg_##op(g, x[0]);                                                                            \
    }
#define BINARY(op)                                                                                           \
    static vkg_tensor *build_##op(vkg_graph *g, vkg_tensor *const *x, const double *a, uint32_t n)           \
    {                                                                                                        \
        (void)a, (void)n;                                                                                    \
        return vkg_##op(g, x[0], x[1]);                                                                      \
    }
UNARY(neg) UNARY(abs) UNARY(square) UNARY(sqrt) UNARY(rsqrt) UNARY(exp) UNARY(ln) UNARY(relu) UNARY(tanh)
UNARY(sigmoid) UNARY(softplus) BINARY(add) BINARY(sub) BINARY(mul) BINARY(div)

static vkg_shape shape_from(const double *a, uint32_t n)
{
    vkg_shape shape = {.rank = n};
    for (uint32_t i = 0; i < n; i++)
        shape.dims[i] = (uint32_t)a[i];
    return shape;
}

/* Groups, then stride, padding, dilation and a size, of as many dimensions as x has spatial ones. */
static vkg_conv_geometry geometry_from(const vkg_tensor *x, const double *a)
{
    vkg_conv_geometry geometry = {.groups = (uint32_t)a[0]};
    uint32_t dimensions = vkg_tensor_shape(x).rank - 2;
    for (uint32_t i = 0; i < dimensions; i++) {
        geometry.stride[i] = (uint32_t)a[1 + i];
        geometry.padding[i] = (uint32_t)a[1 + dimensions + i];
        geometry.dilation[i] = (uint32_t)a[1 + 2 * dimensions + i];
    }
    return geometry;
}

static const uint32_t *size_from(const vkg_tensor *x, const double *a)
{
    static uint32_t size[3];
    uint32_t dimensions = vkg_tensor_shape(x).rank - 2;
    for (uint32_t i = 0; i < dimensions; i++)
        size[i] = (uint32_t)a[1 + 3 * dimensions + i];
    return size;
}

#define BUILD(op, expression)                                                                                \
    static vkg_tensor *build_##op(vkg_graph *g, vkg_tensor *const *x, const double *a, uint32_t n)           \
    {                                                                                                        \
        (void)n, (void)a;                                                                                    \
        return expression;                                                                                   \
    }
BUILD(leaky_relu, vkg_leaky_relu(g, x[0], (float)a[0]))
BUILD(affine, vkg_affine(g, x[0], (float)a[0], (float)a[1]))
BUILD(broadcast, vkg_broadcast(g, x[0], shape_from(a, n)))
BUILD(reshape, vkg_reshape(g, x[0], shape_from(a, n)))
BUILD(sum, vkg_sum(g, x[0], (uint32_t)a[0], a[1] != 0))
BUILD(mean, vkg_mean(g, x[0], (uint32_t)a[0], a[1] != 0))
BUILD(sum_to, vkg_sum_to(g, x[0], shape_from(a, n)))
BUILD(matmul, vkg_matmul(g, x[0], x[1], a[0] != 0, a[1] != 0))
BUILD(convolution, vkg_convolution(g, x[0], x[1], geometry_from(x[0], a)))
BUILD(convolution_input_gradient,
      vkg_convolution_input_gradient(g, x[0], x[1], geometry_from(x[0], a), size_from(x[0], a)))
BUILD(convolution_weight_gradient,
      vkg_convolution_weight_gradient(g, x[0], x[1], geometry_from(x[0], a), size_from(x[0], a)))
BUILD(batch_normalization, vkg_batch_normalization(g, x[0], x[1], x[2], (float)a[0], NULL, NULL))
BUILD(bce_with_logits, vkg_bce_with_logits(g, x[0], (float)a[0]))

/* Every operation of ops.h that has a value of its own. `tolerance` bounds ‖difference‖/‖expected‖. */
static struct row {
    const char *name;
    builder build;
    double tolerance;
    uint32_t cases;
    double worst[3]; /* value, gradient, gradient of the gradient */
} table[] = {
#define ROW(op, tolerance) {#op, build_##op, tolerance, 0, {0}}
    ROW(add, 1e-6), ROW(sub, 1e-6), ROW(mul, 1e-6), ROW(div, 2e-6), ROW(affine, 1e-6), ROW(neg, 1e-6), ROW(abs, 1e-6),
    ROW(square, 1e-6), ROW(sqrt, 2e-6), ROW(rsqrt, 2e-6), ROW(exp, 2e-6), ROW(ln, 5e-6), ROW(relu, 1e-6),
    ROW(leaky_relu, 1e-6), ROW(tanh, 5e-6), ROW(sigmoid, 5e-6), ROW(softplus, 5e-6), ROW(broadcast, 1e-6),
    ROW(reshape, 1e-6), ROW(sum, 1e-6), ROW(mean, 1e-6), ROW(sum_to, 1e-6), ROW(matmul, 1e-6), ROW(convolution, 1e-6),
    ROW(convolution_input_gradient, 1e-6), ROW(convolution_weight_gradient, 1e-6), ROW(batch_normalization, 2e-5),
    ROW(bce_with_logits, 5e-6),
};
enum { ROWS = sizeof table / sizeof table[0] };

static vkg_safetensors *file;

static struct row *find_row(const char *name)
{
    for (int i = 0; i < ROWS; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

/* The tensor "<index>/<kind><number>" of the file; false where there is none. */
static bool find_tensor(uint32_t index, const char *kind, uint32_t number, uint32_t *found)
{
    char name[64];
    snprintf(name, sizeof name, strlen(kind) == 1 && strchr("xguh", kind[0]) ? "%u/%s%u" : "%u/%s", index, kind, number);
    *found = vkg_safetensors_find(file, name);
    return *found != UINT32_MAX;
}

static float *read_tensor(uint32_t tensor, vkg_shape *shape)
{
    const vkg_safetensors_entry *entry = vkg_safetensors_get(file, tensor);
    float *data = malloc(entry->size + 1);
    assert_int_equal(vkg_safetensors_read(file, tensor, data, entry->size), VKG_OK);
    shape->rank = entry->rank;
    for (uint32_t i = 0; i < entry->rank; i++)
        shape->dims[i] = (uint32_t)entry->dims[i];
    return data;
}

/* An input of the graph that gets a tensor of the file once the program is there. */
struct feed {
    vkg_tensor *input;
    float *data;
};

static vkg_tensor *add_feed(vkg_graph *graph, uint32_t index, const char *kind, uint32_t number, struct feed *feed)
{
    uint32_t tensor;
    vkg_shape shape;
    assert_true(find_tensor(index, kind, number, &tensor));
    feed->data = read_tensor(tensor, &shape);
    feed->input = vkg_input(graph, kind, shape);
    return feed->input;
}

/* ‖found − expected‖/‖expected‖; NaN fails as infinite. */
static double normalised_error(const float *found, const float *expected, uint64_t count)
{
    double difference = 0, size = 0;
    for (uint64_t i = 0; i < count; i++) {
        difference += ((double)found[i] - expected[i]) * ((double)found[i] - expected[i]);
        size += (double)expected[i] * expected[i];
    }
    double error = sqrt(difference) / (sqrt(size) > 1e-3 ? sqrt(size) : 1e-3);
    return isnan(error) ? INFINITY : error;
}

static void check_output(const vkg_program *program, const vkg_tensor *tensor, uint32_t index, const char *kind,
                         uint32_t number, struct row *row, int order)
{
    uint32_t expected_tensor;
    vkg_shape shape;
    assert_true(find_tensor(index, kind, number, &expected_tensor));
    float *expected = read_tensor(expected_tensor, &shape);
    uint64_t count = vkg_tensor_elements(tensor);
    assert_int_equal(vkg_safetensors_get(file, expected_tensor)->size, count * sizeof(float));
    double error = normalised_error(vkg_program_output(program, tensor, 0), expected, count);
    row->worst[order] = fmax(row->worst[order], error);
    free(expected);
    if (error > row->tolerance * (order + 1))
        fail_msg("case %u, %s: %s%u is off by %g", index, row->name, kind, number, error);
}

static void check_case(uint32_t index, struct row *row, const double *attributes, uint32_t attribute_count)
{
    vkg_graph *g;
    vkg_program *program;
    struct feed feeds[2 * MAX_INPUTS + 1];
    uint32_t count = 0, feed_count = 0, unused;
    vkg_tensor *x[MAX_INPUTS + 1], *gradients[MAX_INPUTS], *second[MAX_INPUTS + 1];
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    while (count < MAX_INPUTS && find_tensor(index, "x", count, &unused)) {
        x[count] = add_feed(g, index, "x", count, &feeds[feed_count++]);
        count++;
    }
    vkg_tensor *y = row->build(g, x, attributes, attribute_count);
    vkg_tensor *v = add_feed(g, index, "v", 0, &feeds[feed_count++]);
    vkg_gradients(g, vkg_sum(g, vkg_mul(g, y, v), VKG_ALL_AXES, false), x, count, gradients);
    vkg_tensor *s = vkg_constant(g, 0, VKG_SCALAR);
    for (uint32_t i = 0; i < count; i++) {
        vkg_tensor *u = add_feed(g, index, "u", i, &feeds[feed_count++]);
        s = vkg_add(g, s, vkg_sum(g, vkg_mul(g, gradients[i], u), VKG_ALL_AXES, false));
    }
    x[count] = v;
    vkg_gradients(g, s, x, count + 1, second);
    vkg_output(g, "y", y);
    for (uint32_t i = 0; i < count; i++)
        vkg_output(g, "g", gradients[i]);
    for (uint32_t i = 0; i <= count; i++)
        vkg_output(g, "h", second[i]);
    assert_int_equal(vkg_program_create(test_device(), g, NULL, NULL, &program), VKG_OK);
    for (uint32_t i = 0; i < feed_count; i++) {
        memcpy(vkg_program_input(program, feeds[i].input, 0), feeds[i].data,
               vkg_tensor_elements(feeds[i].input) * sizeof(float));
        free(feeds[i].data);
    }
    assert_int_equal(vkg_program_run(program), VKG_OK);
    check_output(program, y, index, "y", 0, row, 0);
    for (uint32_t i = 0; i < count; i++) {
        check_output(program, gradients[i], index, "g", i, row, 1);
        check_output(program, second[i], index, "h", i, row, 2);
    }
    check_output(program, second[count], index, "hv", 0, row, 2);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&g);
    row->cases++;
}

static void all_cases(void **state)
{
    (void)state;
    assert_int_equal(vkg_safetensors_open(test_log(), VKGAN_TEST_DATA "/ops.safetensors", &file), VKG_OK);
    uint32_t count = (uint32_t)atoi(vkg_safetensors_metadata_find(file, "count"));
    for (uint32_t index = 0; index < count; index++) {
        char key[32], text[256], *rest = text;
        double attributes[MAX_ATTRIBUTES];
        uint32_t attribute_count = 0;
        snprintf(key, sizeof key, "case%u", index);
        snprintf(text, sizeof text, "%s", vkg_safetensors_metadata_find(file, key));
        struct row *row = find_row(strsep(&rest, " "));
        if (!row)
            fail_msg("case %u: \"%s\" is not in the table", index, text);
        while (rest && attribute_count < MAX_ATTRIBUTES)
            attributes[attribute_count++] = atof(strsep(&rest, " "));
        check_case(index, row, attributes, attribute_count);
    }
    vkg_safetensors_close(&file);
}

static void every_operation_has_cases(void **state)
{
    (void)state;
    printf("%-30s cases  value    gradient second\n", "operation");
    for (int i = 0; i < ROWS; i++) {
        printf("%-30s %5u  %.1e  %.1e  %.1e\n", table[i].name, table[i].cases, table[i].worst[0], table[i].worst[1],
               table[i].worst[2]);
        assert_true(table[i].cases > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_cases), cmocka_unit_test(every_operation_has_cases)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
