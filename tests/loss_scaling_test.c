/* Dynamic loss scaling: it changes no result, skips what overflows, finds its way back, and survives a checkpoint. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "on_device.h"

enum { BATCH = 4, SIZE = 8, PIXELS = SIZE * SIZE, LATENT = 4, STEPS = 20 };

/* --- a small GAN with a gradient penalty --- */

static const vkg_network_settings settings = {.image = {SIZE, SIZE, 1}, .latent = LATENT, .width = 4};

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    vkg_tensor *x = vkg_reshape(g, z, VKG_SHAPE(BATCH, 1, 1, s->latent));
    x = vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = "main.0", .out = s->width, .kernel = 4});
    x = vkg_relu(g, vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = "main.1"}));
    x = vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = "main.3", .out = 1, .kernel = 4, .stride = 2, .pad = 1});
    return vkg_tanh(g, x);
}

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = "main.0", .out = s->width, .kernel = 4, .stride = 2, .pad = 1});
    x = vkg_tanh(g, x); /* whose second derivative is not zero */
    return vkg_conv2d(g, x, &(vkg_conv_desc){.name = "main.2", .out = 1, .kernel = 4});
}

static vkg_tensor *call(vkg_graph *g, vkg_network network, const char *scope, vkg_tensor *x)
{
    vkg_graph_enter(g, scope);
    vkg_tensor *y = network(g, x, &settings);
    vkg_graph_leave(g);
    return y;
}

/* Mean of (‖∇D(x)‖ − 1)²: its minimum is elsewhere for a gradient that is scaled. */
static vkg_tensor *gradient_penalty(vkg_graph *g, vkg_tensor *logits, vkg_tensor *x)
{
    vkg_tensor *gradient;
    vkg_gradients(g, logits, &x, 1, &gradient);
    vkg_tensor *norm = vkg_sqrt(g, vkg_sum(g, vkg_square(g, gradient), 1u << 1 | 1u << 2 | 1u << 3, false));
    return vkg_mean(g, vkg_square(g, vkg_affine(g, norm, 1, -1)), VKG_ALL_AXES, false);
}

static vkg_tensor *discriminator_loss(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *fake = vkg_detach(g, call(g, generator, "generator", vkg_step_latents(step)));
    vkg_tensor *real_logits = call(g, discriminator, "discriminator", vkg_step_real(step));
    vkg_tensor *fake_logits = call(g, discriminator, "discriminator", fake);
    vkg_tensor *loss = vkg_add(g, vkg_bce_with_logits(g, real_logits, 1), vkg_bce_with_logits(g, fake_logits, 0));
    loss = vkg_add(g, loss, gradient_penalty(g, real_logits, vkg_step_real(step)));
    vkg_step_report(step, "loss_d", loss);
    return loss;
}

static vkg_tensor *generator_loss(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *fake = call(g, generator, "generator", vkg_step_latents(step));
    vkg_tensor *loss = vkg_bce_with_logits(g, call(g, discriminator, "discriminator", fake), 1);
    vkg_step_report(step, "loss_g", loss);
    return loss;
}

static vkg_trainer *make_gan(uint64_t seed, vkg_loss_scaling scaling)
{
    const vkg_phase phases[] = {
        {.name = "discriminator", .loss = discriminator_loss, .trains = "discriminator.", .times = 2},
        {.name = "generator", .loss = generator_loss, .trains = "generator."}};
    vkg_trainer *trainer;
    const vkg_trainer_desc desc = {.phases = phases, .phase_count = 2, .batch = BATCH, .image = {SIZE, SIZE, 1},
                                   .latent = LATENT, .seed = seed, .loss_scaling = scaling};
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_OK);
    return trainer;
}

static float reported(const vkg_trainer_report *report, const char *name)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (strcmp(report->names[i], name) == 0)
            return report->values[i];
    fail_msg("\"%s\" is not reported", name);
    return NAN;
}

static bool is_reported(const vkg_trainer_report *report, const char *name)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (strcmp(report->names[i], name) == 0)
            return true;
    return false;
}

static vkg_trainer_report train_gan(vkg_trainer *trainer, uint32_t steps)
{
    static float batch[2][BATCH * PIXELS];
    vkg_trainer_report report;
    for (uint32_t i = 0; i < steps; i++) {
        uint64_t step = vkg_trainer_get_step(trainer);
        for (uint32_t k = 0; k < 2 * BATCH * PIXELS; k++)
            batch[k / (BATCH * PIXELS)][k % (BATCH * PIXELS)] = sinf((float)(k * (step % 7 + 1)) * 0.01f);
        assert_int_equal(vkg_trainer_step(trainer, (vkg_batch[]){{.images = batch[0]}, {.images = batch[1]}}, NULL), VKG_OK);
    }
    assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
    return report;
}

/* A power of two only moves exponents; what is left is that compilers contract other sums into fma. */
static void scaling_changes_no_result(void **unused)
{
    (void)unused;
    vkg_trainer *plain = make_gan(5, (vkg_loss_scaling){0});
    vkg_trainer *scaled = make_gan(5, (vkg_loss_scaling){.enabled = true, .growth_interval = 7});
    const char *const losses[] = {"loss_d", "loss_g"};
    double worst = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        vkg_trainer_report a = train_gan(plain, 1), b = train_gan(scaled, 1);
        for (int i = 0; i < 2; i++) {
            double expected = (double)reported(&a, losses[i]);
            worst = fmax(worst, fabs((double)reported(&b, losses[i]) - expected) / fabs(expected));
        }
        assert_false(is_reported(&a, "loss_scale"));
        assert_true(reported(&b, "skipped_updates") == 0);
        /* the least scale is the generator's, which is updated once a step */
        assert_true(reported(&b, "loss_scale") == ldexpf(1, 16 + (int)(step + 1) / 7));
    }
    printf("losses of %d steps: off by %.1e\n", STEPS, worst);
    assert_true(worst <= 1e-6);
    vkg_trainer_destroy(&plain), vkg_trainer_destroy(&scaled);
}

static float state_value(vkg_trainer *trainer, const char *name)
{
    float value[4]; /* bias corrections have four */
    vkg_state *state = vkg_trainer_state(trainer);
    uint32_t index = vkg_state_find(state, name);
    assert_int_not_equal(index, UINT32_MAX);
    assert_true(vkg_state_get(state, index)->elements <= 4);
    assert_int_equal(vkg_state_read(state, index, value), VKG_OK);
    return value[0];
}

/* Saved where the counters are on their way and the scale is not the first one. */
static void resuming_changes_no_bit(void **unused)
{
    (void)unused;
    char path[] = "/tmp/vkgan-scaling-XXXXXX";
    int handle = mkstemp(path);
    assert_true(handle >= 0);
    close(handle);
    const vkg_loss_scaling scaling = {.enabled = true, .growth_interval = 4};
    vkg_trainer *whole = make_gan(3, scaling), *before = make_gan(3, scaling), *after = make_gan(99, scaling);
    uint64_t step = 0;
    train_gan(whole, 10), train_gan(before, 5);
    assert_true(state_value(before, "optimizer.generator.loss_scale") == 131072);
    assert_true(state_value(before, "optimizer.generator.good_steps") == 1);
    assert_int_equal(vkg_state_save(vkg_trainer_state(before), path, 5), VKG_OK);
    assert_int_equal(vkg_state_load(vkg_trainer_state(after), path, NULL, &step), VKG_OK);
    vkg_trainer_set_step(after, step);
    train_gan(after, 5);
    assert_true(state_value(after, "optimizer.generator.loss_scale") == 262144);
    assert_true(state_value(after, "optimizer.generator.good_steps") == 2);
    assert_true(test_same_state(vkg_trainer_state(whole), vkg_trainer_state(after)));
    vkg_trainer_destroy(&whole), vkg_trainer_destroy(&before), vkg_trainer_destroy(&after);
    unlink(path);
}

/* --- one parameter, whose gradient is the pixel --- */

static vkg_tensor *toy_loss(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *w = vkg_parameter(g, "toy.w", VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    return vkg_sum(g, vkg_mul(g, w, vkg_reshape(g, vkg_step_real(step), VKG_SHAPE(1))), VKG_ALL_AXES, false);
}

static vkg_result create_toy(vkg_loss_scaling scaling, vkg_trainer **trainer)
{
    static char name[] = "toy";
    const vkg_phase phase = {.name = name, .loss = toy_loss, .trains = "toy.", .optimizer = {.lr = 1}};
    const vkg_trainer_desc desc = {.phases = &phase, .phase_count = 1, .batch = 1, .image = {1, 1, 1}, .latent = 1,
                                   .loss_scaling = scaling};
    return vkg_trainer_create(test_device(), &desc, trainer);
}

static vkg_trainer_report step_toy(vkg_trainer *trainer, float pixel)
{
    vkg_trainer_report report;
    assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = &pixel}, NULL), VKG_OK);
    assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
    return report;
}

/* What an update changes, and a skipped one does not. */
struct snapshot {
    float parameter, first_moment, second_moment, correction;
};

static struct snapshot look(vkg_trainer *trainer)
{
    return (struct snapshot){state_value(trainer, "toy.w"), state_value(trainer, "exp_avg.toy.w"),
                             state_value(trainer, "exp_avg_sq.toy.w"),
                             state_value(trainer, "optimizer.toy.corrections")};
}

/* 2000·2^k, 2000 = 1.95·2¹⁰, is infinite from k = 118 on. A constant gradient moves the parameter by lr at every update of
 * Adam, so that updates can be counted. */
static void overflow_halves_the_scale_and_skips(void **unused)
{
    (void)unused;
    enum { INTERVAL = 3, GREATEST = 117 };
    vkg_trainer *trainer;
    assert_int_equal(create_toy((vkg_loss_scaling){true, 0x1p120f, INTERVAL}, &trainer), VKG_OK);
    int exponent = 120, good = 0, skipped = 0, updates = 0;
    for (int step = 0; step < 14; step++) {
        struct snapshot before = look(trainer);
        vkg_trainer_report report = step_toy(trainer, 2000);
        struct snapshot after = look(trainer);
        bool overflow = exponent > GREATEST;
        good = overflow ? 0 : good + 1;
        skipped += overflow, updates += !overflow;
        exponent += overflow ? -1 : good == INTERVAL;
        good %= INTERVAL;
        assert_int_equal(memcmp(&before, &after, sizeof before) == 0, overflow);
        assert_float_equal(after.parameter, -updates, 1e-3);
        assert_true(reported(&report, "loss_scale") == ldexpf(1, exponent));
        assert_true(reported(&report, "skipped_updates") == (float)skipped);
        assert_true(state_value(trainer, "optimizer.toy.good_steps") == (float)good);
    }
    assert_true(skipped >= 5 && updates >= 6); /* it went down, up, and down again */
    vkg_trainer_destroy(&trainer);
}

/* Infinite and NaN pixels among good ones: training goes on as if those steps had not been. */
static void bad_numbers_leave_no_trace(void **unused)
{
    (void)unused;
    const float pixels[] = {1, INFINITY, 2, NAN, -INFINITY, 3e38f, 0.5f};
    const vkg_loss_scaling scaling = {.enabled = true, .initial = 1024};
    vkg_trainer *disturbed, *calm;
    assert_int_equal(create_toy(scaling, &disturbed), VKG_OK);
    assert_int_equal(create_toy(scaling, &calm), VKG_OK);
    for (uint32_t i = 0; i < sizeof pixels / sizeof *pixels; i++) {
        step_toy(disturbed, pixels[i]);
        if (i % 2 == 0 && i != 4)
            step_toy(calm, pixels[i]);
    }
    struct snapshot a = look(disturbed), b = look(calm);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(state_value(disturbed, "optimizer.toy.loss_scale") == 1024 / 16);
    assert_true(state_value(disturbed, "optimizer.toy.skipped_updates") == 4);
    vkg_trainer_destroy(&disturbed), vkg_trainer_destroy(&calm);
}

enum { MANY = 90 };

static vkg_tensor *many_loss(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *pixels = vkg_reshape(g, vkg_step_real(step), VKG_SHAPE(MANY)), *loss = vkg_constant(g, 0, VKG_SCALAR);
    for (uint32_t i = 0; i < MANY; i++) { /* of sizes that leave gaps between them, and some that take two stages to sum */
        char name[16];
        snprintf(name, sizeof name, "many.w%u", i);
        vkg_tensor *w = vkg_parameter(g, name, VKG_SHAPE(i % 30 == 7 ? 70001 : i + 1), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
        vkg_tensor *pixel = vkg_slice(g, pixels, 0, i, 1, 1);
        loss = vkg_add(g, loss, vkg_sum(g, vkg_mul(g, w, pixel), VKG_ALL_AXES, false));
    }
    return loss;
}

/* Every parameter's gradient is looked at, of however many. */
static void one_bad_gradient_of_many_is_found(void **unused)
{
    (void)unused;
    const vkg_phase phase = {.name = "many", .loss = many_loss, .trains = "many."};
    const vkg_trainer_desc desc = {.phases = &phase, .phase_count = 1, .batch = 1, .image = {1, MANY, 1}, .latent = 1,
                                   .loss_scaling = {.enabled = true, .initial = 0x1p100f}};
    vkg_trainer *trainer;
    vkg_trainer_report report;
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        float pixels[MANY] = {0};
        pixels[i] = i % 2 ? NAN : -INFINITY;
        assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = pixels}, NULL), VKG_OK);
        assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
        assert_true(reported(&report, "skipped_updates") == (float)i + 1);
        assert_true(reported(&report, "loss_scale") == ldexpf(1, 99 - (int)i));
    }
    const float good[MANY] = {0};
    assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = good}, NULL), VKG_OK);
    assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
    assert_true(reported(&report, "skipped_updates") == MANY);
    vkg_trainer_destroy(&trainer);
}

/* A parameter that never gets a good gradient does not drive the scale to 0, nor good ones to infinity. */
static void the_scale_stays_in_its_range(void **unused)
{
    (void)unused;
    vkg_trainer *falling, *rising;
    assert_int_equal(create_toy((vkg_loss_scaling){true, 0x1p-125f, 1}, &falling), VKG_OK);
    assert_int_equal(create_toy((vkg_loss_scaling){true, 0x1p125f, 1}, &rising), VKG_OK);
    for (int i = 0; i < 3; i++) {
        step_toy(falling, NAN);
        step_toy(rising, 1);
    }
    assert_true(state_value(falling, "optimizer.toy.loss_scale") == 0x1p-126f);
    assert_true(state_value(rising, "optimizer.toy.loss_scale") == 0x1p126f);
    step_toy(falling, 4); /* divides by 2^-126 */
    assert_float_equal(state_value(falling, "toy.w"), -1, 1e-3);
    assert_float_equal(state_value(rising, "toy.w"), -3, 1e-3);
    vkg_trainer_destroy(&falling), vkg_trainer_destroy(&rising);
}

static void bad_settings_are_refused(void **unused)
{
    (void)unused;
    const vkg_loss_scaling bad[] = {{true, 1000, 0}, {true, -2, 0}, {true, INFINITY, 0}, {true, NAN, 0}, {true, 0x1p127f, 0},
                                    {true, 1, (1u << 24) + 1}};
    for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        vkg_trainer *trainer;
        test_expect_errors(true);
        assert_int_equal(create_toy(bad[i], &trainer), VKG_ERROR_INVALID);
        assert_non_null(strstr(test_last_error(), i < 5 ? "power of two" : "growth_interval"));
        test_expect_errors(false);
        assert_null(trainer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scaling_changes_no_result),        cmocka_unit_test(resuming_changes_no_bit),
        cmocka_unit_test(overflow_halves_the_scale_and_skips), cmocka_unit_test(bad_numbers_leave_no_trace),
        cmocka_unit_test(one_bad_gradient_of_many_is_found),
        cmocka_unit_test(the_scale_stays_in_its_range),     cmocka_unit_test(bad_settings_are_refused)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
