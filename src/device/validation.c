/* The validation layer: asked for at the instance, its messages counted and sent to the device's log. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/device.h"
#include "device/internal.h"

static VkBool32 VKAPI_CALL receive_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                           VkDebugUtilsMessageTypeFlagsEXT types,
                                           const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    struct vkg_device *device = user;
    const char *text = data && data->pMessage ? data->pMessage : "(no message)";
    bool error = severity >= VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
    (void)types;
    __atomic_fetch_add(&device->validation_messages, 1, __ATOMIC_RELAXED);
    if (!device->log.callback)
        return VK_FALSE;
    /* The layer's messages run over several lines and past what vkg_logf holds. */
    char *line = strdup(text);
    for (char *c = line; c && *c; ++c)
        *c = *c == '\n' || *c == '\r' ? ' ' : *c;
    device->log.callback(device->log.user, error ? VKG_LOG_ERROR : VKG_LOG_WARNING, line ? line : text);
    free(line);
    return VK_FALSE;
}

static bool layer_is_installed(PFN_vkGetInstanceProcAddr get, VkResult *result)
{
    PFN_vkEnumerateInstanceLayerProperties enumerate =
        (PFN_vkEnumerateInstanceLayerProperties)get(NULL, "vkEnumerateInstanceLayerProperties");
    uint32_t count = 0;
    *result = enumerate ? enumerate(&count, NULL) : VK_SUCCESS;
    if (!enumerate || *result < 0 || count == 0)
        return false;
    VkLayerProperties *layers = calloc(count, sizeof *layers);
    *result = layers ? enumerate(&count, layers) : VK_ERROR_OUT_OF_HOST_MEMORY;
    bool found = false;
    for (uint32_t i = 0; *result >= 0 && i < count; ++i)
        found = found || strcmp(layers[i].layerName, VALIDATION_LAYER_NAME) == 0;
    free(layers);
    return found;
}

static void prepare_messenger(struct vkg_device *device, struct validation *validation)
{
    validation->enable = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    validation->features = (VkValidationFeaturesEXT){
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = &validation->enable,
    };
    validation->messenger = (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .pNext = validation->synchronise ? &validation->features : NULL,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType =
            VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = receive_message,
        .pUserData = device,
    };
}

vkg_result validation_find(struct vkg_device *device, struct validation *validation)
{
    PFN_vkGetInstanceProcAddr get;
    VkResult listed;
    *validation = (struct validation){0};
    vkg_result result = loader_open(&device->log, &get);
    if (result != VKG_OK)
        return result;
    validation->layer = layer_is_installed(get, &listed);
    if (listed < 0)
        return device_check(device, listed, "vkEnumerateInstanceLayerProperties");
    if (!validation->layer) {
        vkg_logf(&device->log, VKG_LOG_WARNING,
                 "validation was asked for, but " VALIDATION_LAYER_NAME " is not installed (Debian package "
                 "vulkan-validationlayers): going on without");
        return VKG_OK;
    }
    validation->debug_utils =
        instance_has_extension(get, NULL, VK_EXT_DEBUG_UTILS_EXTENSION_NAME) ||
        instance_has_extension(get, VALIDATION_LAYER_NAME, VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    validation->synchronise =
        validation->debug_utils &&
        instance_has_extension(get, VALIDATION_LAYER_NAME, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME);
    if (!validation->debug_utils)
        vkg_logf(&device->log, VKG_LOG_WARNING,
                 "validation: no VK_EXT_debug_utils, so its messages do not come here");
    else if (!validation->synchronise)
        vkg_logf(&device->log, VKG_LOG_WARNING, "validation: this layer has no synchronisation validation");
    prepare_messenger(device, validation);
    return VKG_OK;
}

vkg_result validation_listen(struct vkg_device *device, const struct validation *validation)
{
    VkDebugUtilsMessengerCreateInfoEXT info = validation->messenger;
    info.pNext = NULL; /* the features belong to the instance */
    if (!device->instance_vk.vkCreateDebugUtilsMessengerEXT ||
        !device->instance_vk.vkDestroyDebugUtilsMessengerEXT)
        return VKG_OK;
    return device_check(
        device,
        device->instance_vk.vkCreateDebugUtilsMessengerEXT(device->instance, &info, NULL, &device->messenger),
        "vkCreateDebugUtilsMessengerEXT");
}

void validation_name(struct vkg_device *device, VkObjectType type, uint64_t object, const char *name)
{
    if (!device->messenger || !device->instance_vk.vkSetDebugUtilsObjectNameEXT || !name)
        return;
    VkDebugUtilsObjectNameInfoEXT info = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT,
        .objectType = type,
        .objectHandle = object,
        .pObjectName = name,
    };
    instance_name_object(device, &info);
}
