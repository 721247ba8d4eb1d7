/* Which cooperative matrices a device offers, and which of them the kernels use. */
#include "device/cooperative_matrix.h"

#include <stdlib.h>

#include "base/log.h"
#include "device/internal.h"

static bool is_power_of_two(uint32_t a)
{
    return a && (a & (a - 1)) == 0;
}

/* Sums in float32 by a subgroup. conv_coopmat.comp takes 32 summands at a time, or 64, in eights of halves. */
static bool is_useful(const struct cooperative_matrix_shape *s, int32_t component)
{
    return s->scope == SCOPE_SUBGROUP && !s->saturating && s->a == component && s->b == component &&
           s->c == COMPONENT_FLOAT32 && s->result == COMPONENT_FLOAT32 && is_power_of_two(s->m) &&
           is_power_of_two(s->n) && is_power_of_two(s->k) && s->m >= 8 && s->n >= 8 && s->m <= 32 && s->n <= 32 &&
           s->k >= 8 && s->k <= 32;
}

/* Of several shapes the one of most products: fewer instructions for the same sums. The driver's first among equals. */
static vkg_matrix_shape choose_shape(const struct cooperative_matrix_shape *shapes, uint32_t count, int32_t component)
{
    vkg_matrix_shape chosen = {0};
    for (uint32_t i = 0; i < count; ++i) {
        const struct cooperative_matrix_shape *s = &shapes[i];
        if (is_useful(s, component) && s->m * s->n * s->k > chosen.m * chosen.n * chosen.k)
            chosen = (vkg_matrix_shape){s->m, s->n, s->k};
    }
    return chosen;
}

static bool computes_with_them(vkg_device *device, VkPhysicalDevice physical)
{
    struct cooperative_matrix_stages stages = {.sType = (VkStructureType)STRUCTURE_COOPERATIVE_MATRIX_STAGES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &stages};
    device->instance_vk.vkGetPhysicalDeviceProperties2(physical, &properties);
    return stages.stages & VK_SHADER_STAGE_COMPUTE_BIT;
}

/* What the kernels need beside the matrices themselves: see conv_coopmat.comp. */
static bool can_run_kernels(const struct candidate *candidate)
{
    const vkg_device_caps *caps = &candidate->caps;
    return candidate->version >= VK_API_VERSION_1_2 && candidate->vulkan_memory_model && caps->subgroup_basic &&
           caps->subgroup_size_control && candidate->full_subgroups &&
           caps->subgroup_size >= caps->min_subgroup_size && caps->subgroup_size <= caps->max_subgroup_size;
}

vkg_result cooperative_matrix_inspect(vkg_device *device, struct candidate *candidate)
{
    vkg_device_caps *caps = &candidate->caps;
    enumerate_cooperative_matrices enumerate =
        (enumerate_cooperative_matrices)device->instance_vk.vkGetInstanceProcAddr(
            device->instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    if (!candidate->cooperative_matrix || !enumerate || !can_run_kernels(candidate) ||
        !computes_with_them(device, candidate->physical))
        return VKG_OK;
    uint32_t count = 0;
    VkResult result = enumerate(candidate->physical, &count, NULL);
    struct cooperative_matrix_shape *shapes = calloc(count ? count : 1, sizeof *shapes);
    if (!shapes)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "no memory to list the matrices of a device");
    for (uint32_t i = 0; i < count; ++i)
        shapes[i].sType = (VkStructureType)STRUCTURE_COOPERATIVE_MATRIX_SHAPE;
    if (result >= 0)
        result = enumerate(candidate->physical, &count, shapes);
    if (result >= 0 && caps->shader_float16)
        caps->matrix_float16 = choose_shape(shapes, count, COMPONENT_FLOAT16);
    if (result >= 0 && candidate->bfloat16_matrix)
        caps->matrix_bfloat16 = choose_shape(shapes, count, COMPONENT_BFLOAT16);
    free(shapes);
    caps->cooperative_matrix = caps->matrix_float16.m || caps->matrix_bfloat16.m;
    return device_check(device, result, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
}
