/* Images through a trained generator, each in its own size. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/app.h"

struct translation {
    vkg_app *app;
    vkg_network_settings settings; /* input: of the newest image */
    vkg_dataset *images;
    vkg_view *view; /* that makes inputs of them; NULL: they are the inputs */
    vkg_sampler *sampler;
    const char *output;
    bool folder; /* rather than one image */
};

/* The program's view, of whole images. */
static vkg_result open_view(struct translation *t)
{
    vkg_view_desc desc = {0};
    vkg_result result = t->app->desc->view(t->app, &desc);
    vkg_dataset *inputs = (vkg_dataset *)desc.inputs;
    vkg_dataset_close(&inputs);
    if (result == VKG_OK && desc.pairing == VKG_PAIRING_DATASET)
        return vkg_fail(&t->app->log, VKG_ERROR_INVALID, "the run's inputs lie in a folder of their own: they are what is translated");
    desc.resize = desc.crop = 0;
    desc.mirror = false;
    return result == VKG_OK ? vkg_view_create(t->images, &desc, &t->view) : result;
}

static vkg_result open_images(struct translation *t, bool made)
{
    vkg_app *app = t->app;
    struct stat status;
    const char *target = app->options.target;
    if (!target)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "translate needs an image or a folder of images; see %s translate --help",
                        app->desc->name);
    t->folder = stat(target, &status) == 0 && S_ISDIR(status.st_mode);
    t->output = app->options.output ? app->options.output : t->folder ? "translated" : "translated.png";
    const uint32_t channels = made ? t->settings.image[2] : t->settings.input[2];
    vkg_result result = vkg_dataset_open(&app->log, &(vkg_dataset_desc){.path = target, .any_size = true, .channels = channels},
                                         &t->images);
    if (result == VKG_OK && t->folder)
        result = check_result_names(app, t->images, false);
    return result == VKG_OK && made ? open_view(t) : result;
}

static vkg_result input_shape(const struct translation *t, uint32_t index, uint32_t shape[3])
{
    vkg_view_shape viewed;
    shape[2] = t->settings.input[2];
    if (!t->view)
        return vkg_dataset_size(t->images, index, &shape[0], &shape[1]);
    vkg_result result = vkg_view_image_shape(t->view, index, &viewed);
    memcpy(shape, viewed.input, sizeof viewed.input);
    return result;
}

/* Images of one size after the other are made by one sampler. */
static vkg_result open_sampler(struct translation *t, const uint32_t shape[3])
{
    if (t->sampler && memcmp(shape, t->settings.input, sizeof t->settings.input) == 0)
        return VKG_OK;
    memcpy(t->settings.input, shape, sizeof t->settings.input);
    return vkg_app_open_sampler(t->app, t->app->desc->gan.generator, &t->settings, 1, &t->sampler);
}

static vkg_result output_path(const struct translation *t, uint32_t index, char path[PATH_BYTES])
{
    if (!t->folder)
        snprintf(path, PATH_BYTES, "%s", t->output);
    else if (!result_path(t->app, t->output, vkg_dataset_name(t->images, index), false, path))
        return VKG_ERROR_INVALID;
    char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return VKG_OK;
    *slash = 0;
    vkg_result result = make_folders(t->app, path);
    *slash = '/';
    return result;
}

static vkg_result save(const struct translation *t, uint32_t index, const float *values, const uint32_t shape[3])
{
    char path[PATH_BYTES];
    const size_t elements = (size_t)shape[0] * shape[1] * shape[2];
    uint8_t *bytes = malloc(elements);
    vkg_result result = bytes ? output_path(t, index, path)
                              : vkg_fail(&t->app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for an image");
    if (result == VKG_OK) {
        vkg_image_bytes(values, elements, bytes);
        result = vkg_image_save_png(&t->app->log, path, shape[1], shape[0], shape[2], bytes);
    }
    free(bytes);
    return result;
}

static vkg_result translate_image(struct translation *t, uint32_t index)
{
    uint32_t input[3], output[3], height, width;
    vkg_result result = input_shape(t, index, input);
    if (result == VKG_OK)
        result = vkg_dataset_size(t->images, index, &height, &width);
    if (result == VKG_OK)
        result = open_sampler(t, input);
    if (result != VKG_OK)
        return result;
    vkg_sampler_image(t->sampler, output);
    float *from = malloc((size_t)input[0] * input[1] * input[2] * sizeof *from);
    float *to = malloc((size_t)output[0] * output[1] * output[2] * sizeof *to);
    float *image = malloc((size_t)height * width * t->settings.image[2] * sizeof *image); /* only a view needs it */
    if (!from || !to || !image)
        result = vkg_fail(&t->app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for an image of %u×%u", input[0], input[1]);
    if (result == VKG_OK)
        result = t->view ? vkg_view_read(t->view, index, image, from) : vkg_dataset_read(t->images, index, from);
    if (result == VKG_OK)
        result = vkg_sampler_translate(t->sampler, (uint64_t)t->app->options.seed, from, 1, to);
    if (result == VKG_OK)
        result = save(t, index, to, output);
    free(from), free(to), free(image);
    return result;
}

int vkg_app_translate(vkg_app *app, bool made)
{
    struct translation t = {.app = app};
    uint32_t count = 0;
    vkg_result result = vkg_app_open_run(app, &t.settings);
    if (result == VKG_OK)
        result = open_images(&t, made);
    if (result == VKG_OK)
        count = vkg_dataset_get_info(t.images).count;
    for (uint32_t i = 0; i < count && result == VKG_OK; i++)
        result = translate_image(&t, i);
    if (result == VKG_OK)
        printf("%s: %u image%s, by %s\n", t.output, count, count == 1 ? "" : "s", app->checkpoint);
    vkg_view_destroy(&t.view);
    vkg_dataset_close(&t.images);
    return result != VKG_OK;
}
