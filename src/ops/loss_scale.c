/* Dynamic loss scaling (Micikevicius et al. 2018, section 3.2), out of ordinary operations, so that it runs on the device
 * with everything else: the host is never asked whether a step was good. */
#include <math.h>

#include "ops/ops.h"
#include "ops/optimizer.h"

/* Both ends have a reciprocal that is a normal number, which optimisers multiply by. */
static const float LEAST_SCALE = 0x1p-126f, GREATEST_SCALE = 0x1p126f;

static const struct op op_not_finite = {.name = "not finite", .doc = "|a| = ∞ or a ≠ a ? 1 : 0", .kind = OP_POINTWISE,
                                        .glsl = "is_not_finite(a)"};

vkg_tensor *not_finite(vkg_graph *graph, vkg_tensor *a)
{
    return pointwise_unary(graph, &op_not_finite, a, 0, 0);
}

/* 1/a of a power of two within those ends, by its exponent: a division may be off by 2.5 units in the last place. */
static const struct op op_reciprocal_of_power = {.name = "reciprocal of a power of two", .doc = "1/a",
                                                 .kind = OP_POINTWISE, .glsl = "reciprocal_of_power(a)"};

static float initial_scale(const vkg_loss_scaling *scaling)
{
    return scaling->initial != 0 ? scaling->initial : 65536;
}

static uint32_t growth_interval(const vkg_loss_scaling *scaling)
{
    return scaling->growth_interval ? scaling->growth_interval : 2000;
}

static bool is_valid(vkg_graph *graph, const char *name, const vkg_loss_scaling *scaling)
{
    int exponent;
    float scale = initial_scale(scaling);
    if (!(scale >= LEAST_SCALE && scale <= GREATEST_SCALE) || frexpf(scale, &exponent) != 0.5f) {
        graph_fail(graph, "loss scaling \"%s\": the initial scale is %g, expected a power of two from 2^-126 to 2^126",
                   name, (double)scale);
        return false;
    }
    if (growth_interval(scaling) > 1u << 24) { /* good steps are counted in a float */
        graph_fail(graph, "loss scaling \"%s\": growth_interval is %u, expected at most 2^24", name,
                   scaling->growth_interval);
        return false;
    }
    return true;
}

static vkg_tensor *scale_buffer(vkg_graph *graph, const char *name, const vkg_loss_scaling *scaling)
{
    return is_valid(graph, name, scaling) ? optimizer_setting(graph, name, "loss_scale", 1, initial_scale(scaling))
                                          : graph->poison;
}

vkg_tensor *vkg_loss_scale(vkg_graph *graph, const char *name, const vkg_loss_scaling *scaling)
{
    return vkg_reshape(graph, scale_buffer(graph, name, scaling), VKG_SCALAR);
}

vkg_tensor *vkg_skipped_updates(vkg_graph *graph, const char *name)
{
    return vkg_reshape(graph, optimizer_setting(graph, name, "skipped_updates", 1, 0), VKG_SCALAR);
}

/* Is there a number in any of the gradients that is not finite? 1 or 0, [1]. */
static vkg_tensor *any_not_finite(vkg_graph *graph, vkg_tensor *const *gradients, uint32_t count)
{
    vkg_tensor *total = vkg_constant(graph, 0, VKG_SHAPE(1));
    for (uint32_t i = 0; i < count; i++) {
        total = vkg_add(graph, total, vkg_sum(graph, not_finite(graph, gradients[i]), VKG_ALL_AXES, false));
    }
    return vkg_less(graph, vkg_constant(graph, 0, VKG_SHAPE(1)), total);
}

vkg_tensor *loss_scale_judge(vkg_graph *graph, const char *name, const vkg_loss_scaling *scaling,
                             vkg_tensor *const *gradients, uint32_t count)
{
    vkg_tensor *zero = vkg_constant(graph, 0, VKG_SHAPE(1));
    vkg_tensor *scale = scale_buffer(graph, name, scaling);
    vkg_tensor *good = optimizer_setting(graph, name, "good_steps", 1, 0);
    vkg_tensor *skipped = optimizer_setting(graph, name, "skipped_updates", 1, 0);
    vkg_tensor *overflow = any_not_finite(graph, gradients, count);
    vkg_tensor *reciprocal = pointwise_unary(graph, &op_reciprocal_of_power, scale, 0, 0);
    vkg_tensor *factor = vkg_where(graph, overflow, zero, reciprocal);
    vkg_tensor *counted = vkg_affine(graph, good, 1, 1);
    vkg_tensor *due = vkg_less_equal(graph, vkg_constant(graph, (float)growth_interval(scaling), VKG_SHAPE(1)), counted);
    vkg_tensor *grown = vkg_where(graph, due, vkg_affine(graph, scale, 2, 0), scale);
    vkg_tensor *next = vkg_where(graph, overflow, vkg_affine(graph, scale, 0.5f, 0), grown);
    vkg_assign(graph, scale, vkg_clamp(graph, next, LEAST_SCALE, GREATEST_SCALE));
    vkg_assign(graph, good, vkg_where(graph, overflow, zero, vkg_where(graph, due, zero, counted)));
    vkg_assign(graph, skipped, vkg_add(graph, skipped, overflow));
    return factor;
}
