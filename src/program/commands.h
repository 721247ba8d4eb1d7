/* Command buffers: what is written into them, in the loop's own recording and in a profile's. */
#ifndef VKG_PROGRAM_COMMANDS_H
#define VKG_PROGRAM_COMMANDS_H

#include "program/program.h"

enum { COMPUTE = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, TRANSFER = VK_PIPELINE_STAGE_TRANSFER_BIT };

vkg_result commands_pool_create(vkg_device *device, uint32_t queue_family, VkCommandPool *pool);
/* Allocates a command buffer and begins it; it may be queued by several runs at once. */
vkg_result commands_begin(vkg_device *device, VkCommandPool pool, VkCommandBuffer *commands);
vkg_result commands_end(vkg_device *device, VkCommandBuffer commands);
/* What `from` wrote is there for `to`: COMPUTE, TRANSFER and the host stage. */
void commands_barrier(vkg_device *device, VkCommandBuffer commands, VkPipelineStageFlags from, VkPipelineStageFlags to);
/* The dispatch alone, without the barrier that it may need. */
void commands_dispatch(const struct vkg_program *program, VkCommandBuffer commands, uint32_t index);

/* Cuts the run before the dispatch that would take a submission past program->submission_seconds, by dispatches[i].seconds,
 * and records it; in place of what was recorded before. Nothing of the program may be in flight. */
vkg_result commands_record_segments(struct vkg_program *program);
/* Does so where the last attempt failed, which left nothing. */
vkg_result commands_want_segments(struct vkg_program *program);
/* How many submissions that would be. */
uint32_t commands_count_segments(const struct vkg_program *program);
/* The copies of a slot's inputs and outputs, and its fence. */
vkg_result commands_record_slot(struct vkg_program *program, const struct lowering *lowering, uint32_t index);

#endif
