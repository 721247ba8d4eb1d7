/* Types other than float32: what is read, converted and stored, whatever the size. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "on_device.h"

struct run {
    vkg_graph *graph;
    vkg_program *program;
};

static void begin(struct run *run)
{
    assert_int_equal(vkg_graph_create(test_log(), &run->graph), VKG_OK);
}

static void build(struct run *run)
{
    assert_int_equal(vkg_program_create(test_device(), run->graph, NULL, NULL, &run->program), VKG_OK);
}

static void finish(struct run *run)
{
    vkg_program_destroy(&run->program);
    vkg_graph_destroy(&run->graph);
}

/* --- reading --- */

/* y = 2·x + 1 of bytes and of integers, and the sum of each column. */
static void check_reading(uint32_t rows, uint32_t columns)
{
    struct run run;
    begin(&run);
    vkg_tensor *bytes = vkg_input_typed(run.graph, "bytes", VKG_SHAPE(rows, columns), VKG_UINT8);
    vkg_tensor *ints = vkg_input_typed(run.graph, "ints", VKG_SHAPE(rows, columns), VKG_INT32);
    vkg_tensor *doubled[2] = {vkg_affine(run.graph, bytes, 2, 1), vkg_affine(run.graph, ints, 2, 1)};
    vkg_tensor *sums[2] = {vkg_sum(run.graph, bytes, 1, false), vkg_sum(run.graph, ints, 1, false)};
    vkg_tensor *turned = vkg_flip(run.graph, vkg_transpose(run.graph, bytes, 0, 1), 3);
    vkg_tensor *outputs[] = {doubled[0], doubled[1], sums[0], sums[1], turned};
    for (int i = 0; i < 5; i++)
        vkg_output(run.graph, "output", outputs[i]);
    build(&run);
    uint8_t *b = vkg_program_input(run.program, bytes, 0);
    int32_t *n = vkg_program_input(run.program, ints, 0);
    for (uint32_t i = 0; i < rows * columns; i++) {
        b[i] = (uint8_t)test_random(256);
        n[i] = (int32_t)test_random(1 << 20) - (1 << 19);
    }
    assert_int_equal(vkg_program_run(run.program), VKG_OK);
    const float *found[5];
    for (int i = 0; i < 5; i++)
        found[i] = vkg_program_output(run.program, outputs[i], 0);
    for (uint32_t c = 0; c < columns; c++) {
        double sum[2] = {0};
        for (uint32_t r = 0; r < rows; r++) {
            uint32_t i = r * columns + c;
            sum[0] += b[i], sum[1] += n[i];
            assert_true(found[0][i] == 2.0f * (float)b[i] + 1);
            assert_true(found[1][i] == 2.0f * (float)n[i] + 1);
            assert_true(found[4][(columns - 1 - c) * rows + (rows - 1 - r)] == (float)b[i]);
        }
        if (found[2][c] != (float)sum[0])
            fail_msg("bytes [%u, %u]: column %u sums to %g, expected %g", rows, columns, c, (double)found[2][c], sum[0]);
        assert_true(fabs((double)found[3][c] - sum[1]) <= 1e-6 * (1 + fabs(sum[1])) * rows);
    }
    finish(&run);
}

static void every_type_is_read_as_a_number(void **unused)
{
    (void)unused;
    check_reading(3, 8);
    check_reading(5, 7);
    check_reading(1, 1);
    check_reading(1 + test_random(20), 1 + test_random(40));
}

/* --- storing --- */

static float half_of(uint16_t bits, bool brain)
{
    uint32_t word = (uint32_t)bits << 16;
    float number;
    if (!brain) {
        uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
        double size = exponent ? ldexp(1024 + fraction, (int)exponent - 25) : ldexp(fraction, -24);
        return (float)(bits >> 15 ? -size : size);
    }
    memcpy(&number, &word, sizeof number);
    return number;
}

/* Halves within half a unit of their last place; integers cut towards zero; bytes within their range; and reading what
 * was stored gives the same numbers as computing with it in the kernel that stores. */
static void check_storing(vkg_dtype dtype, uint32_t count)
{
    struct run run;
    begin(&run);
    vkg_tensor *x = vkg_input(run.graph, "x", VKG_SHAPE(count));
    vkg_tensor *y = vkg_cast(run.graph, x, dtype), *back = vkg_affine(run.graph, y, 2, 0);
    vkg_output(run.graph, "y", y);
    vkg_output(run.graph, "back", back);
    build(&run);
    float *data = vkg_program_input(run.program, x, 0);
    for (uint32_t i = 0; i < count; i++)
        data[i] = 300 * test_random_float();
    assert_int_equal(vkg_program_run(run.program), VKG_OK);
    const void *stored = vkg_program_output(run.program, y, 0);
    const float *doubled = vkg_program_output(run.program, back, 0);
    for (uint32_t i = 0; i < count; i++) {
        double number, expected = (double)data[i], tolerance = 0;
        if (dtype == VKG_INT32)
            number = ((const int32_t *)stored)[i], expected = trunc(expected);
        else if (dtype == VKG_UINT8)
            number = ((const uint8_t *)stored)[i], expected = fmin(fmax(trunc(expected), 0), 255);
        else {
            number = (double)half_of(((const uint16_t *)stored)[i], dtype == VKG_BFLOAT16);
            tolerance = fabs(expected) * (dtype == VKG_BFLOAT16 ? 1.0 / 256 : 1.0 / 2048) + 1e-6;
        }
        if (!(fabs(number - expected) <= tolerance) || doubled[i] != 2 * (float)number)
            fail_msg("%s, element %u of %u: %g became %g, and doubled %g", vkg_dtype_name(dtype), i, count,
                     (double)data[i], number, (double)doubled[i]);
    }
    finish(&run);
}

static void results_are_stored_as_their_type(void **unused)
{
    (void)unused;
    const uint32_t counts[] = {4, 8, 64, 4 * (1 + test_random(50))};
    for (int i = 0; i < 4; i++) {
        check_storing(VKG_INT32, counts[i]);
        check_storing(VKG_UINT8, counts[i]);
        check_storing(VKG_FLOAT16, counts[i]);
        check_storing(VKG_BFLOAT16, counts[i]);
    }
    check_storing(VKG_INT32, 7);
    check_storing(VKG_FLOAT16, 7);
    check_storing(VKG_BFLOAT16, 1);
}

static void what_cannot_be_stored_is_refused(void **unused)
{
    (void)unused;
    struct run run = {0};
    begin(&run);
    vkg_output(run.graph, "y", vkg_cast(run.graph, vkg_input(run.graph, "x", VKG_SHAPE(7)), VKG_UINT8));
    test_expect_errors(true);
    assert_int_equal(vkg_program_create(test_device(), run.graph, NULL, NULL, &run.program), VKG_ERROR_UNSUPPORTED);
    assert_non_null(strstr(test_last_error(), "uint8"));
    finish(&run);
    begin(&run);
    vkg_tensor *ints = vkg_input_typed(run.graph, "ints", VKG_SHAPE(3, 3), VKG_INT32);
    vkg_matmul(run.graph, ints, ints, false, false);
    assert_non_null(strstr(vkg_graph_error(run.graph), "int32, expected float32"));
    test_expect_errors(false);
    finish(&run);
}

/* --- moving --- */

/* The type is that of what moves, however far it does. */
static void moves_keep_words_and_widen_the_rest(void **unused)
{
    (void)unused;
    static const vkg_dtype dtypes[] = {VKG_FLOAT32, VKG_UINT32, VKG_INT32, VKG_UINT8, VKG_FLOAT16, VKG_BFLOAT16};
    for (int k = 0; k < 6; k++) {
        struct run run = {0};
        begin(&run);
        vkg_graph *g = run.graph;
        vkg_tensor *x = vkg_input_typed(g, "x", VKG_SHAPE(4, 8), dtypes[k]), *parts[2], *moved[40];
        const vkg_dtype words = vkg_dtype_size(dtypes[k]) == 4 ? dtypes[k] : VKG_FLOAT32;
        uint32_t count = 0;
        for (uint32_t far = 0; far < 2; far++) { /* 0: nothing moves */
            moved[count++] = vkg_permute(g, x, (const uint32_t[]){far, 1 - far});
            moved[count++] = vkg_transpose(g, x, 0, far);
            moved[count++] = vkg_slice(g, x, 1, far, 8 - far, 1);
            moved[count++] = vkg_spread(g, x, 0, 1 + far);
            moved[count++] = vkg_flip(g, x, far);
            moved[count++] = vkg_roll(g, x, 1, (int32_t)far);
            moved[count++] = vkg_broadcast(g, x, far ? VKG_SHAPE(3, 4, 8) : VKG_SHAPE(4, 8));
            moved[count++] = vkg_concat(g, (vkg_tensor *[]){x, x}, 1 + far, 0);
            moved[count++] = vkg_stack(g, (vkg_tensor *[]){x, x}, 1 + far, 0);
            for (int mode = VKG_PAD_CONSTANT; mode <= VKG_PAD_CIRCULAR; mode++)
                moved[count++] = vkg_pad(g, x, 1, (int32_t)far, 0, (vkg_pad_mode)mode, 7);
            vkg_split(g, x, 0, 1 + far, parts);
            moved[count++] = parts[far];
        }
        for (uint32_t i = 0; i < count; i++)
            if (moved[i]->poisoned || moved[i]->dtype != words)
                fail_msg("%s: move %u has type %s", vkg_dtype_name(dtypes[k]), i, vkg_dtype_name(moved[i]->dtype));
        assert_int_equal(vkg_pow(g, x, vkg_constant(g, 1, VKG_SCALAR))->dtype, VKG_FLOAT32);
        assert_int_equal(vkg_dropout(g, x, 0)->dtype, VKG_FLOAT32);
        finish(&run);
    }
}

static void images_of_bytes_are_resized(void **unused)
{
    (void)unused;
    for (uint32_t twice = 0; twice < 2; twice++) { /* 0: nothing is to be done */
        struct run run;
        begin(&run);
        const uint32_t side = twice ? 1 : 2;
        const vkg_pool_desc pool = {.kernel = {1 + twice, 1 + twice}};
        const vkg_interpolate_desc size = {.size = {side, side}, .mode = VKG_LINEAR};
        const vkg_fir_desc fir = {.filter = (const float[]){0.5f, 0.5f}, .taps = 1 + twice, .gain = twice ? 1 : 4};
        vkg_tensor *x = vkg_input_typed(run.graph, "x", VKG_SHAPE(1, 2, 2, 1), VKG_UINT8);
        vkg_tensor *results[] = {vkg_interpolate(run.graph, x, &size), vkg_avg_pool(run.graph, x, &pool),
                                 vkg_adaptive_avg_pool(run.graph, x, size.size), vkg_max_pool(run.graph, x, &pool),
                                 vkg_upfirdn2d(run.graph, x, &fir)};
        for (int i = 0; i < 5; i++)
            vkg_output(run.graph, "result", results[i]);
        build(&run);
        memcpy(vkg_program_input(run.program, x, 0), (const uint8_t[]){10, 20, 30, 240}, 4);
        assert_int_equal(vkg_program_run(run.program), VKG_OK);
        for (int i = 0; i < 5; i++) {
            const float *found = vkg_program_output(run.program, results[i], 0);
            assert_int_equal(results[i]->dtype, VKG_FLOAT32);
            const float expected = twice && i != 3 ? 75 : 240; /* the mean, or the last and greatest */
            assert_float_equal(found[side * side - 1], expected, 1e-4);
        }
        finish(&run);
    }
}

/* Integers padded in every mode are integers, with the numbers that floats would have. */
static void integers_are_padded(void **unused)
{
    (void)unused;
    static const int32_t expected[4][7] = {
        {-7, -7, 1, 2, 3, -7, -7}, {3, 2, 1, 2, 3, 2, 1}, {1, 1, 1, 2, 3, 3, 3}, {2, 3, 1, 2, 3, 1, 2}};
    struct run run;
    begin(&run);
    vkg_tensor *x = vkg_input_typed(run.graph, "x", VKG_SHAPE(3), VKG_INT32), *padded[4];
    for (int mode = VKG_PAD_CONSTANT; mode <= VKG_PAD_CIRCULAR; mode++) {
        padded[mode] = vkg_pad(run.graph, x, 0, 2, 2, (vkg_pad_mode)mode, -7);
        vkg_output(run.graph, "padded", padded[mode]);
    }
    build(&run);
    memcpy(vkg_program_input(run.program, x, 0), (const int32_t[]){1, 2, 3}, 12);
    assert_int_equal(vkg_program_run(run.program), VKG_OK);
    for (int mode = VKG_PAD_CONSTANT; mode <= VKG_PAD_CIRCULAR; mode++)
        assert_memory_equal(vkg_program_output(run.program, padded[mode], 0), expected[mode], sizeof expected[mode]);
    finish(&run);
}

/* Integers beside fractions become float32, whichever comes first. */
static void joined_types_lose_nothing(void **unused)
{
    (void)unused;
    struct run run;
    begin(&run);
    vkg_tensor *pair[] = {vkg_input_typed(run.graph, "ints", VKG_SHAPE(2), VKG_INT32), vkg_input(run.graph, "x", VKG_SHAPE(2))};
    vkg_tensor *joined = vkg_concat(run.graph, pair, 2, 0), *stacked = vkg_stack(run.graph, pair, 2, 0);
    vkg_output(run.graph, "joined", joined);
    vkg_output(run.graph, "stacked", stacked);
    build(&run);
    memcpy(vkg_program_input(run.program, pair[0], 0), (const int32_t[]){3, -4}, 8);
    memcpy(vkg_program_input(run.program, pair[1], 0), (const float[]){0.5f, -0.25f}, 8);
    assert_int_equal(vkg_program_run(run.program), VKG_OK);
    assert_memory_equal(vkg_program_output(run.program, joined, 0), ((const float[]){3, -4, 0.5f, -0.25f}), 16);
    assert_memory_equal(vkg_program_output(run.program, stacked, 0), ((const float[]){3, -4, 0.5f, -0.25f}), 16);
    finish(&run);
}

/* --- indices --- */

static void the_first_greatest_is_found(void **unused)
{
    (void)unused;
    for (int round = 0; round < 6; round++) {
        struct run run;
        begin(&run);
        uint32_t outer = 1 + test_random(5), size = 1 + test_random(40), inner = 1 + test_random(9);
        vkg_tensor *x = vkg_input(run.graph, "x", VKG_SHAPE(outer, size, inner));
        vkg_tensor *y = vkg_argmax(run.graph, x, 1, false);
        vkg_output(run.graph, "y", y);
        build(&run);
        float *data = vkg_program_input(run.program, x, 0);
        for (uint32_t i = 0; i < outer * size * inner; i++)
            data[i] = (float)test_random(5); /* many are equal */
        assert_int_equal(vkg_program_run(run.program), VKG_OK);
        const int32_t *found = vkg_program_output(run.program, y, 0);
        for (uint32_t i = 0; i < outer * inner; i++) {
            const float *line = data + i / inner * size * inner + i % inner;
            int32_t first = 0;
            for (uint32_t k = 1; k < size; k++)
                if (line[k * inner] > line[(uint32_t)first * inner])
                    first = (int32_t)k;
            assert_int_equal(found[i], first);
        }
        finish(&run);
    }
}

/* --- mixed precision --- */

static vkg_tensor *rounded(vkg_graph *g, vkg_tensor *a, vkg_dtype dtype)
{
    return vkg_cast(g, vkg_cast(g, a, dtype), VKG_FLOAT32);
}

/* The largest difference, relative to the largest value. */
static double difference(const vkg_program *program, const vkg_tensor *a, const vkg_tensor *b)
{
    const float *found = vkg_program_output(program, a, 0), *expected = vkg_program_output(program, b, 0);
    double most = 0, largest = 1e-30;
    for (uint64_t i = 0; i < vkg_tensor_elements(a); i++) {
        assert_false(isnan(found[i]));
        most = fmax(most, fabs((double)found[i] - (double)expected[i]));
        largest = fmax(largest, fabs((double)expected[i]));
    }
    return most / largest;
}

/* A convolution in a precision, its gradients and a gradient of a gradient are those in float32 of operands that were
 * rounded by hand, and not those of operands that were not; bit by bit where channels come in eights, and no matrices of halves
 * sum in an order of their own. */
static void check_precision(vkg_dtype precision, uint32_t ci, uint32_t co)
{
    enum { RESULTS = 4 };
    const vkg_conv_geometry geometry = {.stride = {2, 2}, .padding = {1, 1}};
    const uint32_t size[] = {8, 8}, kernel[] = {4, 4};
    struct run run;
    begin(&run);
    vkg_graph *g = run.graph;
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(3, 8, 8, ci)), *w = vkg_input(g, "w", VKG_SHAPE(4, 4, ci, co));
    vkg_tensor *dy = vkg_input(g, "dy", VKG_SHAPE(3, 4, 4, co)), *u = vkg_input(g, "u", VKG_SHAPE(3, 8, 8, ci));
    vkg_tensor *inputs[] = {x, w, dy, u}, *mixed[RESULTS], *by_hand[RESULTS];
    vkg_graph_set_precision(g, precision);
    mixed[0] = vkg_convolution(g, x, w, geometry);
    vkg_gradients(g, vkg_sum(g, vkg_mul(g, mixed[0], dy), VKG_ALL_AXES, false), (vkg_tensor *[]){x, w}, 2, mixed + 1);
    vkg_gradients(g, vkg_sum(g, vkg_mul(g, mixed[1], u), VKG_ALL_AXES, false), &w, 1, mixed + 3);
    vkg_graph_set_precision(g, VKG_FLOAT32);
    vkg_tensor *plain = vkg_convolution(g, x, w, geometry);
    vkg_tensor *xr = rounded(g, x, precision), *wr = rounded(g, w, precision), *dyr = rounded(g, dy, precision);
    by_hand[0] = vkg_convolution(g, xr, wr, geometry);
    by_hand[1] = vkg_convolution_input_gradient(g, dyr, wr, geometry, size);
    by_hand[2] = vkg_convolution_weight_gradient(g, xr, dyr, geometry, kernel);
    by_hand[3] = vkg_convolution_weight_gradient(g, rounded(g, u, precision), dyr, geometry, kernel);
    for (int i = 0; i < RESULTS; i++)
        vkg_output(g, "mixed", mixed[i]), vkg_output(g, "by hand", by_hand[i]);
    vkg_output(g, "plain", plain);
    build(&run);
    for (int i = 0; i < 4; i++) {
        float *data = vkg_program_input(run.program, inputs[i], 0);
        for (uint64_t k = 0; k < vkg_tensor_elements(inputs[i]); k++)
            data[k] = (float)test_random(1 << 20) / (1 << 19) - 1;
    }
    assert_int_equal(vkg_program_run(run.program), VKG_OK);
    const vkg_device_caps *caps = vkg_device_get_caps(test_device());
    const bool matrices = (precision == VKG_FLOAT16 ? caps->matrix_float16 : caps->matrix_bfloat16).m > 0;
    const bool padded = ci % 8 || co % 8; /* other kernels may run them */
    for (int i = 0; i < RESULTS; i++) {
        assert_int_equal(mixed[i]->dtype, VKG_FLOAT32);
        assert_true(difference(run.program, mixed[i], by_hand[i]) <= (matrices || padded ? 1e-5 : 0));
    }
    assert_true(difference(run.program, mixed[0], plain) > 1e-4);
    finish(&run);
}

/* Halves that a program brings itself: the other operand becomes what they are, and so does the gradient that meets
 * them. They hold the numbers exactly, so that all is as in float32. */
static void halves_meet_float32(void **unused)
{
    (void)unused;
    struct run run;
    begin(&run);
    vkg_graph *g = run.graph;
    vkg_tensor *x = vkg_input_typed(g, "x", VKG_SHAPE(7, 5), VKG_BFLOAT16), *w = vkg_input(g, "w", VKG_SHAPE(5, 3));
    vkg_tensor *y = vkg_matmul(g, x, w, false, false), *gradients[2];
    vkg_gradients(g, vkg_mean(g, vkg_square(g, y), VKG_ALL_AXES, false), (vkg_tensor *[]){x, w}, 2, gradients);
    vkg_tensor *outputs[] = {y, gradients[0], gradients[1]};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(outputs[i]->dtype, VKG_FLOAT32);
        vkg_output(g, "output", outputs[i]);
    }
    build(&run);
    uint16_t *px = vkg_program_input(run.program, x, 0);
    float *pw = vkg_program_input(run.program, w, 0);
    for (int i = 0; i < 35; i++)
        px[i] = i % 2 ? 0x3f80 : 0xc000; /* 1, −2 */
    for (int i = 0; i < 15; i++)
        pw[i] = (float)(i % 4);
    assert_int_equal(vkg_program_run(run.program), VKG_OK);
    const float *py = vkg_program_output(run.program, y, 0), *dw = vkg_program_output(run.program, gradients[1], 0);
    for (int c = 0; c < 3; c++) {
        float slope[5] = {0};
        for (int r = 0; r < 7; r++) {
            float sum = 0;
            for (int k = 0; k < 5; k++)
                sum += half_of(px[r * 5 + k], true) * pw[k * 3 + c];
            assert_true(py[r * 3 + c] == sum);
            for (int k = 0; k < 5; k++)
                slope[k] += 2 * sum / 21 * half_of(px[r * 5 + k], true);
        }
        for (int k = 0; k < 5; k++)
            assert_true(fabsf(dw[k * 3 + c] - slope[k]) < 0.03f); /* 2·y/21 is rounded to 8 bits */
    }
    finish(&run);
}

/* The memory of a step through eight linear layers, of which little but the operands waits for the gradients. */
static uint64_t step_bytes(vkg_dtype precision)
{
    enum { LAYERS = 8, CHANNELS = 16 };
    struct run run;
    begin(&run);
    vkg_graph *g = run.graph;
    vkg_graph_set_precision(g, precision);
    vkg_tensor *weights[LAYERS], *gradients[LAYERS];
    vkg_tensor *a = vkg_input(g, "x", VKG_SHAPE(8, 16, 16, CHANNELS));
    for (int i = 0; i < LAYERS; i++) {
        weights[i] = vkg_input(g, "w", VKG_SHAPE(1, 1, CHANNELS, CHANNELS));
        a = vkg_convolution(g, vkg_affine(g, a, 0.5f, 0), weights[i], (vkg_conv_geometry){0});
    }
    vkg_gradients(g, vkg_sum(g, vkg_square(g, a), VKG_ALL_AXES, false), weights, LAYERS, gradients);
    for (int i = 0; i < LAYERS; i++)
        vkg_output(g, "gradient", gradients[i]);
    build(&run);
    const uint64_t bytes = vkg_program_get_stats(run.program).temporary_bytes;
    finish(&run);
    return bytes;
}

static void what_waits_takes_half(void **unused)
{
    (void)unused;
    const vkg_device_caps *caps = vkg_device_get_caps(test_device());
    const uint64_t whole = step_bytes(VKG_FLOAT32);
    const vkg_dtype halves[] = {VKG_FLOAT16, VKG_BFLOAT16};
    for (int i = 0; i < 2; i++) {
        const uint64_t bytes = step_bytes(halves[i]);
        print_message("%s: %llu bytes of temporary memory, float32 %llu\n", vkg_dtype_name(halves[i]),
                      (unsigned long long)bytes, (unsigned long long)whole);
        const bool is_read = (i == 0 ? caps->matrix_float16 : caps->matrix_bfloat16).m ||
                             (i == 0 && caps->kernels == VKG_KERNELS_TEXEL && caps->fp16_texels);
        assert_true(bytes < (is_read ? whole * 3 / 4 : whole)); /* else copies in float32 come and go */
    }
}

static void convolutions_read_in_the_graphs_precision(void **unused)
{
    (void)unused;
    const vkg_dtype precisions[] = {VKG_FLOAT16, VKG_BFLOAT16};
    for (int i = 0; i < 2; i++) {
        check_precision(precisions[i], 8, 16);
        check_precision(precisions[i], 5, 6);
    }
    struct run run;
    begin(&run);
    test_expect_errors(true);
    vkg_graph_set_precision(run.graph, VKG_INT32);
    assert_non_null(strstr(vkg_graph_error(run.graph), "int32 is not float32, float16 or bfloat16"));
    test_expect_errors(false);
    vkg_graph_destroy(&run.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read_as_a_number), cmocka_unit_test(results_are_stored_as_their_type),
        cmocka_unit_test(what_cannot_be_stored_is_refused), cmocka_unit_test(moves_keep_words_and_widen_the_rest),
        cmocka_unit_test(images_of_bytes_are_resized), cmocka_unit_test(integers_are_padded),
        cmocka_unit_test(joined_types_lose_nothing), cmocka_unit_test(the_first_greatest_is_found),
        cmocka_unit_test(convolutions_read_in_the_graphs_precision), cmocka_unit_test(halves_meet_float32),
        cmocka_unit_test(what_waits_takes_half)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
