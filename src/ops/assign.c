/* Assignment: the plainest operation that changes state in place. */
#include "ops/ops.h"

/* Fused like any pointwise operation; its result lies in the buffer's own memory. */
const struct op op_assign = {.name = "assign", .doc = "buffer ← a", .kind = OP_POINTWISE, .unique = true, .stored = true,
                             .glsl = "a"};

void vkg_assign(vkg_graph *graph, vkg_tensor *buffer, vkg_tensor *value)
{
    if (buffer->poisoned || value->poisoned)
        return;
    if (buffer->op != &op_state || graph->declarations[buffer->attributes.index].current != buffer) {
        graph_fail(graph, "assign: the target is not the present version of a buffer or parameter");
        return;
    }
    if (!shape_equal(&buffer->shape, &value->shape)) {
        graph_fail(graph, "assign: \"%s\" has shape %s, the value %s", buffer->name, SHAPE(&buffer->shape),
                   SHAPE(&value->shape));
        return;
    }
    uint32_t index = buffer->attributes.index;
    vkg_tensor *update = graph_add_node(graph, &(struct node_desc){
        .op = &op_assign, .shape = value->shape, .input_count = 1, .inputs = &value, .attributes.index = index});
    graph_supersede(graph, index, update);
}
