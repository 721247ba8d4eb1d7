/* A program: dispatches with their memory, recorded. */
#ifndef VKG_PROGRAM_PROGRAM_PRIVATE_H
#define VKG_PROGRAM_PROGRAM_PRIVATE_H

#include "kernels/lowering.h"
#include "program/plan.h"
#include "program/state.h"

/* A tensor that the host writes before a run, or reads after it. */
struct port {
    const vkg_tensor *tensor;
    struct placement placement;
    uint64_t bytes;
    uint64_t offset; /* within one slot of the staging buffer */
};

struct slot {
    VkCommandBuffer upload, download;
    VkFence fence;
    bool in_flight;
};

/* What is remembered of a dispatch, for profiles and messages. */
struct dispatch_info {
    const char *label;
    double flops, bytes;
    uint32_t groups[3];
};

struct vkg_program {
    vkg_device *device;
    struct vkg_state *state;
    const char *name;
    struct port *inputs, *outputs;
    uint32_t input_count, output_count;
    uint64_t input_bytes, output_bytes; /* of one slot */
    struct buffer blocks[PLAN_MAX_BLOCKS];
    uint32_t block_count;
    struct buffer upload, readback; /* all slots */
    struct slot *slots;
    uint32_t slot_count;
    VkCommandPool command_pool;
    VkDescriptorPool descriptor_pool;
    VkBufferView *views;
    size_t view_count;
    VkCommandBuffer *segments; /* the run, cut into submissions */
    uint32_t segment_count;
    VkCommandBuffer *submission; /* room for one submission's command buffers */
    struct dispatch_info *infos; /* stats.dispatches of them */
    vkg_program_stats stats;
};

/* vkg_program_create with every convolution run by its candidate of that number: for trials of kernels. */
vkg_result program_create_candidate(vkg_device *device, vkg_graph *graph, vkg_state *state,
                                    const vkg_program_desc *desc, uint32_t candidate, vkg_program **program);

/* record.c: pipelines, descriptor sets and command buffers out of planned dispatches. */
vkg_result record_program(struct vkg_program *program, const struct lowering *lowering, double submission_cost);
void record_destroy(struct vkg_program *program);

#endif
