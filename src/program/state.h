/* The numbers that last: parameters, running statistics, optimiser moments, in one device buffer. */
#ifndef VKG_PROGRAM_STATE_H
#define VKG_PROGRAM_STATE_H

#include "device/device.h"
#include "vkgan/io.h"
#include "vkgan/program.h"

struct vkg_state {
    vkg_device *device;
    struct state_entry *entries;
    size_t count, capacity;
    struct buffer buffer;
    uint64_t bytes;
};

/* Where a tensor lies in state->buffer. Fails, with a message, for a name that the state does not have. */
vkg_result state_address(const struct vkg_state *state, const char *name, uint64_t *address);

/* The index and the shape of every declaration of the graph are in the state? Says what is missing. */
struct vkg_graph;
vkg_result state_check_graph(const struct vkg_state *state, const struct vkg_graph *graph);

/* vkg_state_load from a file that is open; `path` is what messages call it. */
vkg_result state_load_file(vkg_state *state, const vkg_safetensors *file, const char *path, const char *prefix,
                           uint64_t *step);

/* Copies between host and a device buffer through memory of its own, and waits. Not for the training loop. */
vkg_result transfer_download(vkg_device *device, const struct buffer *source, uint64_t offset, uint64_t bytes, void *data);
vkg_result transfer_upload(vkg_device *device, const struct buffer *target, uint64_t offset, uint64_t bytes,
                           const void *data);
/* The first `bytes` of the buffer, by the device itself. */
vkg_result transfer_fill(vkg_device *device, const struct buffer *target, uint64_t bytes, uint32_t word);

#endif
