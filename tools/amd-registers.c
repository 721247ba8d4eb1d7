/* Prints what AMD's compiler in Mesa makes of the convolution kernels for graphics cards, in every tile and both ways of reading,
 * and of those of attention: registers, shared memory and spills, as a table. Needs no card: RADV_FORCE_FAMILY names the chip to compile for. See
 * tools/amd-registers. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VK_NO_PROTOTYPES
#include <volk.h>

#include "device/cooperative_matrix.h"
#include "kernels/choice.h"
#include "kernels/epilogue.h"
#include "kernels/shaders.h"
#include "vkgan/device.h"

#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        VkResult failed = (call);                                                                                      \
        if (failed != VK_SUCCESS) {                                                                                    \
            fprintf(stderr, "%s: %d\n", #call, failed);                                                                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Storage buffers, as many as these kernels have at most, and the push constants of all. */
enum { BINDINGS = 9, PUSH_BYTES = 128, CONSTANTS = 48 };

struct compiler {
    vkg_device_caps caps; /* as vkgan sees the chip */
    VkDevice device;      /* of our own, with statistics */
    VkPipelineLayout layout;
};

static VkPhysicalDevice find_chip(void)
{
    VkInstance instance;
    uint32_t one = 1;
    VkPhysicalDevice physical;
    CHECK(volkInitialize());
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3};
    CHECK(vkCreateInstance(&(VkInstanceCreateInfo){.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                                   .pApplicationInfo = &application}, NULL, &instance));
    volkLoadInstance(instance);
    if (vkEnumeratePhysicalDevices(instance, &one, &physical) < 0 || !one) {
        fprintf(stderr, "no Vulkan device: is VK_DRIVER_FILES the file of RADV?\n");
        exit(1);
    }
    return physical;
}

static void open_device(struct compiler *compiler)
{
    const VkPhysicalDevice physical = find_chip();
    const char *extensions[] = {VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME, COOPERATIVE_MATRIX_EXTENSION};
    struct cooperative_matrix_features matrices = {
        .sType = (VkStructureType)STRUCTURE_COOPERATIVE_MATRIX_FEATURES, .cooperative_matrix = VK_TRUE};
    VkPhysicalDeviceVulkan13Features core13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
        .pNext = compiler->caps.cooperative_matrix ? &matrices : NULL,
        .subgroupSizeControl = VK_TRUE, .computeFullSubgroups = VK_TRUE};
    VkPhysicalDeviceVulkan12Features core12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &core13,
        .shaderFloat16 = compiler->caps.shader_float16, .vulkanMemoryModel = VK_TRUE, .vulkanMemoryModelDeviceScope = VK_TRUE};
    VkPhysicalDeviceVulkan11Features core11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &core12,
        .storageBuffer16BitAccess = compiler->caps.fp16_storage};
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, .pNext = &core11,
        .pipelineExecutableInfo = VK_TRUE};
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1,
                                           .pQueuePriorities = &priority};
    CHECK(vkCreateDevice(physical, &(VkDeviceCreateInfo){
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &statistics, .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue, .enabledExtensionCount = 1 + compiler->caps.cooperative_matrix,
        .ppEnabledExtensionNames = extensions}, NULL, &compiler->device));
    volkLoadDevice(compiler->device);
}

static void make_layout(struct compiler *compiler)
{
    VkDescriptorSetLayoutBinding bindings[BINDINGS];
    VkDescriptorSetLayout set;
    for (uint32_t i = 0; i < BINDINGS; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL};
    CHECK(vkCreateDescriptorSetLayout(compiler->device, &(VkDescriptorSetLayoutCreateInfo){
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = BINDINGS, .pBindings = bindings}, NULL, &set));
    const VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, PUSH_BYTES};
    CHECK(vkCreatePipelineLayout(compiler->device, &(VkPipelineLayoutCreateInfo){
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &set,
        .pushConstantRangeCount = 1, .pPushConstantRanges = &push}, NULL, &compiler->layout));
}

struct kernel {
    char name[128];
    const struct shader *shader;
    uint32_t constants[CONSTANTS], subgroup_size;
};

static VkPipeline compile(const struct compiler *compiler, const struct kernel *kernel)
{
    VkShaderModule module;
    VkPipeline pipeline;
    VkSpecializationMapEntry entries[CONSTANTS];
    for (uint32_t i = 0; i < CONSTANTS; i++)
        entries[i] = (VkSpecializationMapEntry){i, i * 4, 4};
    const VkSpecializationInfo constants = {CONSTANTS, entries, sizeof kernel->constants, kernel->constants};
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = kernel->subgroup_size};
    CHECK(vkCreateShaderModule(compiler->device, &(VkShaderModuleCreateInfo){
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = kernel->shader->spirv_bytes,
        .pCode = kernel->shader->spirv}, NULL, &module));
    CHECK(vkCreateComputePipelines(compiler->device, VK_NULL_HANDLE, 1, &(VkComputePipelineCreateInfo){
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR, .layout = compiler->layout,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .pNext = kernel->subgroup_size ? &size : NULL,
                  .flags = kernel->subgroup_size ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                  .module = module, .pName = "main", .pSpecializationInfo = &constants}}, NULL, &pipeline));
    vkDestroyShaderModule(compiler->device, module, NULL);
    return pipeline;
}

static uint64_t statistic(const VkPipelineExecutableStatisticKHR *all, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(all[i].name, name) == 0)
            return all[i].value.u64;
    return UINT64_MAX;
}

static void print_row(const struct compiler *compiler, const struct kernel *kernel)
{
    const VkPipeline pipeline = compile(compiler, kernel);
    VkPipelineExecutableStatisticKHR all[64];
    uint32_t count = 64;
    for (int i = 0; i < 64; i++)
        all[i] = (VkPipelineExecutableStatisticKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
    CHECK(vkGetPipelineExecutableStatisticsKHR(compiler->device, &(VkPipelineExecutableInfoKHR){
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline}, &count, all));
    printf("| %s | %lld | %lld | %lld | %lld |\n", kernel->name, (long long)statistic(all, count, "VGPRs"),
           (long long)statistic(all, count, "SGPRs"), (long long)statistic(all, count, "LDS size"),
           (long long)(statistic(all, count, "Spilled VGPRs") + statistic(all, count, "Spilled SGPRs")));
    vkDestroyPipeline(compiler->device, pipeline, NULL);
}

/* --- convolutions --- */

static struct kernel kernel_of(const struct conv_plan *plan, uint32_t epilogue)
{
    const struct conv_step *step = &plan->step;
    struct kernel kernel = {.shader = shader_find(step->shader), .constants = {step->workgroup, epilogue},
                            .subgroup_size = step->subgroup_size};
    char name[96];
    conv_kernel_name(plan, name, sizeof name);
    snprintf(kernel.name, sizeof kernel.name, "%s%s", name, epilogue ? ", whole epilogue" : "");
    memcpy(kernel.constants + 2, step->constants, sizeof step->constants);
    if (step->specialized)
        memcpy(kernel.constants + 2 + step->constant_count, &plan->push, offsetof(struct conv_push, slope));
    return kernel;
}

/* A kernel that was printed for another problem, or with other splits, is not printed again. */
static bool is_new(const struct conv_plan *plan, uint32_t direction)
{
    enum { MOST = 256 };
    static char seen[MOST][112];
    static uint32_t count;
    char kernel[96], name[112];
    conv_kernel_name(plan, kernel, sizeof kernel);
    snprintf(name, sizeof name, "%u %s", direction, kernel);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(seen[i], name) == 0)
            return false;
    if (count == MOST) {
        fprintf(stderr, "more than %d kernels: make MOST larger\n", MOST);
        exit(1);
    }
    memcpy(seen[count++], name, sizeof name);
    return true;
}

static void print_kernels(const struct compiler *compiler, enum conv_direction direction, vkg_dtype dtype)
{
    static const uint32_t channels[][2] = {{64, 128}, {65, 129}, {16, 16}, {64, 1}, {1, 64}};
    const uint32_t whole = EPILOGUE_BIAS | EPILOGUE_ACTIVATION | EPILOGUE_STEP;
    for (size_t c = 0; c < sizeof channels / sizeof *channels; c++) {
        const struct conv_problem problem = {.n = 64, .ih = 32, .iw = 32, .ci = channels[c][0], .oh = 16, .ow = 16,
                                             .co = channels[c][1], .kh = 4, .kw = 4, .sh = 2, .sw = 2, .ph = 1, .pw = 1,
                                             .dh = 1, .dw = 1, .groups = 1};
        struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
        const uint32_t count = conv_candidates(&compiler->caps, direction, &problem, dtype, plans);
        for (uint32_t i = 0; i < count; i++) {
            if (plans[i].unpacks || !is_new(&plans[i], direction)) /* float32 has that kernel already */
                continue;
            const struct kernel kernel = kernel_of(&plans[i], 0);
            print_row(compiler, &kernel);
            if (direction == CONV_WEIGHT_GRAD)
                continue;
            const struct kernel finishing = kernel_of(&plans[i], whole | (plans[i].step.moments_tile[0] ? EPILOGUE_MOMENTS : 0) |
                                                                     (plans[i].step.copies ? EPILOGUE_COPY : 0));
            print_row(compiler, &finishing);
        }
    }
}

/* --- attention --- */

static void print_attention(const struct compiler *compiler)
{
    static const char *const results[] = {"attention", "attention_logsumexp", "attention_query_gradient", "attention_key_gradient",
                                          "attention_value_gradient"};
    const vkg_matrix_shape matrix = compiler->caps.matrix_float16;
    const uint32_t lanes = compiler->caps.subgroup_size;
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        for (uint32_t special = 0; special < 2; special++) { /* with a mask, read by ones */
            const uint32_t by_fours = !special;
            struct kernel threads = {.constants = {64, special, by_fours, by_fours, by_fours}};
            snprintf(threads.name, sizeof threads.name, "%s%s", results[i], special ? ", masked, reads by ones" : "");
            threads.shader = shader_find(results[i]);
            print_row(compiler, &threads);
            struct kernel matrices = {.constants = {4 * lanes, special, matrix.m, matrix.n, matrix.k, by_fours, by_fours, by_fours},
                                      .subgroup_size = lanes};
            char name[96];
            snprintf(name, sizeof name, "%s_coopmat_float16", results[i]);
            snprintf(matrices.name, sizeof matrices.name, "%s%s", name, special ? ", masked, reads by ones" : "");
            matrices.shader = shader_find(name);
            if (matrix.m)
                print_row(compiler, &matrices);
        }
}

int main(void)
{
    struct compiler compiler = {0};
    vkg_device *device;
    if (vkg_device_create(&(vkg_device_desc){.kernels = "tiled"}, &device) != VKG_OK) {
        fprintf(stderr, "no Vulkan device that vkgan can use\n");
        return 1;
    }
    compiler.caps = *vkg_device_get_caps(device);
    vkg_device_destroy(&device);
    open_device(&compiler);
    make_layout(&compiler);
    printf("%s, %s\n\n", compiler.caps.name, compiler.caps.driver_info);
    printf("| kernel | vector registers | scalar registers | shared memory, bytes | spills |\n|---|---|---|---|---|\n");
    for (uint32_t direction = 0; direction < 3; direction++) {
        print_kernels(&compiler, (enum conv_direction)direction, VKG_FLOAT32);
        if (compiler.caps.matrix_float16.m)
            print_kernels(&compiler, (enum conv_direction)direction, VKG_FLOAT16);
    }
    print_attention(&compiler);
    return 0;
}
