/* Whole training runs: step by step beside PyTorch's, and beside themselves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "on_device.h"

enum { LATENT = 16, WIDTH = 8, BATCH = 16, STEPS = 100, PIXELS = 28 * 28 };

/* --- the networks of tests/reference/dcgan.py --- */

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    const bool evaluation = s->evaluation;
    vkg_tensor *x = vkg_reshape(g, z, VKG_SHAPE(vkg_tensor_shape(z).dims[0], 1, 1, s->latent));
    x = vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = "main.0", .out = 2 * WIDTH, .kernel = 7});
    x = vkg_relu(g, vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = "main.1", .evaluation = evaluation}));
    x = vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = "main.3", .out = WIDTH, .kernel = 4, .stride = 2, .pad = 1});
    x = vkg_relu(g, vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = "main.4", .evaluation = evaluation}));
    x = vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = "main.6", .out = 1, .kernel = 4, .stride = 2, .pad = 1});
    return vkg_tanh(g, x);
}

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    (void)s;
    x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = "main.0", .out = WIDTH, .kernel = 4, .stride = 2, .pad = 1});
    x = vkg_leaky_relu(g, x, 0.2f);
    x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = "main.2", .out = 2 * WIDTH, .kernel = 4, .stride = 2, .pad = 1});
    x = vkg_leaky_relu(g, vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = "main.3"}), 0.2f);
    return vkg_conv2d(g, x, &(vkg_conv_desc){.name = "main.5", .out = 1, .kernel = 7});
}

static const vkg_network_settings settings = {.image = {28, 28, 1}, .latent = LATENT, .width = WIDTH};

static vkg_tensor *call(vkg_graph *g, vkg_network network, const char *scope, vkg_tensor *x)
{
    vkg_graph_enter(g, scope);
    vkg_tensor *y = network(g, x, &settings);
    vkg_graph_leave(g);
    return y;
}

/* --- beside PyTorch --- */

struct trace {
    vkg_safetensors *file;
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
    vkg_tensor *real, *latents, *loss_d, *loss_g, *d_real, *d_fake;
    float *images_f, *all_latents, *losses;
    int32_t *indices;
};

static void *read_whole(const vkg_safetensors *file, const char *name)
{
    uint32_t index = vkg_safetensors_find(file, name);
    if (index == UINT32_MAX)
        fail_msg("the reference has no \"%s\"", name);
    uint64_t size = vkg_safetensors_get(file, index)->size;
    void *data = malloc(size);
    assert_int_equal(vkg_safetensors_read(file, index, data, size), VKG_OK);
    return data;
}

static void update(vkg_graph *g, const char *name, const char *prefix, vkg_tensor *loss)
{
    vkg_tensor *parameters[32], *gradients[32];
    uint32_t count = vkg_graph_parameters(g, prefix, parameters, 32);
    vkg_gradients(g, loss, parameters, count, gradients);
    vkg_optimize(g, name, parameters, gradients, count, &(vkg_optimizer_desc){.lr = 2e-4f, .beta1 = 0.5f, .beta2 = 0.999f});
}

/* The step of reference/dcgan.py, its latents given from outside. */
static void build_trace(struct trace *t, vkg_dtype precision)
{
    assert_int_equal(vkg_graph_create(test_log(), &t->graph), VKG_OK);
    vkg_graph *g = t->graph;
    vkg_graph_set_precision(g, precision);
    t->real = vkg_input(g, "real", VKG_SHAPE(BATCH, 28, 28, 1));
    t->latents = vkg_input(g, "latents", VKG_SHAPE(BATCH, LATENT));
    vkg_tensor *real_logits = call(g, discriminator, "discriminator", t->real);
    vkg_tensor *fake = call(g, generator, "generator", t->latents);
    vkg_tensor *fake_logits = call(g, discriminator, "discriminator", vkg_detach(g, fake));
    t->loss_d = vkg_add(g, vkg_bce_with_logits(g, real_logits, 1), vkg_bce_with_logits(g, fake_logits, 0));
    update(g, "discriminator", "discriminator.", t->loss_d);
    t->loss_g = vkg_bce_with_logits(g, call(g, discriminator, "discriminator", fake), 1);
    update(g, "generator", "generator.", t->loss_g);
    t->d_real = vkg_mean(g, vkg_sigmoid(g, real_logits), VKG_ALL_AXES, false);
    t->d_fake = vkg_mean(g, vkg_sigmoid(g, fake_logits), VKG_ALL_AXES, false);
    vkg_tensor *const outputs[] = {t->loss_d, t->loss_g, t->d_real, t->d_fake};
    for (int i = 0; i < 4; i++)
        vkg_output(g, "loss", outputs[i]);
}

static void open_trace(struct trace *t, vkg_dtype precision)
{
    assert_int_equal(vkg_safetensors_open(test_log(), VKGAN_TEST_DATA "/dcgan.safetensors", &t->file), VKG_OK);
    t->indices = read_whole(t->file, "indices");
    t->all_latents = read_whole(t->file, "latents");
    t->losses = read_whole(t->file, "losses");
    uint8_t *bytes = read_whole(t->file, "images");
    uint64_t count = vkg_safetensors_get(t->file, vkg_safetensors_find(t->file, "images"))->size;
    t->images_f = malloc(count * sizeof(float));
    for (uint64_t i = 0; i < count; i++)
        t->images_f[i] = (float)bytes[i] / 127.5f - 1;
    free(bytes);
    build_trace(t, precision);
    assert_int_equal(vkg_state_create(test_device(), &t->graph, 1, 1, &t->state), VKG_OK);
    const char *const path = VKGAN_TEST_DATA "/dcgan.safetensors";
    assert_int_equal(vkg_state_load(t->state, path, "generator.", NULL), VKG_OK);
    assert_int_equal(vkg_state_load(t->state, path, "discriminator.", NULL), VKG_OK);
    assert_int_equal(vkg_program_create(test_device(), t->graph, t->state, NULL, &t->program), VKG_OK);
}

static void run_step(struct trace *t, uint32_t step)
{
    float *real = vkg_program_input(t->program, t->real, 0);
    for (uint32_t i = 0; i < BATCH; i++)
        memcpy(real + i * PIXELS, t->images_f + t->indices[step * BATCH + i] * PIXELS, PIXELS * sizeof(float));
    memcpy(vkg_program_input(t->program, t->latents, 0), t->all_latents + step * BATCH * LATENT,
           BATCH * LATENT * sizeof(float));
    assert_int_equal(vkg_program_run(t->program), VKG_OK);
}

/* One element of a tensor in PyTorch's order, out of ours. */
static uint64_t our_index(const vkg_state_entry *entry, uint64_t torch_index)
{
    uint64_t stride[VKG_MAX_RANK], index = 0;
    uint32_t rank = entry->shape.rank;
    for (uint32_t axis = rank, step = 1; axis-- > 0; step *= entry->shape.dims[axis])
        stride[axis] = step;
    for (uint32_t i = rank; i-- > 0;) {
        uint32_t size = entry->shape.dims[entry->torch_axes[i]];
        index += torch_index % size * stride[entry->torch_axes[i]];
        torch_index /= size;
    }
    return index;
}

/* ‖ours − PyTorch's‖/‖PyTorch's‖ over all parameters and running statistics of one network. */
static double weight_error(const struct trace *t, uint32_t step, const char *prefix)
{
    double difference = 0, size = 0;
    for (uint32_t i = 0; i < vkg_state_count(t->state); i++) {
        const vkg_state_entry *entry = vkg_state_get(t->state, i);
        char name[128];
        if (strncmp(entry->name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(name, sizeof name, "step%u/%s", step, entry->name);
        float *expected = read_whole(t->file, name), *found = malloc(entry->elements * sizeof(float));
        assert_int_equal(vkg_state_read(t->state, i, found), VKG_OK);
        for (uint64_t k = 0; k < entry->elements; k++) {
            double d = (double)found[our_index(entry, k)] - expected[k];
            difference += d * d;
            size += (double)expected[k] * expected[k];
        }
        free(expected);
        free(found);
    }
    return sqrt(difference / size);
}

static void close_trace(struct trace *t)
{
    vkg_program_destroy(&t->program);
    vkg_state_destroy(&t->state);
    vkg_graph_destroy(&t->graph);
    vkg_safetensors_close(&t->file);
    free(t->images_f), free(t->all_latents), free(t->losses), free(t->indices);
}

static void follows_pytorch(void **unused)
{
    (void)unused;
    struct trace t;
    open_trace(&t, VKG_FLOAT32);
    double worst_early = 0, worst = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        run_step(&t, step);
        const vkg_tensor *const outputs[] = {t.loss_d, t.loss_g, t.d_real, t.d_fake};
        for (int i = 0; i < 4; i++) {
            double expected = t.losses[step * 4 + i], found = *(const float *)vkg_program_output(t.program, outputs[i], 0);
            double error = fabs(found - expected) / fabs(expected);
            worst = fmax(worst, error);
            if (step < 20)
                worst_early = fmax(worst_early, error);
            if (!(error < (step < 20 ? 1e-3 : 2e-2)))
                fail_msg("step %u, value %d: %g, PyTorch has %g", step + 1, i, found, expected);
        }
        if (step + 1 == 1 || step + 1 == 10 || step + 1 == 20) {
            double g = weight_error(&t, step + 1, "generator."), d = weight_error(&t, step + 1, "discriminator.");
            printf("weights after step %u: generator off by %.1e, discriminator by %.1e\n", step + 1, g, d);
            assert_true(g < 1e-3 && d < 1e-3);
        }
    }
    printf("losses: off by %.1e in the first 20 steps, by %.1e in all %d (PyTorch's own float32: %s at the end)\n",
           worst_early, worst, STEPS, vkg_safetensors_metadata_find(t.file, "float32_drift_at_100"));
    close_trace(&t);
}

/* Both losses, in a precision, beside PyTorch's in float32. */
static void stays_near(vkg_dtype precision, double most_early, double most_mean)
{
    struct trace t;
    open_trace(&t, precision);
    /* the other families take minutes for all of them on a processor */
    const uint32_t steps = vkg_device_get_caps(test_device())->kernels == VKG_KERNELS_TEXEL ? STEPS : 10;
    double worst_early = 0, sum = 0;
    for (uint32_t step = 0; step < steps; step++) {
        run_step(&t, step);
        const vkg_tensor *const outputs[] = {t.loss_d, t.loss_g};
        for (int i = 0; i < 2; i++) {
            double expected = t.losses[step * 4 + i], found = *(const float *)vkg_program_output(t.program, outputs[i], 0);
            double error = fabs(found - expected) / fabs(expected);
            sum += error / (2 * steps);
            if (step < 20)
                worst_early = fmax(worst_early, error);
        }
    }
    printf("%s: losses off by at most %.1e in the first 20 steps, by %.1e in the mean of %u\n", vkg_dtype_name(precision),
           worst_early, sum, steps);
    assert_true(worst_early > 1e-6 && worst_early < most_early && sum < most_mean);
    close_trace(&t);
}

static void mixed_precision_stays_near(void **unused)
{
    (void)unused;
    stays_near(VKG_BFLOAT16, 5e-3, 5e-3);
    stays_near(VKG_FLOAT16, 5e-3, 5e-3);
}

/* --- beside itself --- */

static void make_batch(uint64_t step, float *batch)
{
    for (uint32_t i = 0; i < BATCH * PIXELS; i++)
        batch[i] = sinf((float)(i * (step % 7 + 1)) * 0.01f);
}

static vkg_trainer *make_trainer_in(vkg_dtype precision, uint64_t seed, uint32_t in_flight)
{
    static vkg_gan_desc gan; /* read while the trainer is created only */
    gan = (vkg_gan_desc){.generator = generator, .discriminator = discriminator, .settings = settings};
    vkg_phase phases[VKG_GAN_MAX_PHASES];
    vkg_trainer *trainer;
    const uint32_t phase_count = vkg_gan_phases(&gan, phases);
    const vkg_trainer_desc desc = {.phases = phases, .phase_count = phase_count, .batch = BATCH, .image = {28, 28, 1},
                                   .latent = LATENT, .seed = seed, .in_flight = in_flight, .precision = precision};
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_OK);
    return trainer;
}

static vkg_trainer *make_trainer(uint64_t seed, uint32_t in_flight)
{
    return make_trainer_in(VKG_FLOAT32, seed, in_flight);
}

static void train(vkg_trainer *trainer, uint32_t steps)
{
    static float batch[BATCH * PIXELS];
    for (uint32_t i = 0; i < steps; i++) {
        make_batch(vkg_trainer_get_step(trainer), batch);
        assert_int_equal(vkg_trainer_batches(trainer), 1);
        assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = batch}, NULL), VKG_OK);
    }
    assert_int_equal(vkg_trainer_finish(trainer, NULL), VKG_OK);
}

static void a_seed_decides_every_bit(void **unused)
{
    (void)unused;
    vkg_trainer *first = make_trainer(7, 1), *second = make_trainer(7, 3), *other = make_trainer(8, 1);
    train(first, 4), train(second, 4), train(other, 4);
    assert_true(test_same_state(vkg_trainer_state(first), vkg_trainer_state(second)));
    assert_false(test_same_state(vkg_trainer_state(first), vkg_trainer_state(other)));
    vkg_trainer_destroy(&first), vkg_trainer_destroy(&second), vkg_trainer_destroy(&other);
}

static void check_resuming(vkg_dtype precision)
{
    char path[] = "/tmp/vkgan-resume-XXXXXX";
    int handle = mkstemp(path);
    assert_true(handle >= 0);
    close(handle);
    vkg_trainer *whole = make_trainer_in(precision, 3, 2), *before = make_trainer_in(precision, 3, 2),
                *after = make_trainer_in(precision, 99, 2);
    uint64_t step = 0;
    train(whole, 10), train(before, 5);
    assert_int_equal(vkg_state_save(vkg_trainer_state(before), path, 5), VKG_OK);
    assert_int_equal(vkg_state_load(vkg_trainer_state(after), path, NULL, &step), VKG_OK);
    assert_int_equal(step, 5);
    vkg_trainer_set_step(after, step);
    assert_true(test_same_state(vkg_trainer_state(before), vkg_trainer_state(after)));
    train(after, 5);
    assert_true(test_same_state(vkg_trainer_state(whole), vkg_trainer_state(after)));
    vkg_trainer_destroy(&whole), vkg_trainer_destroy(&before), vkg_trainer_destroy(&after);
    unlink(path);
}

static void resuming_changes_no_bit(void **unused)
{
    (void)unused;
    check_resuming(VKG_FLOAT32);
    check_resuming(VKG_BFLOAT16);
    check_resuming(VKG_FLOAT16);
}

static void other_precisions_are_refused(void **unused)
{
    (void)unused;
    vkg_trainer *trainer;
    const vkg_phase phase = {.name = "a"};
    const vkg_trainer_desc desc = {.phases = &phase, .phase_count = 1, .batch = 1, .image = {1, 1, 1},
                                   .precision = VKG_INT32};
    test_expect_errors(true);
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "training in int32 is not possible"));
    test_expect_errors(false);
    assert_null(trainer);
}

/* A report of the newest step, or NaN. */
static double reported(vkg_trainer *trainer, uint32_t steps, const char *name)
{
    static float batch[BATCH * PIXELS];
    vkg_trainer_report report;
    train(trainer, steps - 1);
    make_batch(vkg_trainer_get_step(trainer), batch);
    assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = batch}, NULL), VKG_OK);
    assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
    for (uint32_t i = 0; i < report.count; i++)
        if (strcmp(report.names[i], name) == 0)
            return (double)report.values[i];
    return NAN;
}

/* The trainer scales float16's losses by itself: few updates are skipped, and the losses are nearly float32's. */
static void float16_is_scaled(void **unused)
{
    (void)unused;
    vkg_trainer *plain = make_trainer_in(VKG_FLOAT32, 3, 2), *scaled = make_trainer_in(VKG_FLOAT16, 3, 2);
    const double expected = reported(plain, 20, "loss_g"), found = reported(scaled, 20, "loss_g");
    const double scale = reported(scaled, 1, "loss_scale"), skipped = reported(scaled, 1, "skipped_updates");
    printf("float16: loss_g %g, in float32 %g; scale %g, %g updates skipped\n", found, expected, scale, skipped);
    assert_true(fabs(found - expected) < 0.05 * fabs(expected) && found != expected);
    assert_true(scale >= 256 && skipped < 16);
    assert_true(isnan(reported(plain, 1, "loss_scale")));
    vkg_trainer_destroy(&plain), vkg_trainer_destroy(&scaled);
}

/* A checkpoint of another network changes nothing, and the message says what differs. */
static void a_wrong_checkpoint_changes_nothing(void **unused)
{
    (void)unused;
    vkg_trainer *trainer = make_trainer(3, 1), *untouched = make_trainer(3, 1);
    const char *const path = VKGAN_TEST_DATA "/dcgan.safetensors";
    test_expect_errors(true);
    assert_int_equal(vkg_state_load(vkg_trainer_state(trainer), path, NULL, NULL), VKG_ERROR_FORMAT);
    assert_int_equal(test_error_count(), 1);
    assert_non_null(strstr(test_last_error(), "there is no tensor"));
    test_expect_errors(false);
    assert_true(test_same_state(vkg_trainer_state(trainer), vkg_trainer_state(untouched)));
    vkg_trainer_destroy(&trainer), vkg_trainer_destroy(&untouched);
}

/* --- schedules --- */

static vkg_tensor *toy_loss(vkg_step *step, void *name)
{
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *w = vkg_parameter(g, name, VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    vkg_tensor *mean = vkg_mean(g, vkg_step_real(step), VKG_ALL_AXES, false);
    return vkg_sum(g, vkg_square(g, vkg_sub(g, w, vkg_affine(g, mean, 0, 1000))), VKG_ALL_AXES, false);
}

static float parameter_value(vkg_trainer *trainer, const char *name)
{
    float value;
    vkg_state *state = vkg_trainer_state(trainer);
    assert_int_equal(vkg_state_read(state, vkg_state_find(state, name), &value), VKG_OK);
    return value;
}

/* A picture of one number for each class. */
static vkg_tensor *pixel_of_class(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    vkg_tensor *table = vkg_parameter(g, "table", VKG_SHAPE(s->classes, 1), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    return vkg_reshape(g, vkg_embedding(g, table, s->labels), VKG_SHAPE(vkg_tensor_shape(z).dims[0], 1, 1, 1));
}

/* Judges by the class alone. */
static vkg_tensor *class_itself(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    vkg_tensor *w = vkg_parameter(g, "w", VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 1, 0});
    return vkg_mul(g, vkg_reshape(g, vkg_cast(g, s->labels, VKG_FLOAT32), VKG_SHAPE(vkg_tensor_shape(x).dims[0], 1)), w);
}

static void labels_reach_the_networks(void **unused)
{
    (void)unused;
    const vkg_gan_desc gan = {.generator = pixel_of_class, .discriminator = class_itself, .loss = VKG_LOSS_HINGE,
                              .settings = {.image = {1, 1, 1}, .latent = 1, .width = 1, .classes = 3}};
    vkg_phase phases[VKG_GAN_MAX_PHASES];
    const uint32_t phase_count = vkg_gan_phases(&gan, phases);
    vkg_trainer *trainer;
    const vkg_trainer_desc desc = {.phases = phases, .phase_count = phase_count, .batch = 2, .image = {1, 1, 1}, .latent = 1};
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_OK);
    test_expect_errors(true);
    const float pixels[2] = {0};
    assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = pixels}, NULL), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "a phase asks for labels"));
    test_expect_errors(false);
    vkg_trainer_report report;
    const int32_t labels[2] = {0, 2};
    assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = pixels, .labels = labels}, NULL), VKG_OK);
    assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
    for (uint32_t i = 0; i < report.count; i++)
        if (strncmp(report.names[i], "score_", 6) == 0)
            assert_float_equal(report.values[i], 1, 1e-6); /* of generated images too: they are of the same classes */

    vkg_state *state = vkg_trainer_state(trainer);
    assert_int_equal(vkg_state_write(state, vkg_state_find(state, "generator.table"), (float[]){0.1f, 0.2f, 0.3f}), VKG_OK);
    vkg_sampler *sampler;
    const vkg_sampler_desc sampler_desc = {.generator = pixel_of_class, .settings = gan.settings, .batch = 2, .state = state};
    assert_int_equal(vkg_sampler_create(test_device(), &sampler_desc, &sampler), VKG_OK);
    float images[5];
    assert_int_equal(vkg_sampler_generate(sampler, 1, 1, 5, images), VKG_OK);
    for (int i = 0; i < 5; i++)
        assert_float_equal(images[i], 0.1f * (float)((1 + i) % 3 + 1), 1e-6);
    vkg_sampler_set_label(sampler, 2);
    assert_int_equal(vkg_sampler_generate(sampler, 1, 0, 5, images), VKG_OK);
    for (int i = 0; i < 5; i++)
        assert_float_equal(images[i], 0.3f, 1e-6);
    vkg_sampler_set_label(sampler, 3);
    test_expect_errors(true);
    assert_int_equal(vkg_sampler_generate(sampler, 1, 0, 5, images), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "3, and there are 3 classes"));
    test_expect_errors(false);
    vkg_sampler_destroy(&sampler);
    vkg_trainer_destroy(&trainer);
}

/* Far from its aim a parameter moves by lr at every update of Adam, so that updates can be counted. */
static void phases_run_when_they_should(void **unused)
{
    (void)unused;
    static char a[] = "a", b[] = "b", c[] = "c";
    const vkg_phase phases[3] = {
        {.name = a, .loss = toy_loss, .user = a, .trains = a, .optimizer = {.lr = 1}},
        {.name = b, .loss = toy_loss, .user = b, .trains = b, .optimizer = {.lr = 1}, .times = 3},
        {.name = c, .loss = toy_loss, .user = c, .trains = c, .optimizer = {.lr = 1}, .every = 2}};
    vkg_trainer *trainer;
    const vkg_trainer_desc desc = {.phases = phases, .phase_count = 3, .batch = 1, .image = {1, 1, 1}, .latent = 1};
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_OK);
    const float pixel = 0;
    const vkg_batch one = {.images = &pixel}, real[5] = {one, one, one, one, one};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(vkg_trainer_batches(trainer), i % 2 ? 4 : 5);
        assert_int_equal(vkg_trainer_step(trainer, real, NULL), VKG_OK);
    }
    assert_int_equal(vkg_trainer_finish(trainer, NULL), VKG_OK);
    assert_float_equal(parameter_value(trainer, "a"), 5, 0.1);
    assert_float_equal(parameter_value(trainer, "b"), 15, 0.2);
    assert_float_equal(parameter_value(trainer, "c"), 3, 0.1);
    vkg_trainer_destroy(&trainer);
}

/* --- sampling --- */

static void samples_do_not_depend_on_the_batch(void **unused)
{
    (void)unused;
    vkg_trainer *trainer = make_trainer(5, 1);
    train(trainer, 2);
    vkg_sampler *small, *large;
    vkg_sampler_desc desc = {.generator = generator, .settings = settings, .batch = 3, .state = vkg_trainer_state(trainer)};
    assert_int_equal(vkg_sampler_create(test_device(), &desc, &small), VKG_OK);
    desc.batch = 20;
    assert_int_equal(vkg_sampler_create(test_device(), &desc, &large), VKG_OK);
    static float a[7 * PIXELS], b[7 * PIXELS];
    assert_int_equal(vkg_sampler_generate(small, 1, 0, 7, a), VKG_OK);
    assert_int_equal(vkg_sampler_generate(large, 1, 0, 7, b), VKG_OK);
    for (int i = 0; i < 7 * PIXELS; i++)
        assert_float_equal(a[i], b[i], 1e-5);
    assert_int_equal(vkg_sampler_generate(large, 1, 6, 1, b), VKG_OK);
    for (int i = 0; i < PIXELS; i++)
        assert_float_equal(a[6 * PIXELS + i], b[i], 1e-5);
    vkg_sampler_destroy(&small), vkg_sampler_destroy(&large);
    vkg_trainer_destroy(&trainer);
}

/* usage: training_test [PATTERN]: only the tests whose name fits */
int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_pytorch), cmocka_unit_test(mixed_precision_stays_near),
        cmocka_unit_test(a_seed_decides_every_bit),
        cmocka_unit_test(resuming_changes_no_bit), cmocka_unit_test(other_precisions_are_refused),
        cmocka_unit_test(float16_is_scaled),
        cmocka_unit_test(a_wrong_checkpoint_changes_nothing),
        cmocka_unit_test(labels_reach_the_networks), cmocka_unit_test(phases_run_when_they_should),
        cmocka_unit_test(samples_do_not_depend_on_the_batch)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
