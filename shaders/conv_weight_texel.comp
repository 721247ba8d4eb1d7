// The weight gradient of a convolution for CPU drivers, see lib/conv.glsl. Writes (=) one split's part.
//
// As conv_rows_texel.comp, whose head says what decides the speed: rows are (kh, kw, ci), columns are co, and the
// sum goes over the places (n, oh, ow) at which some row's tap meets the image, PLACES of them in each turn of the
// loop. INNER 4: ci is a multiple of four, read as vec4, each of which is four rows; INNER 1: any ci.
// WIDE 1: co is a multiple of four, and a column is four channels; WIDE 0: any co.
// DEPTHWISE 1: groups, a multiple of four, of one channel each: all of them are columns, of four channels, and rows are
// (kh, kw); INNER is 1, WIDE 1, Q 1.
// What decides the speed on lavapipe (measured with 22.3.6): lanes side by side read x for one another, all of it before the
// first product, so that its cache misses overlap; lanes that neither rows nor columns need take splits of their own.
// Grid: x and y fold groups (DEPTHWISE: one) · row blocks · column blocks, column blocks fastest; z: lane_splits splits.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/conv.glsl"
#include "lib/lanes.glsl"

layout(binding = 0) uniform samplerBuffer x;  // INNER 4 or DEPTHWISE: RGBA32F, else R32F
layout(binding = 1) uniform samplerBuffer dy; // WIDE 1: RGBA32F, WIDE 0: R32F
#if WIDE
#define CELL  vec4
#define CELLS 4
#define FETCH_DY(i) texelFetch(dy, i)
#else
#define CELL  float
#define CELLS 1
#define FETCH_DY(i) texelFetch(dy, i).x
#endif
#if DEPTHWISE
#define X_CELL vec4
#define FETCH_X(i)  texelFetch(x, i)
#define A(p, u)     a[p]
#elif INNER == 4
#define X_CELL vec4
#define FETCH_X(i)  texelFetch(x, i)
#define A(p, u)     a[p][u]
#else
#define X_CELL float
#define FETCH_X(i)  texelFetch(x, i).x
#define A(p, u)     a[p]
#endif
layout(std430, binding = 2) restrict writeonly buffer result_buffer { CELL dw_part[]; };

const uint FETCHES = R / INNER;                  // fetches of x at one place
const uint X_TEXEL = DEPTHWISE == 1 ? 4 : INNER; // elements

void main()
{
    const uint lane = gl_SubgroupInvocationID, lane_rows = gl_WorkGroupSize.x / (lane_columns * lane_splits);
    const uint own_split = gl_WorkGroupID.z * lane_splits + lane / (lane_columns * lane_rows);
    const uint channels = ci / INNER, fetches = kh * kw * channels, columns = (DEPTHWISE == 1 ? groups : co) / CELLS;
    const uint column_blocks = (columns + lane_columns * Q - 1) / (lane_columns * Q);
    const uint group = folded_workgroup() / blocks, block = folded_workgroup() % blocks;
    const uint first_fetch = (block / column_blocks * lane_rows + lane / lane_columns % lane_rows) * FETCHES;
    if (first_fetch >= fetches || group >= groups)
        return;

    // where each fetch reads, relative to its place, and the places at which it meets the image; fetches past the
    // end repeat the last one and are not stored
    const uint pitch_x = x_pitch / X_TEXEL, pitch_y = y_pitch / CELLS, pitch_w = w_pitch / CELLS;
    int offset[FETCHES];
    ivec2 low[FETCHES], high[FETCHES], lowest = ivec2(0x7fffffff), highest = ivec2(0);
    [[unroll]] for (uint j = 0; j < OWN(FETCHES); j++) {
        const uint fetch = min(first_fetch + first_own(FETCHES) + j, fetches - 1);
        const ivec2 tap = ivec2(fetch / channels / kw, fetch / channels % kw);
        const ivec2 shift = tap * ivec2(dh, dw) - ivec2(ph, pw);
        offset[j] = (shift.x * int(iw) + shift.y) * int(pitch_x) + int(group * (x_group / X_TEXEL) + fetch % channels);
        low[j] = ivec2(divide_up(max(-shift.x, 0), int(sh)), divide_up(max(-shift.y, 0), int(sw)));
        high[j] = ivec2(divide_up(int(ih) - shift.x, int(sh)), divide_up(int(iw) - shift.y, int(sw)));
        high[j] = min(high[j], ivec2(oh, ow));
        if (all(lessThan(low[j], high[j]))) {
            lowest = min(lowest, low[j]);
            highest = max(highest, high[j]);
        }
    }
    lowest = least_of_sharers(lowest);
    highest = greatest_of_sharers(highest);

    const uint first_column = block % column_blocks * lane_columns * Q + lane % lane_columns;
    uint column[Q]; // columns past the end read the last one and are not stored
    [[unroll]] for (int q = 0; q < Q; q++)
        column[q] = group * (y_group / CELLS) + min(first_column + q * lane_columns, columns - 1);
    const int own_column = DEPTHWISE == 1 ? int(column[0]) : 0; // the channels of x that belong to it
    CELL sum[R][Q];
    [[unroll]] for (int i = 0; i < R; i++)
        [[unroll]] for (int q = 0; q < Q; q++)
            sum[i][q] = CELL(0);

    const uvec2 extent = uvec2(max(highest - lowest, 0));
    uint at = own_split * chunk;
    const uint end = min(at + chunk, n * extent.x * extent.y);
    if (at < end) {
        int image = int(at / (extent.x * extent.y));
        ivec2 place = lowest + ivec2(at / extent.y % extent.x, at % extent.y);
        do {
            int to[PLACES], from[PLACES];
            bool fits[PLACES][FETCHES];
            [[unroll]] for (int p = 0; p < PLACES; p++) {
                to[p] = ((image * int(oh) + place.x) * int(ow) + place.y) * int(pitch_y);
                from[p] = ((image * int(ih) + place.x * int(sh)) * int(iw) + place.y * int(sw)) * int(pitch_x);
                [[unroll]] for (uint j = 0; j < OWN(FETCHES); j++)
                    fits[p][j] = at < end && all(greaterThanEqual(place, low[j])) && all(lessThan(place, high[j]));
                at++;
                if (at < end) { // past the end, the last place is read again and counts nothing
                    place.y++;
                    bool next_line = place.y == highest.y;
                    place.y = next_line ? lowest.y : place.y;
                    place.x += next_line ? 1 : 0;
                    bool next_image = place.x == highest.x;
                    place.x = next_image ? lowest.x : place.x;
                    image += next_image ? 1 : 0;
                }
            }
            X_CELL own_a[PLACES][FETCHES];
            [[unroll]] for (uint j = 0; j < OWN(FETCHES); j++)
                [[unroll]] for (int p = 0; p < PLACES; p++)
                    own_a[p][j] = FETCH_X(fits[p][j] ? from[p] + offset[j] + own_column : 0) * (fits[p][j] ? 1.0 : 0.0);
            CELL b[PLACES][Q];
            [[unroll]] for (int p = 0; p < PLACES; p++)
                [[unroll]] for (int q = 0; q < Q; q++)
                    b[p][q] = FETCH_DY(to[p] + int(column[q]));
            [[unroll]] for (int f = 0; f < FETCHES; f++) {
                X_CELL a[PLACES];
                [[unroll]] for (int p = 0; p < PLACES; p++)
                    a[p] = PART(own_a[p], FETCHES, f);
                [[unroll]] for (int u = 0; u < INNER; u++)
                    [[unroll]] for (int q = 0; q < Q; q++)
                        [[unroll]] for (int p = 0; p < PLACES; p++)
                            sum[f * INNER + u][q] += A(p, u) * b[p][q];
            }
        } while (at < end);
    }

    const uint base = own_split * (kh * kw * ci * groups * co / CELLS) + group * (w_group / CELLS);
    [[unroll]] for (int i = 0; i < R; i++)
        [[unroll]] for (int q = 0; q < Q; q++) {
            uint row = first_fetch * INNER + i, c = first_column + q * lane_columns;
            if (row < kh * kw * ci && c < columns)
                dw_part[base + row * pitch_w + c] = sum[i][q];
        }
}
