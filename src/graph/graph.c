/* Construction: nodes are added in the order of execution, equal nodes are one node. */
#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

const struct op op_input = {.name = "input", .doc = "numbers that the host gives", .kind = OP_LEAF, .unique = true};
const struct op op_state = {.name = "state", .doc = "a parameter or buffer, in one of its versions",
                            .kind = OP_LEAF, .unique = true};
const struct op op_data = {.name = "data", .doc = "numbers that were fixed when the graph was built", .kind = OP_LEAF,
                           .unique = true};
static const struct op op_poison = {.name = "poison", .doc = "the result of a broken rule", .kind = OP_LEAF};

uint64_t shape_elements(const vkg_shape *shape)
{
    uint64_t elements = 1;
    for (uint32_t i = 0; i < shape->rank; i++)
        elements *= shape->dims[i];
    return elements;
}

size_t vkg_dtype_size(vkg_dtype dtype)
{
    return dtype == VKG_UINT8 ? 1 : dtype == VKG_FLOAT16 || dtype == VKG_BFLOAT16 ? 2 : 4;
}

const char *vkg_dtype_name(vkg_dtype dtype)
{
    static const char *const names[] = {"float32", "uint32", "int32", "uint8", "float16", "bfloat16"};
    return (size_t)dtype < sizeof names / sizeof names[0] ? names[dtype] : "no type";
}

uint64_t tensor_bytes(const vkg_tensor *tensor)
{
    return shape_elements(&tensor->shape) * vkg_dtype_size(tensor->dtype);
}

bool shape_equal(const vkg_shape *a, const vkg_shape *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]) == 0;
}

const char *shape_text(const vkg_shape *shape, char text[SHAPE_TEXT])
{
    size_t used = 0;
    text[used++] = '[';
    for (uint32_t i = 0; i < shape->rank && i < VKG_MAX_RANK; i++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT - used, i ? ",%u" : "%u", shape->dims[i]);
    snprintf(text + used, SHAPE_TEXT - used, "]");
    return text;
}

vkg_result vkg_graph_create(const vkg_log *log, vkg_graph **graph)
{
    vkg_graph *made = calloc(1, sizeof *made);
    if (made)
        made->poison = arena_alloc(&made->arena, sizeof *made->poison);
    if (!made || !made->poison) {
        free(made);
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "vkg_graph_create: out of memory");
    }
    if (log)
        made->log = *log;
    *made->poison = (vkg_tensor){.graph = made, .op = &op_poison, .poisoned = true, .name = ""};
    *graph = made;
    return VKG_OK;
}

void vkg_graph_destroy(vkg_graph **graph)
{
    if (!graph || !*graph)
        return;
    arena_free(&(*graph)->arena);
    free((*graph)->tensors);
    free((*graph)->declarations);
    free((*graph)->updates);
    free((*graph)->outputs);
    free((*graph)->buckets);
    free(*graph);
    *graph = NULL;
}

void vkg_graph_set_precision(vkg_graph *graph, vkg_dtype precision)
{
    if (precision != VKG_FLOAT32 && precision != VKG_FLOAT16 && precision != VKG_BFLOAT16)
        graph_fail(graph, "vkg_graph_set_precision: %s is not float32, float16 or bfloat16", vkg_dtype_name(precision));
    else
        graph->precision = precision;
}

const char *vkg_graph_error(const vkg_graph *graph)
{
    return graph->out_of_memory && !graph->error ? "the graph: out of memory" : graph->error;
}

vkg_tensor *graph_fail(vkg_graph *graph, const char *format, ...)
{
    char message[512], named[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    const char *rule = graph->layer_call ? strstr(message, ": ") : NULL;
    if (rule)
        snprintf(named, sizeof named, "%s \"%s%s\"%s", graph->layer_call, graph->scope, graph->layer_name, rule);
    if (!graph->error) {
        graph->error = arena_strdup(&graph->arena, rule ? named : message);
        vkg_logf(&graph->log, VKG_LOG_ERROR, "%s", rule ? named : message);
    }
    return graph->poison;
}

void graph_enter_layer(vkg_graph *graph, const char *call, const char *name)
{
    if (graph->layer_depth++ > 0)
        return;
    graph->layer_call = call;
    graph->layer_name = name ? name : "";
}

void graph_leave_layer(vkg_graph *graph)
{
    if (--graph->layer_depth == 0)
        graph->layer_call = graph->layer_name = NULL;
}

static vkg_tensor *out_of_memory(vkg_graph *graph)
{
    graph->out_of_memory = true;
    return graph->poison;
}

void vkg_graph_enter(vkg_graph *graph, const char *scope)
{
    const size_t used = strlen(graph->scope), most = sizeof graph->scope_starts / sizeof graph->scope_starts[0];
    if (used + strlen(scope) + 2 > sizeof graph->scope || graph->scope_count == most) {
        graph_fail(graph, "graph_enter(\"%s\"): scopes nest deeper than %zu characters or %zu levels", scope,
                   sizeof graph->scope, most);
        return;
    }
    snprintf(graph->scope + used, sizeof graph->scope - used, "%s.", scope);
    graph->scope_starts[graph->scope_count++] = (uint8_t)used;
}

void vkg_graph_enter_item(vkg_graph *graph, const char *list, uint32_t index)
{
    char scope[sizeof graph->scope + 16];
    snprintf(scope, sizeof scope, "%s.%u", list, index); /* cut short, it is still too long for enter */
    vkg_graph_enter(graph, scope);
}

void vkg_graph_leave(vkg_graph *graph)
{
    if (graph->scope_count == 0)
        graph_fail(graph, "graph_leave: no scope was entered");
    else
        graph->scope[graph->scope_starts[--graph->scope_count]] = 0;
}

/* --- nodes --- */

static uint64_t hash_node(const struct node_desc *desc)
{
    uint64_t hash = hash_bytes(HASH_START, &desc->op, sizeof desc->op);
    hash = hash_bytes(hash, desc->shape.dims, desc->shape.rank * sizeof desc->shape.dims[0]);
    hash = hash_bytes(hash, desc->inputs, (desc->input_count + desc->saved_count) * sizeof(vkg_tensor *));
    hash = hash_bytes(hash, &desc->attributes, sizeof desc->attributes);
    return hash ^ hash >> 29;
}

static bool node_equals(const vkg_tensor *tensor, const struct node_desc *desc)
{
    return tensor->op == desc->op && shape_equal(&tensor->shape, &desc->shape) && tensor->dtype == desc->dtype &&
           tensor->input_count == desc->input_count &&
           memcmp(&tensor->attributes, &desc->attributes, sizeof desc->attributes) == 0 &&
           (desc->input_count == 0 ||
            memcmp(tensor->inputs, desc->inputs, desc->input_count * sizeof(vkg_tensor *)) == 0);
}

static bool rehash(vkg_graph *graph, size_t bucket_count)
{
    uint32_t *buckets = calloc(bucket_count, sizeof *buckets);
    if (!buckets)
        return false;
    for (size_t i = 0; i < graph->tensor_count; i++) {
        const vkg_tensor *tensor = graph->tensors[i];
        if (tensor->op->unique)
            continue;
        struct node_desc desc = {.op = tensor->op, .shape = tensor->shape, .input_count = tensor->input_count,
                                 .inputs = tensor->inputs, .attributes = tensor->attributes,
                                 .dtype = tensor->dtype};
        size_t slot = hash_node(&desc) % bucket_count;
        while (buckets[slot])
            slot = (slot + 1) % bucket_count;
        buckets[slot] = tensor->id + 1;
    }
    free(graph->buckets);
    graph->buckets = buckets;
    graph->bucket_count = bucket_count;
    return true;
}

/* The bucket of an equal node, or the empty one where it would go. */
static uint32_t *find_bucket(vkg_graph *graph, const struct node_desc *desc)
{
    struct node_desc key = *desc;
    key.saved_count = 0; /* they follow from the inputs */
    size_t slot = hash_node(&key) % graph->bucket_count;
    while (graph->buckets[slot] && !node_equals(graph->tensors[graph->buckets[slot] - 1], desc))
        slot = (slot + 1) % graph->bucket_count;
    return &graph->buckets[slot];
}

static vkg_tensor *new_tensor(vkg_graph *graph, const struct node_desc *desc)
{
    uint32_t input_total = desc->input_count + desc->saved_count;
    vkg_tensor *tensor = arena_alloc(&graph->arena, sizeof *tensor);
    vkg_tensor **inputs = arena_alloc(&graph->arena, (input_total + 1) * sizeof(vkg_tensor *));
    if (!tensor || !inputs || graph->tensor_count >= UINT32_MAX - 1 ||
        !array_reserve((void **)&graph->tensors, &graph->tensor_capacity, graph->tensor_count,
                       sizeof *graph->tensors))
        return NULL;
    if (input_total)
        memcpy(inputs, desc->inputs, input_total * sizeof(vkg_tensor *));
    *tensor = (vkg_tensor){
        .graph = graph, .op = desc->op, .id = (uint32_t)graph->tensor_count, .superseded = UINT32_MAX,
        .dtype = desc->dtype, .shape = desc->shape, .name = "", .input_count = desc->input_count,
        .inputs = inputs, .value = desc->value, .attributes = desc->attributes,
    };
    graph->tensors[graph->tensor_count++] = tensor;
    return tensor;
}

/* Kernels are written for certain types; pointwise operations and reductions convert what they read. */
static bool dtypes_fit(vkg_graph *graph, const struct node_desc *desc)
{
    if (desc->op->takes_halves && dtype_is_half(desc->inputs[0]->dtype) &&
        desc->inputs[0]->dtype == desc->inputs[1]->dtype)
        return true;
    for (uint32_t i = 0; desc->op->kind == OP_KERNEL && i < desc->input_count; i++)
        if (desc->inputs[i]->dtype != desc->op->input_dtypes[i]) {
            graph_fail(graph, "%s: input %u %s is of type %s, expected %s (vkg_cast converts)", desc->op->name, i,
                       SHAPE(&desc->inputs[i]->shape), vkg_dtype_name(desc->inputs[i]->dtype),
                       vkg_dtype_name(desc->op->input_dtypes[i]));
            return false;
        }
    return true;
}

bool tensor_is_current(const vkg_tensor *tensor)
{
    const vkg_tensor *storage = tensor_storage(tensor);
    return storage->op != &op_state || storage->superseded == UINT32_MAX;
}

static bool inputs_are_current(vkg_graph *graph, const struct node_desc *desc)
{
    for (uint32_t i = 0; i < desc->input_count; i++)
        if (!tensor_is_current(desc->inputs[i])) {
            graph_fail(graph, "%s: input %u is \"%s\" as it was before its update in this graph; compute it before that update",
                       desc->op->name, i, tensor_storage(desc->inputs[i])->name);
            return false;
        }
    return true;
}

vkg_tensor *graph_add_node(vkg_graph *graph, const struct node_desc *desc)
{
    for (uint32_t i = 0; i < desc->input_count; i++) {
        if (desc->inputs[i]->poisoned)
            return graph->poison;
        if (desc->inputs[i]->graph != graph)
            return graph_fail(graph, "%s: input %u belongs to another graph", desc->op->name, i);
    }
    if (!dtypes_fit(graph, desc))
        return graph->poison;
    uint64_t elements = 1;
    for (uint32_t i = 0; i < desc->shape.rank; i++) {
        elements *= desc->shape.dims[i];
        /* the kernels' indices are 32 bits wide */
        if (desc->shape.dims[i] == 0 || elements > INT32_MAX)
            return graph_fail(graph, "%s: shape %s has %s", desc->op->name, SHAPE(&desc->shape),
                              desc->shape.dims[i] ? "more than 2^31 − 1 elements" : "a dimension of 0");
    }
    if (graph->tensor_count * 2 >= graph->bucket_count &&
        !rehash(graph, graph->bucket_count ? graph->bucket_count * 2 : 256))
        return out_of_memory(graph);
    uint32_t *bucket = desc->op->unique ? NULL : find_bucket(graph, desc);
    if (bucket && *bucket)
        return graph->tensors[*bucket - 1];
    if (!inputs_are_current(graph, desc))
        return graph->poison;
    vkg_tensor *tensor = new_tensor(graph, desc);
    if (!tensor)
        return out_of_memory(graph);
    if (bucket)
        *bucket = tensor->id + 1;
    return tensor;
}

/* --- leaves --- */

static vkg_tensor *add_leaf(vkg_graph *graph, const struct op *op, const char *name, vkg_shape shape, vkg_dtype dtype)
{
    if (shape.rank > VKG_MAX_RANK)
        return graph_fail(graph, "%s \"%s\": rank %u is more than %d", op->name, name, shape.rank, VKG_MAX_RANK);
    vkg_tensor *leaf = graph_add_node(graph, &(struct node_desc){.op = op, .shape = shape, .dtype = dtype});
    if (leaf->poisoned)
        return leaf;
    char *copy = arena_strdup(&graph->arena, name);
    if (!copy)
        return out_of_memory(graph);
    leaf->name = copy;
    return leaf;
}

vkg_tensor *vkg_input(vkg_graph *graph, const char *name, vkg_shape shape)
{
    return vkg_input_typed(graph, name, shape, VKG_FLOAT32);
}

vkg_tensor *vkg_input_typed(vkg_graph *graph, const char *name, vkg_shape shape, vkg_dtype dtype)
{
    return add_leaf(graph, &op_input, name ? name : "input", shape, dtype);
}

vkg_tensor *vkg_data(vkg_graph *graph, vkg_shape shape, vkg_dtype dtype, const void *data)
{
    size_t bytes = (size_t)shape_elements(&shape) * vkg_dtype_size(dtype);
    for (size_t id = 0; id < graph->tensor_count; id++) {
        vkg_tensor *known = graph->tensors[id];
        if (known->op == &op_data && known->dtype == dtype && shape_equal(&known->shape, &shape) &&
            memcmp(known->data, data, bytes) == 0)
            return known;
    }
    vkg_tensor *leaf = add_leaf(graph, &op_data, "data", shape, dtype);
    if (leaf->poisoned)
        return leaf;
    void *copy = arena_alloc(&graph->arena, bytes);
    if (!copy)
        return out_of_memory(graph);
    memcpy(copy, data, bytes);
    leaf->data = copy;
    return leaf;
}

static vkg_tensor *declare_new(vkg_graph *graph, const char *name, const struct declaration_desc *desc)
{
    vkg_tensor *leaf = add_leaf(graph, &op_state, name, desc->shape, desc->dtype);
    if (leaf->poisoned)
        return leaf;
    if (!array_reserve((void **)&graph->declarations, &graph->declaration_capacity, graph->declaration_count,
                       sizeof *graph->declarations))
        return out_of_memory(graph);
    leaf->attributes.index = (uint32_t)graph->declaration_count;
    struct declaration *declaration = &graph->declarations[graph->declaration_count++];
    *declaration = (struct declaration){.name = leaf->name, .shape = desc->shape, .dtype = desc->dtype,
                                        .init = desc->init, .trained = desc->trained, .current = leaf};
    for (uint32_t i = 0; i < VKG_MAX_RANK; i++)
        declaration->torch_axes[i] = desc->torch_axes ? desc->torch_axes[i] : i;
    return leaf;
}

static struct declaration *find_declaration(const vkg_graph *graph, const char *full_name)
{
    for (size_t i = 0; i < graph->declaration_count; i++)
        if (strcmp(graph->declarations[i].name, full_name) == 0)
            return &graph->declarations[i];
    return NULL;
}

const struct declaration *graph_find_declaration(const vkg_graph *graph, const char *name)
{
    char full_name[512];
    snprintf(full_name, sizeof full_name, "%s%s", graph->scope, name);
    return find_declaration(graph, full_name);
}

vkg_tensor *graph_declare(vkg_graph *graph, const struct declaration_desc *desc)
{
    char name[512];
    if (!desc->name || !desc->name[0])
        return graph_fail(graph, "a parameter or buffer of shape %s has no name", SHAPE(&desc->shape));
    int length = snprintf(name, sizeof name, "%s%s", desc->absolute ? "" : graph->scope, desc->name);
    if (length >= (int)sizeof name)
        return graph_fail(graph, "the name \"%s…\" is longer than %zu characters", desc->name, sizeof name);
    const struct declaration *known = find_declaration(graph, name);
    if (!known)
        return declare_new(graph, name, desc);
    if (!shape_equal(&known->shape, &desc->shape) || known->trained != desc->trained || known->dtype != desc->dtype)
        return graph_fail(graph, "parameter: \"%s\" is a %s of shape %s already, and is now asked for as a %s of shape %s",
                          name, known->trained ? "parameter" : "buffer", SHAPE(&known->shape),
                          desc->trained ? "parameter" : "buffer", SHAPE(&desc->shape));
    return known->current;
}

vkg_tensor *vkg_parameter(vkg_graph *graph, const char *name, vkg_shape shape, vkg_init init)
{
    return graph_declare(graph,
                         &(struct declaration_desc){.name = name, .shape = shape, .init = init, .trained = true});
}

vkg_tensor *vkg_buffer(vkg_graph *graph, const char *name, vkg_shape shape, vkg_init init)
{
    return graph_declare(graph, &(struct declaration_desc){.name = name, .shape = shape, .init = init});
}

vkg_tensor *graph_random_state(vkg_graph *graph)
{
    return graph_declare(graph, &(struct declaration_desc){.name = "random.state", .shape = VKG_SHAPE(4),
                                                           .dtype = VKG_UINT32, .absolute = true});
}

void graph_supersede(vkg_graph *graph, uint32_t index, vkg_tensor *update)
{
    vkg_tensor *old = graph->declarations[index].current;
    if (update->poisoned || old->poisoned)
        return;
    vkg_tensor *leaf = graph_add_node(graph, &(struct node_desc){.op = &op_state, .shape = old->shape,
                                                                 .dtype = old->dtype});
    if (leaf->poisoned)
        return;
    leaf->name = old->name;
    leaf->attributes.index = index;
    old->superseded = update->id;
    graph->declarations[index].current = leaf;
}

void vkg_output(vkg_graph *graph, const char *name, vkg_tensor *tensor)
{
    if (tensor->poisoned)
        return;
    if (!tensor_is_current(tensor)) {
        graph_fail(graph, "output \"%s\" is \"%s\" as it was before its update in this graph", name ? name : "output",
                   tensor_storage(tensor)->name);
        return;
    }
    char *copy = arena_strdup(&graph->arena, name ? name : "output");
    if (!copy || !array_reserve((void **)&graph->outputs, &graph->output_capacity, graph->output_count,
                                sizeof *graph->outputs)) {
        graph->out_of_memory = true;
        return;
    }
    graph->outputs[graph->output_count++] = (struct graph_output){.name = copy, .tensor = tensor};
}

/* --- questions --- */

vkg_shape vkg_tensor_shape(const vkg_tensor *tensor)
{
    return tensor->shape;
}

vkg_dtype vkg_tensor_dtype(const vkg_tensor *tensor)
{
    return tensor->dtype;
}

uint64_t vkg_tensor_elements(const vkg_tensor *tensor)
{
    return shape_elements(&tensor->shape);
}

const char *vkg_tensor_name(const vkg_tensor *tensor)
{
    return tensor->name;
}

uint32_t vkg_graph_parameters(vkg_graph *graph, const char *prefix, vkg_tensor **parameters, uint32_t capacity)
{
    uint32_t count = 0;
    for (size_t i = 0; i < graph->declaration_count; i++) {
        const struct declaration *declaration = &graph->declarations[i];
        if (!declaration->trained || strncmp(declaration->name, prefix, strlen(prefix)) != 0)
            continue;
        if (count < capacity)
            parameters[count] = declaration->current;
        count++;
    }
    return count;
}
