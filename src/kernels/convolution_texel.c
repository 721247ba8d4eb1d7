/* Kernels that read through texel buffers, for drivers of processors. */
#include "kernels/convolution_plan.h"

/* The tile of a texel kernel: `lanes` lanes, each with rows × q columns. */
struct tile {
    uint32_t lanes, across, rows, q; /* across: lanes that lie side by side */
    uint32_t splits; /* lanes that take splits of their own */
    uint64_t blocks; /* tiles of one group */
};

enum { PLACES = 4 }; /* of the texel shaders, as are rows, q and width */

/* As many lanes side by side as columns of `width` channels need; the others lie over the rows. */
static struct tile tile_of(const vkg_device_caps *caps, const struct sizes *s, uint32_t width, uint32_t q, uint32_t rows)
{
    struct tile t = {.lanes = caps->subgroup_size, .across = 1, .rows = rows, .q = q, .splits = 1};
    while (t.lanes % (t.across * 2) == 0 && t.across * q * width < s->columns)
        t.across *= 2;
    t.blocks = up(s->columns, (uint64_t)t.across * q * width) * up(s->rows, (uint64_t)rows * (t.lanes / t.across));
    return t;
}

/* The tile of columns of four channels (wide) or one, as shaders/meson.build has them. `low`: of few rows. Of eight lanes it has no
 * more than 64 wide columns: weights of more, a power of two apart, drive one another out of the first cache in input_grad. */
static struct tile suited_tile(const vkg_device_caps *caps, const struct sizes *s, bool wide, bool low)
{
    if (s->columns <= (wide ? 8 : 1))
        return tile_of(caps, s, wide ? 4 : 1, 1, 16);
    if (!wide)
        return tile_of(caps, s, 1, 3, 16);
    return low ? tile_of(caps, s, 4, 4, 16) : tile_of(caps, s, 4, 2, 32);
}

/* Takes the tile. Lanes side by side read for one another what all of them need, so many things each. */
static void use_tile(const struct tile *t, uint32_t things, struct conv_plan *plan)
{
    enum { MOST = 8 }; /* that the self-test has a problem for */
    plan->push.lane_columns = t->across;
    plan->push.lane_splits = t->splits;
    plan->step.workgroup = t->lanes;
    plan->step.sharers = (uint32_t)lesser(lesser(t->across, MOST), things);
    plan->step.constants[0] = plan->step.sharers;
    plan->step.constant_count = 1;
}

/* Is it for these kernels, whose workgroups are one subgroup each? Groups of so few products, of 3 × 3 matrices for example, leave
 * most lanes idle. */
static bool suits_texels(const struct question *question)
{
    const vkg_device_caps *caps = question->caps;
    const struct sizes *s = &question->sizes;
    const bool tiny = s->groups > 1 && s->rows * s->columns < 16 && s->terms < 16;
    return caps->subgroup_shuffle && caps->min_subgroup_size == caps->max_subgroup_size && !tiny;
}

/* Groups of one channel each: all of them are columns of one product. */
bool conv_plan_depthwise_texel(const struct question *question, const struct kernel *kernel, struct conv_plan *plan)
{
    const vkg_device_caps *caps = question->caps;
    const enum conv_direction direction = question->direction;
    const struct conv_problem *p = question->problem;
    const struct sizes *s = &question->sizes;
    struct sizes together = *s;
    together.columns = s->groups, together.groups = 1;
    const bool loops = direction == CONV_WEIGHT_GRAD || 2 * s->terms <= caps->max_loop_iterations;
    if (!suits_texels(question) || p->ci != 1 || p->co != 1 || p->batched || p->groups % 4 != 0 || !loops ||
        !conv_texels_fit(caps, s->inputs[0], 4) || !conv_texels_fit(caps, s->inputs[1], 4))
        return false;
    struct tile t = tile_of(caps, &together, 4, 1, 16);
    if (direction == CONV_WEIGHT_GRAD && !conv_choose_split(caps, &together, t.blocks, conv_enough_workgroups(caps), PLACES, plan))
        return false;
    use_tile(&t, 1, plan); /* each lane reads its own channels */
    plan->step.shader = kernel->names[direction];
    plan->step.formats[0] = plan->step.formats[1] = plan->step.epilogue_format = FORMAT_TEXEL_VEC4;
    return conv_set_grid(caps, plan, t.blocks, 1, s->phases * plan->push.split);
}

static bool plan_rows_texel(const struct question *question, struct conv_plan *plan)
{
    const vkg_device_caps *caps = question->caps;
    const struct conv_problem *p = question->problem;
    const struct sizes *s = &question->sizes;
    static const char *const names[2][2][2][2] = {
        {{{"conv_forward_texel_any_few", "conv_forward_texel_any_many"},
          {"conv_forward_texel_any_by4_few", "conv_forward_texel_any_by4_many"}},
         {{"conv_forward_texel_wide_few", "conv_forward_texel_wide_many"},
          {"conv_forward_texel_wide_by4_few", "conv_forward_texel_wide_by4_many"}}},
        {{{"conv_input_grad_texel_any_few", "conv_input_grad_texel_any_many"},
          {"conv_input_grad_texel_any_by4_few", "conv_input_grad_texel_any_by4_many"}},
         {{"conv_input_grad_texel_wide_few", "conv_input_grad_texel_wide_many"},
          {"conv_input_grad_texel_wide_by4_few", "conv_input_grad_texel_wide_by4_many"}}}};
    bool backward = question->direction == CONV_INPUT_GRAD, by4 = s->summed % 4 == 0;
    /* with these multiples of four, those pitches and distances between groups are multiples of four that count */
    bool wide = s->columns % 4 == 0 && (!backward || by4 || plan->push.w_pitch == 1),
         vec4_weights = wide || (backward && by4);
    uint64_t taps = (uint64_t)p->kh * p->kw, turns = taps * (1 + (by4 ? s->summed / 4 : s->summed));
    if (!conv_texels_fit(caps, s->inputs[0], by4 ? 4 : 1) || !conv_texels_fit(caps, s->inputs[1], vec4_weights ? 4 : 1) ||
        turns > caps->max_loop_iterations)
        return false;
    struct tile t = suited_tile(caps, s, wide, false);
    use_tile(&t, t.rows, plan);
    plan->step.shader = names[backward][wide][by4][t.q > 1];
    plan->step.formats[0] = by4 ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    plan->step.formats[1] = vec4_weights ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    plan->step.epilogue_format = wide ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    return conv_set_grid(caps, plan, t.blocks, s->groups, s->phases);
}

/* Lanes below the last row take splits of their own. */
static void give_splits_to_idle_lanes(const struct sizes *s, struct tile *t)
{
    uint32_t below = t->lanes / t->across;
    for (; below % 2 == 0 && (uint64_t)t->rows * below / 2 >= s->rows; below /= 2)
        t->splits *= 2;
}

/* Into so many splits that what each of them reads again and again stays in the outer cache meanwhile, group by group: y, by every tile
 * of rows, and x, by every tap and every tile of columns. */
static uint64_t splits_for_cache(const struct conv_problem *p, const struct sizes *s, const struct tile *t)
{
    enum { CACHE = 6 << 20 };
    const uint64_t row_tiles = up(s->rows, (uint64_t)t->rows * (t->lanes / t->across));
    const uint64_t x = p->kh * p->kw > 1 || t->blocks > row_tiles ? s->inputs[0] : 0, y = row_tiles > 1 ? s->inputs[1] : 0;
    return (x + y) / s->groups * 4 / CACHE;
}

static bool choose_split_of_weights(const vkg_device_caps *caps, const struct sizes *s, const struct tile *t,
                                    struct conv_plan *plan)
{
    const uint64_t workgroups = t->blocks * s->groups, wanted = workgroups * splits_for_cache(&plan->push.problem, s, t);
    const uint64_t enough = (uint64_t)conv_enough_workgroups(caps) * t->splits;
    if (!conv_choose_split(caps, s, workgroups, (uint32_t)(wanted > enough ? lesser(wanted, UINT32_MAX) : enough), PLACES, plan))
        return false;
    plan->push.split = (uint32_t)up(plan->push.split, t->splits) * t->splits; /* splits past the end add nothing */
    return s->outputs * plan->push.split <= lesser(caps->max_storage_buffer_range / 4, INT32_MAX);
}

static bool plan_weight_texel(const struct question *question, struct conv_plan *plan)
{
    const vkg_device_caps *caps = question->caps;
    const struct conv_problem *p = question->problem;
    const struct sizes *s = &question->sizes;
    static const char *const names[2][2][2] = {
        {{"conv_weight_grad_texel_any_few", "conv_weight_grad_texel_any_many"},
         {"conv_weight_grad_texel_any_by4_few", "conv_weight_grad_texel_any_by4_many"}},
        {{"conv_weight_grad_texel_wide_few", "conv_weight_grad_texel_wide_many"},
         {"conv_weight_grad_texel_wide_by4_few", "conv_weight_grad_texel_wide_by4_many"}}};
    bool by4 = p->ci % 4 == 0, wide = p->co % 4 == 0;
    struct tile t = suited_tile(caps, s, wide, !by4);
    give_splits_to_idle_lanes(s, &t);
    if (!conv_texels_fit(caps, s->inputs[0], by4 ? 4 : 1) || !conv_texels_fit(caps, s->inputs[1], wide ? 4 : 1) ||
        !choose_split_of_weights(caps, s, &t, plan))
        return false;
    use_tile(&t, by4 ? t.rows / 4 : t.rows, plan);
    plan->step.shader = names[wide][by4][t.q > 1];
    plan->step.formats[0] = by4 ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    plan->step.formats[1] = wide ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    return conv_set_grid(caps, plan, t.blocks, s->groups, plan->push.split / t.splits);
}

/* One kernel in all sizes that its variants are made for. */
bool conv_plan_texel(const struct question *question, const struct kernel *kernel, struct conv_plan *plan)
{
    (void)kernel;
    return suits_texels(question) &&
           (question->direction == CONV_WEIGHT_GRAD ? plan_weight_texel(question, plan) : plan_rows_texel(question, plan));
}
