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

/* The candidate of the problem that is that shader. */
static bool find_candidate(const vkg_device *device, enum conv_direction direction, const struct conv_problem *problem,
                           const char *shader, uint32_t *candidate)
{
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    const uint32_t count = conv_candidates(&device->caps, direction, problem, plans);
    for (*candidate = 0; *candidate < count; ++*candidate)
        if (strcmp(plans[*candidate].step.shader, shader) == 0)
            return true;
    return false;
}

static bool find_problem(const vkg_device *device, enum conv_direction direction, const char *shader,
                         struct conv_problem *problem, uint32_t *candidate)
{
    static const uint32_t channels[] = {20, 8, 5, 1};
    for (int i = 0; i < 16; i++) {
        *problem = small_problem(channels[i / 4], channels[i % 4], 1);
        if (find_candidate(device, direction, problem, shader, candidate))
            return true;
    }
    *problem = small_problem(1, 1, 8);
    return find_candidate(device, direction, problem, shader, candidate);
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

/* Numbers in −1 … 1 that differ from test to test: memory may still hold the result of an earlier one. */
static void fill(float *data, uint64_t count, uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        data[i] = (float)((int32_t)(seed >> 32) >> 16) / 32768.0f;
    }
}

/* --- the test --- */

static vkg_result compare(vkg_program *program, enum conv_direction direction, vkg_tensor *const tensors[3],
                          const char *shader, double *error)
{
    const struct conv_problem *p = &tensors[2]->attributes.conv;
    const uint64_t count = shape_elements(&tensors[2]->shape);
    struct expected expected = {.operands = conv_operands[direction], .sums = calloc(count, sizeof(double))};
    if (!expected.sums)
        return vkg_fail(&program->device->log, VKG_ERROR_OUT_OF_MEMORY, "testing a kernel: out of host memory");
    for (int i = 0; i < 2; i++) {
        float *input = vkg_program_input(program, tensors[i], 0);
        fill(input, shape_elements(&tensors[i]->shape), hash_text(HASH_START + (uint64_t)i, shader));
        expected.inputs[i] = input;
    }
    const vkg_result result = vkg_program_run(program);
    each_product(p, add_product, &expected);
    if (result == VKG_OK)
        *error = largest_error(vkg_program_output(program, tensors[2], 0), expected.sums, count);
    free(expected.sums);
    return result;
}

static vkg_result measure_error(vkg_device *device, enum conv_direction direction, const struct conv_problem *problem,
                                uint32_t candidate, const char *shader, double *error)
{
    vkg_program *program = NULL;
    vkg_graph *graph;
    vkg_tensor *tensors[3];
    vkg_result result = conv_trial_create(device, direction, problem, candidate, &graph, &program, tensors);
    if (result == VKG_OK)
        result = compare(program, direction, tensors, shader, error);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
    return result;
}

vkg_result self_test(vkg_device *device, enum conv_direction direction, const char *shader)
{
    const double most = 1e-4; /* of the largest sum; rounding alone stays a hundred times below */
    struct conv_problem problem;
    uint32_t candidate;
    double error = 0;
    if (kernel_trust(device, shader) != TRUST_UNKNOWN)
        return VKG_OK;
    if (find_problem(device, direction, shader, &problem, &candidate)) {
        vkg_result result = measure_error(device, direction, &problem, candidate, shader, &error);
        if (result != VKG_OK)
            return result;
    }
    if (!(error <= most))
        vkg_logf(&device->log, VKG_LOG_WARNING,
                 "the kernel %s computes wrong numbers on %s (%s %s; error %g, expected at most %g): it is not used",
                 shader, device->caps.name, device->caps.driver_name, device->caps.driver_info, error, most);
    return kernel_note_trust(device, shader, error <= most ? TRUST_GOOD : TRUST_WRONG, error);
}
