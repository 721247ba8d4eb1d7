/* The queues: sending work and waiting for it. */
#include <stdio.h>

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

/* An adopted device has one queue, whatever it is used for: the lock is for both. */
static vkg_result submit(vkg_device *device, VkQueue queue, const VkSubmitInfo *info, VkFence fence)
{
    vkg_result usable = device_usable(device, "device_submit");
    if (usable != VKG_OK)
        return usable;
    lock_queue(device);
    VkResult result = device->vk.vkQueueSubmit(queue, 1, info, fence);
    unlock_queue(device);
    return device_check(device, result, "vkQueueSubmit");
}

vkg_result device_submit_after(vkg_device *device, VkSemaphore arrived, uint32_t count, const VkCommandBuffer *commands,
                               VkFence fence)
{
    const VkPipelineStageFlags copies = VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .waitSemaphoreCount = arrived != VK_NULL_HANDLE,
                               .pWaitSemaphores = &arrived,
                               .pWaitDstStageMask = &copies,
                               .commandBufferCount = count,
                               .pCommandBuffers = commands};
    return submit(device, device->queue, &info, fence);
}

vkg_result device_submit(vkg_device *device, uint32_t count, const VkCommandBuffer *commands, VkFence fence)
{
    return device_submit_after(device, VK_NULL_HANDLE, count, commands, fence);
}

vkg_result device_submit_transfer(vkg_device *device, VkCommandBuffer commands, VkSemaphore arrived)
{
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &commands,
                               .signalSemaphoreCount = 1,
                               .pSignalSemaphores = &arrived};
    return submit(device, device->transfer_queue, &info, VK_NULL_HANDLE);
}

static uint64_t progress(const vkg_device *device)
{
    uint64_t sum = 0;
    for (const struct device_watch *watch = device->watches; watch; watch = watch->next)
        sum += watch->progress(watch->user);
    return sum;
}

/* Submissions are made to last a tenth of a second. Nothing done in a minute is a device that hangs; a processor may be
 * slowed down by tools that watch it, and cannot hang alone. */
static double stall_seconds(const vkg_device *device)
{
    if (device->stall_seconds > 0)
        return device->stall_seconds;
    return device->caps.type == VKG_DEVICE_CPU ? 1800 : 60;
}

vkg_result device_wait(vkg_device *device, VkFence fence)
{
    static const uint64_t SLICE = 1000000000; /* one second, in nanoseconds */
    vkg_result usable = device_usable(device, "device_wait");
    if (usable != VKG_OK)
        return usable;
    uint64_t before = progress(device);
    double still = 0;
    VkResult result;
    while ((result = device->vk.vkWaitForFences(device->handle, 1, &fence, VK_TRUE, SLICE)) == VK_TIMEOUT) {
        uint64_t now = progress(device);
        still = now == before ? still + 1e-9 * (double)SLICE : 0;
        before = now;
        if (still >= stall_seconds(device)) {
            char why[96];
            snprintf(why, sizeof why, "nothing that was sent completed in %.0f seconds", still);
            return device_lose(device, why, NULL);
        }
    }
    return device_check(device, result, "vkWaitForFences");
}

/* Not vkQueueWaitIdle, which has no bound. */
vkg_result device_wait_idle(vkg_device *device)
{
    vkg_result result = device_usable(device, "device_wait_idle");
    if (result == VKG_OK && !device->idle)
        result = device_check(device, device->vk.vkCreateFence(device->handle, &(VkFenceCreateInfo){
            .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO}, NULL, &device->idle), "vkCreateFence");
    if (result == VKG_OK)
        result = device_check(device, device->vk.vkResetFences(device->handle, 1, &device->idle), "vkResetFences");
    if (result == VKG_OK)
        result = device_submit(device, 0, NULL, device->idle);
    return result == VKG_OK ? device_wait(device, device->idle) : result;
}
