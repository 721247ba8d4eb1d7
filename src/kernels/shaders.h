/* Shaders: those built with the library, found by name, and those generated for a chain of pointwise
 * operations, compiled at run time by shaderc and kept on disk. */
#ifndef VKG_KERNELS_SHADERS_H
#define VKG_KERNELS_SHADERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "device/device.h"

struct shader {
    const char *name;
    const uint32_t *spirv;
    size_t spirv_bytes;
};

/* A shader built with the library: the file's name and its variant, "conv_forward_plain". NULL: there is none. */
const struct shader *shader_find(const char *name);

/* Generated shaders, one per distinct source, alive until the cache is freed. */
struct shader_cache;
vkg_result shader_cache_create(vkg_device *device, struct shader_cache **cache);
void shader_cache_free(struct shader_cache **cache);
/* Finds in memory or on disk; a new one is compiled by the next shader_cache_compile, and its spirv is NULL until then. `source`
 * includes "lib/….glsl" as the files of shaders/ do; `name` must outlive the cache. */
vkg_result shader_cache_get(struct shader_cache *cache, const char *name, const char *source, const struct shader **shader);
/* Compiles those that are new, on all processors, and keeps them on disk. */
vkg_result shader_cache_compile(struct shader_cache *cache);

#endif
