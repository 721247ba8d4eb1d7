/* The device room: everything that the rest of the library needs of Vulkan.
 * Who calls Vulkan beside this folder: docs/architecture.md. */
#ifndef VKG_DEVICE_DEVICE_H
#define VKG_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <volk.h>

#include "device/instance.h"
#include "vkgan/device.h"

struct pipeline_cache;

enum { DEVICE_LOSS_TEXT = 384 };

/* Somebody who sends work and can tell how far it is. */
struct device_watch {
    /* What was begun or sent last and is not done; false: nothing. */
    bool (*in_flight)(void *user, char *text, size_t size);
    uint64_t (*progress)(void *user); /* changes whenever a submission completes */
    void *user;
    struct device_watch *next;
};

struct vkg_device {
    vkg_log log;
    vkg_device_caps caps; /* public, plain: see vkgan/device.h */
    VkInstance instance;
    uint32_t instance_version; /* of Vulkan, as the instance was made for */
    VkPhysicalDevice physical;
    VkDevice handle;
    VkQueue queue; /* compute queue; every submission goes through queue.c */
    uint32_t queue_family;
    bool uploads_apart; /* inputs go to the device in submissions of their own, by transfer_queue, */
    uint64_t apart_from; /* where a run has so many bytes of them */
    VkQueue transfer_queue; /* the compute queue itself, where it stands in, or nothing is apart */
    uint32_t transfer_family;
    VkPhysicalDeviceMemoryProperties memory;
    struct VolkDeviceTable vk; /* the device's own entry points: several devices can live side by side */
    struct instance_functions instance_vk; /* its instance's */
    struct pipeline_cache *pipelines;
    struct notes *notes;
    bool autotune; /* kernels are chosen by measurement, and noted choices count */
    bool self_test; /* kernels are tested before they are used, and distrusted ones are not */
    bool tested;    /* program/self_test.c has found the kernels that every program may use to work */
    bool owned; /* false: adopted from the application */
    bool lost;  /* sticky */
    char loss[DEVICE_LOSS_TEXT]; /* what was in flight then; "" where nothing is known */
    double work_rate;            /* work a second, as the last measured program saw it (pace.c); 0: none yet */
    double stall_seconds;        /* a wait in which nothing completes for so long is a loss; 0: the default (queue.c) */
    struct device_watch *watches;
    VkFence idle; /* of device_wait_idle; made at its first use */
    void (*lock_queue)(void *user); /* adopted devices only; may be NULL */
    void (*unlock_queue)(void *user);
    void *lock_user;
    struct VkDebugUtilsMessengerEXT_T *messenger;
    uint32_t validation_messages; /* errors and warnings seen since creation, for tests */
};

/* Turns a VkResult into a vkg_result and a message that names the call; remembers a lost device. */
vkg_result device_check(vkg_device *device, VkResult result, const char *call);

/* The device counts as lost from now on: `why` goes into the message, with what was in flight (NULL: the watches say). */
vkg_result device_lose(vkg_device *device, const char *why, const char *in_flight);

/* --- memory: few, large blocks; sub-ranges are the planner's work --- */
enum buffer_kind {
    BUFFER_DEVICE,   /* tensors: storage, uniform texel, transfer; device local where there is such */
    BUFFER_STAGING,  /* device local where there is such; copied to by the transfer queue and from by the compute queue */
    BUFFER_UPLOAD,   /* host visible and coherent, mapped; source of copies */
    BUFFER_READBACK, /* host visible (cached if possible) and coherent, mapped; destination of copies */
};

struct buffer {
    VkBuffer handle;
    VkDeviceMemory memory;
    VkDeviceSize size;
    void *mapped; /* NULL for BUFFER_DEVICE and BUFFER_STAGING, even where that memory happens to be host visible */
};

vkg_result buffer_create(vkg_device *device, enum buffer_kind kind, VkDeviceSize size, const char *name,
                         struct buffer *buffer);
void buffer_destroy(vkg_device *device, struct buffer *buffer); /* clears it; a zeroed one is fine */

/* Lavapipe (Mesa 22.3) takes bits 8 to 15 of a texel view's bytes for the levels of a picture. It compiles a kernel, for up to a second,
 * once for views with such bits and once for those without, and again for buffers of 2ⁿ bytes; and what it compiled second, it does
 * not find in its cache on disk. So all views have such bits, and no buffer of tensors has 2ⁿ bytes: it is larger than asked for by
 * VIEW_MARGIN at the most. */
enum { VIEW_STEP = 256, VIEW_MARGIN = 2 * VIEW_STEP };
/* What a texel view of so many bytes of a buffer shows: those, and up to VIEW_STEP behind them. */
uint64_t view_bytes(uint64_t bytes);

/* --- pipelines: one per distinct (SPIR-V, specialisation), kept for the life of the device --- */
enum binding_kind { BINDING_STORAGE, BINDING_TEXEL };

#define PIPELINE_MAX_BINDINGS 16
#define PIPELINE_MAX_CONSTANTS 96
#define PIPELINE_PUSH_BYTES 128 /* the least that Vulkan promises */

struct pipeline_desc {
    const char *name; /* for messages and debug labels */
    const uint32_t *spirv;
    size_t spirv_bytes;
    uint32_t binding_count;
    enum binding_kind bindings[PIPELINE_MAX_BINDINGS];
    uint32_t constant_count; /* specialisation constants 0 … count−1, 32 bits each */
    uint32_t constants[PIPELINE_MAX_CONSTANTS];
    /* 0: the driver's choice. Else full subgroups of this size, where caps.cooperative_matrix; the workgroup is a
     * multiple of it. */
    uint32_t subgroup_size;
};

struct pipeline {
    VkPipeline handle;
    VkPipelineLayout layout; /* one descriptor set, PIPELINE_PUSH_BYTES of push constants, compute stage */
    VkDescriptorSetLayout set_layout;
};

/* Finds or builds. The result lives as long as the device. Thread-safety: one thread at a time a device. */
vkg_result pipeline_get(vkg_device *device, const struct pipeline_desc *desc, const struct pipeline **pipeline);
/* Says that such a pipeline will be asked for. */
vkg_result pipelines_want(vkg_device *device, const struct pipeline_desc *desc);
/* Builds those that were wanted on all processors, since drivers of graphics cards compile for a tenth of a second and more
 * each. One that fails is left to pipeline_get, which tries again and says why. */
void pipelines_build(vkg_device *device);
/* The same; the calling thread calls meanwhile(beside) over and over until they are built. */
void pipelines_build_beside(vkg_device *device, bool (*meanwhile)(void *beside), void *beside);
/* How many it would build. */
size_t pipelines_unbuilt(const vkg_device *device);
/* false: it does nothing on this device, so that nothing need be wanted. */
bool pipelines_build_pays(const vkg_device *device);

/* The folder for caches on disk, made already; NULL where there is none (it could not be made). */
const char *device_cache_folder(const vkg_device *device);

/* --- notes: what was found out about kernels on this device, kept as text in the cache folder --- */

/* Valid until the next call that sets notes; NULL: nothing is noted of that key. */
const char *device_note(const vkg_device *device, const char *key);
/* Neither may hold a newline, nor the key " = ". */
vkg_result device_set_note(vkg_device *device, const char *key, const char *value);
/* Writes the file where there is something new; a warning where it cannot be written. */
void device_save_notes(vkg_device *device);

/* --- the queues --- */
vkg_result device_submit(vkg_device *device, uint32_t count, const VkCommandBuffer *commands, VkFence fence);
/* Copies, on the transfer queue; they signal `arrived` (binary), which one device_submit_after must wait for. */
vkg_result device_submit_transfer(vkg_device *device, VkCommandBuffer commands, VkSemaphore arrived);
/* device_submit whose copies wait for that semaphore; VK_NULL_HANDLE: for nothing. */
vkg_result device_submit_after(vkg_device *device, VkSemaphore arrived, uint32_t count, const VkCommandBuffer *commands,
                               VkFence fence);
/* Waits as long as work completes: where none does for device->stall_seconds, the device counts as lost. */
vkg_result device_wait(vkg_device *device, VkFence fence);
/* Waits, with the same bound, until everything that was sent to the compute queue is done, and with it what that waited for. */
vkg_result device_wait_idle(vkg_device *device);

#endif
