/* What a physical device is and can do, and what the library makes of it. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/internal.h"

/* --- what is known of drivers beyond what they report --- */

/* `release` is the driver's own: Mesa's as major·10000 + minor·100 + patch, read from driver_info (its
 * driverVersion is 1 for ever); 0 for a driver that is not Mesa's. The first row that fits counts. */
struct driver_fact {
    uint32_t driver_id;
    uint32_t first_release, last_release;
    uint32_t max_loop_iterations;
    bool workgroups_apart, shared_sizes_fixed;
};

static const struct driver_fact driver_facts[] = {
    /* llvmpipe ends the loops of an invocation after 65,535 iterations in total, without an error: so measured
     * with Mesa 22.3.6, and no longer with 25.0.7. What is left is for iterations that a kernel does not count.
     */
    {VK_DRIVER_ID_MESA_LLVMPIPE, 0, 249999, 60000, false, false},
    /* Metal has no counterpart of a memory barrier that not all invocations reach: what is made of it stands still there, and orders
     * memory within one workgroup only (MoltenVK's issue 973). Nor can its specialisation, by function constants, size an array. */
    {VK_DRIVER_ID_MOLTENVK, 0, UINT32_MAX, UINT32_MAX, true, true},
};

static uint32_t driver_release(const vkg_device_caps *caps)
{
    unsigned major = 0, minor = 0, patch = 0;
    if (sscanf(caps->driver_info, "Mesa %3u.%2u.%2u", &major, &minor, &patch) < 2)
        return 0;
    return major * 10000 + minor * 100 + patch;
}

static void apply_driver_facts(vkg_device_caps *caps)
{
    uint32_t release = driver_release(caps);
    caps->max_loop_iterations = UINT32_MAX;
    for (size_t i = 0; i < sizeof driver_facts / sizeof *driver_facts; ++i) {
        const struct driver_fact *fact = &driver_facts[i];
        if (caps->driver_id != fact->driver_id || release < fact->first_release || release > fact->last_release)
            continue;
        caps->max_loop_iterations = fact->max_loop_iterations;
        caps->workgroups_apart = fact->workgroups_apart;
        caps->shared_sizes_fixed = fact->shared_sizes_fixed;
        return;
    }
}

/* --- extensions --- */

bool extension_listed(const VkExtensionProperties *known, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; ++i) {
        if (strcmp(known[i].extensionName, name) == 0)
            return true;
    }
    return false;
}

static vkg_result find_extensions(vkg_device *device, struct candidate *candidate)
{
    PFN_vkEnumerateDeviceExtensionProperties enumerate =
        device->instance_vk.vkEnumerateDeviceExtensionProperties;
    struct extension_set *extensions = &candidate->extensions;
    uint32_t count = 0;
    bool matrices = true;
    vkg_result setting = setting_switch(&device->log, "VKGAN_MATRICES", &matrices);
    if (setting != VKG_OK)
        return setting;
    VkResult result = enumerate(candidate->physical, NULL, &count, NULL);
    if (result < 0)
        return device_check(device, result, "vkEnumerateDeviceExtensionProperties");
    VkExtensionProperties *known = calloc(count ? count : 1, sizeof *known);
    if (!known)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "no memory to list the extensions of a device");
    result = enumerate(candidate->physical, NULL, &count, known);
    if (result < 0) {
        free(known);
        return device_check(device, result, "vkEnumerateDeviceExtensionProperties");
    }
    bool core12 = candidate->version >= VK_API_VERSION_1_2, core13 = candidate->version >= VK_API_VERSION_1_3;
    *extensions = (struct extension_set){
        .driver_properties = core12 || extension_listed(known, count, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME),
        .float16_int8 = core12 || extension_listed(known, count, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME),
        .timeline = core12 || extension_listed(known, count, VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME),
        .subgroup_size = core13 || extension_listed(known, count, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME),
        .cooperative_matrix = matrices && extension_listed(known, count, COOPERATIVE_MATRIX_EXTENSION),
        .bfloat16 = matrices && extension_listed(known, count, BFLOAT16_EXTENSION),
        .memory_model = core12,
        .maintenance4 = core13 || extension_listed(known, count, VK_KHR_MAINTENANCE_4_EXTENSION_NAME),
        .portability = extension_listed(known, count, "VK_KHR_portability_subset"),
    };
    free(known);
    return VKG_OK;
}

/* --- features --- */

static void link_feature(void ***end, bool there, void *feature, void **next)
{
    if (!there)
        return;
    **end = feature;
    *end = next;
}

void feature_chain_init(struct feature_chain *chain, const struct extension_set *extensions)
{
    memset(chain, 0, sizeof *chain);
    chain->core.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    chain->storage16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES;
    chain->float16_int8.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES;
    chain->timeline.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES;
    chain->subgroup_size.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES;
    chain->memory_model.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES;
    chain->cooperative_matrix.sType = (VkStructureType)STRUCTURE_COOPERATIVE_MATRIX_FEATURES;
    chain->bfloat16.sType = (VkStructureType)STRUCTURE_BFLOAT16_FEATURES;
    chain->core.pNext = &chain->storage16;
    void **end = &chain->storage16.pNext;
    link_feature(&end, extensions->float16_int8, &chain->float16_int8, &chain->float16_int8.pNext);
    link_feature(&end, extensions->timeline, &chain->timeline, &chain->timeline.pNext);
    link_feature(&end, extensions->subgroup_size, &chain->subgroup_size, &chain->subgroup_size.pNext);
    link_feature(&end, extensions->memory_model, &chain->memory_model, &chain->memory_model.pNext);
    link_feature(&end, extensions->cooperative_matrix, &chain->cooperative_matrix, &chain->cooperative_matrix.pNext);
    link_feature(&end, extensions->bfloat16, &chain->bfloat16, &chain->bfloat16.pNext);
}

static void inspect_features(vkg_device *device, struct candidate *candidate)
{
    vkg_device_caps *caps = &candidate->caps;
    struct feature_chain chain;
    feature_chain_init(&chain, &candidate->extensions);
    device->instance_vk.vkGetPhysicalDeviceFeatures2(candidate->physical, &chain.core);
    caps->fp16_storage = chain.storage16.storageBuffer16BitAccess;
    caps->shader_float16 = chain.float16_int8.shaderFloat16;
    caps->timeline_semaphore = chain.timeline.timelineSemaphore;
    caps->subgroup_size_control = chain.subgroup_size.subgroupSizeControl;
    candidate->full_subgroups = chain.subgroup_size.computeFullSubgroups;
    candidate->vulkan_memory_model = chain.memory_model.vulkanMemoryModel && chain.memory_model.vulkanMemoryModelDeviceScope;
    candidate->cooperative_matrix = chain.cooperative_matrix.cooperative_matrix;
    candidate->bfloat16_matrix = chain.bfloat16.type && chain.bfloat16.cooperative_matrix;
}

/* --- properties --- */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

static vkg_device_type type_of(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return VKG_DEVICE_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return VKG_DEVICE_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return VKG_DEVICE_VIRTUAL;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return VKG_DEVICE_CPU;
    default: return VKG_DEVICE_OTHER;
    }
}

static void copy_identity(vkg_device_caps *caps, const VkPhysicalDeviceProperties *properties, uint32_t version)
{
    static_assert(sizeof caps->pipeline_uuid == VK_UUID_SIZE, "a UUID of Vulkan");
    copy_text(caps->name, sizeof caps->name, properties->deviceName);
    caps->type = type_of(properties->deviceType);
    caps->api_version[0] = VK_API_VERSION_MAJOR(version);
    caps->api_version[1] = VK_API_VERSION_MINOR(version);
    caps->api_version[2] = VK_API_VERSION_PATCH(version);
    caps->vendor_id = properties->vendorID;
    caps->device_id = properties->deviceID;
    caps->driver_version = properties->driverVersion;
    memcpy(caps->pipeline_uuid, properties->pipelineCacheUUID, sizeof caps->pipeline_uuid);
}

static void copy_limits(vkg_device_caps *caps, const VkPhysicalDeviceLimits *limits)
{
    caps->max_storage_buffer_range = limits->maxStorageBufferRange;
    caps->min_storage_buffer_offset_alignment = limits->minStorageBufferOffsetAlignment;
    caps->min_texel_buffer_offset_alignment = limits->minTexelBufferOffsetAlignment;
    caps->max_texel_buffer_elements = limits->maxTexelBufferElements;
    memcpy(caps->max_workgroup_size, limits->maxComputeWorkGroupSize, sizeof caps->max_workgroup_size);
    caps->max_workgroup_invocations = least(limits->maxComputeWorkGroupInvocations, limits->maxComputeWorkGroupSize[0]);
    memcpy(caps->max_workgroup_count, limits->maxComputeWorkGroupCount, sizeof caps->max_workgroup_count);
    caps->max_shared_memory = limits->maxComputeSharedMemorySize;
    caps->max_storage_buffers_per_stage =
        least(limits->maxPerStageDescriptorStorageBuffers, limits->maxDescriptorSetStorageBuffers);
    caps->max_texel_buffers_per_stage =
        least(limits->maxPerStageDescriptorSampledImages, limits->maxDescriptorSetSampledImages);
    caps->max_resources_per_stage = limits->maxPerStageResources;
    caps->max_push_constants = limits->maxPushConstantsSize;
    caps->timestamp_period = limits->timestampPeriod;
}

static void inspect_properties(vkg_device *device, struct candidate *candidate)
{
    vkg_device_caps *caps = &candidate->caps;
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceMaintenance4Properties buffers = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES, .maxBufferSize = UINT64_MAX};
    VkPhysicalDeviceMaintenance3Properties maintenance = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, .pNext = &maintenance};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &subgroup};
    if (candidate->extensions.driver_properties) {
        driver.pNext = properties.pNext;
        properties.pNext = &driver;
    }
    if (candidate->extensions.subgroup_size) {
        sizes.pNext = properties.pNext;
        properties.pNext = &sizes;
    }
    if (candidate->extensions.maintenance4) {
        buffers.pNext = properties.pNext;
        properties.pNext = &buffers;
    }
    device->instance_vk.vkGetPhysicalDeviceProperties2(candidate->physical, &properties);
    copy_limits(caps, &properties.properties.limits);
    copy_text(caps->driver_name, sizeof caps->driver_name, driver.driverName);
    copy_text(caps->driver_info, sizeof caps->driver_info, driver.driverInfo);
    caps->driver_id = (uint32_t)driver.driverID;
    caps->max_memory_allocation_size = maintenance.maxMemoryAllocationSize;
    caps->max_buffer_size = buffers.maxBufferSize;
    bool compute = subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT;
    caps->subgroup_basic = compute && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_BASIC_BIT);
    caps->subgroup_arithmetic = compute && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT);
    caps->subgroup_shuffle = compute && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT);
    caps->subgroup_size = subgroup.subgroupSize;
    bool control =
        caps->subgroup_size_control && (sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT);
    caps->subgroup_size_control = control;
    caps->min_subgroup_size = control ? sizes.minSubgroupSize : subgroup.subgroupSize;
    caps->max_subgroup_size = control ? sizes.maxSubgroupSize : subgroup.subgroupSize;
}

static bool has_texels(vkg_device *device, struct candidate *candidate, VkFormat format)
{
    VkFormatProperties properties;
    device->instance_vk.vkGetPhysicalDeviceFormatProperties(candidate->physical, format, &properties);
    return properties.bufferFeatures & VK_FORMAT_FEATURE_UNIFORM_TEXEL_BUFFER_BIT;
}

static void inspect_memory(vkg_device *device, struct candidate *candidate)
{
    vkg_device_caps *caps = &candidate->caps;
    VkPhysicalDeviceMemoryProperties memory;
    device->instance_vk.vkGetPhysicalDeviceMemoryProperties(candidate->physical, &memory);
    caps->heap_count = least(memory.memoryHeapCount, VKG_DEVICE_HEAPS);
    for (uint32_t i = 0; i < caps->heap_count; ++i) {
        caps->heap_sizes[i] = memory.memoryHeaps[i].size;
        caps->heap_device_local[i] = memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
    }
}

/* --- queues --- */

/* A family for computing alone keeps long kernels out of the way of the desktop's drawing. */
static uint32_t choose_family(const VkQueueFamilyProperties *families, uint32_t count)
{
    uint32_t chosen = UINT32_MAX;
    for (uint32_t i = count; i-- > 0;) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || families[i].queueCount == 0)
            continue;
        bool alone = !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT);
        if (chosen == UINT32_MAX || alone || (families[chosen].queueFlags & VK_QUEUE_GRAPHICS_BIT))
            chosen = i;
    }
    return chosen;
}

uint32_t transfer_family_find(const VkQueueFamilyProperties *families, uint32_t count)
{
    static const VkQueueFlags ALSO = VK_QUEUE_SPARSE_BINDING_BIT | VK_QUEUE_PROTECTED_BIT;
    for (uint32_t i = 0; i < count; ++i)
        if ((families[i].queueFlags & ~ALSO) == VK_QUEUE_TRANSFER_BIT && families[i].queueCount > 0)
            return i;
    return UINT32_MAX;
}

static vkg_result inspect_queues(vkg_device *device, struct candidate *candidate)
{
    PFN_vkGetPhysicalDeviceQueueFamilyProperties enumerate =
        device->instance_vk.vkGetPhysicalDeviceQueueFamilyProperties;
    vkg_device_caps *caps = &candidate->caps;
    uint32_t count = 0;
    enumerate(candidate->physical, &count, NULL);
    VkQueueFamilyProperties *families = calloc(count ? count : 1, sizeof *families);
    if (!families)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "no memory to list the queues of a device");
    enumerate(candidate->physical, &count, families);
    bool adopted = device->handle != NULL;
    uint32_t family = adopted ? candidate->queue_family : choose_family(families, count);
    bool computes = family < count && (families[family].queueFlags & VK_QUEUE_COMPUTE_BIT);
    if (computes) {
        uint32_t copies = adopted ? UINT32_MAX : transfer_family_find(families, count);
        candidate->queue_family = family;
        caps->timestamp_bits = families[family].timestampValidBits;
        caps->transfer_queue = copies != UINT32_MAX;
        candidate->transfer_family = caps->transfer_queue ? copies : family;
    }
    free(families);
    if (!computes && adopted)
        return vkg_fail(&device->log, VKG_ERROR_INVALID, "vkg_device_adopt: queue family %u of \"%s\" %s",
                        family, caps->name, family < count ? "cannot compute" : "does not exist");
    if (!computes)
        copy_text(caps->problem, sizeof caps->problem, "it has no queue that can compute");
    return VKG_OK;
}

vkg_result candidate_inspect(vkg_device *device, struct candidate *candidate)
{
    vkg_device_caps *caps = &candidate->caps;
    VkPhysicalDeviceProperties properties;
    device->instance_vk.vkGetPhysicalDeviceProperties(candidate->physical, &properties);
    bool later = properties.apiVersion > (device->instance_version | 0xfff); /* whatever the patch */
    candidate->version = later ? device->instance_version : properties.apiVersion;
    copy_identity(caps, &properties, candidate->version);
    if (candidate->version < VK_API_VERSION_1_1) {
        copy_limits(caps, &properties.limits);
        snprintf(caps->problem, sizeof caps->problem, "its Vulkan is of version %u.%u, expected 1.1 or later",
                 caps->api_version[0], caps->api_version[1]);
        return VKG_OK;
    }
    vkg_result result = find_extensions(device, candidate);
    if (result != VKG_OK)
        return result;
    inspect_features(device, candidate);
    inspect_properties(device, candidate);
    caps->fp16_texels = has_texels(device, candidate, VK_FORMAT_R16_SFLOAT) &&
                        has_texels(device, candidate, VK_FORMAT_R16G16B16A16_SFLOAT);
    inspect_memory(device, candidate);
    apply_driver_facts(caps);
    result = cooperative_matrix_inspect(device, candidate);
    return result == VKG_OK ? inspect_queues(device, candidate) : result;
}

/* --- kernels --- */

/* Indexed by vkg_kernel_family. */
static const char *const family_names[] = {
    [VKG_KERNELS_PLAIN] = "plain", [VKG_KERNELS_TEXEL] = "texel", [VKG_KERNELS_TILED] = "tiled"};
enum { FAMILY_COUNT = sizeof family_names / sizeof *family_names };

const char *vkg_kernel_family_name(vkg_kernel_family family)
{
    return (unsigned)family < FAMILY_COUNT ? family_names[family] : "?";
}

/* Every texel buffer of a DCGAN on 64 × 64 images holds fewer vec4 than this; SwiftShader's hold 65,536. */
static const uint64_t USEFUL_TEXEL_ELEMENTS = 1 << 24;

vkg_result kernels_choose(const vkg_log *log, const char *kernels, vkg_device_caps *caps)
{
    if (!kernels) {
        bool texel = caps->type == VKG_DEVICE_CPU && caps->max_texel_buffer_elements >= USEFUL_TEXEL_ELEMENTS;
        caps->kernels = texel ? VKG_KERNELS_TEXEL : VKG_KERNELS_TILED;
        return VKG_OK;
    }
    for (unsigned i = 0; i < FAMILY_COUNT; ++i) {
        if (strcmp(kernels, family_names[i]) == 0) {
            caps->kernels = (vkg_kernel_family)i;
            return VKG_OK;
        }
    }
    return vkg_fail(log, VKG_ERROR_INVALID, "there are no kernels \"%s\", expected texel, tiled or plain",
                    kernels);
}

const char *vkg_device_type_name(vkg_device_type type)
{
    switch (type) {
    case VKG_DEVICE_INTEGRATED: return "integrated";
    case VKG_DEVICE_DISCRETE: return "discrete";
    case VKG_DEVICE_VIRTUAL: return "virtual";
    case VKG_DEVICE_CPU: return "CPU";
    case VKG_DEVICE_OTHER: break;
    }
    return "other";
}
