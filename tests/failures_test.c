/* A device that fails: work that is cancelled, lost or late, and calls without memory. */
#include <stdio.h>
#include <string.h>

#include "on_device.h"
#include "small_programs.h"

/* --- work that does not complete --- */

static PFN_vkQueueSubmit true_submit;
static uint32_t submits_left;
static VkResult submit_answer; /* of the submission that goes wrong: VK_SUCCESS is a cancelled one */
static VKAPI_ATTR VkResult VKAPI_CALL failing_submit(VkQueue q, uint32_t n, const VkSubmitInfo *i, VkFence f)
{
    VkSubmitInfo cancelled = *i; /* its semaphores and its fence work all the same */
    cancelled.commandBufferCount = 0;
    if (submits_left-- != 0)
        return true_submit(q, n, i, f);
    return submit_answer == VK_SUCCESS ? true_submit(q, 1, &cancelled, f) : submit_answer;
}

/* A device of its own, since losses last. Submission `which` of the second run goes wrong: of its inputs' and the others, or,
 * where uploads are not apart, of the others. */
static void lose(vkg_transfer_queue transfer_queue, uint32_t which, VkResult answer)
{
    const bool apart = transfer_queue == VKG_TRANSFER_QUEUE_ON;
    vkg_device *device;
    vkg_graph *graph;
    vkg_program *program;
    vkg_program_stats stats;
    char expected[64];
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = test_log(), .transfer_queue = transfer_queue}, &device), VKG_OK);
    assert_int_equal(vkg_graph_create(test_log(), &graph), VKG_OK);
    vkg_tensor *x = vkg_input(graph, "x", VKG_SHAPE(64, 8));
    vkg_tensor *from_sum = vkg_sub(graph, x, vkg_sum(graph, x, VKG_ALL_AXES, false));
    vkg_output(graph, "sum", vkg_sum(graph, vkg_exp(graph, vkg_sum(graph, from_sum, 1, false)), VKG_ALL_AXES, false));
    assert_int_equal(vkg_program_create(device, graph, NULL, &(vkg_program_desc){.submission_seconds = 1e-12}, &program), VKG_OK);
    stats = vkg_program_get_stats(program);
    assert_true(stats.submissions > 1 && which < stats.submissions);
    memset(vkg_program_input(program, x, 0), 0, 64 * 8 * sizeof(float));
    assert_int_equal(vkg_program_run(program), VKG_OK);
    true_submit = device->vk.vkQueueSubmit;
    submits_left = which;
    submit_answer = answer;
    device->vk.vkQueueSubmit = failing_submit;
    test_expect_errors(true);
    assert_int_equal(vkg_program_run(program), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(vkg_program_run(program), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(test_error_count(), 2);
    snprintf(expected, sizeof expected, "submission %u of %u of \"program\"", apart && which ? which : which + 1,
             stats.submissions);
    if (answer == VK_SUCCESS && !strstr(device->loss, expected))
        fail_msg("\"%s\" does not say \"%s\"", device->loss, expected);
    assert_non_null(strstr(device->loss, "from dispatch")); /* earlier ones may or may not be done yet */
    test_expect_errors(false);
    device->vk.vkQueueSubmit = true_submit;
    device->vk.vkDeviceWaitIdle(device->handle); /* it is well, in truth */
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
    vkg_device_destroy(&device);
}

/* At each of its submissions, with both ways of uploads. */
static void lose_everywhere(VkResult answer)
{
    for (uint32_t which = 0; which < 2; which++)
        lose(VKG_TRANSFER_QUEUE_OFF, which, answer);
    for (uint32_t which = 0; which < 3; which++)
        lose(VKG_TRANSFER_QUEUE_ON, which, answer);
}

static void cancelled_work_is_noticed(void **unused)
{
    (void)unused;
    lose_everywhere(VK_SUCCESS);
}

static void a_loss_names_what_was_in_flight(void **unused)
{
    (void)unused;
    lose_everywhere(VK_ERROR_DEVICE_LOST);
}

/* One submission of a run fails, and the device lives: no semaphore may stay signalled for the next run, which is right, nor
 * be destroyed while a queue is to signal it. */
static void fail_in_part(uint32_t which, bool goes_on)
{
    struct doubling d;
    vkg_device *device = test_device();
    doubling_create(&d, &(vkg_program_desc){.slots = SLOTS, .submission_seconds = 1e-12}, true);
    assert_in_range(which, 0, vkg_program_get_stats(d.program).submissions);
    doubling_write(&d, 1, 1);
    assert_int_equal(vkg_program_submit(d.program, 1), VKG_OK); /* the first run is measured */
    doubling_write(&d, 0, 2);
    assert_int_equal(vkg_program_submit(d.program, 0), VKG_OK); /* in flight meanwhile */
    assert_int_equal(vkg_program_wait(d.program, 1), VKG_OK);
    doubling_write(&d, 1, 3);
    true_submit = device->vk.vkQueueSubmit;
    submits_left = which;
    submit_answer = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    device->vk.vkQueueSubmit = failing_submit;
    test_expect_errors(true);
    vkg_result failed = vkg_program_submit(d.program, 1);
    if (goes_on) {
        submits_left = 0; /* what would tidy up fails as well */
        assert_int_equal(vkg_program_submit(d.program, 1), VKG_ERROR_OUT_OF_MEMORY);
    }
    device->vk.vkQueueSubmit = true_submit;
    assert_int_equal(failed, VKG_ERROR_OUT_OF_MEMORY);
    assert_int_equal(test_error_count(), 1 + goes_on);
    test_expect_errors(false);
    for (uint32_t run = 0; run < 2 * SLOTS && goes_on; run++) {
        const uint32_t slot = (run + 1) % SLOTS;
        assert_int_equal(vkg_program_wait(d.program, slot), VKG_OK);
        if (slot == 0 && run < SLOTS)
            doubling_check(&d, slot);
        doubling_write(&d, slot, 10 + run);
        assert_int_equal(vkg_program_submit(d.program, slot), VKG_OK);
        assert_int_equal(vkg_program_wait(d.program, slot), VKG_OK);
        doubling_check(&d, slot);
    }
    doubling_destroy(&d);
    assert_int_equal(vkg_device_validation_messages(device), 0);
}

static void a_run_sent_in_part_leaves_nothing_behind(void **unused)
{
    (void)unused;
    for (uint32_t which = 0; which < 3; which++) {
        fail_in_part(which, false);
        fail_in_part(which, true);
    }
}

static VKAPI_ATTR VkResult VKAPI_CALL never_done(VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t t)
{
    (void)d, (void)n, (void)f, (void)all, (void)t;
    return VK_TIMEOUT;
}

static void a_wait_without_progress_ends(void **unused)
{
    (void)unused;
    vkg_device *device;
    assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = test_log()}, &device), VKG_OK);
    device->vk.vkWaitForFences = never_done;
    test_expect_errors(true);
    assert_int_equal(device_wait_idle(device), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(device_wait_idle(device), VKG_ERROR_DEVICE_LOST);
    assert_int_equal(test_error_count(), 2);
    test_expect_errors(false);
    device->vk.vkDeviceWaitIdle(device->handle);
    vkg_device_destroy(&device);
}

/* --- every Vulkan call fails once --- */

static uint32_t calls_left;
static bool has_failed;

#define FAILING(call, parameters, arguments)                                                                 \
    static PFN_##call real_##call;                                                                           \
    static VKAPI_ATTR VkResult VKAPI_CALL failing_##call parameters                                          \
    {                                                                                                        \
        has_failed |= calls_left == 0;                                                                       \
        return calls_left-- == 0 ? VK_ERROR_OUT_OF_DEVICE_MEMORY : real_##call arguments;                    \
    }
FAILING(vkCreateBuffer, (VkDevice d, const VkBufferCreateInfo *i, const VkAllocationCallbacks *a, VkBuffer *o), (d, i, a, o))
FAILING(vkAllocateMemory, (VkDevice d, const VkMemoryAllocateInfo *i, const VkAllocationCallbacks *a, VkDeviceMemory *o), (d, i, a, o))
FAILING(vkBindBufferMemory, (VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize o), (d, b, m, o))
FAILING(vkMapMemory, (VkDevice d, VkDeviceMemory m, VkDeviceSize o, VkDeviceSize s, VkMemoryMapFlags f, void **p), (d, m, o, s, f, p))
FAILING(vkCreateBufferView, (VkDevice d, const VkBufferViewCreateInfo *i, const VkAllocationCallbacks *a, VkBufferView *o), (d, i, a, o))
FAILING(vkCreateDescriptorPool, (VkDevice d, const VkDescriptorPoolCreateInfo *i, const VkAllocationCallbacks *a, VkDescriptorPool *o), (d, i, a, o))
FAILING(vkAllocateDescriptorSets, (VkDevice d, const VkDescriptorSetAllocateInfo *i, VkDescriptorSet *o), (d, i, o))
FAILING(vkCreateCommandPool, (VkDevice d, const VkCommandPoolCreateInfo *i, const VkAllocationCallbacks *a, VkCommandPool *o), (d, i, a, o))
FAILING(vkAllocateCommandBuffers, (VkDevice d, const VkCommandBufferAllocateInfo *i, VkCommandBuffer *o), (d, i, o))
FAILING(vkBeginCommandBuffer, (VkCommandBuffer c, const VkCommandBufferBeginInfo *i), (c, i))
FAILING(vkEndCommandBuffer, (VkCommandBuffer c), (c))
FAILING(vkCreateFence, (VkDevice d, const VkFenceCreateInfo *i, const VkAllocationCallbacks *a, VkFence *o), (d, i, a, o))
FAILING(vkCreateSemaphore, (VkDevice d, const VkSemaphoreCreateInfo *i, const VkAllocationCallbacks *a, VkSemaphore *o), (d, i, a, o))
FAILING(vkQueueSubmit, (VkQueue q, uint32_t n, const VkSubmitInfo *i, VkFence f), (q, n, i, f))

#define EACH_CALL(X)                                                                                         \
    X(vkCreateBuffer) X(vkAllocateMemory) X(vkBindBufferMemory) X(vkMapMemory) X(vkCreateBufferView)         \
    X(vkCreateDescriptorPool) X(vkAllocateDescriptorSets) X(vkCreateCommandPool) X(vkAllocateCommandBuffers) \
    X(vkBeginCommandBuffer) X(vkEndCommandBuffer) X(vkCreateFence)                  \
    X(vkCreateSemaphore) X(vkQueueSubmit)
#define INSTALL(call) real_##call = device->vk.call, device->vk.call = failing_##call;
#define RESTORE(call) device->vk.call = real_##call;

/* Builds a state and a program; true when nothing failed. */
static bool try_to_build(struct toy *toy)
{
    vkg_program *program = NULL;
    vkg_result result = vkg_state_create(test_device(), &toy->graph, 1, 1, &toy->state);
    if (result == VKG_OK)
        result = vkg_program_create(test_device(), toy->graph, toy->state, NULL, &program);
    bool built = result == VKG_OK;
    assert_true(built || (program == NULL && test_error_count() == 1));
    vkg_program_destroy(&program);
    vkg_state_destroy(&toy->state);
    return built;
}

static void fail_each_call(bool uploads_apart)
{
    struct toy toy;
    toy_create(&toy, 1);
    vkg_state_destroy(&toy.state);
    vkg_device *device = test_device();
    const bool usual = device->uploads_apart;
    device->uploads_apart = uploads_apart;
    uint32_t calls = 0;
    for (; !calls || has_failed; calls++) {
        test_expect_errors(true);
        calls_left = calls;
        has_failed = false;
        EACH_CALL(INSTALL)
        const bool built = try_to_build(&toy); /* which a card with several heaps may, as the next one has memory */
        EACH_CALL(RESTORE)
        assert_true(built || has_failed);
    }
    test_expect_errors(false);
    device->uploads_apart = usual;
    assert_true(calls > 20); /* so many there are at the least */
    toy_destroy(&toy);
}

static void every_call_may_fail(void **unused)
{
    (void)unused;
    fail_each_call(false);
    fail_each_call(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancelled_work_is_noticed), cmocka_unit_test(a_loss_names_what_was_in_flight),
        cmocka_unit_test(a_run_sent_in_part_leaves_nothing_behind), cmocka_unit_test(a_wait_without_progress_ends),
        cmocka_unit_test(every_call_may_fail)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
