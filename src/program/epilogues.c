#include "program/epilogues.h"

#include <stdlib.h>

#include "kernels/tile_moments.h"
#include "ops/convolution.h"
#include "ops/ops.h"

struct search {
    const vkg_graph *graph;
    bool *live;
    const bool *finished;
    uint64_t most_elements;
    uint32_t *uses;              /* edges from live nodes, and outputs */
    const vkg_tensor **reader;   /* the last live node that reads it */
    bool *stored;                /* read by a node that reads memory only */
    bool *measured;              /* its columns' deviations are wanted */
    const vkg_tensor **halved;   /* the live node that reads it, element for element, and makes halves of it */
    uint32_t *decides;           /* so many slopes of epilogues that nobody else asks for */
    const vkg_tensor **copied;   /* the halves that are all that is kept of it */
};

/* --- who reads whom --- */

static void look_at_readers(struct search *s)
{
    const vkg_graph *graph = s->graph;
    for (size_t id = 0; id < graph->tensor_count; id++) {
        const vkg_tensor *node = graph->tensors[id];
        for (uint32_t i = 0; s->live[id] && i < node->input_count; i++) {
            const uint32_t read = tensor_storage(node->inputs[i])->id;
            s->uses[read]++;
            s->reader[read] = node;
            s->stored[read] |= !fused_can_compute(node);
            s->measured[read] |= node->op == &op_deviations && moments_are_of_columns(node);
            if (vkg_dtype_size(node->dtype) == 2 && is_cast(node))
                s->halved[read] = node;
        }
    }
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
           (!fused_can_compute(storage) || s->stored[storage->id] || s->finished[storage->id]);
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
    return step->dtype == VKG_FLOAT32 || (vkg_dtype_size(step->dtype) == 2 && step->dtype == convolution->inputs[0]->dtype);
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
    if (s->uses[factor->id] == 1) {
        s->live[factor->id] = false;
        s->decides[tensor_storage(factor->inputs[0])->id]++;
    }
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

static void find_of(const struct search *s, const vkg_tensor *convolution, struct epilogue *epilogue)
{
    take_bias(s, convolution, epilogue);
    take_activation(s, epilogue, latest(epilogue, convolution));
    take_step(s, convolution, epilogue, latest(epilogue, convolution));
    epilogue->moments = s->measured[latest(epilogue, convolution)->id];
    take_copy(s, convolution, epilogue, latest(epilogue, convolution));
    uint32_t i;
    for (const vkg_tensor *node = convolution; epilogue->result && node != epilogue->result; node = sole_reader(s, node, &i))
        s->live[node->id] = node == convolution;
}

/* Results that are read as halves, and else only decide slopes, are not kept in float32: their halves can do that, as rounding changes
 * no sign. (What float16 cannot hold is 0 to the next convolution, and has the slope of 0.) */
static void decide_by_copies(const struct search *s, struct epilogue *epilogues)
{
    const vkg_graph *graph = s->graph;
    for (size_t id = 0; id < graph->tensor_count; id++) {
        const vkg_tensor *result = latest(&epilogues[id], graph->tensors[id]);
        const bool only = epilogues[id].copy && s->uses[result->id] == 1 + s->decides[result->id];
        epilogues[id].only_copy = only;
        if (only)
            s->copied[result->id] = epilogues[id].copy;
    }
    for (size_t id = 0; id < graph->tensor_count; id++) {
        const vkg_tensor *step = epilogues[id].step ? tensor_storage(epilogues[id].step) : NULL;
        if (step && s->copied[step->id])
            epilogues[id].step = s->copied[step->id];
    }
}

bool epilogues_find(const vkg_graph *graph, uint64_t most_elements, bool *live, struct epilogue *epilogues, bool *finished)
{
    const size_t n = graph->tensor_count + 1;
    struct search s = {.graph = graph, .live = live, .finished = finished, .most_elements = most_elements,
                       .uses = calloc(n, sizeof *s.uses), .reader = calloc(n, sizeof *s.reader),
                       .stored = calloc(n, sizeof *s.stored), .measured = calloc(n, sizeof *s.measured),
                       .halved = calloc(n, sizeof *s.halved), .decides = calloc(n, sizeof *s.decides),
                       .copied = calloc(n, sizeof *s.copied)};
    const bool made = s.uses && s.reader && s.stored && s.measured && s.halved && s.decides && s.copied;
    if (made)
        look_at_readers(&s);
    for (size_t id = 0; made && id < graph->tensor_count; id++) {
        if (!live[id] || !may_finish(graph->tensors[id]))
            continue;
        find_of(&s, graph->tensors[id], &epilogues[id]);
        if (epilogues[id].result)
            finished[epilogues[id].result->id] = true;
        if (epilogues[id].copy)
            finished[epilogues[id].copy->id] = true;
    }
    if (made)
        decide_by_copies(&s, epilogues);
    free(s.uses);
    free(s.reader);
    free(s.stored);
    free(s.measured);
    free(s.halved);
    free(s.decides);
    free(s.copied);
    return made;
}
