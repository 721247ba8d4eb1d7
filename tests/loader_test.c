#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/shuffle.h"
#include "data_files.h"

/* --- the order --- */

static void test_shuffle_epochs(void **state)
{
    enum { IMAGES = 23, BATCH = 5 };
    struct shuffle shuffle;
    uint32_t first[20], indices[BATCH];
    (void)state;
    assert_true(shuffle_create(&shuffle, IMAGES, BATCH, 42));
    for (uint64_t epoch = 0; epoch < 10; ++epoch) {
        bool seen[IMAGES] = {0};
        for (uint64_t i = 0; i < IMAGES / BATCH; ++i) {
            shuffle_batch(&shuffle, epoch * (IMAGES / BATCH) + i, indices);
            for (int k = 0; k < BATCH; ++k) {
                assert_true(indices[k] < IMAGES && !seen[indices[k]]);
                seen[indices[k]] = true;
            }
            if (epoch == 0)
                memcpy(first + i * BATCH, indices, sizeof indices);
            else
                assert_memory_not_equal(first + i * BATCH, indices, sizeof indices);
        }
    }
    shuffle_batch(&shuffle, 1, indices); /* back again */
    assert_memory_equal(first + BATCH, indices, sizeof indices);
    shuffle_free(&shuffle);
}

/* The order is part of what a seed promises: it must not change from version to version. */
static void test_shuffle_golden(void **state)
{
    const uint32_t wanted[] = {7, 1, 9, 3, 2, 6, 4, 0, 5, 8};
    struct shuffle shuffle;
    uint32_t indices[10];
    (void)state;
    assert_true(shuffle_create(&shuffle, 10, 10, UINT64_C(0x123456789)));
    shuffle_batch(&shuffle, UINT64_C(0x100000007), indices);
    for (int i = 0; i < 10; ++i)
        assert_int_equal(indices[i], wanted[i]);
    shuffle_free(&shuffle);
}

/* Every image is as likely at every place: χ² with 25 cells, 16 degrees of freedom, 0.1 % at 39.3. */
static void test_shuffle_is_even(void **state)
{
    enum { EPOCHS = 20000 };
    struct shuffle shuffle;
    uint32_t counts[5][5] = {0}, indices[5];
    double square = 0;
    (void)state;
    assert_true(shuffle_create(&shuffle, 5, 5, 1));
    for (uint64_t epoch = 0; epoch < EPOCHS; ++epoch) {
        shuffle_batch(&shuffle, epoch, indices);
        for (int i = 0; i < 5; ++i)
            ++counts[i][indices[i]];
    }
    for (int i = 0; i < 25; ++i)
        square += pow((double)counts[i / 5][i % 5] - EPOCHS / 5, 2) / (EPOCHS / 5);
    assert_true(square < 39.3);
    shuffle_free(&shuffle);
}

static void test_shuffle_large_batch(void **state)
{
    struct shuffle shuffle;
    uint32_t indices[8], seen[3] = {0};
    (void)state;
    assert_true(shuffle_create(&shuffle, 3, 8, 1));
    for (uint64_t step = 0; step < 3; ++step) { /* 24 places: 8 epochs of 3 */
        shuffle_batch(&shuffle, step, indices);
        for (int i = 0; i < 8; ++i)
            ++seen[indices[i]];
    }
    assert_true(seen[0] == 8 && seen[1] == 8 && seen[2] == 8);
    shuffle_free(&shuffle);
}

/* --- the loader --- */

static vkg_dataset *open_example(struct messages *messages)
{
    uint8_t bytes[256];
    vkg_dataset *dataset;
    files_write(files_path("loader-idx3-ubyte"), bytes, example_idx(bytes));
    assert_int_equal(open_set(messages, files_path("loader-idx3-ubyte"), 0, 0, &dataset), VKG_OK);
    return dataset;
}

static void expect_batch(vkg_loader *loader, uint64_t step, uint32_t batch, const float *pixels)
{
    uint32_t indices[16];
    assert_int_equal(vkg_loader_indices(loader, step, indices), VKG_OK);
    for (uint32_t i = 0; i < batch * IMAGE; ++i)
        assert_true(pixels[i] == (float)example_pixel(indices[i / IMAGE], i % IMAGE) / 127.5f - 1.0f);
}

static void test_loader_in_order(void **state)
{
    struct messages messages;
    vkg_loader *loader;
    static float memory[2][3 * IMAGE];
    float *const slots[] = {memory[0], memory[1]};
    (void)state;
    messages_init(&messages);
    vkg_dataset *dataset = open_example(&messages);
    for (uint64_t first = 0; first < 1000; first += 497) {
        vkg_loader_desc desc = {.batch = 3, .seed = 9, .first_step = first, .slots = 2, .slot_memory = slots};
        assert_int_equal(vkg_loader_create(dataset, &desc, &loader), VKG_OK);
        for (uint64_t step = first; step < first + 50; ++step) {
            uint32_t slot;
            const float *pixels;
            assert_int_equal(vkg_loader_acquire(loader, &slot, &pixels), VKG_OK);
            assert_int_equal(slot, (step - first) % 2);
            assert_ptr_equal(pixels, memory[slot]);
            expect_batch(loader, step, 3, pixels);
            assert_int_equal(vkg_loader_release(loader, slot), VKG_OK);
        }
        vkg_loader_destroy(&loader);
        assert_null(loader);
    }
    vkg_loader_destroy(&loader);
    vkg_dataset_close(&dataset);
}

static void test_loader_labels(void **state)
{
    uint8_t bytes[256];
    struct messages messages;
    vkg_dataset *dataset;
    vkg_loader *loader;
    uint32_t slot, indices[3];
    (void)state;
    messages_init(&messages);
    files_folder(files_path("labelled"));
    write_gzip(files_path("labelled/train-images-idx3-ubyte.gz"), bytes, example_idx(bytes));
    write_gzip(files_path("labelled/train-labels-idx1-ubyte.gz"), bytes, example_labels(bytes, COUNT));
    assert_int_equal(open_set(&messages, files_path("labelled"), 0, 0, &dataset), VKG_OK);
    assert_int_equal(vkg_loader_create(dataset, &(vkg_loader_desc){.batch = 3, .slots = 2}, &loader), VKG_OK);
    for (uint64_t step = 0; step < 20; ++step) {
        assert_int_equal(vkg_loader_acquire(loader, &slot, NULL), VKG_OK);
        assert_int_equal(vkg_loader_indices(loader, step, indices), VKG_OK);
        for (int i = 0; i < 3; ++i)
            assert_int_equal(vkg_loader_labels(loader, slot)[i], vkg_dataset_label(dataset, indices[i]));
        assert_int_equal(vkg_loader_release(loader, slot), VKG_OK);
    }
    vkg_loader_destroy(&loader);
    vkg_dataset_close(&dataset);
}

/* Several batches are held while more are acquired; slots keep what they hold until they are released. */
static void test_loader_holds_slots(void **state)
{
    struct messages messages;
    vkg_loader *loader;
    const float *pixels[3];
    uint32_t slot;
    (void)state;
    messages_init(&messages);
    vkg_dataset *dataset = open_example(&messages);
    const vkg_loader_desc desc = {.batch = 16, .seed = 1};
    assert_int_equal(vkg_loader_create(dataset, &desc, &loader), VKG_OK);
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_loader_release(loader, 0), "none is acquired");
    for (uint64_t step = 0; step < 60; ++step) {
        if (step >= 3)
            assert_int_equal(vkg_loader_release(loader, (uint32_t)(step % 3)), VKG_OK);
        assert_int_equal(vkg_loader_acquire(loader, &slot, &pixels[step % 3]), VKG_OK);
        assert_int_equal(slot, step % 3);
        for (uint64_t held = step < 2 ? 0 : step - 2; held <= step; ++held)
            expect_batch(loader, held, 16, pixels[held % 3]);
    }
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_loader_acquire(loader, &slot, NULL), "all 3 slots");
    expect_failure(&messages, VKG_ERROR_INVALID, vkg_loader_release(loader, 2), "slot 2", "expected 0");
    vkg_loader_destroy(&loader);
    vkg_dataset_close(&dataset);
}

static void test_loader_refusals(void **state)
{
    struct messages messages;
    vkg_loader *loader;
    (void)state;
    messages_init(&messages);
    vkg_dataset *dataset = open_example(&messages);
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_loader_create(dataset, &(vkg_loader_desc){.batch = 0}, &loader), "batch of 0");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_loader_create(dataset, &(vkg_loader_desc){.batch = 1, .slots = 65}, &loader),
                   "65 slots");
    assert_null(loader);
    vkg_dataset_close(&dataset);
}

static void test_loader_ends_at_any_moment(void **state)
{
    struct messages messages;
    (void)state;
    messages_init(&messages);
    vkg_dataset *dataset = open_example(&messages);
    for (uint32_t i = 0; i < 200; ++i) {
        vkg_loader *loader;
        uint32_t slot;
        const vkg_loader_desc desc = {.batch = 1 + i % 16, .seed = i, .slots = 1 + i % 4};
        assert_int_equal(vkg_loader_create(dataset, &desc, &loader), VKG_OK);
        for (uint32_t k = 0; k < i % 3 && k < desc.slots; ++k)
            assert_int_equal(vkg_loader_acquire(loader, &slot, NULL), VKG_OK);
        if (i % 5 == 0)
            usleep(i);
        vkg_loader_destroy(&loader);
    }
    vkg_dataset_close(&dataset);
    assert_int_equal(messages.errors, 0);
}

/* A file that is damaged between others: batches before it come, then the fault, once in the log. */
static void test_loader_fault(void **state)
{
    struct messages messages;
    vkg_dataset *dataset;
    vkg_loader *loader;
    uint32_t slot, given = 0, before = 0, indices[1];
    vkg_result result;
    (void)state;
    messages_init(&messages);
    files_folder(files_path("fault"));
    for (int i = 0; i < 9; ++i) {
        char name[32];
        snprintf(name, sizeof name, "fault/%d.png", i);
        save_png(files_path(name), 1, 1, 1, (const uint8_t *)"x");
    }
    assert_int_equal(open_set(&messages, files_path("fault"), 0, 0, &dataset), VKG_OK);
    files_write(files_path("fault/5.png"), "", 0);
    assert_int_equal(vkg_loader_create(dataset, &(vkg_loader_desc){.batch = 1, .seed = 3}, &loader), VKG_OK);
    for (;; ++before) {
        assert_int_equal(vkg_loader_indices(loader, before, indices), VKG_OK);
        if (indices[0] == 5)
            break;
    }
    while ((result = vkg_loader_acquire(loader, &slot, NULL)) == VKG_OK) {
        assert_int_equal(vkg_loader_release(loader, slot), VKG_OK);
        ++given;
    }
    assert_int_equal(given, before);
    expect_failure(&messages, VKG_ERROR_FORMAT, result, "fault/5.png");
    assert_int_equal(vkg_loader_acquire(loader, &slot, NULL), VKG_ERROR_FORMAT);
    assert_int_equal(messages.errors, 0);
    vkg_loader_destroy(&loader);
    vkg_dataset_close(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shuffle_epochs),
        cmocka_unit_test(test_shuffle_golden),
        cmocka_unit_test(test_shuffle_is_even),
        cmocka_unit_test(test_shuffle_large_batch),
        cmocka_unit_test(test_loader_in_order),
        cmocka_unit_test(test_loader_labels),
        cmocka_unit_test(test_loader_holds_slots),
        cmocka_unit_test(test_loader_refusals),
        cmocka_unit_test(test_loader_ends_at_any_moment),
        cmocka_unit_test(test_loader_fault),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
