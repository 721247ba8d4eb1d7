// Convolution to few channels for CPU drivers: a last layer's 1 or 3 colours, a discriminator's 1 logit. Writes (=).
// A lane is an output pixel; weights are the same for all lanes. Forward (DIRECTION 0) is for co = 1, input_grad
// (1) for any ci, four at a time. The summed channels are a multiple of four.
// Grid: x and y fold the pixels of a phase; z: phase · blocks of four channels (see conv_rows_texel.comp).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/conv.glsl"

layout(local_size_x_id = 0) in;
layout(binding = 0) uniform samplerBuffer source; // RGBA32F
layout(binding = 1) uniform samplerBuffer weight; // RGBA32F
layout(std430, binding = 2) restrict writeonly buffer result_buffer { float result[]; };

#if DIRECTION == 0
#define READ_SIZE  ivec2(ih, iw)
#define WRITE_SIZE ivec2(oh, ow)
#define SUMMED     ci
#define COLUMNS    1u
#else
#define READ_SIZE  ivec2(oh, ow)
#define WRITE_SIZE ivec2(ih, iw)
#define SUMMED     co
#define COLUMNS    ci
#endif

void main()
{
    const uint summed = SUMMED / 4, blocks = (COLUMNS + 3) / 4;
    const uint first_column = gl_WorkGroupID.z % blocks * 4, last_column = COLUMNS - 1;
#if DIRECTION == 0
    const ivec2 phase = ivec2(0), pace = ivec2(1);
    const Taps taps_y = taps_forward(kh, dh), taps_x = taps_forward(kw, dw);
#else
    const int z = int(gl_WorkGroupID.z / blocks);
    const ivec2 phase = ivec2(z / int(sw), z % int(sw)), pace = ivec2(sh, sw);
    const Taps taps_y = taps_input_grad(phase.x, int(kh), int(sh), int(ph), int(dh));
    const Taps taps_x = taps_input_grad(phase.y, int(kw), int(sw), int(pw), int(dw));
#endif
    const ivec2 grid = (WRITE_SIZE - phase + pace - 1) / pace;
    const uint rows = uint(max(grid.x, 0) * max(grid.y, 0)) * n;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint row = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (row >= rows)
        return;
    const int pixel = int(row % uint(grid.x * grid.y)), image = int(row / uint(grid.x * grid.y));
    const ivec2 place = phase + pace * ivec2(pixel / grid.y, pixel % grid.y);
#if DIRECTION == 0
    const ivec2 origin = place * ivec2(sh, sw) - ivec2(ph, pw);
#else
    ivec2 origin = place + ivec2(ph, pw) - ivec2(taps_y.first * int(dh), taps_x.first * int(dw));
    origin /= ivec2(sh, sw); // exact: tap 0 was chosen so
#endif
    vec4 sum = vec4(0);
    for (int ty = 0; ty < taps_y.count; ty++) {
        for (int tx = 0; tx < taps_x.count; tx++) {
            uint tap = uint((taps_y.first + ty * taps_y.period) * int(kw) + taps_x.first + tx * taps_x.period);
            ivec2 at = origin + ivec2(ty * taps_y.step, tx * taps_x.step);
            bool fits = all(greaterThanEqual(at, ivec2(0))) && all(lessThan(at, READ_SIZE));
            int from = fits ? ((image * READ_SIZE.x + at.x) * READ_SIZE.y + at.y) * int(summed) : 0;
            float inside = fits ? 1.0 : 0.0;
            for (uint c = 0; c < summed; c++) {
                vec4 a = texelFetch(source, from + int(c)) * inside;
#if DIRECTION == 0
                sum.x += dot(a, texelFetch(weight, int(tap * summed + c)));
#else
                uint base = tap * ci;
                sum.x += dot(a, texelFetch(weight, int((base + first_column) * summed + c)));
                if (ci > 1) { // the same for all lanes
                    sum.y += dot(a, texelFetch(weight, int((base + min(first_column + 1, last_column)) * summed + c)));
                    sum.z += dot(a, texelFetch(weight, int((base + min(first_column + 2, last_column)) * summed + c)));
                    sum.w += dot(a, texelFetch(weight, int((base + min(first_column + 3, last_column)) * summed + c)));
                }
#endif
            }
        }
    }
    const uint to = uint((image * WRITE_SIZE.x + place.x) * WRITE_SIZE.y + place.y) * COLUMNS;
    for (uint k = 0; k < 4; k++)
        if (first_column + k <= last_column)
            result[to + first_column + k] = sum[k];
}
