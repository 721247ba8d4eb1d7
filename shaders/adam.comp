// Adam (Kingma and Ba 2015) over a block of parameters, gradients and moments that are laid out alike:
//   m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,  p ← p − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
// In place; each invocation reads and writes its own four elements. Grid: one invocation a vec4, folded over y.
// SCALED: gradients are those of a loss times a power of two, and are divided by it; a scale of 0 changes nothing.
// READ_TEXEL: 1 reads through texel buffers (CPU drivers), 0 through storage buffers.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/adam.glsl"

layout(local_size_x_id = 0) in;
layout(std430, binding = 1) restrict readonly buffer lr_buffer { float lr; };
layout(std430, binding = 2) restrict readonly buffer corrections_buffer { vec2 corrections; };
#if READ_TEXEL
layout(binding = 0) uniform samplerBuffer gradient;
layout(binding = 3) uniform samplerBuffer parameter_in;
layout(binding = 4) uniform samplerBuffer first_in;
layout(binding = 5) uniform samplerBuffer second_in;
#define READ(tensor, i) texelFetch(tensor, int(i))
#else
layout(std430, binding = 0) readonly buffer gradient_buffer { vec4 gradient[]; };
layout(std430, binding = 3) readonly buffer parameter_in_buffer { vec4 parameter_in[]; };
layout(std430, binding = 4) readonly buffer first_in_buffer { vec4 first_in[]; };
layout(std430, binding = 5) readonly buffer second_in_buffer { vec4 second_in[]; };
#define READ(tensor, i) tensor[i]
#endif
layout(std430, binding = 6) writeonly buffer parameter_buffer { vec4 parameter[]; };
layout(std430, binding = 7) writeonly buffer first_buffer { vec4 first[]; };
layout(std430, binding = 8) writeonly buffer second_buffer { vec4 second[]; };
#ifdef SCALED
layout(std430, binding = 9) restrict readonly buffer scale_buffer { float loss_scale; };
#endif

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= count)
        return;
    vec4 g = READ(gradient, i);
#ifdef SCALED
    if (loss_scale == 0.0)
        return;
    g *= reciprocal_of_power(loss_scale);
#endif
    vec4 m = beta1 * READ(first_in, i) + (1.0 - beta1) * g;
    vec4 v = beta2 * READ(second_in, i) + (1.0 - beta2) * g * g;
    vec2 correction = next_corrections(corrections);
    vec4 denominator = sqrt(v) / sqrt(correction.y) + epsilon;
    parameter[i] = READ(parameter_in, i) - (lr / correction.x) * m / denominator;
    first[i] = m;
    second[i] = v;
}
