/* The numbers that describe a two-dimensional convolution, channels last. */
#ifndef VKG_KERNELS_CONVOLUTION_PROBLEM_H
#define VKG_KERNELS_CONVOLUTION_PROBLEM_H

#include <stdint.h>

/* y[n,oh,ow,co] = Σ x[n, oh·sh − ph + kh·dh, ow·sw − pw + kw·dw, ci] · w[kh,kw,ci,co]
 * `groups` of these, which share nothing. ci and co are the channels of one group, which lie
 *   side by side:          x [n,ih,iw,groups·ci], w [kh,kw,ci,groups·co], y [n,oh,ow,groups·co];
 *   batched, one by one:   x [groups,n,ih,iw,ci], w [groups,kh,kw,ci,co], y [groups,n,oh,ow,co]. */
struct conv_problem {
    uint32_t n, ih, iw, ci, oh, ow, co, kh, kw, sh, sw, ph, pw, dh, dw;
    uint32_t groups, batched;
};

enum conv_direction { CONV_FORWARD, CONV_INPUT_GRAD, CONV_WEIGHT_GRAD };

#endif
