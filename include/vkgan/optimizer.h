/* vkgan: optimisers, as operations of a graph: they change parameters in place. */
#ifndef VKGAN_OPTIMIZER_H
#define VKGAN_OPTIMIZER_H

#include "vkgan/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adam, Kingma and Ba 2015, algorithm 1, with PyTorch's placing of epsilon:
 * p ← p − lr/(1 − β₁ᵗ) · m / (√(v/(1 − β₂ᵗ)) + ε). Zero fields mean the defaults in brackets. */
typedef struct vkg_adam_desc {
    float lr;      /* [2e-4] */
    float beta1;   /* [0.5, as DCGAN; write a negative number for 0] */
    float beta2;   /* [0.999] */
    float epsilon; /* [1e-8] */
} vkg_adam_desc;

/* Updates parameters[i] by gradients[i] (same shape). From here on, in this graph, vkg_parameter and
 * vkg_graph_parameters give the updated versions; tensors built earlier keep the old numbers.
 * `name` is the optimiser's: calls with the same name are further steps of one optimiser, over the same parameters, and
 * different optimisers of a state have different names. Moments are kept in the state as
 * "exp_avg.PARAMETER" and "exp_avg_sq.PARAMETER", bias corrections as "optimizer.NAME.corrections" =
 * [1 − β₁ᵗ, 1 − β₂ᵗ, –, –], and the learning rate as "optimizer.NAME.lr" [1], which the host may change between
 * runs by vkg_state_write. */
VKG_API void vkg_adam(vkg_graph *graph, const char *name, vkg_tensor *const *parameters,
                      vkg_tensor *const *gradients, uint32_t count, const vkg_adam_desc *desc);

#ifdef __cplusplus
}
#endif
#endif
