/* vkgan: files. safetensors (weights), PNG and grids (pictures), .npy (arrays).
 *
 * Nothing that is read is trusted: a damaged or hostile file gives one message that names the file, the place,
 * what was found and what was expected, and VKG_ERROR_FORMAT.
 * Everything that is written is written beside its name, flushed to the disk and renamed, so that a full disk
 * or a power cut leaves the old file whole; the mode bits of a file that is replaced are kept, a symbolic link
 * stays one. Folders are not created.
 *
 * `log` may be NULL everywhere.
 * Thread-safety: any, for different objects; one vkg_safetensors may be read by several threads at once. */
#ifndef VKGAN_IO_H
#define VKGAN_IO_H

#include <stddef.h>
#include <stdint.h>

#include "vkgan/result.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Dimensions of an array in a file; a file with more is refused. */
#define VKG_FILE_MAX_RANK 8

/* Element types of files. Bytes are little endian. */
typedef enum vkg_file_dtype {
    VKG_FILE_BOOL, /* one byte */
    VKG_FILE_U8,
    VKG_FILE_I8,
    VKG_FILE_F8_E5M2,
    VKG_FILE_F8_E4M3,
    VKG_FILE_U16,
    VKG_FILE_I16,
    VKG_FILE_F16,
    VKG_FILE_BF16,
    VKG_FILE_U32,
    VKG_FILE_I32,
    VKG_FILE_F32,
    VKG_FILE_U64,
    VKG_FILE_I64,
    VKG_FILE_F64,
} vkg_file_dtype;

/* As safetensors spells it, "F32" for example; "?" for a number that is no vkg_file_dtype. */
VKG_API const char *vkg_file_dtype_name(vkg_file_dtype dtype);
/* Bytes of one element; 0 for a number that is no vkg_file_dtype. */
VKG_API size_t vkg_file_dtype_size(vkg_file_dtype dtype);

/* --- safetensors: https://github.com/huggingface/safetensors --- */

/* An open file, whose header has been read and checked in full. */
typedef struct vkg_safetensors vkg_safetensors;

/* What the header says of one tensor. Belongs to the vkg_safetensors. */
typedef struct vkg_safetensors_entry {
    const char *name; /* UTF-8 */
    vkg_file_dtype dtype;
    uint32_t rank; /* 0 is a scalar of one element */
    uint64_t dims[VKG_FILE_MAX_RANK];
    uint64_t offset; /* of the first byte, from the start of the file */
    uint64_t size;   /* in bytes: the product of dims times the size of an element */
} vkg_safetensors_entry;

/* Opens `path` and checks its header: its length (at most 100,000,000 bytes) and JSON, duplicate keys, types,
 * shapes, offsets without hole or overlap, and the length of the file. The file stays open until close.
 * Errors: IO, FORMAT, UNSUPPORTED (more dimensions than VKG_FILE_MAX_RANK, a type that this version lacks),
 * OUT_OF_MEMORY; *file is NULL then. */
VKG_API vkg_result vkg_safetensors_open(const vkg_log *log, const char *path, vkg_safetensors **file);
/* Closes the file, frees its entries, clears the handle. NULL is fine. */
VKG_API void vkg_safetensors_close(vkg_safetensors **file);

VKG_API uint32_t vkg_safetensors_count(const vkg_safetensors *file);
/* In the order in which the tensors lie in the file; NULL where index ≥ count. */
VKG_API const vkg_safetensors_entry *vkg_safetensors_get(const vkg_safetensors *file, uint32_t index);
/* The index of a name, or UINT32_MAX. */
VKG_API uint32_t vkg_safetensors_find(const vkg_safetensors *file, const char *name);
/* A string of the header's "__metadata__", or NULL. Valid until close. */
VKG_API const char *vkg_safetensors_metadata_find(const vkg_safetensors *file, const char *key);
/* Copies the bytes of one tensor into `data`; `size` must be the entry's size. Errors: INVALID (index, size),
 * IO, FORMAT (the file has shrunk since it was opened). */
VKG_API vkg_result vkg_safetensors_read(const vkg_safetensors *file, uint32_t index, void *data, uint64_t size);

/* One tensor to be saved. Nothing is kept after the call. */
typedef struct vkg_safetensors_item {
    const char *name; /* valid UTF-8, unique, not "__metadata__" */
    vkg_file_dtype dtype;
    uint32_t rank;
    uint64_t dims[VKG_FILE_MAX_RANK];
    const void *data; /* row-major, little endian; may be NULL where a dimension is 0 */
} vkg_safetensors_item;

typedef struct vkg_safetensors_metadata {
    const char *key, *value; /* valid UTF-8, keys unique */
} vkg_safetensors_metadata;

/* Writes items[0 … count−1] in that order (each begins at a multiple of its element's size as long as larger
 * elements come first), and metadata[0 … metadata_count−1]. Errors: INVALID (a name twice, a rank, …), IO,
 * OUT_OF_MEMORY; the old file of that name is untouched then. */
VKG_API vkg_result vkg_safetensors_save(const vkg_log *log, const char *path, const vkg_safetensors_item *items,
                                        uint32_t count, const vkg_safetensors_metadata *metadata,
                                        uint32_t metadata_count);

/* --- pictures --- */

/* Rows from the top, pixels from the left, channels together; no padding. */
typedef struct vkg_image {
    uint32_t width, height, channels;
    uint8_t *pixels; /* height × width × channels bytes; freed by vkg_image_free */
} vkg_image;

/* Frees the pixels and zeroes the struct. NULL is fine. */
VKG_API void vkg_image_free(vkg_image *image);

/* Cuts off what lies to the right of `width` and below `height`, where the picture is larger. */
VKG_API void vkg_image_cut(vkg_image *image, uint32_t width, uint32_t height);

/* channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. `pixels`: height × width × channels bytes. */
VKG_API vkg_result vkg_image_save_png(const vkg_log *log, const char *path, uint32_t width, uint32_t height,
                                      uint32_t channels, const uint8_t *pixels);

/* Where a picture gets smaller the filter is widened (antialiased). Bicubic: Keys 1981, a = −0.5, as MATLAB's
 * imresize; Lanczos: three lobes. */
typedef enum vkg_image_filter { VKG_IMAGE_BILINEAR, VKG_IMAGE_BICUBIC, VKG_IMAGE_LANCZOS } vkg_image_filter;
/* Makes a picture of another size, channel by channel (alpha is one more), bit for bit as PIL's Image.resize does those
 * without alpha, which it multiplies with the others; free it with vkg_image_free. Errors: INVALID (sides are 1 to 16384), OUT_OF_MEMORY; *resized is zeroed
 * then. */
VKG_API vkg_result vkg_image_resize(const vkg_log *log, const vkg_image *image, uint32_t width, uint32_t height,
                                    vkg_image_filter filter, vkg_image *resized);

/* Numbers in [-1, 1] to bytes: (x + 1)·127.5 rounded to nearest, clamped; NaN gives 0. */
VKG_API void vkg_image_bytes(const float *values, size_t count, uint8_t *bytes);

/* `count` pictures of one size. Exactly one of `values` and `bytes` is given: [count, height, width, channels].
 */
typedef struct vkg_grid_desc {
    uint32_t count, height, width, channels; /* channels: 1 or 3 */
    uint32_t columns;                        /* 0 means the smallest that is at least the rows: near-square */
    const float *values;                     /* in [-1, 1], turned into bytes as vkg_image_bytes does */
    const uint8_t *bytes;
} vkg_grid_desc;

/* Lays the pictures out row by row, with grey lines of 2 pixels between and around them; free the grid with
 * vkg_image_free. Errors: INVALID, OUT_OF_MEMORY; *grid is zeroed then. */
VKG_API vkg_result vkg_image_grid(const vkg_log *log, const vkg_grid_desc *desc, vkg_image *grid);

/* --- .npy: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html --- */

/* An array in memory, row-major. */
typedef struct vkg_npy {
    vkg_file_dtype dtype; /* U8, I32, I64 or F32 */
    uint32_t rank;
    uint64_t dims[VKG_FILE_MAX_RANK];
    uint64_t size; /* in bytes */
    void *data;    /* freed by vkg_npy_free */
} vkg_npy;

/* Frees the data and zeroes the struct. NULL is fine. */
VKG_API void vkg_npy_free(vkg_npy *array);
/* Writes version 1.0, C order. dtype: U8, I32, I64 or F32. */
VKG_API vkg_result vkg_npy_save(const vkg_log *log, const char *path, vkg_file_dtype dtype, uint32_t rank,
                                const uint64_t *dims, const void *data);
/* Reads versions 1.0 and 2.0; '|u1', '<i4', '<i8', '<f4' in C order; the file must end with the array.
 * Errors: IO, FORMAT, UNSUPPORTED (another type or order), OUT_OF_MEMORY; *array is zeroed then. */
VKG_API vkg_result vkg_npy_load(const vkg_log *log, const char *path, vkg_npy *array);

#ifdef __cplusplus
}
#endif
#endif
