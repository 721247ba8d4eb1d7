/* A Vulkan layer that shows a family of queues more, which only copies, on drivers that have no such: its one queue is the
 * first queue of family 0 in disguise. So the way through two families is run, and validated, without a graphics card. Below
 * the validation layer, which then sees two queues; made for one driver. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <vulkan/vk_layer.h>

#define EXPORT __attribute__((visibility("default")))

/* The functions below this layer: the same for all instances, and for all devices of one driver. */
static PFN_vkGetInstanceProcAddr next_instance_function;
static PFN_vkGetDeviceProcAddr next_device_function;
static PFN_vkGetPhysicalDeviceQueueFamilyProperties2 next_families;
static PFN_vkDestroyDevice next_destroy_device;
static PFN_vkGetDeviceQueue next_queue;
static PFN_vkQueueSubmit next_submit;
static PFN_vkCreateCommandPool next_create_pool;
static PFN_vkCreateBuffer next_create_buffer;

/* --- families --- */

static uint32_t true_count(VkPhysicalDevice physical)
{
    uint32_t count = 0;
    next_families(physical, &count, NULL);
    return count;
}

static const VkQueueFamilyProperties copies = {.queueFlags = VK_QUEUE_TRANSFER_BIT, .queueCount = 1};

static VKAPI_ATTR void VKAPI_CALL families2(VkPhysicalDevice physical, uint32_t *count, VkQueueFamilyProperties2 *properties)
{
    const uint32_t others = true_count(physical), room = *count;
    *count = others + 1;
    if (!properties)
        return;
    *count = room < others ? room : others;
    next_families(physical, count, properties);
    if (room > others)
        properties[(*count)++].queueFamilyProperties = copies;
}

static VKAPI_ATTR void VKAPI_CALL families(VkPhysicalDevice physical, uint32_t *count, VkQueueFamilyProperties *properties)
{
    enum { MOST = 16 };
    VkQueueFamilyProperties2 list[MOST];
    for (uint32_t i = 0; i < MOST; i++)
        list[i] = (VkQueueFamilyProperties2){.sType = VK_STRUCTURE_TYPE_QUEUE_FAMILY_PROPERTIES_2};
    *count = *count < MOST ? *count : MOST;
    families2(physical, count, properties ? list : NULL);
    for (uint32_t i = 0; properties && i < *count; i++)
        properties[i] = list[i].queueFamilyProperties;
}

/* --- devices and their second queues --- */

/* `loader` comes first, as in every handle that functions are dispatched by. */
struct queue {
    void *loader;
    VkQueue queue;
    VkDevice device;
    uint32_t family; /* the one that is not there */
    struct queue *next;
};
static struct queue *queues;
static pthread_mutex_t queues_lock = PTHREAD_MUTEX_INITIALIZER;

static struct queue *find_queue(VkDevice device, uint32_t family)
{
    pthread_mutex_lock(&queues_lock);
    struct queue *found = queues;
    while (found && (found->device != device || found->family != family))
        found = found->next;
    pthread_mutex_unlock(&queues_lock);
    return found;
}

static uint32_t true_family(VkDevice device, uint32_t family)
{
    return find_queue(device, family) ? 0 : family;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *callbacks, VkDevice *device)
{
    VkLayerDeviceCreateInfo *link = (VkLayerDeviceCreateInfo *)info->pNext;
    while (link->sType != VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO || link->function != VK_LAYER_LINK_INFO)
        link = (VkLayerDeviceCreateInfo *)link->pNext;
    PFN_vkCreateDevice create = (PFN_vkCreateDevice)link->u.pLayerInfo->pfnNextGetInstanceProcAddr(NULL, "vkCreateDevice");
    next_device_function = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkDeviceCreateInfo changed = *info;
    VkDeviceQueueCreateInfo kept[8];
    changed.queueCreateInfoCount = 0;
    changed.pQueueCreateInfos = kept;
    for (uint32_t i = 0; i < info->queueCreateInfoCount && i < 8; i++)
        if (info->pQueueCreateInfos[i].queueFamilyIndex < true_count(physical))
            kept[changed.queueCreateInfoCount++] = info->pQueueCreateInfos[i];
    const VkResult result = create(physical, &changed, callbacks, device);
    struct queue *queue = result == VK_SUCCESS ? calloc(1, sizeof *queue) : NULL;
    if (!queue)
        return result;
#define NEXT(variable, name) variable = (PFN_##name)next_device_function(*device, #name)
    NEXT(next_destroy_device, vkDestroyDevice);
    NEXT(next_queue, vkGetDeviceQueue);
    NEXT(next_submit, vkQueueSubmit);
    NEXT(next_create_pool, vkCreateCommandPool);
    NEXT(next_create_buffer, vkCreateBuffer);
#undef NEXT
    pthread_mutex_lock(&queues_lock);
    *queue = (struct queue){.device = *device, .family = true_count(physical), .next = queues};
    queues = queue;
    pthread_mutex_unlock(&queues_lock);
    return result;
}

static VKAPI_ATTR void VKAPI_CALL destroy_device(VkDevice device, const VkAllocationCallbacks *callbacks)
{
    pthread_mutex_lock(&queues_lock);
    struct queue **link = &queues;
    while (*link && (*link)->device != device)
        link = &(*link)->next;
    struct queue *gone = *link;
    if (gone)
        *link = gone->next;
    pthread_mutex_unlock(&queues_lock);
    free(gone);
    next_destroy_device(device, callbacks);
}

static VKAPI_ATTR void VKAPI_CALL get_queue(VkDevice device, uint32_t family, uint32_t index, VkQueue *queue)
{
    struct queue *disguised = find_queue(device, family);
    next_queue(device, disguised ? 0 : family, index, queue);
    if (!disguised)
        return;
    disguised->queue = *queue;
    disguised->loader = *(void **)*queue;
    *queue = (VkQueue)disguised;
}

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos, VkFence fence)
{
    pthread_mutex_lock(&queues_lock);
    for (const struct queue *q = queues; q; q = q->next)
        if ((VkQueue)q == queue)
            queue = q->queue;
    pthread_mutex_unlock(&queues_lock);
    return next_submit(queue, count, infos, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pool(VkDevice device, const VkCommandPoolCreateInfo *info,
                                                  const VkAllocationCallbacks *callbacks, VkCommandPool *pool)
{
    VkCommandPoolCreateInfo changed = *info;
    changed.queueFamilyIndex = true_family(device, info->queueFamilyIndex);
    return next_create_pool(device, &changed, callbacks, pool);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_buffer(VkDevice device, const VkBufferCreateInfo *info,
                                                    const VkAllocationCallbacks *callbacks, VkBuffer *buffer)
{
    VkBufferCreateInfo changed = *info;
    changed.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
    return next_create_buffer(device, &changed, callbacks, buffer);
}

/* --- what the loader asks for --- */

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *callbacks,
                                                      VkInstance *instance)
{
    VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)info->pNext;
    while (link->sType != VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO || link->function != VK_LAYER_LINK_INFO)
        link = (VkLayerInstanceCreateInfo *)link->pNext;
    next_instance_function = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)next_instance_function(NULL, "vkCreateInstance");
    const VkResult result = create(info, callbacks, instance);
    if (result != VK_SUCCESS)
        return result;
#define NEXT(variable, name) variable = (PFN_##name)next_instance_function(*instance, #name)
    NEXT(next_families, vkGetPhysicalDeviceQueueFamilyProperties2);
#undef NEXT
    return result;
}

static PFN_vkVoidFunction own_function(const char *name);

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice device, const char *name)
{
    PFN_vkVoidFunction own = own_function(name);
    return own ? own : next_device_function(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_function(VkInstance instance, const char *name)
{
    PFN_vkVoidFunction own = own_function(name);
    return own ? own : next_instance_function(instance, name);
}

static PFN_vkVoidFunction own_function(const char *name)
{
    static const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } own[] = {{"vkGetInstanceProcAddr", (PFN_vkVoidFunction)instance_function},
               {"vkGetDeviceProcAddr", (PFN_vkVoidFunction)device_function},
               {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
               {"vkCreateDevice", (PFN_vkVoidFunction)create_device},
               {"vkDestroyDevice", (PFN_vkVoidFunction)destroy_device},
               {"vkGetPhysicalDeviceQueueFamilyProperties", (PFN_vkVoidFunction)families},
               {"vkGetPhysicalDeviceQueueFamilyProperties2", (PFN_vkVoidFunction)families2},
               {"vkGetPhysicalDeviceQueueFamilyProperties2KHR", (PFN_vkVoidFunction)families2},
               {"vkGetDeviceQueue", (PFN_vkVoidFunction)get_queue},
               {"vkQueueSubmit", (PFN_vkVoidFunction)submit},
               {"vkCreateCommandPool", (PFN_vkVoidFunction)create_pool},
               {"vkCreateBuffer", (PFN_vkVoidFunction)create_buffer}};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(own[i].name, name) == 0)
            return own[i].function;
    return NULL;
}

EXPORT VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version);
EXPORT VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version)
{
    version->loaderLayerInterfaceVersion = 2;
    version->pfnGetInstanceProcAddr = instance_function;
    version->pfnGetDeviceProcAddr = device_function;
    version->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
