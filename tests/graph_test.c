/* Construction, shapes, errors and differentiation as graph surgery. No device is opened. */
#include <stdio.h>
#include <string.h>

#include "graph/graph.h"
#include "on_device.h"

static vkg_graph *new_graph(void)
{
    vkg_graph *graph;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    return graph;
}

static vkg_tensor *input(vkg_graph *g, vkg_shape shape)
{
    return vkg_input(g, "x", shape);
}

static void assert_shape(const vkg_tensor *tensor, vkg_shape expected)
{
    vkg_shape shape = vkg_tensor_shape(tensor);
    if (!shape_equal(&shape, &expected))
        fail_msg("%s, expected %s", SHAPE(&shape), SHAPE(&expected));
}

static void shapes_follow_the_rules(void **unused)
{
    (void)unused;
    vkg_graph *g = new_graph();
    vkg_tensor *x = input(g, VKG_SHAPE(2, 28, 28, 3));
    assert_shape(vkg_conv2d(g, x, &(vkg_conv_desc){.name = "a", .out = 8, .kernel = 4, .stride = 2, .pad = 1}),
                 VKG_SHAPE(2, 14, 14, 8));
    assert_shape(vkg_conv2d(g, x, &(vkg_conv_desc){.name = "b", .out = 1, .kernel = 28}), VKG_SHAPE(2, 1, 1, 1));
    vkg_tensor *z = input(g, VKG_SHAPE(2, 1, 1, 100));
    assert_shape(vkg_conv_transpose2d(g, z, &(vkg_conv_desc){.name = "c", .out = 6, .kernel = 7}), VKG_SHAPE(2, 7, 7, 6));
    assert_shape(vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = "d", .out = 6, .kernel = 3, .stride = 2, .pad = 1,
                                                             .output_padding = 1}), VKG_SHAPE(2, 56, 56, 6));
    assert_shape(vkg_add(g, input(g, VKG_SHAPE(4, 1, 3)), input(g, VKG_SHAPE(5, 1))), VKG_SHAPE(4, 5, 3));
    assert_shape(vkg_sum(g, x, 1 << 1 | 1 << 3, false), VKG_SHAPE(2, 28));
    assert_shape(vkg_mean(g, x, 1 << 1 | 1 << 3, true), VKG_SHAPE(2, 1, 28, 1));
    assert_shape(vkg_sum(g, x, VKG_ALL_AXES, false), VKG_SCALAR);
    assert_shape(vkg_linear(g, input(g, VKG_SHAPE(5, 7)), &(vkg_linear_desc){.name = "e", .out = 9}), VKG_SHAPE(5, 9));
    assert_null(vkg_graph_error(g));
    vkg_graph_destroy(&g);
    assert_null(g);
}

/* Every broken rule: what is said must name the call and the facts. */
#define BROKEN(expression, ...)                                                                              \
    do {                                                                                                     \
        vkg_graph *g = new_graph();                                                                          \
        vkg_tensor *x = input(g, VKG_SHAPE(2, 8, 8, 3)), *v = input(g, VKG_SHAPE(5));                        \
        (void)x, (void)v;                                                                                    \
        test_expect_errors(true);                                                                            \
        (void)(expression);                                                                                  \
        const char *const words[] = {__VA_ARGS__};                                                           \
        assert_non_null(vkg_graph_error(g));                                                                 \
        assert_int_equal(test_error_count(), 1);                                                             \
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)                                          \
            if (!strstr(vkg_graph_error(g), words[i]))                                                       \
                fail_msg("\"%s\" does not say \"%s\"", vkg_graph_error(g), words[i]);                        \
        test_expect_errors(false);                                                                           \
        vkg_graph_destroy(&g);                                                                               \
    } while (0)

static void broken_rules_are_named(void **unused)
{
    (void)unused;
    BROKEN(vkg_add(g, x, v), "add: ", "[2,8,8,3]", "[5]");
    BROKEN(vkg_input(g, "empty", VKG_SHAPE(3, 0)), "[3,0]", "dimension of 0");
    BROKEN(vkg_input(g, "huge", VKG_SHAPE(65536, 65536)), "2^31");
    BROKEN(vkg_reshape(g, x, VKG_SHAPE(7)), "reshape: ", "384", "7");
    BROKEN(vkg_broadcast(g, x, VKG_SHAPE(2, 8, 8, 4)), "broadcast: ", "[2,8,8,4]");
    BROKEN(vkg_sum(g, v, 2, false), "sum: ", "[5]");
    BROKEN(vkg_sum_to(g, x, VKG_SHAPE(3, 3)), "sum_to: ", "[3,3]");
    BROKEN(vkg_matmul(g, v, v, false, false), "matmul: ", "2 dimensions");
    BROKEN(vkg_matmul(g, input(g, VKG_SHAPE(2, 3)), input(g, VKG_SHAPE(4, 5)), false, false), "inner dimensions");
    BROKEN(vkg_matmul(g, input(g, VKG_SHAPE(2, 3, 4)), input(g, VKG_SHAPE(3, 4, 5)), false, false), "[2,3,4]",
           "[3,4,5]", "leading dimensions");
    BROKEN(vkg_conv2d(g, x, &(vkg_conv_desc){.name = "c", .out = 4, .kernel = 9}), "kernel", "[2,8,8,3]");
    BROKEN(vkg_conv2d(g, x, &(vkg_conv_desc){.out = 4, .kernel = 3}), "name");
    BROKEN(vkg_conv2d(g, v, &(vkg_conv_desc){.name = "c", .out = 4, .kernel = 3}), "conv2d \"c\"", "[N, H, W, C]");
    BROKEN(vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = "c", .out = 4, .kernel = 3, .output_padding = 1}),
           "output_padding");
    BROKEN(vkg_convolution(g, x, input(g, VKG_SHAPE(3, 3, 4, 8)), (vkg_conv_geometry){0}), "3 channels", "expects 4");
    BROKEN(vkg_convolution(g, x, input(g, VKG_SHAPE(3, 3, 1, 8)), (vkg_conv_geometry){.groups = 3}),
           "convolution: ", "8 channels", "3 groups");
    BROKEN(vkg_convolution(g, x, input(g, VKG_SHAPE(3, 3, 8)), (vkg_conv_geometry){0}), "[2,8,8,3]", "[3,3,8]",
           "dimensions");
    BROKEN(vkg_convolution(g, x, input(g, VKG_SHAPE(3, 3, 3, 8)), (vkg_conv_geometry){.padding = {1u << 31}}),
           "padding 2147483648");
    BROKEN(vkg_convolution_input_gradient(g, x, input(g, VKG_SHAPE(3, 3, 4, 3)), (vkg_conv_geometry){0},
                                          (const uint32_t[]){8, 8}), "[2,8,8,3]", "[3,3]");
    BROKEN(vkg_convolution_weight_gradient(g, x, x, (vkg_conv_geometry){.groups = 3}, (const uint32_t[]){3, 0}),
           "convolution_weight_gradient: ", "[3,0]");
    BROKEN(vkg_conv2d(g, x, &(vkg_conv_desc){.name = "c", .out = 4, .kernel = 3, .groups = 2}), "conv2d \"c\"",
           "3 channels", "2 groups");
    BROKEN(vkg_batch_norm(g, v, &(vkg_batch_norm_desc){.name = "bn"}), "batch_norm \"bn\"", "2 dimensions");
    BROKEN(vkg_bce_with_logits(g, x, 1.5f), "1.5");
    BROKEN(vkg_gru(g, x, &(vkg_rnn_desc){.name = "r", .hidden = 4}, NULL), "gru \"r\"", "[N, L, C]", "[2,8,8,3]");
    BROKEN(vkg_gru(g, input(g, VKG_SHAPE(2, 3, 4)), &(vkg_rnn_desc){.name = "r"}, NULL), "gru \"r\"", "hidden is 0");
    BROKEN(vkg_gru(g, input(g, VKG_SHAPE(2, 3, 4)), &(vkg_rnn_desc){.hidden = 4}, NULL), "name");
    BROKEN(vkg_lstm(g, input(g, VKG_SHAPE(2, 3, 4)), &(vkg_rnn_desc){.name = "r", .hidden = 4, .lengths = v}, NULL, NULL),
           "lstm \"r\"", "lengths [5] must be [2]");
    BROKEN(vkg_lstm(g, input(g, VKG_SHAPE(2, 3, 4)),
                    &(vkg_rnn_desc){.name = "r", .hidden = 4, .bidirectional = true, .c = v}, NULL, NULL),
           "lstm \"r\"", "c [5] must be [2,2,4]");
    BROKEN(vkg_gru_cell(g, v, NULL, &(vkg_rnn_cell_desc){.name = "r", .hidden = 4}), "gru_cell \"r\"", "[N, C]");
    BROKEN(vkg_conv_gru_cell(g, x, NULL, &(vkg_conv_gru_desc){.name = "r", .hidden = 4, .kernel = 2}),
           "conv_gru_cell \"r\"", "kernel (2) odd");
    BROKEN(vkg_conv_gru_cell(g, x, x, &(vkg_conv_gru_desc){.name = "r", .hidden = 4}), "h [2,8,8,3] must be [2,8,8,4]");
    BROKEN(vkg_spectral_norm(g, "s", v, 0, 0, false), "spectral_norm \"s\"", "out_axis 0", "[5]");
    BROKEN(vkg_graph_leave(g), "no scope");
    BROKEN((vkg_parameter(g, "p", VKG_SHAPE(3), (vkg_init){0}), vkg_parameter(g, "p", VKG_SHAPE(4), (vkg_init){0})),
           "\"p\"", "[3]", "[4]");
    BROKEN((vkg_parameter(g, "p", VKG_SHAPE(3), (vkg_init){0}), vkg_buffer(g, "p", VKG_SHAPE(3), (vkg_init){0})),
           "parameter", "buffer");
    BROKEN((vkg_assign(g, x, x), x), "assign", "present version");
}

static void layers_are_named_with_their_scope(void **unused)
{
    (void)unused;
    const vkg_conv_desc desc = {.name = "main.3", .out = 64, .kernel = 4, .stride = 2, .pad = 1};
    vkg_graph *g = new_graph();
    vkg_graph_enter(g, "disc");
    vkg_conv2d(g, input(g, VKG_SHAPE(64, 14, 14, 128)), &desc);
    assert_null(vkg_graph_error(g));
    test_expect_errors(true);
    vkg_conv2d(g, input(g, VKG_SHAPE(64, 14, 14, 96)), &desc);
    assert_string_equal(vkg_graph_error(g),
                        "conv2d \"disc.main.3\": input has 96 channels in [64,14,14,96], weight expects 128");
    test_expect_errors(false);
    vkg_graph_destroy(&g);
}

static void broken_rearrangements_are_named(void **unused)
{
    (void)unused;
    BROKEN(vkg_permute(g, x, (const uint32_t[]){0, 1, 1, 3}), "permute: ", "[2,8,8,3]", "once");
    BROKEN(vkg_permute(g, x, (const uint32_t[]){0, 1, 2, 4}), "permute: ", "[2,8,8,3]");
    BROKEN(vkg_transpose(g, x, 0, 4), "transpose: ", "axis 4", "[2,8,8,3]");
    BROKEN(vkg_slice(g, x, 1, 7, 2, 1), "slice: ", "2 elements from 7", "[2,8,8,3]");
    BROKEN(vkg_slice(g, x, 1, 0, 0, 1), "slice: ", "0 elements");
    BROKEN(vkg_slice(g, x, 1, 1, UINT32_MAX, UINT32_MAX), "slice: ", "[2,8,8,3]");
    BROKEN(vkg_spread(g, x, 1, 0), "spread: ", "spacing of 0", "[2,8,8,3]");
    BROKEN(vkg_spread(g, x, 1, UINT32_MAX), "spread: ", "spacing of 4294967295");
    BROKEN(vkg_flip(g, x, 1 << 4), "flip: ", "0x10", "[2,8,8,3]");
    BROKEN(vkg_roll(g, x, 4, 1), "roll: ", "axis 4", "[2,8,8,3]");
    BROKEN(vkg_pad(g, x, 1, -4, -4, VKG_PAD_CONSTANT, 0), "pad: ", "leave nothing", "[2,8,8,3]");
    BROKEN(vkg_pad(g, x, 1, 8, 0, VKG_PAD_REFLECT, 0), "pad: ", "[2,8,8,3]");
    BROKEN(vkg_pad(g, x, 1, 1, 1, (vkg_pad_mode)7, 0), "pad: ", "mode 7");
    BROKEN(vkg_concat(g, (vkg_tensor *[]){x, v}, 2, 0), "concat: ", "tensor 1", "[5]", "[2,8,8,3]");
    BROKEN(vkg_concat(g, (vkg_tensor *[]){x}, 0, 0), "concat: ", "0 tensors");
    BROKEN(vkg_stack(g, (vkg_tensor *[]){x, v}, 2, 0), "stack: ", "tensor 1", "[2,8,8,3]");
    BROKEN(vkg_split(g, x, 1, 3, (vkg_tensor *[3]){0}), "split: ", "3 equal", "[2,8,8,3]");
    BROKEN(vkg_split(g, x, 1, 0, (vkg_tensor *[1]){0}), "split: ", "0 equal");
}

static void broken_reductions_and_losses_are_named(void **unused)
{
    (void)unused;
    BROKEN(vkg_max(g, v, 2, false), "max: ", "0x2", "[5]");
    BROKEN(vkg_logsumexp(g, v, 2, false), "0x2", "[5]");
    BROKEN(vkg_argmax(g, v, 1, false), "argmax: ", "axis 1", "[5]");
    BROKEN(vkg_softmax(g, x, 4), "softmax: ", "axis 4", "[2,8,8,3]");
    BROKEN(vkg_log_softmax(g, x, 4), "log_softmax: ", "axis 4", "[2,8,8,3]");
    BROKEN(vkg_var(g, v, 1, false, 5), "var: ", "5 elements", "correction 5");
    BROKEN(vkg_clamp(g, v, 1, 0), "clamp: ", "low end 1", "high end 0");
    BROKEN(vkg_group_normalization(g, x, 2, NULL, NULL, 1e-5f), "group_normalization: ", "3 channels", "2 groups");
    BROKEN(vkg_instance_normalization(g, v, NULL, NULL, 1e-5f), "instance_normalization: ", "[5]", "[N,…,C]");
    BROKEN(vkg_adain(g, x, v, v, 1e-5f), "adain: ", "[5]", "[N,C]", "[2,8,8,3]");
    BROKEN(vkg_minibatch_stddev(g, x, 3, 1), "minibatch_stddev: ", "[2,8,8,3]", "group 3");
    BROKEN(vkg_scaled_dot_product_attention(g, x, x, v, NULL), "scaled_dot_product_attention: ", "[2,8,8,3]", "[5]");
    BROKEN(vkg_mse_loss(g, x, v), "mse_loss: ", "[2,8,8,3]", "[5]");
    BROKEN(vkg_cross_entropy(g, v, v), "cross_entropy: ", "[5]", "[N,C]");
    BROKEN(vkg_smooth_l1_loss(g, v, v, 0), "smooth_l1_loss: ", "beta (0)");
    BROKEN(vkg_total_variation(g, v), "total_variation: ", "[5]", "[N,H,W,C]");
    BROKEN(vkg_random_permutation(g, 0), "random_permutation: ", "n is 0");
    BROKEN(vkg_dropout(g, v, 1), "dropout: ", "probability 1");
}

static void poison_spreads_in_silence(void **unused)
{
    (void)unused;
    vkg_graph *g = new_graph();
    test_expect_errors(true);
    vkg_tensor *bad = vkg_add(g, input(g, VKG_SHAPE(2)), input(g, VKG_SHAPE(3)));
    vkg_tensor *y = vkg_conv2d(g, vkg_tanh(g, vkg_mul(g, bad, bad)), &(vkg_conv_desc){.name = "c", .out = 1, .kernel = 1});
    y = vkg_batch_norm(g, vkg_reshape(g, y, VKG_SHAPE(9)), &(vkg_batch_norm_desc){.name = "b"});
    y = vkg_mean(g, y, VKG_ALL_AXES, false);
    vkg_tensor *gradient;
    vkg_gradients(g, y, &bad, 1, &gradient);
    vkg_optimize(g, "a", &bad, &gradient, 1, &(vkg_optimizer_desc){0});
    vkg_assign(g, bad, y);
    vkg_output(g, "y", y);
    assert_int_equal(test_error_count(), 1);
    test_expect_errors(false);
    vkg_graph_destroy(&g);
}

static void names_have_scopes(void **unused)
{
    (void)unused;
    vkg_graph *g = new_graph();
    vkg_graph_enter(g, "net");
    vkg_graph_enter_item(g, "blocks", 0);
    vkg_tensor *p = vkg_parameter(g, "w", VKG_SHAPE(3), (vkg_init){0});
    vkg_graph_leave(g);
    vkg_tensor *q = vkg_parameter(g, "w", VKG_SHAPE(4), (vkg_init){0});
    assert_ptr_equal(vkg_parameter(g, "blocks.0.w", VKG_SHAPE(3), (vkg_init){0}), p);
    vkg_graph_leave(g);
    assert_string_equal(vkg_tensor_name(p), "net.blocks.0.w");
    assert_string_equal(vkg_tensor_name(q), "net.w");
    vkg_tensor *found[2];
    assert_int_equal(vkg_graph_parameters(g, "net.", found, 2), 2);
    assert_ptr_equal(found[0], p);
    assert_int_equal(vkg_graph_parameters(g, "other.", found, 2), 0);
    vkg_graph_destroy(&g);
}

static void equal_nodes_are_one(void **unused)
{
    (void)unused;
    vkg_graph *g = new_graph();
    vkg_tensor *x = input(g, VKG_SHAPE(3)), *y = input(g, VKG_SHAPE(3));
    assert_ptr_equal(vkg_mul(g, x, y), vkg_mul(g, x, y));
    assert_ptr_not_equal(vkg_random_normal(g, VKG_SHAPE(3)), vkg_random_normal(g, VKG_SHAPE(3)));
    assert_ptr_equal(vkg_mul(g, x, vkg_constant(g, 1, VKG_SCALAR)), x);
    assert_ptr_equal(vkg_affine(g, vkg_affine(g, x, 2, 0), 3, 1), vkg_affine(g, x, 6, 1));
    vkg_graph_destroy(&g);
}

static uint32_t count_op(const vkg_graph *g, const char *name, size_t from)
{
    uint32_t count = 0;
    for (size_t i = from; i < g->tensor_count; i++)
        count += strcmp(g->tensors[i]->op->name, name) == 0;
    return count;
}

/* Two layers; only the second is trained: neither the first's weight gradient nor anything below is built. */
static void gradients_visit_what_is_asked_for(void **unused)
{
    (void)unused;
    vkg_graph *g = new_graph();
    vkg_tensor *x = input(g, VKG_SHAPE(2, 8, 8, 3));
    vkg_tensor *h = vkg_conv2d(g, x, &(vkg_conv_desc){.name = "one", .out = 4, .kernel = 3});
    vkg_tensor *y = vkg_conv2d(g, vkg_relu(g, h), &(vkg_conv_desc){.name = "two", .out = 1, .kernel = 3});
    vkg_tensor *loss = vkg_mean(g, y, VKG_ALL_AXES, false), *parameters[2], *gradients[2];
    size_t before = g->tensor_count;
    assert_int_equal(vkg_graph_parameters(g, "two.", parameters, 2), 1);
    vkg_gradients(g, loss, parameters, 1, gradients);
    assert_int_equal(count_op(g, "convolution_weight_gradient", before), 1);
    assert_int_equal(count_op(g, "convolution_input_gradient", before), 0);
    before = g->tensor_count;
    vkg_gradients(g, loss, &x, 1, gradients);
    assert_int_equal(count_op(g, "convolution_weight_gradient", before), 0);
    assert_int_equal(count_op(g, "convolution_input_gradient", before), 2);
    vkg_graph_destroy(&g);
}

static void gradients_of_strangers_are_zero(void **unused)
{
    (void)unused;
    vkg_graph *g = new_graph();
    vkg_tensor *x = input(g, VKG_SHAPE(3)), *stranger = input(g, VKG_SHAPE(2, 5)), *gradients[2];
    vkg_tensor *loss = vkg_sum(g, vkg_mul(g, vkg_detach(g, x), vkg_detach(g, x)), VKG_ALL_AXES, false);
    vkg_gradients(g, loss, (vkg_tensor *[]){stranger, x}, 2, gradients);
    assert_shape(gradients[0], VKG_SHAPE(2, 5));
    for (int i = 0; i < 2; i++) {
        assert_string_equal(gradients[i]->op->name, "constant");
        assert_true(gradients[i]->attributes.p == 0);
    }
    vkg_graph_destroy(&g);
}

static void updates_make_versions(void **unused)
{
    (void)unused;
    vkg_graph *g = new_graph();
    vkg_init zero = {0};
    vkg_tensor *old = vkg_parameter(g, "w", VKG_SHAPE(3), zero), *gradient;
    vkg_gradients(g, vkg_sum(g, vkg_square(g, old), VKG_ALL_AXES, false), &old, 1, &gradient);
    vkg_optimize(g, "w", &old, &gradient, 1, &(vkg_optimizer_desc){0});
    vkg_tensor *new = vkg_parameter(g, "w", VKG_SHAPE(3), zero);
    assert_ptr_not_equal(old, new);
    assert_true(old->superseded < new->id && new->superseded == UINT32_MAX);
    test_expect_errors(true);
    vkg_optimize(g, "w", &old, &gradient, 1, &(vkg_optimizer_desc){0});
    assert_non_null(strstr(test_last_error(), "present version"));
    test_expect_errors(false);
    vkg_graph_destroy(&g);
}

/* All versions lie at one address: what was computed of the old one is there, what is not yet would be of the new one. */
static void old_versions_are_not_read_late(void **unused)
{
    (void)unused;
    vkg_graph *g = new_graph();
    vkg_tensor *old = vkg_buffer(g, "average", VKG_SHAPE(3), (vkg_init){0}), *square = vkg_square(g, old);
    vkg_tensor *twice = vkg_affine(g, old, 2, 0), *turned = vkg_flip(g, old, 1);
    vkg_assign(g, old, vkg_affine(g, old, 0.5f, 1));
    assert_ptr_equal(vkg_square(g, old), square);
    vkg_neg(g, twice); /* of what is there already, which a simplification must not look through */
    vkg_slice(g, turned, 0, 1, 2, 1);
    assert_null(vkg_graph_error(g));
    test_expect_errors(true);
    vkg_output(g, "y", vkg_exp(g, vkg_reshape(g, old, VKG_SHAPE(1, 3))));
    assert_non_null(strstr(test_last_error(), "\"average\" as it was before its update"));
    assert_non_null(vkg_graph_error(g));
    test_expect_errors(false);
    vkg_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_follow_the_rules), cmocka_unit_test(old_versions_are_not_read_late), cmocka_unit_test(broken_rules_are_named),
        cmocka_unit_test(broken_rearrangements_are_named), cmocka_unit_test(broken_reductions_and_losses_are_named),
        cmocka_unit_test(layers_are_named_with_their_scope), cmocka_unit_test(poison_spreads_in_silence), cmocka_unit_test(names_have_scopes),
        cmocka_unit_test(equal_nodes_are_one), cmocka_unit_test(gradients_visit_what_is_asked_for),
        cmocka_unit_test(gradients_of_strangers_are_zero), cmocka_unit_test(updates_make_versions)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
