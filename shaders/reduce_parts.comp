// The second stage of a reduction: y[outer][inner] of the parts x[outer][part][inner]. Writes (=). The order is fixed.
// REDUCTION 0: the sum. 1: the greatest. 2: the sum of squared deviations from the mean of all; x holds the parts' own sums,
//   and behind all of them their means. Part p of `reduced` numbers has every `parts`-th of them, from p on.
// TILES 1: the parts are those that a convolution's tiles left (lib/epilogue.glsl), [part][inner] squared deviations, and
//   means behind them, and a part has as many numbers as its tile has rows. Writes (=) the sum of all numbers (where WANTED has 1)
//   and that of their squared deviations (2).
// FINISHED 1: y is a convolution's result, whose epilogue (lib/epilogue.glsl) follows the sum.
// LANES invocations share an element of y, where there are few elements and many parts; neighbours have neighbouring ones.
// Grid: elements of y, folded over y. READ_TEXEL as in optimizer.comp.
#version 450
#extension GL_GOOGLE_include_directive : require
#define VECTOR 0
#include "lib/pointwise.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64;
layout(constant_id = 2) const uint LANES = 1;
#if READ_TEXEL
layout(binding = 0) uniform samplerBuffer x;
#define READ(i) texelFetch(x, int(i)).x
#else
layout(std430, binding = 0) restrict readonly buffer x_buffer { float x[]; };
#define READ(i) x[i]
#endif
#if TILES
layout(constant_id = 1) const uint WANTED = 3;
layout(std430, binding = 1) restrict writeonly buffer sums_buffer { float sums[]; };
layout(std430, binding = 2) restrict writeonly buffer deviations_buffer { float deviations[]; };
#else
layout(std430, binding = 1) restrict writeonly buffer y_buffer { float y[]; };
#endif
layout(push_constant) uniform push_constants
{
    uint count, parts, inner;
#if FINISHED
    uint columns;
    float slope, step_slope;
#elif TILES
    uint n, height, width;    // of what the convolution wrote;
    uint pace_y, pace_x;      // its phases are the places equal modulo these,
    uint row_tiles, tile_rows; // of each phase so many tiles of so many rows; the last ones are less full, or empty
#elif REDUCTION == 2
    uint reduced;
#endif
};

#if FINISHED
#define CELL             float
#define CELLS            1
#define EPILOGUE_TEXEL   READ_TEXEL
#define EPILOGUE_BINDING 2
#include "lib/epilogue.glsl"
#endif

#if REDUCTION == 2 || TILES
#define Partial Moments

// How many numbers there are, their mean and the sum of their squared deviations from it.
struct Moments {
    float numbers, mean, deviations;
};

#if TILES
uint rows_of_all; // of every phase, where these are equal; or 0

uint rows_of(uint phase)
{
    const uint lines = (height - min(height, phase / pace_x) + pace_y - 1) / pace_y;
    const uint places = (width - min(width, phase % pace_x) + pace_x - 1) / pace_x;
    return n * lines * places;
}
#endif

float numbers_of(uint part)
{
#if TILES
    const uint rows = rows_of_all != 0 ? rows_of_all : rows_of(part / row_tiles), first = part % row_tiles * tile_rows;
    return float(min(rows - min(rows, first), tile_rows));
#else
    return float((reduced - part + parts - 1) / parts);
#endif
}

// Means are taken from that of the first part on: far from zero they keep their digits.
Moments read_part(uint start, uint part)
{
    const uint at = start + part * inner, means = count * parts;
    const float numbers = numbers_of(part);
    return numbers == 0 ? Moments(0, 0, 0) : Moments(numbers, READ(means + at) - READ(means + start), READ(at));
}

// Chan, Golub and LeVeque 1979, formula 2.1b
Moments combine(Moments a, Moments b)
{
    if (b.numbers == 0)
        return a;
    const float all = a.numbers + b.numbers, difference = b.mean - a.mean, share = b.numbers / all;
    return Moments(all, a.mean + difference * share,
                   a.deviations + b.deviations + difference * difference * (a.numbers * share));
}

void write(uint i, uint start, Moments all)
{
#if TILES
    if ((WANTED & 1) != 0)
        sums[i] = all.numbers * (all.mean + READ(count * parts + start));
    if ((WANTED & 2) != 0)
        deviations[i] = all.deviations;
#else
    y[i] = all.deviations;
#endif
}
#else
#define Partial float

float read_part(uint start, uint part)
{
    return READ(start + part * inner);
}

float combine(float a, float b)
{
#if REDUCTION == 1
    return maximum(a, b);
#else
    return a + b;
#endif
}

void write(uint i, uint start, float all)
{
#if FINISHED
    float bias, step;
    read_bias(i % columns, bias);
    read_step(i, step);
    all = finished(all, bias, step);
#endif
    y[i] = all;
}
#endif

shared Partial of_lanes[LANES > 1 ? THREADS : 1];

// Every `step`-th part from `first` on. Four are read before the first is added: the memory answers late.
Partial combine_parts(uint start, uint first, uint step)
{
    Partial all = read_part(start, first);
    uint part = first + step;
    for (; part + 3 * step < parts; part += 4 * step) {
        const Partial a = read_part(start, part), b = read_part(start, part + step);
        const Partial c = read_part(start, part + 2 * step), d = read_part(start, part + 3 * step);
        all = combine(combine(combine(combine(all, a), b), c), d);
    }
    for (; part < parts; part += step)
        all = combine(all, read_part(start, part));
    return all;
}

void main()
{
    const uint side_by_side = THREADS / LANES, group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint thread = gl_LocalInvocationID.x, place = thread % side_by_side, lane = thread / side_by_side;
    const uint i = group * side_by_side + place;
    const uint start = i / inner * parts * inner + i % inner;
    Partial all;
#if TILES
    rows_of_all = height % pace_y == 0 && width % pace_x == 0 ? n * (height / pace_y) * (width / pace_x) : 0;
#endif
    if (i < count && lane < parts)
        all = combine_parts(start, lane, LANES);
    if (LANES > 1) {
        of_lanes[thread] = all;
        for (uint rest = LANES / 2; rest > 0; rest /= 2) {
            barrier();
            if (lane < rest && lane + rest < parts)
                of_lanes[thread] = all = combine(all, of_lanes[thread + rest * side_by_side]);
        }
    }
    if (i < count && lane == 0)
        write(i, start, all);
}
