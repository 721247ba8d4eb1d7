/* vkgan: state (numbers that last) and programs (graphs made ready to run).
 *
 *     graph ──▶ vkg_state_create (which numbers last) ──▶ vkg_program_create (plan, kernels, recording)
 *           ──▶ vkg_program_submit / vkg_program_wait, again and again
 *
 * A program is built once: kernels, memory plan and command buffers. A run only submits. */
#ifndef VKGAN_PROGRAM_H
#define VKGAN_PROGRAM_H

#include "vkgan/device.h"
#include "vkgan/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- state --- */

typedef struct vkg_state vkg_state;

/* One tensor that lasts. */
typedef struct vkg_state_entry {
    const char *name;
    vkg_dtype dtype;
    vkg_shape shape;    /* as the kernels see it */
    bool trained;       /* a parameter, not a buffer */
    uint64_t elements;
    /* PyTorch's order: axis i there is axis torch_axes[i] here. Files hold PyTorch's order. */
    uint32_t torch_axes[VKG_MAX_RANK];
} vkg_state_entry;

/* Lays out, allocates and initialises every parameter and buffer that the graphs name. Parameters that share
 * the first part of their names (up to the first '.') lie in one contiguous block. `seed` keys initial values
 * and all random operations of the programs. The device must outlive the state; the graphs need not. */
VKG_API vkg_result vkg_state_create(vkg_device *device, vkg_graph *const *graphs, uint32_t graph_count, uint64_t seed,
                                    vkg_state **state);
VKG_API void vkg_state_destroy(vkg_state **state);

VKG_API uint32_t vkg_state_count(const vkg_state *state);
VKG_API const vkg_state_entry *vkg_state_get(const vkg_state *state, uint32_t index);
/* The index of a name, or UINT32_MAX. */
VKG_API uint32_t vkg_state_find(const vkg_state *state, const char *name);
/* Copies one entry out of or into the device, in the kernels' order; waits for the device first. */
VKG_API vkg_result vkg_state_read(vkg_state *state, uint32_t index, void *data);
VKG_API vkg_result vkg_state_write(vkg_state *state, uint32_t index, const void *data);

/* All entries, in PyTorch's axis order, to and from a safetensors file. `step` is kept in the file's metadata.
 * save: written beside and renamed. load: checks everything (every entry there, same shape and type; with
 * `prefix` not NULL only entries with that prefix are asked for) before it changes anything. */
VKG_API vkg_result vkg_state_save(vkg_state *state, const char *path, uint64_t step);
VKG_API vkg_result vkg_state_load(vkg_state *state, const char *path, const char *prefix, uint64_t *step);

/* --- programs --- */

typedef struct vkg_program vkg_program;

typedef struct vkg_program_desc {
    const char *name;         /* for messages; NULL means "program" */
    uint32_t slots;           /* runs that may be in flight, each with its inputs and outputs; 0 means 1 */
    double submission_seconds; /* what a submission should take at the most; 0 means 0.1 */
    bool no_aliasing;         /* every tensor its own memory: for finding faults */
} vkg_program_desc;

/* Differentiated, fused, planned and recorded. Fails with the graph's first error, if it has one. The graph must
 * outlive the program (its tensors name inputs and outputs); the state too. `desc` may be NULL.
 * Kernels are compared with the processor before they are first used, once a device, driver and version of the library:
 * what is wrong is not used, with a warning. UNSUPPORTED: nothing right is left to use; the environment variable
 * VKGAN_SELF_TEST=0 tests nothing and goes on with whatever there is. */
VKG_API vkg_result vkg_program_create(vkg_device *device, vkg_graph *graph, vkg_state *state,
                                      const vkg_program_desc *desc, vkg_program **program);
VKG_API void vkg_program_destroy(vkg_program **program);

/* Where the host puts an input of the next run in `slot`; mapped memory, elements of its
 * dtype in row-major order; NULL for a tensor that is not an input. Write it only while the slot is not in flight. */
VKG_API void *vkg_program_input(vkg_program *program, const vkg_tensor *input, uint32_t slot);
/* Where an output lies once the slot's run is waited for; NULL for a tensor that is not an output. */
VKG_API const void *vkg_program_output(const vkg_program *program, const vkg_tensor *output, uint32_t slot);

/* Sends a run to the device and returns at once. The slot must not be in flight. Allocates nothing. A program's first run
 * is different: it is measured, dispatch by dispatch where the queue has timestamps, and waited for, and the program's
 * submissions are cut anew where they are far from desc.submission_seconds. */
VKG_API vkg_result vkg_program_submit(vkg_program *program, uint32_t slot);
/* Waits for the slot's run; at once where there is none. Each submission must have left its completion word.
 * Errors: DEVICE_LOST, for good: the driver says so, or reported work as done that was not (a word is missing), or nothing
 * completed in a minute (half an hour on a processor). The message names the first dispatches and the last of the
 * submission in flight. */
VKG_API vkg_result vkg_program_wait(vkg_program *program, uint32_t slot);
/* Submits slot 0 and waits. */
VKG_API vkg_result vkg_program_run(vkg_program *program);

typedef struct vkg_program_stats {
    uint64_t temporary_bytes;           /* memory of the run's tensors, after aliasing */
    uint64_t temporary_bytes_unaliased; /* what they would take without */
    uint64_t state_bytes;
    uint32_t dispatches, barriers, submissions, pipelines;
    double flops; /* of convolutions and matrix products, one run; products with padding do not count */
} vkg_program_stats;
VKG_API vkg_program_stats vkg_program_get_stats(const vkg_program *program);

/* One dispatch of a run, measured alone. */
typedef struct vkg_dispatch_profile {
    const char *label;     /* the operation; valid as long as the program */
    uint32_t groups[3];    /* workgroups */
    double flops;          /* of products; 0 for what is bound by memory */
    double bytes;          /* of the tensors that it reads and writes, each once */
    double start, seconds; /* when it began, counted from the run's first dispatch; how long it took */
} vkg_dispatch_profile;

/* Runs slot 0 once, in a recording of its own: barriers and timestamps around every dispatch, so that each is measured
 * alone and the times' sum is more than a run takes where dispatches would overlap. The run counts: it reads the
 * slot's inputs, changes the state and fills the outputs, as vkg_program_run does. Allocates.
 * `*count` is the room in `dispatches` on entry and the number of dispatches on return; at most the room is written,
 * in the order of execution. `dispatches` NULL: only counts, nothing runs.
 * Errors: UNSUPPORTED (caps.timestamp_bits is 0), INVALID (slot 0 is in flight), those of vkg_program_run. */
VKG_API vkg_result vkg_program_profile(vkg_program *program, vkg_dispatch_profile *dispatches, uint32_t *count);

#ifdef __cplusplus
}
#endif
#endif
