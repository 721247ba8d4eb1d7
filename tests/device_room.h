/* What tests that open devices of their own share: surroundings that are put back, messages that are collected, a small dispatch. */
#ifndef TESTS_DEVICE_ROOM_H
#define TESTS_DEVICE_ROOM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/internal.h"

/* --- messages --- */

/* What came since the test began; see device_room_prepare. */
struct seen_messages {
    unsigned count[4]; /* by level */
    char last[4][2048];
};
extern struct seen_messages seen_messages;
/* Collects them there; a message is one line. */
extern const vkg_log collecting_log;
/* The test fails where the level's last message does not hold that part. */
void assert_said(vkg_log_level level, const char *part);

/* --- surroundings --- */

/* The pipeline files of devices go here: an empty folder for every test. */
extern char test_cache_dir[];
/* Its files; folders in it stay. */
void remove_files(const char *folder);

/* Setup and teardown of a cmocka group: the cache folder. */
int device_room_setup(void **state);
int device_room_teardown(void **state);
/* The same of a test: no messages yet; afterwards the variables that tests set are as before, and the cache folder is empty. */
int device_room_prepare(void **state);
int device_room_clean(void **state);
#define DEVICE_TEST(function) cmocka_unit_test_setup_teardown(function, device_room_prepare, device_room_clean)

/* Sets the variable to a copy of its earlier value, or unsets it where that is NULL; frees the copy. */
void restore_variable(const char *variable, char *value);

/* The device that the environment chooses, its messages collected. */
vkg_device *open_device(void);

/* --- one dispatch of fill.comp: twice as much, plus a number --- */

/* A different kernel for every offset. */
struct pipeline_desc fill_desc(uint32_t offset);

/* Everything that the dispatch needs. */
struct fill_job {
    vkg_device *device;
    struct buffer tensors, upload, readback;
    VkBufferView view;
    VkDescriptorPool pool;
    VkDescriptorSet set;
    VkCommandPool commands;
    VkCommandBuffer command;
    VkFence fence;
};

/* Sends it; its numbers come and go by copies of the same submission. */
void fill_job_start(struct fill_job *job, vkg_device *device, uint32_t offset);
/* Waits, checks every number, and destroys what the job had. */
void fill_job_finish(struct fill_job *job, uint32_t offset);

#endif
