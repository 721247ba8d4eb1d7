#include "on_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static vkg_device *device;
static bool errors_expected;
static uint32_t error_count;
static char last_error[1024];

static void take_message(void *user, vkg_log_level level, const char *message)
{
    (void)user;
    if (level == VKG_LOG_ERROR) {
        error_count++;
        snprintf(last_error, sizeof last_error, "%s", message);
    }
    if (level == VKG_LOG_WARNING || (level == VKG_LOG_ERROR && !errors_expected))
        fprintf(stderr, "%s\n", message);
}

static const vkg_log the_log = {.callback = take_message};

const vkg_log *test_log(void)
{
    return &the_log;
}

vkg_device *test_device(void)
{
    if (!device)
        assert_int_equal(vkg_device_create(&(vkg_device_desc){.log = &the_log, .autotune = VKG_AUTOTUNE_OFF}, &device), VKG_OK);
    return device;
}

int test_device_close(void **unused)
{
    (void)unused;
    if (!device)
        return 0;
    uint32_t messages = vkg_device_validation_messages(device);
    vkg_device_destroy(&device);
    if (messages) {
        fprintf(stderr, "the validation layer said %u things\n", messages);
        exit(EXIT_FAILURE); /* cmocka's verdict leaves out whether the group's teardown failed */
    }
    return 0;
}

void test_expect_errors(bool expected)
{
    errors_expected = expected;
    error_count = 0;
    last_error[0] = 0;
}

uint32_t test_error_count(void)
{
    return error_count;
}

const char *test_last_error(void)
{
    return last_error;
}

static uint32_t next_bits(void)
{
    static uint64_t state;
    if (!state) {
        const char *given = getenv("VKGAN_TEST_SEED");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        state = given ? strtoull(given, NULL, 10) : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20;
        state |= 1;
        printf("VKGAN_TEST_SEED=%llu\n", (unsigned long long)state);
    }
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

uint32_t test_random(uint32_t below)
{
    return next_bits() % below;
}

float test_random_float(void)
{
    return (float)test_random(20001) / 10000.0f - 1.0f;
}

bool test_same_state(vkg_state *a, vkg_state *b)
{
    bool same = vkg_state_count(a) == vkg_state_count(b);
    for (uint32_t i = 0; same && i < vkg_state_count(a); i++) {
        size_t bytes = vkg_state_get(a, i)->elements * 4;
        void *left = malloc(bytes), *right = malloc(bytes);
        assert_int_equal(vkg_state_read(a, i, left), VKG_OK);
        assert_int_equal(vkg_state_read(b, i, right), VKG_OK);
        same = memcmp(left, right, bytes) == 0;
        free(left), free(right);
    }
    return same;
}

float test_reported(const vkg_trainer_report *report, const char *name)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (strcmp(report->names[i], name) == 0)
            return report->values[i];
    fail_msg("\"%s\" is not reported", name);
    return 0;
}
