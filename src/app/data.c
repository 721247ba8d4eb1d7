/* What a run learns from: images, and the program's view of them. */
#include <string.h>

#include "app/app.h"

vkg_result app_open_data(vkg_app *app, const char *path, vkg_dataset **dataset)
{
    const struct options *options = &app->options;
    if (app->desc->open_data)
        return app->desc->open_data(app, path, dataset);
    const bool viewed = app->desc->view != NULL;
    return vkg_dataset_open(&app->log, &(vkg_dataset_desc){.path = path, .any_size = viewed,
                                                           .image_size = viewed ? 0 : (uint32_t)options->size,
                                                           .channels = (uint32_t)options->channels}, dataset);
}

vkg_result app_open_view(vkg_app *app, const vkg_dataset *dataset, bool whole, struct run_view *view)
{
    vkg_view_desc desc = {0};
    *view = (struct run_view){0};
    if (!app->desc->view)
        return VKG_OK;
    vkg_result result = app->desc->view(app, &desc);
    view->inputs = desc.inputs;
    if (whole && desc.resize && desc.crop)
        desc.resize = desc.crop;
    if (result == VKG_OK)
        result = vkg_view_create(dataset, &desc, &view->view);
    if (result != VKG_OK)
        return result;
    if (vkg_view_get_shape(view->view).target[0] == 0)
        return vkg_fail(&app->log, VKG_ERROR_INVALID, "%s: its images differ in size: --size N makes them one",
                        vkg_dataset_get_info(dataset).path);
    return VKG_OK;
}

vkg_result run_view_read(const struct run_view *view, const vkg_dataset *dataset, uint32_t index, float *target, float *input)
{
    return view->view ? vkg_view_read(view->view, index, target, input) : vkg_dataset_read(dataset, index, target);
}

void app_close_view(struct run_view *view)
{
    vkg_dataset *inputs = (vkg_dataset *)view->inputs; /* the program opened it for the app to close */
    vkg_view_destroy(&view->view);
    vkg_dataset_close(&inputs);
    view->inputs = NULL;
}

/* One sample, of any numbers. */
static vkg_result read_nothing(void *user, uint32_t index, float *values)
{
    (void)user, (void)index, (void)values;
    return VKG_OK;
}

vkg_result app_view_shape(vkg_app *app, const uint32_t image[3], vkg_view_shape *shape)
{
    vkg_view_desc desc = {0};
    vkg_dataset *made;
    vkg_view *view = NULL;
    vkg_result result = app->desc->view(app, &desc);
    const uint32_t height = image[0] > desc.crop ? image[0] : desc.crop, width = image[1] > desc.crop ? image[1] : desc.crop;
    const bool halves = desc.pairing == VKG_PAIRING_LEFT || desc.pairing == VKG_PAIRING_RIGHT;
    vkg_dataset *inputs = (vkg_dataset *)desc.inputs;
    const uint32_t channels = inputs ? vkg_dataset_get_info(inputs).channels : 0;
    vkg_dataset_close(&inputs);
    if (result != VKG_OK)
        return result;
    if (desc.pairing == VKG_PAIRING_DATASET)
        desc.pairing = VKG_PAIRING_NONE, desc.inputs = NULL;
    result = vkg_dataset_create(&app->log, &(vkg_dataset_source){
        .name = "made-up data", .count = 1, .height = height, .width = width * (halves ? 2 : 1), .channels = image[2],
        .read = read_nothing}, &made);
    if (result == VKG_OK)
        result = vkg_view_create(made, &desc, &view);
    if (result == VKG_OK)
        *shape = vkg_view_get_shape(view);
    if (result == VKG_OK && channels) /* the inputs are pictures of the same size, whatever their set holds */
        memcpy(shape->input, (uint32_t[]){shape->target[0], shape->target[1], channels}, sizeof shape->input);
    vkg_view_destroy(&view);
    vkg_dataset_close(&made);
    return result;
}
