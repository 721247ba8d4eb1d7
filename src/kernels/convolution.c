#include "kernels/convolution.h"

#include <string.h>

#include "kernels/finish.h"
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

/* What is asked for, and on which device. */
struct question {
    const vkg_device_caps *caps;
    enum conv_direction direction;
    const struct conv_problem *problem;
    vkg_dtype dtype;
    struct sizes sizes;
};

/* A row of the table of kernels: how one of them is laid out for a problem. plan() fills the step, and the push
 * constants that are the kernel's own, of a plan that holds the problem's; false where the kernel cannot run it. */
struct kernel {
    vkg_kernel_family family;
    bool (*plan)(const struct question *question, const struct kernel *kernel, struct conv_plan *plan);
    const char *names[3]; /* of the shaders, by direction; kernels with variants by shape name them in plan() */
    uint32_t rows, columns;               /* tiled kernels: the tile of a workgroup, */
    uint32_t thread_rows, thread_columns; /* and that of a thread */
    uint32_t workgroups; /* sums are cut until there are so many, where the terms are enough; 0: as the device likes */
};

#define OF_EACH_DIRECTION(name) {"conv_forward_" name, "conv_input_grad_" name, "conv_weight_grad_" name}

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

/* The workgroups that keep a device of this kind busy. */
static uint32_t enough_workgroups(const vkg_device_caps *caps)
{
    return caps->type == VKG_DEVICE_CPU ? 16 : 512;
}

/* Cuts the terms of a sum into splits: so many that `workgroups` times splits are `enough`, and that no invocation, which takes `stride` terms in a turn of its loop, loops for longer than the
 * driver lets it. false: the parts would not fit into a buffer. */
static bool choose_split(const vkg_device_caps *caps, const struct sizes *s, uint64_t workgroups, uint32_t enough,
                         uint64_t stride, struct conv_plan *plan)
{
    enum { WORTH = 64 }; /* parts of fewer terms are not worth their sum */
    uint64_t wanted = up(enough, workgroups);
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
    uint32_t splits; /* lanes that take splits of their own */
    uint64_t blocks; /* tiles of one group */
};

enum { R = 16, PLACES = 4 }; /* of the texel shaders */

/* As many lanes side by side as the columns need, `most` at the most; the others lie over the rows. */
static struct tile tile_of(const vkg_device_caps *caps, const struct sizes *s, uint32_t width, uint32_t q,
                           uint32_t most)
{
    struct tile t = {.lanes = caps->subgroup_size, .across = 1, .width = width, .q = q, .splits = 1};
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

/* Groups of so few products, of 3 × 3 matrices for example, leave most lanes of a texel kernel idle. */
static bool is_tiny(const struct sizes *s)
{
    return s->groups > 1 && s->rows * s->columns < 16 && s->terms < 16;
}

/* Groups of one channel each: all of them are columns of one product. */
static bool plan_depthwise_texel(const struct question *question, const struct kernel *kernel, struct conv_plan *plan)
{
    const vkg_device_caps *caps = question->caps;
    const enum conv_direction direction = question->direction;
    const struct conv_problem *p = question->problem;
    const struct sizes *s = &question->sizes;
    struct sizes together = *s;
    together.columns = s->groups, together.groups = 1;
    const bool loops = direction == CONV_WEIGHT_GRAD || 2 * s->terms <= caps->max_loop_iterations;
    if (is_tiny(s) || p->ci != 1 || p->co != 1 || p->batched || p->groups % 4 != 0 || !loops ||
        !texels_fit(caps, s->inputs[0], 4) || !texels_fit(caps, s->inputs[1], 4))
        return false;
    struct tile t = tile_of(caps, &together, 4, 1, caps->subgroup_size);
    if (direction == CONV_WEIGHT_GRAD && !choose_split(caps, &together, t.blocks, enough_workgroups(caps), PLACES, plan))
        return false;
    plan->push.lane_columns = t.across;
    plan->step.shader = kernel->names[direction];
    plan->step.workgroup = t.lanes;
    plan->step.formats[0] = plan->step.formats[1] = plan->step.epilogue_format = FORMAT_TEXEL_VEC4;
    return set_grid(caps, plan, t.blocks, 1, s->phases * plan->push.split);
}

static bool plan_rows_texel(const struct question *question, struct conv_plan *plan)
{
    const vkg_device_caps *caps = question->caps;
    const struct conv_problem *p = question->problem;
    const struct sizes *s = &question->sizes;
    static const char *const names[2][2][2][2] = {
        {{{"conv_forward_texel_any_q1", "conv_forward_texel_any_q3"},
          {"conv_forward_texel_any_by4_q1", "conv_forward_texel_any_by4_q3"}},
         {{"conv_forward_texel_wide_q1", "conv_forward_texel_wide_q4"},
          {"conv_forward_texel_wide_by4_q1", "conv_forward_texel_wide_by4_q4"}}},
        {{{"conv_input_grad_texel_any_q1", "conv_input_grad_texel_any_q3"},
          {"conv_input_grad_texel_any_by4_q1", "conv_input_grad_texel_any_by4_q3"}},
         {{"conv_input_grad_texel_wide_q1", "conv_input_grad_texel_wide_q4"},
          {"conv_input_grad_texel_wide_by4_q1", "conv_input_grad_texel_wide_by4_q4"}}}};
    bool backward = question->direction == CONV_INPUT_GRAD, by4 = s->summed % 4 == 0;
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
    plan->step.epilogue_format = wide ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    return set_grid(caps, plan, t.blocks, s->groups, s->phases);
}

/* Lanes below the last row take splits of their own. */
static void give_splits_to_idle_lanes(const struct sizes *s, struct tile *t)
{
    uint32_t below = t->lanes / t->across;
    for (; below % 2 == 0 && (uint64_t)R * below / 2 >= s->rows; below /= 2)
        t->splits *= 2;
}

/* Into so many splits that what each of them reads, once a tile, stays in the outer cache meanwhile. */
static uint64_t splits_for_cache(const struct sizes *s)
{
    enum { CACHE = 6 << 20 };
    return (s->inputs[0] + s->inputs[1]) * 4 / CACHE;
}

static bool choose_split_of_weights(const vkg_device_caps *caps, const struct sizes *s, const struct tile *t,
                                    struct conv_plan *plan)
{
    const uint64_t workgroups = t->blocks * s->groups, wanted = workgroups * splits_for_cache(s);
    const uint64_t enough = (uint64_t)enough_workgroups(caps) * t->splits;
    if (!choose_split(caps, s, workgroups, (uint32_t)(wanted > enough ? lesser(wanted, UINT32_MAX) : enough), PLACES, plan))
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
        {{"conv_weight_grad_texel_any_q1", "conv_weight_grad_texel_any_q3"},
         {"conv_weight_grad_texel_any_by4_q1", "conv_weight_grad_texel_any_by4_q3"}},
        {{"conv_weight_grad_texel_wide_q1", "conv_weight_grad_texel_wide_q4"},
         {"conv_weight_grad_texel_wide_by4_q1", "conv_weight_grad_texel_wide_by4_q4"}}};
    bool by4 = p->ci % 4 == 0, wide = p->co % 4 == 0;
    struct tile t = any_or_wide_tile_of(caps, s, wide, caps->subgroup_size);
    give_splits_to_idle_lanes(s, &t);
    if (!texels_fit(caps, s->inputs[0], by4 ? 4 : 1) || !texels_fit(caps, s->inputs[1], wide ? 4 : 1) ||
        !choose_split_of_weights(caps, s, &t, plan))
        return false;
    plan->push.lane_columns = t.across;
    plan->push.lane_splits = t.splits;
    plan->step.shader = names[wide][by4][t.q > 1];
    plan->step.workgroup = t.lanes;
    plan->step.formats[0] = by4 ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    plan->step.formats[1] = wide ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
    return set_grid(caps, plan, t.blocks, s->groups, plan->push.split / t.splits);
}

/* One kernel in all sizes that its variants are made for. */
static bool plan_texel(const struct question *question, const struct kernel *kernel, struct conv_plan *plan)
{
    (void)kernel;
    return !is_tiny(&question->sizes) && (question->direction == CONV_WEIGHT_GRAD ? plan_weight_texel(question, plan)
                                                                                   : plan_rows_texel(question, plan));
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

enum { DEPTH = 16 }; /* terms that a tiled kernel takes at a time, as in conv_tiled.comp */

/* Tiles of one group in one phase. */
static uint64_t tiles(const struct sizes *s, const struct kernel *kernel)
{
    return up(s->rows, kernel->rows) * up(s->columns, kernel->columns);
}

/* Of groups of few channels, and of batches of small matrices, a tile would compute mostly nothing, and read memory a
 * few bytes at a time. */
static bool fills_tiles(const struct sizes *s)
{
    enum { SMALLEST = 32 };
    const uint64_t filled = lesser(s->rows, SMALLEST) * lesser(s->columns, SMALLEST);
    return s->groups == 1 || filled >= SMALLEST * SMALLEST / 8;
}

/* What one read of an input takes: a piece of 16 bytes where the channels that lie side by side come in these. */
static void set_grains(const struct question *question, uint32_t piece, struct conv_plan *plan)
{
    const struct conv_problem *p = question->problem;
    const uint32_t channels[2] = {question->direction == CONV_INPUT_GRAD ? p->co : p->ci, p->co};
    for (int i = 0; i < 2; i++)
        plan->step.grains[i] = channels[i] % piece == 0 ? piece : 1;
}

/* Tiles that are for other shapes are not even tried: each costs a compilation. Up to `least` columns may be mostly empty. */
static bool suits(const struct kernel *tile, const struct sizes *s, uint32_t least)
{
    const bool too_wide = tile->columns > least && tile->columns >= 2 * s->columns;
    const bool too_tall = tile->rows >= 8 * tile->columns && s->columns > 2ull * tile->columns;
    return !too_wide && !too_tall;
}

static bool plan_tiled(const struct question *question, const struct kernel *kernel, struct conv_plan *plan)
{
    const vkg_device_caps *caps = question->caps;
    const struct conv_problem *p = question->problem;
    const struct sizes *s = &question->sizes;
    const uint32_t threads = kernel->rows / kernel->thread_rows * (kernel->columns / kernel->thread_columns);
    if (!fills_tiles(s) || !suits(kernel, s, 32) || caps->max_workgroup_invocations < threads ||
        caps->max_shared_memory < DEPTH * (kernel->rows + kernel->columns + 8) * 4)
        return false;
    struct sizes cut = *s; /* the terms of one phase */
    if (question->direction == CONV_INPUT_GRAD)
        cut.terms = taps_of_phase(p->kh, p->sh, p->dh) * taps_of_phase(p->kw, p->sw, p->dw) * p->co;
    plan->step.shader = kernel->names[question->direction];
    plan->step.workgroup = threads;
    if (question->direction != CONV_WEIGHT_GRAD)
        plan->step.moments_tile[0] = kernel->rows, plan->step.moments_tile[1] = kernel->columns;
    plan->step.formats[0] = plan->step.formats[1] = FORMAT_STORAGE;
    set_grains(question, 4, plan);
    memcpy(plan->step.constants, plan->step.grains, sizeof plan->step.grains);
    plan->step.constant_count = 2;
    const uint32_t enough = kernel->workgroups ? kernel->workgroups : enough_workgroups(caps);
    return choose_split(caps, &cut, tiles(s, kernel) * s->phases * s->groups, enough, DEPTH, plan) &&
           set_grid(caps, plan, tiles(s, kernel), s->groups, s->phases * plan->push.split);
}

static bool plan_plain(const struct question *question, const struct kernel *kernel, struct conv_plan *plan)
{
    static const char *const texel_names[3] = OF_EACH_DIRECTION("plain_texel");
    const vkg_device_caps *caps = question->caps;
    const struct sizes *s = &question->sizes;
    bool texel = caps->kernels == VKG_KERNELS_TEXEL && texels_fit(caps, s->inputs[0], 1) &&
                 texels_fit(caps, s->inputs[1], 1);
    plan->step.shader = (texel ? texel_names : kernel->names)[question->direction];
    plan->step.workgroup = simple_workgroup(caps);
    plan->step.formats[0] = plan->step.formats[1] = texel ? FORMAT_TEXEL_SCALAR : FORMAT_STORAGE;
    plan->step.epilogue_format = plan->step.formats[0];
    uint64_t workgroups = up(s->outputs, plan->step.workgroup);
    return choose_split(caps, s, workgroups, enough_workgroups(caps), 1, plan) &&
           set_grid(caps, plan, workgroups, 1, plan->push.split);
}

/* --- the table --- */

#define TILED(name, rows, columns, thread_rows, thread_columns, workgroups) \
    {VKG_KERNELS_TILED, plan_tiled, OF_EACH_DIRECTION(name), rows, columns, thread_rows, thread_columns, workgroups}

/* Those of a family are tried in this order; guess() says which comes first where nothing was measured. */
static const struct kernel kernels[] = {
    {VKG_KERNELS_TEXEL, plan_depthwise_texel, OF_EACH_DIRECTION("texel_depthwise")},
    {VKG_KERNELS_TEXEL, plan_texel},
    TILED("tiled", 64, 64, 4, 4, 0),
    TILED("tiled_tall", 128, 64, 8, 4, 0),
    TILED("tiled_half", 64, 32, 4, 4, 0),
    TILED("tiled_small", 32, 32, 4, 4, 0),
    TILED("tiled_broad", 64, 128, 8, 8, 0),
    TILED("tiled_narrow", 256, 16, 4, 4, 0),
    TILED("tiled", 64, 64, 4, 4, 1),
    TILED("tiled_tall", 128, 64, 8, 4, 1),
    TILED("tiled_small", 32, 32, 4, 4, 1),
    TILED("tiled_small", 32, 32, 4, 4, 2048),
    TILED("tiled_tall", 128, 64, 8, 4, 2048),
    {VKG_KERNELS_PLAIN, plan_plain, OF_EACH_DIRECTION("plain")},
};
enum { KERNEL_COUNT = sizeof kernels / sizeof *kernels };

/* Does a tiled kernel of this tile waste little of it, and leave a large device busy? */
static bool is_guessed(const struct question *question, const struct kernel *kernel)
{
    enum { FEW_TILES = 128, MANY_TILES = 512 }; /* fewer than few leave a large device idle; of many the larger tile is the faster */
    static const struct kernel square = {.rows = 64, .columns = 64};
    const struct sizes *s = &question->sizes;
    const uint64_t squares = tiles(s, &square) * s->phases * s->groups;
    const bool narrow = s->columns <= 16 && s->rows >= 1024;
    const uint32_t rows = narrow ? 256 : squares < FEW_TILES ? 32 : squares < MANY_TILES ? 64 : 128;
    const uint32_t columns = narrow ? 16 : squares < FEW_TILES ? 32 : 64;
    return !kernel->workgroups && kernel->rows == rows && kernel->columns == columns;
}

/* Is the plan behind those `count` one of them? */
static bool is_there(const struct conv_plan *plans, uint32_t count)
{
    const struct conv_plan *plan = &plans[count];
    bool found = false;
    for (uint32_t i = 0; i < count; i++)
        found |= plans[i].step.shader == plan->step.shader && plans[i].push.split == plan->push.split &&
                 plans[i].step.workgroup == plan->step.workgroup &&
                 plans[i].step.by_image == plan->step.by_image &&
                 memcmp(plans[i].step.tile, plan->step.tile, sizeof plan->step.tile) == 0;
    return found;
}

/* Adds the kernel's plan where it can run the problem and is not there yet; returns how many there are. */
static uint32_t add_candidate(const struct question *question, const struct kernel *kernel,
                              const struct conv_plan *unfinished, struct conv_plan *plans, uint32_t count)
{
    plans[count] = *unfinished;
    return kernel->plan(question, kernel, &plans[count]) && !is_there(plans, count) ? count + 1 : count;
}

static uint32_t add_family(const struct question *question, vkg_kernel_family family,
                           const struct conv_plan *unfinished, struct conv_plan *plans, uint32_t count)
{
    for (uint32_t k = 0; k < KERNEL_COUNT && family == VKG_KERNELS_TILED; k++)
        if (kernels[k].family == family && is_guessed(question, &kernels[k]))
            count = add_candidate(question, &kernels[k], unfinished, plans, count);
    for (uint32_t k = 0; k < KERNEL_COUNT; k++)
        if (kernels[k].family == family)
            count = add_candidate(question, &kernels[k], unfinished, plans, count);
    return count;
}

/* Along one axis: pairs of an output and a tap that lies inside of the input. */
static double pairs_inside(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t padding, uint32_t dilation)
{
    double pairs = 0;
    for (uint32_t k = 0; k < kernel; k++) {
        /* first ≤ output < end, where 0 ≤ output · stride + place < in */
        const int64_t place = (int64_t)k * dilation - padding;
        const int64_t first = place < 0 ? (-place + stride - 1) / stride : 0;
        const int64_t inside = place < in ? (in - 1 - place) / stride + 1 : 0, end = inside < out ? inside : out;
        pairs += end > first ? (double)(end - first) : 0;
    }
    return pairs;
}

static double flops_of(const struct conv_problem *p)
{
    return 2.0 * p->groups * p->n * p->co * p->ci * pairs_inside(p->ih, p->oh, p->kh, p->sh, p->ph, p->dh) *
           pairs_inside(p->iw, p->ow, p->kw, p->sw, p->pw, p->dw);
}

/* The plan before a kernel has made it its own. */
static struct conv_plan begin_plan(const struct question *question)
{
    const struct conv_problem *p = question->problem;
    struct conv_plan plan = {
        .dtype = question->dtype,
        .push = {.problem = *p, .chunk = (uint32_t)question->sizes.terms, .split = 1, .lane_columns = 1,
                 .lane_splits = 1},
        .flops = flops_of(p)};
    set_layout(&plan.push);
    return plan;
}

/* --- cooperative matrices --- */

/* Subgroups side by side, of so many matrices each, that take so many terms at a time; `workgroups` as in struct kernel.
 * by_image: the order of rows (lib/conv_product.glsl). */
struct matrix_tile {
    uint32_t subgroup_rows, subgroup_columns, fragment_rows, fragment_columns, depth, workgroups;
    bool by_image;
    enum { SMALL = 1, LARGE = 2, ANY = SMALL | LARGE } likely; /* for problems of this size; the others are not worth a trial */
};

/* The specialisation constants of conv_coopmat.comp from 2 on. */
static void set_matrix_constants(const vkg_matrix_shape *shape, const struct matrix_tile *t, struct conv_plan *plan)
{
    const uint32_t constants[] = {shape->m, shape->n, shape->k, t->subgroup_rows, t->subgroup_columns, t->fragment_rows,
                                  t->fragment_columns, plan->step.grains[0], plan->step.grains[1], t->depth, t->by_image};
    _Static_assert(sizeof constants <= sizeof plan->step.constants, "room for all");
    memcpy(plan->step.constants, constants, sizeof constants);
    plan->step.constant_count = sizeof constants / sizeof *constants;
    plan->step.specialized = true;
}

/* Of the inputs in shared memory, lines with a gap behind each: along the terms, or where memory has them so along rows or
 * columns. */
static uint32_t matrix_tile_bytes(enum conv_direction direction, uint32_t rows, uint32_t columns, uint32_t depth)
{
    const uint32_t a = direction == CONV_WEIGHT_GRAD ? depth * (rows + 8) : rows * (depth + 8);
    const uint32_t b = direction == CONV_INPUT_GRAD ? columns * (depth + 8) : depth * (columns + 8);
    return 2 * (a + b);
}

/* And when they are summed, of a column of matrices of each subgroup. */
static uint32_t matrix_result_bytes(const vkg_matrix_shape *shape, const struct matrix_tile *t)
{
    return t->subgroup_rows * t->subgroup_columns * t->fragment_rows * shape->m * (shape->n + 4) * 4;
}

static bool plan_matrices(const struct question *question, const vkg_matrix_shape *shape, const struct matrix_tile *t,
                          struct conv_plan *plan)
{
    static const char *const names[2][3] = {OF_EACH_DIRECTION("coopmat_float16"), OF_EACH_DIRECTION("coopmat_bfloat16")};
    const vkg_device_caps *caps = question->caps;
    const struct conv_problem *p = question->problem;
    const struct sizes *s = &question->sizes;
    const uint32_t subgroups = t->subgroup_rows * t->subgroup_columns, threads = subgroups * caps->subgroup_size;
    const struct kernel tile = {.rows = shape->m * t->fragment_rows * t->subgroup_rows,
                                .columns = shape->n * t->fragment_columns * t->subgroup_columns};
    const uint32_t inputs = matrix_tile_bytes(question->direction, tile.rows, tile.columns, t->depth),
                   results = matrix_result_bytes(shape, t);
    const uint32_t others = tile.rows * 4 + threads * 36; /* where rows begin; moments */
    const bool one_order = question->direction == CONV_WEIGHT_GRAD || p->n == 1;
    if (!suits(&tile, s, 64) || (t->by_image && one_order) || threads > caps->max_workgroup_invocations ||
        t->depth % shape->k || threads % (tile.rows / 8) || threads % (tile.columns / 8) || threads % (t->depth / 8) ||
        /* in fours, the results of a column of a subgroup's matrices come out even, and lanes keep to their columns */
        t->fragment_rows * shape->m * shape->n / 4 % caps->subgroup_size || caps->subgroup_size % (shape->n / 4) ||
        (inputs > results ? inputs : results) + others > caps->max_shared_memory)
        return false;
    struct sizes cut = *s; /* the terms of one phase */
    if (question->direction == CONV_INPUT_GRAD)
        cut.terms = taps_of_phase(p->kh, p->sh, p->dh) * taps_of_phase(p->kw, p->sw, p->dw) * p->co;
    plan->step.shader = names[question->dtype == VKG_BFLOAT16][question->direction];
    plan->step.workgroup = threads;
    plan->step.subgroup_size = caps->subgroup_size;
    plan->step.tile[0] = tile.rows, plan->step.tile[1] = tile.columns, plan->step.tile[2] = t->depth;
    plan->step.by_image = t->by_image;
    if (question->direction != CONV_WEIGHT_GRAD)
        plan->step.moments_tile[0] = tile.rows, plan->step.moments_tile[1] = tile.columns;
    plan->step.copies = question->direction != CONV_WEIGHT_GRAD && s->columns % 4 == 0; /* two halves share a word */
    set_grains(question, 8, plan);
    set_matrix_constants(shape, t, plan);
    plan->step.formats[0] = plan->step.formats[1] = FORMAT_STORAGE;
    const uint32_t enough = t->workgroups ? t->workgroups : enough_workgroups(caps);
    return choose_split(caps, &cut, tiles(s, &tile) * s->phases * s->groups, enough, t->depth, plan) &&
           set_grid(caps, plan, tiles(s, &tile), s->groups, s->phases * plan->push.split);
}

static uint32_t add_matrices(const struct question *question, const struct conv_plan *unfinished, struct conv_plan *plans)
{
    /* The best guess first: that for few columns, which suits no others. What was the fastest of large problems, or of small ones, on
     * an H200: the larger a tile, the less is read; where there is little to compute, the sooner it is done the better. */
    static const struct matrix_tile tiles_tried[] = {
        {4, 1, 2, 1, 64, 0, true, ANY},      {2, 2, 2, 2, 32, 1, false, SMALL},   {2, 2, 2, 2, 32, 0, false, SMALL},
        {2, 2, 2, 2, 32, 128, false, SMALL},
        {2, 2, 4, 2, 64, 256, false, ANY},   {2, 2, 4, 4, 64, 256, true, LARGE},  {2, 2, 4, 4, 64, 256, false, LARGE},
        {2, 2, 2, 2, 64, 256, false, LARGE}};
    enum { TILES = sizeof tiles_tried / sizeof *tiles_tried };
    _Static_assert((int)KERNEL_COUNT + (int)TILES <= (int)CONV_MAX_CANDIDATES, "every kernel may be a candidate, and every tile");
    const vkg_matrix_shape none = {0}, shape = question->dtype == VKG_FLOAT16    ? question->caps->matrix_float16
                                               : question->dtype == VKG_BFLOAT16 ? question->caps->matrix_bfloat16
                                                                                 : none;
    const double large = 1e9;
    const uint32_t size = unfinished->flops >= large ? LARGE : SMALL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < 2 * TILES && shape.m; i++) { /* the likely ones, then the others */
        const struct matrix_tile *tile = &tiles_tried[i % TILES];
        const bool unlikely = i >= TILES;
        plans[count] = *unfinished;
        plans[count].unlikely = unlikely;
        if (unlikely == !(tile->likely & size) && plan_matrices(question, &shape, tile, &plans[count]) &&
            !is_there(plans, count))
            count++;
    }
    return count;
}

/* --- all of them --- */

/* Lets a kernel that reads float32 take halves. false: copies of them would not fit into a buffer. */
static bool take_halves(const struct question *question, struct conv_plan *plan)
{
    const vkg_device_caps *caps = question->caps;
    const uint64_t *inputs = question->sizes.inputs;
    enum binding_format *formats = plan->step.formats;
    plan->unpacks = question->dtype != VKG_FLOAT16 || !caps->fp16_texels || formats[0] == FORMAT_STORAGE;
    for (int i = 0; i < 2 && !plan->unpacks; i++)
        formats[i] = formats[i] == FORMAT_TEXEL_VEC4 ? FORMAT_TEXEL_VEC4_HALF : FORMAT_TEXEL_SCALAR_HALF;
    const uint64_t most = inputs[0] > inputs[1] ? inputs[0] : inputs[1];
    return !plan->unpacks || most * 4 <= caps->max_storage_buffer_range;
}

uint32_t conv_candidates(const vkg_device_caps *caps, enum conv_direction direction,
                         const struct conv_problem *problem, vkg_dtype dtype,
                         struct conv_plan plans[CONV_MAX_CANDIDATES + 1])
{
    struct question question = {.caps = caps, .direction = direction, .problem = problem, .dtype = dtype};
    if (!sizes_of(direction, problem, &question.sizes))
        return 0;
    const struct conv_plan unfinished = begin_plan(&question);
    const uint32_t matrices = add_matrices(&question, &unfinished, plans);
    uint32_t count = matrices, kept = matrices;
    if (caps->kernels == VKG_KERNELS_TEXEL)
        count = add_family(&question, VKG_KERNELS_TEXEL, &unfinished, plans, count);
    if (caps->kernels != VKG_KERNELS_PLAIN)
        count = add_family(&question, VKG_KERNELS_TILED, &unfinished, plans, count);
    count = add_family(&question, VKG_KERNELS_PLAIN, &unfinished, plans, count);
    for (uint32_t i = matrices; i < count && dtype != VKG_FLOAT32; i++) {
        plans[kept] = plans[i];
        kept += take_halves(&question, &plans[kept]);
    }
    count = dtype == VKG_FLOAT32 ? count : kept;
    const bool can_finish = direction != CONV_WEIGHT_GRAD && problem->groups == 1 && finish_can(caps, question.sizes.columns);
    for (uint32_t i = 0; i < count; i++)
        plans[i].finishes = can_finish && plans[i].push.split > 1;
    return count;
}
