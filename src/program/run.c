/* Running: a run is sent segment by segment, and waited for. */
#include "program/arrivals.h"
#include "program/completion.h"
#include "program/pace.h"
#include "program/program.h"

vkg_result run_settle(struct vkg_program *program)
{
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < program->slot_count && result == VKG_OK; i++) {
        struct slot *slot = &program->slots[i];
        if (!slot->arriving)
            continue;
        result = device_submit_after(program->device, slot->arriving, 0, NULL, VK_NULL_HANDLE);
        if (result == VKG_OK)
            slot->arriving = VK_NULL_HANDLE;
    }
    return result == VKG_OK ? device_wait_idle(program->device) : result;
}

vkg_result run_send(struct vkg_program *program, uint32_t slot_index, const struct segment *segments, uint32_t count)
{
    vkg_device *device = program->device;
    struct slot *slot = &program->slots[slot_index];
    /* a semaphore must not be signalled twice, nor inputs overwritten that are still copied */
    vkg_result result = program->torn ? run_settle(program) : VKG_OK;
    if (result != VKG_OK)
        return result;
    completion_start(program, slot_index);
    result = device_check(device, device->vk.vkResetFences(device->handle, 1, &slot->fence), "vkResetFences");
    slot->in_flight = result == VKG_OK; /* from here on, for a message of the device */
    if (result == VKG_OK)
        result = arrivals_send(program, slot_index);
    for (uint32_t s = 0; s < count && result == VKG_OK; s++) {
        VkCommandBuffer commands[3];
        bool last = s + 1 == count;
        uint32_t command_count = 0;
        if (s == 0)
            commands[command_count++] = slot->upload;
        commands[command_count++] = segments[s].commands;
        if (last && program->output_count)
            commands[command_count++] = slot->download;
        result = device_submit_after(device, slot->arriving, command_count, commands, last ? slot->fence : VK_NULL_HANDLE);
        if (result == VKG_OK)
            slot->arriving = VK_NULL_HANDLE;
    }
    program->torn = result != VKG_OK;
    slot->in_flight = result == VKG_OK;
    return result;
}

vkg_result vkg_program_submit(vkg_program *program, uint32_t slot_index)
{
    vkg_device *device = program->device;
    if (slot_index >= program->slot_count || program->slots[slot_index].in_flight)
        return vkg_fail(&device->log, VKG_ERROR_INVALID, "%s: slot %u %s", program->name, slot_index,
                        slot_index >= program->slot_count ? "does not exist" : "is still in flight: wait for it first");
    if (!program->measured)
        return pace_first_run(program, slot_index);
    return run_send(program, slot_index, program->segments, program->segment_count);
}

vkg_result program_submit_commands(struct vkg_program *program, uint32_t count, const VkCommandBuffer *commands)
{
    vkg_device *device = program->device;
    const VkFence fence = program->slots[0].fence;
    vkg_result result = device_check(device, device->vk.vkResetFences(device->handle, 1, &fence), "vkResetFences");
    if (result == VKG_OK)
        result = device_submit(device, count, commands, fence);
    return result == VKG_OK ? device_wait(device, fence) : result;
}

vkg_result vkg_program_wait(vkg_program *program, uint32_t slot_index)
{
    if (slot_index >= program->slot_count)
        return vkg_fail(&program->device->log, VKG_ERROR_INVALID, "%s: there is no slot %u", program->name, slot_index);
    struct slot *slot = &program->slots[slot_index];
    if (!slot->in_flight)
        return VKG_OK;
    if (slot->finished) {
        slot->in_flight = slot->finished = false;
        return VKG_OK;
    }
    vkg_result result = device_wait(program->device, slot->fence);
    slot->in_flight = false;
    program->torn |= result != VKG_OK;
    return result == VKG_OK ? completion_check(program, slot_index) : result;
}

vkg_result vkg_program_run(vkg_program *program)
{
    vkg_result result = vkg_program_submit(program, 0);
    return result == VKG_OK ? vkg_program_wait(program, 0) : result;
}
