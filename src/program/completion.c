/* Each run has a number. Its first submission copies the number from the slot's memory to a place of the readback buffer;
 * each submission ends by copying it from there to a word of its own. A submission that was cancelled leaves its word
 * behind; where the first one was, all stay behind. Numbers only grow, so that a later run's word is as good. */
#include "program/completion.h"

#include <stdio.h>
#include <string.h>

#include "program/arrivals.h"
#include "program/commands.h"

static uint64_t word_offset(const struct vkg_program *program, uint32_t word)
{
    return program->slot_count * program->output_bytes + word * sizeof(uint32_t);
}

uint64_t completion_bytes(uint64_t dispatches)
{
    return (dispatches + 2) * sizeof(uint32_t); /* there are no more segments than dispatches, and one at the least */
}

void completion_clear(const struct vkg_program *program, uint64_t dispatches)
{
    memset((char *)program->readback.mapped + word_offset(program, 0), 0, completion_bytes(dispatches));
}

void completion_record_begin(const struct vkg_program *program, VkCommandBuffer commands, uint32_t slot)
{
    const VkBufferCopy region = {slot * program->input_bytes, word_offset(program, 0), sizeof(uint32_t)};
    program->device->vk.vkCmdCopyBuffer(commands, arrivals_buffer(program), program->readback.handle, 1, &region);
}

void completion_record_end(const struct vkg_program *program, VkCommandBuffer commands, uint32_t segment)
{
    const VkBufferCopy region = {word_offset(program, 0), word_offset(program, segment + 1), sizeof(uint32_t)};
    commands_barrier(program->device, commands, COMPUTE | TRANSFER, TRANSFER);
    program->device->vk.vkCmdCopyBuffer(commands, program->readback.handle, program->readback.handle, 1, &region);
    commands_barrier(program->device, commands, TRANSFER, VK_PIPELINE_STAGE_HOST_BIT);
}

void completion_start(struct vkg_program *program, uint32_t slot)
{
    program->slots[slot].number = ++program->runs;
    *(uint32_t *)((char *)program->upload.mapped + slot * program->input_bytes) = program->runs;
}

static uint32_t word_of(const struct vkg_program *program, uint32_t segment)
{
    const char *mapped = program->readback.mapped;
    return __atomic_load_n((const uint32_t *)(mapped + word_offset(program, segment + 1)), __ATOMIC_ACQUIRE);
}

/* The first segment of the slot's run that has not completed; segment_count where all have. */
static uint32_t first_missing(const struct vkg_program *program, uint32_t slot)
{
    uint32_t s = 0;
    while (s < program->segment_count && (int32_t)(word_of(program, s) - program->slots[slot].number) >= 0)
        s++;
    return s;
}

static void describe_segment(const struct vkg_program *program, uint32_t s, char *text, size_t size)
{
    const struct segment *segment = &program->segments[s];
    if (segment->first == segment->end)
        snprintf(text, size, "submission %u of %u of \"%s\"", s + 1, program->segment_count, program->name);
    else
        snprintf(text, size, "submission %u of %u of \"%s\", from dispatch %u (%s) to %u (%s)", s + 1,
                 program->segment_count, program->name, segment->first, program->dispatches[segment->first].label,
                 segment->end - 1, program->dispatches[segment->end - 1].label);
}

vkg_result completion_check(struct vkg_program *program, uint32_t slot)
{
    char text[DEVICE_LOSS_TEXT];
    uint32_t missing = first_missing(program, slot);
    if (missing == program->segment_count)
        return VKG_OK;
    describe_segment(program, missing, text, sizeof text);
    return device_lose(program->device, "its driver reported work as done that was not", text);
}

/* --- what the device asks --- */

static bool in_flight(void *user, char *text, size_t size)
{
    const struct vkg_program *program = user;
    uint32_t oldest = UINT32_MAX;
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (program->slots[i].in_flight &&
            (oldest == UINT32_MAX || (int32_t)(program->slots[i].number - program->slots[oldest].number) < 0))
            oldest = i;
    uint32_t missing = oldest == UINT32_MAX ? program->segment_count : first_missing(program, oldest);
    if (missing == program->segment_count)
        return false;
    describe_segment(program, missing, text, size);
    return true;
}

static uint64_t progress(void *user)
{
    const struct vkg_program *program = user;
    uint64_t sum = 0;
    for (uint32_t s = 0; s < program->segment_count; s++)
        sum += word_of(program, s);
    return sum;
}

void completion_watch(struct vkg_program *program)
{
    program->watch = (struct device_watch){.in_flight = in_flight, .progress = progress, .user = program,
                                           .next = program->device->watches};
    program->device->watches = &program->watch;
}

void completion_forget(struct vkg_program *program)
{
    struct device_watch **link = &program->device->watches;
    while (*link && *link != &program->watch)
        link = &(*link)->next;
    if (*link)
        *link = program->watch.next;
}
