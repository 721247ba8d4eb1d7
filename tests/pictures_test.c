/* Whole pictures: made larger part by part, compared as super-resolution compares them, judged by VGG. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "on_device.h"
#include "vkgan/gan.h"
#include "vkgan/layers.h"
#include "vkgan/measures.h"
#include "vkgan/resample.h"

enum { REACH = 2 + 1, FACTOR = 2, SIDE = 16 }; /* of this generator; its last convolution sees half a pixel more of the input */

/* 5×5, twice as large, 3×3: zeros are padded in between, as at every border. */
static vkg_tensor *generator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    assert_true(s->evaluation);
    x = vkg_leaky_relu(g, vkg_conv2d(g, x, &(vkg_conv_desc){.name = "a", .out = 16, .kernel = 5, .pad = 2, .bias = true,
                                                            .init_std = 0.3f}), 0.2f);
    x = vkg_pixel_shuffle(g, x, FACTOR);
    return vkg_conv2d(g, x, &(vkg_conv_desc){.name = "b", .out = 3, .kernel = 3, .pad = 1, .init_std = 0.3f});
}

static vkg_tiles *make_tiles(uint32_t side, uint32_t reach)
{
    vkg_tiles *tiles;
    assert_int_equal(vkg_tiles_create(test_device(), &(vkg_tiles_desc){
        .generator = generator, .settings = {.image = {0, 0, 3}, .input = {0, 0, 3}, .width = 1}, .factor = FACTOR,
        .side = side, .reach = reach}, &tiles), VKG_OK);
    return tiles;
}

static float *enlarge(uint32_t side, uint32_t reach, const float *picture, uint32_t height, uint32_t width)
{
    vkg_tiles *tiles = make_tiles(side, reach);
    float *large = calloc((size_t)height * width * FACTOR * FACTOR * 3, sizeof *large);
    assert_int_equal(vkg_tiles_run(tiles, picture, height, width, large), VKG_OK);
    vkg_tiles_destroy(&tiles);
    return large;
}

static float *noise(size_t count)
{
    float *values = malloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = sinf(12.9898f * (float)i) * 0.9f;
    return values;
}

static float worst_difference(const float *a, const float *b, size_t count)
{
    float worst = 0;
    for (size_t i = 0; i < count; i++)
        worst = fmaxf(worst, fabsf(a[i] - b[i]));
    return worst;
}

/* Sides that parts divide, that they do not, and that are smaller than a part. */
static void parts_make_the_whole(void **unused)
{
    (void)unused;
    static const uint32_t sizes[][2] = {{37, 50}, {16, 26}, {9, 40}, {17, 16}, {1, 33}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const uint32_t height = sizes[i][0], width = sizes[i][1];
        const size_t count = (size_t)height * width * 3, made = count * FACTOR * FACTOR;
        float *picture = noise(count), *whole = enlarge(64, REACH, picture, height, width);
        float *parts = enlarge(SIDE, REACH, picture, height, width);
        assert_true(worst_difference(whole, parts, made) < 1e-5f);
        free(picture), free(whole), free(parts);
    }
}

/* Smaller by strides inside: what a pixel becomes depends on where parts begin. */
static vkg_tensor *strided(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    (void)s;
    x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = "a", .out = 8, .kernel = 4, .stride = 2, .pad = 1, .init_std = 0.3f});
    x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = "b", .out = 8, .kernel = 4, .stride = 2, .pad = 1, .init_std = 0.3f});
    x = vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = "c", .out = 8, .kernel = 4, .stride = 2, .pad = 1, .init_std = 0.3f});
    return vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = "d", .out = 3, .kernel = 4, .stride = 2, .pad = 1, .init_std = 0.3f});
}

static void parts_of_strides_make_the_whole(void **unused)
{
    (void)unused;
    enum { HEIGHT = 44, WIDTH = 60, ELEMENTS = HEIGHT * WIDTH * 3 };
    vkg_tiles_desc desc = {.generator = strided, .settings = {.image = {0, 0, 3}, .input = {0, 0, 3}, .width = 1}, .reach = 11, .step = 4};
    float *picture = noise(ELEMENTS), *made[2];
    for (int i = 0; i < 2; i++) {
        vkg_tiles *tiles;
        desc.side = i ? 32 : 64;
        made[i] = calloc(ELEMENTS, sizeof **made);
        assert_int_equal(vkg_tiles_create(test_device(), &desc, &tiles), VKG_OK);
        assert_int_equal(vkg_tiles_run(tiles, picture, HEIGHT, WIDTH, made[i]), VKG_OK);
        test_expect_errors(true);
        assert_int_equal(vkg_tiles_run(tiles, picture, HEIGHT, WIDTH - 2, made[1]), VKG_ERROR_INVALID);
        assert_non_null(strstr(test_last_error(), "44×58, expected multiples of 4"));
        desc.side = 30;
        vkg_tiles *none;
        assert_int_equal(vkg_tiles_create(test_device(), &desc, &none), VKG_ERROR_INVALID);
        test_expect_errors(false);
        vkg_tiles_destroy(&tiles);
    }
    assert_true(worst_difference(made[0], made[1], ELEMENTS) < 1e-5f);
    free(picture), free(made[0]), free(made[1]);
}

/* The test above would see a seam. */
static void too_short_a_reach_leaves_seams(void **unused)
{
    (void)unused;
    float *picture = noise(37 * 50 * 3), *whole = enlarge(64, REACH, picture, 37, 50), *parts = enlarge(SIDE, 1, picture, 37, 50);
    assert_true(worst_difference(whole, parts, 37 * 50 * 3 * FACTOR * FACTOR) > 1e-2f);
    free(picture), free(whole), free(parts);
}

static void pictures_are_bytes(void **unused)
{
    (void)unused;
    test_expect_errors(true);
    vkg_tiles *tiles = make_tiles(SIDE, REACH);
    uint8_t pixels[20 * 18 * 3];
    float values[20 * 18 * 3], large[sizeof values / sizeof values[0] * FACTOR * FACTOR];
    uint8_t expected[sizeof large / sizeof large[0]];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 37), values[i] = (float)pixels[i] / 127.5f - 1;
    vkg_image picture = {.width = 18, .height = 20, .channels = 3, .pixels = pixels}, made;
    assert_int_equal(vkg_tiles_run_image(tiles, &picture, &made), VKG_OK);
    assert_int_equal(vkg_tiles_run(tiles, values, 20, 18, large), VKG_OK);
    vkg_image_bytes(large, sizeof large / sizeof large[0], expected);
    assert_int_equal(made.width, 36);
    assert_int_equal(made.height, 40);
    assert_memory_equal(made.pixels, expected, sizeof expected);
    vkg_image_free(&made);
    picture.channels = 1;
    assert_int_equal(vkg_tiles_run_image(tiles, &picture, &made), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "of 1 channels, expected 3"));
    assert_int_equal(vkg_tiles_run(tiles, values, 0, 18, large), VKG_ERROR_INVALID);
    vkg_tiles_destroy(&tiles);
    assert_int_equal(vkg_tiles_create(test_device(), &(vkg_tiles_desc){
        .generator = generator, .settings = {.image = {0, 0, 3}, .input = {0, 0, 3}}, .side = 8, .reach = 4}, &tiles),
        VKG_ERROR_INVALID);
    assert_null(tiles);
    vkg_tiles_destroy(&tiles);
    test_expect_errors(false);
}

static void pictures_are_cut(void **unused)
{
    (void)unused;
    uint8_t pixels[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    vkg_image image = {.width = 3, .height = 3, .channels = 1, .pixels = pixels};
    vkg_image_cut(&image, 2, 5);
    assert_int_equal(image.width, 2);
    assert_int_equal(image.height, 3);
    assert_memory_equal(pixels, ((uint8_t[]){1, 2, 4, 5, 7, 8}), 6);
    vkg_image_cut(&image, 2, 1);
    assert_int_equal(image.height, 1);
}

/* --- comparing --- */

static double y_of(const uint8_t *p)
{
    return 16 + (65.481 * p[0] + 128.553 * p[1] + 24.966 * p[2]) / 255;
}

static void pictures_are_compared_by_luma(void **unused)
{
    (void)unused;
    test_expect_errors(true);
    enum { H = 24, W = 30, BORDER = 4 };
    uint8_t a[H * W * 3], b[H * W * 3];
    double sum = 0;
    for (int i = 0; i < H * W * 3; i++) {
        a[i] = (uint8_t)(i * 7 % 251);
        b[i] = (uint8_t)((a[i] + 3 * (i % 5)) & 255);
    }
    for (int y = BORDER; y < H - BORDER; y++)
        for (int x = BORDER; x < W - BORDER; x++)
            sum += pow(y_of(a + (y * W + x) * 3) - y_of(b + (y * W + x) * 3), 2);
    memset(b, 255, W * 3); /* within the border: counts for nothing */
    const vkg_image original = {W, H, 3, a}, images[2] = {{W, H, 3, b}, {W, H, 3, a}}, other = {W - 1, H, 3, b};
    vkg_image_score scores[2];
    assert_int_equal(vkg_compare_images(test_device(), &original, images, 2, BORDER, scores), VKG_OK);
    const double expected = 10 * log10(255.0 * 255.0 * (H - 2 * BORDER) * (W - 2 * BORDER) / sum);
    assert_true(fabs((double)scores[0].psnr - expected) < 1e-3);
    assert_true(scores[0].ssim > 0 && scores[0].ssim < 0.999f);
    assert_true(isinf(scores[1].psnr) && fabsf(scores[1].ssim - 1) < 1e-5f);
    assert_int_equal(vkg_compare_images(test_device(), &original, &other, 1, BORDER, scores), VKG_ERROR_INVALID);
    assert_int_equal(vkg_compare_images(test_device(), &original, images, 1, 7, scores), VKG_ERROR_INVALID);
    assert_non_null(strstr(test_last_error(), "at least 11×11"));
    test_expect_errors(false);
}

/* --- VGG: what is no file of its weights; the numbers are compared in the test of srgan --- */

static void refuse_vgg(const vkg_safetensors_item *items, uint32_t count, const char *words)
{
    char path[] = "/tmp/vkgan-vgg-XXXXXX";
    vkg_graph *g;
    close(mkstemp(path));
    assert_int_equal(vkg_safetensors_save(NULL, path, items, count, NULL, 0), VKG_OK);
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_vgg_features(g, vkg_input(g, "x", VKG_SHAPE(1, 8, 8, 3)), path, 0);
    assert_non_null(vkg_graph_error(g));
    if (!strstr(vkg_graph_error(g), words))
        fail_msg("\"%s\" does not say \"%s\"", vkg_graph_error(g), words);
    vkg_graph_destroy(&g);
    unlink(path);
}

static void vgg_refuses_other_files(void **unused)
{
    (void)unused;
    test_expect_errors(true);
    static const float numbers[2 * 3 * 9];
    const vkg_safetensors_item weight = {.name = "features.0.weight", .dtype = VKG_FILE_F32, .rank = 4, .dims = {2, 3, 3, 3},
                                         .data = numbers};
    const vkg_safetensors_item bias = {.name = "features.0.bias", .dtype = VKG_FILE_F32, .rank = 1, .dims = {2}, .data = numbers};
    vkg_safetensors_item items[3] = {weight, bias};
    items[0].name = "conv1.weight";
    refuse_vgg(items, 2, "there is no \"features.0.weight\"");
    items[0] = weight;
    items[0].dims[1] = 1, items[0].dims[0] = 6;
    refuse_vgg(items, 2, "features.0.weight is [6,1,3,3], expected [N,3,3,3]");
    items[0] = weight;
    items[1].dims[0] = 5;
    refuse_vgg(items, 2, "features.0.bias has 5 elements, expected 2");
    refuse_vgg(items, 1, "missing");
    items[1] = bias;
    items[2] = bias, items[2].name = "features.1.weight";
    refuse_vgg(items, 3, "without batch normalisation");
    items[0].dtype = VKG_FILE_F16;
    refuse_vgg(items, 1, "is F16");
    vkg_graph *g;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_vgg_features(g, vkg_input(g, "x", VKG_SHAPE(1, 8, 8, 3)), "/nowhere", 0);
    assert_non_null(vkg_graph_error(g));
    vkg_graph_destroy(&g);
    test_expect_errors(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_strides_make_the_whole),
        cmocka_unit_test(parts_make_the_whole),       cmocka_unit_test(too_short_a_reach_leaves_seams),
        cmocka_unit_test(pictures_are_bytes),         cmocka_unit_test(pictures_are_compared_by_luma),
        cmocka_unit_test(vgg_refuses_other_files),    cmocka_unit_test(pictures_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
