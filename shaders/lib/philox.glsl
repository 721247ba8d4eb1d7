// Philox 4x32-10, Salmon et al. 2011: a counter and a key give four independent 32-bit numbers.
// The twin of src/base/philox.c; the same constants, so that both can be tested by the paper's vectors.
uvec4 philox4x32(uvec4 counter, uvec2 key)
{
    for (int round = 0; round < 10; round++) {
        uint high0, low0, high1, low1;
        umulExtended(0xD2511F53u, counter.x, high0, low0);
        umulExtended(0xCD9E8D57u, counter.z, high1, low1);
        counter = uvec4(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
        key += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

// ((x >> 8) + ½) · 2⁻²⁴, in (0, 1]: never 0, so that its logarithm is finite; the greatest one rounds to 1
vec4 uniform_from_bits(uvec4 bits)
{
    return (vec4(bits >> 8) + 0.5) * (1.0 / 16777216.0);
}

// Box and Muller 1958: two pairs of uniform numbers give two pairs of normal ones.
vec4 normal_from_uniform(vec4 u)
{
    const float two_pi = 6.283185307179586;
    vec2 radius = sqrt(max(-2.0 * log(u.xz), vec2(0))); // a driver's logarithm of nearly 1 may be a little more than 0
    vec2 angle = two_pi * u.yw;
    return vec4(radius.x * cos(angle.x), radius.x * sin(angle.x), radius.y * cos(angle.y), radius.y * sin(angle.y));
}
