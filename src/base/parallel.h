/* The same work on many things, on all processors. */
#ifndef VKG_BASE_PARALLEL_H
#define VKG_BASE_PARALLEL_H

#include <stdbool.h>
#include <stddef.h>

/* Calls work(user, i) once for every i below `count`, on as many threads as there are processors (16 at the most), the calling one
 * among them, in no order; returns when all is done, how many threads that were. Where none can be started, this one does it all. */
size_t parallel_each(size_t count, void (*work)(void *user, size_t i), void *user);

/* The same, but the calling thread calls meanwhile(beside) over and over until all is done, or until that returns false: then it
 * takes part. */
size_t parallel_each_beside(size_t count, void (*work)(void *user, size_t i), void *user, bool (*meanwhile)(void *beside), void *beside);

#endif
