// y[outer][i][inner] = Σ x[outer][o][inner] over the windows o that have place i, and whose index[outer][o][inner] is i:
// the gradient of the greatest of each window. Window o has the places o · stride − padding + k, k < kernel. Writes (=).
// Grid: invocations, folded over y, that each take every so many-th element of y. READ_TEXEL as in optimizer.comp.
#version 450
layout(local_size_x_id = 0) in;
#if READ_TEXEL
layout(binding = 0) uniform samplerBuffer x;
layout(binding = 1) uniform isamplerBuffer index;
#define READ(tensor, i) texelFetch(tensor, int(i)).x
#else
layout(std430, binding = 0) restrict readonly buffer x_buffer { float x[]; };
layout(std430, binding = 1) restrict readonly buffer index_buffer { int index[]; };
#define READ(tensor, i) tensor[i]
#endif
layout(std430, binding = 2) restrict writeonly buffer y_buffer { float y[]; };
layout(constant_id = 1) const uint count = 1;
layout(constant_id = 2) const uint size = 1;
layout(constant_id = 3) const uint windows = 1;
layout(constant_id = 4) const uint inner = 1;
layout(constant_id = 5) const uint kernel = 1;
layout(constant_id = 6) const uint stride = 1;
layout(constant_id = 7) const uint padding = 0;

float element(uint i)
{
    uint place = i / inner % size, base = i / inner / size * windows * inner + i % inner;
    uint reach = place + padding, last = reach / stride; // in the padded axis
    float sum = 0;
    for (uint back = 0; back < (kernel + stride - 1) / stride; back++) { // a constant: the compiler can unroll it
        uint o = last - back;
        bool has_place = o < windows && reach - o * stride < kernel;
        uint at = base + (has_place ? o : 0) * inner;
        float value = READ(x, at);
        sum += has_place && READ(index, at) == int(place) ? value : 0;
    }
    return sum;
}

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint step = gl_WorkGroupSize.x * gl_NumWorkGroups.x * gl_NumWorkGroups.y;
    for (uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x; i < count; i += step)
        y[i] = element(i);
}
