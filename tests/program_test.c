/* Plans, recording, state: what holds whatever the graph is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/convolution.h"
#include "kernels/embedded.h"
#include "on_device.h"
#include "program/commands.h"
#include "program/plan.h"
#include "program/order.h"
#include "program/program.h"

static const float *output_of(const vkg_program *program, const vkg_tensor *tensor, uint32_t slot)
{
    return vkg_program_output(program, tensor, slot);
}

/* --- the memory plan, without a device --- */

static bool live_together(const struct storage *a, const struct storage *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static void random_dispatches(struct lowering *lowering, uint32_t dispatches, uint32_t storages)
{
    lowering->dispatch_count = dispatches;
    lowering->dispatches = calloc(dispatches, sizeof *lowering->dispatches);
    lowering->storage_count = storages;
    lowering->storages = calloc(storages, sizeof *lowering->storages);
    for (uint32_t s = 0; s < storages; s++)
        lowering->storages[s] = (struct storage){.kind = test_random(9) ? STORAGE_TEMPORARY : STORAGE_INPUT,
                                                 .bytes = 256ull * (1 + test_random(50)), .first = UINT32_MAX};
    for (uint32_t d = 0; d < dispatches; d++) {
        struct dispatch *dispatch = &lowering->dispatches[d];
        memcpy(dispatch->push, &d, sizeof d); /* its name */
        for (int b = 0; b < 3; b++)
            dispatch->bindings[dispatch->binding_count++] = (struct binding){
                .storage = (d + test_random(10)) * storages / (dispatches + 10), .offset = test_random(3) * 100,
                .bytes = 1 + test_random(200), .written = test_random(3) == 0};
    }
}

static uint32_t name_of(const struct dispatch *dispatch)
{
    uint32_t name;
    memcpy(&name, dispatch->push, sizeof name);
    return name;
}

/* Does one write what the other one touches? */
static bool depend(const struct lowering *lowering, const struct dispatch *a, const struct dispatch *b)
{
    for (uint32_t i = 0; i < a->binding_count; i++)
        for (uint32_t k = 0; k < b->binding_count; k++) {
            const struct binding *x = &a->bindings[i], *y = &b->bindings[k];
            const struct storage *s = &lowering->storages[x->storage], *t = &lowering->storages[y->storage];
            const bool same = x->storage == y->storage || (s->kind == STORAGE_STATE && t->kind == STORAGE_STATE);
            const uint64_t first = x->offset + s->address, second = y->offset + t->address;
            if (same && (x->written || y->written) && first < second + y->bytes && second < first + x->bytes)
                return true;
        }
    return false;
}

static void waves_keep_what_depends_in_order(void **unused)
{
    (void)unused;
    vkg_device nobody = {0};
    uint32_t shared = 0;
    for (int round = 0; round < 50; round++) {
        struct lowering lowering = {.device = &nobody};
        bool seen[80] = {0};
        random_dispatches(&lowering, 5 + test_random(60), 4 + test_random(60));
        for (size_t s = 0; s < lowering.storage_count; s += 3)
            lowering.storages[s].kind = STORAGE_STATE, lowering.storages[s].address = 100 * test_random(20);
        assert_int_equal(order_dispatches(&lowering), VKG_OK);
        for (size_t i = 0; i < lowering.dispatch_count; i++) {
            const struct dispatch *later = &lowering.dispatches[i];
            assert_false(seen[name_of(later)]);
            seen[name_of(later)] = true;
            for (size_t k = 0; k < i; k++) {
                const struct dispatch *earlier = &lowering.dispatches[k];
                assert_true(earlier->wave <= later->wave);
                if (depend(&lowering, earlier, later))
                    assert_true(earlier->wave < later->wave && name_of(earlier) < name_of(later));
            }
            shared += i > 0 && later[-1].wave == later->wave;
        }
        free(lowering.dispatches);
        free(lowering.storages);
    }
    assert_true(shared > 0);
}

static void plan_never_shares_living_memory(void **unused)
{
    (void)unused;
    vkg_device nobody = {0};
    for (int round = 0; round < 50; round++) {
        struct lowering lowering = {.device = &nobody};
        struct plan plan;
        random_dispatches(&lowering, 5 + test_random(60), 4 + test_random(60));
        const struct plan_options options = {.alignment = 256, .block_bytes = 256 * 120, .aliasing = round % 5 != 0};
        const uint32_t kept = test_random((uint32_t)lowering.storage_count);
        lowering.storages[kept].kept = true;
        assert_int_equal(order_dispatches(&lowering), VKG_OK);
        assert_int_equal(plan_memory(&lowering, &options, &plan), VKG_OK);
        for (size_t i = 0; i < lowering.storage_count; i++) {
            const struct storage *a = &lowering.storages[i];
            assert_true(a->address % options.alignment == 0);
            assert_true(a->address + a->bytes <= plan.block_bytes[a->block]);
            for (size_t k = 0; k < i; k++) {
                const struct storage *b = &lowering.storages[k];
                bool overlap = a->block == b->block && a->address < b->address + b->bytes &&
                               b->address < a->address + a->bytes;
                assert_false(overlap && (live_together(a, b) || !options.aliasing));
            }
        }
        assert_true(plan.bytes <= plan.unaliased_bytes);
        assert_int_equal(lowering.storages[kept].last, lowering.dispatch_count);
        free(lowering.dispatches);
        free(lowering.storages);
    }
}

enum { WHOLE = 100 }; /* bytes that a whole tensor has */

static void add_written(struct dispatch *dispatch, uint32_t storage, uint64_t bytes)
{
    dispatch->bindings[dispatch->binding_count++] = (struct binding){.storage = storage, .bytes = bytes, .written = true};
}

/* A program like a forward and a backward pass: every dispatch writes a tensor of its own out of recent ones, state, and, in the
 * second half, one of the first half; some change state, or a part of another's tensor, or have more results. */
static void passes_and_back(struct lowering *lowering, uint32_t count)
{
    enum { STATES = 3 };
    lowering->dispatch_count = count;
    lowering->dispatches = calloc(count, sizeof *lowering->dispatches);
    lowering->storage_count = lowering->storage_capacity = count + STATES;
    lowering->storages = calloc(count + STATES, sizeof *lowering->storages);
    for (uint32_t s = 0; s < count + STATES; s++)
        lowering->storages[s] = (struct storage){.kind = s < count ? STORAGE_TEMPORARY : STORAGE_STATE, .bytes = 256 * (4 + test_random(40)),
                                                 .address = s < count ? 0 : (s - count) * 100};
    for (uint32_t d = 0; d < count; d++) {
        struct dispatch *dispatch = &lowering->dispatches[d];
        const uint32_t read[] = {d ? d - 1 : 0, d >= count / 2 ? count - 1 - d : d / 2, count + test_random(STATES)};
        memcpy(dispatch->push, &d, sizeof d);
        dispatch->repeatable = test_random(2);
        for (uint32_t i = d ? 0 : 2; i < 3; i++)
            dispatch->bindings[dispatch->binding_count++] = (struct binding){.storage = read[i], .bytes = WHOLE, .read = true};
        add_written(dispatch, test_random(12) ? d : count + test_random(STATES), WHOLE);
        if (d && !test_random(30))
            add_written(dispatch, d - 1, WHOLE / 2);
        for (uint32_t more = 1; d + 2 < count && !test_random(30) && more <= 2; more++)
            add_written(dispatch, d + more, WHOLE);
        if (d + 2 < count && !test_random(30)) { /* three results, one of them state */
            add_written(dispatch, count + test_random(STATES), WHOLE);
            add_written(dispatch, d + 1, WHOLE);
        }
    }
}

static struct lowering copy_of(const struct lowering *lowering)
{
    struct lowering copy = *lowering;
    copy.dispatches = calloc(copy.dispatch_count, sizeof *copy.dispatches);
    copy.storages = calloc(copy.storage_count, sizeof *copy.storages);
    memcpy(copy.dispatches, lowering->dispatches, copy.dispatch_count * sizeof *copy.dispatches);
    memcpy(copy.storages, lowering->storages, copy.storage_count * sizeof *copy.storages);
    return copy;
}

/* What every dispatch reads, as hashes of what was written, by its name; copies have the same. */
static void interpret(const struct lowering *lowering, uint64_t *read)
{
    uint64_t *values = calloc(lowering->storage_count, sizeof *values);
    for (size_t d = 0; d < lowering->dispatch_count; d++) {
        const struct dispatch *dispatch = &lowering->dispatches[d];
        const uint32_t name = name_of(dispatch);
        uint64_t hash = name + 1;
        for (uint32_t b = 0; b < dispatch->binding_count; b++)
            if (dispatch->bindings[b].read)
                hash = (hash ^ values[dispatch->bindings[b].storage]) * 0x9e3779b97f4a7c15 + b;
        assert_true(read[name] == 0 || read[name] == hash);
        read[name] = hash;
        for (uint32_t b = 0; b < dispatch->binding_count; b++)
            if (dispatch->bindings[b].written) {
                uint64_t *value = &values[dispatch->bindings[b].storage];
                *value = dispatch->bindings[b].bytes == WHOLE ? hash : (*value ^ hash) * 0x2545f4914f6cdd1d;
            }
    }
    free(values);
}

static void what_is_computed_again_is_the_same(void **unused)
{
    (void)unused;
    enum { MOST = 90 };
    vkg_device nobody = {0};
    const struct plan_options options = {.alignment = 256, .block_bytes = 1 << 30, .aliasing = true};
    uint64_t bytes[2] = {0};
    size_t copies = 0;
    for (int round = 0; round < 300; round++) {
        uint64_t read[MOST] = {0};
        struct lowering lowerings[2] = {{.device = &nobody}};
        passes_and_back(&lowerings[0], 20 + test_random(MOST - 20));
        lowerings[1] = copy_of(&lowerings[0]);
        lowerings[1].spares_memory = true;
        interpret(&lowerings[0], read);
        for (int i = 0; i < 2; i++) {
            struct plan plan;
            assert_int_equal(order_dispatches(&lowerings[i]), VKG_OK);
            interpret(&lowerings[i], read);
            assert_int_equal(plan_memory(&lowerings[i], &options, &plan), VKG_OK);
            bytes[i] += plan.bytes;
        }
        copies += lowerings[1].dispatch_count - lowerings[0].dispatch_count;
        for (int i = 0; i < 2; i++) {
            free(lowerings[i].dispatches);
            free(lowerings[i].storages);
        }
    }
    print_message("%zu dispatches are computed again: %.3f of the memory\n", copies, (double)bytes[1] / (double)bytes[0]);
    assert_true(copies > 300);
    assert_true(bytes[1] < bytes[0]);
}

/* --- C and GLSL agree on push constants --- */

/* The push constants are the shader's only struct whose members lie at other offsets than 0. */
static void push_constants_match_glsl(void **unused)
{
    (void)unused;
    enum { OP_MEMBER_DECORATE = 72, DECORATION_OFFSET = 35 };
    const struct shader *shader = shader_find("conv_forward_plain");
    assert_non_null(shader);
    uint32_t highest = 0, seen = 0;
    for (size_t i = 5; i < shader->spirv_bytes / 4; i += shader->spirv[i] >> 16)
        if ((shader->spirv[i] & 0xffff) == OP_MEMBER_DECORATE && shader->spirv[i + 3] == DECORATION_OFFSET) {
            uint32_t member = shader->spirv[i + 2], offset = shader->spirv[i + 4];
            assert_int_equal(offset, member * 4);
            highest = offset > highest ? offset : highest;
            seen++;
        }
    assert_true(seen >= sizeof(struct conv_push) / 4);
    assert_int_equal(highest, sizeof(struct conv_push) - 4);
    assert_true(sizeof(struct conv_push) <= PIPELINE_PUSH_BYTES);
}

/* --- one graph, run in different ways --- */

struct toy {
    vkg_graph *graph;
    vkg_tensor *x, *loss, *y;
    vkg_state *state;
};

static void toy_create(struct toy *toy, uint64_t seed)
{
    assert_int_equal(vkg_graph_create(test_log(), &toy->graph), VKG_OK);
    vkg_graph *g = toy->graph;
    toy->x = vkg_input(g, "x", VKG_SHAPE(3, 6, 6, 2));
    vkg_tensor *h = vkg_conv2d(g, toy->x, &(vkg_conv_desc){.name = "a", .out = 8, .kernel = 3, .pad = 1, .bias = true});
    h = vkg_leaky_relu(g, vkg_batch_norm(g, h, &(vkg_batch_norm_desc){.name = "b"}), 0.2f);
    h = vkg_add(g, h, vkg_affine(g, vkg_random_normal(g, VKG_SHAPE(3, 6, 6, 8)), 0.1f, 0));
    toy->y = vkg_conv2d(g, h, &(vkg_conv_desc){.name = "c", .out = 1, .kernel = 6});
    toy->loss = vkg_bce_with_logits(g, toy->y, 1);
    vkg_tensor *parameters[8], *gradients[8];
    uint32_t count = vkg_graph_parameters(g, "", parameters, 8);
    vkg_gradients(g, toy->loss, parameters, count, gradients);
    vkg_optimize(g, "all", parameters, gradients, count, &(vkg_optimizer_desc){.lr = 0.01f});
    vkg_output(g, "loss", toy->loss);
    vkg_output(g, "y", toy->y);
    assert_int_equal(vkg_state_create(test_device(), &toy->graph, 1, seed, &toy->state), VKG_OK);
}

static void toy_destroy(struct toy *toy)
{
    vkg_state_destroy(&toy->state);
    vkg_graph_destroy(&toy->graph);
}

static void toy_fill(struct toy *toy, vkg_program *program)
{
    float *x = vkg_program_input(program, toy->x, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(toy->x); i++)
        x[i] = sinf((float)i);
}

/* How a device's uploads go, to be put back. */
struct uploads {
    bool apart;
    uint64_t apart_from;
};

static struct uploads set_uploads(bool apart, uint64_t apart_from)
{
    vkg_device *device = test_device();
    const struct uploads usual = {device->uploads_apart, device->apart_from};
    device->uploads_apart = apart;
    device->apart_from = apart_from;
    return usual;
}

/* Uploads apart from the work, or in front of it, whatever the device does by default. */
static vkg_program *create_apart(vkg_graph *graph, vkg_state *state, const vkg_program_desc *desc, bool uploads_apart)
{
    vkg_program *program;
    const struct uploads usual = set_uploads(uploads_apart, 0);
    vkg_result result = vkg_program_create(test_device(), graph, state, desc, &program);
    set_uploads(usual.apart, usual.apart_from);
    assert_int_equal(result, VKG_OK);
    assert_true(uploads_apart == (program->arrivals.handle != VK_NULL_HANDLE));
    return program;
}

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

enum { ROWS = 300, COLUMNS = 70, SLOTS = 4 };

/* y = 2x + 1 + n, of a run's inputs. */
struct doubling {
    vkg_graph *graph;
    vkg_tensor *n, *x, *y;
    vkg_program *program;
    uint32_t written[SLOTS]; /* what the slot was given last */
};

static void doubling_create(struct doubling *d, const vkg_program_desc *desc, bool uploads_apart)
{
    assert_int_equal(vkg_graph_create(test_log(), &d->graph), VKG_OK);
    d->n = vkg_input(d->graph, "n", VKG_SHAPE(1));
    d->x = vkg_input(d->graph, "x", VKG_SHAPE(ROWS, COLUMNS));
    vkg_tensor *sums = vkg_sum(d->graph, d->x, 2, true); /* a dispatch more: there is something to cut */
    d->y = vkg_add(d->graph, vkg_add(d->graph, vkg_affine(d->graph, d->x, 2, 1), vkg_affine(d->graph, sums, 0, 0)), d->n);
    vkg_output(d->graph, "y", d->y);
    d->program = create_apart(d->graph, NULL, desc, uploads_apart);
}

static void doubling_destroy(struct doubling *d)
{
    vkg_program_destroy(&d->program);
    vkg_graph_destroy(&d->graph);
}

static void doubling_write(struct doubling *d, uint32_t slot, uint32_t number)
{
    float *x = vkg_program_input(d->program, d->x, slot);
    d->written[slot] = number;
    *(float *)vkg_program_input(d->program, d->n, slot) = (float)(number % 100);
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
        x[i] = (float)((i + 17 * number) % 1000);
}

static void doubling_check(const struct doubling *d, uint32_t slot)
{
    const float *y = output_of(d->program, d->y, slot);
    const uint32_t number = d->written[slot];
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
        if (y[i] != (float)(2 * ((i + 17 * number) % 1000) + 1 + number % 100))
            fail_msg("run %u, slot %u, element %u: %g", number, slot, i, (double)y[i]);
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

/* --- work that does not complete --- */

static PFN_vkQueueSubmit true_submit;
static uint32_t submits_left;
static VkResult submit_answer; /* of the submission that goes wrong: VK_SUCCESS is a cancelled one */
static VKAPI_ATTR VkResult VKAPI_CALL failing_submit(VkQueue q, uint32_t n, const VkSubmitInfo *i, VkFence f)
{
    VkSubmitInfo cancelled = *i; /* its semaphores and its fence work all the same */
    cancelled.commandBufferCount = 0;
    if (submits_left-- != 0)
        return true_submit(q, n, i, f);
    return submit_answer == VK_SUCCESS ? true_submit(q, 1, &cancelled, f) : submit_answer;
}

/* A device of its own, since losses last. Submission `which` of the second run goes wrong: of its inputs' and the others, or,
 * where uploads are not apart, of the others. */
static void lose(vkg_transfer_queue transfer_queue, uint32_t which, VkResult answer)
{
    const bool apart = transfer_queue == VKG_TRANSFER_QUEUE_ON;
    vkg_device *device;
    vkg_graph *graph;
    vkg_program *program;
    vkg_program_stats stats;
    char expected[64];
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = test_log(), .transfer_queue = transfer_queue}, &device), VKG_OK);
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_tensor *x = vkg_input(graph, "x", VKG_SHAPE(64, 8));
    vkg_tensor *from_sum = vkg_sub(graph, x, vkg_sum(graph, x, VKG_ALL_AXES, false));
    vkg_output(graph, "sum", vkg_sum(graph, vkg_exp(graph, vkg_sum(graph, from_sum, 1, false)), VKG_ALL_AXES, false));
    assert_int_equal(vkg_program_create(device, graph, NULL, &(vkg_program_desc){.submission_seconds = 1e-12}, &program), VKG_OK);
    stats = vkg_program_get_stats(program);
    assert_true(stats.submissions > 1 && which < stats.submissions);
    memset(vkg_program_input(program, x, 0), 0, 64 * 8 * sizeof(float));
    assert_int_equal(vkg_program_run(program), VKG_OK);
    true_submit = device->vk.vkQueueSubmit;
    submits_left = which;
    submit_answer = answer;
    device->vk.vkQueueSubmit = failing_submit;
    test_expect_errors(true);
    assert_int_equal(vkg_program_run(program), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(vkg_program_run(program), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(test_error_count(), 2);
    snprintf(expected, sizeof expected, "submission %u of %u of \"program\"", apart && which ? which : which + 1,
             stats.submissions);
    if (answer == VK_SUCCESS && !strstr(device->loss, expected))
        fail_msg("\"%s\" does not say \"%s\"", device->loss, expected);
    assert_non_null(strstr(device->loss, "from dispatch")); /* earlier ones may or may not be done yet */
    test_expect_errors(false);
    device->vk.vkQueueSubmit = true_submit;
    device->vk.vkDeviceWaitIdle(device->handle); /* it is well, in truth */
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
    vkg_device_destroy(&device);
}

static void cancelled_work_is_noticed(void **unused)
{
    (void)unused;
    lose(VKG_TRANSFER_QUEUE_OFF, 0, VK_SUCCESS);
    lose(VKG_TRANSFER_QUEUE_OFF, 1, VK_SUCCESS);
    for (uint32_t which = 0; which < 3; which++)
        lose(VKG_TRANSFER_QUEUE_ON, which, VK_SUCCESS);
}

static void a_loss_names_what_was_in_flight(void **unused)
{
    (void)unused;
    lose(VKG_TRANSFER_QUEUE_OFF, 0, VK_ERROR_DEVICE_LOST);
    lose(VKG_TRANSFER_QUEUE_OFF, 1, VK_ERROR_DEVICE_LOST);
    for (uint32_t which = 0; which < 3; which++)
        lose(VKG_TRANSFER_QUEUE_ON, which, VK_ERROR_DEVICE_LOST);
}

/* One submission of a run fails, and the device lives: no semaphore may stay signalled for the next run, which is right, nor
 * be destroyed while a queue is to signal it. */
static void fail_in_part(uint32_t which, bool goes_on)
{
    struct doubling d;
    vkg_device *device = test_device();
    doubling_create(&d, &(vkg_program_desc){.slots = SLOTS, .submission_seconds = 1e-12}, true);
    assert_in_range(which, 0, vkg_program_get_stats(d.program).submissions);
    doubling_write(&d, 1, 1);
    assert_int_equal(vkg_program_submit(d.program, 1), VKG_OK); /* the first run is measured */
    doubling_write(&d, 0, 2);
    assert_int_equal(vkg_program_submit(d.program, 0), VKG_OK); /* in flight meanwhile */
    assert_int_equal(vkg_program_wait(d.program, 1), VKG_OK);
    doubling_write(&d, 1, 3);
    true_submit = device->vk.vkQueueSubmit;
    submits_left = which;
    submit_answer = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    device->vk.vkQueueSubmit = failing_submit;
    test_expect_errors(true);
    vkg_result failed = vkg_program_submit(d.program, 1);
    if (goes_on) {
        submits_left = 0; /* what would tidy up fails as well */
        assert_int_equal(vkg_program_submit(d.program, 1), VKG_ERROR_OUT_OF_MEMORY);
    }
    device->vk.vkQueueSubmit = true_submit;
    assert_int_equal(failed, VKG_ERROR_OUT_OF_MEMORY);
    assert_int_equal(test_error_count(), 1 + goes_on);
    test_expect_errors(false);
    for (uint32_t run = 0; run < 2 * SLOTS && goes_on; run++) {
        const uint32_t slot = (run + 1) % SLOTS;
        assert_int_equal(vkg_program_wait(d.program, slot), VKG_OK);
        if (slot == 0 && run < SLOTS)
            doubling_check(&d, slot);
        doubling_write(&d, slot, 10 + run);
        assert_int_equal(vkg_program_submit(d.program, slot), VKG_OK);
        assert_int_equal(vkg_program_wait(d.program, slot), VKG_OK);
        doubling_check(&d, slot);
    }
    doubling_destroy(&d);
    assert_int_equal(vkg_device_validation_messages(device), 0);
}

static void a_run_sent_in_part_leaves_nothing_behind(void **unused)
{
    (void)unused;
    for (uint32_t which = 0; which < 3; which++) {
        fail_in_part(which, false);
        fail_in_part(which, true);
    }
}

static VKAPI_ATTR VkResult VKAPI_CALL never_done(VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t t)
{
    (void)d, (void)n, (void)f, (void)all, (void)t;
    return VK_TIMEOUT;
}

static void a_wait_without_progress_ends(void **unused)
{
    (void)unused;
    vkg_device *device;
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = test_log()}, &device), VKG_OK);
    device->vk.vkWaitForFences = never_done;
    test_expect_errors(true);
    assert_int_equal(device_wait_idle(device), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(device_wait_idle(device), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(test_error_count(), 2);
    test_expect_errors(false);
    device->vk.vkDeviceWaitIdle(device->handle);
    vkg_device_destroy(&device);
}

/* --- every Vulkan call fails once --- */

static uint32_t calls_left;
static bool has_failed;

#define FAILING(call, parameters, arguments)                                                                 \
    static PFN_##call real_##call;                                                                           \
    static VKAPI_ATTR VkResult VKAPI_CALL failing_##call parameters                                          \
    {                                                                                                        \
        has_failed |= calls_left == 0;                                                                       \
        return calls_left-- == 0 ? VK_ERROR_OUT_OF_DEVICE_MEMORY : real_##call arguments;                    \
    }
FAILING(vkCreateBuffer, (VkDevice d, const VkBufferCreateInfo *i, const VkAllocationCallbacks *a, VkBuffer *o), (d, i, a, o))
FAILING(vkAllocateMemory, (VkDevice d, const VkMemoryAllocateInfo *i, const VkAllocationCallbacks *a, VkDeviceMemory *o), (d, i, a, o))
FAILING(vkBindBufferMemory, (VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize o), (d, b, m, o))
FAILING(vkMapMemory, (VkDevice d, VkDeviceMemory m, VkDeviceSize o, VkDeviceSize s, VkMemoryMapFlags f, void **p), (d, m, o, s, f, p))
FAILING(vkCreateBufferView, (VkDevice d, const VkBufferViewCreateInfo *i, const VkAllocationCallbacks *a, VkBufferView *o), (d, i, a, o))
FAILING(vkCreateDescriptorPool, (VkDevice d, const VkDescriptorPoolCreateInfo *i, const VkAllocationCallbacks *a, VkDescriptorPool *o), (d, i, a, o))
FAILING(vkAllocateDescriptorSets, (VkDevice d, const VkDescriptorSetAllocateInfo *i, VkDescriptorSet *o), (d, i, o))
FAILING(vkCreateCommandPool, (VkDevice d, const VkCommandPoolCreateInfo *i, const VkAllocationCallbacks *a, VkCommandPool *o), (d, i, a, o))
FAILING(vkAllocateCommandBuffers, (VkDevice d, const VkCommandBufferAllocateInfo *i, VkCommandBuffer *o), (d, i, o))
FAILING(vkBeginCommandBuffer, (VkCommandBuffer c, const VkCommandBufferBeginInfo *i), (c, i))
FAILING(vkEndCommandBuffer, (VkCommandBuffer c), (c))
FAILING(vkCreateFence, (VkDevice d, const VkFenceCreateInfo *i, const VkAllocationCallbacks *a, VkFence *o), (d, i, a, o))
FAILING(vkCreateSemaphore, (VkDevice d, const VkSemaphoreCreateInfo *i, const VkAllocationCallbacks *a, VkSemaphore *o), (d, i, a, o))
FAILING(vkQueueSubmit, (VkQueue q, uint32_t n, const VkSubmitInfo *i, VkFence f), (q, n, i, f))

#define EACH_CALL(X)                                                                                         \
    X(vkCreateBuffer) X(vkAllocateMemory) X(vkBindBufferMemory) X(vkMapMemory) X(vkCreateBufferView)         \
    X(vkCreateDescriptorPool) X(vkAllocateDescriptorSets) X(vkCreateCommandPool) X(vkAllocateCommandBuffers) \
    X(vkBeginCommandBuffer) X(vkEndCommandBuffer) X(vkCreateFence)                  \
    X(vkCreateSemaphore) X(vkQueueSubmit)
#define INSTALL(call) real_##call = device->vk.call, device->vk.call = failing_##call;
#define RESTORE(call) device->vk.call = real_##call;

/* Builds a state and a program; true when nothing failed. */
static bool try_to_build(struct toy *toy)
{
    vkg_program *program = NULL;
    vkg_result result = vkg_state_create(test_device(), &toy->graph, 1, 1, &toy->state);
    if (result == VKG_OK)
        result = vkg_program_create(test_device(), toy->graph, toy->state, NULL, &program);
    bool built = result == VKG_OK;
    assert_true(built || (program == NULL && test_error_count() == 1));
    vkg_program_destroy(&program);
    vkg_state_destroy(&toy->state);
    return built;
}

static void fail_each_call(bool uploads_apart)
{
    struct toy toy;
    toy_create(&toy, 1);
    vkg_state_destroy(&toy.state);
    vkg_device *device = test_device();
    const bool usual = device->uploads_apart;
    device->uploads_apart = uploads_apart;
    uint32_t calls = 0;
    for (; !calls || has_failed; calls++) {
        test_expect_errors(true);
        calls_left = calls;
        has_failed = false;
        EACH_CALL(INSTALL)
        const bool built = try_to_build(&toy); /* which a card with several heaps may, as the next one has memory */
        EACH_CALL(RESTORE)
        assert_true(built || has_failed);
    }
    test_expect_errors(false);
    device->uploads_apart = usual;
    assert_true(calls > 20); /* so many there are at the least */
    toy_destroy(&toy);
}

static void every_call_may_fail(void **unused)
{
    (void)unused;
    fail_each_call(false);
    fail_each_call(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_never_shares_living_memory),
        cmocka_unit_test(what_is_computed_again_is_the_same), cmocka_unit_test(waves_keep_what_depends_in_order), cmocka_unit_test(push_constants_match_glsl),
        cmocka_unit_test(every_way_to_run_gives_the_same_bits), cmocka_unit_test(few_bytes_go_in_front), cmocka_unit_test(inputs_arrive_in_their_own_run), cmocka_unit_test(submissions_are_cut),
        cmocka_unit_test(submissions_follow_what_was_measured),
        cmocka_unit_test(slots_are_guarded), cmocka_unit_test(a_profile_is_a_run), cmocka_unit_test(profiles_are_guarded),
        cmocka_unit_test(a_profile_counts_what_is_done), cmocka_unit_test(nan_is_not_hidden),
        cmocka_unit_test(denormals_cost_nothing),
#if CAN_COUNT_ALLOCATIONS
        cmocka_unit_test(a_step_allocates_nothing),
#endif
        cmocka_unit_test(sums_of_every_length_are_whole),
        cmocka_unit_test(cancelled_work_is_noticed), cmocka_unit_test(a_loss_names_what_was_in_flight),
        cmocka_unit_test(a_run_sent_in_part_leaves_nothing_behind),
        cmocka_unit_test(a_wait_without_progress_ends), cmocka_unit_test(every_call_may_fail)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
