// y[outer][o][part][inner] = Σ_t weight[t] · x[outer][index[t]][inner] for t = start[o] + part, + parts, … below
// start[o + 1]: the product with a sparse matrix along one axis. Writes (=). The order of addition is fixed.
// Grid: invocations, folded over y, that each take every so many-th element of y, or four neighbours along inner where
// VECTOR is 1.
// READ_TEXEL as in optimizer.comp.
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
// count and inner in units of T; size: of x along the axis. Constants, since drivers on a processor divide slowly.
layout(constant_id = 1) const uint count = 1;
layout(constant_id = 2) const uint size = 1;
layout(constant_id = 3) const uint outputs = 1;
layout(constant_id = 4) const uint parts = 1;
layout(constant_id = 5) const uint inner = 1;
layout(constant_id = 6) const uint terms = 0; // of every row, where all have as many, few, and parts is 1; else 0

T element(uint i)
{
    uint rest = i / inner, part = rest % parts, row = rest / parts, o = row % outputs;
    uint base = row / outputs * size * inner + i % inner;
    if (terms > 0) { // unrolled, and a third of the reads
        T sum = T(0);
        for (uint t = 0; t < terms; t++)
            sum += READ(weight, o * terms + t) * READ_X(base + uint(READ(index, o * terms + t)) * inner);
        return sum;
    }
    int t = READ(start, o) + int(part), end = READ(start, o + 1);
    T sum = T(0);
    for (; t < end; t += int(parts)) // as do … while inside an if, SwiftShader loses terms
        sum += READ(weight, t) * READ_X(base + uint(READ(index, t)) * inner);
    return sum;
}

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint stride = gl_WorkGroupSize.x * gl_NumWorkGroups.x * gl_NumWorkGroups.y;
    for (uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x; i < count; i += stride)
        y[i] = element(i);
}
