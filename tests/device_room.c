#include "device_room.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- messages --- */

static void collect(void *user, vkg_log_level level, const char *message)
{
    struct seen_messages *messages = user;
    assert_null(strchr(message, '\n'));
    ++messages->count[level];
    snprintf(messages->last[level], sizeof messages->last[level], "%s", message);
}

struct seen_messages seen_messages;
const vkg_log collecting_log = {collect, &seen_messages};

void assert_said(vkg_log_level level, const char *part)
{
    if (!strstr(seen_messages.last[level], part))
        fail_msg("the last message is \"%s\", expected \"%s\" in it", seen_messages.last[level], part);
}

/* --- surroundings --- */

char test_cache_dir[] = "/tmp/vkgan-device-test-XXXXXX";
static char *old_device, *old_validation, *old_transfer_queue;

void remove_files(const char *folder)
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

int device_room_setup(void **state)
{
    (void)state;
    unsetenv("VKGAN_KERNELS");
    return mkdtemp(test_cache_dir) && setenv("VKGAN_CACHE_DIR", test_cache_dir, 1) == 0 ? 0 : -1;
}

int device_room_teardown(void **state)
{
    (void)state;
    remove_files(test_cache_dir);
    return rmdir(test_cache_dir);
}

int device_room_prepare(void **state)
{
    (void)state;
    memset(&seen_messages, 0, sizeof seen_messages);
    old_device = getenv("VKGAN_DEVICE") ? strdup(getenv("VKGAN_DEVICE")) : NULL;
    old_validation = getenv("VKGAN_VALIDATION") ? strdup(getenv("VKGAN_VALIDATION")) : NULL;
    old_transfer_queue = getenv("VKGAN_TRANSFER_QUEUE") ? strdup(getenv("VKGAN_TRANSFER_QUEUE")) : NULL;
    return 0;
}

void restore_variable(const char *variable, char *value)
{
    if (value)
        setenv(variable, value, 1);
    else
        unsetenv(variable);
    free(value);
}

int device_room_clean(void **state)
{
    (void)state;
    restore_variable("VKGAN_DEVICE", old_device);
    restore_variable("VKGAN_VALIDATION", old_validation);
    unsetenv("VKGAN_KERNELS");
    restore_variable("VKGAN_TRANSFER_QUEUE", old_transfer_queue);
    remove_files(test_cache_dir);
    return 0;
}

vkg_device *open_device(void)
{
    vkg_device *device;
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting_log}, &device), VKG_OK);
    assert_non_null(device);
    return device;
}

/* --- one dispatch of fill.comp --- */

static const uint32_t fill_spirv[] =
#include "fill.spv.h"
    ;

struct pipeline_desc fill_desc(uint32_t offset)
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

enum { COUNT = 1000 };

static void fill_job_bind(struct fill_job *job, const struct pipeline *pipeline)
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

static void barrier(struct fill_job *job, VkPipelineStageFlags from, VkAccessFlags made, VkPipelineStageFlags to,
                    VkAccessFlags read)
{
    VkMemoryBarrier memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = made, .dstAccessMask = read};
    job->device->vk.vkCmdPipelineBarrier(job->command, from, to, 0, 1, &memory, 0, NULL, 0, NULL);
}

static void fill_job_record(struct fill_job *job, const struct pipeline *pipeline)
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

void fill_job_start(struct fill_job *job, vkg_device *device, uint32_t offset)
{
    const struct pipeline *pipeline;
    struct pipeline_desc desc = fill_desc(offset);
    *job = (struct fill_job){.device = device};
    assert_int_equal(pipeline_get(device, &desc, &pipeline), VKG_OK);
    assert_int_equal(buffer_create(device, BUFFER_DEVICE, 8192, "tensors", &job->tensors), VKG_OK);
    assert_int_equal(buffer_create(device, BUFFER_UPLOAD, 4096, "upload", &job->upload), VKG_OK);
    assert_int_equal(buffer_create(device, BUFFER_READBACK, 4096, "readback", &job->readback), VKG_OK);
    for (int i = 0; i < COUNT; ++i)
        ((float *)job->upload.mapped)[i] = (float)i;
    fill_job_bind(job, pipeline);
    fill_job_record(job, pipeline);
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    assert_int_equal(device->vk.vkCreateFence(device->handle, &fence, NULL, &job->fence), VK_SUCCESS);
    assert_int_equal(device_submit(device, 1, &job->command, job->fence), VKG_OK);
}

void fill_job_finish(struct fill_job *job, uint32_t offset)
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
