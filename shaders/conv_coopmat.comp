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
#define HALVES bf16vec4
#define halves_of(bits) uintBitsToBFloat16EXT(unpack16(bits))
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define HALF float16_t
#define HALVES f16vec4
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
layout(constant_id = 11) const uint DEPTH = 32; // a multiple of K and 8

const uint ROWS = M * FRAGMENT_ROWS * SUBGROUP_ROWS, COLUMNS = N * FRAGMENT_COLUMNS * SUBGROUP_COLUMNS;

#include "lib/conv_product.glsl"

#define PIECE 8
#include "lib/conv_fetch.glsl"

// The tiles lie in shared memory as the tensors in memory: lines of what is side by side there, with a gap that spreads
// neighbouring lines over the banks.
#if DIRECTION == 2
const int LAYOUT_A = gl_CooperativeMatrixLayoutColumnMajor;
#else
const int LAYOUT_A = gl_CooperativeMatrixLayoutRowMajor;
#endif
#if DIRECTION == 1
const int LAYOUT_B = gl_CooperativeMatrixLayoutColumnMajor;
#else
const int LAYOUT_B = gl_CooperativeMatrixLayoutRowMajor;
#endif
const uint PITCH_A = LENGTH_A / 4 + 2, PITCH_B = LENGTH_B / 4 + 2; // in fours
shared HALVES tile_a[LINES_A * PITCH_A];
shared HALVES tile_b[LINES_B * PITCH_B];
shared vec4 results[SUBGROUP_ROWS * SUBGROUP_COLUMNS * M * N / 4]; // a matrix of each subgroup
shared uint row_index[ROWS]; // where in the result each row of the tile begins

void store_tiles()
{
    [[unroll]] for (uint i = 0; i < LOADS_A && loads_a; i++)
        [[unroll]] for (uint j = 0; j < 2; j++)
            tile_a[(line_a + i * STRIDE_A) * PITCH_A + along_a / 4 + j] =
                HALVES(halves_of(held_a[i][2 * j]), halves_of(held_a[i][2 * j + 1]));
    [[unroll]] for (uint i = 0; i < LOADS_B && loads_b; i++)
        [[unroll]] for (uint j = 0; j < 2; j++)
            tile_b[(line_b + i * STRIDE_B) * PITCH_B + along_b / 4 + j] =
                HALVES(halves_of(held_b[i][2 * j]), halves_of(held_b[i][2 * j + 1]));
}

// where a matrix begins in its tile, in fours: at a place among rows or columns, and a summand
uint place_in_a(uint row, uint k)
{
    return LAYOUT_A == gl_CooperativeMatrixLayoutRowMajor ? row * PITCH_A + k / 4 : k * PITCH_A + row / 4;
}

uint place_in_b(uint k, uint column)
{
    return LAYOUT_B == gl_CooperativeMatrixLayoutRowMajor ? k * PITCH_B + column / 4 : column * PITCH_B + k / 4;
}

#define Matrix_a coopmat<HALF, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define Matrix_b coopmat<HALF, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define Sums     coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>

// Matrices have names and no indices: drivers that do not unroll a loop over an array of them keep it in memory.
#define EACH_OF_FOUR(DO) DO(0) DO(1) DO(2) DO(3)
#define EACH_SUM(DO) DO(0, 0) DO(0, 1) DO(0, 2) DO(0, 3) DO(1, 0) DO(1, 1) DO(1, 2) DO(1, 3) \
                     DO(2, 0) DO(2, 1) DO(2, 2) DO(2, 3) DO(3, 0) DO(3, 1) DO(3, 2) DO(3, 3)

// The result and what its epilogue reads once more, as fours.
layout(std430, binding = 2) writeonly buffer result_fours_buffer { vec4 result_fours[]; };
#if DIRECTION != 2
#undef CELL
#undef CELLS
#define CELL  vec4
#define CELLS 4
#include "lib/epilogue.glsl"
#endif

void write_four(uint at, uint column, vec4 sum)
{
#if DIRECTION != 2
    vec4 bias;
    read_bias(column / 4, bias);
    sum = finished(sum, bias, at / 4);
#endif
    result_fours[at / 4] = sum;
}

void write_each(uint at, uint column, vec4 sum)
{
    [[unroll]] for (uint j = 0; j < 4; j++)
        if (column + j < columns) {
            float bias;
            read_bias(column + j, bias);
            write_result(at + j, bias, sum[j]);
        }
}

// Writes the matrix that lies in shared memory, since only whole matrices can be stored from registers.
void write_results(uint row_in_tile, uint first_row, uint first_column)
{
    for (uint e = gl_SubgroupInvocationID; e < M * N / 4; e += gl_SubgroupSize) {
        const uint row = row_in_tile + e / (N / 4), column = first_column + e % (N / 4) * 4, at = row_index[row] + column;
        const vec4 sum = results[gl_SubgroupID * (M * N / 4) + e];
        if (first_row + row < rows && column < columns) {
            if (columns % 4 == 0)
                write_four(at, column, sum);
            else
                write_each(at, column, sum);
        }
    }
}

void main()
{
    describe();
    const uint column_tiles = (columns + COLUMNS - 1) / COLUMNS, tile = folded_workgroup() % blocks;
    const uint first_row = tile / column_tiles * ROWS, first_column = tile % column_tiles * COLUMNS;
    if (first_row >= rows || group >= groups) // the same for all threads of the workgroup
        return;
#if DIRECTION != 2
    describe_taps(first_row, min(first_row + ROWS, rows) - 1);
#endif
    // of this subgroup in the tile
    const uint subgroup_row = gl_SubgroupID / SUBGROUP_COLUMNS * FRAGMENT_ROWS * M;
    const uint subgroup_column = gl_SubgroupID % SUBGROUP_COLUMNS * FRAGMENT_COLUMNS * N;
#define DECLARE(i, j) Sums sum_##i##_##j = Sums(0);
    EACH_SUM(DECLARE)
#define DECLARE_A(i) Matrix_a a_##i;
    EACH_OF_FOUR(DECLARE_A)
    Matrix_b b;

    prepare_fetch(first_row, first_column);
    if (begin < end)
        fetch();
    for (uint k0 = begin; k0 < end; k0 += DEPTH) {
        store_tiles();
        barrier();
        if (k0 + DEPTH < end)
            fetch();
        [[unroll]] for (uint k = 0; k < DEPTH; k += K) {
#define LOAD_A(i)                                                                                                      \
            if (i < FRAGMENT_ROWS)                                                                                     \
                coopMatLoad(a_##i, tile_a, place_in_a(subgroup_row + i * M, k), PITCH_A, LAYOUT_A);
            EACH_OF_FOUR(LOAD_A)
#define MULTIPLY(i, j)                                                                                                 \
            if (i < FRAGMENT_ROWS)                                                                                     \
                sum_##i##_##j = coopMatMulAdd(a_##i, b, sum_##i##_##j);
#define MULTIPLY_COLUMN(j)                                                                                             \
            if (j < FRAGMENT_COLUMNS) {                                                                                \
                coopMatLoad(b, tile_b, place_in_b(k, subgroup_column + j * N), PITCH_B, LAYOUT_B);                     \
                MULTIPLY(0, j) MULTIPLY(1, j) MULTIPLY(2, j) MULTIPLY(3, j)                                            \
            }
            EACH_OF_FOUR(MULTIPLY_COLUMN)
        }
        barrier();
    }

    for (uint row = gl_LocalInvocationID.x; row < ROWS; row += THREADS)
        row_index[row] = result_index(min(first_row + row, rows - 1), 0);
    barrier();
    for (uint f = 0; f < FRAGMENT_ROWS * FRAGMENT_COLUMNS; f++) {
#define STORE(i, j)                                                                                                    \
        if (i < FRAGMENT_ROWS && j < FRAGMENT_COLUMNS && i * FRAGMENT_COLUMNS + j == f)                                \
            coopMatStore(sum_##i##_##j, results, gl_SubgroupID * (M * N / 4), N / 4, gl_CooperativeMatrixLayoutRowMajor);
        EACH_SUM(STORE)
        subgroupBarrier();
        write_results(subgroup_row + f / FRAGMENT_COLUMNS * M, first_row,
                      first_column + subgroup_column + f % FRAGMENT_COLUMNS * N);
        subgroupBarrier();
    }
}
