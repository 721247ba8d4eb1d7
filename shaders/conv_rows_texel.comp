// Convolution for CPU drivers: forward (DIRECTION 0) and input_grad (1), see lib/conv.glsl. Writes (=).
//
// An implicit matrix product: rows are the pixels of the images that are written, columns their channels, and
// each lane computes R rows × Q columns (WIDE 1: of four channels each) in registers. A workgroup is one
// subgroup's worth of lanes: lane_columns of them lie side by side over the columns, the others one below the
// other over the rows. What lanes read alike costs what lanes read apart, so that any shape of workgroup is as fast.
//
// What decides the speed on lavapipe (measured with 22.3.6; docs/performance.md):
// - a texel fetch of RGBA32F takes some 60 instructions for 8 lanes, a storage-buffer load many times that;
// - loops are tested at their end: one that is tested at its start runs its body once more, with no lane alive;
// - all rows are fetched before the first product, so that their cache misses overlap.
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

// four weights of a texel meet four summed channels
#define WEIGHTS_ALONG_SUM (DIRECTION == 1 && INNER == 4 && DEPTHWISE == 0)
#define IMAGE_BY_IMAGE    (WIDE == 1 && DEPTHWISE == 0)

layout(local_size_x_id = 0) in;
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
    const uint lane = gl_LocalInvocationID.x, lane_rows = gl_WorkGroupSize.x / lane_columns;
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
    int image[R];
    ivec2 place[R], origin[R], low = ivec2(0x7fffffff), high = ivec2(-0x7fffffff);
    const uint neighbours = IMAGE_BY_IMAGE ? n : 1; // images that follow one another at one place
    uint first_place = first_row / neighbours % places;
    int next_image = int(first_row % neighbours + first_row / neighbours / places);
    ivec2 next_place = phase + pace * ivec2(first_place / uint(grid.y), first_place % uint(grid.y));
    [[unroll]] for (int i = 0; i < R; i++) {
        image[i] = next_image;
        place[i] = next_place;
#if DIRECTION == 0
        origin[i] = place[i] * ivec2(sh, sw) - ivec2(ph, pw);
#else
        origin[i] = place[i] + ivec2(ph, pw) - ivec2(taps_y.first * int(dh), taps_x.first * int(dw));
        origin[i] /= ivec2(sh, sw); // exact: tap 0 was chosen so
#endif
        low = min(low, origin[i]);
        high = max(high, origin[i]);
        if (first_row + i + 1 < rows) {
            bool next_column = true;
#if IMAGE_BY_IMAGE
            next_image++;
            next_column = next_image == int(n);
            next_image = next_column ? 0 : next_image;
#endif
            next_place.y += next_column ? pace.y : 0;
            bool next_line = next_place.y >= WRITE_SIZE.y;
            next_place.y = next_line ? phase.y : next_place.y;
            next_place.x += next_line ? pace.x : 0;
#if !IMAGE_BY_IMAGE
            bool wrapped = next_place.x >= WRITE_SIZE.x;
            next_place.x = wrapped ? phase.x : next_place.x;
            next_image += wrapped ? 1 : 0;
#endif
        }
    }
    const ivec2 range_y = tap_range(taps_y, low.x, high.x, READ_SIZE.x);
    const ivec2 range_x = tap_range(taps_x, low.y, high.y, READ_SIZE.y);

    const uint first_column = block / row_blocks * lane_columns * Q + lane % lane_columns;
    uint weight_at[Q]; // of tap 0 and summand 0; columns past the end read the last one and are not stored
    [[unroll]] for (int q = 0; q < Q; q++)
        weight_at[q] = group * (w_group / WEIGHTS) + min(first_column + q * lane_columns, columns - 1) * COLUMN_STEP;
    const uint own = min(first_column, columns - 1); // the summand, where that is what the column is
    CELL sum[R][Q];
    [[unroll]] for (int i = 0; i < R; i++)
        [[unroll]] for (int q = 0; q < Q; q++)
            sum[i][q] = CELL(0);

    const uint ci_step = w_pitch / WEIGHTS, tap_step = ci * w_pitch / WEIGHTS;
    const int read_pitch = int(READ_PITCH / INNER), read_base = int(group * (READ_GROUP / INNER));
    int first_read[R]; // of tap 0, also where that is outside
    [[unroll]] for (int i = 0; i < R; i++)
        first_read[i] = ((image[i] * READ_SIZE.x + origin[i].x) * READ_SIZE.y + origin[i].y) * read_pitch + read_base;
    int ty = range_y.x, tx = range_x.x;
    if (ty < range_y.y && tx < range_x.y) {
        do {
            uint tap = uint((taps_y.first + ty * taps_y.period) * int(kw) + taps_x.first + tx * taps_x.period);
            const uint tap_at = tap * tap_step;
            const ivec2 shift = ivec2(ty * taps_y.step, tx * taps_x.step);
            const int moved = (shift.x * READ_SIZE.y + shift.y) * read_pitch;
            int from[R];
            float inside[R];
            [[unroll]] for (int i = 0; i < R; i++) {
                bool fits = all(lessThan(uvec2(origin[i] + shift), uvec2(READ_SIZE)));
                from[i] = fits ? first_read[i] + moved : 0;
                inside[i] = fits ? 1.0 : 0.0;
            }
            uint c = 0;
            do {
                SUMMAND a[R];
                [[unroll]] for (int i = 0; i < R; i++)
                    a[i] = FETCH_SOURCE(from[i] + int(DEPTHWISE == 1 ? own : c)) * inside[i];
#if DEPTHWISE
                vec4 b = FETCH_WEIGHT(weight_at[0] + tap_at);
                [[unroll]] for (int i = 0; i < R; i++)
                    sum[i][0] += a[i] * b;
#elif WEIGHTS_ALONG_SUM && WIDE
                vec4 b[4][Q];
                [[unroll]] for (int u = 0; u < 4; u++)
                    [[unroll]] for (int q = 0; q < Q; q++)
                        b[u][q] = FETCH_WEIGHT(weight_at[q] + tap_at + u * ci_step + c);
                [[unroll]] for (int i = 0; i < R; i++)
                    [[unroll]] for (int q = 0; q < Q; q++)
                        [[unroll]] for (int u = 0; u < 4; u++)
                            sum[i][q][u] += dot(a[i], b[u][q]);
#elif WEIGHTS_ALONG_SUM
                vec4 b[Q];
                [[unroll]] for (int q = 0; q < Q; q++)
                    b[q] = texelFetch(weight, int(weight_at[q] + tap_at + c));
                [[unroll]] for (int i = 0; i < R; i++)
                    [[unroll]] for (int q = 0; q < Q; q++)
                        sum[i][q] += dot(a[i], b[q]);
#elif INNER == 4
                CELL b[4][Q];
                [[unroll]] for (int u = 0; u < 4; u++)
                    [[unroll]] for (int q = 0; q < Q; q++)
                        b[u][q] = FETCH_WEIGHT(weight_at[q] + tap_at + (c * 4 + u) * SUMMAND_STEP);
                [[unroll]] for (int i = 0; i < R; i++)
                    [[unroll]] for (int q = 0; q < Q; q++)
                        [[unroll]] for (int u = 0; u < 4; u++)
                            sum[i][q] += a[i][u] * b[u][q];
#else
                CELL b[Q];
                [[unroll]] for (int q = 0; q < Q; q++)
                    b[q] = FETCH_WEIGHT(weight_at[q] + tap_at + c * SUMMAND_STEP);
                [[unroll]] for (int i = 0; i < R; i++)
                    [[unroll]] for (int q = 0; q < Q; q++)
                        sum[i][q] += a[i] * b[q];
#endif
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
    [[unroll]] for (int i = 0; i < R; i++)
        [[unroll]] for (int q = 0; q < Q; q++) {
            uint c = first_column + q * lane_columns;
            if (first_row + i < rows && c < columns) {
                uint at = uint((image[i] * WRITE_SIZE.x + place[i].x) * WRITE_SIZE.y + place[i].y) * write_pitch +
                          write_base + c;
                CELL step;
                read_step(at, step);
                result[at] = finished(sum[i][q], bias[q], step);
            }
        }
}
