#include "program/epilogues.h"

#include <stdlib.h>

#include "kernels/tile_moments.h"
#include "ops/convolution.h"
#include "ops/ops.h"

struct search {
    const vkg_graph *graph;
    struct fusion *fusion;
    uint64_t most_elements;
    uint32_t *uses;              /* edges from live nodes, and outputs */
    const vkg_tensor **reader;   /* a live node that reads it */
    bool *stored;                /* read by somebody who reads memory only, and the tensor's own type */
    bool *measured;              /* its columns' deviations are wanted */
    bool *normalised;            /* sums over it, a channel each, are wanted, or over what becomes of its elements */
    const vkg_tensor **halved;   /* the live node that reads it, element for element, and makes halves of it */
};

/* --- who reads whom --- */

/* A sum that leaves each channel its own, as in normalisations and their gradients: a loss is none. */
static bool sums_channels(const vkg_tensor *node)
{
    const vkg_shape *shape = &node->inputs[0]->shape;
    return node->op->kind == OP_REDUCE && shape->rank && shape->dims[shape->rank - 1] > 1 &&
           !(node->attributes.axes >> (shape->rank - 1) & 1);
}

static bool is_normalised_by(const struct search *s, const vkg_tensor *reader, const vkg_tensor *read)
{
    const bool element_by_element = reader->op->kind == OP_POINTWISE && shape_elements(&reader->shape) == shape_elements(&read->shape);
    return sums_channels(reader) || (element_by_element && s->normalised[reader->id]);
}

static void look_at_reader(struct search *s, const vkg_tensor *node)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        const vkg_tensor *storage = tensor_storage(node->inputs[i]);
        const uint32_t read = storage->id;
        s->uses[read]++;
        s->reader[read] = node;
        s->stored[read] |= !fused_can_compute(node);
        s->measured[read] |= node->op == &op_deviations && moments_are_of_columns(node);
        s->normalised[read] |= is_normalised_by(s, node, storage);
        if (dtype_is_half(node->dtype) && is_cast(node))
            s->halved[read] = node;
    }
}

/* The latest first, as what becomes of a result says what it is. */
static void look_at_readers(struct search *s)
{
    const vkg_graph *graph = s->graph;
    for (size_t id = graph->tensor_count; id-- > 0;)
        if (s->fusion->live[id])
            look_at_reader(s, s->fusion->nodes[id]);
    for (size_t i = 0; i < graph->output_count; i++) {
        const uint32_t read = tensor_storage(graph->outputs[i].tensor)->id;
        s->uses[read]++;
        s->stored[read] = true;
    }
}

/* The node that alone reads the tensor, element for element; NULL: there is none. Its input i: which one that is. */
static const vkg_tensor *sole_reader(const struct search *s, const vkg_tensor *tensor, uint32_t *input)
{
    const vkg_tensor *reader = s->uses[tensor->id] == 1 ? s->reader[tensor->id] : NULL;
    if (!reader || reader->op->kind != OP_POINTWISE || reader->dtype != VKG_FLOAT32 ||
        shape_elements(&reader->shape) != shape_elements(&tensor->shape))
        return NULL;
    for (*input = 0; tensor_storage(reader->inputs[*input]) != tensor; ++*input) {}
    return reader;
}

/* Leaves that a layer names behind its convolution are there already, where nothing between them changes state. */
static bool is_older(const vkg_graph *graph, const vkg_tensor *tensor, const vkg_tensor *convolution)
{
    bool older = tensor->id < convolution->id || tensor->op->kind == OP_LEAF;
    for (uint32_t id = convolution->id; id < tensor->id; id++)
        older &= graph->tensors[id]->op->kind != OP_UPDATE && graph->tensors[id]->op != &op_assign;
    return older;
}

/* Does the tensor lie in memory when the convolution runs, whatever becomes of it otherwise? */
static bool is_there(const struct search *s, const vkg_tensor *read, const vkg_tensor *convolution)
{
    const vkg_tensor *storage = tensor_storage(read);
    return is_older(s->graph, storage, convolution) &&
           shape_elements(&read->shape) <= s->most_elements &&
           (!fused_can_compute(storage) || s->stored[storage->id] || s->fusion->finished[storage->id]);
}

/* --- what an epilogue can do --- */

static uint32_t last_dimension(const vkg_tensor *tensor)
{
    return tensor->shape.rank ? tensor->shape.dims[tensor->shape.rank - 1] : 1;
}

/* convolution + bias */
static void take_bias(const struct search *s, const vkg_tensor *convolution, struct epilogue *epilogue)
{
    uint32_t i;
    const vkg_tensor *reader = sole_reader(s, convolution, &i);
    if (!reader || reader->op != &op_add)
        return;
    const vkg_tensor *bias = reader->inputs[1 - i];
    const uint32_t columns = last_dimension(convolution);
    if (shape_elements(&bias->shape) != columns || last_dimension(bias) != columns ||
        last_dimension(reader) != columns || tensor_storage(bias)->dtype != VKG_FLOAT32 || !is_there(s, bias, convolution))
        return;
    epilogue->bias = bias;
    epilogue->result = reader;
    s->stored[tensor_storage(bias)->id] = true;
}

static void take_activation(const struct search *s, struct epilogue *epilogue, const vkg_tensor *before)
{
    uint32_t i;
    const vkg_tensor *reader = sole_reader(s, before, &i);
    if (!reader || (reader->op != &op_relu && reader->op != &op_leaky_relu))
        return;
    epilogue->activates = true;
    epilogue->slope = reader->op == &op_relu ? 0 : reader->attributes.p;
    epilogue->result = reader;
}

static bool may_decide(const vkg_tensor *step, const vkg_tensor *convolution)
{
    return step->dtype == VKG_FLOAT32 || (dtype_is_half(step->dtype) && step->dtype == convolution->inputs[0]->dtype);
}

/* before · leaky_step(step) */
static void take_step(const struct search *s, const vkg_tensor *convolution, struct epilogue *epilogue,
                      const vkg_tensor *before)
{
    uint32_t i;
    const vkg_tensor *reader = sole_reader(s, before, &i);
    const vkg_tensor *factor = reader && reader->op == &op_mul ? reader->inputs[1 - i] : NULL;
    if (!factor || factor->op != &op_leaky_step || !shape_equal(&factor->shape, &reader->shape) ||
        !may_decide(factor->inputs[0], convolution) || !is_there(s, factor->inputs[0], convolution))
        return;
    epilogue->step = factor->inputs[0];
    epilogue->step_slope = factor->attributes.p;
    epilogue->result = reader;
    if (s->uses[factor->id] == 1)
        s->fusion->live[factor->id] = false;
}

/* as the halves that the next convolution reads */
static void take_copy(const struct search *s, const vkg_tensor *convolution, struct epilogue *epilogue, const vkg_tensor *latest)
{
    const vkg_tensor *copy = s->halved[latest->id];
    if (copy && copy->dtype == convolution->inputs[0]->dtype)
        epilogue->copy = copy;
}

static const vkg_tensor *latest(const struct epilogue *epilogue, const vkg_tensor *convolution)
{
    return epilogue->result ? epilogue->result : convolution;
}

/* Groups of channels are not finished: a column's place among all of them is not known to every kernel. */
static bool may_finish(const vkg_tensor *node)
{
    enum conv_direction direction;
    return conv_is_node(node, &direction) && direction != CONV_WEIGHT_GRAD && node->attributes.conv.groups == 1;
}

static void find_of(const struct search *s, const vkg_tensor *convolution)
{
    struct epilogue *epilogue = &s->fusion->epilogues[convolution->id];
    take_bias(s, convolution, epilogue);
    take_activation(s, epilogue, latest(epilogue, convolution));
    take_step(s, convolution, epilogue, latest(epilogue, convolution));
    epilogue->moments = s->measured[latest(epilogue, convolution)->id];
    take_copy(s, convolution, epilogue, latest(epilogue, convolution));
    uint32_t i;
    for (const vkg_tensor *node = convolution; epilogue->result && node != epilogue->result; node = sole_reader(s, node, &i))
        s->fusion->live[node->id] = node == convolution;
    if (epilogue->result)
        s->fusion->finished[epilogue->result->id] = true;
    if (epilogue->copy)
        s->fusion->finished[epilogue->copy->id] = true;
}

/* --- what lies in memory as halves --- */

/* A convolution of halves leaves halves, as it does in PyTorch's autocast, where all that read its result can read them, which fused
 * kernels and epilogues do, and where that saves a pass or more: it is read as halves anyway, or it is read to be normalised. */
static void halve_result(const struct search *s, const vkg_tensor *convolution)
{
    const struct epilogue *epilogue = &s->fusion->epilogues[convolution->id];
    const vkg_tensor *result = latest(epilogue, convolution);
    const vkg_dtype dtype = convolution->inputs[0]->dtype;
    if (dtype_is_half(dtype) && !s->stored[result->id] && (epilogue->copy || s->normalised[result->id]))
        s->fusion->memory[result->id] = dtype;
}

/* Slopes are decided by float32 or by halves of the convolution's own type. (Rounding changes no sign; what float16 cannot hold is 0,
 * and has the slope of 0.) */
static void keep_foreign_step(const struct search *s, const vkg_tensor *convolution)
{
    const vkg_tensor *step = s->fusion->epilogues[convolution->id].step;
    vkg_dtype *memory = step ? &s->fusion->memory[tensor_storage(step)->id] : NULL;
    if (step && dtype_is_half(*memory) && *memory != convolution->inputs[0]->dtype)
        *memory = tensor_storage(step)->dtype;
}

static void note_halves(const struct search *s, const vkg_tensor *convolution)
{
    struct epilogue *epilogue = &s->fusion->epilogues[convolution->id];
    epilogue->only_halves = dtype_is_half(s->fusion->memory[latest(epilogue, convolution)->id]);
    epilogue->half_step = epilogue->step && dtype_is_half(s->fusion->memory[tensor_storage(epilogue->step)->id]);
}

static void of_each_convolution(const struct search *s, void (*act)(const struct search *s, const vkg_tensor *convolution))
{
    for (size_t id = 0; id < s->graph->tensor_count; id++)
        if (s->fusion->live[id] && may_finish(s->fusion->nodes[id]))
            act(s, s->fusion->nodes[id]);
}

static void find_all(const struct search *s)
{
    of_each_convolution(s, find_of);
    of_each_convolution(s, halve_result);
    of_each_convolution(s, keep_foreign_step);
    of_each_convolution(s, note_halves);
}

bool epilogues_find(const vkg_graph *graph, uint64_t most_elements, struct fusion *fusion)
{
    const size_t n = graph->tensor_count + 1;
    struct search s = {.graph = graph, .fusion = fusion, .most_elements = most_elements,
                       .uses = calloc(n, sizeof *s.uses), .reader = calloc(n, sizeof *s.reader),
                       .stored = calloc(n, sizeof *s.stored), .normalised = calloc(n, sizeof *s.normalised),
                       .measured = calloc(n, sizeof *s.measured), .halved = calloc(n, sizeof *s.halved)};
    const bool made = s.uses && s.reader && s.stored && s.normalised && s.measured && s.halved;
    if (made) {
        look_at_readers(&s);
        find_all(&s);
    }
    free(s.uses);
    free(s.reader);
    free(s.stored);
    free(s.normalised);
    free(s.measured);
    free(s.halved);
    return made;
}
