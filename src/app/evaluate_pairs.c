/* evaluate, of programs that make images of inputs: how near they are to the targets of pairs, beside two answers that need no
 * network: the input itself, and the target of the training pair whose input is nearest. */
#include <cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/app.h"
#include "app/thumbnails.h"
#include "vkgan/measures.h"
#include "vkgan/ops.h"

enum { L1, PSNR, SSIM, MEASURES };
enum { MADE, COPIED, NEAREST, ANSWERS };
static const char *const measure_names[MEASURES] = {"l1", "psnr", "ssim"};
static const char *const answer_names[ANSWERS] = {"made", "input_copied", "nearest_training_pair"};
static const char *const answer_words[ANSWERS] = {"what is made", "the input, copied", "the nearest training pair"};

/* Pairs, as they are measured. */
struct pairs {
    vkg_dataset *dataset;
    struct run_view view;
    struct thumbnails inputs;
};

/* Compares two images on the device. */
struct judge {
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
    vkg_tensor *answer, *target, *measures[MEASURES];
};

struct comparison {
    vkg_app *app;
    struct trained trained;
    struct pairs held_out, training;
    struct judge judge;
    vkg_view_shape shape;
    uint32_t count;
    float *target, *input, *answer, *other;
    double sums[ANSWERS][MEASURES];
};

static size_t elements_of(const uint32_t shape[3])
{
    return (size_t)shape[0] * shape[1] * shape[2];
}

/* --- opening --- */

static vkg_result wrong_shape(const struct comparison *c, const char *path)
{
    const uint32_t *a = c->shape.input, *b = c->shape.target, *input = c->trained.run.input, *image = c->trained.run.image;
    return vkg_fail(&c->app->log, VKG_ERROR_INVALID, "%s: its pairs are %u×%u×%u and %u×%u×%u, those of the run %u×%u×%u and "
                    "%u×%u×%u", path, a[0], a[1], a[2], b[0], b[1], b[2], input[0], input[1], input[2], image[0], image[1],
                    image[2]);
}

static vkg_result open_pairs(struct comparison *c, const char *path, struct pairs *pairs)
{
    vkg_result result = app_open_data(c->app, path, &pairs->dataset);
    if (result == VKG_OK)
        result = app_open_view(c->app, pairs->dataset, true, &pairs->view);
    if (result != VKG_OK)
        return result;
    c->shape = vkg_view_get_shape(pairs->view.view);
    if (memcmp(c->shape.input, c->trained.run.input, sizeof c->shape.input) != 0 ||
        memcmp(c->shape.target, c->trained.run.image, sizeof c->shape.target) != 0)
        return wrong_shape(c, vkg_dataset_get_info(pairs->dataset).path);
    return VKG_OK;
}

static vkg_result create_judge(struct comparison *c)
{
    struct judge *j = &c->judge;
    const uint32_t *image = c->shape.target;
    vkg_result result = vkg_graph_create(&c->app->log, &j->graph);
    if (result != VKG_OK)
        return result;
    vkg_graph *g = j->graph;
    j->answer = vkg_input(g, "answer", VKG_SHAPE(1, image[0], image[1], image[2]));
    j->target = vkg_input(g, "target", VKG_SHAPE(1, image[0], image[1], image[2]));
    j->measures[L1] = vkg_l1_loss(g, j->answer, j->target);
    j->measures[PSNR] = vkg_psnr(g, j->answer, j->target, 2);
    j->measures[SSIM] = vkg_ssim(g, j->answer, j->target, 2);
    for (int m = 0; m < MEASURES; m++)
        vkg_output(g, measure_names[m], j->measures[m]);
    result = vkg_state_create(c->app->device, &j->graph, 1, 0, &j->state);
    return result == VKG_OK ? vkg_program_create(c->app->device, g, j->state, NULL, &j->program) : result;
}

static vkg_result set_up(struct comparison *c)
{
    vkg_app *app = c->app;
    if (!app->options.target || !app->options.data)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "evaluate needs a run folder or a checkpoint, and --data, pairs that it did not "
                        "learn from; see %s evaluate --help", app->desc->name);
    vkg_result result = trained_open_sampler(app, app->options.target, 1, &c->trained);
    if (result == VKG_OK)
        result = open_pairs(c, c->trained.run.data[0] ? c->trained.run.data : NULL, &c->training);
    if (result == VKG_OK && c->training.view.inputs && strcmp(app->options.data, c->trained.run.data) != 0)
        result = vkg_fail(&app->log, VKG_ERROR_INVALID, "the run's inputs lie in a folder of their own, and --data names targets alone: this "
                          "run can be evaluated on %s; train with pairs side by side in one image to use others", c->trained.run.data);
    if (result == VKG_OK)
        result = open_pairs(c, app->options.data, &c->held_out);
    if (result != VKG_OK)
        return result;
    const uint32_t there = vkg_dataset_get_info(c->held_out.dataset).count, wanted = (uint32_t)app->options.count;
    const size_t target = elements_of(c->shape.target);
    c->count = wanted < there ? wanted : there;
    c->target = malloc(target * sizeof(float)), c->answer = malloc(target * sizeof(float));
    c->input = malloc(elements_of(c->shape.input) * sizeof(float)), c->other = malloc(elements_of(c->shape.input) * sizeof(float));
    if (!c->target || !c->answer || !c->input || !c->other)
        return vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for a pair of images");
    return create_judge(c);
}

/* --- measuring --- */

static vkg_result look_at_inputs(struct comparison *c, struct pairs *pairs, uint32_t count)
{
    vkg_result result = VKG_OK;
    if (!thumbnails_create(&pairs->inputs, count, c->shape.input))
        return vkg_fail(&c->app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for a look at %u pairs", count);
    for (uint32_t i = 0; i < count && result == VKG_OK; i++) {
        result = vkg_view_read(pairs->view.view, i, c->target, c->input);
        if (result == VKG_OK)
            thumbnails_put(&pairs->inputs, i, c->input);
    }
    return result;
}

static vkg_result judge_answer(struct comparison *c, int answer)
{
    struct judge *j = &c->judge;
    const size_t bytes = elements_of(c->shape.target) * sizeof(float);
    memcpy(vkg_program_input(j->program, j->answer, 0), c->answer, bytes);
    memcpy(vkg_program_input(j->program, j->target, 0), c->target, bytes);
    vkg_result result = vkg_program_run(j->program);
    for (int m = 0; m < MEASURES && result == VKG_OK; m++)
        c->sums[answer][m] += (double)*(const float *)vkg_program_output(j->program, j->measures[m], 0);
    return result;
}

static vkg_result judge_pair(struct comparison *c, uint32_t index)
{
    const uint32_t nearest = thumbnails_nearest_in(&c->training.inputs, &c->held_out.inputs, index);
    vkg_result result = vkg_view_read(c->held_out.view.view, index, c->target, c->input);
    if (result == VKG_OK)
        result = vkg_sampler_translate(c->trained.sampler, (uint64_t)c->app->options.seed, c->input, 1, c->answer);
    if (result == VKG_OK)
        result = judge_answer(c, MADE);
    fit_picture(c->input, c->shape.input, c->shape.target, c->answer);
    if (result == VKG_OK)
        result = judge_answer(c, COPIED);
    if (result == VKG_OK)
        result = vkg_view_read(c->training.view.view, nearest, c->answer, c->other);
    return result == VKG_OK ? judge_answer(c, NEAREST) : result;
}

static vkg_result measure(struct comparison *c)
{
    vkg_result result = look_at_inputs(c, &c->training, vkg_dataset_get_info(c->training.dataset).count);
    if (result == VKG_OK)
        result = look_at_inputs(c, &c->held_out, c->count);
    for (uint32_t i = 0; i < c->count && result == VKG_OK; i++)
        result = judge_pair(c, i);
    return result;
}

/* --- telling --- */

static vkg_result print_json(const struct comparison *c)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "made_by", c->app->checkpoint);
    cJSON_AddStringToObject(json, "data", vkg_dataset_get_info(c->held_out.dataset).path);
    cJSON_AddNumberToObject(json, "pairs", c->count);
    cJSON_AddNumberToObject(json, "seed", c->app->options.seed);
    for (int a = 0; a < ANSWERS; a++) {
        cJSON *answer = cJSON_AddObjectToObject(json, answer_names[a]);
        for (int m = 0; m < MEASURES; m++) {
            const double mean = c->sums[a][m] / c->count; /* the PSNR of equal images is infinite, which JSON has not */
            cJSON_AddItemToObject(answer, measure_names[m], isfinite(mean) ? cJSON_CreateNumber(mean) : cJSON_CreateNull());
        }
    }
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    if (!text)
        return vkg_fail(&c->app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for the result");
    printf("%s\n", text);
    cJSON_free(text);
    return VKG_OK;
}

static void print_text(const struct comparison *c)
{
    printf("%u pairs of %s, by %s, seed %.0f\n\n", c->count, vkg_dataset_get_info(c->held_out.dataset).path, c->app->checkpoint,
           c->app->options.seed);
    printf("%-27s%8s%10s%8s\n", "", "L1", "PSNR", "SSIM");
    for (int a = 0; a < ANSWERS; a++)
        printf("%-27s%8.4f%7.2f dB%8.4f\n", answer_words[a], c->sums[a][L1] / c->count, c->sums[a][PSNR] / c->count,
               c->sums[a][SSIM] / c->count);
    printf("\nL1: the mean difference of numbers from -1 to 1, lower is better; PSNR and SSIM: higher is better\n");
}

static vkg_result save_picture(struct comparison *c)
{
    enum { ROWS = 8 };
    struct pair_samples samples;
    const uint32_t count = c->count < ROWS ? c->count : ROWS;
    vkg_result result = pairs_translate(c->app, c->trained.sampler, c->held_out.view.view, (uint64_t)c->app->options.seed, count,
                                        c->count, &samples);
    if (result == VKG_OK)
        result = pairs_write_picture(c->app, &samples, count, &c->shape, c->app->options.output);
    pairs_free(&samples);
    return result;
}

static void close_pairs(struct pairs *pairs)
{
    thumbnails_free(&pairs->inputs);
    app_close_view(&pairs->view);
    vkg_dataset_close(&pairs->dataset);
}

static void tear_down(struct comparison *c)
{
    free(c->target), free(c->input), free(c->answer), free(c->other);
    vkg_program_destroy(&c->judge.program);
    vkg_state_destroy(&c->judge.state);
    vkg_graph_destroy(&c->judge.graph);
    close_pairs(&c->held_out);
    close_pairs(&c->training);
    trained_close(&c->trained);
}

int command_evaluate_pairs(vkg_app *app)
{
    struct comparison c = {.app = app};
    vkg_result result = set_up(&c);
    if (result == VKG_OK)
        result = measure(&c);
    if (result == VKG_OK && app->options.output)
        result = save_picture(&c);
    if (result == VKG_OK && app->options.json)
        result = print_json(&c);
    else if (result == VKG_OK)
        print_text(&c);
    tear_down(&c);
    return result != VKG_OK;
}
