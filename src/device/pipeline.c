/* Compute pipelines: built once a (SPIR-V, bindings, constants), found again by its hash. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/arena.h"
#include "base/log.h"
#include "base/parallel.h"
#include "device/internal.h"

struct entry {
    struct pipeline pipeline; /* its handle is NULL until it is built */
    uint64_t hash;
    struct pipeline_desc desc; /* its spirv is our copy */
};

struct pipeline_cache {
    VkPipelineCache driver; /* what the driver compiled, in this run and, from the file, in earlier ones */
    struct pipeline_file file;
    struct entry **entries; /* pointers, so that pipelines stay where they are */
    size_t count, capacity;
};

/* --- the driver's cache --- */

static vkg_result open_driver_cache(vkg_device *device, struct pipeline_cache *cache)
{
    void *data = pipeline_file_load(device, &cache->file);
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = data ? cache->file.bytes : 0,
        .pInitialData = data,
    };
    VkResult result = device->vk.vkCreatePipelineCache(device->handle, &info, NULL, &cache->driver);
    free(data);
    return device_check(device, result, "vkCreatePipelineCache");
}

static void save_driver_cache(vkg_device *device, const struct pipeline_cache *cache)
{
    size_t bytes = 0;
    VkResult result = device->vk.vkGetPipelineCacheData(device->handle, cache->driver, &bytes, NULL);
    if (result != VK_SUCCESS || bytes <= cache->file.bytes)
        return;
    void *data = malloc(bytes);
    if (data && device->vk.vkGetPipelineCacheData(device->handle, cache->driver, &bytes, data) == VK_SUCCESS)
        pipeline_file_save(device, &cache->file, data, bytes);
    free(data);
}

vkg_result pipelines_create(vkg_device *device, const char *cache_dir)
{
    device->pipelines = calloc(1, sizeof *device->pipelines);
    if (!device->pipelines)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "no memory for the pipelines of a device");
    vkg_result result = pipeline_file_open(device, cache_dir, &device->pipelines->file);
    if (result == VKG_OK)
        result = open_driver_cache(device, device->pipelines);
    return result;
}

static void destroy_pipeline(vkg_device *device, struct pipeline *pipeline)
{
    device->vk.vkDestroyPipeline(device->handle, pipeline->handle, NULL);
    device->vk.vkDestroyPipelineLayout(device->handle, pipeline->layout, NULL);
    device->vk.vkDestroyDescriptorSetLayout(device->handle, pipeline->set_layout, NULL);
    *pipeline = (struct pipeline){0};
}

static void destroy_entry(vkg_device *device, struct entry *entry)
{
    destroy_pipeline(device, &entry->pipeline);
    free((void *)entry->desc.spirv);
    free((void *)entry->desc.name);
    free(entry);
}

void pipelines_destroy(vkg_device *device)
{
    struct pipeline_cache *cache = device->pipelines;
    if (!cache)
        return;
    if (cache->driver && cache->file.path && !device->lost)
        save_driver_cache(device, cache);
    for (size_t i = 0; i < cache->count; ++i)
        destroy_entry(device, cache->entries[i]);
    device->vk.vkDestroyPipelineCache(device->handle, cache->driver, NULL);
    pipeline_file_close(&cache->file);
    free(cache->entries);
    free(cache);
    device->pipelines = NULL;
}

/* --- building one --- */

static vkg_result check_desc(vkg_device *device, const struct pipeline_desc *desc)
{
    static const uint32_t SPIRV_MAGIC = 0x07230203;
    assert(desc->name && desc->spirv);
    assert(desc->binding_count <= PIPELINE_MAX_BINDINGS && desc->constant_count <= PIPELINE_MAX_CONSTANTS);
    if (desc->spirv_bytes < 20 || desc->spirv_bytes % 4 != 0 || desc->spirv[0] != SPIRV_MAGIC)
        return vkg_fail(&device->log, VKG_ERROR_INVALID, "the kernel \"%s\" is not SPIR-V", desc->name);
    uint32_t storage = 0, texel = 0;
    for (uint32_t i = 0; i < desc->binding_count; ++i) {
        storage += desc->bindings[i] == BINDING_STORAGE;
        texel += desc->bindings[i] == BINDING_TEXEL;
    }
    const vkg_device_caps *caps = &device->caps;
    if (storage > caps->max_storage_buffers_per_stage || texel > caps->max_texel_buffers_per_stage ||
        storage + texel > caps->max_resources_per_stage)
        return vkg_fail(
            &device->log, VKG_ERROR_UNSUPPORTED,
            "the kernel \"%s\" binds %u storage and %u texel buffers; the device \"%s\" takes at most %u, "
            "%u, and %u together",
            desc->name, storage, texel, caps->name, caps->max_storage_buffers_per_stage,
            caps->max_texel_buffers_per_stage, caps->max_resources_per_stage);
    return VKG_OK;
}

static VkResult create_layouts(vkg_device *device, const struct pipeline_desc *desc, struct pipeline *pipeline)
{
    VkDescriptorSetLayoutBinding bindings[PIPELINE_MAX_BINDINGS];
    for (uint32_t i = 0; i < desc->binding_count; ++i)
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = desc->bindings[i] == BINDING_TEXEL ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                                                                 : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = desc->binding_count,
        .pBindings = bindings,
    };
    VkResult result = device->vk.vkCreateDescriptorSetLayout(device->handle, &set, NULL, &pipeline->set_layout);
    if (result < 0)
        return result;
    VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = PIPELINE_PUSH_BYTES};
    VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &pipeline->set_layout,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push,
    };
    return device->vk.vkCreatePipelineLayout(device->handle, &layout, NULL, &pipeline->layout);
}

static VkResult create_pipeline(vkg_device *device, const struct pipeline_desc *desc, VkShaderModule module,
                                struct pipeline *pipeline)
{
    VkSpecializationMapEntry constants[PIPELINE_MAX_CONSTANTS];
    for (uint32_t i = 0; i < desc->constant_count; ++i)
        constants[i] = (VkSpecializationMapEntry){
            .constantID = i, .offset = i * (uint32_t)sizeof(uint32_t), .size = sizeof(uint32_t)};
    VkSpecializationInfo special = {
        .mapEntryCount = desc->constant_count,
        .pMapEntries = constants,
        .dataSize = desc->constant_count * sizeof(uint32_t),
        .pData = desc->constants,
    };
    /* Some releases of RADV compute garbage with cooperative matrices unless both are asked for. */
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = desc->subgroup_size,
    };
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = desc->subgroup_size ? &size : NULL,
                  .flags = desc->subgroup_size ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &special},
        .layout = pipeline->layout,
    };
    return device->vk.vkCreateComputePipelines(device->handle, device->pipelines->driver, 1, &info, NULL,
                                               &pipeline->handle);
}

/* Says nothing of a failure, so that any thread may call it. */
static VkResult build(vkg_device *device, struct entry *entry)
{
    const struct pipeline_desc *desc = &entry->desc;
    struct pipeline *pipeline = &entry->pipeline;
    VkShaderModuleCreateInfo code = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                     .codeSize = desc->spirv_bytes,
                                     .pCode = desc->spirv};
    VkShaderModule module = VK_NULL_HANDLE;
    VkResult result = create_layouts(device, desc, pipeline);
    if (result >= 0)
        result = device->vk.vkCreateShaderModule(device->handle, &code, NULL, &module);
    if (result >= 0) {
        validation_name(device, VK_OBJECT_TYPE_SHADER_MODULE, (uint64_t)module, desc->name);
        result = create_pipeline(device, desc, module, pipeline);
    }
    device->vk.vkDestroyShaderModule(device->handle, module, NULL);
    if (result < 0)
        destroy_pipeline(device, pipeline);
    else
        validation_name(device, VK_OBJECT_TYPE_PIPELINE, (uint64_t)pipeline->handle, desc->name);
    return result;
}

/* --- finding and keeping --- */

static uint64_t hash_desc(const struct pipeline_desc *desc)
{
    uint64_t hash = hash_bytes(HASH_START, desc->spirv, desc->spirv_bytes);
    hash = hash_bytes(hash, &desc->subgroup_size, sizeof desc->subgroup_size);
    hash = hash_bytes(hash, desc->bindings, desc->binding_count * sizeof *desc->bindings);
    return hash_bytes(hash, desc->constants, desc->constant_count * sizeof *desc->constants);
}

static bool same_desc(const struct pipeline_desc *a, const struct pipeline_desc *b)
{
    return a->spirv_bytes == b->spirv_bytes && a->binding_count == b->binding_count &&
           a->constant_count == b->constant_count && a->subgroup_size == b->subgroup_size &&
           memcmp(a->spirv, b->spirv, a->spirv_bytes) == 0 &&
           memcmp(a->bindings, b->bindings, a->binding_count * sizeof *a->bindings) == 0 &&
           memcmp(a->constants, b->constants, a->constant_count * sizeof *a->constants) == 0;
}

static struct entry *copy_desc(const struct pipeline_desc *desc)
{
    struct entry *entry = calloc(1, sizeof *entry);
    uint32_t *spirv = malloc(desc->spirv_bytes);
    char *name = strdup(desc->name);
    if (!entry || !spirv || !name) {
        free(entry);
        free(spirv);
        free(name);
        return NULL;
    }
    memcpy(spirv, desc->spirv, desc->spirv_bytes);
    entry->desc = *desc;
    entry->desc.spirv = spirv;
    entry->desc.name = name;
    return entry;
}

/* The entry of that description; a new one where there is none. */
static vkg_result find_entry(vkg_device *device, const struct pipeline_desc *desc, struct entry **found)
{
    struct pipeline_cache *cache = device->pipelines;
    vkg_result result = check_desc(device, desc);
    if (result != VKG_OK)
        return result;
    uint64_t hash = hash_desc(desc);
    for (size_t i = 0; i < cache->count; ++i) {
        if (cache->entries[i]->hash == hash && same_desc(&cache->entries[i]->desc, desc)) {
            *found = cache->entries[i];
            return VKG_OK;
        }
    }
    struct entry *entry = copy_desc(desc);
    if (!entry ||
        !array_reserve((void **)&cache->entries, &cache->capacity, cache->count, sizeof *cache->entries)) {
        if (entry)
            destroy_entry(device, entry);
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "no memory for the kernel \"%s\"", desc->name);
    }
    entry->hash = hash;
    cache->entries[cache->count++] = entry;
    *found = entry;
    return VKG_OK;
}

vkg_result pipeline_get(vkg_device *device, const struct pipeline_desc *desc, const struct pipeline **pipeline)
{
    struct entry *entry;
    *pipeline = NULL;
    vkg_result result = device_usable(device, "pipeline_get");
    if (result == VKG_OK)
        result = find_entry(device, desc, &entry);
    if (result == VKG_OK && !entry->pipeline.handle) {
        char call[128];
        snprintf(call, sizeof call, "building the kernel \"%.80s\"", desc->name);
        result = device_check(device, build(device, entry), call);
    }
    if (result == VKG_OK)
        *pipeline = &entry->pipeline;
    return result;
}

/* --- many at once --- */

vkg_result pipelines_want(vkg_device *device, const struct pipeline_desc *desc)
{
    struct entry *entry;
    return find_entry(device, desc, &entry);
}

static void build_unbuilt(void *user, size_t i)
{
    vkg_device *device = user;
    struct entry *entry = device->pipelines->entries[i];
    if (!entry->pipeline.handle)
        build(device, entry);
}

bool pipelines_build_pays(const vkg_device *device)
{
    /* drivers of processors compile when a kernel first runs; messages of the validation layer belong to one thread */
    return !device->lost && device->caps.type != VKG_DEVICE_CPU && !device->messenger;
}

size_t pipelines_unbuilt(const vkg_device *device)
{
    const struct pipeline_cache *cache = device->pipelines;
    size_t unbuilt = 0;
    for (size_t i = 0; i < cache->count; i++)
        unbuilt += !cache->entries[i]->pipeline.handle;
    return unbuilt;
}

void pipelines_build_beside(vkg_device *device, bool (*meanwhile)(void *beside), void *beside)
{
    const double begin = seconds_now();
    const size_t wanted = pipelines_unbuilt(device);
    if (!wanted || !pipelines_build_pays(device))
        return;
    const size_t threads = parallel_each_beside(device->pipelines->count, build_unbuilt, device, meanwhile, beside);
    const double seconds = seconds_now() - begin, felt = 0.5;
    vkg_logf(&device->log, seconds < felt ? VKG_LOG_DEBUG : VKG_LOG_INFO, "%zu kernels built by %zu threads in %.1f s", wanted,
             threads, seconds);
}

void pipelines_build(vkg_device *device)
{
    pipelines_build_beside(device, NULL, NULL);
}

const char *device_cache_folder(const vkg_device *device)
{
    return device->pipelines ? device->pipelines->file.folder : NULL;
}
