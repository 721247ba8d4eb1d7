/* One case: its value, gradient and gradient of the gradient against PyTorch's, and then the last two against central
 * differences of the first two, all with one program. */
#include "ops_table.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUTS = 4, MAX_ATTRIBUTES = 512 };

/* A tensor of the file that is an input of the graph. */
struct feed {
    vkg_tensor *input;
    void *data;
};

/* A tensor of the graph beside what the file expects; size: ‖expected‖ at least. */
struct result {
    vkg_tensor *tensor;
    float *expected;
    double size;
};

struct check {
    vkg_safetensors *file;
    uint32_t index;
    const struct ops_row *row;
    struct ops_record *record;
    vkg_graph *graph;
    vkg_program *program;
    double attributes[MAX_ATTRIBUTES];
    const char *sizes; /* what is left of the file's list */
    uint32_t x_count, i_count, c_count, attribute_count;
    struct feed x[MAX_INPUTS + 1], i[MAX_INPUTS], c[MAX_INPUTS], u[MAX_INPUTS]; /* x[x_count] is v */
    struct result y, g[MAX_INPUTS], h[MAX_INPUTS + 1];                           /* h[x_count] is for v */
    bool kink, good;
};

__attribute__((format(printf, 2, 3)))
static void complain(struct check *c, const char *format, ...)
{
    va_list arguments;
    printf("case %u, %s", c->index, c->row->name);
    for (uint32_t i = 0; i < c->attribute_count && i < 24; i++)
        printf(" %g", c->attributes[i]);
    for (uint32_t i = 0; i <= c->x_count; i++) {
        vkg_shape shape = vkg_tensor_shape(c->x[i].input);
        printf(i < c->x_count ? " [" : " -> [");
        for (uint32_t k = 0; k < shape.rank; k++)
            printf(k ? ",%u" : "%u", shape.dims[k]);
        printf("]");
    }
    printf(": ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    c->good = false;
}

/* --- the file --- */

static bool find(const struct check *c, const char *kind, uint32_t number, uint32_t *found)
{
    char name[64];
    bool numbered = strlen(kind) == 1 && strchr("xicguh", kind[0]);
    snprintf(name, sizeof name, numbered ? "%u/%s%u" : "%u/%s", c->index, kind, number);
    *found = vkg_safetensors_find(c->file, name);
    return *found != UINT32_MAX;
}

/* The numbers of a tensor of the file, for the caller to free. */
static void *read_tensor(const struct check *c, uint32_t tensor, vkg_shape *shape)
{
    const vkg_safetensors_entry *entry = vkg_safetensors_get(c->file, tensor);
    void *data = malloc(entry->size + 1);
    assert_int_equal(vkg_safetensors_read(c->file, tensor, data, entry->size), VKG_OK);
    shape->rank = entry->rank;
    for (uint32_t i = 0; i < entry->rank; i++)
        shape->dims[i] = (uint32_t)entry->dims[i];
    return data;
}

static bool add_feed(struct check *c, const char *kind, uint32_t number, struct feed *feed)
{
    uint32_t tensor;
    vkg_shape shape;
    if (!find(c, kind, number, &tensor))
        return false;
    feed->data = read_tensor(c, tensor, &shape);
    bool whole = vkg_safetensors_get(c->file, tensor)->dtype == VKG_FILE_I32;
    feed->input = vkg_input_typed(c->graph, kind, shape, whole ? VKG_INT32 : VKG_FLOAT32);
    return true;
}

static uint32_t add_feeds(struct check *c, const char *kind, struct feed *feeds)
{
    uint32_t count = 0;
    while (count < MAX_INPUTS && add_feed(c, kind, count, &feeds[count]))
        count++;
    return count;
}

static void expect(struct check *c, const char *kind, uint32_t number, vkg_tensor *tensor, struct result *result)
{
    uint32_t found;
    vkg_shape expected, shape = vkg_tensor_shape(tensor);
    assert_true(find(c, kind, number, &found));
    *result = (struct result){tensor, read_tensor(c, found, &expected), c->sizes ? strtod(c->sizes, (char **)&c->sizes) : 0};
    bool equal = shape.rank == expected.rank;
    for (uint32_t i = 0; equal && i < shape.rank; i++)
        equal = shape.dims[i] == expected.dims[i];
    if (!equal && !vkg_graph_error(c->graph))
        complain(c, "%s%u has another shape", kind, number);
    vkg_output(c->graph, kind, tensor);
}

static void read_attributes(struct check *c)
{
    char key[32];
    snprintf(key, sizeof key, "kink%u", c->index);
    c->kink = vkg_safetensors_metadata_find(c->file, key) != NULL;
    snprintf(key, sizeof key, "size%u", c->index);
    c->sizes = vkg_safetensors_metadata_find(c->file, key);
    snprintf(key, sizeof key, "case%u", c->index);
    const char *text = strchr(vkg_safetensors_metadata_find(c->file, key), ' ');
    while (text) {
        assert_true(c->attribute_count < MAX_ATTRIBUTES);
        c->attributes[c->attribute_count++] = strtod(text, NULL);
        text = strchr(text + 1, ' ');
    }
}

/* --- the graph --- */

static vkg_tensor *inner(vkg_graph *g, vkg_tensor *a, vkg_tensor *b)
{
    return vkg_sum(g, vkg_mul(g, a, b), VKG_ALL_AXES, false);
}

/* y = f(x); g = d<y, v>/dx; h = ds/dx and ds/dv of s = Σ<g, u> */
static void build(struct check *c)
{
    vkg_graph *g = c->graph;
    vkg_tensor *x[MAX_INPUTS + 1], *whole[MAX_INPUTS], *constants[MAX_INPUTS], *first[MAX_INPUTS], *second[MAX_INPUTS + 1];
    c->x_count = add_feeds(c, "x", c->x);
    c->i_count = add_feeds(c, "i", c->i);
    c->c_count = add_feeds(c, "c", c->c);
    assert_true(add_feed(c, "v", 0, &c->x[c->x_count]));
    add_feeds(c, "u", c->u);
    for (uint32_t i = 0; i <= c->x_count; i++)
        x[i] = c->x[i].input;
    for (uint32_t i = 0; i < MAX_INPUTS; i++)
        whole[i] = c->i[i].input, constants[i] = c->c[i].input;
    vkg_tensor *y = c->row->build(g, &(struct ops_call){x, whole, constants, c->x_count, c->attributes, c->attribute_count});
    vkg_gradients(g, inner(g, y, x[c->x_count]), x, c->x_count, first);
    vkg_tensor *s = vkg_constant(g, 0, VKG_SCALAR);
    for (uint32_t i = 0; i < c->x_count; i++)
        s = vkg_add(g, s, inner(g, first[i], c->u[i].input));
    vkg_gradients(g, s, x, c->x_count + 1, second);
    expect(c, "y", 0, y, &c->y);
    for (uint32_t i = 0; i < c->x_count; i++) {
        expect(c, "g", i, first[i], &c->g[i]);
        expect(c, "h", i, second[i], &c->h[i]);
    }
    expect(c, "hv", 0, second[c->x_count], &c->h[c->x_count]);
    if (vkg_graph_error(g))
        complain(c, "%s", vkg_graph_error(g));
}

/* --- running --- */

static void feed(struct check *c, const struct feed *feed)
{
    void *data = vkg_program_input(c->program, feed->input, 0);
    vkg_dtype dtype = vkg_tensor_dtype(feed->input);
    if (data)
        memcpy(data, feed->data, vkg_tensor_elements(feed->input) * vkg_dtype_size(dtype));
}

static void run(struct check *c)
{
    if (vkg_program_run(c->program) != VKG_OK)
        complain(c, "does not run");
}

static double half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent == 31 ? INFINITY : exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return bits >> 15 ? -size : size;
}

static double value_of(const void *data, vkg_dtype dtype, uint64_t i)
{
    uint32_t bits;
    float value;
    switch (dtype) {
    case VKG_INT32: return ((const int32_t *)data)[i];
    case VKG_UINT32: return ((const uint32_t *)data)[i];
    case VKG_UINT8: return ((const uint8_t *)data)[i];
    case VKG_FLOAT16: return half_value(((const uint16_t *)data)[i]);
    case VKG_BFLOAT16:
        bits = (uint32_t)((const uint16_t *)data)[i] << 16;
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    default: return (double)((const float *)data)[i];
    }
}

static double found(const struct check *c, const struct result *result, uint64_t i)
{
    return value_of(vkg_program_output(c->program, result->tensor, 0), vkg_tensor_dtype(result->tensor), i);
}

/* ‖found − expected‖/‖expected‖, where what should vanish must be small by itself; NaN is as bad as infinity. */
static double error_of(const struct check *c, const struct result *result)
{
    double difference = 0, size = 0;
    for (uint64_t i = 0; i < vkg_tensor_elements(result->tensor); i++) {
        double expected = (double)result->expected[i], d = found(c, result, i) - expected;
        difference += d * d;
        size += expected * expected;
    }
    double error = sqrt(difference) / fmax(fmax(sqrt(size), result->size), 1e-3);
    return isnan(error) ? INFINITY : error;
}

static void compare(struct check *c, const struct result *result, const char *kind, uint32_t number, int order)
{
    double error = error_of(c, result);
    c->record->worst[order] = fmax(c->record->worst[order], error);
    if (error > c->row->tolerance[order])
        complain(c, "%s%u is off by %.2g", kind, number, error);
}

static void compare_all(struct check *c)
{
    compare(c, &c->y, "y", 0, 0);
    for (uint32_t i = 0; i < c->x_count; i++) {
        compare(c, &c->g[i], "g", i, 1);
        compare(c, &c->h[i], "h", i, 2);
    }
    compare(c, &c->h[c->x_count], "hv", 0, 2);
}

/* --- central differences --- */

/* A sum of products, and the size that rounding errors have beside it. */
struct product {
    double sum, squares;
};

static void multiply(const struct check *c, const struct result *result, const float *by, struct product *product)
{
    const uint64_t count = vkg_tensor_elements(result->tensor);
    double squares = 0, factors = 0;
    for (uint64_t i = 0; i < count; i++) {
        double p = found(c, result, i) * (double)by[i];
        product->sum += p;
        squares += p * p;
        factors += (double)by[i] * (double)by[i];
    }
    /* what is a difference of larger numbers has their errors */
    product->squares += fmax(squares, result->size * result->size * factors / (double)count);
}

/* <y, v> and Σ<g, u> of the latest run */
static void values(const struct check *c, struct product product[2])
{
    product[0] = product[1] = (struct product){0};
    multiply(c, &c->y, c->x[c->x_count].data, &product[0]);
    for (uint32_t i = 0; i < c->x_count; i++)
        multiply(c, &c->g[i], c->u[i].data, &product[1]);
}

/* Runs at x + step·d, and v likewise: that is one more of the inputs of Σ<g, u>. */
static void run_at(struct check *c, float *const *directions, float step)
{
    for (uint32_t i = 0; i <= c->x_count; i++) {
        float *x = vkg_program_input(c->program, c->x[i].input, 0);
        for (uint64_t k = 0; x && k < vkg_tensor_elements(c->x[i].input); k++)
            x[k] = ((float *)c->x[i].data)[k] + step * directions[i][k];
    }
    run(c);
}

/* Do differences of steps of h and h/2 agree with the gradient? They make the share h² of the third derivative vanish
 * (Richardson). What is left is rounding: float's 6e-8 of the products over h, with the operations' own errors about 1e-4
 * of them. A kink would show as a difference of the two steps' slopes. */
static bool slopes_agree(struct check *c, float *const *directions, const struct product along[2], float h, double found[2])
{
    const float steps[4] = {h, -h, h / 2, -h / 2};
    struct product at[4][2];
    bool agree = true;
    for (int s = 0; s < 4; s++) {
        run_at(c, directions, steps[s]);
        values(c, at[s]);
    }
    for (int order = 0; order < 2; order++) {
        double wide = (at[0][order].sum - at[1][order].sum) / (2 * (double)h);
        double narrow = (at[2][order].sum - at[3][order].sum) / (double)h;
        double scale = 1e-3 + sqrt(at[0][order].squares) + sqrt(along[order].squares) + 10 * fabs(wide - narrow);
        found[order] = (4 * narrow - wide) / 3;
        agree &= fabs(found[order] - along[order].sum) < 2e-3 * scale;
    }
    return agree;
}

/* Where a function bends so hard that the usual steps miss it, shorter ones must not. */
static void check_slopes(struct check *c, float *const *directions, const struct product along[2])
{
    double found[2];
    if (!slopes_agree(c, directions, along, 0.02f, found) && !slopes_agree(c, directions, along, 0.004f, found))
        complain(c, "differences give %.6g and %.6g, the gradients %.6g and %.6g", found[0], found[1], along[0].sum, along[1].sum);
    c->record->differences++;
}

static void check_differences(struct check *c)
{
    float *directions[MAX_INPUTS + 1];
    struct product along[2] = {0};
    for (uint32_t i = 0; i <= c->x_count; i++) {
        uint64_t count = vkg_tensor_elements(c->x[i].input);
        directions[i] = malloc(count * sizeof(float));
        for (uint64_t k = 0; k < count; k++)
            directions[i][k] = test_random_float();
        if (i < c->x_count)
            multiply(c, &c->g[i], directions[i], &along[0]);
        multiply(c, &c->h[i], directions[i], &along[1]);
    }
    if (c->good)
        check_slopes(c, directions, along);
    for (uint32_t i = 0; i <= c->x_count; i++)
        free(directions[i]);
}

/* --- all of it --- */

/* Keeps the shapes of the case that says most. */
static void remember_shapes(const struct check *c)
{
    char text[sizeof c->record->shapes] = "", *to = text, *end = text + sizeof text;
    c->record->cases++;
    for (uint32_t i = 0; c->x_count && i <= c->x_count; i++) {
        vkg_shape shape = vkg_tensor_shape(c->x[i].input);
        to += snprintf(to, (size_t)(end - to), i == 0 ? "[" : i < c->x_count ? ", [" : " → [");
        for (uint32_t k = 0; k < shape.rank; k++)
            to += snprintf(to, (size_t)(end - to), k ? ",%u" : "%u", shape.dims[k]);
        to += snprintf(to, (size_t)(end - to), "]");
    }
    if (strlen(text) > strlen(c->record->shapes))
        memcpy(c->record->shapes, text, sizeof text);
}

static void run_and_compare(struct check *c)
{
    if (vkg_program_create(test_device(), c->graph, NULL, NULL, &c->program) != VKG_OK) {
        complain(c, "no program");
        return;
    }
    for (uint32_t i = 0; i < MAX_INPUTS; i++) {
        const struct feed *feeds[] = {&c->x[i], &c->i[i], &c->c[i], &c->u[i]};
        for (int k = 0; k < 4; k++)
            if (feeds[k]->input)
                feed(c, feeds[k]);
    }
    if (c->x[MAX_INPUTS].input)
        feed(c, &c->x[MAX_INPUTS]);
    run(c);
    compare_all(c);
    if (c->good && !c->kink)
        check_differences(c);
    vkg_program_destroy(&c->program);
}

bool ops_check(vkg_safetensors *file, uint32_t index, const struct ops_row *row, struct ops_record *record)
{
    struct check c = {.file = file, .index = index, .row = row, .record = record, .good = true};
    assert_int_equal(vkg_graph_create(test_log(), &c.graph), VKG_OK);
    read_attributes(&c);
    build(&c);
    if (c.good)
        run_and_compare(&c);
    remember_shapes(&c);
    vkg_graph_destroy(&c.graph);
    free(c.y.expected);
    for (uint32_t i = 0; i <= MAX_INPUTS; i++)
        free(c.x[i].data), free(c.h[i].expected);
    for (uint32_t i = 0; i < MAX_INPUTS; i++)
        free(c.i[i].data), free(c.c[i].data), free(c.u[i].data), free(c.g[i].expected);
    return c.good;
}
