/* The device room: opening, choosing and adopting devices, memory, pipelines and their file, the queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/internal.h"
#include "vkgan/vulkan.h"

static const uint32_t fill_spirv[] =
#include "fill.spv.h"
    ;

/* --- messages --- */

struct messages {
    unsigned count[4]; /* by level */
    char last[4][2048];
};

static void collect(void *user, vkg_log_level level, const char *message)
{
    struct messages *messages = user;
    assert_null(strchr(message, '\n'));
    ++messages->count[level];
    snprintf(messages->last[level], sizeof messages->last[level], "%s", message);
}

static struct messages seen;
static const vkg_log collecting = {collect, &seen};

static void assert_said(vkg_log_level level, const char *part)
{
    if (!strstr(seen.last[level], part))
        fail_msg("the last message is \"%s\", expected \"%s\" in it", seen.last[level], part);
}

/* --- surroundings --- */

static char cache_dir[] = "/tmp/vkgan-device-test-XXXXXX";
static char *old_device, *old_validation, *old_transfer_queue;

static void remove_files(const char *folder)
{
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_type == DT_REG)
            unlink(path);
    }
    if (directory)
        closedir(directory);
}

static int prepare_all(void **state)
{
    (void)state;
    unsetenv("VKGAN_KERNELS");
    return mkdtemp(cache_dir) && setenv("VKGAN_CACHE_DIR", cache_dir, 1) == 0 ? 0 : -1;
}

static int clean_all(void **state)
{
    (void)state;
    remove_files(cache_dir);
    return rmdir(cache_dir);
}

static int prepare(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    old_device = getenv("VKGAN_DEVICE") ? strdup(getenv("VKGAN_DEVICE")) : NULL;
    old_validation = getenv("VKGAN_VALIDATION") ? strdup(getenv("VKGAN_VALIDATION")) : NULL;
    old_transfer_queue = getenv("VKGAN_TRANSFER_QUEUE") ? strdup(getenv("VKGAN_TRANSFER_QUEUE")) : NULL;
    return 0;
}

static void restore(const char *variable, char *value)
{
    if (value)
        setenv(variable, value, 1);
    else
        unsetenv(variable);
    free(value);
}

static int clean(void **state)
{
    (void)state;
    restore("VKGAN_DEVICE", old_device);
    restore("VKGAN_VALIDATION", old_validation);
    unsetenv("VKGAN_KERNELS");
    restore("VKGAN_TRANSFER_QUEUE", old_transfer_queue);
    remove_files(cache_dir);
    return 0;
}

static vkg_device *open_device(void)
{
    vkg_device *device;
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting}, &device), VKG_OK);
    assert_non_null(device);
    return device;
}

/* --- choosing --- */

static void list_counts_and_describes(void **state)
{
    (void)state;
    uint32_t count = 0;
    vkg_device_caps caps[16];
    assert_int_equal(vkg_device_list(&collecting, NULL, &count), VKG_OK);
    assert_true(count >= 1);
    uint32_t room = 16;
    assert_int_equal(vkg_device_list(&collecting, caps, &room), VKG_OK);
    assert_int_equal(room, count);
    for (uint32_t i = 0; i < count && i < 16; ++i) {
        assert_int_equal(caps[i].index, i);
        assert_true(*caps[i].name != 0);
        if (*caps[i].problem)
            continue;
        assert_true(caps[i].max_workgroup_invocations >= 128);
        assert_true(caps[i].max_push_constants >= PIPELINE_PUSH_BYTES);
        assert_true(caps[i].max_storage_buffer_range >= 1 << 27);
        assert_true(caps[i].max_memory_allocation_size >= 1 << 30);
        assert_true(caps[i].min_subgroup_size <= caps[i].subgroup_size);
        assert_true(caps[i].max_subgroup_size >= caps[i].subgroup_size);
        assert_true(caps[i].heap_count >= 1 && caps[i].heap_sizes[0] > 0);
        assert_true(caps[i].max_loop_iterations >= 60000);
        assert_false(caps[i].robust_buffer_access);
        if (strncmp(caps[i].driver_info, "Mesa 22.", 8) == 0 && strcmp(caps[i].driver_name, "llvmpipe") == 0)
            assert_int_equal(caps[i].max_loop_iterations, 60000);
    }
}

static void list_takes_no_more_than_its_room(void **state)
{
    (void)state;
    uint32_t room = 0;
    vkg_device_caps untouched = {.index = 77};
    assert_int_equal(vkg_device_list(NULL, &untouched, &room), VKG_OK);
    assert_true(room >= 1);
    assert_int_equal(untouched.index, 77);
}

static void opens_by_index_and_by_part_of_name(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    vkg_device_caps first = *vkg_device_get_caps(device);
    vkg_device_destroy(&device);
    assert_null(device);

    char index[16];
    snprintf(index, sizeof index, "%u", first.index);
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting, .name = index}, &device), VKG_OK);
    assert_string_equal(vkg_device_get_caps(device)->name, first.name);
    vkg_device_destroy(&device);

    char part[8] = {0};
    for (size_t i = 0; i < 6; ++i) /* "LLVMPIPE", say: the other case */
        part[i] = (char)(first.name[i] >= 'a' && first.name[i] <= 'z' ? first.name[i] - 32 : first.name[i]);
    setenv("VKGAN_DEVICE", part, 1);
    device = open_device();
    assert_string_equal(vkg_device_get_caps(device)->name, first.name);
    vkg_device_destroy(&device);
}

static void unknown_name_lists_what_there_is(void **state)
{
    (void)state;
    uint32_t count = 1;
    vkg_device_caps caps;
    vkg_device *device;
    assert_int_equal(vkg_device_list(NULL, &caps, &count), VKG_OK);
    vkg_device_desc desc = {.log = &collecting, .name = "no such device"};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_ERROR_NO_DEVICE);
    assert_null(device);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 1);
    assert_said(VKG_LOG_ERROR, "no such device");
    assert_said(VKG_LOG_ERROR, caps.name);
    desc.name = "4294967296";
    assert_int_equal(vkg_device_create(&desc, &device), VKG_ERROR_NO_DEVICE);
    desc.name = "-1";
    assert_int_equal(vkg_device_create(&desc, &device), VKG_ERROR_NO_DEVICE);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 3);
}

static void kernels_are_chosen_and_checked(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting, .kernels = "plain"};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    assert_int_equal(vkg_device_get_caps(device)->kernels, VKG_KERNELS_PLAIN);
    vkg_device_destroy(&device);

    setenv("VKGAN_KERNELS", "texel", 1);
    device = open_device();
    assert_int_equal(vkg_device_get_caps(device)->kernels, VKG_KERNELS_TEXEL);
    vkg_device_destroy(&device);

    setenv("VKGAN_KERNELS", "Texel", 1);
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting}, &device), VKG_ERROR_INVALID);
    assert_said(VKG_LOG_ERROR, "texel, tiled or plain");
    uint32_t count = 0;
    assert_int_equal(vkg_device_list(&collecting, NULL, &count), VKG_ERROR_INVALID);
    assert_int_equal(count, 0);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 2);

    desc.kernels = "tiled"; /* the argument is stronger than the environment */
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    assert_int_equal(vkg_device_get_caps(device)->kernels, VKG_KERNELS_TILED);
    vkg_device_destroy(&device);
}

static void validation_variable_is_strict(void **state)
{
    (void)state;
    vkg_device *device;
    setenv("VKGAN_VALIDATION", "yes", 1);
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting}, &device), VKG_ERROR_INVALID);
    assert_said(VKG_LOG_ERROR, "VKGAN_VALIDATION");
}

/* --- the transfer queue --- */

static uint32_t found_among(uint32_t count, const VkQueueFlags *flags)
{
    VkQueueFamilyProperties families[8] = {{0}};
    for (uint32_t i = 0; i < count; ++i)
        families[i] = (VkQueueFamilyProperties){.queueFlags = flags[i], .queueCount = 1};
    return transfer_family_find(families, count);
}

static void a_family_that_only_copies_is_found(void **state)
{
    enum { G = VK_QUEUE_GRAPHICS_BIT, C = VK_QUEUE_COMPUTE_BIT, T = VK_QUEUE_TRANSFER_BIT, S = VK_QUEUE_SPARSE_BINDING_BIT,
           P = VK_QUEUE_PROTECTED_BIT, DECODE = 0x20, ENCODE = 0x40, FLOW = 0x100 };
    (void)state;
    assert_int_equal(found_among(0, NULL), UINT32_MAX);
    assert_int_equal(found_among(1, (VkQueueFlags[]){G | C | T}), UINT32_MAX); /* lavapipe, an Intel card of old */
    assert_int_equal(found_among(2, (VkQueueFlags[]){G | C, C}), UINT32_MAX);  /* they copy too, unsaid */
    assert_int_equal(found_among(3, (VkQueueFlags[]){G | C | T | S, C | T | S, T | S}), 2); /* AMD */
    assert_int_equal(found_among(6, (VkQueueFlags[]){G | C | T | S, T | S, C | T | S, T | S | DECODE, T | S | ENCODE,
                                                     T | S | FLOW}), 1); /* NVIDIA */
    assert_int_equal(found_among(3, (VkQueueFlags[]){G | C | T, T | DECODE, T | ENCODE}), UINT32_MAX);
    assert_int_equal(found_among(3, (VkQueueFlags[]){T | DECODE, T | P, G | C | T}), 1);
    assert_int_equal(found_among(2, (VkQueueFlags[]){S, T}), 1);
    VkQueueFamilyProperties empty[] = {{.queueFlags = T, .queueCount = 0}, {.queueFlags = T, .queueCount = 2}};
    assert_int_equal(transfer_family_find(empty, 2), 1);
}

static bool opened_apart(vkg_transfer_queue wanted)
{
    vkg_device *device;
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting, .transfer_queue = wanted}, &device), VKG_OK);
    const vkg_device_caps *caps = vkg_device_get_caps(device);
    const bool apart = device->uploads_apart, discrete = caps->type == VKG_DEVICE_DISCRETE;
    assert_int_equal(device->transfer_family != device->queue_family, apart && caps->transfer_queue);
    assert_int_equal(device->transfer_queue != device->queue, apart && caps->transfer_queue);
    if (getenv("VK_INSTANCE_LAYERS") && strstr(getenv("VK_INSTANCE_LAYERS"), "VK_LAYER_VKGAN_transfer"))
        assert_true(caps->transfer_queue); /* transfer_layer.c */
    if (wanted == VKG_TRANSFER_QUEUE_DEFAULT && !getenv("VKGAN_TRANSFER_QUEUE"))
        assert_int_equal(apart, caps->transfer_queue && discrete);
    vkg_device_destroy(&device);
    return apart;
}

static void the_transfer_queue_is_used_where_it_is_wanted(void **state)
{
    (void)state;
    vkg_device *device;
    opened_apart(VKG_TRANSFER_QUEUE_DEFAULT);
    assert_true(opened_apart(VKG_TRANSFER_QUEUE_ON));
    assert_false(opened_apart(VKG_TRANSFER_QUEUE_OFF));
    setenv("VKGAN_TRANSFER_QUEUE", "1", 1);
    assert_true(opened_apart(VKG_TRANSFER_QUEUE_DEFAULT));
    assert_false(opened_apart(VKG_TRANSFER_QUEUE_OFF)); /* the argument is stronger than the environment */
    setenv("VKGAN_TRANSFER_QUEUE", "0", 1);
    assert_false(opened_apart(VKG_TRANSFER_QUEUE_DEFAULT));
    assert_true(opened_apart(VKG_TRANSFER_QUEUE_ON));
    setenv("VKGAN_TRANSFER_QUEUE", "on", 1);
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting}, &device), VKG_ERROR_INVALID);
    assert_said(VKG_LOG_ERROR, "VKGAN_TRANSFER_QUEUE");
}

static PFN_vkCreateBuffer true_create_buffer;
static VkBufferCreateInfo asked;
static uint32_t asked_families[2];

static VkResult VKAPI_CALL create_unshared(VkDevice device, const VkBufferCreateInfo *info,
                                           const VkAllocationCallbacks *callbacks, VkBuffer *buffer)
{
    VkBufferCreateInfo unshared = *info;
    asked = *info;
    if (info->queueFamilyIndexCount == 2)
        memcpy(asked_families, info->pQueueFamilyIndices, sizeof asked_families);
    unshared.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
    return true_create_buffer(device, &unshared, callbacks, buffer);
}

static void only_staging_is_shared_by_two_families(void **state)
{
    (void)state;
    vkg_device *device;
    struct buffer buffer;
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting, .transfer_queue = VKG_TRANSFER_QUEUE_OFF}, &device),
                     VKG_OK);
    true_create_buffer = device->vk.vkCreateBuffer;
    device->vk.vkCreateBuffer = create_unshared;
    for (int kind = BUFFER_DEVICE; kind <= BUFFER_READBACK; ++kind)
        for (uint32_t other = 0; other < 2; ++other) {
            const bool shared = kind == BUFFER_STAGING && other;
            device->transfer_family = device->queue_family + other;
            assert_int_equal(buffer_create(device, (enum buffer_kind)kind, 64, "test", &buffer), VKG_OK);
            assert_int_equal(asked.sharingMode, shared ? VK_SHARING_MODE_CONCURRENT : VK_SHARING_MODE_EXCLUSIVE);
            assert_int_equal(asked.queueFamilyIndexCount, shared ? 2 : 0);
            buffer_destroy(device, &buffer);
        }
    assert_int_equal(asked_families[0], device->queue_family);
    assert_int_equal(asked_families[1], device->queue_family + 1);
    vkg_device_destroy(&device);
}

static void no_driver_names_the_package(void **state)
{
    (void)state;
    vkg_device *device;
    char *files = getenv("VK_DRIVER_FILES") ? strdup(getenv("VK_DRIVER_FILES")) : NULL;
    setenv("VK_DRIVER_FILES", "/nonexistent", 1);
    vkg_result created = vkg_device_create(&(vkg_device_desc){.log = &collecting}, &device);
    uint32_t count = 5;
    vkg_result listed = vkg_device_list(&collecting, NULL, &count);
    restore("VK_DRIVER_FILES", files);
    assert_int_equal(created, VKG_ERROR_NO_DEVICE);
    assert_null(device);
    assert_int_equal(listed, VKG_ERROR_NO_DEVICE);
    assert_int_equal(count, 0);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 2);
    assert_said(VKG_LOG_ERROR, "mesa-vulkan-drivers");
}

static void robust_access_is_on_request(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting, .robust_buffer_access = true, .validation = true};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    assert_true(vkg_device_get_caps(device)->robust_buffer_access);
    assert_int_equal(vkg_device_validation_messages(device), 0);
    vkg_device_destroy(&device);
}

/* --- memory --- */

static void buffers_of_every_kind(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    struct buffer buffers[4];
    for (int kind = BUFFER_DEVICE; kind <= BUFFER_READBACK; ++kind) {
        assert_int_equal(buffer_create(device, (enum buffer_kind)kind, 1000, "test", &buffers[kind]), VKG_OK);
        assert_int_equal(buffers[kind].size, 1000);
        if (kind < BUFFER_UPLOAD)
            assert_null(buffers[kind].mapped);
        else
            memset(buffers[kind].mapped, 0xab, 1000);
    }
    for (int kind = BUFFER_DEVICE; kind <= BUFFER_READBACK; ++kind) {
        buffer_destroy(device, &buffers[kind]);
        assert_true(buffers[kind].handle == VK_NULL_HANDLE && buffers[kind].size == 0);
        buffer_destroy(device, &buffers[kind]); /* a zeroed one is fine */
    }
    vkg_device_destroy(&device);
}

static void too_large_a_buffer_is_refused(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    struct buffer buffer;
    vkg_device_caps *caps = &device->caps;
    caps->max_memory_allocation_size = 4096;
    assert_int_equal(buffer_create(device, BUFFER_DEVICE, 8192, "weights", &buffer), VKG_ERROR_OUT_OF_MEMORY);
    assert_true(buffer.handle == VK_NULL_HANDLE);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 1);
    assert_said(VKG_LOG_ERROR, "weights");
    assert_said(VKG_LOG_ERROR, "8192");
    assert_said(VKG_LOG_ERROR, "maxMemoryAllocationSize");
    assert_int_equal(buffer_create(device, BUFFER_UPLOAD, 0, "nothing", &buffer), VKG_ERROR_INVALID);
    vkg_device_destroy(&device);
}

static VkResult VKAPI_CALL allocate_nothing(VkDevice device, const VkMemoryAllocateInfo *info,
                                            const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory)
{
    (void)device, (void)info, (void)callbacks, (void)memory;
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

static void full_memory_is_one_message(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    struct buffer buffer;
    device->vk.vkAllocateMemory = allocate_nothing;
    for (int kind = BUFFER_DEVICE; kind <= BUFFER_READBACK; ++kind)
        assert_int_equal(buffer_create(device, (enum buffer_kind)kind, 64, "moments", &buffer),
                         VKG_ERROR_OUT_OF_MEMORY);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 4);
    assert_said(VKG_LOG_ERROR, "moments");
    vkg_device_destroy(&device);
}

/* --- pipelines and the queue --- */

static struct pipeline_desc fill_desc(uint32_t offset)
{
    return (struct pipeline_desc){
        .name = "fill",
        .spirv = fill_spirv,
        .spirv_bytes = sizeof fill_spirv,
        .binding_count = 2,
        .bindings = {BINDING_TEXEL, BINDING_STORAGE},
        .constant_count = 2,
        .constants = {64, offset},
    };
}

static void a_pipeline_is_built_once(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    const struct pipeline *first, *again, *other, *many;
    struct pipeline_desc desc = fill_desc(1);
    assert_int_equal(pipeline_get(device, &desc, &first), VKG_OK);
    uint32_t *copy = malloc(sizeof fill_spirv); /* the same words elsewhere are the same kernel */
    assert_non_null(copy);
    memcpy(copy, fill_spirv, sizeof fill_spirv);
    desc.spirv = copy;
    desc.name = "fill again";
    assert_int_equal(pipeline_get(device, &desc, &again), VKG_OK);
    free(copy);
    assert_ptr_equal(first, again);
    desc = fill_desc(2);
    assert_int_equal(pipeline_get(device, &desc, &other), VKG_OK);
    assert_ptr_not_equal(first, other);
    for (uint32_t i = 0; i < 40; ++i) { /* past the first size of the table */
        desc = fill_desc(100 + i);
        assert_int_equal(pipeline_get(device, &desc, &many), VKG_OK);
    }
    desc = fill_desc(1);
    assert_int_equal(pipeline_get(device, &desc, &again), VKG_OK);
    assert_ptr_equal(first, again);
    vkg_device_destroy(&device);
}

static void what_is_no_pipeline_is_refused(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    const struct pipeline *pipeline;
    struct pipeline_desc desc = fill_desc(0);
    desc.spirv_bytes = 18;
    assert_int_equal(pipeline_get(device, &desc, &pipeline), VKG_ERROR_INVALID);
    assert_null(pipeline);
    desc = fill_desc(0);
    device->caps.max_texel_buffers_per_stage = 0;
    assert_int_equal(pipeline_get(device, &desc, &pipeline), VKG_ERROR_UNSUPPORTED);
    assert_said(VKG_LOG_ERROR, "fill");
    vkg_device_destroy(&device);
}

enum { COUNT = 1000 };

/* Everything that one dispatch of fill.comp needs. */
struct job {
    vkg_device *device;
    struct buffer tensors, upload, readback;
    VkBufferView view;
    VkDescriptorPool pool;
    VkDescriptorSet set;
    VkCommandPool commands;
    VkCommandBuffer command;
    VkFence fence;
};

static void job_bind(struct job *job, const struct pipeline *pipeline)
{
    vkg_device *device = job->device;
    VkDevice handle = device->handle;
    VkBufferViewCreateInfo view = {.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                   .buffer = job->tensors.handle,
                                   .format = VK_FORMAT_R32_SFLOAT,
                                   .range = COUNT * sizeof(float)};
    assert_int_equal(device->vk.vkCreateBufferView(handle, &view, NULL, &job->view), VK_SUCCESS);
    VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, 1},
                                    {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1}};
    VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = 1,
                                       .poolSizeCount = 2,
                                       .pPoolSizes = sizes};
    assert_int_equal(device->vk.vkCreateDescriptorPool(handle, &pool, NULL, &job->pool), VK_SUCCESS);
    VkDescriptorSetAllocateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                       .descriptorPool = job->pool,
                                       .descriptorSetCount = 1,
                                       .pSetLayouts = &pipeline->set_layout};
    assert_int_equal(device->vk.vkAllocateDescriptorSets(handle, &set, &job->set), VK_SUCCESS);
    VkDescriptorBufferInfo output = {job->tensors.handle, 4096, COUNT * sizeof(float)};
    VkWriteDescriptorSet writes[] = {
        {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
         .dstSet = job->set,
         .dstBinding = 0,
         .descriptorCount = 1,
         .descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
         .pTexelBufferView = &job->view},
        {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
         .dstSet = job->set,
         .dstBinding = 1,
         .descriptorCount = 1,
         .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
         .pBufferInfo = &output},
    };
    device->vk.vkUpdateDescriptorSets(handle, 2, writes, 0, NULL);
}

static void barrier(struct job *job, VkPipelineStageFlags from, VkAccessFlags made, VkPipelineStageFlags to,
                    VkAccessFlags read)
{
    VkMemoryBarrier memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = made, .dstAccessMask = read};
    job->device->vk.vkCmdPipelineBarrier(job->command, from, to, 0, 1, &memory, 0, NULL, 0, NULL);
}

static void job_record(struct job *job, const struct pipeline *pipeline)
{
    const struct {
        uint32_t count;
        float scale;
    } push = {COUNT, 2.0f};
    vkg_device *device = job->device;
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = device->queue_family};
    assert_int_equal(device->vk.vkCreateCommandPool(device->handle, &pool, NULL, &job->commands), VK_SUCCESS);
    VkCommandBufferAllocateInfo command = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                           .commandPool = job->commands,
                                           .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                           .commandBufferCount = 1};
    assert_int_equal(device->vk.vkAllocateCommandBuffers(device->handle, &command, &job->command), VK_SUCCESS);
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    assert_int_equal(device->vk.vkBeginCommandBuffer(job->command, &begin), VK_SUCCESS);
    VkBufferCopy in = {0, 0, COUNT * sizeof(float)}, out = {4096, 0, COUNT * sizeof(float)};
    device->vk.vkCmdCopyBuffer(job->command, job->upload.handle, job->tensors.handle, 1, &in);
    barrier(job, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
            VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_READ_BIT);
    device->vk.vkCmdBindPipeline(job->command, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->handle);
    device->vk.vkCmdBindDescriptorSets(job->command, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->layout, 0, 1,
                                       &job->set, 0, NULL);
    device->vk.vkCmdPushConstants(job->command, pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof push,
                                  &push);
    device->vk.vkCmdDispatch(job->command, (COUNT + 63) / 64, 1, 1);
    barrier(job, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
            VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_READ_BIT);
    device->vk.vkCmdCopyBuffer(job->command, job->tensors.handle, job->readback.handle, 1, &out);
    barrier(job, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT,
            VK_ACCESS_HOST_READ_BIT);
    assert_int_equal(device->vk.vkEndCommandBuffer(job->command), VK_SUCCESS);
}

static void job_start(struct job *job, vkg_device *device, uint32_t offset)
{
    const struct pipeline *pipeline;
    struct pipeline_desc desc = fill_desc(offset);
    *job = (struct job){.device = device};
    assert_int_equal(pipeline_get(device, &desc, &pipeline), VKG_OK);
    assert_int_equal(buffer_create(device, BUFFER_DEVICE, 8192, "tensors", &job->tensors), VKG_OK);
    assert_int_equal(buffer_create(device, BUFFER_UPLOAD, 4096, "upload", &job->upload), VKG_OK);
    assert_int_equal(buffer_create(device, BUFFER_READBACK, 4096, "readback", &job->readback), VKG_OK);
    for (int i = 0; i < COUNT; ++i)
        ((float *)job->upload.mapped)[i] = (float)i;
    job_bind(job, pipeline);
    job_record(job, pipeline);
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    assert_int_equal(device->vk.vkCreateFence(device->handle, &fence, NULL, &job->fence), VK_SUCCESS);
    assert_int_equal(device_submit(device, 1, &job->command, job->fence), VKG_OK);
}

static void job_finish(struct job *job, uint32_t offset)
{
    vkg_device *device = job->device;
    assert_int_equal(device_wait(device, job->fence), VKG_OK);
    assert_int_equal(device_wait_idle(device), VKG_OK);
    for (int i = 0; i < COUNT; ++i)
        assert_true(((float *)job->readback.mapped)[i] == 2.0f * (float)i + (float)offset);
    device->vk.vkDestroyFence(device->handle, job->fence, NULL);
    device->vk.vkDestroyCommandPool(device->handle, job->commands, NULL);
    device->vk.vkDestroyDescriptorPool(device->handle, job->pool, NULL);
    device->vk.vkDestroyBufferView(device->handle, job->view, NULL);
    buffer_destroy(device, &job->tensors);
    buffer_destroy(device, &job->upload);
    buffer_destroy(device, &job->readback);
}

static void two_devices_work_side_by_side(void **state)
{
    (void)state;
    vkg_device *one = open_device(), *two = open_device();
    struct job first, second;
    assert_true(one->instance != two->instance && one->handle != two->handle);
    job_start(&first, one, 3);
    job_start(&second, two, 5);
    job_finish(&second, 5);
    vkg_device_destroy(&two);
    job_finish(&first, 3);
    vkg_device_destroy(&one);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 0);
    assert_int_equal(seen.count[VKG_LOG_WARNING], 0);
}

static void *open_build_close(void *user)
{
    vkg_device *device;
    const struct pipeline *pipeline;
    struct pipeline_desc desc = fill_desc(11);
    vkg_result *result = user; /* no assertion here: cmocka's leave the thread that made them by longjmp */
    *result = vkg_device_create(NULL, &device);
    if (*result == VKG_OK)
        *result = pipeline_get(device, &desc, &pipeline);
    vkg_device_destroy(&device);
    return NULL;
}

/* The loader's own lists were once walked by one thread while the other closed its device: rarely a crash, so try again. */
static void two_threads_with_a_device_each(void **state)
{
    enum { ROUNDS = 10 };
    (void)state;
    for (int round = 0; round < ROUNDS; ++round) {
        pthread_t threads[2];
        vkg_result results[2];
        for (int i = 0; i < 2; ++i)
            assert_int_equal(pthread_create(&threads[i], NULL, open_build_close, &results[i]), 0);
        for (int i = 0; i < 2; ++i)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(results[0], VKG_OK);
        assert_int_equal(results[1], VKG_OK);
    }
}

static void validation_has_nothing_to_say(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting, .validation = true};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    if (!device->messenger) {
        assert_said(VKG_LOG_WARNING, "vulkan-validationlayers");
        vkg_device_destroy(&device);
        skip();
    }
    struct job job;
    job_start(&job, device, 1);
    job_finish(&job, 1);
    assert_int_equal(vkg_device_validation_messages(device), 0);
    vkg_device_destroy(&device);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 0);
    assert_int_equal(seen.count[VKG_LOG_WARNING], 0);
}

static void validation_is_heard(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting, .validation = true};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    if (!device->messenger) {
        vkg_device_destroy(&device);
        skip();
    }
    VkBuffer buffer = VK_NULL_HANDLE;
    VkBufferCreateInfo no_usage = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = 16};
    device->vk.vkCreateBuffer(device->handle, &no_usage, NULL, &buffer);
    device->vk.vkDestroyBuffer(device->handle, buffer, NULL);
    assert_true(vkg_device_validation_messages(device) >= 1);
    assert_said(VKG_LOG_ERROR, "usage");
    vkg_device_destroy(&device);
}

static void validation_sees_a_race(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting, .validation = true};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    if (!device->messenger) {
        vkg_device_destroy(&device);
        skip();
    }
    struct buffer buffer;
    VkCommandPool pool;
    VkCommandBuffer command;
    assert_int_equal(buffer_create(device, BUFFER_DEVICE, 64, "raced", &buffer), VKG_OK);
    VkCommandPoolCreateInfo pool_info = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                         .queueFamilyIndex = device->queue_family};
    assert_int_equal(device->vk.vkCreateCommandPool(device->handle, &pool_info, NULL, &pool), VK_SUCCESS);
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = pool,
                                        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                        .commandBufferCount = 1};
    assert_int_equal(device->vk.vkAllocateCommandBuffers(device->handle, &info, &command), VK_SUCCESS);
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    device->vk.vkBeginCommandBuffer(command, &begin);
    device->vk.vkCmdFillBuffer(command, buffer.handle, 0, 64, 1);
    device->vk.vkCmdFillBuffer(command, buffer.handle, 0, 64, 2);
    device->vk.vkEndCommandBuffer(command);
    assert_true(vkg_device_validation_messages(device) >= 1);
    assert_said(VKG_LOG_ERROR, "WRITE_AFTER_WRITE"); /* in layers of 1.3 and 1.4 */
    assert_said(VKG_LOG_ERROR, "raced"); /* names come through */
    device->vk.vkDestroyCommandPool(device->handle, pool, NULL);
    buffer_destroy(device, &buffer);
    vkg_device_destroy(&device);
}

static VkResult VKAPI_CALL lose_device(VkQueue queue, uint32_t count, const VkSubmitInfo *infos, VkFence fence)
{
    (void)queue, (void)count, (void)infos, (void)fence;
    return VK_ERROR_DEVICE_LOST;
}

static void a_lost_device_stays_lost(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    device->vk.vkQueueSubmit = lose_device;
    assert_int_equal(device_submit(device, 0, NULL, VK_NULL_HANDLE), VKG_ERROR_DEVICE_LOST);
    assert_said(VKG_LOG_ERROR, "was lost");
    struct buffer buffer;
    const struct pipeline *pipeline;
    struct pipeline_desc desc = fill_desc(0);
    assert_int_equal(device_submit(device, 0, NULL, VK_NULL_HANDLE), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(device_wait_idle(device), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(device_wait(device, VK_NULL_HANDLE), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(buffer_create(device, BUFFER_DEVICE, 16, "late", &buffer), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(pipeline_get(device, &desc, &pipeline), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 6);
    vkg_device_destroy(&device);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 6);
}

/* --- the pipeline file --- */

enum { DATA_BYTES = 1000 };

/* What a driver would give to be kept: its header, then anything. */
static void invent_data(const vkg_device *device, unsigned char data[DATA_BYTES])
{
    VkPipelineCacheHeaderVersionOne header = {
        .headerSize = sizeof header,
        .headerVersion = VK_PIPELINE_CACHE_HEADER_VERSION_ONE,
        .vendorID = device->caps.vendor_id,
        .deviceID = device->caps.device_id,
    };
    memcpy(header.pipelineCacheUUID, device->caps.pipeline_uuid, sizeof device->caps.pipeline_uuid);
    for (int i = 0; i < DATA_BYTES; ++i)
        data[i] = (unsigned char)(i * 7);
    memcpy(data, &header, sizeof header);
}

static void change_byte(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_true(byte != EOF);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    fputc(byte ^ 1, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_ignored(vkg_device *device, struct pipeline_file *file)
{
    memset(&seen, 0, sizeof seen);
    file->bytes = 0;
    assert_null(pipeline_file_load(device, file));
    assert_int_equal(file->bytes, 0);
    assert_said(VKG_LOG_DEBUG, "is ignored");
    assert_int_equal(seen.count[VKG_LOG_ERROR] + seen.count[VKG_LOG_WARNING], 0);
}

static void damaged_pipeline_files_are_ignored(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    struct pipeline_file file;
    unsigned char data[DATA_BYTES];
    invent_data(device, data);
    assert_int_equal(pipeline_file_open(device, NULL, &file), VKG_OK);
    assert_null(pipeline_file_load(device, &file)); /* not there yet */
    pipeline_file_save(device, &file, data, sizeof data);
    unsigned char *loaded = pipeline_file_load(device, &file);
    assert_non_null(loaded);
    assert_int_equal(file.bytes, DATA_BYTES);
    assert_memory_equal(loaded, data, DATA_BYTES);
    free(loaded);

    const long places[] = {0, 9, 17, 24, 500, DATA_BYTES + 23};
    for (size_t i = 0; i < sizeof places / sizeof *places; ++i) {
        change_byte(file.path, places[i]);
        assert_ignored(device, &file);
        change_byte(file.path, places[i]);
    }
    const long sizes[] = {DATA_BYTES + 23, 40, 24, 23, 1, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        assert_int_equal(truncate(file.path, sizes[i]), 0);
        assert_ignored(device, &file);
    }
    data[16] ^= 1; /* whole, and of another driver */
    pipeline_file_save(device, &file, data, sizeof data);
    assert_ignored(device, &file);
    pipeline_file_close(&file);
    vkg_device_destroy(&device);

    memset(&seen, 0, sizeof seen);
    device = open_device(); /* past the file that is still there */
    assert_int_equal(seen.count[VKG_LOG_ERROR] + seen.count[VKG_LOG_WARNING], 0);
    vkg_device_destroy(&device);
}

/* A driver that has something to keep: its header, and no pipelines. lavapipe and SwiftShader keep nothing. */
static const vkg_device *keeping_device;
static size_t kept_bytes;

static VkResult VKAPI_CALL give_data(VkDevice handle, VkPipelineCache cache, size_t *bytes, void *data)
{
    unsigned char invented[DATA_BYTES];
    (void)handle, (void)cache;
    invent_data(keeping_device, invented);
    memset(invented + sizeof(VkPipelineCacheHeaderVersionOne), 0,
           sizeof invented - sizeof(VkPipelineCacheHeaderVersionOne));
    if (data)
        memcpy(data, invented, kept_bytes);
    *bytes = kept_bytes;
    return VK_SUCCESS;
}

/* Opens and closes a device whose driver has `bytes` to keep by then; how many files were written. */
static unsigned open_and_keep(size_t bytes, struct stat *status, const char *path)
{
    struct stat before = {0};
    bool had = stat(path, &before) == 0;
    vkg_device *device = open_device();
    keeping_device = device;
    kept_bytes = bytes;
    device->vk.vkGetPipelineCacheData = give_data;
    vkg_device_destroy(&device);
    assert_int_equal(stat(path, status), 0);
    return !had || before.st_ino != status->st_ino;
}

static void compiled_pipelines_are_kept(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    struct pipeline_file file;
    struct stat status;
    assert_int_equal(pipeline_file_open(device, NULL, &file), VKG_OK);
    vkg_device_destroy(&device);
    assert_int_equal(open_and_keep(500, &status, file.path), 1);
    assert_int_equal(status.st_size, 524);
    assert_int_equal(open_and_keep(500, &status, file.path), 0); /* it did not grow: not written again */
    assert_int_equal(open_and_keep(600, &status, file.path), 1);
    assert_int_equal(status.st_size, 624);
    memset(&seen, 0, sizeof seen);
    assert_int_equal(open_and_keep(600, &status, file.path), 0);
    assert_said(VKG_LOG_DEBUG, "pipeline cache: 600 bytes from");
    assert_int_equal(truncate(file.path, 300), 0);
    open_and_keep(500, &status, file.path); /* a damaged file is replaced, by less too */
    assert_int_equal(status.st_size, 524);
    assert_int_equal(seen.count[VKG_LOG_ERROR] + seen.count[VKG_LOG_WARNING], 0);
    pipeline_file_close(&file);
}

static void no_cache_folder_is_one_warning(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting, .cache_dir = "/dev/null/vkgan"};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    const struct pipeline *pipeline;
    struct pipeline_desc fill = fill_desc(9);
    assert_int_equal(pipeline_get(device, &fill, &pipeline), VKG_OK);
    vkg_device_destroy(&device);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 0);
    assert_int_equal(seen.count[VKG_LOG_WARNING], 1);
    assert_said(VKG_LOG_WARNING, "/dev/null/vkgan");
}

static void cache_folders_are_made(void **state)
{
    (void)state;
    char deep[64], middle[64];
    vkg_device *device;
    snprintf(middle, sizeof middle, "%s/a", cache_dir);
    snprintf(deep, sizeof deep, "%s/a/b", cache_dir);
    vkg_device_desc desc = {.log = &collecting, .cache_dir = deep};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    vkg_device_destroy(&device);
    remove_files(deep);
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(rmdir(middle), 0);
    assert_int_equal(seen.count[VKG_LOG_WARNING], 0);
}

/* --- adopting --- */

/* What an application has. */
struct application {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    unsigned locks, unlocks;
};

static void application_open(struct application *application)
{
    float priority = 1.0f;
    uint32_t one = 1;
    VkApplicationInfo info = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo instance = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                     .pApplicationInfo = &info};
    *application = (struct application){0};
    assert_int_equal(volkInitialize(), VK_SUCCESS);
    assert_int_equal(vkCreateInstance(&instance, NULL, &application->instance), VK_SUCCESS);
    volkLoadInstance(application->instance);
    assert_true(vkEnumeratePhysicalDevices(application->instance, &one, &application->physical) >= 0);
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo device = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue};
    assert_int_equal(vkCreateDevice(application->physical, &device, NULL, &application->device), VK_SUCCESS);
    vkGetDeviceQueue(application->device, 0, 0, &application->queue);
}

static void application_close(struct application *application)
{
    /* Still whole: vkgan destroyed nothing of it. */
    assert_int_equal(vkDeviceWaitIdle(application->device), VK_SUCCESS);
    vkDestroyDevice(application->device, NULL);
    vkDestroyInstance(application->instance, NULL);
}

static void lock(void *user)
{
    ++((struct application *)user)->locks;
}

static void unlock(void *user)
{
    ++((struct application *)user)->unlocks;
}

static void an_adopted_device_works(void **state)
{
    (void)state;
    struct application application;
    vkg_device *device, *own;
    application_open(&application);
    vkg_device_adopt_desc desc = {
        .log = &collecting,
        .instance = application.instance,
        .physical_device = application.physical,
        .device = application.device,
        .queue = application.queue,
        .get_instance_proc_addr = vkGetInstanceProcAddr,
        .lock_queue = lock,
        .unlock_queue = unlock,
        .lock_user = &application,
        .kernels = "tiled",
    };
    assert_int_equal(vkg_device_adopt(&desc, &device), VKG_OK);
    const vkg_device_caps *caps = vkg_device_get_caps(device);
    assert_int_equal(caps->api_version[1], 1);
    assert_int_equal(caps->kernels, VKG_KERNELS_TILED);
    assert_false(caps->fp16_storage || caps->shader_float16 || caps->timeline_semaphore ||
                 caps->subgroup_size_control);
    own = open_device();
    struct job job, own_job;
    job_start(&job, device, 7);
    job_start(&own_job, own, 8);
    job_finish(&job, 7);
    job_finish(&own_job, 8);
    vkg_device_destroy(&own);
    vkg_device_destroy(&device);
    assert_true(application.locks >= 2 && application.locks == application.unlocks);
    application_close(&application);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 0);
}

static const struct application *locked_application;
static PFN_vkQueueSubmit true_submit;
static unsigned locked_submits;

static VkResult VKAPI_CALL submit_locked(VkQueue queue, uint32_t count, const VkSubmitInfo *infos, VkFence fence)
{
    locked_submits += locked_application->locks == locked_application->unlocks + 1 && queue == locked_application->queue;
    return true_submit(queue, count, infos, fence);
}

static void an_adopted_queue_is_locked_for_uploads_too(void **state)
{
    (void)state;
    struct application application;
    vkg_device *device;
    VkSemaphore arrived;
    struct job job;
    application_open(&application);
    const vkg_device_adopt_desc desc = {
        .log = &collecting, .instance = application.instance, .physical_device = application.physical,
        .device = application.device, .queue = application.queue, .get_instance_proc_addr = vkGetInstanceProcAddr,
        .lock_queue = lock, .unlock_queue = unlock, .lock_user = &application};
    setenv("VKGAN_TRANSFER_QUEUE", "1", 1);
    assert_int_equal(vkg_device_adopt(&desc, &device), VKG_OK);
    assert_true(device->uploads_apart && !vkg_device_get_caps(device)->transfer_queue);
    locked_application = &application;
    locked_submits = 0;
    true_submit = device->vk.vkQueueSubmit;
    device->vk.vkQueueSubmit = submit_locked;
    job_start(&job, device, 7);
    assert_int_equal(device_wait(device, job.fence), VKG_OK);
    const VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
    assert_int_equal(device->vk.vkCreateSemaphore(device->handle, &info, NULL, &arrived), VK_SUCCESS);
    assert_int_equal(device_submit_transfer(device, job.command, arrived), VKG_OK);
    assert_int_equal(device_submit_after(device, arrived, 0, NULL, VK_NULL_HANDLE), VKG_OK);
    job_finish(&job, 7);
    assert_int_equal(locked_submits, 4); /* the last is of the wait */
    device->vk.vkDestroySemaphore(device->handle, arrived, NULL);
    vkg_device_destroy(&device);
    application_close(&application);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 0);
}

static void half_a_description_is_refused(void **state)
{
    (void)state;
    struct application application;
    vkg_device *device;
    application_open(&application);
    vkg_device_adopt_desc whole = {.log = &collecting,
                                   .instance = application.instance,
                                   .physical_device = application.physical,
                                   .device = application.device,
                                   .queue = application.queue};
    vkg_device_adopt_desc desc = whole;
    desc.queue = VK_NULL_HANDLE;
    assert_int_equal(vkg_device_adopt(&desc, &device), VKG_ERROR_INVALID);
    assert_null(device);
    assert_said(VKG_LOG_ERROR, "queue");
    desc = whole;
    desc.lock_queue = lock;
    assert_int_equal(vkg_device_adopt(&desc, &device), VKG_ERROR_INVALID);
    desc = whole;
    desc.api_version = VK_API_VERSION_1_0;
    assert_int_equal(vkg_device_adopt(&desc, &device), VKG_ERROR_UNSUPPORTED);
    desc = whole;
    desc.queue_family = 1000;
    assert_int_equal(vkg_device_adopt(&desc, &device), VKG_ERROR_INVALID);
    assert_said(VKG_LOG_ERROR, "1000");
    desc = whole;
    desc.kernels = "fast";
    assert_int_equal(vkg_device_adopt(&desc, &device), VKG_ERROR_INVALID);
    assert_int_equal(seen.count[VKG_LOG_ERROR], 5);
    application_close(&application);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, prepare, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(list_counts_and_describes),
        TEST(list_takes_no_more_than_its_room),
        TEST(opens_by_index_and_by_part_of_name),
        TEST(unknown_name_lists_what_there_is),
        TEST(kernels_are_chosen_and_checked),
        TEST(validation_variable_is_strict),
        TEST(a_family_that_only_copies_is_found),
        TEST(the_transfer_queue_is_used_where_it_is_wanted),
        TEST(only_staging_is_shared_by_two_families),
        TEST(no_driver_names_the_package),
        TEST(robust_access_is_on_request),
        TEST(buffers_of_every_kind),
        TEST(too_large_a_buffer_is_refused),
        TEST(full_memory_is_one_message),
        TEST(a_pipeline_is_built_once),
        TEST(what_is_no_pipeline_is_refused),
        TEST(two_devices_work_side_by_side),
        TEST(two_threads_with_a_device_each),
        TEST(validation_has_nothing_to_say),
        TEST(validation_is_heard),
        TEST(validation_sees_a_race),
        TEST(a_lost_device_stays_lost),
        TEST(damaged_pipeline_files_are_ignored),
        TEST(compiled_pipelines_are_kept),
        TEST(no_cache_folder_is_one_warning),
        TEST(cache_folders_are_made),
        TEST(an_adopted_device_works),
        TEST(an_adopted_queue_is_locked_for_uploads_too),
        TEST(half_a_description_is_refused),
    };
    return cmocka_run_group_tests(tests, prepare_all, clean_all);
}
