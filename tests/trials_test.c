/* Trials of kernels: choices by time are kept and stay, and a kernel that computes wrong numbers is not used. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/choice.h"
#include "kernels/shaders.h"
#include "on_device.h"
#include "ops/convolution.h"

static char folder[] = "/tmp/vkgan-trials-XXXXXX";
static uint32_t warnings;
static char warning[1024];

static void count_warnings(void *user, vkg_log_level level, const char *message)
{
    (void)user;
    if (level > VKG_LOG_WARNING)
        return;
    warnings++;
    snprintf(warning, sizeof warning, "%s", message);
}

/* A device with tiled kernels, whose notes lie in the folder of this test. */
static vkg_device *open_tiled(vkg_autotune autotune)
{
    vkg_device *device;
    const vkg_log log = {.callback = count_warnings};
    warnings = 0;
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &log, .kernels = "tiled", .cache_dir = folder,
                                                          .autotune = autotune}, &device), VKG_OK);
    return device;
}

static const struct conv_problem problem = {.n = 4, .ih = 9, .iw = 9, .ci = 16, .oh = 9, .ow = 9, .co = 32, .kh = 3,
                                            .kw = 3, .sh = 1, .sw = 1, .ph = 1, .pw = 1, .dh = 1, .dw = 1, .groups = 1};

static void build_program_of(vkg_device *device, vkg_dtype precision)
{
    vkg_graph *graph;
    vkg_program *program;
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_graph_set_precision(graph, precision);
    vkg_tensor *x = vkg_input(graph, "x", conv_operand_shape(&problem, CONV_X));
    vkg_tensor *w = vkg_input(graph, "w", conv_operand_shape(&problem, CONV_W));
    vkg_output(graph, "y", conv_node(graph, CONV_FORWARD, x, w, &problem));
    assert_int_equal(vkg_program_create(device, graph, NULL, NULL, &program), VKG_OK);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
}

static void build_program(vkg_device *device)
{
    build_program_of(device, VKG_FLOAT32);
}

/* The name of the candidate that the device runs the problem with, and whether that was noted. */
static bool chosen_of(const vkg_device *device, vkg_dtype dtype, char name[128])
{
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    uint32_t choice, count = conv_candidates(vkg_device_get_caps(device), CONV_FORWARD, &problem, dtype, plans);
    conv_candidate_name(&plans[conv_choose(device, CONV_FORWARD, plans, count)], name, 128);
    return conv_find_choice(device, CONV_FORWARD, plans, count, &choice);
}

static bool chosen(const vkg_device *device, char name[128])
{
    return chosen_of(device, VKG_FLOAT32, name);
}

static void remove_notes(void)
{
    char pattern[256];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/kernels-*.txt", folder);
    if (glob(pattern, 0, NULL, &found) == 0)
        unlink(found.gl_pathv[0]);
    globfree(&found);
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

static PFN_vkCreateShaderModule create_module;

/* A driver that compiles conv_forward_tiled_small as if it were conv_forward_tiled, which needs four times the threads. */
static VkResult break_module(VkDevice device, const VkShaderModuleCreateInfo *info,
                             const VkAllocationCallbacks *allocator, VkShaderModule *module)
{
    const struct shader *victim = shader_find("conv_forward_tiled_small");
    const struct shader *other = shader_find("conv_forward_tiled");
    VkShaderModuleCreateInfo changed = *info;
    if (info->codeSize == victim->spirv_bytes && memcmp(info->pCode, victim->spirv, victim->spirv_bytes) == 0)
        changed.pCode = other->spirv, changed.codeSize = other->spirv_bytes;
    return create_module(device, &changed, allocator, module);
}

static void wrong_kernels_are_not_used(void **unused)
{
    (void)unused;
    char name[128];
    remove_notes();
    vkg_device *device = open_tiled(VKG_AUTOTUNE_OFF);
    chosen(device, name);
    assert_non_null(strstr(name, "conv_forward_tiled_small "));
    create_module = device->vk.vkCreateShaderModule;
    device->vk.vkCreateShaderModule = break_module;
    build_program(device);
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(warning, "conv_forward_tiled_small"));
    chosen(device, name);
    assert_null(strstr(name, "tiled_small"));
    vkg_device_destroy(&device);
    device = open_tiled(VKG_AUTOTUNE_OFF); /* remembered: neither tested nor warned of again */
    build_program(device);
    assert_int_equal(warnings, 0);
    assert_int_equal(kernel_trust(device, "conv_forward_tiled_small"), TRUST_WRONG);
    vkg_device_destroy(&device);
    remove_notes();
}

static PFN_vkCreateComputePipelines create_pipelines;

/* A driver whose matrices fill half of the rows that they should. */
static VkResult halve_matrices(VkDevice device, VkPipelineCache cache, uint32_t count,
                               const VkComputePipelineCreateInfo *infos, const VkAllocationCallbacks *allocator,
                               VkPipeline *pipelines)
{
    enum { FRAGMENT_ROWS = 6, MOST = 32 };
    const VkSpecializationInfo *given = infos->stage.pSpecializationInfo;
    uint32_t constants[MOST];
    VkComputePipelineCreateInfo changed = *infos;
    VkSpecializationInfo special = {0};
    if (given && given->mapEntryCount == 10 && given->dataSize <= sizeof constants) {
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
    assert_int_equal(warnings, 2); /* of each tile */
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(choices_are_kept), cmocka_unit_test(noted_choices_count),
                                       cmocka_unit_test(wrong_kernels_are_not_used),
                                       cmocka_unit_test(types_have_their_own_choices),
                                       cmocka_unit_test(wrong_matrices_are_not_used)};
    if (!mkdtemp(folder))
        return 1;
    int failures = cmocka_run_group_tests(tests, NULL, test_device_close);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) != 0 || failures;
}
