// What kernels that write halves (BFLOAT: 0 float16, 1 bfloat16) do of an epilogue, beside lib/epilogue.glsl, which is to be included
// before with cells of four.
layout(std430, binding = EPILOGUE_BINDING + 1) readonly buffer half_steps_buffer { uvec2 half_steps[]; };
#include "lib/halves.glsl"

// What decides the slopes of four elements of the result, floats or halves.
void read_any_step(uint four, out vec4 step)
{
    if ((EPILOGUE & EPILOGUE_HALF_STEP) != 0)
        step = HALVES_OF(half_steps[four]);
    else
        read_step(four, step);
}
