/* Sums, and what reduces as they do: the space is [outer][reduced][inner]. An invocation sums, for one outer and inner index, every
 * `parts`-th of the reduced ones. Where parts > 1 they are added
 * - by the workgroups themselves, where all inner indices fit into one, side by side: each adds its own in shared memory, and the one that is
 *   done last, which a counter says, adds those of all. A dispatch that does little else takes some microseconds on a graphics card;
 * - or by a second kernel (reduce_parts.comp).
 * The order of additions is fixed: deterministic.
 *
 * Loops over elements are tested at their end: on CPU drivers one that is tested at its start runs its body once more, with no lane
 * alive. Where results are read behind such a loop, all lanes leave it together: lavapipe 22.3 and SwiftShader 5 go on
 * computing for lanes that left before, and may find there what those computed. */
#include "kernels/choice.h"
#include "kernels/fused_writer.h"

/* How a loop reduces: the variable r<n> starts as that of nothing, with others beside it, and takes in a value. */
static const struct reduction_text {
    const char *nothing, *beside, *combine;
} reductions[] = {
    [REDUCE_SUM] = {"T(0)", "", "    r%1$u = r%1$u + %2$s;\n"},
    [REDUCE_MAX] = {"T(uintBitsToFloat(0xff800000u))", "", "    r%1$u = maximum(r%1$u, %2$s);\n"},
    /* with the mean of what was seen (Welford 1962), which is f + m, f the first number: m keeps its digits far from
     * zero; share: 1 of so many */
    [REDUCE_DEVIATIONS] = {"T(0)", "    T m%1$u = T(0), f%1$u = T(0);\n",
                           "    { if (seen == 1) f%1$u = %2$s; T x = %2$s - f%1$u, d = x - m%1$u; m%1$u += d * share; "
                           "r%1$u += d * (x - m%1$u); }\n"},
};

static const struct reduction_text *text_of(const struct fused_writer *w, uint32_t output)
{
    return &reductions[w->kernel->outputs[output]->op->reduction];
}

struct sum_extents {
    uint64_t outer, reduced, inner; /* inner in units of the vector width */
    uint32_t parts;
    uint32_t workgroup, groups; /* of workgroups that add the parts themselves: for one outer index; groups 0: they do not */
};

static bool is_of_deviations(const vkg_tensor *output)
{
    return output->op->kind == OP_REDUCE && output->op->reduction == REDUCE_DEVIATIONS;
}

static bool counts_what_it_sees(const struct fused_kernel *kernel)
{
    bool counts = false;
    for (uint32_t i = 0; i < kernel->output_count; i++)
        counts |= is_of_deviations(kernel->outputs[i]);
    return counts;
}

/* --- text --- */

/* The invocation's own part, in r<n>. */
static void write_part(struct fused_writer *w, const struct sum_extents *extents)
{
    uint32_t first = w->dims.reduced_first, behind = first + w->dims.reduced_count;
    uint32_t inner = writer_add_size(w, extents->inner), parts = writer_add_size(w, extents->parts),
             reduced = writer_add_size(w, extents->reduced);
    fprintf(w->before_loop, "    uint inner = i %% c%u;\n    uint part = i / c%u %% c%u;\n    uint outer = i / (c%u * c%u);\n",
            inner, inner, parts, inner, parts);
    writer_write_coordinates(w, w->before_loop, 0, first, "outer");
    writer_write_coordinates(w, w->before_loop, behind, w->dims.count - behind, w->dims.width == 4 ? "inner * 4" : "inner");
    uint32_t steps = writer_add_size(w, (extents->reduced + extents->parts - 1) / extents->parts),
             uneven = writer_add_size(w, extents->reduced % extents->parts);
    fprintf(w->body, "    uint r = part, left = c%u;\n    do { if (r < c%u || c%u == 0) {\n", steps, reduced, uneven);
    writer_write_coordinates(w, w->body, first, w->dims.reduced_count, "r");
    writer_load_leaves(w);
    if (counts_what_it_sees(w->kernel)) {
        fprintf(w->before_loop, "    float seen = 0;\n");
        fprintf(w->body, "    seen += 1; float share = 1 / seen;\n");
    }
    for (uint32_t i = 0; i < w->kernel->output_count; i++) {
        char name[24];
        writer_name_input(w, w->kernel->outputs[i], 0, name);
        fprintf(w->before_loop, "    T r%u = %s;\n", i, text_of(w, i)->nothing);
        fprintf(w->before_loop, text_of(w, i)->beside, i);
        fprintf(w->body, text_of(w, i)->combine, i, name);
    }
    fprintf(w->body, "    } r += c%u; left--;\n    } while (left > 0);\n", parts);
}

static uint32_t write_parts(struct fused_writer *w, const void *user)
{
    const struct sum_extents *extents = user;
    const uint32_t count = writer_add_size(w, extents->outer * extents->parts * extents->inner);
    write_part(w, extents);
    for (uint32_t i = 0; i < w->kernel->output_count; i++) {
        writer_store(w, i, "r", i);
        if (extents->parts > 1 && is_of_deviations(w->kernel->outputs[i]))
            fprintf(w->body, "    out%1$u[i + c%2$u] = f%1$u + m%1$u;\n", i,
                    writer_add_size(w, extents->outer * extents->parts * extents->inner));
    }
    return count;
}

/* Adds up r<n> of the workgroup's lanes of the same inner index: lanes 0 … inner − 1 have the sums. */
static void write_tree(struct fused_writer *w, uint32_t inner)
{
    fprintf(w->body, "    for (uint rest = gl_WorkGroupSize.x / 2; rest >= c%u; rest /= 2) {\n", inner);
    for (uint32_t i = 0; i < w->kernel->output_count; i++)
        fprintf(w->body, "    of_lanes%u[lane] = r%u;\n", i, i);
    fprintf(w->body, "    barrier();\n    if (lane < rest) {\n");
    for (uint32_t i = 0; i < w->kernel->output_count; i++) {
        char other[40];
        snprintf(other, sizeof other, "of_lanes%u[lane + rest]", i);
        fprintf(w->body, text_of(w, i)->combine, i, other);
    }
    fprintf(w->body, "    }\n    barrier();\n    }\n");
}

/* Leaves the workgroup's sums to the last of those of one outer index, which adds up all of them. Memory may hold anything where a kernel
 * is only timed: whatever the counter began with, one of them is the last. */
static void write_last_group(struct fused_writer *w, const struct sum_extents *extents, uint32_t inner)
{
    const uint32_t lanes = extents->workgroup / (uint32_t)extents->inner, groups = writer_add_size(w, extents->groups),
                   steps = writer_add_size(w, (extents->groups + lanes - 1) / lanes),
                   all = writer_add_size(w, extents->outer * extents->groups * extents->inner);
    const uint32_t binding = w->leaf_count + w->kernel->output_count;
    fprintf(w->declarations, "layout(std430, binding = %u) coherent buffer groups_buffer { T of_groups[]; };\n"
            "layout(std430, binding = %u) coherent buffer counters_buffer { uint counters[]; };\nshared bool last;\n", binding, binding + 1);
    fprintf(w->body, "    if (lane < c%u) {\n", inner);
    for (uint32_t i = 0; i < w->kernel->output_count; i++)
        fprintf(w->body, "    of_groups[%uu * c%u + i0] = r%u;\n", i, all, i);
    fprintf(w->body,
            "    }\n    memoryBarrierBuffer();\n    barrier();\n    if (lane == 0) {\n    memoryBarrierBuffer();\n"
            "    last = (atomicAdd(counters[outer], 1u) + 1u) %% c%u == 0;\n    if (last) counters[outer] = 0;\n    memoryBarrierBuffer();\n    }\n    barrier();\n    if (!last)\n        return;\n    memoryBarrierBuffer();\n", groups);
    for (uint32_t i = 0; i < w->kernel->output_count; i++)
        fprintf(w->body, "    r%u = %s;\n", i, text_of(w, i)->nothing);
    fprintf(w->body, "    uint g = lane / c%u, turns = c%u;\n    do { if (g < c%u) {\n", inner, steps, groups);
    for (uint32_t i = 0; i < w->kernel->output_count; i++) {
        char other[96];
        snprintf(other, sizeof other, "of_groups[%uu * c%u + (outer * c%u + g) * c%u + inner]", i, all, groups, inner);
        fprintf(w->body, text_of(w, i)->combine, i, other);
    }
    fprintf(w->body, "    } g += gl_WorkGroupSize.x / c%u; turns--;\n    } while (turns > 0);\n", inner);
    write_tree(w, inner);
}

static uint32_t write_groups(struct fused_writer *w, const void *user)
{
    const struct sum_extents *extents = user;
    const uint32_t workgroup = writer_add_size(w, extents->workgroup);
    for (uint32_t i = 0; i < w->kernel->output_count; i++)
        fprintf(w->declarations, "shared T of_lanes%u[c%u];\n", i, workgroup);
    write_part(w, extents);
    const uint32_t inner = writer_add_size(w, extents->inner);
    fprintf(w->before_loop, "    uint lane = gl_LocalInvocationID.x, i0 = group * c%u + lane;\n", inner);
    write_tree(w, inner);
    if (extents->groups > 1)
        write_last_group(w, extents, inner);
    fprintf(w->body, "    if (lane < c%u) {\n    i = outer * c%u + lane;\n", inner, inner);
    for (uint32_t i = 0; i < w->kernel->output_count; i++)
        writer_store(w, i, "r", i);
    fprintf(w->body, "    }\n");
    return writer_add_size(w, extents->outer * extents->groups);
}

/* --- dispatches --- */

/* Can workgroups of so many invocations add their parts themselves? */
static bool adds_parts(const struct fused_writer *w, const struct sum_extents *extents, uint32_t workgroup)
{
    const vkg_device_caps *caps = &w->lowering->device->caps;
    const uint32_t outputs = w->kernel->output_count, bindings = w->leaf_count + outputs + 2,
                   shared_bytes = outputs * workgroup * w->dims.width * 4 + 64;
    bool able = caps->kernels != VKG_KERNELS_TEXEL && !caps->workgroups_apart && !caps->shared_sizes_fixed &&
                kernel_check_trust(w->lowering->device, SUMS_OF_WORKGROUPS) != TRUST_WRONG &&
                extents->inner <= workgroup && workgroup % extents->inner == 0 && shared_bytes <= caps->max_shared_memory &&
                bindings <= PIPELINE_MAX_BINDINGS && bindings <= caps->max_storage_buffers_per_stage;
    const uint64_t lanes = able ? workgroup / extents->inner : 0; /* halved until one is left */
    for (uint32_t i = 0; i < outputs; i++)
        able &= !is_of_deviations(w->kernel->outputs[i]);
    return able && (lanes & (lanes - 1)) == 0;
}

/* Enough parts to keep the device busy, each of at least 16 elements; fewer where another kernel has to read them. */
static uint32_t choose_parts(const struct lowering *lowering, uint64_t kept, uint64_t reduced, bool adds)
{
    const bool on_processor = lowering->device->caps.type == VKG_DEVICE_CPU;
    const uint64_t wanted = on_processor ? 512 : adds ? 131072 : 32768, many = on_processor ? 1024 : adds ? 8192 : 2048;
    uint64_t parts = (wanted + kept - 1) / kept, most = reduced / 16;
    parts = parts < most ? parts : most;
    uint64_t least = reduced / (lowering->device->caps.max_loop_iterations / 4) + 1; /* see drivers: loops that end early */
    parts = parts > least ? parts : least;
    parts = parts < reduced ? parts : reduced; /* each part has an element */
    return (uint32_t)(parts > many ? (least > many ? least : many) : parts);
}

static void cut(const struct fused_writer *w, struct sum_extents *extents)
{
    enum { FEWEST = 64 }; /* invocations of a workgroup */
    const vkg_device_caps *caps = &w->lowering->device->caps;
    uint32_t workgroup = caps->type == VKG_DEVICE_CPU ? 32 : workgroup_within(caps, 512);
    const bool adds = adds_parts(w, extents, workgroup);
    extents->parts = choose_parts(w->lowering, extents->outer * extents->inner, extents->reduced, adds);
    if (!adds || extents->parts == 1)
        return;
    while (workgroup > FEWEST && workgroup / 2 >= extents->inner * extents->parts)
        workgroup /= 2;
    const uint32_t lanes = workgroup / (uint32_t)extents->inner;
    extents->workgroup = workgroup;
    extents->groups = extents->parts / lanes > 1 ? extents->parts / lanes : 1;
    extents->parts = extents->groups * lanes;
}

static vkg_result lower_groups(struct fused_writer *w, const struct sum_extents *extents)
{
    struct lowering *lowering = w->lowering;
    struct dispatch *dispatch;
    struct placement sums = {0}, counters;
    vkg_result result = writer_emit(w, &(struct fused_body){.workgroup = extents->workgroup, .by_groups = true, .write = write_groups,
                                                            .user = extents}, &dispatch);
    for (uint32_t i = 0; i < w->kernel->output_count && result == VKG_OK; i++)
        result = lowering_bind_tensor(lowering, dispatch, w->kernel->outputs[i], FORMAT_STORAGE, false, true);
    if (extents->groups > 1 && result == VKG_OK) {
        const uint64_t bytes = w->kernel->output_count * extents->outer * extents->groups * extents->inner * w->dims.width * 4;
        result = lowering_add_storage(lowering, STORAGE_TEMPORARY, bytes, &sums.storage);
        if (result == VKG_OK)
            result = lowering_add_counters(lowering, extents->outer, &counters);
        if (result == VKG_OK) {
            dispatch_bind(dispatch, sums, bytes, FORMAT_STORAGE, true, true);
            dispatch_bind(dispatch, counters, extents->outer * 4, FORMAT_STORAGE, true, true);
        }
    }
    return result == VKG_OK ? dispatch_grid(lowering, dispatch, extents->outer * extents->groups) : result;
}

static vkg_result lower_parts(struct fused_writer *w, const struct sum_extents *extents)
{
    struct lowering *lowering = w->lowering;
    struct dispatch *dispatch;
    struct placement partial[FUSED_MAX_OUTPUTS] = {0};
    const uint64_t invocations = extents->outer * extents->parts * extents->inner;
    vkg_result result = writer_emit(w, &(struct fused_body){.workgroup = simple_workgroup(&lowering->device->caps), .write = write_parts,
                                                            .user = extents}, &dispatch);
    for (uint32_t i = 0; i < w->kernel->output_count && result == VKG_OK; i++) {
        if (extents->parts == 1) {
            result = lowering_bind_tensor(lowering, dispatch, w->kernel->outputs[i], FORMAT_STORAGE, false, true);
            continue;
        }
        uint64_t bytes = invocations * w->dims.width * (is_of_deviations(w->kernel->outputs[i]) ? 8 : 4);
        result = lowering_add_storage(lowering, STORAGE_TEMPORARY, bytes, &partial[i].storage);
        if (result == VKG_OK)
            dispatch_bind(dispatch, partial[i], bytes, FORMAT_STORAGE, false, true);
    }
    if (result == VKG_OK)
        result = dispatch_grid(lowering, dispatch, writer_workgroups(lowering, invocations, 1));
    for (uint32_t i = 0; i < w->kernel->output_count && extents->parts > 1 && result == VKG_OK; i++)
        result = lowering_reduce_parts(lowering, &(struct partial_results){
            .reduction = w->kernel->outputs[i]->op->reduction, .reduced = extents->reduced, .outer = extents->outer, .parts = extents->parts,
            .inner = extents->inner * w->dims.width, .at = partial[i]}, w->kernel->outputs[i]);
    return result;
}

vkg_result writer_lower_sums(struct fused_writer *w)
{
    const struct fused_dims *dims = &w->dims;
    const uint32_t behind = dims->reduced_first + dims->reduced_count;
    struct sum_extents extents = {
        .outer = fused_extent(dims, 0, dims->reduced_first),
        .reduced = fused_extent(dims, dims->reduced_first, dims->reduced_count),
        .inner = fused_extent(dims, behind, dims->count - behind) / dims->width};
    cut(w, &extents);
    return extents.groups ? lower_groups(w, &extents) : lower_parts(w, &extents);
}
