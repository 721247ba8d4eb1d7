/* What the files that write a fused kernel's GLSL share. */
#ifndef VKG_KERNELS_FUSED_WRITER_H
#define VKG_KERNELS_FUSED_WRITER_H

#include <stdio.h>

#include "kernels/fused.h"
#include "kernels/fused_space.h"

enum { FUSED_MAX_CUSTOM = 16 };

struct fused_writer {
    struct lowering *lowering;
    const struct fused_kernel *kernel;
    const bool *inlined;
    FILE *declarations, *before_loop, *body;
    const struct op *custom[FUSED_MAX_CUSTOM]; /* whose functions are declared */
    uint32_t custom_count;
    struct fused_leaf leaves[PIPELINE_MAX_BINDINGS];
    uint32_t leaf_count;
    struct fused_dims dims;
    uint32_t constant_count, constants[PIPELINE_MAX_CONSTANTS];
    uint32_t again; /* the next constant to be named once more instead of adding one; 0: none is */
    uint32_t *values; /* tensor id → number of its variable + 1; 0: not computed yet */
    uint32_t value_count;
    bool too_large; /* more specialisation constants than there is room for */
};

/* A specialisation constant of a GLSL type; its number n, by which the text calls it c<n>. */
uint32_t writer_add_constant(struct fused_writer *w, const char *type, const void *value);
uint32_t writer_add_size(struct fused_writer *w, uint64_t size);

/* --- fused.c --- */

/* Coordinates k<first> … of one segment of dimensions out of its index. */
void writer_write_coordinates(struct fused_writer *w, FILE *out, uint32_t first, uint32_t count, const char *index);
/* The text of what `node` reads as its input i: a variable that is computed, or a load. */
void writer_name_input(struct fused_writer *w, const vkg_tensor *node, uint32_t i, char name[24]);
/* out<output>[i] = the variable of that letter and number, in the output's type. */
void writer_store(struct fused_writer *w, uint32_t output, const char *letter, uint32_t number);
/* How many workgroups of simple_workgroup() invocations, of `each` elements. */
uint64_t writer_workgroups(const struct lowering *lowering, uint64_t invocations, uint64_t each);

/* What an invocation does. */
struct fused_body {
    uint32_t workgroup;
    bool by_groups; /* it is run once, by all invocations of as many workgroups as `write` says; else for as many elements, i */
    uint32_t (*write)(struct fused_writer *w, const void *user); /* the number of the constant that says how many */
    const void *user;
};
/* Writes the kernel's text, fetches its shader, adds its dispatch with the leaves bound. */
vkg_result writer_emit(struct fused_writer *w, const struct fused_body *kernel, struct dispatch **dispatch);

/* --- fused_sum.c --- */

vkg_result writer_lower_sums(struct fused_writer *w);

/* --- fused_load.c --- */

/* Finds every read of the chain that ends in `node`. */
void writer_collect_leaves(struct fused_writer *w, const vkg_tensor *node);
/* The number of a read that was collected. */
uint32_t writer_find_leaf(const struct fused_writer *w, const struct fused_read *read);
/* A result of this kernel that a later chain of it reads back: no load, the variable is there. */
bool writer_is_own_output(const struct fused_writer *w, const struct fused_read *read);
void writer_declare_leaves(struct fused_writer *w);
/* Loads every leaf l into a variable T l<l>, out of the coordinates k<d>: in front of the loop where it does not
 * change in it. */
void writer_load_leaves(struct fused_writer *w);
vkg_result writer_bind_leaves(const struct fused_writer *w, struct dispatch *dispatch);

#endif
