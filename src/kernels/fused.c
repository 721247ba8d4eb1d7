/* The GLSL of a fused kernel. Its text depends on the structure alone: sizes, strides and constants of the
 * operations are specialisation constants, so that layers of equal structure share one SPIR-V.
 *
 * Pointwise: one invocation computes elements i, i + stride, … (four neighbours each, where that is possible).
 * Sums: the space is [outer][reduced][inner]. An invocation sums, for one outer and inner index, every
 * `parts`-th of the reduced ones; where parts > 1 a second kernel adds the parts. No atomics: deterministic. */
#include "kernels/fused.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fused_space.h"
#include "ops/ops.h"

struct writer {
    struct lowering *lowering;
    const struct fused_kernel *kernel;
    const bool *inlined;
    FILE *declarations, *before_loop, *body;
    struct fused_leaf leaves[PIPELINE_MAX_BINDINGS];
    uint32_t leaf_count;
    struct fused_dims dims;
    uint32_t constant_count, constants[PIPELINE_MAX_CONSTANTS];
    uint32_t *values; /* tensor id → number of its variable + 1; 0: not computed yet */
    uint32_t value_count;
    bool too_large; /* more specialisation constants than there is room for */
};

/* --- leaves --- */

static uint32_t find_leaf(const struct writer *w, const vkg_tensor *read)
{
    for (uint32_t l = 0; l < w->leaf_count; l++)
        if (fused_same_read(w->leaves[l].tensor, read))
            return l;
    return UINT32_MAX;
}

/* A result of this kernel that is read back by a later chain of it: no load, the variable is there. */
static bool is_own_output(const struct writer *w, const vkg_tensor *read)
{
    for (uint32_t i = 0; i < w->kernel->output_count && w->kernel->axes == 0; i++)
        if (w->kernel->outputs[i] == tensor_storage(read))
            return true;
    return false;
}

static void collect_leaves(struct writer *w, const vkg_tensor *node)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        const vkg_tensor *read = node->inputs[i];
        if (fused_is_inline(read, w->inlined))
            collect_leaves(w, tensor_storage(read));
        else if (!is_own_output(w, read) && find_leaf(w, read) == UINT32_MAX &&
                 w->leaf_count < PIPELINE_MAX_BINDINGS)
            w->leaves[w->leaf_count++].tensor = read;
    }
}

/* --- text --- */

static uint32_t add_constant(struct writer *w, const char *type, const void *value)
{
    if (w->constant_count >= PIPELINE_MAX_CONSTANTS) {
        w->too_large = true;
        return 0;
    }
    memcpy(&w->constants[w->constant_count], value, 4);
    fprintf(w->declarations, "layout(constant_id = %u) const %s c%u = %s;\n", w->constant_count, type,
            w->constant_count, type[0] == 'f' ? "1.0" : "1");
    return w->constant_count++;
}

static uint32_t add_size(struct writer *w, uint64_t size)
{
    return add_constant(w, "uint", &(uint32_t){(uint32_t)size});
}

/* Coordinates k<first> … of one segment of dimensions out of its index. */
static void write_coordinates(struct writer *w, FILE *out, uint32_t first, uint32_t count, const char *index)
{
    if (count == 0)
        return;
    if (count == 1) {
        fprintf(out, "    uint k%u = %s;\n", first, index);
        return;
    }
    fprintf(out, "    uint q%u = %s;\n", first, index);
    for (uint32_t d = first + count - 1; d > first; d--) {
        uint32_t size = add_size(w, w->dims.size[d]);
        fprintf(out, "    uint k%u = q%u %% c%u;\n    q%u /= c%u;\n", d, first, size, first, size);
    }
    fprintf(out, "    uint k%u = q%u;\n", first, first);
}

/* Where leaf l's element lies: the sum of its coordinates times their strides in the leaf. */
static void write_offset(struct writer *w, FILE *out, uint32_t l)
{
    const struct fused_leaf *leaf = &w->leaves[l];
    uint64_t stride = 1;
    bool any = false;
    fprintf(out, "    uint o%u = ", l);
    for (uint32_t d = w->dims.count; d-- > 0;) {
        if (!(leaf->varies >> d & 1))
            continue;
        if (stride == 1)
            fprintf(out, "%sk%u", any ? " + " : "", d);
        else
            fprintf(out, "%sk%u * c%u", any ? " + " : "", d, add_size(w, stride));
        stride *= w->dims.size[d];
        any = true;
    }
    fprintf(out, "%s;\n", any ? "" : "0");
}

static enum binding_format leaf_format(const struct writer *w, const struct fused_leaf *leaf)
{
    return lowering_read_format(w->lowering, shape_elements(&leaf->tensor->shape) * 4, leaf->vector);
}

static void write_load(struct writer *w, uint32_t l)
{
    const struct fused_leaf *leaf = &w->leaves[l];
    uint32_t reduced = ((1u << w->dims.reduced_count) - 1) << w->dims.reduced_first;
    FILE *out = w->dims.reduced_count && !(leaf->varies & reduced) ? w->before_loop : w->body;
    write_offset(w, out, l);
    const char *index = leaf->vector ? " >> 2" : "";
    if (leaf_format(w, leaf) == FORMAT_STORAGE)
        fprintf(out, "    T l%u = T(in%u[o%u%s]);\n", l, l, l, index);
    else
        fprintf(out, "    T l%u = T(texelFetch(in%u, int(o%u%s))%s);\n", l, l, l, index, leaf->vector ? "" : ".x");
}

static void write_declarations_of_leaves(struct writer *w)
{
    for (uint32_t l = 0; l < w->leaf_count; l++) {
        if (leaf_format(w, &w->leaves[l]) == FORMAT_STORAGE)
            fprintf(w->declarations, "layout(std430, binding = %u) readonly buffer in_buffer%u { %s in%u[]; };\n", l, l,
                    w->leaves[l].vector ? "vec4" : "float", l);
        else
            fprintf(w->declarations, "layout(binding = %u) uniform samplerBuffer in%u;\n", l, l);
    }
    for (uint32_t i = 0; i < w->kernel->output_count; i++)
        fprintf(w->declarations, "layout(std430, binding = %u) writeonly buffer out_buffer%u { T out%u[]; };\n",
                w->leaf_count + i, i, i);
}

/* Does the expression use the one-letter name, as a name of its own? */
static bool uses_name(const char *expression, char name)
{
    for (const char *c = expression; *c; c++)
        if (*c == name && !(c > expression && (isalnum((unsigned char)c[-1]) || c[-1] == '_')) &&
            !(isalnum((unsigned char)c[1]) || c[1] == '_'))
            return true;
    return false;
}

/* The op's expression as a variable. Its inputs become the macro-like names a and b inside a block of their own. */
static void write_value(struct writer *w, const vkg_tensor *node)
{
    char names[2][24] = {"", ""};
    for (uint32_t i = 0; i < node->input_count && i < 2; i++) {
        const vkg_tensor *read = node->inputs[i], *storage = tensor_storage(read);
        bool computed = fused_is_inline(read, w->inlined) || is_own_output(w, read);
        if (computed && !w->values[storage->id])
            write_value(w, storage);
        if (computed)
            snprintf(names[i], sizeof names[i], "v%u", w->values[storage->id] - 1);
        else
            snprintf(names[i], sizeof names[i], "l%u", find_leaf(w, read));
    }
    uint32_t number = w->value_count++;
    w->values[node->id] = number + 1;
    fprintf(w->body, "    T v%u; {", number);
    for (uint32_t i = 0; i < node->input_count && i < 2; i++)
        fprintf(w->body, " T %c = %s;", "ab"[i], names[i]);
    for (uint32_t k = 0; k < 2; k++)
        if (uses_name(node->op->glsl, "pq"[k]))
            fprintf(w->body, " float %c = c%u;", "pq"[k],
                    add_constant(w, "float", k ? &node->attributes.q : &node->attributes.p));
    fprintf(w->body, " v%u = %s; }\n", number, node->op->glsl);
}

/* --- the two kinds of kernel --- */

static uint32_t write_pointwise(struct writer *w)
{
    uint64_t vectors = fused_extent(&w->dims, 0, w->dims.count) / w->dims.width;
    uint32_t count = add_size(w, vectors);
    write_coordinates(w, w->body, 0, w->dims.count, w->dims.width == 4 ? "i * 4" : "i");
    for (uint32_t l = 0; l < w->leaf_count; l++)
        write_load(w, l);
    for (uint32_t i = 0; i < w->kernel->output_count; i++) {
        const vkg_tensor *output = w->kernel->outputs[i];
        if (!w->values[output->id])
            write_value(w, output);
        fprintf(w->body, "    out%u[i] = v%u;\n", i, w->values[output->id] - 1);
    }
    return count;
}

struct sum_extents {
    uint64_t outer, reduced, inner; /* inner in units of the vector width */
    uint32_t parts;
};

static void write_sum(struct writer *w, const struct sum_extents *extents)
{
    uint32_t first = w->dims.reduced_first, behind = first + w->dims.reduced_count;
    uint32_t inner = add_size(w, extents->inner), parts = add_size(w, extents->parts),
             reduced = add_size(w, extents->reduced);
    fprintf(w->before_loop, "    uint inner = i %% c%u;\n    uint part = i / c%u %% c%u;\n    uint outer = i / (c%u * c%u);\n",
            inner, inner, parts, inner, parts);
    write_coordinates(w, w->before_loop, 0, first, "outer");
    write_coordinates(w, w->before_loop, behind, w->dims.count - behind, w->dims.width == 4 ? "inner * 4" : "inner");
    fprintf(w->body, "    for (uint r = part; r < c%u; r += c%u) {\n", reduced, parts);
    write_coordinates(w, w->body, first, w->dims.reduced_count, "r");
    for (uint32_t l = 0; l < w->leaf_count; l++)
        write_load(w, l);
    for (uint32_t i = 0; i < w->kernel->output_count; i++) {
        const vkg_tensor *read = w->kernel->outputs[i]->inputs[0], *storage = tensor_storage(read);
        fprintf(w->before_loop, "    T sum%u = T(0);\n", i);
        if (!fused_is_inline(read, w->inlined)) {
            fprintf(w->body, "    sum%u += l%u;\n", i, find_leaf(w, read));
            continue;
        }
        if (!w->values[storage->id])
            write_value(w, storage);
        fprintf(w->body, "    sum%u += v%u;\n", i, w->values[storage->id] - 1);
    }
    fprintf(w->body, "    }\n");
    for (uint32_t i = 0; i < w->kernel->output_count; i++)
        fprintf(w->body, "    out%u[i] = sum%u;\n", i, i);
}

static void write_frame(struct writer *w, FILE *source, uint32_t count, const char *declarations,
                        const char *before_loop, const char *body)
{
    fprintf(source,
            "#version 450\n#extension GL_GOOGLE_include_directive : require\n#define VECTOR %d\n"
            "#include \"lib/pointwise.glsl\"\nlayout(local_size_x_id = 0) in;\n%s"
            "void main()\n{\n    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;\n"
            "    uint stride = gl_WorkGroupSize.x * gl_NumWorkGroups.x * gl_NumWorkGroups.y;\n"
            "    for (uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x; i < c%u; i += stride) {\n"
            "%s%s    }\n}\n",
            w->dims.width == 4, declarations, count, before_loop, body);
}

/* --- dispatches --- */

/* How many workgroups: on a CPU driver an invocation takes several elements, since starting one costs. */
static uint64_t workgroups(const struct lowering *lowering, uint64_t invocations, uint64_t each)
{
    uint64_t per_group = (uint64_t)simple_workgroup(&lowering->device->caps) * each;
    return (invocations + per_group - 1) / per_group;
}

static vkg_result bind_leaves(struct writer *w, struct dispatch *dispatch)
{
    vkg_result result = VKG_OK;
    for (uint32_t l = 0; l < w->leaf_count && result == VKG_OK; l++)
        result = lowering_bind_tensor(w->lowering, dispatch, w->leaves[l].tensor, leaf_format(w, &w->leaves[l]), true,
                                      false);
    return result;
}

/* What an assignment computes lies in the buffer that it assigns to. */
static const vkg_tensor *output_memory(const struct lowering *lowering, const vkg_tensor *output)
{
    return output->op == &op_assign ? lowering->graph->declarations[output->attributes.index].current : output;
}

static const char *kernel_label(const struct fused_kernel *kernel)
{
    return kernel->outputs[kernel->output_count - 1]->op->name;
}

/* Writes the kernel's text, fetches its shader, adds its dispatch with the leaves bound. */
static vkg_result emit(struct writer *w, const struct sum_extents *extents, struct dispatch **dispatch)
{
    struct lowering *lowering = w->lowering;
    char *text[4] = {0};
    size_t sizes[4];
    FILE *streams[4];
    const struct shader *shader;
    vkg_result result = VKG_OK;
    for (int i = 0; i < 4; i++)
        streams[i] = open_memstream(&text[i], &sizes[i]);
    w->declarations = streams[0], w->before_loop = streams[1], w->body = streams[2];
    w->constants[w->constant_count++] = simple_workgroup(&lowering->device->caps); /* id 0: local_size_x_id */
    write_declarations_of_leaves(w);
    uint32_t count;
    if (extents) {
        count = add_size(w, extents->outer * extents->parts * extents->inner);
        write_sum(w, extents);
    } else {
        count = write_pointwise(w);
    }
    for (int i = 0; i < 3; i++)
        fclose(streams[i]);
    write_frame(w, streams[3], count, text[0], text[1], text[2]);
    fclose(streams[3]);
    if (w->too_large)
        result = vkg_fail(&lowering->device->log, VKG_ERROR_UNSUPPORTED,
                          "a fused kernel needs more than %d specialisation constants", PIPELINE_MAX_CONSTANTS);
    if (result == VKG_OK)
        result = shader_cache_get(lowering->shaders, kernel_label(w->kernel), text[3], &shader);
    for (int i = 0; i < 4; i++)
        free(text[i]);
    if (result != VKG_OK)
        return result;
    *dispatch = lowering_add_dispatch(lowering, kernel_label(w->kernel), shader);
    if (!*dispatch)
        return lowering_out_of_memory(lowering);
    (*dispatch)->constant_count = w->constant_count;
    memcpy((*dispatch)->constants, w->constants, sizeof w->constants);
    return bind_leaves(w, *dispatch);
}

static vkg_result lower_pointwise(struct writer *w)
{
    struct dispatch *dispatch;
    vkg_result result = emit(w, NULL, &dispatch);
    for (uint32_t i = 0; i < w->kernel->output_count && result == VKG_OK; i++)
        result = lowering_bind_tensor(w->lowering, dispatch, output_memory(w->lowering, w->kernel->outputs[i]),
                                      FORMAT_STORAGE, false, true);
    if (result != VKG_OK)
        return result;
    uint64_t vectors = fused_extent(&w->dims, 0, w->dims.count) / w->dims.width;
    bool cpu = w->lowering->device->caps.type == VKG_DEVICE_CPU;
    return dispatch_grid(w->lowering, dispatch, workgroups(w->lowering, vectors, cpu ? 4 : 1));
}

/* Enough parts to keep the device busy, each of at least 16 elements. */
static uint32_t choose_parts(const struct lowering *lowering, uint64_t kept, uint64_t reduced)
{
    uint64_t wanted = lowering->device->caps.type == VKG_DEVICE_CPU ? 512 : 32768;
    uint64_t parts = (wanted + kept - 1) / kept, most = reduced / 16;
    parts = parts < most ? parts : most;
    uint64_t least = reduced / (lowering->device->caps.max_loop_iterations / 4) + 1; /* see drivers: loops that end early */
    parts = parts > least ? parts : least;
    return (uint32_t)(parts > 1024 ? (least > 1024 ? least : 1024) : parts);
}

static vkg_result lower_sum(struct writer *w)
{
    struct lowering *lowering = w->lowering;
    const struct fused_dims *dims = &w->dims;
    uint32_t behind = dims->reduced_first + dims->reduced_count;
    struct sum_extents extents = {
        .outer = fused_extent(dims, 0, dims->reduced_first),
        .reduced = fused_extent(dims, dims->reduced_first, dims->reduced_count),
        .inner = fused_extent(dims, behind, dims->count - behind) / dims->width};
    extents.parts = choose_parts(lowering, extents.outer * extents.inner, extents.reduced);
    struct dispatch *dispatch;
    vkg_result result = emit(w, &extents, &dispatch);
    struct placement partial[FUSED_MAX_OUTPUTS] = {0};
    uint64_t invocations = extents.outer * extents.parts * extents.inner;
    for (uint32_t i = 0; i < w->kernel->output_count && result == VKG_OK; i++) {
        if (extents.parts == 1) {
            result = lowering_bind_tensor(lowering, dispatch, w->kernel->outputs[i], FORMAT_STORAGE, false, true);
            continue;
        }
        uint64_t bytes = invocations * dims->width * 4;
        result = lowering_add_storage(lowering, STORAGE_TEMPORARY, bytes, &partial[i].storage);
        if (result == VKG_OK)
            dispatch_bind(dispatch, partial[i], bytes, FORMAT_STORAGE, false, true);
    }
    if (result == VKG_OK)
        result = dispatch_grid(lowering, dispatch, workgroups(lowering, invocations, 1));
    for (uint32_t i = 0; i < w->kernel->output_count && extents.parts > 1 && result == VKG_OK; i++)
        result = lowering_sum_parts(lowering, &(struct sum_parts){.outer = extents.outer, .parts = extents.parts,
                                                                  .inner = extents.inner * dims->width,
                                                                  .at = partial[i]}, w->kernel->outputs[i]);
    return result;
}

vkg_result lower_fused(struct lowering *lowering, const struct fused_kernel *kernel, const bool *inlined)
{
    struct writer w = {.lowering = lowering, .kernel = kernel, .inlined = inlined};
    w.values = calloc(lowering->graph->tensor_count, sizeof *w.values);
    if (!w.values)
        return lowering_out_of_memory(lowering);
    for (uint32_t i = 0; i < kernel->output_count; i++) {
        const vkg_tensor *output = kernel->outputs[i];
        collect_leaves(&w, output);
    }
    fused_collapse(&kernel->space, kernel->axes, w.leaves, w.leaf_count, &w.dims);
    vkg_result result = kernel->axes ? lower_sum(&w) : lower_pointwise(&w);
    free(w.values);
    return result;
}
