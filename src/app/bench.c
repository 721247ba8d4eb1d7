/* bench: how long a training step takes, and what it takes. */
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/app.h"
#include "app/profile.h"
#include "io/json.h"

enum { WARM_UP = 3, MOST_BATCHES = 64 /* of a step; every one is the same here */, CLASSES = 10 };

struct measurement {
    double start_up;       /* seconds from opening the device to the end of the first step */
    double step;           /* median seconds */
    double fastest, slowest;
    double host;           /* median seconds of processor time that the calling thread spends on a step */
    size_t allocated;      /* bytes that the C heap grew by during all timed steps */
    vkg_program_stats stats; /* of the median step; its memory: of the largest of all */
};

/* Steps in which other phases coincide do other work. */
struct timed {
    double wall, host;
    vkg_program_stats stats;
};

static double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int compare(double x, double y)
{
    return x < y ? -1 : x > y;
}

static int by_wall(const void *a, const void *b)
{
    return compare(((const struct timed *)a)->wall, ((const struct timed *)b)->wall);
}

static int by_host(const void *a, const void *b)
{
    return compare(((const struct timed *)a)->host, ((const struct timed *)b)->host);
}

static vkg_result timed_step(vkg_trainer *trainer, const vkg_batch *batches, struct timed *timed)
{
    timed->stats = vkg_trainer_get_stats(trainer);
    double wall_start = seconds_now(), host_start = thread_seconds();
    vkg_result result = vkg_trainer_step(trainer, batches, NULL);
    timed->host = thread_seconds() - host_start;
    if (result == VKG_OK)
        result = vkg_trainer_finish(trainer, NULL);
    timed->wall = seconds_now() - wall_start;
    return result;
}

static void keep_largest(vkg_program_stats *most, const vkg_program_stats *stats)
{
    if (stats->temporary_bytes > most->temporary_bytes) {
        most->temporary_bytes = stats->temporary_bytes;
        most->temporary_bytes_unaliased = stats->temporary_bytes_unaliased;
    }
}

static vkg_result time_steps(vkg_trainer *trainer, const vkg_batch *batches, uint32_t steps, double begin,
                             struct measurement *m)
{
    struct timed *timed = calloc(steps, sizeof *timed), warm;
    vkg_program_stats largest = {0};
    vkg_result result = timed ? VKG_OK : VKG_ERROR_OUT_OF_MEMORY;
    for (int i = 0; i < WARM_UP && result == VKG_OK; i++) {
        result = timed_step(trainer, batches, &warm);
        keep_largest(&largest, &warm.stats);
        if (i == 0)
            m->start_up = seconds_now() - begin;
    }
    size_t before = mallinfo2().uordblks;
    for (uint32_t i = 0; i < steps && result == VKG_OK; i++) {
        result = timed_step(trainer, batches, &timed[i]);
        keep_largest(&largest, &timed[i].stats);
    }
    size_t after = mallinfo2().uordblks;
    m->allocated = after > before ? after - before : 0;
    if (result == VKG_OK) {
        qsort(timed, steps, sizeof *timed, by_host);
        m->host = timed[steps / 2].host;
        qsort(timed, steps, sizeof *timed, by_wall);
        m->step = timed[steps / 2].wall, m->fastest = timed[0].wall, m->slowest = timed[steps - 1].wall;
        m->stats = timed[steps / 2].stats;
        keep_largest(&m->stats, &largest);
    }
    free(timed);
    return result;
}

static void put_member(struct json_text *json, const char *name, const char *value)
{
    json_put_string(json, name);
    json_put(json, ": ", 2);
    json_put_string(json, value);
    json_put(json, ", ", 2);
}

static void print_json(const vkg_app *app, const uint32_t image[3], const struct measurement *m)
{
    const vkg_device_caps *caps = vkg_device_get_caps(app->device);
    const struct options *o = &app->options;
    struct json_text names = {0}; /* a driver may be called anything */
    put_member(&names, "program", app->desc->name);
    put_member(&names, "device", caps->name);
    put_member(&names, "driver", caps->driver_info);
    put_member(&names, "kernels", vkg_kernel_family_name(caps->kernels));
    printf("{%s\"size\": %u, \"channels\": %u, "
           "\"width\": %g, \"batch\": %g, \"steps\": %g, \"step_ms\": %.3f, \"step_ms_min\": %.3f, \"step_ms_max\": %.3f, "
           "\"images_per_second\": %.1f, \"gflop_per_step\": %.3f, \"gflops\": %.1f, \"host_us_per_step\": %.1f, "
           "\"host_bytes_allocated\": %zu, \"start_up_seconds\": %.3f, \"memory_bytes\": %llu, "
           "\"memory_bytes_unaliased\": %llu, \"state_bytes\": %llu, \"dispatches\": %u, \"barriers\": %u, "
           "\"submissions\": %u, \"pipelines\": %u}\n",
           names.text ? names.text : "", image[0], image[2], o->width, o->batch, o->steps, m->step * 1e3, m->fastest * 1e3, m->slowest * 1e3, images_a_step(o) / m->step, m->stats.flops / 1e9,
           m->stats.flops / m->step / 1e9, m->host * 1e6, m->allocated, m->start_up,
           (unsigned long long)m->stats.temporary_bytes, (unsigned long long)m->stats.temporary_bytes_unaliased,
           (unsigned long long)m->stats.state_bytes, m->stats.dispatches, m->stats.barriers, m->stats.submissions,
           m->stats.pipelines);
    free(names.text);
}

static void print_text(const vkg_app *app, const uint32_t image[3], const struct measurement *m)
{
    const vkg_device_caps *caps = vkg_device_get_caps(app->device);
    const vkg_program_stats *s = &m->stats;
    printf("%s, %s, %s kernels\n", caps->name, caps->driver_info, vkg_kernel_family_name(caps->kernels));
    printf("%s %u×%u×%u, width %g, batch %g: %.1f ms a step (%.1f to %.1f), %.0f images/s\n", app->desc->name, image[0],
           image[1], image[2], app->options.width, app->options.batch, m->step * 1e3, m->fastest * 1e3, m->slowest * 1e3,
           images_a_step(&app->options) / m->step);
    printf("work:     %.2f GFLOP a step, %.1f GFLOP/s; %u dispatches, %u barriers, %u submissions, %u pipelines\n",
           s->flops / 1e9, s->flops / m->step / 1e9, s->dispatches, s->barriers, s->submissions, s->pipelines);
    printf("memory:   %.1f MB for the largest of these steps (%.1f MB without sharing), %.1f MB of parameters and moments\n",
           (double)s->temporary_bytes / 1e6, (double)s->temporary_bytes_unaliased / 1e6, (double)s->state_bytes / 1e6);
    printf("host:     %.0f µs of processor time a step to feed and submit, %zu bytes allocated in all %g steps\n",
           m->host * 1e6, m->allocated, app->options.steps);
    printf("start-up: %.2f s to the end of the first step\n", m->start_up);
}

/* The next step, dispatch by dispatch. */
static vkg_result profile(vkg_app *app, vkg_trainer *trainer, const vkg_batch *batches)
{
    uint32_t count = 0;
    vkg_result result = vkg_trainer_profile(trainer, NULL, NULL, &count);
    vkg_dispatch_profile *dispatches = calloc(count + 1, sizeof *dispatches);
    if (!dispatches)
        return vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for a profile of %u dispatches", count);
    if (result == VKG_OK)
        result = vkg_trainer_profile(trainer, batches, dispatches, &count);
    if (result == VKG_OK)
        result = profile_print(stdout, dispatches, count, (struct ceilings){0});
    if (result == VKG_OK && app->options.trace)
        result = profile_write_trace(&app->log, app->options.trace, dispatches, count);
    free(dispatches);
    return result;
}

/* Pictures of a shape, which may be empty; NULL when memory is out. */
static float *make_up(uint32_t count, const uint32_t shape[3])
{
    const size_t elements = (size_t)count * shape[0] * shape[1] * shape[2];
    float *values = malloc((elements + 1) * sizeof *values);
    for (size_t i = 0; i < elements && values; i++)
        values[i] = (float)sin((double)i * 0.7);
    return values;
}

static vkg_result measure(vkg_app *app, const vkg_network_settings *settings, struct measurement *m)
{
    const struct options *o = &app->options;
    double begin = seconds_now();
    vkg_trainer *trainer = NULL;
    float *images = make_up((uint32_t)o->batch, settings->image), *inputs = make_up((uint32_t)o->batch, settings->input);
    int32_t *labels = malloc((size_t)o->batch * sizeof *labels);
    vkg_batch batches[MOST_BATCHES];
    vkg_result result = VKG_OK;
    if (!images || !inputs || !labels)
        result = vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for a batch of %g images", o->batch);
    for (int32_t i = 0; i < (int32_t)o->batch && result == VKG_OK; i++)
        labels[i] = i % CLASSES;
    for (int i = 0; i < MOST_BATCHES; i++)
        batches[i] = (vkg_batch){.images = images, .labels = labels, .inputs = inputs};
    if (result == VKG_OK)
        result = app_open_device(app);
    if (result == VKG_OK)
        result = app_create_trainer(app, settings, &trainer);
    if (result == VKG_OK)
        result = time_steps(trainer, batches, o->profile ? 1 : (uint32_t)o->steps, begin, m);
    if (result == VKG_OK && o->profile)
        result = profile(app, trainer, batches);
    vkg_trainer_destroy(&trainer);
    free(images);
    free(inputs);
    free(labels);
    return result;
}

/* What a sample is: an image, or what the program's own data is made of. */
static vkg_result sample_shape(vkg_app *app, uint32_t image[3], uint32_t input[3])
{
    vkg_dataset *dataset;
    vkg_view_shape shape;
    image[0] = image[1] = app->options.size > 0 ? (uint32_t)app->options.size : 28;
    image[2] = app->options.channels > 0 ? (uint32_t)app->options.channels : 1;
    if (app->desc->view) {
        vkg_result result = app_view_shape(app, image, &shape);
        if (result == VKG_OK)
            memcpy(image, shape.target, sizeof shape.target), memcpy(input, shape.input, sizeof shape.input);
        return result;
    }
    if (!app->desc->open_data || app->desc->data_help)
        return VKG_OK;
    vkg_result result = app->desc->open_data(app, NULL, &dataset);
    if (result != VKG_OK)
        return result;
    const vkg_dataset_info info = vkg_dataset_get_info(dataset);
    image[0] = info.height, image[1] = info.width, image[2] = info.channels;
    vkg_dataset_close(&dataset);
    return VKG_OK;
}

int command_bench(vkg_app *app)
{
    struct run_image run = {.classes = CLASSES};
    vkg_network_settings settings;
    struct measurement m = {0};
    if (app->options.steps > 100000)
        return app_error(app, "--steps %g: 100000 timed steps are enough", app->options.steps);
    if (app->options.trace && !app->options.profile)
        return app_error(app, "--trace %s: needs --profile", app->options.trace);
    if (sample_shape(app, run.image, run.input) != VKG_OK || !app_settings(app, &run, &settings) ||
        measure(app, &settings, &m) != VKG_OK)
        return 1;
    if (!app->options.profile)
        (app->options.json ? print_json : print_text)(app, run.image, &m);
    return 0;
}
