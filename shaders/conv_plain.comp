// Convolution, one invocation an output element: the reference of the other families, and the fall-back for
// shapes that they leave out. Writes (=). DIRECTION: 0 forward, 1 input_grad, 2 weight_grad (see lib/conv.glsl).
// READ_TEXEL: 1 reads through R32F texel buffers, 0 through storage buffers. Grid: x and y fold the elements;
// z, weight_grad: the split.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/conv.glsl"

layout(local_size_x_id = 0) in;
#if READ_TEXEL
layout(binding = 0) uniform samplerBuffer first;
layout(binding = 1) uniform samplerBuffer second;
#define READ(tensor, i) texelFetch(tensor, int(i)).x
#else
layout(std430, binding = 0) restrict readonly buffer first_buffer { float first[]; };
layout(std430, binding = 1) restrict readonly buffer second_buffer { float second[]; };
#define READ(tensor, i) tensor[i]
#endif
layout(std430, binding = 2) restrict writeonly buffer result_buffer { float result[]; };

#if DIRECTION == 0
float element(uint i) // y: first is x, second is w
{
    uint c = i % co, x = i / co % ow, y = i / co / ow % oh, image = i / co / ow / oh;
    float sum = 0;
    for (uint ky = 0; ky < kh; ky++) {
        int row = int(y * sh + ky * dh) - int(ph);
        for (uint kx = 0; kx < kw && row >= 0 && row < int(ih); kx++) {
            int column = int(x * sw + kx * dw) - int(pw);
            uint from = ((image * ih + uint(row)) * iw + uint(column)) * ci, weight = (ky * kw + kx) * ci * co + c;
            for (uint k = 0; k < ci && column >= 0 && column < int(iw); k++)
                sum += READ(first, from + k) * READ(second, weight + k * co);
        }
    }
    return sum;
}
#elif DIRECTION == 1
float element(uint i) // dx: first is dy, second is w
{
    uint c = i % ci, x = i / ci % iw, y = i / ci / iw % ih, image = i / ci / iw / ih;
    float sum = 0;
    for (uint ky = 0; ky < kh; ky++) {
        int row = int(y + ph) - int(ky * dh);
        bool row_fits = row >= 0 && row % int(sh) == 0 && row / int(sh) < int(oh);
        for (uint kx = 0; kx < kw && row_fits; kx++) {
            int column = int(x + pw) - int(kx * dw);
            bool fits = column >= 0 && column % int(sw) == 0 && column / int(sw) < int(ow);
            uint from = ((image * oh + uint(row) / sh) * ow + uint(column) / sw) * co;
            uint weight = ((ky * kw + kx) * ci + c) * co;
            for (uint k = 0; k < co && fits; k++)
                sum += READ(first, from + k) * READ(second, weight + k);
        }
    }
    return sum;
}
#else
float element(uint i) // dw: first is x, second is dy
{
    uint to = i % co, from = i / co % ci, kx = i / co / ci % kw, ky = i / co / ci / kw;
    uint begin = gl_WorkGroupID.z * chunk, end = min(begin + chunk, oh * ow);
    float sum = 0;
    for (uint place = begin; place < end; place++) {
        int row = int(place / ow * sh + ky * dh) - int(ph), column = int(place % ow * sw + kx * dw) - int(pw);
        bool fits = row >= 0 && row < int(ih) && column >= 0 && column < int(iw);
        for (uint image = 0; image < n && fits; image++)
            sum += READ(first, ((image * ih + uint(row)) * iw + uint(column)) * ci + from) *
                   READ(second, (image * oh * ow + place) * co + to);
    }
    return sum;
}
#endif

void main()
{
#if DIRECTION == 0
    uint count = n * oh * ow * co;
#elif DIRECTION == 1
    uint count = n * ih * iw * ci;
#else
    uint count = kh * kw * ci * co;
#endif
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i < count)
        result[gl_WorkGroupID.z * count + i] = element(i);
}
