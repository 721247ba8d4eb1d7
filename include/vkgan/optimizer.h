/* vkgan: optimisers, as operations of a graph: they change parameters in place. */
#ifndef VKGAN_OPTIMIZER_H
#define VKGAN_OPTIMIZER_H

#include "vkgan/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Dynamic loss scaling, Micikevicius et al. 2018, section 3.2: a loss is multiplied by a power of two before it is
 * differentiated, so that small gradients survive in 16 bits, and Adam divides the gradients by it, which is exact.
 * Where a gradient comes out infinite or NaN, the update is skipped (parameters, moments and bias corrections stay as
 * they are) and the scale is halved; after growth_interval good steps in a row it is doubled. It stays within
 * 2⁻¹²⁶ … 2¹²⁶. All of it happens on the device. Off by default; zero fields mean the defaults in brackets, which are
 * PyTorch's. */
typedef struct vkg_loss_scaling {
    bool enabled;
    float initial;            /* [65536]; a power of two */
    uint32_t growth_interval; /* [2000]; at most 2²⁴ */
} vkg_loss_scaling;

/* Adam, Kingma and Ba 2015, algorithm 1, with PyTorch's placing of epsilon:
 * p ← p − lr/(1 − β₁ᵗ) · m / (√(v/(1 − β₂ᵗ)) + ε). Zero fields mean the defaults in brackets. */
typedef struct vkg_optimizer_desc {
    float lr;      /* [2e-4] */
    float beta1;   /* [0.5, as DCGAN; write a negative number for 0] */
    float beta2;   /* [0.999] */
    float epsilon; /* [1e-8] */
    vkg_loss_scaling loss_scaling; /* enabled: the gradients are those of a loss times vkg_loss_scale of the same name */
} vkg_optimizer_desc;

/* Updates parameters[i] by gradients[i] (same shape). From here on, in this graph, vkg_parameter and
 * vkg_graph_parameters give the updated versions; tensors built earlier keep the old numbers.
 * `name` is the optimiser's: calls with the same name are further steps of one optimiser, over the same parameters, and
 * different optimisers of a state have different names. Moments are kept in the state as
 * "exp_avg.PARAMETER" and "exp_avg_sq.PARAMETER", bias corrections as "optimizer.NAME.corrections" =
 * [1 − β₁ᵗ, 1 − β₂ᵗ, –, –], and the learning rate as "optimizer.NAME.lr" [1], which the host may change between
 * runs by vkg_state_write. */
VKG_API void vkg_optimize(vkg_graph *graph, const char *name, vkg_tensor *const *parameters,
                          vkg_tensor *const *gradients, uint32_t count, const vkg_optimizer_desc *desc);

/* The present loss scale of an optimiser, a scalar: before its vkg_optimize to multiply the loss by, after it to be
 * seen.
 * Where a loss is made of gradients (a gradient penalty), only the whole is multiplied: the gradients within are those of
 * unscaled losses. The scaler of optimiser NAME lasts in the state, and so in checkpoints, as
 * "optimizer.NAME.loss_scale", "optimizer.NAME.good_steps" and "optimizer.NAME.skipped_updates", [1] each; a
 * checkpoint written without them cannot be loaded by a training with them. The host may write all three between runs,
 * the scale as a power of two.
 * Errors: initial is not a power of two in its range, growth_interval is too large. */
VKG_API vkg_tensor *vkg_loss_scale(vkg_graph *graph, const char *name, const vkg_loss_scaling *scaling);
/* How many updates of an optimiser were skipped since its state began, a scalar. */
VKG_API vkg_tensor *vkg_skipped_updates(vkg_graph *graph, const char *name);

#ifdef __cplusplus
}
#endif
#endif
