/* Losses: each the mean over all elements. */
#include "ops/ops.h"

vkg_tensor *vkg_bce_with_logits(vkg_graph *graph, vkg_tensor *logits, float target)
{
    if (!(target >= 0 && target <= 1))
        return graph_fail(graph, "bce_with_logits: the target %g is not in [0, 1]", (double)target);
    /* −target·log σ(x) − (1 − target)·log(1 − σ(x)) = softplus(x) − target·x; at target 1 that is softplus(−x),
     * which keeps its digits where x is large. */
    vkg_tensor *loss = target == 1 ? vkg_softplus(graph, vkg_neg(graph, logits))
                                   : vkg_add(graph, vkg_softplus(graph, logits), vkg_affine(graph, logits, -target, 0));
    return vkg_mean(graph, loss, VKG_ALL_AXES, false);
}
