/* Fusion. A pointwise node is computed inside its consumers ("inlined") where all of them are pointwise
 * operations or sums over the same space, and where that costs less than writing it to memory and reading it
 * back; a small one that repeats over their space, too, where a dispatch takes longer. What is left is grouped:
 * neighbours in the order of execution that share a space share a kernel. Before all of that, convolutions take
 * what their epilogues can do (epilogues.c). */
#include "program/fuse.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/choice.h"
#include "ops/ops.h"
#include "program/epilogues.h"

enum {
    MAX_COST = 64,         /* operations in one kernel's chain */
    MAX_REPEATED_COST = 16, /* of a chain that several kernels compute again */
    MAX_REPEATED_LEAVES = 6,
    MAX_CONSTANTS = 60, /* specialisation constants of one kernel's reads, */
    MAX_WITH_NUMBERS = 72, /* and of these and its operations' numbers; sizes take some 20 of PIPELINE_MAX_CONSTANTS besides */
    MOST_SMALL = 16384, /* elements of a tensor that larger ones compute again */
    WINDOW = 12, /* how many units back a node may join */
};

/* What a chain that ends in a node reads, and what it costs. */
struct chain {
    uint32_t leaf_count;
    struct fused_read leaves[FUSED_MAX_LEAVES];
    uint32_t cost;
    uint32_t constants, numbers; /* at most so many specialisation constants of its reads, and of its operations */
    uint32_t superseded; /* the first update that overwrites state which the chain reads */
    bool expensive; /* one of its operations is */
};

struct analysis {
    const vkg_graph *graph;
    struct fusion *fusion;
    bool *candidate;      /* all consumers can take it in, */
    bool *repeats;        /* some of them over and over, since theirs is a larger space */
    uint32_t *uses;       /* edges from live nodes */
    uint32_t *last_use;   /* the greatest id of a live consumer */
    struct chain *chains; /* of pointwise nodes and sums */
    uint32_t *unit_of;    /* id → unit that computes it */
    const struct fusion_limits *limits;
    size_t unit_capacity;
    bool undone; /* a node is no more computed inside of others, whose chains may have it still */
};

static bool is_fusible(const struct analysis *a, const vkg_tensor *node)
{
    return fused_can_compute(node) && !a->fusion->finished[node->id];
}

static bool is_unit(const struct analysis *a, const vkg_tensor *node)
{
    return is_fusible(a, node) || node->op->lower;
}

/* --- what a kernel computes as one --- */

bool fusion_is_one_kernel(const vkg_device *device, const vkg_tensor *node)
{
    const char *check = node->op->kernel_check ? node->op->kernel_check(device, node) : NULL;
    return check && kernel_check_trust(device, check) != TRUST_WRONG;
}

/* What it reads is there where its value would be computed; what is built of it may be an older node, which some other call made. */
static bool reads_older(const vkg_tensor *node)
{
    bool older = true;
    for (uint32_t i = 0; i < node->input_count; i++)
        older &= tensor_storage(node->inputs[i])->id < tensor_storage(node)->id;
    return older;
}

static void find_nodes(const struct analysis *a)
{
    const vkg_graph *graph = a->graph;
    for (size_t id = 0; id < graph->tensor_count; id++) {
        const vkg_tensor *node = a->fusion->nodes[id] = graph->tensors[id];
        if (fusion_is_one_kernel(a->limits->device, node) && reads_older(node))
            a->fusion->nodes[tensor_storage(node)->id] = node;
    }
}

/* --- who lives, who reads whom --- */

static void mark_live(struct analysis *a)
{
    const vkg_graph *graph = a->graph;
    bool *live = a->fusion->live;
    for (size_t i = 0; i < graph->output_count; i++)
        live[tensor_storage(graph->outputs[i].tensor)->id] = true;
    for (size_t id = graph->tensor_count; id-- > 0;) {
        const vkg_tensor *node = a->fusion->nodes[id];
        live[id] |= node->op->kind == OP_UPDATE || node->op == &op_assign;
        for (uint32_t i = 0; live[id] && i < node->input_count; i++)
            live[tensor_storage(node->inputs[i])->id] = true;
    }
}

static void look_at_read(struct analysis *a, const vkg_tensor *consumer, const vkg_tensor *read)
{
    const vkg_tensor *storage = tensor_storage(read);
    a->uses[storage->id]++;
    a->last_use[storage->id] = consumer->id;
    const bool same = shape_equal(&storage->shape, fused_space(consumer));
    const bool fits = shape_equal(&read->shape, &storage->shape) &&
                      (same || (a->limits->repeats_small && shape_elements(&storage->shape) <= MOST_SMALL)) &&
                      consumer->op != &op_rearrange; /* which computes nothing: it reads memory */
    a->repeats[storage->id] |= !same;
    const bool constant = storage->op == &op_constant && consumer->op != &op_rearrange; /* one that is rearranged lies in memory: beside it may be zeros */
    a->candidate[storage->id] &= is_fusible(a, consumer) && (fits || constant);
}

static void look_at_consumer(struct analysis *a, const vkg_tensor *consumer)
{
    const struct epilogue *epilogue = &a->fusion->epilogues[consumer->id];
    for (uint32_t i = 0; i < consumer->input_count; i++)
        look_at_read(a, consumer, consumer->inputs[i]);
    if (epilogue->bias)
        look_at_read(a, consumer, epilogue->bias);
    if (epilogue->step)
        look_at_read(a, consumer, epilogue->step);
}

static void find_candidates(struct analysis *a)
{
    const vkg_graph *graph = a->graph;
    for (size_t id = 0; id < graph->tensor_count; id++)
        a->candidate[id] = a->fusion->live[id] && a->fusion->nodes[id]->op->kind == OP_POINTWISE &&
                           !a->fusion->nodes[id]->op->stored && !a->fusion->finished[id];
    for (size_t id = 0; id < graph->tensor_count; id++)
        if (a->fusion->live[id] && !a->fusion->finished[id]) /* what those read, their convolutions do */
            look_at_consumer(a, a->fusion->nodes[id]);
    for (size_t i = 0; i < graph->output_count; i++)
        a->candidate[tensor_storage(graph->outputs[i].tensor)->id] = false;
}

/* --- chains --- */

/* A read takes a stride for each dimension; a guarded dimension takes up to five numbers. */
static uint32_t read_constants(const struct fused_read *read)
{
    if (!read->through)
        return read->tensor->shape.rank;
    uint32_t count = 1;
    for (uint32_t i = 0; i < read->through->shape.rank; i++) {
        const struct rearranged_axis *axis = &read->through->attributes.rearrangement.axes[i];
        count += rearranged_axis_is_guarded(axis, read->through->shape.dims[i],
                                            read->tensor->shape.dims[axis->from]) ? 5 : 1;
    }
    return count;
}

static bool chain_add_leaf(struct chain *chain, struct fused_read read)
{
    const vkg_tensor *storage = tensor_storage(read.tensor);
    for (uint32_t l = 0; l < chain->leaf_count; l++)
        if (fused_same_read(&chain->leaves[l], &read))
            return true;
    if (chain->leaf_count == FUSED_MAX_LEAVES)
        return false;
    chain->leaves[chain->leaf_count++] = read;
    chain->constants += read_constants(&read);
    if (storage->superseded < chain->superseded)
        chain->superseded = storage->superseded;
    return true;
}

static bool chain_join(struct chain *chain, const struct chain *other)
{
    bool fits = true;
    for (uint32_t l = 0; l < other->leaf_count; l++)
        fits &= chain_add_leaf(chain, other->leaves[l]);
    chain->cost += other->cost;
    chain->numbers += other->numbers;
    chain->expensive |= other->expensive;
    return fits && chain->cost <= MAX_COST && (chain->constants <= MAX_CONSTANTS || chain->leaf_count <= 3) &&
           chain->constants + chain->numbers <= MAX_WITH_NUMBERS;
}

/* The chain that ends in `node`. Where it gets too large, an input is computed on its own instead. */
static void build_chain(struct analysis *a, const vkg_tensor *node)
{
    bool *inlined = a->fusion->inlined;
    struct chain *chain = &a->chains[node->id];
    for (bool fits = false; !fits;) {
        fits = true;
        *chain = (struct chain){.cost = 1, .numbers = fused_count_numbers(node), .superseded = UINT32_MAX,
                                .expensive = node->op->expensive};
        uint32_t largest = UINT32_MAX, largest_cost = 0;
        for (uint32_t i = 0; i < node->input_count; i++) {
            const vkg_tensor *read = node->inputs[i], *storage = tensor_storage(read);
            if (!fused_is_inline(read, inlined)) {
                fits &= chain_add_leaf(chain, fused_read_of(node, i));
                continue;
            }
            fits &= chain_join(chain, &a->chains[storage->id]);
            if (storage->input_count && a->chains[storage->id].cost > largest_cost) {
                largest_cost = a->chains[storage->id].cost;
                largest = storage->id;
            }
        }
        if (!fits && largest == UINT32_MAX)
            return; /* three leaves always fit */
        if (!fits) {
            inlined[largest] = false;
            a->undone = true;
        }
    }
}

/* Is the leaf read at the element that is computed? */
static bool is_in_place(const struct fused_read *leaf, const vkg_shape *space)
{
    return !leaf->through && shape_equal(&leaf->tensor->shape, space);
}

/* Is what the node's chain reads still there when its last reader runs? An assignment reads every element before it overwrites that. */
static bool leaves_last(const struct analysis *a, const vkg_tensor *node)
{
    const struct chain *chain = &a->chains[node->id];
    const uint32_t last = a->last_use[node->id];
    if (last != chain->superseded)
        return last < chain->superseded;
    bool in_place = a->graph->tensors[last]->op == &op_assign;
    for (uint32_t l = 0; l < chain->leaf_count; l++) {
        const struct fused_read *leaf = &chain->leaves[l];
        if (tensor_storage(leaf->tensor)->superseded == last)
            in_place &= is_in_place(leaf, &node->shape);
    }
    return in_place;
}

/* May a larger space compute the node's chain? One that reads through a rearrangement is told where by its own space. */
static bool may_repeat(const struct analysis *a, const vkg_tensor *node)
{
    const struct chain *chain = &a->chains[node->id];
    bool cheap = !chain->expensive && chain->cost <= MAX_REPEATED_COST;
    for (uint32_t l = 0; l < chain->leaf_count; l++)
        cheap &= !chain->leaves[l].through;
    return cheap || !a->repeats[node->id];
}

static void rebuild_chains(struct analysis *a)
{
    while (a->undone) { /* ends, as nodes are taken out alone */
        a->undone = false;
        for (size_t id = 0; id < a->graph->tensor_count; id++)
            if (a->fusion->live[id] && is_fusible(a, a->fusion->nodes[id]))
                build_chain(a, a->fusion->nodes[id]);
    }
}

static void decide_inlining(struct analysis *a)
{
    for (size_t id = 0; id < a->graph->tensor_count; id++) {
        const vkg_tensor *node = a->fusion->nodes[id];
        if (!a->fusion->live[id] || !is_fusible(a, node))
            continue;
        build_chain(a, node);
        const struct chain *chain = &a->chains[id];
        bool cheap = a->uses[id] <= 1 || (!node->op->expensive && chain->cost <= MAX_REPEATED_COST &&
                                          chain->leaf_count <= MAX_REPEATED_LEAVES);
        a->fusion->inlined[id] = a->candidate[id] && cheap && may_repeat(a, node) && leaves_last(a, node);
    }
    rebuild_chains(a);
}

/* --- units --- */

/* Does the unit read the storage? elsewhere_only: at the element that is computed does not count. */
static bool unit_reads(const struct analysis *a, const struct unit *unit, const vkg_tensor *storage, bool elsewhere_only)
{
    bool reads = false;
    for (uint32_t i = 0; i < unit->fused.output_count; i++) {
        const struct chain *chain = &a->chains[unit->fused.outputs[i]->id];
        for (uint32_t l = 0; l < chain->leaf_count; l++)
            reads |= tensor_storage(chain->leaves[l].tensor) == storage && !(elsewhere_only && is_in_place(&chain->leaves[l], &unit->fused.space));
    }
    if (unit->node) {
        const struct epilogue *epilogue = &a->fusion->epilogues[tensor_storage(unit->node)->id];
        for (uint32_t i = 0; i < unit->node->input_count; i++)
            reads |= tensor_storage(unit->node->inputs[i]) == storage;
        reads |= (epilogue->bias && tensor_storage(epilogue->bias) == storage) || (epilogue->step && tensor_storage(epilogue->step) == storage);
    }
    return reads;
}

/* May an assignment run in unit `u`? Only where no unit behind that still reads the old value, which chains may have as a leaf of what they
 * compute inside, nor `u` itself but element by element, as a kernel loads before it stores; and behind what assigned the old value. */
static bool assign_may_move(const struct analysis *a, const vkg_tensor *node, uint32_t u)
{
    const vkg_tensor *old = NULL;
    for (size_t id = 0; id < node->id && !old; id++)
        if (a->graph->tensors[id]->op == &op_state && a->graph->tensors[id]->superseded == node->id)
            old = a->graph->tensors[id];
    if (!old || old->id > a->fusion->units[u].fused.outputs[0]->id || unit_reads(a, &a->fusion->units[u], old, true))
        return false;
    bool read_later = false;
    for (size_t later = u + 1; later < a->fusion->unit_count; later++)
        read_later |= unit_reads(a, &a->fusion->units[later], old, false);
    return !read_later;
}

/* Is everything that the chain of `node` reads there when unit `u` runs? */
static bool leaves_are_ready(const struct analysis *a, const vkg_tensor *node, uint32_t u)
{
    const struct fused_kernel *kernel = &a->fusion->units[u].fused;
    const struct chain *chain = &a->chains[node->id];
    for (uint32_t l = 0; l < chain->leaf_count; l++) {
        const vkg_tensor *storage = tensor_storage(chain->leaves[l].tensor);
        if (storage->op->kind == OP_LEAF) {
            if (storage->id > kernel->outputs[0]->id)
                return false;
            continue;
        }
        bool own = a->unit_of[storage->id] == u && kernel->axes == 0 && is_in_place(&chain->leaves[l], &kernel->space);
        if (a->unit_of[storage->id] >= u && !own)
            return false;
    }
    return true;
}

static bool fits_bindings(const struct analysis *a, const struct fused_kernel *kernel, const vkg_tensor *node)
{
    struct chain all = {.superseded = UINT32_MAX};
    bool fits = chain_join(&all, &a->chains[node->id]);
    for (uint32_t i = 0; i < kernel->output_count; i++)
        fits &= chain_join(&all, &a->chains[kernel->outputs[i]->id]);
    return fits && all.leaf_count + kernel->output_count + 1 <= a->limits->bindings;
}

static bool may_join(const struct analysis *a, const vkg_tensor *node, uint32_t u)
{
    const struct unit *unit = &a->fusion->units[u];
    return !unit->node && unit->fused.output_count < FUSED_MAX_OUTPUTS &&
           unit->fused.axes == (node->op->kind == OP_REDUCE ? node->attributes.axes : 0) &&
           shape_equal(&unit->fused.space, fused_space(node)) && fits_bindings(a, &unit->fused, node) &&
           leaves_are_ready(a, node, u) && (node->op != &op_assign || assign_may_move(a, node, u));
}

static bool add_unit(struct analysis *a, const vkg_tensor *node)
{
    struct fusion *fusion = a->fusion;
    if (!array_reserve((void **)&fusion->units, &a->unit_capacity, fusion->unit_count, sizeof *fusion->units))
        return false;
    struct unit *unit = &fusion->units[fusion->unit_count];
    *unit = (struct unit){.node = is_fusible(a, node) ? NULL : node};
    if (is_fusible(a, node))
        unit->fused = (struct fused_kernel){.space = *fused_space(node), .output_count = 1, .outputs = {node},
                                            .axes = node->op->kind == OP_REDUCE ? node->attributes.axes : 0};
    const uint32_t id = tensor_storage(node)->id;
    a->unit_of[id] = (uint32_t)fusion->unit_count++;
    const struct epilogue *epilogue = &fusion->epilogues[id];
    if (epilogue->result)
        a->unit_of[epilogue->result->id] = a->unit_of[id];
    if (epilogue->copy)
        a->unit_of[epilogue->copy->id] = a->unit_of[id];
    return true;
}

static bool group(struct analysis *a)
{
    struct fusion *fusion = a->fusion;
    for (size_t id = 0; id < a->graph->tensor_count; id++) {
        const vkg_tensor *node = fusion->nodes[id];
        if (!fusion->live[id] || fusion->inlined[id] || !is_unit(a, node))
            continue;
        bool joined = false;
        for (size_t back = 1; is_fusible(a, node) && !joined && back <= WINDOW && back <= fusion->unit_count; back++) {
            uint32_t u = (uint32_t)(fusion->unit_count - back);
            joined = may_join(a, node, u);
            if (joined) {
                struct fused_kernel *kernel = &fusion->units[u].fused;
                kernel->outputs[kernel->output_count++] = node;
                a->unit_of[id] = u;
            }
        }
        if (!joined && !add_unit(a, node))
            return false;
    }
    return true;
}

bool fusion_create(const vkg_graph *graph, const struct fusion_limits *limits, struct fusion *fusion)
{
    size_t n = graph->tensor_count + 1;
    *fusion = (struct fusion){.nodes = calloc(n, sizeof *fusion->nodes), .live = calloc(n, sizeof(bool)), .inlined = calloc(n, sizeof(bool)),
                              .finished = calloc(n, sizeof(bool)), .epilogues = calloc(n, sizeof(struct epilogue)),
                              .memory = calloc(n, sizeof(vkg_dtype))};
    struct analysis a = {
        .graph = graph, .fusion = fusion, .limits = limits, .candidate = calloc(n, sizeof(bool)),
        .repeats = calloc(n, sizeof(bool)), .uses = calloc(n, sizeof(uint32_t)), .last_use = calloc(n, sizeof(uint32_t)),
        .chains = calloc(n, sizeof(struct chain)), .unit_of = calloc(n, sizeof(uint32_t))};
    bool made = fusion->nodes && fusion->live && fusion->inlined && fusion->finished && fusion->epilogues && fusion->memory && a.candidate &&
                a.repeats && a.uses && a.last_use && a.chains && a.unit_of;
    if (made) {
        find_nodes(&a);
        mark_live(&a);
        for (size_t id = 0; id < graph->tensor_count; id++)
            fusion->memory[id] = graph->tensors[id]->dtype;
        made = epilogues_find(graph, limits->elements_of_epilogues, fusion);
    }
    if (made) {
        find_candidates(&a);
        decide_inlining(&a);
        made = group(&a);
    }
    free(a.candidate);
    free(a.repeats);
    free(a.uses);
    free(a.last_use);
    free(a.chains);
    free(a.unit_of);
    if (!made)
        fusion_free(fusion);
    return made;
}

void fusion_free(struct fusion *fusion)
{
    free(fusion->nodes);
    free(fusion->live);
    free(fusion->inlined);
    free(fusion->finished);
    free(fusion->epilogues);
    free(fusion->memory);
    free(fusion->units);
    *fusion = (struct fusion){0};
}
