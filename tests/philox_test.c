#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/philox.h"

/* The known answers that come with the paper's own implementation (Random123, kat_vectors). */
static void test_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } CASES[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; ++i) {
        uint32_t out[4];
        philox4x32(CASES[i].counter, CASES[i].key, out);
        assert_memory_equal(out, CASES[i].answer, sizeof out);
    }
}

static void test_in_place(void **state)
{
    uint32_t words[4] = {1, 2, 3, 4}, other[4];
    const uint32_t key[2] = {5, 6};
    (void)state;
    philox4x32(words, key, other);
    philox4x32(words, key, words);
    assert_memory_equal(words, other, sizeof words);
}

static void test_uniform_ends(void **state)
{
    (void)state;
    assert_true(philox_uniform(0) == 0x1p-25f);
    assert_true(philox_uniform(0xff) == 0x1p-25f);
    assert_true(philox_uniform(0x80000000u) == 0.5f); /* 2²³ + 0.5 rounds to even */
    assert_true(philox_uniform(UINT32_MAX) == 1.0f);
}

static void test_normals(void **state)
{
    enum { COUNT = 100000 };
    double sum = 0, squares = 0, fourth = 0, cross = 0;
    (void)state;
    for (uint32_t i = 0; i < COUNT; ++i) {
        uint32_t words[4] = {i, 0, 0, 0};
        float normals[2];
        philox4x32(words, (uint32_t[2]){7, 0}, words);
        philox_normals(words[0], words[1], normals);
        assert_true(isfinite(normals[0]) && isfinite(normals[1]));
        for (int k = 0; k < 2; ++k) {
            double x = normals[k];
            sum += x;
            squares += x * x;
            fourth += x * x * x * x;
        }
        cross += (double)normals[0] * normals[1];
    }
    /* Five standard deviations of each estimate. */
    assert_true(fabs(sum / (2 * COUNT)) < 5 * sqrt(1.0 / (2 * COUNT)));
    assert_true(fabs(squares / (2 * COUNT) - 1) < 5 * sqrt(2.0 / (2 * COUNT)));
    assert_true(fabs(fourth / (2 * COUNT) - 3) < 5 * sqrt(96.0 / (2 * COUNT)));
    assert_true(fabs(cross / COUNT) < 5 * sqrt(1.0 / COUNT));
}

static void test_normal_ends(void **state)
{
    const uint32_t words[] = {0, 1, 0x7fffffffu, 0x80000000u, UINT32_MAX};
    (void)state;
    for (size_t i = 0; i < 5; ++i) {
        for (size_t j = 0; j < 5; ++j) {
            float normals[2];
            philox_normals(words[i], words[j], normals);
            assert_true(fabsf(normals[0]) < 6.0f && fabsf(normals[1]) < 6.0f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers), cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_uniform_ends),  cmocka_unit_test(test_normals),
        cmocka_unit_test(test_normal_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
