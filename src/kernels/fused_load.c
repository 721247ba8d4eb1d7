/* The loads of a fused kernel: where an element lies, how it is read, what its type is. */
#include "kernels/fused_writer.h"

/* --- which --- */

uint32_t writer_find_leaf(const struct fused_writer *w, const struct fused_read *read)
{
    for (uint32_t l = 0; l < w->leaf_count; l++)
        if (fused_same_read(&w->leaves[l].read, read))
            return l;
    return UINT32_MAX;
}

bool writer_is_own_output(const struct fused_writer *w, const struct fused_read *read)
{
    for (uint32_t i = 0; i < w->kernel->output_count && w->kernel->axes == 0 && !read->through; i++)
        if (w->kernel->outputs[i] == tensor_storage(read->tensor))
            return true;
    return false;
}

void writer_collect_leaves(struct fused_writer *w, const vkg_tensor *node)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        struct fused_read read = fused_read_of(node, i);
        if (fused_is_inline(read.tensor, w->inlined))
            writer_collect_leaves(w, tensor_storage(read.tensor));
        else if (!writer_is_own_output(w, &read) && writer_find_leaf(w, &read) == UINT32_MAX &&
                 w->leaf_count < PIPELINE_MAX_BINDINGS)
            w->leaves[w->leaf_count++].read = read;
    }
}

/* --- types --- */

/* How elements of a type lie in a buffer, and how the one at index i, or the four at 4i, become T. */
struct element_text {
    const char *element, *vector; /* the buffer's type, of scalar and of vector loads */
    const char *load_one, *load_vector; /* of buffer %u */
};

static const struct element_text *text_of(vkg_dtype dtype)
{
    static const struct element_text texts[] = {
        [VKG_FLOAT32] = {"float", "vec4", "in%u[i]", "in%u[i]"},
        [VKG_UINT32] = {"uint", "uvec4", "float(in%u[i])", "vec4(in%u[i])"},
        [VKG_INT32] = {"int", "ivec4", "float(in%u[i])", "vec4(in%u[i])"},
        [VKG_UINT8] = {"uint", "uint", "byte_of(in%u[i >> 2], i)", "bytes_of(in%u[i])"},
        [VKG_FLOAT16] = {"uint", "uvec2", "float16_of(in%u[i >> 1], i)", "float16s_of(in%u[i])"},
        [VKG_BFLOAT16] = {"uint", "uvec2", "bfloat16_of(in%u[i >> 1], i)", "bfloat16s_of(in%u[i])"},
    };
    return &texts[dtype];
}

static enum binding_format leaf_format(const struct fused_writer *w, const struct fused_leaf *leaf)
{
    if (lowering_dtype(w->lowering, leaf->read.tensor) != VKG_FLOAT32)
        return FORMAT_STORAGE;
    return lowering_read_format(w->lowering, lowering_bytes(w->lowering, leaf->read.tensor), leaf->load == FUSED_LOAD_VECTOR);
}

void writer_declare_leaves(struct fused_writer *w)
{
    for (uint32_t l = 0; l < w->leaf_count; l++) {
        const struct fused_leaf *leaf = &w->leaves[l];
        const struct element_text *text = text_of(lowering_dtype(w->lowering, leaf->read.tensor));
        if (leaf_format(w, leaf) == FORMAT_STORAGE)
            fprintf(w->declarations, "layout(std430, binding = %u) readonly buffer in_buffer%u { %s in%u[]; };\n", l, l,
                    leaf->load == FUSED_LOAD_VECTOR ? text->vector : text->element, l);
        else
            fprintf(w->declarations, "layout(binding = %u) uniform samplerBuffer in%u;\n", l, l);
    }
}

vkg_result writer_bind_leaves(const struct fused_writer *w, struct dispatch *dispatch)
{
    vkg_result result = VKG_OK;
    for (uint32_t l = 0; l < w->leaf_count && result == VKG_OK; l++)
        result = lowering_bind_tensor(w->lowering, dispatch, w->leaves[l].read.tensor, leaf_format(w, &w->leaves[l]),
                                      true, false);
    return result;
}

/* --- where --- */

/* The sign makes another text: most strides are not negative, and the constants are the same layer by layer. */
static uint32_t add_int(struct fused_writer *w, int32_t value)
{
    if (w->again)
        return w->again++;
    return writer_add_constant(w, "int", &value);
}

/* i += the walk along dimension d, whose coordinate is the text k; a guarded one narrows `there`. */
static void write_walk(struct fused_writer *w, FILE *out, const struct fused_walk *walk, const char *k)
{
    if (!walk->guarded) {
        if (walk->stride == 1)
            fprintf(out, " i += %s;", k);
        else if (walk->stride != 0)
            fprintf(out, " i += %s * c%u;", k, add_int(w, walk->stride));
        return;
    }
    fprintf(out, " g = %s", k);
    if (walk->mul != 1)
        fprintf(out, " * c%u", add_int(w, walk->mul));
    fprintf(out, " + c%u; there = there && g >= 0 && g < c%u", add_int(w, walk->add), add_int(w, walk->limit));
    if (walk->div == 1) {
        fprintf(out, "; i += g * c%u;", add_int(w, walk->stride));
    } else {
        uint32_t div = add_int(w, walk->div);
        fprintf(out, " && g %% c%u == 0; i += g / c%u * c%u;", div, div, add_int(w, walk->stride));
    }
}

static bool is_guarded(const struct fused_writer *w, const struct fused_leaf *leaf)
{
    bool guarded = false;
    for (uint32_t d = 0; d < w->dims.count; d++)
        guarded |= leaf->walks[d].guarded;
    return guarded;
}

/* A block that gives `target` the leaf's element; component: 0, or which of four neighbours. */
static void write_load(struct fused_writer *w, FILE *out, uint32_t l, const char *type, const char *target,
                       uint32_t component)
{
    const struct fused_leaf *leaf = &w->leaves[l];
    const struct element_text *text = text_of(lowering_dtype(w->lowering, leaf->read.tensor));
    bool guarded = is_guarded(w, leaf), vector = leaf->load == FUSED_LOAD_VECTOR;
    fprintf(out, "    %s %s; { int i = 0%s;", type, target, guarded ? ", g; bool there = true" : "");
    if (leaf->offset != 0)
        fprintf(out, " i += c%u;", add_int(w, leaf->offset));
    for (uint32_t d = 0; d < w->dims.count; d++) {
        char k[32];
        snprintf(k, sizeof k, component && d + 1 == w->dims.count ? "int(k%u + %u)" : "int(k%u)", d, component);
        write_walk(w, out, &leaf->walks[d], k);
    }
    if (guarded)
        fprintf(out, " i = there ? i : 0;");
    fprintf(out, "%s %s = %s", vector ? " i >>= 2;" : "", target, guarded ? "!there ? " : "");
    if (guarded)
        fprintf(out, "%s(0) : ", type);
    fprintf(out, "%s(", type);
    if (leaf_format(w, leaf) == FORMAT_STORAGE)
        fprintf(out, vector ? text->load_vector : text->load_one, l);
    else
        fprintf(out, "texelFetch(in%u, i)%s", l, vector ? "" : ".x");
    fprintf(out, "); }\n");
}

void writer_load_leaves(struct fused_writer *w)
{
    for (uint32_t l = 0; l < w->leaf_count; l++) {
        const struct fused_leaf *leaf = &w->leaves[l];
        bool steady = w->dims.reduced_count && !fused_leaf_varies(leaf, w->dims.reduced_first, w->dims.reduced_count);
        FILE *out = steady ? w->before_loop : w->body;
        char target[32];
        if (leaf->load != FUSED_LOAD_EACH) {
            snprintf(target, sizeof target, "l%u", l);
            write_load(w, out, l, "T", target, 0);
            continue;
        }
        uint32_t first = w->constant_count;
        for (uint32_t component = 0; component < 4; component++) {
            w->again = component ? first : 0; /* all four walk by the same numbers */
            snprintf(target, sizeof target, "l%u_%u", l, component);
            write_load(w, out, l, "float", target, component);
        }
        w->again = 0;
        fprintf(out, "    T l%u = T(l%u_0, l%u_1, l%u_2, l%u_3);\n", l, l, l, l, l);
    }
}
