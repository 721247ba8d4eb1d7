// Halves (BFLOAT: 0 float16, 1 bfloat16) in words, of four floats and back, and the functions of lib/pointwise.glsl for fours.
#define VECTOR 1
#include "lib/pointwise.glsl"
#if BFLOAT // conversions of drivers may cut, these round
#define HALVES_FROM(a) bfloat16s_from(round_to_bfloat16(a))
#define HALVES_OF(words) bfloat16s_of(words)
#else
#define HALVES_FROM(a) float16s_from(a)
#define HALVES_OF(words) float16s_of(words)
#endif
