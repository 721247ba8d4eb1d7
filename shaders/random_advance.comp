// The step counter of random numbers: step += 1, 64 bits wide. Grid: one invocation.
#version 450
layout(local_size_x = 1) in;
layout(std430, binding = 0) restrict buffer state_buffer { uint seed_low, seed_high, step_low, step_high; };

void main()
{
    uint carry;
    step_low = uaddCarry(step_low, 1u, carry);
    step_high += carry;
}
