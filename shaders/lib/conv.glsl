// The convolution problem, channels last. The twin of struct conv_push in src/kernels/convolution.h.
//   forward      y[n,oh,ow,co]   = Σ x[n, oh·sh − ph + kh·dh, ow·sw − pw + kw·dw, ci] · w[kh,kw,ci,co]
//   input_grad   dx[n,ih,iw,ci]  = Σ dy[n,oh,ow,co] · w[kh,kw,ci,co]   over the same pairs of places
//   weight_grad  dw[kh,kw,ci,co] = Σ x · dy
// for each of `groups`, of which ci and co are the channels; where they lie: src/kernels/convolution_problem.h.
#ifdef FIRST_CONSTANT // what is pushed below, known when the pipeline is made: places cost no divisions then
layout(constant_id = FIRST_CONSTANT + 0) const uint n = 1;
layout(constant_id = FIRST_CONSTANT + 1) const uint ih = 1;
layout(constant_id = FIRST_CONSTANT + 2) const uint iw = 1;
layout(constant_id = FIRST_CONSTANT + 3) const uint ci = 1;
layout(constant_id = FIRST_CONSTANT + 4) const uint oh = 1;
layout(constant_id = FIRST_CONSTANT + 5) const uint ow = 1;
layout(constant_id = FIRST_CONSTANT + 6) const uint co = 1;
layout(constant_id = FIRST_CONSTANT + 7) const uint kh = 1;
layout(constant_id = FIRST_CONSTANT + 8) const uint kw = 1;
layout(constant_id = FIRST_CONSTANT + 9) const uint sh = 1;
layout(constant_id = FIRST_CONSTANT + 10) const uint sw = 1;
layout(constant_id = FIRST_CONSTANT + 11) const uint ph = 1;
layout(constant_id = FIRST_CONSTANT + 12) const uint pw = 1;
layout(constant_id = FIRST_CONSTANT + 13) const uint dh = 1;
layout(constant_id = FIRST_CONSTANT + 14) const uint dw = 1;
layout(constant_id = FIRST_CONSTANT + 15) const uint groups = 1;
layout(constant_id = FIRST_CONSTANT + 16) const uint batched = 1;
layout(constant_id = FIRST_CONSTANT + 17) const uint chunk = 1;
layout(constant_id = FIRST_CONSTANT + 18) const uint split = 1;
layout(constant_id = FIRST_CONSTANT + 19) const uint lane_columns = 1;
layout(constant_id = FIRST_CONSTANT + 20) const uint lane_splits = 1;
layout(constant_id = FIRST_CONSTANT + 21) const uint blocks = 1;
layout(constant_id = FIRST_CONSTANT + 22) const uint x_group = 1;
layout(constant_id = FIRST_CONSTANT + 23) const uint w_group = 1;
layout(constant_id = FIRST_CONSTANT + 24) const uint y_group = 1;
layout(constant_id = FIRST_CONSTANT + 25) const uint x_pitch = 1;
layout(constant_id = FIRST_CONSTANT + 26) const uint w_pitch = 1;
layout(constant_id = FIRST_CONSTANT + 27) const uint y_pitch = 1;
layout(push_constant) uniform push_constants
{
    layout(offset = 112) float slope;
    float step_slope;
};
#else
layout(push_constant) uniform push_constants
{
    uint n, ih, iw, ci, oh, ow, co, kh, kw;
    uint sh, sw, ph, pw, dh, dw;
    uint groups, batched;
    uint chunk;        // terms of the sum that one split adds up: (kh, kw, channel), in weight_grad (n, oh, ow)
    uint split;        // splits; their results lie one after the other
    uint lane_columns; // texel kernels: so many lanes, a power of two, lie side by side over the columns;
    uint lane_splits;  // so many, a power of two, take splits of their own; the others lie one below the other
    uint blocks;       // workgroups of one group; those of the next one follow
    uint x_group, w_group, y_group; // elements from one group to the next
    uint x_pitch, w_pitch, y_pitch; // elements from one place to the next; of w, from one ci to the next
    float slope, step_slope;        // lib/epilogue.glsl
};
#endif

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
        while (first < period && (place + pad - first * dilation + kernel * dilation * stride) % stride != 0)
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
