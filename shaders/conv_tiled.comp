// Convolution for graphics cards: the implicit matrix product of lib/conv_product.glsl in tiles of ROWS × COLUMNS,
// THREAD_ROWS × THREAD_COLUMNS of them a thread in registers, fed through shared memory DEPTH summands at a time. Writes
// (=) one split's part; or the whole result, and then, where that is asked for, of every column of its tile the sum of squared
// deviations and the mean: [part][column] of those and behind them of these, a part for every phase and tile of rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

const uint DEPTH = 16, THREADS = ROWS / THREAD_ROWS * (COLUMNS / THREAD_COLUMNS);
const uint LOADS_A = ROWS * DEPTH / THREADS, LOADS_B = COLUMNS * DEPTH / THREADS; // by one thread, at each step

#include "lib/conv_product.glsl"

layout(local_size_x_id = 0) in; // THREADS
layout(std430, binding = 0) restrict readonly buffer first_buffer { float first[]; };
layout(std430, binding = 1) restrict readonly buffer second_buffer { float second[]; };

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

    // which elements of the tiles this thread loads: neighbouring threads what lies side by side in memory
#if DIRECTION == 2
    const uint row_a = thread % ROWS, k_a = thread / ROWS * LOADS_A, step_k_a = 1;
    const uint row = min(first_row + row_a, rows - 1), tap = row / ci, first_a = group * x_group + row % ci;
    const int tap_y = int(tap / kw * dh) - int(ph), tap_x = int(tap % kw * dw) - int(pw);
#else
    const uint row_a = thread / DEPTH, k_a = thread % DEPTH, step_row_a = THREADS / DEPTH;
    ivec2 origin[LOADS_A];
    uint source[LOADS_A];
    [[unroll]] for (uint i = 0; i < LOADS_A; i++) {
        uint row = first_row + row_a + i * step_row_a;
        ivec3 to = written_place(min(row, rows - 1));
        origin[i] = row < rows ? read_origin(to.yz) : ivec2(-0x40000000); // never inside
        source[i] = uint(to.x) * uint(READ_SIZE.x * READ_SIZE.y) * READ_PITCH + group * READ_GROUP;
    }
#endif
#if DIRECTION == 0
#define PITCH_B w_pitch
#define GROUP_B w_group
#elif DIRECTION == 2
#define PITCH_B y_pitch
#define GROUP_B y_group
#endif
#if DIRECTION == 1
    const uint column_b = thread / DEPTH, k_b = thread % DEPTH, step_column_b = THREADS / DEPTH, step_k_b = 0;
#else
    const uint column_b = thread % COLUMNS, k_b = thread / COLUMNS, step_column_b = 0, step_k_b = THREADS / COLUMNS;
#endif

    const uint my_row = thread / ACROSS, my_column = thread % ACROSS; // in vec4s
    [[unroll]] for (uint i = 0; i < THREAD_ROWS; i++)
        [[unroll]] for (uint j = 0; j < THREAD_COLUMNS / 4; j++)
            sum[i][j] = vec4(0);

    for (uint k0 = begin; k0 < end; k0 += DEPTH) {
#if DIRECTION == 2
        uint place_x = (k0 + k_a) % ow, place_y = (k0 + k_a) / ow % oh, image = (k0 + k_a) / ow / oh;
        [[unroll]] for (uint i = 0; i < LOADS_A; i++) {
            int y = int(place_y * sh) + tap_y, x = int(place_x * sw) + tap_x;
            bool fits = k0 + k_a + i < end && y >= 0 && y < int(ih) && x >= 0 && x < int(iw);
            float a = 0;
            if (fits)
                a = first[first_a + ((image * ih + uint(y)) * iw + uint(x)) * x_pitch];
            tile_a[k_a + i][row_a / 4][row_a % 4] = a;
            place_x++;
            if (place_x == ow) {
                place_x = 0;
                place_y++;
            }
            if (place_y == oh) {
                place_y = 0;
                image++;
            }
        }
#else
        const uint k = k0 + k_a, c = k % SUMMED;
        const int tap = int(k / SUMMED), ty = first_tap.x + tap / taps.y, tx = first_tap.y + tap % taps.y;
        [[unroll]] for (uint i = 0; i < LOADS_A; i++) {
            ivec2 at = origin[i] + ivec2(ty * taps_y.step, tx * taps_x.step);
            bool fits = k < end && all(greaterThanEqual(at, ivec2(0))) && all(lessThan(at, READ_SIZE));
            float a = 0;
            if (fits)
                a = first[source[i] + uint(at.x * READ_SIZE.y + at.y) * READ_PITCH + c];
            uint row = row_a + i * step_row_a;
            tile_a[k_a][row / 4][row % 4] = a;
        }
#endif
#if DIRECTION == 0
        const uint first_b = uint(first_tap.x) * kw * ci + k0;
#elif DIRECTION == 2
        const uint first_b = k0;
#else
        const int weight_tap = (taps_y.first + ty * taps_y.period) * int(kw) + taps_x.first + tx * taps_x.period;
#endif
        [[unroll]] for (uint i = 0; i < LOADS_B; i++) {
            uint column = column_b + i * step_column_b, k = k_b + i * step_k_b;
            float b = 0;
            if (k0 + k < end && first_column + column < columns)
#if DIRECTION == 1
                b = second[group * w_group + (uint(weight_tap) * ci + first_column + column) * w_pitch + c];
#else
                b = second[group * GROUP_B + (first_b + k) * PITCH_B + first_column + column];
#endif
            tile_b[k][column / 4][column % 4] = b;
        }
        barrier();
        [[unroll]] for (uint k = 0; k < DEPTH; k++) {
            vec4 a[THREAD_ROWS / 4];
            [[unroll]] for (uint i = 0; i < THREAD_ROWS / 4; i++)
                a[i] = tile_a[k][my_row + i * DOWN];
            [[unroll]] for (uint j = 0; j < THREAD_COLUMNS / 4; j++) {
                vec4 b = tile_b[k][my_column + j * ACROSS];
                [[unroll]] for (uint i = 0; i < THREAD_ROWS; i++)
                    sum[i][j] += a[i / 4][i % 4] * b;
            }
        }
        barrier();
    }

    uint column[THREAD_COLUMNS];
    float bias[THREAD_COLUMNS];
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++) {
        column[j] = first_column + (my_column + j / 4 * ACROSS) * 4 + j % 4;
        bias[j] = bias_of(min(column[j], columns - 1));
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
