// y[outer][j][inner] = Σ_{k ≤ j} x[outer][k][inner], or over k ≥ j where `reversed` is 1. An axis that is long, or of
// which there are few, is cut into blocks, and three dispatches of this make the sum; j counts in the sum's direction:
//   STAGE 0  y[outer][block][inner] = the sum of each block of x
//   STAGE 1  the running sums of x, which is one block; of what is in front of j where `exclusive` is 1
//   STAGE 2  the running sums of each block of x, which begin at offset[outer][block][inner]
// Writes (=). The order of addition is fixed. Grid: one invocation a block, folded over y. READ_TEXEL as in optimizer.comp.
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
#if STAGE == 2
layout(std430, binding = 2) restrict readonly buffer offset_buffer { float offset[]; };
#endif
layout(push_constant) uniform push_constants
{
    uint count; // outer · blocks · inner
    uint size, inner, block, blocks, reversed, exclusive;
};

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= count)
        return;
    uint rest = i / inner, base = rest / blocks * size * inner + i % inner;
    uint first = rest % blocks * block, end = min(first + block, size);
#if STAGE == 2
    float sum = offset[i];
#else
    float sum = 0;
#endif
    for (uint j = first; j < end; j++) {
        uint place = base + (reversed != 0 ? size - 1 - j : j) * inner;
        float term = READ(place);
#if STAGE == 0
        sum += term;
#elif STAGE == 1
        float before = sum;
        sum += term;
        y[place] = exclusive != 0 ? before : sum;
#else
        sum += term;
        y[place] = sum;
#endif
    }
#if STAGE == 0
    y[i] = sum;
#endif
}
