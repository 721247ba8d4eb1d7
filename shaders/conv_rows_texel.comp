// Convolution for CPU drivers: forward (DIRECTION 0) and input_grad (1), see lib/conv.glsl. Writes (=).
//
// An implicit matrix product: rows are the pixels of the images that are written, columns their channels, and
// each lane computes R rows × Q columns (WIDE 1: of four channels each) in registers. A workgroup is one
// subgroup: lane_columns of its lanes lie side by side over the columns, the others one below the other over the rows.
//
// What decides the speed on lavapipe (measured with 22.3.6; docs/performance.md):
// - a texel fetch of RGBA32F takes some 50 instructions for 8 lanes, whether they read alike or apart, a storage-buffer
//   load many times that, and a shuffle one: lanes side by side read rows for one another (lib/lanes.glsl);
// - loops are tested at their end: one that is tested at its start runs its body once more, with no lane alive;
// - all rows are fetched before the first product, so that their cache misses overlap, and shuffled only where they are
//   used, so that they do not go through the stack.
//
// Rows go image by image where WIDE is 1: the rows of a lane then mostly share their place, and taps that fall
// outside of the image are skipped. They go place by place where it is 0, or DEPTHWISE 1: neighbours read the same
// pixels.
//
// INNER 4: the summed channels are a multiple of four, read as vec4; INNER 1: any number. WIDE 1: the columns are
// a multiple of four, and in input_grad with INNER 1 co and the pitch of w are 1; WIDE 0: any number. Groups and
// pitches of what is read or written as vec4 are then multiples of four as well.
// DEPTHWISE 1: groups, a multiple of four, of one channel each: all of them are columns, of four channels, and there is
// nothing to sum but taps; INNER is 4, WIDE 1, Q 1.
// Grid: x and y fold groups (DEPTHWISE: one) · column blocks · row blocks, row blocks fastest, so that the weights of a
// block of columns stay in the caches while all rows use them; z: the phase of input_grad, which is the place modulo the
// stride and decides which taps there are.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/conv.glsl"
#include "lib/lanes.glsl"

// four weights of a texel meet four summed channels
#define WEIGHTS_ALONG_SUM (DIRECTION == 1 && INNER == 4 && DEPTHWISE == 0)
#define IMAGE_BY_IMAGE    (WIDE == 1 && DEPTHWISE == 0)

layout(binding = 0) uniform samplerBuffer source; // INNER 4: RGBA32F, INNER 1: R32F
layout(binding = 1) uniform samplerBuffer weight; // WIDE or WEIGHTS_ALONG_SUM: RGBA32F, else R32F
#if INNER == 4
#define SUMMAND vec4
#define FETCH_SOURCE(i) texelFetch(source, i)
#else
#define SUMMAND float
#define FETCH_SOURCE(i) texelFetch(source, i).x
#endif
#if WIDE
#define CELL  vec4 // what lies in one column
#define CELLS 4
#define FETCH_WEIGHT(i) texelFetch(weight, int(i))
#else
#define CELL  float
#define CELLS 1
#define FETCH_WEIGHT(i) texelFetch(weight, int(i)).x
#endif
layout(std430, binding = 2) restrict writeonly buffer result_buffer { CELL result[]; };
#define EPILOGUE_TEXEL   1
#define EPILOGUE_BINDING 3
#include "lib/epilogue.glsl"

#if DIRECTION == 0
#define READ_SIZE   ivec2(ih, iw)
#define WRITE_SIZE  ivec2(oh, ow)
#define SUMMED      ci
#define CHANNELS    co
#define READ_PITCH  x_pitch
#define READ_GROUP  x_group
#define WRITE_PITCH y_pitch
#define WRITE_GROUP y_group
#else
#define READ_SIZE   ivec2(oh, ow)
#define WRITE_SIZE  ivec2(ih, iw)
#define SUMMED      co
#define CHANNELS    ci
#define READ_PITCH  y_pitch
#define READ_GROUP  y_group
#define WRITE_PITCH x_pitch
#define WRITE_GROUP x_group
#endif

// In the weight, in texels of WEIGHTS elements: from one column to the next, and from one summand to the next. The
// columns of forward lie side by side, those of input_grad one below the other.
#define WEIGHTS (WIDE == 1 || WEIGHTS_ALONG_SUM ? 4 : 1)
#if DIRECTION == 0 || DEPTHWISE == 1
#define COLUMN_STEP  1
#define SUMMAND_STEP ci_step
#else
#define COLUMN_STEP  (w_pitch * CELLS / WEIGHTS)
#define SUMMAND_STEP 1
#endif

void main()
{
    const uint lane = gl_SubgroupInvocationID, lane_rows = gl_WorkGroupSize.x / lane_columns;
    const uint summed = DEPTHWISE == 1 ? 1 : SUMMED / INNER, columns = (DEPTHWISE == 1 ? groups : CHANNELS) / CELLS;
    const uint column_blocks = (columns + lane_columns * Q - 1) / (lane_columns * Q);
    const uint row_blocks = blocks / column_blocks;
    const uint group = folded_workgroup() / blocks, block = folded_workgroup() % blocks;
#if DIRECTION == 0
    const ivec2 phase = ivec2(0), pace = ivec2(1);
    const Taps taps_y = taps_forward(kh, dh), taps_x = taps_forward(kw, dw);
#else
    const ivec2 phase = ivec2(gl_WorkGroupID.z / sw, gl_WorkGroupID.z % sw), pace = ivec2(sh, sw);
    const Taps taps_y = taps_input_grad(phase.x, int(kh), int(sh), int(ph), int(dh));
    const Taps taps_x = taps_input_grad(phase.y, int(kw), int(sw), int(pw), int(dw));
#endif
    const ivec2 grid = max((WRITE_SIZE - phase + pace - 1) / pace, 0); // places of this phase
    const uint places = uint(grid.x * grid.y), rows = places * n;
    const uint first_row = (block % row_blocks * lane_rows + lane / lane_columns) * R;
    if (first_row >= rows || group >= groups)
        return;

    // where each row writes, and where its tap 0 reads; rows past the end repeat the last one and are not stored
    const int read_pitch = int(READ_PITCH / INNER), read_base = int(group * (READ_GROUP / INNER));
    int first_read[R], place_written[R]; // the former also where that is outside
    ivec2 origin[R], low = ivec2(0x7fffffff), high = ivec2(-0x7fffffff);
    uint row = min(first_row + first_own(R), rows - 1);
    int image = int(IMAGE_BY_IMAGE ? row % n : row / places);
    const uint first_place = IMAGE_BY_IMAGE ? row / n : row % places;
    ivec2 place = phase + pace * ivec2(first_place / uint(grid.y), first_place % uint(grid.y));
    [[unroll]] for (uint j = 0; j < OWN(R); j++) {
#if DIRECTION == 0
        origin[j] = place * ivec2(sh, sw) - ivec2(ph, pw);
#else
        origin[j] = place + ivec2(ph, pw) - ivec2(taps_y.first * int(dh), taps_x.first * int(dw));
        origin[j] /= ivec2(sh, sw); // exact: tap 0 was chosen so
#endif
        low = min(low, origin[j]);
        high = max(high, origin[j]);
        first_read[j] = ((image * READ_SIZE.x + origin[j].x) * READ_SIZE.y + origin[j].y) * read_pitch + read_base;
        place_written[j] = (image * WRITE_SIZE.x + place.x) * WRITE_SIZE.y + place.y;
        if (++row < rows) {
            bool next_column = true;
#if IMAGE_BY_IMAGE
            image++;
            next_column = image == int(n);
            image = next_column ? 0 : image;
#endif
            place.y += next_column ? pace.y : 0;
            bool next_line = place.y >= WRITE_SIZE.y;
            place.y = next_line ? phase.y : place.y;
            place.x += next_line ? pace.x : 0;
#if !IMAGE_BY_IMAGE
            bool wrapped = place.x >= WRITE_SIZE.x;
            place.x = wrapped ? phase.x : place.x;
            image += wrapped ? 1 : 0;
#endif
        }
    }
    low = least_of_sharers(low);
    high = greatest_of_sharers(high);
    const ivec2 range_y = tap_range(taps_y, low.x, high.x, READ_SIZE.x);
    const ivec2 range_x = tap_range(taps_x, low.y, high.y, READ_SIZE.y);

    const uint first_column = block / row_blocks * lane_columns * Q + lane % lane_columns;
    uint weight_at[Q]; // of tap 0 and summand 0; columns past the end read the last one and are not stored
    [[unroll]] for (int q = 0; q < Q; q++)
        weight_at[q] = group * (w_group / WEIGHTS) + min(first_column + q * lane_columns, columns - 1) * COLUMN_STEP;
    const uint own_column = min(first_column, columns - 1); // the summand, where that is what the column is
    CELL sum[R][Q];
    [[unroll]] for (int i = 0; i < R; i++)
        [[unroll]] for (int q = 0; q < Q; q++)
            sum[i][q] = CELL(0);

    const uint ci_step = w_pitch / WEIGHTS, tap_step = ci * w_pitch / WEIGHTS;
    int ty = range_y.x, tx = range_x.x;
    if (ty < range_y.y && tx < range_x.y) {
        do {
            uint tap = uint((taps_y.first + ty * taps_y.period) * int(kw) + taps_x.first + tx * taps_x.period);
            const uint tap_at = tap * tap_step;
            const ivec2 shift = ivec2(ty * taps_y.step, tx * taps_x.step);
            const int moved = (shift.x * READ_SIZE.y + shift.y) * read_pitch;
            int from[R];
            float inside[R];
            [[unroll]] for (uint j = 0; j < OWN(R); j++) {
                bool fits = all(lessThan(uvec2(origin[j] + shift), uvec2(READ_SIZE)));
                from[j] = fits ? first_read[j] + moved : 0;
                inside[j] = fits ? 1.0 : 0.0;
            }
            uint c = 0;
            do {
                SUMMAND own_a[R];
                [[unroll]] for (uint j = 0; j < OWN(R); j++)
                    own_a[j] = FETCH_SOURCE(from[j] + int(DEPTHWISE == 1 ? own_column : c)) * inside[j];
#if DEPTHWISE
                const vec4 b = FETCH_WEIGHT(weight_at[0] + tap_at);
#elif WEIGHTS_ALONG_SUM && WIDE
                vec4 b[4][Q];
                [[unroll]] for (int u = 0; u < 4; u++)
                    [[unroll]] for (int q = 0; q < Q; q++)
                        b[u][q] = FETCH_WEIGHT(weight_at[q] + tap_at + u * ci_step + c);
#elif WEIGHTS_ALONG_SUM
                vec4 b[Q];
                [[unroll]] for (int q = 0; q < Q; q++)
                    b[q] = texelFetch(weight, int(weight_at[q] + tap_at + c));
#elif INNER == 4
                CELL b[4][Q];
                [[unroll]] for (int u = 0; u < 4; u++)
                    [[unroll]] for (int q = 0; q < Q; q++)
                        b[u][q] = FETCH_WEIGHT(weight_at[q] + tap_at + (c * 4 + u) * SUMMAND_STEP);
#else
                CELL b[Q];
                [[unroll]] for (int q = 0; q < Q; q++)
                    b[q] = FETCH_WEIGHT(weight_at[q] + tap_at + c * SUMMAND_STEP);
#endif
                [[unroll]] for (int i = 0; i < R; i++) {
                    const SUMMAND a = PART(own_a, R, i);
#if DEPTHWISE
                    sum[i][0] += a * b;
#else
                    [[unroll]] for (int q = 0; q < Q; q++) {
#if WEIGHTS_ALONG_SUM && WIDE
                        [[unroll]] for (int u = 0; u < 4; u++)
                            sum[i][q][u] += dot(a, b[u][q]);
#elif WEIGHTS_ALONG_SUM
                        sum[i][q] += dot(a, b[q]);
#elif INNER == 4
                        [[unroll]] for (int u = 0; u < 4; u++)
                            sum[i][q] += a[u] * b[u][q];
#else
                        sum[i][q] += a * b[q];
#endif
                    }
#endif
                }
                c++;
            } while (c < summed);
            tx++;
            bool next_line = tx == range_x.y;
            tx = next_line ? range_x.x : tx;
            ty += next_line ? 1 : 0;
        } while (ty < range_y.y);
    }

    const uint write_pitch = WRITE_PITCH / CELLS, write_base = group * (WRITE_GROUP / CELLS);
    CELL bias[Q];
    [[unroll]] for (int q = 0; q < Q; q++)
        read_bias(min(first_column + q * lane_columns, columns - 1), bias[q]);
    uint write_at[R]; // handed around before lanes of the last columns part
    [[unroll]] for (int i = 0; i < R; i++)
        write_at[i] = uint(PART(place_written, R, i)) * write_pitch + write_base;
    [[unroll]] for (int i = 0; i < R; i++)
        [[unroll]] for (int q = 0; q < Q; q++) {
            uint c = first_column + q * lane_columns;
            if (first_row + i < rows && c < columns) {
                CELL step;
                read_step(write_at[i] + c, step);
                result[write_at[i] + c] = finished(sum[i][q], bias[q], step);
            }
        }
}
