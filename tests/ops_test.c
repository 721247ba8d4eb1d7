/* Every operation against PyTorch and against central differences: the value, the gradient, the gradient of the gradient.
 *     ops_test          the fixed cases of tests/reference/data
 *     ops_test FILE     those of a file of tests/reference/ops.py: tests/ops_fresh.sh makes fresh ones
 *     ops_test --list   the rows of the table
 * VKGAN_OPS_REPORT=FILE: a line of JSON a row is added there, for tools/ops-page. */
#include "ops_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 256 };

static const char *path = VKGAN_TEST_DATA "/ops.safetensors";
static struct ops_record records[MAX_ROWS];

static const struct ops_row *const lists[] = {ops_rows, ops_rows_resample};

/* The row of this number, over all lists; NULL behind the last. */
static const struct ops_row *row_at(uint32_t number)
{
    for (size_t list = 0; list < sizeof lists / sizeof lists[0]; list++)
        for (const struct ops_row *row = lists[list]; row->name; row++)
            if (number-- == 0)
                return row;
    return NULL;
}

/* The number of a case's row; its text is "name attribute…". */
static uint32_t find_row(const char *text)
{
    size_t length = strcspn(text, " ");
    for (uint32_t i = 0; row_at(i); i++)
        if (strlen(row_at(i)->name) == length && strncmp(row_at(i)->name, text, length) == 0)
            return i;
    return UINT32_MAX;
}

static void all_cases(void **state)
{
    (void)state;
    vkg_safetensors *file;
    uint32_t failures = 0;
    assert_int_equal(vkg_safetensors_open(test_log(), path, &file), VKG_OK);
    uint32_t count = (uint32_t)atoi(vkg_safetensors_metadata_find(file, "count"));
    for (uint32_t index = 0; index < count; index++) {
        char key[32];
        snprintf(key, sizeof key, "case%u", index);
        const char *text = vkg_safetensors_metadata_find(file, key);
        uint32_t row = find_row(text);
        assert_true(row == UINT32_MAX || row < MAX_ROWS);
        if (row == UINT32_MAX) {
            printf("case %u: \"%.40s\" is not in the table\n", index, text);
            failures++;
        } else if (!ops_check(file, index, row_at(row), &records[row])) {
            failures++;
        }
    }
    vkg_safetensors_close(&file);
    if (failures)
        fail_msg("%u of %u cases failed", failures, count);
}

static void every_operation_has_cases(void **state)
{
    (void)state;
    uint32_t missing = 0;
    printf("%-36s cases differences  value    gradient second\n", "operation");
    for (uint32_t i = 0; row_at(i); i++) {
        const struct ops_record *r = &records[i];
        printf("%-36s %5u %11u  %.1e  %.1e  %.1e\n", row_at(i)->name, r->cases, r->differences, r->worst[0], r->worst[1],
               r->worst[2]);
        missing += r->cases == 0;
    }
    if (missing)
        fail_msg("%u operations have no case", missing);
}

static void write_report(const char *to)
{
    FILE *file = fopen(to, "a");
    if (!file)
        return;
    const vkg_device_caps *caps = vkg_device_get_caps(test_device());
    for (uint32_t i = 0; row_at(i); i++) {
        const struct ops_record *r = &records[i];
        fprintf(file, "{\"op\": \"%s\", \"family\": \"%s\", \"driver\": \"%s\", \"cases\": %u, \"differences\": %u, \"shapes\": \"%s\", "
                      "\"worst\": [%.3g, %.3g, %.3g]}\n", row_at(i)->name, vkg_kernel_family_name(caps->kernels),
                caps->name, r->cases,
                r->differences, r->shapes, r->worst[0], r->worst[1], r->worst[2]);
    }
    fclose(file);
}

static int report_and_close(void **state)
{
    const char *to = getenv("VKGAN_OPS_REPORT");
    if (to)
        write_report(to);
    return test_device_close(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_cases), cmocka_unit_test(every_operation_has_cases)};
    if (argc > 1 && strcmp(argv[1], "--list") == 0) {
        for (uint32_t i = 0; row_at(i); i++)
            puts(row_at(i)->name);
        return 0;
    }
    path = argc > 1 ? argv[1] : path;
    return cmocka_run_group_tests(tests, NULL, report_and_close);
}
