/* Recording: every pipeline, view, descriptor set and command buffer of a program, made once. */
#include <stdlib.h>
#include <string.h>

#include "program/program.h"

/* --- hazards --- */

/* A range of memory touched since the last barrier. */
struct access {
    VkBuffer buffer;
    uint64_t first, end;
    bool written;
};

struct recorder {
    struct vkg_program *program;
    const struct lowering *lowering;
    vkg_device *device;
    struct access *accesses;
    size_t access_count, access_capacity;
    VkDescriptorSet *sets;
    const struct pipeline **pipelines;
    struct view_key *keys; /* of program->views */
};

static VkBuffer storage_buffer(const struct recorder *r, const struct storage *storage)
{
    return storage->kind == STORAGE_STATE ? r->program->state->buffer.handle
                                          : r->program->blocks[storage->block].handle;
}

static struct access access_of(const struct recorder *r, const struct binding *binding)
{
    const struct storage *storage = &r->lowering->storages[binding->storage];
    uint64_t first = storage->address + binding->offset;
    return (struct access){storage_buffer(r, storage), first, first + binding->bytes, binding->written};
}

static bool conflicts(const struct recorder *r, const struct access *access)
{
    for (size_t i = 0; i < r->access_count; i++) {
        const struct access *earlier = &r->accesses[i];
        if (earlier->buffer == access->buffer && (earlier->written || access->written) &&
            earlier->first < access->end && access->first < earlier->end)
            return true;
    }
    return false;
}

/* A barrier only where this dispatch touches what an earlier one wrote, or writes what one read. */
static bool needs_barrier(const struct recorder *r, const struct dispatch *dispatch)
{
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        struct access access = access_of(r, &dispatch->bindings[b]);
        if (conflicts(r, &access))
            return true;
    }
    return false;
}

static vkg_result note_accesses(struct recorder *r, const struct dispatch *dispatch)
{
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        if (!array_reserve((void **)&r->accesses, &r->access_capacity, r->access_count, sizeof *r->accesses))
            return vkg_fail(&r->device->log, VKG_ERROR_OUT_OF_MEMORY, "recording: out of host memory");
        r->accesses[r->access_count++] = access_of(r, &dispatch->bindings[b]);
    }
    return VKG_OK;
}

static void barrier(vkg_device *device, VkCommandBuffer commands, VkPipelineStageFlags from, VkPipelineStageFlags to)
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

enum { COMPUTE = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, TRANSFER = VK_PIPELINE_STAGE_TRANSFER_BIT };

/* --- views and descriptor sets --- */

struct view_key {
    VkBuffer buffer;
    uint64_t offset, range;
    VkFormat format;
};

static VkFormat view_format(enum binding_format format)
{
    return format == FORMAT_TEXEL_VEC4  ? VK_FORMAT_R32G32B32A32_SFLOAT
           : format == FORMAT_TEXEL_INT ? VK_FORMAT_R32_SINT
                                        : VK_FORMAT_R32_SFLOAT;
}

static vkg_result find_view(struct recorder *r, const struct binding *binding, VkBufferView *view)
{
    struct vkg_program *program = r->program;
    const struct access access = access_of(r, binding);
    const struct view_key key = {access.buffer, access.first, access.end - access.first, view_format(binding->format)};
    for (size_t i = 0; i < program->view_count; i++)
        if (r->keys[i].buffer == key.buffer && r->keys[i].offset == key.offset && r->keys[i].range == key.range &&
            r->keys[i].format == key.format) {
            *view = program->views[i];
            return VKG_OK;
        }
    const VkBufferViewCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO, .buffer = key.buffer,
                                         .format = key.format, .offset = key.offset, .range = key.range};
    vkg_result result = device_check(r->device, r->device->vk.vkCreateBufferView(r->device->handle, &info, NULL, view),
                                     "vkCreateBufferView");
    if (result == VKG_OK) {
        r->keys[program->view_count] = key;
        program->views[program->view_count++] = *view;
    }
    return result;
}

static vkg_result make_views_room(struct recorder *r)
{
    size_t texels = 0;
    for (size_t i = 0; i < r->lowering->dispatch_count; i++)
        for (uint32_t b = 0; b < r->lowering->dispatches[i].binding_count; b++)
            texels += r->lowering->dispatches[i].bindings[b].format != FORMAT_STORAGE;
    r->program->views = calloc(texels + 1, sizeof *r->program->views);
    r->keys = calloc(texels + 1, sizeof *r->keys);
    return r->program->views && r->keys ? VKG_OK
                                        : vkg_fail(&r->device->log, VKG_ERROR_OUT_OF_MEMORY, "recording: out of host memory");
}

static vkg_result make_descriptor_pool(struct recorder *r)
{
    VkDescriptorPoolSize sizes[2] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1}, {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, 1}};
    for (size_t i = 0; i < r->lowering->dispatch_count; i++)
        for (uint32_t b = 0; b < r->lowering->dispatches[i].binding_count; b++)
            sizes[r->lowering->dispatches[i].bindings[b].format != FORMAT_STORAGE].descriptorCount++;
    const VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = (uint32_t)r->lowering->dispatch_count + 1,
        .poolSizeCount = 2, .pPoolSizes = sizes};
    return device_check(r->device, r->device->vk.vkCreateDescriptorPool(r->device->handle, &info, NULL,
                                                                        &r->program->descriptor_pool),
                        "vkCreateDescriptorPool");
}

static vkg_result write_set(struct recorder *r, const struct dispatch *dispatch, VkDescriptorSet set)
{
    VkWriteDescriptorSet writes[PIPELINE_MAX_BINDINGS];
    VkDescriptorBufferInfo buffers[PIPELINE_MAX_BINDINGS];
    VkBufferView views[PIPELINE_MAX_BINDINGS];
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        const struct binding *binding = &dispatch->bindings[b];
        struct access access = access_of(r, binding);
        bool texel = binding->format != FORMAT_STORAGE;
        writes[b] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = set, .dstBinding = b, .descriptorCount = 1,
            .descriptorType = texel ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &buffers[b], .pTexelBufferView = &views[b]};
        buffers[b] = (VkDescriptorBufferInfo){access.buffer, access.first, access.end - access.first};
        vkg_result result = texel ? find_view(r, binding, &views[b]) : VKG_OK;
        if (result != VKG_OK)
            return result;
    }
    r->device->vk.vkUpdateDescriptorSets(r->device->handle, dispatch->binding_count, writes, 0, NULL);
    return VKG_OK;
}

static vkg_result find_pipeline(struct recorder *r, const struct dispatch *dispatch, const struct pipeline **pipeline)
{
    struct pipeline_desc desc = {
        .name = dispatch->label, .spirv = dispatch->shader->spirv, .spirv_bytes = dispatch->shader->spirv_bytes,
        .binding_count = dispatch->binding_count, .constant_count = dispatch->constant_count,
        .subgroup_size = dispatch->subgroup_size};
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        desc.bindings[b] = dispatch->bindings[b].format == FORMAT_STORAGE ? BINDING_STORAGE : BINDING_TEXEL;
    memcpy(desc.constants, dispatch->constants, sizeof desc.constants);
    return pipeline_get(r->device, &desc, pipeline);
}

static vkg_result prepare_dispatch(struct recorder *r, size_t i)
{
    const struct dispatch *dispatch = &r->lowering->dispatches[i];
    vkg_result result = find_pipeline(r, dispatch, &r->pipelines[i]);
    if (result != VKG_OK)
        return result;
    const VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO, .descriptorPool = r->program->descriptor_pool,
        .descriptorSetCount = 1, .pSetLayouts = &r->pipelines[i]->set_layout};
    result = device_check(r->device, r->device->vk.vkAllocateDescriptorSets(r->device->handle, &info, &r->sets[i]),
                          "vkAllocateDescriptorSets");
    return result == VKG_OK ? write_set(r, dispatch, r->sets[i]) : result;
}

/* --- command buffers --- */

static vkg_result begin(struct recorder *r, VkCommandBuffer *commands)
{
    const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                              .commandPool = r->program->command_pool, .commandBufferCount = 1};
    vkg_result result = device_check(r->device, r->device->vk.vkAllocateCommandBuffers(r->device->handle, &info, commands),
                                     "vkAllocateCommandBuffers");
    if (result != VKG_OK)
        return result;
    /* the same commands may be queued by several runs at once */
    const VkCommandBufferBeginInfo start = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT};
    return device_check(r->device, r->device->vk.vkBeginCommandBuffer(*commands, &start), "vkBeginCommandBuffer");
}

static vkg_result end(struct recorder *r, VkCommandBuffer commands)
{
    return device_check(r->device, r->device->vk.vkEndCommandBuffer(commands), "vkEndCommandBuffer");
}

static void copy_ports(struct recorder *r, VkCommandBuffer commands, const struct port *ports, uint32_t count,
                       uint64_t slot_offset, bool in)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct storage *storage = &r->lowering->storages[ports[i].placement.storage];
        uint64_t device_offset = storage->address + ports[i].placement.offset;
        uint64_t host_offset = slot_offset + ports[i].offset;
        VkBuffer device_buffer = storage_buffer(r, storage);
        VkBufferCopy region = {in ? host_offset : device_offset, in ? device_offset : host_offset, ports[i].bytes};
        r->device->vk.vkCmdCopyBuffer(commands, in ? r->program->upload.handle : device_buffer,
                                      in ? device_buffer : r->program->readback.handle, 1, &region);
    }
}

static vkg_result record_slot(struct recorder *r, uint32_t index)
{
    struct vkg_program *program = r->program;
    struct slot *slot = &program->slots[index];
    vkg_result result = begin(r, &slot->upload);
    if (result != VKG_OK)
        return result;
    barrier(r->device, slot->upload, COMPUTE | TRANSFER, TRANSFER);
    copy_ports(r, slot->upload, program->inputs, program->input_count, index * program->input_bytes, true);
    result = end(r, slot->upload);
    if (result == VKG_OK)
        result = begin(r, &slot->download);
    if (result != VKG_OK)
        return result;
    barrier(r->device, slot->download, COMPUTE | TRANSFER, TRANSFER);
    copy_ports(r, slot->download, program->outputs, program->output_count, index * program->output_bytes, false);
    barrier(r->device, slot->download, TRANSFER, VK_PIPELINE_STAGE_HOST_BIT);
    result = end(r, slot->download);
    if (result == VKG_OK)
        result = device_check(r->device, r->device->vk.vkCreateFence(r->device->handle, &(VkFenceCreateInfo){
            .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO}, NULL, &slot->fence), "vkCreateFence");
    return result;
}

static vkg_result record_dispatch(struct recorder *r, VkCommandBuffer commands, size_t i)
{
    const struct VolkDeviceTable *vk = &r->device->vk;
    const struct dispatch *dispatch = &r->lowering->dispatches[i];
    if (needs_barrier(r, dispatch)) {
        barrier(r->device, commands, COMPUTE, COMPUTE);
        r->access_count = 0;
        r->program->stats.barriers++;
    }
    vk->vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, r->pipelines[i]->handle);
    vk->vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, r->pipelines[i]->layout, 0, 1, &r->sets[i], 0,
                                NULL);
    if (dispatch->push_bytes)
        vk->vkCmdPushConstants(commands, r->pipelines[i]->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, dispatch->push_bytes,
                               dispatch->push);
    vk->vkCmdDispatch(commands, dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]);
    return note_accesses(r, dispatch);
}

static double dispatch_bytes(const struct dispatch *dispatch)
{
    double bytes = 0;
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        bytes += (double)dispatch->bindings[b].bytes;
    return bytes;
}

/* Memory traffic counts as work too: a byte as ten operations, about what devices are built for. */
static double dispatch_cost(const struct dispatch *dispatch)
{
    return dispatch->flops + 10 * dispatch_bytes(dispatch);
}

/* The run, cut before the dispatch that would take a submission past its share of work: drivers cancel, or a
 * desktop stops for, submissions that run for seconds. */
static vkg_result record_segments(struct recorder *r, double submission_cost)
{
    struct vkg_program *program = r->program;
    const struct lowering *lowering = r->lowering;
    program->segments = calloc(lowering->dispatch_count + 1, sizeof *program->segments);
    program->submission = calloc(3, sizeof *program->submission);
    if (!program->segments || !program->submission)
        return vkg_fail(&r->device->log, VKG_ERROR_OUT_OF_MEMORY, "recording: out of host memory");
    vkg_result result = VKG_OK;
    size_t i = 0;
    do {
        VkCommandBuffer commands;
        double cost = 0;
        result = begin(r, &commands);
        if (result != VKG_OK)
            return result;
        program->segments[program->segment_count++] = commands;
        barrier(r->device, commands, COMPUTE | TRANSFER, COMPUTE | TRANSFER);
        r->access_count = 0;
        do {
            if (i < lowering->dispatch_count) {
                cost += dispatch_cost(&lowering->dispatches[i]);
                result = record_dispatch(r, commands, i++);
            }
        } while (result == VKG_OK && i < lowering->dispatch_count &&
                 cost + dispatch_cost(&lowering->dispatches[i]) <= submission_cost);
        if (result == VKG_OK)
            result = end(r, commands);
    } while (result == VKG_OK && i < lowering->dispatch_count);
    return result;
}

static vkg_result keep_infos(struct vkg_program *program, const struct lowering *lowering)
{
    program->infos = calloc(lowering->dispatch_count + 1, sizeof *program->infos);
    if (!program->infos)
        return vkg_fail(&program->device->log, VKG_ERROR_OUT_OF_MEMORY, "recording: out of host memory");
    for (size_t i = 0; i < lowering->dispatch_count; i++) {
        const struct dispatch *dispatch = &lowering->dispatches[i];
        program->infos[i] = (struct dispatch_info){.label = dispatch->label, .flops = dispatch->flops,
                                                   .bytes = dispatch_bytes(dispatch)};
        memcpy(program->infos[i].groups, dispatch->groups, sizeof dispatch->groups);
    }
    return VKG_OK;
}

static uint32_t count_pipelines(const struct recorder *r)
{
    uint32_t count = 0;
    for (size_t i = 0; i < r->lowering->dispatch_count; i++) {
        bool known = false;
        for (size_t k = 0; k < i && !known; k++)
            known = r->pipelines[k] == r->pipelines[i];
        count += !known;
    }
    return count;
}

vkg_result record_program(struct vkg_program *program, const struct lowering *lowering, double submission_cost)
{
    struct recorder r = {.program = program, .lowering = lowering, .device = program->device};
    vkg_device *device = program->device;
    r.sets = calloc(lowering->dispatch_count + 1, sizeof *r.sets);
    r.pipelines = calloc(lowering->dispatch_count + 1, sizeof *r.pipelines);
    vkg_result result = r.sets && r.pipelines ? make_views_room(&r)
                                              : vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "recording: out of host memory");
    if (result == VKG_OK)
        result = device_check(device, device->vk.vkCreateCommandPool(device->handle, &(VkCommandPoolCreateInfo){
            .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .queueFamilyIndex = device->queue_family}, NULL,
            &program->command_pool), "vkCreateCommandPool");
    if (result == VKG_OK)
        result = make_descriptor_pool(&r);
    for (size_t i = 0; i < lowering->dispatch_count && result == VKG_OK; i++)
        result = prepare_dispatch(&r, i);
    if (result == VKG_OK)
        result = record_segments(&r, submission_cost);
    for (uint32_t s = 0; s < program->slot_count && result == VKG_OK; s++)
        result = record_slot(&r, s);
    if (result == VKG_OK)
        result = keep_infos(program, lowering);
    if (result == VKG_OK) {
        program->stats.dispatches = (uint32_t)lowering->dispatch_count;
        program->stats.submissions = program->segment_count;
        program->stats.pipelines = count_pipelines(&r);
    }
    free(r.sets);
    free(r.pipelines);
    free(r.keys);
    free(r.accesses);
    return result;
}

void record_destroy(struct vkg_program *program)
{
    const struct VolkDeviceTable *vk = &program->device->vk;
    VkDevice device = program->device->handle;
    for (uint32_t s = 0; s < program->slot_count && program->slots; s++)
        vk->vkDestroyFence(device, program->slots[s].fence, NULL);
    for (size_t i = 0; i < program->view_count; i++)
        vk->vkDestroyBufferView(device, program->views[i], NULL);
    vk->vkDestroyDescriptorPool(device, program->descriptor_pool, NULL);
    vk->vkDestroyCommandPool(device, program->command_pool, NULL);
    free(program->infos);
    free(program->views);
    free(program->segments);
    free(program->submission);
}
