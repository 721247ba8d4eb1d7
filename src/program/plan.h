/* The memory plan: pure arithmetic over dispatches and storages, no device. */
#ifndef VKG_PROGRAM_PLAN_H
#define VKG_PROGRAM_PLAN_H

#include "kernels/lowering.h"

enum { PLAN_MAX_BLOCKS = 64 };

struct plan_options {
    uint64_t alignment;  /* of every storage */
    uint64_t block_bytes; /* the most that one block may take */
    bool aliasing;       /* storages whose lifetimes do not meet may share memory */
};

struct plan {
    uint32_t block_count;
    uint64_t block_bytes[PLAN_MAX_BLOCKS];
    uint64_t bytes, unaliased_bytes;
};

/* The first and the last wave that names each storage: `first` stays UINT32_MAX, `last` 0, where none does. In waves, as memory that
 * is given on within one would need a barrier there. */
void plan_find_uses(struct lowering *lowering);

/* Gives every storage but the state's its lifetime, block and address. Larger ones choose first, each takes the
 * lowest address that no living neighbour holds. kept[0 … kept_count−1]: storages that must last to the end. */
vkg_result plan_memory(struct lowering *lowering, const struct plan_options *options, const uint32_t *kept,
                       uint32_t kept_count, struct plan *plan);

#endif
