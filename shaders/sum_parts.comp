// y[outer][inner] = Σ_part x[outer][part][inner]: the second stage of a sum. Writes (=). The order of addition is
// fixed. Grid: one invocation an element of y, folded over y. READ_TEXEL as in adam.comp.
#version 450
layout(local_size_x_id = 0) in;
#if READ_TEXEL
layout(binding = 0) uniform samplerBuffer x;
#define READ(i) texelFetch(x, int(i)).x
#else
layout(std430, binding = 0) restrict readonly buffer x_buffer { float x[]; };
#define READ(i) x[i]
#endif
layout(std430, binding = 1) restrict writeonly buffer y_buffer { float y[]; };
layout(push_constant) uniform push_constants
{
    uint count, parts, inner;
};

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= count)
        return;
    uint start = i / inner * parts * inner + i % inner;
    float sum = 0;
    for (uint part = 0; part < parts; part++)
        sum += READ(start + part * inner);
    y[i] = sum;
}
