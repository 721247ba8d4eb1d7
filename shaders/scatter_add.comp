// Stages of y = 0; y[.., index[.., m, ..], ..] += x[.., m, ..], an index outside of y adds to nothing. Floats added by
// atomics would depend on the order, so the sums are of integers, 64 bits wide, exact, and the same in any order:
//   STAGE 0  clears y, low and high.                                              Grid: an invocation an element of y.
//   STAGE 1  y ← the bits of the greatest |x| that goes to each element (atomic). Grid: an invocation an element of x.
//   STAGE 2  high:low += x in units of 2^(e − 126 − total_bits), where e is the exponent of that greatest |x|. The low
//            words count their carries into the high ones. total_bits leaves room for every element that can meet
//            at one place: 62 less the bits of their number.                      Grid: an invocation an element of x.
//   STAGE 3  y ← the float nearest to high:low.                                   Grid: an invocation an element of y.
// All of it is integer arithmetic on the floats' bits: the result is the same on every device. Where an infinity or a
// NaN is added the result is what floats would give. READ_TEXEL as in optimizer.comp.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/runs.glsl"
layout(local_size_x_id = 0) in;
#if STAGE == 0
layout(std430, binding = 0) restrict writeonly buffer y_buffer { uint y[]; };
layout(std430, binding = 1) restrict writeonly buffer low_buffer { uint low[]; };
layout(std430, binding = 2) restrict writeonly buffer high_buffer { uint high[]; };
#elif STAGE == 3
layout(std430, binding = 0) restrict buffer y_buffer { uint y[]; };
layout(std430, binding = 1) restrict readonly buffer low_buffer { uint low[]; };
layout(std430, binding = 2) restrict readonly buffer high_buffer { uint high[]; };
#else
#if READ_TEXEL
layout(binding = 0) uniform isamplerBuffer x;
layout(binding = 1) uniform isamplerBuffer index;
#define READ(tensor, i) texelFetch(tensor, int(i)).x
#else
layout(std430, binding = 0) restrict readonly buffer x_buffer { int x[]; };
layout(std430, binding = 1) restrict readonly buffer index_buffer { int index[]; };
#define READ(tensor, i) tensor[i]
#endif
#if STAGE == 1
layout(std430, binding = 2) restrict buffer y_buffer { uint y[]; };
#else
layout(std430, binding = 2) restrict readonly buffer y_buffer { uint y[]; };
layout(std430, binding = 3) restrict buffer low_buffer { uint low[]; };
layout(std430, binding = 4) restrict buffer high_buffer { uint high[]; };
#endif
#endif
const uint INFINITE = 0x7f800000u, NOT_A_NUMBER = 0x7fc00000u;
const uint PLUS = 1u, MINUS = 2u; // in low: which infinities were added

// The exponent of a float's bits, biased; 1 for those below the normal ones, which are in the same units.
int exponent_of(uint bits)
{
    return max(int(bits >> 23), 1);
}

#if STAGE == 2
void add(uint place, uint bits)
{
    uint size = bits & 0x7fffffffu, greatest = y[place];
    if (greatest >= INFINITE) {
        if (size == INFINITE)
            atomicOr(low[place], bits == size ? PLUS : MINUS);
        return;
    }
    uint mantissa = size & 0x7fffffu | (size >= 0x800000u ? 0x800000u : 0u);
    int shift = int(total_bits) - 24 - (exponent_of(greatest) - exponent_of(size));
    uint l = 0, h = 0;
    if (shift >= 32) {
        h = mantissa << (shift - 32);
    } else if (shift > 0) {
        l = mantissa << shift;
        h = mantissa >> (32 - shift);
    } else if (shift == 0) {
        l = mantissa;
    } else if (shift >= -24) {
        l = mantissa + (1u << (-shift - 1)) >> -shift;
    }
    if (bits != size) { // negative
        l = ~l + 1;
        h = ~h + (l == 0 ? 1 : 0);
    }
    uint before = atomicAdd(low[place], l);
    h += before + l < before ? 1 : 0;
    if (h != 0)
        atomicAdd(high[place], h);
}
#endif

#if STAGE == 3
// h:l >> shift, to the nearest, to the even one of two; the result fits into 32 bits.
uint shift_and_round(uint h, uint l, int shift)
{
    if (shift <= 0)
        return l << -shift;
    uint kept, rest, middle, below = 0;
    if (shift < 32) {
        kept = h << (32 - shift) | l >> shift;
        rest = l & (1u << shift) - 1;
        middle = 1u << (shift - 1);
    } else if (shift == 32) {
        kept = h, rest = l, middle = 0x80000000u;
    } else {
        kept = h >> (shift - 32);
        rest = h & (1u << (shift - 32)) - 1;
        middle = 1u << (shift - 33);
        below = l;
    }
    bool up = rest > middle || rest == middle && (below != 0 || (kept & 1u) != 0);
    return kept + (up ? 1 : 0);
}

uint finish(uint greatest, uint l, uint h)
{
    if (greatest >= INFINITE)
        return greatest > INFINITE || l == (PLUS | MINUS) ? NOT_A_NUMBER : l == MINUS ? INFINITE | 0x80000000u : INFINITE;
    uint negative = h & 0x80000000u;
    if (negative != 0) {
        l = ~l + 1;
        h = ~h + (l == 0 ? 1 : 0);
    }
    if ((h | l) == 0)
        return 0;
    int first_bit = h != 0 ? 32 + findMSB(h) : findMSB(l), e = exponent_of(greatest);
    int exponent = max(first_bit + e + 1 - int(total_bits), 1);
    if (exponent >= 255)
        return negative | INFINITE;
    uint mantissa = shift_and_round(h, l, exponent - 1 + int(total_bits) - e - 23);
    return negative | (uint(exponent - 1) << 23) + mantissa; // one bit too many makes the next exponent
}
#endif

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= count)
        return;
#if STAGE == 0
    y[i] = 0;
    low[i] = 0;
    high[i] = 0;
#elif STAGE == 3
    y[i] = finish(y[i], low[i], high[i]);
#else
    uvec2 place = walk_runs(i);
    uint k = uint(READ(index, place.x));
    if (k >= axis_size)
        return;
    uint bits = uint(READ(x, i));
#if STAGE == 1
    if ((bits & 0x7fffffffu) != 0)
        atomicMax(y[place.y + k * axis_stride], bits & 0x7fffffffu);
#else
    if ((bits & 0x7fffffffu) != 0)
        add(place.y + k * axis_stride, bits);
#endif
#endif
}
