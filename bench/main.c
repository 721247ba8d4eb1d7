/* vkgan-bench: measures one workload, and answers "once more" (bench/run asks in turn with PyTorch). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "app/profile.h"
#include "base/philox.h"
#include "program/program.h"
#include "vkgan/device.h"
#include "workloads.h"

enum { WARM_UP = 2, MOST_REPEATS = 100, PROFILED_RUNS = 3, SAVED_RUNS = 3, SLOTS = 2 };

/* A measurement takes at least so long, as single runs of small layers are too short for the clock. */
static const double shortest = 0.5;

struct bench {
    struct workload workload;
    vkg_log log;
    vkg_device *device;
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void print_message(void *user, vkg_log_level level, const char *message)
{
    (void)user;
    if (level <= VKG_LOG_WARNING)
        fprintf(stderr, "vkgan-bench: %s\n", message);
}

static void print_usage(FILE *out)
{
    fputs("vkgan-bench: times one workload of vkgan; bench/run does it beside PyTorch\n\nusage:\n"
          "  vkgan-bench list                       the workloads; dcgan-SIZE-CHANNELS-wWIDTH-bBATCH is one, too,\n"
          "                                         and all of them in mixed precision, with -bf16 or -fp16 behind the name\n"
          "  vkgan-bench time WORKLOAD              a line of JSON after the first run, one when it is warm, then one for every line\n"
          "                                         of input: the seconds of a run\n"
          "  vkgan-bench ceilings                   what products and copies reach at best on the device\n"
          "  vkgan-bench profile WORKLOAD [TRACE]   where the time goes; TRACE is written for ui.perfetto.dev\n"
          "  vkgan-bench save WORKLOAD FILE         operands and results, as safetensors\n\n"
          "VKGAN_DEVICE and VKGAN_KERNELS choose the device and the kernels.\n\nexamples:\n"
          "  vkgan-bench profile dcgan-28-1-w64-b64 trace.json\n"
          "  echo | vkgan-bench time conv-forward\n", out);
}

static vkg_result open_device(struct bench *b)
{
    b->log = (vkg_log){.callback = print_message};
    return vkg_device_create(&(vkg_device_desc){.log = &b->log}, &b->device);
}

/* Uniform numbers in −1 … 1, as PyTorch's side has: of images that are all alike a normalisation leaves nothing, and gradients vanish. */
static void fill_inputs(const struct bench *b)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        for (uint32_t i = 0; i < b->program->input_count; i++) {
            const vkg_tensor *input = b->program->inputs[i].tensor;
            float *numbers = vkg_program_input(b->program, input, slot);
            for (uint64_t n = 0; n < vkg_tensor_elements(input); n++) {
                uint32_t random[4] = {(uint32_t)n, i, slot};
                philox4x32(random, (uint32_t[2]){1}, random);
                numbers[n] = 2 * philox_uniform(random[0]) - 1;
            }
        }
}

static vkg_result build_program(struct bench *b)
{
    vkg_result result = vkg_graph_create(&b->log, &b->graph);
    if (result == VKG_OK) {
        vkg_graph_set_precision(b->graph, b->workload.precision);
        b->workload.build(b->graph, &b->workload);
        result = vkg_state_create(b->device, &b->graph, 1, 1, &b->state);
    }
    if (result == VKG_OK)
        result = vkg_program_create(b->device, b->graph, b->state,
                                    &(vkg_program_desc){.name = b->workload.name, .slots = SLOTS}, &b->program);
    if (result == VKG_OK)
        fill_inputs(b);
    return result;
}

static void close_program(struct bench *b)
{
    vkg_program_destroy(&b->program);
    vkg_state_destroy(&b->state);
    vkg_graph_destroy(&b->graph);
}

/* As a training does it: a run is sent while the one before computes. */
static vkg_result run_times(const struct bench *b, uint32_t times, double *seconds)
{
    double start = now();
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < times + SLOTS && result == VKG_OK; i++) {
        result = vkg_program_wait(b->program, i % SLOTS);
        if (result == VKG_OK && i < times)
            result = vkg_program_submit(b->program, i % SLOTS);
    }
    *seconds = (now() - start) / times;
    return result;
}

static void print_ready(const struct bench *b, uint32_t repeats)
{
    const vkg_device_caps *caps = vkg_device_get_caps(b->device);
    const vkg_program_stats stats = vkg_program_get_stats(b->program);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"workload\": \"%s\", \"device\": \"%s\", \"driver\": \"%s\", \"kernels\": \"%s\", \"version\": \"%s\", "
           "\"repeats\": %u, \"flops\": %.0f, \"bytes\": %.0f, \"planned_bytes\": %llu, "
           "\"peak_rss\": %llu, \"dispatches\": %u, \"barriers\": %u}\n",
           b->workload.name, caps->name, caps->driver_info, vkg_kernel_family_name(caps->kernels), VKGAN_VERSION,
           repeats, stats.flops, b->workload.bytes, (unsigned long long)(stats.temporary_bytes + stats.state_bytes),
           (unsigned long long)usage.ru_maxrss * 1024, stats.dispatches, stats.barriers);
    fflush(stdout);
}

static vkg_result command_time(const struct bench *b)
{
    double seconds = 0;
    char line[64];
    vkg_result result = run_times(b, 1, &seconds);
    if (result == VKG_OK) {
        puts("{\"first\": true}"); /* who started us knows since when */
        fflush(stdout);
        result = run_times(b, WARM_UP, &seconds);
    }
    if (result != VKG_OK)
        return result;
    double wanted = ceil(shortest / (seconds > 1e-6 ? seconds : 1e-6));
    const uint32_t repeats = wanted < MOST_REPEATS ? (uint32_t)wanted : MOST_REPEATS;
    print_ready(b, repeats);
    while (result == VKG_OK && fgets(line, sizeof line, stdin)) {
        result = run_times(b, repeats, &seconds);
        if (result == VKG_OK)
            printf("{\"seconds\": %.9f}\n", seconds);
        fflush(stdout);
    }
    return result;
}

/* --- ceilings --- */

/* A dispatch of less is over before the clock of some devices has moved. */
static const double shortest_dispatch = 20e-6;

static void raise_ceilings(struct ceilings *ceilings, const vkg_dispatch_profile *dispatches, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const vkg_dispatch_profile *d = &dispatches[i];
        if (d->seconds < shortest_dispatch)
            continue;
        ceilings->flops = fmax(ceilings->flops, d->flops / d->seconds);
        ceilings->bytes = fmax(ceilings->bytes, d->bytes / d->seconds);
    }
}

/* A profile of the one run of several that took least; the caller frees it. */
static vkg_result profile_best(const struct bench *b, uint32_t runs, vkg_dispatch_profile **dispatches, uint32_t *count)
{
    double least = INFINITY, unused;
    vkg_result result = run_times(b, WARM_UP, &unused);
    if (result == VKG_OK)
        result = vkg_program_profile(b->program, NULL, count);
    vkg_dispatch_profile *tried = calloc(*count + 1, sizeof *tried);
    *dispatches = calloc(*count + 1, sizeof **dispatches);
    if (!tried || !*dispatches)
        result = VKG_ERROR_OUT_OF_MEMORY;
    for (uint32_t run = 0; run < runs && result == VKG_OK; run++) {
        double total = 0;
        result = vkg_program_profile(b->program, tried, count);
        for (uint32_t i = 0; i < *count; i++)
            total += tried[i].seconds;
        if (result == VKG_OK && total < least) {
            least = total;
            memcpy(*dispatches, tried, *count * sizeof *tried);
        }
    }
    free(tried);
    return result;
}

/* The best that any dispatch of ceiling_workloads reaches; a workload that cannot run here is left out. */
static struct ceilings measure_ceilings(const struct bench *b)
{
    struct ceilings ceilings = {0};
    for (uint32_t i = 0; i < ceiling_workload_count; i++) {
        struct bench one = {.log = b->log, .device = b->device, .workload = ceiling_workloads[i]};
        vkg_dispatch_profile *dispatches = NULL;
        uint32_t count = 0;
        if (build_program(&one) == VKG_OK && profile_best(&one, PROFILED_RUNS, &dispatches, &count) == VKG_OK)
            raise_ceilings(&ceilings, dispatches, count);
        free(dispatches);
        close_program(&one);
    }
    return ceilings;
}

static vkg_result command_ceilings(const struct bench *b)
{
    const struct ceilings ceilings = measure_ceilings(b);
    printf("{\"flops_per_second\": %.0f, \"bytes_per_second\": %.0f}\n", ceilings.flops, ceilings.bytes);
    return VKG_OK;
}

/* --- profiles --- */

static vkg_result command_profile(const struct bench *b, const char *trace)
{
    vkg_dispatch_profile *dispatches = NULL;
    uint32_t count = 0;
    vkg_result result = profile_best(b, PROFILED_RUNS, &dispatches, &count);
    if (result == VKG_OK) {
        struct ceilings ceilings = measure_ceilings(b);
        raise_ceilings(&ceilings, dispatches, count);
        printf("%s; ceilings: %.1f GFLOP/s, %.1f GB/s\n", b->workload.name, ceilings.flops / 1e9, ceilings.bytes / 1e9);
        result = profile_print(stdout, dispatches, count, ceilings);
    }
    if (result == VKG_OK && trace)
        result = profile_write_trace(&b->log, trace, dispatches, count);
    free(dispatches);
    return result;
}

/* --- commands --- */

/* Several runs, as an optimiser's first step says little; the results of layers stay the same. */
static vkg_result command_save(const struct bench *b, const char *path)
{
    double unused;
    vkg_result result = run_times(b, SAVED_RUNS, &unused);
    return result == VKG_OK ? vkg_state_save(b->state, path, SAVED_RUNS) : result;
}

static vkg_result run_command(struct bench *b, const char *command, const char *file)
{
    vkg_result result = open_device(b);
    if (result == VKG_OK && strcmp(command, "ceilings") == 0)
        result = command_ceilings(b);
    else if (result == VKG_OK && (result = build_program(b)) == VKG_OK)
        result = strcmp(command, "time") == 0 ? command_time(b) :
                 strcmp(command, "save") == 0 ? command_save(b, file) : command_profile(b, file);
    close_program(b);
    vkg_device_destroy(&b->device);
    return result;
}

static bool is_usage(int argc, char **argv)
{
    static const struct { const char *name; int least, most; } commands[] = {
        {"list", 2, 2}, {"ceilings", 2, 2}, {"time", 3, 3}, {"profile", 3, 4}, {"save", 4, 4}};
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return argc >= commands[i].least && argc <= commands[i].most;
    return false;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    const bool help = argc > 1 && strcmp(argv[1], "--help") == 0;
    if (help || !is_usage(argc, argv)) {
        print_usage(help ? stdout : stderr);
        return help ? 0 : 2;
    }
    if (strcmp(argv[1], "list") == 0) {
        for (uint32_t i = 0; i < workload_count; i++)
            printf("%s\n", workloads[i].name);
        return 0;
    }
    if (argc > 2 && !workload_find(argv[2], &bench.workload)) {
        fprintf(stderr, "vkgan-bench: %s is no workload; `vkgan-bench list` lists them\n", argv[2]);
        return 2;
    }
    bench.workload.whole = strcmp(argv[1], "save") == 0;
    return run_command(&bench, argv[1], argc > 3 ? argv[3] : NULL) == VKG_OK ? 0 : 1;
}
