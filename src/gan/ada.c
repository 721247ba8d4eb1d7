/* Adaptive discriminator augmentation: changes with a probability that follows the discriminator. */
#include <stdio.h>

#include "gan/augment.h"
#include "vkgan/augment.h"
#include "vkgan/ops.h"
#include "vkgan/resample.h"

static const float PI = 3.14159265f;

/* The random numbers of a call, taken column by column. */
struct draws {
    vkg_graph *graph;
    vkg_tensor *p, *uniform, *normal;
    uint32_t next_uniform, next_normal;
};

static vkg_tensor *draw_uniform(struct draws *draws)
{
    return number_of_images(draws->graph, draws->uniform, draws->next_uniform++);
}

static vkg_tensor *draw_normal(struct draws *draws)
{
    return number_of_images(draws->graph, draws->normal, draws->next_normal++);
}

/* Uniform within ±half. */
static vkg_tensor *draw_within(struct draws *draws, float half)
{
    return vkg_affine(draws->graph, draw_uniform(draws), 2 * half, -half);
}

/* The next change is made (1) or not (0). */
static vkg_tensor *draw_gate(struct draws *draws)
{
    return vkg_less_equal(draws->graph, draw_uniform(draws), draws->p);
}

/* value where the gate is open, else 0: of what a change does, 0 leaves all as it is. */
static vkg_tensor *gated(struct draws *draws, vkg_tensor *gate, vkg_tensor *value)
{
    return vkg_mul(draws->graph, gate, value);
}

/* 2^(scale·exponent) */
static vkg_tensor *power_of_two(vkg_graph *graph, vkg_tensor *exponent, float scale)
{
    return vkg_exp(graph, vkg_affine(graph, exponent, scale * 0.69314718f, 0));
}

/* --- movements: where a pixel comes from, as an affine map of places in pixels from the middle, x first --- */

struct motion {
    vkg_graph *graph;
    vkg_tensor *m[2][3]; /* [N,1,1,1] each */
};

/* motion ← motion · the movement; so the last one that is given is done first to a pixel's place. */
static void scale_places(struct motion *motion, vkg_tensor *x, vkg_tensor *y)
{
    for (int i = 0; i < 2; i++) {
        motion->m[i][0] = vkg_mul(motion->graph, motion->m[i][0], x);
        motion->m[i][1] = vkg_mul(motion->graph, motion->m[i][1], y);
    }
}

static void turn_places(struct motion *motion, vkg_tensor *angle)
{
    vkg_graph *graph = motion->graph;
    vkg_tensor *cosine = vkg_cos(graph, angle), *sine = vkg_sin(graph, angle);
    for (int i = 0; i < 2; i++) {
        vkg_tensor *x = motion->m[i][0], *y = motion->m[i][1];
        motion->m[i][0] = vkg_add(graph, vkg_mul(graph, x, cosine), vkg_mul(graph, y, sine));
        motion->m[i][1] = vkg_sub(graph, vkg_mul(graph, y, cosine), vkg_mul(graph, x, sine));
    }
}

static void move_places(struct motion *motion, vkg_tensor *x, vkg_tensor *y)
{
    vkg_graph *graph = motion->graph;
    for (int i = 0; i < 2; i++) {
        vkg_tensor *way = vkg_add(graph, vkg_mul(graph, motion->m[i][0], x), vkg_mul(graph, motion->m[i][1], y));
        motion->m[i][2] = vkg_sub(graph, motion->m[i][2], way);
    }
}

/* The nearest whole number of pixels. */
static vkg_tensor *whole_pixels(vkg_graph *graph, vkg_tensor *share, uint32_t size)
{
    return vkg_floor(graph, vkg_affine(graph, share, (float)size, 0.5f));
}

static void draw_blits(struct draws *draws, struct motion *motion, uint32_t height, uint32_t width)
{
    vkg_graph *graph = draws->graph;
    vkg_tensor *gate = draw_gate(draws);
    vkg_tensor *mirrored = gated(draws, gate, whole_number(graph, draw_uniform(draws), 2));
    scale_places(motion, vkg_affine(graph, mirrored, -2, 1), vkg_constant(graph, 1, VKG_SCALAR));
    gate = draw_gate(draws);
    vkg_tensor *quarters = gated(draws, gate, whole_number(graph, draw_uniform(draws), 4));
    turn_places(motion, vkg_affine(graph, quarters, PI / 2, 0));
    gate = draw_gate(draws);
    vkg_tensor *x = draw_within(draws, 0.125f), *y = draw_within(draws, 0.125f);
    x = gated(draws, gate, whole_pixels(graph, x, width)), y = gated(draws, gate, whole_pixels(graph, y, height));
    move_places(motion, x, y);
}

/* Two rotations are drawn, so that one or the other happens with probability p. */
static void draw_rotation(struct draws *draws, struct motion *motion)
{
    vkg_graph *graph = draws->graph;
    vkg_tensor *none = vkg_sqrt(graph, vkg_affine(graph, draws->p, -1, 1));
    vkg_tensor *gate = vkg_less_equal(graph, draw_uniform(draws), vkg_affine(graph, none, -1, 1));
    turn_places(motion, gated(draws, gate, draw_within(draws, PI)));
}

static void draw_geometry(struct draws *draws, struct motion *motion, uint32_t height, uint32_t width)
{
    vkg_graph *graph = draws->graph;
    vkg_tensor *gate = draw_gate(draws), *exponent = gated(draws, gate, draw_normal(draws));
    vkg_tensor *zoom = power_of_two(graph, exponent, -0.2f);
    scale_places(motion, zoom, zoom);
    draw_rotation(draws, motion);
    gate = draw_gate(draws), exponent = gated(draws, gate, draw_normal(draws));
    scale_places(motion, power_of_two(graph, exponent, -0.2f), power_of_two(graph, exponent, 0.2f));
    draw_rotation(draws, motion);
    gate = draw_gate(draws);
    vkg_tensor *x = gated(draws, gate, draw_normal(draws)), *y = gated(draws, gate, draw_normal(draws));
    move_places(motion, vkg_affine(graph, x, 0.125f * (float)width, 0), vkg_affine(graph, y, 0.125f * (float)height, 0));
}

/* A coordinate, −1 and 1 being the image's edges, as if mirrors stood on both. */
static vkg_tensor *mirrored_continuation(vkg_graph *graph, vkg_tensor *a)
{
    vkg_tensor *turns = vkg_floor(graph, vkg_affine(graph, a, 0.25f, 0.25f));
    vkg_tensor *within = vkg_sub(graph, vkg_affine(graph, a, 1, 1), vkg_affine(graph, turns, 4, 0)); /* [0, 4) */
    return vkg_affine(graph, vkg_abs(graph, vkg_affine(graph, within, 1, -2)), -1, 1);
}

/* Pixel numbers, seen from the middle. */
static vkg_tensor *centred_pixels(vkg_graph *graph, uint32_t size, uint32_t axis)
{
    return vkg_affine(graph, pixel_numbers(graph, size, axis), 1, -0.5f * (float)(size - 1));
}

static vkg_tensor *move(vkg_graph *graph, vkg_tensor *images, const struct motion *motion)
{
    const uint32_t height = images->shape.dims[1], width = images->shape.dims[2], sizes[2] = {width, height};
    vkg_tensor *x = centred_pixels(graph, width, 2), *y = centred_pixels(graph, height, 1), *coordinates[2];
    for (int i = 0; i < 2; i++) {
        vkg_tensor *place = vkg_add(graph, vkg_mul(graph, motion->m[i][0], x), vkg_mul(graph, motion->m[i][1], y));
        place = vkg_affine(graph, vkg_add(graph, place, motion->m[i][2]), 2 / (float)sizes[i], 0);
        coordinates[i] = mirrored_continuation(graph, place);
    }
    const vkg_grid_sample_desc bilinear = {.mode = VKG_LINEAR, .padding = VKG_PADDING_BORDER};
    return vkg_grid_sample(graph, images, vkg_concat(graph, coordinates, 2, 3), &bilinear);
}

/* --- color: grey is the mean of the channels, and the rest what is left --- */

/* The turn of three channels about the grey axis (Rodrigues): x·cos + (axis × x)·sin + grey·(1 − cos). */
static vkg_tensor *turn_hue(vkg_graph *graph, vkg_tensor *images, vkg_tensor *angle)
{
    vkg_tensor *grey = vkg_mean(graph, images, 1u << 3, true), *cosine = vkg_cos(graph, angle);
    vkg_tensor *across = vkg_sub(graph, vkg_roll(graph, images, 3, 1), vkg_roll(graph, images, 3, -1));
    vkg_tensor *sine = vkg_affine(graph, vkg_sin(graph, angle), 0.57735027f, 0);
    vkg_tensor *turned = vkg_add(graph, vkg_mul(graph, images, cosine), vkg_mul(graph, across, sine));
    return vkg_add(graph, turned, vkg_mul(graph, grey, vkg_affine(graph, cosine, -1, 1)));
}

static vkg_tensor *draw_color(struct draws *draws, vkg_tensor *images)
{
    vkg_graph *graph = draws->graph;
    const uint32_t channels = images->shape.dims[3];
    vkg_tensor *gate = draw_gate(draws), *brightness = gated(draws, gate, draw_normal(draws));
    images = vkg_add(graph, images, vkg_affine(graph, brightness, 0.2f, 0));
    gate = draw_gate(draws);
    images = vkg_mul(graph, images, power_of_two(graph, gated(draws, gate, draw_normal(draws)), 0.5f));
    gate = draw_gate(draws);
    vkg_tensor *flipped = gated(draws, gate, whole_number(graph, draw_uniform(draws), 2));
    vkg_tensor *grey = vkg_mean(graph, images, 1u << 3, true);
    images = vkg_sub(graph, images, vkg_mul(graph, grey, vkg_affine(graph, flipped, 2, 0)));
    gate = draw_gate(draws);
    vkg_tensor *angle = gated(draws, gate, draw_within(draws, PI));
    if (channels == 3)
        images = turn_hue(graph, images, angle);
    gate = draw_gate(draws);
    vkg_tensor *saturation = power_of_two(graph, gated(draws, gate, draw_normal(draws)), 1);
    if (channels == 1)
        return images;
    grey = vkg_mean(graph, images, 1u << 3, true);
    return vkg_add(graph, grey, vkg_mul(graph, vkg_sub(graph, images, grey), saturation));
}

/* --- all of them --- */

static bool draw_numbers(struct draws *draws, const vkg_tensor *images, const vkg_ada_noise *noise)
{
    vkg_graph *graph = draws->graph;
    const vkg_shape shape = VKG_SHAPE(images->shape.dims[0], VKG_ADA_NORMAL);
    draws->uniform = uniform_numbers(graph, "ada_augment", images, noise ? noise->uniform : NULL, VKG_ADA_UNIFORM);
    draws->normal = noise && noise->normal ? noise->normal : vkg_random_normal(graph, shape);
    if (draws->uniform->poisoned || draws->normal->poisoned || draws->p->poisoned)
        return false;
    if (!shape_equal(&draws->normal->shape, &shape))
        graph_fail(graph, "ada_augment: normal numbers %s, expected %s", SHAPE(&draws->normal->shape), SHAPE(&shape));
    else if (shape_elements(&draws->p->shape) != 1)
        graph_fail(graph, "ada_augment: the probability %s must be one number", SHAPE(&draws->p->shape));
    return !graph->error;
}

vkg_tensor *vkg_ada_augment(vkg_graph *graph, vkg_tensor *images, uint32_t changes, vkg_tensor *p,
                            const vkg_ada_noise *noise)
{
    vkg_tensor *wrong = wrong_augmentation(graph, "ada_augment", images, changes, ADA_CHANGES);
    struct draws draws = {.graph = graph, .p = p};
    if (wrong || !draw_numbers(&draws, images, noise))
        return graph->poison;
    changes = changes ? changes : ADA_CHANGES;
    const uint32_t height = images->shape.dims[1], width = images->shape.dims[2];
    vkg_tensor *zero = vkg_constant(graph, 0, VKG_SCALAR), *one = vkg_constant(graph, 1, VKG_SCALAR);
    struct motion motion = {.graph = graph, .m = {{one, zero, zero}, {zero, one, zero}}};
    if (changes & VKG_CHANGE_BLIT)
        draw_blits(&draws, &motion, height, width);
    draws.next_uniform = 7; /* a change has its columns also where others are left out */
    if (changes & VKG_CHANGE_GEOMETRY)
        draw_geometry(&draws, &motion, height, width);
    if (changes & (VKG_CHANGE_BLIT | VKG_CHANGE_GEOMETRY))
        images = move(graph, images, &motion);
    draws.next_uniform = 14, draws.next_normal = 4;
    return changes & VKG_CHANGE_COLOR ? draw_color(&draws, images) : images;
}

/* --- the probability --- */

static vkg_tensor *kept(vkg_graph *graph, const char *name, const char *what)
{
    char full_name[256];
    if (snprintf(full_name, sizeof full_name, "%s.%s", name, what) >= (int)sizeof full_name)
        return graph_fail(graph, "ada: the name \"%s\" is too long", name);
    return vkg_buffer(graph, full_name, VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
}

vkg_tensor *vkg_ada_probability(vkg_graph *graph, const char *name)
{
    return kept(graph, name, "p");
}

vkg_tensor *vkg_ada_adjust(vkg_graph *graph, const char *name, vkg_tensor *logits, const vkg_ada_desc *desc)
{
    if (logits->poisoned || logits->shape.rank == 0)
        return logits->poisoned ? logits : graph_fail(graph, "ada_adjust: the logits are no batch");
    const float every = desc->every ? (float)desc->every : 4, target = desc->target == 0 ? 0.6f : desc->target;
    const float step = every * (float)logits->shape.dims[0] / (desc->images == 0 ? 500000 : desc->images);
    vkg_tensor *p = kept(graph, name, "p"), *calls = kept(graph, name, "calls"), *signs = kept(graph, name, "signs");
    vkg_tensor *sign = vkg_mean(graph, vkg_sign(graph, logits), VKG_ALL_AXES, false);
    vkg_tensor *count = vkg_affine(graph, calls, 1, 1), *sum = vkg_add(graph, signs, sign);
    vkg_tensor *due = vkg_less_equal(graph, vkg_constant(graph, every, VKG_SCALAR), count);
    vkg_tensor *above = vkg_sign(graph, vkg_affine(graph, vkg_div(graph, sum, count), 1, -target));
    vkg_tensor *moved = vkg_clamp(graph, vkg_add(graph, p, vkg_affine(graph, above, step, 0)), 0, 1);
    vkg_tensor *zero = vkg_constant(graph, 0, VKG_SCALAR);
    vkg_assign(graph, p, vkg_where(graph, due, moved, p));
    vkg_assign(graph, calls, vkg_where(graph, due, zero, count));
    vkg_assign(graph, signs, vkg_where(graph, due, zero, sum));
    return sign;
}
