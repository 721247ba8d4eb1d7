/* What the layers share: tensors of their own. */
#ifndef VKG_OPS_LAYER_H
#define VKG_OPS_LAYER_H

#include "ops/ops.h"

/* A parameter or buffer of a layer: "<layer>.<desc.name>" below the present scope. */
vkg_tensor *layer_tensor(vkg_graph *graph, const char *layer, struct declaration_desc desc);

#endif
