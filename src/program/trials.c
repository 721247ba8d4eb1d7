#include "program/trials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "kernels/choice.h"
#include "ops/convolution.h"
#include "program/program.h"
#include "program/self_test.h"

/* A convolution of the program. */
struct task {
    enum conv_direction direction;
    const struct conv_problem *problem;
    vkg_dtype dtype;
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    uint32_t count;
};

/* --- programs of one convolution --- */

/* What the convolution's epilogue is to become. */
static vkg_tensor *follow(vkg_graph *graph, vkg_tensor *const tensors[CONV_TRIAL_TENSORS], uint32_t epilogue)
{
    vkg_tensor *result = tensors[2];
    if (epilogue & EPILOGUE_BIAS)
        result = vkg_add(graph, result, tensors[3]);
    if (epilogue & EPILOGUE_ACTIVATION)
        result = vkg_leaky_relu(graph, result, TRIAL_SLOPE);
    if (epilogue & EPILOGUE_STEP)
        result = vkg_mul(graph, result, pointwise_unary(graph, &op_leaky_step, tensors[4], TRIAL_SLOPE, 0));
    return result;
}

vkg_result conv_trial_create(vkg_device *device, enum conv_direction direction, const struct conv_problem *problem,
                             vkg_dtype dtype, uint32_t candidate, uint32_t epilogue, vkg_graph **graph,
                             vkg_program **program, vkg_tensor *tensors[CONV_TRIAL_TENSORS])
{
    static const char *const names[2] = {"a", "b"};
    *program = NULL;
    *graph = NULL;
    vkg_result result = vkg_graph_create(&device->log, graph);
    if (result != VKG_OK)
        return result;
    for (int i = 0; i < 2; i++)
        tensors[i] = vkg_input_typed(*graph, names[i], conv_operand_shape(problem, conv_operands[direction][i]), dtype);
    const vkg_shape shape = conv_operand_shape(problem, conv_operands[direction][2]);
    tensors[2] = conv_node(*graph, direction, tensors[0], tensors[1], problem);
    tensors[3] = epilogue & EPILOGUE_BIAS ? vkg_input(*graph, "bias", VKG_SHAPE(shape.dims[shape.rank - 1])) : NULL;
    tensors[4] = epilogue & EPILOGUE_STEP ? vkg_input(*graph, "step", shape) : NULL;
    tensors[5] = follow(*graph, tensors, epilogue);
    vkg_output(*graph, "result", tensors[5]);
    if (epilogue & EPILOGUE_MOMENTS) {
        tensors[6] = vkg_sum(*graph, tensors[5], axes_all_but_last(tensors[5]), false);
        tensors[7] = vkg_var(*graph, tensors[5], axes_all_but_last(tensors[5]), false, 0);
        vkg_output(*graph, "sums", tensors[6]);
        vkg_output(*graph, "variances", tensors[7]);
    }
    return program_create_candidate(device, *graph, NULL, &(vkg_program_desc){.name = "trial of a kernel"}, candidate,
                                    program);
}

/* --- time --- */

enum { MOST_REPETITIONS = 64 };

/* The seconds of one run among `repetitions` in one submission, which hides what a submission costs. */
static vkg_result time_runs(struct vkg_program *program, uint32_t repetitions, double *seconds)
{
    VkCommandBuffer commands[MOST_REPETITIONS];
    for (uint32_t i = 0; i < repetitions; i++)
        commands[i] = program->segments[0].commands;
    const double start = seconds_now();
    vkg_result result = program_submit_commands(program, repetitions, commands);
    *seconds = (seconds_now() - start) / repetitions;
    return result;
}

static double median_of_three(const double t[3])
{
    const double low = t[0] < t[1] ? t[0] : t[1], high = t[0] < t[1] ? t[1] : t[0];
    return t[2] < low ? low : t[2] > high ? high : t[2];
}

/* The median of three measurements of two milliseconds; of one run alone where that is hopeless beside the best. */
static vkg_result time_program(struct vkg_program *program, double best, double *seconds)
{
    const double enough = 2e-3, hopeless = 3;
    vkg_result result = time_runs(program, 1, seconds);
    if (result == VKG_OK)
        result = time_runs(program, 1, seconds);
    if (result != VKG_OK || *seconds > hopeless * best)
        return result;
    const double wanted = enough / *seconds;
    const uint32_t repetitions = wanted < 1 ? 1 : wanted > MOST_REPETITIONS ? MOST_REPETITIONS : (uint32_t)wanted;
    double times[3];
    for (int i = 0; i < 3 && result == VKG_OK; i++)
        result = time_runs(program, repetitions, &times[i]);
    *seconds = median_of_three(times);
    return result;
}

static vkg_result time_candidate(vkg_device *device, const struct task *task, uint32_t candidate, double best,
                                 double *seconds)
{
    vkg_program *program;
    vkg_graph *graph;
    vkg_tensor *tensors[CONV_TRIAL_TENSORS];
    vkg_result result = conv_trial_create(device, task->direction, task->problem, task->dtype, candidate, 0, &graph,
                                          &program, tensors);
    for (int i = 0; i < 2 && result == VKG_OK; i++) /* numbers of any type: zeros may take less power than a training */
        memset(vkg_program_input(program, tensors[i], 0), 0x3c, tensor_bytes(tensors[i]));
    if (result == VKG_OK)
        result = program->segment_count == 1 ? vkg_program_run(program) : VKG_ERROR_UNSUPPORTED;
    if (result == VKG_OK)
        result = time_program(program, best, seconds);
    vkg_program_destroy(&program);
    vkg_graph_destroy(&graph);
    return result;
}

/* --- choosing --- */

/* Words for the note: what was measured of a candidate. */
static void describe(char *text, size_t bytes, const struct conv_plan *plan, double seconds)
{
    char name[128];
    conv_candidate_name(plan, name, sizeof name);
    const size_t length = strlen(text);
    snprintf(text + length, bytes - length, "%s%s %.4f ms", length ? ", " : "", name, 1e3 * seconds);
}

/* The plain kernel, which is the last, is for devices that can run no other: on large problems it takes so long that
 * trying it could cost the device. */
static uint32_t candidates_to_time(const struct task *task)
{
    return task->count > 1 ? task->count - 1 : 1;
}

/* Times the candidates until `deadline`; those that cannot be built or run, for want of memory for example, are passed
 * over. What is not measured is chosen by shape. */
static vkg_result tune(vkg_device *device, const struct task *task, double deadline)
{
    char times[3072] = "";
    double best = 1e30;
    uint32_t chosen = conv_choose(device, task->direction, task->plans, task->count);
    const vkg_log log = device->log;
    for (uint32_t i = 0; i < candidates_to_time(task) && seconds_now() < deadline && !device->lost; i++) {
        double seconds = 0;
        vkg_result result = self_test(device, task->direction, &task->plans[i]);
        if (result != VKG_OK)
            return result;
        if (conv_trust(device, &task->plans[i]) == TRUST_WRONG)
            continue;
        device->log = (vkg_log){0}; /* a candidate that fails is no error */
        result = time_candidate(device, task, i, best, &seconds);
        device->log = log;
        if (result != VKG_OK)
            continue;
        describe(times, sizeof times, &task->plans[i], seconds);
        if (seconds < best)
            best = seconds, chosen = i;
    }
    if (device->lost)
        return vkg_fail(&device->log, VKG_ERROR_DEVICE_LOST, "the device \"%s\" was lost while kernels were timed; "
                        "VKGAN_AUTOTUNE=0 turns that off", device->caps.name);
    return conv_note_choice(device, task->direction, &task->plans[chosen], *times ? times : "not measured");
}

/* Until the kernel that would be used is one that is trusted; an error where the last one is not. */
static vkg_result test_choice(vkg_device *device, const struct task *task)
{
    vkg_result result = VKG_OK;
    const struct conv_plan *plan = NULL, *next;
    while (result == VKG_OK &&
           (next = &task->plans[conv_choose(device, task->direction, task->plans, task->count)]) != plan) {
        plan = next;
        result = self_test(device, task->direction, plan);
    }
    if (result == VKG_OK && conv_trust(device, plan) == TRUST_WRONG)
        result = self_test_fail(device, plan->step.shader);
    return result;
}

/* Is it worth timing, and does it fit beside what a training needs? */
static bool is_tuned(const vkg_device *device, const struct task *task)
{
    const double least = 1e6, most_bytes = 1e9;
    double bytes = 0;
    for (int i = 0; i < 3; i++) {
        const vkg_shape shape = conv_operand_shape(task->problem, (enum conv_operand)i);
        bytes += (double)vkg_dtype_size(task->dtype) * (double)shape_elements(&shape);
    }
    return device->autotune && task->plans[0].flops >= least && bytes <= most_bytes;
}

static int compare_work(const void *a, const void *b)
{
    const double first = ((const struct task *)a)->plans[0].flops, second = ((const struct task *)b)->plans[0].flops;
    return (first < second) - (first > second);
}

/* The program's convolutions, the largest first: where the time is not enough for all, they matter most. */
static size_t list_tasks(const vkg_device *device, const struct fusion *fusion, struct task *tasks)
{
    size_t count = 0;
    for (size_t u = 0; u < fusion->unit_count; u++) {
        const vkg_tensor *node = fusion->units[u].node;
        struct task *task = &tasks[count];
        if (!node || !conv_is_node(node, &task->direction))
            continue;
        task->problem = &node->attributes.conv;
        task->dtype = node->inputs[0]->dtype;
        task->count = conv_node_candidates(&device->caps, node, task->direction, &fusion->epilogues[node->id], task->plans);
        count += task->count > 0;
    }
    qsort(tasks, count, sizeof *tasks, compare_work);
    return count;
}

vkg_result trials_run(vkg_device *device, const struct fusion *fusion)
{
    const double budget = 2; /* seconds */
    struct task *tasks = calloc(fusion->unit_count + 1, sizeof *tasks);
    if (!tasks)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "trials of kernels: out of host memory");
    const size_t count = list_tasks(device, fusion, tasks);
    const double deadline = seconds_now() + budget;
    vkg_result result = VKG_OK;
    for (size_t i = 0; i < count && result == VKG_OK; i++) {
        const struct task *task = &tasks[i];
        uint32_t known;
        if (is_tuned(device, task) && !conv_find_choice(device, task->direction, task->plans, task->count, &known))
            result = tune(device, task, deadline);
        if (result == VKG_OK)
            result = test_choice(device, task);
    }
    free(tasks);
    if (!device->lost)
        device_save_notes(device);
    return result;
}
