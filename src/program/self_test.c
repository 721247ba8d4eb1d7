#include "program/self_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "kernels/choice.h"
#include "ops/convolution.h"
#include "program/program.h"

/* --- a problem that a shader runs --- */

/* Small, with padding, a stride, several tiles of rows, and channels of every kind that kernels tell apart. */
static struct conv_problem small_problem(uint32_t ci, uint32_t co, uint32_t groups)
{
    return (struct conv_problem){.n = 5, .ih = 7, .iw = 6, .ci = ci, .oh = 4, .ow = 3, .co = co, .kh = 3, .kw = 3,
                                 .sh = 2, .sw = 2, .ph = 1, .pw = 1, .dh = 1, .dw = 1, .groups = groups};
}

/* The candidate of the problem that is that kernel. */
static bool find_candidate(const vkg_device *device, enum conv_direction direction, const struct conv_problem *problem,
                           vkg_dtype dtype, const char *kernel, uint32_t *candidate)
{
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    const uint32_t count = conv_candidates(&device->caps, direction, problem, dtype, plans);
    for (*candidate = 0; *candidate < count; ++*candidate) {
        char name[96];
        conv_kernel_name(&plans[*candidate], name, sizeof name);
        if (strcmp(name, kernel) == 0)
            return true;
    }
    return false;
}

static bool find_problem(const vkg_device *device, enum conv_direction direction, vkg_dtype dtype, const char *kernel,
                         struct conv_problem *problem, uint32_t *candidate)
{
    static const uint32_t channels[] = {20, 8, 5, 1};
    for (int i = 0; i < 16; i++) {
        *problem = small_problem(channels[i / 4], channels[i % 4], 1);
        if (find_candidate(device, direction, problem, dtype, kernel, candidate))
            return true;
    }
    *problem = small_problem(1, 1, 8);
    return find_candidate(device, direction, problem, dtype, kernel, candidate);
}

/* --- the loop on the processor --- */

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

/* The largest difference, relative to the largest value; infinite where there is a NaN. */
static double largest_error(const float *found, const double *sums, uint64_t count)
{
    double difference = 0, largest = 1e-30;
    for (uint64_t i = 0; i < count; i++) {
        const double d = fabs(found[i] - sums[i]);
        difference = d <= difference ? difference : isnan(d) ? INFINITY : d;
        largest = fmax(largest, fabs(sums[i]));
    }
    return difference / largest;
}

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
static void fill(void *input, vkg_dtype dtype, float *numbers, uint64_t count, uint64_t seed)
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

/* --- the test --- */

static vkg_result compare(vkg_program *program, enum conv_direction direction, vkg_tensor *const tensors[3],
                          const char *kernel, double *error)
{
    const struct conv_problem *p = &tensors[2]->attributes.conv;
    uint64_t counts[3];
    for (int i = 0; i < 3; i++)
        counts[i] = shape_elements(&tensors[i]->shape);
    float *numbers = calloc(counts[0] + counts[1], sizeof *numbers);
    struct expected expected = {.operands = conv_operands[direction], .inputs = {numbers, numbers + counts[0]},
                                .sums = calloc(counts[2], sizeof(double))};
    vkg_result result = VKG_OK;
    if (!numbers || !expected.sums) {
        result = vkg_fail(&program->device->log, VKG_ERROR_OUT_OF_MEMORY, "testing a kernel: out of host memory");
        goto done;
    }
    for (uint32_t i = 0; i < 2; i++)
        fill(vkg_program_input(program, tensors[i], 0), tensors[i]->dtype, numbers + (i ? counts[0] : 0), counts[i],
             hash_text(HASH_START + i, kernel));
    result = vkg_program_run(program);
    each_product(p, add_product, &expected);
    if (result == VKG_OK)
        *error = largest_error(vkg_program_output(program, tensors[2], 0), expected.sums, counts[2]);
done:
    free(numbers);
    free(expected.sums);
    return result;
}

static vkg_result measure_error(vkg_device *device, enum conv_direction direction, const struct conv_problem *problem,
                                vkg_dtype dtype, uint32_t candidate, const char *kernel, double *error)
{
    vkg_program *program = NULL;
    vkg_graph *graph;
    vkg_tensor *tensors[3];
    vkg_result result = conv_trial_create(device, direction, problem, dtype, candidate, &graph, &program, tensors);
    if (result == VKG_OK)
        result = compare(program, direction, tensors, kernel, error);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
    return result;
}

vkg_result self_test(vkg_device *device, enum conv_direction direction, const struct conv_plan *plan)
{
    const double most = 1e-4; /* of the largest sum; rounding alone stays a hundred times below, sums in halves above */
    struct conv_problem problem;
    uint32_t candidate;
    double error = 0;
    char kernel[96];
    conv_kernel_name(plan, kernel, sizeof kernel);
    if (kernel_trust(device, kernel) != TRUST_UNKNOWN)
        return VKG_OK;
    if (find_problem(device, direction, plan->dtype, kernel, &problem, &candidate)) {
        vkg_result result = measure_error(device, direction, &problem, plan->dtype, candidate, kernel, &error);
        if (result != VKG_OK)
            return result;
    }
    if (!(error <= most))
        vkg_logf(&device->log, VKG_LOG_WARNING,
                 "the kernel %s computes wrong numbers on %s (%s %s; error %g, expected at most %g): it is not used",
                 kernel, device->caps.name, device->caps.driver_name, device->caps.driver_info, error, most);
    return kernel_note_trust(device, kernel, error <= most ? TRUST_GOOD : TRUST_WRONG, error);
}
