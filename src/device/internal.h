/* What the files of the device room share among themselves. */
#ifndef VKG_DEVICE_INTERNAL_H
#define VKG_DEVICE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/cooperative_matrix.h"
#include "device/device.h"

#define VALIDATION_LAYER_NAME "VK_LAYER_KHRONOS_validation"

#define NO_DRIVER_MESSAGE                                                                                      \
    "no Vulkan device was found: install a driver (Debian package mesa-vulkan-drivers has those of AMD and "   \
    "Intel and one that works without a graphics card)"

/* --- device.c --- */

/* VKG_OK, or DEVICE_LOST with a message that names the call where the device was lost before. */
vkg_result device_usable(vkg_device *device, const char *call);
const char *vulkan_result_name(VkResult result);

/* --- settings.c: the environment, read strictly; a variable that is set and empty counts as unset --- */

/* The argument, or the environment variable, or NULL. */
const char *setting(const char *argument, const char *variable);
/* "0": false, "1": true, unset: as it is, else INVALID. */
vkg_result setting_switch(const vkg_log *log, const char *variable, bool *value);

/* --- caps.c --- */

/* Device extensions that the library enables, or only asks for limits, where they are found. */
struct extension_set {
    bool driver_properties; /* VK_KHR_driver_properties, or Vulkan 1.2 */
    bool float16_int8;      /* VK_KHR_shader_float16_int8, or Vulkan 1.2 */
    bool timeline;          /* VK_KHR_timeline_semaphore, or Vulkan 1.2 */
    bool subgroup_size;     /* VK_EXT_subgroup_size_control, or Vulkan 1.3 */
    bool memory_model;      /* Vulkan 1.2; the extension before it is not used */
    bool maintenance4;      /* VK_KHR_maintenance4, or Vulkan 1.3: for its limits only */
    bool cooperative_matrix;
    bool bfloat16;
    bool portability; /* VK_KHR_portability_subset: must be enabled where it is there */
};

/* VkPhysicalDeviceFeatures2 and what hangs on it; the same for asking and for enabling. */
struct feature_chain {
    VkPhysicalDeviceFeatures2 core;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDeviceShaderFloat16Int8Features float16_int8;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup_size;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    struct cooperative_matrix_features cooperative_matrix;
    struct bfloat16_features bfloat16;
};

/* A device that could be opened. */
struct candidate {
    VkPhysicalDevice physical;
    uint32_t queue_family;
    uint32_t transfer_family; /* queue_family where caps.transfer_queue is false */
    uint32_t version; /* of Vulkan, that may be used */
    struct extension_set extensions;
    /* features that only decide about cooperative matrices; the memory model: with device scope */
    bool vulkan_memory_model, full_subgroups, cooperative_matrix, bfloat16_matrix;
    vkg_device_caps caps;
};

bool extension_listed(const VkExtensionProperties *known, uint32_t count, const char *name);
/* Zeroes the chain and links what these extensions allow. */
void feature_chain_init(struct feature_chain *chain, const struct extension_set *extensions);
/* Fills everything but physical and caps.index; what the device lacks goes to caps.problem. */
vkg_result candidate_inspect(vkg_device *device, struct candidate *candidate);
/* The first family of queues that copy and do nothing else (a card's DMA engine; those for video copy too); UINT32_MAX where
 * there is none. */
uint32_t transfer_family_find(const VkQueueFamilyProperties *families, uint32_t count);
/* "texel", "tiled", "plain", or the automatic choice for NULL. */
vkg_result kernels_choose(const vkg_log *log, const char *kernels, vkg_device_caps *caps);

/* --- cooperative_matrix.c --- */

/* Fills cooperative_matrix and the shapes of caps, of which everything else must be there. */
vkg_result cooperative_matrix_inspect(vkg_device *device, struct candidate *candidate);

/* --- select.c --- */

/* The device of that name or index; `name` NULL: the best. */
vkg_result device_select(vkg_device *device, const char *name, struct candidate *selected);

/* --- pipeline.c --- */
vkg_result pipelines_create(vkg_device *device, const char *cache_dir);
/* Saves the disk cache, unless the device is lost, and destroys every pipeline. */
void pipelines_destroy(vkg_device *device);

/* --- pipeline_file.c: the driver's compiled pipelines between runs --- */
struct pipeline_file {
    char *folder; /* of all caches; NULL where it could not be made */
    char *path;   /* NULL: nothing is kept */
    size_t bytes; /* the driver's data as loaded; 0 where there was none */
};

/* Finds (and makes) the folder; `cache_dir` as in vkg_device_desc. Only memory can be an error. */
vkg_result pipeline_file_open(vkg_device *device, const char *cache_dir, struct pipeline_file *file);
/* The driver's data, or NULL; free() it. A damaged file is ignored. */
void *pipeline_file_load(vkg_device *device, struct pipeline_file *file);
void pipeline_file_save(vkg_device *device, const struct pipeline_file *file, const void *data, size_t bytes);
void pipeline_file_close(struct pipeline_file *file);
/* The path of another cache of the same driver, device and library version, in the folder that is there: free() it.
 * NULL when memory is out. */
char *cache_file_path(const vkg_device *device, const char *kind, const char *extension);

/* --- notes.c: reads the file; only memory can be an error --- */
vkg_result notes_create(vkg_device *device);
void notes_destroy(vkg_device *device);

#endif
