#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* Linux moves at most 2 GiB − 4 KiB a call, macOS refuses more than INT_MAX. */
static const uint64_t CHUNK_BYTES = UINT64_C(1) << 30;

static size_t chunk(uint64_t size)
{
    return (size_t)(size < CHUNK_BYTES ? size : CHUNK_BYTES);
}

/* --- reading --- */

vkg_result file_open(const vkg_log *log, const char *path, int *fd, uint64_t *size)
{
    struct stat status;
    /* O_NONBLOCK: the open of a pipe without a writer returns, to be refused below. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return vkg_fail(log, VKG_ERROR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(*fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(*fd);
        *fd = -1;
        return vkg_fail(log, VKG_ERROR_IO, "%s: is not a regular file", path);
    }
    *size = (uint64_t)status.st_size;
    return VKG_OK;
}

vkg_result file_read_at(const vkg_log *log, const char *path, int fd, uint64_t offset, void *data,
                        uint64_t size)
{
    uint64_t done = 0;
    if (offset > INT64_MAX || size > INT64_MAX - offset || size > SIZE_MAX)
        return vkg_fail(log, VKG_ERROR_FORMAT, "%s: no file has bytes at %" PRIu64 " + %" PRIu64, path, offset,
                        size);
    while (done < size) {
        ssize_t got = pread(fd, (char *)data + done, chunk(size - done), (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return vkg_fail(log, VKG_ERROR_IO, "%s: cannot be read: %s", path, strerror(errno));
        if (got == 0)
            return vkg_fail(log, VKG_ERROR_FORMAT,
                            "%s: ends at byte %" PRIu64 ", expected %" PRIu64 " bytes at %" PRIu64, path,
                            offset + done, size, offset);
        done += (uint64_t)got;
    }
    return VKG_OK;
}

vkg_result file_read_whole(const vkg_log *log, const char *path, uint64_t limit, void **data, size_t *size)
{
    int fd;
    uint64_t bytes;
    *data = NULL;
    *size = 0;
    vkg_result result = file_open(log, path, &fd, &bytes);
    if (result != VKG_OK)
        return result;
    char *memory = NULL;
    if (bytes > limit || bytes >= SIZE_MAX)
        result = vkg_fail(log, VKG_ERROR_FORMAT, "%s: has %" PRIu64 " bytes, expected at most %" PRIu64, path,
                          bytes, limit);
    else if (!(memory = malloc((size_t)bytes + 1)))
        result = vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for its %" PRIu64 " bytes", path, bytes);
    else
        result = file_read_at(log, path, fd, 0, memory, bytes);
    close(fd);
    if (result != VKG_OK) {
        free(memory);
        return result;
    }
    memory[bytes] = 0;
    *data = memory;
    *size = (size_t)bytes;
    return VKG_OK;
}

/* --- writing --- */

/* The name of a file that is not whole yet. */
#define DRAFT_BEGIN ".vkgan-"
#define DRAFT_END ".tmp"

/* The file that is being written beside the target. */
struct draft {
    char target[PATH_MAX]; /* with symbolic links resolved */
    char folder[PATH_MAX];
    char path[PATH_MAX];
    bool replaces; /* a file of that name is there; `old` describes it */
    struct stat old;
    int fd;
};

static vkg_result find_target(const vkg_log *log, const char *path, struct draft *draft)
{
    if (!realpath(path, draft->target)) {
        const int error = errno;
        struct stat link;
        if (strlen(path) >= sizeof draft->target)
            return vkg_fail(log, VKG_ERROR_IO, "%.80s…: cannot be written: %s", path, strerror(ENAMETOOLONG));
        if (lstat(path, &link) == 0 && S_ISLNK(link.st_mode))
            return vkg_fail(log, VKG_ERROR_IO, "%s: cannot be written: is a symbolic link that leads to no file: %s", path, strerror(error));
        strcpy(draft->target, path);
    }
    draft->replaces = stat(draft->target, &draft->old) == 0;
    if (draft->replaces && !S_ISREG(draft->old.st_mode))
        return vkg_fail(log, VKG_ERROR_IO, "%s: cannot be written: is there already, and is not a regular file",
                        path);
    if (draft->replaces && access(draft->target, W_OK) != 0)
        return vkg_fail(log, VKG_ERROR_IO, "%s: cannot be replaced: %s", path, strerror(errno));
    const char *slash = strrchr(draft->target, '/');
    size_t length = slash ? (size_t)(slash - draft->target) + 1 : 0;
    memcpy(draft->folder, draft->target, length);
    strcpy(draft->folder + length, length ? "" : "./");
    return VKG_OK;
}

static vkg_result create_draft(const vkg_log *log, const char *path, struct draft *draft)
{
    static atomic_uint serial;
    /* A name that is taken is left over from a crash, or is another host's on a shared folder. */
    for (int attempt = 0; attempt < 1000; ++attempt) {
        int length = snprintf(draft->path, sizeof draft->path, "%s" DRAFT_BEGIN "%ld-%u" DRAFT_END, draft->folder,
                              (long)getpid(), atomic_fetch_add(&serial, 1));
        if (length < 0 || (size_t)length >= sizeof draft->path) {
            errno = ENAMETOOLONG;
            break;
        }
        draft->fd = open(draft->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (draft->fd >= 0)
            return VKG_OK;
        if (errno != EEXIST)
            break;
    }
    return vkg_fail(log, VKG_ERROR_IO, "%s: cannot be written: %s", path, strerror(errno));
}

static bool write_bytes(int fd, const void *data, uint64_t size)
{
    uint64_t done = 0;
    while (done < size) {
        ssize_t put = write(fd, (const char *)data + done, chunk(size - done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        done += (uint64_t)put;
    }
    return true;
}

/* Fills the draft and closes it in any case; errno tells what went wrong. */
static bool write_draft(struct draft *draft, const struct file_part *parts, size_t count)
{
    bool good = true;
    for (size_t i = 0; good && i < count; ++i)
        good = write_bytes(draft->fd, parts[i].data, parts[i].size);
    if (good && draft->replaces) {
        /* Only root may give files away: others keep the owner they are. */
        int ignored = fchown(draft->fd, draft->old.st_uid, draft->old.st_gid);
        (void)ignored;
        good = fchmod(draft->fd, draft->old.st_mode & 0777) == 0;
    }
    good = good && fsync(draft->fd) == 0;
    int error = errno;
    if (close(draft->fd) != 0 && good)
        return false;
    errno = error;
    return good;
}

static bool sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES;                    /* a folder may be writable and not readable */
    bool good = fsync(fd) == 0 || errno == EINVAL; /* some file systems cannot */
    int error = errno;
    close(fd);
    errno = error;
    return good;
}

static vkg_result replace_file(const vkg_log *log, const char *path, const struct file_part *parts,
                               size_t count, struct draft *draft)
{
    vkg_result result = find_target(log, path, draft);
    if (result == VKG_OK)
        result = create_draft(log, path, draft);
    if (result != VKG_OK)
        return result;
    if (!write_draft(draft, parts, count) || rename(draft->path, draft->target) != 0) {
        int error = errno;
        unlink(draft->path);
        return vkg_fail(log, VKG_ERROR_IO, "%s: cannot be written: %s%s", path, strerror(error),
                        draft->replaces ? " (the old file is untouched)" : "");
    }
    if (!sync_folder(draft->folder))
        return vkg_fail(log, VKG_ERROR_IO, "%s: written, but its folder cannot be flushed to the disk: %s",
                        path, strerror(errno));
    return VKG_OK;
}

vkg_result file_write_atomic(const vkg_log *log, const char *path, const struct file_part *parts, size_t count)
{
    struct draft *draft = calloc(1, sizeof *draft); /* 12 KiB of names: too much for a small thread's stack */
    if (!draft)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: cannot be written: no memory", path);
    vkg_result result = replace_file(log, path, parts, count, draft);
    free(draft);
    return result;
}

/* --- folders --- */

vkg_result file_lock_folder(const vkg_log *log, const char *path, int *lock)
{
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0)
        return vkg_fail(log, VKG_ERROR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0)
        return VKG_OK;
    const bool held = errno == EWOULDBLOCK;
    close(*lock);
    *lock = -1;
    return held ? vkg_fail(log, VKG_ERROR_INVALID, "%s: another process is writing there: wait for it, or stop it", path) : VKG_OK;
}

static bool is_draft(const char *name)
{
    const size_t length = strlen(name), begin = sizeof DRAFT_BEGIN - 1, end = sizeof DRAFT_END - 1;
    return length > begin + end && strncmp(name, DRAFT_BEGIN, begin) == 0 && strcmp(name + length - end, DRAFT_END) == 0;
}

void file_remove_drafts(const char *folder)
{
    DIR *directory = opendir(folder);
    if (!directory)
        return;
    for (const struct dirent *entry; (entry = readdir(directory));)
        if (is_draft(entry->d_name))
            unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
}
