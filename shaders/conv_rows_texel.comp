// Convolution for CPU drivers: forward (DIRECTION 0) and input_grad (1), see lib/conv.glsl. Writes (=).
//
// A workgroup is one subgroup's worth of lanes. It computes R rows (pixels of images) × lanes · Q · 4 columns
// (output channels). What is read per row is the same for all lanes, which costs less on lavapipe than a
// broadcast; what is read per column is one vec4 a lane. Rows are ordered pixel by pixel with the image fastest,
// so that the rows of a workgroup mostly share their place and taps outside of the image are skipped together.
// Grid: x columns, y rows, z the phase of input_grad (the place modulo the stride, which decides the taps).
//
// INNER 4: the summed channels are a multiple of four, read as vec4. INNER 1: any number, read one by one (a
// first layer's 1 or 3 channels; input_grad with INNER 1 requires co = 1). The columns are a multiple of four.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/conv.glsl"

layout(local_size_x_id = 0) in;
layout(binding = 0) uniform samplerBuffer source; // INNER 4: RGBA32F, INNER 1: R32F
layout(binding = 1) uniform samplerBuffer weight; // RGBA32F
layout(std430, binding = 2) restrict writeonly buffer result_buffer { vec4 result[]; };

// The image that is read, that which is written, and its grid within this phase.
#if DIRECTION == 0
#define READ_SIZE  ivec2(ih, iw)
#define WRITE_SIZE ivec2(oh, ow)
#define SUMMED     ci
#define COLUMNS    co
#else
#define READ_SIZE  ivec2(oh, ow)
#define WRITE_SIZE ivec2(ih, iw)
#define SUMMED     co
#define COLUMNS    ci
#endif

void main()
{
    const uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
    const uint columns = COLUMNS / 4, summed = SUMMED / INNER;
#if DIRECTION == 0
    const ivec2 phase = ivec2(0), pace = ivec2(1);
    const Taps taps_y = taps_forward(kh, dh), taps_x = taps_forward(kw, dw);
#else
    const ivec2 phase = ivec2(gl_WorkGroupID.z / sw, gl_WorkGroupID.z % sw), pace = ivec2(sh, sw);
    const Taps taps_y = taps_input_grad(phase.x, int(kh), int(sh), int(ph), int(dh));
    const Taps taps_x = taps_input_grad(phase.y, int(kw), int(sw), int(pw), int(dw));
#endif
    const ivec2 grid = (WRITE_SIZE - phase + pace - 1) / pace; // places of this phase
    const uint rows = uint(max(grid.x, 0) * max(grid.y, 0)) * n, first_row = gl_WorkGroupID.y * R;
    if (first_row >= rows)
        return;

    // where each row writes, and where its tap 0 reads
    int image[R];
    ivec2 place[R], origin[R];
    ivec2 low = ivec2(0x7fffffff), high = ivec2(-0x7fffffff);
    [[unroll]] for (int i = 0; i < R; i++) {
        uint row = min(first_row + i, rows - 1); // rows past the end repeat the last one and are not stored
        int pixel = int(row / n);
        image[i] = int(row % n);
        place[i] = phase + pace * ivec2(pixel / grid.y, pixel % grid.y);
#if DIRECTION == 0
        origin[i] = place[i] * ivec2(sh, sw) - ivec2(ph, pw);
#else
        origin[i] = (place[i] + ivec2(ph, pw) - ivec2(taps_y.first * int(dh), taps_x.first * int(dw)));
        origin[i] /= ivec2(sh, sw); // exact: tap 0 was chosen so
#endif
        low = min(low, origin[i]);
        high = max(high, origin[i]);
    }
    const ivec2 range_y = tap_range(taps_y, low.x, high.x, READ_SIZE.x);
    const ivec2 range_x = tap_range(taps_x, low.y, high.y, READ_SIZE.y);

    uint column[Q]; // columns past the end read the last one and are not stored
    [[unroll]] for (int q = 0; q < Q; q++)
        column[q] = min(gl_WorkGroupID.x * lanes * Q + q * lanes + lane, columns - 1);
    vec4 sum[R][Q];
    [[unroll]] for (int i = 0; i < R; i++)
        [[unroll]] for (int q = 0; q < Q; q++)
            sum[i][q] = vec4(0);

    for (int ty = range_y.x; ty < range_y.y; ty++) {
        for (int tx = range_x.x; tx < range_x.y; tx++) {
            uint tap = uint((taps_y.first + ty * taps_y.period) * int(kw) + taps_x.first + tx * taps_x.period);
            int from[R];
            float inside[R];
            [[unroll]] for (int i = 0; i < R; i++) {
                ivec2 at = origin[i] + ivec2(ty * taps_y.step, tx * taps_x.step);
                bool fits = all(greaterThanEqual(at, ivec2(0))) && all(lessThan(at, READ_SIZE));
                from[i] = fits ? ((image[i] * READ_SIZE.x + at.x) * READ_SIZE.y + at.y) * int(summed) : 0;
                inside[i] = fits ? 1.0 : 0.0;
            }
            for (uint c = 0; c < summed; c++) {
#if INNER == 4
                vec4 b[4][Q];
                [[unroll]] for (int u = 0; u < 4; u++)
                    [[unroll]] for (int q = 0; q < Q; q++)
#if DIRECTION == 0
                        b[u][q] = texelFetch(weight, int((tap * ci + c * 4 + u) * columns + column[q]));
#else
                        b[u][q] = texelFetch(weight, int((tap * ci + column[q] * 4 + u) * summed + c));
#endif
                [[unroll]] for (int i = 0; i < R; i++) {
                    vec4 a = texelFetch(source, from[i] + int(c)) * inside[i];
                    [[unroll]] for (int q = 0; q < Q; q++)
#if DIRECTION == 0
                        [[unroll]] for (int u = 0; u < 4; u++)
                            sum[i][q] += a[u] * b[u][q];
#else
                        [[unroll]] for (int u = 0; u < 4; u++)
                            sum[i][q][u] += dot(a, b[u][q]);
#endif
                }
#else
                vec4 b[Q];
                [[unroll]] for (int q = 0; q < Q; q++)
                    b[q] = texelFetch(weight, int((tap * SUMMED + c) * columns + column[q]));
                [[unroll]] for (int i = 0; i < R; i++) {
                    float a = texelFetch(source, from[i] + int(c)).x * inside[i];
                    [[unroll]] for (int q = 0; q < Q; q++)
                        sum[i][q] += a * b[q];
                }
#endif
            }
        }
    }

    [[unroll]] for (int i = 0; i < R; i++)
        [[unroll]] for (int q = 0; q < Q; q++) {
            uint c = gl_WorkGroupID.x * lanes * Q + q * lanes + lane;
            if (first_row + i < rows && c < columns)
                result[uint((image[i] * WRITE_SIZE.x + place[i].x) * WRITE_SIZE.y + place[i].y) * columns + c] =
                    sum[i][q];
        }
}
