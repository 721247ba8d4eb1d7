// The convolution problem, channels last. The twin of struct conv_push in src/kernels/convolution.h.
//   forward      y[n,oh,ow,co]   = Σ x[n, oh·sh − ph + kh·dh, ow·sw − pw + kw·dw, ci] · w[kh,kw,ci,co]
//   input_grad   dx[n,ih,iw,ci]  = Σ dy[n,oh,ow,co] · w[kh,kw,ci,co]   over the same pairs of places
//   weight_grad  dw[kh,kw,ci,co] = Σ x · dy
// for each of `groups`, of which ci and co are the channels; where they lie: src/kernels/convolution_problem.h.
// Kernels that know them when the pipeline is made, so that places cost no divisions, define FIRST_CONSTANT: constants from there on.
//   chunk                        terms of the sum that one split adds up: (kh, kw, channel), in weight_grad (n, oh, ow)
//   split                        splits; their results lie one after the other
//   lane_columns                 texel kernels: so many lanes, a power of two, lie side by side over the columns;
//   lane_splits                  so many, a power of two, take splits of their own; the others lie one below the other
//   blocks                       workgroups of one group; those of the next one follow
//   x_group, w_group, y_group    elements from one group to the next
//   x_pitch, w_pitch, y_pitch    elements from one place to the next; of w, from one ci to the next
#define EACH_SIZE(DO)                                                                                                  \
    DO(0, n) DO(1, ih) DO(2, iw) DO(3, ci) DO(4, oh) DO(5, ow) DO(6, co) DO(7, kh) DO(8, kw)                           \
    DO(9, sh) DO(10, sw) DO(11, ph) DO(12, pw) DO(13, dh) DO(14, dw) DO(15, groups) DO(16, batched)                    \
    DO(17, chunk) DO(18, split) DO(19, lane_columns) DO(20, lane_splits) DO(21, blocks)                                \
    DO(22, x_group) DO(23, w_group) DO(24, y_group) DO(25, x_pitch) DO(26, w_pitch) DO(27, y_pitch)
#ifdef FIRST_CONSTANT
#define CONSTANT(i, name) layout(constant_id = FIRST_CONSTANT + i) const uint name = 1;
EACH_SIZE(CONSTANT)
#else
#define PUSHED(i, name) uint name;
#endif
layout(push_constant) uniform push_constants
{
#ifdef FIRST_CONSTANT
    layout(offset = 112) float slope; // behind the 28 sizes
#else
    EACH_SIZE(PUSHED)
    float slope;
#endif
    float step_slope; // lib/epilogue.glsl
};

// The workgroup's place in a one-dimensional grid that is folded over y.
uint folded_workgroup()
{
    return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}

// Along one dimension, the taps that meet an output place all lie `period` apart; those of input_grad are fewer
// than the kernel has where the stride is larger than 1.
struct Taps {
    int first, period, count; // tap j is kernel row first + j · period
    int step;                 // how far one tap moves the place that is read
};

// forward: every tap, and each moves by the dilation
Taps taps_forward(uint kernel, uint dilation)
{
    return Taps(0, 1, int(kernel), int(dilation));
}

int greatest_common_divisor(int a, int b)
{
    while (b != 0) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// input_grad: the taps k with (place + pad − k · dilation) divisible by the stride
Taps taps_input_grad(int place, int kernel, int stride, int pad, int dilation)
{
    int period = stride, first = (place + pad) % stride;
    if (dilation != 1) {
        period = stride / greatest_common_divisor(stride, dilation);
        first = 0;
        while (first < period && abs(place + pad - first * dilation) % stride != 0)
            first++;
    }
    int count = first < period && first < kernel ? (kernel - first + period - 1) / period : 0;
    return Taps(first, period, count, -(period * dilation / stride));
}

// Division rounded up, for any a and positive b.
int divide_up(int a, int b)
{
    return a > 0 ? (a + b - 1) / b : -((-a) / b);
}

// The first tap that any place in [low, high] can use, and the one behind the last, with places in [0, limit).
ivec2 tap_range(Taps taps, int low, int high, int limit)
{
    int first = taps.step > 0 ? divide_up(-high, taps.step) : divide_up(low - limit + 1, -taps.step);
    int last = taps.step > 0 ? (limit - 1 - low) / taps.step : high / -taps.step;
    if (high < 0 && taps.step < 0 || low >= limit && taps.step > 0)
        return ivec2(0);
    return ivec2(max(first, 0), min(last + 1, taps.count));
}
