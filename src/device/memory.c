/* Device memory: one allocation a buffer. The rest of the library asks for a few large buffers and shares them
 * out itself, so that drivers' limits on the number of allocations (4,096 at the least) are far away. */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "device/internal.h"

/* Memory types of a kind must have `required`; more of `preferred` and less of `avoided` is better. */
struct kind_rule {
    const char *name;
    VkBufferUsageFlags usage;
    VkMemoryPropertyFlags required, preferred, avoided;
    bool both_queues;
};

static const struct kind_rule kind_rules[] = {
    [BUFFER_DEVICE] = {"device",
                       VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                           VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                       VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0,
                       /* On a graphics card the part that the host sees may be small (256 MiB). */
                       VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT},
    [BUFFER_STAGING] = {"staging", VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                        VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT, .both_queues = true},
    [BUFFER_UPLOAD] = {"upload", VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
                       VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, 0,
                       VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT},
    [BUFFER_READBACK] = {"readback", VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
                         VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                         VK_MEMORY_PROPERTY_HOST_CACHED_BIT, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT},
};

/* These need features or care that the library does not give. */
static const VkMemoryPropertyFlags NEVER =
    VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT |
    VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD;

/* The best of the types in the mask `types`, the first where several are alike; UINT32_MAX where none will do.
 */
static uint32_t choose_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t types,
                            const struct kind_rule *rule)
{
    uint32_t best = UINT32_MAX;
    int best_score = 0;
    for (uint32_t i = 0; i < memory->memoryTypeCount; ++i) {
        VkMemoryPropertyFlags flags = memory->memoryTypes[i].propertyFlags;
        if (!(types & 1u << i) || (flags & rule->required) != rule->required || (flags & NEVER))
            continue;
        int score = __builtin_popcount(flags & rule->preferred) - __builtin_popcount(flags & rule->avoided);
        if (best != UINT32_MAX && score <= best_score)
            continue;
        best = i;
        best_score = score;
    }
    return best;
}

static vkg_result refuse_size(vkg_device *device, VkDeviceSize size, const char *name, const char *why)
{
    return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY,
                    "no memory for \"%s\" on the device \"%s\": %" PRIu64 " bytes (%.1f MiB) are asked for; %s",
                    name, device->caps.name, size, (double)size / (1 << 20), why);
}

/* Tries the types that will do, the best first: their heaps may be full separately. */
static vkg_result allocate(vkg_device *device, const struct kind_rule *rule, VkDeviceSize size,
                           const char *name, struct buffer *buffer)
{
    VkMemoryRequirements needs;
    device->vk.vkGetBufferMemoryRequirements(device->handle, buffer->handle, &needs);
    if (needs.size > device->caps.max_memory_allocation_size) {
        char why[128];
        snprintf(why, sizeof why, "one allocation may have at most %" PRIu64 " bytes (maxMemoryAllocationSize)",
                 device->caps.max_memory_allocation_size);
        return refuse_size(device, size, name, why);
    }
    VkResult result = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    bool tried = false;
    uint32_t type;
    while ((type = choose_type(&device->memory, needs.memoryTypeBits, rule)) != UINT32_MAX) {
        VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                     .allocationSize = needs.size,
                                     .memoryTypeIndex = type};
        result = device->vk.vkAllocateMemory(device->handle, &info, NULL, &buffer->memory);
        if (result != VK_ERROR_OUT_OF_DEVICE_MEMORY)
            break;
        needs.memoryTypeBits &= ~(1u << type);
        tried = true;
    }
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY)
        return refuse_size(device, size, name,
                           !tried && result == VK_ERROR_OUT_OF_DEVICE_MEMORY
                               ? "the device has no memory of this kind"
                               : "the driver has no more");
    return device_check(device, result, "vkAllocateMemory");
}

uint64_t view_bytes(uint64_t bytes)
{
    return bytes >> 8 & 0xff ? bytes : (bytes | (VIEW_STEP - 1)) + 1;
}

/* Room behind the last view. */
static VkDeviceSize with_margin(VkDeviceSize size)
{
    size += VIEW_STEP;
    return size & (size - 1) ? size : size + VIEW_STEP;
}

static vkg_result build(vkg_device *device, const struct kind_rule *rule, const char *name,
                        struct buffer *buffer)
{
    /* Concurrent sharing costs images their compression and buffers nothing; handing over would be two barriers a run. */
    const uint32_t families[] = {device->queue_family, device->transfer_family};
    const bool shared = rule->both_queues && families[0] != families[1];
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = rule->usage & VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT ? with_margin(buffer->size) : buffer->size,
        .usage = rule->usage,
        .sharingMode = shared ? VK_SHARING_MODE_CONCURRENT : VK_SHARING_MODE_EXCLUSIVE,
        .queueFamilyIndexCount = shared ? 2 : 0,
        .pQueueFamilyIndices = families,
    };
    if (info.size > device->caps.max_buffer_size) {
        char why[128];
        snprintf(why, sizeof why, "one buffer may have at most %" PRIu64 " bytes (maxBufferSize)", device->caps.max_buffer_size);
        return refuse_size(device, buffer->size, name, why);
    }
    VkResult made = device->vk.vkCreateBuffer(device->handle, &info, NULL, &buffer->handle);
    if (made == VK_ERROR_OUT_OF_DEVICE_MEMORY || made == VK_ERROR_OUT_OF_HOST_MEMORY)
        return refuse_size(device, buffer->size, name, "the driver has no more");
    vkg_result result = device_check(device, made, "vkCreateBuffer");
    if (result == VKG_OK)
        result = allocate(device, rule, buffer->size, name, buffer);
    if (result == VKG_OK)
        result = device_check(device,
                              device->vk.vkBindBufferMemory(device->handle, buffer->handle, buffer->memory, 0),
                              "vkBindBufferMemory");
    if (result == VKG_OK && (rule->required & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT))
        result = device_check(
            device,
            device->vk.vkMapMemory(device->handle, buffer->memory, 0, VK_WHOLE_SIZE, 0, &buffer->mapped),
            "vkMapMemory");
    return result;
}

vkg_result buffer_create(vkg_device *device, enum buffer_kind kind, VkDeviceSize size, const char *name,
                         struct buffer *buffer)
{
    const struct kind_rule *rule = &kind_rules[kind];
    name = name ? name : rule->name;
    *buffer = (struct buffer){.size = size};
    vkg_result result = device_usable(device, "buffer_create");
    if (result == VKG_OK && size == 0)
        result = vkg_fail(&device->log, VKG_ERROR_INVALID, "the buffer \"%s\" has no bytes, expected 1 or more",
                          name);
    if (result == VKG_OK)
        result = build(device, rule, name, buffer);
    if (result != VKG_OK) {
        buffer_destroy(device, buffer);
        return result;
    }
    validation_name(device, VK_OBJECT_TYPE_BUFFER, (uint64_t)buffer->handle, name);
    vkg_logf(&device->log, VKG_LOG_DEBUG, "buffer \"%s\": %" PRIu64 " bytes of %s memory", name, size,
             rule->name);
    return VKG_OK;
}

void buffer_destroy(vkg_device *device, struct buffer *buffer)
{
    if (buffer->handle)
        device->vk.vkDestroyBuffer(device->handle, buffer->handle, NULL);
    if (buffer->memory)
        device->vk.vkFreeMemory(device->handle, buffer->memory, NULL); /* unmaps it too */
    *buffer = (struct buffer){0};
}
