// What kernels that write halves (BFLOAT: 0 float16, 1 bfloat16) do of an epilogue, beside lib/epilogue.glsl, which is to be included
// before with cells of four.
layout(std430, binding = EPILOGUE_BINDING + 1) readonly buffer half_steps_buffer { uvec2 half_steps[]; };
#define VECTOR 1
#include "lib/pointwise.glsl"
#if BFLOAT // conversions of drivers may cut, these round
#define HALVES_FROM(a) bfloat16s_from(round_to_bfloat16(a))
#define HALVES_OF(words) bfloat16s_of(words)
#else
#define HALVES_FROM(a) float16s_from(a)
#define HALVES_OF(words) float16s_of(words)
#endif

// What decides the slopes of four elements of the result, floats or halves.
void read_any_step(uint four, out vec4 step)
{
    if ((EPILOGUE & EPILOGUE_HALF_STEP) != 0)
        step = HALVES_OF(half_steps[four]);
    else
        read_step(four, step);
}
