/* vkg_image_resize against PIL (reference/resize.py). */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "vkgan/io.h"

/* A tensor of bytes [height, width, 3] as an image; free it. */
static vkg_image read_image(const vkg_safetensors *file, uint32_t index)
{
    const vkg_safetensors_entry *entry = vkg_safetensors_get(file, index);
    assert_true(entry->dtype == VKG_FILE_U8 && entry->rank == 3);
    vkg_image image = {(uint32_t)entry->dims[1], (uint32_t)entry->dims[0], (uint32_t)entry->dims[2],
                       malloc(entry->size)};
    assert_int_equal(vkg_safetensors_read(file, index, image.pixels, entry->size), VKG_OK);
    return image;
}

static bool begins_with(const char *name, const char *word)
{
    return strncmp(name, word, strlen(word)) == 0;
}

static void test_as_pil(void **state)
{
    static const char *const NAMES[] = {"bilinear_", "bicubic_", "lanczos_"};
    vkg_safetensors *file;
    int compared = 0;
    (void)state;
    assert_int_equal(vkg_safetensors_open(NULL, VKGAN_TEST_DATA "/resize.safetensors", &file), VKG_OK);
    vkg_image image = read_image(file, vkg_safetensors_find(file, "bytes"));
    for (uint32_t i = 0; i < vkg_safetensors_count(file); ++i) {
        const char *name = vkg_safetensors_get(file, i)->name;
        for (int filter = 0; filter < 3; ++filter) {
            if (!begins_with(name, NAMES[filter]))
                continue;
            vkg_image wanted = read_image(file, i), resized;
            assert_int_equal(
                vkg_image_resize(NULL, &image, wanted.width, wanted.height, (vkg_image_filter)filter, &resized),
                VKG_OK);
            for (uint32_t p = 0; p < wanted.width * wanted.height * 3; ++p)
                if (wanted.pixels[p] != resized.pixels[p])
                    fail_msg("%s: byte %u is %u, expected %u", name, p, resized.pixels[p], wanted.pixels[p]);
            ++compared;
            vkg_image_free(&wanted);
            vkg_image_free(&resized);
        }
    }
    assert_int_equal(compared, 18);
    vkg_image_free(&image);
    vkg_safetensors_close(&file);
}

static void test_refusals(void **state)
{
    struct messages messages;
    uint8_t pixels[4] = {0};
    vkg_image image = {2, 2, 1, pixels}, resized;
    (void)state;
    messages_init(&messages);
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_image_resize(&messages.log, &image, 0, 2, VKG_IMAGE_BICUBIC, &resized), "2×2", "to 0×2");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_image_resize(&messages.log, &image, 2, 20000, VKG_IMAGE_BICUBIC, &resized), "2×20000");
    expect_failure(&messages, VKG_ERROR_INVALID,
                   vkg_image_resize(&messages.log, &image, 2, 2, (vkg_image_filter)9, &resized), "filter 9");
    assert_null(resized.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_pil),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
