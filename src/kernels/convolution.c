#include "kernels/convolution.h"

/* --- sizes --- */

static uint64_t up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

struct sizes {
    uint64_t x, y, w; /* elements */
    uint64_t rows, columns, summed;
};

static struct sizes sizes_of(enum conv_direction direction, const struct conv_problem *p)
{
    struct sizes s = {.x = (uint64_t)p->n * p->ih * p->iw * p->ci, .y = (uint64_t)p->n * p->oh * p->ow * p->co,
                      .w = (uint64_t)p->kh * p->kw * p->ci * p->co};
    if (direction == CONV_FORWARD)
        s.rows = (uint64_t)p->n * p->oh * p->ow, s.columns = p->co, s.summed = p->ci;
    else if (direction == CONV_INPUT_GRAD)
        s.rows = (uint64_t)p->n * p->ih * p->iw, s.columns = p->ci, s.summed = p->co;
    else
        s.rows = (uint64_t)p->kh * p->kw * p->ci, s.columns = p->co, s.summed = (uint64_t)p->n * p->oh * p->ow;
    return s;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Rows of the largest phase of input_grad: places that are equal modulo the stride. */
static uint64_t phase_rows(const struct conv_problem *p)
{
    return (uint64_t)p->n * up(p->ih, p->sh) * up(p->iw, p->sw);
}

/* --- grids --- */

static bool set_grid(const vkg_device_caps *caps, struct conv_step *step, uint64_t x, uint64_t y, uint64_t z)
{
    step->groups[0] = (uint32_t)x, step->groups[1] = (uint32_t)y, step->groups[2] = (uint32_t)z;
    return x <= caps->max_workgroup_count[0] && y <= caps->max_workgroup_count[1] && z <= caps->max_workgroup_count[2];
}

/* One-dimensional, folded over y. */
static bool set_folded_grid(const vkg_device_caps *caps, struct conv_step *step, uint64_t groups, uint64_t z)
{
    uint64_t y = up(groups, caps->max_workgroup_count[0]);
    return set_grid(caps, step, up(groups, y), y, z);
}

/* Weight gradients sum over many places into few results: cut the places so that `groups` workgroups become
 * enough for the device, and no invocation loops for longer than the driver lets it. */
static void choose_split(const vkg_device_caps *caps, const struct conv_problem *p, uint64_t groups, uint64_t loops,
                         struct conv_plan *plan)
{
    uint64_t places = (uint64_t)p->oh * p->ow, wanted = caps->type == VKG_DEVICE_CPU ? 16 : 512;
    uint64_t split = up(wanted, groups);
    split = split < up(places, 4) ? split : up(places, 4); /* parts of less are not worth their sum */
    uint64_t chunk = up(places, split), most = caps->max_loop_iterations / greater(loops, 1);
    chunk = chunk < most ? chunk : greater(most, 1);
    plan->push.chunk = (uint32_t)chunk;
    plan->push.split = (uint32_t)up(places, chunk);
}

/* --- texel family --- */

static bool texels_fit(const vkg_device_caps *caps, uint64_t elements, uint32_t width)
{
    return up(elements, width) <= caps->max_texel_buffer_elements;
}

/* The widest tile that the columns fill: lanes · q · 4 of them. */
static uint32_t tile_width(uint64_t columns, uint32_t lanes)
{
    return columns > 8ull * lanes ? 4 : columns > 4ull * lanes ? 2 : 1;
}

enum { ROWS = 16 }; /* R of the texel shaders */

static bool plan_rows_texel(const vkg_device_caps *caps, enum conv_direction direction, const struct conv_problem *p,
                            struct conv_plan *plan)
{
    static const char *const names[2][2][3] = {
        {{"conv_forward_texel_q1", "conv_forward_texel_q2", "conv_forward_texel_q4"},
         {"conv_forward_texel_few_q1", "conv_forward_texel_few_q2", "conv_forward_texel_few_q4"}},
        {{"conv_input_grad_texel_q1", "conv_input_grad_texel_q2", "conv_input_grad_texel_q4"},
         {"conv_input_grad_texel_few_q1", "conv_input_grad_texel_few_q2", "conv_input_grad_texel_few_q4"}}};
    struct sizes s = sizes_of(direction, p);
    bool few = s.summed % 4 != 0;
    uint64_t source = direction == CONV_FORWARD ? s.x : s.y;
    if (s.columns % 4 != 0 || (few && direction == CONV_INPUT_GRAD && p->co != 1) || !texels_fit(caps, s.w, 4) ||
        !texels_fit(caps, source, few ? 1 : 4))
        return false;
    uint32_t lanes = caps->subgroup_size, q = tile_width(s.columns, lanes);
    uint64_t rows = direction == CONV_FORWARD ? s.rows : phase_rows(p);
    plan->step.shader = names[direction][few][q / 2];
    plan->step.workgroup = lanes;
    plan->step.formats[0] = few ? FORMAT_TEXEL_SCALAR : FORMAT_TEXEL_VEC4;
    plan->step.formats[1] = FORMAT_TEXEL_VEC4;
    return set_grid(caps, &plan->step, up(s.columns, (uint64_t)lanes * q * 4), up(rows, ROWS),
                    direction == CONV_FORWARD ? 1 : (uint64_t)p->sh * p->sw);
}

static bool plan_narrow_texel(const vkg_device_caps *caps, enum conv_direction direction, const struct conv_problem *p,
                              struct conv_plan *plan)
{
    struct sizes s = sizes_of(direction, p);
    uint64_t source = direction == CONV_FORWARD ? s.x : s.y;
    if (s.summed % 4 != 0 || (direction == CONV_FORWARD && p->co != 1) || !texels_fit(caps, source, 4) ||
        !texels_fit(caps, s.w, 4))
        return false;
    uint64_t rows = direction == CONV_FORWARD ? s.rows : phase_rows(p);
    plan->step.shader = direction == CONV_FORWARD ? "conv_forward_texel_narrow" : "conv_input_grad_texel_narrow";
    plan->step.workgroup = caps->subgroup_size;
    plan->step.formats[0] = plan->step.formats[1] = FORMAT_TEXEL_VEC4;
    return set_folded_grid(caps, &plan->step, up(rows, plan->step.workgroup),
                           direction == CONV_FORWARD ? 1 : (uint64_t)p->sh * p->sw * up(p->ci, 4));
}

static bool plan_weight_texel(const vkg_device_caps *caps, const struct conv_problem *p, struct conv_plan *plan)
{
    static const char *const names[2][3] = {
        {"conv_weight_grad_texel_q1", "conv_weight_grad_texel_q2", "conv_weight_grad_texel_q4"},
        {"conv_weight_grad_texel_few_q1", "conv_weight_grad_texel_few_q2", "conv_weight_grad_texel_few_q4"}};
    struct sizes s = sizes_of(CONV_WEIGHT_GRAD, p);
    bool few = p->ci % 4 != 0;
    if (p->co % 4 != 0 || !texels_fit(caps, s.x, few ? 1 : 4) || !texels_fit(caps, s.y, 4))
        return false;
    uint32_t lanes = caps->subgroup_size, q = tile_width(p->co, lanes);
    uint64_t blocks = few ? up(s.rows, ROWS) : (uint64_t)p->kh * p->kw * up(p->ci, ROWS);
    uint64_t columns = up(p->co, (uint64_t)lanes * q * 4);
    plan->step.shader = names[few][q / 2];
    plan->step.workgroup = lanes;
    plan->step.formats[0] = few ? FORMAT_TEXEL_SCALAR : FORMAT_TEXEL_VEC4;
    plan->step.formats[1] = FORMAT_TEXEL_VEC4;
    choose_split(caps, p, columns * blocks, (uint64_t)p->n + 1, plan);
    return set_grid(caps, &plan->step, columns, blocks, plan->push.split);
}

static bool plan_weight_narrow_texel(const vkg_device_caps *caps, const struct conv_problem *p, struct conv_plan *plan)
{
    struct sizes s = sizes_of(CONV_WEIGHT_GRAD, p);
    if (p->co != 1 || p->ci % 4 != 0 || !texels_fit(caps, s.x, 4) || !texels_fit(caps, s.y, 1))
        return false;
    plan->step.shader = "conv_weight_grad_texel_narrow";
    plan->step.workgroup = caps->subgroup_size;
    plan->step.formats[0] = FORMAT_TEXEL_VEC4;
    plan->step.formats[1] = FORMAT_TEXEL_SCALAR;
    uint64_t groups = up(s.rows / 4, plan->step.workgroup);
    choose_split(caps, p, groups, (uint64_t)p->n + 1, plan);
    return set_folded_grid(caps, &plan->step, groups, plan->push.split);
}

static bool plan_texel(const vkg_device_caps *caps, enum conv_direction direction, const struct conv_problem *p,
                       struct conv_plan *plan)
{
    if (direction == CONV_WEIGHT_GRAD)
        return plan_weight_texel(caps, p, plan) || plan_weight_narrow_texel(caps, p, plan);
    return plan_rows_texel(caps, direction, p, plan) || plan_narrow_texel(caps, direction, p, plan);
}

/* --- tiled and plain families --- */

static bool plan_tiled(const vkg_device_caps *caps, enum conv_direction direction, const struct conv_problem *p,
                       struct conv_plan *plan)
{
    enum { TILE = 64, THREADS = 256, SHARED_BYTES = 2 * 16 * 65 * 4 };
    static const char *const names[3] = {"conv_forward_tiled", "conv_input_grad_tiled", "conv_weight_grad_tiled"};
    struct sizes s = sizes_of(direction, p);
    if (caps->max_workgroup_invocations < THREADS || caps->max_shared_memory < SHARED_BYTES)
        return false;
    uint64_t rows = direction == CONV_INPUT_GRAD ? phase_rows(p) : s.rows, z = 1;
    plan->step.shader = names[direction];
    plan->step.workgroup = THREADS;
    plan->step.formats[0] = plan->step.formats[1] = FORMAT_STORAGE;
    if (direction == CONV_INPUT_GRAD)
        z = (uint64_t)p->sh * p->sw;
    if (direction == CONV_WEIGHT_GRAD) {
        choose_split(caps, p, up(rows, TILE) * up(s.columns, TILE), p->n * 2ull, plan);
        z = plan->push.split;
    }
    return set_grid(caps, &plan->step, up(s.columns, TILE), up(rows, TILE), z);
}

static bool plan_plain(const vkg_device_caps *caps, enum conv_direction direction, const struct conv_problem *p,
                       struct conv_plan *plan)
{
    static const char *const names[2][3] = {
        {"conv_forward_plain", "conv_input_grad_plain", "conv_weight_grad_plain"},
        {"conv_forward_plain_texel", "conv_input_grad_plain_texel", "conv_weight_grad_plain_texel"}};
    struct sizes s = sizes_of(direction, p);
    bool texel = caps->kernels == VKG_KERNELS_TEXEL && texels_fit(caps, s.x, 1) && texels_fit(caps, s.y, 1) &&
                 texels_fit(caps, s.w, 1);
    uint64_t count = direction == CONV_FORWARD ? s.y : direction == CONV_INPUT_GRAD ? s.x : s.w;
    plan->step.shader = names[texel][direction];
    plan->step.workgroup = caps->type == VKG_DEVICE_CPU ? 32 : 128;
    plan->step.formats[0] = plan->step.formats[1] = texel ? FORMAT_TEXEL_SCALAR : FORMAT_STORAGE;
    uint64_t loops = (uint64_t)p->kh * p->kw * (s.summed + 2);
    if (direction == CONV_WEIGHT_GRAD)
        choose_split(caps, p, up(count, plan->step.workgroup), (uint64_t)p->n + 1, plan);
    else if (loops > caps->max_loop_iterations)
        return false;
    return set_folded_grid(caps, &plan->step, up(count, plan->step.workgroup), plan->push.split);
}

vkg_result conv_plan_build(const vkg_device_caps *caps, enum conv_direction direction,
                           const struct conv_problem *problem, struct conv_plan *plan)
{
    *plan = (struct conv_plan){.push = {.problem = *problem, .chunk = problem->oh * problem->ow, .split = 1}};
    plan->flops = 2.0 * problem->n * problem->oh * problem->ow * problem->co * problem->ci * problem->kh * problem->kw;
    bool planned = (caps->kernels == VKG_KERNELS_TEXEL && plan_texel(caps, direction, problem, plan)) ||
                   (caps->kernels == VKG_KERNELS_TILED && plan_tiled(caps, direction, problem, plan));
    if (!planned) {
        plan->push.chunk = problem->oh * problem->ow;
        plan->push.split = 1;
        planned = plan_plain(caps, direction, problem, plan);
    }
    return planned ? VKG_OK : VKG_ERROR_UNSUPPORTED;
}
