/* What tests that compute on a device share: opening it, fresh random numbers, and the verdict of the layers. */
#ifndef TESTS_ON_DEVICE_H
#define TESTS_ON_DEVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vkgan/vkgan.h"

/* The device of VKGAN_DEVICE and VKGAN_KERNELS; with validation where VKGAN_VALIDATION=1. The same for all tests of
 * one program, opened by the first. */
vkg_device *test_device(void);
/* cmocka's group teardown: closes the device; ends the program, as failed, when the validation layer had anything to say. */
int test_device_close(void **unused);
/* Errors of the library are expected from here to the next call: they are counted, not printed. */
void test_expect_errors(bool expected);
uint32_t test_error_count(void);
const char *test_last_error(void);
const vkg_log *test_log(void);

/* Whether every bit of both states is the same. */
bool test_same_state(vkg_state *a, vkg_state *b);

/* What a step reported under that name; the test fails where it did not. */
float test_reported(const vkg_trainer_report *report, const char *name);

/* Fresh at every run; the seed is printed, and VKGAN_TEST_SEED sets it. */
uint32_t test_random(uint32_t below);
float test_random_float(void); /* in [−1, 1] */

#endif
