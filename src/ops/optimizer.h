/* What an optimiser's description, its kernels and its settings in the state share. */
#ifndef VKG_OPS_OPTIMIZER_H
#define VKG_OPS_OPTIMIZER_H

#include "graph/graph.h"
#include "vkgan/optimizer.h"

/* The twin of the push constants in shaders/lib/optimizer.glsl, where they are explained. */
struct optimizer_push {
    uint32_t count; /* vec4; of a run, the rest is of the optimiser */
    float beta1, beta2, epsilon, weight_decay, parameter_decay, clip_value, clip_parameters;
};

/* A row of the table of optimisers. */
struct optimizer_rule {
    const char *name; /* what profiles call it */
    const char *first_moment, *second_moment; /* as PyTorch names them; NULL: it has none */
    const char *shaders[2]; /* reading through storage and texel buffers */
    bool corrects; /* its moments' biases */
};

/* block_update.settings of an optimiser's update. The node's inputs are the gradients, the learning rate [1] and the
 * gradients' factor [1]; a factor of 0 skips the update. */
struct optimizer_settings {
    const struct optimizer_rule *rule;
    bool scales; /* the factor is not always 1 */
    uint32_t corrections; /* the declaration [1 − β₁ᵗ, 1 − β₂ᵗ, –, –], where the rule corrects */
    struct optimizer_push push;
};

extern const struct op op_optimizer; /* optimizer_kernel.c */

/* Is it a number from low to high, or below high where that is excluded? If not, an error names the field. */
bool setting_is_within(vkg_graph *graph, const char *of, const char *field, double value, double low, double high);
bool setting_is_below(vkg_graph *graph, const char *of, const char *field, double value, double high);

/* One of an optimiser's small buffers "optimizer.NAME.WHAT", which the host may change between runs. */
vkg_tensor *optimizer_setting(vkg_graph *graph, const char *name, const char *what, uint32_t elements, float value);

/* What the gradients are to be multiplied by, [1], or 0 where one of them is not finite; from here on the scaler has drawn
 * its conclusions. loss_scale.c */
vkg_tensor *loss_scale_judge(vkg_graph *graph, const char *name, const vkg_loss_scaling *scaling,
                             vkg_tensor *const *gradients, uint32_t count);

#endif
