/* Which of the devices: by index, by part of its name, or the best. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/internal.h"

static vkg_result list_physical(vkg_device *device, VkPhysicalDevice **devices, uint32_t *count)
{
    PFN_vkEnumeratePhysicalDevices enumerate = device->instance_vk.vkEnumeratePhysicalDevices;
    *devices = NULL;
    *count = 0;
    VkResult result = enumerate(device->instance, count, NULL);
    /* Drivers that fail to start report it here. */
    if (result == VK_ERROR_INITIALIZATION_FAILED || result == VK_ERROR_INCOMPATIBLE_DRIVER ||
        (result >= 0 && *count == 0))
        return vkg_fail(&device->log, VKG_ERROR_NO_DEVICE, NO_DRIVER_MESSAGE);
    if (result < 0)
        return device_check(device, result, "vkEnumeratePhysicalDevices");
    *devices = calloc(*count, sizeof **devices);
    if (!*devices)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "no memory to list the Vulkan devices");
    result = enumerate(device->instance, count, *devices);
    if (result < 0) {
        free(*devices);
        *devices = NULL;
        return device_check(device, result, "vkEnumeratePhysicalDevices");
    }
    return VKG_OK;
}

/* Every device, inspected. Free *candidates with free(). */
static vkg_result list_candidates(vkg_device *device, struct candidate **candidates, uint32_t *count)
{
    VkPhysicalDevice *devices;
    *candidates = NULL;
    vkg_result result = list_physical(device, &devices, count);
    if (result != VKG_OK)
        return result;
    *candidates = calloc(*count ? *count : 1, sizeof **candidates);
    if (!*candidates)
        result = vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "no memory to list the Vulkan devices");
    for (uint32_t i = 0; result == VKG_OK && i < *count; ++i) {
        (*candidates)[i].physical = devices[i];
        (*candidates)[i].caps.index = i;
        result = candidate_inspect(device, &(*candidates)[i]);
    }
    free(devices);
    if (result != VKG_OK) {
        free(*candidates);
        *candidates = NULL;
    }
    return result;
}

/* --- choosing --- */

static bool contains(const char *text, const char *part)
{
    size_t length = strlen(part);
    for (; *text; ++text) {
        size_t i = 0;
        while (i < length && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            ++i;
        if (i == length)
            return true;
    }
    return false;
}

/* The index that `name` spells in decimal, or UINT32_MAX. */
static uint32_t parse_index(const char *name)
{
    uint32_t index = 0;
    for (const char *c = name; *c; ++c) {
        if (!isdigit((unsigned char)*c) || c - name >= 9)
            return UINT32_MAX;
        index = index * 10 + (uint32_t)(*c - '0');
    }
    return *name ? index : UINT32_MAX;
}

static int rank(const struct candidate *candidate)
{
    static const int ranks[] = {
        [VKG_DEVICE_DISCRETE] = 0, [VKG_DEVICE_INTEGRATED] = 1, [VKG_DEVICE_VIRTUAL] = 2,
        [VKG_DEVICE_CPU] = 3,      [VKG_DEVICE_OTHER] = 4,
    };
    return ranks[candidate->caps.type] + (*candidate->caps.problem ? 100 : 0);
}

/* The best of those whose names contain `name`; NULL where none does. */
static struct candidate *find_best(struct candidate *candidates, uint32_t count, const char *name)
{
    struct candidate *best = NULL;
    for (uint32_t i = 0; i < count; ++i) {
        if (name && !contains(candidates[i].caps.name, name))
            continue;
        if (!best || rank(&candidates[i]) < rank(best))
            best = &candidates[i];
    }
    return best;
}

/* "0 llvmpipe (LLVM 15.0.6, 256 bits); 1 …", cut where the text is full. */
static void list_names(const struct candidate *candidates, uint32_t count, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < count && used < size; ++i) {
        int more = snprintf(text + used, size - used, "%s%u %s", i ? "; " : "", i, candidates[i].caps.name);
        used += more > 0 ? (size_t)more : 0;
    }
}

vkg_result device_select(vkg_device *device, const char *name, struct candidate *selected)
{
    struct candidate *candidates;
    uint32_t count;
    vkg_result result = list_candidates(device, &candidates, &count);
    if (result != VKG_OK)
        return result;
    /* Digits that are no index may be part of a name: "4090". */
    uint32_t index = name ? parse_index(name) : UINT32_MAX;
    struct candidate *chosen = index < count ? &candidates[index] : find_best(candidates, count, name);
    if (!chosen) {
        char names[700];
        list_names(candidates, count, names, sizeof names);
        result = vkg_fail(
            &device->log, VKG_ERROR_NO_DEVICE,
            "there is no Vulkan device \"%.200s\", expected the index or a part of the name of one of: %s",
            name ? name : "", names);
    } else if (*chosen->caps.problem) {
        result = vkg_fail(&device->log, VKG_ERROR_NO_DEVICE, "the device %u \"%s\" cannot be used: %s",
                          chosen->caps.index, chosen->caps.name, chosen->caps.problem);
    } else {
        *selected = *chosen;
    }
    free(candidates);
    return result;
}

/* --- the public list --- */

static vkg_result fill_list(vkg_device *device, vkg_device_caps *caps, uint32_t room, uint32_t *count)
{
    struct candidate *candidates = NULL;
    vkg_result result = instance_open(device, false);
    if (result == VKG_OK)
        result = list_candidates(device, &candidates, count);
    for (uint32_t i = 0; result == VKG_OK && i < *count; ++i) {
        result = kernels_choose(&device->log, setting(NULL, "VKGAN_KERNELS"), &candidates[i].caps);
        if (result == VKG_OK && caps && i < room)
            caps[i] = candidates[i].caps;
    }
    free(candidates);
    instance_close(device);
    return result;
}

vkg_result vkg_device_list(const vkg_log *log, vkg_device_caps *caps, uint32_t *count)
{
    uint32_t room = *count;
    *count = 0;
    /* Only the instance of it is used. */
    vkg_device *device = calloc(1, sizeof *device);
    if (!device)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "vkg_device_list: no memory");
    if (log)
        device->log = *log;
    vkg_result result = fill_list(device, caps, room, count);
    free(device);
    if (result != VKG_OK)
        *count = 0;
    return result;
}
