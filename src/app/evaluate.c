/* evaluate: how good the samples of a run are, or those of a file; by what the program measures of them itself, or by the
 * features of images. */
#include <cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/evaluation.h"

struct judgement {
    vkg_app *app;
    struct trained trained; /* where samples are drawn */
    vkg_dataset *file;      /* where they are read */
    vkg_dataset *data;      /* the real images */
    struct evaluation *evaluation;
    struct drawing drawing;
    uint32_t count;
    vkg_scores scores;
    vkg_app_measure own[VKG_APP_MAX_MEASURES]; /* of a program that measures its samples itself: nothing else is done */
    uint32_t own_count;
};

static bool is_npy(const char *path)
{
    const size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".npy") == 0;
}

/* The images to compare with, of the samples' size. */
static vkg_result open_data(struct judgement *j, const char *path, const uint32_t image[3])
{
    vkg_app *app = j->app;
    path = app->options.data ? app->options.data : path && path[0] ? path : NULL;
    const vkg_dataset_desc desc = {.path = path, .image_size = image[0] == image[1] ? image[0] : 0, .channels = image[2]};
    vkg_result result = app->desc->open_data ? app->desc->open_data(app, path, &j->data)
                                             : vkg_dataset_open(&app->log, &desc, &j->data);
    if (result != VKG_OK)
        return result;
    const vkg_dataset_info info = vkg_dataset_get_info(j->data);
    if (info.height != image[0] || info.width != image[1] || info.channels != image[2])
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "%s: its images are %u×%u×%u, the samples %u×%u×%u", info.path,
                        info.height, info.width, info.channels, image[0], image[1], image[2]);
    return VKG_OK;
}

static vkg_result open_file(struct judgement *j)
{
    vkg_app *app = j->app;
    vkg_result result = vkg_dataset_open(&app->log, &(vkg_dataset_desc){.path = app->options.target}, &j->file);
    if (result != VKG_OK)
        return result;
    const vkg_dataset_info info = vkg_dataset_get_info(j->file);
    if (option_given(app, "count") && info.count < j->count)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "%s: holds %u images, fewer than --count %u", info.path, info.count,
                        j->count);
    j->count = info.count < j->count ? info.count : j->count;
    result = app_open_device(app);
    return result == VKG_OK ? open_data(j, NULL, (uint32_t[]){info.height, info.width, info.channels}) : result;
}

static vkg_result open_run(struct judgement *j)
{
    vkg_result result = trained_open_sampler(j->app, j->app->options.target, j->count, &j->trained);
    if (result != VKG_OK)
        return result;
    j->drawing = (struct drawing){j->trained.sampler, (uint64_t)j->app->options.seed};
    return open_data(j, j->trained.run.data, j->trained.run.image);
}

/* What the program measures of its samples. */
static vkg_result measure_own(struct judgement *j)
{
    vkg_app *app = j->app;
    float *samples = NULL;
    vkg_result result = trained_open_sampler(app, app->options.target, j->count, &j->trained);
    if (result == VKG_OK)
        result = draw_samples(app, j->trained.sampler, (uint64_t)app->options.seed, j->count, j->trained.run.image,
                              app->checkpoint, &samples);
    if (result == VKG_OK)
        j->own_count = app->desc->measure(app, samples, j->count, j->own);
    free(samples);
    return result;
}

static vkg_result measure_features(struct judgement *j)
{
    vkg_app *app = j->app;
    vkg_result result = is_npy(app->options.target) ? open_file(j) : open_run(j);
    if (result == VKG_OK)
        result = evaluation_open(app, j->data, j->count, (uint64_t)app->options.seed, &j->evaluation);
    if (result != VKG_OK)
        return result;
    const struct image_source samples = j->file ? dataset_source(j->file) : drawing_source(&j->drawing);
    return evaluation_score(j->evaluation, &samples, j->count, VKG_MEASURE_ALL, &j->scores);
}

static void add_number(cJSON *json, const char *name, double value)
{
    cJSON_AddItemToObject(json, name, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

static vkg_result print_json(const struct judgement *j)
{
    const vkg_app *app = j->app;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "samples_of", j->file ? app->options.target : app->checkpoint);
    cJSON_AddNumberToObject(json, "samples", j->count);
    cJSON_AddNumberToObject(json, "seed", app->options.seed);
    if (j->evaluation) {
        cJSON_AddStringToObject(json, "data", vkg_dataset_get_info(j->data).path);
        cJSON_AddNumberToObject(json, "real_images", evaluation_reals(j->evaluation));
        cJSON_AddStringToObject(json, "features", vkg_features_name(evaluation_features(j->evaluation)));
    }
    for (int i = 0; i < SCORE_ROWS && j->evaluation; i++)
        add_number(json, score_rows[i].name, score_value(&j->scores, &score_rows[i]));
    for (uint32_t i = 0; i < j->own_count; i++)
        add_number(json, j->own[i].name, j->own[i].value);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    if (!text)
        return vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for the result");
    printf("%s\n", text);
    cJSON_free(text);
    return VKG_OK;
}

/* Letters, where a byte is not always one. */
static int letters(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += (*text & 0xc0) != 0x80;
    return count;
}

static void print_scores(const struct judgement *j)
{
    const vkg_features *features = evaluation_features(j->evaluation);
    const vkg_dataset_info data = vkg_dataset_get_info(j->data);
    printf("real:     %u of %u images, of %s, seed %.0f\n", evaluation_reals(j->evaluation), data.count, data.path,
           j->app->options.seed);
    printf("features: %u numbers an image, of %s\n\n", vkg_features_size(features), vkg_features_name(features));
    for (int i = 0; i < SCORE_ROWS; i++) {
        const double value = score_value(&j->scores, &score_rows[i]);
        if (!isnan(value))
            printf("%s%*s%12.6g   %s\n", score_rows[i].title, 18 - letters(score_rows[i].title), "", value, score_rows[i].words);
    }
}

static void print_text(const struct judgement *j)
{
    if (j->file)
        printf("samples:  %u, of %s\n", j->count, j->app->options.target);
    else
        printf("samples:  %u, of %s, seed %.0f\n", j->count, j->app->checkpoint, j->app->options.seed);
    if (j->evaluation)
        print_scores(j);
    for (uint32_t i = 0; i < j->own_count; i++)
        printf("%-18s%12.6g\n", j->own[i].name, j->own[i].value);
}

int command_evaluate(vkg_app *app)
{
    struct judgement j = {.app = app, .count = (uint32_t)app->options.count};
    const char *target = app->options.target;
    if (!target)
        return app_error(app, "evaluate needs a run folder, a checkpoint or a .npy file; see %s evaluate --help",
                         app->desc->name);
    vkg_result result = app->desc->measure && !is_npy(target) ? measure_own(&j) : measure_features(&j);
    if (result == VKG_OK && app->options.json)
        result = print_json(&j);
    else if (result == VKG_OK)
        print_text(&j);
    evaluation_close(&j.evaluation);
    vkg_dataset_close(&j.data);
    vkg_dataset_close(&j.file);
    trained_close(&j.trained);
    return result != VKG_OK;
}
