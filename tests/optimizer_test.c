/* Optimisers with all their settings beside PyTorch: the trainings of tests/reference/optimizers.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"

enum { STEPS = 20, BATCH = 8, INPUTS = 6, WIDTH = 16, COLUMNS = INPUTS + 1, ACCUMULATE = 4 };

/* --- the network, its loss, and a penalty --- */

static vkg_tensor *weight(vkg_graph *g, const char *name, vkg_shape shape)
{
    return vkg_parameter(g, name, shape, (vkg_init){VKG_INIT_NORMAL, 0, 0.5f});
}

static vkg_tensor *regression(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *batch = vkg_reshape(g, vkg_step_real(step), VKG_SHAPE(BATCH, COLUMNS));
    vkg_tensor *x = vkg_slice(g, batch, 1, 0, INPUTS, 1), *aim = vkg_slice(g, batch, 1, INPUTS, 1, 1);
    vkg_tensor *hidden = vkg_matmul(g, x, weight(g, "net.w1", VKG_SHAPE(INPUTS, WIDTH)), false, false);
    hidden = vkg_tanh(g, vkg_add(g, hidden, weight(g, "net.b1", VKG_SHAPE(WIDTH))));
    vkg_tensor *y = vkg_matmul(g, hidden, weight(g, "net.w2", VKG_SHAPE(WIDTH, 1)), false, false);
    vkg_tensor *loss = vkg_mean(g, vkg_square(g, vkg_sub(g, y, aim)), VKG_ALL_AXES, false);
    vkg_step_report(step, "loss", loss);
    return loss;
}

static vkg_tensor *penalty(vkg_step *step, void *user)
{
    (void)user;
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *parameters[8], *loss = vkg_constant(g, 0, VKG_SCALAR);
    const uint32_t count = vkg_graph_parameters(g, "net.", parameters, 8);
    for (uint32_t i = 0; i < count; i++)
        loss = vkg_add(g, loss, vkg_sum(g, vkg_square(g, parameters[i]), VKG_ALL_AXES, false));
    return vkg_affine(g, loss, 0.01f, 0);
}

/* --- the cases: what PyTorch's are called there --- */

#define ADAM_OF(which) .kind = VKG_OPTIMIZER_##which, .lr = 0.01f, .beta1 = 0.5f, .beta2 = 0.9f
#define SGD(rate) .kind = VKG_OPTIMIZER_SGD, .lr = rate

static const struct training {
    const char *name;
    vkg_optimizer_desc optimizer;
    uint32_t accumulate, penalty_every;
    vkg_ema ema;
} trainings[] = {
    {"adam", {ADAM_OF(ADAM)}, .ema = {.of = "net.", .decay = 0.8f}},
    {"adam-decay", {ADAM_OF(ADAM), .weight_decay = 0.1f}},
    {"adamw", {ADAM_OF(ADAMW)}},
    {"adamw-decay", {ADAM_OF(ADAMW), .weight_decay = 0.5f}},
    {"rmsprop", {.kind = VKG_OPTIMIZER_RMSPROP, .lr = 0.01f}},
    {"rmsprop-momentum",
     {.kind = VKG_OPTIMIZER_RMSPROP, .lr = 0.005f, .alpha = 0.9f, .momentum = 0.5f, .weight_decay = 0.1f}},
    {"sgd", {SGD(0.1f)}},
    {"sgd-momentum", {SGD(0.05f), .momentum = 0.8f, .weight_decay = 0.1f}},
    {"clip-norm", {SGD(0.1f), .clip_norm = 0.5f}},
    {"clip-value", {ADAM_OF(ADAM), .clip_value = 0.05f}},
    {"clip-both", {SGD(0.1f), .clip_norm = 0.5f, .clip_value = 0.05f}},
    {"clip-parameters", {.kind = VKG_OPTIMIZER_RMSPROP, .lr = 0.01f, .clip_parameters = 0.3f}},
    {"linear", {ADAM_OF(ADAM), .schedule = {VKG_SCHEDULE_LINEAR, .steps = 15, .end = 0.25f}}},
    {"cosine", {ADAM_OF(ADAMW), .schedule = {VKG_SCHEDULE_COSINE, .warm_up = 5, .hold = 3, .steps = 12, .end = 0.1f}},
     .ema = {.of = "net.", .half_life_images = 200, .ramp_up = 0.25f}},
    {"step", {SGD(0.1f), .momentum = 0.5f, .schedule = {VKG_SCHEDULE_STEP, .steps = 6, .gamma = 0.3f}}},
    {"accumulate", {ADAM_OF(ADAM), .clip_norm = 0.5f}, .accumulate = ACCUMULATE},
    {"lazy", {ADAM_OF(ADAM)}, .penalty_every = 4},
};
enum { TRAININGS = sizeof trainings / sizeof *trainings };

static vkg_trainer *make_trainer(const struct training *t, vkg_loss_scaling scaling)
{
    const vkg_phase phases[] = {
        {.name = "net", .loss = regression, .trains = "net.", .optimizer = t->optimizer, .accumulate = t->accumulate},
        {.name = "penalty", .loss = penalty, .every = t->penalty_every, .shares = "net", .lazy = true}};
    vkg_trainer *trainer;
    const vkg_trainer_desc desc = {.phases = phases, .phase_count = t->penalty_every ? 2 : 1, .batch = BATCH,
                                   .image = {1, 1, COLUMNS}, .ema = t->ema, .loss_scaling = scaling};
    assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_OK);
    return trainer;
}

/* --- the reference --- */

static const char *const reference_path = VKGAN_TEST_DATA "/optimizers.safetensors";
static vkg_safetensors *reference;

static float *read_reference(const char *name)
{
    const uint32_t index = vkg_safetensors_find(reference, name);
    if (index == UINT32_MAX)
        fail_msg("the reference has no \"%s\"", name);
    const uint64_t size = vkg_safetensors_get(reference, index)->size;
    float *data = malloc(size);
    assert_int_equal(vkg_safetensors_read(reference, index, data, size), VKG_OK);
    return data;
}

/* ‖ours − PyTorch's‖/‖PyTorch's‖ of one tensor. */
static double error_of(vkg_state *state, const char *ours, const char *theirs)
{
    const uint32_t index = vkg_state_find(state, ours);
    assert_int_not_equal(index, UINT32_MAX);
    const uint64_t elements = vkg_state_get(state, index)->elements;
    float *expected = read_reference(theirs), *found = malloc(elements * sizeof *found);
    double difference = 0, size = 0;
    assert_int_equal(vkg_state_read(state, index, found), VKG_OK);
    for (uint64_t i = 0; i < elements; i++) {
        difference += pow((double)found[i] - (double)expected[i], 2);
        size += pow((double)expected[i], 2);
    }
    free(expected), free(found);
    return sqrt(difference / size);
}

static double reported(const vkg_trainer_report *report, const char *name)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (strcmp(report->names[i], name) == 0)
            return (double)report->values[i];
    fail_msg("\"%s\" is not reported", name);
    return NAN;
}

/* The greatest relative error of the losses, and of scheduled learning rates. */
static double run(vkg_trainer *trainer, const struct training *t)
{
    char name[64];
    double worst = 0;
    const uint32_t count = t->accumulate ? t->accumulate : 1;
    float *batches = read_reference("batches");
    snprintf(name, sizeof name, "%s/losses", t->name);
    float *losses = read_reference(name);
    snprintf(name, sizeof name, "%s/lrs", t->name);
    float *lrs = read_reference(name);
    for (uint32_t step = 0; step < STEPS; step++) {
        vkg_batch real[ACCUMULATE];
        vkg_trainer_report report;
        for (uint32_t i = 0; i < count; i++)
            real[i] = (vkg_batch){.images = batches + (size_t)(step * count + i) * BATCH * COLUMNS};
        assert_int_equal(vkg_trainer_batches(trainer), count);
        assert_int_equal(vkg_trainer_step(trainer, real, NULL), VKG_OK);
        assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
        worst = fmax(worst, fabs(reported(&report, "loss") / (double)losses[step] - 1));
        if (t->optimizer.schedule.kind != VKG_SCHEDULE_CONSTANT)
            worst = fmax(worst, fabs(reported(&report, "lr_net") / (double)lrs[step] - 1));
    }
    free(batches), free(losses), free(lrs);
    return worst;
}

static double follow(const struct training *t, vkg_loss_scaling scaling)
{
    static const char *const parameters[] = {"net.w1", "net.b1", "net.w2"};
    vkg_trainer *trainer = make_trainer(t, scaling);
    vkg_state *state = vkg_trainer_state(trainer);
    char ours[64], theirs[64];
    assert_int_equal(vkg_state_load(state, reference_path, "net.", NULL), VKG_OK);
    double worst = run(trainer, t);
    for (int i = 0; i < 3; i++) {
        snprintf(theirs, sizeof theirs, "%s/%s", t->name, parameters[i]);
        worst = fmax(worst, error_of(state, parameters[i], theirs));
        snprintf(ours, sizeof ours, "ema.%s", parameters[i]);
        snprintf(theirs, sizeof theirs, "%s/ema/%s", t->name, parameters[i]);
        if (t->ema.of)
            worst = fmax(worst, error_of(state, ours, theirs));
    }
    vkg_trainer_destroy(&trainer);
    return worst;
}

static void every_optimizer_follows_pytorch(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < TRAININGS; i++) {
        const double plain = follow(&trainings[i], (vkg_loss_scaling){0});
        const double scaled = follow(&trainings[i], (vkg_loss_scaling){.enabled = true, .growth_interval = 7});
        printf("%s: %d steps, off by %.1e, with a scaled loss by %.1e\n", trainings[i].name, STEPS, plain, scaled);
        assert_true(plain < 1e-5 && scaled < 1e-5);
    }
}

/* --- bad settings --- */

static void bad_settings_are_refused(void **unused)
{
    (void)unused;
    const struct {
        vkg_optimizer_desc optimizer;
        vkg_ema ema;
        const char *message;
    } cases[] = {
        {{.kind = (vkg_optimizer)7}, .message = "optimizer \"net\": kind is 7, expected 0 to 3"},
        {{.lr = -1}, .message = "lr is -1, expected a number from 0 on"},
        {{.lr = NAN}, .message = "lr is nan"},
        {{.beta1 = 1}, .message = "beta1 is 1, expected a number below 1"},
        {{.beta2 = 1.5f}, .message = "beta2 is 1.5"},
        {{.kind = VKG_OPTIMIZER_RMSPROP, .alpha = 1}, .message = "alpha is 1"},
        {{.kind = VKG_OPTIMIZER_SGD, .momentum = 1}, .message = "momentum is 1"},
        {{.kind = VKG_OPTIMIZER_SGD, .momentum = -0.5f}, .message = "momentum is -0.5, expected 0 to 1"},
        {{.epsilon = INFINITY}, .message = "epsilon is inf"},
        {{.weight_decay = NAN}, .message = "weight_decay is nan"},
        {{.pace = 2}, .message = "pace is 2"},
        {{.clip_norm = -1}, .message = "clip_norm is -1"},
        {{.clip_value = -1}, .message = "clip_value is -1"},
        {{.clip_parameters = -1}, .message = "clip_parameters is -1"},
        {{.schedule = {.kind = (vkg_schedule_kind)9}}, .message = "schedule: kind is 9, expected 0 to 3"},
        {{.schedule = {VKG_SCHEDULE_COSINE}}, .message = "schedule: steps is 0, expected 1 to 1.67772e+07"},
        {{.schedule = {.warm_up = UINT32_MAX}}, .message = "warm_up is 4.29497e+09"},
        {{.schedule = {VKG_SCHEDULE_LINEAR, .steps = 5, .end = 2}}, .message = "end is 2, expected 0 to 1"},
        {{.schedule = {VKG_SCHEDULE_STEP, .steps = 5, .gamma = -2}}, .message = "gamma is -2"},
        {.ema = {"net.", .decay = 1}, .message = "ema: decay is 1, expected a number below 1"},
        {.ema = {"net.", .decay = 0.5f, .half_life_images = 10}, .message = "expected one of them"},
        {.ema = {"net.", .half_life_images = -10}, .message = "half_life_images is -10"},
        {.ema = {"net.", .ramp_up = -1}, .message = "ramp_up is -1"},
        {.ema = {"nets."}, .message = "ema.of is \"nets.\": no phase builds a tensor"},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const vkg_phase phase = {.name = "net", .loss = regression, .trains = "net.", .optimizer = cases[i].optimizer};
        const vkg_trainer_desc desc = {.phases = &phase, .phase_count = 1, .batch = BATCH, .image = {1, 1, COLUMNS},
                                       .ema = cases[i].ema};
        vkg_trainer *trainer;
        test_expect_errors(true);
        assert_int_equal(vkg_trainer_create(test_device(), &desc, &trainer), VKG_ERROR_INVALID);
        if (!strstr(test_last_error(), cases[i].message))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].message, test_last_error());
        test_expect_errors(false);
        assert_null(trainer);
    }
}

/* Of the parameters a, b and c, which lie one behind the other, a and c are trained: b stays as it is, bit for bit. */
static void others_between_stay(void **unused)
{
    (void)unused;
    static const char *const names[] = {"a", "b", "c"};
    const vkg_optimizer_desc kinds[] = {{SGD(0.1f), .weight_decay = 0.5f}, {SGD(0.1f), .momentum = 0.5f, .weight_decay = 0.5f},
                                        {ADAM_OF(ADAM), .weight_decay = 0.5f}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        vkg_graph *g;
        vkg_state *state;
        vkg_program *program;
        vkg_tensor *all[3], *trained[2], *gradients[2];
        assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
        for (int i = 0; i < 3; i++)
            all[i] = weight(g, names[i], VKG_SHAPE(1 + test_random(900)));
        trained[0] = all[0], trained[1] = all[2];
        vkg_gradients(g, vkg_add(g, vkg_sum(g, vkg_square(g, all[0]), VKG_ALL_AXES, false),
                                 vkg_mul(g, vkg_sum(g, all[1], VKG_ALL_AXES, false), vkg_sum(g, all[2], VKG_ALL_AXES, false))),
                      trained, 2, gradients);
        vkg_optimize(g, "opt", trained, gradients, 2, &kinds[k]);
        assert_int_equal(vkg_state_create(test_device(), &g, 1, 1, &state), VKG_OK);
        assert_int_equal(vkg_program_create(test_device(), g, state, NULL, &program), VKG_OK);
        float before[3][900], after[3][900];
        for (int i = 0; i < 3; i++)
            assert_int_equal(vkg_state_read(state, vkg_state_find(state, names[i]), before[i]), VKG_OK);
        assert_int_equal(vkg_program_run(program), VKG_OK);
        for (int i = 0; i < 3; i++) {
            const size_t bytes = vkg_tensor_elements(all[i]) * sizeof(float);
            assert_int_equal(vkg_state_read(state, vkg_state_find(state, names[i]), after[i]), VKG_OK);
            assert_int_equal(memcmp(before[i], after[i], bytes) == 0, i == 1);
        }
        vkg_program_destroy(&program);
        vkg_state_destroy(&state);
        vkg_graph_destroy(&g);
    }
}

/* The first average is a copy, whatever lay there before. */
static void averages_begin_with_a_copy(void **unused)
{
    (void)unused;
    const struct training *t = &trainings[0];
    const float nothing[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++) {
        vkg_trainer *trainer = make_trainer(t, (vkg_loss_scaling){0});
        vkg_state *state = vkg_trainer_state(trainer);
        float *batches = read_reference("batches"), bad[WIDTH], average[WIDTH], now[WIDTH];
        for (int k = 0; k < WIDTH; k++)
            bad[k] = nothing[i];
        assert_int_equal(vkg_state_write(state, vkg_state_find(state, "ema.net.b1"), bad), VKG_OK);
        assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = batches}, NULL), VKG_OK);
        assert_int_equal(vkg_trainer_finish(trainer, NULL), VKG_OK);
        assert_int_equal(vkg_state_read(state, vkg_state_find(state, "ema.net.b1"), average), VKG_OK);
        assert_int_equal(vkg_state_read(state, vkg_state_find(state, "net.b1"), now), VKG_OK);
        assert_memory_equal(average, now, sizeof now);
        free(batches);
        vkg_trainer_destroy(&trainer);
    }
}

static void names_go_both_ways(void **unused)
{
    (void)unused;
    for (int k = VKG_OPTIMIZER_ADAM; k <= VKG_OPTIMIZER_SGD; k++) {
        vkg_optimizer kind = (vkg_optimizer)-1;
        assert_true(vkg_optimizer_by_name(vkg_optimizer_name((vkg_optimizer)k), &kind));
        assert_int_equal(kind, k);
    }
    for (int k = VKG_SCHEDULE_CONSTANT; k <= VKG_SCHEDULE_STEP; k++) {
        vkg_schedule_kind kind = (vkg_schedule_kind)-1;
        assert_true(vkg_schedule_by_name(vkg_schedule_name((vkg_schedule_kind)k), &kind));
        assert_int_equal(kind, k);
    }
    assert_false(vkg_optimizer_by_name("lion", &(vkg_optimizer){0}));
    assert_false(vkg_schedule_by_name("cyclic", &(vkg_schedule_kind){0}));
}

/* usage: optimizer_test [PATTERN]: only the tests whose name fits */
int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (vkg_safetensors_open(test_log(), reference_path, &reference) != VKG_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_optimizer_follows_pytorch),
                                       cmocka_unit_test(bad_settings_are_refused), cmocka_unit_test(others_between_stay),
                                       cmocka_unit_test(averages_begin_with_a_copy),
                                       cmocka_unit_test(names_go_both_ways)};
    const int failed = cmocka_run_group_tests(tests, NULL, test_device_close);
    vkg_safetensors_close(&reference);
    return failed;
}
