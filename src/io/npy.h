/* The header of .npy files, for those who read the array piece by piece. */
#ifndef VKG_IO_NPY_H
#define VKG_IO_NPY_H

#include "vkgan/io.h"

struct npy_header {
    vkg_file_dtype dtype;
    uint32_t rank;
    uint64_t dims[VKG_FILE_MAX_RANK];
    uint64_t offset; /* of the first element in the file */
    uint64_t size;   /* of the array, in bytes: exactly what follows */
};

/* Reads and checks the header of an open file of `file_size` bytes. */
vkg_result npy_read_header(const vkg_log *log, const char *path, int fd, uint64_t file_size,
                           struct npy_header *header);

#endif
