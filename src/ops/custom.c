/* Operations of the user's own: rows of the table that are made when the graph is built. */
#include "vkgan/custom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/lowering.h"
#include "ops/ops.h"

enum { MOST_INPUTS = 4, MOST_POINTWISE_INPUTS = 3 };

/* A row, and the description that it was made of. */
struct custom_op {
    struct op op; /* first: an op is its custom_op */
    struct custom_op *next;
    uint32_t inputs;
    void (*gradient)(const vkg_op_call *call);
    void *user;
};

static void custom_gradient(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted,
                            vkg_tensor **gradients)
{
    const struct custom_op *custom = (const struct custom_op *)node->op;
    custom->gradient(&(vkg_op_call){.graph = graph, .inputs = node->inputs, .output = node, .dy = dy,
                                    .p = node->attributes.p, .q = node->attributes.q, .wanted = wanted,
                                    .gradients = gradients, .user = custom->user});
    for (uint32_t i = 0; i < node->input_count; i++)
        if (wanted[i] && gradients[i] && !gradients[i]->poisoned &&
            !shape_equal(&gradients[i]->shape, &node->inputs[i]->shape))
            gradients[i] = vkg_sum_to(graph, gradients[i], node->inputs[i]->shape);
}

/* --- kernels --- */

static void write_sizes(FILE *out, const char *name, const vkg_shape *shape)
{
    fprintf(out, "const uint %s_dims[%d] = uint[%d](", name, VKG_MAX_RANK, VKG_MAX_RANK);
    for (uint32_t i = 0; i < VKG_MAX_RANK; i++)
        fprintf(out, "%s%uu", i ? ", " : "", i < shape->rank ? shape->dims[i] : 1);
    fprintf(out, ");\n");
}

static void write_kernel(FILE *out, const vkg_tensor *node)
{
    fprintf(out, "#version 450\n#extension GL_GOOGLE_include_directive : require\n#define VECTOR 0\n"
                 "#include \"lib/pointwise.glsl\"\nlayout(local_size_x_id = 0) in;\n"
                 "layout(constant_id = 1) const float p = 0.0;\nlayout(constant_id = 2) const float q = 0.0;\n"
                 "layout(constant_id = 3) const uint count = 1;\n");
    for (uint32_t k = 0; k < node->input_count; k++) {
        static const char *const types[] = {[VKG_FLOAT32] = "float", [VKG_UINT32] = "uint", [VKG_INT32] = "int"};
        char name[16];
        snprintf(name, sizeof name, "in%u", k);
        fprintf(out, "layout(std430, binding = %u) readonly buffer buffer%u { %s data%u[]; };\n"
                     "float in%u(uint i) { return float(data%u[i]); }\n", k, k, types[node->inputs[k]->dtype], k, k, k);
        write_sizes(out, name, &node->inputs[k]->shape);
    }
    write_sizes(out, "out", &node->shape);
    fprintf(out, "layout(std430, binding = %u) writeonly buffer result_buffer { float result[]; };\n"
                 "float element(uint i)\n{\n#line 1 \"%s\"\n%s\n}\n"
                 "void main()\n{\n    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;\n"
                 "    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;\n"
                 "    if (i < count)\n        result[i] = element(i);\n}\n",
            node->input_count, node->op->name, node->op->body);
}

static vkg_result lower_custom_kernel(struct lowering *lowering, const vkg_tensor *node)
{
    const struct shader *shader;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return lowering_out_of_memory(lowering);
    write_kernel(out, node);
    fclose(out);
    vkg_result result = shader_cache_get(lowering->shaders, node->op->name, text, &shader);
    free(text);
    struct dispatch *dispatch = result == VKG_OK ? lowering_add_dispatch(lowering, node->op->name, shader) : NULL;
    if (!dispatch)
        return result != VKG_OK ? result : lowering_out_of_memory(lowering);
    for (uint32_t k = 0; k < node->input_count && result == VKG_OK; k++)
        result = lowering_bind_tensor(lowering, dispatch, node->inputs[k], FORMAT_STORAGE, true, false);
    if (result == VKG_OK)
        result = lowering_bind_tensor(lowering, dispatch, node, FORMAT_STORAGE, false, true);
    uint32_t workgroup = simple_workgroup(&lowering->device->caps), count = (uint32_t)shape_elements(&node->shape);
    const float numbers[2] = {node->attributes.p, node->attributes.q};
    dispatch->constants[0] = workgroup;
    memcpy(&dispatch->constants[1], numbers, sizeof numbers);
    dispatch->constants[3] = count;
    dispatch->constant_count = 4;
    return result == VKG_OK ? dispatch_grid(lowering, dispatch, (count + workgroup - 1) / workgroup) : result;
}

/* --- rows --- */

static bool is_identifier(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    return name && name[0] && strlen(name) <= 64 && strspn(name, letters) == strlen(name);
}

static bool desc_is_valid(vkg_graph *graph, const char *call, const vkg_op_desc *desc, uint32_t most_inputs)
{
    bool named = is_identifier(desc->name);
    if (!named || !desc->glsl || desc->inputs == 0 || desc->inputs > most_inputs)
        graph_fail(graph, "%s: \"%s\" must have a name of letters, digits and '_', a GLSL body, and 1 to %u inputs (%u)",
                   call, desc->name ? desc->name : "", most_inputs, desc->inputs);
    return named && desc->glsl && desc->inputs && desc->inputs <= most_inputs;
}

static bool is_row_of(const struct custom_op *custom, const vkg_op_desc *desc, enum op_kind kind,
                      vkg_tensor *const *inputs)
{
    bool same = custom->op.kind == kind && custom->inputs == desc->inputs && custom->gradient == desc->gradient &&
                custom->user == desc->user && strcmp(custom->op.name, desc->name) == 0 &&
                strcmp(custom->op.body, desc->glsl) == 0;
    for (uint32_t i = 0; same && kind == OP_KERNEL && i < desc->inputs; i++)
        same = custom->op.input_dtypes[i] == inputs[i]->dtype;
    return same;
}

/* Functions of one kernel must differ in their names. */
static bool name_is_taken(const vkg_graph *graph, const vkg_op_desc *desc, enum op_kind kind)
{
    for (const struct custom_op *custom = graph->custom_ops; custom && kind == OP_POINTWISE; custom = custom->next)
        if (custom->op.kind == kind && strcmp(custom->op.name, desc->name) == 0)
            return true;
    return false;
}

/* The row for a description: the one that is there, or a new one. NULL, with a message: there cannot be one. */
static const struct op *find_row(vkg_graph *graph, const vkg_op_desc *desc, enum op_kind kind, vkg_tensor *const *inputs)
{
    for (struct custom_op *custom = graph->custom_ops; custom; custom = custom->next)
        if (is_row_of(custom, desc, kind, inputs))
            return &custom->op;
    if (name_is_taken(graph, desc, kind)) {
        graph_fail(graph, "%s: an operation of this name with another description is in the graph already", desc->name);
        return NULL;
    }
    struct custom_op *custom = arena_alloc(&graph->arena, sizeof *custom);
    char *name = arena_strdup(&graph->arena, desc->name), *body = arena_strdup(&graph->arena, desc->glsl);
    char *call = arena_alloc(&graph->arena, strlen(desc->name) + 32);
    if (!custom || !name || !body || !call) {
        graph_fail(graph, "%s: out of memory", desc->name);
        return NULL;
    }
    static const char *const arguments[] = {"a, T(0), T(0)", "a, b, T(0)", "a, b, c"};
    if (kind == OP_POINTWISE)
        sprintf(call, "custom_%s(%s, p, q)", desc->name, arguments[desc->inputs - 1]);
    *custom = (struct custom_op){
        .op = {.name = name, .doc = "an operation of the program's own", .kind = kind, .expensive = true,
               .glsl = kind == OP_POINTWISE ? call : NULL, .body = body,
               .gradient = desc->gradient ? custom_gradient : NULL,
               .lower = kind == OP_KERNEL ? lower_custom_kernel : NULL},
        .next = graph->custom_ops, .inputs = desc->inputs, .gradient = desc->gradient, .user = desc->user};
    for (uint32_t i = 0; kind == OP_KERNEL && i < desc->inputs; i++)
        custom->op.input_dtypes[i] = inputs[i]->dtype;
    graph->custom_ops = custom;
    return &custom->op;
}

static vkg_tensor *add_custom(vkg_graph *graph, const vkg_op_desc *desc, enum op_kind kind, vkg_tensor *const *inputs,
                              vkg_shape shape, float p, float q)
{
    const struct op *row = find_row(graph, desc, kind, inputs);
    if (!row)
        return graph->poison;
    return graph_add_node(graph, &(struct node_desc){.op = row, .shape = shape, .input_count = desc->inputs,
                                                     .inputs = inputs, .attributes = {.p = p, .q = q}});
}

vkg_tensor *vkg_custom_pointwise(vkg_graph *graph, const vkg_op_desc *desc, vkg_tensor *const *inputs, float p, float q)
{
    if (!desc_is_valid(graph, "custom_pointwise", desc, MOST_POINTWISE_INPUTS))
        return graph->poison;
    vkg_shape shape = VKG_SCALAR;
    for (uint32_t i = 0; i < desc->inputs; i++) {
        vkg_shape before = shape;
        if (inputs[i]->poisoned)
            return graph->poison;
        if (!broadcast_shape(&before, &inputs[i]->shape, &shape))
            return graph_fail(graph, "%s: input %u of shape %s does not broadcast to %s", desc->name, i,
                              SHAPE(&inputs[i]->shape), SHAPE(&before));
    }
    return add_custom(graph, desc, OP_POINTWISE, inputs, shape, p, q);
}

vkg_tensor *vkg_custom_kernel(vkg_graph *graph, const vkg_op_desc *desc, vkg_tensor *const *inputs, vkg_shape shape,
                              float p, float q)
{
    if (!desc_is_valid(graph, "custom_kernel", desc, MOST_INPUTS))
        return graph->poison;
    if (shape.rank > VKG_MAX_RANK)
        return graph_fail(graph, "%s: rank %u is more than %d", desc->name, shape.rank, VKG_MAX_RANK);
    for (uint32_t i = 0; i < desc->inputs; i++) {
        if (inputs[i]->poisoned)
            return graph->poison;
        if (vkg_dtype_size(inputs[i]->dtype) != 4)
            return graph_fail(graph, "%s: input %u is of type %s, expected float32, int32 or uint32 (vkg_cast converts)",
                              desc->name, i, vkg_dtype_name(inputs[i]->dtype));
    }
    return add_custom(graph, desc, OP_KERNEL, inputs, shape, p, q);
}
