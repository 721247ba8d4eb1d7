/* Every pipeline, view and descriptor set of a program, made once; then its commands. */
#include <stdlib.h>
#include <string.h>

#include "program/arrivals.h"
#include "program/commands.h"
#include "program/hazards.h"
#include "program/pace.h"
#include "program/program.h"

struct view_key {
    VkBuffer buffer;
    uint64_t offset, range;
    VkFormat format;
};

struct recorder {
    struct vkg_program *program;
    const struct lowering *lowering;
    vkg_device *device;
    struct view_key *keys; /* of program->views */
};

/* What a binding means on the device. */
struct range {
    VkBuffer buffer;
    uint64_t first, bytes;
};

static struct range range_of(const struct recorder *r, const struct binding *binding)
{
    const struct storage *storage = &r->lowering->storages[binding->storage];
    return (struct range){program_buffer(r->program, storage), storage->address + binding->offset, binding->bytes};
}

/* --- views and descriptor sets --- */

static const struct texel {
    VkFormat format;
    uint32_t bytes;
} texels[] = {
    [FORMAT_TEXEL_VEC4] = {VK_FORMAT_R32G32B32A32_SFLOAT, 16}, [FORMAT_TEXEL_SCALAR] = {VK_FORMAT_R32_SFLOAT, 4},
    [FORMAT_TEXEL_VEC4_HALF] = {VK_FORMAT_R16G16B16A16_SFLOAT, 8}, [FORMAT_TEXEL_SCALAR_HALF] = {VK_FORMAT_R16_SFLOAT, 2},
    [FORMAT_TEXEL_INT] = {VK_FORMAT_R32_SINT, 4}};

/* As view_bytes says, where the device lets a view show so much. */
static struct view_key key_of(const struct recorder *r, const struct binding *binding)
{
    const struct range range = range_of(r, binding);
    const struct texel texel = texels[binding->format];
    const uint64_t most = r->device->caps.max_texel_buffer_elements * (uint64_t)texel.bytes, shown = view_bytes(range.bytes);
    return (struct view_key){range.buffer, range.first, shown <= most ? shown : range.bytes, texel.format};
}

static vkg_result find_view(struct recorder *r, const struct binding *binding, VkBufferView *view)
{
    struct vkg_program *program = r->program;
    const struct view_key key = key_of(r, binding);
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
    size_t views = 0;
    for (size_t i = 0; i < r->lowering->dispatch_count; i++)
        for (uint32_t b = 0; b < r->lowering->dispatches[i].binding_count; b++)
            views += r->lowering->dispatches[i].bindings[b].format != FORMAT_STORAGE;
    r->program->views = calloc(views + 1, sizeof *r->program->views);
    r->keys = calloc(views + 1, sizeof *r->keys);
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
        const struct range range = range_of(r, binding);
        bool texel = binding->format != FORMAT_STORAGE;
        writes[b] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = set, .dstBinding = b, .descriptorCount = 1,
            .descriptorType = texel ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &buffers[b], .pTexelBufferView = &views[b]};
        buffers[b] = (VkDescriptorBufferInfo){range.buffer, range.first, range.bytes};
        vkg_result result = texel ? find_view(r, binding, &views[b]) : VKG_OK;
        if (result != VKG_OK)
            return result;
    }
    r->device->vk.vkUpdateDescriptorSets(r->device->handle, dispatch->binding_count, writes, 0, NULL);
    return VKG_OK;
}

static struct pipeline_desc describe_pipeline(const struct dispatch *dispatch)
{
    struct pipeline_desc desc = {
        .name = dispatch->label, .spirv = dispatch->shader->spirv, .spirv_bytes = dispatch->shader->spirv_bytes,
        .binding_count = dispatch->binding_count, .constant_count = dispatch->constant_count,
        .subgroup_size = dispatch->subgroup_size};
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        desc.bindings[b] = dispatch->bindings[b].format == FORMAT_STORAGE ? BINDING_STORAGE : BINDING_TEXEL;
    memcpy(desc.constants, dispatch->constants, sizeof desc.constants);
    return desc;
}

vkg_result record_want_pipelines(const struct lowering *lowering)
{
    vkg_result result = shader_cache_compile(lowering->shaders);
    for (size_t i = 0; i < lowering->dispatch_count && result == VKG_OK; i++) {
        const struct pipeline_desc desc = describe_pipeline(&lowering->dispatches[i]);
        result = pipelines_want(lowering->device, &desc);
    }
    return result;
}

/* What a dispatch reads and writes, each byte once. */
static double passed_bytes(const struct dispatch *dispatch)
{
    double bytes = 0;
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        const struct binding *binding = &dispatch->bindings[b];
        const bool in_part = !binding->written && dispatch->most_read && dispatch->most_read < binding->bytes;
        bytes += (double)(in_part ? dispatch->most_read : binding->bytes);
    }
    return bytes;
}

static vkg_result prepare_dispatch(struct recorder *r, size_t i)
{
    const struct dispatch *dispatch = &r->lowering->dispatches[i];
    struct prepared_dispatch *prepared = &r->program->dispatches[i];
    prepared->label = dispatch->label;
    prepared->flops = dispatch->flops;
    prepared->bytes = passed_bytes(dispatch);
    prepared->push_bytes = dispatch->push_bytes;
    memcpy(prepared->groups, dispatch->groups, sizeof dispatch->groups);
    memcpy(prepared->push, dispatch->push, dispatch->push_bytes);
    const struct pipeline_desc desc = describe_pipeline(dispatch);
    vkg_result result = pipeline_get(r->device, &desc, &prepared->pipeline);
    if (result != VKG_OK)
        return result;
    const VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO, .descriptorPool = r->program->descriptor_pool,
        .descriptorSetCount = 1, .pSetLayouts = &prepared->pipeline->set_layout};
    result = device_check(r->device, r->device->vk.vkAllocateDescriptorSets(r->device->handle, &info, &prepared->set),
                          "vkAllocateDescriptorSets");
    return result == VKG_OK ? write_set(r, dispatch, prepared->set) : result;
}

static uint32_t count_pipelines(const struct vkg_program *program)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < program->stats.dispatches; i++) {
        bool known = false;
        for (uint32_t k = 0; k < i && !known; k++)
            known = program->dispatches[k].pipeline == program->dispatches[i].pipeline;
        count += !known;
    }
    return count;
}

static vkg_result prepare_dispatches(struct recorder *r)
{
    struct vkg_program *program = r->program;
    program->dispatches = calloc(r->lowering->dispatch_count + 1, sizeof *program->dispatches);
    if (!program->dispatches)
        return vkg_fail(&r->device->log, VKG_ERROR_OUT_OF_MEMORY, "recording: out of host memory");
    vkg_result result = make_views_room(r);
    if (result == VKG_OK)
        result = make_descriptor_pool(r);
    if (result == VKG_OK)
        result = pipelines_build_pays(r->device) ? record_want_pipelines(r->lowering) : shader_cache_compile(r->lowering->shaders);
    if (result == VKG_OK)
        pipelines_build(r->device);
    for (size_t i = 0; i < r->lowering->dispatch_count && result == VKG_OK; i++)
        result = prepare_dispatch(r, i);
    program->stats.dispatches = (uint32_t)r->lowering->dispatch_count;
    return result == VKG_OK ? hazards_find(r->lowering, program->dispatches, &program->stats.barriers) : result;
}

vkg_result record_program(struct vkg_program *program, const struct lowering *lowering)
{
    struct recorder r = {.program = program, .lowering = lowering, .device = program->device};
    vkg_result result = prepare_dispatches(&r);
    free(r.keys);
    if (result == VKG_OK)
        result = commands_pool_create(program->device, program->device->queue_family, &program->command_pool);
    if (result == VKG_OK) {
        pace_estimate(program);
        result = commands_record_segments(program);
    }
    for (uint32_t s = 0; s < program->slot_count && result == VKG_OK; s++) {
        result = arrivals_record_slot(program, s);
        if (result == VKG_OK)
            result = commands_record_slot(program, lowering, s);
    }
    program->stats.pipelines = count_pipelines(program);
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
    free(program->dispatches);
    free(program->views);
    free(program->segments);
}
