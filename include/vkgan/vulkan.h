/* vkgan: working on an application's own VkDevice. The only public header that needs Vulkan's.
 *
 * An application that loads Vulkan by itself (volk, or VK_NO_PROTOTYPES) includes its loader's header first. */
#ifndef VKGAN_VULKAN_H
#define VKGAN_VULKAN_H

#include <vulkan/vulkan_core.h>

#include "vkgan/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The application's Vulkan objects and what it enabled on them. All of them stay the application's: they must
 * outlive the vkg_device, and vkg_device_destroy does not touch them. The struct is read during the call only.
 */
typedef struct vkg_device_adopt_desc {
    /* As in vkg_device_desc. */
    const vkg_log *log;
    const char *kernels;
    const char *cache_dir;
    vkg_autotune autotune;

    VkInstance instance;              /* required */
    VkPhysicalDevice physical_device; /* required; of Vulkan 1.1 or later */
    VkDevice device;                  /* required; of that physical device */
    VkQueue queue;                    /* required; of the device, from family queue_family */
    uint32_t queue_family;            /* its index; the family must be able to compute */
    /* How the application found Vulkan's functions; NULL: libvulkan.so.1 is loaded. */
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    /* VkApplicationInfo::apiVersion of the instance: no function of a later version is used. 0 means
     * VK_API_VERSION_1_1, the least that is accepted. */
    uint32_t api_version;

    /* What was enabled when the device was created. What was not is not used. */
    bool fp16_storage;          /* VkPhysicalDevice16BitStorageFeatures::storageBuffer16BitAccess */
    bool shader_float16;        /* VkPhysicalDeviceShaderFloat16Int8Features::shaderFloat16 */
    bool timeline_semaphore;    /* VkPhysicalDeviceTimelineSemaphoreFeatures::timelineSemaphore */
    bool subgroup_size_control; /* VkPhysicalDeviceSubgroupSizeControlFeatures::subgroupSizeControl */
    bool robust_buffer_access;  /* VkPhysicalDeviceFeatures::robustBufferAccess */
    /* VK_KHR_cooperative_matrix, VkPhysicalDeviceCooperativeMatrixFeaturesKHR::cooperativeMatrix,
     * VkPhysicalDeviceVulkanMemoryModelFeatures::vulkanMemoryModel and
     * VkPhysicalDeviceSubgroupSizeControlFeatures::computeFullSubgroups, all of them; used with shader_float16 and
     * subgroup_size_control only. Where vulkanMemoryModel is enabled, for this or for the application's own sake,
     * vulkanMemoryModelDeviceScope must be too: kernels use atomics. */
    bool cooperative_matrix;

    /* Called around every use of the queue by vkgan, from the thread that calls vkgan. Needed where another
     * thread of the application uses the queue too. Both or neither. */
    void (*lock_queue)(void *user);
    void (*unlock_queue)(void *user);
    void *lock_user;
} vkg_device_adopt_desc;

/* Makes a vkg_device of the application's objects; destroy it with vkg_device_destroy, before them.
 * A driver for processors computes with denormal numbers as the thread did that created the VkDevice: on Intel's, slowly
 * (docs/performance.md). vkg_device_create sets flush-to-zero meanwhile, which an application can do as well.
 * Errors: INVALID (something required is missing or does not fit together; kernels unknown), UNSUPPORTED (a
 * device below Vulkan 1.1 or without what the library needs), NO_DEVICE (no Vulkan loader), OUT_OF_MEMORY,
 * DEVICE; *device is NULL then. */
VKG_API vkg_result vkg_device_adopt(const vkg_device_adopt_desc *desc, vkg_device **device);

#ifdef __cplusplus
}
#endif
#endif
