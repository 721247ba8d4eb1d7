// The counter of a run's steps: count += 1. Grid: one invocation.
#version 450
layout(local_size_x = 1) in;
layout(std430, binding = 0) restrict buffer count_buffer { uint count; };

void main()
{
    count += 1u;
}
