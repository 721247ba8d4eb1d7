/* Inception v3 against PyTorch. usage: inception_test WEIGHTS CASE, which tests/reference/inception.py makes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "on_device.h"

enum { IMAGES = 2, HEIGHT = 40, WIDTH = 52, SIZE = 2048 };

static const char *weights, *example;

static void read_case(const char *name, float *values, uint64_t bytes)
{
    vkg_safetensors *file;
    assert_int_equal(vkg_safetensors_open(test_log(), example, &file), VKG_OK);
    assert_int_equal(vkg_safetensors_read(file, vkg_safetensors_find(file, name), values, bytes), VKG_OK);
    vkg_safetensors_close(&file);
}

static void test_features(void **state)
{
    (void)state;
    static float images[IMAGES * HEIGHT * WIDTH * 3], expected[IMAGES * SIZE], found[IMAGES * SIZE];
    vkg_features *features;
    read_case("images", images, sizeof images);
    read_case("features", expected, sizeof expected);
    assert_int_equal(vkg_features_create(test_device(), &(vkg_features_desc){.weights = weights, .image = {HEIGHT, WIDTH, 3},
                                                                             .batch = IMAGES}, &features), VKG_OK);
    assert_int_equal(vkg_features_size(features), SIZE);
    assert_int_equal(vkg_features_compute(features, images, IMAGES, found), VKG_OK);
    double scale = 0, worst = 0;
    for (int i = 0; i < IMAGES * SIZE; i++) {
        scale = fmax(scale, fabs((double)expected[i]));
        worst = fmax(worst, fabs((double)found[i] - (double)expected[i]));
    }
    printf("greatest difference %g of %g\n", worst, scale);
    assert_true(worst <= 1e-4 * scale);
    vkg_features_destroy(&features);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_features)};
    if (argc != 3)
        return 2;
    weights = argv[1];
    example = argv[2];
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
