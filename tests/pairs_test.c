/* Data of pairs: what goes with an image reaches phases and networks, in training and in sampling. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"
#include "vkgan/gan.h"
#include "vkgan/ops.h"

enum { BATCH = 2, WIDE = 3 }; /* inputs of 1×3×1, images of 1×1×1 */

static const vkg_network_settings settings = {.image = {1, 1, 1}, .input = {1, WIDE, 1}, .width = 1};

/* w times the sum of the input, and at random nothing. */
static vkg_tensor *generator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    (void)s;
    vkg_tensor *w = vkg_parameter(g, "w", VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 1, 0});
    return vkg_dropout(g, vkg_mul(g, w, vkg_sum(g, x, 1u << 2, true)), 0.5f);
}

static vkg_tensor *mean(vkg_graph *g, vkg_tensor *a)
{
    return vkg_mean(g, a, VKG_ALL_AXES, false);
}

static vkg_tensor *loss(vkg_step *step, void *unused)
{
    (void)unused;
    vkg_graph *g = vkg_step_graph(step);
    assert_ptr_equal(vkg_step_input(step), vkg_step_input(step));
    vkg_step_report(step, "input", mean(g, vkg_step_input(step)));
    vkg_step_report(step, "real", mean(g, vkg_step_real(step)));
    vkg_step_report(step, "whole", vkg_cast(g, vkg_constant(g, 3, VKG_SCALAR), VKG_INT32));
    vkg_graph_enter(g, "generator");
    vkg_tensor *fake = generator(g, vkg_step_input(step), &settings);
    vkg_graph_leave(g);
    return mean(g, vkg_square(g, vkg_sub(g, fake, vkg_step_real(step))));
}

static const vkg_phase phase = {.name = "generator", .loss = loss, .trains = "generator.", .optimizer = {.lr = 0.01f}};

static vkg_trainer_desc description(void)
{
    return (vkg_trainer_desc){.phases = &phase, .phase_count = 1, .batch = BATCH, .image = {1, 1, 1}, .input = {1, WIDE, 1}};
}

static vkg_trainer *make_trainer(void)
{
    vkg_trainer *trainer;
    const vkg_trainer_desc desc = description();
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_OK);
    return trainer;
}

static double reported(const vkg_trainer_report *report, const char *name)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (strcmp(report->names[i], name) == 0)
            return (double)report->values[i];
    fail_msg("\"%s\" was not reported", name);
    return 0;
}

static void inputs_reach_phases(void **unused)
{
    (void)unused;
    vkg_trainer *trainer = make_trainer();
    vkg_trainer_report report;
    for (int step = 0; step < 5; step++) { /* several in flight: each has its own */
        float images[BATCH] = {0.5f, (float)step}, inputs[BATCH * WIDE] = {1, 2, 3, 4, 5, (float)step};
        assert_int_equal(vkg_trainer_batches(trainer), 1);
        assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = images, .inputs = inputs}, NULL), VKG_OK);
    }
    for (int step = 0; step < 5; step++) {
        assert_int_equal(vkg_trainer_wait(trainer, &report), VKG_OK);
        if (report.step == 0)
            break;
        assert_float_equal(reported(&report, "input"), (15 + (double)report.step - 1) / 6, 1e-5);
        assert_float_equal(reported(&report, "whole"), 3, 0); /* whatever its type was */
        assert_float_equal(reported(&report, "real"), (0.5 + (double)report.step - 1) / 2, 1e-5);
    }
    vkg_trainer_destroy(&trainer);
}

static void what_is_missing_is_said(void **unused)
{
    (void)unused;
    vkg_trainer *trainer = make_trainer();
    const float images[BATCH] = {0};
    test_expect_errors(true);
    assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = images}, NULL), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "a phase asks for inputs, and batch 0 has none"));
    vkg_trainer_destroy(&trainer);
    vkg_trainer_desc desc = description();
    desc.input[1] = 0;
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "input [1, 0, 1] (all or none may be 0)"));
    desc.input[0] = desc.input[2] = 0;
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "the trainer's input size is 0"));
    test_expect_errors(false);
}

enum { COUNT = 65 };

static void translate(vkg_state *state, uint32_t batch, uint64_t seed, const float *inputs, float *images)
{
    vkg_sampler *sampler;
    const vkg_sampler_desc desc = {.generator = generator, .settings = settings, .batch = batch, .state = state};
    assert_int_equal(vkg_sampler_create(test_device(), &desc, &sampler), VKG_OK);
    assert_int_equal(vkg_sampler_translate(sampler, seed, inputs, COUNT, images), VKG_OK);
    vkg_sampler_destroy(&sampler);
}

/* What dropout leaves is right; what it drops, the seed says. */
static void samplers_translate(void **unused)
{
    (void)unused;
    vkg_trainer *trainer = make_trainer();
    vkg_state *state = vkg_trainer_state(trainer);
    float inputs[COUNT * WIDE], first[COUNT], again[COUNT], other[COUNT];
    uint32_t before[4], after[4], dropped = 0;
    for (int i = 0; i < COUNT * WIDE; i++)
        inputs[i] = (float)(i + 1);
    assert_int_equal(vkg_state_read(state, vkg_state_find(state, "random.state"), before), VKG_OK);
    for (uint32_t batch = 1; batch <= 8; batch += 7) {
        translate(state, batch, 3, inputs, first);
        translate(state, batch, 3, inputs, again);
        translate(state, batch, 4, inputs, other);
        assert_memory_equal(first, again, sizeof first);
        assert_memory_not_equal(first, other, sizeof first);
        dropped = 0;
        for (int i = 0; i < COUNT; i++) {
            dropped += first[i] == 0;
            if (first[i] != 0)
                assert_float_equal(first[i], 2 * (9 * (float)i + 6), 1e-3);
        }
        assert_in_range(dropped, 16, 49); /* four standard deviations */
    }
    assert_int_equal(vkg_state_read(state, vkg_state_find(state, "random.state"), after), VKG_OK);
    assert_memory_equal(before, after, sizeof before); /* training goes on as if nothing had been drawn */
    vkg_trainer_destroy(&trainer);
}

/* --- of latents --- */

static vkg_tensor *forgetful(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    vkg_tensor *w = vkg_parameter(g, "w", VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 1, 0});
    return vkg_dropout(g, vkg_reshape(g, vkg_mul(g, w, x), VKG_SHAPE(vkg_tensor_shape(x).dims[0], 1, 1, s->latent)), 0.5f);
}

/* What a generator draws is of the seed, not of how often samples were drawn, and training goes on as if none had been. */
static void samplers_of_latents_leave_training_alone(void **unused)
{
    (void)unused;
    enum { LATENT = 40 };
    vkg_sampler_desc desc = {.generator = forgetful, .batch = 2, .settings = {.image = {1, 1, LATENT}, .latent = LATENT, .width = 1}};
    vkg_state *state;
    assert_int_equal(vkg_sampler_create_state(test_device(), &desc, &state), VKG_OK);
    desc.state = state;
    vkg_sampler *sampler;
    assert_int_equal(vkg_sampler_create(test_device(), &desc, &sampler), VKG_OK);
    float first[3 * LATENT], again[3 * LATENT], ones[3 * LATENT];
    uint32_t before[4], after[4], dropped = 0;
    for (int i = 0; i < 3 * LATENT; i++)
        ones[i] = 1;
    assert_int_equal(vkg_state_read(state, vkg_state_find(state, "random.state"), before), VKG_OK);
    assert_int_equal(vkg_sampler_generate(sampler, 5, 7, 3, first), VKG_OK);
    assert_int_equal(vkg_sampler_generate(sampler, 5, 7, 3, again), VKG_OK);
    assert_memory_equal(first, again, sizeof first);
    assert_int_equal(vkg_sampler_draw(sampler, ones, 3, first), VKG_OK);
    assert_int_equal(vkg_sampler_draw(sampler, ones, 3, again), VKG_OK);
    assert_memory_equal(first, again, sizeof first);
    for (int i = 0; i < 3 * LATENT; i++)
        dropped += first[i] == 0;
    assert_in_range(dropped, 36, 84);
    assert_int_equal(vkg_state_read(state, vkg_state_find(state, "random.state"), after), VKG_OK);
    assert_memory_equal(before, after, sizeof before);
    vkg_sampler_destroy(&sampler);
    vkg_state_destroy(&state);
}

static void samplers_know_what_they_make_images_of(void **unused)
{
    (void)unused;
    vkg_trainer *trainer = make_trainer();
    vkg_sampler *sampler;
    float image;
    const vkg_sampler_desc desc = {.generator = generator, .settings = settings, .batch = 1, .state = vkg_trainer_state(trainer)};
    assert_int_equal(vkg_sampler_create(test_device(), &desc, &sampler), VKG_OK);
    test_expect_errors(true);
    assert_int_equal(vkg_sampler_generate(sampler, 1, 0, 1, &image), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "vkg_sampler_translate"));
    test_expect_errors(false);
    vkg_sampler_destroy(&sampler);
    vkg_trainer_destroy(&trainer);
}

/* --- the common phases --- */

/* Judges by the sum of a pair's channels. */
static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    (void)s;
    vkg_tensor *w = vkg_parameter(g, "w", VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 1, 0});
    return vkg_mul(g, w, vkg_sum(g, x, 1u << 3, true));
}

static vkg_tensor *twice(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    (void)s;
    vkg_tensor *w = vkg_parameter(g, "w", VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 2, 0});
    return vkg_mul(g, w, vkg_reshape(g, x, VKG_SHAPE(1, 1, 1, 1)));
}

static vkg_result create_common(const vkg_gan_desc *gan, vkg_trainer **trainer)
{
    vkg_phase phases[VKG_GAN_MAX_PHASES];
    const uint32_t count = vkg_gan_phases(gan, phases), *image = gan->settings.image, *input = gan->settings.input;
    return vkg_trainer_create(test_device(), &(vkg_trainer_desc){
        .phases = phases, .phase_count = count, .batch = 1, .image = {image[0], image[1], image[2]},
        .input = {input[0], input[1], input[2]}, .latent = gan->settings.latent}, trainer);
}

/* One pixel 5 whose input is 3; what is made of it is 6, or a little more after the discriminator's update. */
static void discriminators_judge_pairs(void **unused)
{
    (void)unused;
    vkg_gan_desc gan = {.generator = twice, .discriminator = discriminator, .loss = VKG_LOSS_WASSERSTEIN, .l1 = 10,
                        .settings = {.image = {1, 1, 1}, .input = {1, 1, 1}, .width = 1},
                        .optimizer_d = {.lr = 1e-6f}, .optimizer_g = {.lr = 1e-6f}};
    for (int conditional = 0; conditional < 2; conditional++) {
        vkg_trainer *trainer;
        vkg_trainer_report report;
        const float input = conditional ? 3 : 0; /* in what is judged */
        gan.conditional = conditional;
        assert_int_equal(create_common(&gan, &trainer), VKG_OK);
        assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = &(float){5}, .inputs = &(float){3}}, NULL), VKG_OK);
        assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
        assert_float_equal(reported(&report, "score_real"), 5 + input, 1e-4);
        assert_float_equal(reported(&report, "score_fake"), 6 + input, 1e-4);
        assert_float_equal(reported(&report, "loss_g"), -6 - input, 1e-3);
        assert_float_equal(reported(&report, "l1"), 1, 1e-4);
        vkg_trainer_destroy(&trainer);
    }
}

/* Who asked for images of one size is not given others. */
static void images_are_of_the_settings(void **unused)
{
    (void)unused;
    vkg_sampler *sampler;
    vkg_trainer *trainer;
    vkg_state *state;
    vkg_sampler_desc desc = {.generator = forgetful, .batch = 2, .settings = {.image = {1, 1, 4}, .latent = 4, .width = 1}};
    assert_int_equal(vkg_sampler_create_state(test_device(), &desc, &state), VKG_OK);
    desc.state = state;
    desc.settings.image[1] = 2;
    test_expect_errors(true);
    assert_int_equal(vkg_sampler_create(test_device(), &desc, &sampler), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "makes images [2,1,1,4], expected [2,1,2,4]"));
    const vkg_gan_desc gan = {.generator = forgetful, .discriminator = discriminator, .settings = desc.settings};
    assert_int_equal(create_common(&gan, &trainer), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "makes images [1,1,1,4], expected [1,1,2,4]"));
    test_expect_errors(false);
    assert_null(sampler);
    vkg_state_destroy(&state);
}

static vkg_tensor *itself(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    (void)s;
    return vkg_mul(g, x, vkg_parameter(g, "w", VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 1, 0}));
}

/* Judges by a channel of the pair: the input is the first. */
static vkg_tensor *by_channel(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    vkg_tensor *w = vkg_parameter(g, "w", VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 1, 0});
    return vkg_mul(g, w, vkg_slice(g, x, 3, *(const uint32_t *)s->user, 1, 1));
}

/* Colours of the image are none of the input's. */
static void colours_change_of_the_image_alone(void **unused)
{
    (void)unused;
    for (uint32_t channel = 0; channel < 2; channel++) {
        const vkg_gan_desc gan = {.generator = twice, .discriminator = by_channel, .loss = VKG_LOSS_WASSERSTEIN, .conditional = true,
                                  .augment = {.kind = VKG_AUGMENT_DIFF, .changes = VKG_CHANGE_COLOR},
                                  .settings = {.image = {1, 1, 1}, .input = {1, 1, 1}, .width = 1, .user = &channel}};
        vkg_trainer *trainer;
        vkg_trainer_report report;
        assert_int_equal(create_common(&gan, &trainer), VKG_OK);
        assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = &(float){5}, .inputs = &(float){3}}, NULL), VKG_OK);
        assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
        if (channel == 0)
            assert_float_equal(reported(&report, "score_real"), 3, 1e-5);
        else
            assert_true(fabs(reported(&report, "score_real") - 5) > 1e-4);
        vkg_trainer_destroy(&trainer);
    }
}

/* Both as one: where the image is 0 the input is, and ADA changes nothing at first. */
static void pairs_move_as_one(void **unused)
{
    (void)unused;
    enum { SIDE = 8, PIXELS = SIDE * SIDE };
    static const vkg_augment_desc augments[] = {{.kind = VKG_AUGMENT_DIFF, .changes = VKG_CHANGE_CUTOUT},
                                                {.kind = VKG_AUGMENT_DIFF, .changes = VKG_CHANGE_TRANSLATION},
                                                {.kind = VKG_AUGMENT_DIFF}, {.kind = VKG_AUGMENT_ADA}};
    float images[PIXELS];
    for (int i = 0; i < PIXELS; i++)
        images[i] = 0.5f + (float)i / 64;
    for (uint32_t row = 0; row < 4; row++) {
        double sums[2];
        for (uint32_t channel = 0; channel < 2; channel++) { /* the same seed: what is random is the same */
            const vkg_gan_desc gan = {.generator = itself, .discriminator = by_channel, .loss = VKG_LOSS_WASSERSTEIN, .conditional = true,
                                      .augment = augments[row],
                                      .settings = {.image = {SIDE, SIDE, 1}, .input = {SIDE, SIDE, 1}, .width = 1, .user = &channel}};
            vkg_trainer *trainer;
            vkg_trainer_report report;
            assert_int_equal(create_common(&gan, &trainer), VKG_OK);
            assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = images, .inputs = images}, NULL), VKG_OK);
            assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
            sums[channel] = reported(&report, "score_real");
            vkg_trainer_destroy(&trainer);
        }
        const double unchanged = 0.5 + 31.5 / 64;
        if (augments[row].changes != 0 || augments[row].kind == VKG_AUGMENT_ADA)
            assert_float_equal(sums[0], sums[1], 1e-5);
        if (augments[row].kind == VKG_AUGMENT_ADA)
            assert_float_equal(sums[0], unchanged, 1e-5);
        else
            assert_true(fabs(sums[0] - unchanged) > 1e-3); /* all changes move, too */
    }
}

static void wrong_pairs_are_refused(void **unused)
{
    (void)unused;
    vkg_gan_desc gan = {.generator = generator, .discriminator = discriminator, .settings = settings, .conditional = true};
    vkg_trainer *trainer;
    test_expect_errors(true);
    assert_int_equal(create_common(&gan, &trainer), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "inputs [1,1,3,1] beside images [1,1,1,1]"));
    gan = (vkg_gan_desc){.generator = twice, .discriminator = discriminator, .l1 = 1,
                         .settings = {.image = {1, 1, 1}, .latent = 1, .width = 1}};
    assert_int_equal(create_common(&gan, &trainer), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "made of no inputs"));
    test_expect_errors(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_reach_phases), cmocka_unit_test(what_is_missing_is_said), cmocka_unit_test(samplers_translate),
        cmocka_unit_test(samplers_know_what_they_make_images_of), cmocka_unit_test(discriminators_judge_pairs),
        cmocka_unit_test(samplers_of_latents_leave_training_alone), cmocka_unit_test(images_are_of_the_settings),
        cmocka_unit_test(colours_change_of_the_image_alone), cmocka_unit_test(pairs_move_as_one), cmocka_unit_test(wrong_pairs_are_refused)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
