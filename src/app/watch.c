/* What a step reports goes to the diagnosis and to TensorBoard; what the diagnosis says goes to the user. */
#include "app/watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

vkg_result watch_create(struct training *t)
{
    t->watch = calloc(1, sizeof *t->watch);
    if (!t->watch)
        return vkg_fail(&t->app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for the diagnosis");
    vkg_result result = tensorboard_open(&t->app->log, t->folder, t->first_step, &t->watch->board);
    if (result == VKG_OK)
        result = watch_parameters(t);
    if (result == VKG_OK)
        result = watch_data(t);
    return result == VKG_OK ? watch_judge(t, 0) : result;
}

void watch_destroy(struct watch **watch)
{
    if (!*watch)
        return;
    tensorboard_close(&(*watch)->board);
    free((*watch)->kept.values);
    free(*watch);
    *watch = NULL;
}

/* --- warnings --- */

struct telling {
    struct training *training;
    vkg_result result;
};

static void tell(void *user, const struct warning *warning)
{
    struct telling *telling = user;
    struct training *t = telling->training;
    if (warning->step < t->first_step) /* of the data, when the run is resumed: told when it began */
        return;
    vkg_logf(&t->app->log, VKG_LOG_WARNING, "%s", warning->text);
    json_line_begin(t->log);
    json_line_integer(t->log, "step", (int64_t)warning->step);
    json_line_string(t->log, "rule", warning->rule);
    json_line_integer(t->log, "since", (int64_t)warning->since);
    json_line_string(t->log, "warning", warning->text);
    vkg_result result = json_line_end(t->log);
    telling->result = telling->result == VKG_OK ? result : telling->result;
}

vkg_result watch_judge(struct training *t, uint64_t step)
{
    struct telling telling = {.training = t};
    diagnosis_judge(&t->watch->diagnosis, step, tell, &telling);
    return telling.result;
}

/* --- numbers --- */

/* TensorBoard groups curves by what stands before the slash. */
static void add_scalar(struct tensorboard *board, const char *group, const char *name, double value)
{
    char tag[128];
    if (isnan(value))
        return;
    snprintf(tag, sizeof tag, "%s/%s", group, name);
    tensorboard_scalar(board, tag, value);
}

vkg_result watch_step(struct training *t, const vkg_trainer_report *report, bool logged)
{
    struct watch *watch = t->watch;
    for (uint32_t i = 0; i < report->count; i++)
        diagnosis_note(&watch->diagnosis, report->names[i], (double)report->values[i]);
    if (logged) {
        tensorboard_begin(watch->board, report->step);
        for (uint32_t i = 0; i < report->count; i++)
            add_scalar(watch->board, "training", report->names[i], (double)report->values[i]);
        vkg_result result = tensorboard_end(watch->board);
        if (result != VKG_OK)
            return result;
    }
    return watch_judge(t, report->step);
}

vkg_result watch_measures(struct training *t, uint64_t step, const char *const *names, const double *values, uint32_t count)
{
    struct watch *watch = t->watch;
    json_line_begin(t->log);
    json_line_integer(t->log, "step", (int64_t)step);
    tensorboard_begin(watch->board, step);
    for (uint32_t i = 0; i < count; i++) {
        diagnosis_note(&watch->diagnosis, names[i], values[i]);
        json_line_number(t->log, names[i], values[i]);
        add_scalar(watch->board, "measures", names[i], values[i]);
    }
    vkg_result result = json_line_end(t->log), shown = tensorboard_end(watch->board);
    return result == VKG_OK ? shown : result;
}

/* --- samples --- */

/* variety and distinct of at most SAMPLES pictures: more do not tell more, and take longer. */
static vkg_result measure_variety(struct training *t, uint64_t step, const float *samples, uint32_t count)
{
    struct watch *watch = t->watch;
    struct thumbnails thumbnails;
    const size_t elements = (size_t)t->run.image[0] * t->run.image[1] * t->run.image[2];
    count = count < SAMPLES ? count : SAMPLES;
    if (watch->data_deviation <= 0 || count < 2)
        return VKG_OK;
    if (!thumbnails_create(&thumbnails, count, t->run.image))
        return vkg_fail(&t->app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for the diagnosis");
    for (uint32_t n = 0; n < count; n++)
        thumbnails_put(&thumbnails, n, samples + n * elements);
    const double variety = thumbnails_deviation(&thumbnails) / watch->data_deviation;
    const double distinct = thumbnails_distinct(&thumbnails, watch->near);
    thumbnails_free(&thumbnails);
    diagnosis_note(&watch->diagnosis, "samples", count);
    return watch_measures(t, step, (const char *const[]){"variety", "distinct"}, (double[]){variety, distinct}, 2);
}

/* Width, height and type of colour stand in a PNG file's first bytes. */
static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static vkg_result show_samples(struct training *t, uint64_t step, const char *png)
{
    enum { WIDTH_AT = 16, HEIGHT_AT = 20, COLOUR_AT = 25, HEAD = 26 };
    static const uint8_t channels[8] = {1, 0, 3, 0, 2, 0, 4, 0};
    void *bytes;
    size_t size;
    vkg_result result = file_read_whole(&t->app->log, png, 1u << 30, &bytes, &size);
    if (result != VKG_OK || size < HEAD) {
        free(bytes);
        return result;
    }
    tensorboard_begin(t->watch->board, step);
    const uint8_t *head = bytes;
    tensorboard_image(t->watch->board, "samples", big_endian(head + WIDTH_AT), big_endian(head + HEIGHT_AT),
                      channels[head[COLOUR_AT] & 7], bytes, size);
    free(bytes);
    return tensorboard_end(t->watch->board);
}

vkg_result watch_samples(struct training *t, uint64_t step, const float *samples, uint32_t count, const char *png)
{
    vkg_result result = measure_variety(t, step, samples, count);
    if (result == VKG_OK)
        result = show_samples(t, step, png);
    return result == VKG_OK ? watch_judge(t, step) : result;
}
