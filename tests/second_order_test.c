/* Whole trainings whose losses hold gradients: WGAN-GP, R1 and path-length regularisation follow PyTorch's, step by
 * step. tests/reference/second_order.py says what they are, and computes what is expected.
 * usage: second_order_test [STEPS]   fewer than all 50, for slow kernels */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"

enum { STEPS = 50, MAX_FEEDS = 24, MAX_LOSSES = 5 };

static uint32_t steps = STEPS;

/* An input that gets its part of a tensor of the file at every step. */
struct feed {
    vkg_tensor *input;
    char *data; /* of all steps */
    size_t bytes; /* of one */
};

/* One kind of step: a graph and its program. */
struct kind {
    vkg_graph *graph;
    vkg_program *program;
    struct feed feeds[MAX_FEEDS];
    uint32_t feed_count;
    vkg_tensor *losses[MAX_LOSSES]; /* in the order of the file; NULL: not of this kind of step */
};

struct training {
    const char *path;
    vkg_safetensors *file;
    vkg_state *state;
    struct kind kinds[2];
};

/* --- the file --- */

static void *read_whole(vkg_safetensors *file, const char *name, vkg_shape *shape, vkg_dtype *dtype)
{
    uint32_t index = vkg_safetensors_find(file, name);
    if (index == UINT32_MAX)
        fail_msg("the reference has no \"%s\"", name);
    const vkg_safetensors_entry *entry = vkg_safetensors_get(file, index);
    void *data = malloc(entry->size);
    assert_int_equal(vkg_safetensors_read(file, index, data, entry->size), VKG_OK);
    shape->rank = entry->rank;
    for (uint32_t i = 0; i < entry->rank; i++)
        shape->dims[i] = (uint32_t)entry->dims[i];
    *dtype = entry->dtype == VKG_FILE_U8 ? VKG_UINT8 : entry->dtype == VKG_FILE_I32 ? VKG_INT32 : VKG_FLOAT32;
    return data;
}

/* The input "in/<name>", [steps, …] in the file. */
static vkg_tensor *feed(struct training *t, struct kind *kind, const char *name)
{
    char full_name[64];
    vkg_shape all, shape = {0};
    vkg_dtype dtype;
    struct feed *f = &kind->feeds[kind->feed_count++];
    assert_true(kind->feed_count <= MAX_FEEDS);
    snprintf(full_name, sizeof full_name, "in/%s", name);
    f->data = read_whole(t->file, full_name, &all, &dtype);
    assert_int_equal(all.dims[0], STEPS);
    for (uint32_t i = 1; i < all.rank; i++)
        shape.dims[shape.rank++] = all.dims[i];
    f->input = vkg_input_typed(kind->graph, name, shape, dtype);
    f->bytes = vkg_tensor_elements(f->input) * vkg_dtype_size(dtype);
    return f->input;
}

/* The images that the step's "in/<name>" names, [N, size, size, 1] in [−1, 1]. */
static vkg_tensor *feed_images(struct training *t, struct kind *kind, const char *name)
{
    vkg_shape shape;
    vkg_dtype dtype;
    vkg_graph *g = kind->graph;
    void *bytes = read_whole(t->file, "images", &shape, &dtype);
    vkg_tensor *images = vkg_data(g, shape, dtype, bytes), *index = feed(t, kind, name);
    free(bytes);
    vkg_tensor *batch = vkg_index_select(g, vkg_affine(g, images, 1 / 127.5f, -1), 0, index);
    return vkg_reshape(g, batch, VKG_SHAPE(vkg_tensor_shape(index).dims[0], shape.dims[1], shape.dims[2], 1));
}

/* --- what the trainings share --- */

/* √Σ (dy/dx)² over all axes of x but the first: [N] */
static vkg_tensor *norm_of_gradient(vkg_graph *g, vkg_tensor *y, vkg_tensor *x)
{
    vkg_tensor *gradient;
    vkg_gradients(g, y, &x, 1, &gradient);
    uint32_t axes = ((1u << vkg_tensor_shape(x).rank) - 1) & ~1u;
    return vkg_sqrt(g, vkg_sum(g, vkg_square(g, gradient), axes, false));
}

static vkg_tensor *mean(vkg_graph *g, vkg_tensor *x)
{
    return vkg_mean(g, x, VKG_ALL_AXES, false);
}

static void update(vkg_graph *g, const char *name, const char *network, vkg_tensor *loss, float lr, float beta2)
{
    vkg_tensor *parameters[64], *gradients[64];
    uint32_t count = vkg_graph_parameters(g, network, parameters, 64);
    vkg_gradients(g, loss, parameters, count, gradients);
    vkg_optimize(g, name, parameters, gradients, count, &(vkg_optimizer_desc){.lr = lr, .beta1 = -1, .beta2 = beta2});
}

typedef vkg_tensor *(*network)(vkg_graph *g, vkg_tensor *x);

static vkg_tensor *call(vkg_graph *g, const char *scope, network build, vkg_tensor *x)
{
    vkg_graph_enter(g, scope);
    vkg_tensor *y = build(g, x);
    vkg_graph_leave(g);
    return y;
}

/* Two updates of the critic, one of the generator. reals: how the real samples of update k come. */
static void wgan_step(struct training *t, struct kind *kind, network generator, network critic,
                      vkg_tensor *(*reals)(struct training *t, struct kind *kind, uint32_t k))
{
    vkg_graph *g = kind->graph;
    for (uint32_t k = 0; k < 2; k++) {
        char z[8], epsilon_name[16];
        snprintf(z, sizeof z, "z%u", k);
        snprintf(epsilon_name, sizeof epsilon_name, "epsilon%u", k);
        vkg_tensor *real = reals(t, kind, k);
        vkg_tensor *fake = vkg_detach(g, call(g, "generator", generator, feed(t, kind, z)));
        vkg_shape one = {.rank = vkg_tensor_shape(real).rank, .dims = {vkg_tensor_shape(real).dims[0], 1, 1, 1}};
        vkg_tensor *epsilon = vkg_reshape(g, feed(t, kind, epsilon_name), one);
        vkg_tensor *between = vkg_add(g, fake, vkg_mul(g, epsilon, vkg_sub(g, real, fake)));
        vkg_tensor *norm = norm_of_gradient(g, call(g, "critic", critic, between), between);
        vkg_tensor *penalty = vkg_affine(g, mean(g, vkg_square(g, vkg_affine(g, norm, 1, -1))), 10, 0);
        vkg_tensor *loss = vkg_add(g, vkg_wasserstein_loss(g, call(g, "critic", critic, real),
                                                           call(g, "critic", critic, fake)), penalty);
        update(g, "critic", "critic.", loss, 1e-4f, 0.9f);
        kind->losses[2 * k] = loss;
        kind->losses[2 * k + 1] = penalty;
    }
    vkg_tensor *fake = call(g, "generator", generator, feed(t, kind, "z2"));
    vkg_tensor *loss = vkg_neg(g, mean(g, call(g, "critic", critic, fake)));
    update(g, "generator", "generator.", loss, 1e-4f, 0.9f);
    kind->losses[4] = loss;
}

static void open_training(struct training *t, const char *path)
{
    *t = (struct training){.path = path};
    assert_int_equal(vkg_safetensors_open(test_log(), path, &t->file), VKG_OK);
    for (int k = 0; k < 2; k++)
        assert_int_equal(vkg_graph_create(test_log(), &t->kinds[k].graph), VKG_OK);
}

static void load(struct training *t, uint32_t kinds, const char *const *networks)
{
    vkg_graph *const graphs[2] = {t->kinds[0].graph, t->kinds[1].graph};
    for (uint32_t k = 0; k < kinds; k++)
        for (int i = 0; i < MAX_LOSSES; i++)
            if (t->kinds[k].losses[i])
                vkg_output(graphs[k], "loss", t->kinds[k].losses[i]);
    assert_int_equal(vkg_state_create(test_device(), graphs, kinds, 1, &t->state), VKG_OK);
    for (; *networks; networks++)
        assert_int_equal(vkg_state_load(t->state, t->path, *networks, NULL), VKG_OK);
    for (uint32_t k = 0; k < kinds; k++)
        assert_int_equal(vkg_program_create(test_device(), graphs[k], t->state, NULL, &t->kinds[k].program), VKG_OK);
}

static void close_training(struct training *t)
{
    for (int k = 0; k < 2; k++) {
        vkg_program_destroy(&t->kinds[k].program);
        for (uint32_t i = 0; i < t->kinds[k].feed_count; i++)
            free(t->kinds[k].feeds[i].data);
    }
    vkg_state_destroy(&t->state);
    for (int k = 0; k < 2; k++)
        vkg_graph_destroy(&t->kinds[k].graph);
    vkg_safetensors_close(&t->file);
}

/* Every loss of every step, off by so much relative to itself, or to that loss's mean size where it is smaller. */
static void follow(struct training *t, uint32_t (*kind_of)(uint32_t step))
{
    vkg_shape shape;
    vkg_dtype dtype;
    float *expected = read_whole(t->file, "losses", &shape, &dtype);
    const uint32_t count = shape.dims[1];
    double size[MAX_LOSSES] = {0}, worst = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t there = 0;
        for (uint32_t step = 0; step < STEPS; step++)
            if (!isnan(expected[step * count + i]))
                size[i] += fabs((double)expected[step * count + i]), there++;
        size[i] /= there;
    }
    for (uint32_t step = 0; step < steps; step++) {
        struct kind *kind = &t->kinds[kind_of(step)];
        for (uint32_t f = 0; f < kind->feed_count; f++)
            memcpy(vkg_program_input(kind->program, kind->feeds[f].input, 0),
                   kind->feeds[f].data + step * kind->feeds[f].bytes, kind->feeds[f].bytes);
        assert_int_equal(vkg_program_run(kind->program), VKG_OK);
        for (uint32_t i = 0; i < count; i++) {
            double wanted = (double)expected[step * count + i];
            assert_true(isnan(wanted) == !kind->losses[i]);
            if (!kind->losses[i])
                continue;
            double found = (double)*(const float *)vkg_program_output(kind->program, kind->losses[i], 0);
            double error = fabs(found - wanted) / fmax(fabs(wanted), size[i]);
            worst = fmax(worst, error);
            if (!(error < 1e-3))
                fail_msg("step %u, loss %u: %g, PyTorch has %g", step + 1, i, found, wanted);
        }
    }
    printf("%u steps: losses off by %.1e at most (PyTorch's own float32 in %d: %s)\n", steps, worst, STEPS,
           vkg_safetensors_metadata_find(t->file, "float32_drift"));
    free(expected);
}

static uint32_t always_0(uint32_t step)
{
    (void)step;
    return 0;
}

/* --- eight Gaussians --- */

static vkg_tensor *fc(vkg_graph *g, const char *name, uint32_t out, vkg_tensor *x)
{
    return vkg_linear(g, x, &(vkg_linear_desc){.name = name, .out = out, .bias = true});
}

static vkg_tensor *ring_generator(vkg_graph *g, vkg_tensor *z)
{
    return fc(g, "fc2", 2, vkg_relu(g, fc(g, "fc1", 64, vkg_relu(g, fc(g, "fc0", 64, z)))));
}

static vkg_tensor *ring_critic(vkg_graph *g, vkg_tensor *x)
{
    x = vkg_leaky_relu(g, fc(g, "fc0", 64, x), 0.2f);
    return fc(g, "fc2", 1, vkg_leaky_relu(g, fc(g, "fc1", 64, x), 0.2f));
}

static vkg_tensor *ring_reals(struct training *t, struct kind *kind, uint32_t k)
{
    return feed(t, kind, k ? "real1" : "real0");
}

static void wgan_gp_follows_on_a_ring(void **unused)
{
    (void)unused;
    struct training t;
    open_training(&t, VKGAN_TEST_DATA "/ring.safetensors");
    wgan_step(&t, &t.kinds[0], ring_generator, ring_critic, ring_reals);
    load(&t, 1, (const char *[]){"generator.", "critic.", NULL});
    follow(&t, always_0);
    close_training(&t);
}

/* --- Fashion-MNIST --- */

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z)
{
    vkg_tensor *x = vkg_relu(g, vkg_reshape(g, fc(g, "fc", 49 * 16, z), VKG_SHAPE(vkg_tensor_shape(z).dims[0], 7, 7, 16)));
    vkg_conv_desc desc = {.name = "deconv1", .out = 8, .kernel = 4, .stride = 2, .pad = 1, .bias = true};
    x = vkg_relu(g, vkg_conv_transpose2d(g, x, &desc));
    desc.name = "deconv2", desc.out = 1;
    return vkg_tanh(g, vkg_conv_transpose2d(g, x, &desc));
}

static vkg_tensor *critic(vkg_graph *g, vkg_tensor *x)
{
    vkg_conv_desc desc = {.name = "conv1", .out = 8, .kernel = 4, .stride = 2, .pad = 1, .bias = true};
    x = vkg_leaky_relu(g, vkg_conv2d(g, x, &desc), 0.2f);
    desc.name = "conv2", desc.out = 16;
    x = vkg_layer_norm(g, vkg_conv2d(g, x, &desc), &(vkg_norm_desc){.name = "norm"});
    return vkg_conv2d(g, vkg_leaky_relu(g, x, 0.2f), &(vkg_conv_desc){.name = "conv3", .out = 1, .kernel = 7});
}

static vkg_tensor *image_reals(struct training *t, struct kind *kind, uint32_t k)
{
    return feed_images(t, kind, k ? "index1" : "index0");
}

static void wgan_gp_follows_on_fashion(void **unused)
{
    (void)unused;
    struct training t;
    open_training(&t, VKGAN_TEST_DATA "/critic.safetensors");
    wgan_step(&t, &t.kinds[0], generator, critic, image_reals);
    load(&t, 1, (const char *[]){"generator.", "critic.", NULL});
    follow(&t, always_0);
    close_training(&t);
}

/* --- a small StyleGAN2 --- */

enum { WIDTH = 8, LAZY = 4 };

static const float root_two = 1.41421356f;

static vkg_tensor *scaled_lrelu(vkg_graph *g, vkg_tensor *x)
{
    return vkg_affine(g, vkg_leaky_relu(g, x, 0.2f), root_two, 0);
}

static vkg_tensor *equal_fc(vkg_graph *g, const char *name, uint32_t out, vkg_tensor *x, float lr_multiplier)
{
    return vkg_linear(g, x, &(vkg_linear_desc){.name = name, .out = out, .bias = true,
        .weight = {.form = VKG_WEIGHT_EQUALIZED, .lr_multiplier = lr_multiplier}});
}

static vkg_tensor *mapping(vkg_graph *g, vkg_tensor *z)
{
    vkg_tensor *w = vkg_pixel_normalization(g, z, 1e-8f);
    w = scaled_lrelu(g, equal_fc(g, "map0", WIDTH, w, 0.1f));
    return scaled_lrelu(g, equal_fc(g, "map1", WIDTH, w, 0.1f));
}

/* Multiplied, as the whole of the network is, by 1/√fan_in when it is used. */
static vkg_tensor *modulated(vkg_graph *g, const char *name, uint32_t kernel, uint32_t out, vkg_tensor *x, vkg_tensor *w,
                             bool demodulate)
{
    vkg_graph_enter(g, name);
    vkg_tensor *style = equal_fc(g, "style", WIDTH, w, 0);
    vkg_tensor *weight = vkg_parameter(g, "weight", VKG_SHAPE(kernel, kernel, WIDTH, out), (vkg_init){VKG_INIT_NORMAL, 0, 1});
    weight = vkg_affine(g, weight, 1 / sqrtf((float)(kernel * kernel * WIDTH)), 0);
    x = vkg_modulated_convolution(g, x, weight, style, (vkg_conv_geometry){.padding = {kernel / 2, kernel / 2}}, demodulate);
    vkg_graph_leave(g);
    return x;
}

static vkg_tensor *styled_bias(vkg_graph *g, const char *name, uint32_t out)
{
    char bias[32];
    snprintf(bias, sizeof bias, "%s.bias", name);
    return vkg_parameter(g, bias, VKG_SHAPE(out), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
}

static const float binomial[4] = {0.125f, 0.375f, 0.375f, 0.125f};

static vkg_tensor *upsample(vkg_graph *g, vkg_tensor *x)
{
    return vkg_upfirdn2d(g, x, &(vkg_fir_desc){.filter = binomial, .taps = 4, .up = 2, .pad_low = 2, .pad_high = 1, .gain = 4});
}

static vkg_tensor *synthesis(vkg_graph *g, vkg_tensor *w, vkg_tensor *const *noise)
{
    const uint32_t n = vkg_tensor_shape(w).dims[0];
    vkg_tensor *x = vkg_parameter(g, "const", VKG_SHAPE(1, 4, 4, WIDTH), (vkg_init){VKG_INIT_NORMAL, 0, 1}), *rgb = NULL;
    x = vkg_broadcast(g, x, VKG_SHAPE(n, 4, 4, WIDTH));
    for (uint32_t i = 0, size = 4; i < 3; i++, size *= 2) {
        char conv[16], to_rgb[16], strength[32];
        snprintf(conv, sizeof conv, "conv%u", size);
        snprintf(to_rgb, sizeof to_rgb, "rgb%u", size);
        snprintf(strength, sizeof strength, "%s.strength", conv);
        x = modulated(g, conv, 3, WIDTH, i ? upsample(g, x) : x, w, true);
        vkg_tensor *amount = vkg_parameter(g, strength, VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
        x = vkg_add(g, vkg_add(g, x, vkg_mul(g, noise[i], amount)), styled_bias(g, conv, WIDTH));
        x = scaled_lrelu(g, x);
        vkg_tensor *y = vkg_add(g, modulated(g, to_rgb, 1, 1, x, w, false), styled_bias(g, to_rgb, 1));
        rgb = rgb ? vkg_add(g, upsample(g, rgb), y) : y;
    }
    return rgb;
}

static vkg_tensor *equal_conv(vkg_graph *g, const char *name, uint32_t kernel, uint32_t stride, uint32_t pad, bool bias,
                              vkg_tensor *x)
{
    return vkg_conv2d(g, x, &(vkg_conv_desc){.name = name, .out = WIDTH, .kernel = kernel, .stride = stride, .pad = pad,
                                             .bias = bias, .weight.form = VKG_WEIGHT_EQUALIZED});
}

static vkg_tensor *residual_block(vkg_graph *g, const char *name, vkg_tensor *x)
{
    const vkg_fir_desc halve = {.filter = binomial, .taps = 4, .down = 2, .pad_low = 1, .pad_high = 1};
    const vkg_fir_desc blur = {.filter = binomial, .taps = 4, .pad_low = 2, .pad_high = 2};
    vkg_graph_enter(g, name);
    vkg_tensor *skip = equal_conv(g, "skip", 1, 1, 0, false, vkg_upfirdn2d(g, x, &halve));
    x = scaled_lrelu(g, equal_conv(g, "conv0", 3, 1, 1, true, x));
    x = scaled_lrelu(g, equal_conv(g, "conv1", 3, 2, 0, true, vkg_upfirdn2d(g, x, &blur)));
    vkg_graph_leave(g);
    return vkg_affine(g, vkg_add(g, x, skip), 1 / root_two, 0);
}

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x)
{
    x = scaled_lrelu(g, equal_conv(g, "rgb", 1, 1, 0, true, x));
    x = residual_block(g, "b8", residual_block(g, "b16", x));
    x = scaled_lrelu(g, equal_conv(g, "conv", 3, 1, 1, true, vkg_minibatch_stddev(g, x, 4, 1)));
    x = vkg_reshape(g, x, VKG_SHAPE(vkg_tensor_shape(x).dims[0], 16 * WIDTH));
    return equal_fc(g, "out", 1, scaled_lrelu(g, equal_fc(g, "fc", WIDTH, x, 0)), 0);
}

/* The generator's `k`-th call in a step; *w: what its images depend on. */
static vkg_tensor *generate(struct training *t, struct kind *kind, uint32_t k, vkg_tensor **w)
{
    vkg_graph *g = kind->graph;
    vkg_tensor *noise[3];
    char name[16];
    for (uint32_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "noise%u_%u", k, 4u << i);
        noise[i] = feed(t, kind, name);
    }
    snprintf(name, sizeof name, "z%u", k);
    *w = call(g, "generator", mapping, feed(t, kind, name));
    vkg_graph_enter(g, "generator");
    vkg_tensor *image = synthesis(g, *w, noise);
    vkg_graph_leave(g);
    return image;
}

/* E (|∇_w Σ image·y/√pixels| − a)², and the mean a moves by a hundredth. Karras et al. 2020, section 3.2. */
static vkg_tensor *path_penalty(struct training *t, struct kind *kind)
{
    vkg_graph *g = kind->graph;
    vkg_tensor *w, *image = generate(t, kind, 2, &w);
    vkg_tensor *projection = vkg_affine(g, vkg_mul(g, image, feed(t, kind, "y")), 1.0f / 16, 0);
    vkg_tensor *lengths = norm_of_gradient(g, vkg_sum(g, projection, VKG_ALL_AXES, false), w);
    vkg_tensor *before = vkg_buffer(g, "buffer.path_mean", VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    vkg_tensor *step = vkg_affine(g, vkg_sub(g, vkg_detach(g, mean(g, lengths)), before), 0.01f, 0);
    vkg_tensor *after = vkg_add(g, before, step);
    vkg_assign(g, before, after);
    return mean(g, vkg_square(g, vkg_sub(g, lengths, vkg_detach(g, after))));
}

static void style_step(struct training *t, struct kind *kind, bool regularised)
{
    vkg_graph *g = kind->graph;
    vkg_tensor *w, *real = feed_images(t, kind, "index"), *fake = vkg_detach(g, generate(t, kind, 0, &w));
    vkg_tensor *real_logits = call(g, "discriminator", discriminator, real);
    vkg_tensor *fake_logits = call(g, "discriminator", discriminator, fake);
    vkg_tensor *loss_d = vkg_add(g, mean(g, vkg_softplus(g, fake_logits)), mean(g, vkg_softplus(g, vkg_neg(g, real_logits))));
    vkg_tensor *total = loss_d;
    if (regularised) {
        kind->losses[1] = mean(g, vkg_square(g, norm_of_gradient(g, real_logits, real)));
        total = vkg_add(g, loss_d, vkg_affine(g, kind->losses[1], 0.5f * LAZY, 0));
    }
    update(g, "discriminator", "discriminator.", total, 2e-3f, 0.99f);
    vkg_tensor *judged = call(g, "discriminator", discriminator, generate(t, kind, 1, &w));
    vkg_tensor *loss_g = mean(g, vkg_softplus(g, vkg_neg(g, judged)));
    total = loss_g;
    if (regularised) {
        kind->losses[3] = path_penalty(t, kind);
        total = vkg_add(g, loss_g, vkg_affine(g, kind->losses[3], 2.0f * LAZY, 0));
    }
    update(g, "generator", "generator.", total, 2e-3f, 0.99f);
    kind->losses[0] = loss_d;
    kind->losses[2] = loss_g;
}

static uint32_t is_regularised(uint32_t step)
{
    return step % LAZY == 0;
}

static void r1_and_path_length_follow(void **unused)
{
    (void)unused;
    struct training t;
    open_training(&t, VKGAN_TEST_DATA "/style.safetensors");
    style_step(&t, &t.kinds[0], false);
    style_step(&t, &t.kinds[1], true);
    load(&t, 2, (const char *[]){"generator.", "discriminator.", NULL});
    follow(&t, is_regularised);
    close_training(&t);
}

int main(int argc, char **argv)
{
    if (argc > 1 && atoi(argv[1]) > 0 && atoi(argv[1]) < STEPS)
        steps = (uint32_t)atoi(argv[1]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(wgan_gp_follows_on_a_ring),
                                       cmocka_unit_test(wgan_gp_follows_on_fashion),
                                       cmocka_unit_test(r1_and_path_length_follow)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
