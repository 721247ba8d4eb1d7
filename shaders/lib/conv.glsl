// The convolution problem, channels last. The twin of struct conv_push in src/kernels/convolution.h.
//   forward      y[n,oh,ow,co]   = Σ x[n, oh·sh − ph + kh·dh, ow·sw − pw + kw·dw, ci] · w[kh,kw,ci,co]
//   input_grad   dx[n,ih,iw,ci]  = Σ dy[n,oh,ow,co] · w[kh,kw,ci,co]   over the same pairs of places
//   weight_grad  dw[kh,kw,ci,co] = Σ x · dy
// for each of `groups`, of which ci and co are the channels; where they lie: src/kernels/convolution_problem.h.
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
    int period = stride / greatest_common_divisor(stride, dilation);
    int first = 0;
    while (first < period && (place + pad - first * dilation + kernel * dilation * stride) % stride != 0)
        first++;
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
