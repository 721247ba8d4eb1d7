// y[outer][inner] = Σ_part x[outer][part][inner], or the greatest of them (MAX 1): the second stage of a reduction.
// Writes (=). The order is fixed. Grid: one invocation an element of y, folded over y. READ_TEXEL as in optimizer.comp.
// FINISHED 1: y is a convolution's result, whose epilogue (lib/epilogue.glsl) follows the sum.
#version 450
#extension GL_GOOGLE_include_directive : require
#define VECTOR 0
#include "lib/pointwise.glsl"
layout(local_size_x_id = 0) in;
#if MAX
#define COMBINE(a, b) maximum(a, b)
#else
#define COMBINE(a, b) ((a) + (b))
#endif
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
#if FINISHED
    uint columns;
    float slope, step_slope;
#endif
};

#if FINISHED
#define CELL             float
#define CELLS            1
#define EPILOGUE_TEXEL   READ_TEXEL
#define EPILOGUE_BINDING 2
#include "lib/epilogue.glsl"
#endif

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= count)
        return;
    uint start = i / inner * parts * inner + i % inner;
    float result = READ(start);
    for (uint part = 1; part < parts; part++)
        result = COMBINE(result, READ(start + part * inner));
#if FINISHED
    result = finished(result, bias_of(i % columns), i);
#endif
    y[i] = result;
}
