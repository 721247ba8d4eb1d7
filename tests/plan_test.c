/* The order of dispatches, their memory, and their push constants: what needs no device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/convolution.h"
#include "kernels/embedded.h"
#include "on_device.h"
#include "program/order.h"
#include "program/plan.h"

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

/* --- limits --- */

/* A texel buffer of ten texels and a part of one is none of ten. */
static void texels_that_do_not_fit_are_read_from_storage(void **unused)
{
    (void)unused;
    vkg_device device = {.caps = {.kernels = VKG_KERNELS_TEXEL, .max_texel_buffer_elements = 10}};
    const struct lowering lowering = {.device = &device};
    assert_int_equal(lowering_read_format(&lowering, 160, true), FORMAT_TEXEL_VEC4);
    assert_int_equal(lowering_read_format(&lowering, 164, true), FORMAT_STORAGE);
    assert_int_equal(lowering_read_format(&lowering, 40, false), FORMAT_TEXEL_SCALAR);
    assert_int_equal(lowering_read_format(&lowering, 42, false), FORMAT_STORAGE);
}

/* How many invocations share one of `count` sums of many parts. */
static uint32_t lanes_of_parts(vkg_device *device, uint32_t count)
{
    vkg_graph *graph;
    struct placement placement = {.storage = UINT32_MAX};
    vkg_dtype dtype = VKG_FLOAT32;
    struct lowering lowering = {.device = device, .placements = &placement, .memory = &dtype};
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    const vkg_tensor *sums = vkg_input(graph, "sums", VKG_SHAPE(count)); /* tensor 0 */
    const struct partial_results partial = {.outer = 1, .inner = count, .parts = 4096};
    assert_int_equal(lowering_reduce_parts(&lowering, &partial, sums), VKG_OK);
    const uint32_t lanes = lowering.dispatches[0].constants[2];
    free(lowering.dispatches);
    free(lowering.storages);
    vkg_graph_destroy(&graph);
    return lanes;
}

static void shared_memory_is_not_sized_where_it_cannot_be(void **unused)
{
    (void)unused;
    vkg_device device = {.caps = {.type = VKG_DEVICE_DISCRETE, .kernels = VKG_KERNELS_TILED, .max_storage_buffer_range = UINT64_MAX,
                                  .max_workgroup_invocations = 1024, .max_workgroup_count = {65535, 65535, 65535}}};
    assert_true(lanes_of_parts(&device, 8) > 1);
    device.caps.shared_sizes_fixed = true;
    assert_int_equal(lanes_of_parts(&device, 8), 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_never_shares_living_memory), cmocka_unit_test(what_is_computed_again_is_the_same),
        cmocka_unit_test(waves_keep_what_depends_in_order), cmocka_unit_test(texels_that_do_not_fit_are_read_from_storage),
        cmocka_unit_test(shared_memory_is_not_sized_where_it_cannot_be),
        cmocka_unit_test(push_constants_match_glsl)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
