/* How far the discriminator is ahead of the generator. */
#include "graph/graph.h"
#include "vkgan/gan_loss.h"
#include "vkgan/ops.h"

static vkg_tensor *lead_buffer(vkg_graph *graph, const char *name)
{
    return vkg_buffer(graph, name, VKG_SHAPE(1), (vkg_init){VKG_INIT_CONSTANT, 0.75f, 0});
}

vkg_tensor *vkg_balance_lead(vkg_graph *graph, const char *name)
{
    return vkg_reshape(graph, lead_buffer(graph, name), VKG_SCALAR);
}

vkg_tensor *vkg_balance_observe(vkg_graph *graph, const char *name, vkg_tensor *real_logits, vkg_tensor *fake_logits,
                                uint32_t memory)
{
    if (real_logits->poisoned || fake_logits->poisoned)
        return graph->poison;
    if (!shape_equal(&real_logits->shape, &fake_logits->shape))
        return graph_fail(graph, "balance: logits %s of real and %s of generated samples are no pairs",
                          SHAPE(&real_logits->shape), SHAPE(&fake_logits->shape));
    vkg_tensor *before = lead_buffer(graph, name), *order = vkg_sign(graph, vkg_sub(graph, real_logits, fake_logits));
    vkg_tensor *share = vkg_affine(graph, vkg_mean(graph, order, VKG_ALL_AXES, false), 0.5f, 0.5f);
    vkg_tensor *way = vkg_affine(graph, vkg_sub(graph, share, before), 1 / (float)(memory ? memory : 20), 0);
    vkg_assign(graph, before, vkg_add(graph, before, way));
    return vkg_balance_lead(graph, name);
}
