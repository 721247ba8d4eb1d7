/* Learning-rate schedules: functions of a counter that lies in the state, out of ordinary operations. */
#include <math.h>
#include <string.h>

#include "kernels/lowering.h"
#include "ops/ops.h"
#include "ops/optimizer.h"

static const char *const names[] = {[VKG_SCHEDULE_CONSTANT] = "constant", [VKG_SCHEDULE_LINEAR] = "linear",
                                    [VKG_SCHEDULE_COSINE] = "cosine", [VKG_SCHEDULE_STEP] = "step"};
enum { KINDS = sizeof names / sizeof *names, MOST_STEPS = 1 << 24 /* steps are told apart as float32 */ };

const char *vkg_schedule_name(vkg_schedule_kind kind)
{
    return (unsigned)kind < KINDS ? names[kind] : "unknown";
}

bool vkg_schedule_by_name(const char *name, vkg_schedule_kind *kind)
{
    for (int k = 0; k < KINDS; k++)
        if (strcmp(names[k], name) == 0) {
            *kind = (vkg_schedule_kind)k;
            return true;
        }
    return false;
}

/* --- the counter --- */

static vkg_tensor *step_counter(vkg_graph *graph)
{
    return graph_declare(graph, &(struct declaration_desc){.name = "step", .shape = VKG_SHAPE(1), .dtype = VKG_UINT32,
                                                           .absolute = true});
}

vkg_tensor *vkg_steps_done(vkg_graph *graph)
{
    graph->counts_steps = true;
    return vkg_reshape(graph, vkg_cast(graph, step_counter(graph), VKG_FLOAT32), VKG_SCALAR);
}

vkg_result lower_step_count(struct lowering *lowering)
{
    if (!lowering->graph->counts_steps)
        return VKG_OK;
    struct dispatch *dispatch = lowering_add_dispatch(lowering, "count step", shader_find("count_step"));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    return lowering_bind_tensor(lowering, dispatch, step_counter(lowering->graph), FORMAT_STORAGE, true, true);
}

/* --- the factor --- */

static bool check_schedule(vkg_graph *graph, const vkg_schedule *s)
{
    const char *const of = "schedule";
    if ((unsigned)s->kind >= KINDS) {
        graph_fail(graph, "%s: kind is %d, expected 0 to %d", of, (int)s->kind, KINDS - 1);
        return false;
    }
    const bool falls = s->kind != VKG_SCHEDULE_CONSTANT;
    return setting_is_within(graph, of, "warm_up", s->warm_up, 0, MOST_STEPS) &&
           setting_is_within(graph, of, "hold", s->hold, 0, MOST_STEPS) &&
           setting_is_within(graph, of, "steps", s->steps, falls, MOST_STEPS) &&
           setting_is_within(graph, of, "end", (double)s->end, 0, 1) &&
           setting_is_within(graph, of, "gamma", (double)s->gamma, 0, (double)INFINITY);
}

/* Of whole numbers, as integers: a quotient of floats may lie a little below the whole one that it is. */
static const struct op op_whole_quotient = {.name = "whole_quotient", .doc = "⌊a/b⌋ of whole numbers", .kind = OP_POINTWISE,
                                            .glsl = "T(WORDS(a) / WORDS(b))"};

/* From 1 to `end` while `way` goes from 0 to 1. */
static vkg_tensor *towards_end(vkg_graph *graph, vkg_tensor *way, float end)
{
    return vkg_affine(graph, way, end - 1, 1);
}

static vkg_tensor *fall(vkg_graph *graph, const vkg_schedule *s, vkg_tensor *step)
{
    const float pi = 3.14159265358979f;
    const float steps = (float)(s->steps ? s->steps : 1), gamma = s->gamma > 0 ? s->gamma : 0.1f;
    vkg_tensor *all = vkg_constant(graph, steps, VKG_SCALAR), *drops;
    vkg_tensor *way = vkg_minimum(graph, vkg_div(graph, step, all), vkg_constant(graph, 1, VKG_SCALAR));
    switch (s->kind) {
    case VKG_SCHEDULE_LINEAR:
        return towards_end(graph, way, s->end);
    case VKG_SCHEDULE_COSINE:
        return towards_end(graph, vkg_affine(graph, vkg_cos(graph, vkg_affine(graph, way, pi, 0)), -0.5f, 0.5f), s->end);
    case VKG_SCHEDULE_STEP:
        drops = graph_add_node(graph, &(struct node_desc){.op = &op_whole_quotient, .shape = step->shape, .input_count = 2,
                                                          .inputs = (vkg_tensor *[]){step, all}});
        return vkg_pow(graph, vkg_constant(graph, gamma, VKG_SCALAR), drops);
    case VKG_SCHEDULE_CONSTANT:
        break;
    }
    return vkg_constant(graph, 1, VKG_SCALAR);
}

vkg_tensor *vkg_schedule_factor(vkg_graph *graph, const vkg_schedule *s, vkg_tensor *step)
{
    if (!check_schedule(graph, s))
        return graph->poison;
    const float before = (float)s->warm_up + (float)s->hold;
    vkg_tensor *rest = vkg_relu(graph, vkg_affine(graph, step, 1, -before));
    vkg_tensor *factor = fall(graph, s, rest);
    if (s->warm_up == 0)
        return factor;
    vkg_tensor *share = vkg_div(graph, vkg_affine(graph, step, 1, 1), vkg_constant(graph, (float)s->warm_up, VKG_SCALAR));
    return vkg_mul(graph, factor, vkg_minimum(graph, share, vkg_constant(graph, 1, VKG_SCALAR)));
}
