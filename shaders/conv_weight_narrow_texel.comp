// The weight gradient towards one output channel (co = 1, ci a multiple of four) for CPU drivers: a
// discriminator's last layer. A lane is four input channels of one tap. Writes (=) one split's part.
// Grid: x and y fold taps · ci/4; z: split. See lib/conv.glsl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/conv.glsl"

layout(local_size_x_id = 0) in;
layout(binding = 0) uniform samplerBuffer x;  // RGBA32F
layout(binding = 1) uniform samplerBuffer dy; // R32F
layout(std430, binding = 2) restrict writeonly buffer result_buffer { vec4 dw_part[]; };

void main()
{
    const uint channels = ci / 4, total = kh * kw * channels;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= total)
        return;
    const int tap_x = int(i / channels % kw * dw) - int(pw), tap_y = int(i / channels / kw * dh) - int(ph);
    const uint begin = gl_WorkGroupID.z * chunk, end = min(begin + chunk, oh * ow);
    vec4 sum = vec4(0);
    for (uint place = begin; place < end; place++) {
        int row = int(place / ow * sh) + tap_y, line = int(place % ow * sw) + tap_x;
        bool fits = row >= 0 && row < int(ih) && line >= 0 && line < int(iw);
        uint from = fits ? uint(row * int(iw) + line) * channels + i % channels : 0;
        float inside = fits ? 1.0 : 0.0;
        for (uint image = 0; image < n; image++)
            sum += inside * texelFetch(dy, int(image * oh * ow + place)).x *
                   texelFetch(x, int(image * ih * iw * channels + from));
    }
    dw_part[gl_WorkGroupID.z * total + i] = sum;
}
