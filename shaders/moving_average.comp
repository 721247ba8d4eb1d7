// A moving average of a block of tensors that is laid out like it:  a ← x + β·(a − x). 
// In place; each invocation reads and writes its own four elements. Grid: one invocation a vec4, folded over y.
// READ_TEXEL as in optimizer.comp.
#version 450
layout(push_constant) uniform push_constants { uint count; }; // vec4
layout(local_size_x_id = 0) in;
#if READ_TEXEL
layout(binding = 0) uniform samplerBuffer x;
layout(binding = 1) uniform samplerBuffer average_in;
#define READ(name, i) texelFetch(name, int(i))
#else
layout(std430, binding = 0) readonly buffer x_buffer { vec4 x[]; };
layout(std430, binding = 1) readonly buffer average_in_buffer { vec4 average_in[]; };
#define READ(name, i) name[i]
#endif
layout(std430, binding = 2) writeonly buffer average_buffer { vec4 average[]; };
layout(std430, binding = 3) restrict readonly buffer beta_buffer { float beta; };

void main()
{
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= count)
        return;
    vec4 now = READ(x, i);
    average[i] = beta == 0.0 ? now : now + beta * (READ(average_in, i) - now); // what is only copied may follow a NaN
}
