/* Rules over series that are made up: each is told in its case, once, with its step, and none in a healthy training. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/diagnosis.h"
#include "app/thumbnails.h"

enum { ROOM = 16 };

struct told {
    struct diagnosis diagnosis;
    struct warning warnings[ROOM];
    int count;
};

static void tell(void *user, const struct warning *warning)
{
    struct told *told = user;
    assert_true(told->count < ROOM);
    told->warnings[told->count++] = *warning;
}

static void note(struct told *told, uint64_t step, const char *name, double value)
{
    (void)step; /* for the reader: numbers belong to the step that is judged next */
    diagnosis_note(&told->diagnosis, name, value);
}

static void judge(struct told *told, uint64_t step)
{
    diagnosis_judge(&told->diagnosis, step, tell, told);
}

/* Steps first … last whose numbers are these, and some noise of a tenth of what is left to 0 and 1. */
static void train(struct told *told, uint64_t first, uint64_t last, double d_real, double d_fake)
{
    for (uint64_t step = first; step <= last; step++) {
        const double noise = 0.1 * sin((double)step);
        note(told, step, "d_real", d_real + noise * (1 - d_real));
        note(told, step, "d_fake", d_fake + noise * d_fake);
        note(told, step, "loss_d", -log(d_real) - log(1 - d_fake));
        judge(told, step);
    }
}

/* Exactly one warning, of that rule. Returns it. */
static const struct warning *expect_one(const struct told *told, const char *rule, const char *words)
{
    for (int i = 0; i < told->count; i++)
        print_message("step %llu %s: %s\n", (unsigned long long)told->warnings[i].step, told->warnings[i].rule, told->warnings[i].text);
    assert_int_equal(told->count, 1);
    assert_string_equal(told->warnings[0].rule, rule);
    assert_non_null(strstr(told->warnings[0].text, words));
    return &told->warnings[0];
}

static void test_healthy(void **state)
{
    (void)state;
    struct told told = {0};
    note(&told, 0, "data_images", 60000);
    note(&told, 0, "data_looked", 512);
    note(&told, 0, "data_distinct", 512);
    note(&told, 0, "label_agreement", 0.7);
    note(&told, 0, "label_chance", 0.1);
    note(&told, 0, "label_deviation", 0.013);
    note(&told, 0, "parameters_d", 1e6);
    note(&told, 0, "parameters_g", 1.5e6);
    judge(&told, 0);
    train(&told, 1, 249, 0.9, 0.1);
    note(&told, 250, "variety", 0.2); /* it begins */
    note(&told, 250, "samples", 64);
    note(&told, 250, "distinct", 20);
    note(&told, 250, "update_generator", 0.01);
    note(&told, 250, "moved_generator", 0.3);
    train(&told, 250, 499, 0.7, 0.3);
    note(&told, 500, "variety", 0.8);
    note(&told, 500, "distinct", 60);
    train(&told, 500, 1500, 0.6, 0.4);
    train(&told, 1501, 1600, 0.995, 0.005); /* too short to matter */
    train(&told, 1601, 2000, 0.7, 0.3);
    assert_int_equal(told.count, 0);
}

static void test_limit(void **state)
{
    (void)state;
    struct told told = {0};
    train(&told, 1, 100, 0.7, 0.3);
    train(&told, 101, 3000, 0.999, 0.001);
    const struct warning *warning = expect_one(&told, "discriminator-at-limit", "d_real 0.999, d_fake 0.001");
    assert_in_range(warning->since, 95, 135);
    assert_in_range(warning->step, 295, 340);
    train(&told, 3001, 4000, 0.7, 0.3); /* well again */
    train(&told, 4001, 5000, 0.999, 0.001);
    assert_int_equal(told.count, 2);
    assert_in_range(told.warnings[1].since, 3995, 4035);
}

/* The same symptom, and the cause beside it: the cause is told, the symptom is not. */
static void test_causes(void **state)
{
    (void)state;
    struct told large = {0}, fast = {0}, one = {0};
    note(&large, 0, "parameters_d", 14e6);
    note(&large, 0, "parameters_g", 0.7e6);
    train(&large, 1, 1000, 0.999, 0.001);
    expect_one(&large, "discriminator-too-large", "20 times as many");

    note(&fast, 0, "lr", 0.02);
    note(&fast, 10, "update_generator", 0.4);
    note(&fast, 10, "update_discriminator", 0.01);
    train(&fast, 10, 1000, 0.999, 0.001);
    expect_one(&fast, "learning-rate-too-high", "weights of the generator by 40 %");

    note(&one, 0, "data_images", 10);
    note(&one, 0, "data_looked", 10);
    note(&one, 0, "data_distinct", 1);
    judge(&one, 0);
    note(&one, 250, "variety", 0);
    note(&one, 500, "variety", 0);
    train(&one, 500, 1000, 0.999, 0.001);
    assert_int_equal(expect_one(&one, "one-image", "all 10 images")->step, 0);
}

static void test_data(void **state)
{
    (void)state;
    struct told few = {0}, copies = {0}, labels = {0};
    note(&few, 0, "data_images", 12);
    note(&few, 0, "data_looked", 12);
    note(&few, 0, "data_distinct", 12);
    judge(&few, 0);
    expect_one(&few, "few-images", "12 images only");
    note(&copies, 0, "data_images", 5000);
    note(&copies, 0, "data_looked", 512);
    note(&copies, 0, "data_distinct", 7);
    judge(&copies, 0);
    expect_one(&copies, "few-images", "only 7 are different");
    note(&labels, 0, "data_looked", 512);
    note(&labels, 0, "label_agreement", 0.11);
    note(&labels, 0, "label_chance", 0.1);
    note(&labels, 0, "label_deviation", 0.013);
    judge(&labels, 0);
    expect_one(&labels, "labels-unrelated", "11 % have the label");
}

static void test_samples(void **state)
{
    (void)state;
    struct told alike = {0}, few = {0};
    note(&few, 0, "data_groups", 60);
    for (uint64_t step = 250; step <= 1500; step += 250) {
        note(&alike, step, "variety", 0.02);
        note(&alike, step, "distinct", 1);
        note(&alike, step, "samples", 64);
        judge(&alike, step);
        note(&few, step, "variety", 0.7);
        note(&few, step, "distinct", step == 250 ? 64 : 6);
        note(&few, step, "samples", 64);
        judge(&few, step);
    }
    assert_int_equal(expect_one(&alike, "samples-alike", "by 2 % of what")->step, 750);
    assert_int_equal(expect_one(&few, "few-pictures", "only 6")->step, 1000);
}

static void test_weak(void **state)
{
    (void)state;
    struct told weak = {0}, fooled = {0};
    train(&weak, 1, 1000, 0.5, 0.5);
    expect_one(&weak, "discriminator-too-weak", "alike");
    train(&fooled, 1, 1000, 0.3, 0.8);
    expect_one(&fooled, "generator-winning", "fakes for real");
}

static void test_gradients(void **state)
{
    (void)state;
    struct told vanishing = {0}, still = {0}, halves = {0};
    for (uint64_t step = 1; step <= 600; step++) {
        note(&vanishing, step, "grad_generator", step < 200 ? 2.0 : 1e-6);
        note(&vanishing, step, "grad_discriminator", 1.0);
        note(&halves, step, "skipped_updates", step < 300 ? 3 : (double)step - 296);
        judge(&vanishing, step);
        judge(&halves, step);
    }
    assert_in_range(expect_one(&vanishing, "gradients-vanish", "gradient of the generator")->since, 195, 240);
    expect_one(&halves, "updates-skipped", "not finite");
    note(&still, 250, "moved_discriminator", 0.5);
    note(&still, 250, "moved_generator", 0);
    judge(&still, 250);
    expect_one(&still, "weights-stand-still", "weights of the generator");
}

static void test_classifier(void **state)
{
    (void)state;
    struct told told = {0};
    note(&told, 0, "classes", 10);
    for (uint64_t step = 100; step <= 900; step += 100) {
        note(&told, step, "accuracy", 0.103);
        judge(&told, step);
    }
    assert_int_equal(expect_one(&told, "accuracy-at-chance", "10.0 % would")->step, 300);
}

/* Nothing that comes is trusted to be few, short or finite. */
static void test_room(void **state)
{
    (void)state;
    struct told told = {0};
    char name[64];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "series-%d", i);
        note(&told, 1, name, i);
    }
    assert_int_equal(told.diagnosis.series_count, DIAGNOSIS_SERIES);
    memset(&told, 0, sizeof told);
    note(&told, 1, "a-name-that-is-longer-than-there-is-room-for", 1);
    note(&told, 1, "d_real", NAN);
    assert_int_equal(told.diagnosis.series_count, 0);
    note(&told, 1, "loss_d", INFINITY);
    judge(&told, 1);
    assert_int_equal(told.count, 0);
}

/* --- thumbnails --- */

static void test_thumbnails(void **state)
{
    (void)state;
    enum { COUNT = 8, SIZE = 40 * 50 * 3 };
    const uint32_t image[3] = {40, 50, 3};
    const float shades[COUNT] = {0.5f, 0.5f, 0.5f, 0.5f, 0.6f, 0.625f, 0.65f, 0.675f};
    static float picture[SIZE];
    struct thumbnails thumbnails;
    assert_true(thumbnails_create(&thumbnails, COUNT, image));
    double mean = 0, variance = 0;
    for (uint32_t n = 0; n < COUNT; n++) {
        for (int i = 0; i < SIZE; i++)
            picture[i] = shades[n];
        thumbnails_put(&thumbnails, n, picture);
        mean += (double)shades[n] / COUNT;
    }
    for (int n = 0; n < COUNT; n++)
        variance += ((double)shades[n] - mean) * ((double)shades[n] - mean) / COUNT;
    assert_int_equal(thumbnails.size, 16 * 16 * 3);
    assert_true(thumbnails.values[0] == 0.5f);
    assert_int_equal(thumbnails_distinct(&thumbnails, 0), 5);
    assert_int_equal(thumbnails_distinct(&thumbnails, 0.03), 2); /* 0.5; 0.6 and what is near it, step by step */
    assert_true(fabs(thumbnails_nearest(&thumbnails) - 4 * 0.025 / 8) < 1e-6);
    assert_true(fabs(thumbnails_deviation(&thumbnails) - sqrt(variance)) < 1e-6);
    const int32_t labels[COUNT] = {1, 1, 1, 1, 2, 2, 2, 3};
    assert_true(fabs(thumbnails_agreement(&thumbnails, labels) - 7.0 / 8) < 1e-6);
    thumbnails.count = 4; /* all the same */
    assert_true(thumbnails_deviation(&thumbnails) == 0);
    assert_int_equal(thumbnails_distinct(&thumbnails, 0), 1);
    thumbnails_free(&thumbnails);
}

/* A block is the mean of its pixels. */
static void test_blocks(void **state)
{
    (void)state;
    const uint32_t image[3] = {1, 32, 1};
    struct thumbnails thumbnails;
    float picture[32];
    for (int i = 0; i < 32; i++)
        picture[i] = (float)i;
    assert_true(thumbnails_create(&thumbnails, 1, image));
    thumbnails_put(&thumbnails, 0, picture);
    assert_int_equal(thumbnails.size, 16);
    for (int i = 0; i < 16; i++)
        assert_true(thumbnails.values[i] == 2 * (float)i + 0.5f);
    thumbnails_free(&thumbnails);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy), cmocka_unit_test(test_limit),      cmocka_unit_test(test_causes),
        cmocka_unit_test(test_data),    cmocka_unit_test(test_samples),    cmocka_unit_test(test_weak),
        cmocka_unit_test(test_gradients), cmocka_unit_test(test_classifier), cmocka_unit_test(test_room),
        cmocka_unit_test(test_thumbnails), cmocka_unit_test(test_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
