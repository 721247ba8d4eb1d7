/* A sample program's own networks, settings and phases train as PyTorch's do, from the same weights and with the same
 * random numbers; and what it draws is the same. tests/reference/systems.py computes what is expected.
 * Built once a program: EXAMPLE is its file, REFERENCE the file of numbers. usage: systems_test [STEPS] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"
#include "vkgan/app.h"

/* The program, which describes itself to vkg_app_main. */
static vkg_app_desc description;

static int describe(int argc, char **argv, const vkg_app_desc *desc)
{
    (void)argc, (void)argv;
    description = *desc;
    return 0;
}

/* What the program asks of its options: as the reference sets them, else their defaults. */
double option_number(const vkg_app *app, const char *name);
const char *option_text(const vkg_app *app, const char *name);

int example_main(int argc, char **argv);
#define main example_main
#define vkg_app_main describe
#define vkg_app_number option_number
#define vkg_app_text option_text
#include EXAMPLE
#undef main
#undef vkg_app_main
#undef vkg_app_number
#undef vkg_app_text

static uint32_t steps = UINT32_MAX;

struct reference {
    vkg_safetensors *file;
    uint32_t batch, steps, loss_count, pixels, input_pixels; /* pixels of an image; of its input, 0 where it has none */
    uint64_t seed;
    char *losses_names;
    float *images, *inputs, *losses, *samples; /* images and inputs in [−1, 1] */
    int32_t *labels, *indices;
    uint32_t sample_count;
    vkg_gan_desc gan;
};

/* --- the file --- */

static uint32_t setting(const struct reference *r, const char *name)
{
    const char *text = vkg_safetensors_metadata_find(r->file, name);
    if (!text)
        fail_msg("the reference's metadata has no \"%s\"", name);
    return (uint32_t)atoi(text);
}

static void *read_whole(const struct reference *r, const char *name, uint64_t *first_dimension)
{
    uint32_t index = vkg_safetensors_find(r->file, name);
    if (index == UINT32_MAX)
        fail_msg("the reference has no \"%s\"", name);
    const vkg_safetensors_entry *entry = vkg_safetensors_get(r->file, index);
    void *data = malloc(entry->size);
    assert_int_equal(vkg_safetensors_read(r->file, index, data, entry->size), VKG_OK);
    *first_dimension = entry->dims[0];
    return data;
}

/* The options that the reference sets are NAME=VALUE, with blanks between. The file of a text option is the reference itself. */
static const char *option_set(const struct reference *r, const char *name)
{
    const char *set = vkg_safetensors_metadata_find(r->file, "options");
    const size_t length = strlen(name);
    for (const char *o = set; o; o = strchr(o, ' '), o = o ? o + 1 : NULL)
        if (strncmp(o, name, length) == 0 && o[length] == '=')
            return o + length + 1;
    return NULL;
}

double option_number(const vkg_app *app, const char *name)
{
    const char *value = option_set((const void *)app, name);
    const vkg_app_option *option = description.options;
    if (value)
        return atof(value);
    while (option->name && strcmp(option->name, name) != 0)
        option++;
    if (!option->name)
        fail_msg("the program has no option --%s", name);
    return option->value;
}

const char *option_text(const vkg_app *app, const char *name)
{
    return option_set((const void *)app, name) ? REFERENCE : NULL;
}

/* Images of bytes, in [−1, 1]. */
static float *read_images(const struct reference *r, const char *name, uint32_t pixels)
{
    uint64_t images;
    uint8_t *bytes = read_whole(r, name, &images);
    float *values = malloc(images * pixels * sizeof *values);
    for (uint64_t i = 0; i < images * pixels; i++)
        values[i] = (float)bytes[i] / 127.5f - 1;
    free(bytes);
    return values;
}

static void open_inputs(struct reference *r)
{
    const uint32_t index = vkg_safetensors_find(r->file, "inputs");
    if (index == UINT32_MAX)
        return;
    const vkg_safetensors_entry *entry = vkg_safetensors_get(r->file, index);
    for (int i = 0; i < 3; i++)
        r->gan.settings.input[i] = (uint32_t)entry->dims[i + 1];
    r->input_pixels = (uint32_t)(entry->dims[1] * entry->dims[2] * entry->dims[3]);
    r->inputs = read_images(r, "inputs", r->input_pixels);
}

static void open_reference(struct reference *r)
{
    uint64_t count;
    *r = (struct reference){.gan = description.gan};
    assert_int_equal(vkg_safetensors_open(test_log(), REFERENCE, &r->file), VKG_OK);
    r->gan.settings = (vkg_network_settings){.image = {setting(r, "size"), setting(r, "size"), setting(r, "channels")},
                                             .latent = setting(r, "latent"), .width = setting(r, "width"),
                                             .classes = setting(r, "classes"),
                                             .user = vkg_safetensors_metadata_find(r->file, "options") ? r : NULL};
    r->pixels = setting(r, "size") * setting(r, "size") * setting(r, "channels");
    r->batch = setting(r, "batch");
    r->seed = setting(r, "seed");
    r->images = read_images(r, "images", r->pixels);
    open_inputs(r);
    r->labels = read_whole(r, "labels", &count);
    r->indices = read_whole(r, "indices", &count);
    r->losses = read_whole(r, "losses", &count);
    r->steps = (uint32_t)count;
    r->samples = read_whole(r, "samples", &count);
    r->sample_count = (uint32_t)count;
    r->losses_names = strdup(vkg_safetensors_metadata_find(r->file, "reports"));
    for (const char *c = r->losses_names; c; c = strchr(c + 1, ','))
        r->loss_count++;
}

static void close_reference(struct reference *r)
{
    vkg_safetensors_close(&r->file);
    free(r->images), free(r->inputs), free(r->labels), free(r->indices), free(r->losses), free(r->samples), free(r->losses_names);
}

/* --- training --- */

static vkg_trainer *make_trainer(const struct reference *r)
{
    vkg_phase phases[VKG_APP_MAX_PHASES];
    const uint32_t count = description.phases ? description.phases(&r->gan, phases) : vkg_gan_phases(&r->gan, phases);
    const uint32_t *image = r->gan.settings.image, *input = r->gan.settings.input;
    vkg_trainer *trainer;
    assert_int_equal(vkg_trainer_create(test_device(), &(vkg_trainer_desc){
        .phases = phases, .phase_count = count, .batch = r->batch, .image = {image[0], image[1], image[2]},
        .input = {input[0], input[1], input[2]}, .latent = r->gan.settings.latent, .seed = r->seed}, &trainer), VKG_OK);
    assert_int_equal(vkg_state_load(vkg_trainer_state(trainer), REFERENCE, "generator.", NULL), VKG_OK);
    assert_int_equal(vkg_state_load(vkg_trainer_state(trainer), REFERENCE, "discriminator.", NULL), VKG_OK);
    return trainer;
}

static void take_step(const struct reference *r, vkg_trainer *trainer, uint32_t step, vkg_trainer_report *report)
{
    float *images = malloc((size_t)r->batch * r->pixels * sizeof *images);
    float *inputs = r->inputs ? malloc((size_t)r->batch * r->input_pixels * sizeof *inputs) : NULL;
    int32_t *labels = malloc(r->batch * sizeof *labels);
    for (uint32_t i = 0; i < r->batch; i++) {
        const int32_t index = r->indices[step * r->batch + i];
        memcpy(images + (size_t)i * r->pixels, r->images + (size_t)index * r->pixels, r->pixels * sizeof *images);
        if (inputs)
            memcpy(inputs + (size_t)i * r->input_pixels, r->inputs + (size_t)index * r->input_pixels,
                   r->input_pixels * sizeof *inputs);
        labels[i] = r->labels[index];
    }
    assert_int_equal(vkg_trainer_batches(trainer), 1);
    assert_int_equal(vkg_trainer_step(trainer, &(vkg_batch){.images = images, .labels = labels, .inputs = inputs}, NULL), VKG_OK);
    assert_int_equal(vkg_trainer_finish(trainer, report), VKG_OK);
    free(images), free(inputs), free(labels);
}

static double reported(const vkg_trainer_report *report, const char *name, size_t length)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (strlen(report->names[i]) == length && strncmp(report->names[i], name, length) == 0)
            return (double)report->values[i];
    fail_msg("the step reports no \"%.*s\"", (int)length, name);
    return 0;
}

/* Off by so much relative to itself, or to its mean size where it is smaller. */
static double loss_error(const struct reference *r, uint32_t step, uint32_t loss, double found)
{
    double size = 0, there = 0, wanted = (double)r->losses[step * r->loss_count + loss];
    for (uint32_t s = 0; s < r->steps; s++) {
        const double other = (double)r->losses[s * r->loss_count + loss];
        if (!isnan(other))
            size += fabs(other), there++;
    }
    assert_true(isnan(found) == isnan(wanted)); /* lazy ones are not there at every step */
    return isnan(wanted) ? 0 : fabs(found - wanted) / fmax(fabs(wanted), size / there);
}

static void compare_samples(const struct reference *r, vkg_trainer *trainer)
{
    vkg_sampler *sampler;
    float *found = malloc((size_t)r->sample_count * r->pixels * sizeof *found), worst = 0;
    assert_int_equal(vkg_sampler_create(test_device(), &(vkg_sampler_desc){
        .generator = r->gan.generator, .settings = r->gan.settings, .batch = r->sample_count,
        .state = vkg_trainer_state(trainer)}, &sampler), VKG_OK);
    if (r->inputs)
        assert_int_equal(vkg_sampler_translate(sampler, r->seed, r->inputs, r->sample_count, found), VKG_OK);
    else
        assert_int_equal(vkg_sampler_generate(sampler, r->seed, 0, r->sample_count, found), VKG_OK);
    for (size_t i = 0; i < (size_t)r->sample_count * r->pixels; i++)
        worst = fmaxf(worst, fabsf(found[i] - r->samples[i]));
    printf("images drawn after it: off by %.1e at most\n", (double)worst);
    assert_true(worst < 1e-2f);
    vkg_sampler_destroy(&sampler);
    free(found);
}

static void follows_pytorch(void **unused)
{
    (void)unused;
    struct reference r;
    vkg_trainer_report report;
    double worst = 0;
    open_reference(&r);
    vkg_trainer *trainer = make_trainer(&r);
    uint32_t done = 0;
    for (; done < r.steps && done < steps; done++) {
        take_step(&r, trainer, done, &report);
        const char *name = r.losses_names;
        for (uint32_t i = 0; i < r.loss_count; i++) {
            const size_t length = strcspn(name, ",");
            const double found = reported(&report, name, length), error = loss_error(&r, done, i, found);
            worst = fmax(worst, error);
            if (!(error < 1e-3))
                fail_msg("step %u, %.*s: %g, PyTorch has %g", done + 1, (int)length, name, found,
                         (double)r.losses[done * r.loss_count + i]);
            name += length + 1;
        }
    }
    printf("%u steps: losses off by %.1e at most (PyTorch's own float32 in %u: %s)\n", done, worst, r.steps,
           vkg_safetensors_metadata_find(r.file, "float32_drift"));
    if (done == r.steps)
        compare_samples(&r, trainer);
    vkg_trainer_destroy(&trainer);
    close_reference(&r);
}

int main(int argc, char **argv)
{
    char name[] = EXAMPLE, *arguments[] = {name, NULL};
    if (argc > 1 && atoi(argv[1]) > 0)
        steps = (uint32_t)atoi(argv[1]);
    example_main(1, arguments);
    const struct CMUnitTest tests[] = {cmocka_unit_test(follows_pytorch)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
