// Of parts of a set of numbers, each with its mean and the sum of its squared deviations from that, the sum of squared
// deviations from the mean of all: the second stage of that reduction (Chan, Golub and LeVeque 1979, formula 2.1b). Part p
// of `reduced` numbers has every `parts`-th of them, from p on.
// x: [outer][parts][inner] sums, and as many means behind them. Writes (=) y [outer][inner]. The order is fixed.
// Grid: one invocation an element of y, folded over y. READ_TEXEL as in optimizer.comp.
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
    uint count, parts, inner, reduced;
};

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= count)
        return;
    const uint start = i / inner * parts * inner + i % inner, means = count * parts;
    const float first = READ(means + start); // means are taken from here on: far from zero they keep their digits
    float deviations = 0, mean = 0, seen = 0;
    for (uint part = 0; part < parts; part++) {
        const float numbers = float((reduced - part + parts - 1) / parts), all = seen + numbers;
        const float difference = READ(means + start + part * inner) - first - mean;
        deviations += READ(start + part * inner) + difference * difference * (seen * numbers / all);
        mean += difference * (numbers / all);
        seen = all;
    }
    y[i] = deviations;
}
