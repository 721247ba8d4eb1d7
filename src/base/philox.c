#include "base/philox.h"

#include <math.h>

/* The paper's constants: multipliers of its table 2, Weyl sequences of the golden ratio and √3 − 1. */
static const uint32_t MULTIPLIER_0 = 0xD2511F53u, MULTIPLIER_1 = 0xCD9E8D57u;
static const uint32_t WEYL_0 = 0x9E3779B9u, WEYL_1 = 0xBB67AE85u;
enum { ROUNDS = 10 };

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < ROUNDS; ++round) {
        uint64_t product_0 = (uint64_t)MULTIPLIER_0 * c0;
        uint64_t product_1 = (uint64_t)MULTIPLIER_1 * c2;
        c0 = (uint32_t)(product_1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product_1;
        c2 = (uint32_t)(product_0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product_0;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

float philox_uniform(uint32_t x)
{
    return ((float)(x >> 8) + 0.5f) * 0x1p-24f;
}

void philox_normals(uint32_t x0, uint32_t x1, float normals[2])
{
    const float two_pi = 6.28318530717958647692f;
    float radius = sqrtf(-2.0f * logf(philox_uniform(x0)));
    float angle = two_pi * philox_uniform(x1);
    normals[0] = radius * cosf(angle);
    normals[1] = radius * sinf(angle);
}
