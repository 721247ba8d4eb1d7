/* Running a program: what holds whatever the graph is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arithmetic.h"
#include "on_device.h"
#include "program/commands.h"
#include "program/program.h"
#include "small_programs.h"

static const float *output_of(const vkg_program *program, const vkg_tensor *tensor, uint32_t slot)
{
    return vkg_program_output(program, tensor, slot);
}

/* --- one graph, run in different ways --- */

enum { TOY_STEPS = 6 };

static void toy_run(const vkg_program_desc *desc, bool uploads_apart, float losses[TOY_STEPS])
{
    struct toy toy;
    vkg_program *program;
    toy_create(&toy, 42);
    program = create_apart(toy.graph, toy.state, desc, uploads_apart);
    uint32_t slots = desc->slots ? desc->slots : 1;
    for (uint32_t step = 0; step < TOY_STEPS + slots; step++) {
        uint32_t slot = step % slots;
        assert_int_equal(vkg_program_wait(program, slot), VKG_OK);
        if (step >= slots)
            losses[step - slots] = *output_of(program, toy.loss, slot);
        if (step >= TOY_STEPS)
            continue;
        float *x = vkg_program_input(program, toy.x, slot);
        for (uint64_t i = 0; i < vkg_tensor_elements(toy.x); i++)
            x[i] = sinf((float)(i * (step + 1)));
        assert_int_equal(vkg_program_submit(program, slot), VKG_OK);
    }
    vkg_program_destroy(&program);
    toy_destroy(&toy);
}

static void every_way_to_run_gives_the_same_bits(void **unused)
{
    (void)unused;
    float plain[TOY_STEPS], other[TOY_STEPS];
    const vkg_program_desc ways[] = {{0}, {.no_aliasing = true}, {.submission_seconds = 1e-12}, {.slots = 3}};
    toy_run(&ways[0], false, plain);
    assert_true(plain[TOY_STEPS - 1] < plain[0]);
    for (size_t i = 0; i < 2 * sizeof ways / sizeof ways[0]; i++) {
        toy_run(&ways[i / 2], i % 2, other);
        assert_memory_equal(plain, other, sizeof plain);
    }
}

/* --- uploads apart from the work --- */

/* Of few bytes the transfer queue's semaphore costs more than it saves. */
static void few_bytes_go_in_front(void **unused)
{
    (void)unused;
    static const vkg_transfer_queue wanted[] = {VKG_TRANSFER_QUEUE_DEFAULT, VKG_TRANSFER_QUEUE_ON};
    for (int i = 0; i < 2; i++) {
        vkg_device *device;
        assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = test_log(), .transfer_queue = wanted[i]}, &device), VKG_OK);
        assert_int_equal(device->apart_from, i || getenv("VKGAN_TRANSFER_QUEUE") ? 0 : 1 << 20);
        vkg_device_destroy(&device);
    }
    for (uint32_t count = 1 << 17; count <= 1 << 19; count *= 2) {
        vkg_graph *graph;
        vkg_program *program;
        const struct uploads usual = set_uploads(true, 1 << 20);
        assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
        vkg_output(graph, "sum", vkg_sum(graph, vkg_input(graph, "x", VKG_SHAPE(count)), VKG_ALL_AXES, false));
        assert_int_equal(vkg_program_create(test_device(), graph, NULL, NULL, &program), VKG_OK);
        set_uploads(usual.apart, usual.apart_from);
        assert_true((count * sizeof(float) >= 1 << 20) == (program->arrivals.handle != VK_NULL_HANDLE));
        vkg_program_destroy(&program);
        vkg_graph_destroy(&graph);
    }
}

static void inputs_arrive_in_their_own_run(void **unused)
{
    (void)unused;
    struct doubling d;
    doubling_create(&d, &(vkg_program_desc){.slots = SLOTS}, true);
    for (uint32_t run = 0; run < 200; run++) {
        const uint32_t slot = run % SLOTS;
        assert_int_equal(vkg_program_wait(d.program, slot), VKG_OK);
        if (run >= SLOTS)
            doubling_check(&d, slot);
        doubling_write(&d, slot, run);
        assert_int_equal(vkg_program_submit(d.program, slot), VKG_OK);
    }
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        assert_int_equal(vkg_program_wait(d.program, slot), VKG_OK);
        doubling_check(&d, slot);
    }
    doubling_destroy(&d);
}

static void submissions_are_cut(void **unused)
{
    (void)unused;
    struct toy toy;
    vkg_program *program;
    toy_create(&toy, 1);
    assert_int_equal(vkg_program_create(test_device(), toy.graph, toy.state,
                                        &(vkg_program_desc){.submission_seconds = 1e-12}, &program), VKG_OK);
    vkg_program_stats stats = vkg_program_get_stats(program);
    assert_int_equal(stats.submissions, stats.dispatches);
    assert_true(stats.temporary_bytes < stats.temporary_bytes_unaliased);
    vkg_program_destroy(&program);
    toy_destroy(&toy);
}

static void submissions_follow_what_was_measured(void **unused)
{
    (void)unused;
    struct toy toy;
    vkg_program *program;
    toy_create(&toy, 1);
    assert_int_equal(vkg_program_create(test_device(), toy.graph, toy.state, NULL, &program), VKG_OK);
    for (uint32_t i = 0; i < program->stats.dispatches; i++)
        program->dispatches[i].seconds = 1; /* as if the guess had been far too high */
    assert_int_equal(commands_record_segments(program), VKG_OK);
    assert_int_equal(program->segment_count, program->stats.dispatches);
    program->submission_seconds = 1000;
    toy_fill(&toy, program);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    assert_int_equal(vkg_program_get_stats(program).submissions, 1);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    vkg_program_destroy(&program);
    /* and far too low */
    assert_int_equal(vkg_program_create(test_device(), toy.graph, toy.state, NULL, &program), VKG_OK);
    program->submission_seconds = 1e-12;
    toy_fill(&toy, program);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    assert_int_equal(vkg_program_get_stats(program).submissions, program->stats.dispatches);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    vkg_program_destroy(&program);
    toy_destroy(&toy);
}

/* As MoltenVK's may be: the run's own time tells that it has to be cut. */
static void timestamps_may_all_be_the_same(void **unused)
{
    (void)unused;
    struct toy toy;
    vkg_program *program;
    vkg_device *device = test_device();
    const float period = device->caps.timestamp_period;
    toy_create(&toy, 1);
    assert_int_equal(vkg_program_create(device, toy.graph, toy.state, NULL, &program), VKG_OK);
    program->submission_seconds = 1e-12;
    device->caps.timestamp_period = 0;
    toy_fill(&toy, program);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    device->caps.timestamp_period = period;
    assert_int_equal(vkg_program_get_stats(program).submissions, program->stats.dispatches);
    vkg_program_destroy(&program);
    toy_destroy(&toy);
}

/* --- limits --- */

/* Two tensors that live at once, of which a buffer holds one. */
static void no_buffer_is_larger_than_the_device_allows(void **unused)
{
    (void)unused;
    enum { ELEMENTS = 200000, LIMIT = 1 << 20 };
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
    vkg_device *device = test_device();
    const uint64_t most = device->caps.max_buffer_size;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_tensor *a = vkg_random_normal(graph, VKG_SHAPE(ELEMENTS)), *b = vkg_random_normal(graph, VKG_SHAPE(ELEMENTS));
    vkg_output(graph, "y", vkg_sum(graph, vkg_mul(graph, a, vkg_flip(graph, b, 1)), VKG_ALL_AXES, false));
    assert_int_equal(vkg_state_create(device, &graph, 1, 1, &state), VKG_OK);
    device->caps.max_buffer_size = LIMIT;
    assert_int_equal(vkg_program_create(device, graph, state, NULL, &program), VKG_OK);
    assert_in_range(program->block_count, 2, PLAN_MAX_BLOCKS);
    assert_int_equal(vkg_program_run(program), VKG_OK);
    vkg_program_destroy(&program);
    vkg_state_destroy(&state);
    vkg_buffer(graph, "s", VKG_SHAPE(2 * ELEMENTS), (vkg_init){0});
    test_expect_errors(true);
    assert_int_equal(vkg_state_create(device, &graph, 1, 1, &state), VKG_ERROR_OUT_OF_MEMORY);
    assert_non_null(strstr(test_last_error(), "maxBufferSize"));
    test_expect_errors(false);
    device->caps.max_buffer_size = most;
    vkg_graph_destroy(&graph);
}

/* A moving average sees the whole of its shadow. */
static void no_range_is_larger_than_the_device_allows(void **unused)
{
    (void)unused;
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
    vkg_device *device = test_device();
    const uint64_t most = device->caps.max_storage_buffer_range;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_parameter(graph, "generator.w", VKG_SHAPE(1 << 15), (vkg_init){0});
    assert_true(vkg_ema_update(graph, &(vkg_ema){.of = "generator", .decay = 0.9f}, 1));
    assert_int_equal(vkg_state_create(device, &graph, 1, 1, &state), VKG_OK);
    for (int allowed = 1; allowed >= 0; allowed--) {
        test_expect_errors(!allowed);
        const vkg_result result = vkg_program_create(device, graph, state, NULL, &program);
        assert_int_equal(result, allowed ? VKG_OK : VKG_ERROR_UNSUPPORTED);
        vkg_program_destroy(&program);
        device->caps.max_storage_buffer_range = 1 << 16;
    }
    assert_non_null(strstr(test_last_error(), "maxStorageBufferRange"));
    test_expect_errors(false);
    device->caps.max_storage_buffer_range = most;
    vkg_state_destroy(&state);
    vkg_graph_destroy(&graph);
}

/* --- memory as it is found --- */

static PFN_vkMapMemory true_map;
static VKAPI_ATTR VkResult VKAPI_CALL map_dirty(VkDevice d, VkDeviceMemory m, VkDeviceSize o, VkDeviceSize s, VkMemoryMapFlags f, void **data)
{
    const VkResult result = true_map(d, m, o, s, f, data);
    if (result == VK_SUCCESS)
        memset(*data, 0x55, 2 * sizeof(uint32_t)); /* no buffer that is mapped is smaller */
    return result;
}

/* What lies in fresh memory is no word of a run that completed. */
static void completion_begins_with_nothing(void **unused)
{
    (void)unused;
    vkg_graph *graph;
    vkg_program *program;
    vkg_device *device = test_device();
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_buffer(graph, "s", VKG_SHAPE(4), (vkg_init){0});
    vkg_state *state;
    assert_int_equal(vkg_state_create(device, &graph, 1, 1, &state), VKG_OK);
    true_map = device->vk.vkMapMemory;
    device->vk.vkMapMemory = map_dirty;
    const vkg_result result = vkg_program_create(device, graph, state, NULL, &program);
    device->vk.vkMapMemory = true_map;
    assert_int_equal(result, VKG_OK);
    assert_int_equal(*(const uint32_t *)program->readback.mapped, 0); /* without outputs it is words alone */
    assert_int_equal(program->watch.progress(program->watch.user), 0);
    vkg_program_destroy(&program);
    vkg_state_destroy(&state);
    vkg_graph_destroy(&graph);
}

static void slots_are_guarded(void **unused)
{
    (void)unused;
    struct toy toy;
    vkg_program *program;
    toy_create(&toy, 1);
    assert_int_equal(vkg_program_create(test_device(), toy.graph, toy.state, NULL, &program), VKG_OK);
    assert_null(vkg_program_input(program, toy.x, 1));
    assert_null(vkg_program_input(program, toy.loss, 0));
    assert_null(vkg_program_output(program, toy.x, 0));
    assert_int_equal(vkg_program_submit(program, 0), VKG_OK);
    test_expect_errors(true);
    assert_int_equal(vkg_program_submit(program, 0), VKG_ERROR_INVALID);
    assert_int_equal(vkg_program_submit(program, 1), VKG_ERROR_INVALID);
    assert_int_equal(test_error_count(), 2);
    test_expect_errors(false);
    assert_int_equal(vkg_program_wait(program, 0), VKG_OK);
    vkg_program_destroy(&program);
    toy_destroy(&toy);
}

/* --- profiles --- */

enum { MANY = 512 };

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void check_profile(const vkg_program *program, const vkg_dispatch_profile *dispatches, uint32_t count, double wall)
{
    vkg_program_stats stats = vkg_program_get_stats(program);
    double end = 0, flops = 0;
    assert_int_equal(count, stats.dispatches);
    for (uint32_t i = 0; i < count; i++) {
        const vkg_dispatch_profile *d = &dispatches[i];
        assert_non_null(d->label);
        assert_true(strlen(d->label) > 0);
        assert_true(d->groups[0] && d->groups[1] && d->groups[2] && d->bytes > 0);
        assert_true(d->seconds > 0);
        assert_true(d->start >= end); /* each alone */
        end = d->start + d->seconds;
        flops += d->flops;
    }
    assert_true(flops == stats.flops && flops > 0);
    assert_true(end < wall);
}

static void a_profile_is_a_run(void **unused)
{
    (void)unused;
    float losses[2][3];
    vkg_dispatch_profile dispatches[MANY];
    if (!vkg_device_get_caps(test_device())->timestamp_bits)
        skip();
    for (int profiled = 0; profiled < 2; profiled++) {
        struct toy toy;
        vkg_program *program;
        toy_create(&toy, 3);
        assert_int_equal(vkg_program_create(test_device(), toy.graph, toy.state, NULL, &program), VKG_OK);
        toy_fill(&toy, program);
        for (int step = 0; step < 3; step++) {
            uint32_t count = MANY;
            double start = seconds_now();
            if (profiled && step == 1) {
                assert_int_equal(vkg_program_profile(program, dispatches, &count), VKG_OK);
                check_profile(program, dispatches, count, seconds_now() - start);
            } else {
                assert_int_equal(vkg_program_run(program), VKG_OK);
            }
            losses[profiled][step] = *output_of(program, toy.loss, 0);
        }
        vkg_program_destroy(&program);
        toy_destroy(&toy);
    }
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
}

/* Per axis 6 of 8 pairs of an output and a tap lie inside of the image; of y a slice is read. */
static void a_profile_counts_what_is_done(void **unused)
{
    (void)unused;
    vkg_graph *g;
    vkg_state *state;
    vkg_program *program;
    vkg_dispatch_profile dispatches[8] = {0};
    double flops = 0, copied = 0;
    uint32_t count = 8;
    if (!vkg_device_get_caps(test_device())->timestamp_bits)
        skip();
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *x = vkg_buffer(g, "x", VKG_SHAPE(1, 4, 4, 1), (vkg_init){0});
    vkg_tensor *weight = vkg_buffer(g, "weight", VKG_SHAPE(4, 4, 1, 1), (vkg_init){0});
    vkg_tensor *y = vkg_buffer(g, "y", VKG_SHAPE(4096), (vkg_init){0});
    const vkg_conv_geometry geometry = {.stride = {2, 2}, .padding = {1, 1}};
    vkg_output(g, "product", vkg_convolution(g, x, weight, geometry));
    vkg_assign(g, vkg_buffer(g, "part", VKG_SHAPE(64), (vkg_init){0}), vkg_slice(g, y, 0, 0, 64, 1));
    assert_int_equal(vkg_state_create(test_device(), &g, 1, 1, &state), VKG_OK);
    assert_int_equal(vkg_program_create(test_device(), g, state, NULL, &program), VKG_OK);
    assert_int_equal(vkg_program_profile(program, dispatches, &count), VKG_OK);
    assert_in_range(count, 2, 8);
    for (uint32_t i = 0; i < count; i++) {
        flops += dispatches[i].flops;
        copied += strcmp(dispatches[i].label, "assign") == 0 ? dispatches[i].bytes : 0;
    }
    assert_true(flops == 2 * 6 * 6);
    assert_true(copied == 2 * 64 * 4);
    vkg_program_destroy(&program);
    vkg_state_destroy(&state);
    vkg_graph_destroy(&g);
}

static void profiles_are_guarded(void **unused)
{
    (void)unused;
    struct toy toy;
    vkg_program *program;
    vkg_dispatch_profile dispatches[2] = {{.flops = -1}, {.flops = -1}};
    uint32_t count = 0;
    vkg_device *device = test_device();
    const uint32_t bits = device->caps.timestamp_bits;
    toy_create(&toy, 1);
    assert_int_equal(vkg_program_create(device, toy.graph, toy.state, NULL, &program), VKG_OK);
    assert_int_equal(vkg_program_profile(program, NULL, &count), VKG_OK);
    assert_int_equal(count, vkg_program_get_stats(program).dispatches);
    toy_fill(&toy, program);
    assert_int_equal(vkg_program_submit(program, 0), VKG_OK);
    test_expect_errors(true);
    assert_int_equal(vkg_program_profile(program, dispatches, &count), bits ? VKG_ERROR_INVALID : VKG_ERROR_UNSUPPORTED);
    assert_int_equal(vkg_program_wait(program, 0), VKG_OK);
    device->caps.timestamp_bits = 0;
    assert_int_equal(vkg_program_profile(program, dispatches, &count), VKG_ERROR_UNSUPPORTED);
    device->caps.timestamp_bits = bits;
    assert_int_equal(test_error_count(), 2);
    test_expect_errors(false);
    assert_true(dispatches[0].flops < 0);
    count = 1;
    if (bits) {
        assert_int_equal(vkg_program_profile(program, dispatches, &count), VKG_OK);
        assert_true(dispatches[0].flops >= 0 && dispatches[1].flops < 0); /* no more than the room */
        assert_int_equal(count, vkg_program_get_stats(program).dispatches);
    }
    vkg_program_destroy(&program);
    toy_destroy(&toy);
}

/* --- long sums --- */

static void sum_of(uint32_t rows, uint32_t columns)
{
    vkg_graph *graph;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_tensor *x = vkg_input(graph, "x", VKG_SHAPE(rows, columns));
    vkg_tensor *all = vkg_sum(graph, x, VKG_ALL_AXES, false), *down = vkg_sum(graph, x, 1, false),
               *across = vkg_sum(graph, x, 2, false);
    vkg_output(graph, "all", all), vkg_output(graph, "down", down), vkg_output(graph, "across", across);
    assert_int_equal(vkg_program_create(test_device(), graph, NULL, NULL, &program), VKG_OK);
    float *data = vkg_program_input(program, x, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(x); i++)
        data[i] = 1;
    assert_int_equal(vkg_program_run(program), VKG_OK);
    assert_true(*output_of(program, all, 0) == (float)rows * (float)columns); /* exact below 2²⁴ */
    for (uint32_t i = 0; i < columns; i++)
        assert_true(output_of(program, down, 0)[i] == (float)rows);
    for (uint32_t i = 0; i < rows; i++)
        assert_true(output_of(program, across, 0)[i] == (float)columns);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
}

static void sums_of_every_length_are_whole(void **unused)
{
    (void)unused;
    sum_of(1, 1), sum_of(7, 5), sum_of(1, 65535), sum_of(65537, 1), sum_of(3, 70001), sum_of(70001, 4);
    sum_of(1 + test_random(3000), 1 + test_random(3000));
    sum_of(4000, 4000);
}

/* --- what is no number stays none --- */

static void nan_is_not_hidden(void **unused)
{
    (void)unused;
    vkg_graph *g;
    vkg_program *program;
    uint32_t hidden = 0;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    for (uint32_t width = 3; width <= 4; width++) { /* one by one, and as vec4 */
        vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(2, width));
        vkg_tensor *const results[] = {vkg_relu(g, x),       vkg_leaky_relu(g, x, 0.2f), vkg_tanh(g, x), vkg_sigmoid(g, x),
                                       vkg_softplus(g, x),   vkg_abs(g, x),              vkg_exp(g, x),  vkg_sqrt(g, x),
                                       vkg_clamp(g, x, -1, 1), vkg_maximum(g, x, vkg_neg(g, x)), vkg_minimum(g, x, vkg_neg(g, x)),
                                       vkg_max(g, x, 1, true),
                                       vkg_sum(g, x, 1, true)};
        enum { RESULTS = sizeof results / sizeof results[0] };
        for (int i = 0; i < RESULTS; i++)
            vkg_output(g, "result", results[i]);
        assert_int_equal(vkg_program_create(test_device(), g, NULL, NULL, &program), VKG_OK);
        float *data = vkg_program_input(program, x, 0);
        for (uint32_t i = 0; i < 2 * width; i++)
            data[i] = i == 1 ? NAN : 1;
        assert_int_equal(vkg_program_run(program), VKG_OK);
        for (int i = 0; i < RESULTS; i++) {
            const float *found = output_of(program, results[i], 0);
            if (!isnan(found[1]) || isnan(found[0])) {
                print_error("result %d, width %u: %g of 1 and %g of a NaN\n", i, width, (double)found[0], (double)found[1]);
                hidden++;
            }
        }
        vkg_program_destroy(&program);
    }
    assert_int_equal(hidden, 0);
    vkg_graph_destroy(&g);
}

/* Where processors compute, denormals would slow down a step by half. This thread, which opened the device, still has them. */
static void denormals_cost_nothing(void **unused)
{
    (void)unused;
    if (vkg_device_get_caps(test_device())->type != VKG_DEVICE_CPU)
        skip();
#ifndef __SSE__
    skip();
#endif
    const volatile float least = 1e-39f;
    vkg_graph *g;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(64, 64, 4)), *y = vkg_affine(g, x, 8, 0);
    vkg_output(g, "y", y);
    assert_int_equal(vkg_program_create(test_device(), g, NULL, NULL, &program), VKG_OK);
    float *data = vkg_program_input(program, x, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(x); i++)
        data[i] = least;
    assert_int_equal(vkg_program_run(program), VKG_OK);
    for (uint64_t i = 0; i < vkg_tensor_elements(y); i++)
        assert_true(output_of(program, y, 0)[i] == 0);
    assert_true(least * 8 > 0);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&g);
}

/* --- views that do not have kernels compiled again (device/device.h) --- */

static PFN_vkCreateBuffer true_create_buffer;
static PFN_vkCreateBufferView true_create_view;
static struct {
    VkBuffer handle;
    uint64_t size;
} buffers_made[256]; /* a self-test makes some, too, and drivers give handles again */
static uint32_t buffer_count, view_count;

static uint32_t find_buffer(VkBuffer handle)
{
    uint32_t found = 0;
    while (found < buffer_count && buffers_made[found].handle != handle)
        found++;
    return found;
}

static VKAPI_ATTR VkResult VKAPI_CALL noting_create_buffer(VkDevice d, const VkBufferCreateInfo *i, const VkAllocationCallbacks *a,
                                                           VkBuffer *o)
{
    const VkResult result = true_create_buffer(d, i, a, o);
    const uint32_t at = find_buffer(*o);
    assert_true(at < 256);
    buffer_count = at == buffer_count ? at + 1 : buffer_count;
    buffers_made[at].handle = *o;
    buffers_made[at].size = i->size;
    assert_true(!(i->usage & VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT) || (i->size & (i->size - 1)));
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL noting_create_view(VkDevice d, const VkBufferViewCreateInfo *i, const VkAllocationCallbacks *a,
                                                         VkBufferView *o)
{
    const uint32_t at = find_buffer(i->buffer);
    view_count++;
    assert_true(i->range >> 8 & 0xff);
    assert_true(at < buffer_count && i->offset + i->range <= buffers_made[at].size);
    return true_create_view(d, i, a, o);
}

/* Of tensors and weights whose bytes have zeros there, alone in their buffers. */
static void views_are_of_one_kind(void **unused)
{
    (void)unused;
    vkg_device *device = test_device();
    vkg_graph *g;
    vkg_state *state;
    vkg_program *program;
    true_create_buffer = device->vk.vkCreateBuffer, true_create_view = device->vk.vkCreateBufferView;
    device->vk.vkCreateBuffer = noting_create_buffer, device->vk.vkCreateBufferView = noting_create_view;
    buffer_count = view_count = 0;
    assert_int_equal(vkg_graph_create(test_log(), &g), VKG_OK);
    vkg_tensor *x = vkg_input(g, "x", VKG_SHAPE(16, 8, 8, 64));
    vkg_output(g, "y", vkg_conv2d(g, x, &(vkg_conv_desc){.name = "c", .out = 64, .kernel = 4, .stride = 2, .pad = 1}));
    assert_int_equal(vkg_state_create(device, &g, 1, 1, &state), VKG_OK);
    assert_int_equal(vkg_program_create(device, g, state, NULL, &program), VKG_OK);
    device->vk.vkCreateBuffer = true_create_buffer, device->vk.vkCreateBufferView = true_create_view;
    assert_true(vkg_tensor_elements(x) * sizeof(float) % 65536 == 0);
    for (uint64_t bytes = 2; bytes < 300000; bytes += 2) { /* a view of a whole tensor shows no other: lowering_add_storage */
        const uint64_t storage = view_bytes(round_up(bytes, STORAGE_GRAIN));
        assert_true(view_bytes(bytes) >= bytes && view_bytes(bytes) <= storage && (view_bytes(bytes) >> 8 & 0xff));
    }
    assert_true(buffer_count >= 2 && (view_count > 0 || vkg_device_get_caps(device)->kernels != VKG_KERNELS_TEXEL));
    assert_int_equal(vkg_program_run(program), VKG_OK);
    vkg_program_destroy(&program);
    vkg_state_destroy(&state);
    vkg_graph_destroy(&g);
}

/* --- a run allocates nothing --- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_COUNT_ALLOCATIONS 0 /* the sanitizers have replaced malloc already */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_COUNT_ALLOCATIONS 0
#endif
#endif
#ifndef CAN_COUNT_ALLOCATIONS
#define CAN_COUNT_ALLOCATIONS 1
#endif

#if CAN_COUNT_ALLOCATIONS
static _Thread_local volatile bool counting; /* drivers' own threads do not count */
static volatile uint32_t allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *malloc(size_t size)
{
    allocations += counting;
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    allocations += counting;
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size)
{
    allocations += counting;
    return __libc_realloc(old, size);
}

/* The driver is left out, as its allocations are not ours. */
static struct VolkDeviceTable driver;
static VKAPI_ATTR VkResult VKAPI_CALL uncounted_submit(VkQueue q, uint32_t n, const VkSubmitInfo *i, VkFence f)
{
    const bool counted = counting;
    counting = false;
    VkResult result = driver.vkQueueSubmit(q, n, i, f);
    counting = counted;
    return result;
}
static VKAPI_ATTR VkResult VKAPI_CALL uncounted_reset(VkDevice d, uint32_t n, const VkFence *f)
{
    const bool counted = counting;
    counting = false;
    VkResult result = driver.vkResetFences(d, n, f);
    counting = counted;
    return result;
}
static VKAPI_ATTR VkResult VKAPI_CALL uncounted_wait(VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t t)
{
    const bool counted = counting;
    counting = false;
    VkResult result = driver.vkWaitForFences(d, n, f, all, t);
    counting = counted;
    return result;
}

static vkg_tensor *counted_generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    (void)s;
    z = vkg_linear(g, z, &(vkg_linear_desc){.name = "fc", .out = 16});
    return vkg_tanh(g, vkg_reshape(g, z, VKG_SHAPE(4, 4, 4, 1)));
}

static vkg_tensor *counted_discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    (void)s;
    return vkg_conv2d(g, x, &(vkg_conv_desc){.name = "conv", .out = 1, .kernel = 4});
}

static void count_allocations(bool uploads_apart)
{
    vkg_device *device = test_device();
    vkg_gan_desc gan = {.generator = counted_generator, .discriminator = counted_discriminator,
                        .settings = {.image = {4, 4, 1}, .latent = 3, .width = 1}};
    vkg_phase phases[VKG_GAN_MAX_PHASES];
    vkg_trainer *trainer;
    const uint32_t phase_count = vkg_gan_phases(&gan, phases);
    const vkg_trainer_desc desc = {.phases = phases, .phase_count = phase_count, .batch = 4, .image = {4, 4, 1}, .latent = 3,
                                   .loss_scaling = {.enabled = true}};
    const struct uploads usual = set_uploads(uploads_apart, 0);
    assert_int_equal(vkg_trainer_create(device, &desc, &trainer), VKG_OK);
    set_uploads(usual.apart, usual.apart_from);
    allocations = 0;
    driver = device->vk;
    device->vk.vkQueueSubmit = uncounted_submit;
    device->vk.vkResetFences = uncounted_reset;
    device->vk.vkWaitForFences = uncounted_wait;
    const float pixels[64] = {0};
    const vkg_batch batch = {.images = pixels};
    vkg_trainer_report report;
    vkg_result result = VKG_OK;
    for (int i = 0; i < 2; i++) /* the first is measured */
        result |= vkg_trainer_step(trainer, &batch, &report);
    counting = true;
    for (int i = 0; i < 100; i++)
        result |= vkg_trainer_step(trainer, &batch, &report);
    result |= vkg_trainer_finish(trainer, &report);
    counting = false;
    device->vk = driver;
    assert_int_equal(result, VKG_OK);
    assert_int_equal(report.step, 102);
    assert_int_equal(allocations, 0);
    counting = true; /* that the count can be anything else */
    void *volatile something = malloc(1);
    counting = false;
    free(something);
    assert_int_equal(allocations, 1);
    if (device->caps.timestamp_bits) {
        vkg_dispatch_profile dispatches[MANY] = {{0}};
        uint32_t count = MANY;
        assert_int_equal(vkg_trainer_profile(trainer, &batch, dispatches, &count), VKG_OK);
        assert_int_equal(vkg_trainer_get_step(trainer), 103); /* it was a step */
        assert_int_equal(count, vkg_trainer_get_stats(trainer).dispatches);
        assert_true(dispatches[0].seconds > 0 && dispatches[count - 1].seconds > 0);
        assert_int_equal(vkg_trainer_finish(trainer, &report), VKG_OK);
        assert_int_equal(report.step, 103);
    }
    vkg_trainer_destroy(&trainer);
}

static void a_step_allocates_nothing(void **unused)
{
    (void)unused;
    count_allocations(false);
    count_allocations(true);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_run_gives_the_same_bits), cmocka_unit_test(few_bytes_go_in_front),
        cmocka_unit_test(inputs_arrive_in_their_own_run), cmocka_unit_test(submissions_are_cut),
        cmocka_unit_test(submissions_follow_what_was_measured),
        cmocka_unit_test(timestamps_may_all_be_the_same), cmocka_unit_test(completion_begins_with_nothing),
        cmocka_unit_test(no_buffer_is_larger_than_the_device_allows), cmocka_unit_test(no_range_is_larger_than_the_device_allows), cmocka_unit_test(slots_are_guarded),
        cmocka_unit_test(a_profile_is_a_run), cmocka_unit_test(profiles_are_guarded),
        cmocka_unit_test(a_profile_counts_what_is_done), cmocka_unit_test(nan_is_not_hidden),
        cmocka_unit_test(denormals_cost_nothing), cmocka_unit_test(views_are_of_one_kind),
#if CAN_COUNT_ALLOCATIONS
        cmocka_unit_test(a_step_allocates_nothing),
#endif
        cmocka_unit_test(sums_of_every_length_are_whole)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
