// y[outer][o][part][inner] = Σ_t weight[t] · x[outer][index[t]][inner] for t = start[o] + part, + parts, … below
// start[o + 1]: the product with a sparse matrix along one axis. Writes (=). The order of addition is fixed.
// Grid: one invocation an element of y, or four neighbours along inner where VECTOR is 1, folded over y.
// READ_TEXEL as in adam.comp.
#version 450
layout(local_size_x_id = 0) in;
#if VECTOR
#define T vec4
#else
#define T float
#endif
#if READ_TEXEL
layout(binding = 0) uniform samplerBuffer x;
layout(binding = 1) uniform isamplerBuffer start;
layout(binding = 2) uniform isamplerBuffer index;
layout(binding = 3) uniform samplerBuffer weight;
#define READ_X(i) T(texelFetch(x, int(i)))
#define READ(table, i) texelFetch(table, int(i)).x
#else
layout(std430, binding = 0) restrict readonly buffer x_buffer { T x[]; };
layout(std430, binding = 1) restrict readonly buffer start_buffer { int start[]; };
layout(std430, binding = 2) restrict readonly buffer index_buffer { int index[]; };
layout(std430, binding = 3) restrict readonly buffer weight_buffer { float weight[]; };
#define READ_X(i) x[i]
#define READ(table, i) table[i]
#endif
layout(std430, binding = 4) restrict writeonly buffer y_buffer { T y[]; };
layout(push_constant) uniform push_constants
{
    uint count, size, outputs, parts, inner; // count and inner in units of T; size: of x along the axis
};

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= count)
        return;
    uint rest = i / inner, part = rest % parts, row = rest / parts, o = row % outputs;
    uint base = row / outputs * size * inner + i % inner;
    int end = READ(start, o + 1);
    T sum = T(0);
    for (int t = READ(start, o) + int(part); t < end; t += int(parts))
        sum += READ(weight, t) * READ_X(base + uint(READ(index, t)) * inner);
    y[i] = sum;
}
