/* The way to Vulkan: loader, instance, entry points. */
#include "device/instance.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/device.h"
#include "device/internal.h"

/* For volk's globals, which loading writes, and for the loader's lists of instances and devices: Debian 12's (1.3.239) walks
 * them without a lock of its own to find a function of a device, and to name an object, and crashes where another thread closes one
 * meanwhile. */
static pthread_mutex_t loader_lock = PTHREAD_MUTEX_INITIALIZER;

vkg_result loader_open(const vkg_log *log, PFN_vkGetInstanceProcAddr *get)
{
    static bool loaded;
    pthread_mutex_lock(&loader_lock);
    loaded = loaded || volkInitialize() == VK_SUCCESS;
    bool good = loaded;
    *get = vkGetInstanceProcAddr;
    pthread_mutex_unlock(&loader_lock);
    if (!good)
        return vkg_fail(log, VKG_ERROR_NO_DEVICE,
                        "there is no Vulkan here: libvulkan.so.1 cannot be loaded; install it and a driver "
                        "(Debian packages libvulkan1 and mesa-vulkan-drivers)");
    return VKG_OK;
}

bool instance_functions_load(struct instance_functions *functions, PFN_vkGetInstanceProcAddr get,
                             VkInstance instance)
{
    *functions = (struct instance_functions){.vkGetInstanceProcAddr = get};
#define LOAD(name) (functions->name = (PFN_##name)get(instance, #name))
    LOAD(vkCreateDebugUtilsMessengerEXT);
    LOAD(vkDestroyDebugUtilsMessengerEXT);
    LOAD(vkSetDebugUtilsObjectNameEXT);
    return LOAD(vkGetDeviceProcAddr) && LOAD(vkDestroyInstance) && LOAD(vkEnumeratePhysicalDevices) &&
           LOAD(vkEnumerateDeviceExtensionProperties) && LOAD(vkGetPhysicalDeviceProperties) &&
           LOAD(vkGetPhysicalDeviceFormatProperties) &&
           LOAD(vkGetPhysicalDeviceProperties2) && LOAD(vkGetPhysicalDeviceFeatures2) &&
           LOAD(vkGetPhysicalDeviceQueueFamilyProperties) && LOAD(vkGetPhysicalDeviceMemoryProperties) &&
           LOAD(vkCreateDevice);
#undef LOAD
}

/* The version that the instance is made for: what the loader has, and no later than what was tried. */
static vkg_result choose_version(struct vkg_device *device, PFN_vkGetInstanceProcAddr get)
{
    PFN_vkEnumerateInstanceVersion enumerate =
        (PFN_vkEnumerateInstanceVersion)get(NULL, "vkEnumerateInstanceVersion");
    uint32_t version = VK_API_VERSION_1_0;
    if (enumerate)
        enumerate(&version);
    if (version < VK_API_VERSION_1_1)
        return vkg_fail(&device->log, VKG_ERROR_NO_DEVICE,
                        "the Vulkan loader (libvulkan.so.1) is of version 1.0, expected 1.1 or later");
    device->instance_version = version < VK_API_VERSION_1_3 ? version : VK_API_VERSION_1_3;
    return VKG_OK;
}

bool instance_has_extension(PFN_vkGetInstanceProcAddr get, const char *layer, const char *name)
{
    PFN_vkEnumerateInstanceExtensionProperties enumerate =
        (PFN_vkEnumerateInstanceExtensionProperties)get(NULL, "vkEnumerateInstanceExtensionProperties");
    uint32_t count = 0;
    if (!enumerate || enumerate(layer, &count, NULL) < 0 || count == 0)
        return false;
    VkExtensionProperties *known = calloc(count, sizeof *known);
    bool found = known && enumerate(layer, &count, known) >= 0 && extension_listed(known, count, name);
    free(known);
    return found;
}

static vkg_result create_instance(struct vkg_device *device, PFN_vkGetInstanceProcAddr get,
                                  const struct validation *validation)
{
    const char *layer = VALIDATION_LAYER_NAME;
    const char *extensions[3];
    uint32_t extension_count = 0;
    /* Some drivers (MoltenVK) are only shown to those who ask for them. */
    bool portability = instance_has_extension(get, NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME);
    if (portability)
        extensions[extension_count++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
    if (validation->debug_utils)
        extensions[extension_count++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    if (validation->synchronise)
        extensions[extension_count++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
    VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pEngineName = "vkgan",
        .apiVersion = device->instance_version,
    };
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validation->debug_utils ? &validation->messenger : NULL,
        .flags = portability ? VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR : 0,
        .pApplicationInfo = &application,
        .enabledLayerCount = validation->layer ? 1 : 0,
        .ppEnabledLayerNames = &layer,
        .enabledExtensionCount = extension_count,
        .ppEnabledExtensionNames = extensions,
    };
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)get(NULL, "vkCreateInstance");
    pthread_mutex_lock(&loader_lock);
    VkResult result = create ? create(&info, NULL, &device->instance) : VK_ERROR_INITIALIZATION_FAILED;
    pthread_mutex_unlock(&loader_lock);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
        return vkg_fail(&device->log, VKG_ERROR_NO_DEVICE, NO_DRIVER_MESSAGE);
    return device_check(device, result, "vkCreateInstance");
}

vkg_result instance_open(struct vkg_device *device, bool validation)
{
    PFN_vkGetInstanceProcAddr get;
    struct validation wanted = {0};
    vkg_result result = loader_open(&device->log, &get);
    if (result == VKG_OK)
        result = choose_version(device, get);
    if (result == VKG_OK && validation)
        result = validation_find(device, &wanted);
    if (result == VKG_OK)
        result = create_instance(device, get, &wanted);
    if (result != VKG_OK)
        return result;
    device->owned = true;
    if (!instance_functions_load(&device->instance_vk, get, device->instance))
        return vkg_fail(&device->log, VKG_ERROR_DEVICE,
                        "the Vulkan instance lacks functions that every Vulkan 1.1 instance has");
    return wanted.debug_utils ? validation_listen(device, &wanted) : VKG_OK;
}

void instance_close(struct vkg_device *device)
{
    if (!device->owned || !device->instance)
        return;
    pthread_mutex_lock(&loader_lock);
    if (device->handle)
        device->vk.vkDestroyDevice(device->handle, NULL);
    if (device->messenger)
        device->instance_vk.vkDestroyDebugUtilsMessengerEXT(device->instance, device->messenger, NULL);
    if (device->instance_vk.vkDestroyInstance)
        device->instance_vk.vkDestroyInstance(device->instance, NULL);
    pthread_mutex_unlock(&loader_lock);
    device->messenger = NULL;
    device->instance = NULL;
    device->handle = NULL;
}

void instance_name_object(struct vkg_device *device, const VkDebugUtilsObjectNameInfoEXT *info)
{
    pthread_mutex_lock(&loader_lock);
    device->instance_vk.vkSetDebugUtilsObjectNameEXT(device->handle, info); /* a name lost costs nothing */
    pthread_mutex_unlock(&loader_lock);
}

static void load_functions(struct vkg_device *device)
{
    /* volkLoadDeviceTable asks the global function, which is of whoever used volk last. */
    PFN_vkGetDeviceProcAddr others = vkGetDeviceProcAddr;
    vkGetDeviceProcAddr = device->instance_vk.vkGetDeviceProcAddr;
    volkLoadDeviceTable(&device->vk, device->handle);
    vkGetDeviceProcAddr = others;
}

VkResult logical_device_create(struct vkg_device *device, VkPhysicalDevice physical, const VkDeviceCreateInfo *info)
{
    pthread_mutex_lock(&loader_lock);
    const VkResult result = device->instance_vk.vkCreateDevice(physical, info, NULL, &device->handle);
    if (result >= 0)
        load_functions(device);
    pthread_mutex_unlock(&loader_lock);
    return result;
}

void device_functions_load(struct vkg_device *device)
{
    pthread_mutex_lock(&loader_lock);
    load_functions(device);
    pthread_mutex_unlock(&loader_lock);
}
