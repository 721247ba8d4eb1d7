/* Opening, adopting and closing a device. */
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/denormals.h"
#include "base/log.h"
#include "device/internal.h"
#include "vkgan/vulkan.h"

/* --- results --- */

const char *vulkan_result_name(VkResult result)
{
    switch (result) {
    case VK_SUCCESS: return "VK_SUCCESS";
    case VK_NOT_READY: return "VK_NOT_READY";
    case VK_TIMEOUT: return "VK_TIMEOUT";
    case VK_INCOMPLETE: return "VK_INCOMPLETE";
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "VK_ERROR_OUT_OF_HOST_MEMORY";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
    case VK_ERROR_INITIALIZATION_FAILED: return "VK_ERROR_INITIALIZATION_FAILED";
    case VK_ERROR_DEVICE_LOST: return "VK_ERROR_DEVICE_LOST";
    case VK_ERROR_MEMORY_MAP_FAILED: return "VK_ERROR_MEMORY_MAP_FAILED";
    case VK_ERROR_LAYER_NOT_PRESENT: return "VK_ERROR_LAYER_NOT_PRESENT";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "VK_ERROR_EXTENSION_NOT_PRESENT";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "VK_ERROR_FEATURE_NOT_PRESENT";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "VK_ERROR_INCOMPATIBLE_DRIVER";
    case VK_ERROR_TOO_MANY_OBJECTS: return "VK_ERROR_TOO_MANY_OBJECTS";
    case VK_ERROR_FRAGMENTED_POOL: return "VK_ERROR_FRAGMENTED_POOL";
    case VK_ERROR_FRAGMENTATION: return "VK_ERROR_FRAGMENTATION";
    case VK_ERROR_OUT_OF_POOL_MEMORY: return "VK_ERROR_OUT_OF_POOL_MEMORY";
    case VK_ERROR_INVALID_SHADER_NV: return "VK_ERROR_INVALID_SHADER_NV";
    default: return "an unknown VkResult";
    }
}

static vkg_result translate(VkResult result)
{
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTATION:
    case VK_ERROR_FRAGMENTED_POOL: return VKG_ERROR_OUT_OF_MEMORY;
    case VK_ERROR_DEVICE_LOST: return VKG_ERROR_DEVICE_LOST;
    case VK_ERROR_LAYER_NOT_PRESENT:
    case VK_ERROR_EXTENSION_NOT_PRESENT:
    case VK_ERROR_FEATURE_NOT_PRESENT: return VKG_ERROR_UNSUPPORTED;
    default: return VKG_ERROR_DEVICE;
    }
}

vkg_result device_lose(vkg_device *device, const char *why, const char *in_flight)
{
    if (device->lost)
        return device_usable(device, why);
    device->lost = true;
    bool known = in_flight != NULL;
    if (known)
        snprintf(device->loss, sizeof device->loss, "%s", in_flight);
    for (struct device_watch *watch = device->watches; watch && !known; watch = watch->next)
        known = watch->in_flight(watch->user, device->loss, sizeof device->loss);
    return vkg_fail(&device->log, VKG_ERROR_DEVICE_LOST,
                    "the device \"%s\" was lost: %s%s%s; destroy the device and open it again", device->caps.name, why,
                    known ? "; in flight: " : "", device->loss);
}

vkg_result device_check(vkg_device *device, VkResult result, const char *call)
{
    if (result >= 0)
        return VKG_OK;
    if (result == VK_ERROR_DEVICE_LOST) {
        char why[192];
        snprintf(why, sizeof why,
                 "%s says that its driver gave up on it (work that ran too long, a fault of the driver, or an "
                 "unplugged card)",
                 call);
        return device_lose(device, why, NULL);
    }
    return vkg_fail(&device->log, translate(result), "%s failed%s%s: %s (%d)", call,
                    *device->caps.name ? " on " : "", device->caps.name, vulkan_result_name(result),
                    (int)result);
}

vkg_result device_usable(vkg_device *device, const char *call)
{
    if (!device->lost)
        return VKG_OK;
    return vkg_fail(&device->log, VKG_ERROR_DEVICE_LOST,
                    "%s: the device \"%s\" was lost in an earlier call%s%s; destroy it and open it again", call,
                    device->caps.name, *device->loss ? ", in flight: " : "", device->loss);
}

/* --- opening --- */

static void enable_features(struct feature_chain *features, const struct candidate *candidate)
{
    const vkg_device_caps *caps = &candidate->caps;
    feature_chain_init(features, &candidate->extensions);
    features->core.features.robustBufferAccess = caps->robust_buffer_access;
    features->storage16.storageBuffer16BitAccess = caps->fp16_storage;
    features->float16_int8.shaderFloat16 = caps->shader_float16;
    features->timeline.timelineSemaphore = caps->timeline_semaphore;
    features->subgroup_size.subgroupSizeControl = caps->subgroup_size_control;
    features->subgroup_size.computeFullSubgroups = candidate->full_subgroups;
    features->memory_model.vulkanMemoryModel = caps->cooperative_matrix;
    features->memory_model.vulkanMemoryModelDeviceScope = caps->cooperative_matrix; /* without it, no atomics under that model */
    features->cooperative_matrix.cooperative_matrix = caps->cooperative_matrix;
    features->bfloat16.type = features->bfloat16.cooperative_matrix = caps->matrix_bfloat16.m != 0;
}

/* What is core in the version that is used needs no extension. */
static uint32_t enable_extensions(const char **names, const struct candidate *candidate)
{
    const struct extension_set *extensions = &candidate->extensions;
    uint32_t count = 0;
    if (extensions->float16_int8 && candidate->version < VK_API_VERSION_1_2)
        names[count++] = VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME;
    if (extensions->timeline && candidate->version < VK_API_VERSION_1_2)
        names[count++] = VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME;
    if (extensions->subgroup_size && candidate->version < VK_API_VERSION_1_3)
        names[count++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    if (extensions->cooperative_matrix)
        names[count++] = COOPERATIVE_MATRIX_EXTENSION;
    if (extensions->bfloat16)
        names[count++] = BFLOAT16_EXTENSION;
    if (extensions->portability)
        names[count++] = "VK_KHR_portability_subset"; /* its macro is in a beta header */
    return count;
}

static vkg_result open_logical(vkg_device *device, const struct candidate *candidate)
{
    const char *extensions[6];
    struct feature_chain features;
    float priority = 1.0f;
    enable_features(&features, candidate);
    VkDeviceQueueCreateInfo queues[2];
    const uint32_t families[2] = {device->queue_family, device->transfer_family};
    for (int i = 0; i < 2; ++i)
        queues[i] = (VkDeviceQueueCreateInfo){
            .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
            .queueFamilyIndex = families[i],
            .queueCount = 1,
            .pQueuePriorities = &priority,
        };
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &features.core,
        .queueCreateInfoCount = families[0] == families[1] ? 1 : 2,
        .pQueueCreateInfos = queues,
        .enabledExtensionCount = enable_extensions(extensions, candidate),
        .ppEnabledExtensionNames = extensions,
    };
    VkResult result = logical_device_create(device, candidate->physical, &info);
    if (result < 0)
        return device_check(device, result, "vkCreateDevice");
    device->vk.vkGetDeviceQueue(device->handle, device->queue_family, 0, &device->queue);
    device->vk.vkGetDeviceQueue(device->handle, device->transfer_family, 0, &device->transfer_queue);
    return VKG_OK;
}

/* Worth it where inputs cross a bus, and something else than the kernels' queue can copy; and where they are large, as a semaphore takes
 * some microseconds too. */
static vkg_result choose_transfer_queue(vkg_device *device, const struct candidate *candidate, vkg_transfer_queue wanted)
{
    const vkg_device_caps *caps = &device->caps;
    const bool asked = wanted != VKG_TRANSFER_QUEUE_DEFAULT || setting(NULL, "VKGAN_TRANSFER_QUEUE");
    device->apart_from = asked ? 0 : 1 << 20;
    device->uploads_apart = caps->type == VKG_DEVICE_DISCRETE && caps->transfer_queue;
    vkg_result result = setting_switch(&device->log, "VKGAN_TRANSFER_QUEUE", &device->uploads_apart);
    if (wanted != VKG_TRANSFER_QUEUE_DEFAULT)
        device->uploads_apart = wanted == VKG_TRANSFER_QUEUE_ON;
    device->transfer_family = device->uploads_apart ? candidate->transfer_family : candidate->queue_family;
    return result;
}

/* On a processor a trial takes as long as many steps, so that it is done only where it was asked for. */
static vkg_result choose_autotune(vkg_device *device, vkg_autotune wanted)
{
    device->autotune = device->caps.type != VKG_DEVICE_CPU;
    vkg_result result = setting_switch(&device->log, "VKGAN_AUTOTUNE", &device->autotune);
    if (wanted != VKG_AUTOTUNE_DEFAULT)
        device->autotune = wanted == VKG_AUTOTUNE_ON;
    return result;
}

static vkg_result choose_self_test(vkg_device *device)
{
    device->self_test = true;
    return setting_switch(&device->log, "VKGAN_SELF_TEST", &device->self_test);
}

/* What is the same for a device of ours and an adopted one. */
static vkg_result finish_opening(vkg_device *device, const struct candidate *candidate, const char *cache_dir,
                                 vkg_autotune autotune)
{
    const vkg_device_caps *caps = &device->caps;
    device->instance_vk.vkGetPhysicalDeviceMemoryProperties(candidate->physical, &device->memory);
    vkg_result result = pipelines_create(device, cache_dir);
    if (result == VKG_OK)
        result = notes_create(device);
    if (result == VKG_OK)
        result = choose_autotune(device, autotune);
    if (result == VKG_OK)
        result = choose_self_test(device);
    if (result != VKG_OK)
        return result;
    vkg_logf(&device->log, VKG_LOG_INFO, "device: %s (%s, Vulkan %u.%u.%u, %s%s%s), %s kernels%s", caps->name,
             vkg_device_type_name(caps->type), caps->api_version[0], caps->api_version[1], caps->api_version[2],
             caps->driver_name, *caps->driver_info ? " " : "", caps->driver_info,
             vkg_kernel_family_name(caps->kernels), device->uploads_apart ? ", a transfer queue for inputs" : "");
    return VKG_OK;
}

static vkg_result open_device(vkg_device *device, const vkg_device_desc *desc)
{
    struct candidate candidate = {0};
    bool validation = false;
    vkg_result result = setting_switch(&device->log, "VKGAN_VALIDATION", &validation);
    if (result == VKG_OK)
        result = instance_open(device, validation || desc->validation);
    if (result == VKG_OK)
        result = device_select(device, setting(desc->name, "VKGAN_DEVICE"), &candidate);
    if (result == VKG_OK)
        result = kernels_choose(&device->log, setting(desc->kernels, "VKGAN_KERNELS"), &candidate.caps);
    if (result != VKG_OK)
        return result;
    candidate.caps.robust_buffer_access = desc->robust_buffer_access;
    device->caps = candidate.caps;
    device->physical = candidate.physical;
    device->queue_family = candidate.queue_family;
    result = choose_transfer_queue(device, &candidate, desc->transfer_queue);
    if (result == VKG_OK)
        result = open_logical(device, &candidate);
    if (result != VKG_OK)
        return result;
    return finish_opening(device, &candidate, desc->cache_dir, desc->autotune);
}

vkg_result vkg_device_create(const vkg_device_desc *desc, vkg_device **device)
{
    const vkg_device_desc defaults = {0};
    desc = desc ? desc : &defaults;
    *device = NULL;
    vkg_device *opened = calloc(1, sizeof *opened);
    if (!opened)
        return vkg_fail(desc->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_device_create: no memory");
    if (desc->log)
        opened->log = *desc->log;
    /* A driver for processors starts its threads now, and a discriminator that is sure of itself has gradients of denormals. */
    const unsigned float_mode = denormals_flush();
    vkg_result result = open_device(opened, desc);
    denormals_restore(float_mode);
    if (result != VKG_OK)
        vkg_device_destroy(&opened);
    *device = opened;
    return result;
}

/* --- adopting --- */

static vkg_result check_adopted(const vkg_device_adopt_desc *desc)
{
    const char *missing = !desc->instance          ? "instance"
                          : !desc->physical_device ? "physical_device"
                          : !desc->device          ? "device"
                          : !desc->queue           ? "queue"
                                                   : NULL;
    if (missing)
        return vkg_fail(desc->log, VKG_ERROR_INVALID, "vkg_device_adopt: %s is NULL", missing);
    if (!desc->lock_queue != !desc->unlock_queue)
        return vkg_fail(
            desc->log, VKG_ERROR_INVALID,
            "vkg_device_adopt: one of lock_queue and unlock_queue is NULL, expected both or neither");
    if (desc->api_version && desc->api_version < VK_API_VERSION_1_1)
        return vkg_fail(desc->log, VKG_ERROR_UNSUPPORTED,
                        "vkg_device_adopt: api_version is %u.%u, expected 1.1 or later",
                        VK_API_VERSION_MAJOR(desc->api_version), VK_API_VERSION_MINOR(desc->api_version));
    return VKG_OK;
}

static void use_adopted(vkg_device *device, const vkg_device_adopt_desc *desc)
{
    device->instance = desc->instance;
    device->instance_version = desc->api_version ? desc->api_version : VK_API_VERSION_1_1;
    device->physical = desc->physical_device;
    device->handle = desc->device;
    device->queue = device->transfer_queue = desc->queue;
    device->queue_family = desc->queue_family;
    device->lock_queue = desc->lock_queue;
    device->unlock_queue = desc->unlock_queue;
    device->lock_user = desc->lock_user;
}

/* The device may have more than the application enabled. */
static void limit_to_enabled(vkg_device_caps *caps, const vkg_device_adopt_desc *desc)
{
    caps->index = UINT32_MAX;
    caps->fp16_storage = caps->fp16_storage && desc->fp16_storage;
    caps->shader_float16 = caps->shader_float16 && desc->shader_float16;
    caps->timeline_semaphore = caps->timeline_semaphore && desc->timeline_semaphore;
    caps->subgroup_size_control = caps->subgroup_size_control && desc->subgroup_size_control;
    caps->robust_buffer_access = desc->robust_buffer_access;
    if (!desc->cooperative_matrix || !caps->subgroup_size_control || !caps->shader_float16) {
        caps->cooperative_matrix = false;
        caps->matrix_float16 = caps->matrix_bfloat16 = (vkg_matrix_shape){0};
    }
    caps->matrix_bfloat16 = (vkg_matrix_shape){0}; /* no field says that the application enabled bfloat16 */
    if (!caps->subgroup_size_control)
        caps->min_subgroup_size = caps->max_subgroup_size = caps->subgroup_size;
}

static vkg_result adopt_device(vkg_device *device, const vkg_device_adopt_desc *desc)
{
    PFN_vkGetInstanceProcAddr get = desc->get_instance_proc_addr;
    vkg_result result = get ? VKG_OK : loader_open(&device->log, &get);
    if (result != VKG_OK)
        return result;
    if (!instance_functions_load(&device->instance_vk, get, desc->instance))
        return vkg_fail(&device->log, VKG_ERROR_UNSUPPORTED,
                        "vkg_device_adopt: the instance lacks functions of Vulkan 1.1");
    struct candidate candidate = {.physical = desc->physical_device, .queue_family = desc->queue_family};
    use_adopted(device, desc);
    result = candidate_inspect(device, &candidate);
    if (result == VKG_OK && *candidate.caps.problem)
        result = vkg_fail(&device->log, VKG_ERROR_UNSUPPORTED,
                          "vkg_device_adopt: the device \"%s\" cannot be used: %s", candidate.caps.name,
                          candidate.caps.problem);
    if (result == VKG_OK)
        result = kernels_choose(&device->log, setting(desc->kernels, "VKGAN_KERNELS"), &candidate.caps);
    if (result != VKG_OK)
        return result;
    limit_to_enabled(&candidate.caps, desc);
    device->caps = candidate.caps;
    result = choose_transfer_queue(device, &candidate, VKG_TRANSFER_QUEUE_DEFAULT);
    if (result != VKG_OK)
        return result;
    device_functions_load(device);
    return finish_opening(device, &candidate, desc->cache_dir, desc->autotune);
}

vkg_result vkg_device_adopt(const vkg_device_adopt_desc *desc, vkg_device **device)
{
    *device = NULL;
    vkg_result result = check_adopted(desc);
    if (result != VKG_OK)
        return result;
    vkg_device *adopted = calloc(1, sizeof *adopted);
    if (!adopted)
        return vkg_fail(desc->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_device_adopt: no memory");
    if (desc->log)
        adopted->log = *desc->log;
    result = adopt_device(adopted, desc);
    if (result != VKG_OK)
        vkg_device_destroy(&adopted);
    *device = adopted;
    return result;
}

/* --- closing, and what is known --- */

void vkg_device_destroy(vkg_device **device)
{
    vkg_device *closing = *device;
    if (!closing)
        return;
    if (closing->vk.vkDestroyDevice) {
        if (!closing->lost)
            device_wait_idle(closing);
        closing->vk.vkDestroyFence(closing->handle, closing->idle, NULL);
        pipelines_destroy(closing);
    }
    notes_destroy(closing);
    instance_close(closing);
    free(closing);
    *device = NULL;
}

const vkg_device_caps *vkg_device_get_caps(const vkg_device *device)
{
    return &device->caps;
}

uint32_t vkg_device_validation_messages(const vkg_device *device)
{
    return __atomic_load_n(&device->validation_messages, __ATOMIC_RELAXED);
}
