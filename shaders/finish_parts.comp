// The second stage of a convolution whose sums are in parts: adds the parts, one of which has all of the result's rows, follows the
// epilogue (lib/epilogue.glsl), and writes the result as floats or halves (BFLOAT: 0 float16, 1 bfloat16), and the moments of its tile.
// Writes (=). The order is fixed. Columns come in fours.
// A workgroup has FOURS invocations side by side over the columns, four columns each, and below each other as many rows at a time as
// its other invocations; ROWS_EACH rows each.
// Grid: tiles of columns, then of rows, folded over y.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 64;
layout(constant_id = 2) const uint FOURS = 16; // a power of two
#define ROWS_EACH 4 // as in src/kernels/finish.c
const uint ROWS_AT_ONCE = THREADS / FOURS;
layout(push_constant) uniform push_constants
{
    uint rows, column_fours, parts; // of the result
    float slope, step_slope;
};
layout(std430, binding = 0) restrict readonly buffer x_buffer { vec4 x[]; };
layout(std430, binding = 1) restrict writeonly buffer result_buffer { vec4 result[]; };
#define CELL             vec4
#define CELLS            4
#define EPILOGUE_TEXEL   0
#define EPILOGUE_BINDING 2
#include "lib/epilogue.glsl"
#include "lib/epilogue_halves.glsl"
layout(std430, binding = 4) restrict writeonly buffer moments_buffer { float moments[]; };
layout(std430, binding = 5) restrict writeonly buffer copies_buffer { uvec2 copies[]; };

const bool MOMENTS = (EPILOGUE & EPILOGUE_MOMENTS) != 0;
shared vec4 first_row[MOMENTS ? FOURS : 1], sums[MOMENTS ? THREADS : 1], squares[MOMENTS ? THREADS : 1];

vec4 written[ROWS_EACH];
uint row[ROWS_EACH]; // or beyond the last one

void add_parts(uint column)
{
    const uint part_fours = rows * column_fours;
    [[unroll]] for (uint i = 0; i < ROWS_EACH; i++)
        written[i] = row[i] < rows ? x[row[i] * column_fours + column] : vec4(0);
    for (uint part = 1; part < parts; part++)
        [[unroll]] for (uint i = 0; i < ROWS_EACH; i++)
            written[i] += row[i] < rows ? x[part * part_fours + row[i] * column_fours + column] : vec4(0);
}

void write(uint column)
{
    vec4 bias;
    read_bias(min(column, column_fours - 1), bias);
    [[unroll]] for (uint i = 0; i < ROWS_EACH; i++)
        if (row[i] < rows) {
            const uint four = row[i] * column_fours + column;
            vec4 step;
            read_any_step(four, step);
            written[i] = finished(written[i], bias, step);
            if ((EPILOGUE & EPILOGUE_COPY) != 0)
                copies[four] = HALVES_FROM(written[i]);
            if ((EPILOGUE & EPILOGUE_ONLY_COPY) == 0)
                result[four] = written[i];
        }
}

// Taken from the first row on: far from zero they keep their digits. `lane`: which row at a time.
void write_moments(uint column, uint four, uint lane, uint row_tile)
{
    if (lane == 0)
        first_row[four] = written[0];
    barrier();
    const vec4 first = first_row[four];
    vec4 sum = vec4(0), square = vec4(0);
    [[unroll]] for (uint i = 0; i < ROWS_EACH; i++) {
        const vec4 from_first = row[i] < rows ? written[i] - first : vec4(0);
        sum += from_first;
        square += from_first * from_first;
    }
    const uint thread = gl_LocalInvocationID.x;
    sums[thread] = sum, squares[thread] = square;
    for (uint rest = ROWS_AT_ONCE / 2; rest > 0; rest /= 2) {
        barrier();
        if (lane < rest) {
            sums[thread] = sum += sums[thread + rest * FOURS];
            squares[thread] = square += squares[thread + rest * FOURS];
        }
    }
    if (lane == 0 && column < column_fours) {
        const uint tile_rows = ROWS_AT_ONCE * ROWS_EACH, tiles = (rows + tile_rows - 1) / tile_rows;
        const float numbers = float(min(rows - row_tile * tile_rows, tile_rows));
        const vec4 mean = sum / numbers, difference = square - sum * mean;
        const vec4 deviations = mix(difference, vec4(0), lessThan(difference, vec4(0))); // a maximum may hide a NaN
        [[unroll]] for (uint j = 0; j < 4; j++) {
            moments[(row_tile * column_fours + column) * 4 + j] = deviations[j];
            moments[((tiles + row_tile) * column_fours + column) * 4 + j] = first[j] + mean[j];
        }
    }
}

void main()
{
    const uint column_tiles = (column_fours + FOURS - 1) / FOURS, tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint row_tile = tile / column_tiles, four = gl_LocalInvocationID.x % FOURS, lane = gl_LocalInvocationID.x / FOURS;
    const uint column = tile % column_tiles * FOURS + four, first = row_tile * ROWS_AT_ONCE * ROWS_EACH + lane;
    if (first - lane >= rows) // the same for all of the workgroup
        return;
    [[unroll]] for (uint i = 0; i < ROWS_EACH; i++)
        row[i] = column < column_fours ? first + i * ROWS_AT_ONCE : rows;
    add_parts(column);
    write(column);
    if (MOMENTS)
        write_moments(column, four, lane, row_tile);
}
