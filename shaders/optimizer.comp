// One step of an optimiser over a block of parameters, gradients and moments that are laid out alike:
//   g = factor·gradient, within ±clip_value, + weight_decay·p,   p ← p − lr·parameter_decay·p, and then
//   ADAM     m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,  p ← p − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
//   RMSPROP  v ← β₂·v + (1 − β₂)·g²,  u = g/(√v + ε),  p ← p − lr·u
//   SGD      u = g,  p ← p − lr·u
// where momentum, FIRST, makes of the last two  m ← β₁·m + u,  p ← p − lr·m.  At last p is kept within ±clip_parameters.
// A factor of 0 changes nothing. In place; each invocation reads and writes its own four elements. FIRST, SECOND: there
// are such moments. Grid: one invocation a vec4, folded over y.
// READ_TEXEL: 1 reads through texel buffers (CPU drivers), 0 through storage buffers.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lib/optimizer.glsl"

layout(local_size_x_id = 0) in;
// What else there is to do. Known when the pipeline is made: as tests at run time these cost lavapipe a sixth of Adam's time.
layout(constant_id = 1) const bool SCALES = true; // by the factor
layout(constant_id = 2) const bool CLIPS = true;  // gradients or parameters
layout(constant_id = 3) const bool DECAYS = true; // either way
layout(std430, binding = 1) restrict readonly buffer lr_buffer { float lr; };
layout(std430, binding = 2) restrict readonly buffer factor_buffer { float factor; };
#if READ_TEXEL
#define INPUT(name, at) layout(binding = at) uniform samplerBuffer name;
#define READ(name, i) texelFetch(name, int(i))
#else
#define INPUT(name, at) layout(std430, binding = at) readonly buffer name##_buffer { vec4 name[]; };
#define READ(name, i) name[i]
#endif
#define OUTPUT(name, at) layout(std430, binding = at) writeonly buffer name##_buffer { vec4 name[]; };

INPUT(gradient, 0)
INPUT(parameter_in, 3)
OUTPUT(parameter, 4)
#if FIRST
INPUT(first_in, 5)
OUTPUT(first, 6)
#endif
#if SECOND
INPUT(second_in, 5 + 2 * FIRST)
OUTPUT(second, 6 + 2 * FIRST)
#endif
#ifdef ADAM
layout(std430, binding = 9) restrict readonly buffer corrections_buffer { vec2 corrections; };
#endif

// Keeps within ±limit what is a number.
vec4 clip(vec4 x, float limit)
{
    return mix(x, clamp(x, -limit, limit), greaterThan(abs(x), vec4(limit)));
}

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= count || (SCALES && factor == 0.0))
        return;
    vec4 g = READ(gradient, i), p = READ(parameter_in, i);
    if (SCALES)
        g *= factor;
    if (CLIPS && clip_value > 0.0)
        g = clip(g, clip_value);
    if (DECAYS) {
        g += weight_decay * p;
        p -= lr * parameter_decay * p;
    }
#if SECOND
    vec4 v = beta2 * READ(second_in, i) + (1.0 - beta2) * g * g;
    second[i] = v;
#endif
#ifdef ADAM
    vec4 m = beta1 * READ(first_in, i) + (1.0 - beta1) * g;
    vec2 correction = next_corrections(corrections);
    p -= (lr / correction.x) * m / (sqrt(v) / sqrt(correction.y) + epsilon);
#else
#if SECOND
    vec4 m = g / (sqrt(v) + epsilon);
#else
    vec4 m = g;
#endif
#if FIRST
    m += beta1 * READ(first_in, i);
#endif
    p -= lr * m;
#endif
#if FIRST
    first[i] = m;
#endif
    if (CLIPS && clip_parameters > 0.0)
        p = clip(p, clip_parameters);
    parameter[i] = p;
}
