/* Optimisers: what they are made of, and how a call becomes one node of the graph. */
#include "ops/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/blocks.h"
#include "ops/ops.h"

/* --- the table: by kind, without and with momentum --- */

#define SHADERS(name) {name "_storage", name "_texel"}
#define ADAM(name)                                                                                                      \
    {name, .first_moment = "exp_avg", .second_moment = "exp_avg_sq", .shaders = SHADERS("adam"), .corrects = true}

static const struct optimizer_rule rules[][2] = {
    [VKG_OPTIMIZER_ADAM] = {ADAM("adam"), ADAM("adam")},
    [VKG_OPTIMIZER_ADAMW] = {ADAM("adamw"), ADAM("adamw")},
    [VKG_OPTIMIZER_RMSPROP] = {{"rmsprop", .second_moment = "square_avg", .shaders = SHADERS("rmsprop")},
                               {"rmsprop", .first_moment = "momentum_buffer", .second_moment = "square_avg",
                                .shaders = SHADERS("rmsprop_momentum")}},
    [VKG_OPTIMIZER_SGD] = {{"sgd", .shaders = SHADERS("sgd")},
                           {"sgd", .first_moment = "momentum_buffer", .shaders = SHADERS("sgd_momentum")}},
};
enum { KINDS = sizeof rules / sizeof *rules };

const char *vkg_optimizer_name(vkg_optimizer kind)
{
    return (unsigned)kind < KINDS ? rules[kind][0].name : "unknown";
}

bool vkg_optimizer_by_name(const char *name, vkg_optimizer *kind)
{
    for (int k = 0; k < KINDS; k++)
        if (strcmp(rules[k][0].name, name) == 0) {
            *kind = (vkg_optimizer)k;
            return true;
        }
    return false;
}

static bool is_adam(vkg_optimizer kind)
{
    return kind == VKG_OPTIMIZER_ADAM || kind == VKG_OPTIMIZER_ADAMW;
}

/* --- settings --- */

bool setting_is_within(vkg_graph *graph, const char *of, const char *field, double value, double low, double high)
{
    if (value >= low && value <= high)
        return true;
    if (isinf(high))
        graph_fail(graph, "%s: %s is %g, expected a number from %g on", of, field, value, low);
    else
        graph_fail(graph, "%s: %s is %g, expected %g to %g", of, field, value, low, high);
    return false;
}

bool setting_is_below(vkg_graph *graph, const char *of, const char *field, double value, double high)
{
    if (value < high)
        return true;
    graph_fail(graph, "%s: %s is %g, expected a number below %g", of, field, value, high);
    return false;
}

/* The fields that this kind reads. */
static bool check_desc(vkg_graph *graph, const char *name, const vkg_optimizer_desc *desc)
{
    char of[128];
    snprintf(of, sizeof of, "optimizer \"%s\"", name);
    if ((unsigned)desc->kind >= KINDS) {
        graph_fail(graph, "%s: kind is %d, expected 0 to %d", of, (int)desc->kind, KINDS - 1);
        return false;
    }
    const bool adam = is_adam(desc->kind), sgd = desc->kind == VKG_OPTIMIZER_SGD;
    return setting_is_within(graph, of, "lr", (double)desc->lr, 0, (double)INFINITY) &&
           (!adam || setting_is_below(graph, of, "beta1", (double)desc->beta1, 1)) &&
           (!adam || setting_is_below(graph, of, "beta2", (double)desc->beta2, 1)) &&
           (desc->kind != VKG_OPTIMIZER_RMSPROP || setting_is_below(graph, of, "alpha", (double)desc->alpha, 1)) &&
           (adam || (setting_is_within(graph, of, "momentum", (double)desc->momentum, 0, 1) &&
                     setting_is_below(graph, of, "momentum", (double)desc->momentum, 1))) &&
           (sgd || setting_is_below(graph, of, "epsilon", (double)desc->epsilon, (double)INFINITY)) &&
           setting_is_below(graph, of, "weight_decay", (double)desc->weight_decay, (double)INFINITY) &&
           setting_is_within(graph, of, "pace", (double)desc->pace, 0, 1) &&
           setting_is_within(graph, of, "clip_norm", (double)desc->clip_norm, 0, (double)INFINITY) &&
           setting_is_within(graph, of, "clip_value", (double)desc->clip_value, 0, (double)INFINITY) &&
           setting_is_within(graph, of, "clip_parameters", (double)desc->clip_parameters, 0, (double)INFINITY);
}

static float value_or(float value, float otherwise)
{
    return value == 0 ? otherwise : value < 0 ? 0 : value;
}

/* A decay of so many updates as take the place of one. */
static float paced(const vkg_optimizer_desc *desc, float decay)
{
    return desc->pace > 0 && desc->pace < 1 ? (float)pow((double)decay, (double)desc->pace) : decay;
}

static struct optimizer_push numbers_of(const vkg_optimizer_desc *desc)
{
    const bool adam = is_adam(desc->kind), decoupled = desc->kind == VKG_OPTIMIZER_ADAMW;
    return (struct optimizer_push){
        .count = 1,
        .beta1 = paced(desc, adam ? value_or(desc->beta1, 0.5f) : desc->momentum),
        .beta2 = paced(desc, adam ? value_or(desc->beta2, 0.999f) : value_or(desc->alpha, 0.99f)),
        .epsilon = value_or(desc->epsilon, 1e-8f),
        .weight_decay = decoupled ? 0 : value_or(desc->weight_decay, 0),
        .parameter_decay = decoupled ? value_or(desc->weight_decay, 0.01f) : 0,
        .clip_value = desc->clip_value,
        .clip_parameters = desc->clip_parameters};
}

vkg_tensor *optimizer_setting(vkg_graph *graph, const char *name, const char *what, uint32_t elements, float value)
{
    char full_name[256];
    snprintf(full_name, sizeof full_name, "optimizer.%s.%s", name, what);
    return graph_declare(graph, &(struct declaration_desc){
        .name = full_name, .shape = VKG_SHAPE(elements), .init = {VKG_INIT_CONSTANT, value, 0}, .absolute = true});
}

/* --- the learning rate, and the factor of the gradients --- */

static vkg_tensor *learning_rate(vkg_graph *graph, const char *name, const vkg_optimizer_desc *desc)
{
    const float pace = desc->pace > 0 ? desc->pace : 1;
    vkg_tensor *lr = optimizer_setting(graph, name, "lr", 1, pace * value_or(desc->lr, 2e-4f));
    if (desc->schedule.kind == VKG_SCHEDULE_CONSTANT && desc->schedule.warm_up == 0)
        return lr;
    return vkg_mul(graph, lr, vkg_schedule_factor(graph, &desc->schedule, vkg_steps_done(graph)));
}

vkg_tensor *vkg_learning_rate(vkg_graph *graph, const char *name, const vkg_optimizer_desc *desc)
{
    if (!check_desc(graph, name, desc))
        return graph->poison;
    return vkg_reshape(graph, learning_rate(graph, name, desc), VKG_SCALAR);
}

vkg_tensor *vkg_global_norm(vkg_graph *graph, vkg_tensor *const *tensors, uint32_t count)
{
    vkg_tensor *total = vkg_constant(graph, 0, VKG_SCALAR);
    for (uint32_t i = 0; i < count; i++)
        total = vkg_add(graph, total, vkg_sum(graph, vkg_square(graph, tensors[i]), VKG_ALL_AXES, false));
    return vkg_sqrt(graph, total);
}

/* `factor` times what the norm of the gradients allows. The norm is that of gradients times the factor, and where the
 * factor is 0 there may be no such number. */
static vkg_tensor *clip_norm(vkg_graph *graph, vkg_tensor *factor, vkg_tensor *const *gradients, uint32_t count,
                             float greatest)
{
    vkg_tensor *total = vkg_constant(graph, 0, VKG_SHAPE(1)), *zero = vkg_constant(graph, 0, VKG_SHAPE(1));
    vkg_tensor *one = vkg_constant(graph, 1, VKG_SHAPE(1)), *scalar = vkg_reshape(graph, factor, VKG_SCALAR);
    for (uint32_t i = 0; i < count; i++) {
        vkg_tensor *square = vkg_square(graph, vkg_mul(graph, gradients[i], scalar));
        total = vkg_add(graph, total, vkg_sum(graph, square, VKG_ALL_AXES, false));
    }
    vkg_tensor *norm = vkg_affine(graph, vkg_sqrt(graph, total), 1, 1e-6f);
    vkg_tensor *allowed = vkg_minimum(graph, one, vkg_div(graph, vkg_constant(graph, greatest, VKG_SHAPE(1)), norm));
    return vkg_where(graph, factor, vkg_mul(graph, factor, allowed), zero);
}

static vkg_tensor *gradients_factor(vkg_graph *graph, const char *name, const vkg_optimizer_desc *desc,
                                    vkg_tensor *const *gradients, uint32_t count)
{
    vkg_tensor *factor = vkg_data(graph, VKG_SHAPE(1), VKG_FLOAT32, &(float){1});
    if (desc->loss_scaling.enabled)
        factor = loss_scale_judge(graph, name, &desc->loss_scaling, gradients, count);
    if (desc->clip_norm > 0)
        factor = clip_norm(graph, factor, gradients, count, desc->clip_norm);
    if (desc->gate)
        factor = vkg_where(graph, vkg_reshape(graph, desc->gate, VKG_SHAPE(1)), factor,
                           vkg_constant(graph, 0, VKG_SHAPE(1)));
    return factor;
}

/* --- where gradients lie --- */

/* A gradient gets a place of its own in the network's block of gradients. What a kernel or a sum computes for
 * nobody else is put there directly; everything else is computed, or copied, into it by this. */
static const struct op op_gradient_slot = {.name = "gradient", .doc = "a, placed in its network's block",
                                           .kind = OP_POINTWISE, .unique = true, .glsl = "a"};

/* Does an earlier update of this graph own the memory of `tensor` already? */
static bool is_placed(const vkg_graph *graph, const vkg_tensor *tensor, vkg_tensor *const *mine, uint32_t mine_count)
{
    for (uint32_t i = 0; i < mine_count; i++)
        if (tensor_storage(mine[i]) == tensor)
            return true;
    for (size_t id = 0; id < graph->tensor_count; id++) {
        const vkg_tensor *node = graph->tensors[id];
        for (uint32_t i = 0; node->op == &op_optimizer && i < node->input_count; i++)
            if (tensor_storage(node->inputs[i]) == tensor)
                return true;
    }
    return false;
}

static vkg_tensor *gradient_slot(vkg_graph *graph, vkg_tensor *gradient, vkg_tensor *const *mine, uint32_t mine_count)
{
    const vkg_tensor *storage = tensor_storage(gradient);
    bool direct = storage->op->kind == OP_KERNEL || storage->op->kind == OP_REDUCE;
    for (size_t i = 0; i < graph->output_count; i++)
        direct &= tensor_storage(graph->outputs[i].tensor) != storage;
    if (direct && !is_placed(graph, storage, mine, mine_count))
        return gradient;
    return graph_add_node(graph, &(struct node_desc){.op = &op_gradient_slot, .shape = gradient->shape,
                                                     .input_count = 1, .inputs = &gradient});
}

/* Fused like an assignment, and as little part of its readers. */
static const struct op op_accumulate = {.name = "accumulate", .doc = "a, written out", .kind = OP_POINTWISE,
                                        .unique = true, .stored = true, .glsl = "a"};

void vkg_accumulate(vkg_graph *graph, vkg_tensor *const *gradients, uint32_t count, float weight, vkg_tensor **sums)
{
    for (uint32_t i = 0; i < count; i++) {
        vkg_tensor *sum = vkg_affine(graph, gradients[i], weight, 0);
        if (sums[i])
            sum = vkg_add(graph, sums[i], sum);
        sums[i] = graph_add_node(graph, &(struct node_desc){.op = &op_accumulate, .shape = sum->shape, .input_count = 1,
                                                            .inputs = &sum});
    }
}

/* --- the call --- */

static bool check_parameters(vkg_graph *graph, const char *name, vkg_tensor *const *parameters,
                             vkg_tensor *const *gradients, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const vkg_tensor *p = parameters[i];
        if (p->poisoned || gradients[i]->poisoned)
            return false;
        if (p->op != &op_state || graph->declarations[p->attributes.index].current != p ||
            !graph->declarations[p->attributes.index].trained) {
            graph_fail(graph, "optimizer \"%s\": parameter %u (\"%s\") is not the present version of a parameter", name,
                       i, p->name);
            return false;
        }
        if (!shape_equal(&p->shape, &gradients[i]->shape)) {
            graph_fail(graph, "optimizer \"%s\": \"%s\" has shape %s, its gradient %s", name, p->name, SHAPE(&p->shape),
                       SHAPE(&gradients[i]->shape));
            return false;
        }
    }
    if (count == 0)
        graph_fail(graph, "optimizer \"%s\": there are no parameters to train", name);
    return count > 0;
}

/* owner: the optimiser, where the moment has its name too, or NULL. `parameter` by value: declaring moves the graph's list. */
static uint32_t declare_moment(vkg_graph *graph, const char *kind, const char *owner, struct declaration parameter)
{
    char name[512];
    if (snprintf(name, sizeof name, "%s.%s%s%s", kind, owner ? owner : "", owner ? "." : "", parameter.name) >= (int)sizeof name) {
        graph_fail(graph, "optimizer: the name \"%s\" is too long", parameter.name);
        return UINT32_MAX;
    }
    vkg_tensor *moment = graph_declare(graph, &(struct declaration_desc){
        .name = name, .shape = parameter.shape, .torch_axes = parameter.torch_axes, .absolute = true});
    return moment->poisoned ? UINT32_MAX : moment->attributes.index;
}

/* The parameters, then all moments of one kind, then all of the other: each is one block, in the parameters' order. */
static struct block_update *add_update(vkg_graph *graph, const struct optimizer_rule *rule, const char *owner,
                                       vkg_tensor *const *parameters, uint32_t count, uint32_t *index)
{
    const char *const kinds[2] = {rule->first_moment ? rule->first_moment : rule->second_moment,
                                  rule->first_moment ? rule->second_moment : NULL};
    const uint32_t moments = (kinds[0] != NULL) + (kinds[1] != NULL);
    struct block_update *update = blocks_add_update(graph, count, 1 + moments, index);
    if (!update)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        update->blocks[0][i] = parameters[i]->attributes.index;
    for (uint32_t m = 0; m < moments; m++)
        for (uint32_t i = 0; i < count; i++)
            update->blocks[1 + m][i] = declare_moment(graph, kinds[m], owner, graph->declarations[update->blocks[0][i]]);
    return update;
}

void vkg_optimize(vkg_graph *graph, const char *name, vkg_tensor *const *parameters, vkg_tensor *const *gradients,
                  uint32_t count, const vkg_optimizer_desc *desc)
{
    if (!check_parameters(graph, name, parameters, gradients, count) || !check_desc(graph, name, desc))
        return;
    const struct optimizer_rule *rule = &rules[desc->kind][desc->momentum > 0];
    struct optimizer_settings *settings = arena_alloc(&graph->arena, sizeof *settings);
    vkg_tensor **inputs = arena_alloc(&graph->arena, (count + 2) * sizeof *inputs);
    uint32_t index;
    if (!settings || !inputs) {
        graph->out_of_memory = true;
        return;
    }
    *settings = (struct optimizer_settings){
        .rule = rule, .scales = desc->loss_scaling.enabled || desc->clip_norm > 0 || desc->gate, .push = numbers_of(desc)};
    for (uint32_t i = 0; i < count; i++)
        inputs[i] = gradient_slot(graph, gradients[i], inputs, i);
    inputs[count] = learning_rate(graph, name, desc);
    if (rule->corrects)
        settings->corrections = optimizer_setting(graph, name, "corrections", 4, 0)->attributes.index;
    struct block_update *update = add_update(graph, rule, desc->own_moments ? name : NULL, parameters, count, &index);
    inputs[count + 1] = gradients_factor(graph, name, desc, inputs, count);
    if (!update || graph->error || graph->out_of_memory)
        return;
    update->settings = settings;
    vkg_tensor *node = graph_add_node(graph, &(struct node_desc){
        .op = &op_optimizer, .shape = VKG_SCALAR, .input_count = count + 2, .inputs = inputs, .attributes.index = index});
    for (uint32_t i = 0; i < count; i++)
        graph_supersede(graph, parameters[i]->attributes.index, node);
}
