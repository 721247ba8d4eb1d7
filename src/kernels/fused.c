/* The GLSL of a fused kernel. Its text depends on the structure alone: sizes, strides and constants of the
 * operations are specialisation constants, so that layers of equal structure share one SPIR-V.
 *
 * Pointwise: one invocation computes elements i, i + stride, … (four neighbours each, where that is possible).
 * Sums: fused_sum.c. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fused_writer.h"
#include "kernels/tile_moments.h"
#include "ops/ops.h"

/* --- text --- */

uint32_t writer_add_constant(struct fused_writer *w, const char *type, const void *value)
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

uint32_t writer_add_size(struct fused_writer *w, uint64_t size)
{
    return writer_add_constant(w, "uint", &(uint32_t){(uint32_t)size});
}

/* Coordinates k<first> … of one segment of dimensions out of its index. */
void writer_write_coordinates(struct fused_writer *w, FILE *out, uint32_t first, uint32_t count, const char *index)
{
    if (count == 0)
        return;
    if (count == 1) {
        fprintf(out, "    uint k%u = %s;\n", first, index);
        return;
    }
    fprintf(out, "    uint q%u = %s;\n", first, index);
    for (uint32_t d = first + count - 1; d > first; d--) {
        uint32_t size = writer_add_size(w, w->dims.size[d]);
        fprintf(out, "    uint k%u = q%u %% c%u;\n    q%u /= c%u;\n", d, first, size, first, size);
    }
    fprintf(out, "    uint k%u = q%u;\n", first, first);
}

/* How a result is stored: the buffer's type, and what is made of the variable. */
struct store_text {
    const char *type, *value;
};

/* Halves one by one, which the device cannot store: floats are, and packed afterwards. */
static bool packs_later(const struct fused_writer *w, const vkg_tensor *output)
{
    return w->dims.width == 1 && dtype_is_half(output->dtype) && !w->lowering->device->caps.fp16_storage;
}

static const struct store_text *store_of(const struct fused_writer *w, const vkg_tensor *output)
{
    /* by type, and of one element or of four; values are whole numbers in the type's range already: op_cast */
    static const struct store_text texts[][2] = {
        [VKG_FLOAT32] = {{"float", "%s%u"}, {"vec4", "%s%u"}},
        [VKG_UINT32] = {{"uint", "uint(%s%u)"}, {"uvec4", "uvec4(%s%u)"}},
        [VKG_INT32] = {{"int", "int(%s%u)"}, {"ivec4", "ivec4(%s%u)"}},
        [VKG_UINT8] = {{"uint8_t", "uint8_t(uint(%s%u))"}, {"uint", "bytes_from(%s%u)"}},
        [VKG_FLOAT16] = {{"uint16_t", "uint16_t(float16_bits(%s%u))"}, {"uvec2", "float16s_from(%s%u)"}},
        [VKG_BFLOAT16] = {{"uint16_t", "uint16_t(bfloat16_bits(%s%u))"}, {"uvec2", "bfloat16s_from(%s%u)"}},
    };
    return &texts[packs_later(w, output) ? VKG_FLOAT32 : output->dtype][w->dims.width == 4];
}

static void declare_outputs(struct fused_writer *w)
{
    for (uint32_t i = 0; i < w->kernel->output_count; i++)
        fprintf(w->declarations, "layout(std430, binding = %u) writeonly buffer out_buffer%u { %s out%u[]; };\n",
                w->leaf_count + i, i, store_of(w, w->kernel->outputs[i])->type, i);
}

void writer_store(struct fused_writer *w, uint32_t i, const char *letter, uint32_t number)
{
    fprintf(w->body, "    out%u[i] = ", i);
    fprintf(w->body, store_of(w, w->kernel->outputs[i])->value, letter, number);
    fprintf(w->body, ";\n");
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

uint32_t fused_count_numbers(const vkg_tensor *node)
{
    const char *glsl = node->op->kind == OP_POINTWISE ? node->op->glsl : NULL;
    return glsl ? (uint32_t)uses_name(glsl, 'p') + (uint32_t)uses_name(glsl, 'q') : 0;
}

/* The function of a program's own operation, of floats; vectors are handled one by one. */
static void declare_custom(struct fused_writer *w, const struct op *op)
{
    for (uint32_t i = 0; i < w->custom_count; i++)
        if (w->custom[i] == op)
            return;
    if (w->custom_count == FUSED_MAX_CUSTOM) {
        w->too_large = true;
        return;
    }
    w->custom[w->custom_count++] = op;
    fprintf(w->declarations, "float custom_%s(float a, float b, float c, float p, float q)\n{\n#line 1 \"%s\"\n%s\n}\n",
            op->name, op->name, op->body);
    if (w->dims.width == 4)
        fprintf(w->declarations,
                "vec4 custom_%s(vec4 a, vec4 b, vec4 c, float p, float q)\n{\n"
                "    return vec4(custom_%s(a.x, b.x, c.x, p, q), custom_%s(a.y, b.y, c.y, p, q),\n"
                "                custom_%s(a.z, b.z, c.z, p, q), custom_%s(a.w, b.w, c.w, p, q));\n}\n",
                op->name, op->name, op->name, op->name, op->name);
}

static void write_value(struct fused_writer *w, const vkg_tensor *node);

/* The text of what `node` reads as its input i: a variable that is computed, or a load. */
void writer_name_input(struct fused_writer *w, const vkg_tensor *node, uint32_t i, char name[24])
{
    struct fused_read read = fused_read_of(node, i);
    const vkg_tensor *storage = tensor_storage(read.tensor);
    bool computed = fused_is_inline(read.tensor, w->inlined) || writer_is_own_output(w, &read);
    if (computed && !w->values[storage->id])
        write_value(w, storage);
    if (computed)
        snprintf(name, 24, "v%u", w->values[storage->id] - 1);
    else
        snprintf(name, 24, "l%u", writer_find_leaf(w, &read));
}

/* The op's expression as a variable. Its inputs become the names a, b and c inside a block of their own. */
static void write_value(struct fused_writer *w, const vkg_tensor *node)
{
    enum { MOST = 3 };
    char names[MOST][24];
    for (uint32_t i = 0; i < node->input_count && i < MOST; i++)
        writer_name_input(w, node, i, names[i]);
    if (node->op->body)
        declare_custom(w, node->op);
    uint32_t number = w->value_count++;
    w->values[node->id] = number + 1;
    fprintf(w->body, "    T v%u; {", number);
    for (uint32_t i = 0; i < node->input_count && i < MOST; i++)
        fprintf(w->body, " T %c = %s;", "abc"[i], names[i]);
    for (uint32_t k = 0; k < 2; k++)
        if (uses_name(node->op->glsl, "pq"[k]))
            fprintf(w->body, " float %c = c%u;", "pq"[k],
                    writer_add_constant(w, "float", k ? &node->attributes.q : &node->attributes.p));
    fprintf(w->body, " v%u = %s; }\n", number, node->op->glsl);
}

/* --- pointwise kernels --- */

static uint32_t write_pointwise(struct fused_writer *w, const void *unused)
{
    (void)unused;
    uint64_t vectors = fused_extent(&w->dims, 0, w->dims.count) / w->dims.width;
    uint32_t count = writer_add_size(w, vectors);
    writer_write_coordinates(w, w->body, 0, w->dims.count, w->dims.width == 4 ? "i * 4" : "i");
    writer_load_leaves(w);
    for (uint32_t i = 0; i < w->kernel->output_count; i++) {
        const vkg_tensor *output = w->kernel->outputs[i];
        if (!w->values[output->id])
            write_value(w, output);
        writer_store(w, i, "v", w->values[output->id] - 1);
    }
    return count;
}

static bool stores_halves_one_by_one(const struct fused_writer *w)
{
    bool halves = false;
    for (uint32_t i = 0; i < w->kernel->output_count && w->dims.width == 1; i++)
        halves |= dtype_is_half(w->kernel->outputs[i]->dtype) && !packs_later(w, w->kernel->outputs[i]);
    return halves;
}

static void write_frame(struct fused_writer *w, FILE *source, const struct fused_body *kernel, uint32_t count, const char *const text[3])
{
    fprintf(source,
            "#version 450\n#extension GL_GOOGLE_include_directive : require\n%s#define VECTOR %d\n"
            "#include \"lib/pointwise.glsl\"\nlayout(local_size_x_id = 0) in;\n%s"
            "void main()\n{\n    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;\n"
            "    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;\n",
            stores_halves_one_by_one(w) ? "#extension GL_EXT_shader_16bit_storage : require\n" : "", w->dims.width == 4, text[0]);
    if (kernel->by_groups)
        fprintf(source, "    if (group >= c%u)\n        return;\n%s%s}\n", count, text[1], text[2]);
    else
        fprintf(source,
                "    uint stride = gl_WorkGroupSize.x * gl_NumWorkGroups.x * gl_NumWorkGroups.y;\n    if (i >= c%u)\n        return;\n"
                "    do {\n%s%s    i += stride;\n    } while (i < c%u);\n}\n", count, text[1], text[2], count);
}

/* --- dispatches --- */

/* Bytes are stored in fours. */
static vkg_result check_stores(const struct fused_writer *w)
{
    const vkg_device_caps *caps = &w->lowering->device->caps;
    for (uint32_t i = 0; i < w->kernel->output_count; i++) {
        const vkg_tensor *output = w->kernel->outputs[i];
        if (w->dims.width == 1 && vkg_dtype_size(output->dtype) == 1)
            return vkg_fail(&w->lowering->device->log, VKG_ERROR_UNSUPPORTED,
                            "a result of type %s and shape %s cannot be stored on %s: the innermost dimension must be a "
                            "multiple of four", vkg_dtype_name(output->dtype), SHAPE(&output->shape), caps->name);
    }
    return VKG_OK;
}

/* How many workgroups: on a CPU driver an invocation takes several elements, since starting one costs. */
uint64_t writer_workgroups(const struct lowering *lowering, uint64_t invocations, uint64_t each)
{
    uint64_t per_group = (uint64_t)simple_workgroup(&lowering->device->caps) * each;
    return (invocations + per_group - 1) / per_group;
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

vkg_result writer_emit(struct fused_writer *w, const struct fused_body *kernel, struct dispatch **dispatch)
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
    w->constants[w->constant_count++] = kernel->workgroup; /* id 0: local_size_x_id */
    writer_declare_leaves(w);
    declare_outputs(w);
    const uint32_t count = kernel->write(w, kernel->user);
    for (int i = 0; i < 3; i++)
        fclose(streams[i]);
    write_frame(w, streams[3], kernel, count, (const char *const *)text);
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
    return writer_bind_leaves(w, *dispatch);
}

/* Binds an output, or floats in the place of halves that are packed later. */
static vkg_result bind_output(const struct fused_writer *w, struct dispatch *dispatch, const vkg_tensor *output,
                              struct placement *floats)
{
    struct lowering *lowering = w->lowering;
    const bool packs = packs_later(w, output);
    const uint64_t bytes = shape_elements(&output->shape) * 4;
    const vkg_result result = packs ? lowering_add_storage(lowering, STORAGE_TEMPORARY, bytes, &floats->storage) : VKG_OK;
    return result == VKG_OK ? lowering_bind_written(lowering, dispatch, output_memory(lowering, output), packs ? floats : NULL) : result;
}

static vkg_result lower_pointwise(struct fused_writer *w)
{
    struct dispatch *dispatch;
    struct placement floats[FUSED_MAX_OUTPUTS] = {0};
    vkg_result result = check_stores(w);
    if (result == VKG_OK)
        result = writer_emit(w, &(struct fused_body){.workgroup = simple_workgroup(&w->lowering->device->caps), .write = write_pointwise},
                             &dispatch);
    for (uint32_t i = 0; i < w->kernel->output_count && result == VKG_OK; i++)
        result = bind_output(w, dispatch, w->kernel->outputs[i], &floats[i]);
    if (result != VKG_OK)
        return result;
    uint64_t elements = fused_extent(&w->dims, 0, w->dims.count), vectors = elements / w->dims.width;
    dispatch->most_read = elements * sizeof(float);
    dispatch->repeatable = true;
    bool cpu = w->lowering->device->caps.type == VKG_DEVICE_CPU;
    if (result == VKG_OK)
        result = dispatch_grid(w->lowering, dispatch, writer_workgroups(w->lowering, vectors, cpu ? 4 : 1));
    for (uint32_t i = 0; i < w->kernel->output_count && result == VKG_OK; i++)
        if (packs_later(w, w->kernel->outputs[i]))
            result = lowering_pack_halves(w->lowering, floats[i], output_memory(w->lowering, w->kernel->outputs[i]));
    return result;
}

vkg_result lower_fused(struct lowering *lowering, const struct fused_kernel *whole, const bool *inlined)
{
    struct fused_kernel rest = *whole;
    vkg_result result = moments_lower(lowering, &rest);
    if (result != VKG_OK || rest.output_count == 0)
        return result;
    const struct fused_kernel *kernel = &rest;
    struct fused_writer w = {.lowering = lowering, .kernel = kernel, .inlined = inlined};
    w.values = calloc(lowering->graph->tensor_count, sizeof *w.values);
    if (!w.values)
        return lowering_out_of_memory(lowering);
    for (uint32_t i = 0; i < kernel->output_count; i++) {
        const vkg_tensor *output = kernel->outputs[i];
        writer_collect_leaves(&w, output);
    }
    fused_collapse(&kernel->space, kernel->axes, w.leaves, w.leaf_count, &w.dims);
    result = kernel->axes ? writer_lower_sums(&w) : lower_pointwise(&w);
    free(w.values);
    return result;
}
