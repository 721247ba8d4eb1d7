/* Devices: choosing one, its transfer queue and its memory, the validation layer, and losing it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_room.h"

/* --- choosing --- */

static void list_counts_and_describes(void **state)
{
    (void)state;
    uint32_t count = 0;
    vkg_device_caps caps[16];
    assert_int_equal(vkg_device_list(&collecting_log, NULL, &count), VKG_OK);
    assert_true(count >= 1);
    uint32_t room = 16;
    assert_int_equal(vkg_device_list(&collecting_log, caps, &room), VKG_OK);
    assert_int_equal(room, count);
    for (uint32_t i = 0; i < count && i < 16; ++i) {
        assert_int_equal(caps[i].index, i);
        assert_true(*caps[i].name != 0);
        if (*caps[i].problem)
            continue;
        assert_true(caps[i].max_workgroup_invocations >= 128);
        assert_true(caps[i].max_workgroup_invocations <= caps[i].max_workgroup_size[0]);
        assert_true(caps[i].max_buffer_size >= 1 << 30);
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
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting_log, .name = index}, &device), VKG_OK);
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
    vkg_device_desc desc = {.log = &collecting_log, .name = "no such device"};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_ERROR_NO_DEVICE);
    assert_null(device);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 1);
    assert_said(VKG_LOG_ERROR, "no such device");
    assert_said(VKG_LOG_ERROR, caps.name);
    desc.name = "4294967296";
    assert_int_equal(vkg_device_create(&desc, &device), VKG_ERROR_NO_DEVICE);
    desc.name = "-1";
    assert_int_equal(vkg_device_create(&desc, &device), VKG_ERROR_NO_DEVICE);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 3);
}

static void kernels_are_chosen_and_checked(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting_log, .kernels = "plain"};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    assert_int_equal(vkg_device_get_caps(device)->kernels, VKG_KERNELS_PLAIN);
    vkg_device_destroy(&device);

    setenv("VKGAN_KERNELS", "texel", 1);
    device = open_device();
    assert_int_equal(vkg_device_get_caps(device)->kernels, VKG_KERNELS_TEXEL);
    vkg_device_destroy(&device);

    setenv("VKGAN_KERNELS", "Texel", 1);
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting_log}, &device), VKG_ERROR_INVALID);
    assert_said(VKG_LOG_ERROR, "texel, tiled or plain");
    uint32_t count = 0;
    assert_int_equal(vkg_device_list(&collecting_log, NULL, &count), VKG_ERROR_INVALID);
    assert_int_equal(count, 0);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 2);

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
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting_log}, &device), VKG_ERROR_INVALID);
    assert_said(VKG_LOG_ERROR, "VKGAN_VALIDATION");
}

static void no_driver_names_the_package(void **state)
{
    (void)state;
    vkg_device *device;
    char *files = getenv("VK_DRIVER_FILES") ? strdup(getenv("VK_DRIVER_FILES")) : NULL;
    setenv("VK_DRIVER_FILES", "/nonexistent", 1);
    vkg_result created = vkg_device_create(&(vkg_device_desc){.log = &collecting_log}, &device);
    uint32_t count = 5;
    vkg_result listed = vkg_device_list(&collecting_log, NULL, &count);
    restore_variable("VK_DRIVER_FILES", files);
    assert_int_equal(created, VKG_ERROR_NO_DEVICE);
    assert_null(device);
    assert_int_equal(listed, VKG_ERROR_NO_DEVICE);
    assert_int_equal(count, 0);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 2);
    assert_said(VKG_LOG_ERROR, "mesa-vulkan-drivers");
}

static void robust_access_is_on_request(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting_log, .robust_buffer_access = true, .validation = true};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    assert_true(vkg_device_get_caps(device)->robust_buffer_access);
    assert_int_equal(vkg_device_validation_messages(device), 0);
    vkg_device_destroy(&device);
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
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting_log, .transfer_queue = wanted}, &device), VKG_OK);
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
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting_log}, &device), VKG_ERROR_INVALID);
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
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &collecting_log, .transfer_queue = VKG_TRANSFER_QUEUE_OFF}, &device),
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
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 1);
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
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 4);
    assert_said(VKG_LOG_ERROR, "moments");
    vkg_device_destroy(&device);
}

/* --- the validation layer --- */

static void validation_has_nothing_to_say(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting_log, .validation = true};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    if (!device->messenger) {
        assert_said(VKG_LOG_WARNING, "vulkan-validationlayers");
        vkg_device_destroy(&device);
        skip();
    }
    struct fill_job job;
    fill_job_start(&job, device, 1);
    fill_job_finish(&job, 1);
    assert_int_equal(vkg_device_validation_messages(device), 0);
    vkg_device_destroy(&device);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 0);
    assert_int_equal(seen_messages.count[VKG_LOG_WARNING], 0);
}

static void validation_is_heard(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting_log, .validation = true};
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
    vkg_device_desc desc = {.log = &collecting_log, .validation = true};
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

/* --- loss --- */

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
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 6);
    vkg_device_destroy(&device);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DEVICE_TEST(list_counts_and_describes),
        DEVICE_TEST(list_takes_no_more_than_its_room),
        DEVICE_TEST(opens_by_index_and_by_part_of_name),
        DEVICE_TEST(unknown_name_lists_what_there_is),
        DEVICE_TEST(kernels_are_chosen_and_checked),
        DEVICE_TEST(validation_variable_is_strict),
        DEVICE_TEST(no_driver_names_the_package),
        DEVICE_TEST(robust_access_is_on_request),
        DEVICE_TEST(a_family_that_only_copies_is_found),
        DEVICE_TEST(the_transfer_queue_is_used_where_it_is_wanted),
        DEVICE_TEST(only_staging_is_shared_by_two_families),
        DEVICE_TEST(buffers_of_every_kind),
        DEVICE_TEST(too_large_a_buffer_is_refused),
        DEVICE_TEST(full_memory_is_one_message),
        DEVICE_TEST(validation_has_nothing_to_say),
        DEVICE_TEST(validation_is_heard),
        DEVICE_TEST(validation_sees_a_race),
        DEVICE_TEST(a_lost_device_stays_lost),
    };
    return cmocka_run_group_tests(tests, device_room_setup, device_room_teardown);
}
