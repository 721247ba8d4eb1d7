#include "kernels/convolution.h"

#include "kernels/workgroup.h"

/* --- sizes --- */

static uint64_t up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One group of a convolution as a matrix product: result[row][column] = Σ over terms. */
struct sizes {
    uint64_t inputs[2], outputs, groups; /* elements of all groups, and how many these are */
    uint64_t rows, columns; /* of input_grad: the rows of its largest phase, places equal modulo the stride */
    uint64_t phases;
    uint64_t terms, summed; /* products summed for one output; channels among them */
};

/* Products of five sizes: false where shaders, which count elements with int, could not count them. */
static bool count(uint64_t *product, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)
{
    uint64_t ab = (uint64_t)a * b, cd = (uint64_t)c * d; /* cannot overflow */
    return !__builtin_mul_overflow(ab, cd, product) && !__builtin_mul_overflow(*product, e, product) &&
           *product <= INT32_MAX;
}

static bool sizes_of(enum conv_direction direction, const struct conv_problem *p, struct sizes *s)
{
    uint64_t x, y, w, places = (uint64_t)p->n * p->oh * p->ow, taps = (uint64_t)p->kh * p->kw;
    if (!count(&x, p->n, p->ih, p->iw, p->ci, p->groups) || !count(&y, p->n, p->oh, p->ow, p->co, p->groups) ||
        !count(&w, p->kh, p->kw, p->ci, p->co, p->groups))
        return false; /* the terms of each direction are no more than these */
    if (direction == CONV_FORWARD)
        *s = (struct sizes){.inputs = {x, w}, .outputs = y, .rows = places, .columns = p->co, .phases = 1,
                            .terms = taps * p->ci, .summed = p->ci};
    else if (direction == CONV_INPUT_GRAD)
        *s = (struct sizes){.inputs = {y, w}, .outputs = x, .rows = p->n * up(p->ih, p->sh) * up(p->iw, p->sw),
                            .columns = p->ci, .phases = (uint64_t)p->sh * p->sw, .terms = taps * p->co,
                            .summed = p->co};
    else
        *s = (struct sizes){.inputs = {x, y}, .outputs = w, .rows = taps * p->ci, .columns = p->co, .phases = 1,
                            .terms = places, .summed = places};
    s->groups = p->groups;
    return true;
}

/* Where the groups lie: see conv_problem. */
static void set_layout(struct conv_push *push)
{
    const struct conv_problem *p = &push->problem;
    const uint32_t side_by_side = p->batched ? 1 : p->groups;
    push->x_pitch = p->ci * side_by_side;
    push->w_pitch = push->y_pitch = p->co * side_by_side;
    push->x_group = p->batched ? p->n * p->ih * p->iw * p->ci : p->ci;
    push->w_group = p->batched ? p->kh * p->kw * p->ci * p->co : p->co;
    push->y_group = p->batched ? p->n * p->oh * p->ow * p->co : p->co;
}

/* --- grids --- */

/* x and y fold the groups' workgroups, `blocks` of each, and z counts phases or splits. */
static bool set_grid(const vkg_device_caps *caps, struct conv_plan *plan, uint64_t blocks, uint64_t groups, uint64_t z)
{
    uint64_t all = blocks * groups, y = up(all, caps->max_workgroup_count[0]);
    if (y > caps->max_workgroup_count[1] || z > caps->max_workgroup_count[2] || all > INT32_MAX)
        return false;
    plan->push.blocks = (uint32_t)blocks;
    plan->step.groups[0] = (uint32_t)up(all, y);
    plan->step.groups[1] = (uint32_t)y;
    plan->step.groups[2] = (uint32_t)z;
    return true;
}

/* Cuts the terms of a sum into splits: so many that the device has `workgroups` times splits enough to
 * do, and that no invocation, which takes `stride` terms in a turn of its loop, loops for longer than the
 * driver lets it. false: the parts would not fit into a buffer. */
static bool choose_split(const vkg_device_caps *caps, const struct sizes *s, uint64_t workgroups, uint64_t stride,
                         struct conv_plan *plan)
{
    enum { WORTH = 64 }; /* parts of fewer terms are not worth their sum */
    uint64_t wanted = up(caps->type == VKG_DEVICE_CPU ? 16 : 512, workgroups);
    uint64_t turns = up(up(s->terms, lesser(wanted, up(s->terms, WORTH))), stride);
    uint64_t chunk = lesser(turns, caps->max_loop_iterations) * stride, split = up(s->terms, chunk);
    plan->push.chunk = (uint32_t)lesser(chunk, INT32_MAX);
    plan->push.split = (uint32_t)split;
    return split == 1 || s->outputs * split <= lesser(caps->max_storage_buffer_range / 4, INT32_MAX);
}

/* --- texel family --- */

static bool texels_fit(const vkg_device_caps *caps, uint64_t elements, uint32_t width)
{
    return up(elements, width) <= caps->max_texel_buffer_elements;
}

/* The tile of a texel kernel: `lanes` lanes, each with R rows × q columns of `width` channels. */
struct tile {
    uint32_t lanes, across, q, width; /* across: lanes that lie side by side */
    uint64_t blocks; /* tiles of one group */
};

enum { R = 16, PLACES = 4 }; /* of the texel shaders */

/* As many lanes side by side as the columns need, `most` at the most; the others lie over the rows. */
static struct tile tile_of(const vkg_device_caps *caps, const struct sizes *s, uint32_t width, uint32_t q,
                           uint32_t most)
{
    struct tile t = {.lanes = caps->subgroup_size, .across = 1, .width = width, .q = q};
    while (t.across * 2 <= most && t.lanes % (t.across * 2) == 0 && t.across * t.q * t.width < s->columns)
        t.across *= 2;
    t.blocks =
        up(s->columns, (uint64_t)t.across * t.q * t.width) * up(s->rows, (uint64_t)R * (t.lanes / t.across));
    return t;
}

static struct tile any_or_wide_tile_of(const vkg_device_caps *caps, const struct sizes *s, bool wide, uint32_t most)
{
    return tile_of(caps, s, wide ? 4 : 1, s->columns <= (wide ? 8 : 1) ? 1 : wide ? 4 : 3, most);
}

/* Groups of one channel each: all of them are columns of one product. */
static bool plan_depthwise_texel(const vkg_device_caps *caps, enum conv_direction direction,
                                 const struct conv_problem *p, const struct sizes *s, struct conv_plan *plan)
{
    static const char *const names[] = {"conv_forward_texel_depthwise", "conv_input_grad_texel_depthwise",
                                        "conv_weight_grad_texel_depthwise"};
    struct sizes together = *s;
    together.columns = s->groups, together.groups = 1;
    const bool loops = direction == CONV_WEIGHT_GRAD || 2 * s->terms <= caps->max_loop_iterations;
    if (p->ci != 1 || p->co != 1 || p->batched || p->groups % 4 != 0 || !loops ||
        !texels_fit(caps, s->inputs[0], 4) || !texels_fit(caps, s->inputs[1], 4))
        return false;
    struct tile t = tile_of(caps, &together, 4, 1, caps->subgroup_size);
    if (direction == CONV_WEIGHT_GRAD && !choose_split(caps, &together, t.blocks, PLACES, plan))
        return false;
    plan->push.lane_columns = t.across;
    plan->step.shader = names[direction];
    plan->step.workgroup = t.lanes;
    plan->step.formats[0] = plan->step.formats[1] = FORMAT_TEXEL_VEC4;
    return set_grid(caps, plan, t.blocks, 1, s->phases * plan->push.split);
}

/* Groups of so few products, of 3 × 3 matrices for example, leave most lanes of a texel kernel idle. */
static bool is_tiny(const struct sizes *s)
{
    return s->groups > 1 && s->rows * s->columns < 16 && s->terms < 16;
}

static bool plan_rows_texel(const vkg_device_caps *caps, enum conv_direction direction,
                            const struct conv_problem *p, const struct sizes *s, struct conv_plan *plan)
{
    static const char *const names[2][2][2][2] = {
        {{{"conv_forward_texel_any_q1", "conv_forward_texel_any_q3"},
          {"conv_forward_texel_any_by4_q1", "conv_forward_texel_any_by4_q3"}},
         {{"conv_forward_texel_wide_q1", "conv_forward_texel_wide_q4"},
          {"conv_forward_texel_wide_by4_q1", "conv_forward_texel_wide_by4_q4"}}},
        {{{"conv_input_grad_texel_any_q1", "conv_input_grad_texel_any_q3"},
          {"conv_input_grad_texel_any_by4_q1", "conv_input_grad_texel_any_by4_q3"}},
         {{"conv_input_grad_texel_wide_q1", "conv_input_grad_texel_wide_q4"},
          {"conv_input_grad_texel_wide_by4_q1", "conv_input_grad_texel_wide_by4_q4"}}}};
    bool backward = direction == CONV_INPUT_GRAD, by4 = s->summed % 4 == 0;
    /* with these multiples of four, those pitches and distances between groups are multiples of four that count */
    bool wide = s->columns % 4 == 0 && (!backward || by4 || plan->push.w_pitch == 1),
         vec4_weights = wide || (backward && by4);
    uint64_t taps = (uint64_t)p->kh * p->kw, turns = taps * (1 + (by4 ? s->summed / 4 : s->summed));
    if (!texels_fit(caps, s->inputs[0], by4 ? 4 : 1) || !texels_fit(caps, s->inputs[1], vec4_weights ? 4 : 1) ||
        turns > caps->max_loop_iterations)
        return false;
    /* In input_grad each lane's columns are rows of the weight, far apart: more than 64 of them, a power of two
     * apart, drive one another out of the first cache (65 instead of 45 GFLOP/s with half of 8 lanes). */
    const uint32_t most = backward && wide ? caps->subgroup_size / 2 : caps->subgroup_size;
    struct tile t = any_or_wide_tile_of(caps, s, wide, most);
    plan->push.lane_columns = t.across;
    plan->step.shader = names[backward][wide][by4][t.q > 1];
    plan->step.workgroup = t.lanes;
    plan->step.formats[0] = by4 ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    plan->step.formats[1] = vec4_weights ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    return set_grid(caps, plan, t.blocks, s->groups, s->phases);
}

static bool plan_weight_texel(const vkg_device_caps *caps, const struct conv_problem *p, const struct sizes *s,
                              struct conv_plan *plan)
{
    static const char *const names[2][2][2] = {
        {{"conv_weight_grad_texel_any_q1", "conv_weight_grad_texel_any_q3"},
         {"conv_weight_grad_texel_any_by4_q1", "conv_weight_grad_texel_any_by4_q3"}},
        {{"conv_weight_grad_texel_wide_q1", "conv_weight_grad_texel_wide_q4"},
         {"conv_weight_grad_texel_wide_by4_q1", "conv_weight_grad_texel_wide_by4_q4"}}};
    bool by4 = p->ci % 4 == 0, wide = p->co % 4 == 0;
    struct tile t = any_or_wide_tile_of(caps, s, wide, caps->subgroup_size);
    if (!texels_fit(caps, s->inputs[0], by4 ? 4 : 1) || !texels_fit(caps, s->inputs[1], wide ? 4 : 1) ||
        !choose_split(caps, s, t.blocks * s->groups, PLACES, plan))
        return false;
    plan->push.lane_columns = t.across;
    plan->step.shader = names[wide][by4][t.q > 1];
    plan->step.workgroup = t.lanes;
    plan->step.formats[0] = by4 ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    plan->step.formats[1] = wide ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    return set_grid(caps, plan, t.blocks, s->groups, plan->push.split);
}

/* --- tiled and plain families --- */

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The most taps along one dimension that meet one place of input_grad. */
static uint64_t taps_of_phase(uint32_t kernel, uint32_t stride, uint32_t dilation)
{
    return up(kernel, stride / greatest_common_divisor(stride, dilation));
}

/* The tile of a tiled kernel; a thread computes 4 × 4 of it. */
struct tiling {
    uint32_t rows, columns;
    const char *names[3];
};

static const struct tiling square = {
    64, 64, {"conv_forward_tiled", "conv_input_grad_tiled", "conv_weight_grad_tiled"}};
static const struct tiling small = {
    32, 32, {"conv_forward_tiled_small", "conv_input_grad_tiled_small", "conv_weight_grad_tiled_small"}};
static const struct tiling narrow = {
    256, 16, {"conv_forward_tiled_narrow", "conv_input_grad_tiled_narrow", "conv_weight_grad_tiled_narrow"}};

/* Tiles of one group in one phase. */
static uint64_t tiles(const struct sizes *s, const struct tiling *tiling)
{
    return up(s->rows, tiling->rows) * up(s->columns, tiling->columns);
}

/* Of groups of few channels, and of batches of small matrices, a tile would compute mostly nothing, and read memory a
 * few bytes at a time. */
static bool fills_tiles(const struct sizes *s)
{
    const uint64_t filled = lesser(s->rows, small.rows) * lesser(s->columns, small.columns);
    return s->groups == 1 || filled >= small.rows * small.columns / 8;
}

static bool plan_tiled(const vkg_device_caps *caps, enum conv_direction direction, const struct conv_problem *p,
                       const struct sizes *s, struct conv_plan *plan)
{
    enum { DEPTH = 16, FEW_TILES = 128 }; /* as in conv_tiled.comp; fewer tiles leave a large device idle */
    const uint64_t times = s->phases * s->groups;
    const struct tiling *tiling = s->columns <= 16 && s->rows >= 1024     ? &narrow
                                  : tiles(s, &square) * times < FEW_TILES ? &small
                                                                          : &square;
    uint32_t threads = tiling->rows / 4 * (tiling->columns / 4);
    if (caps->max_workgroup_invocations < threads ||
        caps->max_shared_memory < DEPTH * (tiling->rows + tiling->columns + 8) * 4)
        return false;
    struct sizes cut = *s; /* the terms of one phase */
    if (direction == CONV_INPUT_GRAD)
        cut.terms = taps_of_phase(p->kh, p->sh, p->dh) * taps_of_phase(p->kw, p->sw, p->dw) * p->co;
    plan->step.shader = tiling->names[direction];
    plan->step.workgroup = threads;
    plan->step.formats[0] = plan->step.formats[1] = FORMAT_STORAGE;
    return choose_split(caps, &cut, tiles(s, tiling) * times, DEPTH, plan) &&
           set_grid(caps, plan, tiles(s, tiling), s->groups, s->phases * plan->push.split);
}

static bool plan_plain(const vkg_device_caps *caps, enum conv_direction direction, const struct sizes *s,
                       struct conv_plan *plan)
{
    static const char *const names[2][3] = {
        {"conv_forward_plain", "conv_input_grad_plain", "conv_weight_grad_plain"},
        {"conv_forward_plain_texel", "conv_input_grad_plain_texel", "conv_weight_grad_plain_texel"}};
    bool texel = caps->kernels == VKG_KERNELS_TEXEL && texels_fit(caps, s->inputs[0], 1) &&
                 texels_fit(caps, s->inputs[1], 1);
    plan->step.shader = names[texel][direction];
    plan->step.workgroup = simple_workgroup(caps);
    plan->step.formats[0] = plan->step.formats[1] = texel ? FORMAT_TEXEL_SCALAR : FORMAT_STORAGE;
    uint64_t workgroups = up(s->outputs, plan->step.workgroup);
    return choose_split(caps, s, workgroups, 1, plan) && set_grid(caps, plan, workgroups, 1, plan->push.split);
}

vkg_result conv_plan_build(const vkg_device_caps *caps, enum conv_direction direction,
                           const struct conv_problem *problem, struct conv_plan *plan)
{
    struct sizes s;
    if (!sizes_of(direction, problem, &s))
        return VKG_ERROR_UNSUPPORTED;
    *plan = (struct conv_plan){
        .push = {.problem = *problem, .chunk = (uint32_t)s.terms, .split = 1, .lane_columns = 1}};
    set_layout(&plan->push);
    plan->flops = 2.0 * problem->groups * problem->n * problem->oh * problem->ow * problem->co * problem->ci *
                  problem->kh * problem->kw;
    bool texel = caps->kernels == VKG_KERNELS_TEXEL && !is_tiny(&s) &&
                 (plan_depthwise_texel(caps, direction, problem, &s, plan) ||
                  (direction == CONV_WEIGHT_GRAD ? plan_weight_texel(caps, problem, &s, plan)
                                                 : plan_rows_texel(caps, direction, problem, &s, plan)));
    bool planned = texel || (caps->kernels != VKG_KERNELS_PLAIN && fills_tiles(&s) &&
                             plan_tiled(caps, direction, problem, &s, plan));
    return planned || plan_plain(caps, direction, &s, plan) ? VKG_OK : VKG_ERROR_UNSUPPORTED;
}
