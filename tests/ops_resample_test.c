/* The operations of vkgan/resample.h against PyTorch: the value, the gradient, the gradient of the gradient. The cases
 * are made by tests/reference/ops_resample.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"

enum { MAX_INPUTS = 2, MAX_ATTRIBUTES = 16 };

typedef vkg_tensor *(*builder)(vkg_graph *g, vkg_tensor *const *x, const double *a, uint32_t attribute_count);

#define BUILD(op, expression)                                                                                \
    static vkg_tensor *build_##op(vkg_graph *g, vkg_tensor *const *x, const double *a, uint32_t n)           \
    {                                                                                                        \
        (void)n, (void)a;                                                                                    \
        return expression;                                                                                   \
    }

static void three(uint32_t *to, const double *a)
{
    for (int i = 0; i < 3; i++)
        to[i] = (uint32_t)a[i];
}

/* The matrix of sparse_matrix in ops_resample.py. */
static vkg_tensor *build_apply_linear_map(vkg_graph *g, vkg_tensor *const *x, const double *a, uint32_t n)
{
    (void)n;
    enum { MOST = 64 };
    uint32_t axis = (uint32_t)a[0], out = (uint32_t)a[1], size = vkg_tensor_shape(x[0]).dims[axis], count = 0;
    uint32_t start[MOST + 1] = {0}, index[MOST * 3];
    float weight[MOST * 3];
    for (uint32_t o = 0; o < out; o++) {
        for (uint32_t t = 0; t < o % 4; t++) {
            index[count] = (o * 7 + t * 3) % size;
            weight[count++] = (float)((int)((o * 5 + t * 11) % 13) - 6) / 4;
        }
        start[o + 1] = count;
    }
    return vkg_apply_linear_map(g, x[0], axis, &(vkg_linear_map){out, start, index, weight});
}

static vkg_interpolate_desc interpolate_from(const double *a)
{
    vkg_interpolate_desc desc = {.mode = (vkg_interpolation)a[3], .align_corners = a[4] != 0, .antialias = a[5] != 0};
    three(desc.size, a);
    return desc;
}

static vkg_pool_desc pool_from(const double *a)
{
    vkg_pool_desc desc = {.exclude_padding = a[9] != 0};
    three(desc.kernel, a);
    three(desc.stride, a + 3);
    three(desc.padding, a + 6);
    return desc;
}

static vkg_tensor *build_upfirdn2d(vkg_graph *g, vkg_tensor *const *x, const double *a, uint32_t n)
{
    float filter[MAX_ATTRIBUTES];
    for (uint32_t i = 5; i < n; i++)
        filter[i - 5] = (float)a[i];
    return vkg_upfirdn2d(g, x[0], &(vkg_fir_desc){filter, n - 5, (uint32_t)a[0], (uint32_t)a[1], (int32_t)a[2],
                                                  (int32_t)a[3], (float)a[4]});
}

static vkg_tensor *build_adaptive_avg_pool(vkg_graph *g, vkg_tensor *const *x, const double *a, uint32_t n)
{
    (void)n;
    uint32_t size[3];
    three(size, a);
    return vkg_adaptive_avg_pool(g, x[0], size);
}

static vkg_tensor *build_affine_grid(vkg_graph *g, vkg_tensor *const *x, const double *a, uint32_t n)
{
    (void)n;
    uint32_t size[3];
    three(size, a);
    return vkg_affine_grid(g, x[0], size, a[3] != 0);
}

BUILD(cumsum, vkg_cumsum(g, x[0], (uint32_t)a[0]))
BUILD(interpolate, vkg_interpolate(g, x[0], &(vkg_interpolate_desc[]){interpolate_from(a)}[0]))
BUILD(pixel_shuffle, vkg_pixel_shuffle(g, x[0], (uint32_t)a[0]))
BUILD(pixel_unshuffle, vkg_pixel_unshuffle(g, x[0], (uint32_t)a[0]))
BUILD(pad, vkg_pad(g, x[0], (uint32_t)a[0], (int32_t)a[1], (int32_t)a[2], (vkg_pad_mode)a[3], 0))
BUILD(avg_pool, vkg_avg_pool(g, x[0], &(vkg_pool_desc[]){pool_from(a)}[0]))
BUILD(max_pool, vkg_max_pool(g, x[0], &(vkg_pool_desc[]){pool_from(a)}[0]))
BUILD(grid_sample, vkg_grid_sample(g, x[0], x[1], &(vkg_grid_sample_desc){(vkg_interpolation)a[0],
                                                                         (vkg_sample_padding)a[1], a[2] != 0}))
BUILD(roi_align, vkg_roi_align(g, x[0], x[1], &(vkg_roi_align_desc){(uint32_t)a[0], (uint32_t)a[1], (float)a[2],
                                                                    (uint32_t)a[3], a[4] != 0}))
BUILD(gather, vkg_gather(g, x[0], (uint32_t)a[0], x[1]))
BUILD(scatter_add, vkg_scatter_add(g, x[0], (uint32_t)a[0], x[1], (uint32_t)a[1]))
BUILD(index_select, vkg_index_select(g, x[0], (uint32_t)a[0], x[1]))
BUILD(embedding, vkg_embedding(g, x[0], x[1]))

/* `tolerance` bounds ‖difference‖/‖expected‖. */
static struct row {
    const char *name;
    builder build;
    double tolerance;
    uint32_t cases;
    double worst[3]; /* value, gradient, gradient of the gradient */
} table[] = {
#define ROW(op, tolerance) {#op, build_##op, tolerance, 0, {0}}
    ROW(apply_linear_map, 1e-6), ROW(cumsum, 1e-6), ROW(interpolate, 1e-6), ROW(upfirdn2d, 1e-6),
    ROW(pixel_shuffle, 1e-7), ROW(pixel_unshuffle, 1e-7), ROW(pad, 1e-7), ROW(avg_pool, 1e-6), ROW(max_pool, 1e-7),
    ROW(adaptive_avg_pool, 1e-6), ROW(grid_sample, 2e-6), ROW(affine_grid, 1e-6), ROW(roi_align, 2e-6),
    ROW(gather, 1e-7), ROW(scatter_add, 1e-7), ROW(index_select, 1e-7), ROW(embedding, 1e-7),
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

static void *read_tensor(uint32_t tensor, vkg_shape *shape)
{
    const vkg_safetensors_entry *entry = vkg_safetensors_get(file, tensor);
    void *data = malloc(entry->size + 1);
    assert_int_equal(vkg_safetensors_read(file, tensor, data, entry->size), VKG_OK);
    shape->rank = entry->rank;
    for (uint32_t i = 0; i < entry->rank; i++)
        shape->dims[i] = (uint32_t)entry->dims[i];
    return data;
}

/* An input of the graph that gets a tensor of the file once the program is there. */
struct feed {
    vkg_tensor *input;
    void *data;
};

static vkg_tensor *add_feed(vkg_graph *graph, uint32_t index, const char *kind, uint32_t number, struct feed *feed)
{
    uint32_t tensor;
    vkg_shape shape;
    assert_true(find_tensor(index, kind, number, &tensor));
    feed->data = read_tensor(tensor, &shape);
    bool floats = vkg_safetensors_get(file, tensor)->dtype == VKG_FILE_F32;
    feed->input = vkg_input_typed(graph, kind, shape, floats ? VKG_FLOAT32 : VKG_INT32);
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
    uint32_t count = 0, wanted = 0, feed_count = 0, unused;
    vkg_tensor *x[MAX_INPUTS], *floats[MAX_INPUTS + 1], *gradients[MAX_INPUTS], *second[MAX_INPUTS + 1];
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    while (count < MAX_INPUTS && find_tensor(index, "x", count, &unused)) {
        x[count] = add_feed(g, index, "x", count, &feeds[feed_count++]);
        if (vkg_tensor_dtype(x[count]) == VKG_FLOAT32)
            floats[wanted++] = x[count];
        count++;
    }
    vkg_tensor *y = row->build(g, x, attributes, attribute_count);
    vkg_tensor *v = add_feed(g, index, "v", 0, &feeds[feed_count++]);
    vkg_gradients(g, vkg_sum(g, vkg_mul(g, y, v), VKG_ALL_AXES, false), floats, wanted, gradients);
    vkg_tensor *s = vkg_constant(g, 0, VKG_SCALAR);
    for (uint32_t i = 0; i < wanted; i++) {
        vkg_tensor *u = add_feed(g, index, "u", i, &feeds[feed_count++]);
        s = vkg_add(g, s, vkg_sum(g, vkg_mul(g, gradients[i], u), VKG_ALL_AXES, false));
    }
    floats[wanted] = v;
    vkg_gradients(g, s, floats, wanted + 1, second);
    vkg_output(g, "y", y);
    for (uint32_t i = 0; i < wanted; i++)
        vkg_output(g, "g", gradients[i]);
    for (uint32_t i = 0; i <= wanted; i++)
        vkg_output(g, "h", second[i]);
    if (vkg_program_create(test_device(), g, NULL, NULL, &program) != VKG_OK)
        fail_msg("case %u, %s", index, row->name);
    for (uint32_t i = 0; i < feed_count; i++) {
        memcpy(vkg_program_input(program, feeds[i].input, 0), feeds[i].data, vkg_tensor_elements(feeds[i].input) * 4);
        free(feeds[i].data);
    }
    assert_int_equal(vkg_program_run(program), VKG_OK);
    check_output(program, y, index, "y", 0, row, 0);
    for (uint32_t i = 0; i < wanted; i++) {
        check_output(program, gradients[i], index, "g", i, row, 1);
        check_output(program, second[i], index, "h", i, row, 2);
    }
    check_output(program, second[wanted], index, "hv", 0, row, 2);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&g);
    row->cases++;
}

static void all_cases(void **state)
{
    (void)state;
    assert_int_equal(vkg_safetensors_open(test_log(), VKGAN_TEST_DATA "/ops_resample.safetensors", &file), VKG_OK);
    uint32_t count = (uint32_t)atoi(vkg_safetensors_metadata_find(file, "count"));
    for (uint32_t index = 0; index < count; index++) {
        char key[32], text[512], *rest = text;
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
