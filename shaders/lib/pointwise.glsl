// What generated kernels are made of. T is float, or vec4 where VECTOR is 1.
#if VECTOR
#define T vec4
#define SELECT(condition, yes, no) mix(no, yes, condition)
#define LESS(a, b) lessThan(a, b)
#define EQUAL(a, b) equal(a, b)
#define WORDS uvec4
#else
#define T float
#define SELECT(condition, yes, no) ((condition) ? (yes) : (no))
#define LESS(a, b) ((a) < (b))
#define EQUAL(a, b) ((a) == (b))
#define WORDS uint
#endif
#define WHERE_LESS(a, limit, yes, no) SELECT(LESS(a, T(limit)), yes, no)
// x, but a where that is a NaN: by the bits, as drivers may take it that no number is one.
#define WHERE_NUMBER(a, x) SELECT(LESS(floatBitsToUint(a) & 0x7fffffffu, WORDS(0x7f800001u)), x, a)

// Elements smaller than a word, out of the word that holds them.
float byte_of(uint word, int i)
{
    return float(word >> (i & 3) * 8 & 255u);
}

float float16_of(uint word, int i)
{
    return unpackHalf2x16(word)[i & 1];
}

float bfloat16_of(uint word, int i)
{
    return uintBitsToFloat((i & 1) == 0 ? word << 16 : word & 0xffff0000u);
}

vec4 bytes_of(uint word)
{
    return vec4(uvec4(word, word >> 8, word >> 16, word >> 24) & 255u);
}

vec4 float16s_of(uvec2 words)
{
    return vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
}

vec4 bfloat16s_of(uvec2 words)
{
    return uintBitsToFloat(uvec4(words.x << 16, words.x & 0xffff0000u, words.y << 16, words.y & 0xffff0000u));
}

// And into words. Values are rounded already.
uint bytes_from(vec4 a)
{
    uvec4 bytes = uvec4(a);
    return bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24;
}

// To the nearest, ties to even. packHalf2x16 may round in any direction, and does.
uint float16_bits(float a)
{
    uint bits = floatBitsToUint(a), size = bits & 0x7fffffffu, result;
    if (size > 0x7f800000u)
        result = 0x7e00u; // NaN
    else if (size >= 0x477ff000u)
        result = 0x7c00u; // what rounds beyond the greatest half is infinite
    else if (size < 0x38800000u)
        result = floatBitsToUint(uintBitsToFloat(size) + 0.5) - 0x3f000000u; // subnormal: the sum rounds to 2^-24
    else
        result = (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13;
    return bits >> 16 & 0x8000u | result;
}

uvec2 float16s_from(vec4 a)
{
    return uvec2(float16_bits(a.x) | float16_bits(a.y) << 16, float16_bits(a.z) | float16_bits(a.w) << 16);
}

uint bfloat16_bits(float a)
{
    return floatBitsToUint(a) >> 16;
}

uvec2 bfloat16s_from(vec4 a)
{
    uvec4 bits = floatBitsToUint(a);
    return uvec2(bits.x >> 16 | bits.y & 0xffff0000u, bits.z >> 16 | bits.w & 0xffff0000u);
}

// Selections, not max and min: those may turn a NaN into a number, and hide that training has broken down. A selection of constants
// may become one of them.
T relu(T a)
{
    return WHERE_NUMBER(a, WHERE_LESS(a, 0.0, T(0), a));
}

T leaky_relu(T a, T slope)
{
    return WHERE_NUMBER(a, WHERE_LESS(a, 0.0, slope * a, a));
}

// The greater and the lesser one; a NaN wins.
T maximum(T a, T b)
{
    return WHERE_NUMBER(a, WHERE_NUMBER(b, SELECT(LESS(a, b), b, a)));
}

T minimum(T a, T b)
{
    return WHERE_NUMBER(a, WHERE_NUMBER(b, SELECT(LESS(b, a), b, a)));
}

T limit(T a, T low, T high)
{
    return WHERE_NUMBER(a, SELECT(LESS(a, low), low, SELECT(LESS(high, a), high, a)));
}

// Comparisons and selection by numbers: 1 is true, 0 is not.
T is_less(T a, T b)
{
    return SELECT(LESS(a, b), T(1), T(0));
}

T is_equal(T a, T b)
{
    return SELECT(EQUAL(a, b), T(1), T(0));
}

// By the bits: drivers may take it that no number is infinite or NaN. An exponent of ones carries into the top bit.
T is_not_finite(T a)
{
    return T((floatBitsToUint(a) & 0x7f800000u) + 0x00800000u >> 31);
}

// 1/a of a power of two from 2⁻¹²⁶ to 2¹²⁶.
T reciprocal_of_power(T a)
{
    return uintBitsToFloat(0x7f000000u - floatBitsToUint(a));
}

T is_within(T a, T low, T high)
{
    return SELECT(LESS(a, low), T(0), SELECT(LESS(high, a), T(0), T(1)));
}

T where(T condition, T a, T b)
{
    return SELECT(EQUAL(condition, T(0)), b, a);
}

// a > 0 ? 1 : slope
T leaky_step(T a, T slope)
{
    return WHERE_LESS(-a, 0.0, T(1), slope);
}

// eᵃ and log a: the driver's own are good enough (a few units in the last place) wherever they were measured, but
// SwiftShader's make numbers of a NaN.
T precise_exp(T a)
{
    return WHERE_NUMBER(a, exp(a));
}

T precise_log(T a)
{
    return WHERE_NUMBER(a, log(a));
}

// Drivers build tanh from exponentials, which overflows at large |a| and loses its digits at small ones.
T precise_tanh(T a)
{
    T e = exp(2.0 * limit(a, T(-10), T(10)));
    T s = a * a;
    T series = a * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
    return WHERE_NUMBER(a, WHERE_LESS(abs(a), 0.3, series, (e - 1.0) / (e + 1.0)));
}

T sigmoid(T a)
{
    T e = precise_exp(-abs(a));
    T r = 1.0 / (1.0 + e);
    return WHERE_LESS(a, 0.0, e * r, r);
}

// log(1 + a) = 2 artanh(a/(2 + a)); the series where 1 + a would round much of a away
T log_of_one_plus(T a)
{
    T z = a / (2.0 + a), s = z * z;
    T series = 2.0 * z * (1.0 + s * (1.0 / 3.0 + s * (1.0 / 5.0 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s * (1.0 / 11.0))))));
    return WHERE_LESS(abs(a), 0.4, series, precise_log(1.0 + a));
}

T softplus(T a)
{
    return relu(a) + log_of_one_plus(precise_exp(-abs(a)));
}

// eᵃ − 1; the series where eᵃ would round a away
T exp_minus_one(T a)
{
    T series = a * (1.0 + a * (0.5 + a * (1.0 / 6.0 + a * (1.0 / 24.0 + a * (1.0 / 120.0 + a * (1.0 / 720.0 +
                    a * (1.0 / 5040.0)))))));
    return WHERE_LESS(abs(a), 0.3, series, precise_exp(a) - 1.0);
}

T elu(T a, T alpha)
{
    return SELECT(LESS(T(0), a), a, alpha * exp_minus_one(a));
}

// The slope of elu, and with 0 above zero the slope of that.
T elu_slope(T a, T alpha, T above)
{
    return SELECT(LESS(T(0), a), above, alpha * precise_exp(a));
}

// sin r for |r| ≤ π/2
T sine_series(T r)
{
    T s = r * r;
    return r * (1.0 + s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0 +
           s * (-1.0 / 39916800.0))))));
}

// a − turns · π, π as a sum of three numbers of which the first ones have few digits (Cody and Waite 1980)
T minus_half_turns(T a, T turns)
{
    return ((a - turns * 3.140625) - turns * 9.670257568359375e-4) - turns * 6.2783293e-7;
}

T sign_of_half_turns(T turns)
{
    return 1.0 - 2.0 * (turns - 2.0 * floor(turns * 0.5));
}

// Drivers may be off by 2⁻¹¹ in sin and cos; these are good to the last digits for |a| up to some thousands.
T precise_sin(T a)
{
    T turns = floor(a * 0.3183098861837907 + 0.5);
    return sign_of_half_turns(turns) * sine_series(minus_half_turns(a, turns));
}

T precise_cos(T a)
{
    T turns = floor(a * 0.3183098861837907);
    return -sign_of_half_turns(turns) * sine_series(minus_half_turns(a, turns + 0.5));
}

// The error function: its series near zero, further out Abramowitz and Stegun 1964, 7.1.26 (off by 1.5e-7 at most).
T error_function(T a)
{
    T s = a * a, x = abs(a);
    T series = 1.1283791670955126 * a * (1.0 + s * (-1.0 / 3.0 + s * (0.1 + s * (-1.0 / 42.0 + s * (1.0 / 216.0 +
               s * (-1.0 / 1320.0))))));
    T t = 1.0 / (1.0 + 0.3275911 * x);
    T rest = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    T value = 1.0 - rest * precise_exp(-s);
    return WHERE_LESS(x, 0.6, series, SELECT(LESS(a, T(0)), -value, value));
}

// The inverse of the error function: Giles 2010, the single-precision approximation.
T inverse_error_function(T a)
{
    T w = -precise_log((1.0 - a) * (1.0 + a)), n = w - 2.5, f = sqrt(w) - 3.0;
    T near = 1.50140941 + n * (0.246640727 + n * (-0.00417768164 + n * (-0.00125372503 + n * (0.00021858087 +
             n * (-4.39150654e-6 + n * (-3.5233877e-6 + n * (3.43273939e-7 + n * 2.81022636e-8)))))));
    T far = 2.83297682 + f * (1.00167406 + f * (0.00943887047 + f * (-0.0076224613 + f * (0.00573950773 +
            f * (-0.00367342844 + f * (0.00134934322 + f * (0.000100950558 + f * -0.000200214257)))))));
    return a * WHERE_LESS(w, 5.0, near, far);
}

// aᵇ: of a negative a for whole b only, a⁰ is 1
T power(T a, T b)
{
    T size = precise_exp(b * precise_log(abs(a)));
    T odd = b - 2.0 * floor(b * 0.5);
    T below = SELECT(EQUAL(b, floor(b)), size * (1.0 - 2.0 * odd), T(uintBitsToFloat(0x7fc00000u)));
    T value = SELECT(LESS(a, T(0)), below, size);
    T zero = SELECT(LESS(T(0), b), T(0), T(uintBitsToFloat(0x7f800000u)));
    return SELECT(EQUAL(b, T(0)), T(1), SELECT(EQUAL(a, T(0)), zero, value));
}

// Numbers as a smaller type would hold them.
T round_to_float16(T a)
{
#if VECTOR
    return float16s_of(float16s_from(a));
#else
    return unpackHalf2x16(float16_bits(a)).x;
#endif
}

// to the nearest, ties to even; a NaN stays one
T round_to_bfloat16(T a)
{
#if VECTOR
    uvec4 bits = floatBitsToUint(a);
#else
    uint bits = floatBitsToUint(a);
#endif
    bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
    return WHERE_NUMBER(a, uintBitsToFloat(bits));
}
