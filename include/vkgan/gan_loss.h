/* vkgan: what a discriminator and a generator are trained on: adversarial losses by name, and regularisers. Each is a
 * function that builds graph out of ordinary operations, for the loss function of any phase; vkg_gan_desc has them as
 * fields. Logits are a discriminator's outputs, of any shape; results are scalars, means over all logits or over all
 * samples. The first axis of samples and of logits counts samples. */
#ifndef VKGAN_GAN_LOSS_H
#define VKGAN_GAN_LOSS_H

#include "vkgan/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- losses: x are the logits of real samples, y those of generated ones, σ the logistic function --- */

typedef enum vkg_loss {
    /* D: −E log σ(x) − E log(1 − σ(y)); G: −E log σ(y). Goodfellow et al. 2014, section 3 */
    VKG_LOSS_NON_SATURATING,
    /* D the same; G: E log(1 − σ(y)), whose gradient vanishes where D is sure. Ibid., equation 1 */
    VKG_LOSS_MINIMAX,
    /* D: ½ E (x − 1)² + ½ E y²; G: ½ E (y − 1)². Mao et al. 2017, equation 9 */
    VKG_LOSS_LEAST_SQUARES,
    /* D: E y − E x; G: −E y. Needs a critic that cannot be steep: a gradient penalty, spectral norm. Arjovsky et al. 2017 */
    VKG_LOSS_WASSERSTEIN,
    /* D: E max(0, 1 − x) + E max(0, 1 + y); G: −E y. Lim and Ye 2017, Miyato et al. 2018 */
    VKG_LOSS_HINGE,
    /* Of pairs: D: E softplus(y − x); G: E softplus(x − y). Jolicoeur-Martineau 2019; with R1 and R2, R3GAN: Huang et
     * al. 2024 */
    VKG_LOSS_RELATIVISTIC,
    VKG_LOSS_COUNT, /* how many there are */
} vkg_loss;

/* "non-saturating", "minimax", "least-squares", "wasserstein", "hinge", "relativistic"; NULL for another value. */
VKG_API const char *vkg_loss_name(vkg_loss loss);
/* False, and *loss stays, where no loss has this name. */
VKG_API bool vkg_loss_by_name(const char *name, vkg_loss *loss);

/* What the discriminator minimises. Errors: a loss that is none; VKG_LOSS_RELATIVISTIC with logits of different shapes. */
VKG_API vkg_tensor *vkg_discriminator_loss(vkg_graph *graph, vkg_loss loss, vkg_tensor *real_logits,
                                           vkg_tensor *fake_logits);
/* What the generator minimises. real_logits: read by VKG_LOSS_RELATIVISTIC only, else may be NULL. */
VKG_API vkg_tensor *vkg_generator_loss(vkg_graph *graph, vkg_loss loss, vkg_tensor *fake_logits,
                                       vkg_tensor *real_logits);

/* --- regularisers of the discriminator. `logits` were made of `samples` by operations that differentiate twice, and a
 * sample's logits from that sample alone (no batch normalisation). ∇ is the gradient, with respect to a sample, of the sum
 * of its logits; its norm is over all of the sample's numbers. --- */

/* E (‖∇‖₂ − target)²; one_sided: E max(0, ‖∇‖₂ − target)². Gulrajani et al. 2017, equation 3 (target 1, times 10, at
 * samples of vkg_between); one-sided: ibid., section 4. */
VKG_API vkg_tensor *vkg_gradient_penalty(vkg_graph *graph, vkg_tensor *logits, vkg_tensor *samples, float target,
                                         bool one_sided);
/* E ‖∇‖₂²: R1 at real samples, R2 at generated ones, each times γ/2. Mescheder et al. 2018, equations 9 and 10. */
VKG_API vkg_tensor *vkg_squared_gradient(vkg_graph *graph, vkg_tensor *logits, vkg_tensor *samples);
/* E (a − b)² for a sample's logits before and after a change that should not matter (a shift, a flip; vkgan/augment.h).
 * Times 10, at real samples: Zhang et al. 2020; at generated ones too: Zhao et al. 2021. */
VKG_API vkg_tensor *vkg_consistency_penalty(vkg_graph *graph, vkg_tensor *logits, vkg_tensor *changed_logits);

/* Points on the lines between pairs: fake + epsilon·(real − fake); no gradient passes. epsilon: a number for each sample,
 * [N] or [N,1,…]; NULL: fresh uniform ones. Errors: real and fake of different shapes. */
VKG_API vkg_tensor *vkg_between(vkg_graph *graph, vkg_tensor *real, vkg_tensor *fake, vkg_tensor *epsilon);
/* Points near the data: real + epsilon·spread·s·noise, where s is the standard deviation of all numbers of the batch; no
 * gradient passes. spread: 0 means 0.5. noise: of real's shape; NULL: fresh uniform numbers. epsilon as above. A gradient
 * penalty there is DRAGAN: Kodali et al. 2017 (target 1, times 10). */
VKG_API vkg_tensor *vkg_around(vkg_graph *graph, vkg_tensor *real, float spread, vkg_tensor *epsilon, vkg_tensor *noise);

/* --- of the generator --- */

typedef struct vkg_path_length_desc {
    const char *name;  /* of the running mean: the buffer NAME, [1], from 0; required */
    float decay;       /* the running mean moves by this share; 0 means 0.01 */
    vkg_tensor *noise; /* of the images' shape, standard normal; NULL: fresh */
} vkg_path_length_desc;
/* E (‖Jᵀy‖ − a)², where J is the Jacobian of an image by its style, y noise over √pixels, and a the running mean of the
 * norms, which moves by this call. Karras et al. 2020, section 3.2 (times 2). images [N,H,W,C] were made of styles [N,…,C]
 * by operations that differentiate twice; where a sample has several styles, their squared norms are averaged.
 * *lengths (may be NULL) receives the mean norm. */
VKG_API vkg_tensor *vkg_path_length_penalty(vkg_graph *graph, vkg_tensor *images, vkg_tensor *styles,
                                            const vkg_path_length_desc *desc, vkg_tensor **lengths);

/* --- who is ahead --- */

/* The share of pairs of logits in which the real image's is greater (equal ones count half), as a running mean that
 * remembers about `memory` calls (0 means 20): the buffer NAME, [1], from ¾, moves by 1/memory of the way. Returns the mean
 * after this batch, a scalar. Errors: logits of different shapes. */
VKG_API vkg_tensor *vkg_balance_observe(vkg_graph *graph, const char *name, vkg_tensor *real_logits,
                                        vkg_tensor *fake_logits, uint32_t memory);
/* The present mean, a scalar. */
VKG_API vkg_tensor *vkg_balance_lead(vkg_graph *graph, const char *name);

#ifdef __cplusplus
}
#endif
#endif
