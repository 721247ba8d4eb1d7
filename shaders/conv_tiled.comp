// Convolution for graphics cards: the implicit matrix product of lib/conv_product.glsl in tiles of ROWS × COLUMNS,
// THREAD_ROWS × THREAD_COLUMNS of them a thread in registers, fed through shared memory DEPTH summands at a time; while these
// are multiplied, the next ones are on their way (lib/conv_fetch.glsl). Writes (=) one split's part; or the whole result, and then, where that is asked for, of every column of its tile the sum of squared
// deviations and the mean: [part][column] of those and behind them of these, a part for every phase and tile of rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

const uint DEPTH = 16, THREADS = ROWS / THREAD_ROWS * (COLUMNS / THREAD_COLUMNS);
layout(local_size_x_id = 0) in; // THREADS
layout(constant_id = 2) const uint GRAIN_A = 1; // elements that one read takes: 1, or 4 where channels come in fours
layout(constant_id = 3) const uint GRAIN_B = 1;
#define PIECE 4

#include "lib/conv_product.glsl"
#include "lib/conv_fetch.glsl"

// Four rows, or columns, are one vec4; the odd one out spreads neighbouring k over the banks.
shared vec4 tile_a[DEPTH][ROWS / 4 + 1];
shared vec4 tile_b[DEPTH][COLUMNS / 4 + 1];

// A thread's rows and columns are vec4s that lie as far apart as the tile allows: neighbouring threads read neighbouring
// banks.
const uint ACROSS = COLUMNS / THREAD_COLUMNS, DOWN = ROWS / THREAD_ROWS;
vec4 sum[THREAD_ROWS][THREAD_COLUMNS / 4];

#if DIRECTION != 2
layout(std430, binding = 5) restrict writeonly buffer moments_buffer { float moments[]; };

// What the threads of a column share, when the sums are done: a vec4 for each of them, in the larger tile's memory.
#if ROWS >= COLUMNS
#define SHARED(row, column) tile_a[((row) * (COLUMNS / 4) + (column)) / (ROWS / 4 + 1)][((row) * (COLUMNS / 4) + (column)) % (ROWS / 4 + 1)]
#else
#define SHARED(row, column) tile_b[((row) * (COLUMNS / 4) + (column)) / (COLUMNS / 4 + 1)][((row) * (COLUMNS / 4) + (column)) % (COLUMNS / 4 + 1)]
#endif

vec4 sum_of_column(uint column)
{
    vec4 all = vec4(0);
    for (uint row = 0; row < DOWN; row++)
        all += SHARED(row, column);
    return all;
}

void write_moments(uint first_row, uint first_column, uint my_row, uint my_column, uint row_tiles)
{
    const uint part = gl_WorkGroupID.z * row_tiles + first_row / ROWS, parts = gl_NumWorkGroups.z * row_tiles;
    vec4 mean[THREAD_COLUMNS / 4];
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS / 4; j++) {
        vec4 mine = vec4(0);
        [[unroll]] for (uint i = 0; i < THREAD_ROWS; i++)
            mine += sum[i][j];
        SHARED(my_row, my_column + j * ACROSS) = mine;
    }
    barrier();
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS / 4; j++)
        mean[j] = sum_of_column(my_column + j * ACROSS) / float(min(rows - first_row, ROWS));
    barrier();
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS / 4; j++) {
        vec4 mine = vec4(0);
        [[unroll]] for (uint i = 0; i < THREAD_ROWS; i++)
            if (first_row + (my_row + i / 4 * DOWN) * 4 + i % 4 < rows)
                mine += (sum[i][j] - mean[j]) * (sum[i][j] - mean[j]);
        SHARED(my_row, my_column + j * ACROSS) = mine;
    }
    barrier();
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS / 4; j++) {
        const vec4 deviations = my_row == 0 ? sum_of_column(my_column + j * ACROSS) : vec4(0);
        [[unroll]] for (uint k = 0; k < 4; k++) {
            const uint column = first_column + (my_column + j * ACROSS) * 4 + k;
            if (my_row == 0 && column < columns) {
                moments[part * columns + column] = deviations[k];
                moments[(parts + part) * columns + column] = mean[j][k];
            }
        }
    }
}
#endif

// The pieces, as they lie in memory, become lines of rows or columns.
void store_tiles()
{
    [[unroll]] for (uint i = 0; i < LOADS_A; i++) {
        const uint line = line_a + i * STRIDE_A;
        if (loads_a) {
#if DIRECTION == 2
            tile_a[line][along_a / 4] = uintBitsToFloat(held_a[i]);
#else
            [[unroll]] for (uint j = 0; j < 4; j++)
                tile_a[along_a + j][line / 4][line % 4] = uintBitsToFloat(held_a[i][j]);
#endif
        }
    }
    [[unroll]] for (uint i = 0; i < LOADS_B; i++) {
        const uint line = line_b + i * STRIDE_B;
        if (loads_b) {
#if DIRECTION == 1
            [[unroll]] for (uint j = 0; j < 4; j++)
                tile_b[along_b + j][line / 4][line % 4] = uintBitsToFloat(held_b[i][j]);
#else
            tile_b[line][along_b / 4] = uintBitsToFloat(held_b[i]);
#endif
        }
    }
}

void multiply_tiles(uint my_row, uint my_column)
{
    for (uint k0 = 0; k0 < DEPTH; k0 += 4) // unrolled as a whole, compilers take four times as long for it
        [[unroll]] for (uint k = k0; k < k0 + 4; k++) {
            vec4 a[THREAD_ROWS / 4];
            [[unroll]] for (uint i = 0; i < THREAD_ROWS / 4; i++)
                a[i] = tile_a[k][my_row + i * DOWN];
            [[unroll]] for (uint j = 0; j < THREAD_COLUMNS / 4; j++) {
                const vec4 b = tile_b[k][my_column + j * ACROSS];
                [[unroll]] for (uint i = 0; i < THREAD_ROWS; i++)
                    sum[i][j] += a[i / 4][i % 4] * b;
            }
        }
}

void main()
{
    describe();
    const uint thread = gl_LocalInvocationID.x, column_tiles = (columns + COLUMNS - 1) / COLUMNS;
    const uint tile = folded_workgroup() % blocks;
    const uint first_row = tile / column_tiles * ROWS, first_column = tile % column_tiles * COLUMNS;
    if (first_row >= rows || group >= groups) // the same for all threads of the workgroup
        return;
#if DIRECTION != 2
    describe_taps(first_row, min(first_row + ROWS, rows) - 1);
#endif
    const uint my_row = thread / ACROSS, my_column = thread % ACROSS; // in vec4s
    [[unroll]] for (uint i = 0; i < THREAD_ROWS; i++)
        [[unroll]] for (uint j = 0; j < THREAD_COLUMNS / 4; j++)
            sum[i][j] = vec4(0);

    prepare_fetch(first_row, first_column);
    if (begin < end)
        fetch();
    for (uint k0 = begin; k0 < end; k0 += DEPTH) {
        store_tiles();
        barrier();
        if (k0 + DEPTH < end)
            fetch();
        multiply_tiles(my_row, my_column);
        barrier();
    }

    uint column[THREAD_COLUMNS];
    float bias[THREAD_COLUMNS];
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++) {
        column[j] = first_column + (my_column + j / 4 * ACROSS) * 4 + j % 4;
        read_bias(min(column[j], columns - 1), bias[j]);
    }
    [[unroll]] for (uint i = 0; i < THREAD_ROWS; i++) {
        const uint row = first_row + (my_row + i / 4 * DOWN) * 4 + i % 4, at = result_index(min(row, rows - 1), 0);
        [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++)
            if (row < rows && column[j] < columns)
                sum[i][j / 4][j % 4] = write_result(at + column[j], bias[j], sum[i][j / 4][j % 4]);
            else
                sum[i][j / 4][j % 4] = 0;
    }
#if DIRECTION != 2
    if ((EPILOGUE & EPILOGUE_MOMENTS) != 0)
        write_moments(first_row, first_column, my_row, my_column, blocks / column_tiles);
#endif
}
