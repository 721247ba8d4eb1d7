/* How parameters start. */
#ifndef VKG_PROGRAM_INITIAL_H
#define VKG_PROGRAM_INITIAL_H

#include "program/state_entry.h"

/* Fills `values`, in the kernels' order, with what entry->init says: a function of the seed and the entry's name alone.
 * False: out of host memory. */
bool initial_values(const struct state_entry *entry, uint64_t seed, float *values);

#endif
