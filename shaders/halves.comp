// y = x in another type, between float32 and halves (BRAIN: 0 float16, 1 bfloat16), four elements an invocation; halves
// lie in memory in pairs. PACK 1: to halves, rounded; 0: to floats. Writes (=), also what is
// left of the last four. Grid: folded over y.
#version 450
#extension GL_GOOGLE_include_directive : require
#define VECTOR 1
#include "lib/pointwise.glsl"
layout(local_size_x_id = 0) in;
#if PACK
#define FROM vec4
#define TO uvec2
#if BRAIN
#define CONVERT(a) bfloat16s_from(round_to_bfloat16(a))
#else
#define CONVERT(a) float16s_from(a)
#endif
#else
#define FROM uvec2
#define TO vec4
#if BRAIN
#define CONVERT bfloat16s_of
#else
#define CONVERT float16s_of
#endif
#endif
layout(std430, binding = 0) restrict readonly buffer x_buffer { FROM x[]; };
layout(std430, binding = 1) restrict writeonly buffer y_buffer { TO y[]; };
layout(push_constant) uniform push_constants
{
    uint count; // of fours
};

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i < count)
        y[i] = CONVERT(x[i]);
}
