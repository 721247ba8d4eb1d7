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

/* Does the memory of a storage that is used serve others before or after? */
bool plan_is_shared(const struct storage *storage);

/* Finds uses, and the bytes of such storages that live in each wave: alive[0 … dispatch_count + 1], zeroed before. */
void plan_find_alive(struct lowering *lowering, int64_t *alive);

/* Gives every storage but the state's its lifetime, block and address, none that a living neighbour holds: the better one of two plans.
 * Larger ones choose first, each the lowest address; or first those that live while the most memory is taken, each the tightest gap. */
vkg_result plan_memory(struct lowering *lowering, const struct plan_options *options, struct plan *plan);

#endif
