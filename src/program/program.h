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
    VkCommandBuffer arrival; /* on the transfer queue, as the next two: arrivals.h */
    VkSemaphore arrived;
    VkSemaphore arriving; /* `arrived` while its signal is not yet waited for by a submission; else VK_NULL_HANDLE */
    bool in_flight;
    bool finished;   /* in flight only for its owner: the first run was waited for */
    uint32_t number; /* of its last run */
};

/* A dispatch that only has to be written into a command buffer: it can be recorded more than once. */
struct prepared_dispatch {
    const char *label;
    const struct pipeline *pipeline;
    VkDescriptorSet set;
    bool barrier; /* it touches what a dispatch since the last barrier wrote, or writes what one read */
    uint32_t groups[3];
    uint32_t push_bytes;
    unsigned char push[PIPELINE_PUSH_BYTES];
    double flops, bytes;
    double seconds; /* estimated, after the first run measured */
};

/* One submission's share of a run. */
struct segment {
    VkCommandBuffer commands;
    uint32_t first, end; /* dispatches */
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
    struct buffer arrivals;         /* what of upload is on the device's side; its handle is NULL where uploads are not apart */
    VkCommandPool arrivals_pool;
    struct slot *slots;
    uint32_t slot_count;
    VkCommandPool command_pool;
    VkDescriptorPool descriptor_pool;
    VkBufferView *views;
    size_t view_count;
    struct prepared_dispatch *dispatches; /* stats.dispatches of them */
    struct segment *segments;             /* the run, cut into submissions */
    uint32_t segment_count;
    double submission_seconds; /* that a segment should take */
    bool measured;             /* the first run is over */
    bool unfed; /* inputs and outputs stay on the device, where nobody fills them: for timing kernels */
    uint32_t runs; /* sent so far */
    bool torn;     /* after an error: a part of a run may be in flight that no slot tells of */
    struct device_watch watch;
    vkg_program_stats stats;
};

/* program.c: the buffer that a planned storage lies in */
VkBuffer program_buffer(const struct vkg_program *program, const struct storage *storage);

/* run.c: sends one run as these segments, the slot's copies around them; the slot's fence ends it. */
vkg_result run_send(struct vkg_program *program, uint32_t slot, const struct segment *segments, uint32_t count);
/* Waits until nothing of the program is in flight any more, parts of runs that were not sent to their end included. */
vkg_result run_settle(struct vkg_program *program);

/* vkg_program_create with every convolution run by its candidate of that number: for trials of kernels. */
vkg_result program_create_candidate(vkg_device *device, vkg_graph *graph, vkg_state *state,
                                    const vkg_program_desc *desc, uint32_t candidate, vkg_program **program);
/* The same, unfed, and without state. */
vkg_result program_create_unfed(vkg_device *device, vkg_graph *graph, const char *name, uint32_t candidate, vkg_program **program);

/* Lowers as program_create_candidate does, only to say which pipelines that will ask for. */
vkg_result program_want_pipelines(vkg_device *device, vkg_graph *graph, vkg_state *state, uint32_t candidate);

/* trials.c: one convolution of inputs of `dtype`, with an epilogue and slopes of TRIAL_SLOPE. */
struct conv_trial {
    enum conv_direction direction;
    const struct conv_problem *problem;
    vkg_dtype dtype;
    uint32_t candidate;
    uint32_t epilogue; /* its constant */
    bool unfed;
};

/* A program that is that convolution, run by that candidate; tensors: its two inputs, the convolution, the inputs for a bias
 * and for what decides the slopes, or NULL, the result, with EPILOGUE_MOMENTS the sums and variances of its columns, with
 * EPILOGUE_COPY the copy as float32; with EPILOGUE_ONLY_COPY the result itself is no output. Destroy the program, then the
 * graph, after an error too. */
enum { CONV_TRIAL_TENSORS = 9 };
#define TRIAL_SLOPE 0.25f
vkg_result conv_trial_create(vkg_device *device, const struct conv_trial *trial, vkg_graph **graph, vkg_program **program,
                             vkg_tensor *tensors[CONV_TRIAL_TENSORS]);
/* Says which pipelines that will ask for. */
vkg_result conv_trial_want(vkg_device *device, const struct conv_trial *trial);

/* run.c: submits these commands at once, and waits. Slot 0 must not be in flight. */
vkg_result program_submit_commands(struct vkg_program *program, uint32_t count, const VkCommandBuffer *commands);

/* record.c: pipelines, descriptor sets and command buffers out of planned dispatches. */
vkg_result record_program(struct vkg_program *program, const struct lowering *lowering);
void record_destroy(struct vkg_program *program);
/* Says that the pipelines of these dispatches will be asked for, their shaders compiled. */
vkg_result record_want_pipelines(const struct lowering *lowering);

#endif
