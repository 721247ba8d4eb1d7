// y[4i … 4i+3] = Philox(counter = [i, stream, step low, step high], key = seed), as uniform or normal numbers.
// Writes (=) every element. Deterministic: a number depends on seed, step, stream and place alone.
// Grid: one invocation for four numbers, in x, folded over y. NORMAL: 0 uniform in (0, 1), 1 standard normal.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/philox.glsl"

layout(local_size_x_id = 0) in;
layout(std430, binding = 0) restrict readonly buffer state_buffer { uint seed_low, seed_high, step_low, step_high; };
layout(std430, binding = 1) restrict writeonly buffer output_buffer { float y[]; };
layout(push_constant) uniform push_constants
{
    uint count; // numbers
    uint stream;
};

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i * 4 >= count)
        return;
    vec4 numbers = uniform_from_bits(philox4x32(uvec4(i, stream, step_low, step_high), uvec2(seed_low, seed_high)));
#if NORMAL
    numbers = normal_from_uniform(numbers);
#endif
    for (uint k = 0; k < 4; k++)
        if (i * 4 + k < count)
            y[i * 4 + k] = numbers[k];
}
