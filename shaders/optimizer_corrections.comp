// After a step of Adam: the bias corrections move on, unless the step was skipped: a factor of 0. Grid: one invocation.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/optimizer.glsl"
layout(local_size_x = 1) in;
layout(std430, binding = 0) restrict buffer corrections_buffer { vec2 corrections; };
layout(std430, binding = 1) restrict readonly buffer factor_buffer { float factor; };

void main()
{
    if (factor != 0.0)
        corrections = next_corrections(corrections);
}
