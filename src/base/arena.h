/* Memory that is given out piece by piece and freed as a whole: what a graph owns lives and dies with it. */
#ifndef VKG_BASE_ARENA_H
#define VKG_BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks;
};

/* Zeroed, aligned for any type; NULL when memory is out. A zeroed struct arena is an empty one. */
void *arena_alloc(struct arena *arena, size_t bytes);
char *arena_strdup(struct arena *arena, const char *text);
void arena_free(struct arena *arena);

/* A growing array's next element: doubles *items (of *capacity elements) when count reaches it.
 * false when memory is out; the array is unchanged then. */
int array_reserve(void **items, size_t *capacity, size_t count, size_t element_bytes);

#endif
