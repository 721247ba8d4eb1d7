/* Copies outside of the training loop: checkpoints, initial values, single tensors. */
#include <string.h>

#include "program/state.h"

/* Uploads go through a buffer of at most so many bytes. */
enum { PIECE = 16 << 20 };

/* `from` VK_NULL_HANDLE: the region is filled with `word`. */
static vkg_result run_copy(vkg_device *device, VkBuffer from, VkBuffer to, const VkBufferCopy *region, uint32_t word)
{
    const struct VolkDeviceTable *vk = &device->vk;
    VkCommandPool pool = VK_NULL_HANDLE;
    VkFence fence = VK_NULL_HANDLE;
    VkCommandBuffer commands;
    vkg_result result = device_check(device, vk->vkCreateCommandPool(device->handle, &(VkCommandPoolCreateInfo){
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
        .queueFamilyIndex = device->queue_family}, NULL, &pool), "vkCreateCommandPool");
    if (result == VKG_OK)
        result = device_check(device, vk->vkCreateFence(device->handle, &(VkFenceCreateInfo){
            .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO}, NULL, &fence), "vkCreateFence");
    if (result == VKG_OK)
        result = device_check(device, vk->vkAllocateCommandBuffers(device->handle, &(VkCommandBufferAllocateInfo){
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = pool, .commandBufferCount = 1},
            &commands), "vkAllocateCommandBuffers");
    if (result == VKG_OK)
        result = device_check(device, vk->vkBeginCommandBuffer(commands, &(VkCommandBufferBeginInfo){
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT}), "vkBeginCommandBuffer");
    if (result != VKG_OK)
        goto done;
    const VkMemoryBarrier visible = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT | VK_ACCESS_MEMORY_READ_BIT,
        .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT};
    vk->vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &visible,
                             0, NULL, 0, NULL);
    if (from)
        vk->vkCmdCopyBuffer(commands, from, to, 1, region);
    else
        vk->vkCmdFillBuffer(commands, to, region->dstOffset, region->size, word);
    vk->vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
                             VK_PIPELINE_STAGE_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &visible, 0, NULL, 0,
                             NULL);
    result = device_check(device, vk->vkEndCommandBuffer(commands), "vkEndCommandBuffer");
    if (result == VKG_OK)
        result = device_submit(device, 1, &commands, fence);
    if (result == VKG_OK)
        result = device_wait(device, fence);
done:
    vk->vkDestroyFence(device->handle, fence, NULL);
    vk->vkDestroyCommandPool(device->handle, pool, NULL);
    return result;
}

vkg_result transfer_download(vkg_device *device, const struct buffer *source, uint64_t offset, uint64_t bytes, void *data)
{
    struct buffer staging = {0};
    vkg_result result = buffer_create(device, BUFFER_READBACK, bytes, "download", &staging);
    if (result == VKG_OK)
        result = run_copy(device, source->handle, staging.handle, &(VkBufferCopy){.srcOffset = offset, .size = bytes}, 0);
    if (result == VKG_OK)
        memcpy(data, staging.mapped, bytes);
    buffer_destroy(device, &staging);
    return result;
}

vkg_result transfer_upload(vkg_device *device, const struct buffer *target, uint64_t offset, uint64_t bytes,
                           const void *data)
{
    struct buffer staging = {0};
    vkg_result result = buffer_create(device, BUFFER_UPLOAD, bytes < PIECE ? bytes : PIECE, "upload", &staging);
    for (uint64_t done = 0; done < bytes && result == VKG_OK; done += PIECE) {
        const uint64_t part = bytes - done < PIECE ? bytes - done : PIECE;
        memcpy(staging.mapped, (const unsigned char *)data + done, part);
        result = run_copy(device, staging.handle, target->handle, &(VkBufferCopy){.dstOffset = offset + done, .size = part}, 0);
    }
    buffer_destroy(device, &staging);
    return result;
}

vkg_result transfer_fill(vkg_device *device, const struct buffer *target, uint64_t bytes, uint32_t word)
{
    return run_copy(device, VK_NULL_HANDLE, target->handle, &(VkBufferCopy){.size = bytes}, word);
}
