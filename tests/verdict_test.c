/* Whether on_device.c's verdict counts: this program must fail, as a whole, on a message of the validation layer. */
#include "on_device.h"

#include <stdlib.h>

#include "device/internal.h"

static void a_buffer_without_usage(void **state)
{
    (void)state;
    vkg_device *device = test_device();
    if (!device->messenger)
        exit(77); /* no layer here: meson's word for a skipped test */
    VkBuffer buffer = VK_NULL_HANDLE;
    VkBufferCreateInfo no_usage = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = 16};
    device->vk.vkCreateBuffer(device->handle, &no_usage, NULL, &buffer);
    device->vk.vkDestroyBuffer(device->handle, buffer, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_buffer_without_usage)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
