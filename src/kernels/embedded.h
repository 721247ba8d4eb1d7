/* What tools/embed-shaders makes of shaders/ at build time. */
#ifndef VKG_KERNELS_EMBEDDED_H
#define VKG_KERNELS_EMBEDDED_H

#include "kernels/shaders.h"

struct embedded_source {
    const char *name, *text; /* "lib/pointwise.glsl" */
};

extern const struct shader embedded_shaders[];
extern const size_t embedded_shader_count;
extern const struct embedded_source embedded_sources[];
extern const size_t embedded_source_count;

#endif
