/* Convolution in its three directions against a loop on the CPU in double precision, over fresh random shapes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/convolution.h"
#include "kernels/shaders.h"
#include "on_device.h"
#include "ops/convolution.h"
#include "program/program.h"

struct sums {
    double *y, *dx, *dw;
};

static uint32_t output_size(uint32_t in, uint32_t kernel, uint32_t stride, uint32_t pad, uint32_t dilation)
{
    uint32_t extent = dilation * (kernel - 1) + 1;
    return in + 2 * pad < extent ? 0 : (in + 2 * pad - extent) / stride + 1;
}

/* Draws a problem that has an output. Channels around what the kernels treat apart: 1, 3, vec4s, tiles. */
static struct conv_problem random_problem(void)
{
    static const uint32_t channels[] = {1, 1, 2, 3, 4, 5, 8, 12, 16, 20, 31, 33, 64, 65, 100, 128};
    struct conv_problem p;
    do {
        p = (struct conv_problem){
            .n = 1 + test_random(test_random(3) ? 5 : 40), .ih = 1 + test_random(test_random(4) ? 9 : 1),
            .iw = 1 + test_random(9),
            .ci = channels[test_random(16)], .co = channels[test_random(16)], .groups = 1,
            .kh = 1 + test_random(5), .kw = 1 + test_random(5), .sh = 1 + test_random(3), .sw = 1 + test_random(3),
            .ph = test_random(3), .pw = test_random(3), .dh = 1 + test_random(2), .dw = 1 + test_random(2)};
        p.oh = output_size(p.ih, p.kh, p.sh, p.ph, p.dh);
        p.ow = output_size(p.iw, p.kw, p.sw, p.pw, p.dw);
    } while (!p.oh || !p.ow);
    return p;
}

/* All three sums over one tap at one place of one image of one group: xi, wi, yi are the first elements of those. */
static void add_tap(const struct conv_problem *p, const float *x, const float *w, const float *y, uint64_t xi,
                    uint64_t wi, uint64_t yi, struct sums *sums)
{
    const uint64_t pitch = (p->batched ? 1 : p->groups) * p->co;
    for (uint32_t ci = 0; ci < p->ci; ci++)
        for (uint32_t co = 0; co < p->co; co++) {
            uint64_t at_x = xi + ci, at_w = wi + ci * pitch + co, at_y = yi + co;
            sums->y[at_y] += (double)x[at_x] * w[at_w];
            sums->dx[at_x] += (double)y[at_y] * w[at_w];
            sums->dw[at_w] += (double)x[at_x] * y[at_y];
        }
}

/* The first element of group g at a place of which `places` lie in one group's tensor, with so many channels. */
static uint64_t element(const struct conv_problem *p, uint32_t g, uint64_t places, uint64_t place, uint64_t channels)
{
    return p->batched ? (g * places + place) * channels : (place * p->groups + g) * channels;
}

static void reference(const struct conv_problem *p, const float *x, const float *w, const float *y, struct sums *sums)
{
    const uint32_t in = p->ih * p->iw, out = p->oh * p->ow, taps = p->kh * p->kw;
    for (uint32_t g = 0; g < p->groups; g++)
        for (uint32_t o = 0; o < p->n * out; o++)
            for (uint32_t k = 0; k < taps; k++) {
                int64_t row = (int64_t)(o % out / p->ow) * p->sh + (k / p->kw) * p->dh - (int64_t)p->ph;
                int64_t line = (int64_t)(o % p->ow) * p->sw + (k % p->kw) * p->dw - (int64_t)p->pw;
                if (row < 0 || row >= p->ih || line < 0 || line >= p->iw)
                    continue;
                uint64_t place = (o / out) * in + (uint64_t)row * p->iw + (uint64_t)line;
                /* of w, the place is a tap with all of its ci */
                uint64_t wi = p->batched ? (g * taps + k) * (uint64_t)p->ci * p->co
                                         : ((uint64_t)k * p->ci * p->groups + g) * p->co;
                add_tap(p, x, w, y, element(p, g, (uint64_t)p->n * in, place, p->ci), wi,
                        element(p, g, (uint64_t)p->n * out, o, p->co), sums);
            }
}

/* Largest difference, relative to the largest value. NaN counts as infinite. */
static double worst(const float *found, const double *expected, uint64_t count)
{
    double difference = 0, largest = 1e-30;
    for (uint64_t i = 0; i < count; i++) {
        double d = fabs(found[i] - expected[i]);
        difference = d <= difference ? difference : isnan(d) ? INFINITY : d;
        largest = fmax(largest, fabs(expected[i]));
    }
    return difference / largest;
}

static void fill(float *data, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        data[i] = test_random_float();
}

/* The most candidates that one of the problem's directions has. */
static uint32_t count_candidates(const struct conv_problem *p, vkg_dtype dtype)
{
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    uint32_t most = 0;
    for (int direction = 0; direction < 3; direction++) {
        uint32_t count = conv_candidates(vkg_device_get_caps(test_device()), (enum conv_direction)direction, p, dtype, plans);
        most = count > most ? count : most;
    }
    return most;
}

/* To numbers that every float of 16 bits can hold: what kernels make of them is then exact but for the sums. */
static void coarsen(float *data, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        data[i] = roundf(data[i] * 128) / 128;
}

/* Runs the three directions, each by its candidate of that number, and compares. */
static void check_candidate_of(const struct conv_problem *p, vkg_dtype dtype, uint32_t candidate)
{
    vkg_graph *graph;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    const uint32_t batch = p->batched ? p->groups : 1, beside = p->batched ? 1 : p->groups;
    vkg_tensor *x = vkg_input(graph, "x", VKG_SHAPE(batch, p->n, p->ih, p->iw, beside * p->ci));
    vkg_tensor *w = vkg_input(graph, "w", VKG_SHAPE(batch, p->kh, p->kw, p->ci, beside * p->co));
    vkg_tensor *y = vkg_input(graph, "y", VKG_SHAPE(batch, p->n, p->oh, p->ow, beside * p->co));
    vkg_tensor *cx = vkg_cast(graph, x, dtype), *cw = vkg_cast(graph, w, dtype), *cy = vkg_cast(graph, y, dtype);
    vkg_tensor *results[3] = {conv_node(graph, CONV_FORWARD, cx, cw, p), conv_node(graph, CONV_INPUT_GRAD, cy, cw, p),
                              conv_node(graph, CONV_WEIGHT_GRAD, cx, cy, p)};
    for (int i = 0; i < 3; i++)
        vkg_output(graph, "result", results[i]);
    assert_int_equal(program_create_candidate(test_device(), graph, NULL, NULL, candidate, &program), VKG_OK);
    float *px = vkg_program_input(program, x, 0), *pw = vkg_program_input(program, w, 0),
          *py = vkg_program_input(program, y, 0);
    uint64_t nx = vkg_tensor_elements(x), nw = vkg_tensor_elements(w), ny = vkg_tensor_elements(y);
    fill(px, nx), fill(pw, nw), fill(py, ny);
    if (dtype != VKG_FLOAT32)
        coarsen(px, nx), coarsen(pw, nw), coarsen(py, ny);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    struct sums sums = {calloc(ny, sizeof(double)), calloc(nx, sizeof(double)), calloc(nw, sizeof(double))};
    reference(p, px, pw, py, &sums);
    const double *expected[3] = {sums.y, sums.dx, sums.dw};
    for (int i = 0; i < 3; i++) {
        double error = worst(vkg_program_output(program, results[i], 0), expected[i], vkg_tensor_elements(results[i]));
        if (!(error < 1e-5))
            fail_msg("candidate %u of direction %d, groups %u%s, n %u, in %ux%u, channels %u to %u, kernel %ux%u, stride %u %u, "
                     "pad %u %u, dilation %u %u: error %g", candidate, i, p->groups, p->batched ? " batched" : "", p->n, p->ih,
                     p->iw, p->ci, p->co, p->kh, p->kw, p->sh, p->sw, p->ph, p->pw, p->dh, p->dw, error);
    }
    free(sums.y), free(sums.dx), free(sums.dw);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
}

static void check_candidate(const struct conv_problem *p, uint32_t candidate)
{
    check_candidate_of(p, VKG_FLOAT32, candidate);
}

static void check_problem(const struct conv_problem *p)
{
    check_candidate(p, 0);
}

/* Those written as one group, and as such batches of two. */
static void check_problems(const struct conv_problem *problems, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct conv_problem p = problems[i];
        p.groups = 1;
        check_problem(&p);
        p.groups = 2, p.batched = test_random(2);
        check_problem(&p);
    }
}

static void random_shapes(void **unused)
{
    (void)unused;
    for (int i = 0; i < 14; i++) {
        struct conv_problem p = random_problem();
        check_problem(&p);
    }
}

static void shapes_of_a_dcgan(void **unused)
{
    (void)unused;
    static const struct conv_problem problems[] = {
        {3, 28, 28, 1, 14, 14, 8, 4, 4, 2, 2, 1, 1, 1, 1},   {2, 14, 14, 8, 7, 7, 12, 4, 4, 2, 2, 1, 1, 1, 1},
        {16, 7, 7, 128, 1, 1, 1, 7, 7, 1, 1, 0, 0, 1, 1},    {17, 7, 7, 16, 1, 1, 100, 7, 7, 1, 1, 0, 0, 1, 1},
        {1, 32, 32, 3, 16, 16, 16, 4, 4, 2, 2, 1, 1, 1, 1},  {33, 1, 1, 70, 1, 1, 10, 1, 1, 1, 1, 0, 0, 1, 1}};
    check_problems(problems, sizeof problems / sizeof problems[0]);
}

/* Every way to run a problem gives its result: on a device of a family of tiled kernels, each tile and split. */
static void every_candidate(void **unused)
{
    (void)unused;
    for (int i = 0; i < 5; i++) {
        struct conv_problem p = random_problem();
        p.n = p.n > 9 ? 9 : p.n;
        p.groups = i == 0 ? 2 : 1;
        const uint32_t count = count_candidates(&p, VKG_FLOAT32);
        assert_true(count > 0);
        for (uint32_t candidate = 1; candidate < count; candidate++)
            check_candidate(&p, candidate);
    }
}

/* Channels of a group as `ci`, `co`, side by side and one by one; depthwise convolutions among them. */
static void random_groups(void **unused)
{
    (void)unused;
    for (int i = 0; i < 20; i++) {
        struct conv_problem p = random_problem();
        p.groups = i % 4 == 0 ? (1 + test_random(20)) * 4 : i % 4 == 1 ? 1 + test_random(70) : 1 + test_random(4);
        p.batched = test_random(2);
        if (i % 4 == 0)
            p.ci = p.co = 1, p.batched = 0;
        else if (i % 4 == 1)
            p.ci = 1 + test_random(3), p.co = 1 + test_random(3);
        check_problem(&p);
    }
}

/* Images of one line, depthwise ones whose sums are split, one channel more than vec4s take, and 3 × 3 matrices. */
static void shapes_of_groups(void **unused)
{
    (void)unused;
    static const struct conv_problem problems[] = {
        /* tiles that hold parts of several images of one line */
        {10, 3, 7, 5, 1, 7, 5, 1, 3, 3, 1, 0, 1, 2, 1, 1, 0},
        {12, 1, 9, 5, 1, 9, 6, 1, 3, 1, 1, 0, 1, 1, 1, 2, 0},
        {20, 16, 16, 1, 16, 16, 1, 3, 3, 1, 1, 1, 1, 1, 1, 64, 0},
        {3, 16, 15, 1, 8, 7, 1, 4, 4, 2, 2, 1, 1, 1, 1, 65, 0},
        {2, 9, 9, 1, 4, 4, 1, 5, 5, 2, 2, 1, 1, 1, 1, 4, 0},
        {2, 9, 9, 1, 9, 9, 2, 3, 3, 1, 1, 1, 1, 1, 1, 32, 0},
        {2, 9, 9, 4, 9, 9, 1, 3, 3, 1, 1, 1, 1, 1, 1, 8, 0},
        {2, 9, 9, 4, 9, 9, 1, 3, 3, 1, 1, 1, 1, 1, 1, 8, 1},
        {260, 17, 16, 1, 17, 16, 1, 1, 1, 1, 1, 0, 0, 1, 1, 4, 0},
        {3, 1, 1, 3, 1, 1, 3, 1, 1, 1, 1, 0, 0, 1, 1, 500, 1},
        {9, 1, 1, 16, 1, 1, 33, 1, 1, 1, 1, 0, 0, 1, 1, 1000, 1}};
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++)
        check_problem(&problems[i]);
}

/* The largest stride and dilation: kernel · dilation · stride is more than an int. */
static void taps_far_apart(void **unused)
{
    (void)unused;
    enum { FAR = 32767 };
    check_problem(&(struct conv_problem){1, 1, 3 * FAR + 1, 1, 1, 2, 1, 1, 3, 1, FAR, 0, 0, 1, FAR, 1});
}

/* Products of matrices: 1×1 convolutions of images of one place. */
static void random_batches(void **unused)
{
    (void)unused;
    static const uint32_t sizes[] = {1, 2, 3, 4, 7, 8, 15, 16, 17, 32, 33, 64};
    for (int i = 0; i < 8; i++) {
        struct conv_problem p = {.n = sizes[test_random(12)], .ci = sizes[test_random(12)],
                                 .co = sizes[test_random(12)], .groups = 1 + test_random(9), .batched = 1, .ih = 1, .iw = 1, .oh = 1, .ow = 1,
                                 .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1};
        check_problem(&p);
    }
}

/* Mesa's lavapipe before 25 ends an invocation's loops after 65,535 iterations, silently: sums of more must be cut. */
static void sums_longer_than_a_driver_loops(void **unused)
{
    (void)unused;
    static const struct conv_problem problems[] = {
        {250, 16, 16, 1, 16, 16, 4, 1, 1, 1, 1, 0, 0, 1, 1}, {260, 17, 16, 1, 17, 16, 4, 1, 1, 1, 1, 0, 0, 1, 1}};
    check_problems(problems, sizeof problems / sizeof problems[0]);
}

static void check_plan(const vkg_device_caps *caps, enum conv_direction direction, const struct conv_problem *p,
                       const struct conv_plan *plan)
{
    for (int axis = 0; axis < 3; axis++)
        assert_in_range(plan->step.groups[axis], 1, caps->max_workgroup_count[axis]);
    assert_in_range(plan->step.workgroup, 1, caps->max_workgroup_invocations);
    assert_non_null(shader_find(plan->step.shader));
    assert_true((caps->subgroup_shuffle && caps->min_subgroup_size == caps->max_subgroup_size) || !plan->step.sharers);
    if (strstr(plan->step.shader, "_texel_"))
        assert_int_equal(plan->push.lane_columns % plan->step.sharers, 0);
    /* a stride of input_grad leaves at least so many taps in its largest phase */
    uint64_t taps = direction == CONV_INPUT_GRAD ? (uint64_t)(p->kh / p->sh) * (p->kw / p->sw) : p->kh * p->kw;
    uint64_t terms = direction == CONV_WEIGHT_GRAD ? (uint64_t)p->n * p->oh * p->ow
                                                   : taps * (direction == CONV_FORWARD ? p->ci : p->co);
    assert_true((uint64_t)plan->push.chunk * plan->push.split >= terms);
    if (direction == CONV_WEIGHT_GRAD) /* no kernel takes more than 16 terms in a turn of its loop */
        assert_true(plan->push.chunk <= 16 * (uint64_t)caps->max_loop_iterations);
}

/* Every candidate stays within the device's limits, for large problems too, and uses what it has. Needs no device. */
static void plans_keep_limits(void **unused)
{
    (void)unused;
    vkg_device_caps caps = *vkg_device_get_caps(test_device());
    for (int i = 0; i < 3000; i++) {
        caps.subgroup_shuffle = i % 4 != 0;
        caps.subgroup_size = caps.min_subgroup_size = 4u << test_random(5);
        caps.max_subgroup_size = i % 5 ? caps.subgroup_size : 2 * caps.subgroup_size;
        struct conv_problem p = random_problem();
        p.n *= 1 + test_random(8), p.ci *= 1 + test_random(8), p.ih += test_random(200), p.iw += test_random(200);
        p.oh = output_size(p.ih, p.kh, p.sh, p.ph, p.dh), p.ow = output_size(p.iw, p.kw, p.sw, p.pw, p.dw);
        p.groups = test_random(2) ? 1 : 1 + test_random(300), p.batched = test_random(2);
        static const vkg_dtype dtypes[] = {VKG_FLOAT32, VKG_FLOAT16, VKG_BFLOAT16};
        for (int direction = 0; direction < 3; direction++) {
            struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
            const uint32_t count = conv_candidates(&caps, (enum conv_direction)direction, &p, dtypes[i % 3], plans);
            for (uint32_t k = 0; k < count; k++)
                check_plan(&caps, (enum conv_direction)direction, &p, &plans[k]);
        }
    }
}

/* Parts of sums as large as all that is read and written cost a tenth of the time, and others in proportion. Needs no device. */
static void parts_of_sums_have_a_price(void **unused)
{
    (void)unused;
    /* 16 numbers of x, 8 of w, 32 of y */
    struct conv_plan plan = {.dtype = VKG_FLOAT32,
                             .push = {.problem = {1, 4, 4, 1, 2, 2, 8, 1, 1, 2, 2, 0, 0, 1, 1, 1, 0}, .split = 1}};
    assert_true(conv_bytes(CONV_FORWARD, &plan) == 56 * 4);
    assert_true(conv_cost(CONV_FORWARD, &plan, 3) == 3);
    plan.push.split = 7; /* 7 · 32 numbers, four times as much */
    assert_true(fabs(conv_cost(CONV_FORWARD, &plan, 3) - 3 * 1.4) < 1e-9);
    assert_true(fabs(conv_cost(CONV_WEIGHT_GRAD, &plan, 3) - 3 * 1.1) < 1e-9);
    plan.dtype = VKG_FLOAT16; /* the parts are float32 */
    assert_true(fabs(conv_cost(CONV_WEIGHT_GRAD, &plan, 3) - 3 * 1.2) < 1e-9);
}

/* Halves as inputs: cooperative matrices, in each of their tiles, where the device has them; then the kernels of
 * float32, which read them through texel buffers or from copies. */
static void check_halves(vkg_dtype dtype)
{
    for (int i = 0; i < 10; i++) {
        struct conv_problem p = random_problem();
        if (i % 3 == 0)
            p.groups = 1 + test_random(4), p.batched = test_random(2);
        const uint32_t count = count_candidates(&p, dtype);
        check_candidate_of(&p, dtype, 0);
        check_candidate_of(&p, dtype, 1);
        check_candidate_of(&p, dtype, 2 + test_random(count));
    }
    static const struct conv_problem problems[] = {
        {3, 28, 28, 1, 14, 14, 8, 4, 4, 2, 2, 1, 1, 1, 1, 1, 0}, {2, 14, 14, 64, 7, 7, 96, 4, 4, 2, 2, 1, 1, 1, 1, 1, 0},
        {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0},     {70, 1, 1, 130, 1, 1, 72, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0},
        {33, 1, 1, 16, 1, 1, 24, 1, 1, 1, 1, 0, 0, 1, 1, 5, 1},  {260, 17, 16, 1, 17, 16, 4, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0}};
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++)
        check_candidate_of(&problems[i], dtype, (uint32_t)i % 2);
    /* whole tiles, of rows that lie at one place, or with more images than a tile has rows */
    static const struct conv_problem whole[] = {{128, 6, 6, 64, 3, 3, 64, 4, 4, 2, 2, 1, 1, 1, 1, 1, 0},
                                                {256, 3, 3, 64, 3, 3, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0}};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        for (uint32_t candidate = 0; candidate < 3; candidate++)
            check_candidate_of(&whole[i], dtype, candidate + (candidate == 2 ? test_random(6) : 0));
}

/* Channels of whole tiles, images one behind the other: all taps of some channels, then of the next ones. */
static void check_taps(vkg_dtype dtype)
{
    for (int i = 0; i < 6; i++) {
        struct conv_problem p = random_problem();
        p.n = 2 + test_random(4), p.ci = 64 * (1 + test_random(2)), p.co = 64 * (1 + test_random(2));
        const enum conv_direction direction = (enum conv_direction)(i % 2);
        struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
        const uint32_t count = conv_candidates(vkg_device_get_caps(test_device()), direction, &p, dtype, plans);
        for (uint32_t k = 0, checked = 0; k < count && checked < 2; k++)
            if (plans[k].step.by_image) {
                check_candidate_of(&p, dtype, k);
                checked++;
            }
    }
}

static void taps_of_halves(void **unused)
{
    (void)unused;
    check_taps(VKG_FLOAT16);
    check_taps(VKG_BFLOAT16);
}

static void halves(void **unused)
{
    (void)unused;
    check_halves(VKG_FLOAT16);
}

static void brain_halves(void **unused)
{
    (void)unused;
    check_halves(VKG_BFLOAT16);
}

/* usage: convolution_test [PATTERN]: only the tests whose name fits, "*halves" for inputs of 16 bits */
int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_keep_limits), cmocka_unit_test(parts_of_sums_have_a_price),
        cmocka_unit_test(shapes_of_a_dcgan), cmocka_unit_test(random_shapes), cmocka_unit_test(every_candidate),
        cmocka_unit_test(shapes_of_groups), cmocka_unit_test(taps_far_apart), cmocka_unit_test(random_groups), cmocka_unit_test(random_batches),
        cmocka_unit_test(sums_longer_than_a_driver_loops),
        cmocka_unit_test(taps_of_halves), cmocka_unit_test(halves), cmocka_unit_test(brain_halves)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
