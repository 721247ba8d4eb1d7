/* vkgan: recurrent layers. Steps are unrolled into the graph out of ordinary operations, so gradients of any order
 * exist; a graph holds about ten tensors a step, layer and direction, and as many again for each gradient.
 * Formulas, the order of the gates and the parameters' names are PyTorch's, and state files hold its shapes. */
#ifndef VKGAN_RECURRENT_H
#define VKGAN_RECURRENT_H

#include "vkgan/layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- one step --- */

typedef struct vkg_rnn_cell_desc {
    const char *name;
    uint32_t hidden; /* H, required */
} vkg_rnn_cell_desc;

/* Gated recurrent unit (Cho et al. 2014, in PyTorch's form): x [N,C], h [N,H], or NULL for zeros → [N,H].
 *     r = σ(W_ir x + b_ir + W_hr h + b_hr)      z = σ(W_iz x + b_iz + W_hz h + b_hz)
 *     n = tanh(W_in x + b_in + r·(W_hn h + b_hn))      h' = (1 − z)·n + z·h
 * Parameters "weight_ih" [C,3H], "weight_hh" [H,3H], saved as PyTorch's [3H,C] and [3H,H]; "bias_ih", "bias_hh" [3H];
 * gates in the order r, z, n. All start uniformly in ±1/√H. */
VKG_API vkg_tensor *vkg_gru_cell(vkg_graph *graph, vkg_tensor *x, vkg_tensor *h, const vkg_rnn_cell_desc *desc);

/* Long short-term memory (Hochreiter and Schmidhuber 1997, with Gers' forget gate): x [N,C]; h, c [N,H], or NULL for
 * zeros → h_out, c_out [N,H] (either may be NULL).
 *     i, f, o = σ(W_i. x + b_i. + W_h. h + b_h.)      g = tanh(W_ig x + b_ig + W_hg h + b_hg)
 *     c' = f·c + i·g      h' = o·tanh(c')
 * Parameters as vkg_gru_cell's with 4H in place of 3H, gates in the order i, f, g, o. */
VKG_API void vkg_lstm_cell(vkg_graph *graph, vkg_tensor *x, vkg_tensor *h, vkg_tensor *c, const vkg_rnn_cell_desc *desc,
                           vkg_tensor **h_out, vkg_tensor **c_out);

/* --- whole sequences --- */

typedef struct vkg_rnn_desc {
    const char *name;
    uint32_t hidden;     /* H, required */
    uint32_t layers;     /* one on top of the other; 0 means 1 */
    bool bidirectional;  /* D = 2 directions, otherwise D = 1 */
    vkg_tensor *lengths; /* [N], of any type: how many steps of each sequence there are, at least 1; NULL: all of them */
    vkg_tensor *h, *c;   /* the states before the first step, [layers·D,N,H]; NULL: zeros. c: LSTM only */
} vkg_rnn_desc;

/* x [N,L,C] → [N,L,D·H], what the last layer gives at every step, forward direction first. *h_out, where h_out is not
 * NULL: the states after the last step, [layers·D,N,H]. `lengths` act as PyTorch's packed sequences: steps behind a
 * sequence's end keep the state and give zeros, and the reverse direction starts at each sequence's own end.
 * Parameters "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", then the same with "_l0_reverse", then "_l1" …,
 * with shapes and starts of the cells. */
VKG_API vkg_tensor *vkg_gru(vkg_graph *graph, vkg_tensor *x, const vkg_rnn_desc *desc, vkg_tensor **h_out);
/* The same; *c_out, where not NULL, receives the cells' states after the last step. */
VKG_API vkg_tensor *vkg_lstm(vkg_graph *graph, vkg_tensor *x, const vkg_rnn_desc *desc, vkg_tensor **h_out,
                             vkg_tensor **c_out);

/* --- images --- */

typedef struct vkg_conv_gru_desc {
    const char *name;
    uint32_t hidden; /* K, required */
    uint32_t kernel; /* k, odd; 0 means 3 */
    bool relu;       /* ρ is relu (as in DVD-GAN), otherwise tanh */
    float init_std;  /* 0 means 0.02 */
} vkg_conv_gru_desc;

/* One step of a convolutional GRU (Ballas et al. 2016; Clark et al. 2019, DVD-GAN): x [N,H,W,C], h [N,H,W,K], or NULL for
 * zeros → [N,H,W,K]. With ⋆ a convolution of stride 1 that keeps the size, and channels joined in brackets:
 *     r = σ(W_r ⋆ [x,h] + b_r)      u = σ(W_u ⋆ [x,h] + b_u)      c = ρ(W_c ⋆ [x,r·h] + b_c)      h' = u·h + (1 − u)·c
 * Parameters "gates.weight" [k,k,C+K,2K] (W_r, then W_u), "gates.bias" [2K], "candidate.weight" [k,k,C+K,K],
 * "candidate.bias" [K]; weights are saved as PyTorch's of two Conv2d(C + K, …). Biases start from zeros. */
VKG_API vkg_tensor *vkg_conv_gru_cell(vkg_graph *graph, vkg_tensor *x, vkg_tensor *h, const vkg_conv_gru_desc *desc);

#ifdef __cplusplus
}
#endif
#endif
