/* Moving averages of networks: the shadow is laid out like what it follows, and takes a dispatch or two a step. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/blocks.h"
#include "ops/ops.h"
#include "ops/optimizer.h"

/* --- the kernel --- */

/* Of block_update.blocks: the shadow, and what it follows. The node's inputs: β [1], and what it follows. */
enum { SHADOW, ORIGINAL };

static vkg_result lower_run(struct lowering *lowering, const vkg_tensor *node, const struct block_update *update,
                            const struct block_run *run)
{
    const enum binding_format format = lowering_read_format(lowering, run->bytes, true);
    struct dispatch *dispatch = lowering_add_dispatch(
        lowering, "moving average",
        shader_find(format == FORMAT_STORAGE ? "moving_average_storage" : "moving_average_texel"));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    vkg_result result = blocks_bind(lowering, dispatch, update, ORIGINAL, run, format, false);
    if (result == VKG_OK)
        result = blocks_bind(lowering, dispatch, update, SHADOW, run, format, false);
    if (result == VKG_OK)
        result = blocks_bind(lowering, dispatch, update, SHADOW, run, FORMAT_STORAGE, true);
    if (result == VKG_OK)
        result = lowering_bind_tensor(lowering, dispatch, node->inputs[0], FORMAT_STORAGE, true, false);
    const uint32_t count = blocks_vec4_count(run);
    dispatch_push(dispatch, &count, sizeof count);
    return result == VKG_OK ? blocks_grid(lowering, dispatch, run) : result;
}

static vkg_result lower_average(struct lowering *lowering, const vkg_tensor *node)
{
    return blocks_for_each_run(lowering, node, lower_run);
}

static const struct op op_moving_average = {.name = "moving average", .doc = "shadow ← x + β·(shadow − x)",
                                            .kind = OP_UPDATE, .unique = true, .lower = lower_average};

/* --- its nodes --- */

static bool is_followed(const struct declaration *declaration, const char *of, bool trained)
{
    return declaration->trained == trained && declaration->dtype == VKG_FLOAT32 &&
           strncmp(declaration->name, of, strlen(of)) == 0;
}

/* `original` by value: declaring moves the graph's list. */
static uint32_t declare_shadow(vkg_graph *graph, struct declaration original)
{
    char name[512];
    if (snprintf(name, sizeof name, "ema.%s", original.name) >= (int)sizeof name) {
        graph_fail(graph, "ema: the name \"%s\" is too long", original.name);
        return UINT32_MAX;
    }
    vkg_tensor *shadow = graph_declare(graph, &(struct declaration_desc){
        .name = name, .shape = original.shape, .torch_axes = original.torch_axes, .absolute = true});
    return shadow->poisoned ? UINT32_MAX : shadow->attributes.index;
}

/* The shadows of all that is trained, or of all that is not, follow by β [1]. */
static void follow(vkg_graph *graph, const char *of, bool trained, vkg_tensor *beta)
{
    const size_t declared = graph->declaration_count; /* shadows come behind */
    uint32_t count = 0, index;
    for (size_t d = 0; d < declared; d++)
        count += is_followed(&graph->declarations[d], of, trained);
    struct block_update *update = count ? blocks_add_update(graph, count, 2, &index) : NULL;
    vkg_tensor **inputs = arena_alloc(&graph->arena, (count + 1) * sizeof *inputs);
    graph->out_of_memory |= inputs == NULL;
    if (!update || !inputs)
        return;
    count = 0;
    inputs[0] = beta;
    for (size_t d = 0; d < declared; d++) {
        if (!is_followed(&graph->declarations[d], of, trained))
            continue;
        inputs[1 + count] = graph->declarations[d].current;
        update->blocks[ORIGINAL][count] = (uint32_t)d;
        update->blocks[SHADOW][count++] = declare_shadow(graph, graph->declarations[d]);
    }
    if (graph->error || graph->out_of_memory)
        return;
    vkg_tensor *node = graph_add_node(graph, &(struct node_desc){
        .op = &op_moving_average, .shape = VKG_SCALAR, .input_count = count + 1, .inputs = inputs,
        .attributes.index = index});
    for (uint32_t i = 0; i < count; i++)
        graph_supersede(graph, update->blocks[SHADOW][i], node);
}

/* --- β --- */

static bool check_ema(vkg_graph *graph, const vkg_ema *ema)
{
    const char *const of = "ema";
    if (ema->decay != 0 && ema->half_life_images != 0) {
        graph_fail(graph, "%s: decay is %g and half_life_images %g, expected one of them", of, (double)ema->decay,
                   ema->half_life_images);
        return false;
    }
    return setting_is_within(graph, of, "decay", (double)ema->decay, 0, 1) &&
           setting_is_below(graph, of, "decay", (double)ema->decay, 1) &&
           setting_is_within(graph, of, "half_life_images", ema->half_life_images, 0, (double)INFINITY) &&
           setting_is_within(graph, of, "ramp_up", (double)ema->ramp_up, 0, (double)INFINITY);
}

/* How often there was an average before, [1]. */
static vkg_tensor *declare_count(vkg_graph *graph, const char *of)
{
    char name[512];
    const size_t length = strlen(of);
    snprintf(name, sizeof name, "ema.count.%.*s", (int)(length && of[length - 1] == '.' ? length - 1 : length), of);
    return graph_declare(graph, &(struct declaration_desc){.name = name, .shape = VKG_SHAPE(1), .absolute = true});
}

/* The half-life in averagings: β = ½^(1/half-life). */
static float half_life(const vkg_ema *ema, uint32_t images)
{
    const double decay = ema->decay > 0 ? (double)ema->decay : 0.999;
    return (float)(ema->half_life_images > 0 ? ema->half_life_images / images : log(0.5) / log(decay));
}

/* The β of this averaging, [1], which it counts. */
static vkg_tensor *beta_of(vkg_graph *graph, const vkg_ema *ema, uint32_t images)
{
    const vkg_shape one = VKG_SHAPE(1);
    vkg_tensor *count = declare_count(graph, ema->of);
    vkg_tensor *life = vkg_constant(graph, half_life(ema, images), one);
    if (ema->ramp_up > 0)
        life = vkg_minimum(graph, life, vkg_affine(graph, count, ema->ramp_up, 0));
    vkg_tensor *beta = vkg_exp(graph, vkg_div(graph, vkg_constant(graph, (float)log(0.5), one), life));
    beta = vkg_where(graph, count, beta, vkg_constant(graph, 0, one));
    vkg_assign(graph, count, vkg_affine(graph, count, 1, 1));
    return beta;
}

bool vkg_ema_update(vkg_graph *graph, const vkg_ema *ema, uint32_t images)
{
    bool any = false;
    if (!ema->of || !check_ema(graph, ema))
        return false;
    for (size_t d = 0; d < graph->declaration_count; d++)
        any |= is_followed(&graph->declarations[d], ema->of, true) || is_followed(&graph->declarations[d], ema->of, false);
    if (!any)
        return false;
    follow(graph, ema->of, true, beta_of(graph, ema, images));
    follow(graph, ema->of, false, vkg_data(graph, VKG_SHAPE(1), VKG_FLOAT32, &(float){0}));
    return true;
}
