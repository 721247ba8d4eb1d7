/* Trials of kernels: choices by time are kept and stay, and a kernel that computes wrong numbers, or cannot be built, is
 * not used. Faults are put between the library and its driver. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/build.h"
#include "kernels/choice.h"
#include "kernels/shaders.h"
#include "on_device.h"
#include "ops/convolution.h"
#include "program/fuse.h"
#include "program/kernel_checks.h"
#include "program/self_test.h"

static char folder[] = "/tmp/vkgan-trials-XXXXXX";
static uint32_t warnings, errors, built; /* the last: how often kernels were built at once */
static char warning[1024], error[1024]; /* the last ones */

static void keep_message(void *user, vkg_log_level level, const char *message)
{
    (void)user;
    built += strstr(message, " kernels built by ") != NULL;
    if (level > VKG_LOG_WARNING)
        return;
    ++*(level == VKG_LOG_ERROR ? &errors : &warnings);
    snprintf(level == VKG_LOG_ERROR ? error : warning, sizeof warning, "%s", message);
}

/* A device whose notes lie in the folder of this test. */
static vkg_device *open_family(const char *kernels, vkg_autotune autotune)
{
    vkg_device *device;
    const vkg_log log = {.callback = keep_message};
    warnings = errors = built = 0;
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &log, .kernels = kernels, .cache_dir = folder,
                                                          .autotune = autotune}, &device), VKG_OK);
    return device;
}

static vkg_device *open_tiled(vkg_autotune autotune)
{
    return open_family("tiled", autotune);
}

static const struct conv_problem problem = {.n = 4, .ih = 9, .iw = 9, .ci = 16, .oh = 9, .ow = 9, .co = 32, .kh = 3,
                                            .kw = 3, .sh = 1, .sw = 1, .ph = 1, .pw = 1, .dh = 1, .dw = 1, .groups = 1};

/* A program of one convolution, or of that and a ReLU: what building it gives. */
static vkg_result try_program_that(vkg_device *device, vkg_dtype precision, bool activates)
{
    vkg_graph *graph;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_graph_set_precision(graph, precision);
    vkg_tensor *x = vkg_input(graph, "x", conv_operand_shape(&problem, CONV_X));
    vkg_tensor *w = vkg_input(graph, "w", conv_operand_shape(&problem, CONV_W));
    vkg_tensor *y = conv_node(graph, CONV_FORWARD, x, w, &problem);
    vkg_output(graph, "y", activates ? vkg_relu(graph, y) : y);
    vkg_result result = vkg_program_create(device, graph, NULL, NULL, &program);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
    return result;
}

static vkg_result try_program_of(vkg_device *device, vkg_dtype precision)
{
    return try_program_that(device, precision, false);
}

static vkg_result try_program(vkg_device *device)
{
    return try_program_of(device, VKG_FLOAT32);
}

static void build_program_of(vkg_device *device, vkg_dtype precision)
{
    assert_int_equal(try_program_of(device, precision), VKG_OK);
}

static void build_program(vkg_device *device)
{
    assert_int_equal(try_program(device), VKG_OK);
}

/* The name of the candidate that the device runs the problem with, and whether that was noted. */
static bool chosen_of(const vkg_device *device, vkg_dtype dtype, char name[128])
{
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    uint32_t choice, count = conv_candidates(vkg_device_get_caps(device), CONV_FORWARD, &problem, dtype, plans);
    conv_candidate_name(&plans[conv_choose(device, CONV_FORWARD, plans, count)], name, 128);
    return conv_find_choice(device, CONV_FORWARD, plans, count, &choice);
}

/* Kernels of matrices that could run the problem; candidates that only cut their sums otherwise share one. */
static uint32_t matrix_kernels(const vkg_device *device)
{
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    uint32_t kernels = 0, count = conv_candidates(vkg_device_get_caps(device), CONV_FORWARD, &problem, VKG_FLOAT16, plans);
    for (uint32_t i = 0; i < count; i++) {
        char name[128], other[128];
        conv_kernel_name(&plans[i], name, sizeof name);
        bool is_new = strstr(name, "coopmat") != NULL;
        for (uint32_t k = 0; k < i; k++) {
            conv_kernel_name(&plans[k], other, sizeof other);
            is_new &= strcmp(name, other) != 0;
        }
        kernels += is_new;
    }
    return kernels;
}

static bool chosen(const vkg_device *device, char name[128])
{
    return chosen_of(device, VKG_FLOAT32, name);
}

/* The path of the file of notes; false: there is none. */
static bool find_notes(char path[256])
{
    char pattern[256];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/kernels-*.txt", folder);
    const bool there = glob(pattern, 0, NULL, &found) == 0;
    snprintf(path, 256, "%s", there ? found.gl_pathv[0] : "");
    globfree(&found);
    return there;
}

static void remove_notes(void)
{
    char path[256];
    if (find_notes(path))
        unlink(path);
}

static void choices_are_kept(void **unused)
{
    (void)unused;
    char first[128], later[128];
    vkg_device *device = open_tiled(VKG_AUTOTUNE_ON);
    assert_false(chosen(device, first));
    build_program(device);
    assert_true(chosen(device, first));
    vkg_device_destroy(&device);
    device = open_tiled(VKG_AUTOTUNE_ON);
    assert_true(chosen(device, later));
    assert_string_equal(first, later);
    build_program(device); /* measures nothing again */
    assert_true(chosen(device, later));
    assert_string_equal(first, later);
    vkg_device_destroy(&device);
    assert_int_equal(warnings, 0);
}

/* A build with other shaders has a file of its own. */
static void notes_of_other_shaders_do_not_count(void **unused)
{
    (void)unused;
    char name[128], path[256], other[256];
    vkg_device *device = open_tiled(VKG_AUTOTUNE_ON);
    build_program(device);
    vkg_device_destroy(&device);
    assert_true(find_notes(path));
    memcpy(other, path, sizeof other);
    char *digest = other + strlen(other) - strlen("01234567.txt");
    assert_memory_equal(digest, build_shaders, strlen(build_shaders));
    *digest = *digest == '0' ? '1' : '0';
    assert_int_equal(rename(path, other), 0);
    device = open_tiled(VKG_AUTOTUNE_ON);
    assert_false(chosen(device, name));
    vkg_device_destroy(&device);
    assert_int_equal(rename(other, path), 0);
}

static vkg_device *open_without_validation(vkg_device_type type)
{
    const char *set = getenv("VKGAN_VALIDATION");
    char *before = set ? strdup(set) : NULL;
    unsetenv("VKGAN_VALIDATION"); /* whose messages belong to one thread */
    vkg_device *device = open_tiled(VKG_AUTOTUNE_ON);
    if (before)
        setenv("VKGAN_VALIDATION", before, 1);
    free(before);
    device->caps.type = type;
    return device;
}

/* On a graphics card those of the checks, of the candidates, of what was chosen, and of the program; what is there already is not
 * built again. A processor's driver compiles when a kernel runs. */
static void pipelines_are_built_at_once(void **unused)
{
    (void)unused;
    static const vkg_device_type types[] = {VKG_DEVICE_CPU, VKG_DEVICE_DISCRETE};
    for (int i = 0; i < 2; i++) {
        char name[128];
        remove_notes();
        vkg_device *device = open_without_validation(types[i]);
        build_program(device);
        assert_in_range(built, i ? 2 : 0, i ? 4 : 0);
        assert_true(chosen(device, name));
        assert_int_equal(warnings, 0);
        assert_int_equal(errors, 0);
        vkg_device_destroy(&device);
    }
    remove_notes();
}

/* What stands in the notes decides, where the device is tuned. */
static void noted_choices_count(void **unused)
{
    (void)unused;
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    char name[128], expected[128];
    vkg_device *device = open_tiled(VKG_AUTOTUNE_ON);
    uint32_t count = conv_candidates(vkg_device_get_caps(device), CONV_FORWARD, &problem, VKG_FLOAT32, plans);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(conv_note_choice(device, CONV_FORWARD, &plans[i], "by hand"), VKG_OK);
        assert_true(chosen(device, name));
        conv_candidate_name(&plans[i], expected, sizeof expected);
        assert_string_equal(name, expected);
    }
    vkg_device_destroy(&device);
    device = open_tiled(VKG_AUTOTUNE_OFF);
    chosen(device, name);
    conv_candidate_name(&plans[0], expected, sizeof expected);
    assert_string_equal(name, expected);
    vkg_device_destroy(&device);
}

/* --- faults --- */

/* A driver that compiles the shader `victim` as if it were `other`, or refuses it where that is NULL. */
struct fault {
    const char *victim, *other;
};
static const struct fault *faults;
static uint32_t fault_count;
static PFN_vkCreateShaderModule create_module;
static PFN_vkCreateComputePipelines create_pipelines;

static VkResult break_module(VkDevice device, const VkShaderModuleCreateInfo *info,
                             const VkAllocationCallbacks *allocator, VkShaderModule *module)
{
    VkShaderModuleCreateInfo changed = *info;
    for (uint32_t i = 0; i < fault_count; i++) {
        const struct shader *victim = shader_find(faults[i].victim);
        if (info->codeSize != victim->spirv_bytes || memcmp(info->pCode, victim->spirv, victim->spirv_bytes) != 0)
            continue;
        if (!faults[i].other)
            return VK_ERROR_INITIALIZATION_FAILED;
        const struct shader *other = shader_find(faults[i].other);
        changed.pCode = other->spirv, changed.codeSize = other->spirv_bytes;
    }
    return create_module(device, &changed, allocator, module);
}

static void break_driver(vkg_device *device, const struct fault *list, uint32_t count)
{
    faults = list;
    fault_count = count;
    create_module = device->vk.vkCreateShaderModule;
    device->vk.vkCreateShaderModule = break_module;
}

/* --- convolutions --- */

/* The kernel that the problem's first candidate is, as notes name it. */
#define SMALL_TILES "conv_forward_tiled_small reads 4 and 4"

/* Whatever is wrong with the kernel that would be the first: it is warned of once, and never used. */
static void is_not_used(const struct fault *fault)
{
    char name[128];
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
    chosen(device, name);
    assert_non_null(strstr(name, "conv_forward_tiled_small "));
    break_driver(device, fault, 1);
    build_program(device);
    assert_int_equal(warnings, 1);
    assert_int_equal(errors, 0);
    assert_non_null(strstr(warning, "conv_forward_tiled_small"));
    chosen(device, name);
    assert_null(strstr(name, "tiled_small"));
    vkg_device_destroy(&device);
    device = open_tiled(VKG_AUTOTUNE_OFF); /* remembered: neither tested nor warned of again */
    build_program(device);
    assert_int_equal(warnings, 0);
    assert_int_equal(kernel_trust(device, SMALL_TILES), TRUST_WRONG);
    vkg_device_destroy(&device);
    remove_notes();
}

static void wrong_kernels_are_not_used(void **unused)
{
    (void)unused;
    is_not_used(&(struct fault){"conv_forward_tiled_small", "conv_forward_tiled"}); /* needs four times the threads */
}

static void kernels_that_do_not_build_are_not_used(void **unused)
{
    (void)unused;
    is_not_used(&(struct fault){"conv_forward_tiled_small", NULL});
}

/* All checks of other kernels but one are noted as passed. */
static void trust_all_but(vkg_device *device, const char *check)
{
    for (uint32_t i = 0; i < kernel_check_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s by storage reads", kernel_checks[i].name);
        if (strcmp(kernel_checks[i].name, check) != 0)
            assert_int_equal(kernel_note_trust(device, name, TRUST_GOOD, "by hand"), VKG_OK);
    }
}

/* --- a driver on which one shader is fast --- */

enum { MOST_KNOWN = 512 };
static const char *fast_shader;
static struct known {
    uint64_t handles[MOST_KNOWN];
    uint32_t count;
} fast_modules, fast_pipelines, fast_commands, other_commands;
static uint32_t disturbed_submits; /* of the fast one, so many until one is disturbed */
static PFN_vkBeginCommandBuffer begin_commands;
static PFN_vkCmdBindPipeline bind_pipeline;
static PFN_vkQueueSubmit queue_submit;

static bool is_known(const struct known *known, uint64_t handle)
{
    for (uint32_t i = 0; i < known->count; i++)
        if (known->handles[i] == handle)
            return true;
    return false;
}

static void remember(struct known *known, uint64_t handle)
{
    assert_true(known->count < MOST_KNOWN);
    known->handles[known->count++] = handle;
}

/* Handles are used again: what is made now is what it is. */
static void forget(struct known *known, uint64_t handle)
{
    for (uint32_t i = 0; i < known->count; i++)
        if (known->handles[i] == handle)
            known->handles[i--] = known->handles[--known->count];
}

static VkResult note_module(VkDevice device, const VkShaderModuleCreateInfo *info, const VkAllocationCallbacks *allocator,
                            VkShaderModule *module)
{
    const struct shader *shader = shader_find(fast_shader);
    const VkResult result = create_module(device, info, allocator, module);
    forget(&fast_modules, (uint64_t)*module);
    if (info->codeSize == shader->spirv_bytes && memcmp(info->pCode, shader->spirv, shader->spirv_bytes) == 0)
        remember(&fast_modules, (uint64_t)*module);
    return result;
}

static VkResult note_pipeline(VkDevice device, VkPipelineCache cache, uint32_t count, const VkComputePipelineCreateInfo *infos,
                              const VkAllocationCallbacks *allocator, VkPipeline *pipelines)
{
    const VkResult result = create_pipelines(device, cache, count, infos, allocator, pipelines);
    for (uint32_t i = 0; i < count; i++) {
        forget(&fast_pipelines, (uint64_t)pipelines[i]);
        if (is_known(&fast_modules, (uint64_t)infos[i].stage.module))
            remember(&fast_pipelines, (uint64_t)pipelines[i]);
    }
    return result;
}

static VkResult note_begin(VkCommandBuffer commands, const VkCommandBufferBeginInfo *info)
{
    forget(&fast_commands, (uint64_t)(uintptr_t)commands);
    forget(&other_commands, (uint64_t)(uintptr_t)commands);
    return begin_commands(commands, info);
}

/* Others are those that never bind the fast pipeline: behind it, another kernel may add the parts of its sums. */
static void note_bound(VkCommandBuffer commands, VkPipelineBindPoint point, VkPipeline pipeline)
{
    const uint64_t handle = (uint64_t)(uintptr_t)commands;
    forget(&other_commands, handle);
    if (!is_known(&fast_commands, handle))
        remember(is_known(&fast_pipelines, (uint64_t)pipeline) ? &fast_commands : &other_commands, handle);
    bind_pipeline(commands, point, pipeline);
}

/* Twenty milliseconds a run of others, which is more than any of the tiled kernels takes; a hundred once where the fast one runs. */
static VkResult slow_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos, VkFence fence)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < infos[i].commandBufferCount; c++) {
            const uint64_t commands = (uint64_t)(uintptr_t)infos[i].pCommandBuffers[c];
            if (is_known(&other_commands, commands))
                usleep(20000);
            else if (is_known(&fast_commands, commands) && disturbed_submits-- == 0)
                usleep(100000);
        }
    return queue_submit(queue, count, infos, fence);
}

/* Whichever kernel is the fastest is chosen, though one of its measurements is disturbed. */
static void is_chosen(const char *shader, uint32_t disturbed)
{
    char name[128];
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_ON);
    trust_all_but(device, "");
    fast_shader = shader;
    fast_modules.count = fast_pipelines.count = fast_commands.count = other_commands.count = 0;
    disturbed_submits = disturbed;
    create_module = device->vk.vkCreateShaderModule;
    create_pipelines = device->vk.vkCreateComputePipelines;
    begin_commands = device->vk.vkBeginCommandBuffer;
    bind_pipeline = device->vk.vkCmdBindPipeline;
    queue_submit = device->vk.vkQueueSubmit;
    device->vk.vkCreateShaderModule = note_module;
    device->vk.vkCreateComputePipelines = note_pipeline;
    device->vk.vkBeginCommandBuffer = note_begin;
    device->vk.vkCmdBindPipeline = note_bound;
    device->vk.vkQueueSubmit = slow_submit;
    build_program(device);
    assert_true(chosen(device, name));
    if (strncmp(name, shader, strlen(shader)) != 0 || name[strlen(shader)] != ' ')
        fail_msg("%s is the fastest, and \"%s\" was chosen", shader, name);
    assert_true(disturbed_submits > disturbed); /* it was */
    vkg_device_destroy(&device);
    remove_notes();
}

static void the_fastest_is_chosen(void **unused)
{
    (void)unused;
    is_chosen("conv_forward_tiled_narrow", 1);
    is_chosen("conv_forward_tiled_half", 2);
    is_chosen("conv_forward_tiled_narrow", 4);
}

/* A driver refuses one shader: the self-test of every candidate of this problem that is made of it must say so. */
static void is_tested(enum conv_direction direction, const struct conv_problem *wide, const char *shader)
{
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
    const uint32_t count = conv_candidates(vkg_device_get_caps(device), direction, wide, VKG_FLOAT32, plans);
    uint32_t tested = 0;
    break_driver(device, &(struct fault){shader, NULL}, 1);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(plans[i].step.shader, shader) == 0) {
            assert_int_equal(self_test(device, direction, &plans[i]), VKG_OK);
            if (conv_trust(device, &plans[i]) != TRUST_WRONG)
                fail_msg("%s of %u to %u channels is trusted untested", shader, wide->ci, wide->co);
            tested++;
        }
    assert_int_not_equal(tested, 0);
    vkg_device_destroy(&device);
    remove_notes();
}

/* Tiles that suit many columns only, by every way of reading. */
static void large_tiles_are_tested(void **unused)
{
    (void)unused;
    static const char *const tiles[] = {"tiled", "tiled_tall", "tiled_broad"}, *const directions[] = {"forward", "input_grad", "weight_grad"};
    static const uint32_t channels[] = {128, 131};
    for (uint32_t i = 0; i < 3 * 3 * 4; i++) {
        char shader[64];
        struct conv_problem wide = problem;
        wide.ci = channels[i / 9 % 2], wide.co = channels[i / 18];
        snprintf(shader, sizeof shader, "conv_%s_%s", directions[i / 3 % 3], tiles[i % 3]);
        is_tested((enum conv_direction)(i / 3 % 3), &wide, shader);
    }
}

/* The small problem's sums are made of parts, so that what adds them is tested too; where no candidate is left, that is
 * an error. */
static void wrong_parts_of_convolutions_are_found(void **unused)
{
    (void)unused;
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
    trust_all_but(device, "");
    break_driver(device, &(struct fault){"sum_parts_storage", "max_parts_storage"}, 1);
    assert_int_equal(try_program(device), VKG_ERROR_UNSUPPORTED);
    assert_int_equal(errors, 1);
    assert_non_null(strstr(error, "conv_forward_plain"));
    assert_int_equal(kernel_trust(device, SMALL_TILES), TRUST_WRONG);
    vkg_device_destroy(&device);
    remove_notes();
}

/* A driver that takes specialisation constant 1, what convolutions do with their results, for 0. */
static VkResult forget_epilogue(VkDevice device, VkPipelineCache cache, uint32_t count, const VkComputePipelineCreateInfo *infos,
                                const VkAllocationCallbacks *allocator, VkPipeline *pipelines)
{
    VkComputePipelineCreateInfo info = infos[0];
    VkSpecializationInfo constants = info.stage.pSpecializationInfo ? *info.stage.pSpecializationInfo : (VkSpecializationInfo){0};
    VkSpecializationMapEntry entries[96];
    assert_int_equal(count, 1);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < constants.mapEntryCount; i++)
        if (constants.pMapEntries[i].constantID != 1)
            entries[kept++] = constants.pMapEntries[i];
    constants.mapEntryCount = kept;
    constants.pMapEntries = entries;
    info.stage.pSpecializationInfo = &constants;
    return create_pipelines(device, cache, 1, &info, allocator, pipelines);
}

/* A kernel is trusted without an epilogue, and not with one, where that is what the driver has wrong. */
static void wrong_epilogues_are_found(void **unused)
{
    (void)unused;
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
    trust_all_but(device, "");
    create_pipelines = device->vk.vkCreateComputePipelines;
    device->vk.vkCreateComputePipelines = forget_epilogue;
    build_program(device);
    assert_int_equal(warnings, 0);
    assert_int_equal(try_program_that(device, VKG_FLOAT32, true), VKG_ERROR_UNSUPPORTED);
    assert_int_equal(errors, 1);
    assert_non_null(strstr(warning, "epilogue 2"));
    assert_int_equal(kernel_trust(device, SMALL_TILES), TRUST_GOOD);
    vkg_device_destroy(&device);
    remove_notes();
}

/* --- all other kernels --- */

static void assert_names(const char *message, const vkg_device *device, const char *kernel)
{
    const vkg_device_caps *caps = vkg_device_get_caps(device);
    assert_non_null(strstr(message, kernel));
    assert_non_null(strstr(message, caps->name));
    assert_non_null(strstr(message, caps->driver_info));
}

static void wrong_texel_reads_give_way_to_storage_reads(void **unused)
{
    (void)unused;
    remove_notes();
    vkg_device *device = open_family("texel", VKG_AUTOTUNE_OFF);
    assert_int_equal(vkg_device_get_caps(device)->kernels, VKG_KERNELS_TEXEL);
    break_driver(device, &(struct fault){"sum_parts_texel", "max_parts_texel"}, 1);
    build_program(device);
    assert_int_equal(warnings, 1);
    assert_int_equal(errors, 0);
    assert_names(warning, device, "sums by texel reads");
    assert_int_equal(vkg_device_get_caps(device)->kernels, VKG_KERNELS_TILED);
    vkg_device_destroy(&device);
    device = open_family("texel", VKG_AUTOTUNE_OFF); /* remembered */
    build_program(device);
    assert_int_equal(warnings, 0);
    assert_int_equal(vkg_device_get_caps(device)->kernels, VKG_KERNELS_TILED);
    vkg_device_destroy(&device);
}

/* Nothing can run instead: an error at every start, until somebody wants to go on all the same. */
static void wrong_storage_reads_are_an_error(void **unused)
{
    (void)unused;
    static const struct fault both[] = {{"sum_parts_texel", NULL}, {"sum_parts_storage", "max_parts_storage"}};
    remove_notes();
    vkg_device *device = open_family("texel", VKG_AUTOTUNE_OFF);
    break_driver(device, both, 2);
    assert_int_equal(try_program(device), VKG_ERROR_UNSUPPORTED);
    assert_int_equal(errors, 1);
    assert_names(error, device, "sums by storage reads");
    assert_int_equal(try_program(device), VKG_ERROR_UNSUPPORTED);
    vkg_device_destroy(&device);
    device = open_tiled(VKG_AUTOTUNE_OFF);
    assert_int_equal(try_program(device), VKG_ERROR_UNSUPPORTED);
    assert_names(error, device, "sums by storage reads");
    vkg_device_destroy(&device);
    setenv("VKGAN_SELF_TEST", "0", 1);
    device = open_tiled(VKG_AUTOTUNE_OFF);
    build_program(device);
    assert_int_equal(warnings + errors, 0);
    vkg_device_destroy(&device);
    setenv("VKGAN_SELF_TEST", "no", 1);
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.cache_dir = folder}, &device), VKG_ERROR_INVALID);
    unsetenv("VKGAN_SELF_TEST");
}

static void drop_dispatch(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z)
{
    (void)commands, (void)x, (void)y, (void)z;
}

/* Runs a row that a graph has to ask for; false: the device has no such kernel. */
static bool run_on_demand(vkg_device *device, const struct kernel_check *row)
{
    struct check check = {.settings = row->settings};
    assert_int_equal(vkg_graph_create(test_log(), &check.graph), VKG_OK);
    row->build(&check);
    bool asked = false;
    for (size_t id = 0; id < check.graph->tensor_count; id++)
        asked |= fusion_is_one_kernel(device, check.graph->tensors[id]);
    assert_int_equal(self_test_graph(device, check.graph), VKG_OK);
    vkg_graph_destroy(&check.graph);
    return asked;
}

/* Each check sees that nothing was computed, whatever lies in memory. */
static void every_check_can_fail(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < kernel_check_count; i++) {
        remove_notes();
        vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
        const PFN_vkCmdDispatch dispatch = device->vk.vkCmdDispatch;
        trust_all_but(device, kernel_checks[i].name);
        device->vk.vkCmdDispatch = drop_dispatch;
        if (kernel_checks[i].instead) { /* what can be replaced is no error */
            char name[64];
            kernel_check_name(device, kernel_checks[i].name, name);
            if (!kernel_checks[i].on_demand)
                assert_int_equal(self_test_device(device), VKG_OK);
            if (!kernel_checks[i].on_demand || run_on_demand(device, &kernel_checks[i])) {
                assert_non_null(strstr(warning, kernel_checks[i].name));
                assert_int_equal(kernel_trust(device, name), TRUST_WRONG);
            }
            device->vk.vkCmdDispatch = dispatch;
        } else {
            assert_int_equal(try_program(device), VKG_ERROR_UNSUPPORTED);
            assert_non_null(strstr(error, kernel_checks[i].name));
        }
        vkg_device_destroy(&device);
    }
    remove_notes();
}

/* A sum of several workgroups is one dispatch, where these may add their parts. */
static uint32_t dispatches_of_sum(vkg_device *device)
{
    enum { COUNT = 4096 };
    vkg_graph *graph;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_tensor *x = vkg_input(graph, "x", VKG_SHAPE(COUNT)), *sum = vkg_sum(graph, x, VKG_ALL_AXES, false);
    vkg_output(graph, "sum", sum);
    assert_int_equal(vkg_program_create(device, graph, NULL, NULL, &program), VKG_OK);
    for (int run = 1; run <= 3; run++) { /* each finds the counters as the first one did */
        for (int i = 0; i < COUNT; i++)
            ((float *)vkg_program_input(program, x, 0))[i] = (float)(i % 7 * run);
        assert_int_equal(vkg_program_run(program), VKG_OK);
        assert_float_equal(*(const float *)vkg_program_output(program, sum, 0), (float)(12285 * run), 0);
    }
    const uint32_t dispatches = vkg_program_get_stats(program).dispatches;
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
    return dispatches;
}

static void wrong_sums_of_workgroups_are_added_by_a_kernel(void **unused)
{
    (void)unused;
    char name[64];
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
    assert_int_equal(dispatches_of_sum(device), 1);
    device->caps.workgroups_apart = true;
    assert_int_equal(dispatches_of_sum(device), 2);
    device->caps.workgroups_apart = false;
    kernel_check_name(device, SUMS_OF_WORKGROUPS, name);
    assert_int_equal(kernel_trust(device, name), TRUST_GOOD);
    assert_int_equal(kernel_note_trust(device, name, TRUST_WRONG, "by hand"), VKG_OK);
    assert_int_equal(dispatches_of_sum(device), 2);
    vkg_device_destroy(&device);
    remove_notes();
}

/* What attention of equal keys is: the mean of the values. */
static uint32_t dispatches_of_attention(vkg_device *device)
{
    enum { KEYS = 100, VALUES = 3 };
    vkg_graph *graph;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_tensor *q = vkg_constant(graph, 1, VKG_SHAPE(2, 4)), *k = vkg_constant(graph, 0.5f, VKG_SHAPE(KEYS, 4));
    vkg_tensor *v = vkg_input(graph, "v", VKG_SHAPE(KEYS, VALUES)), *y = vkg_scaled_dot_product_attention(graph, q, k, v, NULL);
    vkg_output(graph, "y", y);
    assert_int_equal(vkg_program_create(device, graph, NULL, NULL, &program), VKG_OK);
    for (int i = 0; i < KEYS * VALUES; i++)
        ((float *)vkg_program_input(program, v, 0))[i] = (float)(i / VALUES * (i % VALUES + 1));
    assert_int_equal(vkg_program_run(program), VKG_OK);
    for (int i = 0; i < 2 * VALUES; i++)
        assert_float_equal(((const float *)vkg_program_output(program, y, 0))[i], 49.5f * (float)(i % VALUES + 1), 1e-4);
    const uint32_t dispatches = vkg_program_get_stats(program).dispatches;
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
    return dispatches;
}

static void wrong_attention_is_built_of_products(void **unused)
{
    (void)unused;
    static const struct fault fault = {"attention_small", "attention_value_gradient_small"};
    char name[64];
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
    kernel_check_name(device, "attention", name);
    build_program(device);
    assert_int_equal(kernel_trust(device, name), TRUST_UNKNOWN); /* nothing asked for it */
    const uint32_t right = dispatches_of_attention(device);
    assert_int_equal(kernel_trust(device, name), TRUST_GOOD);
    assert_int_equal(warnings, 0);
    vkg_device_destroy(&device);
    remove_notes();
    device = open_tiled(VKG_AUTOTUNE_OFF);
    break_driver(device, &fault, 1);
    assert_true(dispatches_of_attention(device) > right);
    assert_int_equal(warnings, 1);
    assert_names(warning, device, name);
    vkg_device_destroy(&device);
    remove_notes();
}

static PFN_vkCreateShaderModule real_module;
static uint32_t modules;

static VkResult lack_memory(VkDevice device, const VkShaderModuleCreateInfo *info,
                            const VkAllocationCallbacks *allocator, VkShaderModule *module)
{
    return modules++ == 0 ? VK_ERROR_OUT_OF_HOST_MEMORY : real_module(device, info, allocator, module);
}

/* A shortage of memory says nothing of a kernel: it is an error now, and the kernel is tested later. */
static void want_of_memory_is_no_distrust(void **unused)
{
    (void)unused;
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
    real_module = device->vk.vkCreateShaderModule;
    device->vk.vkCreateShaderModule = lack_memory;
    modules = 0;
    assert_int_equal(try_program(device), VKG_ERROR_OUT_OF_MEMORY);
    assert_int_equal(errors, 1);
    build_program(device);
    assert_int_equal(warnings, 0);
    vkg_device_destroy(&device);
    remove_notes();
}

/* Once a device: what later programs of a few operations pay is a look at a flag. */
static void a_device_is_tested_once(void **unused)
{
    (void)unused;
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
    build_program(device);
    real_module = device->vk.vkCreateShaderModule;
    device->vk.vkCreateShaderModule = lack_memory;
    modules = 0;
    remove_notes();
    build_program(device);
    assert_int_equal(modules, 0);
    vkg_device_destroy(&device);
    remove_notes();
}

static PFN_vkCreateComputePipelines create_pipelines;

/* A driver whose matrices fill half of the rows that they should. */
static VkResult halve_matrices(VkDevice device, VkPipelineCache cache, uint32_t count,
                               const VkComputePipelineCreateInfo *infos, const VkAllocationCallbacks *allocator,
                               VkPipeline *pipelines)
{
    /* of conv_coopmat.comp: its own constants, and a problem's sizes */
    enum { FRAGMENT_ROWS = 7, CONSTANTS = 13 + offsetof(struct conv_push, slope) / sizeof(uint32_t) };
    const VkSpecializationInfo *given = infos->stage.pSpecializationInfo;
    uint32_t constants[CONSTANTS];
    VkComputePipelineCreateInfo changed = *infos;
    VkSpecializationInfo special = {0};
    /* the only kernel that asks for whole subgroups */
    if (infos->stage.flags & VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT) {
        assert_int_equal(given->dataSize, sizeof constants);
        memcpy(constants, given->pData, given->dataSize);
        constants[FRAGMENT_ROWS] /= 2;
        special = *given;
        special.pData = constants;
        changed.stage.pSpecializationInfo = &special;
    }
    return create_pipelines(device, cache, count, &changed, allocator, pipelines);
}

/* Kernels of halves are trusted type by type and tile by tile. */
static void wrong_matrices_are_not_used(void **unused)
{
    (void)unused;
    char name[128];
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
    if (!vkg_device_get_caps(device)->matrix_float16.m) {
        vkg_device_destroy(&device);
        print_message("skipped: the device has no cooperative matrices of float16\n");
        skip();
    }
    chosen_of(device, VKG_FLOAT16, name);
    assert_non_null(strstr(name, "coopmat_float16"));
    create_pipelines = device->vk.vkCreateComputePipelines;
    device->vk.vkCreateComputePipelines = halve_matrices;
    build_program_of(device, VKG_FLOAT16);
    assert_int_equal(warnings, matrix_kernels(device)); /* of each tile */
    assert_non_null(strstr(warning, "coopmat_float16"));
    chosen_of(device, VKG_FLOAT16, name);
    assert_null(strstr(name, "coopmat"));
    vkg_device_destroy(&device);
    remove_notes();
    device = open_tiled(VKG_AUTOTUNE_OFF);
    build_program_of(device, VKG_FLOAT16);
    assert_int_equal(warnings, 0);
    chosen_of(device, VKG_FLOAT16, name);
    assert_non_null(strstr(name, "coopmat_float16"));
    vkg_device_destroy(&device);
    remove_notes();
}

/* A choice of one type says nothing of another's. */
static void types_have_their_own_choices(void **unused)
{
    (void)unused;
    char name[128];
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_ON);
    build_program_of(device, VKG_BFLOAT16);
    assert_true(chosen_of(device, VKG_BFLOAT16, name));
    assert_false(chosen(device, name));
    assert_int_equal(warnings, 0);
    vkg_device_destroy(&device);
    remove_notes();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(types_have_their_own_choices), cmocka_unit_test(wrong_matrices_are_not_used),
        cmocka_unit_test(choices_are_kept), cmocka_unit_test(notes_of_other_shaders_do_not_count),
                                       cmocka_unit_test(pipelines_are_built_at_once),
                                       cmocka_unit_test(noted_choices_count),
                                       cmocka_unit_test(the_fastest_is_chosen),
                                       cmocka_unit_test(wrong_kernels_are_not_used),
                                       cmocka_unit_test(kernels_that_do_not_build_are_not_used),
                                       cmocka_unit_test(large_tiles_are_tested),
                                       cmocka_unit_test(wrong_parts_of_convolutions_are_found),
                                       cmocka_unit_test(wrong_epilogues_are_found),
                                       cmocka_unit_test(wrong_texel_reads_give_way_to_storage_reads),
                                       cmocka_unit_test(wrong_storage_reads_are_an_error),
                                       cmocka_unit_test(every_check_can_fail), cmocka_unit_test(wrong_sums_of_workgroups_are_added_by_a_kernel),
                                       cmocka_unit_test(wrong_attention_is_built_of_products),
                                       cmocka_unit_test(want_of_memory_is_no_distrust),
                                       cmocka_unit_test(a_device_is_tested_once)};
    if (!mkdtemp(folder))
        return 1;
    int failures = cmocka_run_group_tests(tests, NULL, test_device_close);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) != 0 || failures;
}
