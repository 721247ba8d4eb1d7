/* vkgan: datasets of images, and the loader that reads ahead of training.
 *
 *     vkg_dataset_open ──▶ vkg_loader_create ──▶ acquire, submit, release, again and again
 *
 * Images are float32, channels last [H, W, C], from −1 (black) to 1: a byte x becomes x/127.5 − 1. */
#ifndef VKGAN_DATA_H
#define VKGAN_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "vkgan/result.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- datasets --- */

/* Thread-safety: one dataset may be read by several threads at once; destroy it alone. */
typedef struct vkg_dataset vkg_dataset;

typedef struct vkg_dataset_desc {
    /* What to read; the format is found out by looking:
     *   IDX, as MNIST's, plain or gzip: the images file, or the folder with train-images-idx3-ubyte[.gz]; the
     *     labels file beside it (train-labels-idx1-ubyte[.gz]) is read where there is one;
     *   a folder of PNG and JPEG files, below it too, in the order of their names; what begins with a dot and
     *     links to folders are passed over; transparency is laid on white;
     *   .npy: uint8 [N,H,W,C] or [N,H,W]; or float32 of the same shapes, all within [−1, 1].
     * NULL means Fashion-MNIST: the environment variable VKGAN_DATA if it is set and not empty, otherwise
     * /usr/share/datasets/fashion-mnist (Debian package dataset-fashion-mnist). */
    const char *path;
    /* 0: as in the data, whose images must then all have one size. Otherwise each is cut to its centre square
     * and resized to image_size × image_size (averaging when smaller, bilinear when larger). */
    uint32_t image_size;
    /* 0: as in the data (a folder with one colour image is a colour set). 1: grey, Rec. 601 luma. 3: colour. */
    uint32_t channels;
} vkg_dataset_desc;

typedef struct vkg_dataset_info {
    const char *path;                 /* what was opened */
    const char *format;               /* "IDX", "image folder", "npy", "own" */
    uint32_t count;                   /* of images, at least 1 */
    uint32_t height, width, channels; /* as vkg_dataset_read gives them */
    uint32_t classes;                 /* the greatest label + 1; 0 where there are no labels */
} vkg_dataset_info;

/* Opens a set. An image folder is looked through (sizes are read, pixels not yet). `desc` may be NULL. `log` is
 * copied; its user pointer must outlive the dataset. Errors: IO (nothing there), FORMAT (damaged; images of
 * several sizes; no image), INVALID, UNSUPPORTED, OUT_OF_MEMORY; *dataset is NULL then. */
VKG_API vkg_result vkg_dataset_open(const vkg_log *log, const vkg_dataset_desc *desc, vkg_dataset **dataset);
/* A set that the program makes itself: anything that is [height, width, channels] numbers. The strings and arrays are copied;
 * `user` must outlive the dataset. */
typedef struct vkg_dataset_source {
    const char *name;  /* for messages, and what vkg_dataset_info calls its path */
    uint32_t count;    /* of samples, at least 1 */
    uint32_t height, width, channels;
    const uint8_t *labels; /* one a sample; NULL: none */
    /* Writes sample `index`, height × width × channels numbers: the same at every call. Thread-safety: any. */
    vkg_result (*read)(void *user, uint32_t index, float *values);
    void (*close)(void *user); /* called once, when the set is closed, and not when vkg_dataset_create fails; may be NULL */
    void *user;
} vkg_dataset_source;

/* Errors: INVALID (no read, a number that is 0 or a sample of more than 2³⁰ numbers), OUT_OF_MEMORY; *dataset is NULL then. */
VKG_API vkg_result vkg_dataset_create(const vkg_log *log, const vkg_dataset_source *source, vkg_dataset **dataset);
/* Frees the set and clears the handle. Loaders of it must be gone. NULL is fine. */
VKG_API void vkg_dataset_close(vkg_dataset **dataset);
/* The strings belong to the dataset. */
VKG_API vkg_dataset_info vkg_dataset_get_info(const vkg_dataset *dataset);
/* The label of an image, or −1 where the set has none or index is out of range. */
VKG_API int32_t vkg_dataset_label(const vkg_dataset *dataset, uint32_t index);
/* Writes image `index`, height × width × channels floats. Errors: INVALID (index), IO, FORMAT (the message
 * names the file of the image), OUT_OF_MEMORY. */
VKG_API vkg_result vkg_dataset_read(const vkg_dataset *dataset, uint32_t index, float *pixels);

/* --- the loader: a thread that fills batches ahead --- */

/* Thread-safety: acquire and release by one thread at a time each; destroy when no other call is under way. */
typedef struct vkg_loader vkg_loader;

typedef struct vkg_loader_desc {
    uint32_t batch;      /* images a batch, required */
    uint64_t seed;       /* of the order */
    uint64_t first_step; /* the first batch that acquire gives: where a resumed run goes on */
    uint32_t slots;      /* batches in the air, at most 64; 0 means 3 */
    /* Where the batches go: one pointer a slot, each to batch × height × width × channels floats, mapped
     * staging memory for example (it is written once, front to back, and never read). The array is copied, the
     * memory must outlive the loader. NULL: the loader's own memory. */
    float *const *slot_memory;
} vkg_loader_desc;

/* Starts the thread. The dataset must outlive the loader.
 *
 * The order is a pure function of (count, batch, seed, step). Every epoch has a permutation of its own, keyed
 * by (seed, epoch), and gives count/batch whole batches; the images that are left over are skipped in that
 * epoch. Where batch > count, the permutations are strung together and the batches cut from that endless
 * string, so that an image may come several times in a batch. */
VKG_API vkg_result vkg_loader_create(vkg_dataset *dataset, const vkg_loader_desc *desc, vkg_loader **loader);
/* Stops the thread, waits for it, frees the loader, clears the handle; at any moment. NULL is fine. */
VKG_API void vkg_loader_destroy(vkg_loader **loader);
/* Waits for the next batch in order and gives its slot (slots come round: 0, 1, 2, 0, …) and its pixels,
 * [batch, height, width, channels], which stay as they are until the slot is released. When every slot is
 * acquired and none released, the call would wait for ever: INVALID. A fault in the thread (message logged
 * there, once) is returned when its batch is due, and by every later call. `pixels` may be NULL. */
VKG_API vkg_result vkg_loader_acquire(vkg_loader *loader, uint32_t *slot, const float **pixels);
/* Gives a slot back to be filled again: call it when the device has read it. Slots must be released in the
 * order in which they were acquired; INVALID otherwise. */
VKG_API vkg_result vkg_loader_release(vkg_loader *loader, uint32_t slot);
/* The images of the batch of a step, whatever has been acquired: writes `batch` indices of the dataset. For
 * labels, and for tests. Thread-safety: any. Takes time proportional to the dataset's count. */
VKG_API vkg_result vkg_loader_indices(const vkg_loader *loader, uint64_t step, uint32_t *indices);

#ifdef __cplusplus
}
#endif
#endif
