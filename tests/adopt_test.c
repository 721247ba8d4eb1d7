/* A VkDevice that an application hands over: vkgan works on it, under its locks, and leaves it whole. */
#include <stdlib.h>

#include "device_room.h"
#include "vkgan/vulkan.h"

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
        .log = &collecting_log,
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
    struct fill_job job, own_job;
    fill_job_start(&job, device, 7);
    fill_job_start(&own_job, own, 8);
    fill_job_finish(&job, 7);
    fill_job_finish(&own_job, 8);
    vkg_device_destroy(&own);
    vkg_device_destroy(&device);
    assert_true(application.locks >= 2 && application.locks == application.unlocks);
    application_close(&application);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 0);
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
    struct fill_job job;
    application_open(&application);
    const vkg_device_adopt_desc desc = {
        .log = &collecting_log, .instance = application.instance, .physical_device = application.physical,
        .device = application.device, .queue = application.queue, .get_instance_proc_addr = vkGetInstanceProcAddr,
        .lock_queue = lock, .unlock_queue = unlock, .lock_user = &application};
    setenv("VKGAN_TRANSFER_QUEUE", "1", 1);
    assert_int_equal(vkg_device_adopt(&desc, &device), VKG_OK);
    assert_true(device->uploads_apart && !vkg_device_get_caps(device)->transfer_queue);
    locked_application = &application;
    locked_submits = 0;
    true_submit = device->vk.vkQueueSubmit;
    device->vk.vkQueueSubmit = submit_locked;
    fill_job_start(&job, device, 7);
    assert_int_equal(device_wait(device, job.fence), VKG_OK);
    const VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
    assert_int_equal(device->vk.vkCreateSemaphore(device->handle, &info, NULL, &arrived), VK_SUCCESS);
    assert_int_equal(device_submit_transfer(device, job.command, arrived), VKG_OK);
    assert_int_equal(device_submit_after(device, arrived, 0, NULL, VK_NULL_HANDLE), VKG_OK);
    fill_job_finish(&job, 7);
    assert_int_equal(locked_submits, 4); /* the last is of the wait */
    device->vk.vkDestroySemaphore(device->handle, arrived, NULL);
    vkg_device_destroy(&device);
    application_close(&application);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 0);
}

static void half_a_description_is_refused(void **state)
{
    (void)state;
    struct application application;
    vkg_device *device;
    application_open(&application);
    vkg_device_adopt_desc whole = {.log = &collecting_log,
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
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 5);
    application_close(&application);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DEVICE_TEST(an_adopted_device_works),
        DEVICE_TEST(an_adopted_queue_is_locked_for_uploads_too),
        DEVICE_TEST(half_a_description_is_refused),
    };
    return cmocka_run_group_tests(tests, device_room_setup, device_room_teardown);
}
