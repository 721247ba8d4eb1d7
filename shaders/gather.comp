// y[.., m, ..] = a[.., index[.., m, ..], ..], 0 where the index is outside of a. Writes (=).
// Grid: one invocation an element of y, or four neighbours that share an index where VECTOR is 1, folded over y.
// READ_TEXEL as in optimizer.comp.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/runs.glsl"
layout(local_size_x_id = 0) in;
#if VECTOR
#define T vec4
#else
#define T float
#endif
#if READ_TEXEL
layout(binding = 0) uniform samplerBuffer a;
layout(binding = 1) uniform isamplerBuffer index;
#define READ_A(i) T(texelFetch(a, int(i)))
#define READ_INDEX(i) texelFetch(index, int(i)).x
#else
layout(std430, binding = 0) restrict readonly buffer a_buffer { T a[]; };
layout(std430, binding = 1) restrict readonly buffer index_buffer { int index[]; };
#define READ_A(i) a[i]
#define READ_INDEX(i) index[i]
#endif
layout(std430, binding = 2) restrict writeonly buffer y_buffer { T y[]; };

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= count)
        return;
    uvec2 place = walk_runs(i);
    uint k = uint(READ_INDEX(place.x));
    bool there = k < axis_size;
    T value = READ_A(place.y + (there ? k : 0) * axis_stride);
    y[i] = there ? value : T(0);
}
