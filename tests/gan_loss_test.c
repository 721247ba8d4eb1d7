/* Losses and regularisers: tiny trainings follow PyTorch's, step by step. tests/reference/gan_loss.py says what they
 * are, and computes what is expected. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"

enum { STEPS = 20, BATCH = 8, HEIGHT = 5, WIDTH = 4, LATENT = 6, CARRIED = 5, MAX_VALUES = 4 };

/* --- the networks --- */

static vkg_tensor *fc(vkg_graph *g, const char *name, uint32_t out, vkg_tensor *x)
{
    return vkg_linear(g, x, &(vkg_linear_desc){.name = name, .out = out, .bias = true});
}

/* user: latents that take the place of the fresh ones. */
static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    if (s->user)
        z = vkg_data(g, VKG_SHAPE(BATCH, LATENT), VKG_FLOAT32, s->user);
    vkg_tensor *w = vkg_silu(g, fc(g, "map", 8, z));
    if (s->styles)
        *s->styles = w;
    vkg_tensor *x = vkg_tanh(g, fc(g, "fc1", HEIGHT * WIDTH * 2, vkg_silu(g, fc(g, "fc0", 16, w))));
    return vkg_reshape(g, x, VKG_SHAPE(BATCH, HEIGHT, WIDTH, 2));
}

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    (void)s;
    x = vkg_reshape(g, x, VKG_SHAPE(BATCH, HEIGHT * WIDTH * 2));
    return fc(g, "fc1", 1, vkg_silu(g, fc(g, "fc0", 16, x)));
}

/* As the library calls them. */
static vkg_tensor *generate(vkg_graph *g, vkg_tensor *z, vkg_tensor **styles)
{
    vkg_graph_enter(g, "generator");
    vkg_tensor *images = generator(g, z, &(vkg_network_settings){.styles = styles});
    vkg_graph_leave(g);
    return images;
}

static vkg_tensor *judge(vkg_graph *g, vkg_tensor *x)
{
    vkg_graph_enter(g, "discriminator");
    vkg_tensor *logits = discriminator(g, x, NULL);
    vkg_graph_leave(g);
    return logits;
}

/* --- trainings whose batches bring their noise with them --- */

struct batch {
    vkg_tensor *real, *noise, *z, *more_z, *epsilon;
};

static vkg_tensor *columns(vkg_graph *g, vkg_tensor *rest, uint32_t first, uint32_t count)
{
    return vkg_slice(g, rest, 1, first, count, 1);
}

static struct batch unpack(vkg_graph *g, vkg_tensor *carried)
{
    vkg_tensor *rest = vkg_reshape(g, vkg_slice(g, carried, 3, 4, 1, 1), VKG_SHAPE(BATCH, HEIGHT * WIDTH));
    return (struct batch){.real = vkg_slice(g, carried, 3, 0, 2, 1), .noise = vkg_slice(g, carried, 3, 2, 2, 1),
                          .z = columns(g, rest, 0, LATENT), .more_z = columns(g, rest, LATENT, LATENT),
                          .epsilon = columns(g, rest, HEIGHT * WIDTH - 1, 1)};
}

/* What is added to one of the two losses; with fake NULL to the generator's. */
typedef vkg_tensor *(*penalty)(vkg_graph *g, const struct batch *b, vkg_tensor *fake);

static vkg_tensor *gradient_penalty(vkg_graph *g, const struct batch *b, vkg_tensor *fake)
{
    vkg_tensor *between = vkg_between(g, b->real, fake, b->epsilon);
    return vkg_gradient_penalty(g, judge(g, between), between, 1, false);
}

static vkg_tensor *one_sided(vkg_graph *g, const struct batch *b, vkg_tensor *fake)
{
    vkg_tensor *between = vkg_between(g, b->real, fake, b->epsilon);
    return vkg_gradient_penalty(g, judge(g, between), between, 1, true);
}

static vkg_tensor *dragan(vkg_graph *g, const struct batch *b, vkg_tensor *fake)
{
    (void)fake;
    vkg_tensor *around = vkg_around(g, b->real, 0, b->epsilon, b->noise);
    return vkg_gradient_penalty(g, judge(g, around), around, 1, false);
}

static vkg_tensor *consistency(vkg_graph *g, const struct batch *b, vkg_tensor *fake)
{
    (void)fake;
    vkg_tensor *changed = vkg_add(g, b->real, vkg_affine(g, b->noise, 0.1f, 0));
    return vkg_consistency_penalty(g, judge(g, b->real), judge(g, changed));
}

static vkg_tensor *path_length(vkg_graph *g, const struct batch *b, vkg_tensor *fake)
{
    (void)fake;
    vkg_tensor *w, *images = generate(g, b->more_z, &w);
    return vkg_path_length_penalty(g, images, w, &(vkg_path_length_desc){.name = "buffer.path_mean", .noise = b->noise},
                                   NULL);
}

struct carried {
    vkg_loss loss;
    penalty d, g;
    float weight;
};

static vkg_tensor *with_penalty(vkg_step *step, vkg_tensor *loss, vkg_tensor *value, float weight)
{
    vkg_graph *g = vkg_step_graph(step);
    vkg_step_report(step, "penalty", value);
    return vkg_add(g, loss, vkg_affine(g, value, weight, 0));
}

static vkg_tensor *carried_d(vkg_step *step, void *user)
{
    const struct carried *c = user;
    vkg_graph *g = vkg_step_graph(step);
    *vkg_step_shared(step) = vkg_step_real(step);
    struct batch b = unpack(g, vkg_step_real(step));
    vkg_tensor *w, *fake = vkg_detach(g, generate(g, b.z, &w));
    vkg_tensor *loss = vkg_discriminator_loss(g, c->loss, judge(g, b.real), judge(g, fake));
    vkg_step_report(step, "loss_d", loss);
    return c->d ? with_penalty(step, loss, c->d(g, &b, fake), c->weight) : loss;
}

static vkg_tensor *carried_g(vkg_step *step, void *user)
{
    const struct carried *c = user;
    vkg_graph *g = vkg_step_graph(step);
    struct batch b = unpack(g, *vkg_step_shared(step));
    vkg_tensor *w, *loss = vkg_generator_loss(g, c->loss, judge(g, generate(g, b.z, &w)), judge(g, b.real));
    vkg_step_report(step, "loss_g", loss);
    return c->g ? with_penalty(step, loss, c->g(g, &b, NULL), c->weight) : loss;
}

/* --- following --- */

static float *read_whole(const char *name)
{
    vkg_safetensors *file;
    assert_int_equal(vkg_safetensors_open(test_log(), VKGAN_TEST_DATA "/gan_loss.safetensors", &file), VKG_OK);
    uint32_t index = vkg_safetensors_find(file, name);
    if (index == UINT32_MAX)
        fail_msg("the reference has no \"%s\"", name);
    const vkg_safetensors_entry *entry = vkg_safetensors_get(file, index);
    float *data = malloc(entry->size);
    assert_int_equal(vkg_safetensors_read(file, index, data, entry->size), VKG_OK);
    vkg_safetensors_close(&file);
    return data;
}

static const vkg_optimizer_desc adam = {.lr = 5e-3f, .beta1 = -1, .beta2 = 0.9f};

static vkg_trainer *make_trainer(const vkg_phase *phases, uint32_t count, uint32_t channels)
{
    vkg_trainer *trainer;
    const vkg_trainer_desc desc = {.phases = phases, .phase_count = count, .batch = BATCH,
                                   .image = {HEIGHT, WIDTH, channels}, .latent = LATENT, .seed = 5};
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_OK);
    for (int network = 0; network < 2; network++)
        assert_int_equal(vkg_state_load(vkg_trainer_state(trainer), VKGAN_TEST_DATA "/gan_loss.safetensors",
                                        network ? "generator." : "discriminator.", NULL), VKG_OK);
    return trainer;
}

/* Step `step` of the reference's batches, with their first channels only; *report: what it reported. */
static void run_step(vkg_trainer *trainer, const float *batches, uint32_t step, uint32_t channels,
                     vkg_trainer_report *report)
{
    float batch[BATCH * HEIGHT * WIDTH * CARRIED];
    const uint32_t pixels = BATCH * HEIGHT * WIDTH;
    for (uint32_t i = 0; i < pixels; i++)
        memcpy(batch + i * channels, batches + (step * pixels + i) * CARRIED, channels * sizeof *batch);
    const vkg_batch reals[] = {{.images = batch}, {.images = batch}};
    assert_int_equal(vkg_trainer_step(trainer, reals, NULL), VKG_OK);
    assert_int_equal(vkg_trainer_finish(trainer, report), VKG_OK);
}

/* `values`: the reports that the columns of "losses/<name>" are compared with. */
static void follow(vkg_trainer *trainer, const char *name, uint32_t channels, const char *const *values)
{
    char full_name[64];
    snprintf(full_name, sizeof full_name, "losses/%s", name);
    float *expected = read_whole(full_name), *batches = read_whole("batches");
    uint32_t count = 0;
    double size[MAX_VALUES] = {0}, worst = 0;
    while (count < MAX_VALUES && values[count])
        count++;
    for (uint32_t i = 0; i < STEPS * count; i++)
        size[i % count] += isnan(expected[i]) ? 0 : fabs((double)expected[i]) / STEPS;
    for (uint32_t step = 0; step < STEPS; step++) {
        vkg_trainer_report report;
        run_step(trainer, batches, step, channels, &report);
        for (uint32_t i = 0; i < count; i++) {
            double wanted = (double)expected[step * count + i], found = (double)test_reported(&report, values[i]);
            if (isnan(wanted) && isnan(found)) /* not of this step */
                continue;
            double error = fabs(found - wanted) / fmax(fabs(wanted), size[i]);
            worst = fmax(worst, error);
            if (!(error < 1e-4))
                fail_msg("%s, step %u, %s: %g, PyTorch has %g", name, step + 1, values[i], found, wanted);
        }
    }
    printf("%s: off by %.1e at most\n", name, worst);
    vkg_trainer_destroy(&trainer);
    free(expected), free(batches);
}

static void phases_follow(const char *name, vkg_loss loss, vkg_regularizers regularizers, const char *const *values)
{
    float *latents = read_whole("latents");
    const vkg_gan_desc gan = {.generator = generator, .discriminator = discriminator, .loss = loss,
                              .settings = {.image = {HEIGHT, WIDTH, 2}, .latent = LATENT, .width = 1, .user = latents},
                              .optimizer_g = adam, .optimizer_d = adam, .regularizers = regularizers};
    vkg_phase phases[VKG_GAN_MAX_PHASES];
    uint32_t count = vkg_gan_phases(&gan, phases);
    follow(make_trainer(phases, count, 2), name, 2, values);
    free(latents);
}

static void losses_follow(void **unused)
{
    (void)unused;
    for (int loss = 0; loss < VKG_LOSS_COUNT; loss++)
        phases_follow(vkg_loss_name((vkg_loss)loss), (vkg_loss)loss, (vkg_regularizers){0},
                      (const char *[]){"loss_d", "loss_g", NULL});
}

static void r1_and_r2_follow(void **unused)
{
    (void)unused;
    phases_follow("r3gan", VKG_LOSS_RELATIVISTIC, (vkg_regularizers){.r1 = 2, .r2 = 3},
                  (const char *[]){"loss_d", "loss_g", "r1", "r2"});
}

static void lazy_regularisers_follow(void **unused)
{
    (void)unused;
    phases_follow("lazy", VKG_LOSS_RELATIVISTIC, (vkg_regularizers){.r1 = 2, .r2 = 3, .every = 4},
                  (const char *[]){"loss_d", "loss_g", "r1", "r2"});
}

static void regularisers_follow(void **unused)
{
    (void)unused;
    const struct {
        const char *name;
        struct carried carried;
    } rows[] = {{"gradient_penalty", {VKG_LOSS_WASSERSTEIN, .d = gradient_penalty, .weight = 10}},
                {"one_sided", {VKG_LOSS_WASSERSTEIN, .d = one_sided, .weight = 10}},
                {"dragan", {VKG_LOSS_NON_SATURATING, .d = dragan, .weight = 10}},
                {"consistency", {VKG_LOSS_HINGE, .d = consistency, .weight = 10}},
                {"path_length", {VKG_LOSS_NON_SATURATING, .g = path_length, .weight = 2}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        void *user = (void *)&rows[i].carried;
        const vkg_phase phases[] = {
            {.name = "d", .loss = carried_d, .user = user, .trains = "discriminator.", .optimizer = adam},
            {.name = "g", .loss = carried_g, .user = user, .trains = "generator.", .optimizer = adam}};
        follow(make_trainer(phases, 2, CARRIED), rows[i].name, CARRIED,
               (const char *[]){"loss_d", "loss_g", "penalty", NULL});
    }
}

/* --- vkg_gan_phases' fields are the functions --- */

static vkg_tensor *by_hand_d(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *w, *real = vkg_step_real(step), *fake = generate(g, vkg_step_latents(step), &w);
    *vkg_step_shared(step) = fake;
    fake = vkg_detach(g, fake);
    vkg_tensor *loss = vkg_discriminator_loss(g, VKG_LOSS_HINGE, judge(g, real), judge(g, fake));
    vkg_step_report(step, "loss_d", loss);
    vkg_tensor *at = vkg_between(g, real, fake, NULL);
    loss = vkg_add(g, loss, vkg_affine(g, vkg_gradient_penalty(g, judge(g, at), at, 1, true), 3, 0));
    at = vkg_around(g, real, 0, NULL, NULL);
    return vkg_add(g, loss, vkg_affine(g, vkg_gradient_penalty(g, judge(g, at), at, 1, true), 5, 0));
}

static vkg_tensor *by_hand_g(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *loss = vkg_generator_loss(g, VKG_LOSS_HINGE, judge(g, *vkg_step_shared(step)), NULL), *w;
    vkg_step_report(step, "loss_g", loss);
    vkg_tensor *images = generate(g, vkg_step_latents(step), &w);
    const vkg_path_length_desc desc = {.name = "path_length.mean"};
    return vkg_add(g, loss, vkg_affine(g, vkg_path_length_penalty(g, images, w, &desc, NULL), 2, 0));
}

static void fields_are_the_functions(void **unused)
{
    (void)unused;
    const vkg_gan_desc gan = {.generator = generator, .discriminator = discriminator, .loss = VKG_LOSS_HINGE,
                              .settings = {.image = {HEIGHT, WIDTH, 2}, .latent = LATENT, .width = 1},
                              .optimizer_g = adam, .optimizer_d = adam,
                              .regularizers = {.gradient_penalty = 3, .dragan = 5, .one_sided = true, .path_length = 2}};
    vkg_phase phases[VKG_GAN_MAX_PHASES];
    uint32_t count = vkg_gan_phases(&gan, phases);
    const vkg_phase by_hand[] = {
        {.name = "discriminator", .loss = by_hand_d, .trains = "discriminator.", .optimizer = adam},
        {.name = "generator", .loss = by_hand_g, .trains = "generator.", .optimizer = adam}};
    vkg_trainer *fields = make_trainer(phases, count, 2), *functions = make_trainer(by_hand, 2, 2);
    float *batches = read_whole("batches");
    vkg_trainer_report a, b;
    for (uint32_t step = 0; step < 3; step++) {
        run_step(fields, batches, step, 2, &a), run_step(functions, batches, step, 2, &b);
        assert_true(fabsf(test_reported(&a, "loss_d") - test_reported(&b, "loss_d")) < 1e-5f);
        assert_true(fabsf(test_reported(&a, "loss_g") - test_reported(&b, "loss_g")) < 1e-5f);
    }
    assert_true(test_reported(&a, "gradient_penalty") > 0 && test_reported(&a, "dragan") > 0);
    assert_true(test_reported(&a, "path_penalty") > 0 && test_reported(&a, "path_length") > 0);
    test_reported(&a, "score_real"), test_reported(&a, "score_fake");
    vkg_trainer_destroy(&fields), vkg_trainer_destroy(&functions);
    free(batches);
}

/* A batch that overflows is forgotten. */
static void one_infinite_length_is_no_mean(void **unused)
{
    (void)unused;
    vkg_graph *g;
    vkg_state *state;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(2, 4)), *scale = vkg_input(g, "scale", VKG_SHAPE(1));
    vkg_tensor *images = vkg_reshape(g, vkg_mul(g, x, scale), VKG_SHAPE(2, 2, 2, 1));
    const vkg_path_length_desc desc = {.name = "mean", .noise = vkg_constant(g, 1, VKG_SHAPE(2, 2, 2, 1))};
    vkg_output(g, "penalty", vkg_path_length_penalty(g, images, x, &desc, NULL));
    assert_int_equal(vkg_state_create(test_device(), &g, 1, 0, &state), VKG_OK);
    assert_int_equal(vkg_program_create(test_device(), g, state, NULL, &program), VKG_OK);
    const float scales[] = {1, INFINITY, NAN, 1};
    float means[4];
    for (int i = 0; i < 4; i++) {
        *(float *)vkg_program_input(program, scale, 0) = scales[i];
        assert_int_equal(vkg_program_run(program), VKG_OK);
        assert_int_equal(vkg_state_read(state, vkg_state_find(state, "mean"), &means[i]), VKG_OK);
    }
    assert_float_equal(means[0], 0.01, 1e-6); /* a length of 1, of which a hundredth counts */
    assert_float_equal(means[1], 0.01, 1e-6);
    assert_float_equal(means[2], 0.01, 1e-6);
    assert_float_equal(means[3], 0.0199, 1e-6);
    vkg_program_destroy(&program);
    vkg_state_destroy(&state);
    vkg_graph_destroy(&g);
}

/* --- who is ahead --- */

static void the_lead_follows_its_formula(void **unused)
{
    (void)unused;
    vkg_graph *g;
    vkg_state *state;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *real = vkg_input(g, "real", VKG_SHAPE(6, 1)), *fake = vkg_input(g, "fake", VKG_SHAPE(6, 1));
    vkg_tensor *lead = vkg_affine(g, vkg_balance_observe(g, "balance", real, fake, 5), 1, 0);
    vkg_output(g, "lead", lead);
    assert_int_equal(vkg_state_create(test_device(), &g, 1, 1, &state), VKG_OK);
    assert_int_equal(vkg_program_create(test_device(), g, state, NULL, &program), VKG_OK);
    double expected = 0.75;
    for (uint32_t step = 0; step < 10; step++) {
        float *x = vkg_program_input(program, real, 0), *y = vkg_program_input(program, fake, 0);
        double share = 0;
        for (int i = 0; i < 6; i++) {
            x[i] = test_random_float(), y[i] = i == 0 ? x[i] : test_random_float();
            share += x[i] > y[i] ? 1 : x[i] < y[i] ? 0 : 0.5;
        }
        expected += (share / 6 - expected) / 5;
        assert_int_equal(vkg_program_run(program), VKG_OK);
        assert_true(fabs((double)*(const float *)vkg_program_output(program, lead, 0) - expected) < 1e-5);
    }
    vkg_program_destroy(&program);
    vkg_state_destroy(&state);
    vkg_graph_destroy(&g);
}

/* --- names and errors --- */

static void losses_have_names(void **unused)
{
    (void)unused;
    for (int i = 0; i < VKG_LOSS_COUNT; i++) {
        vkg_loss loss = VKG_LOSS_COUNT;
        assert_true(vkg_loss_by_name(vkg_loss_name((vkg_loss)i), &loss));
        assert_int_equal(loss, i);
    }
    vkg_loss loss = VKG_LOSS_HINGE;
    assert_false(vkg_loss_by_name("hing", &loss));
    assert_int_equal(loss, VKG_LOSS_HINGE);
    assert_null(vkg_loss_name(VKG_LOSS_COUNT));
}

typedef void (*mistake)(vkg_graph *g, vkg_tensor *eight, vkg_tensor *four);

static void no_pairs(vkg_graph *g, vkg_tensor *eight, vkg_tensor *four)
{
    vkg_discriminator_loss(g, VKG_LOSS_RELATIVISTIC, eight, four);
}

static void no_reals(vkg_graph *g, vkg_tensor *eight, vkg_tensor *four)
{
    (void)four;
    vkg_generator_loss(g, VKG_LOSS_RELATIVISTIC, eight, NULL);
}

static void no_such_loss(vkg_graph *g, vkg_tensor *eight, vkg_tensor *four)
{
    vkg_discriminator_loss(g, VKG_LOSS_COUNT, eight, four);
}

static void no_line(vkg_graph *g, vkg_tensor *eight, vkg_tensor *four)
{
    vkg_between(g, eight, four, NULL);
}

static void no_epsilon(vkg_graph *g, vkg_tensor *eight, vkg_tensor *four)
{
    vkg_around(g, eight, 0, four, NULL);
}

static void no_image(vkg_graph *g, vkg_tensor *eight, vkg_tensor *four)
{
    (void)four;
    vkg_path_length_penalty(g, eight, eight, &(vkg_path_length_desc){.name = "mean"}, NULL);
}

static void mistakes_are_named(void **unused)
{
    (void)unused;
    const struct {
        mistake make;
        const char *message;
    } rows[] = {{no_pairs, "relativistic loss: logits [8,1] of real and [4,1] of generated samples are no pairs"},
                {no_reals, "needs the logits of real samples"},
                {no_such_loss, "there is no loss of number 6, expected 0 to 5"},
                {no_line, "between: real samples [8,1] and generated ones [4,1] must have one shape"},
                {no_epsilon, "around: epsilon [4,1] must hold one number for each sample of [8,1]"},
                {no_image, "path_length_penalty: images [8,1] must be [N,H,W,C]"}};
    test_expect_errors(true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vkg_graph *g;
        assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
        rows[i].make(g, vkg_input(g, "eight", VKG_SHAPE(8, 1)), vkg_input(g, "four", VKG_SHAPE(4, 1)));
        assert_non_null(vkg_graph_error(g));
        if (!strstr(vkg_graph_error(g), rows[i].message))
            fail_msg("\"%s\" does not say \"%s\"", vkg_graph_error(g), rows[i].message);
        vkg_graph_destroy(&g);
    }
    test_expect_errors(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_have_names), cmocka_unit_test(mistakes_are_named), cmocka_unit_test(losses_follow),
        cmocka_unit_test(r1_and_r2_follow), cmocka_unit_test(lazy_regularisers_follow),
        cmocka_unit_test(regularisers_follow),
        cmocka_unit_test(one_infinite_length_is_no_mean), cmocka_unit_test(fields_are_the_functions), cmocka_unit_test(the_lead_follows_its_formula)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
