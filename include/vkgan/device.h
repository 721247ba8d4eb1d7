/* vkgan: opening a Vulkan device, and what is known of it.
 *
 *     vkg_device_list (what there is) ──▶ vkg_device_create (one of them) ──▶ states and programs on it
 *
 * A program that already has a VkDevice hands it over with vkg_device_adopt (vkgan/vulkan.h). */
#ifndef VKGAN_DEVICE_H
#define VKGAN_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "vkgan/result.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An open Vulkan device with one compute queue, and one for uploads where that is wanted. Everything made on it must be
 * destroyed before it.
 * Thread-safety: one thread at a time a device; several devices may be used by several threads at once. */
typedef struct vkg_device vkg_device;

typedef enum vkg_device_type {
    VKG_DEVICE_OTHER,
    VKG_DEVICE_INTEGRATED,
    VKG_DEVICE_DISCRETE,
    VKG_DEVICE_VIRTUAL,
    VKG_DEVICE_CPU, /* a driver that computes on the processor: lavapipe, SwiftShader */
} vkg_device_type;

/* The same operations, written for the kinds of device that exist. */
typedef enum vkg_kernel_family {
    VKG_KERNELS_PLAIN, /* one thread an element, no tricks: every device, and what the others are checked
                          against */
    VKG_KERNELS_TEXEL, /* reads through texel buffers: much faster on drivers that run on a processor */
    VKG_KERNELS_TILED, /* tiles in shared memory: graphics cards */
} vkg_kernel_family;

#define VKG_DEVICE_NAME_SIZE 256
#define VKG_DEVICE_HEAPS     16

/* Matrices [m,k] · [k,n] = [m,n]. */
typedef struct vkg_matrix_shape {
    uint32_t m, n, k;
} vkg_matrix_shape;

/* What a device is, what it can do, and what the library uses of it. Sizes are in bytes. */
typedef struct vkg_device_caps {
    /* Who it is. */
    uint32_t index;                         /* in vkg_device_list; UINT32_MAX for an adopted device */
    char name[VKG_DEVICE_NAME_SIZE];        /* "AMD Radeon RX 6800 (RADV NAVI21)", for example */
    char driver_name[VKG_DEVICE_NAME_SIZE]; /* "radv"; "" where the driver does not say */
    char driver_info[VKG_DEVICE_NAME_SIZE]; /* "Mesa 22.3.6"; "" where the driver does not say */
    /* "" for a device that can be used; otherwise what it lacks, and vkg_device_create refuses it. */
    char problem[128];
    vkg_device_type type;
    uint32_t api_version[3];   /* the Vulkan version that is used: major, minor, patch */
    uint32_t vendor_id;        /* PCI */
    uint32_t device_id;        /* PCI */
    uint32_t driver_id;        /* VkDriverId; 0 where the driver does not say */
    uint32_t driver_version;   /* as the vendor packs it */
    uint8_t pipeline_uuid[16]; /* VkPhysicalDeviceProperties::pipelineCacheUUID */

    /* What the library chose. */
    vkg_kernel_family kernels;
    /* Iterations of all loops together that one shader invocation may take before the driver ends them, without
     * an error; UINT32_MAX where no such bound is known. */
    uint32_t max_loop_iterations;
    /* No workgroup reads what others of its dispatch wrote, as the driver has no barrier for it. */
    bool workgroups_apart;
    /* Arrays in shared memory have the sizes that shaders are written with: specialisation constants cannot change them. */
    bool shared_sizes_fixed;

    /* Limits, as Vulkan names them. */
    uint64_t max_storage_buffer_range;
    uint64_t min_storage_buffer_offset_alignment;
    uint64_t min_texel_buffer_offset_alignment;
    uint64_t max_texel_buffer_elements;
    uint32_t max_workgroup_size[3];
    uint32_t max_workgroup_invocations; /* no more than max_workgroup_size[0], as kernels' workgroups have one dimension */
    uint32_t max_workgroup_count[3];
    uint32_t max_shared_memory;             /* of one workgroup */
    uint32_t max_storage_buffers_per_stage; /* storage bindings of one kernel */
    uint32_t
        max_texel_buffers_per_stage;  /* texel bindings of one kernel (maxPerStageDescriptorSampledImages) */
    uint32_t max_resources_per_stage; /* bindings of one kernel, of all kinds together */
    uint32_t max_push_constants;
    uint64_t max_memory_allocation_size;
    uint64_t max_buffer_size; /* UINT64_MAX where the driver does not say */
    uint32_t heap_count;
    uint64_t heap_sizes[VKG_DEVICE_HEAPS];
    bool heap_device_local[VKG_DEVICE_HEAPS];
    float timestamp_period;  /* nanoseconds a tick */
    uint32_t timestamp_bits; /* valid bits of a timestamp on the compute queue; 0: it has no timestamps */

    /* Subgroups. min and max differ from size only with subgroup_size_control. */
    uint32_t subgroup_size;
    uint32_t min_subgroup_size;
    uint32_t max_subgroup_size;
    bool subgroup_basic; /* in compute shaders, as the next two */
    bool subgroup_arithmetic;
    bool subgroup_shuffle;
    bool subgroup_size_control; /* enabled */

    /* Enabled where the device has them. */
    bool fp16_storage;   /* 16-bit floats in storage buffers */
    bool shader_float16; /* arithmetic on them */
    bool fp16_texels;    /* texel buffers of them, of one and of four */
    bool timeline_semaphore;
    bool transfer_queue;       /* it has a queue that only copies; used where vkg_device_desc.transfer_queue says */
    bool robust_buffer_access; /* only where it was asked for */
    /* VK_KHR_cooperative_matrix with a shape below, and all that the kernels need beside it: Vulkan 1.2 with its memory
     * model, full subgroups of a chosen size. */
    bool cooperative_matrix;
    /* The matrices that subgroups multiply, by the type of the factors; sums are float32. All 0: not of this type. */
    vkg_matrix_shape matrix_float16;
    vkg_matrix_shape matrix_bfloat16;
} vkg_device_caps;

/* Are kernels chosen by measurement? */
typedef enum vkg_autotune {
    VKG_AUTOTUNE_DEFAULT, /* as VKGAN_AUTOTUNE says, 0 or 1; where that is unset, on all devices but those of type CPU */
    VKG_AUTOTUNE_ON,
    VKG_AUTOTUNE_OFF, /* by shape alone */
} vkg_autotune;

/* Do inputs go to the device apart from the work? */
typedef enum vkg_transfer_queue {
    VKG_TRANSFER_QUEUE_DEFAULT, /* as VKGAN_TRANSFER_QUEUE says, 0 or 1; where that is unset, on discrete cards that have such a
                                   queue, for a MiB or more of inputs a run */
    VKG_TRANSFER_QUEUE_ON,      /* where there is no such queue, the compute queue stands in: slower, for tests */
    VKG_TRANSFER_QUEUE_OFF,     /* in front of each run */
} vkg_transfer_queue;

/* How to open a device. Zero is the default of every field. The strings are read during the call only. */
typedef struct vkg_device_desc {
    /* Where messages go; copied, its user pointer must outlive the device. */
    const vkg_log *log;
    /* The index of a device, or a part of its name, upper or lower case alike. NULL or "": the environment
     * variable VKGAN_DEVICE; where that is unset or empty, the best device: discrete, integrated, virtual, CPU.
     */
    const char *name;
    /* "texel", "tiled" or "plain". NULL or "": the environment variable VKGAN_KERNELS; where that is unset or
     * empty, texel for devices of type CPU whose texel buffers hold at least 2^24 elements, tiled for all
     * others. */
    const char *kernels;
    /* The folder of the pipeline cache; made where it is not there. NULL or "": $VKGAN_CACHE_DIR, else
     * $XDG_CACHE_HOME/vkgan, else $HOME/.cache/vkgan. Where it cannot be made, the device works without a
     * cache, with a warning. */
    const char *cache_dir;
    /* Vulkan's validation layer with synchronisation validation, its messages in the log. Also turned on by the
     * environment variable VKGAN_VALIDATION=1. A warning where the layer is not installed. */
    bool validation;
    /* Out-of-bounds accesses of kernels are harmless instead of undefined; costs speed. For finding faults. */
    bool robust_buffer_access;
    /* When a program is built, the kernels that could run its convolutions and matrix products are timed, and the
     * choices are kept in the cache folder, in a text file kernels-….txt. Once there they stay: the same device, driver
     * and file run the same kernels, so that a training that is resumed computes the same bits. Takes up to two seconds
     * a program the first time, and nothing later. */
    vkg_autotune autotune;
    /* Programs send the inputs of a run by a second queue, the card's copy engine, so that with several slots they cross
     * the bus while the run before still computes. Costs the inputs' size once more in device memory, a slot. Results are
     * the same bits. An adopted device has only the queue that it was adopted with: the environment variable counts. */
    vkg_transfer_queue transfer_queue;
} vkg_device_desc;

/* Opens a device. `desc` may be NULL. On a driver for x86 processors denormal numbers count as 0: some of them compute with those a
 * hundred times slower.
 * Errors: NO_DEVICE (no Vulkan, no device, none of that name, none that can be used: the message lists what
 * there is), INVALID (unknown kernels; VKGAN_VALIDATION, VKGAN_SELF_TEST, VKGAN_AUTOTUNE, VKGAN_MATRICES or
 * VKGAN_TRANSFER_QUEUE neither 0 nor 1), OUT_OF_MEMORY, DEVICE; *device is NULL then. */
VKG_API vkg_result vkg_device_create(const vkg_device_desc *desc, vkg_device **device);
/* Waits for the device, saves its pipeline cache if that grew, closes it and clears the handle. NULL is fine.
 */
VKG_API void vkg_device_destroy(vkg_device **device);
/* Valid as long as the device. `kernels` may change from texel to tiled when the device's first program is built
 * (vkgan/program.h: vkg_program_create), nothing else does. Thread-safety: any, but for that. */
VKG_API const vkg_device_caps *vkg_device_get_caps(const vkg_device *device);

/* Every Vulkan device, with what the library would use of it (VKGAN_KERNELS counts). `*count` is the room in
 * `caps` on entry and the number of devices on return; at most the room is written. `caps` NULL: only counts.
 * `log` may be NULL. Errors: NO_DEVICE (no Vulkan, or no device at all), INVALID (VKGAN_KERNELS),
 * OUT_OF_MEMORY; *count is 0 then. */
VKG_API vkg_result vkg_device_list(const vkg_log *log, vkg_device_caps *caps, uint32_t *count);

/* What was found out about kernels on the device, as its file in the cache folder has it: calls back once a line.
 * "kernel NAME" is "right, …" or "wrong, …" (the self-test; wrong ones are not used: see vkg_program_create); other keys are convolutions, and
 * their values begin with the kernel that was chosen, then tell what was measured. The strings are valid during the
 * callback only. */
VKG_API void vkg_device_each_note(const vkg_device *device,
                                  void (*visit)(void *user, const char *key, const char *value), void *user);

/* How many errors and warnings the validation layer has had since the device was created; 0 without validation.
 * Thread-safety: any. */
VKG_API uint32_t vkg_device_validation_messages(const vkg_device *device);

/* "texel", "tiled" or "plain"; "?" for a number that is no vkg_kernel_family. */
VKG_API const char *vkg_kernel_family_name(vkg_kernel_family family);
/* "discrete", "integrated", "virtual", "CPU" or "other". */
VKG_API const char *vkg_device_type_name(vkg_device_type type);

#ifdef __cplusplus
}
#endif
#endif
