/* Sizes: the lesser and the greater, and rounding up. */
#ifndef VKG_BASE_ARITHMETIC_H
#define VKG_BASE_ARITHMETIC_H

#include <stdint.h>

static inline uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* a/b, rounded up. */
static inline uint64_t up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* The first multiple of `grain` that is not less than a. */
static inline uint64_t round_up(uint64_t a, uint64_t grain)
{
    return up(a, grain) * grain;
}

#endif
