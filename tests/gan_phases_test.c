/* vkg_gan_phases: its settings beside one another, on small networks of images of odd sizes. What the losses, penalties and
 * augmentations compute is the matter of gan_loss_test and augment_test. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "on_device.h"

enum { HEIGHT = 7, WIDTH = 5, LATENT = 4, MOST_BATCH = 8, MOST_CHANNELS = 3 };

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    const uint32_t n = vkg_tensor_shape(z).dims[0];
    vkg_tensor *x = vkg_linear(g, z, &(vkg_linear_desc){.name = "fc", .out = HEIGHT * WIDTH * 4, .init_std = 0.3f});
    x = vkg_reshape(g, vkg_relu(g, x), VKG_SHAPE(n, HEIGHT, WIDTH, 4));
    return vkg_tanh(g, vkg_conv2d(g, x, &(vkg_conv_desc){.name = "conv", .out = s->image[2], .kernel = 3, .pad = 1}));
}

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    (void)s;
    x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = "conv", .out = 8, .kernel = 3, .init_std = 0.2f, .bias = true});
    x = vkg_leaky_relu(g, x, 0.2f);
    x = vkg_reshape(g, x, VKG_SHAPE(vkg_tensor_shape(x).dims[0], (HEIGHT - 2) * (WIDTH - 2) * 8));
    return vkg_linear(g, x, &(vkg_linear_desc){.name = "fc", .out = 1, .bias = true, .init_std = 0.1f});
}

static const vkg_optimizer_desc adam = {.lr = 2e-3f, .beta1 = -1, .beta2 = 0.9f};

static vkg_gan_desc gan_of(uint32_t channels)
{
    return (vkg_gan_desc){.generator = generator, .discriminator = discriminator, .optimizer_g = adam, .optimizer_d = adam,
                          .settings = {.image = {HEIGHT, WIDTH, channels}, .latent = LATENT, .width = 1}};
}

static vkg_trainer *make_trainer(const vkg_gan_desc *gan, uint32_t batch)
{
    vkg_phase phases[VKG_GAN_MAX_PHASES];
    vkg_trainer *trainer;
    const uint32_t *image = gan->settings.image, count = vkg_gan_phases(gan, phases);
    const vkg_trainer_desc desc = {.phases = phases, .phase_count = count, .batch = batch,
                                   .image = {image[0], image[1], image[2]}, .latent = LATENT, .seed = 11};
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_OK);
    return trainer;
}

/* One step on images of stripes. */
static void run_step(vkg_trainer *trainer, vkg_trainer_report *report)
{
    static float images[MOST_BATCH * HEIGHT * WIDTH * MOST_CHANNELS];
    const uint64_t step = vkg_trainer_get_step(trainer);
    for (uint32_t i = 0; i < sizeof images / sizeof *images; i++)
        images[i] = sinf((float)i * 0.7f + (float)step);
    const vkg_batch batches[] = {{.images = images}, {.images = images}, {.images = images}, {.images = images}};
    assert_true(vkg_trainer_batches(trainer) <= 4);
    assert_int_equal(vkg_trainer_step(trainer, batches, NULL), VKG_OK);
    assert_int_equal(vkg_trainer_finish(trainer, report), VKG_OK);
}

static void all_is_finite(const vkg_trainer_report *report)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (!isfinite(report->values[i]))
            fail_msg("%s is %g", report->names[i], (double)report->values[i]);
}

/* --- augmentation --- */

static void ada_follows_the_discriminator(void **unused)
{
    (void)unused;
    vkg_gan_desc gan = gan_of(3);
    gan.loss = VKG_LOSS_HINGE;
    gan.augment = (vkg_augment_desc){.kind = VKG_AUGMENT_ADA, .ada = {.target = 0.3f, .every = 2, .images = 200}};
    gan.regularizers = (vkg_regularizers){.r1 = 0.1f, .consistency = 1, .consistency_fake = 1};
    vkg_trainer *trainer = make_trainer(&gan, 8);
    vkg_trainer_report report;
    double p = 0, signs = 0;
    bool rose = false;
    for (uint32_t step = 0; step < 20; step++) {
        run_step(trainer, &report);
        all_is_finite(&report);
        signs += (double)test_reported(&report, "sign_real");
        if (step % 2 == 1) {
            p = fmin(fmax(p + (signs / 2 > 0.3 ? 1 : signs / 2 < 0.3 ? -1 : 0) * 2 * 8 / 200.0, 0), 1);
            signs = 0;
        }
        if (!(fabs((double)test_reported(&report, "augment_p") - p) < 1e-5))
            fail_msg("step %u: p is %g, expected %g", step + 1, (double)test_reported(&report, "augment_p"), p);
        rose |= p > 0;
    }
    assert_true(rose);
    assert_true(test_reported(&report, "r1") > 0 && test_reported(&report, "consistency") > 0);
    assert_true(test_reported(&report, "consistency_fake") > 0);
    vkg_trainer_destroy(&trainer);
}

static void one_grey_image_is_a_batch(void **unused)
{
    (void)unused;
    vkg_gan_desc gan = gan_of(1);
    gan.loss = VKG_LOSS_RELATIVISTIC;
    gan.augment.kind = VKG_AUGMENT_DIFF;
    gan.regularizers = (vkg_regularizers){.r1 = 1, .r2 = 1, .path_length = 1};
    gan.history = 2;
    vkg_trainer *trainer = make_trainer(&gan, 1);
    vkg_trainer_report report;
    for (uint32_t step = 0; step < 5; step++) {
        run_step(trainer, &report);
        all_is_finite(&report);
    }
    vkg_trainer_destroy(&trainer);
}

static void an_unchanged_discriminator_sees_no_augmentation(void **unused)
{
    (void)unused;
    vkg_gan_desc plain = gan_of(2), never = plain;
    never.augment = (vkg_augment_desc){.kind = VKG_AUGMENT_ADA, .ada = {.target = 1}}; /* p stays 0 */
    vkg_trainer *a = make_trainer(&plain, 4), *b = make_trainer(&never, 4);
    vkg_trainer_report left, right;
    run_step(a, &left), run_step(b, &right);
    assert_true(fabsf(test_reported(&left, "d_real") - test_reported(&right, "d_real")) < 1e-5f);
    assert_true(test_reported(&right, "augment_p") == 0);
    vkg_trainer_destroy(&a), vkg_trainer_destroy(&b);
}

/* --- lazily --- */

static bool is_there(const vkg_trainer_report *report, const char *name)
{
    return !isnan(test_reported(report, name));
}

static void regularisers_run_when_they_are_due(void **unused)
{
    (void)unused;
    vkg_gan_desc gan = gan_of(1);
    gan.loss = VKG_LOSS_WASSERSTEIN;
    gan.discriminator_times = 2;
    gan.regularizers = (vkg_regularizers){.gradient_penalty = 10, .consistency = 1, .every = 2,
                                          .path_length = 2, .path_every = 3};
    vkg_trainer *trainer = make_trainer(&gan, 4);
    vkg_trainer_report report;
    for (uint32_t step = 0; step < 7; step++) {
        assert_int_equal(vkg_trainer_batches(trainer), 2); /* lazy phases take none of their own */
        run_step(trainer, &report);
        assert_true(is_there(&report, "loss_d") && is_there(&report, "loss_g"));
        assert_int_equal(is_there(&report, "gradient_penalty"), step % 2 == 0);
        assert_int_equal(is_there(&report, "consistency"), step % 2 == 0);
        assert_int_equal(is_there(&report, "path_penalty"), step % 3 == 0);
    }
    vkg_trainer_destroy(&trainer);
}

static void batches_accumulate(void **unused)
{
    (void)unused;
    vkg_gan_desc gan = gan_of(1);
    gan.loss = VKG_LOSS_RELATIVISTIC;
    gan.accumulate = 2;
    vkg_trainer *trainer = make_trainer(&gan, 3);
    vkg_trainer_report report;
    assert_int_equal(vkg_trainer_batches(trainer), 4); /* the generator's pairs are of batches of their own */
    for (uint32_t step = 0; step < 3; step++) {
        run_step(trainer, &report);
        all_is_finite(&report);
    }
    vkg_trainer_destroy(&trainer);
}

/* --- balance --- */

static void read_weight(vkg_trainer *trainer, const char *name, float *weight, uint32_t count)
{
    vkg_state *state = vkg_trainer_state(trainer);
    uint32_t i = vkg_state_find(state, name);
    assert_int_equal(vkg_state_get(state, i)->elements, count);
    assert_int_equal(vkg_state_read(state, i, weight), VKG_OK);
}

/* Two sides that learn fast, so that the lead changes hands. */
static void who_is_ahead_pauses(void **unused)
{
    (void)unused;
    enum { D = 72, G = 36 };
    vkg_gan_desc gan = gan_of(1);
    gan.optimizer_d.lr = gan.optimizer_g.lr = 0.02f;
    gan.balance = (vkg_balance){.most = 0.8f, .least = 0.77f, .memory = 4};
    gan.regularizers = (vkg_regularizers){.r1 = 0.01f, .every = 2};
    vkg_trainer *trainer = make_trainer(&gan, 8);
    vkg_trainer_report report;
    float d[2][D], g[2][G];
    uint32_t paused_d = 0, paused_g = 0;
    read_weight(trainer, "discriminator.conv.weight", d[1], D), read_weight(trainer, "generator.conv.weight", g[1], G);
    for (uint32_t step = 0; step < 30; step++) {
        memcpy(d[0], d[1], sizeof d[0]), memcpy(g[0], g[1], sizeof g[0]);
        run_step(trainer, &report);
        read_weight(trainer, "discriminator.conv.weight", d[1], D), read_weight(trainer, "generator.conv.weight", g[1], G);
        const float lead = test_reported(&report, "lead");
        assert_true(lead >= 0 && lead <= 1);
        assert_true(test_reported(&report, "paused_d") == (lead > 0.8f ? 1 : 0));
        assert_true(test_reported(&report, "paused_g") == (lead < 0.77f ? 1 : 0));
        assert_int_equal(memcmp(d[0], d[1], sizeof d[0]) == 0, lead > 0.8f);
        assert_int_equal(memcmp(g[0], g[1], sizeof g[0]) == 0, lead < 0.77f);
        paused_d += lead > 0.8f, paused_g += lead < 0.77f;
    }
    printf("of 30 updates the discriminator left out %u, the generator %u\n", paused_d, paused_g);
    assert_true(paused_d > 0 && paused_d < 30 && paused_g > 0 && paused_g < 30);
    vkg_trainer_destroy(&trainer);
}

/* --- resuming --- */

static vkg_gan_desc everything(void)
{
    vkg_gan_desc gan = gan_of(1);
    gan.augment = (vkg_augment_desc){.kind = VKG_AUGMENT_ADA, .ada = {.target = 0.1f, .every = 2, .images = 100}};
    gan.regularizers = (vkg_regularizers){.r1 = 1, .every = 2, .path_length = 1, .path_every = 4};
    gan.balance = (vkg_balance){.most = 0.9f, .least = 0.6f};
    gan.history = 6;
    return gan;
}

static void train(vkg_trainer *trainer, uint32_t steps)
{
    vkg_trainer_report report;
    for (uint32_t i = 0; i < steps; i++)
        run_step(trainer, &report);
}

static void resuming_changes_no_bit(void **unused)
{
    (void)unused;
    char path[] = "/tmp/vkgan-gan-XXXXXX";
    int handle = mkstemp(path);
    assert_true(handle >= 0);
    close(handle);
    const vkg_gan_desc gan = everything();
    vkg_trainer *whole = make_trainer(&gan, 4), *before = make_trainer(&gan, 4), *after = make_trainer(&gan, 4);
    uint64_t step;
    train(whole, 9), train(before, 5), train(after, 1);
    assert_int_equal(vkg_state_save(vkg_trainer_state(before), path, 5), VKG_OK);
    assert_int_equal(vkg_state_load(vkg_trainer_state(after), path, NULL, &step), VKG_OK);
    vkg_trainer_set_step(after, step);
    train(after, 4);
    assert_true(test_same_state(vkg_trainer_state(whole), vkg_trainer_state(after)));
    float p, lead;
    read_weight(after, "augment.p", &p, 1), read_weight(after, "balance", &lead, 1);
    assert_true(p > 0 && lead != 0.75f); /* there was something to remember */
    vkg_trainer_destroy(&whole), vkg_trainer_destroy(&before), vkg_trainer_destroy(&after);
    unlink(path);
}

/* √Σ of the squares of how far a network's weights are from `before`, which takes over what they are. */
static double distance_from(vkg_trainer *trainer, const char *prefix, float before[4096])
{
    vkg_state *state = vkg_trainer_state(trainer);
    double sum = 0;
    uint64_t place = 0;
    for (uint32_t i = 0; i < vkg_state_count(state); i++) {
        const vkg_state_entry *entry = vkg_state_get(state, i);
        float now[2048];
        if (!entry->trained || strncmp(entry->name, prefix, strlen(prefix)) != 0)
            continue;
        assert_true(entry->elements <= 2048 && place + entry->elements <= 4096);
        assert_int_equal(vkg_state_read(state, i, now), VKG_OK);
        for (uint64_t e = 0; e < entry->elements; e++, place++) {
            sum += pow((double)now[e] - (double)before[place], 2);
            before[place] = now[e];
        }
    }
    return sqrt(sum);
}

/* Plain descent moves weights by the learning rate times the gradient: so long is the gradient that was reported, with a scaled
 * loss too. */
static void norms_of_gradients_are_reported(void **unused)
{
    (void)unused;
    for (int scaled = 0; scaled < 2; scaled++) {
        vkg_gan_desc gan = gan_of(1);
        gan.optimizer_g = gan.optimizer_d = (vkg_optimizer_desc){.kind = VKG_OPTIMIZER_SGD, .lr = 0.25f};
        vkg_phase phases[VKG_GAN_MAX_PHASES];
        vkg_trainer *trainer;
        vkg_trainer_report report;
        const vkg_trainer_desc desc = {.phases = phases, .phase_count = vkg_gan_phases(&gan, phases), .batch = 4,
                                       .image = {HEIGHT, WIDTH, 1}, .latent = LATENT, .seed = 11, .gradient_norms = true,
                                       .loss_scaling = {.enabled = scaled}};
        static float weights[2][4096];
        assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_OK);
        distance_from(trainer, "generator.", weights[0]);
        distance_from(trainer, "discriminator.", weights[1]);
        run_step(trainer, &report);
        const double moved_g = distance_from(trainer, "generator.", weights[0]);
        const double moved_d = distance_from(trainer, "discriminator.", weights[1]);
        assert_true(moved_g > 0 && fabs((double)test_reported(&report, "grad_generator") * 0.25 / moved_g - 1) < 1e-3);
        assert_true(moved_d > 0 && fabs((double)test_reported(&report, "grad_discriminator") * 0.25 / moved_d - 1) < 1e-3);
        for (uint32_t i = 0; i < report.count; i++) { /* who reported it */
            const bool of_g = strcmp(report.names[i], "loss_g") == 0 || strcmp(report.names[i], "grad_generator") == 0;
            const bool of_trainer = strcmp(report.names[i], "loss_scale") == 0 || strcmp(report.names[i], "skipped_updates") == 0;
            assert_string_equal(report.phases[i], of_trainer ? "" : of_g ? "generator" : "discriminator");
        }
        vkg_trainer_destroy(&trainer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ada_follows_the_discriminator),
                                       cmocka_unit_test(one_grey_image_is_a_batch),
                                       cmocka_unit_test(an_unchanged_discriminator_sees_no_augmentation),
                                       cmocka_unit_test(regularisers_run_when_they_are_due),
                                       cmocka_unit_test(batches_accumulate), cmocka_unit_test(who_is_ahead_pauses),
                                       cmocka_unit_test(norms_of_gradients_are_reported),
                                       cmocka_unit_test(resuming_changes_no_bit)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
