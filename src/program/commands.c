/* Command buffers of a run: the copies of a slot, and the dispatches, cut into submissions. */
#include "program/commands.h"

#include <stdlib.h>

#include "program/arrivals.h"
#include "program/completion.h"

/* --- pieces --- */

vkg_result commands_pool_create(vkg_device *device, uint32_t queue_family, VkCommandPool *pool)
{
    const VkCommandPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = queue_family};
    return device_check(device, device->vk.vkCreateCommandPool(device->handle, &info, NULL, pool), "vkCreateCommandPool");
}

vkg_result commands_begin(vkg_device *device, VkCommandPool pool, VkCommandBuffer *commands)
{
    const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                              .commandPool = pool, .commandBufferCount = 1};
    vkg_result result = device_check(device, device->vk.vkAllocateCommandBuffers(device->handle, &info, commands),
                                     "vkAllocateCommandBuffers");
    if (result != VKG_OK)
        return result;
    const VkCommandBufferBeginInfo start = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT};
    return device_check(device, device->vk.vkBeginCommandBuffer(*commands, &start), "vkBeginCommandBuffer");
}

vkg_result commands_end(vkg_device *device, VkCommandBuffer commands)
{
    return device_check(device, device->vk.vkEndCommandBuffer(commands), "vkEndCommandBuffer");
}

void commands_barrier(vkg_device *device, VkCommandBuffer commands, VkPipelineStageFlags from, VkPipelineStageFlags to)
{
    const VkMemoryBarrier memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = (from & VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT ? VK_ACCESS_SHADER_WRITE_BIT : 0) |
                         (from & VK_PIPELINE_STAGE_TRANSFER_BIT ? VK_ACCESS_TRANSFER_WRITE_BIT : 0),
        .dstAccessMask =
            (to & VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT ? VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT : 0) |
            (to & VK_PIPELINE_STAGE_TRANSFER_BIT ? VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT : 0) |
            (to & VK_PIPELINE_STAGE_HOST_BIT ? VK_ACCESS_HOST_READ_BIT : 0)};
    device->vk.vkCmdPipelineBarrier(commands, from, to, 0, 1, &memory, 0, NULL, 0, NULL);
}

void commands_dispatch(const struct vkg_program *program, VkCommandBuffer commands, uint32_t index)
{
    const struct VolkDeviceTable *vk = &program->device->vk;
    const struct prepared_dispatch *dispatch = &program->dispatches[index];
    VkPipelineLayout layout = dispatch->pipeline->layout;
    vk->vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, dispatch->pipeline->handle);
    vk->vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &dispatch->set, 0, NULL);
    if (dispatch->push_bytes)
        vk->vkCmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, dispatch->push_bytes, dispatch->push);
    vk->vkCmdDispatch(commands, dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]);
}

/* --- slots --- */

static void copy_ports(const struct vkg_program *program, const struct lowering *lowering, VkCommandBuffer commands,
                       uint32_t slot, bool in)
{
    const struct port *ports = in ? program->inputs : program->outputs;
    uint32_t count = in ? program->input_count : program->output_count;
    uint64_t slot_offset = slot * (in ? program->input_bytes : program->output_bytes);
    for (uint32_t i = 0; i < count; i++) {
        const struct storage *storage = &lowering->storages[ports[i].placement.storage];
        uint64_t device_offset = storage->address + ports[i].placement.offset;
        uint64_t host_offset = slot_offset + ports[i].offset;
        VkBuffer device_buffer = program_buffer(program, storage);
        VkBufferCopy region = {in ? host_offset : device_offset, in ? device_offset : host_offset, ports[i].bytes};
        program->device->vk.vkCmdCopyBuffer(commands, in ? arrivals_buffer(program) : device_buffer,
                                            in ? device_buffer : program->readback.handle, 1, &region);
    }
}

vkg_result commands_record_slot(struct vkg_program *program, const struct lowering *lowering, uint32_t index)
{
    vkg_device *device = program->device;
    struct slot *slot = &program->slots[index];
    vkg_result result = commands_begin(device, program->command_pool, &slot->upload);
    if (result != VKG_OK)
        return result;
    commands_barrier(device, slot->upload, COMPUTE | TRANSFER, TRANSFER);
    completion_record_begin(program, slot->upload, index);
    copy_ports(program, lowering, slot->upload, index, true);
    result = commands_end(device, slot->upload);
    if (result == VKG_OK)
        result = commands_begin(device, program->command_pool, &slot->download);
    if (result != VKG_OK)
        return result;
    commands_barrier(device, slot->download, COMPUTE | TRANSFER, TRANSFER);
    copy_ports(program, lowering, slot->download, index, false);
    commands_barrier(device, slot->download, TRANSFER, VK_PIPELINE_STAGE_HOST_BIT);
    result = commands_end(device, slot->download);
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    return result == VKG_OK ? device_check(device, device->vk.vkCreateFence(device->handle, &fence, NULL, &slot->fence),
                                           "vkCreateFence")
                            : result;
}

/* --- segments --- */

static vkg_result record_segment(struct vkg_program *program, uint32_t index)
{
    struct segment *segment = &program->segments[index];
    vkg_device *device = program->device;
    vkg_result result = commands_begin(device, program->command_pool, &segment->commands);
    if (result != VKG_OK)
        return result;
    commands_barrier(device, segment->commands, COMPUTE | TRANSFER, COMPUTE | TRANSFER);
    for (uint32_t i = segment->first; i < segment->end; i++) {
        if (i > segment->first && program->dispatches[i].barrier)
            commands_barrier(device, segment->commands, COMPUTE, COMPUTE);
        commands_dispatch(program, segment->commands, i);
    }
    completion_record_end(program, segment->commands, index);
    return commands_end(device, segment->commands);
}

/* The end of the segment that begins with dispatch `first`. */
static uint32_t segment_end(const struct vkg_program *program, uint32_t first)
{
    uint32_t i = first;
    double seconds = 0;
    while (i < program->stats.dispatches &&
           (i == first || seconds + program->dispatches[i].seconds <= program->submission_seconds))
        seconds += program->dispatches[i++].seconds;
    return i;
}

uint32_t commands_count_segments(const struct vkg_program *program)
{
    uint32_t count = 0, i = 0;
    do {
        i = segment_end(program, i);
        count++;
    } while (i < program->stats.dispatches);
    return count;
}

static void free_segments(struct vkg_program *program)
{
    vkg_device *device = program->device;
    for (uint32_t s = 0; s < program->segment_count; s++)
        device->vk.vkFreeCommandBuffers(device->handle, program->command_pool, 1, &program->segments[s].commands);
    program->segment_count = 0;
}

vkg_result commands_record_segments(struct vkg_program *program)
{
    uint32_t first = 0;
    vkg_result result = VKG_OK;
    if (!program->segments)
        program->segments = calloc(program->stats.dispatches + 1, sizeof *program->segments);
    if (!program->segments)
        return vkg_fail(&program->device->log, VKG_ERROR_OUT_OF_MEMORY, "recording: out of host memory");
    free_segments(program);
    do {
        uint32_t s = program->segment_count++, end = segment_end(program, first);
        program->segments[s] = (struct segment){.first = first, .end = end};
        result = record_segment(program, s);
        first = end;
    } while (result == VKG_OK && first < program->stats.dispatches);
    if (result != VKG_OK)
        free_segments(program); /* a part of them would be a part of a run */
    program->stats.submissions = program->segment_count;
    return result;
}

vkg_result commands_want_segments(struct vkg_program *program)
{
    return program->segment_count ? VKG_OK : commands_record_segments(program);
}
