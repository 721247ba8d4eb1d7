// What an optimiser's two kernels share. The twin of struct optimizer_push in src/ops/optimizer_kernel.c.
layout(push_constant) uniform push_constants
{
    uint count;         // vec4
    float beta1, beta2; // of the first and the second moment: momentum and α of the optimisers that call them so
    float epsilon;
    float weight_decay;   // added to gradients
    float parameter_decay; // of parameters themselves, times lr
    float clip_value, clip_parameters; // 0: none
};

// 1 − βᵗ is kept as c ← β·c + (1 − β), which loses no digits at small t, where 1 − pow(β, t) would lose most of them.
vec2 next_corrections(vec2 corrections)
{
    vec2 beta = vec2(beta1, beta2);
    return beta * corrections + (1.0 - beta);
}
