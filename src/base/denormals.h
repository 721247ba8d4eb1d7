/* Denormal numbers, those below 2⁻¹²⁶: some processors (Intel's) take a hundred times as long for a product of them. */
#ifndef VKG_BASE_DENORMALS_H
#define VKG_BASE_DENORMALS_H

#ifdef __SSE__
#include <xmmintrin.h>

/* They count as 0 from now on, in this thread and in those that it starts. Returns what denormals_restore takes. */
static inline unsigned denormals_flush(void)
{
    enum { FLUSH_TO_ZERO = 1 << 15, DENORMALS_ARE_ZERO = 1 << 6 };
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
    return before;
}

static inline void denormals_restore(unsigned before)
{
    _mm_setcsr(before);
}
#else /* elsewhere they are left to the driver */
static inline unsigned denormals_flush(void)
{
    return 0;
}

static inline void denormals_restore(unsigned before)
{
    (void)before;
}
#endif

#endif
