/* The file of compiled pipelines: one a driver, device with what is enabled of it, and library version. It only saves time: whatever is
 * wrong with it, work goes on without.
 *
 * Layout, little endian: 8 bytes magic; 8 bytes length of the data; 8 bytes FNV-1a of the data; the driver's
 * data. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "device/internal.h"

static const char MAGIC[8] = {'V', 'K', 'G', 'P', 'I', 'P', 'E', '1'};
enum { HEADER_BYTES = 24 };
static const uint64_t LIMIT_BYTES = UINT64_C(1) << 28; /* a cache of 256 MiB costs more than it saves */

/* --- where it is --- */

/* Formats into new memory; NULL when that is out. */
__attribute__((format(printf, 1, 2))) static char *format_text(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length >= 0 ? malloc((size_t)length + 1) : NULL;
    if (!text)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

/* VKG_OK and *folder NULL where there is no place for it. */
static vkg_result choose_folder(const vkg_log *log, const char *argument, char **folder)
{
    const char *own = setting(argument, "VKGAN_CACHE_DIR");
    const char *xdg = setting(NULL, "XDG_CACHE_HOME");
    const char *home = setting(NULL, "HOME");
    *folder = NULL;
    if (own)
        *folder = format_text("%s", own);
    else if (xdg && *xdg == '/') /* the XDG specification: relative paths are to be ignored */
        *folder = format_text("%s/vkgan", xdg);
    else if (home)
        *folder = format_text("%s/.cache/vkgan", home);
    else {
        vkg_logf(log, VKG_LOG_WARNING,
                 "no pipeline cache: none of VKGAN_CACHE_DIR, XDG_CACHE_HOME and HOME is set");
        return VKG_OK;
    }
    return *folder ? VKG_OK
                   : vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "no memory for the path of the pipeline cache");
}

/* Makes the folder and those above it, for the user alone as the XDG specification asks. errno tells what
 * failed. */
static bool make_folder(char *path)
{
    int first_error = 0;
    struct stat status;
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        /* What fails here may be there all the same (on a file system that is only read): the last one decides.
         */
        if (mkdir(path, 0700) != 0 && errno != EEXIST && !first_error)
            first_error = errno;
        *slash = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        errno = errno == ENOENT && first_error ? first_error : errno;
        return false;
    }
    if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode)) {
        errno = ENOTDIR;
        return false;
    }
    return access(path, W_OK | X_OK) == 0;
}

/* What drivers of one version number may compile differently: a build of it, and what was enabled, which an application that hands over
 * its device decides. */
static uint32_t hash_of_features(const vkg_device_caps *caps)
{
    const uint32_t enabled[] = {caps->fp16_storage, caps->shader_float16, caps->subgroup_size_control, caps->robust_buffer_access,
                                caps->cooperative_matrix, caps->matrix_float16.m, caps->matrix_bfloat16.m};
    uint64_t hash = hash_bytes(HASH_START, caps->driver_info, strlen(caps->driver_info));
    hash = hash_bytes(hash, enabled, sizeof enabled);
    return (uint32_t)(hash ^ hash >> 32);
}

static char *file_path(const vkg_device *device, const char *folder, const char *kind, const char *extension)
{
    const vkg_device_caps *caps = &device->caps;
    char uuid[2 * sizeof caps->pipeline_uuid + 1];
    for (size_t i = 0; i < sizeof caps->pipeline_uuid; ++i)
        snprintf(uuid + 2 * i, 3, "%02x", caps->pipeline_uuid[i]);
    return format_text("%s/%s-%s-%08" PRIx32 "-%08" PRIx32 "-%08" PRIx32 "-%08" PRIx32 "-" VKGAN_VERSION ".%s",
                       folder, kind, uuid, caps->vendor_id, caps->device_id, caps->driver_version, hash_of_features(caps), extension);
}

char *cache_file_path(const vkg_device *device, const char *kind, const char *extension)
{
    return file_path(device, device_cache_folder(device), kind, extension);
}

vkg_result pipeline_file_open(vkg_device *device, const char *cache_dir, struct pipeline_file *file)
{
    char *folder;
    *file = (struct pipeline_file){0};
    vkg_result result = choose_folder(&device->log, cache_dir, &folder);
    if (result != VKG_OK || !folder)
        return result;
    if (!make_folder(folder)) {
        vkg_logf(&device->log, VKG_LOG_WARNING,
                 "%s: no pipeline cache: the folder cannot be made or written: %s", folder, strerror(errno));
        free(folder);
        return VKG_OK;
    }
    file->folder = folder;
    file->path = file_path(device, folder, "pipelines", "bin");
    if (!file->path)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "no memory for the path of the pipeline cache");
    return VKG_OK;
}

void pipeline_file_close(struct pipeline_file *file)
{
    free(file->path);
    free(file->folder);
    *file = (struct pipeline_file){0};
}

/* --- what is in it --- */

/* A log that lowers errors: nothing that happens to the cache is one. */
struct quiet_log {
    const vkg_log *log;
    vkg_log_level level;
};

static void log_quietly(void *user, vkg_log_level level, const char *message)
{
    const struct quiet_log *quiet = user;
    vkg_logf(quiet->log, level > quiet->level ? level : quiet->level, "pipeline cache: %s", message);
}

static void put_u64(unsigned char *bytes, uint64_t value)
{
    for (int i = 0; i < 8; ++i)
        bytes[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get_u64(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

/* NULL where the file is whole and of this driver, otherwise what is wrong. */
static const char *find_damage(const vkg_device *device, const unsigned char *file, size_t bytes)
{
    VkPipelineCacheHeaderVersionOne header;
    const vkg_device_caps *caps = &device->caps;
    if (bytes < HEADER_BYTES + sizeof header)
        return "too short";
    if (memcmp(file, MAGIC, sizeof MAGIC) != 0)
        return "not a pipeline cache";
    if (get_u64(file + 8) != bytes - HEADER_BYTES)
        return "cut off, or grown";
    if (get_u64(file + 16) != hash_bytes(HASH_START, file + HEADER_BYTES, bytes - HEADER_BYTES))
        return "damaged";
    memcpy(&header, file + HEADER_BYTES, sizeof header);
    if (header.headerVersion != VK_PIPELINE_CACHE_HEADER_VERSION_ONE || header.vendorID != caps->vendor_id ||
        header.deviceID != caps->device_id ||
        memcmp(header.pipelineCacheUUID, caps->pipeline_uuid, sizeof caps->pipeline_uuid) != 0)
        return "of another driver";
    return NULL;
}

void *pipeline_file_load(vkg_device *device, struct pipeline_file *file)
{
    struct quiet_log quiet = {&device->log, VKG_LOG_DEBUG};
    vkg_log log = {log_quietly, &quiet};
    void *bytes;
    size_t size;
    if (!file->path || access(file->path, F_OK) != 0 ||
        file_read_whole(&log, file->path, LIMIT_BYTES, &bytes, &size) != VKG_OK)
        return NULL;
    const char *damage = find_damage(device, bytes, size);
    if (damage) {
        vkg_logf(&device->log, VKG_LOG_DEBUG, "pipeline cache: %s is ignored: %s", file->path, damage);
        free(bytes);
        return NULL;
    }
    file->bytes = size - HEADER_BYTES;
    vkg_logf(&device->log, VKG_LOG_DEBUG, "pipeline cache: %zu bytes from %s", file->bytes, file->path);
    memmove(bytes, (unsigned char *)bytes + HEADER_BYTES, file->bytes);
    return bytes;
}

void pipeline_file_save(vkg_device *device, const struct pipeline_file *file, const void *data, size_t bytes)
{
    struct quiet_log quiet = {&device->log, VKG_LOG_WARNING};
    vkg_log log = {log_quietly, &quiet};
    unsigned char header[HEADER_BYTES];
    if (bytes <= sizeof(VkPipelineCacheHeaderVersionOne) || bytes > LIMIT_BYTES - HEADER_BYTES)
        return;
    memcpy(header, MAGIC, sizeof MAGIC);
    put_u64(header + 8, bytes);
    put_u64(header + 16, hash_bytes(HASH_START, data, bytes));
    const struct file_part parts[] = {{header, sizeof header}, {data, bytes}};
    file_write_atomic(&log, file->path, parts, 2);
}
