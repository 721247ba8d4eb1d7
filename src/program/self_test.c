#include "program/self_test.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "kernels/choice.h"
#include "ops/convolution.h"
#include "program/kernel_checks.h"
#include "program/program.h"

/* --- what is seen of a kernel --- */

struct test {
    vkg_device *device;
    const char *kernel; /* as notes and messages name it */
    vkg_result result;  /* of building and running it */
    double error;       /* of the largest element */
    vkg_log log;        /* the device's own, while the test keeps the device's errors to itself */
    char message[512];  /* the first of them; "": none */
};

static const double MOST = 1e-4; /* error; rounding alone stays a hundred times below */

/* A kernel that does not build is no error yet. */
static void keep_error(void *user, vkg_log_level level, const char *message)
{
    struct test *test = user;
    if (level != VKG_LOG_ERROR && test->log.callback)
        test->log.callback(test->log.user, level, message);
    else if (level == VKG_LOG_ERROR && !*test->message)
        snprintf(test->message, sizeof test->message, "%s", message);
}

static void begin_test(struct test *test, vkg_device *device, const char *kernel)
{
    *test = (struct test){.device = device, .kernel = kernel, .log = device->log};
    device->log = (vkg_log){keep_error, test};
}

/* Notes what was seen. A shortage of memory and a lost device say nothing of the kernel: they are errors. */
static vkg_result end_test(struct test *test, double most, const char *consequence)
{
    vkg_device *device = test->device;
    const vkg_device_caps *caps = &device->caps;
    char seen[64];
    device->log = test->log;
    if (test->result == VKG_ERROR_OUT_OF_MEMORY || test->result == VKG_ERROR_DEVICE_LOST)
        return vkg_fail(&device->log, test->result, "testing the kernel %s: %s", test->kernel, test->message);
    if (test->result != VKG_OK) {
        vkg_logf(&device->log, VKG_LOG_WARNING, "the kernel %s cannot be run on %s (%s %s): %s; %s", test->kernel,
                 caps->name, caps->driver_name, caps->driver_info, test->message, consequence);
        return kernel_note_trust(device, test->kernel, TRUST_WRONG, "cannot be run");
    }
    if (*test->message) /* of the validation layer */
        vkg_logf(&device->log, VKG_LOG_ERROR, "%s", test->message);
    if (!(test->error <= most))
        vkg_logf(&device->log, VKG_LOG_WARNING,
                 "the kernel %s computes wrong numbers on %s (%s %s; error %g, expected at most %g): %s", test->kernel,
                 caps->name, caps->driver_name, caps->driver_info, test->error, most, consequence);
    snprintf(seen, sizeof seen, "error %.1e", test->error);
    return kernel_note_trust(device, test->kernel, test->error <= most ? TRUST_GOOD : TRUST_WRONG, seen);
}

/* The largest difference, relative to the largest value, of numbers that may be off by `rounding` of their own; infinite where
 * there is a NaN. */
static double largest_error(const float *found, const double *expected, uint64_t count, double rounding)
{
    double difference = 0, largest = 1e-30;
    for (uint64_t i = 0; i < count; i++) {
        const double d = fmax(0, fabs((double)found[i] - expected[i]) - rounding * fabs(expected[i])) + 0 * (double)found[i];
        difference = d <= difference ? difference : isnan(d) ? INFINITY : d;
        largest = fmax(largest, fabs(expected[i]));
    }
    return difference / largest;
}

/* Numbers in −1 … 1 that differ from test to test: memory may still hold the result of an earlier one. */
static void fill(float *data, uint64_t count, uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        data[i] = (float)((int32_t)(seed >> 32) >> 16) / 32768.0f;
    }
}

/* --- convolutions: a problem that a shader runs --- */

/* Small, with padding, a stride, several tiles of rows, sums that are long enough for parts or, with a smaller kernel, too short,
 * and channels of every kind that kernels tell apart. */
static struct conv_problem small_problem(uint32_t ci, uint32_t co, uint32_t groups, uint32_t kernel)
{
    return (struct conv_problem){.n = 6, .ih = 7, .iw = 6, .ci = ci, .oh = (9 - kernel) / 2 + 1, .ow = (8 - kernel) / 2 + 1,
                                 .co = co, .kh = kernel, .kw = kernel, .sh = 2, .sw = 2, .ph = 1, .pw = 1, .dh = 1, .dw = 1,
                                 .groups = groups};
}

/* The candidate of the problem that is the plan's kernel, with its sums in parts or not. */
static bool find_candidate(const vkg_device *device, enum conv_direction direction, const struct conv_problem *problem,
                           const struct conv_plan *plan, bool parts, uint32_t *candidate)
{
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    const uint32_t count = conv_candidates(&device->caps, direction, problem, plan->dtype, plans);
    char kernel[96], name[96];
    conv_kernel_name(plan, kernel, sizeof kernel);
    for (*candidate = 0; *candidate < count; ++*candidate) {
        conv_kernel_name(&plans[*candidate], name, sizeof name);
        if (strcmp(name, kernel) == 0 && (plans[*candidate].push.split > 1) == parts)
            return !parts || !plan->epilogue || plans[*candidate].finishes == plan->finishes;
    }
    return false;
}

static bool find_problem_of(const vkg_device *device, enum conv_direction direction, const struct conv_plan *plan,
                            bool parts, struct conv_problem *problem, uint32_t *candidate)
{
    /* 72 and 65 for tiles that do not suit few columns, 4 for kernels that cut few sums, and finish them by fours; the others for
     * kernels that as many lanes share as these columns need */
    static const uint32_t channels[] = {24, 8, 5, 1, 72, 65, 4, 40, 12, 7, 3};
    enum { COUNT = sizeof channels / sizeof *channels };
    for (uint32_t kernel = 3; kernel >= 2; kernel--)
        for (int i = 0; i < COUNT * COUNT; i++) {
            *problem = small_problem(channels[i / COUNT], channels[i % COUNT], 1, kernel);
            if (find_candidate(device, direction, problem, plan, parts, candidate))
                return true;
        }
    *problem = small_problem(1, 1, 8, 3);
    return find_candidate(device, direction, problem, plan, parts, candidate);
}

/* --- convolutions: the loop on the processor --- */

/* Calls back for every product of the convolution: elements of x, w and y. */
static void each_product(const struct conv_problem *p, void (*visit)(void *user, const uint64_t at[3]), void *user)
{
    const uint64_t products = (uint64_t)p->n * p->oh * p->ow * p->kh * p->kw * p->groups * p->ci * p->co;
    for (uint64_t i = 0; i < products; i++) {
        uint64_t rest = i;
        const uint64_t co = rest % p->co, ci = (rest /= p->co) % p->ci, g = (rest /= p->ci) % p->groups;
        const uint64_t kw = (rest /= p->groups) % p->kw, kh = (rest /= p->kw) % p->kh;
        const uint64_t ow = (rest /= p->kh) % p->ow, oh = (rest /= p->ow) % p->oh, n = rest / p->oh;
        const int64_t line = (int64_t)(oh * p->sh + kh * p->dh) - p->ph, place = (int64_t)(ow * p->sw + kw * p->dw) - p->pw;
        if (line < 0 || line >= p->ih || place < 0 || place >= p->iw)
            continue;
        const uint64_t at[3] = {
            [CONV_X] = (((n * p->ih + (uint64_t)line) * p->iw + (uint64_t)place) * p->groups + g) * p->ci + ci,
            [CONV_W] = (((kh * p->kw + kw) * p->ci + ci) * p->groups + g) * p->co + co,
            [CONV_Y] = (((n * p->oh + oh) * p->ow + ow) * p->groups + g) * p->co + co};
        visit(user, at);
    }
}

struct expected {
    const enum conv_operand *operands;
    const float *inputs[2];
    double *sums;
};

static void add_product(void *user, const uint64_t at[3])
{
    struct expected *e = user;
    e->sums[at[e->operands[2]]] +=
        (double)e->inputs[0][at[e->operands[0]]] * (double)e->inputs[1][at[e->operands[1]]];
}

/* --- convolutions: the test --- */

/* The bits, in a type of 16, of a number that it holds exactly and that is 0 or not below 2⁻¹⁴. */
static uint16_t half_bits(float number, vkg_dtype dtype)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (dtype == VKG_BFLOAT16)
        return (uint16_t)(bits >> 16);
    const uint32_t magnitude = bits & 0x7fffffff, shift = 112u << 23; /* of the exponent */
    return (uint16_t)((bits >> 16 & 0x8000) | (magnitude ? (magnitude - shift) >> 13 : 0));
}

/* Numbers in −1 … 1 that differ from test to test, since memory may still hold the result of an earlier one; halves
 * hold them exactly. They go to the program's input as its type, and to `numbers`. */
static void fill_typed(void *input, vkg_dtype dtype, float *numbers, uint64_t count, uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const int32_t word = (int32_t)(seed >> 32);
        numbers[i] = dtype == VKG_FLOAT32 ? (float)(word >> 16) / 32768.0f : (float)(word >> 24) / 128.0f;
        if (dtype == VKG_FLOAT32)
            ((float *)input)[i] = numbers[i];
        else
            ((uint16_t *)input)[i] = half_bits(numbers[i], dtype);
    }
}

/* The epilogue, of every element; its inputs are NULL where it has none. */
static void finish(double *sums, uint64_t count, const float *bias, uint64_t columns, const float *step, bool activates)
{
    for (uint64_t i = 0; i < count; i++) {
        if (bias)
            sums[i] += (double)bias[i % columns];
        if (activates && sums[i] < 0)
            sums[i] *= (double)TRIAL_SLOPE;
        if (step && !(step[i] > 0))
            sums[i] *= (double)TRIAL_SLOPE;
    }
}

/* The largest error of sums and variances of the columns. */
static double error_of_moments(vkg_program *program, vkg_tensor *const tensors[CONV_TRIAL_TENSORS], const double *elements,
                               uint64_t count, uint64_t columns)
{
    const float *sums = vkg_program_output(program, tensors[6], 0), *variances = vkg_program_output(program, tensors[7], 0);
    const double rows = (double)(count / columns);
    double largest = 0;
    for (uint64_t c = 0; c < columns; c++) {
        double sum = 0, squares = 0, size = 1e-30;
        for (uint64_t i = c; i < count; i += columns)
            sum += elements[i], size += fabs(elements[i]);
        for (uint64_t i = c; i < count; i += columns)
            squares += pow(elements[i] - sum / rows, 2);
        largest = fmax(largest, fabs((double)sums[c] - sum) / size);
        largest = fmax(largest, fabs((double)variances[c] * rows - squares) / fmax(squares, 1e-30));
        if (isnan(sums[c]) || isnan(variances[c]))
            largest = INFINITY;
    }
    return largest;
}

static vkg_result compare(vkg_program *program, enum conv_direction direction, vkg_tensor *const tensors[CONV_TRIAL_TENSORS],
                          uint32_t epilogue, const char *kernel, double *error)
{
    const struct conv_problem *p = &tensors[2]->attributes.conv;
    uint64_t counts[3];
    for (int i = 0; i < 3; i++)
        counts[i] = shape_elements(&tensors[i]->shape);
    const uint64_t columns = tensors[2]->shape.dims[tensors[2]->shape.rank - 1];
    float *numbers = calloc(counts[0] + counts[1] + counts[2], sizeof *numbers),
          *bias = tensors[3] ? vkg_program_input(program, tensors[3], 0) : NULL,
          *step = tensors[4] ? numbers + counts[0] + counts[1] : NULL;
    struct expected expected = {.operands = conv_operands[direction], .inputs = {numbers, numbers + counts[0]},
                                .sums = calloc(counts[2], sizeof(double))};
    vkg_result result = VKG_OK;
    if (!numbers || !expected.sums) {
        result = vkg_fail(&program->device->log, VKG_ERROR_OUT_OF_MEMORY, "testing a kernel: out of host memory");
        goto done;
    }
    for (uint32_t i = 0; i < 2; i++)
        fill_typed(vkg_program_input(program, tensors[i], 0), tensors[i]->dtype, numbers + (i ? counts[0] : 0), counts[i],
                   hash_text(HASH_START + i, kernel));
    fill(bias, bias ? columns : 0, hash_text(HASH_START + 2, kernel));
    if (step)
        fill_typed(vkg_program_input(program, tensors[4], 0), tensors[4]->dtype, step, counts[2], hash_text(HASH_START + 3, kernel));
    result = vkg_program_run(program);
    each_product(p, add_product, &expected);
    finish(expected.sums, counts[2], bias, columns, step, epilogue & EPILOGUE_ACTIVATION);
    *error = 0;
    if (result == VKG_OK && !(epilogue & EPILOGUE_ONLY_COPY))
        *error = largest_error(vkg_program_output(program, tensors[5], 0), expected.sums, counts[2], 0);
    if (result == VKG_OK && epilogue & EPILOGUE_COPY)
        *error = fmax(*error, largest_error(vkg_program_output(program, tensors[8], 0), expected.sums, counts[2],
                                            tensors[0]->dtype == VKG_BFLOAT16 ? 0x1p-8 : 0x1p-11));
    if (result == VKG_OK && epilogue & EPILOGUE_MOMENTS)
        *error = fmax(*error, error_of_moments(program, tensors, expected.sums, counts[2], columns));
done:
    free(numbers);
    free(expected.sums);
    return result;
}

static vkg_result measure_error(vkg_device *device, const struct conv_trial *trial, const char *kernel, double *error)
{
    vkg_program *program = NULL;
    vkg_graph *graph;
    vkg_tensor *tensors[CONV_TRIAL_TENSORS];
    vkg_result result = conv_trial_create(device, trial, &graph, &program, tensors);
    if (result == VKG_OK)
        result = compare(program, trial->direction, tensors, trial->epilogue, kernel, error);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
    return result;
}

/* The small problem that tests a plan's kernel, where there is one: one whose sums are made of parts, if possible, so that the kernel
 * that adds them is tested too; with an epilogue one as the plan's, since that is done by the one kernel or the other. */
static bool find_trial(const vkg_device *device, enum conv_direction direction, const struct conv_plan *plan,
                       struct conv_problem *problem, struct conv_trial *trial)
{
    *trial = (struct conv_trial){direction, problem, plan->dtype, 0, plan->epilogue, false};
    const bool parts = !plan->epilogue || plan->push.split > 1;
    if (find_problem_of(device, direction, plan, parts, problem, &trial->candidate))
        return true;
    if (plan->finishes) /* a whole sum is not finished by the same kernel */
        trial->epilogue &= EPILOGUE_OF_ALL;
    return find_problem_of(device, direction, plan, !parts, problem, &trial->candidate);
}

vkg_result self_test_want(vkg_device *device, enum conv_direction direction, const struct conv_plan *plan)
{
    struct conv_problem problem;
    struct conv_trial trial;
    char kernel[128];
    conv_trusted_name(plan, kernel, sizeof kernel);
    return kernel_trust(device, kernel) == TRUST_UNKNOWN && find_trial(device, direction, plan, &problem, &trial)
               ? conv_trial_want(device, &trial)
               : VKG_OK;
}

vkg_result self_test(vkg_device *device, enum conv_direction direction, const struct conv_plan *plan)
{
    struct conv_problem problem;
    struct conv_trial trial;
    struct test test;
    char kernel[128];
    conv_trusted_name(plan, kernel, sizeof kernel);
    if (kernel_trust(device, kernel) != TRUST_UNKNOWN)
        return VKG_OK;
    begin_test(&test, device, kernel);
    if (find_trial(device, direction, plan, &problem, &trial))
        test.result = measure_error(device, &trial, kernel, &test.error);
    return end_test(&test, MOST, "it is not used");
}

/* --- all other kernels --- */

static void fill_inputs(vkg_program *program, struct check *check, const char *name)
{
    for (uint32_t i = 0; i < check->input_count; i++) {
        void *data = vkg_program_input(program, check->inputs[i], 0);
        const uint64_t count = vkg_tensor_elements(check->inputs[i]);
        check->numbers[i] = data;
        check->places[i] = data;
        if (vkg_tensor_dtype(check->inputs[i]) == VKG_FLOAT32)
            fill(data, count, hash_text(HASH_START + i, name));
        else
            for (uint64_t k = 0; k < count; k++)
                ((int32_t *)data)[k] = (int32_t)((k * k + k / 5) % CHECK_PLACES);
    }
}

static vkg_result run_check(vkg_program *program, const struct kernel_check *row, struct check *check, double *error)
{
    const uint64_t count = vkg_tensor_elements(check->result);
    double *elements = calloc(count, sizeof *elements);
    if (!elements)
        return vkg_fail(&program->device->log, VKG_ERROR_OUT_OF_MEMORY, "testing a kernel: out of host memory");
    fill_inputs(program, check, row->name);
    vkg_result result = vkg_program_run(program);
    if (result == VKG_OK) {
        row->expected(check, elements);
        *error = largest_error(vkg_program_output(program, check->result, 0), elements, count, 0);
    }
    free(elements);
    return result;
}

/* The check's graph, and the state of its parameters; for the caller to destroy, after an error too. */
static vkg_result build_check(vkg_device *device, const struct kernel_check *row, struct check *check, vkg_state **state)
{
    *check = (struct check){.settings = row->settings};
    *state = NULL;
    vkg_result result = vkg_graph_create(&device->log, &check->graph);
    if (result != VKG_OK)
        return result;
    row->build(check);
    vkg_output(check->graph, "result", check->result);
    return vkg_state_create(device, &check->graph, 1, CHECK_SEED, state);
}

static vkg_result build_and_run_check(vkg_device *device, const struct kernel_check *row, double *error)
{
    struct check check;
    vkg_state *state;
    vkg_program *program = NULL;
    vkg_result result = build_check(device, row, &check, &state);
    if (result == VKG_OK)
        result = program_create_candidate(device, check.graph, state, &(vkg_program_desc){.name = row->name}, 0, &program);
    if (result == VKG_OK)
        result = run_check(program, row, &check, error);
    vkg_program_destroy(&program);
    vkg_state_destroy(&state);
    vkg_graph_destroy(&check.graph);
    return result;
}

/* A bit a row of kernel_checks: those that every device is tested by before its first program, */
static uint64_t checks_of_devices(void)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < kernel_check_count; i++)
        rows |= kernel_checks[i].on_demand ? 0 : UINT64_C(1) << i;
    return rows;
}

/* and those that a graph asks for. */
static uint64_t checks_of_graph(const vkg_device *device, const vkg_graph *graph)
{
    uint64_t rows = 0;
    for (size_t id = 0; id < graph->tensor_count; id++) {
        const vkg_tensor *node = graph->tensors[id];
        const char *check = node->op->kernel_check ? node->op->kernel_check(device, node) : NULL;
        uint32_t i = 0;
        while (check && i < kernel_check_count && strcmp(kernel_checks[i].name, check) != 0)
            i++;
        assert(i < kernel_check_count); /* every kernel has one */
        rows |= check ? UINT64_C(1) << i : 0;
    }
    return rows;
}

static uint64_t unknown_checks(const vkg_device *device, uint64_t rows)
{
    for (uint32_t i = 0; i < kernel_check_count; i++)
        if (kernel_check_trust(device, kernel_checks[i].name) != TRUST_UNKNOWN)
            rows &= ~(UINT64_C(1) << i);
    return rows;
}

/* Has the pipelines of these tests built at once. What goes wrong here goes wrong in the test, too, which says so. */
static void build_pipelines_of_checks(vkg_device *device, uint64_t rows)
{
    const vkg_log log = device->log;
    if (!rows || !pipelines_build_pays(device))
        return;
    device->log = (vkg_log){0};
    for (uint32_t i = 0; i < kernel_check_count; i++) {
        struct check check;
        vkg_state *state;
        if (!(rows >> i & 1))
            continue;
        if (build_check(device, &kernel_checks[i], &check, &state) == VKG_OK)
            program_want_pipelines(device, check.graph, state, 0);
        vkg_state_destroy(&state);
        vkg_graph_destroy(&check.graph);
    }
    device->log = log;
    pipelines_build(device);
}

static vkg_result check_kernel(vkg_device *device, const struct kernel_check *row)
{
    const bool texel = device->caps.kernels == VKG_KERNELS_TEXEL;
    struct test test;
    char name[64];
    kernel_check_name(device, row->name, name);
    begin_test(&test, device, name);
    test.result = build_and_run_check(device, row, &test.error);
    return end_test(&test, row->most > 0 ? row->most : MOST, row->instead ? row->instead
                                         : texel ? "storage buffers are read instead, by tiled kernels"
                                                 : "nothing is there to use instead");
}

/* Tests what is not known yet of these rows; `wrong` gets the first kernel that is distrusted and that nothing replaces, "" where there
 * is none. */
static vkg_result check_kernels(vkg_device *device, uint64_t rows, char wrong[64])
{
    const uint64_t unknown = unknown_checks(device, rows);
    *wrong = 0;
    build_pipelines_of_checks(device, unknown);
    for (uint32_t i = 0; i < kernel_check_count && !*wrong; i++) {
        const struct kernel_check *row = &kernel_checks[i];
        const vkg_result result = unknown >> i & 1 ? check_kernel(device, row) : VKG_OK;
        if (result != VKG_OK)
            return result;
        if (rows >> i & 1 && kernel_check_trust(device, row->name) == TRUST_WRONG && !row->instead)
            kernel_check_name(device, row->name, wrong);
    }
    return VKG_OK;
}

vkg_result self_test_graph(vkg_device *device, const vkg_graph *graph)
{
    char none[64];
    const vkg_result result = check_kernels(device, checks_of_graph(device, graph), none);
    device_save_notes(device);
    return result;
}

vkg_result self_test_device(vkg_device *device)
{
    char wrong[64];
    if (device->tested)
        return VKG_OK;
    vkg_result result = check_kernels(device, checks_of_devices(), wrong);
    if (result == VKG_OK && *wrong && device->caps.kernels == VKG_KERNELS_TEXEL) {
        device->caps.kernels = VKG_KERNELS_TILED;
        result = check_kernels(device, checks_of_devices(), wrong);
    }
    if (result != VKG_OK)
        return result;
    device_save_notes(device);
    device->tested = !*wrong;
    return device->tested ? VKG_OK : self_test_fail(device, wrong);
}

vkg_result self_test_fail(vkg_device *device, const char *kernel)
{
    const vkg_device_caps *caps = &device->caps;
    return vkg_fail(&device->log, VKG_ERROR_UNSUPPORTED,
                    "the kernel %s does not work on %s (%s %s), and there is no other: a training would compute "
                    "garbage; another version of the driver may help, and VKGAN_SELF_TEST=0 goes on all the same",
                    kernel, caps->name, caps->driver_name, caps->driver_info);
}
