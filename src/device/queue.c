/* The queue: sending work and waiting for it. */
#include "base/log.h"
#include "device/internal.h"

static void lock_queue(vkg_device *device)
{
    if (device->lock_queue)
        device->lock_queue(device->lock_user);
}

static void unlock_queue(vkg_device *device)
{
    if (device->unlock_queue)
        device->unlock_queue(device->lock_user);
}

vkg_result device_submit(vkg_device *device, uint32_t count, const VkCommandBuffer *commands, VkFence fence)
{
    vkg_result usable = device_usable(device, "device_submit");
    if (usable != VKG_OK)
        return usable;
    VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = count, .pCommandBuffers = commands};
    lock_queue(device);
    VkResult result = device->vk.vkQueueSubmit(device->queue, 1, &info, fence);
    unlock_queue(device);
    return device_check(device, result, "vkQueueSubmit");
}

vkg_result device_wait(vkg_device *device, VkFence fence)
{
    static const uint64_t SLICE = 1000000000; /* one second, in nanoseconds */
    vkg_result usable = device_usable(device, "device_wait");
    if (usable != VKG_OK)
        return usable;
    VkResult result;
    do
        result = device->vk.vkWaitForFences(device->handle, 1, &fence, VK_TRUE, SLICE);
    while (result == VK_TIMEOUT);
    return device_check(device, result, "vkWaitForFences");
}

vkg_result device_wait_idle(vkg_device *device)
{
    vkg_result usable = device_usable(device, "device_wait_idle");
    if (usable != VKG_OK)
        return usable;
    lock_queue(device);
    VkResult result = device->vk.vkQueueWaitIdle(device->queue);
    unlock_queue(device);
    return device_check(device, result, "vkQueueWaitIdle");
}
