/* vkgan: datasets of images, views of them (crops, pairs), and the loader that reads ahead of training.
 *
 *     vkg_dataset_open ──▶ vkg_view_create ──▶ vkg_loader_create ──▶ acquire, submit, release, and again
 *
 * The view is only for crops and pairs: a loader reads whole images without one.
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
     *   IDX, as MNIST's, plain or gzip: the images file, or the folder with train-images-idx3-ubyte[.gz] (or
     *     else t10k-…); the labels file beside it (train-labels-idx1-ubyte[.gz]) is read where there is one;
     *   a folder of PNG and JPEG files, below it too, in the order of their names; what begins with a dot and
     *     links to folders are passed over; transparency is laid on white. Where every file lies in a
     *     sub-folder and there are at least two of these, they are classes, numbered in the order of their
     *     names (torchvision's ImageFolder); one file beside them, or one sub-folder alone: no labels;
     *   one PNG or JPEG file: a set of one;
     *   .npy: uint8 [N,H,W,C] or [N,H,W]; or float32 of the same shapes, all within [−1, 1].
     * NULL means Fashion-MNIST: the environment variable VKGAN_DATA if it is set and not empty, otherwise
     * /usr/share/datasets/fashion-mnist (Debian package dataset-fashion-mnist). */
    const char *path;
    /* 0: as in the data, whose images must then all have one size. Otherwise each is cut to its centre square
     * and resized to image_size × image_size (averaging when smaller, bilinear when larger). */
    uint32_t image_size;
    /* Images keep their own sizes, which may differ: for views that cut parts out of them, and for reading one
     * by one (vkg_dataset_size). Not with image_size. */
    bool any_size;
    /* 0: as in the data (a folder with one colour image is a colour set). 1: grey, Rec. 601 luma. 3: colour. */
    uint32_t channels;
} vkg_dataset_desc;

typedef struct vkg_dataset_info {
    const char *path;                 /* what was opened */
    const char *format;               /* "IDX", "image folder", "npy", "own" */
    uint32_t count;                   /* of images, at least 1 */
    uint32_t height, width, channels; /* as vkg_dataset_read gives them; 0×0 where sizes differ (any_size) */
    uint32_t classes;                 /* the greatest label + 1; 0 where there are no labels */
} vkg_dataset_info;

/* Opens a set. An image folder is looked through (sizes are read, pixels not yet). `desc` may be NULL. `log` is
 * copied; its user pointer must outlive the dataset. Errors: IO (nothing there; a picture or folder that cannot be
 * read), FORMAT (damaged; images of several sizes; no image), INVALID, UNSUPPORTED, OUT_OF_MEMORY; *dataset is NULL then. */
VKG_API vkg_result vkg_dataset_open(const vkg_log *log, const vkg_dataset_desc *desc, vkg_dataset **dataset);
/* A set that the program makes itself: anything that is [height, width, channels] numbers. The strings and arrays are copied;
 * `user` must outlive the dataset. */
typedef struct vkg_dataset_source {
    const char *name;  /* for messages, and what vkg_dataset_info calls its path */
    uint32_t count;    /* of samples, at least 1 */
    uint32_t height, width, channels;
    const int32_t *labels; /* one a sample, −1 for one without; NULL: none */
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
/* The name of a class, its folder's; NULL where the set has no such class or no names. The dataset's. */
VKG_API const char *vkg_dataset_class_name(const vkg_dataset *dataset, int32_t label);
/* The name of an image's file, from the set's folder on ("cat/7.png"); NULL where images are no files. The
 * dataset's. */
VKG_API const char *vkg_dataset_name(const vkg_dataset *dataset, uint32_t index);
/* The size of an image as vkg_dataset_read gives it. Errors: INVALID (index). */
VKG_API vkg_result vkg_dataset_size(const vkg_dataset *dataset, uint32_t index, uint32_t *height,
                                    uint32_t *width);
/* Writes image `index`, height × width × channels floats. Errors: INVALID (index), IO, FORMAT (the message
 * names the file of the image), OUT_OF_MEMORY. */
VKG_API vkg_result vkg_dataset_read(const vkg_dataset *dataset, uint32_t index, float *pixels);

/* --- views: what training sees of an image: a part of it, mirrored; and an input that goes with it --- */

/* Where the input comes from that goes with an image, the *target*. */
typedef enum vkg_pairing {
    VKG_PAIRING_NONE,    /* no input */
    VKG_PAIRING_LEFT,    /* the image holds both side by side: its left half is the input, its right the target */
    VKG_PAIRING_RIGHT,   /* the other way round */
    VKG_PAIRING_DATASET, /* the image of the same name, endings apart, of another set; of the same index where
                          * images are no files. Two of one name in a set are an error */
    /* Made from the target: */
    VKG_PAIRING_GREY,   /* its luma, 1 channel; of targets of 1 or 3 */
    VKG_PAIRING_EDGES,  /* the same, dark on white: 1 − |Sobel's gradient of the luma|, at least −1 */
    VKG_PAIRING_BLOCKS, /* each block of factor × factor pixels becomes its average; the size stays */
    VKG_PAIRING_SMALL,  /* smaller by factor: bicubic, antialiased, in sets of bytes rounded to bytes, as vkg_image_resize: what
                         * super-resolution is trained on. Targets are cut to a multiple at right and bottom */
} vkg_pairing;

/* The steps, in this order, each on target and input alike. Zero leaves a step out. */
typedef struct vkg_view_desc {
    vkg_pairing pairing;
    const vkg_dataset *inputs; /* VKG_PAIRING_DATASET; must outlive the view */
    uint32_t factor;           /* BLOCKS: 0 means 8; SMALL: 0 means 4 */
    uint32_t resize;           /* to resize × resize, whatever the aspect: bicubic, antialiased, within [−1, 1] */
    uint32_t crop;             /* a part of crop × crop: chance says where; the middle in vkg_view_read */
    bool mirror;               /* left and right change places in half of all cases; never in vkg_view_read */
} vkg_view_desc;

/* Thread-safety: one view may be read by several threads at once; destroy it alone. */
typedef struct vkg_view vkg_view;

/* Shapes, height, width, channels; 0×0 in vkg_view_get_shape where they differ from image to image. */
typedef struct vkg_view_shape {
    uint32_t target[3];
    uint32_t input[3]; /* all 0 where there is none */
} vkg_view_shape;

/* A view of all images of a set, opened with any_size where they differ. The dataset must outlive the view.
 * Errors: INVALID (an image smaller than the crop or of odd width, one without a partner or with one of another
 * size: the message names it), OUT_OF_MEMORY; *view is NULL then. */
VKG_API vkg_result vkg_view_create(const vkg_dataset *dataset, const vkg_view_desc *desc, vkg_view **view);
/* Frees the view and clears the handle. Loaders of it must be gone. NULL is fine. */
VKG_API void vkg_view_destroy(vkg_view **view);
VKG_API vkg_view_shape vkg_view_get_shape(const vkg_view *view);
/* Of one image. Errors: INVALID (index). */
VKG_API vkg_result vkg_view_image_shape(const vkg_view *view, uint32_t index, vkg_view_shape *shape);
/* Writes image `index` without chance. `input` may be NULL. Errors: as vkg_dataset_read. */
VKG_API vkg_result vkg_view_read(const vkg_view *view, uint32_t index, float *target, float *input);

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
    /* NULL: images as they are. Otherwise a view of the dataset whose shape is one for all: the pixels of a
     * slot are the targets, and their inputs lie in memory of the loader's own. What chance decides is a pure
     * function of (seed, step, place in the batch). Must outlive the loader. */
    const vkg_view *view;
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
/* What belongs to the pixels of an acquired slot, for as long: labels, one an image, −1 where the set has none;
 * inputs, [batch, height, width, channels], NULL where the view makes none. */
VKG_API const int32_t *vkg_loader_labels(const vkg_loader *loader, uint32_t slot);
VKG_API const float *vkg_loader_inputs(const vkg_loader *loader, uint32_t slot);
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
