/* The Vulkan instance: the loader, the instance's own entry points, and the validation layer. */
#ifndef VKG_DEVICE_INSTANCE_H
#define VKG_DEVICE_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include <volk.h>

#include "vkgan/result.h"

struct vkg_device;

/* volk keeps one global set of these; a set an instance lets an application's instance, found in its own way,
 * live beside ours. */
struct instance_functions {
    PFN_vkGetInstanceProcAddr vkGetInstanceProcAddr;
    PFN_vkGetDeviceProcAddr vkGetDeviceProcAddr;
    PFN_vkDestroyInstance vkDestroyInstance;
    PFN_vkEnumeratePhysicalDevices vkEnumeratePhysicalDevices;
    PFN_vkEnumerateDeviceExtensionProperties vkEnumerateDeviceExtensionProperties;
    PFN_vkGetPhysicalDeviceProperties vkGetPhysicalDeviceProperties;
    PFN_vkGetPhysicalDeviceFormatProperties vkGetPhysicalDeviceFormatProperties;
    PFN_vkGetPhysicalDeviceProperties2 vkGetPhysicalDeviceProperties2; /* Vulkan 1.1, as the next one */
    PFN_vkGetPhysicalDeviceFeatures2 vkGetPhysicalDeviceFeatures2;
    PFN_vkGetPhysicalDeviceQueueFamilyProperties vkGetPhysicalDeviceQueueFamilyProperties;
    PFN_vkGetPhysicalDeviceMemoryProperties vkGetPhysicalDeviceMemoryProperties;
    PFN_vkCreateDevice vkCreateDevice;
    /* NULL without VK_EXT_debug_utils, which only validation asks for. */
    PFN_vkCreateDebugUtilsMessengerEXT vkCreateDebugUtilsMessengerEXT;
    PFN_vkDestroyDebugUtilsMessengerEXT vkDestroyDebugUtilsMessengerEXT;
    PFN_vkSetDebugUtilsObjectNameEXT vkSetDebugUtilsObjectNameEXT;
};

/* --- instance.c --- */

/* Loads libvulkan where `get` is NULL and gives the entry to all other functions. */
vkg_result loader_open(const vkg_log *log, PFN_vkGetInstanceProcAddr *get);
/* False where one of the functions that cannot be done without is missing. */
bool instance_functions_load(struct instance_functions *functions, PFN_vkGetInstanceProcAddr get,
                             VkInstance instance);
/* Of the loader and its drivers where `layer` is NULL, otherwise of the layer. */
bool instance_has_extension(PFN_vkGetInstanceProcAddr get, const char *layer, const char *name);
/* Fills instance, instance_version and instance_vk of a device whose log is set; with validation also
 * messenger. */
vkg_result instance_open(struct vkg_device *device, bool validation);
/* Makes device->handle and fills device->vk. */
VkResult logical_device_create(struct vkg_device *device, VkPhysicalDevice physical, const VkDeviceCreateInfo *info);
/* Closes the logical device, where there is one, and the instance, unless they are an application's. */
void instance_close(struct vkg_device *device);
/* vkSetDebugUtilsObjectNameEXT, from any thread. */
void instance_name_object(struct vkg_device *device, const VkDebugUtilsObjectNameInfoEXT *info);
/* Fills device->vk of a device that an application made. */
void device_functions_load(struct vkg_device *device);

/* --- validation.c --- */

/* What an instance with validation asks for. */
struct validation {
    bool layer;       /* is installed */
    bool debug_utils; /* messages can be received */
    bool synchronise; /* synchronisation validation can be asked for */
    VkValidationFeatureEnableEXT enable;
    VkValidationFeaturesEXT features;
    VkDebugUtilsMessengerCreateInfoEXT messenger; /* also for what happens while the instance is made */
};

/* Finds the layer, and warns where it, or something of it, is missing. `validation` must stay where it is. */
vkg_result validation_find(struct vkg_device *device, struct validation *validation);
/* Routes the layer's messages to the device's log. */
vkg_result validation_listen(struct vkg_device *device, const struct validation *validation);
/* Names an object in the layer's messages; does nothing without validation. */
void validation_name(struct vkg_device *device, VkObjectType type, uint64_t object, const char *name);

#endif
