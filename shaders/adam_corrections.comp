// After a step of Adam: the bias corrections move on; SCALED: not after a step that was skipped. Grid: one invocation.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/adam.glsl"
layout(local_size_x = 1) in;
layout(std430, binding = 0) restrict buffer corrections_buffer { vec2 corrections; };
#ifdef SCALED
layout(std430, binding = 1) restrict readonly buffer scale_buffer { float loss_scale; };
#endif

void main()
{
#ifdef SCALED
    if (loss_scale == 0.0)
        return;
#endif
    corrections = next_corrections(corrections);
}
