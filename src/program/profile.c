/* Profiles: one run in a recording of its own, with a timestamp on both sides of every dispatch. */
#include <stdlib.h>

#include "base/clock.h"
#include "program/commands.h"
#include "program/completion.h"
#include "program/profile.h"

struct profile {
    struct vkg_program *program;
    VkCommandPool commands;
    VkQueryPool stamps; /* two a dispatch: before and after it */
    struct segment *segments;
};

static vkg_result create_stamps(struct profile *profile)
{
    vkg_device *device = profile->program->device;
    const VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                        .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                        .queryCount = 2 * profile->program->stats.dispatches + 1};
    return device_check(device, device->vk.vkCreateQueryPool(device->handle, &info, NULL, &profile->stamps),
                        "vkCreateQueryPool");
}

/* Every dispatch between two barriers, so that it is measured alone. */
static vkg_result record_segment(struct profile *profile, uint32_t index)
{
    struct segment *segment = &profile->segments[index];
    struct vkg_program *program = profile->program;
    vkg_device *device = program->device;
    const struct VolkDeviceTable *vk = &device->vk;
    vkg_result result = commands_begin(device, profile->commands, &segment->commands);
    if (result != VKG_OK)
        return result;
    vk->vkCmdResetQueryPool(segment->commands, profile->stamps, 2 * segment->first, 2 * (segment->end - segment->first));
    for (uint32_t i = segment->first; i < segment->end; i++) {
        commands_barrier(device, segment->commands, COMPUTE | TRANSFER, COMPUTE | TRANSFER);
        vk->vkCmdWriteTimestamp(segment->commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, profile->stamps, 2 * i);
        commands_dispatch(program, segment->commands, i);
        vk->vkCmdWriteTimestamp(segment->commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, profile->stamps, 2 * i + 1);
    }
    completion_record_end(program, segment->commands, index);
    return commands_end(device, segment->commands);
}

/* The same submissions as the program's own: a profile must not run into a watchdog that a run does not. */
static vkg_result record(struct profile *profile)
{
    struct vkg_program *program = profile->program;
    profile->segments = calloc(program->segment_count, sizeof *profile->segments);
    if (!profile->segments)
        return vkg_fail(&program->device->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for a profile", program->name);
    vkg_result result = create_stamps(profile);
    if (result == VKG_OK)
        result = commands_pool_create(program->device, program->device->queue_family, &profile->commands);
    for (uint32_t s = 0; s < program->segment_count && result == VKG_OK; s++) {
        profile->segments[s] = program->segments[s];
        result = record_segment(profile, s);
    }
    return result;
}

static double seconds_between(const vkg_device_caps *caps, uint64_t first, uint64_t second)
{
    uint64_t valid = caps->timestamp_bits < 64 ? (1ull << caps->timestamp_bits) - 1 : UINT64_MAX;
    return (double)((second - first) & valid) * (double)caps->timestamp_period * 1e-9;
}

static vkg_result read_stamps(const struct profile *profile, struct dispatch_time *times)
{
    const struct vkg_program *program = profile->program;
    vkg_device *device = program->device;
    uint32_t count = program->stats.dispatches;
    uint64_t *ticks = calloc(2 * (size_t)count + 1, sizeof *ticks);
    if (!ticks)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for a profile", program->name);
    vkg_result result = VKG_OK;
    if (count)
        result = device_check(device, device->vk.vkGetQueryPoolResults(
            device->handle, profile->stamps, 0, 2 * count, 2 * (size_t)count * sizeof *ticks, ticks, sizeof *ticks,
            VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT), "vkGetQueryPoolResults");
    for (uint32_t i = 0; i < count && result == VKG_OK; i++)
        times[i] = (struct dispatch_time){seconds_between(&device->caps, ticks[0], ticks[2 * i]),
                                          seconds_between(&device->caps, ticks[2 * i], ticks[2 * i + 1])};
    free(ticks);
    return result;
}

static void destroy(struct profile *profile)
{
    const struct VolkDeviceTable *vk = &profile->program->device->vk;
    VkDevice device = profile->program->device->handle;
    vk->vkDestroyCommandPool(device, profile->commands, NULL);
    vk->vkDestroyQueryPool(device, profile->stamps, NULL);
    free(profile->segments);
}

vkg_result profile_run(struct vkg_program *program, uint32_t slot, struct dispatch_time *times, double *whole)
{
    struct profile profile = {.program = program};
    vkg_result result = commands_want_segments(program);
    if (result == VKG_OK)
        result = record(&profile);
    if (result == VKG_OK) {
        const double start = seconds_now();
        result = run_send(program, slot, profile.segments, program->segment_count);
        /* what was sent before an error is still being run */
        vkg_result waited = result == VKG_OK ? vkg_program_wait(program, slot) : device_wait_idle(program->device);
        result = result == VKG_OK ? waited : result;
        *whole = seconds_now() - start;
    }
    if (result == VKG_OK)
        result = read_stamps(&profile, times);
    destroy(&profile);
    return result;
}

static vkg_result check(const struct vkg_program *program)
{
    const vkg_log *log = &program->device->log;
    if (!program->device->caps.timestamp_bits)
        return vkg_fail(log, VKG_ERROR_UNSUPPORTED,
                        "%s: no profile: the compute queue of the device \"%s\" has no timestamps (timestampValidBits is 0)",
                        program->name, program->device->caps.name);
    if (program->slots[0].in_flight)
        return vkg_fail(log, VKG_ERROR_INVALID, "%s: no profile: slot 0 is still in flight: wait for it first", program->name);
    return VKG_OK;
}

vkg_result vkg_program_profile(vkg_program *program, vkg_dispatch_profile *dispatches, uint32_t *count)
{
    uint32_t room = *count;
    *count = program->stats.dispatches;
    if (!dispatches)
        return VKG_OK;
    vkg_result result = check(program);
    if (result != VKG_OK)
        return result;
    struct dispatch_time *times = calloc(*count + 1, sizeof *times);
    if (!times)
        return vkg_fail(&program->device->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for a profile", program->name);
    double whole;
    result = profile_run(program, 0, times, &whole);
    for (uint32_t i = 0; i < *count && i < room && result == VKG_OK; i++) {
        const struct prepared_dispatch *dispatch = &program->dispatches[i];
        dispatches[i] = (vkg_dispatch_profile){
            .label = dispatch->label, .groups = {dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]},
            .flops = dispatch->flops, .bytes = dispatch->bytes, .start = times[i].start, .seconds = times[i].seconds};
    }
    free(times);
    return result;
}
