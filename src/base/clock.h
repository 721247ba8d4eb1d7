/* Time that only grows. */
#ifndef VKG_BASE_CLOCK_H
#define VKG_BASE_CLOCK_H

#include <time.h>

/* Seconds since some fixed moment: only differences mean anything. */
static inline double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
