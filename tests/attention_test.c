/* Attention in blocks: the same numbers as in one piece, and memory that does not grow with the square of the length. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"

enum { RESULTS = 4 }; /* the value and three gradients */

struct attention {
    vkg_graph *graph;
    vkg_program *program;
    vkg_tensor *x[4], *results[RESULTS]; /* x: q, k, v, mask */
};

static void build(struct attention *a, vkg_shape q, vkg_shape k, const vkg_shape *mask, uint32_t block_elements)
{
    const vkg_shape shapes[3] = {q, k, k};
    assert_int_equal(vkg_graph_create(test_log(), &a->graph), VKG_OK);
    for (int i = 0; i < 3; i++)
        a->x[i] = vkg_input(a->graph, "x", shapes[i]);
    a->x[3] = mask ? vkg_input(a->graph, "mask", *mask) : NULL;
    a->results[0] = vkg_scaled_dot_product_attention(
        a->graph, a->x[0], a->x[1], a->x[2], &(vkg_attention_desc){.mask = a->x[3], .block_elements = block_elements});
    vkg_gradients(a->graph, vkg_square(a->graph, a->results[0]), a->x, 3, &a->results[1]);
    for (int i = 0; i < RESULTS; i++)
        vkg_output(a->graph, "result", a->results[i]);
    assert_int_equal(vkg_program_create(test_device(), a->graph, NULL, NULL, &a->program), VKG_OK);
}

static void finish(struct attention *a)
{
    vkg_program_destroy(&a->program);
    vkg_graph_destroy(&a->graph);
}

static void run_alike(struct attention *whole, struct attention *parts)
{
    for (int i = 0; i < 4 && whole->x[i]; i++) {
        float *one = vkg_program_input(whole->program, whole->x[i], 0);
        float *other = vkg_program_input(parts->program, parts->x[i], 0);
        for (uint64_t k = 0; k < vkg_tensor_elements(whole->x[i]); k++)
            one[k] = other[k] = test_random_float();
    }
    assert_int_equal(vkg_program_run(whole->program), VKG_OK);
    assert_int_equal(vkg_program_run(parts->program), VKG_OK);
}

static void check(vkg_shape q, vkg_shape k, const vkg_shape *mask, uint32_t block_elements)
{
    struct attention whole, parts;
    build(&whole, q, k, mask, 0);
    build(&parts, q, k, mask, block_elements);
    assert_true(vkg_program_get_stats(parts.program).dispatches > vkg_program_get_stats(whole.program).dispatches);
    run_alike(&whole, &parts);
    for (int i = 0; i < RESULTS; i++) {
        const float *one = vkg_program_output(whole.program, whole.results[i], 0);
        const float *other = vkg_program_output(parts.program, parts.results[i], 0);
        for (uint64_t e = 0; e < vkg_tensor_elements(whole.results[i]); e++)
            if (!(fabsf(one[e] - other[e]) <= 1e-5f * (1 + fabsf(one[e]))))
                fail_msg("result %d, element %llu: %g in one piece, %g in blocks", i, (unsigned long long)e,
                         (double)one[e], (double)other[e]);
    }
    finish(&whole);
    finish(&parts);
}

static void blocks_change_nothing(void **unused)
{
    (void)unused;
    const vkg_shape row = VKG_SHAPE(1, 9), full = VKG_SHAPE(2, 1, 13, 9);
    check(VKG_SHAPE(13, 8), VKG_SHAPE(9, 8), NULL, 9 * 4);
    check(VKG_SHAPE(13, 5), VKG_SHAPE(9, 5), &row, 1);
    check(VKG_SHAPE(2, 3, 13, 4), VKG_SHAPE(2, 3, 9, 4), &full, 6 * 9 * 5);
    uint32_t length = 20 + test_random(20);
    check(VKG_SHAPE(3, length, 7), VKG_SHAPE(3, length, 7), NULL, 3 * length * (1 + test_random(7)));
}

/* A map of 64 × 64 pixels with 8 heads: one matrix of all scores would take 512 MiB, and PyTorch's backward pass three. */
static void memory_is_that_of_a_few_blocks(void **unused)
{
    (void)unused;
    struct attention map;
    const uint64_t scores = 8ull * 4096 * 4096 * sizeof(float);
    build(&map, VKG_SHAPE(1, 8, 4096, 64), VKG_SHAPE(1, 8, 4096, 64), NULL, 0);
    vkg_program_stats stats = vkg_program_get_stats(map.program);
    printf("64 x 64 map, 8 heads: %.0f MB for value and gradients; all scores take %.0f MB\n",
           (double)stats.temporary_bytes / 1e6, (double)scores / 1e6);
    assert_true(stats.temporary_bytes < scores);
    finish(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_change_nothing),
                                       cmocka_unit_test(memory_is_that_of_a_few_blocks)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
