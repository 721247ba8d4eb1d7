/* The graph room: tensors, the operations' table row, construction. Devices are known here by name only. */
#ifndef VKG_GRAPH_GRAPH_H
#define VKG_GRAPH_GRAPH_H

#include "base/arena.h"
#include "base/log.h"
#include "kernels/convolution_problem.h"
#include "vkgan/graph.h"

struct lowering; /* kernels/lowering.h */
struct vkg_device;

enum { OP_MAX_INPUTS = 8 }; /* of operations other than updates */

enum op_kind {
    OP_LEAF,      /* input, state, data: its memory is filled by someone else */
    OP_POINTWISE, /* one GLSL expression an element, with broadcasting; fused into chains */
    OP_REDUCE,    /* a sum, or a greatest, over axes; the chain that feeds it is fused into it */
    OP_VIEW,      /* another shape, or another name, of the same memory */
    OP_COMPOSITE, /* built of other operations, with a gradient rule or a kernel of its own */
    OP_KERNEL,    /* its lowering names the kernels */
    OP_UPDATE,    /* changes state in place */
};

/* One row of the table of operations. */
struct op {
    const char *name;
    const char *doc; /* one line: formula */
    enum op_kind kind;
    bool expensive; /* OP_POINTWISE: tens of instructions, so never computed twice to save memory */
    bool stored; /* OP_POINTWISE: always written to memory, never computed inside its readers */
    bool unique; /* two calls with equal inputs are two different things: never merged */
    /* OP_POINTWISE: an expression of the inputs a, b, c and of the attributes p, q, each of type T. */
    const char *glsl;
    /* OP_REDUCE; of deviations from the mean it is the sum of their squares */
    enum reduction { REDUCE_SUM, REDUCE_MAX, REDUCE_DEVIATIONS } reduction;
    const char *body; /* a program's own operation: GLSL of a function */
    /* OP_KERNEL, OP_UPDATE: the type of each input that is not float32. */
    vkg_dtype input_dtypes[OP_MAX_INPUTS];
    bool takes_halves; /* OP_KERNEL: also inputs that are all float16, or all bfloat16 */
    /* For every i with wanted[i]: builds the gradient with respect to input i, given dy, the gradient with
     * respect to the node, into gradients[i]. NULL: no gradient passes; of a composite, it passes to what it is built of. */
    void (*gradient)(vkg_graph *graph, vkg_tensor *node, vkg_tensor *dy, const bool *wanted, vkg_tensor **gradients);
    /* Runs for every node before any is lowered: to decide where tensors lie. May be NULL. */
    vkg_result (*prepare)(struct lowering *lowering, const vkg_tensor *node);
    /* OP_COMPOSITE that has a lowering: the check (program/kernel_checks.c) of the device's kernel that computes this node as one; NULL:
     * there is none. Without one, or where it is distrusted, what the node is built of is computed. */
    const char *(*kernel_check)(const struct vkg_device *device, const vkg_tensor *node);
    /* OP_KERNEL, OP_UPDATE, OP_COMPOSITE that a kernel computes: adds the node's dispatches. */
    vkg_result (*lower)(struct lowering *lowering, const vkg_tensor *node);
};

/* Along one axis, element k of a rearrangement is element (k · mul + add)/div of the input's axis `from`, and 0 where
 * div does not divide, or no such element is there. mul is not 0: an element goes to one place at most. */
struct rearranged_axis {
    uint32_t from;
    int32_t mul, add, div;
};

struct rearrangement {
    struct rearranged_axis axes[VKG_MAX_RANK];
};

/* Can an element of `size` be missing from the input's `from_size`? */
bool rearranged_axis_is_guarded(const struct rearranged_axis *axis, uint32_t size, uint32_t from_size);

struct attributes {
    float p, q;               /* pointwise operations' constants; p of convolutions: the share of products that are not padding */
    uint32_t axes;            /* reductions */
    uint32_t axis;            /* what works along one axis: linear maps, gather, cumsum */
    uint32_t index;           /* random: which stream; state, assign: which declaration; others that update: which one */
    struct conv_problem conv; /* convolutions */
    struct rearrangement rearrangement;
    struct {
        uint32_t kernel, stride, padding;
    } window; /* greatest, scatter_windows */
};

struct vkg_tensor {
    vkg_graph *graph;
    const struct op *op;
    uint32_t id; /* its place in the order of creation, which is the order of execution */
    uint32_t superseded; /* state: the id of the update after which this version is gone */
    bool poisoned;
    vkg_dtype dtype;
    vkg_shape shape;
    const char *name;
    uint32_t input_count; /* inputs that have a gradient; a composite's saved tensors follow them */
    vkg_tensor **inputs;
    vkg_tensor *value; /* view, composite: the tensor whose memory this one shares */
    const void *data;  /* data: its elements */
    struct attributes attributes;
};

/* A parameter or buffer that some call named. */
struct declaration {
    const char *name;
    vkg_shape shape;
    vkg_dtype dtype;
    vkg_init init;
    bool trained;
    uint32_t torch_axes[VKG_MAX_RANK];
    vkg_tensor *current; /* the version that later calls see */
};

enum { UPDATE_MAX_BLOCKS = 3 };

/* A pass over tensors of the state that lie in blocks laid out alike: an optimiser's step, a moving average. */
struct block_update {
    uint32_t count, block_count;
    uint32_t *blocks[UPDATE_MAX_BLOCKS]; /* declarations, `count` of each; the first are those that it is about */
    const void *settings; /* the operation's own */
};

struct graph_output {
    const char *name;
    vkg_tensor *tensor;
};

struct vkg_graph {
    struct arena arena;
    vkg_log log;
    char *error; /* first broken rule */
    bool out_of_memory;
    char scope[256];
    uint8_t scope_starts[64]; /* where in it each of the entered ones begins; they may hold dots themselves */
    uint32_t scope_count;
    vkg_dtype precision; /* of what convolutions and matrix products read */
    const char *layer_call, *layer_name; /* the layer that is being built, or NULL */
    uint32_t layer_depth;
    vkg_tensor *poison;
    vkg_tensor **tensors;
    size_t tensor_count, tensor_capacity;
    struct declaration *declarations;
    size_t declaration_count, declaration_capacity;
    struct block_update *updates;
    size_t update_count, update_capacity;
    struct graph_output *outputs;
    size_t output_count, output_capacity;
    uint32_t random_count;
    bool counts_steps; /* vkg_steps_done was asked for */
    struct custom_op *custom_ops; /* rows that the program added: ops/custom.c */
    uint32_t *buckets; /* hash of equal nodes: tensor id + 1, 0 is empty */
    size_t bucket_count;
};

/* Adds a node, or finds the equal one that is there already. Poisoned inputs give a poisoned node.
 * saved: tensors that a composite's gradient rule needs, after the inputs. */
struct node_desc {
    const struct op *op;
    vkg_shape shape;
    uint32_t input_count, saved_count;
    vkg_tensor *const *inputs; /* input_count + saved_count */
    vkg_tensor *value;
    struct attributes attributes;
    vkg_dtype dtype;
};
vkg_tensor *graph_add_node(vkg_graph *graph, const struct node_desc *desc);

/* Breaks a rule: remembers and logs the first message, returns the poisoned tensor. The message begins with the
 * operation's name and a colon; within a layer the layer's call and name stand in its place. */
__attribute__((format(printf, 2, 3)))
vkg_tensor *graph_fail(vkg_graph *graph, const char *format, ...);

/* Between these two, messages of broken rules name the layer: conv2d "disc.main.3": … Of layers within layers it is the
 * outermost one. */
void graph_enter_layer(vkg_graph *graph, const char *call, const char *name);
void graph_leave_layer(vkg_graph *graph);

/* A parameter, buffer or optimiser tensor by its full name below the present scope. torch_axes may be NULL. */
struct declaration_desc {
    const char *name;
    vkg_shape shape;
    vkg_dtype dtype;
    vkg_init init;
    bool trained;
    const uint32_t *torch_axes;
    bool absolute; /* the name is taken as it is, without the scope */
};
vkg_tensor *graph_declare(vkg_graph *graph, const struct declaration_desc *desc);
/* The one of this name below the present scope; NULL: nobody named it yet. */
const struct declaration *graph_find_declaration(const vkg_graph *graph, const char *name);
/* Says that `update` changed the declaration: its current version is now a new leaf behind it. */
void graph_supersede(vkg_graph *graph, uint32_t declaration, vkg_tensor *update);
/* The seed and step of random operations: uint32 [4], seed low, seed high, step low, step high. */
vkg_tensor *graph_random_state(vkg_graph *graph);

/* The tensor that holds the memory: follows views and composites. */
static inline const vkg_tensor *tensor_storage(const vkg_tensor *tensor)
{
    while (tensor->value)
        tensor = tensor->value;
    return tensor;
}

/* All versions of a parameter or buffer lie at one address. false: what is computed of it from here on would be of the numbers behind an
 * update. */
bool tensor_is_current(const vkg_tensor *tensor);

uint64_t shape_elements(const vkg_shape *shape);
/* float16 or bfloat16 */
static inline bool dtype_is_half(vkg_dtype dtype)
{
    return vkg_dtype_size(dtype) == 2;
}
uint64_t tensor_bytes(const vkg_tensor *tensor);
bool shape_equal(const vkg_shape *a, const vkg_shape *b);
/* "[64,28,28,1]" into text, which is returned. */
enum { SHAPE_TEXT = 96 };
const char *shape_text(const vkg_shape *shape, char text[SHAPE_TEXT]);
#define SHAPE(shape) shape_text((shape), (char[SHAPE_TEXT]){0})

extern const struct op op_input, op_state, op_data; /* graph.c */
extern const struct op op_constant, op_rearrange;   /* what fusion must know of: ops/ */

#endif
