/* Prints what AMD's compiler in Mesa makes of the convolution kernels that read storage buffers: registers, shared memory
 * and spills, as a table. Needs no card: RADV_FORCE_FAMILY names the chip to compile for. See tools/amd-registers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VK_NO_PROTOTYPES
#include <volk.h>

#include "kernels/embedded.h"

#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        VkResult failed = (call);                                                                                      \
        if (failed != VK_SUCCESS) {                                                                                    \
            fprintf(stderr, "%s: %d\n", #call, failed);                                                                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static VkDevice open_device(void)
{
    VkInstance instance;
    uint32_t one = 1;
    VkPhysicalDevice physical;
    VkDevice device;
    CHECK(volkInitialize());
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_1};
    CHECK(vkCreateInstance(&(VkInstanceCreateInfo){.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                                   .pApplicationInfo = &application}, NULL, &instance));
    volkLoadInstance(instance);
    if (vkEnumeratePhysicalDevices(instance, &one, &physical) < 0 || !one) {
        fprintf(stderr, "no Vulkan device: is VK_DRIVER_FILES the file of RADV?\n");
        exit(1);
    }
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(physical, &properties);
    printf("%s\n\n", properties.deviceName);
    const char *extension = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pipelineExecutableInfo = VK_TRUE};
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1,
                                           .pQueuePriorities = &priority};
    CHECK(vkCreateDevice(physical, &(VkDeviceCreateInfo){
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &features, .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue, .enabledExtensionCount = 1, .ppEnabledExtensionNames = &extension}, NULL, &device));
    volkLoadDevice(device);
    return device;
}

/* Storage buffers, as many as the convolution kernels of this kind have at most, and the push constants of all. */
enum { BINDINGS = 6 };

static VkPipelineLayout make_layout(VkDevice device)
{
    VkDescriptorSetLayoutBinding bindings[BINDINGS];
    VkDescriptorSetLayout set;
    VkPipelineLayout layout;
    for (uint32_t i = 0; i < BINDINGS; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL};
    CHECK(vkCreateDescriptorSetLayout(device, &(VkDescriptorSetLayoutCreateInfo){
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = BINDINGS, .pBindings = bindings}, NULL, &set));
    const VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, 128};
    CHECK(vkCreatePipelineLayout(device, &(VkPipelineLayoutCreateInfo){
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &set,
        .pushConstantRangeCount = 1, .pPushConstantRanges = &push}, NULL, &layout));
    return layout;
}

static uint64_t statistic(const VkPipelineExecutableStatisticKHR *all, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(all[i].name, name) == 0)
            return all[i].value.u64;
    return UINT64_MAX;
}

/* Threads of a workgroup: see the table in src/kernels/convolution.c. */
static uint32_t workgroup_of(const char *name)
{
    return strstr(name, "_small") ? 64 : strstr(name, "_half") || strstr(name, "_broad") ? 128 : 256;
}

static void print_kernel(VkDevice device, VkPipelineLayout layout, const struct shader *shader, uint32_t epilogue)
{
    VkShaderModule module;
    VkPipeline pipeline;
    const uint32_t numbers[4] = {workgroup_of(shader->name), epilogue, 4, 4}; /* tiled kernels read pieces of four */
    const VkSpecializationMapEntry entries[4] = {{0, 0, 4}, {1, 4, 4}, {2, 8, 4}, {3, 12, 4}};
    const VkSpecializationInfo constants = {4, entries, sizeof numbers, numbers};
    CHECK(vkCreateShaderModule(device, &(VkShaderModuleCreateInfo){
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = shader->spirv_bytes, .pCode = shader->spirv},
        NULL, &module));
    CHECK(vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &(VkComputePipelineCreateInfo){
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR, .layout = layout,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module, .pName = "main", .pSpecializationInfo = &constants}}, NULL, &pipeline));
    VkPipelineExecutableStatisticKHR all[64];
    uint32_t count = 64;
    for (int i = 0; i < 64; i++)
        all[i] = (VkPipelineExecutableStatisticKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
    CHECK(vkGetPipelineExecutableStatisticsKHR(device, &(VkPipelineExecutableInfoKHR){
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline}, &count, all));
    printf("| %s%s | %lld | %lld | %lld | %lld |\n", shader->name, epilogue ? ", whole epilogue" : "", (long long)statistic(all, count, "VGPRs"),
           (long long)statistic(all, count, "SGPRs"), (long long)statistic(all, count, "LDS size"),
           (long long)(statistic(all, count, "Spilled VGPRs") + statistic(all, count, "Spilled SGPRs")));
}

/* Bias, leaky ReLU, slopes, moments: src/kernels/epilogue.h. */
enum { WHOLE_EPILOGUE = 15 };

int main(void)
{
    VkDevice device = open_device();
    const VkPipelineLayout layout = make_layout(device);
    printf("| kernel | vector registers | scalar registers | shared memory, bytes | spills |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < embedded_shader_count; i++) {
        const char *name = embedded_shaders[i].name;
        if (strncmp(name, "conv_", 5) == 0 && (strstr(name, "_tiled") || strstr(name, "_plain")) && !strstr(name, "_texel"))
            for (uint32_t epilogue = 0; epilogue <= (strstr(name, "weight_grad") ? 0 : WHOLE_EPILOGUE); epilogue += WHOLE_EPILOGUE)
                print_kernel(device, layout, &embedded_shaders[i], epilogue);
    }
    return 0;
}
