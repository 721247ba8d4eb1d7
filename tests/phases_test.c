/* What the list of phases can say: when phases run, what they train, whose optimiser they use, and what is averaged. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "on_device.h"

static vkg_trainer *make_trainer(const vkg_trainer_desc *desc)
{
    vkg_trainer *trainer;
    assert_int_equal(vkg_trainer_create(test_device(), desc, &trainer), VKG_OK);
    return trainer;
}

/* --- one parameter, far from its aim: Adam moves it by lr at every update, so that updates can be counted --- */

static vkg_tensor *counting_loss(vkg_step *step, void *name)
{
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *w = vkg_parameter(g, name, VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    return vkg_sum(g, vkg_square(g, vkg_affine(g, w, 1, -1000)), VKG_ALL_AXES, false);
}

static char name_a[] = "a", name_b[] = "b", name_c[] = "c";

static vkg_phase counting(char *name)
{
    return (vkg_phase){.name = name, .loss = counting_loss, .user = name, .trains = name, .optimizer = {.lr = 1}};
}

static vkg_trainer *count_with(const vkg_phase *phases, uint32_t count)
{
    return make_trainer(&(vkg_trainer_desc){.phases = phases, .phase_count = count, .batch = 1, .image = {1, 1, 1}});
}

static void take_steps(vkg_trainer *trainer, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        assert_int_equal(vkg_trainer_step(trainer, NULL, NULL), VKG_OK);
    assert_int_equal(vkg_trainer_finish(trainer, NULL), VKG_OK);
}

static float state_value(vkg_trainer *trainer, const char *name)
{
    float value[4];
    vkg_state *state = vkg_trainer_state(trainer);
    const uint32_t index = vkg_state_find(state, name);
    if (index == UINT32_MAX)
        fail_msg("the state has no \"%s\"", name);
    assert_true(vkg_state_get(state, index)->elements <= 4);
    assert_int_equal(vkg_state_read(state, index, value), VKG_OK);
    return value[0];
}

/* a warms up alone; then b and, at every third step, c. */
static void phases_begin_and_end(void **unused)
{
    (void)unused;
    vkg_phase phases[3] = {counting(name_a), counting(name_b), counting(name_c)};
    phases[0].until = 5;
    phases[1].from = 5;
    phases[2].from = 7, phases[2].until = 16, phases[2].every = 3;
    vkg_trainer *trainer = count_with(phases, 3);
    const uint32_t steps[] = {5, 2, 3, 7, 6};
    const double expected[][3] = {{5, 0, 0}, {5, 2, 0}, {5, 5, 1}, {5, 12, 3}, {5, 18, 3}}; /* c at 9, 12, 15 */
    for (int i = 0; i < 5; i++) {
        take_steps(trainer, steps[i]);
        assert_float_equal(state_value(trainer, "a"), expected[i][0], 0.1);
        assert_float_equal(state_value(trainer, "b"), expected[i][1], 0.3);
        assert_float_equal(state_value(trainer, "c"), expected[i][2], 0.1);
    }
    vkg_trainer_destroy(&trainer);
}

/* Both phases move one parameter by one optimiser, whose bias correction has seen all of their updates. */
static void phases_share_an_optimizer(void **unused)
{
    (void)unused;
    vkg_phase phases[2] = {counting(name_a), counting(name_a)};
    phases[1].name = "again", phases[1].shares = "a", phases[1].trains = NULL, phases[1].every = 4;
    vkg_trainer *trainer = count_with(phases, 2);
    take_steps(trainer, 6);
    assert_float_equal(state_value(trainer, "a"), 8, 0.2);
    assert_float_equal(state_value(trainer, "optimizer.a.corrections"), 1 - pow(0.5, 8), 1e-6);
    assert_int_equal(vkg_state_find(vkg_trainer_state(trainer), "optimizer.again.lr"), UINT32_MAX);
    vkg_trainer_destroy(&trainer);
    phases[1].lazy = true; /* of five updates four are the phase's own */
    trainer = count_with(phases, 2);
    take_steps(trainer, 6);
    assert_float_equal(state_value(trainer, "optimizer.a.lr"), 0.8, 1e-6);
    assert_float_equal(state_value(trainer, "a"), 8 * 0.8f, 0.2);
    assert_float_equal(state_value(trainer, "optimizer.a.corrections"), 1 - powf(powf(0.5f, 0.8f), 8), 1e-6);
    vkg_trainer_destroy(&trainer);
}

/* --- accumulation --- */

static vkg_tensor *wide_loss(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *x = vkg_reshape(g, vkg_step_real(step), VKG_SHAPE(256, 16));
    for (int layer = 0; layer < 5; layer++)
        x = vkg_tanh(g, vkg_linear(g, x, &(vkg_linear_desc){.name = &"w0\0w1\0w2\0w3\0w4"[3 * layer], .out = 128}));
    return vkg_mean(g, vkg_square(g, x), VKG_ALL_AXES, false);
}

/* What accumulation is for: of eight batches only the sum of their gradients takes memory. */
static void accumulation_needs_little_memory(void **unused)
{
    (void)unused;
    uint64_t bytes[2];
    for (int i = 0; i < 2; i++) {
        const vkg_phase phase = {.name = "w", .loss = wide_loss, .trains = "w", .accumulate = i ? 8 : 1};
        vkg_trainer *trainer = make_trainer(&(vkg_trainer_desc){
            .phases = &phase, .phase_count = 1, .batch = 256, .image = {1, 16, 1}});
        bytes[i] = vkg_trainer_get_stats(trainer).temporary_bytes;
        vkg_trainer_destroy(&trainer);
    }
    printf("temporary memory: %llu KiB for a batch, %llu for eight\n", (unsigned long long)bytes[0] >> 10,
           (unsigned long long)bytes[1] >> 10);
    assert_true(bytes[1] < 2 * bytes[0]);
}

/* --- gates --- */

static vkg_tensor *gated_loss(vkg_step *step, void *name)
{
    vkg_step_gate(step, vkg_reshape(vkg_step_graph(step), vkg_step_real(step), VKG_SCALAR));
    return counting_loss(step, name);
}

static void step_with_pixel(vkg_trainer *trainer, float pixel)
{
    assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = &pixel}, NULL), VKG_OK);
    assert_int_equal(vkg_trainer_finish(trainer, NULL), VKG_OK);
}

/* A gate that is shut leaves no trace: not in parameters, moments, corrections. */
static void a_gate_skips_updates(void **unused)
{
    (void)unused;
    const vkg_optimizer_desc optimizers[] = {
        {.lr = 1},
        {.kind = VKG_OPTIMIZER_RMSPROP, .lr = 0.5f, .momentum = 0.5f, .clip_norm = 100},
        {.kind = VKG_OPTIMIZER_SGD, .lr = 0.01f, .momentum = 0.5f, .loss_scaling = {.enabled = true}}};
    const float pixels[] = {1, 0, 0, -3, 0, 0.5f};
    for (int o = 0; o < 3; o++) {
        vkg_phase gated = counting(name_a), open = counting(name_a);
        gated.loss = gated_loss;
        gated.optimizer = open.optimizer = optimizers[o];
        vkg_trainer *a = count_with(&gated, 1), *b = count_with(&open, 1);
        for (uint32_t i = 0; i < sizeof pixels / sizeof *pixels; i++) {
            const float before = state_value(a, "a");
            step_with_pixel(a, pixels[i]);
            assert_int_equal(state_value(a, "a") != before, pixels[i] != 0);
        }
        take_steps(b, 3);
        assert_float_equal(state_value(a, "a"), state_value(b, "a"), 0);
        if (o == 0)
            assert_float_equal(state_value(a, "optimizer.a.corrections"), 1 - 0.125, 1e-6);
        vkg_trainer_destroy(&a), vkg_trainer_destroy(&b);
    }
}

/* --- two discriminators, a frozen network, an average: with every setting at once --- */

enum { BATCH = 4, PIXELS = 6, LATENT = 4 };

static const vkg_network_settings settings = {.image = {1, PIXELS, 1}, .latent = LATENT};

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    vkg_tensor *x = vkg_linear(g, z, &(vkg_linear_desc){.name = "fc", .out = PIXELS});
    x = vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = "norm", .evaluation = s->evaluation});
    return vkg_reshape(g, vkg_tanh(g, x), VKG_SHAPE(vkg_tensor_shape(z).dims[0], 1, PIXELS, 1));
}

static vkg_tensor *judge(vkg_graph *g, const char *scope, vkg_tensor *images)
{
    vkg_graph_enter(g, scope);
    vkg_tensor *x = vkg_reshape(g, images, VKG_SHAPE(BATCH, PIXELS));
    x = vkg_tanh(g, vkg_linear(g, x, &(vkg_linear_desc){.name = "fc0", .out = 8}));
    x = vkg_linear(g, x, &(vkg_linear_desc){.name = "fc1", .out = 1});
    vkg_graph_leave(g);
    return x;
}

static vkg_tensor *generate(vkg_step *step)
{
    vkg_graph *g = vkg_step_graph(step);
    vkg_graph_enter(g, "generator");
    vkg_tensor *images = generator(g, vkg_step_latents(step), &settings);
    vkg_graph_leave(g);
    return images;
}

static vkg_tensor *judge_loss(vkg_step *step, void *scope)
{
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *real = judge(g, scope, vkg_step_real(step)), *fake = judge(g, scope, vkg_detach(g, generate(step)));
    /* shut where the judge is far ahead */
    vkg_tensor *ahead = vkg_mean(g, vkg_sub(g, real, fake), VKG_ALL_AXES, false);
    vkg_step_gate(step, vkg_less(g, ahead, vkg_constant(g, 0.2f, VKG_SCALAR)));
    return vkg_discriminator_loss(g, VKG_LOSS_HINGE, real, fake);
}

static vkg_tensor *decay_loss(vkg_step *step, void *scope)
{
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *logits = judge(g, scope, vkg_step_real(step));
    return vkg_affine(g, vkg_mean(g, vkg_square(g, logits), VKG_ALL_AXES, false), 0.3f, 0);
}

/* Both judges, and how near a frozen network finds the images to the real ones. */
static vkg_tensor *generator_loss(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *fake = generate(step);
    vkg_tensor *logits = vkg_add(g, judge(g, "first", fake), judge(g, "second", fake));
    vkg_tensor *far = vkg_sub(g, judge(g, "frozen", fake), judge(g, "frozen", vkg_step_real(step)));
    return vkg_sub(g, vkg_mean(g, vkg_square(g, far), VKG_ALL_AXES, false), vkg_mean(g, logits, VKG_ALL_AXES, false));
}

static vkg_tensor *copying_loss(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *difference = vkg_sub(g, generate(step), vkg_step_real(step));
    return vkg_mean(g, vkg_square(g, difference), VKG_ALL_AXES, false);
}

static vkg_trainer *make_everything(uint64_t seed)
{
    static char first[] = "first", second[] = "second";
    const vkg_phase phases[] = {
        {.name = "copying", .loss = copying_loss, .trains = "generator.", .until = 4, .accumulate = 2,
         .optimizer = {.kind = VKG_OPTIMIZER_SGD, .lr = 0.05f, .momentum = 0.9f, .clip_value = 0.1f}},
        {.name = first, .loss = judge_loss, .user = first, .trains = "first.", .from = 2, .times = 2,
         .optimizer = {.kind = VKG_OPTIMIZER_ADAMW, .lr = 0.05f, .clip_norm = 0.3f,
                       .schedule = {VKG_SCHEDULE_COSINE, .warm_up = 3, .steps = 12, .end = 0.1f}}},
        {.name = "decay", .loss = decay_loss, .user = first, .from = 2, .every = 3, .shares = first, .lazy = true},
        {.name = second, .loss = judge_loss, .user = second, .trains = "second.", .from = 2,
         .optimizer = {.kind = VKG_OPTIMIZER_RMSPROP, .lr = 0.01f, .momentum = 0.5f, .clip_parameters = 0.4f,
                       .schedule = {VKG_SCHEDULE_STEP, .steps = 3, .gamma = 0.7f}}},
        {.name = "generator", .loss = generator_loss, .trains = "generator.", .from = 4, .accumulate = 3,
         .optimizer = {.lr = 0.02f, .weight_decay = 0.01f, .schedule = {VKG_SCHEDULE_LINEAR, .hold = 2, .steps = 9}}}};
    return make_trainer(&(vkg_trainer_desc){
        .phases = phases, .phase_count = 5, .batch = BATCH, .image = {1, PIXELS, 1}, .latent = LATENT, .seed = seed,
        .loss_scaling = {.enabled = true, .growth_interval = 4},
        .ema = {.of = "generator.", .half_life_images = 100, .ramp_up = 0.5f}});
}

static void train(vkg_trainer *trainer, uint32_t steps)
{
    enum { MOST = 8 };
    static float pixels[MOST][BATCH * PIXELS];
    vkg_batch batches[MOST];
    assert_true(vkg_trainer_most_batches(trainer) <= MOST);
    for (uint32_t i = 0; i < steps; i++) {
        for (uint32_t k = 0; k < MOST * BATCH * PIXELS; k++)
            pixels[k / (BATCH * PIXELS)][k % (BATCH * PIXELS)] =
                sinf((float)(k + 17 * vkg_trainer_get_step(trainer)) * 0.7f);
        for (uint32_t b = 0; b < MOST; b++)
            batches[b] = (vkg_batch){.images = pixels[b]};
        assert_int_equal(vkg_trainer_step(trainer, batches, NULL), VKG_OK);
    }
    assert_int_equal(vkg_trainer_finish(trainer, NULL), VKG_OK);
}

static void make_path(char *path)
{
    const int handle = mkstemp(path);
    assert_true(handle >= 0);
    close(handle);
}

/* All numbers whose names begin with a prefix, one behind the other. */
static float *read_all(vkg_state *state, const char *prefix, uint64_t *count)
{
    float *all = NULL;
    *count = 0;
    for (uint32_t i = 0; i < vkg_state_count(state); i++) {
        const vkg_state_entry *entry = vkg_state_get(state, i);
        if (strncmp(entry->name, prefix, strlen(prefix)) != 0)
            continue;
        all = realloc(all, (*count + entry->elements) * sizeof *all);
        assert_int_equal(vkg_state_read(state, i, all + *count), VKG_OK);
        *count += entry->elements;
    }
    return all;
}

/* Saved within the warm-up and the ramp, before some phases have begun, and in the middle of everything. */
static void resuming_changes_no_bit(void **unused)
{
    (void)unused;
    const uint32_t saved_at[] = {1, 3, 8};
    uint64_t count;
    vkg_trainer *whole = make_everything(3);
    train(whole, 14);
    float *numbers = read_all(vkg_trainer_state(whole), "ema.generator.", &count);
    for (uint64_t i = 0; i < count; i++)
        assert_true(isfinite(numbers[i])); /* so that bits are numbers' */
    free(numbers);
    for (int i = 0; i < 3; i++) {
        char path[] = "/tmp/vkgan-phases-XXXXXX";
        uint64_t step = 0;
        vkg_trainer *before = make_everything(3), *after = make_everything(99);
        make_path(path);
        train(before, saved_at[i]);
        assert_false(test_same_state(vkg_trainer_state(whole), vkg_trainer_state(before)));
        assert_int_equal(vkg_state_save(vkg_trainer_state(before), path, saved_at[i]), VKG_OK);
        assert_int_equal(vkg_state_load(vkg_trainer_state(after), path, NULL, &step), VKG_OK);
        vkg_trainer_set_step(after, step);
        train(after, 14 - saved_at[i]);
        assert_true(test_same_state(vkg_trainer_state(whole), vkg_trainer_state(after)));
        vkg_trainer_destroy(&before), vkg_trainer_destroy(&after);
        unlink(path);
    }
    vkg_trainer_destroy(&whole);
}

static bool same_numbers(vkg_state *a, vkg_state *b, const char *prefix)
{
    uint64_t count, other;
    float *x = read_all(a, prefix, &count), *y = read_all(b, prefix, &other);
    assert_true(count > 0 && count == other);
    const bool same = memcmp(x, y, count * sizeof *x) == 0;
    free(x), free(y);
    return same;
}

/* A network that no phase trains keeps what was loaded into it; all others move. */
static void frozen_networks_stay_as_loaded(void **unused)
{
    (void)unused;
    char path[] = "/tmp/vkgan-frozen-XXXXXX";
    vkg_trainer *source = make_everything(1), *trainer = make_everything(2);
    vkg_state *loaded = vkg_trainer_state(source), *state = vkg_trainer_state(trainer);
    make_path(path);
    assert_int_equal(vkg_state_save(loaded, path, 0), VKG_OK);
    assert_false(same_numbers(loaded, state, "frozen."));
    assert_int_equal(vkg_state_load(state, path, "frozen.", NULL), VKG_OK);
    assert_false(same_numbers(loaded, state, "first."));
    assert_int_equal(vkg_state_load(state, path, NULL, NULL), VKG_OK);
    train(trainer, 6);
    assert_true(same_numbers(loaded, state, "frozen."));
    assert_false(same_numbers(loaded, state, "first."));
    assert_false(same_numbers(loaded, state, "second."));
    assert_false(same_numbers(loaded, state, "generator."));
    assert_int_equal(vkg_state_find(state, "exp_avg.frozen.fc0.weight"), UINT32_MAX);
    vkg_trainer_destroy(&source), vkg_trainer_destroy(&trainer);
    unlink(path);
}

/* --- moving averages --- */

/* Parameters are averaged by the formula, running statistics copied. */
static void averages_are_what_the_formula_says(void **unused)
{
    (void)unused;
    enum { STEPS = 9 };
    const uint32_t images = 3 * BATCH; /* a phase accumulates three batches */
    vkg_trainer *trainer = make_everything(4);
    vkg_state *state = vkg_trainer_state(trainer);
    const char *const weight = "generator.fc.weight", *const shadow = "ema.generator.fc.weight";
    float p[LATENT * PIXELS], found[LATENT * PIXELS];
    double expected[LATENT * PIXELS] = {0};
    for (uint32_t step = 0; step < STEPS; step++) {
        const double horizon = fmin(100, 0.5 * images * step), beta = step ? pow(0.5, images / horizon) : 0;
        train(trainer, 1);
        assert_int_equal(vkg_state_read(state, vkg_state_find(state, weight), p), VKG_OK);
        assert_int_equal(vkg_state_read(state, vkg_state_find(state, shadow), found), VKG_OK);
        for (int i = 0; i < LATENT * PIXELS; i++) {
            expected[i] = (double)p[i] + beta * (expected[i] - (double)p[i]);
            assert_float_equal(found[i], expected[i], 1e-6);
        }
        float mean[PIXELS], copied[PIXELS];
        assert_int_equal(vkg_state_read(state, vkg_state_find(state, "generator.norm.running_mean"), mean), VKG_OK);
        assert_int_equal(vkg_state_read(state, vkg_state_find(state, "ema.generator.norm.running_mean"), copied), VKG_OK);
        assert_memory_equal(mean, copied, sizeof mean);
    }
    assert_false(memcmp(p, found, sizeof p) == 0);
    assert_float_equal(state_value(trainer, "ema.count.generator"), STEPS, 0);
    vkg_trainer_destroy(&trainer);
}

/* The sampler of the average draws what the generator would with the average's numbers. */
static void samplers_draw_from_the_average(void **unused)
{
    (void)unused;
    enum { IMAGES = 5 };
    char path[] = "/tmp/vkgan-average-XXXXXX";
    float images[3][IMAGES * PIXELS];
    vkg_trainer *trainer = make_everything(5);
    vkg_state *own, *state = vkg_trainer_state(trainer);
    train(trainer, 6);
    vkg_sampler_desc desc = {.generator = generator, .settings = settings, .batch = 3, .state = state};
    const char *const scopes[] = {NULL, "ema.generator"};
    make_path(path);
    assert_int_equal(vkg_state_save(state, path, 6), VKG_OK);
    for (int i = 0; i < 3; i++) {
        vkg_sampler *sampler;
        desc.scope = scopes[i > 0];
        if (i == 2) { /* from a file */
            assert_int_equal(vkg_sampler_create_state(test_device(), &desc, &own), VKG_OK);
            assert_int_equal(vkg_state_load(own, path, "ema.generator.", NULL), VKG_OK);
            desc.state = own;
        }
        assert_int_equal(vkg_sampler_create(test_device(), &desc, &sampler), VKG_OK);
        assert_int_equal(vkg_sampler_generate(sampler, 1, 0, IMAGES, images[i]), VKG_OK);
        vkg_sampler_destroy(&sampler);
    }
    assert_true(memcmp(images[0], images[1], sizeof images[0]) != 0);
    assert_memory_equal(images[1], images[2], sizeof images[1]);
    vkg_state_destroy(&own);
    vkg_trainer_destroy(&trainer);
    unlink(path);
}

/* --- lists that say nothing sensible --- */

static void bad_lists_are_refused(void **unused)
{
    (void)unused;
    const vkg_phase a = counting(name_a), b = counting(name_b);
    vkg_phase lists[10][2];
    for (int i = 0; i < 10; i++)
        lists[i][0] = a, lists[i][1] = b;
    lists[0][1].name = "a";
    lists[1][1].shares = "c";
    lists[2][1].shares = "a";
    lists[3][1].shares = "a", lists[3][1].trains = NULL, lists[3][0].shares = "b", lists[3][0].trains = NULL;
    lists[4][1].lazy = true;
    lists[5][0].from = 5, lists[5][0].until = 5;
    lists[6][0].from = 3, lists[6][1].from = 2;
    lists[7][0].until = 8, lists[7][1].from = 8, lists[7][1].every = 3;
    lists[9][1].from = 1, lists[9][1].until = 8, lists[9][1].every = 16;
    lists[8][0].shares = "b", lists[8][1].trains = NULL;
    const char *const messages[] = {
        "phases 0 and 1 have the same name, \"a\"", "phase \"b\": shares is \"c\", and there is no phase of that name",
        "phase \"b\": shares is \"a\", expected another phase that trains the same", "which shares another's optimiser itself",
        "phase \"b\": lazy is set, and shares is not", "phase \"a\" never runs: no multiple of every, 1, lies from step 5 to before until, 5",
        "no phase runs at step 0", "no phase runs at step 8",
        "phase 1 (\"b\"): name, loss and trains are required", "phase \"b\" never runs: no multiple of every, 16, lies from step 1 to before until, 8"};
    for (int i = 0; i < 10; i++) {
        vkg_trainer *trainer;
        const vkg_trainer_desc desc = {.phases = lists[i], .phase_count = 2, .batch = 1, .image = {1, 1, 1}};
        test_expect_errors(true);
        assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_ERROR_INVALID);
        if (!strstr(test_last_error(), messages[i]))
            fail_msg("\"%s\" is not in \"%s\"", messages[i], test_last_error());
        test_expect_errors(false);
        assert_null(trainer);
    }
}

/* usage: phases_test [PATTERN]: only the tests whose name fits */
int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_begin_and_end),           cmocka_unit_test(phases_share_an_optimizer),
        cmocka_unit_test(accumulation_needs_little_memory), cmocka_unit_test(a_gate_skips_updates),           cmocka_unit_test(resuming_changes_no_bit),
        cmocka_unit_test(frozen_networks_stay_as_loaded), cmocka_unit_test(averages_are_what_the_formula_says),
        cmocka_unit_test(samplers_draw_from_the_average), cmocka_unit_test(bad_lists_are_refused)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
