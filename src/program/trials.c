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
    uint32_t epilogue;                       /* what is asked for: not every kernel can do all of it */
    bool tuned;                              /* its candidates are to be timed */
    double seconds[CONV_MAX_CANDIDATES + 1]; /* of each; 0 where it was not measured */
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

static vkg_result build_graph(const vkg_log *log, const struct conv_trial *trial, vkg_graph **graph,
                              vkg_tensor *tensors[CONV_TRIAL_TENSORS])
{
    static const char *const names[2] = {"a", "b"};
    const struct conv_problem *problem = trial->problem;
    const uint32_t epilogue = trial->epilogue;
    *graph = NULL;
    vkg_result result = vkg_graph_create(log, graph);
    if (result != VKG_OK)
        return result;
    for (int i = 0; i < 2; i++)
        tensors[i] = vkg_input_typed(*graph, names[i], conv_operand_shape(problem, conv_operands[trial->direction][i]),
                                     trial->dtype);
    const vkg_shape shape = conv_operand_shape(problem, conv_operands[trial->direction][2]);
    tensors[2] = conv_node(*graph, trial->direction, tensors[0], tensors[1], problem);
    tensors[3] = epilogue & EPILOGUE_BIAS ? vkg_input(*graph, "bias", VKG_SHAPE(shape.dims[shape.rank - 1])) : NULL;
    tensors[4] = epilogue & EPILOGUE_STEP
                     ? vkg_input_typed(*graph, "step", shape, epilogue & EPILOGUE_HALF_STEP ? trial->dtype : VKG_FLOAT32)
                     : NULL;
    tensors[5] = follow(*graph, tensors, epilogue);
    if (!(epilogue & EPILOGUE_ONLY_COPY))
        vkg_output(*graph, "result", tensors[5]);
    if (epilogue & EPILOGUE_COPY) {
        tensors[8] = vkg_cast(*graph, vkg_cast(*graph, tensors[5], trial->dtype), VKG_FLOAT32);
        vkg_output(*graph, "copy", tensors[8]);
    }
    if (epilogue & EPILOGUE_MOMENTS) {
        tensors[6] = vkg_sum(*graph, tensors[5], axes_all_but_last(tensors[5]), false);
        tensors[7] = vkg_var(*graph, tensors[5], axes_all_but_last(tensors[5]), false, 0);
        vkg_output(*graph, "sums", tensors[6]);
        vkg_output(*graph, "variances", tensors[7]);
    }
    return VKG_OK;
}

vkg_result conv_trial_create(vkg_device *device, const struct conv_trial *trial, vkg_graph **graph, vkg_program **program,
                             vkg_tensor *tensors[CONV_TRIAL_TENSORS])
{
    *program = NULL;
    vkg_result result = build_graph(&device->log, trial, graph, tensors);
    if (result != VKG_OK)
        return result;
    return trial->unfed ? program_create_unfed(device, *graph, "trial of a kernel", trial->candidate, program)
                        : program_create_candidate(device, *graph, NULL, &(vkg_program_desc){.name = "trial of a kernel"},
                                                   trial->candidate, program);
}

vkg_result conv_trial_want(vkg_device *device, const struct conv_trial *trial)
{
    vkg_graph *graph;
    vkg_tensor *tensors[CONV_TRIAL_TENSORS];
    vkg_result result = build_graph(&device->log, trial, &graph, tensors);
    if (result == VKG_OK)
        result = program_want_pipelines(device, graph, NULL, trial->candidate);
    vkg_graph_destroy(&graph);
    return result;
}

/* --- time --- */

enum { MOST_REPETITIONS = 64, NUMBERS_OF_ANY_TYPE = 0x3c3c3c3c };

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

/* Clocks of a card that was idle rise while it computes; until then, times say little. */
static vkg_result warm_up(struct vkg_program *program)
{
    const double enough = 0.1, end = seconds_now() + enough;
    double seconds;
    vkg_result result = VKG_OK;
    while (result == VKG_OK && seconds_now() < end)
        result = time_runs(program, 1, &seconds);
    return result;
}

static uint32_t repetitions_for(double seconds)
{
    const double enough = 1e-3, repetitions = enough / seconds;
    return repetitions < 1 ? 1 : repetitions > MOST_REPETITIONS ? MOST_REPETITIONS : (uint32_t)repetitions;
}

/* The least of two single runs and five measurements of a millisecond, as whatever disturbs one makes it longer; of fewer where it is
 * hopeless beside the best. (A submission costs more than many a kernel: single runs say little, and the runs of the first measurement,
 * which are counted by them, take less than a millisecond.) */
static vkg_result time_program(struct vkg_program *program, double best, double *seconds)
{
    enum { SINGLE = 2, FEWEST = 4, ALL = 7 };
    const double submission = 1e-3, hopeless[] = {3 * best + submission, 1.3 * best};
    vkg_result result = VKG_OK;
    *seconds = 1e30;
    for (int i = 0; i < ALL && result == VKG_OK && (i < SINGLE || *seconds < hopeless[i >= FEWEST]); i++) {
        double again;
        result = time_runs(program, i < SINGLE ? 1 : repetitions_for(*seconds), &again);
        if (result == VKG_OK && again < *seconds)
            *seconds = again;
    }
    return result;
}

static struct conv_trial trial_of(const struct task *task, uint32_t candidate)
{
    return (struct conv_trial){task->direction, task->problem, task->dtype, candidate, task->epilogue, true};
}

static vkg_result time_candidate(vkg_device *device, const struct task *task, uint32_t candidate, double best, bool *warm,
                                 double *seconds)
{
    const struct conv_trial trial = trial_of(task, candidate);
    vkg_program *program;
    vkg_graph *graph;
    vkg_tensor *tensors[CONV_TRIAL_TENSORS];
    vkg_result result = conv_trial_create(device, &trial, &graph, &program, tensors);
    if (result == VKG_OK && program->segment_count != 1)
        result = VKG_ERROR_UNSUPPORTED;
    for (uint32_t b = 0; result == VKG_OK && b < program->block_count; b++) /* zeros may take less power than a training */
        result = transfer_fill(device, &program->blocks[b], program->blocks[b].size, NUMBERS_OF_ANY_TYPE);
    if (result == VKG_OK && !*warm)
        result = warm_up(program);
    *warm |= result == VKG_OK;
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

static uint32_t count_matrices(const struct task *task)
{
    uint32_t matrices = 0;
    while (matrices < task->count && task->plans[matrices].step.subgroup_size)
        matrices++;
    return matrices;
}

/* The plain kernel, which is the last, is for what is small, and for devices that can run no other: on large problems it
 * takes so long that trying it could cost the device. Where there are kernels of matrices, the best guess of the others stands
 * for these. */
static uint32_t candidates_to_time(const struct task *task)
{
    const double small = 1e8;
    const uint32_t matrices = count_matrices(task);
    if (matrices)
        return matrices + 1 < task->count ? matrices + 1 : task->count;
    return task->count > 1 && task->plans[0].flops > small ? task->count - 1 : task->count;
}

static vkg_result check_lost(vkg_device *device)
{
    return device->lost ? vkg_fail(&device->log, VKG_ERROR_DEVICE_LOST, "the device \"%s\" was lost while kernels were timed; "
                                   "VKGAN_AUTOTUNE=0 turns that off", device->caps.name)
                        : VKG_OK;
}

/* Times the candidates until `deadline`; those that cannot be built or run, for want of memory for example, are passed
 * over. */
static vkg_result time_candidates(vkg_device *device, struct task *task, double deadline, bool *warm)
{
    double best = 1e30;
    const vkg_log log = device->log;
    device->log = (vkg_log){0}; /* a candidate that fails is no error */
    for (uint32_t i = 0; i < candidates_to_time(task) && seconds_now() < deadline && !device->lost; i++) {
        double seconds = 0;
        if (task->plans[i].unlikely || conv_trust(device, &task->plans[i]) == TRUST_WRONG ||
            time_candidate(device, task, i, best, warm, &seconds) != VKG_OK)
            continue;
        task->seconds[i] = seconds;
        best = seconds < best ? seconds : best;
    }
    device->log = log;
    return check_lost(device);
}

static double cost_of(const struct task *task, uint32_t candidate)
{
    return conv_cost(task->direction, &task->plans[candidate], task->seconds[candidate]);
}

/* The one that costs least of those that were measured and are not known to be wrong; UINT32_MAX: there is none. */
static uint32_t find_best(const vkg_device *device, const struct task *task)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < task->count; i++)
        if (task->seconds[i] > 0 && conv_trust(device, &task->plans[i]) != TRUST_WRONG &&
            (best == UINT32_MAX || cost_of(task, i) < cost_of(task, best)))
            best = i;
    return best;
}

/* Notes it; what was not measured is chosen by shape. */
static vkg_result note_best(vkg_device *device, const struct task *task)
{
    char times[3072] = "";
    uint32_t chosen = find_best(device, task);
    for (uint32_t i = 0; i < task->count; i++)
        if (task->seconds[i] > 0)
            describe(times, sizeof times, &task->plans[i], task->seconds[i]);
    if (chosen == UINT32_MAX)
        chosen = conv_guess(device, task->plans, task->count);
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
        if (result == VKG_OK && task->tuned && conv_trust(device, plan) == TRUST_WRONG)
            result = note_best(device, task);
    }
    if (result == VKG_OK && conv_trust(device, plan) == TRUST_WRONG)
        result = self_test_fail(device, plan->step.shader);
    return result;
}

/* Is it worth timing, and does it fit beside what a training needs? */
static bool is_tuned(const vkg_device *device, const struct task *task)
{
    const double least = 1e6, most_bytes = 1e9;
    return device->autotune && task->plans[0].flops >= least && conv_bytes(task->direction, &task->plans[0]) <= most_bytes;
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
        const struct epilogue *epilogue = node ? &fusion->epilogues[node->id] : NULL;
        if (!node || !conv_is_node(node, &task->direction))
            continue;
        task->problem = &node->attributes.conv;
        task->dtype = node->inputs[0]->dtype;
        task->count = conv_node_candidates(&device->caps, node, task->direction, epilogue, task->plans);
        task->epilogue = epilogue_wanted(epilogue);
        count += task->count > 0;
    }
    qsort(tasks, count, sizeof *tasks, compare_work);
    return count;
}

/* The pipelines of a task's trials, */
static void want_candidates(vkg_device *device, const struct task *task)
{
    for (uint32_t c = 0; task->tuned && c < candidates_to_time(task); c++) {
        const struct conv_trial trial = trial_of(task, c);
        if (!task->plans[c].unlikely)
            conv_trial_want(device, &trial);
    }
}

/* and those of the test of what was chosen. */
static void want_choice(vkg_device *device, const struct task *task)
{
    self_test_want(device, task->direction, &task->plans[conv_choose(device, task->direction, task->plans, task->count)]);
}

/* Work for a card whose kernels are being built: it would be idle for seconds, and some take as long to raise their clocks again. */
struct waking {
    vkg_device *device;
    struct buffer buffer;
};

static bool keep_awake(void *user)
{
    const struct waking *waking = user;
    return transfer_fill(waking->device, &waking->buffer, waking->buffer.size, 0) == VKG_OK;
}

static void build_awake(vkg_device *device)
{
    const uint64_t enough = 128 << 20; /* a tenth of a millisecond of the largest cards, some of small ones */
    struct waking waking = {.device = device};
    if (!pipelines_unbuilt(device))
        return;
    const vkg_log log = device->log;
    device->log = (vkg_log){0}; /* where there is no memory for it, it is left out */
    const bool made = buffer_create(device, BUFFER_DEVICE, enough, "work for an idle card", &waking.buffer) == VKG_OK;
    device->log = log;
    pipelines_build_beside(device, made ? keep_awake : NULL, &waking);
    buffer_destroy(device, &waking.buffer);
}

/* Has what is wanted for all tasks built at once; what goes wrong here goes wrong in the trial, or the test, too, and is passed
 * over, or reported, there. */
static void build_pipelines(vkg_device *device, const struct task *tasks, size_t count,
                            void (*want)(vkg_device *device, const struct task *task), void (*build)(vkg_device *device))
{
    const vkg_log log = device->log;
    if (!pipelines_build_pays(device))
        return;
    device->log = (vkg_log){0};
    for (size_t i = 0; i < count; i++)
        want(device, &tasks[i]);
    device->log = log;
    build(device);
}

static bool is_known(const vkg_device *device, const struct task *task)
{
    uint32_t choice;
    return conv_find_choice(device, task->direction, task->plans, task->count, &choice);
}

/* Times the candidates of what is not known. */
static vkg_result tune(vkg_device *device, struct task *tasks, size_t count)
{
    const double least = 1.5, each = 0.05; /* seconds */
    vkg_result result = VKG_OK;
    bool warm = false;
    for (size_t i = 0; i < count; i++)
        tasks[i].tuned = is_tuned(device, &tasks[i]) && !is_known(device, &tasks[i]);
    build_pipelines(device, tasks, count, want_candidates, build_awake);
    const double budget = each * (double)count, deadline = seconds_now() + (budget > least ? budget : least);
    for (size_t i = 0; i < count && result == VKG_OK; i++) {
        tasks[i].tuned = tasks[i].tuned && !is_known(device, &tasks[i]); /* since another task has that problem */
        if (!tasks[i].tuned)
            continue;
        result = time_candidates(device, &tasks[i], deadline, &warm);
        if (result == VKG_OK)
            result = note_best(device, &tasks[i]);
    }
    return result;
}

vkg_result trials_run(vkg_device *device, const struct fusion *fusion)
{
    struct task *tasks = calloc(fusion->unit_count + 1, sizeof *tasks);
    if (!tasks)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "trials of kernels: out of host memory");
    const size_t count = list_tasks(device, fusion, tasks);
    vkg_result result = tune(device, tasks, count);
    if (result == VKG_OK)
        build_pipelines(device, tasks, count, want_choice, pipelines_build);
    for (size_t i = 0; i < count && result == VKG_OK; i++)
        result = test_choice(device, &tasks[i]);
    free(tasks);
    if (!device->lost)
        device_save_notes(device);
    return result;
}
