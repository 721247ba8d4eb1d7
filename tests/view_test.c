/* Views of datasets, and the loader that reads through them. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data_files.h"
#include "vkgan/io.h"

/* --- fixtures --- */

enum { SIDE = 12, PIXELS = SIDE * SIDE };

/* A value that tells image, row and column apart. */
static uint8_t mark(uint32_t image, uint32_t y, uint32_t x)
{
    return (uint8_t)(image * 100 + y * SIDE + x);
}

/* images/0.png, 1.png, …: grey, height × width, of marks. */
static void make_images(const char *folder, uint32_t count, uint32_t height, uint32_t width)
{
    char name[64];
    uint8_t pixels[64 * 64];
    files_folder(files_path(folder));
    for (uint32_t i = 0; i < count; ++i) {
        for (uint32_t p = 0; p < height * width; ++p)
            pixels[p] = mark(i, p / width, p % width);
        snprintf(name, sizeof name, "%s/%u.png", folder, i);
        save_png(files_path(name), width, height, 1, pixels);
    }
}

static vkg_dataset *open_any(struct messages *messages, const char *folder)
{
    vkg_dataset *dataset;
    const vkg_dataset_desc desc = {.path = files_path(folder), .any_size = true};
    assert_int_equal(vkg_dataset_open(&messages->log, &desc, &dataset), VKG_OK);
    return dataset;
}

static uint8_t byte_of(float value)
{
    uint8_t byte;
    vkg_image_bytes(&value, 1, &byte);
    return byte;
}

static void expect_shape(const uint32_t shape[3], uint32_t height, uint32_t width, uint32_t channels)
{
    assert_int_equal(shape[0], height);
    assert_int_equal(shape[1], width);
    assert_int_equal(shape[2], channels);
}

/* --- crops and mirrors --- */

static void test_middle_without_chance(void **state)
{
    struct messages messages;
    vkg_view *view;
    float target[36];
    (void)state;
    messages_init(&messages);
    make_images("middle", 2, SIDE, SIDE);
    vkg_dataset *dataset = open_any(&messages, "middle");
    assert_int_equal(vkg_view_create(dataset, &(vkg_view_desc){.crop = 6, .mirror = true}, &view), VKG_OK);
    expect_shape(vkg_view_get_shape(view).target, 6, 6, 1);
    expect_shape(vkg_view_get_shape(view).input, 0, 0, 0);
    assert_int_equal(vkg_view_read(view, 1, target, NULL), VKG_OK);
    for (uint32_t p = 0; p < 36; ++p)
        assert_int_equal(byte_of(target[p]), mark(1, 3 + p / 6, 3 + p % 6));
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_view_read(view, 2, target, NULL), "image 2",
                   "there are 2");
    vkg_view_destroy(&view);
    vkg_view_destroy(&view);
    vkg_dataset_close(&dataset);
}

/* Where the 4×4 part of an image of marks came from: its place, and whether it is mirrored. */
static void find_part(const float *pixels, uint32_t *y, uint32_t *x, bool *mirrored, uint32_t image)
{
    uint32_t first = byte_of(pixels[0]) - image * 100u, last = byte_of(pixels[3]) - image * 100u;
    *mirrored = last < first;
    *y = first / SIDE;
    *x = (*mirrored ? last : first) % SIDE;
    for (uint32_t p = 0; p < 16; ++p)
        assert_int_equal(byte_of(pixels[p]), mark(image, *y + p / 4, *x + (*mirrored ? 3 - p % 4 : p % 4)));
}

/* Every place and both directions come, about equally often; a run that starts later sees the same. */
static void test_chance(void **state)
{
    enum { BATCH = 6, STEPS = 300 };
    static float seen[STEPS][BATCH * 16];
    uint32_t places[9][9] = {0}, mirrored_count = 0, slot, indices[BATCH], y, x;
    struct messages messages;
    vkg_view *view;
    vkg_loader *loader;
    const float *pixels;
    (void)state;
    messages_init(&messages);
    make_images("chance", 2, SIDE, SIDE);
    vkg_dataset *dataset = open_any(&messages, "chance");
    assert_int_equal(vkg_view_create(dataset, &(vkg_view_desc){.crop = 4, .mirror = true}, &view), VKG_OK);
    vkg_loader_desc desc = {.batch = BATCH, .seed = 5, .view = view};
    assert_int_equal(vkg_loader_create(dataset, &desc, &loader), VKG_OK);
    for (uint32_t step = 0; step < STEPS; ++step) {
        assert_int_equal(vkg_loader_acquire(loader, &slot, &pixels), VKG_OK);
        assert_null(vkg_loader_inputs(loader, slot));
        assert_int_equal(vkg_loader_indices(loader, step, indices), VKG_OK);
        memcpy(seen[step], pixels, sizeof seen[step]);
        for (uint32_t i = 0; i < BATCH; ++i) {
            bool mirrored;
            find_part(pixels + 16 * i, &y, &x, &mirrored, indices[i]);
            ++places[y][x];
            mirrored_count += mirrored;
        }
        assert_int_equal(vkg_loader_release(loader, slot), VKG_OK);
    }
    vkg_loader_destroy(&loader);
    for (y = 0; y < 9; ++y)
        for (x = 0; x < 9; ++x)
            assert_in_range(places[y][x], 5, 45); /* 22 expected */
    assert_in_range(mirrored_count, 800, 1000);   /* 900 expected */

    desc.first_step = 123;
    assert_int_equal(vkg_loader_create(dataset, &desc, &loader), VKG_OK);
    for (uint32_t step = 123; step < 140; ++step) {
        assert_int_equal(vkg_loader_acquire(loader, &slot, &pixels), VKG_OK);
        assert_memory_equal(pixels, seen[step], sizeof seen[step]);
        assert_int_equal(vkg_loader_release(loader, slot), VKG_OK);
    }
    vkg_loader_destroy(&loader);
    vkg_view_destroy(&view);
    vkg_dataset_close(&dataset);
}

/* The chances are part of what a seed promises: they must not change from version to version. */
static void test_chance_golden(void **state)
{
    static const uint32_t WANTED[4][3] = {{1, 7, 0}, {5, 2, 0}, {4, 3, 1}, {6, 0, 0}};
    struct messages messages;
    vkg_view *view;
    vkg_loader *loader;
    const float *pixels;
    uint32_t slot, indices[4], y, x;
    bool mirrored;
    (void)state;
    messages_init(&messages);
    make_images("golden", 1, SIDE, SIDE);
    vkg_dataset *dataset = open_any(&messages, "golden");
    assert_int_equal(vkg_view_create(dataset, &(vkg_view_desc){.crop = 4, .mirror = true}, &view), VKG_OK);
    const vkg_loader_desc desc = {
        .batch = 4, .seed = UINT64_C(0x123456789), .first_step = UINT64_C(0x100000007), .view = view};
    assert_int_equal(vkg_loader_create(dataset, &desc, &loader), VKG_OK);
    assert_int_equal(vkg_loader_acquire(loader, &slot, &pixels), VKG_OK);
    assert_int_equal(vkg_loader_indices(loader, desc.first_step, indices), VKG_OK);
    for (uint32_t i = 0; i < 4; ++i) {
        find_part(pixels + 16 * i, &y, &x, &mirrored, indices[i]);
        if (y != WANTED[i][0] || x != WANTED[i][1] || mirrored != (bool)WANTED[i][2])
            fail_msg("part %u lies at %u, %u, %d", i, y, x, mirrored);
    }
    vkg_loader_destroy(&loader);
    vkg_view_destroy(&view);
    vkg_dataset_close(&dataset);
}

/* --- pairs --- */

static void test_halves(void **state)
{
    struct messages messages;
    vkg_view *view;
    float target[PIXELS], input[PIXELS];
    (void)state;
    messages_init(&messages);
    make_images("halves", 2, 4, 10); /* two of 4×5 */
    vkg_dataset *dataset = open_any(&messages, "halves");
    for (int right = 0; right < 2; ++right) {
        const vkg_view_desc desc = {.pairing = right ? VKG_PAIRING_RIGHT : VKG_PAIRING_LEFT};
        assert_int_equal(vkg_view_create(dataset, &desc, &view), VKG_OK);
        expect_shape(vkg_view_get_shape(view).target, 4, 5, 1);
        expect_shape(vkg_view_get_shape(view).input, 4, 5, 1);
        assert_int_equal(vkg_view_read(view, 1, target, input), VKG_OK);
        for (uint32_t p = 0; p < 20; ++p) {
            assert_int_equal(byte_of(input[p]), mark(1, p / 5, p % 5 + (right ? 5 : 0)));
            assert_int_equal(byte_of(target[p]), mark(1, p / 5, p % 5 + (right ? 0 : 5)));
        }
        vkg_view_destroy(&view);
    }
    vkg_dataset_close(&dataset);
}

/* The two of a pair are cut and mirrored alike, and each pair is of one name. */
static void test_two_folders(void **state)
{
    enum { BATCH = 4 };
    struct messages messages;
    vkg_view *view;
    vkg_loader *loader;
    const float *pixels;
    uint32_t slot;
    (void)state;
    messages_init(&messages);
    make_images("photos", 2, SIDE, SIDE);
    make_images("maps", 2, SIDE, SIDE);
    assert_int_equal(rename(files_path("maps/1.png"), files_path("maps/1.PNG")), 0);
    save_png(files_path("maps/0-other.png"), 1, 1, 1,
             (const uint8_t *)"x"); /* sorts between "0.png" and "0/" */
    vkg_dataset *photos = open_any(&messages, "photos"), *maps = open_any(&messages, "maps");
    const vkg_view_desc desc = {.pairing = VKG_PAIRING_DATASET, .inputs = maps, .crop = 5, .mirror = true};
    assert_int_equal(vkg_view_create(photos, &desc, &view), VKG_OK);
    assert_int_equal(vkg_loader_create(photos, &(vkg_loader_desc){.batch = BATCH, .view = view}, &loader),
                     VKG_OK);
    for (int step = 0; step < 20; ++step) {
        assert_int_equal(vkg_loader_acquire(loader, &slot, &pixels), VKG_OK);
        assert_memory_equal(pixels, vkg_loader_inputs(loader, slot), BATCH * 25 * sizeof *pixels);
        assert_int_equal(vkg_loader_labels(loader, slot)[0], -1);
        assert_int_equal(vkg_loader_release(loader, slot), VKG_OK);
    }
    vkg_loader_destroy(&loader);
    vkg_view_destroy(&view);
    vkg_dataset_close(&maps);

    assert_int_equal(remove(files_path("maps/1.PNG")), 0);
    maps = open_any(&messages, "maps");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_view_create(photos, &(vkg_view_desc){VKG_PAIRING_DATASET, maps}, &view), "1.png",
                   "no partner", "maps");
    assert_null(view);
    vkg_dataset_close(&maps);

    /* "1.jpg" and "1.png", on either side: which of them is the partner? */
    save_png(files_path("maps/1.png"), SIDE, SIDE, 1, (const uint8_t[SIDE * SIDE]){0});
    save_png(files_path("maps/1.jpg"), SIDE, SIDE, 1, (const uint8_t[SIDE * SIDE]){0});
    maps = open_any(&messages, "maps");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_view_create(photos, &(vkg_view_desc){VKG_PAIRING_DATASET, maps}, &view), "1.jpg",
                   "the same name", "maps");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_view_create(maps, &(vkg_view_desc){VKG_PAIRING_DATASET, photos}, &view), "1.jpg",
                   "the same name", "maps");
    vkg_dataset_close(&maps);
    vkg_dataset_close(&photos);
}

static void test_made_inputs(void **state)
{
    static const uint8_t GREY[4][4] = {
        {10, 10, 200, 200}, {10, 10, 200, 200}, {10, 10, 200, 200}, {10, 10, 200, 200}};
    uint8_t colours[4 * 4 * 3];
    struct messages messages;
    vkg_view *view;
    float target[48], input[48];
    (void)state;
    messages_init(&messages);
    files_folder(files_path("made"));
    for (uint32_t p = 0; p < 48; ++p)
        colours[p] = (uint8_t)(GREY[p / 12][p / 3 % 4] + (p % 3 == 2 ? 20 : 0)); /* blue: 20 more */
    save_png(files_path("made/a.png"), 4, 4, 3, colours);
    vkg_dataset *dataset = open_any(&messages, "made");

    assert_int_equal(vkg_view_create(dataset, &(vkg_view_desc){.pairing = VKG_PAIRING_GREY}, &view), VKG_OK);
    expect_shape(vkg_view_get_shape(view).input, 4, 4, 1);
    assert_int_equal(vkg_view_read(view, 0, target, input), VKG_OK);
    assert_int_equal(byte_of(input[0]), 12); /* 10 + 0.114 · 20 */
    assert_int_equal(byte_of(input[3]), 202);
    vkg_view_destroy(&view);

    assert_int_equal(vkg_view_create(dataset, &(vkg_view_desc){.pairing = VKG_PAIRING_EDGES}, &view), VKG_OK);
    assert_int_equal(vkg_view_read(view, 0, target, input), VKG_OK);
    for (uint32_t p = 0; p < 16; ++p) /* |gradient| = 4 · 190 at the edge */
        assert_int_equal(byte_of(input[p]), p % 4 == 1 || p % 4 == 2 ? 0 : 255);
    vkg_view_destroy(&view);

    const vkg_view_desc blocks = {.pairing = VKG_PAIRING_BLOCKS, .factor = 3};
    assert_int_equal(vkg_view_create(dataset, &blocks, &view), VKG_OK);
    expect_shape(vkg_view_get_shape(view).input, 4, 4, 3);
    assert_int_equal(vkg_view_read(view, 0, target, input), VKG_OK);
    for (uint32_t p = 0; p < 16; ++p) { /* (10 + 10 + 200)/3, and the rest */
        assert_int_equal(byte_of(input[3 * p]), p % 4 < 3 ? 73 : 200);
        assert_int_equal(byte_of(input[3 * p + 2]), p % 4 < 3 ? 93 : 220);
    }
    vkg_view_destroy(&view);
    vkg_dataset_close(&dataset);
}

/* --- sizes --- */

/* Of images of two sizes: each cut to a multiple of the factor, its input what vkg_image_resize makes of that.
 */
static void test_small_inputs(void **state)
{
    struct messages messages;
    vkg_view *view;
    vkg_view_shape shape;
    vkg_loader *loader;
    float target[PIXELS], input[PIXELS];
    (void)state;
    messages_init(&messages);
    make_images("small", 2, 11, 10);
    uint8_t marks[PIXELS];
    save_png(files_path("small/0.png"), SIDE, SIDE, 1, memset(marks, 7, sizeof marks));
    vkg_dataset *dataset = open_any(&messages, "small");
    assert_int_equal(vkg_dataset_get_info(dataset).width, 0);
    const vkg_view_desc desc = {.pairing = VKG_PAIRING_SMALL, .factor = 4};
    assert_int_equal(vkg_view_create(dataset, &desc, &view), VKG_OK);
    expect_shape(vkg_view_get_shape(view).target, 0, 0, 1);
    expect_shape(vkg_view_get_shape(view).input, 0, 0, 1);
    assert_int_equal(vkg_view_image_shape(view, 1, &shape), VKG_OK);
    expect_shape(shape.target, 8, 8, 1);
    expect_shape(shape.input, 2, 2, 1);
    assert_int_equal(vkg_view_read(view, 1, target, input), VKG_OK);
    for (uint32_t p = 0; p < 64; ++p)
        assert_int_equal(marks[p] = byte_of(target[p]), mark(1, p / 8, p % 8));
    vkg_image small;
    assert_int_equal(vkg_image_resize(NULL, &(vkg_image){8, 8, 1, marks}, 2, 2, VKG_IMAGE_BICUBIC, &small),
                     VKG_OK);
    for (uint32_t p = 0; p < 4; ++p)
        assert_int_equal(byte_of(input[p]), small.pixels[p]);
    vkg_image_free(&small);
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_loader_create(dataset, &(vkg_loader_desc){.batch = 1, .view = view}, &loader),
                   "differ in size");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_loader_create(dataset, &(vkg_loader_desc){.batch = 1}, &loader), "differ in size");
    vkg_view_destroy(&view);
    vkg_dataset_close(&dataset);
}

/* Pix2Pix's jitter: resized, then cropped; without mixing the halves. */
static void test_resize_then_crop(void **state)
{
    struct messages messages;
    vkg_view *view;
    float target[PIXELS], input[PIXELS];
    uint8_t pixels[8 * 16];
    (void)state;
    messages_init(&messages);
    files_folder(files_path("jitter"));
    for (uint32_t p = 0; p < sizeof pixels; ++p)
        pixels[p] = p % 16 < 8 ? 40 : 90;
    save_png(files_path("jitter/a.png"), 16, 8, 1, pixels);
    vkg_dataset *dataset = open_any(&messages, "jitter");
    const vkg_view_desc desc = {.pairing = VKG_PAIRING_LEFT, .resize = 9, .crop = 8};
    assert_int_equal(vkg_view_create(dataset, &desc, &view), VKG_OK);
    expect_shape(vkg_view_get_shape(view).target, 8, 8, 1);
    assert_int_equal(vkg_view_read(view, 0, target, input), VKG_OK);
    for (uint32_t p = 0; p < 64; ++p) {
        assert_int_equal(byte_of(target[p]), 90);
        assert_int_equal(byte_of(input[p]), 40);
    }
    vkg_view_destroy(&view);
    vkg_dataset_close(&dataset);
}

static void test_refusals(void **state)
{
    struct messages messages;
    vkg_view *view, *other_view;
    vkg_loader *loader;
    (void)state;
    messages_init(&messages);
    make_images("refused", 1, 5, 7);
    make_images("others", 1, 5, 6);
    vkg_dataset *dataset = open_any(&messages, "refused"), *others = open_any(&messages, "others");
    const struct {
        vkg_view_desc desc;
        const char *wanted;
    } cases[] = {
        {{.crop = 6}, "at least 6×6"},
        {{.resize = 4, .crop = 5}, "a crop of 5"},
        {{.pairing = VKG_PAIRING_LEFT}, "even width"},
        {{.pairing = VKG_PAIRING_SMALL, .factor = 8}, "at least 8×8"},
        {{.pairing = VKG_PAIRING_SMALL, .crop = 5}, "multiple of the factor, 4"},
        {{.pairing = VKG_PAIRING_DATASET}, "without a dataset"},
        {{.inputs = others}, "without VKG_PAIRING_DATASET"},
        {{.pairing = VKG_PAIRING_DATASET, .inputs = others}, "the size of its input"},
        {{.pairing = (vkg_pairing)77}, "pairing 77"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        expect_failure(&messages, VKG_ERROR_INVALID, vkg_view_create(dataset, &cases[i].desc, &view),
                       cases[i].wanted);
        assert_null(view);
    }
    assert_int_equal(vkg_view_create(others, &(vkg_view_desc){.crop = 2}, &other_view), VKG_OK);
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_loader_create(dataset, &(vkg_loader_desc){.batch = 1, .view = other_view}, &loader),
                   "another dataset");
    vkg_view_destroy(&other_view);
    vkg_dataset_close(&others);
    vkg_dataset_close(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_middle_without_chance),
        cmocka_unit_test(test_chance),
        cmocka_unit_test(test_chance_golden),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_two_folders),
        cmocka_unit_test(test_made_inputs),
        cmocka_unit_test(test_small_inputs),
        cmocka_unit_test(test_resize_then_crop),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
