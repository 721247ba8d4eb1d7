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
#define HALF bfloat16_t
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define HALF float16_t
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

layout(constant_id = 12) const bool BY_IMAGE = false; // the order of rows
#define BY_IMAGE BY_IMAGE
#define FIRST_CONSTANT 13
#include "lib/conv_product.glsl"

#define PIECE 8
#include "lib/conv_fetch.glsl"

// The tiles lie in shared memory as the tensors in memory, in pieces of eight halves: lines of what is side by side there, with a
// gap that spreads neighbouring lines over the banks. A type of 16 bytes, as drivers load a matrix as fast as it is aligned.
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
const uint PITCH_A = LENGTH_A / PIECE + 1, PITCH_B = LENGTH_B / PIECE + 1, TILE_B = LINES_A * PITCH_A;
const uint INPUT_PIECES = TILE_B + LINES_B * PITCH_B;
// When all is summed, each subgroup's matrices of one column lie there, below each other, four numbers a piece.
const uint SUBGROUPS = SUBGROUP_ROWS * SUBGROUP_COLUMNS, LANES = THREADS / SUBGROUPS;
const uint FOURS = N / 4, PITCH_RESULT = FOURS + 1, SUBGROUP_RESULT = FRAGMENT_ROWS * M * PITCH_RESULT;
const uint RESULT_PIECES = SUBGROUPS * SUBGROUP_RESULT;
shared uvec4 tiles[INPUT_PIECES > RESULT_PIECES ? INPUT_PIECES : RESULT_PIECES];
shared uint row_index[ROWS]; // where in the result each row of the tile begins,
uint first_index, row_step;  // or the first one, and how far one is from the next, if that is the same for all, else 0

void store_tiles()
{
    [[unroll]] for (uint i = 0; i < LOADS_A && loads_a; i++)
        tiles[(line_a + i * STRIDE_A) * PITCH_A + along_a / PIECE] = held_a[i];
    [[unroll]] for (uint i = 0; i < LOADS_B && loads_b; i++)
        tiles[TILE_B + (line_b + i * STRIDE_B) * PITCH_B + along_b / PIECE] = held_b[i];
}

// the piece that a matrix begins with, in its tile: at a place among rows or columns, and a summand
uint place_in_a(uint row, uint k)
{
    return LAYOUT_A == gl_CooperativeMatrixLayoutRowMajor ? row * PITCH_A + k / PIECE : k * PITCH_A + row / PIECE;
}

uint place_in_b(uint k, uint column)
{
    return TILE_B + (LAYOUT_B == gl_CooperativeMatrixLayoutRowMajor ? k * PITCH_B + column / PIECE : column * PITCH_B + k / PIECE);
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
#include "lib/epilogue_halves.glsl"
layout(std430, binding = 5) restrict writeonly buffer moments_buffer { float moments[]; };
layout(std430, binding = 6) restrict writeonly buffer copies_buffer { uvec2 copies[]; };
#endif

// A lane writes such fours of a column of matrices: all of them of the same columns, and read first what decides their slopes, as the
// memory answers late.
const uint FOURS_OF_LANE = FRAGMENT_ROWS * M * FOURS / LANES;
vec4 written[FOURS_OF_LANE];
bool is_row[FOURS_OF_LANE];

uint index_of(uint row)
{
    return row_step != 0 ? first_index + row * row_step : row_index[row];
}

uint row_of_lane(uint i)
{
    return (gl_SubgroupInvocationID + i * LANES) / FOURS;
}

void write_fours(uint column, uint row_in_tile)
{
#if DIRECTION != 2
    vec4 bias = vec4(0), step[FOURS_OF_LANE];
    read_bias(min(column, columns - 4) / 4, bias);
    [[unroll]] for (uint i = 0; i < FOURS_OF_LANE; i++)
        if (is_row[i])
            read_any_step((index_of(row_in_tile + row_of_lane(i)) + column) / 4, step[i]);
    [[unroll]] for (uint i = 0; i < FOURS_OF_LANE; i++)
        written[i] = finished(written[i], bias, step[i]);
    if ((EPILOGUE & EPILOGUE_COPY) != 0) {
        [[unroll]] for (uint i = 0; i < FOURS_OF_LANE; i++)
            if (is_row[i])
                copies[(index_of(row_in_tile + row_of_lane(i)) + column) / 4] = HALVES_FROM(written[i]);
    }
    if ((EPILOGUE & EPILOGUE_ONLY_COPY) != 0)
        return;
#endif
    [[unroll]] for (uint i = 0; i < FOURS_OF_LANE; i++)
        if (is_row[i])
            result_fours[(index_of(row_in_tile + row_of_lane(i)) + column) / 4] = written[i];
}

void write_each(uint column, uint row_in_tile)
{
    [[unroll]] for (uint j = 0; j < 4; j++) {
        float bias;
        read_bias(min(column + j, columns - 1), bias);
        [[unroll]] for (uint i = 0; i < FOURS_OF_LANE; i++)
            if (is_row[i] && column + j < columns)
                written[i][j] = write_result(index_of(row_in_tile + row_of_lane(i)) + column + j, bias, written[i][j]);
    }
}

#if DIRECTION != 2
const bool MOMENTS = (EPILOGUE & EPILOGUE_MOMENTS) != 0;
shared vec4 first_row_of_columns[SUBGROUP_COLUMNS * FOURS], sums[MOMENTS ? THREADS : 1], squares[MOMENTS ? THREADS : 1];

// Of the columns of one column of matrices, in the whole tile: those of lanes, then of subgroups that lie below each other.
// Taken from the first row on: far from zero they keep their digits.
void write_moments(uint column, uint numbers, uint row_tile, uint row_tiles)
{
    const uint lane = gl_SubgroupInvocationID, thread = gl_SubgroupID * LANES + lane;
    const uint four = gl_SubgroupID % SUBGROUP_COLUMNS * FOURS + lane % FOURS;
    const bool is_first = gl_SubgroupID < SUBGROUP_COLUMNS && lane < FOURS;
    if (is_first)
        first_row_of_columns[four] = written[0];
    barrier();
    const vec4 first = first_row_of_columns[four];
    vec4 sum = vec4(0), square = vec4(0);
    [[unroll]] for (uint i = 0; i < FOURS_OF_LANE; i++) {
        const vec4 from_first = is_row[i] ? written[i] - first : vec4(0);
        sum += from_first;
        square += from_first * from_first;
    }
    sums[thread] = sum, squares[thread] = square;
    for (uint rest = LANES / 2; rest >= FOURS; rest /= 2) {
        subgroupBarrier();
        if (lane < rest) {
            sums[thread] = sum += sums[thread + rest];
            squares[thread] = square += squares[thread + rest];
        }
    }
    barrier();
    if (is_first) {
        for (uint below = SUBGROUP_COLUMNS; below < SUBGROUPS; below += SUBGROUP_COLUMNS) {
            sum += sums[thread + below * LANES];
            square += squares[thread + below * LANES];
        }
        const vec4 mean = sum / numbers, difference = square - sum * mean;
        const vec4 deviations = mix(difference, vec4(0), lessThan(difference, vec4(0))); // a maximum may hide a NaN
        const uint part = gl_WorkGroupID.z * row_tiles + row_tile, parts = gl_NumWorkGroups.z * row_tiles;
        [[unroll]] for (uint j = 0; j < 4; j++)
            if (column + j < columns) {
                moments[part * columns + column + j] = deviations[j];
                moments[(parts + part) * columns + column + j] = first[j] + mean[j];
            }
    }
}
#endif

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
                coopMatLoad(a_##i, tiles, place_in_a(subgroup_row + i * M, k), PITCH_A, LAYOUT_A);
            EACH_OF_FOUR(LOAD_A)
#define MULTIPLY(i, j)                                                                                                 \
            if (i < FRAGMENT_ROWS)                                                                                     \
                sum_##i##_##j = coopMatMulAdd(a_##i, b, sum_##i##_##j);
#define MULTIPLY_COLUMN(j)                                                                                             \
            if (j < FRAGMENT_COLUMNS) {                                                                                \
                coopMatLoad(b, tiles, place_in_b(k, subgroup_column + j * N), PITCH_B, LAYOUT_B);                     \
                MULTIPLY(0, j) MULTIPLY(1, j) MULTIPLY(2, j) MULTIPLY(3, j)                                            \
            }
            EACH_OF_FOUR(MULTIPLY_COLUMN)
        }
        barrier();
    }

#if DIRECTION == 2
    row_step = w_pitch;
#else
    row_step = one_place ? uint(WRITE_SIZE.x * WRITE_SIZE.y) * WRITE_PITCH : 0;
#endif
    first_index = result_index(first_row, 0);
    for (uint row = gl_LocalInvocationID.x; row < ROWS && row_step == 0; row += THREADS)
        row_index[row] = result_index(LAST_BUT(first_row + row, rows, ROWS), 0);
    if (row_step == 0)
        barrier();
    const uint results = gl_SubgroupID * SUBGROUP_RESULT, rows_left = rows - min(rows, first_row + subgroup_row);
    for (uint j = 0; j < FRAGMENT_COLUMNS; j++) { // only whole matrices can be stored from registers
#define STORE(i, of)                                                                                                   \
        if (i < FRAGMENT_ROWS && of == j)                                                                              \
            coopMatStore(sum_##i##_##of, tiles, results + i * M * PITCH_RESULT, PITCH_RESULT, gl_CooperativeMatrixLayoutRowMajor);
        EACH_SUM(STORE)
        subgroupBarrier();
        const uint column = first_column + subgroup_column + j * N + gl_SubgroupInvocationID % FOURS * 4;
        [[unroll]] for (uint i = 0; i < FOURS_OF_LANE; i++) {
            is_row[i] = IS_BELOW(row_of_lane(i), rows_left, rows, ROWS) && IS_BELOW(column, columns, columns, COLUMNS);
            written[i] = uintBitsToFloat(tiles[results + row_of_lane(i) * PITCH_RESULT + gl_SubgroupInvocationID % FOURS]);
        }
        if (columns % 4 == 0)
            write_fours(column, subgroup_row);
        else
            write_each(column, subgroup_row);
#if DIRECTION != 2
        if (MOMENTS)
            write_moments(column, min(rows - first_row, ROWS), first_row / ROWS, blocks / column_tiles);
#endif
        subgroupBarrier();
    }
}
