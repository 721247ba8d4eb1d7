/* Views: which part of an image training sees, and the input that goes with it. */
#include "data/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/philox.h"
#include "data/dataset.h"
#include "data/made_input.h"
#include "data/partners.h"

enum { DEFAULT_BLOCK = 8, DEFAULT_SHRINK = 4 };

/* The last word of the counter keeps these numbers apart from all others that are drawn with the same seed. */
static const uint32_t VIEW_STREAM = 0x76696577; /* "view" */

struct vkg_view {
    const vkg_dataset *dataset;
    vkg_view_desc desc; /* defaults filled in */
    uint32_t *partners; /* of each image, in desc.inputs; or NULL */
    vkg_view_shape shape;
};

/* --- shapes --- */

static bool is_half(const vkg_view *view)
{
    return view->desc.pairing == VKG_PAIRING_LEFT || view->desc.pairing == VKG_PAIRING_RIGHT;
}

static uint32_t input_channels(const vkg_view *view, uint32_t channels)
{
    switch (view->desc.pairing) {
    case VKG_PAIRING_NONE: return 0;
    case VKG_PAIRING_DATASET: return vkg_dataset_get_info(view->desc.inputs).channels;
    case VKG_PAIRING_GREY:
    case VKG_PAIRING_EDGES: return 1;
    default: return channels;
    }
}

/* What is left of height × width, the size of the image or of its half, after the steps. */
static vkg_view_shape shape_of(const vkg_view *view, uint32_t height, uint32_t width)
{
    const vkg_view_desc *desc = &view->desc;
    uint32_t shrink = desc->pairing == VKG_PAIRING_SMALL ? desc->factor : 1;
    uint32_t channels = vkg_dataset_get_info(view->dataset).channels, inputs = input_channels(view, channels);
    if (desc->resize)
        height = width = desc->resize;
    if (desc->crop)
        height = width = desc->crop;
    vkg_view_shape shape = {{height / shrink * shrink, width / shrink * shrink, channels}, {0}};
    if (inputs)
        memcpy(shape.input, (uint32_t[]){height / shrink, width / shrink, inputs}, sizeof shape.input);
    return shape;
}

vkg_result vkg_view_image_shape(const vkg_view *view, uint32_t index, vkg_view_shape *shape)
{
    uint32_t height, width;
    vkg_result result = vkg_dataset_size(view->dataset, index, &height, &width);
    if (result == VKG_OK)
        *shape = shape_of(view, height, is_half(view) ? width / 2 : width);
    return result;
}

vkg_view_shape vkg_view_get_shape(const vkg_view *view)
{
    return view->shape;
}

const vkg_dataset *view_dataset(const vkg_view *view)
{
    return view->dataset;
}

/* --- creating --- */

static vkg_result check_desc(const vkg_dataset *dataset, const vkg_view_desc *desc)
{
    const vkg_log *log = dataset_log(dataset);
    if ((uint32_t)desc->pairing > VKG_PAIRING_SMALL)
        return vkg_fail(log, VKG_ERROR_INVALID, "view: pairing %d, expected a vkg_pairing", (int)desc->pairing);
    if ((desc->pairing == VKG_PAIRING_DATASET) != (desc->inputs != NULL))
        return vkg_fail(log, VKG_ERROR_INVALID, "view: %s, expected both or neither of the two",
                        desc->inputs ? "a dataset of inputs without VKG_PAIRING_DATASET"
                                     : "VKG_PAIRING_DATASET without a dataset of inputs");
    uint32_t channels = vkg_dataset_get_info(dataset).channels;
    bool coloured = desc->pairing == VKG_PAIRING_GREY || desc->pairing == VKG_PAIRING_EDGES;
    if (coloured && channels != 1 && channels != 3)
        return vkg_fail(log, VKG_ERROR_INVALID, "view: grey or edges of images of %u channels, expected 1 or 3",
                        channels);
    if (desc->resize && desc->crop > desc->resize)
        return vkg_fail(log, VKG_ERROR_INVALID,
                        "view: a crop of %u from images resized to %u, expected at most %u", desc->crop,
                        desc->resize, desc->resize);
    uint32_t cut = desc->crop ? desc->crop : desc->resize;
    if (desc->pairing == VKG_PAIRING_SMALL && cut % desc->factor)
        return vkg_fail(log, VKG_ERROR_INVALID, "view: images of %u, expected a multiple of the factor, %u",
                        cut, desc->factor);
    return VKG_OK;
}

static vkg_result fail_image(const vkg_view *view, uint32_t index, const char *what)
{
    vkg_dataset_info info = vkg_dataset_get_info(view->dataset);
    const char *name = vkg_dataset_name(view->dataset, index);
    uint32_t height, width;
    vkg_dataset_size(view->dataset, index, &height, &width);
    return vkg_fail(dataset_log(view->dataset), VKG_ERROR_INVALID, "%s: image %u (%s) is %u×%u, expected %s",
                    info.path, index, name ? name : "no file", width, height, what);
}

static vkg_result check_image(const vkg_view *view, uint32_t index)
{
    const vkg_view_desc *desc = &view->desc;
    uint32_t height, width, other_height, other_width;
    vkg_result result = vkg_dataset_size(view->dataset, index, &height, &width);
    if (result != VKG_OK)
        return result;
    if (is_half(view) && width % 2)
        return fail_image(view, index, "an even width: two pictures side by side");
    if (is_half(view))
        width /= 2;
    uint32_t least = desc->crop ? desc->crop : desc->pairing == VKG_PAIRING_SMALL ? desc->factor : 1;
    if (!desc->resize && (height < least || width < least)) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "at least %u×%u", is_half(view) ? 2 * least : least, least);
        return fail_image(view, index, wanted);
    }
    if (!view->partners || desc->resize)
        return VKG_OK;
    result = vkg_dataset_size(desc->inputs, view->partners[index], &other_height, &other_width);
    if (result == VKG_OK && (height != other_height || width != other_width))
        return fail_image(view, index, "the size of its input, or a size to resize both to");
    return result;
}

static vkg_result look_at_images(vkg_view *view)
{
    uint32_t count = vkg_dataset_get_info(view->dataset).count;
    for (uint32_t i = 0; i < count; ++i) {
        vkg_view_shape shape;
        vkg_result result = check_image(view, i);
        if (result == VKG_OK)
            result = vkg_view_image_shape(view, i, &shape);
        if (result != VKG_OK)
            return result;
        if (i == 0)
            view->shape = shape;
        if (shape.target[0] != view->shape.target[0] || shape.target[1] != view->shape.target[1])
            view->shape.target[0] = view->shape.target[1] = view->shape.input[0] = view->shape.input[1] = 0;
    }
    return VKG_OK;
}

vkg_result vkg_view_create(const vkg_dataset *dataset, const vkg_view_desc *desc, vkg_view **view)
{
    vkg_view_desc filled = *desc;
    *view = NULL;
    if (!filled.factor)
        filled.factor = filled.pairing == VKG_PAIRING_SMALL ? DEFAULT_SHRINK : DEFAULT_BLOCK;
    vkg_result result = check_desc(dataset, &filled);
    if (result != VKG_OK)
        return result;
    vkg_view *made = calloc(1, sizeof *made);
    if (!made)
        return vkg_fail(dataset_log(dataset), VKG_ERROR_OUT_OF_MEMORY, "view: no memory");
    made->dataset = dataset;
    made->desc = filled;
    if (filled.inputs)
        result = find_partners(dataset, filled.inputs, &made->partners);
    if (result == VKG_OK)
        result = look_at_images(made);
    if (result != VKG_OK)
        vkg_view_destroy(&made);
    *view = made;
    return result;
}

void vkg_view_destroy(vkg_view **view)
{
    if (!view || !*view)
        return;
    free((*view)->partners);
    free(*view);
    *view = NULL;
}

/* --- the steps --- */

struct view_chance view_draw(uint64_t seed, uint64_t step, uint32_t place)
{
    uint32_t words[4] = {place, (uint32_t)step, (uint32_t)(step >> 32), VIEW_STREAM};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    philox4x32(words, key, words);
    return (struct view_chance){words[0], words[1], words[2] >> 31};
}

void view_scratch_free(struct view_scratch *scratch)
{
    for (int i = 0; i < 2; ++i) {
        scratch_free(&scratch->read[i]);
        free(scratch->half[i].memory);
        free(scratch->resized[i].memory);
        free(scratch->cut[i].memory);
    }
    free(scratch->floats.memory);
    free(scratch->small.memory);
    *scratch = (struct view_scratch){0};
}

static uint32_t place_crop(uint32_t whole, uint32_t part, const uint32_t *fraction)
{
    uint32_t room = whole - part;
    return fraction ? (uint32_t)((uint64_t)*fraction * (room + 1u) >> 32) : room / 2;
}

/* Resizing, cropping, mirroring of the target (0) or the input (1), whose shape is to be `shape`. */
static bool take_steps(const vkg_view *view, const uint32_t shape[3], const struct view_chance *chance,
                       struct view_scratch *scratch, int which, struct picture *picture)
{
    const vkg_view_desc *desc = &view->desc;
    if (desc->resize &&
        !picture_resize(picture, VKG_IMAGE_BICUBIC, desc->resize, desc->resize, &scratch->resized[which]))
        return false;
    struct picture_part part = {
        .height = shape[0], .width = shape[1], .mirror = chance && desc->mirror && chance->mirror};
    if (desc->crop) {
        part.x = place_crop(picture->width, part.width, chance ? &chance->x : NULL);
        part.y = place_crop(picture->height, part.height, chance ? &chance->y : NULL);
    }
    return picture_take(picture, &part, &scratch->cut[which]);
}

/* Reads the image, or takes its half. */
static vkg_result read_target(const vkg_view *view, uint32_t index, struct view_scratch *scratch,
                              struct picture *target, struct picture *input)
{
    vkg_result result = dataset_picture(view->dataset, index, &scratch->read[0], target);
    if (result != VKG_OK)
        return result;
    if (view->partners)
        return dataset_picture(view->desc.inputs, view->partners[index], &scratch->read[1], input);
    if (!is_half(view))
        return VKG_OK;
    uint32_t half = target->width / 2, target_x = view->desc.pairing == VKG_PAIRING_LEFT ? half : 0;
    *input = *target;
    bool good = picture_take(target, &(struct picture_part){target_x, 0, half, target->height, false},
                             &scratch->half[0]) &&
                picture_take(input, &(struct picture_part){half - target_x, 0, half, input->height, false},
                             &scratch->half[1]);
    return good ? VKG_OK
                : vkg_fail(dataset_log(view->dataset), VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for the halves of image %u",
                           vkg_dataset_get_info(view->dataset).path, index);
}

static bool write_input(const vkg_view *view, const struct picture *target, struct picture *input,
                        struct view_scratch *scratch, float *values)
{
    const vkg_view_desc *desc = &view->desc;
    bool read = is_half(view) || view->partners;
    if (!read && desc->pairing != VKG_PAIRING_SMALL)
        return make_input(desc->pairing, desc->factor, target, &scratch->floats, values);
    if (!read) {
        *input = *target;
        if (!picture_resize(input, VKG_IMAGE_BICUBIC, target->width / desc->factor,
                            target->height / desc->factor, &scratch->small))
            return false;
    }
    picture_write_floats(input, values);
    return true;
}

vkg_result view_read(const vkg_view *view, uint32_t index, const struct view_chance *chance,
                     struct view_scratch *scratch, float *target_values, float *input_values)
{
    struct picture target, input = {0};
    vkg_view_shape shape;
    vkg_result result = vkg_view_image_shape(view, index, &shape);
    if (result == VKG_OK)
        result = read_target(view, index, scratch, &target, &input);
    if (result != VKG_OK)
        return result;
    bool good = take_steps(view, shape.target, chance, scratch, 0, &target) &&
                (!input.pixels || take_steps(view, shape.input, chance, scratch, 1, &input));
    if (good)
        picture_write_floats(&target, target_values);
    if (good && input_values && shape.input[2])
        good = write_input(view, &target, &input, scratch, input_values);
    return good ? VKG_OK
                : vkg_fail(dataset_log(view->dataset), VKG_ERROR_OUT_OF_MEMORY,
                           "%s: no memory for a view of image %u", vkg_dataset_get_info(view->dataset).path,
                           index);
}

vkg_result vkg_view_read(const vkg_view *view, uint32_t index, float *target, float *input)
{
    struct view_scratch scratch = {0};
    vkg_result result = view_read(view, index, NULL, &scratch, target, input);
    view_scratch_free(&scratch);
    return result;
}
