/* Convolution, its input gradient and its weight gradient: three operations whose gradients are one another. */
#include <stddef.h>
#include <string.h>

#include "ops/convolution.h"

#include "kernels/choice.h"
#include "kernels/finish.h"
#include "kernels/lowering.h"

/* --- the nodes --- */

const enum conv_operand conv_operands[3][3] = {[CONV_FORWARD] = {CONV_X, CONV_W, CONV_Y},
                                               [CONV_INPUT_GRAD] = {CONV_Y, CONV_W, CONV_X},
                                               [CONV_WEIGHT_GRAD] = {CONV_X, CONV_Y, CONV_W}};

static void convolution_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                                 vkg_tensor **gradients)
{
    const struct conv_problem *p = &node->attributes.conv;
    if (wanted[0])
        gradients[0] = conv_in_precision(graph, CONV_INPUT_GRAD, dy, node->inputs[1], p);
    if (wanted[1])
        gradients[1] = conv_in_precision(graph, CONV_WEIGHT_GRAD, node->inputs[0], dy, p);
}

static void input_gradient_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dx, const bool *wanted,
                                    vkg_tensor **gradients)
{
    const struct conv_problem *p = &node->attributes.conv;
    if (wanted[0])
        gradients[0] = conv_in_precision(graph, CONV_FORWARD, dx, node->inputs[1], p);
    if (wanted[1])
        gradients[1] = conv_in_precision(graph, CONV_WEIGHT_GRAD, dx, node->inputs[0], p);
}

static void weight_gradient_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dw, const bool *wanted,
                                     vkg_tensor **gradients)
{
    const struct conv_problem *p = &node->attributes.conv;
    if (wanted[0])
        gradients[0] = conv_in_precision(graph, CONV_INPUT_GRAD, node->inputs[1], dw, p);
    if (wanted[1])
        gradients[1] = conv_in_precision(graph, CONV_FORWARD, node->inputs[0], dw, p);
}

uint32_t conv_node_candidates(const vkg_device_caps *caps, const vkg_tensor *node, enum conv_direction direction,
                              const struct epilogue *epilogue, struct conv_plan plans[CONV_MAX_CANDIDATES + 1])
{
    const uint32_t count = conv_candidates(caps, direction, &node->attributes.conv, node->inputs[0]->dtype, plans);
    for (uint32_t i = 0; i < count; i++) {
        const struct conv_step *step = &plans[i].step;
        const bool whole = plans[i].push.split == 1, writes_halves = whole ? step->copies : dtype_is_half(plans[i].dtype);
        uint32_t able = EPILOGUE_OF_ALL;
        plans[i].finishes &= epilogue_wanted(epilogue) != 0;
        const bool finish_moments = plans[i].finishes && !caps->shared_sizes_fixed;
        able |= finish_moments || (whole && step->moments_tile[0]) ? EPILOGUE_MOMENTS : 0;
        able |= (plans[i].finishes || whole) && writes_halves ? EPILOGUE_COPY | EPILOGUE_ONLY_COPY | EPILOGUE_HALF_STEP : 0;
        plans[i].epilogue = epilogue_wanted(epilogue) & able;
    }
    return count;
}

/* The candidate that runs a node. */
static vkg_result choose_plan(const struct lowering *lowering, const vkg_tensor *node, enum conv_direction direction,
                              struct conv_plan *plan)
{
    struct conv_plan plans[CONV_MAX_CANDIDATES + 1];
    const vkg_device_caps *caps = &lowering->device->caps;
    const uint32_t count = conv_node_candidates(caps, node, direction, &lowering->epilogues[node->id], plans);
    if (!count)
        return vkg_fail(&lowering->device->log, VKG_ERROR_UNSUPPORTED, "%s of shape %s, of %s: no kernel can run it on %s",
                        node->op->name, SHAPE(&node->shape), vkg_dtype_name(node->inputs[0]->dtype), caps->name);
    *plan = plans[lowering->candidate == CANDIDATE_CHOSEN ? conv_choose(lowering->device, direction, plans, count)
                  : lowering->candidate < count           ? lowering->candidate
                                                          : count - 1];
    return VKG_OK;
}

/* Copies of inputs of halves as float32, which live until the node's kernel has read them. */
static vkg_result unpack_inputs(struct lowering *lowering, const vkg_tensor *node, struct placement floats[2])
{
    vkg_result result = VKG_OK;
    for (int i = 0; i < 2 && result == VKG_OK; i++)
        result = lowering_unpack_halves(lowering, node->inputs[i], &floats[i]);
    return result;
}

/* Starts the kernel's dispatch, its inputs bound. */
static vkg_result add_dispatch(struct lowering *lowering, const vkg_tensor *node, const struct conv_plan *plan,
                               struct dispatch **added)
{
    const struct epilogue *epilogue = &lowering->epilogues[node->id];
    struct placement floats[2];
    struct conv_push push = plan->push;
    vkg_result result = plan->unpacks ? unpack_inputs(lowering, node, floats) : VKG_OK;
    if (result != VKG_OK)
        return result;
    struct dispatch *dispatch = lowering_add_dispatch(lowering, plan->step.shader, shader_find(plan->step.shader));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    for (uint32_t i = 0; i < 2 && result == VKG_OK; i++)
        if (plan->unpacks)
            dispatch_bind(dispatch, floats[i], shape_elements(&node->inputs[i]->shape) * 4, plan->step.formats[i], true, false);
        else
            result = lowering_bind_tensor(lowering, dispatch, node->inputs[i], plan->step.formats[i], true, false);
    memcpy(dispatch->groups, plan->step.groups, sizeof plan->step.groups);
    dispatch->constants[0] = plan->step.workgroup;
    dispatch->constants[1] = plan->push.split == 1 ? plan->epilogue : 0;
    memcpy(dispatch->constants + 2, plan->step.constants, plan->step.constant_count * sizeof plan->step.constants[0]);
    dispatch->constant_count = 2 + plan->step.constant_count;
    dispatch->subgroup_size = plan->step.subgroup_size;
    dispatch->flops = plan->flops * (double)node->attributes.p;
    push.slope = epilogue->slope;
    push.step_slope = epilogue->step_slope;
    dispatch_push(dispatch, &push, sizeof push);
    if (plan->step.specialized) {
        memcpy(dispatch->constants + dispatch->constant_count, &push, offsetof(struct conv_push, slope));
        dispatch->constant_count += offsetof(struct conv_push, slope) / sizeof dispatch->constants[0];
    }
    *added = dispatch;
    return result;
}

/* Binds where a kernel that can leaves the moments of its tiles, if that is wanted; and notes it. */
static vkg_result bind_moments(struct lowering *lowering, const vkg_tensor *written, const struct conv_plan *plan,
                               enum conv_direction direction, struct dispatch *dispatch)
{
    const uint32_t *tile = plan->step.moments_tile;
    if (!tile[0])
        return VKG_OK;
    if (!(plan->epilogue & EPILOGUE_MOMENTS) || plan->finishes) {
        epilogue_bind_nothing(dispatch, 2, FORMAT_STORAGE); /* the result */
        return VKG_OK;
    }
    const struct conv_problem *p = &plan->push.problem;
    const bool forward = direction == CONV_FORWARD;
    const uint32_t columns = forward ? p->co : p->ci, phases = plan->step.groups[2],
                   row_tiles = plan->push.blocks / ((columns + tile[1] - 1) / tile[1]);
    struct tile_moments *moments = &lowering->moments[written->id];
    *moments = (struct tile_moments){
        .parts = phases * row_tiles, .columns = columns,
        .geometry = {p->n, forward ? p->oh : p->ih, forward ? p->ow : p->iw, forward ? 1 : p->sh, forward ? 1 : p->sw,
                     row_tiles, tile[0]}};
    const uint64_t bytes = 2ull * moments->parts * moments->columns * sizeof(float);
    vkg_result result = lowering_add_storage(lowering, STORAGE_TEMPORARY, bytes, &moments->storage);
    if (result == VKG_OK)
        dispatch_bind(dispatch, (struct placement){.storage = moments->storage}, bytes, FORMAT_STORAGE, false, true);
    return result;
}

/* Where a result lies as halves, it lies in its copy, which has a place already where it is an output. A kernel that does not write halves
 * leaves floats elsewhere first. */
static vkg_result place_halves(struct lowering *lowering, const vkg_tensor *written, const vkg_tensor *copy, bool elsewhere,
                               struct placement *floats)
{
    struct placement halves;
    vkg_result result = lowering_place(lowering, copy ? copy : written, &halves);
    if (result == VKG_OK && copy)
        lowering_place_at(lowering, written, halves.storage, halves.offset);
    return result == VKG_OK && elsewhere
               ? lowering_add_storage(lowering, STORAGE_TEMPORARY, shape_elements(&written->shape) * sizeof(float), &floats->storage)
               : result;
}

/* Binds what the kernel writes: the result, or parts of it, or nothing but its copy. */
static vkg_result bind_written(struct lowering *lowering, struct dispatch *dispatch, const struct conv_plan *plan,
                               const vkg_tensor *written, struct partial_results *parts)
{
    if (plan->epilogue & EPILOGUE_ONLY_COPY && !plan->finishes) {
        epilogue_bind_nothing(dispatch, 0, FORMAT_STORAGE);
        return VKG_OK;
    }
    const uint64_t bytes = parts->parts * parts->inner * sizeof(float);
    if (parts->parts == 1)
        return lowering_bind_written(lowering, dispatch, written, parts->floats);
    vkg_result result = lowering_add_storage(lowering, STORAGE_TEMPORARY, bytes, &parts->at.storage);
    if (result == VKG_OK)
        dispatch_bind(dispatch, parts->at, bytes, FORMAT_STORAGE, false, true);
    return result;
}

/* Binds the halves that a kernel can write. */
static vkg_result bind_halves(struct lowering *lowering, const vkg_tensor *halves, const struct conv_plan *plan,
                              struct dispatch *dispatch)
{
    if (plan->epilogue & EPILOGUE_COPY && !plan->finishes)
        return lowering_bind_tensor(lowering, dispatch, halves, FORMAT_STORAGE, false, true);
    if (plan->step.copies)
        epilogue_bind_nothing(dispatch, 0, FORMAT_STORAGE);
    return VKG_OK;
}

/* Makes the halves that the kernel did not write. floats: where it left the result, if that is not where it lies; or NULL. */
static vkg_result pack_result(struct lowering *lowering, const vkg_tensor *written, const struct placement *floats,
                              const vkg_tensor *halves)
{
    struct placement at = {0};
    const vkg_result result = floats ? VKG_OK : lowering_place(lowering, written, &at);
    return result == VKG_OK ? lowering_pack_halves(lowering, floats ? *floats : at, halves) : result;
}

/* Adds the parts, and does what the convolution's kernel could not. */
static vkg_result add_parts(struct lowering *lowering, const vkg_tensor *node, enum conv_direction direction, const struct conv_plan *plan,
                            const struct partial_results *parts, const vkg_tensor *written, const vkg_tensor *halves)
{
    const struct conv_problem *p = &plan->push.problem;
    const bool forward = direction == CONV_FORWARD;
    if (!plan->finishes)
        return lowering_reduce_parts(lowering, parts, written);
    return lower_finish(lowering, &(struct finish){
        .epilogue = &lowering->epilogues[node->id], .constant = plan->epilogue, .parts = (uint32_t)parts->parts, .at = parts->at,
        .step = parts->step, .images = p->n, .height = forward ? p->oh : p->ih, .width = forward ? p->ow : p->iw,
        .halves_type = plan->dtype, .result = written, .halves = halves});
}

/* One kernel writes the result, finished; or parts of it, which another one adds, and finishes. */
static vkg_result lower_convolution(struct lowering *lowering, const vkg_tensor *node, enum conv_direction direction)
{
    static const struct epilogue none = {0};
    const struct epilogue *wanted = &lowering->epilogues[node->id];
    const vkg_tensor *written = wanted->result ? wanted->result : node;
    const vkg_tensor *halves = wanted->copy ? wanted->copy : wanted->only_halves ? written : NULL;
    struct conv_plan plan;
    struct dispatch *dispatch = NULL;
    vkg_result result = choose_plan(lowering, node, direction, &plan);
    if (result != VKG_OK)
        return result;
    const bool whole = plan.push.split == 1, packs = halves && !(plan.epilogue & EPILOGUE_COPY);
    struct placement floats = {0};
    struct partial_results parts = {.outer = 1, .parts = plan.push.split, .inner = shape_elements(&node->shape),
                                    .epilogue = wanted->result ? wanted : NULL,
                                    .floats = wanted->only_halves && packs ? &floats : NULL};
    const bool reads_halves = plan.epilogue & EPILOGUE_HALF_STEP;
    if (wanted->only_halves)
        result = place_halves(lowering, written, wanted->copy, packs, &floats);
    if (result == VKG_OK && !reads_halves)
        result = epilogue_unpack_step(lowering, wanted, &parts.step);
    if (result == VKG_OK)
        result = add_dispatch(lowering, node, &plan, &dispatch);
    if (result == VKG_OK)
        result = bind_written(lowering, dispatch, &plan, written, &parts);
    if (result == VKG_OK && direction != CONV_WEIGHT_GRAD)
        result = epilogue_bind(lowering, dispatch, whole ? wanted : &none, plan.step.epilogue_format,
                               reads_halves ? NULL : &parts.step);
    if (result == VKG_OK)
        result = bind_moments(lowering, written, &plan, direction, dispatch);
    if (result == VKG_OK)
        result = bind_halves(lowering, halves, &plan, dispatch);
    if (result == VKG_OK && !whole)
        result = add_parts(lowering, node, direction, &plan, &parts, written, halves);
    return result == VKG_OK && packs ? pack_result(lowering, written, parts.floats, halves) : result;
}

static vkg_result lower_forward(struct lowering *lowering, const vkg_tensor *node)
{
    return lower_convolution(lowering, node, CONV_FORWARD);
}

static vkg_result lower_input_gradient(struct lowering *lowering, const vkg_tensor *node)
{
    return lower_convolution(lowering, node, CONV_INPUT_GRAD);
}

static vkg_result lower_weight_gradient(struct lowering *lowering, const vkg_tensor *node)
{
    return lower_convolution(lowering, node, CONV_WEIGHT_GRAD);
}

static const struct op convolutions[3] = {
    [CONV_FORWARD] = {.name = "convolution", .kind = OP_KERNEL, .takes_halves = true,
                      .doc = "y[n,oh,ow,co] = Σ x[n, oh·s − p + kh·d, ow·s − p + kw·d, ci] · w[kh,kw,ci,co]",
                      .gradient = convolution_gradient, .lower = lower_forward},
    [CONV_INPUT_GRAD] = {.name = "convolution_input_gradient", .kind = OP_KERNEL, .takes_halves = true,
                         .doc = "the gradient of convolution with respect to x",
                         .gradient = input_gradient_gradient, .lower = lower_input_gradient},
    [CONV_WEIGHT_GRAD] = {.name = "convolution_weight_gradient", .kind = OP_KERNEL, .takes_halves = true,
                          .doc = "the gradient of convolution with respect to w",
                          .gradient = weight_gradient_gradient, .lower = lower_weight_gradient}};

bool conv_is_node(const vkg_tensor *node, enum conv_direction *direction)
{
    for (int d = 0; d < 3; d++)
        if (node->op == &convolutions[d]) {
            *direction = (enum conv_direction)d;
            return true;
        }
    return false;
}

vkg_shape conv_operand_shape(const struct conv_problem *p, enum conv_operand operand)
{
    const uint32_t side_by_side = p->batched ? 1 : p->groups;
    vkg_shape shape = operand == CONV_X   ? VKG_SHAPE(p->groups, p->n, p->ih, p->iw, side_by_side * p->ci)
                      : operand == CONV_Y ? VKG_SHAPE(p->groups, p->n, p->oh, p->ow, side_by_side * p->co)
                                          : VKG_SHAPE(p->groups, p->kh, p->kw, p->ci, side_by_side * p->co);
    if (!p->batched)
        memmove(shape.dims, shape.dims + 1, --shape.rank * sizeof shape.dims[0]);
    return shape;
}

/* float32 operands become the other's halves, so that gradients meet what they belong to, or the graph's precision. */
static vkg_dtype precision_of(const vkg_graph *graph, const vkg_tensor *a, const vkg_tensor *other)
{
    return a->dtype != VKG_FLOAT32 ? a->dtype : dtype_is_half(other->dtype) ? other->dtype : graph->precision;
}

static vkg_tensor *add_node(vkg_graph *graph, enum conv_direction direction, vkg_tensor *a, vkg_tensor *b,
                            const struct conv_problem *p, float useful)
{
    if (a->poisoned || b->poisoned)
        return graph->poison;
    vkg_tensor *inputs[2] = {vkg_cast(graph, a, precision_of(graph, a, b)), vkg_cast(graph, b, precision_of(graph, b, a))};
    return graph_add_node(graph, &(struct node_desc){
        .op = &convolutions[direction], .shape = conv_operand_shape(p, conv_operands[direction][2]), .input_count = 2,
        .inputs = inputs, .attributes = {.conv = *p, .p = useful}});
}

vkg_tensor *conv_node(vkg_graph *graph, enum conv_direction direction, vkg_tensor *a, vkg_tensor *b,
                      const struct conv_problem *p)
{
    return add_node(graph, direction, a, b, p, 1);
}

/* --- halves in pieces --- */

/* Kernels of cooperative matrices read eight halves at a time where these lie side by side, and one by one is several times slower
 * than the products. So channels that do not come in eights get zeros for neighbours, where they are summed or where the lines of a
 * weight or a gradient are so long. */
static struct conv_problem in_pieces(const struct conv_problem *p, enum conv_direction direction)
{
    enum { PIECE = 8 };
    struct conv_problem padded = *p;
    if (p->groups > 1 && !p->batched) /* they lie side by side, and share pieces */
        return padded;
    padded.co = (p->co + PIECE - 1) / PIECE * PIECE;
    if (direction != CONV_INPUT_GRAD)
        padded.ci = (p->ci + PIECE - 1) / PIECE * PIECE;
    return padded;
}

/* Zeros behind the last elements of an axis, or a cut, until it is so long. */
static vkg_tensor *resize_axis(vkg_graph *graph, vkg_tensor *a, uint32_t axis, uint32_t size)
{
    const int32_t behind = a->poisoned ? 0 : (int32_t)size - (int32_t)a->shape.dims[axis];
    return behind == 0 ? a : pad_with_zeros(graph, a, axis, 0, behind);
}

/* An operand of one problem as that of another one, which differs in channels. */
static vkg_tensor *resize_channels(vkg_graph *graph, vkg_tensor *a, enum conv_operand operand, const struct conv_problem *to)
{
    const vkg_shape shape = conv_operand_shape(to, operand);
    for (uint32_t axis = shape.rank - 2; axis < shape.rank; axis++)
        a = resize_axis(graph, a, axis, shape.dims[axis]);
    return a;
}

vkg_tensor *conv_in_precision(vkg_graph *graph, enum conv_direction direction, vkg_tensor *a, vkg_tensor *b,
                              const struct conv_problem *p)
{
    if (a->poisoned || b->poisoned || !dtype_is_half(precision_of(graph, a, b)))
        return conv_node(graph, direction, a, b, p);
    const enum conv_operand *operands = conv_operands[direction];
    const struct conv_problem padded = in_pieces(p, direction);
    const float useful = (float)p->ci * (float)p->co / ((float)padded.ci * (float)padded.co);
    const vkg_dtype dtype = precision_of(graph, a, b);
    a = vkg_cast(graph, resize_channels(graph, a, operands[0], &padded), dtype);
    b = vkg_cast(graph, resize_channels(graph, b, operands[1], &padded), dtype);
    return resize_channels(graph, add_node(graph, direction, a, b, &padded, useful), operands[2], p);
}

/* --- the public calls --- */

static vkg_tensor *convolve(vkg_graph *graph, enum conv_direction direction, vkg_tensor *a, vkg_tensor *b,
                            const struct conv_space *space)
{
    const enum conv_operand *operands = conv_operands[direction];
    const struct conv_problem p = conv_plane_problem(space);
    a = conv_to_plane(graph, space, operands[0], a);
    b = conv_to_plane(graph, space, operands[1], b);
    return conv_from_plane(graph, space, operands[2], conv_in_precision(graph, direction, a, b, &p));
}

/* A size of every dimension of the convolution, for messages. */
static vkg_shape listed(const struct conv_space *s, const uint32_t sizes[3])
{
    vkg_shape list = {.rank = s->rank};
    memcpy(list.dims, sizes + 3 - s->rank, s->rank * sizeof sizes[0]);
    return list;
}

/* Fills rank, groups, stride, padding and dilation, with their defaults. false: the ranks are not those of a
 * convolution's tensors, or a number is so large that the kernels' int would overflow. */
static bool begin_space(vkg_graph *graph, const char *call, const vkg_tensor *a, const vkg_tensor *b,
                        const vkg_conv_geometry *g, struct conv_space *s)
{
    if (a->poisoned || b->poisoned)
        return false;
    if (a->shape.rank < 3 || a->shape.rank > 5 || a->shape.rank != b->shape.rank) {
        graph_fail(graph, "%s: %s and %s must both have 3, 4 or 5 dimensions", call, SHAPE(&a->shape),
                   SHAPE(&b->shape));
        return false;
    }
    *s = (struct conv_space){.rank = a->shape.rank - 2, .groups = g->groups ? g->groups : 1};
    for (uint32_t i = 0; i < 3; i++) {
        const bool there = i + s->rank >= 3;
        const uint32_t from = there ? i + s->rank - 3 : 0;
        s->in[i] = s->out[i] = s->kernel[i] = 1;
        s->stride[i] = there && g->stride[from] ? g->stride[from] : 1;
        s->padding[i] = there ? g->padding[from] : 0;
        s->dilation[i] = there && g->dilation[from] ? g->dilation[from] : 1;
        if (s->stride[i] > INT16_MAX || s->padding[i] > INT16_MAX || s->dilation[i] > INT16_MAX) {
            graph_fail(graph, "%s: stride %u, padding %u or dilation %u is more than %d", call, s->stride[i],
                       s->padding[i], s->dilation[i], INT16_MAX);
            return false;
        }
    }
    return true;
}

static void take_sizes(const struct conv_space *s, uint32_t to[3], const uint32_t *sizes)
{
    memcpy(to + 3 - s->rank, sizes, s->rank * sizeof sizes[0]);
}

/* The output size along one dimension, or 0 where the kernel does not fit into the padded input. */
static uint32_t output_size(const struct conv_space *s, uint32_t i)
{
    const uint64_t extent = (uint64_t)s->dilation[i] * (s->kernel[i] - 1) + 1;
    const uint64_t padded = s->in[i] + 2 * (uint64_t)s->padding[i];
    return padded < extent || padded > INT32_MAX ? 0 : (uint32_t)((padded - extent) / s->stride[i] + 1);
}

static bool output_sizes_agree(const struct conv_space *s)
{
    return s->out[0] && s->out[1] && s->out[2] && output_size(s, 0) == s->out[0] && output_size(s, 1) == s->out[1] &&
           output_size(s, 2) == s->out[2];
}

/* Shares a tensor's channels out to the groups; 0, with a message, where they cannot be. */
static uint32_t channels_of_group(vkg_graph *graph, const char *call, const struct conv_space *s, const vkg_tensor *a)
{
    uint32_t channels = a->shape.dims[a->shape.rank - 1];
    if (channels % s->groups == 0)
        return channels / s->groups;
    graph_fail(graph, "%s: the %u channels of %s are not a multiple of %u groups", call, channels, SHAPE(&a->shape),
               s->groups);
    return 0;
}

vkg_tensor *vkg_convolution(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight, vkg_conv_geometry geometry)
{
    static const char call[] = "convolution";
    struct conv_space s;
    if (!begin_space(graph, call, x, weight, &geometry, &s))
        return graph->poison;
    const uint32_t *xd = x->shape.dims, *wd = weight->shape.dims;
    s.n = xd[0], s.ci = wd[s.rank];
    if (xd[1 + s.rank] != (uint64_t)s.ci * s.groups)
        return graph_fail(graph, "%s: input has %u channels in %s, weight %s expects %llu (groups: %u)", call,
                          xd[1 + s.rank], SHAPE(&x->shape), SHAPE(&weight->shape),
                          (unsigned long long)s.ci * s.groups, s.groups);
    if (!(s.co = channels_of_group(graph, call, &s, weight)))
        return graph->poison;
    take_sizes(&s, s.in, xd + 1);
    take_sizes(&s, s.kernel, wd);
    const vkg_shape padding = listed(&s, s.padding), dilation = listed(&s, s.dilation);
    for (uint32_t i = 0; i < 3; i++)
        if (!(s.out[i] = output_size(&s, i)))
            return graph_fail(graph, "%s: the kernel of weight %s with dilation %s is larger than input %s with "
                                     "padding %s", call, SHAPE(&weight->shape), SHAPE(&dilation), SHAPE(&x->shape),
                              SHAPE(&padding));
    return convolve(graph, CONV_FORWARD, x, weight, &s);
}

/* y is not what a convolution makes of an input: tells everything that decides its size. */
static vkg_tensor *fail_sizes(vkg_graph *graph, const char *call, const struct conv_space *s, const vkg_tensor *y)
{
    const vkg_shape in = listed(s, s->in), kernel = listed(s, s->kernel), stride = listed(s, s->stride),
                    padding = listed(s, s->padding), dilation = listed(s, s->dilation);
    return graph_fail(graph, "%s: output %s is not what a kernel of %s makes of %u inputs of %s (stride %s, "
                             "padding %s, dilation %s)", call, SHAPE(&y->shape), SHAPE(&kernel), s->n, SHAPE(&in), SHAPE(&stride),
                      SHAPE(&padding), SHAPE(&dilation));
}

vkg_tensor *vkg_convolution_input_gradient(vkg_graph *graph, vkg_tensor *y, vkg_tensor *weight,
                                           vkg_conv_geometry geometry, const uint32_t *size)
{
    static const char call[] = "convolution_input_gradient";
    struct conv_space s;
    if (!begin_space(graph, call, y, weight, &geometry, &s))
        return graph->poison;
    const uint32_t *yd = y->shape.dims, *wd = weight->shape.dims;
    s.n = yd[0], s.ci = wd[s.rank];
    if (wd[s.rank + 1] != yd[1 + s.rank])
        return graph_fail(graph, "%s: output has %u channels in %s, weight %s expects %u", call, yd[1 + s.rank],
                          SHAPE(&y->shape), SHAPE(&weight->shape), wd[s.rank + 1]);
    if (!(s.co = channels_of_group(graph, call, &s, y)))
        return graph->poison;
    if ((uint64_t)s.ci * s.groups > INT32_MAX)
        return graph_fail(graph, "%s: %u groups of %u channels are too many", call, s.groups, s.ci);
    take_sizes(&s, s.in, size);
    take_sizes(&s, s.kernel, wd);
    take_sizes(&s, s.out, yd + 1);
    return output_sizes_agree(&s) ? convolve(graph, CONV_INPUT_GRAD, y, weight, &s) : fail_sizes(graph, call, &s, y);
}

vkg_tensor *vkg_convolution_weight_gradient(vkg_graph *graph, vkg_tensor *x, vkg_tensor *y,
                                            vkg_conv_geometry geometry, const uint32_t *kernel)
{
    static const char call[] = "convolution_weight_gradient";
    struct conv_space s;
    if (!begin_space(graph, call, x, y, &geometry, &s))
        return graph->poison;
    const uint32_t *xd = x->shape.dims, *yd = y->shape.dims;
    s.n = xd[0];
    if (!(s.ci = channels_of_group(graph, call, &s, x)) || !(s.co = channels_of_group(graph, call, &s, y)))
        return graph->poison;
    take_sizes(&s, s.in, xd + 1);
    take_sizes(&s, s.kernel, kernel);
    take_sizes(&s, s.out, yd + 1);
    return xd[0] == yd[0] && output_sizes_agree(&s) ? convolve(graph, CONV_WEIGHT_GRAD, x, y, &s)
                                                     : fail_sizes(graph, call, &s, y);
}
