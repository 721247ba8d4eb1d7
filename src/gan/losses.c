/* Adversarial losses by name: a row each. */
#include <string.h>

#include "graph/graph.h"
#include "vkgan/gan_loss.h"
#include "vkgan/ops.h"

static vkg_tensor *mean_of_all(vkg_graph *graph, vkg_tensor *a)
{
    return vkg_mean(graph, a, VKG_ALL_AXES, false);
}

/* ½ E (a − target)² */
static vkg_tensor *half_square(vkg_graph *graph, vkg_tensor *a, float target)
{
    return vkg_affine(graph, mean_of_all(graph, vkg_square(graph, vkg_affine(graph, a, 1, -target))), 0.5f, 0);
}

/* --- of the discriminator --- */

static vkg_tensor *cross_entropy_d(vkg_graph *graph, vkg_tensor *real, vkg_tensor *fake)
{
    return vkg_add(graph, vkg_bce_with_logits(graph, real, 1), vkg_bce_with_logits(graph, fake, 0));
}

static vkg_tensor *least_squares_d(vkg_graph *graph, vkg_tensor *real, vkg_tensor *fake)
{
    return vkg_add(graph, half_square(graph, real, 1), half_square(graph, fake, 0));
}

static vkg_tensor *hinge_d(vkg_graph *graph, vkg_tensor *real, vkg_tensor *fake)
{
    return vkg_add(graph, vkg_hinge_loss_real(graph, real), vkg_hinge_loss_fake(graph, fake));
}

static vkg_tensor *relativistic_d(vkg_graph *graph, vkg_tensor *real, vkg_tensor *fake)
{
    return vkg_bce_with_logits(graph, vkg_sub(graph, real, fake), 1);
}

/* --- of the generator --- */

static vkg_tensor *non_saturating_g(vkg_graph *graph, vkg_tensor *fake, vkg_tensor *real)
{
    (void)real;
    return vkg_bce_with_logits(graph, fake, 1);
}

static vkg_tensor *minimax_g(vkg_graph *graph, vkg_tensor *fake, vkg_tensor *real)
{
    (void)real;
    return vkg_neg(graph, vkg_bce_with_logits(graph, fake, 0));
}

static vkg_tensor *least_squares_g(vkg_graph *graph, vkg_tensor *fake, vkg_tensor *real)
{
    (void)real;
    return half_square(graph, fake, 1);
}

static vkg_tensor *score_g(vkg_graph *graph, vkg_tensor *fake, vkg_tensor *real)
{
    (void)real;
    return vkg_neg(graph, mean_of_all(graph, fake));
}

static vkg_tensor *relativistic_g(vkg_graph *graph, vkg_tensor *fake, vkg_tensor *real)
{
    return vkg_bce_with_logits(graph, vkg_sub(graph, fake, real), 1);
}

/* --- the table --- */

static const struct {
    const char *name;
    vkg_tensor *(*discriminator)(vkg_graph *graph, vkg_tensor *real, vkg_tensor *fake);
    vkg_tensor *(*generator)(vkg_graph *graph, vkg_tensor *fake, vkg_tensor *real);
} losses[VKG_LOSS_COUNT] = {
    [VKG_LOSS_NON_SATURATING] = {"non-saturating", cross_entropy_d, non_saturating_g},
    [VKG_LOSS_MINIMAX] = {"minimax", cross_entropy_d, minimax_g},
    [VKG_LOSS_LEAST_SQUARES] = {"least-squares", least_squares_d, least_squares_g},
    [VKG_LOSS_WASSERSTEIN] = {"wasserstein", vkg_wasserstein_loss, score_g},
    [VKG_LOSS_HINGE] = {"hinge", hinge_d, score_g},
    [VKG_LOSS_RELATIVISTIC] = {"relativistic", relativistic_d, relativistic_g},
};

const char *vkg_loss_name(vkg_loss loss)
{
    return (unsigned)loss < VKG_LOSS_COUNT ? losses[loss].name : NULL;
}

bool vkg_loss_by_name(const char *name, vkg_loss *loss)
{
    for (int i = 0; i < VKG_LOSS_COUNT; i++)
        if (strcmp(losses[i].name, name) == 0) {
            *loss = (vkg_loss)i;
            return true;
        }
    return false;
}

/* A message where these logits cannot be judged by this loss; NULL: they can. */
static vkg_tensor *wrong_logits(vkg_graph *graph, vkg_loss loss, const vkg_tensor *real, const vkg_tensor *fake)
{
    if (!vkg_loss_name(loss))
        return graph_fail(graph, "there is no loss of number %d, expected 0 to %d", (int)loss, VKG_LOSS_COUNT - 1);
    if (fake->poisoned || (real && real->poisoned))
        return graph->poison;
    if (loss != VKG_LOSS_RELATIVISTIC)
        return NULL;
    if (!real)
        return graph_fail(graph, "the relativistic loss of the generator needs the logits of real samples, found NULL");
    return shape_equal(&real->shape, &fake->shape)
               ? NULL
               : graph_fail(graph, "relativistic loss: logits %s of real and %s of generated samples are no pairs",
                            SHAPE(&real->shape), SHAPE(&fake->shape));
}

vkg_tensor *vkg_discriminator_loss(vkg_graph *graph, vkg_loss loss, vkg_tensor *real_logits, vkg_tensor *fake_logits)
{
    vkg_tensor *wrong = wrong_logits(graph, loss, real_logits, fake_logits);
    return wrong ? wrong : losses[loss].discriminator(graph, real_logits, fake_logits);
}

vkg_tensor *vkg_generator_loss(vkg_graph *graph, vkg_loss loss, vkg_tensor *fake_logits, vkg_tensor *real_logits)
{
    vkg_tensor *wrong = wrong_logits(graph, loss, real_logits, fake_logits);
    return wrong ? wrong : losses[loss].generator(graph, fake_logits, real_logits);
}
