/* Reverse-mode differentiation, from graph to graph. */
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "vkgan/ops.h"

static bool passes_to_value(const vkg_tensor *tensor)
{
    return tensor->op->kind == OP_COMPOSITE && !tensor->op->gradient;
}

/* needed[id]: the tensor depends on one of wrt, through operations that have a gradient. */
static void mark_dependents(const vkg_graph *graph, vkg_tensor *const *wrt, uint32_t count, uint32_t last, bool *needed)
{
    for (uint32_t i = 0; i < count; i++)
        if (wrt[i]->id <= last)
            needed[wrt[i]->id] = true;
    for (uint32_t id = 0; id <= last; id++) {
        const vkg_tensor *tensor = graph->tensors[id];
        if (passes_to_value(tensor))
            needed[id] |= needed[tensor->value->id];
        if (!tensor->op->gradient)
            continue;
        for (uint32_t i = 0; i < tensor->input_count; i++)
            needed[id] |= needed[tensor->inputs[i]->id];
    }
}

static void add_gradient(vkg_graph *graph, const vkg_tensor *tensor, vkg_tensor *passed, vkg_tensor **gradients)
{
    vkg_tensor **sum = &gradients[tensor->id];
    *sum = *sum ? vkg_add(graph, *sum, passed) : passed;
}

/* Adds what a node passes to its inputs to their gradients. */
static void propagate(vkg_graph *graph, vkg_tensor *node, const bool *needed, vkg_tensor **gradients)
{
    bool wanted[OP_MAX_INPUTS] = {0};
    vkg_tensor *passed[OP_MAX_INPUTS] = {0};
    if (passes_to_value(node))
        add_gradient(graph, node->value, gradients[node->id], gradients);
    if (!node->op->gradient || node->input_count > OP_MAX_INPUTS)
        return;
    for (uint32_t i = 0; i < node->input_count; i++)
        wanted[i] = needed[node->inputs[i]->id];
    node->op->gradient(graph, node, gradients[node->id], wanted, passed);
    for (uint32_t i = 0; i < node->input_count; i++)
        if (wanted[i] && passed[i])
            add_gradient(graph, node->inputs[i], passed[i], gradients);
}

void vkg_gradients(vkg_graph *graph, vkg_tensor *loss, vkg_tensor *const *wrt, uint32_t count, vkg_tensor **gradients)
{
    bool poisoned = loss->poisoned;
    for (uint32_t i = 0; i < count; i++) {
        poisoned |= wrt[i]->poisoned;
        gradients[i] = graph->poison;
    }
    if (poisoned)
        return;
    bool *needed = calloc((size_t)loss->id + 1, sizeof *needed);
    vkg_tensor **sums = calloc((size_t)loss->id + 1, sizeof *sums);
    if (!needed || !sums) {
        graph->out_of_memory = true;
        goto done;
    }
    mark_dependents(graph, wrt, count, loss->id, needed);
    sums[loss->id] = vkg_constant(graph, 1, loss->shape);
    for (uint32_t id = loss->id + 1; id-- > 0;)
        if (needed[id] && sums[id])
            propagate(graph, graph->tensors[id], needed, sums);
    for (uint32_t i = 0; i < count; i++) {
        vkg_tensor *sum = wrt[i]->id <= loss->id ? sums[wrt[i]->id] : NULL;
        gradients[i] = sum ? sum : vkg_constant(graph, 0, wrt[i]->shape);
    }
done:
    free(needed);
    free(sums);
}
