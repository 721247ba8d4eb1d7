/* Pipelines, and their work on several devices at once; their file on disk, and the cache folder. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device_room.h"

/* --- building --- */

static void a_pipeline_is_built_once(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    const struct pipeline *first, *again, *other, *many;
    struct pipeline_desc desc = fill_desc(1);
    assert_int_equal(pipeline_get(device, &desc, &first), VKG_OK);
    uint32_t *copy = malloc(desc.spirv_bytes); /* the same words elsewhere are the same kernel */
    assert_non_null(copy);
    memcpy(copy, desc.spirv, desc.spirv_bytes);
    desc.spirv = copy;
    desc.name = "fill again";
    assert_int_equal(pipeline_get(device, &desc, &again), VKG_OK);
    free(copy);
    assert_ptr_equal(first, again);
    desc = fill_desc(2);
    assert_int_equal(pipeline_get(device, &desc, &other), VKG_OK);
    assert_ptr_not_equal(first, other);
    for (uint32_t i = 0; i < 40; ++i) { /* past the first size of the table */
        desc = fill_desc(100 + i);
        assert_int_equal(pipeline_get(device, &desc, &many), VKG_OK);
    }
    desc = fill_desc(1);
    assert_int_equal(pipeline_get(device, &desc, &again), VKG_OK);
    assert_ptr_equal(first, again);
    vkg_device_destroy(&device);
}

static void what_is_no_pipeline_is_refused(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    const struct pipeline *pipeline;
    struct pipeline_desc desc = fill_desc(0);
    desc.spirv_bytes = 18;
    assert_int_equal(pipeline_get(device, &desc, &pipeline), VKG_ERROR_INVALID);
    assert_null(pipeline);
    desc = fill_desc(0);
    device->caps.max_texel_buffers_per_stage = 0;
    assert_int_equal(pipeline_get(device, &desc, &pipeline), VKG_ERROR_UNSUPPORTED);
    assert_said(VKG_LOG_ERROR, "fill");
    vkg_device_destroy(&device);
}

/* --- several devices --- */

static void two_devices_work_side_by_side(void **state)
{
    (void)state;
    vkg_device *one = open_device(), *two = open_device();
    struct fill_job first, second;
    assert_true(one->instance != two->instance && one->handle != two->handle);
    fill_job_start(&first, one, 3);
    fill_job_start(&second, two, 5);
    fill_job_finish(&second, 5);
    vkg_device_destroy(&two);
    fill_job_finish(&first, 3);
    vkg_device_destroy(&one);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 0);
    assert_int_equal(seen_messages.count[VKG_LOG_WARNING], 0);
}

static void *open_build_close(void *user)
{
    vkg_device *device;
    const struct pipeline *pipeline;
    struct pipeline_desc desc = fill_desc(11);
    vkg_result *result = user; /* no assertion here: cmocka's leave the thread that made them by longjmp */
    *result = vkg_device_create(NULL, &device);
    if (*result == VKG_OK)
        *result = pipeline_get(device, &desc, &pipeline);
    vkg_device_destroy(&device);
    return NULL;
}

/* The loader's own lists were once walked by one thread while the other closed its device: rarely a crash, so try again. */
static void two_threads_with_a_device_each(void **state)
{
    enum { ROUNDS = 10 };
    (void)state;
    for (int round = 0; round < ROUNDS; ++round) {
        pthread_t threads[2];
        vkg_result results[2];
        for (int i = 0; i < 2; ++i)
            assert_int_equal(pthread_create(&threads[i], NULL, open_build_close, &results[i]), 0);
        for (int i = 0; i < 2; ++i)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(results[0], VKG_OK);
        assert_int_equal(results[1], VKG_OK);
    }
}

/* --- the pipeline file --- */

enum { DATA_BYTES = 1000 };

/* What a driver would give to be kept: its header, then anything. */
static void invent_data(const vkg_device *device, unsigned char data[DATA_BYTES])
{
    VkPipelineCacheHeaderVersionOne header = {
        .headerSize = sizeof header,
        .headerVersion = VK_PIPELINE_CACHE_HEADER_VERSION_ONE,
        .vendorID = device->caps.vendor_id,
        .deviceID = device->caps.device_id,
    };
    memcpy(header.pipelineCacheUUID, device->caps.pipeline_uuid, sizeof device->caps.pipeline_uuid);
    for (int i = 0; i < DATA_BYTES; ++i)
        data[i] = (unsigned char)(i * 7);
    memcpy(data, &header, sizeof header);
}

static void change_byte(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_true(byte != EOF);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    fputc(byte ^ 1, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_ignored(vkg_device *device, struct pipeline_file *file)
{
    memset(&seen_messages, 0, sizeof seen_messages);
    file->bytes = 0;
    assert_null(pipeline_file_load(device, file));
    assert_int_equal(file->bytes, 0);
    assert_said(VKG_LOG_DEBUG, "is ignored");
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR] + seen_messages.count[VKG_LOG_WARNING], 0);
}

static void damaged_pipeline_files_are_ignored(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    struct pipeline_file file;
    unsigned char data[DATA_BYTES];
    invent_data(device, data);
    assert_int_equal(pipeline_file_open(device, NULL, &file), VKG_OK);
    assert_null(pipeline_file_load(device, &file)); /* not there yet */
    pipeline_file_save(device, &file, data, sizeof data);
    unsigned char *loaded = pipeline_file_load(device, &file);
    assert_non_null(loaded);
    assert_int_equal(file.bytes, DATA_BYTES);
    assert_memory_equal(loaded, data, DATA_BYTES);
    free(loaded);

    const long places[] = {0, 9, 17, 24, 500, DATA_BYTES + 23};
    for (size_t i = 0; i < sizeof places / sizeof *places; ++i) {
        change_byte(file.path, places[i]);
        assert_ignored(device, &file);
        change_byte(file.path, places[i]);
    }
    const long sizes[] = {DATA_BYTES + 23, 40, 24, 23, 1, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        assert_int_equal(truncate(file.path, sizes[i]), 0);
        assert_ignored(device, &file);
    }
    data[16] ^= 1; /* whole, and of another driver */
    pipeline_file_save(device, &file, data, sizeof data);
    assert_ignored(device, &file);
    pipeline_file_close(&file);
    vkg_device_destroy(&device);

    memset(&seen_messages, 0, sizeof seen_messages);
    device = open_device(); /* past the file that is still there */
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR] + seen_messages.count[VKG_LOG_WARNING], 0);
    vkg_device_destroy(&device);
}

/* A driver that has something to keep: its header, and no pipelines. lavapipe and SwiftShader keep nothing. */
static const vkg_device *keeping_device;
static size_t kept_bytes;

static VkResult VKAPI_CALL give_data(VkDevice handle, VkPipelineCache cache, size_t *bytes, void *data)
{
    unsigned char invented[DATA_BYTES];
    (void)handle, (void)cache;
    invent_data(keeping_device, invented);
    memset(invented + sizeof(VkPipelineCacheHeaderVersionOne), 0,
           sizeof invented - sizeof(VkPipelineCacheHeaderVersionOne));
    if (data)
        memcpy(data, invented, kept_bytes);
    *bytes = kept_bytes;
    return VK_SUCCESS;
}

/* Opens and closes a device whose driver has `bytes` to keep by then; how many files were written. */
static unsigned open_and_keep(size_t bytes, struct stat *status, const char *path)
{
    struct stat before = {0};
    bool had = stat(path, &before) == 0;
    vkg_device *device = open_device();
    keeping_device = device;
    kept_bytes = bytes;
    device->vk.vkGetPipelineCacheData = give_data;
    vkg_device_destroy(&device);
    assert_int_equal(stat(path, status), 0);
    return !had || before.st_ino != status->st_ino;
}

static void compiled_pipelines_are_kept(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    struct pipeline_file file;
    struct stat status;
    assert_int_equal(pipeline_file_open(device, NULL, &file), VKG_OK);
    vkg_device_destroy(&device);
    assert_int_equal(open_and_keep(500, &status, file.path), 1);
    assert_int_equal(status.st_size, 524);
    assert_int_equal(open_and_keep(500, &status, file.path), 0); /* it did not grow: not written again */
    assert_int_equal(open_and_keep(600, &status, file.path), 1);
    assert_int_equal(status.st_size, 624);
    memset(&seen_messages, 0, sizeof seen_messages);
    assert_int_equal(open_and_keep(600, &status, file.path), 0);
    assert_said(VKG_LOG_DEBUG, "pipeline cache: 600 bytes from");
    assert_int_equal(truncate(file.path, 300), 0);
    open_and_keep(500, &status, file.path); /* a damaged file is replaced, by less too */
    assert_int_equal(status.st_size, 524);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR] + seen_messages.count[VKG_LOG_WARNING], 0);
    pipeline_file_close(&file);
}

/* What another build of the driver compiled, or what needs what is not enabled, is not found. */
static void caches_are_of_what_is_enabled(void **state)
{
    (void)state;
    vkg_device *device = open_device();
    const vkg_device_caps caps = device->caps;
    char *paths[4];
    paths[0] = cache_file_path(device, "kernels", "txt");
    device->caps.driver_info[0] ^= 1;
    paths[1] = cache_file_path(device, "kernels", "txt");
    device->caps = caps;
    device->caps.fp16_storage = !caps.fp16_storage;
    paths[2] = cache_file_path(device, "kernels", "txt");
    device->caps = caps;
    paths[3] = cache_file_path(device, "kernels", "txt");
    assert_string_not_equal(paths[0], paths[1]);
    assert_string_not_equal(paths[0], paths[2]);
    assert_string_equal(paths[0], paths[3]);
    for (int i = 0; i < 4; i++)
        free(paths[i]);
    vkg_device_destroy(&device);
}

/* --- the cache folder --- */

static void no_cache_folder_is_one_warning(void **state)
{
    (void)state;
    vkg_device *device;
    vkg_device_desc desc = {.log = &collecting_log, .cache_dir = "/dev/null/vkgan"};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    const struct pipeline *pipeline;
    struct pipeline_desc fill = fill_desc(9);
    assert_int_equal(pipeline_get(device, &fill, &pipeline), VKG_OK);
    vkg_device_destroy(&device);
    assert_int_equal(seen_messages.count[VKG_LOG_ERROR], 0);
    assert_int_equal(seen_messages.count[VKG_LOG_WARNING], 1);
    assert_said(VKG_LOG_WARNING, "/dev/null/vkgan");
}

static void cache_folders_are_made(void **state)
{
    (void)state;
    char deep[64], middle[64];
    vkg_device *device;
    snprintf(middle, sizeof middle, "%s/a", test_cache_dir);
    snprintf(deep, sizeof deep, "%s/a/b", test_cache_dir);
    vkg_device_desc desc = {.log = &collecting_log, .cache_dir = deep};
    assert_int_equal(vkg_device_create(&desc, &device), VKG_OK);
    vkg_device_destroy(&device);
    remove_files(deep);
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(rmdir(middle), 0);
    assert_int_equal(seen_messages.count[VKG_LOG_WARNING], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DEVICE_TEST(a_pipeline_is_built_once),
        DEVICE_TEST(what_is_no_pipeline_is_refused),
        DEVICE_TEST(two_devices_work_side_by_side),
        DEVICE_TEST(two_threads_with_a_device_each),
        DEVICE_TEST(damaged_pipeline_files_are_ignored),
        DEVICE_TEST(compiled_pipelines_are_kept),
        DEVICE_TEST(caches_are_of_what_is_enabled),
        DEVICE_TEST(no_cache_folder_is_one_warning),
        DEVICE_TEST(cache_folders_are_made),
    };
    return cmocka_run_group_tests(tests, device_room_setup, device_room_teardown);
}
