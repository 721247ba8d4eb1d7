/* Measures against NumPy's, SciPy's and PyTorch's results of their definitions (tests/reference/measures.py). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "on_device.h"

static const double TOLERANCE = 1e-4;
static vkg_safetensors *reference;

static int open_reference(void **state)
{
    (void)state;
    return vkg_safetensors_open(test_log(), VKGAN_TEST_DATA "/measures.safetensors", &reference) != VKG_OK;
}

static int close_all(void **state)
{
    vkg_safetensors_close(&reference);
    return test_device_close(state);
}

/* --- fixed arrays --- */

struct array {
    float *values;
    uint32_t rows, columns, elements;
};

/* "general.real"; free its values. */
static struct array get(const char *group, const char *name)
{
    char whole[64];
    snprintf(whole, sizeof whole, "%s.%s", group, name);
    const uint32_t index = vkg_safetensors_find(reference, whole);
    const vkg_safetensors_entry *entry = vkg_safetensors_get(reference, index);
    assert_non_null(entry);
    struct array array = {.values = malloc(entry->size), .rows = (uint32_t)entry->dims[0],
                          .columns = entry->rank > 1 ? (uint32_t)entry->dims[1] : 1,
                          .elements = (uint32_t)(entry->size / sizeof(float))};
    assert_int_equal(vkg_safetensors_read(reference, index, array.values, entry->size), VKG_OK);
    return array;
}

static void check(const char *what, double found, double expected, double scale)
{
    if (isnan(expected) ? !isnan(found) : !(fabs(found - expected) <= TOLERANCE * fmax(fabs(expected), scale)))
        fail_msg("%s: %.9g, expected %.9g", what, found, expected);
}

/* --- two sets of features --- */

static void check_scores(const char *group, double scale)
{
    struct array real = get(group, "real"), samples = get(group, "samples"), expected = get(group, "scores");
    vkg_scorer *scorer;
    vkg_scores scores;
    assert_int_equal(vkg_scorer_create(test_device(), real.values, real.rows, real.columns, &scorer), VKG_OK);
    memset(real.values, 0, real.elements * sizeof *real.values); /* it has a copy */
    for (int time = 0; time < 2; time++) { /* the second time, what is kept of the real ones */
        assert_int_equal(vkg_scorer_score(scorer, samples.values, samples.rows, VKG_MEASURE_ALL, &scores), VKG_OK);
        const double found[] = {scores.frechet_distance, scores.kernel_distance, scores.kernel_distance_error,
                                scores.precision, scores.recall, scores.density, scores.coverage};
        static const char *const names[] = {"frechet", "kernel", "kernel's error", "precision", "recall", "density", "coverage"};
        for (int i = 0; i < 7; i++)
            check(names[i], found[i], (double)expected.values[i], scale);
    }
    vkg_scorer_destroy(&scorer);
    free(real.values), free(samples.values), free(expected.values);
}

static void test_scores(void **state)
{
    (void)state;
    check_scores("general", 0);
    check_scores("collapsed", 0);
    check_scores("single", 0);
    check_scores("equal", 1); /* whose distance is 0 */
}

static void test_only_what_is_asked_for(void **state)
{
    (void)state;
    struct array real = get("single", "real");
    vkg_scorer *scorer;
    vkg_scores scores;
    assert_int_equal(vkg_scorer_create(test_device(), real.values, real.rows, real.columns, &scorer), VKG_OK);
    assert_int_equal(vkg_scorer_score(scorer, real.values, real.rows, VKG_MEASURE_KERNEL, &scores), VKG_OK);
    assert_true(isnan(scores.frechet_distance) && isnan(scores.precision) && isfinite(scores.kernel_distance));
    test_expect_errors(true);
    assert_int_equal(vkg_scorer_score(scorer, real.values, 5, VKG_MEASURE_ALL, &scores), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "5 samples with 1 features, expected at least 6"));
    real.values[7] = INFINITY;
    assert_int_equal(vkg_scorer_score(scorer, real.values, real.rows, VKG_MEASURE_ALL, &scores), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "feature 0 of number 7 of the samples is inf"));
    test_expect_errors(false);
    vkg_scorer_destroy(&scorer);
    free(real.values);
}

/* Covariances agree entry by entry, relative to what the two features vary. */
static void test_moments(void **state)
{
    (void)state;
    static const char *const groups[] = {"general", "collapsed"};
    for (int g = 0; g < 2; g++) {
        struct array samples = get(groups[g], "samples"), mean = get(groups[g], "mean"), cov = get(groups[g], "covariance");
        const uint32_t n = samples.columns;
        double *found_mean = malloc(n * sizeof *found_mean), *found = malloc(n * n * sizeof *found);
        assert_int_equal(vkg_feature_moments(test_device(), samples.values, samples.rows, n, found_mean, found), VKG_OK);
        for (uint32_t i = 0; i < n; i++)
            check("mean", found_mean[i], (double)mean.values[i], 1e-3);
        for (uint32_t e = 0; e < n * n; e++)
            check("covariance", found[e], (double)cov.values[e],
                  sqrt((double)cov.values[e / n * (n + 1)] * (double)cov.values[e % n * (n + 1)]) + 1e-30);
        free(samples.values), free(mean.values), free(cov.values), free(found_mean), free(found);
    }
}

/* --- pairs of images --- */

static void test_images(void **state)
{
    (void)state;
    struct array a = get("images", "a"), b = get("images", "b"), psnr = get("images", "psnr"), ssim = get("images", "ssim");
    vkg_graph *graph;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_tensor *x = vkg_input(graph, "a", VKG_SHAPE(5, 24, 30, 3)), *y = vkg_input(graph, "b", VKG_SHAPE(5, 24, 30, 3));
    vkg_tensor *found_psnr = vkg_psnr(graph, x, y, 2), *found_ssim = vkg_ssim(graph, x, y, 2);
    vkg_output(graph, "psnr", found_psnr);
    vkg_output(graph, "ssim", found_ssim);
    assert_int_equal(vkg_program_create(test_device(), graph, NULL, NULL, &program), VKG_OK);
    memcpy(vkg_program_input(program, x, 0), a.values, a.elements * sizeof(float));
    memcpy(vkg_program_input(program, y, 0), b.values, b.elements * sizeof(float));
    assert_int_equal(vkg_program_run(program), VKG_OK);
    const float *p = vkg_program_output(program, found_psnr, 0), *s = vkg_program_output(program, found_ssim, 0);
    assert_true(isinf(p[0]) && p[0] > 0);
    for (int i = 0; i < 5; i++) {
        if (i > 0)
            check("PSNR", (double)p[i], (double)psnr.values[i], 0);
        check("SSIM", (double)s[i], (double)ssim.values[i], 0);
    }
    vkg_program_destroy(&program);
    test_expect_errors(true);
    vkg_ssim(graph, x, vkg_slice(graph, y, 1, 0, 10, 1), 2);
    assert_non_null(strstr(test_last_error(), "[5,10,30,3]"));
    test_expect_errors(false);
    vkg_graph_destroy(&graph);
    free(a.values), free(b.values), free(psnr.values), free(ssim.values);
}

/* --- mixtures --- */

static void test_mixture(void **state)
{
    (void)state;
    static const float centres[] = {0, 0, 1, 0, 0, 1}, points[] = {0.01f, 0, 0.1f, 0.1f, 1, 0.04f, 1.3f, 0, 0.5f, 0.5f, NAN, 0};
    vkg_mixture mixture = {.centres = centres, .count = 3, .dimensions = 2, .sigma = 0.05};
    vkg_mixture_score score;
    assert_int_equal(vkg_mixture_evaluate(test_log(), &mixture, points, 6, &score), VKG_OK);
    assert_int_equal(score.modes, 2); /* (0.1, 0.1) is 2.8 sigmas away, (1.3, 0) six, (0.5, 0.5) fourteen */
    check("share", score.high_quality, 0.5, 0);
    mixture.deviations = 2;
    assert_int_equal(vkg_mixture_evaluate(test_log(), &mixture, points, 6, &score), VKG_OK);
    check("share", score.high_quality, 2.0 / 6, 0);
    test_expect_errors(true);
    assert_int_equal(vkg_mixture_evaluate(test_log(), &mixture, points, 0, &score), VKG_ERROR_INVALID);
    test_expect_errors(false);
}

/* --- feature networks --- */

static vkg_features_desc fashion(const char *weights)
{
    return (vkg_features_desc){.weights = weights, .image = {28, 28, 1}, .batch = 2};
}

static void test_classifier(void **state)
{
    (void)state;
    struct array images = get("classifier", "images"), expected = get("classifier", "features");
    const vkg_features_desc desc = fashion(NULL);
    vkg_features *features;
    assert_int_equal(vkg_features_create(test_device(), &desc, &features), VKG_OK);
    assert_int_equal(vkg_features_size(features), expected.columns);
    float found[3 * 64];
    assert_int_equal(vkg_features_compute(features, images.values, 3, found), VKG_OK);
    for (uint32_t i = 0; i < expected.elements; i++)
        check("feature", (double)found[i], (double)expected.values[i], 0.1);
    vkg_features_destroy(&features);
    free(images.values), free(expected.values);
}

static vkg_tensor *pixels(vkg_graph *graph, vkg_tensor *images, const void *user)
{
    const uint32_t *size = user;
    return vkg_reshape(graph, images, VKG_SHAPE(vkg_tensor_shape(images).dims[0], *size));
}

/* A network of the program's own: here one without weights. */
static void test_own_network(void **state)
{
    (void)state;
    static const float images[3 * 4] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const uint32_t size = 4;
    vkg_features_desc desc = {.weights = VKGAN_TEST_DATA "/measures.safetensors", .network = pixels, .user = &size,
                              .image = {2, 2, 1}, .batch = 2};
    vkg_features *features;
    float found[3 * 4];
    assert_int_equal(vkg_features_create(test_device(), &desc, &features), VKG_OK);
    assert_int_equal(vkg_features_size(features), 4);
    assert_int_equal(vkg_features_compute(features, images, 3, found), VKG_OK);
    assert_memory_equal(found, images, sizeof images);
    vkg_features_destroy(&features);
}

static void expect_no_features(const vkg_features_desc *desc, vkg_result result, const char *words)
{
    vkg_features *features;
    test_expect_errors(true);
    assert_int_equal(vkg_features_create(test_device(), desc, &features), result);
    assert_null(features);
    if (test_error_count() != 1 || !strstr(test_last_error(), words))
        fail_msg("%u messages, the last \"%s\", expected \"%s\"", test_error_count(), test_last_error(), words);
    test_expect_errors(false);
}

static void test_bad_features(void **state)
{
    (void)state;
    vkg_features_desc desc = fashion("/nonexistent.safetensors");
    expect_no_features(&desc, VKG_ERROR_IO, "/nonexistent.safetensors");
    desc.weights = VKGAN_TEST_DATA "/measures.safetensors"; /* one without weights */
    expect_no_features(&desc, VKG_ERROR_FORMAT, "no feature network that is known");
    desc.weights = VKGAN_TEST_DATA "/../measures.py";
    expect_no_features(&desc, VKG_ERROR_FORMAT, "measures.py");
    desc = fashion(NULL);
    desc.image[2] = 3;
    expect_no_features(&desc, VKG_ERROR_INVALID, "28×28, 3 channels");
    char path[] = "/tmp/vkgan-measures-XXXXXX";
    assert_true(close(mkstemp(path)) == 0);
    const float zero[4] = {0};
    desc = fashion(path);
    assert_int_equal(vkg_safetensors_save(test_log(), path, &(vkg_safetensors_item){"fc1.weight", VKG_FILE_F32, 2, {2, 2}, zero},
                                          1, NULL, 0), VKG_OK);
    expect_no_features(&desc, VKG_ERROR_FORMAT, "there is no tensor");
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_only_what_is_asked_for),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_mixture),
        cmocka_unit_test(test_classifier),
        cmocka_unit_test(test_own_network),
        cmocka_unit_test(test_bad_features),
    };
    return cmocka_run_group_tests(tests, open_reference, close_all);
}
