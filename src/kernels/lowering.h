/* From nodes to dispatches. A lowering collects, in the order of execution, every dispatch of a program, and
 * every piece of memory that they name; the plan then gives that memory its place. Pure C: no device is called. */
#ifndef VKG_KERNELS_LOWERING_H
#define VKG_KERNELS_LOWERING_H

#include "device/device.h"
#include "graph/graph.h"
#include "kernels/binding_format.h"
#include "kernels/epilogue.h"
#include "kernels/shaders.h"
#include "kernels/workgroup.h"

struct vkg_state;

struct binding {
    uint32_t storage; /* index into lowering.storages */
    uint64_t offset, bytes;
    enum binding_format format;
    bool read, written;
};

struct dispatch {
    const char *label; /* for messages, debug labels, profiles */
    const struct shader *shader;
    uint32_t constant_count, constants[PIPELINE_MAX_CONSTANTS];
    uint32_t subgroup_size; /* as in pipeline_desc */
    uint32_t binding_count;
    struct binding bindings[PIPELINE_MAX_BINDINGS];
    uint32_t groups[3];
    uint32_t push_bytes;
    unsigned char push[PIPELINE_PUSH_BYTES];
    double flops; /* of products; 0 for what is bound by memory */
    bool repeatable; /* a cheap one: program/recompute.h */
    bool late;       /* one that is done again: hardly before its place */
    uint32_t wave; /* program/order.c: those of one wave depend on none of each other */
    uint64_t most_read; /* bytes of each input, where it reads a part only (a slice's kernel); 0: all of them */
};

enum storage_kind {
    STORAGE_TEMPORARY, /* lives from its first to its last dispatch; may share memory with others */
    STORAGE_INPUT,     /* lives from the start of the run to its last dispatch */
    STORAGE_DATA,      /* filled once, when the program is built */
    STORAGE_STATE,     /* lies in the vkg_state at `address` */
};

struct storage {
    enum storage_kind kind;
    uint64_t bytes;
    uint64_t address; /* STORAGE_STATE: in the state's buffer; else given by the plan */
    uint32_t block;   /* given by the plan: which buffer of the program */
    bool kept;        /* to the end of a run, when it is read back */
    uint32_t first, last; /* waves, from the plan */
};

struct placement {
    uint32_t storage; /* UINT32_MAX: none yet */
    uint64_t offset;
};

/* A convolution's kernel left the moments of its tiles: kernels/tile_moments.h. */
struct tile_moments {
    uint32_t storage;
    uint32_t parts; /* 0: it did not */
    uint32_t columns;
    struct tile_geometry {
        uint32_t n, height, width, pace_y, pace_x, row_tiles, tile_rows;
    } geometry; /* as shaders/reduce_parts.comp says */
};

struct lowering {
    vkg_device *device;
    vkg_graph *graph;
    struct vkg_state *state;
    struct placement *placements; /* one a tensor of the graph */
    const struct epilogue *epilogues; /* one a tensor of the graph, of convolutions */
    const vkg_dtype *memory; /* one a tensor of the graph: the type in which it lies there, which may be shorter than its own */
    struct tile_moments *moments; /* one a tensor of the graph, of what convolutions write */
    struct storage *storages;
    size_t storage_count, storage_capacity;
    struct dispatch *dispatches;
    size_t dispatch_count, dispatch_capacity;
    struct shader_cache *shaders; /* generated ones */
    uint32_t counters;      /* the storage of lowering_add_counters, */
    uint64_t counter_bytes; /* and what it has; 0: there is none yet */
    bool spares_memory; /* for little time: program/order.h */
    uint32_t candidate; /* which of its candidates every convolution takes, the last where it has fewer; or this: */
};

#define CANDIDATE_CHOSEN UINT32_MAX /* as kernels/choice.h says */

/* Ranges are bound, and views are made, in multiples of this; memory is given out in multiples of the device's. */
enum { STORAGE_GRAIN = 256 };

vkg_result lowering_add_storage(struct lowering *lowering, enum storage_kind kind, uint64_t bytes, uint32_t *storage);
/* Counters of a dispatch's own that are 0 before the first run, and that it leaves 0. */
vkg_result lowering_add_counters(struct lowering *lowering, uint64_t count, struct placement *placement);
/* The type in which a tensor (what it is a view of) lies in memory, and the bytes that it takes there. */
vkg_dtype lowering_dtype(const struct lowering *lowering, const vkg_tensor *tensor);
uint64_t lowering_bytes(const struct lowering *lowering, const vkg_tensor *tensor);
/* The memory of a tensor (of what it is a view of): made at first use, or the state's. */
vkg_result lowering_place(struct lowering *lowering, const vkg_tensor *tensor, struct placement *placement);
/* Places a tensor at a given spot: a gradient in its network's block. */
void lowering_place_at(struct lowering *lowering, const vkg_tensor *tensor, uint32_t storage, uint64_t offset);

/* Where a parameter or buffer lies in the state's memory. */
vkg_result lowering_state_address(const struct lowering *lowering, uint32_t declaration, uint64_t *address);

/* Starts a dispatch with no bindings; valid until the next call of it. NULL when memory is out. */
struct dispatch *lowering_add_dispatch(struct lowering *lowering, const char *label, const struct shader *shader);
void dispatch_bind(struct dispatch *dispatch, struct placement placement, uint64_t bytes, enum binding_format format,
                   bool read, bool written);
/* Binds the whole of a tensor. */
vkg_result lowering_bind_tensor(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *tensor,
                                enum binding_format format, bool read, bool written);
/* Binds where a kernel writes a tensor: its memory, or float32 elsewhere, unless that is NULL. */
vkg_result lowering_bind_written(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *tensor,
                                 const struct placement *floats);
/* Whether the device lets kernels see all that is bound as a storage buffer; to be asked when all are lowered. */
vkg_result lowering_check_ranges(const struct lowering *lowering);
/* What a binding touches, before tensors have places: bytes of its storage, or of the state, whose storages are ranges of one buffer. */
struct extent {
    size_t memory; /* the storage; storage_count: the state */
    uint64_t first, end;
};
struct extent binding_extent(const struct lowering *lowering, const struct binding *binding);
/* Of all that it binds. */
uint64_t dispatch_bytes(const struct dispatch *dispatch);
void dispatch_push(struct dispatch *dispatch, const void *data, uint32_t bytes);
/* One-dimensional grids of `groups` workgroups, folded over y where x would pass the device's limit: shaders
 * index with gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x and test the end. */
vkg_result dispatch_grid(struct lowering *lowering, struct dispatch *dispatch, uint64_t groups);
vkg_result lowering_out_of_memory(struct lowering *lowering);

/* Reads go through texel buffers (CPU drivers: see docs/performance.md) or storage buffers. A tensor too large
 * for a texel view is read as a storage buffer. */
enum binding_format lowering_read_format(const struct lowering *lowering, uint64_t bytes, bool vec4);

/* y[outer][inner] = Σ_part x[outer][part][inner] (or the greatest), x lying at `at`: the second stage of two. Of
 * deviations, x has as many means behind it, and part p is of every `parts`-th of `reduced` numbers from p on. */
struct partial_results {
    enum reduction reduction;
    uint64_t reduced; /* of deviations */
    uint64_t outer, parts, inner;
    struct placement at;
    const struct epilogue *epilogue; /* of sums: what the kernel does then; or NULL */
    struct placement step;           /* of that: see epilogue_unpack_step */
    const struct placement *floats;  /* of sums: where they go, if that is not where the result lies; or NULL */
    const struct tile_moments *tiles; /* the parts are these; or NULL */
    const vkg_tensor *deviations; /* of tiles: what these become, beside or (NULL) instead of the result, which is their sum */
};
vkg_result lowering_reduce_parts(struct lowering *lowering, const struct partial_results *partial,
                                 const vkg_tensor *result);

/* Copies a tensor that lies in memory as halves to float32, which is made; or makes the halves of such, rounded. */
vkg_result lowering_unpack_halves(struct lowering *lowering, const vkg_tensor *halves, struct placement *floats);
vkg_result lowering_pack_halves(struct lowering *lowering, struct placement floats, const vkg_tensor *halves);

/* The last dispatch of a program that draws random numbers: the next run gets fresh ones. ops/random.c */
vkg_result lower_random_advance(struct lowering *lowering);
/* Behind it, of a program that reads the number of steps done: one more is. ops/schedule.c */
vkg_result lower_step_count(struct lowering *lowering);

#endif
