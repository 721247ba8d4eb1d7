/* vkgan: optimisers, learning-rate schedules and moving averages, as operations of a graph: they change the state in
 * place, on the device, so that a recorded step needs nothing of the host. */
#ifndef VKGAN_OPTIMIZER_H
#define VKGAN_OPTIMIZER_H

#include "vkgan/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- loss scaling --- */

/* Dynamic loss scaling, Micikevicius et al. 2018, section 3.2: a loss is multiplied by a power of two before it is
 * differentiated, so that small gradients survive in 16 bits, and the optimiser divides the gradients by it, which is
 * exact. Where a gradient comes out infinite or NaN, the update is skipped (parameters, moments and bias corrections stay
 * as they are) and the scale is halved; after growth_interval good steps in a row it is doubled. It stays within
 * 2⁻¹²⁶ … 2¹²⁶. All of it happens on the device. Off by default; zero fields mean the defaults in brackets, which are
 * PyTorch's. */
typedef struct vkg_loss_scaling {
    bool enabled;
    float initial;            /* [65536]; a power of two */
    uint32_t growth_interval; /* [2000]; at most 2²⁴ */
} vkg_loss_scaling;

/* --- schedules --- */

/* How a learning rate's factor moves from 1 to `end` behind the warm-up and what is held. */
typedef enum vkg_schedule_kind {
    VKG_SCHEDULE_CONSTANT, /* it stays at 1 */
    VKG_SCHEDULE_LINEAR,   /* evenly within `steps`, and then stays (torch.optim.lr_scheduler.LinearLR) */
    VKG_SCHEDULE_COSINE,   /* by half a cosine within `steps`, and then stays (CosineAnnealingLR; Loshchilov and Hutter
                            * 2017, equation 5) */
    VKG_SCHEDULE_STEP,     /* is multiplied by `gamma` once every `steps` (StepLR) */
} vkg_schedule_kind;

/* A factor of the learning rate, a function of the number of steps done: of a trainer's steps, of a lone program's runs
 * (vkg_steps_done). {0}: always 1.
 * At step t it is min(1, (t + 1)/warm_up) times what the kind says of the step max(0, t − warm_up − hold). */
typedef struct vkg_schedule {
    vkg_schedule_kind kind;
    uint32_t warm_up; /* steps; 0: none */
    uint32_t hold;    /* steps at the full rate, before it falls */
    uint32_t steps;   /* required of all kinds but CONSTANT; at most 2²⁴, as all of these */
    float end;        /* LINEAR, COSINE: the last factor, in 0 … 1 */
    float gamma;      /* STEP: [0.1]; above 0 */
} vkg_schedule;

/* "constant", "linear", "cosine", "step" */
VKG_API const char *vkg_schedule_name(vkg_schedule_kind kind);
VKG_API bool vkg_schedule_by_name(const char *name, vkg_schedule_kind *kind); /* false: there is none of that name */

/* The factor at `step`, a scalar. Errors: a field out of its range. */
VKG_API vkg_tensor *vkg_schedule_factor(vkg_graph *graph, const vkg_schedule *schedule, vkg_tensor *step);
/* How many runs the programs of a state have done, a scalar: 0 in the first. Kept in the state, and so in checkpoints,
 * as "step", which every program counts up at its end whose graph asked for it. */
VKG_API vkg_tensor *vkg_steps_done(vkg_graph *graph);

/* --- optimisers --- */

/* As torch.optim has them; g is the gradient of p. */
typedef enum vkg_optimizer {
    VKG_OPTIMIZER_ADAM,    /* Kingma and Ba 2015, algorithm 1: p ← p − lr/(1 − β₁ᵗ) · m / (√(v/(1 − β₂ᵗ)) + ε) */
    VKG_OPTIMIZER_ADAMW,   /* Loshchilov and Hutter 2019, algorithm 2: p ← p − lr·weight_decay·p before Adam's step */
    VKG_OPTIMIZER_RMSPROP, /* Tieleman and Hinton 2012: v ← α·v + (1 − α)·g², u = g/(√v + ε); p ← p − lr·u, or with
                            * momentum μ: m ← μ·m + u, p ← p − lr·m */
    VKG_OPTIMIZER_SGD,     /* p ← p − lr·g, or with momentum: m ← μ·m + g, p ← p − lr·m */
} vkg_optimizer;

/* "adam", "adamw", "rmsprop", "sgd" */
VKG_API const char *vkg_optimizer_name(vkg_optimizer kind);
VKG_API bool vkg_optimizer_by_name(const char *name, vkg_optimizer *kind); /* false: there is none of that name */

/* Zero fields mean the defaults in brackets; fields of other kinds are not read. Where 0 is meant and is not the default,
 * write a negative number. */
typedef struct vkg_optimizer_desc {
    vkg_optimizer kind;
    float lr;           /* [2e-4]; not negative */
    float beta1;        /* ADAM, ADAMW: [0.5, as DCGAN]; below 1 */
    float beta2;        /* ADAM, ADAMW: [0.999]; below 1 */
    float alpha;        /* RMSPROP: [0.99]; below 1 */
    float momentum;     /* RMSPROP, SGD: [0]; in 0 … 1, without 1 */
    float epsilon;      /* all but SGD: [1e-8] */
    float weight_decay; /* ADAMW: [0.01], see there. Others: [0]; weight_decay · p is added to g */
    /* Before the update: gradients whose L2 norm, all of them together, is above clip_norm are multiplied by
     * clip_norm/(norm + 1e-6) (torch.nn.utils.clip_grad_norm_; an infinite norm skips the update); then each is cut to
     * ±clip_value (clip_grad_value_). After it, parameters are cut to ±clip_parameters: the critic of WGAN, Arjovsky et
     * al. 2017. 0: none. */
    float clip_norm, clip_value, clip_parameters;
    vkg_schedule schedule; /* of lr */
    float pace; /* [1]; in 0 … 1: lr · pace, and beta1, beta2, alpha and momentum to the power of pace: for an optimiser that
                 * is called more often than these are meant for */
    bool own_moments; /* moments have the optimiser's name too, "exp_avg.NAME.PARAMETER": for a second optimiser of the same
                       * parameters, which would else go on with the first one's. Trainers set it where phases need it */
    vkg_loss_scaling loss_scaling; /* enabled: the gradients are those of a loss times vkg_loss_scale of the same name */
    vkg_tensor *gate; /* a scalar of the graph: where it is 0 the update is skipped; NULL: always done. In phases NULL,
                       * see vkg_step_gate */
} vkg_optimizer_desc;

/* Updates parameters[i] by gradients[i] (same shape). From here on, in this graph, vkg_parameter and
 * vkg_graph_parameters give the updated versions; tensors built earlier keep the old numbers. Reading an old version later is
 * an error, also by vkg_gradients: gradients that need it come first. (A gradient may be a parameter itself, as that of Σ x·y by x is
 * y: one call updates both.)
 * `name` is the optimiser's: calls with the same name are further steps of one optimiser, over the same parameters, and
 * different optimisers of a state have different names. Moments are kept in the state under PyTorch's names:
 * "exp_avg.PARAMETER" and "exp_avg_sq.PARAMETER" (ADAM, ADAMW), "square_avg.PARAMETER" (RMSPROP),
 * "momentum_buffer.PARAMETER" (momentum); Adam's bias corrections as "optimizer.NAME.corrections" =
 * [1 − β₁ᵗ, 1 − β₂ᵗ, –, –], and the learning rate, before its schedule, as "optimizer.NAME.lr" [1], which the host may
 * change between runs by vkg_state_write.
 * Errors: fields out of their range, shapes that differ, no parameters, or such as are not the present versions. */
VKG_API void vkg_optimize(vkg_graph *graph, const char *name, vkg_tensor *const *parameters,
                          vkg_tensor *const *gradients, uint32_t count, const vkg_optimizer_desc *desc);

/* The learning rate that an optimiser of this name and description takes in this step, a scalar. */
VKG_API vkg_tensor *vkg_learning_rate(vkg_graph *graph, const char *name, const vkg_optimizer_desc *desc);

/* sums[i] ← sums[i] + weight · gradients[i], or weight · gradients[i] where sums[i] is NULL: for updates by the
 * gradients of several batches. The sums are tensors of this run, and are written out at once, so that of several
 * batches only the sums need memory. */
VKG_API void vkg_accumulate(vkg_graph *graph, vkg_tensor *const *gradients, uint32_t count, float weight,
                            vkg_tensor **sums);
/* √Σ x² over all elements of all tensors, a scalar. */
VKG_API vkg_tensor *vkg_global_norm(vkg_graph *graph, vkg_tensor *const *tensors, uint32_t count);

/* The present loss scale of an optimiser, a scalar: before its vkg_optimize to multiply the loss by, after it to be
 * seen.
 * Where a loss is made of gradients (a gradient penalty), only the whole is multiplied: the gradients within are those of
 * unscaled losses. The scaler of optimiser NAME lasts in the state, and so in checkpoints, as
 * "optimizer.NAME.loss_scale", "optimizer.NAME.good_steps" and "optimizer.NAME.skipped_updates", [1] each; a
 * checkpoint written without them cannot be loaded by a training with them. The host may write all three between runs,
 * the scale as a power of two.
 * Errors: initial is not a power of two in its range, growth_interval is too large. */
VKG_API vkg_tensor *vkg_loss_scale(vkg_graph *graph, const char *name, const vkg_loss_scaling *scaling);
/* How many updates of an optimiser were skipped since its state began, because of gradients that were not finite, a
 * scalar. */
VKG_API vkg_tensor *vkg_skipped_updates(vkg_graph *graph, const char *name);

/* --- moving averages --- */

/* An exponential moving average of a network: a shadow, "ema.generator.…" of "generator.…", whose parameters are
 * averages, shadow ← p + β·(shadow − p), and whose buffers (running statistics) are copies. The first averaging copies
 * everything. β = ½^(images a step / half-life), the half-life given in images (Karras et al. 2018) or by `decay`, which
 * is β itself. */
typedef struct vkg_ema {
    const char *of;          /* the tensors whose names begin with this: "generator."; NULL: no average */
    float decay;             /* [0.999, where half_life_images is 0]; below 1 */
    double half_life_images; /* only one of the two */
    float ramp_up;           /* 0.05, as StyleGAN2 has it: early in a training the half-life is at most this share of the
                              * images seen so far; 0: the same from the start */
} vkg_ema;

/* Averages once: to be called behind the updates of a step that takes `images` images. The shadow of "OF…" is "ema.OF…",
 * and "ema.count.OF" [1] counts the averagings. False: the graph has no such tensors, and
 * nothing happens.
 * Errors: a field out of its range. */
VKG_API bool vkg_ema_update(vkg_graph *graph, const vkg_ema *ema, uint32_t images);

#ifdef __cplusplus
}
#endif
#endif
