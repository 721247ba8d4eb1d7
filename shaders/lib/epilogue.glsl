// What a kernel does with an element of a convolution's result before it writes it: it adds a bias, applies a leaky ReLU,
// multiplies by the slope of one (in the gradient, what an activation does to it). What is done is known when the pipeline
// is made, so that what is not costs nothing. The twin of src/kernels/epilogue.h.
// To be defined before: CELL, a float, or a vec4 where CELLS is 4; EPILOGUE_BINDING of the bias, and the tensor that decides
// the slopes is the next one; EPILOGUE_TEXEL, 1 where they are read through texel buffers; float slope and step_slope.
layout(constant_id = 1) const uint EPILOGUE = 0;
const uint EPILOGUE_BIAS = 1, EPILOGUE_ACTIVATION = 2, EPILOGUE_STEP = 4;
const uint EPILOGUE_MOMENTS = 8; // of every column of a tile: conv_tiled.comp

#if EPILOGUE_TEXEL
layout(binding = EPILOGUE_BINDING) uniform samplerBuffer biases;
layout(binding = EPILOGUE_BINDING + 1) uniform samplerBuffer steps;
#else
layout(std430, binding = EPILOGUE_BINDING) readonly buffer biases_buffer { CELL biases[]; };
layout(std430, binding = EPILOGUE_BINDING + 1) readonly buffer steps_buffer { CELL steps[]; };
#endif
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

// The bias of a column.
CELL bias_of(uint column)
{
    CELL bias = CELL(0);
    if ((EPILOGUE & EPILOGUE_BIAS) != 0)
        bias = READ_CELL(biases, column);
    return bias;
}

// The result's element of that index. The formulas, also for what is no number, are those of lib/pointwise.glsl.
CELL finished(CELL sum, CELL bias, uint index)
{
    if ((EPILOGUE & EPILOGUE_BIAS) != 0)
        sum += bias;
    if ((EPILOGUE & EPILOGUE_ACTIVATION) != 0)
        sum = WHERE_NEGATIVE(sum, slope == 0 ? CELL(0) : slope * sum, sum);
    if ((EPILOGUE & EPILOGUE_STEP) != 0) {
        const CELL decides = READ_CELL(steps, index);
        sum *= WHERE_NEGATIVE(-decides, CELL(1), CELL(step_slope));
    }
    return sum;
}
