/* vkgan-bench: measures one workload, and answers "once more" (bench/run asks in turn with PyTorch). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "app/profile.h"
#include "vkgan/device.h"
#include "workloads.h"

enum { WARM_UP = 2, MOST_REPEATS = 100 };

/* A measurement takes at least so long, as single runs of small layers are too short for the clock. */
static const double shortest = 0.1;

struct bench {
    struct workload workload;
    vkg_log log;
    vkg_device *device;
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
    double begin, first; /* when main began; the end of the first run, after that */
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
          "  vkgan-bench list                       the workloads; dcgan-SIZE-CHANNELS-wWIDTH-bBATCH is one, too\n"
          "  vkgan-bench time WORKLOAD              a line of JSON, then one more for every line of input\n"
          "  vkgan-bench profile WORKLOAD [TRACE]   where the time goes; TRACE is written for ui.perfetto.dev\n"
          "  vkgan-bench save WORKLOAD FILE         operands and result of one run, as safetensors\n\n"
          "VKGAN_DEVICE and VKGAN_KERNELS choose the device and the kernels.\n\nexamples:\n"
          "  vkgan-bench profile dcgan-28-1-w64-b64 trace.json\n"
          "  echo | vkgan-bench time conv-forward\n", out);
}

static vkg_result open_bench(struct bench *b)
{
    b->log = (vkg_log){.callback = print_message};
    vkg_result result = vkg_device_create(&(vkg_device_desc){.log = &b->log}, &b->device);
    if (result == VKG_OK)
        result = vkg_graph_create(&b->log, &b->graph);
    if (result == VKG_OK) {
        b->workload.build(b->graph, &b->workload);
        result = vkg_state_create(b->device, &b->graph, 1, 1, &b->state);
    }
    if (result == VKG_OK)
        result = vkg_program_create(b->device, b->graph, b->state, &(vkg_program_desc){.name = b->workload.name}, &b->program);
    return result;
}

static void close_bench(struct bench *b)
{
    vkg_program_destroy(&b->program);
    vkg_state_destroy(&b->state);
    vkg_graph_destroy(&b->graph);
    vkg_device_destroy(&b->device);
}

static vkg_result run_times(struct bench *b, uint32_t times, double *seconds)
{
    double start = now();
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < times && result == VKG_OK; i++)
        result = vkg_program_run(b->program);
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
           "\"start_up\": %.4f, \"repeats\": %u, \"flops\": %.0f, \"bytes\": %.0f, \"planned_bytes\": %llu, "
           "\"peak_rss\": %llu, \"dispatches\": %u, \"barriers\": %u}\n",
           b->workload.name, caps->name, caps->driver_info, vkg_kernel_family_name(caps->kernels), VKGAN_VERSION,
           b->first, repeats, stats.flops, b->workload.bytes, (unsigned long long)(stats.temporary_bytes + stats.state_bytes),
           (unsigned long long)usage.ru_maxrss * 1024, stats.dispatches, stats.barriers);
    fflush(stdout);
}

static vkg_result command_time(struct bench *b)
{
    double seconds = 0;
    char line[64];
    vkg_result result = run_times(b, 1, &seconds);
    b->first = now() - b->begin;
    if (result == VKG_OK)
        result = run_times(b, WARM_UP, &seconds);
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

/* What a copy and a product of matrices reach, each in a program of its own on the same device. */
static struct ceilings measure_ceilings(const struct bench *b)
{
    struct ceilings ceilings = {0};
    for (int i = 0; i < 2; i++) {
        struct bench one = {.device = b->device};
        double seconds = 0, unused;
        workload_find(i ? "matmul" : "copy", &one.workload);
        if (vkg_graph_create(&b->log, &one.graph) != VKG_OK)
            continue;
        one.workload.build(one.graph, &one.workload);
        if (vkg_state_create(b->device, &one.graph, 1, 1, &one.state) == VKG_OK &&
            vkg_program_create(b->device, one.graph, one.state, NULL, &one.program) == VKG_OK &&
            run_times(&one, 2, &unused) == VKG_OK && run_times(&one, 5, &seconds) == VKG_OK) {
            if (i)
                ceilings.flops = vkg_program_get_stats(one.program).flops / seconds;
            else
                ceilings.bytes = one.workload.bytes / seconds;
        }
        one.device = NULL; /* it is b's */
        close_bench(&one);
    }
    return ceilings;
}

static vkg_result command_profile(struct bench *b, const char *trace)
{
    uint32_t count = 0;
    double unused;
    vkg_result result = run_times(b, WARM_UP, &unused);
    if (result == VKG_OK)
        result = vkg_program_profile(b->program, NULL, &count);
    vkg_dispatch_profile *dispatches = calloc(count + 1, sizeof *dispatches);
    if (!dispatches)
        return VKG_ERROR_OUT_OF_MEMORY;
    if (result == VKG_OK)
        result = vkg_program_profile(b->program, dispatches, &count);
    const struct ceilings ceilings = result == VKG_OK ? measure_ceilings(b) : (struct ceilings){0};
    if (result == VKG_OK)
        printf("%s; ceilings: %.1f GFLOP/s, %.1f GB/s\n", b->workload.name, ceilings.flops / 1e9, ceilings.bytes / 1e9);
    if (result == VKG_OK)
        result = profile_print(stdout, dispatches, count, ceilings);
    if (result == VKG_OK && trace)
        result = profile_write_trace(&b->log, trace, dispatches, count);
    free(dispatches);
    return result;
}

static vkg_result command_save(struct bench *b, const char *path)
{
    vkg_result result = vkg_program_run(b->program);
    return result == VKG_OK ? vkg_state_save(b->state, path, 1) : result;
}

int main(int argc, char **argv)
{
    struct bench bench = {.begin = now()};
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (uint32_t i = 0; i < workload_count; i++)
            printf("%s\n", workloads[i].name);
        return 0;
    }
    const bool help = argc > 1 && strcmp(argv[1], "--help") == 0;
    const bool timing = argc == 3 && strcmp(argv[1], "time") == 0, saving = argc == 4 && strcmp(argv[1], "save") == 0;
    const bool profiling = (argc == 3 || argc == 4) && strcmp(argv[1], "profile") == 0;
    if (help || !(timing || saving || profiling)) {
        print_usage(help ? stdout : stderr);
        return help ? 0 : 2;
    }
    if (!workload_find(argv[2], &bench.workload)) {
        fprintf(stderr, "vkgan-bench: %s is no workload; `vkgan-bench list` lists them\n", argv[2]);
        return 2;
    }
    vkg_result result = open_bench(&bench);
    if (result == VKG_OK)
        result = timing ? command_time(&bench) : saving ? command_save(&bench, argv[3]) : command_profile(&bench, argv[3]);
    close_bench(&bench);
    return result == VKG_OK ? 0 : 1;
}
