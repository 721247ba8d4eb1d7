// Convolution by cooperative matrices: the implicit matrix product of lib/conv_product.glsl with halves (BFLOAT: 0
// float16, 1 bfloat16) as inputs and floats as sums and result. A workgroup computes a tile of ROWS × COLUMNS, each of
// its subgroups FRAGMENT_ROWS × FRAGMENT_COLUMNS matrices of M × N, fed through shared memory DEPTH summands at a time;
// while these are multiplied, the next ones are on their way into registers. Writes (=) one split's part.
// Grid: as lib/conv_product.glsl says. Needs full subgroups, all of them of workgroup size / (SUBGROUP_ROWS ·
// SUBGROUP_COLUMNS) invocations.
// Debian 12's glslc cannot build this file: tools/build-coopmat-shaders keeps its SPIR-V in prebuilt/.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_cooperative_matrix : require
#if BFLOAT
#extension GL_EXT_bfloat16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#define HALF bfloat16_t
#define HALVES bf16vec2
#define halves_of(bits) uintBitsToBFloat16EXT(unpack16(bits))
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define HALF float16_t
#define HALVES f16vec2
#define halves_of(bits) unpackFloat2x16(bits)
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;
layout(constant_id = 2) const uint M = 16;
layout(constant_id = 3) const uint N = 16;
layout(constant_id = 4) const uint K = 16;
layout(constant_id = 5) const uint SUBGROUP_ROWS = 2;
layout(constant_id = 6) const uint SUBGROUP_COLUMNS = 2;
layout(constant_id = 7) const uint FRAGMENT_ROWS = 2;
layout(constant_id = 8) const uint FRAGMENT_COLUMNS = 2;
layout(constant_id = 9) const uint GRAIN_A = 1; // elements that one read takes: 1, or 8 where channels come in eights
layout(constant_id = 10) const uint GRAIN_B = 1;

const uint DEPTH = 32;
const uint ROWS = M * FRAGMENT_ROWS * SUBGROUP_ROWS, COLUMNS = N * FRAGMENT_COLUMNS * SUBGROUP_COLUMNS;

#include "lib/conv_product.glsl"

// Two views of each input: pairs of halves, and eights of them.
layout(std430, binding = 0) readonly buffer first_buffer { uint first[]; };
layout(std430, binding = 0) readonly buffer first_eights_buffer { uvec4 first_eights[]; };
layout(std430, binding = 1) readonly buffer second_buffer { uint second[]; };
layout(std430, binding = 1) readonly buffer second_eights_buffer { uvec4 second_eights[]; };

// The tiles lie in shared memory as the tensors in memory: lines of what is side by side there, with a gap that spreads
// neighbouring lines over the banks.
#if DIRECTION == 2
const uint LINES_A = DEPTH, LENGTH_A = ROWS;
const int LAYOUT_A = gl_CooperativeMatrixLayoutColumnMajor;
#else
const uint LINES_A = ROWS, LENGTH_A = DEPTH;
const int LAYOUT_A = gl_CooperativeMatrixLayoutRowMajor;
#endif
#if DIRECTION == 1
const uint LINES_B = COLUMNS, LENGTH_B = DEPTH;
const int LAYOUT_B = gl_CooperativeMatrixLayoutColumnMajor;
#else
const uint LINES_B = DEPTH, LENGTH_B = COLUMNS;
const int LAYOUT_B = gl_CooperativeMatrixLayoutRowMajor;
#endif
const uint PITCH_A = LENGTH_A / 2 + 4, PITCH_B = LENGTH_B / 2 + 4; // in pairs
shared HALVES tile_a[LINES_A * PITCH_A];
shared HALVES tile_b[LINES_B * PITCH_B];
shared float results[SUBGROUP_ROWS * SUBGROUP_COLUMNS * M * N];

// A thread loads eights: those at one distance along a line, of every STRIDE-th line.
const uint LOADS_A = LINES_A * LENGTH_A / 8 / THREADS, LOADS_B = LINES_B * LENGTH_B / 8 / THREADS;
const uint STRIDE_A = THREADS / (LENGTH_A / 8), STRIDE_B = THREADS / (LENGTH_B / 8);
uint line_a = gl_LocalInvocationID.x / (LENGTH_A / 8), along_a = gl_LocalInvocationID.x % (LENGTH_A / 8) * 8;
uint line_b = gl_LocalInvocationID.x / (LENGTH_B / 8), along_b = gl_LocalInvocationID.x % (LENGTH_B / 8) * 8;
uvec4 held_a[LOADS_A], held_b[LOADS_B];
uint first_row, first_column;

// Places element `at`, and with a grain of 8 the next ones too, as element j of an eight.
void hold_a(uint load, uint j, uint at)
{
    if (GRAIN_A == 8)
        held_a[load] = first_eights[at / 8];
    else
        held_a[load][j / 2] |= (first[at / 2] >> at % 2 * 16 & 0xffff) << j % 2 * 16;
}

void hold_b(uint load, uint j, uint at)
{
    if (GRAIN_B == 8)
        held_b[load] = second_eights[at / 8];
    else
        held_b[load][j / 2] |= (second[at / 2] >> at % 2 * 16 & 0xffff) << j % 2 * 16;
}

#if DIRECTION == 2
uint source[8]; // of the rows that this thread loads: the first element, and the tap's place
ivec2 tap_place[8];

void prepare_a()
{
    [[unroll]] for (uint j = 0; j < 8; j += GRAIN_A) {
        const uint row = min(first_row + along_a + j, rows - 1), tap = row / ci;
        source[j] = group * x_group + row % ci;
        tap_place[j] = ivec2(tap / kw * dh, tap % kw * dw) - ivec2(ph, pw);
    }
}

void fetch_a(uint k0)
{
    [[unroll]] for (uint i = 0; i < LOADS_A; i++) {
        const uint k = k0 + line_a + i * STRIDE_A, image = k / (oh * ow);
        const ivec2 origin = ivec2(k / ow % oh * sh, k % ow * sw);
        held_a[i] = uvec4(0);
        [[unroll]] for (uint j = 0; j < 8; j += GRAIN_A) {
            const ivec2 at = origin + tap_place[j];
            if (k < end && all(greaterThanEqual(at, ivec2(0))) && all(lessThan(at, ivec2(ih, iw))))
                hold_a(i, j, source[j] + ((image * ih + uint(at.x)) * iw + uint(at.y)) * x_pitch);
        }
    }
}
#else
uint source[LOADS_A]; // of the rows that this thread loads: the image, and where tap 0 reads
ivec2 origin[LOADS_A];

void prepare_a()
{
    [[unroll]] for (uint i = 0; i < LOADS_A; i++) {
        const uint row = first_row + line_a + i * STRIDE_A;
        const ivec3 to = written_place(min(row, rows - 1));
        origin[i] = row < rows ? read_origin(to.yz) : ivec2(-0x40000000); // never inside
        source[i] = uint(to.x) * uint(READ_SIZE.x * READ_SIZE.y) * READ_PITCH + group * READ_GROUP;
    }
}

// the tap of summand k, counted from the first one
ivec2 tap_of(uint k)
{
    const int tap = int(k / SUMMED);
    return first_tap + ivec2(tap / taps.y, tap % taps.y);
}

void fetch_a(uint k0)
{
    [[unroll]] for (uint i = 0; i < LOADS_A; i++)
        held_a[i] = uvec4(0);
    [[unroll]] for (uint j = 0; j < 8; j += GRAIN_A) {
        const uint k = k0 + along_a + j;
        const ivec2 moved = tap_of(k) * ivec2(taps_y.step, taps_x.step);
        [[unroll]] for (uint i = 0; i < LOADS_A; i++) {
            const ivec2 at = origin[i] + moved;
            if (k < end && all(greaterThanEqual(at, ivec2(0))) && all(lessThan(at, READ_SIZE)))
                hold_a(i, j, source[i] + uint(at.x * READ_SIZE.y + at.y) * READ_PITCH + k % SUMMED);
        }
    }
}
#endif

#if DIRECTION == 1
void fetch_b(uint k0)
{
    [[unroll]] for (uint i = 0; i < LOADS_B; i++)
        held_b[i] = uvec4(0);
    [[unroll]] for (uint j = 0; j < 8; j += GRAIN_B) {
        const uint k = k0 + along_b + j;
        const ivec2 tap = ivec2(taps_y.first, taps_x.first) + tap_of(k) * ivec2(taps_y.period, taps_x.period);
        const uint line = uint(tap.x * int(kw) + tap.y) * ci;
        [[unroll]] for (uint i = 0; i < LOADS_B; i++) {
            const uint column = first_column + line_b + i * STRIDE_B;
            if (k < end && column < columns)
                hold_b(i, j, group * w_group + (line + column) * w_pitch + k % SUMMED);
        }
    }
}
#else
void fetch_b(uint k0)
{
#if DIRECTION == 0
    const uint skipped = uint(first_tap.x) * kw * ci, pitch = w_pitch, source_b = group * w_group;
#else
    const uint skipped = 0, pitch = y_pitch, source_b = group * y_group;
#endif
    [[unroll]] for (uint i = 0; i < LOADS_B; i++) {
        const uint k = k0 + line_b + i * STRIDE_B;
        held_b[i] = uvec4(0);
        [[unroll]] for (uint j = 0; j < 8; j += GRAIN_B) {
            const uint column = first_column + along_b + j;
            if (k < end && column < columns)
                hold_b(i, j, source_b + (skipped + k) * pitch + column);
        }
    }
}
#endif

void store_tiles()
{
    [[unroll]] for (uint i = 0; i < LOADS_A; i++)
        [[unroll]] for (uint j = 0; j < 4; j++)
            tile_a[(line_a + i * STRIDE_A) * PITCH_A + along_a / 2 + j] = halves_of(held_a[i][j]);
    [[unroll]] for (uint i = 0; i < LOADS_B; i++)
        [[unroll]] for (uint j = 0; j < 4; j++)
            tile_b[(line_b + i * STRIDE_B) * PITCH_B + along_b / 2 + j] = halves_of(held_b[i][j]);
}

// where a matrix begins in its tile, in pairs: at a place among rows or columns, and a summand
uint place_in_a(uint row, uint k)
{
    return LAYOUT_A == gl_CooperativeMatrixLayoutRowMajor ? row * PITCH_A + k / 2 : k * PITCH_A + row / 2;
}

uint place_in_b(uint k, uint column)
{
    return LAYOUT_B == gl_CooperativeMatrixLayoutRowMajor ? k * PITCH_B + column / 2 : column * PITCH_B + k / 2;
}

coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> sum[FRAGMENT_ROWS * FRAGMENT_COLUMNS];

// of this subgroup in the tile
uint subgroup_row = gl_SubgroupID / SUBGROUP_COLUMNS * FRAGMENT_ROWS * M;
uint subgroup_column = gl_SubgroupID % SUBGROUP_COLUMNS * FRAGMENT_COLUMNS * N;

void multiply_tiles()
{
    coopmat<HALF, gl_ScopeSubgroup, M, K, gl_MatrixUseA> a[FRAGMENT_ROWS];
    coopmat<HALF, gl_ScopeSubgroup, K, N, gl_MatrixUseB> b;
    [[unroll]] for (uint k = 0; k < DEPTH; k += K) {
        [[unroll]] for (uint i = 0; i < FRAGMENT_ROWS; i++)
            coopMatLoad(a[i], tile_a, place_in_a(subgroup_row + i * M, k), PITCH_A, LAYOUT_A);
        [[unroll]] for (uint j = 0; j < FRAGMENT_COLUMNS; j++) {
            coopMatLoad(b, tile_b, place_in_b(k, subgroup_column + j * N), PITCH_B, LAYOUT_B);
            [[unroll]] for (uint i = 0; i < FRAGMENT_ROWS; i++)
                sum[i * FRAGMENT_COLUMNS + j] = coopMatMulAdd(a[i], b, sum[i * FRAGMENT_COLUMNS + j]);
        }
    }
}

// Matrix by matrix through shared memory, for the sake of the bounds: a matrix can only be stored whole.
void store_sums()
{
    const uint mine = gl_SubgroupID * M * N;
    [[unroll]] for (uint i = 0; i < FRAGMENT_ROWS; i++)
        [[unroll]] for (uint j = 0; j < FRAGMENT_COLUMNS; j++) {
            coopMatStore(sum[i * FRAGMENT_COLUMNS + j], results, mine, N, gl_CooperativeMatrixLayoutRowMajor);
            barrier();
            for (uint e = gl_SubgroupInvocationID; e < M * N; e += gl_SubgroupSize) {
                const uint row = first_row + subgroup_row + i * M + e / N;
                const uint column = first_column + subgroup_column + j * N + e % N;
                if (row < rows && column < columns)
                    write_result(result_index(row, column), bias_of(column), results[mine + e]);
            }
            barrier();
        }
}

void main()
{
    describe();
    const uint column_tiles = (columns + COLUMNS - 1) / COLUMNS, tile = folded_workgroup() % blocks;
    first_row = tile / column_tiles * ROWS, first_column = tile % column_tiles * COLUMNS;
    if (first_row >= rows || group >= groups) // the same for all threads of the workgroup
        return;
#if DIRECTION != 2
    describe_taps(first_row, min(first_row + ROWS, rows) - 1);
#endif
    prepare_a();
    [[unroll]] for (uint i = 0; i < FRAGMENT_ROWS * FRAGMENT_COLUMNS; i++)
        sum[i] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(0);
    if (begin < end) {
        fetch_a(begin);
        fetch_b(begin);
    }
    for (uint k0 = begin; k0 < end; k0 += DEPTH) {
        store_tiles();
        barrier();
        if (k0 + DEPTH < end) {
            fetch_a(k0 + DEPTH);
            fetch_b(k0 + DEPTH);
        }
        multiply_tiles();
        barrier();
    }
    store_sums();
}
