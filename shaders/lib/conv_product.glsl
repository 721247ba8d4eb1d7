// A convolution as an implicit matrix product of one group, result[row][column] = Σ_k a(row, k) · b(k, column), for
// kernels that compute it in tiles of ROWS rows, DEPTH summands at a time:
//   DIRECTION 0, forward   row (n, oh, ow)   k (kh, kw, ci)               column co
//   1, input_grad          row (n, ih, iw)   k (the phase's taps, co)     column ci   z: phase (place modulo stride) · splits
//   2, weight_grad         row (kh, kw, ci)  k (n, oh, ow)                column co
// Rows go place by place, so that the rows of a tile lie at few places and taps that fall outside of the image are
// skipped; or (BY_IMAGE) image by image, so that neighbouring taps read once more what the first cache still holds.
// Grid: x and y fold groups · row tiles · column tiles, column tiles fastest; z: split, in input_grad the phase slowest.
// Writes go to binding 2.
#include "conv.glsl"

#ifndef BY_IMAGE
#define BY_IMAGE (SUMMED < DEPTH) // neighbours in memory are neighbouring places
#endif

#if DIRECTION == 0
#define READ_SIZE   ivec2(ih, iw)
#define WRITE_SIZE  ivec2(oh, ow)
#define SUMMED      ci
#define READ_PITCH  x_pitch
#define READ_GROUP  x_group
#define WRITE_PITCH y_pitch
#define WRITE_GROUP y_group
#else
#define READ_SIZE   ivec2(oh, ow)
#define WRITE_SIZE  ivec2(ih, iw)
#define SUMMED      co
#define READ_PITCH  y_pitch
#define READ_GROUP  y_group
#define WRITE_PITCH x_pitch
#define WRITE_GROUP x_group
#endif

// Is `all` made of whole tiles of that size, and is that known when the pipeline is made? Then no index is compared with it.
#ifdef FIRST_CONSTANT
#define IS_WHOLE(all, tile) ((all) % (tile) == 0)
#else
#define IS_WHOLE(all, tile) false
#endif
#define IS_BELOW(i, end, all, tile)  (IS_WHOLE(all, tile) || (i) < (end))
#define LAST_BUT(i, all, tile) (IS_WHOLE(all, tile) ? (i) : min(i, (all) - 1))

// What the whole workgroup shares: a matrix product of rows × columns, and the part [begin, end) of its summands.
uint group, rows, columns, begin, end, part;
#if DIRECTION != 2
ivec2 phase, pace, grid; // which places are written
Taps taps_y, taps_x;
uint neighbours;         // images that follow one another at one place
bool one_place;          // all rows of a tile lie there
ivec2 first_tap, taps;   // those that some row of the tile can use
#endif

void describe()
{
    group = folded_workgroup() / blocks;
    part = gl_WorkGroupID.z % split;
    begin = part * chunk;
#if DIRECTION == 2
    rows = kh * kw * ci, columns = co, end = min(begin + chunk, n * oh * ow);
#else
#if DIRECTION == 0
    phase = ivec2(0), pace = ivec2(1), columns = co;
    taps_y = taps_forward(kh, dh), taps_x = taps_forward(kw, dw);
#else
    const uint z = gl_WorkGroupID.z / split;
    phase = ivec2(z / sw, z % sw), pace = ivec2(sh, sw), columns = ci;
    taps_y = taps_input_grad(phase.x, int(kh), int(sh), int(ph), int(dh));
    taps_x = taps_input_grad(phase.y, int(kw), int(sw), int(pw), int(dw));
#endif
    grid = max((WRITE_SIZE - phase + pace - 1) / pace, 0);
#ifdef FIRST_CONSTANT
    if (WRITE_SIZE % pace == ivec2(0)) // the same for all phases, and known
        grid = WRITE_SIZE / pace;
#endif
    rows = n * uint(grid.x * grid.y);
    neighbours = BY_IMAGE ? 1 : n;
    one_place = IS_WHOLE(neighbours, ROWS);
#endif
}

#if DIRECTION != 2
// image, line and column that a row of the product writes
ivec3 written_place(uint row)
{
    const uint places = uint(grid.x * grid.y), place = row / neighbours % places;
    const uint image = row % neighbours + row / neighbours / places;
    return ivec3(image, phase + pace * ivec2(place / uint(grid.y), place % uint(grid.y)));
}

// where tap 0 of that place reads
ivec2 read_origin(ivec2 place)
{
#if DIRECTION == 0
    return place * ivec2(sh, sw) - ivec2(ph, pw);
#else
    return (place + ivec2(ph, pw) - ivec2(taps_y.first * int(dh), taps_x.first * int(dw))) / ivec2(sh, sw); // exact
#endif
}

// The places of the rows [first, last] of the product are a rectangle, or lie in one.
void describe_taps(uint first, uint last)
{
    const ivec3 from = written_place(first), to = written_place(last);
    ivec2 low = from.yz, high = to.yz;
    const bool several_images = neighbours != n && from.x != to.x;
    if (several_images)
        low.x = phase.x, high.x = phase.x + pace.x * (grid.x - 1);
    if (several_images || low.x != high.x)
        low.y = phase.y, high.y = phase.y + pace.y * (grid.y - 1);
    const ivec2 range_y = tap_range(taps_y, read_origin(low).x, read_origin(high).x, READ_SIZE.x);
#if DIRECTION == 0 // whole lines of the kernel, so that the weights that are left lie one behind the other
    const ivec2 range_x = ivec2(0, kw);
#else
    const ivec2 range_x = tap_range(taps_x, read_origin(low).y, read_origin(high).y, READ_SIZE.y);
#endif
    first_tap = ivec2(range_y.x, range_x.x);
    taps = max(ivec2(range_y.y, range_x.y) - first_tap, 0);
    end = min(begin + chunk, uint(taps.x * taps.y) * SUMMED);
}
#endif

layout(std430, binding = 2) writeonly buffer result_buffer { float result[]; };
#if DIRECTION != 2
#define CELL             float
#define CELLS            1
#define EPILOGUE_TEXEL   0
#define EPILOGUE_BINDING 3
#include "epilogue.glsl"
#else
void read_bias(uint column, out float bias)
{
    bias = 0;
}
#endif

uint result_index(uint row, uint column)
{
#if DIRECTION == 2
    return part * groups * rows * columns + group * w_group + row * w_pitch + column;
#else
    ivec3 to = written_place(row);
    uint size = uint(WRITE_SIZE.x * WRITE_SIZE.y), place = uint(to.y) * uint(WRITE_SIZE.y) + uint(to.z);
    uint base = part * groups * n * size * columns + group * WRITE_GROUP;
    return base + (uint(to.x) * size + place) * WRITE_PITCH + column;
#endif
}

// Writes an element of the product, or this split's part of it, of that index; returns what that is.
float write_result(uint at, float bias, float sum)
{
#if DIRECTION != 2
    float step;
    read_step(at, step);
    sum = finished(sum, bias, step);
#endif
    result[at] = sum;
    return sum;
}
