// After a step of Adam: the bias corrections move on. Grid: one invocation.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/adam.glsl"
layout(local_size_x = 1) in;
layout(std430, binding = 0) restrict buffer corrections_buffer { vec2 corrections; };

void main()
{
    corrections = next_corrections(corrections);
}
