/* Attention in blocks: the same numbers as in one piece, or as one kernel, and memory that does not grow with the square of the length. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"
#include "graph/graph.h"
#include "on_device.h"

enum { RESULTS = 4 }; /* the value and three gradients */

struct attention {
    vkg_dtype precision;
    vkg_graph *graph;
    vkg_program *program;
    vkg_tensor *x[4], *results[RESULTS]; /* x: q, k, v, mask */
};

static bool has_a_kernel(void)
{
    return vkg_device_get_caps(test_device())->kernels == VKG_KERNELS_TILED;
}

static void build(struct attention *a, vkg_shape q, vkg_shape k, vkg_shape v, const vkg_shape *mask, uint32_t block_elements)
{
    const vkg_shape shapes[3] = {q, k, v};
    assert_int_equal(vkg_graph_create(test_log(), &a->graph), VKG_OK);
    vkg_graph_set_precision(a->graph, a->precision);
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
    for (int i = 0; i < 4 && whole->x[i] && parts->x[i]; i++) {
        float *one = vkg_program_input(whole->program, whole->x[i], 0);
        float *other = vkg_program_input(parts->program, parts->x[i], 0);
        for (uint64_t k = 0; k < vkg_tensor_elements(whole->x[i]); k++)
            one[k] = other[k] = i == 3 && k % whole->x[3]->shape.dims[whole->x[3]->shape.rank - 1] && test_random(3) == 0 ? -INFINITY : test_random_float();
    }
    assert_int_equal(vkg_program_run(whole->program), VKG_OK);
    assert_int_equal(vkg_program_run(parts->program), VKG_OK);
}

static float largest_of(const float *numbers, uint64_t count)
{
    float largest = 1;
    for (uint64_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(numbers[i]));
    return largest;
}

/* By how much halves of scores, weights and operands may change a result, of its largest. */
static float most_error(vkg_dtype precision)
{
    return precision == VKG_FLOAT16 ? 4e-3f : precision == VKG_BFLOAT16 ? 3e-2f : 1e-5f;
}

static void compare(const struct attention *a, const struct attention *b)
{
    for (int i = 0; i < RESULTS; i++) {
        const float *one = vkg_program_output(a->program, a->results[i], 0);
        const float *other = vkg_program_output(b->program, b->results[i], 0);
        const uint64_t count = vkg_tensor_elements(a->results[i]);
        const float most = most_error(a->precision) * largest_of(one, count);
        for (uint64_t e = 0; e < count; e++)
            if (isnan(one[e]) != isnan(other[e]) || fabsf(one[e] - other[e]) > most)
                fail_msg("%s, result %d, element %llu: %g in one piece, %g otherwise", vkg_dtype_name(a->precision), i,
                         (unsigned long long)e, (double)one[e], (double)other[e]);
    }
}

static void check_of(vkg_shape q, vkg_shape k, vkg_shape v, const vkg_shape *mask, uint32_t block_elements)
{
    struct attention whole = {0}, parts = {0};
    build(&whole, q, k, v, mask, 0);
    build(&parts, q, k, v, mask, block_elements);
    if (block_elements < shape_elements(&q) / q.dims[q.rank - 1] * k.dims[k.rank - 2]) /* there are several blocks */
        assert_true(vkg_program_get_stats(parts.program).dispatches > vkg_program_get_stats(whole.program).dispatches);
    run_alike(&whole, &parts);
    compare(&whole, &parts);
    finish(&whole);
    finish(&parts);
}

static void check(vkg_shape q, vkg_shape k, const vkg_shape *mask, uint32_t block_elements)
{
    check_of(q, k, k, mask, block_elements);
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

/* Beside tiles of 64 rows, columns and elements: below, above, exactly; masks of every dimension. */
struct problem {
    vkg_shape q, k, v, mask;
    bool masked;
};

static struct problem draw_problem(void)
{
    static const uint32_t sizes[] = {1, 3, 4, 16, 60, 63, 64, 65, 128, 130};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    vkg_shape q = {.rank = 2 + test_random(5)}, k, v, mask;
    for (uint32_t i = 0; i < q.rank; i++)
        q.dims[i] = i + 2 < q.rank ? 1 + test_random(q.rank > 4 ? 2 : 3) : sizes[test_random(SIZES)];
    k = v = mask = q;
    k.dims[q.rank - 2] = v.dims[q.rank - 2] = sizes[1 + test_random(SIZES - 1)]; /* of one, two gradients are 0, and their errors are not */
    v.dims[q.rank - 1] = sizes[test_random(SIZES)];
    mask.dims[q.rank - 1] = k.dims[q.rank - 2];
    for (uint32_t i = 0; i < mask.rank; i++)
        mask.dims[i] = test_random(3) ? mask.dims[i] : 1;
    const struct problem problem = {q, k, v, mask, test_random(2)};
    print_message("q %s, k %s, v %s, mask %s\n", SHAPE(&q), SHAPE(&k), SHAPE(&v), problem.masked ? SHAPE(&mask) : "none");
    return problem;
}

static void a_kernel_changes_nothing(void **unused)
{
    (void)unused;
    if (!has_a_kernel())
        skip();
    const bool can_compile_much = !strstr(test_device()->caps.driver_name, "SwiftShader"); /* in minutes */
    const uint32_t nvidia = 0x10de;
    vkg_device_caps *caps = &test_device()->caps, own = *caps;
    for (int i = 0; i < 12; i++) {
        if (i % 2 && can_compile_much) /* such a card, whose threads compute more */
            caps->type = VKG_DEVICE_DISCRETE, caps->vendor_id = nvidia;
        const struct problem p = draw_problem();
        check_of(p.q, p.k, p.v, p.masked ? &p.mask : NULL, 1u << 24);
        *caps = own;
    }
}

/* By kernels of matrices, where the device has them, and by products of halves. */
static void halves_change_little(void **unused)
{
    (void)unused;
    for (int i = 0; i < 6; i++) {
        struct attention halves = {.precision = i % 2 ? VKG_FLOAT16 : VKG_BFLOAT16}, floats = {0};
        const struct problem p = draw_problem();
        build(&halves, p.q, p.k, p.v, p.masked ? &p.mask : NULL, 0);
        build(&floats, p.q, p.k, p.v, p.masked ? &p.mask : NULL, 0);
        run_alike(&halves, &floats);
        compare(&halves, &floats);
        finish(&halves);
        finish(&floats);
    }
}

/* Two tiles of keys are shut off for all, then some for each; and all of them for one query, which is no number. */
static void masks_may_shut_off_tiles(void **unused)
{
    (void)unused;
    enum { QUERIES = 5, KEYS = 200 };
    struct attention a = {0};
    const vkg_shape mask = VKG_SHAPE(QUERIES, KEYS);
    build(&a, VKG_SHAPE(QUERIES, 4), VKG_SHAPE(KEYS, 4), VKG_SHAPE(KEYS, 1), &mask, 0);
    for (int i = 0; i < 3; i++)
        for (uint64_t k = 0; k < vkg_tensor_elements(a.x[i]); k++)
            ((float *)vkg_program_input(a.program, a.x[i], 0))[k] = i == 1 ? 1 : (float)k;
    for (int i = 0; i < QUERIES * KEYS; i++)
        ((float *)vkg_program_input(a.program, a.x[3], 0))[i] = i % KEYS < 128 + i / KEYS || i / KEYS == 4 ? -INFINITY : 0;
    assert_int_equal(vkg_program_run(a.program), VKG_OK);
    const float *y = vkg_program_output(a.program, a.results[0], 0);
    for (int query = 0; query < QUERIES - 1; query++)
        assert_float_equal(y[query], (float)(128 + query + KEYS - 1) / 2, 1e-3);
    assert_true(isnan(y[QUERIES - 1]));
    finish(&a);
}

/* What shuts off a query as a whole, but as a number, leaves it all keys alike, in its gradients too. */
static void lowest_masks_weigh_alike_in(vkg_dtype precision)
{
    enum { QUERIES = 6, KEYS = 70 };
    static const float masks[QUERIES] = {0, -1e4f, -1e5f, -1e9f, -FLT_MAX, -FLT_MAX / 2};
    struct attention whole = {.precision = precision}, parts = {0};
    const vkg_shape q = VKG_SHAPE(QUERIES, 4), k = VKG_SHAPE(KEYS, 4), v = VKG_SHAPE(KEYS, 3), mask = VKG_SHAPE(QUERIES, 1);
    build(&whole, q, k, v, &mask, 0);
    build(&parts, q, k, v, NULL, 1u << 24);
    run_alike(&whole, &parts);
    for (struct attention *a = &whole; a; a = a == &whole ? &parts : NULL) {
        memset(vkg_program_input(a->program, a->x[0], 0), 0, QUERIES * 4 * sizeof(float)); /* all scores are 0 */
        memset(vkg_program_input(a->program, a->x[1], 0), 0, KEYS * 4 * sizeof(float));
        if (a->x[3])
            memcpy(vkg_program_input(a->program, a->x[3], 0), masks, sizeof masks);
        assert_int_equal(vkg_program_run(a->program), VKG_OK);
    }
    compare(&whole, &parts);
    finish(&whole);
    finish(&parts);
}

static void lowest_masks_weigh_alike(void **unused)
{
    (void)unused;
    lowest_masks_weigh_alike_in(VKG_FLOAT32);
    lowest_masks_weigh_alike_in(VKG_FLOAT16);
    lowest_masks_weigh_alike_in(VKG_BFLOAT16);
}

/* Of a query or a key that is no number nothing that follows is one: by kernels of halves, too. */
static void what_is_no_number_stays_none(void **unused)
{
    (void)unused;
    for (int i = 0; i < 6; i++) {
        struct attention a = {.precision = (vkg_dtype[]){VKG_FLOAT32, VKG_FLOAT16, VKG_BFLOAT16}[i % 3]};
        build(&a, VKG_SHAPE(5, 8), VKG_SHAPE(7, 8), VKG_SHAPE(7, 8), NULL, 0);
        for (int x = 0; x < 3; x++)
            for (uint64_t e = 0; e < vkg_tensor_elements(a.x[x]); e++)
                ((float *)vkg_program_input(a.program, a.x[x], 0))[e] = x == i / 3 && e < 8 ? NAN : 0.5f; /* a query, or a key */
        assert_int_equal(vkg_program_run(a.program), VKG_OK);
        assert_true(isnan(*(const float *)vkg_program_output(a.program, a.results[0], 0)));
        for (int r = 2; r < RESULTS; r++) /* of keys and values */
            assert_true(isnan(*(const float *)vkg_program_output(a.program, a.results[r], 0)));
        finish(&a);
    }
}

/* A mask is read as float32, whatever its type. */
static void masks_may_be_of_any_type(void **unused)
{
    (void)unused;
    enum { KEYS = 3 };
    static const vkg_dtype types[] = {VKG_INT32, VKG_FLOAT16, VKG_BFLOAT16};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        vkg_graph *graph;
        vkg_program *program;
        assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
        vkg_tensor *q = vkg_constant(graph, 0, VKG_SHAPE(1, 4)), *k = vkg_constant(graph, 0, VKG_SHAPE(KEYS, 4));
        vkg_tensor *v = vkg_input(graph, "v", VKG_SHAPE(KEYS, 1)), *mask = vkg_input(graph, "mask", VKG_SHAPE(KEYS));
        mask = vkg_reshape(graph, vkg_cast(graph, mask, types[t]), VKG_SHAPE(1, KEYS));
        vkg_tensor *y = vkg_scaled_dot_product_attention(graph, q, k, v, &(vkg_attention_desc){.mask = mask});
        vkg_output(graph, "y", y);
        assert_int_equal(vkg_program_create(test_device(), graph, NULL, NULL, &program), VKG_OK);
        memcpy(vkg_program_input(program, v, 0), (float[]){1, 2, 3}, KEYS * sizeof(float));
        memcpy(vkg_program_input(program, mask->inputs[0]->inputs[0], 0), (float[]){0, 1, 3}, KEYS * sizeof(float));
        assert_int_equal(vkg_program_run(program), VKG_OK);
        const float expected = (1 + 2 * expf(1) + 3 * expf(3)) / (1 + expf(1) + expf(3));
        assert_float_equal(*(const float *)vkg_program_output(program, y, 0), expected, 1e-5);
        vkg_program_destroy(&program);
        vkg_graph_destroy(&graph);
    }
}

/* A map of 64 × 64 pixels with 8 heads: one matrix of all scores would take 512 MiB, and PyTorch's backward pass three. */
static void memory_is_that_of_a_few_blocks(void **unused)
{
    (void)unused;
    struct attention map = {0};
    const uint64_t scores = 8ull * 4096 * 4096 * sizeof(float);
    const vkg_shape shape = VKG_SHAPE(1, 8, 4096, 64);
    build(&map, shape, shape, shape, NULL, 0);
    vkg_program_stats stats = vkg_program_get_stats(map.program);
    printf("64 x 64 map, 8 heads: %.0f MB for value and gradients; all scores take %.0f MB\n",
           (double)stats.temporary_bytes / 1e6, (double)scores / 1e6);
    assert_true(stats.temporary_bytes < (has_a_kernel() ? 9 * 8ull * 4096 * 64 * sizeof(float) : scores));
    finish(&map);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_change_nothing), cmocka_unit_test(a_kernel_changes_nothing),
                                       cmocka_unit_test(halves_change_little),
                                       cmocka_unit_test(masks_may_shut_off_tiles), cmocka_unit_test(lowest_masks_weigh_alike),
                                       cmocka_unit_test(what_is_no_number_stays_none), cmocka_unit_test(masks_may_be_of_any_type),
                                       cmocka_unit_test(memory_is_that_of_a_few_blocks)};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
