// Convolution, one invocation an output element: the reference of the other families, and what runs where they
// cannot. Formulas, layouts and push constants: lib/conv.glsl. Writes (=) one split's part.
// DIRECTION: 0 forward (x, w → y), 1 input_grad (dy, w → dx), 2 weight_grad (x, dy → dw).
// READ_TEXEL: 1 reads through R32F texel buffers (CPU drivers), 0 through storage buffers.
// Grid: x and y fold the elements; z: split.
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
#if DIRECTION != 2
#define CELL             float
#define CELLS            1
#define EPILOGUE_TEXEL   READ_TEXEL
#define EPILOGUE_BINDING 3
#include "lib/epilogue.glsl"
#endif

// The terms of a sum, counted by three digits, the last one fastest: one loop instead of three, so that a split
// may begin and end anywhere.
struct Counter {
    uint x, y, z;
};

Counter counter_at(uint term, uint y_size, uint z_size)
{
    return Counter(term / z_size / y_size, term / z_size % y_size, term % z_size);
}

void advance(inout Counter at, uint y_size, uint z_size)
{
    at.z++;
    if (at.z == z_size) {
        at.z = 0;
        at.y++;
    }
    if (at.y == y_size) {
        at.y = 0;
        at.x++;
    }
}

// What an element of the result is; place: (n, y, x), in weight_grad (kh, kw, ci).
struct Element {
    uint group, place, channel;
};

bool inside(int row, uint height, int column, uint width)
{
    return row >= 0 && row < int(height) && column >= 0 && column < int(width);
}

#if DIRECTION == 0
float partial_sum(Element e, uint term, uint end) // terms: (kh, kw, ci)
{
    const uint x = e.place % ow, y = e.place / ow % oh, image = e.place / ow / oh;
    const uint first_base = e.group * x_group, second_base = e.group * w_group + e.channel;
    Counter at = counter_at(term, kw, ci);
    float sum = 0;
    for (; term < end; term++) {
        int row = int(y * sh + at.x * dh) - int(ph), column = int(x * sw + at.y * dw) - int(pw);
        if (inside(row, ih, column, iw))
            sum += READ(first, first_base + ((image * ih + uint(row)) * iw + uint(column)) * x_pitch + at.z) *
                   READ(second, second_base + term * w_pitch);
        advance(at, kw, ci);
    }
    return sum;
}
#elif DIRECTION == 1
float partial_sum(Element e, uint term, uint end) // terms: (kh, kw, co)
{
    const uint x = e.place % iw, y = e.place / iw % ih, image = e.place / iw / ih;
    const uint first_base = e.group * y_group, second_base = e.group * w_group;
    Counter at = counter_at(term, kw, co);
    float sum = 0;
    for (; term < end; term++) {
        int row = int(y + ph) - int(at.x * dh), column = int(x + pw) - int(at.y * dw); // stride times those of dy
        if (inside(row, oh * sh, column, ow * sw) && uint(row) % sh == 0 && uint(column) % sw == 0)
            sum += READ(first, first_base + ((image * oh + uint(row) / sh) * ow + uint(column) / sw) * y_pitch + at.z) *
                   READ(second, second_base + ((at.x * kw + at.y) * ci + e.channel) * w_pitch + at.z);
        advance(at, kw, co);
    }
    return sum;
}
#else
float partial_sum(Element e, uint term, uint end) // terms: (n, oh, ow)
{
    const uint from = e.place % ci, kx = e.place / ci % kw, ky = e.place / ci / kw;
    const uint first_base = e.group * x_group + from, second_base = e.group * y_group + e.channel;
    Counter at = counter_at(term, oh, ow);
    float sum = 0;
    for (; term < end; term++) {
        int row = int(at.y * sh + ky * dh) - int(ph), column = int(at.z * sw + kx * dw) - int(pw);
        if (inside(row, ih, column, iw))
            sum += READ(first, first_base + ((at.x * ih + uint(row)) * iw + uint(column)) * x_pitch) *
                   READ(second, second_base + term * y_pitch);
        advance(at, oh, ow);
    }
    return sum;
}
#endif

void main()
{
#if DIRECTION == 0
    const uint places = n * oh * ow, channels = co, pitch = y_pitch, terms = kh * kw * ci;
#elif DIRECTION == 1
    const uint places = n * ih * iw, channels = ci, pitch = x_pitch, terms = kh * kw * co;
#else
    const uint places = kh * kw * ci, channels = co, pitch = w_pitch, terms = n * oh * ow;
#endif
    const uint count = groups * places * channels;
    uint i = folded_workgroup() * gl_WorkGroupSize.x + gl_LocalInvocationID.x, begin = gl_WorkGroupID.z * chunk;
    // one of the two quotients is 0: groups lie side by side, or one by one
    Element e = Element(i % pitch / channels + i / pitch / places, i / pitch % places, i % channels);
    if (i >= count)
        return;
    float sum = partial_sum(e, begin, min(begin + chunk, terms));
#if DIRECTION != 2
    float bias, step;
    read_bias(e.channel, bias);
    read_step(i, step);
    sum = finished(sum, bias, step);
#endif
    result[gl_WorkGroupID.z * count + i] = sum;
}
