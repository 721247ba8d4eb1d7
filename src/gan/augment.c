/* DiffAugment, and the change of consistency regularisation. */
#include "gan/augment.h"

#include <string.h>

#include "vkgan/augment.h"
#include "vkgan/ops.h"
#include "vkgan/resample.h"

static const float SHIFT_SHARE = 0.125f, CUTOUT_SHARE = 0.5f;

/* --- shared --- */

vkg_tensor *wrong_augmentation(vkg_graph *graph, const char *call, const vkg_tensor *images, uint32_t changes,
                               uint32_t known)
{
    if (images->poisoned)
        return graph->poison;
    if (images->shape.rank != 4)
        return graph_fail(graph, "%s: images %s must be [N,H,W,C]", call, SHAPE(&images->shape));
    if (changes & ~known)
        return graph_fail(graph, "%s: the set of changes is %u, expected a sum of bits of %u", call, changes, known);
    return NULL;
}

vkg_tensor *uniform_numbers(vkg_graph *graph, const char *call, const vkg_tensor *images, vkg_tensor *given,
                            uint32_t count)
{
    const vkg_shape shape = VKG_SHAPE(images->shape.dims[0], count);
    if (!given)
        return vkg_random_uniform(graph, shape);
    if (given->poisoned || shape_equal(&given->shape, &shape))
        return given;
    return graph_fail(graph, "%s: random numbers %s, expected %s", call, SHAPE(&given->shape), SHAPE(&shape));
}

vkg_tensor *number_of_images(vkg_graph *graph, vkg_tensor *numbers, uint32_t i)
{
    if (numbers->poisoned)
        return numbers;
    return vkg_reshape(graph, vkg_slice(graph, numbers, 1, i, 1, 1), VKG_SHAPE(numbers->shape.dims[0], 1, 1, 1));
}

vkg_tensor *whole_number(vkg_graph *graph, vkg_tensor *uniform, uint32_t n)
{
    return vkg_affine(graph, vkg_floor(graph, vkg_affine(graph, uniform, -(float)n, 0)), -1, -1); /* ⌈n·u⌉ − 1 */
}

vkg_tensor *pixel_numbers(vkg_graph *graph, uint32_t size, uint32_t axis)
{
    vkg_shape shape = {.rank = 4, .dims = {1, 1, 1, 1}};
    float *numbers = arena_alloc(&graph->arena, size * sizeof *numbers);
    if (!numbers) {
        graph->out_of_memory = true;
        return graph->poison;
    }
    for (uint32_t i = 0; i < size; i++)
        numbers[i] = (float)i;
    shape.dims[axis] = size;
    return vkg_data(graph, shape, VKG_FLOAT32, numbers);
}

/* --- color --- */

/* The mean over a set of axes, and what differs from it times a factor. */
static vkg_tensor *stretch(vkg_graph *graph, vkg_tensor *images, uint32_t axes, vkg_tensor *factor)
{
    vkg_tensor *mean = vkg_mean(graph, images, axes, true);
    return vkg_add(graph, mean, vkg_mul(graph, vkg_sub(graph, images, mean), factor));
}

static vkg_tensor *change_color(vkg_graph *graph, vkg_tensor *images, vkg_tensor *uniform)
{
    images = vkg_add(graph, images, vkg_affine(graph, number_of_images(graph, uniform, 0), 1, -0.5f));
    if (images->shape.dims[3] > 1)
        images = stretch(graph, images, 1u << 3, vkg_affine(graph, number_of_images(graph, uniform, 1), 2, 0));
    return stretch(graph, images, 7u << 1, vkg_affine(graph, number_of_images(graph, uniform, 2), 1, 0.5f));
}

/* --- places --- */

static uint32_t share_of(uint32_t size, float share)
{
    return (uint32_t)((float)size * share + 0.5f);
}

/* Along one axis: element i is element i + shift, where there is one, and else 0. */
static vkg_tensor *shift_along(vkg_graph *graph, vkg_tensor *images, uint32_t axis, vkg_tensor *uniform)
{
    const uint32_t size = images->shape.dims[axis], most = share_of(size, SHIFT_SHARE);
    vkg_tensor *shift = vkg_affine(graph, whole_number(graph, uniform, 2 * most + 1), 1, -(float)most);
    vkg_tensor *index = vkg_add(graph, pixel_numbers(graph, size, axis), shift);
    return most ? vkg_gather(graph, images, axis, vkg_cast(graph, index, VKG_INT32)) : images;
}

static vkg_tensor *translate(vkg_graph *graph, vkg_tensor *images, vkg_tensor *uniform, uint32_t first)
{
    images = shift_along(graph, images, 1, number_of_images(graph, uniform, first));
    return shift_along(graph, images, 2, number_of_images(graph, uniform, first + 1));
}

/* 1 for the rows, or columns, of the hole: its middle may lie anywhere, and so its ends outside of the image. */
static vkg_tensor *hole_along(vkg_graph *graph, const vkg_tensor *images, uint32_t axis, vkg_tensor *uniform)
{
    const uint32_t size = images->shape.dims[axis], hole = share_of(size, CUTOUT_SHARE);
    vkg_tensor *first = vkg_affine(graph, whole_number(graph, uniform, size + 1 - hole % 2), 1, -(float)(hole / 2));
    vkg_tensor *pixels = pixel_numbers(graph, size, axis);
    vkg_tensor *behind = vkg_affine(graph, first, 1, (float)hole);
    return vkg_mul(graph, vkg_less_equal(graph, first, pixels), vkg_less(graph, pixels, behind));
}

static vkg_tensor *cut_out(vkg_graph *graph, vkg_tensor *images, vkg_tensor *uniform)
{
    vkg_tensor *rows = hole_along(graph, images, 1, number_of_images(graph, uniform, 5));
    vkg_tensor *columns = hole_along(graph, images, 2, number_of_images(graph, uniform, 6));
    return vkg_mul(graph, images, vkg_affine(graph, vkg_mul(graph, rows, columns), -1, 1));
}

vkg_tensor *vkg_diff_augment(vkg_graph *graph, vkg_tensor *images, uint32_t changes, vkg_tensor *uniform)
{
    vkg_tensor *wrong = wrong_augmentation(graph, "diff_augment", images, changes, DIFF_CHANGES);
    if (wrong)
        return wrong;
    changes = changes ? changes : DIFF_CHANGES;
    uniform = uniform_numbers(graph, "diff_augment", images, uniform, 7);
    if (changes & VKG_CHANGE_COLOR)
        images = change_color(graph, images, uniform);
    if (changes & VKG_CHANGE_TRANSLATION)
        images = translate(graph, images, uniform, 3);
    return changes & VKG_CHANGE_CUTOUT ? cut_out(graph, images, uniform) : images;
}

vkg_tensor *vkg_mirror_and_shift(vkg_graph *graph, vkg_tensor *images, vkg_tensor *uniform)
{
    vkg_tensor *wrong = wrong_augmentation(graph, "mirror_and_shift", images, 0, 0);
    if (wrong)
        return wrong;
    uniform = uniform_numbers(graph, "mirror_and_shift", images, uniform, 3);
    vkg_tensor *mirrored = whole_number(graph, number_of_images(graph, uniform, 0), 2);
    images = vkg_where(graph, mirrored, vkg_flip(graph, images, 1u << 2), images);
    return translate(graph, images, uniform, 1);
}

/* --- by name --- */

static const char *const names[VKG_AUGMENT_COUNT] = {"none", "diffaugment", "ada"};

const char *vkg_augment_name(vkg_augment_kind kind)
{
    return (unsigned)kind < VKG_AUGMENT_COUNT ? names[kind] : NULL;
}

bool vkg_augment_by_name(const char *name, vkg_augment_kind *kind)
{
    for (int i = 0; i < VKG_AUGMENT_COUNT; i++)
        if (strcmp(names[i], name) == 0) {
            *kind = (vkg_augment_kind)i;
            return true;
        }
    return false;
}
