#include "ops/layer.h"

#include <stdio.h>

vkg_tensor *layer_tensor(vkg_graph *graph, const char *layer, struct declaration_desc desc)
{
    if (!layer || !layer[0])
        return graph_fail(graph, "a layer has no name (its desc's .name is required)");
    char name[256];
    if (snprintf(name, sizeof name, "%s.%s", layer, desc.name) >= (int)sizeof name)
        return graph_fail(graph, "the layer name \"%s\" is too long", layer);
    desc.name = name;
    return graph_declare(graph, &desc);
}
