/* devices: every Vulkan device, and what the library would use of it. */
#include <stdlib.h>
#include <string.h>

#include "app/app.h"

static void print_matrices(const char *type, vkg_matrix_shape shape)
{
    if (shape.m)
        printf("   matrices: %s, %u x %u x %u, summed in fp32\n", type, shape.m, shape.n, shape.k);
}

static void print_device(const vkg_device_caps *c)
{
    printf("%u: %s\n", c->index, c->name);
    printf("   %s, Vulkan %u.%u.%u, driver %s %s\n", vkg_device_type_name(c->type), c->api_version[0], c->api_version[1],
           c->api_version[2], c->driver_name, c->driver_info);
    if (c->problem[0]) {
        printf("   cannot be used: %s\n", c->problem);
        return;
    }
    printf("   kernels: %s\n", vkg_kernel_family_name(c->kernels));
    for (uint32_t i = 0; i < c->heap_count; i++)
        printf("   memory: %.1f GiB%s\n", (double)c->heap_sizes[i] / (1 << 30),
               c->heap_device_local[i] ? ", the device's own" : "");
    printf("   workgroups: %u invocations, %u KiB shared; subgroups of %u%s\n", c->max_workgroup_invocations,
           c->max_shared_memory / 1024, c->subgroup_size, c->subgroup_size_control ? ", size can be chosen" : "");
    printf("   ranges: %.0f MiB a storage buffer, %.1f Mi texels a texel buffer\n",
           (double)c->max_storage_buffer_range / (1 << 20), (double)c->max_texel_buffer_elements / (1 << 20));
    printf("   found:%s%s%s%s%s%s\n", c->fp16_storage ? " fp16 storage," : "", c->shader_float16 ? " fp16 arithmetic," : "",
           c->subgroup_arithmetic ? " subgroup arithmetic," : "", c->timeline_semaphore ? " timeline semaphores," : "",
           c->transfer_queue ? " a queue for copies," : "",
           c->cooperative_matrix ? " cooperative matrices" : " no cooperative matrices");
    print_matrices("fp16", c->matrix_float16);
    print_matrices("bf16", c->matrix_bfloat16);
    if (c->max_loop_iterations != UINT32_MAX)
        printf("   known fault: loops end after 65,535 iterations; sums are cut to stay below\n");
}

struct found {
    uint32_t tested, chosen;
};

static void print_note(void *user, const char *key, const char *value)
{
    struct found *found = user;
    const bool kernel = strncmp(key, "kernel ", 7) == 0;
    found->tested += kernel;
    found->chosen += !kernel;
    if (kernel && strncmp(value, "wrong", 5) == 0)
        printf("   distrusted, and not used: %s (%s)\n", key, value);
}

/* What earlier programs found out about it. A device that cannot be opened has said so itself. */
static void print_notes(vkg_app *app, uint32_t index)
{
    char name[16];
    struct found found = {0};
    vkg_device *device;
    const vkg_log quiet = {0};
    snprintf(name, sizeof name, "%u", index);
    if (vkg_device_create(&(vkg_device_desc){.log = &quiet, .name = name, .kernels = app->options.kernels}, &device) != VKG_OK)
        return;
    vkg_device_each_note(device, print_note, &found);
    printf("   kernels tested: %u; convolutions with kernels chosen by measurement: %u\n", found.tested, found.chosen);
    vkg_device_destroy(&device);
}

int command_devices(vkg_app *app)
{
    uint32_t count = 0;
    if (app->options.kernels)
        setenv("VKGAN_KERNELS", app->options.kernels, 1);
    vkg_result result = vkg_device_list(&app->log, NULL, &count);
    vkg_device_caps *caps = calloc(count + 1, sizeof *caps);
    if (result == VKG_OK)
        result = caps ? vkg_device_list(&app->log, caps, &count)
                      : vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for %u devices", count);
    for (uint32_t i = 0; i < count && result == VKG_OK; i++) {
        print_device(&caps[i]);
        if (!caps[i].problem[0])
            print_notes(app, i);
    }
    free(caps);
    return result != VKG_OK;
}
