/* What the files of layers share. */
#ifndef VKG_OPS_LAYER_H
#define VKG_OPS_LAYER_H

#include "ops/ops.h"
#include "vkgan/layers.h"

/* Declares "<layer>.<desc.name>". */
vkg_tensor *layer_tensor(vkg_graph *graph, const char *layer, struct declaration_desc desc);

#endif
