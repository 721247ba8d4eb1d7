/* Recurrent layers, unrolled. States and gates of a step of a sequence are [N,1,…], slices of what all steps share, so
 * that fused kernels read and write the whole through rearrangements and nothing is copied. */
#include "vkgan/recurrent.h"

#include <math.h>
#include <stdio.h>

#include "ops/layer.h"

enum { GRU_GATES = 3, LSTM_GATES = 4 };

/* One layer in one direction: its parameters, prepared once for all steps. */
struct cell {
    uint32_t gates, hidden;
    vkg_tensor *weight_ih, *weight_hh; /* [C,gates·H], [H,gates·H] */
    vkg_tensor *bias;                  /* [gates·H], added to the input's product: both biases where they may be added up */
    vkg_tensor *bias_hn;               /* GRU: [H], added to the state's product within the product with r */
};

struct state {
    vkg_tensor *h, *c; /* c: LSTM only */
};

/* --- parameters --- */

static vkg_tensor *cell_parameter(vkg_graph *graph, const char *layer, const char *kind, const char *suffix, vkg_shape shape,
                                  uint32_t hidden)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", kind, suffix);
    float bound = 1 / sqrtf((float)hidden);
    const uint32_t turned[VKG_MAX_RANK] = {1, 0, 2, 3, 4, 5};
    return layer_tensor(graph, layer, (struct declaration_desc){
        .name = name, .shape = shape, .init = {VKG_INIT_UNIFORM, -bound, bound}, .trained = true,
        .torch_axes = shape.rank == 2 ? turned : NULL});
}

static struct cell declare_cell(vkg_graph *graph, const char *layer, const char *suffix, uint32_t gates, uint32_t in,
                                uint32_t hidden)
{
    uint32_t width = gates * hidden;
    struct cell cell = {.gates = gates, .hidden = hidden};
    cell.weight_ih = cell_parameter(graph, layer, "weight_ih", suffix, VKG_SHAPE(in, width), hidden);
    cell.weight_hh = cell_parameter(graph, layer, "weight_hh", suffix, VKG_SHAPE(hidden, width), hidden);
    vkg_tensor *bias_ih = cell_parameter(graph, layer, "bias_ih", suffix, VKG_SHAPE(width), hidden);
    vkg_tensor *bias_hh = cell_parameter(graph, layer, "bias_hh", suffix, VKG_SHAPE(width), hidden);
    if (gates == GRU_GATES) {
        cell.bias_hn = vkg_slice(graph, bias_hh, 0, 2 * hidden, hidden, 1);
        bias_hh = vkg_slice(graph, bias_hh, 0, 0, 2 * hidden, 1);
        bias_hh = vkg_pad(graph, bias_hh, 0, 0, (int32_t)hidden, VKG_PAD_CONSTANT, 0);
    }
    cell.bias = vkg_add(graph, bias_ih, bias_hh);
    return cell;
}

/* --- one step --- */

/* [..., I]·[I, O] → [..., O] */
static vkg_tensor *product(vkg_graph *graph, vkg_tensor *x, vkg_tensor *weight)
{
    float value;
    if (x->poisoned || weight->poisoned)
        return graph->poison;
    vkg_shape shape = x->shape;
    uint32_t in = shape.dims[shape.rank - 1];
    shape.dims[shape.rank - 1] = weight->shape.dims[1];
    if (tensor_is_constant(x, &value) && value == 0) /* the state before the first step */
        return vkg_constant(graph, 0, shape);
    vkg_tensor *rows = vkg_reshape(graph, x, VKG_SHAPE((uint32_t)(shape_elements(&x->shape) / in), in));
    return vkg_reshape(graph, vkg_matmul(graph, rows, weight, false, false), shape);
}

/* The input's share of all gates, [..., gates·H]. */
static vkg_tensor *project_input(vkg_graph *graph, const struct cell *cell, vkg_tensor *x)
{
    return vkg_add(graph, product(graph, x, cell->weight_ih), cell->bias);
}

static void split_gates(vkg_graph *graph, vkg_tensor *all, uint32_t gates, vkg_tensor **parts)
{
    vkg_split(graph, all, all->poisoned ? 0 : all->shape.rank - 1, gates, parts);
}

static struct state gru_step(vkg_graph *graph, const struct cell *cell, vkg_tensor *const *x, struct state before)
{
    vkg_tensor *h[GRU_GATES];
    split_gates(graph, product(graph, before.h, cell->weight_hh), GRU_GATES, h);
    vkg_tensor *r = vkg_sigmoid(graph, vkg_add(graph, x[0], h[0]));
    vkg_tensor *z = vkg_sigmoid(graph, vkg_add(graph, x[1], h[1]));
    vkg_tensor *inner = vkg_mul(graph, r, vkg_add(graph, h[2], cell->bias_hn));
    vkg_tensor *n = vkg_tanh(graph, vkg_add(graph, x[2], inner));
    return (struct state){.h = vkg_add(graph, n, vkg_mul(graph, z, vkg_sub(graph, before.h, n)))};
}

static struct state lstm_step(vkg_graph *graph, const struct cell *cell, vkg_tensor *const *x, struct state before)
{
    vkg_tensor *h[LSTM_GATES], *gate[LSTM_GATES];
    split_gates(graph, product(graph, before.h, cell->weight_hh), LSTM_GATES, h);
    for (uint32_t i = 0; i < LSTM_GATES; i++) {
        vkg_tensor *sum = vkg_add(graph, x[i], h[i]);
        gate[i] = i == 2 ? vkg_tanh(graph, sum) : vkg_sigmoid(graph, sum);
    }
    vkg_tensor *c = vkg_add(graph, vkg_mul(graph, gate[1], before.c), vkg_mul(graph, gate[0], gate[2]));
    return (struct state){.h = vkg_mul(graph, gate[3], vkg_tanh(graph, c)), .c = c};
}

/* x: the input's share of each gate. */
static struct state step(vkg_graph *graph, const struct cell *cell, vkg_tensor *const *x, struct state before)
{
    return cell->gates == GRU_GATES ? gru_step(graph, cell, x, before) : lstm_step(graph, cell, x, before);
}

/* --- cells --- */

static bool hidden_is_valid(vkg_graph *graph, const char *call, uint32_t hidden)
{
    if (hidden == 0 || hidden > INT32_MAX / LSTM_GATES)
        graph_fail(graph, "%s: hidden is %u, which must be from 1 to %d", call, hidden, INT32_MAX / LSTM_GATES);
    return hidden != 0 && hidden <= INT32_MAX / LSTM_GATES;
}

/* The state that the caller gave, or zeros. NULL: it has another shape. */
static vkg_tensor *state_or_zeros(vkg_graph *graph, const char *call, const char *name, vkg_tensor *given, vkg_shape shape)
{
    if (!given)
        return vkg_constant(graph, 0, shape);
    if (given->poisoned || shape_equal(&given->shape, &shape))
        return given;
    return graph_fail(graph, "%s: %s %s must be %s", call, name, SHAPE(&given->shape), SHAPE(&shape));
}

static struct state run_cell(vkg_graph *graph, const char *call, uint32_t gates, vkg_tensor *x, struct state given,
                             const vkg_rnn_cell_desc *desc)
{
    struct state poison = {graph->poison, graph->poison};
    if (x->poisoned || !hidden_is_valid(graph, call, desc->hidden))
        return poison;
    if (x->shape.rank != 2) {
        graph_fail(graph, "%s: x %s must be [N, C]", call, SHAPE(&x->shape));
        return poison;
    }
    vkg_shape shape = VKG_SHAPE(x->shape.dims[0], desc->hidden);
    struct state before = {.h = state_or_zeros(graph, call, "h", given.h, shape),
                           .c = state_or_zeros(graph, call, "c", given.c, shape)};
    if (before.h->poisoned || before.c->poisoned)
        return poison;
    struct cell cell = declare_cell(graph, desc->name, "", gates, x->shape.dims[1], desc->hidden);
    vkg_tensor *gates_x[LSTM_GATES];
    split_gates(graph, project_input(graph, &cell, x), gates, gates_x);
    return step(graph, &cell, gates_x, before);
}

vkg_tensor *vkg_gru_cell(vkg_graph *graph, vkg_tensor *x, vkg_tensor *h, const vkg_rnn_cell_desc *desc)
{
    graph_enter_layer(graph, "gru_cell", desc->name);
    struct state after = run_cell(graph, "gru_cell", GRU_GATES, x, (struct state){.h = h}, desc);
    graph_leave_layer(graph);
    return after.h;
}

void vkg_lstm_cell(vkg_graph *graph, vkg_tensor *x, vkg_tensor *h, vkg_tensor *c, const vkg_rnn_cell_desc *desc,
                   vkg_tensor **h_out, vkg_tensor **c_out)
{
    graph_enter_layer(graph, "lstm_cell", desc->name);
    struct state after = run_cell(graph, "lstm_cell", LSTM_GATES, x, (struct state){h, c}, desc);
    graph_leave_layer(graph);
    if (h_out)
        *h_out = after.h;
    if (c_out)
        *c_out = after.c;
}

/* --- sequences --- */

/* What the steps of all layers and directions have in common. */
struct sequence {
    const char *call;
    const vkg_rnn_desc *desc;
    uint32_t gates, batch, length, layers, directions;
    vkg_shape state;      /* [N,1,H] */
    vkg_tensor *lengths;  /* [N,1,H], or NULL */
    struct state initial; /* [layers·D,N,H] */
    vkg_tensor **h, **c;  /* layers·D states after the last step, [N,H] */
    vkg_tensor **outputs; /* room for one direction's steps */
    vkg_tensor **gates_x[LSTM_GATES]; /* the same: the input's share of each gate at each step */
};

/* Behind a sequence's end the state stays, and the output is 0. */
static vkg_tensor *mask_step(vkg_graph *graph, const struct sequence *s, uint32_t t, struct state before,
                             struct state *after)
{
    if (!s->lengths)
        return after->h;
    vkg_tensor *runs = vkg_less(graph, vkg_constant(graph, (float)t, VKG_SCALAR), s->lengths);
    after->h = vkg_where(graph, runs, after->h, before.h);
    if (after->c)
        after->c = vkg_where(graph, runs, after->c, before.c);
    return vkg_where(graph, runs, after->h, vkg_constant(graph, 0, VKG_SCALAR));
}

static vkg_tensor *initial_state(vkg_graph *graph, const struct sequence *s, vkg_tensor *all, uint32_t index)
{
    return vkg_reshape(graph, vkg_slice(graph, all, 0, index, 1, 1), s->state);
}

/* All steps of one layer in one direction: [N,L,H]. */
static vkg_tensor *run_direction(vkg_graph *graph, struct sequence *s, vkg_tensor *x, uint32_t layer, bool reverse)
{
    char suffix[32];
    snprintf(suffix, sizeof suffix, "_l%u%s", layer, reverse ? "_reverse" : "");
    uint32_t index = layer * s->directions + reverse, hidden = s->desc->hidden;
    struct cell cell = declare_cell(graph, s->desc->name, suffix, s->gates, x->shape.dims[2], hidden);
    vkg_tensor *all[LSTM_GATES];
    split_gates(graph, project_input(graph, &cell, x), s->gates, all);
    for (uint32_t k = 0; k < s->gates; k++)
        split_finely(graph, all[k], 1, s->length, s->gates_x[k]);
    struct state now = {.h = initial_state(graph, s, s->initial.h, index)};
    if (s->gates == LSTM_GATES)
        now.c = initial_state(graph, s, s->initial.c, index);
    for (uint32_t i = 0; i < s->length; i++) {
        uint32_t t = reverse ? s->length - 1 - i : i;
        struct state before = now;
        for (uint32_t k = 0; k < s->gates; k++)
            all[k] = s->gates_x[k][t];
        now = step(graph, &cell, all, before);
        s->outputs[t] = mask_step(graph, s, t, before, &now);
    }
    s->h[index] = vkg_reshape(graph, now.h, VKG_SHAPE(s->batch, hidden));
    s->c[index] = now.c ? vkg_reshape(graph, now.c, VKG_SHAPE(s->batch, hidden)) : NULL;
    return join_finely(graph, s->outputs, s->length, 1);
}

static bool sequence_is_valid(vkg_graph *graph, const char *call, const vkg_tensor *x, const vkg_rnn_desc *desc)
{
    if (x->poisoned || (desc->lengths && desc->lengths->poisoned) || !hidden_is_valid(graph, call, desc->hidden))
        return false;
    bool fits = x->shape.rank == 3 && desc->layers <= UINT16_MAX;
    if (!fits)
        graph_fail(graph, "%s: x %s must be [N, L, C], and layers (%u) at most %d", call, SHAPE(&x->shape), desc->layers,
                   UINT16_MAX);
    else if (desc->lengths && !shape_equal(&desc->lengths->shape, &VKG_SHAPE(x->shape.dims[0]))) {
        graph_fail(graph, "%s: lengths %s must be [%u], a number for each sequence of x %s", call,
                   SHAPE(&desc->lengths->shape), x->shape.dims[0], SHAPE(&x->shape));
        fits = false;
    }
    return fits;
}

static bool prepare_sequence(vkg_graph *graph, struct sequence *s)
{
    const vkg_rnn_desc *desc = s->desc;
    vkg_shape states = VKG_SHAPE(s->layers * s->directions, s->batch, desc->hidden);
    s->state = VKG_SHAPE(s->batch, 1, desc->hidden);
    s->initial = (struct state){.h = state_or_zeros(graph, s->call, "h", desc->h, states),
                                .c = state_or_zeros(graph, s->call, "c", desc->c, states)};
    if (desc->lengths) /* broadcast once: kernels in which steps run then read it directly */
        s->lengths = vkg_broadcast(graph, vkg_reshape(graph, desc->lengths, VKG_SHAPE(s->batch, 1, 1)), s->state);
    s->h = arena_alloc(&graph->arena, states.dims[0] * sizeof *s->h);
    s->c = arena_alloc(&graph->arena, states.dims[0] * sizeof *s->c);
    s->outputs = arena_alloc(&graph->arena, s->length * sizeof *s->outputs);
    bool made = s->h && s->c && s->outputs;
    for (uint32_t k = 0; k < s->gates && made; k++)
        made = (s->gates_x[k] = arena_alloc(&graph->arena, s->length * sizeof(vkg_tensor *))) != NULL;
    if (!made)
        graph_fail(graph, "%s: out of memory", s->call);
    return made && !s->initial.h->poisoned && !s->initial.c->poisoned;
}

/* All layers; the states after the last step into *h_out and *c_out. */
static vkg_tensor *run_layers(vkg_graph *graph, const char *call, uint32_t gates, vkg_tensor *x, const vkg_rnn_desc *desc,
                              vkg_tensor **h_out, vkg_tensor **c_out)
{
    *h_out = *c_out = graph->poison;
    if (!sequence_is_valid(graph, call, x, desc))
        return graph->poison;
    struct sequence s = {.call = call, .desc = desc, .gates = gates, .batch = x->shape.dims[0],
                         .length = x->shape.dims[1], .layers = desc->layers ? desc->layers : 1,
                         .directions = desc->bidirectional ? 2 : 1};
    if (!prepare_sequence(graph, &s))
        return graph->poison;
    for (uint32_t layer = 0; layer < s.layers && !x->poisoned; layer++) {
        vkg_tensor *directions[2] = {run_direction(graph, &s, x, layer, false), NULL};
        if (desc->bidirectional)
            directions[1] = run_direction(graph, &s, x, layer, true);
        x = vkg_concat(graph, directions, s.directions, 2);
    }
    if (x->poisoned)
        return x;
    *h_out = vkg_stack(graph, s.h, s.layers * s.directions, 0);
    if (gates == LSTM_GATES)
        *c_out = vkg_stack(graph, s.c, s.layers * s.directions, 0);
    return x;
}

vkg_tensor *vkg_gru(vkg_graph *graph, vkg_tensor *x, const vkg_rnn_desc *desc, vkg_tensor **h_out)
{
    vkg_tensor *h, *c;
    graph_enter_layer(graph, "gru", desc->name);
    vkg_tensor *y = run_layers(graph, "gru", GRU_GATES, x, desc, &h, &c);
    graph_leave_layer(graph);
    if (h_out)
        *h_out = h;
    return y;
}

vkg_tensor *vkg_lstm(vkg_graph *graph, vkg_tensor *x, const vkg_rnn_desc *desc, vkg_tensor **h_out, vkg_tensor **c_out)
{
    vkg_tensor *h, *c;
    graph_enter_layer(graph, "lstm", desc->name);
    vkg_tensor *y = run_layers(graph, "lstm", LSTM_GATES, x, desc, &h, &c);
    graph_leave_layer(graph);
    if (h_out)
        *h_out = h;
    if (c_out)
        *c_out = c;
    return y;
}

/* --- images --- */

/* W ⋆ [a,b] + bias, of the same height and width. */
static vkg_tensor *convolve_joined(vkg_graph *graph, const vkg_conv_gru_desc *desc, const char *part, vkg_tensor *a,
                                   vkg_tensor *b, uint32_t out)
{
    char weight_name[32], bias_name[32];
    snprintf(weight_name, sizeof weight_name, "%s.weight", part);
    snprintf(bias_name, sizeof bias_name, "%s.bias", part);
    uint32_t kernel = desc->kernel ? desc->kernel : 3, pad = kernel / 2;
    vkg_tensor *joined = vkg_concat(graph, (vkg_tensor *[]){a, b}, 2, 3);
    if (joined->poisoned)
        return joined;
    vkg_tensor *weight = layer_tensor(graph, desc->name, (struct declaration_desc){
        .name = weight_name, .shape = VKG_SHAPE(kernel, kernel, joined->shape.dims[3], out),
        .init = {VKG_INIT_NORMAL, 0, desc->init_std != 0 ? desc->init_std : 0.02f}, .trained = true,
        .torch_axes = (uint32_t[VKG_MAX_RANK]){3, 2, 0, 1, 4, 5}});
    vkg_tensor *bias = layer_tensor(graph, desc->name, (struct declaration_desc){
        .name = bias_name, .shape = VKG_SHAPE(out), .init = {VKG_INIT_CONSTANT, 0, 0}, .trained = true});
    vkg_conv_geometry geometry = {.padding = {pad, pad}};
    return vkg_add(graph, vkg_convolution(graph, joined, weight, geometry), bias);
}

static vkg_tensor *conv_gru_step(vkg_graph *graph, vkg_tensor *x, vkg_tensor *h, const vkg_conv_gru_desc *desc)
{
    vkg_tensor *gates[2];
    if (x->poisoned || !hidden_is_valid(graph, "conv_gru_cell", desc->hidden))
        return graph->poison;
    if (x->shape.rank != 4 || (desc->kernel && desc->kernel % 2 == 0))
        return graph_fail(graph, "conv_gru_cell: x %s must be [N, H, W, C], and kernel (%u) odd", SHAPE(&x->shape),
                          desc->kernel);
    vkg_shape shape = x->shape;
    shape.dims[3] = desc->hidden;
    h = state_or_zeros(graph, "conv_gru_cell", "h", h, shape);
    vkg_tensor *both = convolve_joined(graph, desc, "gates", x, h, 2 * desc->hidden);
    split_gates(graph, both, 2, gates);
    vkg_tensor *kept = vkg_mul(graph, vkg_sigmoid(graph, gates[0]), h), *u = vkg_sigmoid(graph, gates[1]);
    vkg_tensor *candidate = convolve_joined(graph, desc, "candidate", x, kept, desc->hidden);
    candidate = desc->relu ? vkg_relu(graph, candidate) : vkg_tanh(graph, candidate);
    return vkg_add(graph, candidate, vkg_mul(graph, u, vkg_sub(graph, h, candidate)));
}

vkg_tensor *vkg_conv_gru_cell(vkg_graph *graph, vkg_tensor *x, vkg_tensor *h, const vkg_conv_gru_desc *desc)
{
    graph_enter_layer(graph, "conv_gru_cell", desc->name);
    vkg_tensor *after = conv_gru_step(graph, x, h, desc);
    graph_leave_layer(graph);
    return after;
}
