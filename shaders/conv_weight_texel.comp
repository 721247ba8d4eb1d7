// The weight gradient of a convolution for CPU drivers, see lib/conv.glsl. Writes (=) one split's part.
//
// A workgroup is one subgroup's worth of lanes; it computes R rows of the weight (input channels of one tap) ×
// lanes · Q · 4 output channels, over `chunk` places. What is read per row is the same for all lanes.
// INNER 4: ci is a multiple of four; rows are R channels of one tap. INNER 1: any ci; rows run over taps and
// channels together (a first layer's 16 or 48), and each tests its own border. co is a multiple of four.
// Grid: x output channels, y row blocks, z split.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lib/conv.glsl"

layout(local_size_x_id = 0) in;
layout(binding = 0) uniform samplerBuffer x;  // INNER 4: RGBA32F, INNER 1: R32F
layout(binding = 1) uniform samplerBuffer dy; // RGBA32F
layout(std430, binding = 2) restrict writeonly buffer result_buffer { vec4 dw_part[]; };

void main()
{
    const uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x, columns = co / 4;
    uint column[Q];
    [[unroll]] for (int q = 0; q < Q; q++)
        column[q] = min(gl_WorkGroupID.x * lanes * Q + q * lanes + lane, columns - 1);
#if INNER == 4
    const uint blocks = (ci + R - 1) / R, tap = gl_WorkGroupID.y / blocks, first = gl_WorkGroupID.y % blocks * R;
    const int tap_y = int(tap / kw * dh) - int(ph), tap_x = int(tap % kw * dw) - int(pw);
    const int channels = int(ci / 4);
    int channel[R / 4]; // channels past the end read the last ones and are not stored
    [[unroll]] for (int g = 0; g < R / 4; g++)
        channel[g] = min(int(first / 4) + g, channels - 1);
#else
    const uint first = gl_WorkGroupID.y * R, total = kh * kw * ci;
    int tap_y[R], tap_x[R], channel[R];
    [[unroll]] for (int i = 0; i < R; i++) {
        uint row = min(first + i, total - 1);
        channel[i] = int(row % ci);
        tap_x[i] = int(row / ci % kw * dw) - int(pw);
        tap_y[i] = int(row / ci / kw * dh) - int(ph);
    }
#endif
    vec4 sum[R][Q];
    [[unroll]] for (int i = 0; i < R; i++)
        [[unroll]] for (int q = 0; q < Q; q++)
            sum[i][q] = vec4(0);

    const uint begin = gl_WorkGroupID.z * chunk, end = min(begin + chunk, oh * ow);
    for (uint place = begin; place < end; place++) {
        const int origin_y = int(place / ow * sh), origin_x = int(place % ow * sw);
#if INNER == 4
        const int row = origin_y + tap_y, line = origin_x + tap_x;
        const bool fits = row >= 0 && row < int(ih) && line >= 0 && line < int(iw);
        const int from = (row * int(iw) + line) * channels;
#else
        int from[R];
        float inside[R];
        [[unroll]] for (int i = 0; i < R; i++) {
            int row = origin_y + tap_y[i], line = origin_x + tap_x[i];
            bool fits_row = row >= 0 && row < int(ih) && line >= 0 && line < int(iw);
            from[i] = fits_row ? (row * int(iw) + line) * int(ci) + channel[i] : 0;
            inside[i] = fits_row ? 1.0 : 0.0;
        }
        const bool fits = true;
#endif
        for (uint image = 0; fits && image < n; image++) {
            vec4 b[Q];
            [[unroll]] for (int q = 0; q < Q; q++)
                b[q] = texelFetch(dy, int((image * oh * ow + place) * columns + column[q]));
#if INNER == 4
            [[unroll]] for (int g = 0; g < R / 4; g++) {
                vec4 a = texelFetch(x, int(image * ih * iw) * channels + from + channel[g]);
                [[unroll]] for (int u = 0; u < 4; u++)
                    [[unroll]] for (int q = 0; q < Q; q++)
                        sum[g * 4 + u][q] += a[u] * b[q];
            }
#else
            [[unroll]] for (int i = 0; i < R; i++) {
                float a = texelFetch(x, int(image * ih * iw * ci) + from[i]).x * inside[i];
                [[unroll]] for (int q = 0; q < Q; q++)
                    sum[i][q] += a * b[q];
            }
#endif
        }
    }

    const uint base = gl_WorkGroupID.z * kh * kw * ci;
    [[unroll]] for (int i = 0; i < R; i++)
        [[unroll]] for (int q = 0; q < Q; q++) {
            uint c = gl_WorkGroupID.x * lanes * Q + q * lanes + lane;
#if INNER == 4
            bool stored = first + i < ci && c < columns;
            uint row = tap * ci + first + i;
#else
            bool stored = first + i < total && c < columns;
            uint row = first + i;
#endif
            if (stored)
                dw_part[(base + row) * columns + c] = sum[i][q];
        }
}
