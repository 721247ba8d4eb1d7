// Convolution for graphics cards: an implicit matrix product, result[row][column] = Σ_k a(row, k) · b(k, column),
// in tiles of 64 × 64 kept in registers (4 × 4 a thread) and fed through shared memory 16 summands at a time.
// Writes (=). DIRECTION: 0 forward, 1 input_grad, 2 weight_grad (see lib/conv.glsl):
//   forward      row (n, oh, ow)      k (kh, kw, ci)            column co
//   input_grad   row (n, ih, iw)      k (taps of the phase, co) column ci      z: phase (place modulo stride)
//   weight_grad  row (kh, kw, ci)     k (place, n)              column co      z: split
// Grid: x columns, y rows, z as above. 256 threads, 8.5 KiB of shared memory.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/conv.glsl"

layout(local_size_x = 256) in;
layout(std430, binding = 0) restrict readonly buffer first_buffer { float first[]; };
layout(std430, binding = 1) restrict readonly buffer second_buffer { float second[]; };
layout(std430, binding = 2) restrict writeonly buffer result_buffer { float result[]; };

const uint TILE = 64, DEPTH = 16;
shared float tile_a[DEPTH][TILE + 1]; // one more: neighbours in a column fall into different banks
shared float tile_b[DEPTH][TILE + 1];

// what the whole workgroup shares
uint rows, summands, columns;
#if DIRECTION == 1
ivec2 phase, grid;
Taps taps_y, taps_x;
#elif DIRECTION == 2
uint begin;
#endif

void describe()
{
#if DIRECTION == 0
    rows = n * oh * ow, summands = kh * kw * ci, columns = co;
#elif DIRECTION == 1
    phase = ivec2(gl_WorkGroupID.z / sw, gl_WorkGroupID.z % sw);
    grid = (ivec2(ih, iw) - phase + ivec2(sh, sw) - 1) / ivec2(sh, sw);
    taps_y = taps_input_grad(phase.x, int(kh), int(sh), int(ph), int(dh));
    taps_x = taps_input_grad(phase.y, int(kw), int(sw), int(pw), int(dw));
    rows = n * uint(grid.x * grid.y), summands = uint(taps_y.count * taps_x.count) * co, columns = ci;
#else
    begin = gl_WorkGroupID.z * chunk;
    rows = kh * kw * ci, summands = min(begin + chunk, n * oh * ow) - begin, columns = co;
#endif
}

#if DIRECTION == 1
// image, row and column that row index m writes
ivec3 written_place(uint m)
{
    uint pixels = uint(grid.x * grid.y), pixel = m % pixels;
    return ivec3(m / pixels, phase + ivec2(sh, sw) * ivec2(pixel / uint(grid.y), pixel % uint(grid.y)));
}
#endif

float a(uint m, uint k)
{
    if (m >= rows || k >= summands)
        return 0;
#if DIRECTION == 0
    int row = int(m / ow % oh * sh + k / ci / kw * dh) - int(ph), line = int(m % ow * sw + k / ci % kw * dw) - int(pw);
    bool fits = row >= 0 && row < int(ih) && line >= 0 && line < int(iw);
    return fits ? first[((m / ow / oh * ih + uint(row)) * iw + uint(line)) * ci + k % ci] : 0;
#elif DIRECTION == 1
    uint tap = k / co;
    int ky = taps_y.first + int(tap / uint(taps_x.count)) * taps_y.period;
    int kx = taps_x.first + int(tap % uint(taps_x.count)) * taps_x.period;
    ivec3 to = written_place(m);
    ivec2 from = to.yz + ivec2(ph, pw) - ivec2(ky * int(dh), kx * int(dw)); // a multiple of the stride
    bool fits = from.x >= 0 && from.x < int(oh * sh) && from.y >= 0 && from.y < int(ow * sw);
    return fits ? first[((uint(to.x) * oh + uint(from.x) / sh) * ow + uint(from.y) / sw) * co + k % co] : 0;
#else
    uint place = (begin + k) % (oh * ow), image = (begin + k) / (oh * ow), tap = m / ci;
    int row = int(place / ow * sh + tap / kw * dh) - int(ph), line = int(place % ow * sw + tap % kw * dw) - int(pw);
    bool fits = row >= 0 && row < int(ih) && line >= 0 && line < int(iw);
    return fits ? first[((image * ih + uint(row)) * iw + uint(line)) * ci + m % ci] : 0;
#endif
}

float b(uint k, uint column)
{
    if (k >= summands || column >= columns)
        return 0;
#if DIRECTION == 0
    return second[k * co + column];
#elif DIRECTION == 1
    uint tap = k / co;
    uint ky = uint(taps_y.first + int(tap / uint(taps_x.count)) * taps_y.period);
    uint kx = uint(taps_x.first + int(tap % uint(taps_x.count)) * taps_x.period);
    return second[((ky * kw + kx) * ci + column) * co + k % co];
#else
    return second[(begin + k) * co + column];
#endif
}

uint result_index(uint m, uint column)
{
#if DIRECTION == 1
    ivec3 to = written_place(m);
    return (uint(to.x * int(ih) + to.y) * iw + uint(to.z)) * ci + column;
#elif DIRECTION == 2
    return (gl_WorkGroupID.z * rows + m) * columns + column;
#else
    return m * columns + column;
#endif
}

void main()
{
    describe();
    const uint thread = gl_LocalInvocationID.x, first_row = gl_WorkGroupID.y * TILE, first_column = gl_WorkGroupID.x * TILE;
    if (first_row >= rows || first_column >= columns) // the same for all threads of the workgroup
        return;
    const uint my_row = thread / 16, my_column = thread % 16; // and every 16th behind it
    float sum[4][4];
    [[unroll]] for (uint i = 0; i < 4; i++)
        [[unroll]] for (uint j = 0; j < 4; j++)
            sum[i][j] = 0;

    for (uint k0 = 0; k0 < summands; k0 += DEPTH) {
        // neighbouring threads load what lies side by side in memory
        [[unroll]] for (uint i = 0; i < TILE * DEPTH / 256; i++) {
            uint e = thread + i * 256;
#if DIRECTION == 2
            tile_a[e / TILE][e % TILE] = a(first_row + e % TILE, k0 + e / TILE);
#else
            tile_a[e % DEPTH][e / DEPTH] = a(first_row + e / DEPTH, k0 + e % DEPTH);
#endif
#if DIRECTION == 1
            tile_b[e % DEPTH][e / DEPTH] = b(k0 + e % DEPTH, first_column + e / DEPTH);
#else
            tile_b[e / TILE][e % TILE] = b(k0 + e / TILE, first_column + e % TILE);
#endif
        }
        barrier();
        [[unroll]] for (uint k = 0; k < DEPTH; k++) {
            float left[4], right[4];
            [[unroll]] for (uint i = 0; i < 4; i++) {
                left[i] = tile_a[k][my_row + i * 16];
                right[i] = tile_b[k][my_column + i * 16];
            }
            [[unroll]] for (uint i = 0; i < 4; i++)
                [[unroll]] for (uint j = 0; j < 4; j++)
                    sum[i][j] += left[i] * right[j];
        }
        barrier();
    }

    [[unroll]] for (uint i = 0; i < 4; i++)
        [[unroll]] for (uint j = 0; j < 4; j++) {
            uint m = first_row + my_row + i * 16, column = first_column + my_column + j * 16;
            if (m < rows && column < columns)
                result[result_index(m, column)] = sum[i][j];
        }
}
