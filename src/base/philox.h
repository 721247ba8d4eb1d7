/* Philox 4x32-10: random numbers as a pure function of a counter and a key (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). Its twin for the device is shaders/lib/philox.glsl; both must give
 * the same numbers (normals: up to the last bits of log, sqrt, sin and cos). */
#ifndef VKG_BASE_PHILOX_H
#define VKG_BASE_PHILOX_H

#include <stdint.h>

/* Four random words of 32 bits. `out` may be `counter`. */
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* (float(x >> 8) + 0.5) · 2⁻²⁴, each operation rounded to float: uniform in (0, 1]. Never 0, so that its
 * logarithm is finite; 1 comes from the one greatest value of x >> 8. */
float philox_uniform(uint32_t x);

/* Box and Muller 1958: with u0, u1 the uniforms of x0, x1 and r = √(−2 ln u0), the two independent standard
 * normals r·cos(2π·u1), r·sin(2π·u1). All in float. */
void philox_normals(uint32_t x0, uint32_t x1, float normals[2]);

#endif
