#include "kernels/convolution.h"

#include <string.h>

#include "kernels/convolution_plan.h"
#include "kernels/finish.h"
#include "kernels/workgroup.h"

/* --- sizes --- */

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

bool conv_set_grid(const vkg_device_caps *caps, struct conv_plan *plan, uint64_t blocks, uint64_t groups, uint64_t z)
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

uint32_t conv_enough_workgroups(const vkg_device_caps *caps)
{
    return caps->type == VKG_DEVICE_CPU ? 16 : 512;
}

bool conv_choose_split(const vkg_device_caps *caps, const struct sizes *s, uint64_t workgroups, uint32_t enough,
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

bool conv_texels_fit(const vkg_device_caps *caps, uint64_t elements, uint32_t width)
{
    return up(elements, width) <= caps->max_texel_buffer_elements;
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

void conv_set_grains(const struct question *question, uint32_t piece, struct conv_plan *plan)
{
    const struct conv_problem *p = question->problem;
    const uint32_t channels[2] = {question->direction == CONV_INPUT_GRAD ? p->co : p->ci, p->co};
    for (int i = 0; i < 2; i++)
        plan->step.grains[i] = channels[i] % piece == 0 ? piece : 1;
}

bool conv_suits(const struct kernel *tile, const struct sizes *s, uint32_t least)
{
    const bool too_wide = tile->columns > least && tile->columns >= 2 * s->columns;
    const bool too_tall = tile->rows >= 8 * tile->columns && s->columns > 2ull * tile->columns;
    return !too_wide && !too_tall;
}

bool conv_set_tiles(const struct question *question, const struct kernel *tile, uint32_t depth, struct conv_plan *plan)
{
    const vkg_device_caps *caps = question->caps;
    const struct conv_problem *p = question->problem;
    const struct sizes *s = &question->sizes;
    const uint32_t enough = tile->workgroups ? tile->workgroups : conv_enough_workgroups(caps);
    struct sizes cut = *s; /* the terms of one phase */
    if (question->direction == CONV_INPUT_GRAD)
        cut.terms = taps_of_phase(p->kh, p->sh, p->dh) * taps_of_phase(p->kw, p->sw, p->dw) * p->co;
    return conv_choose_split(caps, &cut, tiles(s, tile) * s->phases * s->groups, enough, depth, plan) &&
           conv_set_grid(caps, plan, tiles(s, tile), s->groups, s->phases * plan->push.split);
}

static bool plan_tiled(const struct question *question, const struct kernel *kernel, struct conv_plan *plan)
{
    const vkg_device_caps *caps = question->caps;
    const struct sizes *s = &question->sizes;
    const uint32_t threads = kernel->rows / kernel->thread_rows * (kernel->columns / kernel->thread_columns);
    if (!fills_tiles(s) || !conv_suits(kernel, s, 32) || caps->max_workgroup_invocations < threads ||
        caps->max_shared_memory < DEPTH * (kernel->rows + kernel->columns + 8) * 4)
        return false;
    plan->step.shader = kernel->names[question->direction];
    plan->step.workgroup = threads;
    if (question->direction != CONV_WEIGHT_GRAD)
        plan->step.moments_tile[0] = kernel->rows, plan->step.moments_tile[1] = kernel->columns;
    plan->step.formats[0] = plan->step.formats[1] = FORMAT_STORAGE;
    conv_set_grains(question, 4, plan);
    memcpy(plan->step.constants, plan->step.grains, sizeof plan->step.grains);
    plan->step.constant_count = 2;
    return conv_set_tiles(question, kernel, DEPTH, plan);
}

static bool plan_plain(const struct question *question, const struct kernel *kernel, struct conv_plan *plan)
{
    static const char *const texel_names[3] = OF_EACH_DIRECTION("plain_texel");
    const vkg_device_caps *caps = question->caps;
    const struct sizes *s = &question->sizes;
    bool texel = caps->kernels == VKG_KERNELS_TEXEL && conv_texels_fit(caps, s->inputs[0], 1) &&
                 conv_texels_fit(caps, s->inputs[1], 1);
    plan->step.shader = (texel ? texel_names : kernel->names)[question->direction];
    plan->step.workgroup = simple_workgroup(caps);
    plan->step.formats[0] = plan->step.formats[1] = texel ? FORMAT_TEXEL_SCALAR : FORMAT_STORAGE;
    plan->step.epilogue_format = plan->step.formats[0];
    uint64_t workgroups = up(s->outputs, plan->step.workgroup);
    return conv_choose_split(caps, s, workgroups, conv_enough_workgroups(caps), 1, plan) &&
           conv_set_grid(caps, plan, workgroups, 1, plan->push.split);
}

/* --- the table --- */

#define TILED(name, rows, columns, thread_rows, thread_columns, workgroups) \
    {VKG_KERNELS_TILED, plan_tiled, OF_EACH_DIRECTION(name), rows, columns, thread_rows, thread_columns, workgroups}

/* Those of a family are tried in this order; is_guessed() says which comes first where nothing was measured. */
static const struct kernel kernels[] = {
    {VKG_KERNELS_TEXEL, conv_plan_depthwise_texel, OF_EACH_DIRECTION("texel_depthwise")},
    {VKG_KERNELS_TEXEL, conv_plan_texel},
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
_Static_assert((int)KERNEL_COUNT + (int)CONV_MOST_MATRICES <= (int)CONV_MAX_CANDIDATES, "every kernel may be a candidate");

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

bool conv_is_there(const struct conv_plan *plans, uint32_t count)
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
    return kernel->plan(question, kernel, &plans[count]) && !conv_is_there(plans, count) ? count + 1 : count;
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
    const uint32_t matrices = conv_add_matrices(&question, &unfinished, plans);
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

/* --- what they cost --- */

static double bytes_of(const struct sizes *s, vkg_dtype dtype)
{
    return (double)vkg_dtype_size(dtype) * (double)(s->inputs[0] + s->inputs[1] + s->outputs);
}

double conv_bytes(enum conv_direction direction, const struct conv_plan *plan)
{
    struct sizes s;
    return sizes_of(direction, &plan->push.problem, &s) ? bytes_of(&s, plan->dtype) : 0;
}

double conv_cost(enum conv_direction direction, const struct conv_plan *plan, double seconds)
{
    const double share = 0.1;
    struct sizes s;
    if (plan->push.split == 1 || !sizes_of(direction, &plan->push.problem, &s))
        return seconds;
    const double parts = (double)plan->push.split * (double)s.outputs * sizeof(float);
    return seconds * (1 + share * parts / bytes_of(&s, plan->dtype));
}
