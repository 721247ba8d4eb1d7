// What the two kernels of Adam share. 1 − βᵗ is kept as c ← β·c + (1 − β), which loses no digits at small t,
// where 1 − pow(β, t) would lose most of them.
layout(push_constant) uniform push_constants
{
    uint count; // vec4
    float beta1, beta2, epsilon;
};

vec2 next_corrections(vec2 corrections)
{
    vec2 beta = vec2(beta1, beta2);
    return beta * corrections + (1.0 - beta);
}

// 1/scale of a power of two from 2⁻¹²⁶ to 2¹²⁶, by its exponent: a division may be off by 2.5 units in the last place.
float reciprocal_of_power(float scale)
{
    return uintBitsToFloat(0x7f000000u - floatBitsToUint(scale));
}
