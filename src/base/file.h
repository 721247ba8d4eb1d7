/* Files: reading them whole, and replacing them so that a reader, a full disk or a power cut never sees half.
 */
#ifndef VKG_BASE_FILE_H
#define VKG_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "vkgan/result.h"

/* Opens a regular file for reading; folders, devices and pipes are refused. Close *fd with close(). */
vkg_result file_open(const vkg_log *log, const char *path, int *fd, uint64_t *size);

/* Reads exactly `size` bytes at `offset`. FORMAT when the file ends before them. */
vkg_result file_read_at(const vkg_log *log, const char *path, int fd, uint64_t offset, void *data,
                        uint64_t size);

/* Reads a file of at most `limit` bytes into new memory, with a 0 byte behind it that *size does not count.
 * Free *data with free(). FORMAT when the file is larger. */
vkg_result file_read_whole(const vkg_log *log, const char *path, uint64_t limit, void **data, size_t *size);

/* Bytes to be written one after the other. */
struct file_part {
    const void *data;
    uint64_t size;
};

/* Writes the parts under an own name in the folder of `path`, flushes them to the disk, renames the file to
 * `path` and flushes the folder. Keeps the mode bits (and, where it may, the owner) of a file that was there;
 * follows a symbolic link, which must lead to a file. On failure the new file is removed and the old one is as it was. */
vkg_result file_write_atomic(const vkg_log *log, const char *path, const struct file_part *parts, size_t count);

/* Keeps other processes that lock the folder out, until this one closes *lock or ends. -1 where the file system knows no
 * locks. INVALID when another holds it. */
vkg_result file_lock_folder(const vkg_log *log, const char *path, int *lock);

/* Removes the files that writers left which were killed while they wrote. Nobody may be writing in the folder. */
void file_remove_drafts(const char *folder);

#endif
