/* Many parts of one tensor, and one tensor of many parts, in time that does not grow with the square of their number.
 * A sum of n tensors that are each padded to the whole reads n numbers for every element; in groups of eight, and groups
 * of groups, it reads 8·log₈ n. */
#include "ops/ops.h"

enum { FANOUT = 8 };

/* The slice itself reads the whole; its gradient goes to the group, whose neighbours' gradients meet there. */
static void part_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients)
{
    (void)wanted;
    uint32_t axis = node->attributes.axes, start = node->attributes.index;
    uint32_t behind = node->inputs[0]->shape.dims[axis] - node->shape.dims[axis] - start;
    gradients[0] = pad_with_zeros(graph, dy, axis, (int32_t)start, (int32_t)behind);
}

static const struct op op_part = {.name = "part", .doc = "a slice of a group of neighbouring slices",
                                  .kind = OP_COMPOSITE, .gradient = part_gradient};

struct splitting {
    vkg_tensor *whole;
    uint32_t axis, size; /* of one part */
    vkg_tensor **results;
};

/* `count` parts of the whole from part `first` on. group: a tensor of the parts from `group_first` on, which gets the
 * gradient. */
static vkg_tensor *take(vkg_graph *graph, const struct splitting *s, vkg_tensor *group, uint32_t group_first, uint32_t first,
                        uint32_t count)
{
    vkg_tensor *value = vkg_slice(graph, s->whole, s->axis, first * s->size, count * s->size, 1);
    if (value->poisoned || group == s->whole || value == s->whole)
        return value;
    return graph_add_node(graph, &(struct node_desc){
        .op = &op_part, .shape = value->shape, .input_count = 1, .inputs = &group, .value = value, .dtype = value->dtype,
        .attributes = {.axes = s->axis, .index = (first - group_first) * s->size}});
}

static void split_group(vkg_graph *graph, const struct splitting *s, vkg_tensor *group, uint32_t first, uint32_t count)
{
    uint32_t each = 1;
    while ((count - 1) / each >= FANOUT)
        each *= FANOUT;
    for (uint32_t i = 0; i < count; i += each) {
        uint32_t parts = count - i < each ? count - i : each;
        vkg_tensor *part = take(graph, s, group, first, first + i, parts);
        if (parts == 1)
            s->results[first + i] = part;
        else
            split_group(graph, s, part, first + i, parts);
    }
}

void split_finely(vkg_graph *graph, vkg_tensor *a, uint32_t axis, uint32_t parts, vkg_tensor **results)
{
    uint32_t size = a->poisoned || axis >= a->shape.rank || parts == 0 ? 0 : a->shape.dims[axis] / parts;
    if (parts <= FANOUT || size == 0 || size * parts != a->shape.dims[axis]) {
        vkg_split(graph, a, axis, parts, results); /* which says what is wrong, if anything is */
        return;
    }
    struct splitting s = {a, axis, size, results};
    split_group(graph, &s, a, 0, parts);
}

vkg_tensor *join_finely(vkg_graph *graph, vkg_tensor *const *tensors, uint32_t count, uint32_t axis)
{
    vkg_tensor *groups[FANOUT];
    uint32_t each = 1, group_count = 0;
    while (count && (count - 1) / each >= FANOUT)
        each *= FANOUT;
    if (each == 1)
        return vkg_concat(graph, tensors, count, axis);
    for (uint32_t i = 0; i < count; i += each)
        groups[group_count++] = join_finely(graph, tensors + i, count - i < each ? count - i : each, axis);
    return vkg_concat(graph, groups, group_count, axis);
}
