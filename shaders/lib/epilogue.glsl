// What a kernel does with an element of a convolution's result before it writes it: it adds a bias, applies a leaky ReLU,
// multiplies by the slope of one (in the gradient, what an activation does to it). What is done is known when the pipeline
// is made, so that what is not costs nothing. The twin of src/kernels/epilogue.h.
// May be included once for each CELLS. To be defined before: CELL, a float, or a vec4 where CELLS is 4; EPILOGUE_BINDING of the
// bias, and the tensor that decides the slopes is the next one; EPILOGUE_TEXEL, 1 where they are read through texel buffers; float
// slope and step_slope.
#ifndef EPILOGUE_BIAS
layout(constant_id = 1) const uint EPILOGUE = 0;
#define EPILOGUE_BIAS       1
#define EPILOGUE_ACTIVATION 2
#define EPILOGUE_STEP       4
#define EPILOGUE_MOMENTS    8 // of every column of a tile: conv_tiled.comp, conv_coopmat.comp, finish_parts.comp
#define EPILOGUE_COPY       16 // as halves: the last two of these;
#define EPILOGUE_ONLY_COPY  32 // and nothing else is written
#define EPILOGUE_HALF_STEP  64 // what decides the slopes is halves: they, too
#define JOIN_NAMES(a, b)    a##b
#define OF_CELLS(name, n)   JOIN_NAMES(name, n)
#endif
#define BIASES OF_CELLS(biases, CELLS)
#define STEPS  OF_CELLS(steps, CELLS)

#if EPILOGUE_TEXEL
layout(binding = EPILOGUE_BINDING) uniform samplerBuffer BIASES;
layout(binding = EPILOGUE_BINDING + 1) uniform samplerBuffer STEPS;
#else
layout(std430, binding = EPILOGUE_BINDING) readonly buffer OF_CELLS(biases_buffer, CELLS) { CELL BIASES[]; };
layout(std430, binding = EPILOGUE_BINDING + 1) readonly buffer OF_CELLS(steps_buffer, CELLS) { CELL STEPS[]; };
#endif
#undef READ_CELL
#undef WHERE_NEGATIVE
#if !EPILOGUE_TEXEL
#define READ_CELL(tensor, i) tensor[i]
#elif CELLS == 4
#define READ_CELL(tensor, i) texelFetch(tensor, int(i))
#else
#define READ_CELL(tensor, i) texelFetch(tensor, int(i)).x
#endif
#if CELLS == 4
#define WHERE_NEGATIVE(a, yes, no) mix(no, yes, lessThan(a, vec4(0)))
#else
#define WHERE_NEGATIVE(a, yes, no) ((a) < 0.0 ? (yes) : (no))
#endif

// The bias of a column, or of four.
void read_bias(uint column, out CELL bias)
{
    bias = CELL(0);
    if ((EPILOGUE & EPILOGUE_BIAS) != 0)
        bias = READ_CELL(BIASES, column);
}

// What decides the slope of the result's element of that index, or of four.
void read_step(uint index, out CELL step)
{
    step = CELL(0);
    if ((EPILOGUE & EPILOGUE_STEP) != 0)
        step = READ_CELL(STEPS, index);
}

// The result's element, or four. The formulas, also for what is no number, are those of lib/pointwise.glsl.
CELL finished(CELL sum, CELL bias, CELL step)
{
    if ((EPILOGUE & EPILOGUE_BIAS) != 0)
        sum += bias;
    if ((EPILOGUE & EPILOGUE_ACTIVATION) != 0)
        sum = WHERE_NEGATIVE(sum, slope == 0 ? CELL(0) : slope * sum, sum);
    if ((EPILOGUE & EPILOGUE_STEP) != 0)
        sum *= WHERE_NEGATIVE(-step, CELL(1), CELL(step_slope));
    return sum;
}
