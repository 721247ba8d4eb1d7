/* Computing once more what would wait in memory: pure arithmetic over dispatches and storages, no device. */
#ifndef VKG_PROGRAM_RECOMPUTE_H
#define VKG_PROGRAM_RECOMPUTE_H

#include "kernels/lowering.h"

/* Of dispatches in the order of the graph that have waves: copies of some that are `repeatable`, with `late` set, in front of what reads
 * their results after these have waited while the most memory is taken. The lowering gets a new list of dispatches, and storages for the
 * copies; no waves. *old and *old_count: the list as it was, to be freed by the caller; NULL: nothing gains, nothing is changed. */
vkg_result recompute_dispatches(struct lowering *lowering, struct dispatch **old, size_t *old_count);

#endif
