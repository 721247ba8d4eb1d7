/* Layers with parameters against PyTorch: values, gradients, and gradients of those with respect to every input and every
 * parameter. The cases are made by tests/reference/layers.py; parameters are read as a state file of PyTorch's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"
#include "graph/graph.h"
#include "on_device.h"

enum { MAX_INPUTS = 3, MAX_RESULTS = 4, MAX_WRT = 24, MAX_FEEDS = 40 };

static const char path[] = VKGAN_TEST_DATA "/layers.safetensors";
static vkg_safetensors *file;

/* --- what the layers are called with --- */

/* Builds the results out of the inputs; returns how many there are. */
typedef uint32_t (*builder)(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y);

static uint32_t build_gru_cell(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    (void)lengths;
    y[0] = vkg_gru_cell(g, x[0], x[1], &(vkg_rnn_cell_desc){.name = "gru_cell", .hidden = 6});
    return 1;
}

static uint32_t build_lstm_cell(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    (void)lengths;
    vkg_lstm_cell(g, x[0], x[1], x[2], &(vkg_rnn_cell_desc){.name = "lstm_cell", .hidden = 8}, &y[0], &y[1]);
    return 2;
}

static uint32_t build_gru(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    (void)lengths;
    y[0] = vkg_gru(g, x[0], &(vkg_rnn_desc){.name = "gru", .hidden = 6}, &y[1]);
    return 2;
}

static uint32_t build_gru_long(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    (void)lengths;
    y[0] = vkg_gru(g, x[0], &(vkg_rnn_desc){.name = "gru_long", .hidden = 3}, &y[1]);
    return 2;
}

static uint32_t build_lstm(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    (void)lengths;
    y[0] = vkg_lstm(g, x[0], &(vkg_rnn_desc){.name = "lstm", .hidden = 8}, &y[1], &y[2]);
    return 3;
}

static uint32_t build_gru_deep(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    y[0] = vkg_gru(g, x[0], &(vkg_rnn_desc){.name = "gru_deep", .hidden = 5, .layers = 2, .bidirectional = true,
                                            .lengths = lengths, .h = x[1]}, &y[1]);
    return 2;
}

static uint32_t build_lstm_deep(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    y[0] = vkg_lstm(g, x[0], &(vkg_rnn_desc){.name = "lstm_deep", .hidden = 4, .layers = 2, .bidirectional = true,
                                             .lengths = lengths, .h = x[1], .c = x[2]}, &y[1], &y[2]);
    return 3;
}

static uint32_t build_conv_gru_cell(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    (void)lengths;
    y[0] = vkg_conv_gru_cell(g, x[0], x[1], &(vkg_conv_gru_desc){.name = "conv_gru_cell", .hidden = 4});
    return 1;
}

static uint32_t build_conv_gru_relu(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    (void)lengths;
    const vkg_conv_gru_desc desc = {.name = "conv_gru_relu", .hidden = 3, .kernel = 3, .relu = true};
    y[0] = vkg_conv_gru_cell(g, x[1], vkg_conv_gru_cell(g, x[0], NULL, &desc), &desc);
    return 1;
}

/* Three calls in training, one in evaluation. */
static uint32_t build_spectral(vkg_graph *g, const char *name, vkg_shape shape, const uint32_t *torch_axes,
                               uint32_t out_axis, vkg_tensor **y)
{
    vkg_graph_enter(g, name);
    vkg_tensor *weight = graph_declare(g, &(struct declaration_desc){.name = "weight_orig", .shape = shape, .trained = true,
                                                                     .torch_axes = torch_axes});
    vkg_graph_leave(g);
    for (uint32_t i = 0; i < 4; i++)
        y[i] = vkg_spectral_norm(g, name, weight, out_axis, 0, i == 3);
    return 4;
}

static uint32_t build_spectral_linear(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    (void)x, (void)lengths;
    return build_spectral(g, "spectral_linear", VKG_SHAPE(7, 5), (uint32_t[]){1, 0, 2, 3, 4, 5}, 1, y);
}

static uint32_t build_spectral_conv(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    (void)x, (void)lengths;
    return build_spectral(g, "spectral_conv", VKG_SHAPE(3, 2, 4, 6), (uint32_t[]){3, 2, 0, 1, 4, 5}, 3, y);
}

static uint32_t build_spectral_transposed(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)
{
    (void)x, (void)lengths;
    return build_spectral(g, "spectral_transposed", VKG_SHAPE(3, 2, 5, 4), (uint32_t[]){3, 2, 0, 1, 4, 5}, 2, y);
}

#define CONV(name_, layer, ...)                                                                              \
    static uint32_t build_##name_(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)   \
    {                                                                                                        \
        (void)lengths;                                                                                       \
        y[0] = vkg_##layer(g, x[0], &(vkg_conv_desc){.name = #name_, __VA_ARGS__});                          \
        return 1;                                                                                            \
    }
CONV(conv1d, conv1d, .out = 6, .kernel = 3, .stride = 2, .pad = 1, .dilation = 2, .groups = 2, .bias = true)
CONV(conv2d, conv2d, .out = 9, .kernel = 3, .pad = 2, .dilation = 2, .groups = 3, .bias = true)
CONV(conv3d, conv3d, .out = 8, .kernel = 2, .stride = 2, .pad = 1, .groups = 4, .bias = true)
CONV(conv_transpose1d, conv_transpose1d, .out = 4, .kernel = 4, .stride = 2, .pad = 1, .groups = 2, .bias = true)
CONV(conv_transpose2d, conv_transpose2d, .out = 9, .kernel = 3, .stride = 2, .pad = 1, .output_padding = 1, .groups = 3,
     .bias = true)
CONV(conv_transpose3d, conv_transpose3d, .out = 2, .kernel = 3, .stride = 2, .pad = 1, .groups = 2)
CONV(conv_padded, conv_transpose2d, .out = 4, .kernel = 2, .stride = 2, .pad = 3, .output_padding = 3, .dilation = 4,
     .bias = true)

#define ONE_RESULT(layer, expression)                                                                        \
    static uint32_t build_##layer(vkg_graph *g, vkg_tensor *const *x, vkg_tensor *lengths, vkg_tensor **y)   \
    {                                                                                                        \
        (void)x, (void)lengths;                                                                              \
        y[0] = expression;                                                                                   \
        return 1;                                                                                            \
    }
ONE_RESULT(batch_norm, vkg_batch_norm(g, x[0], &(vkg_batch_norm_desc){.name = "batch_norm"}))
ONE_RESULT(group_norm, vkg_group_norm(g, x[0], &(vkg_norm_desc){.name = "group_norm", .groups = 2}))
ONE_RESULT(instance_norm, vkg_instance_norm(g, x[0], &(vkg_norm_desc){.name = "instance_norm"}))
ONE_RESULT(layer_norm, vkg_layer_norm(g, x[0], &(vkg_norm_desc){.name = "layer_norm"}))
ONE_RESULT(channel_norm, vkg_layer_norm(g, x[0], &(vkg_norm_desc){.name = "channel_norm", .channels_only = true}))
ONE_RESULT(prelu_layer, vkg_prelu_layer(g, x[0], "prelu_layer"))
ONE_RESULT(embedding_layer, vkg_embedding_layer(g, lengths, &(vkg_embedding_desc){.name = "embedding_layer", .classes = 6, .out = 5}))
ONE_RESULT(spectral_conv2d, vkg_conv2d(g, x[0], &(vkg_conv_desc){.name = "spectral_conv2d", .out = 4, .kernel = 3, .stride = 2,
    .pad = 1, .bias = true, .weight.form = VKG_WEIGHT_SPECTRAL}))
ONE_RESULT(spectral_transpose2d, vkg_conv_transpose2d(g, x[0], &(vkg_conv_desc){.name = "spectral_transpose2d", .out = 3,
    .kernel = 4, .stride = 2, .pad = 1, .weight.form = VKG_WEIGHT_SPECTRAL}))
ONE_RESULT(equalized_conv2d, vkg_conv2d(g, x[0], &(vkg_conv_desc){.name = "equalized_conv2d", .out = 4, .kernel = 3, .pad = 1,
    .bias = true, .weight.form = VKG_WEIGHT_EQUALIZED}))
ONE_RESULT(equalized_linear, vkg_linear(g, x[0], &(vkg_linear_desc){.name = "equalized_linear", .out = 5, .bias = true,
    .weight = {.form = VKG_WEIGHT_EQUALIZED, .lr_multiplier = 0.01f}}))

/* --- the file --- */

static float *read_tensor(const char *name, vkg_shape *shape)
{
    uint32_t tensor = vkg_safetensors_find(file, name);
    if (tensor == UINT32_MAX)
        fail_msg("the file has no \"%s\"", name);
    const vkg_safetensors_entry *entry = vkg_safetensors_get(file, tensor);
    float *data = malloc(entry->size + 1);
    assert_int_equal(vkg_safetensors_read(file, tensor, data, entry->size), VKG_OK);
    shape->rank = entry->rank;
    for (uint32_t i = 0; i < entry->rank; i++)
        shape->dims[i] = (uint32_t)entry->dims[i];
    return data;
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

static double compare(const char *name, const float *found, uint64_t count, double tolerance)
{
    vkg_shape shape;
    float *expected = read_tensor(name, &shape);
    assert_int_equal(shape_elements(&shape), count);
    double error = normalised_error(found, expected, count);
    free(expected);
    if (error > tolerance)
        fail_msg("%s is off by %g", name, error);
    return error;
}

/* --- one case --- */

struct layer_case {
    const char *name;
    builder build;
    double tolerance;
    uint32_t inputs;
    bool lengths;
    vkg_graph *g;
    vkg_state *state;
    vkg_program *program;
    vkg_tensor *x[MAX_INPUTS], *y[MAX_RESULTS];
    uint32_t result_count, wrt_count;
    vkg_tensor *wrt[MAX_WRT], *first[MAX_WRT], *second[MAX_WRT]; /* inputs, then parameters */
    struct {
        vkg_tensor *input;
        void *data;
    } feeds[MAX_FEEDS];
    uint32_t feed_count;
    double worst[3]; /* value, gradient, gradient of the gradient */
};

/* An input that gets the tensor "<case>/<kind><of>" of the file once the program is there. */
static vkg_tensor *add_feed(struct layer_case *c, const char *kind, const char *of, vkg_dtype dtype)
{
    char name[128];
    vkg_shape shape;
    snprintf(name, sizeof name, "%s/%s%s", c->name, kind, of);
    assert_true(c->feed_count < MAX_FEEDS);
    c->feeds[c->feed_count].data = read_tensor(name, &shape);
    return c->feeds[c->feed_count++].input = vkg_input_typed(c->g, name, shape, dtype);
}

static const char *numbered(uint32_t i)
{
    return (const char *[]){"0", "1", "2", "3"}[i];
}

/* What the file calls a tensor that is differentiated by: "x0", or the parameter's name within the layer. */
static const char *wrt_name(const struct layer_case *c, uint32_t i)
{
    static char name[8];
    snprintf(name, sizeof name, "x%u", i);
    return i < c->inputs ? name : vkg_tensor_name(c->wrt[i]) + strlen(c->name) + 1;
}

static vkg_tensor *weighted_sum(vkg_graph *g, vkg_tensor *sum, vkg_tensor *a, vkg_tensor *weight)
{
    return vkg_add(g, sum, vkg_sum(g, vkg_mul(g, a, weight), VKG_ALL_AXES, false));
}

static void build_case(struct layer_case *c)
{
    assert_int_equal(vkg_graph_create(test_log(), &c->g), VKG_OK);
    for (uint32_t i = 0; i < c->inputs; i++)
        c->wrt[i] = c->x[i] = add_feed(c, "x", numbered(i), VKG_FLOAT32);
    vkg_tensor *lengths = c->lengths ? add_feed(c, "lengths", "", VKG_INT32) : NULL;
    c->result_count = c->build(c->g, c->x, lengths, c->y);
    c->wrt_count = c->inputs + vkg_graph_parameters(c->g, "", c->wrt + c->inputs, MAX_WRT - c->inputs);
    assert_true(c->wrt_count <= MAX_WRT);
    vkg_tensor *s = vkg_constant(c->g, 0, VKG_SCALAR), *t = s;
    for (uint32_t k = 0; k < c->result_count; k++)
        s = weighted_sum(c->g, s, c->y[k], add_feed(c, "v", numbered(k), VKG_FLOAT32));
    vkg_gradients(c->g, s, c->wrt, c->wrt_count, c->first);
    for (uint32_t i = 0; i < c->wrt_count; i++)
        t = weighted_sum(c->g, t, c->first[i], add_feed(c, "u:", wrt_name(c, i), VKG_FLOAT32));
    vkg_gradients(c->g, t, c->wrt, c->wrt_count, c->second);
    for (uint32_t k = 0; k < c->result_count; k++)
        vkg_output(c->g, "y", c->y[k]);
    for (uint32_t i = 0; i < c->wrt_count; i++) {
        vkg_output(c->g, "g", c->first[i]);
        vkg_output(c->g, "h", c->second[i]);
    }
}

static void run_case(struct layer_case *c)
{
    assert_int_equal(vkg_state_create(test_device(), &c->g, 1, 1, &c->state), VKG_OK);
    assert_int_equal(vkg_state_load(c->state, path, NULL, NULL), VKG_OK);
    assert_int_equal(vkg_program_create(test_device(), c->g, c->state, NULL, &c->program), VKG_OK);
    for (uint32_t i = 0; i < c->feed_count; i++) {
        memcpy(vkg_program_input(c->program, c->feeds[i].input, 0), c->feeds[i].data,
               vkg_tensor_elements(c->feeds[i].input) * sizeof(float));
        free(c->feeds[i].data);
    }
    assert_int_equal(vkg_program_run(c->program), VKG_OK);
}

static void check_result(struct layer_case *c, const vkg_tensor *tensor, const char *kind, const char *of, int order)
{
    char name[128];
    snprintf(name, sizeof name, "%s/%s%s", c->name, kind, of);
    double error = compare(name, vkg_program_output(c->program, tensor, 0), vkg_tensor_elements(tensor),
                           c->tolerance * (order + 1));
    c->worst[order] = fmax(c->worst[order], error);
}

/* What a layer keeps, after the calls. */
static void check_buffer(struct layer_case *c, const char *buffer)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", c->name, buffer);
    uint32_t index = vkg_state_find(c->state, name);
    if (index == UINT32_MAX)
        return;
    uint64_t count = vkg_state_get(c->state, index)->elements;
    float *found = malloc(count * sizeof *found);
    assert_int_equal(vkg_state_read(c->state, index, found), VKG_OK);
    snprintf(name, sizeof name, "%s/%s", c->name, buffer);
    compare(name, found, count, c->tolerance);
    free(found);
}

static void check_case(struct layer_case *c)
{
    build_case(c);
    run_case(c);
    for (uint32_t k = 0; k < c->result_count; k++)
        check_result(c, c->y[k], "y", numbered(k), 0);
    for (uint32_t i = 0; i < c->wrt_count; i++) {
        check_result(c, c->first[i], "g:", wrt_name(c, i), 1);
        check_result(c, c->second[i], "h:", wrt_name(c, i), 2);
    }
    const char *const buffers[] = {"weight_u", "weight_v", "running_mean", "running_var"};
    for (int i = 0; i < 4; i++)
        check_buffer(c, buffers[i]);
    vkg_program_stats stats = vkg_program_get_stats(c->program);
    printf("%-20s %.1e  %.1e  %.1e  %u dispatches\n", c->name, c->worst[0], c->worst[1], c->worst[2], stats.dispatches);
    vkg_program_destroy(&c->program);
    vkg_state_destroy(&c->state);
    vkg_graph_destroy(&c->g);
}

static void layers_follow_pytorch(void **unused)
{
    (void)unused;
    struct layer_case cases[] = {
#define CASE(layer, input_count, ...) {.name = #layer, .build = build_##layer, .inputs = input_count, __VA_ARGS__}
        CASE(gru_cell, 2, .tolerance = 2e-6), CASE(lstm_cell, 3, .tolerance = 2e-6), CASE(gru, 1, .tolerance = 2e-6),
        CASE(gru_long, 1, .tolerance = 2e-6), CASE(lstm, 1, .tolerance = 2e-6), CASE(gru_deep, 2, .lengths = true, .tolerance = 2e-6),
        CASE(lstm_deep, 3, .lengths = true, .tolerance = 2e-6), CASE(conv_gru_cell, 2, .tolerance = 2e-6),
        CASE(conv_gru_relu, 2, .tolerance = 2e-6), CASE(spectral_linear, 0, .tolerance = 2e-6),
        CASE(spectral_conv, 0, .tolerance = 2e-6), CASE(spectral_transposed, 0, .tolerance = 2e-6),
        CASE(conv1d, 1, .tolerance = 1e-6), CASE(conv2d, 1, .tolerance = 1e-6), CASE(conv3d, 1, .tolerance = 1e-6),
        CASE(conv_transpose1d, 1, .tolerance = 1e-6), CASE(conv_transpose2d, 1, .tolerance = 1e-6),
        CASE(conv_transpose3d, 1, .tolerance = 1e-6), CASE(conv_padded, 1, .tolerance = 1e-6),
        CASE(batch_norm, 1, .tolerance = 2e-6), CASE(group_norm, 1, .tolerance = 2e-6),
        CASE(instance_norm, 1, .tolerance = 2e-6), CASE(layer_norm, 1, .tolerance = 2e-6),
        CASE(channel_norm, 1, .tolerance = 2e-6), CASE(prelu_layer, 1, .tolerance = 1e-6),
        CASE(embedding_layer, 0, .lengths = true, .tolerance = 1e-6), CASE(spectral_conv2d, 1, .tolerance = 2e-6),
        CASE(spectral_transpose2d, 1, .tolerance = 2e-6), CASE(equalized_conv2d, 1, .tolerance = 1e-6),
        CASE(equalized_linear, 1, .tolerance = 1e-6)};
    assert_int_equal(vkg_safetensors_open(test_log(), path, &file), VKG_OK);
    printf("%-20s value    gradient second\n", "layer");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_case(&cases[i]);
    vkg_safetensors_close(&file);
}

/* Statistics are exact far from zero too, where the difference of squares would have no digit left. */
static void check_statistics(void)
{
    enum { N = 3000, CHANNELS = 5 };
    vkg_graph *graph;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_tensor *x = vkg_input(graph, "x", VKG_SHAPE(N, CHANNELS)), *var = vkg_var(graph, x, 1, false, 0);
    vkg_tensor *mean = vkg_mean(graph, x, 1, false), *max = vkg_max(graph, x, 1, false);
    vkg_output(graph, "var", var);
    vkg_output(graph, "mean", mean);
    vkg_output(graph, "max", max);
    assert_int_equal(vkg_program_create(test_device(), graph, NULL, NULL, &program), VKG_OK);
    float *numbers = vkg_program_input(program, x, 0);
    double means[CHANNELS] = {0}, expected[CHANNELS] = {0}, greatest[CHANNELS];
    for (uint32_t c = 0; c < CHANNELS; c++)
        greatest[c] = -INFINITY;
    for (uint32_t i = 0; i < N * CHANNELS; i++) {
        numbers[i] = (i % CHANNELS ? 4096 : -1e6f) + (float)test_random(16) / 8; /* exact */
        means[i % CHANNELS] += (double)numbers[i] / N;
        greatest[i % CHANNELS] = fmax(greatest[i % CHANNELS], (double)numbers[i]);
    }
    for (uint32_t i = 0; i < N * CHANNELS; i++)
        expected[i % CHANNELS] += pow((double)numbers[i] - means[i % CHANNELS], 2) / N;
    assert_int_equal(vkg_program_run(program), VKG_OK);
    const float *found = vkg_program_output(program, var, 0);
    assert_true(fabs((double)found[0] / expected[0] - 1) < 5e-2); /* an eighth is two bits there */
    for (uint32_t c = 1; c < CHANNELS; c++)
        assert_true(fabs((double)found[c] / expected[c] - 1) < 3e-4);
    for (uint32_t c = 0; c < CHANNELS; c++) {
        assert_true(fabs((double)((const float *)vkg_program_output(program, mean, 0))[c] / means[c] - 1) < 1e-6);
        assert_true((double)((const float *)vkg_program_output(program, max, 0))[c] == greatest[c]);
    }
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
}

static void statistics_far_from_zero(void **unused)
{
    (void)unused;
    check_statistics();
}

/* As on a graphics card, where several invocations share an element whose parts are many. */
static void statistics_of_many_lanes(void **unused)
{
    (void)unused;
    vkg_device *device = test_device();
    const vkg_device_type type = device->caps.type;
    device->caps.type = VKG_DEVICE_DISCRETE;
    check_statistics();
    device->caps.type = type;
}

/* 0·∞ is no number, but what PyTorch says there is: the loss beside a class that is masked, and the slope of x⁰ at 0. */
static void products_of_nothing_and_infinity(void **unused)
{
    (void)unused;
    vkg_graph *g;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *logits = vkg_input(g, "logits", VKG_SHAPE(1, 3)), *labels = vkg_input(g, "labels", VKG_SHAPE(1));
    vkg_tensor *a = vkg_input(g, "a", VKG_SHAPE(2)), *b = vkg_input(g, "b", VKG_SHAPE(2)), *slope, *second;
    vkg_tensor *loss = vkg_cross_entropy(g, logits, labels);
    vkg_gradients(g, vkg_pow(g, a, b), &a, 1, &slope);
    vkg_output(g, "loss", loss);
    vkg_gradients(g, slope, &a, 1, &second);
    vkg_output(g, "slope", slope);
    vkg_output(g, "second", second);
    assert_int_equal(vkg_program_create(test_device(), g, NULL, NULL, &program), VKG_OK);
    memcpy(vkg_program_input(program, logits, 0), (float[]){1, -INFINITY, 1}, 3 * sizeof(float));
    *(float *)vkg_program_input(program, labels, 0) = 2;
    memcpy(vkg_program_input(program, a, 0), (float[]){0, 3}, 2 * sizeof(float));
    memcpy(vkg_program_input(program, b, 0), (float[]){0, 2}, 2 * sizeof(float));
    assert_int_equal(vkg_program_run(program), VKG_OK);
    const float *found = vkg_program_output(program, slope, 0);
    assert_float_equal(*(const float *)vkg_program_output(program, loss, 0), 0.693147f, 1e-5);
    assert_float_equal(found[0], 0, 0);
    assert_float_equal(found[1], 6, 1e-4);
    found = vkg_program_output(program, second, 0);
    assert_float_equal(found[0], 0, 0);
    assert_float_equal(found[1], 2, 1e-4);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(layers_follow_pytorch), cmocka_unit_test(statistics_far_from_zero),
                                       cmocka_unit_test(statistics_of_many_lanes), cmocka_unit_test(products_of_nothing_and_infinity)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
