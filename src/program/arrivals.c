/* The transfer queue's share of a run: one copy, of everything that the host wrote for it. */
#include "program/arrivals.h"

#include "program/commands.h"

vkg_result arrivals_create(struct vkg_program *program)
{
    vkg_device *device = program->device;
    if (!device->uploads_apart || !program->input_count || program->input_bytes < device->apart_from)
        return VKG_OK;
    vkg_result result = buffer_create(device, BUFFER_STAGING, program->upload.size, "arrivals", &program->arrivals);
    return result == VKG_OK ? commands_pool_create(device, device->transfer_family, &program->arrivals_pool) : result;
}

/* Nothing to wait for: the slot's last run is over, or run.c has settled it. */
vkg_result arrivals_record_slot(struct vkg_program *program, uint32_t index)
{
    vkg_device *device = program->device;
    struct slot *slot = &program->slots[index];
    const uint64_t offset = index * program->input_bytes;
    if (!program->arrivals.handle)
        return VKG_OK;
    vkg_result result = device_check(device, device->vk.vkCreateSemaphore(device->handle, &(VkSemaphoreCreateInfo){
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO}, NULL, &slot->arrived), "vkCreateSemaphore");
    if (result == VKG_OK)
        result = commands_begin(device, program->arrivals_pool, &slot->arrival);
    if (result != VKG_OK)
        return result;
    device->vk.vkCmdCopyBuffer(slot->arrival, program->upload.handle, program->arrivals.handle, 1,
                               &(VkBufferCopy){offset, offset, program->input_bytes});
    return commands_end(device, slot->arrival);
}

void arrivals_destroy(struct vkg_program *program)
{
    vkg_device *device = program->device;
    for (uint32_t s = 0; s < program->slot_count; s++)
        device->vk.vkDestroySemaphore(device->handle, program->slots[s].arrived, NULL);
    device->vk.vkDestroyCommandPool(device->handle, program->arrivals_pool, NULL);
    buffer_destroy(device, &program->arrivals);
}

VkBuffer arrivals_buffer(const struct vkg_program *program)
{
    return program->arrivals.handle ? program->arrivals.handle : program->upload.handle;
}

vkg_result arrivals_send(struct vkg_program *program, uint32_t index)
{
    struct slot *slot = &program->slots[index];
    if (!program->arrivals.handle)
        return VKG_OK;
    vkg_result result = device_submit_transfer(program->device, slot->arrival, slot->arrived);
    if (result == VKG_OK)
        slot->arriving = slot->arrived;
    return result;
}
