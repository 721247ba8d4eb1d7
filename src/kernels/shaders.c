/* Generated shaders: compiled once a machine, then found on disk by a hash of their text. */
#include "kernels/shaders.h"

#include <shaderc/shaderc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "kernels/embedded.h"

const struct shader *shader_find(const char *name)
{
    for (size_t i = 0; i < embedded_shader_count; i++)
        if (strcmp(embedded_shaders[i].name, name) == 0)
            return &embedded_shaders[i];
    return NULL;
}

struct generated {
    struct generated *next;
    uint64_t hash[2];
    char *source;
    void *spirv; /* owned */
    struct shader shader; /* its spirv is NULL until it is compiled, or found on disk */
    shaderc_compilation_result_t compiled; /* until it is taken */
};

struct shader_cache {
    vkg_device *device;
    shaderc_compiler_t compiler; /* made at the first miss */
    shaderc_compile_options_t options;
    struct generated *generated;
};

vkg_result shader_cache_create(vkg_device *device, struct shader_cache **cache)
{
    *cache = calloc(1, sizeof **cache);
    if (!*cache)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "shader cache: out of host memory");
    (*cache)->device = device;
    return VKG_OK;
}

void shader_cache_free(struct shader_cache **cache)
{
    if (!*cache)
        return;
    for (struct generated *g = (*cache)->generated, *next; g; g = next) {
        next = g->next;
        free(g->source);
        free(g->spirv);
        free(g);
    }
    shaderc_compile_options_release((*cache)->options);
    shaderc_compiler_release((*cache)->compiler);
    free(*cache);
    *cache = NULL;
}

/* --- compilation --- */

static shaderc_include_result *include_library(void *user, const char *requested, int type, const char *requesting,
                                               size_t depth)
{
    (void)user, (void)type, (void)requesting, (void)depth;
    shaderc_include_result *result = calloc(1, sizeof *result);
    if (!result)
        return NULL;
    result->content = "no such file in shaders/";
    for (size_t i = 0; i < embedded_source_count; i++)
        if (strcmp(embedded_sources[i].name, requested) == 0) {
            result->source_name = embedded_sources[i].name;
            result->content = embedded_sources[i].text;
        }
    result->source_name_length = result->source_name ? strlen(result->source_name) : 0;
    result->content_length = strlen(result->content);
    return result;
}

static void release_include(void *user, shaderc_include_result *result)
{
    (void)user;
    free(result);
}

static vkg_result start_compiler(struct shader_cache *cache)
{
    if (cache->compiler)
        return VKG_OK;
    cache->compiler = shaderc_compiler_initialize();
    cache->options = shaderc_compile_options_initialize();
    if (!cache->compiler || !cache->options)
        return vkg_fail(&cache->device->log, VKG_ERROR_OUT_OF_MEMORY, "shaderc could not be started");
    shaderc_compile_options_set_target_env(cache->options, shaderc_target_env_vulkan, shaderc_env_version_vulkan_1_1);
    shaderc_compile_options_set_optimization_level(cache->options, shaderc_optimization_level_performance);
    shaderc_compile_options_set_include_callbacks(cache->options, include_library, release_include, NULL);
    return VKG_OK;
}

/* Takes what shaderc made of a source. */
static vkg_result take_compiled(struct shader_cache *cache, struct generated *generated)
{
    const vkg_log *log = &cache->device->log;
    shaderc_compilation_result_t compiled = generated->compiled;
    generated->compiled = NULL;
    if (!compiled)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "shader cache: out of host memory");
    vkg_result result = VKG_OK;
    if (shaderc_result_get_compilation_status(compiled) != shaderc_compilation_status_success) {
        result = vkg_fail(log, VKG_ERROR_DEVICE, "the generated kernel \"%s\" does not compile: %s", generated->shader.name,
                          shaderc_result_get_error_message(compiled));
        vkg_logf(log, VKG_LOG_DEBUG, "%s", generated->source);
    } else {
        generated->shader.spirv_bytes = shaderc_result_get_length(compiled);
        generated->spirv = malloc(generated->shader.spirv_bytes);
        if (generated->spirv)
            memcpy(generated->spirv, shaderc_result_get_bytes(compiled), generated->shader.spirv_bytes);
        else
            result = vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "shader cache: out of host memory");
        generated->shader.spirv = generated->spirv;
    }
    shaderc_result_release(compiled);
    return result;
}

struct compilation {
    struct shader_cache *cache;
    struct generated **sources;
};

/* On any thread. */
static void compile_one(void *user, size_t i)
{
    const struct compilation *compilation = user;
    struct generated *generated = compilation->sources[i];
    generated->compiled = shaderc_compile_into_spv(
        compilation->cache->compiler, generated->source, strlen(generated->source), shaderc_compute_shader,
        generated->shader.name, "main", compilation->cache->options);
}

/* --- on disk --- */

/* Two hashes of all that decides the result: the text, the shared pieces that it includes, the library. */
static void hash_source(const char *source, uint64_t hash[2])
{
    const uint64_t start[2] = {HASH_START, 0x9ae16a3b2f90404fu};
    for (int i = 0; i < 2; i++) {
        hash[i] = hash_text(start[i], VKGAN_VERSION);
        for (size_t k = 0; k < embedded_source_count; k++)
            hash[i] = hash_text(hash[i], embedded_sources[k].text);
        hash[i] = hash_text(hash[i], source);
    }
}

struct file_header {
    char magic[8];
    uint64_t hash[2], bytes, checksum;
};

static const char magic[8] = "vkgspv1";

static bool cache_path(const struct shader_cache *cache, const struct generated *generated, char *path, size_t size)
{
    const char *folder = device_cache_folder(cache->device);
    return folder && snprintf(path, size, "%s/%016llx%016llx.spv", folder, (unsigned long long)generated->hash[0],
                              (unsigned long long)generated->hash[1]) < (int)size;
}

static void load_cached(struct shader_cache *cache, struct generated *generated)
{
    char path[4096];
    void *data;
    size_t size;
    struct file_header header;
    if (!cache_path(cache, generated, path, sizeof path) || file_read_whole(NULL, path, 1 << 24, &data, &size) != VKG_OK)
        return;
    bool good = size > sizeof header;
    if (good) {
        memcpy(&header, data, sizeof header);
        good = memcmp(header.magic, magic, sizeof magic) == 0 &&
               memcmp(header.hash, generated->hash, sizeof header.hash) == 0 && header.bytes == size - sizeof header &&
               header.bytes % 4 == 0 && header.checksum == hash_bytes(HASH_START, (char *)data + sizeof header, header.bytes);
    }
    if (good)
        generated->spirv = malloc(header.bytes);
    if (good && generated->spirv) {
        memcpy(generated->spirv, (char *)data + sizeof header, header.bytes);
        generated->shader.spirv = generated->spirv;
        generated->shader.spirv_bytes = header.bytes;
    } else if (!good) {
        vkg_logf(&cache->device->log, VKG_LOG_DEBUG, "%s: damaged, ignored", path);
    }
    free(data);
}

/* A cache that cannot be written costs time, nothing else. */
static void store_cached(struct shader_cache *cache, const struct generated *generated)
{
    char path[4096];
    if (!cache_path(cache, generated, path, sizeof path))
        return;
    struct file_header header = {.bytes = generated->shader.spirv_bytes,
                                 .checksum = hash_bytes(HASH_START, generated->spirv, generated->shader.spirv_bytes)};
    memcpy(header.magic, magic, sizeof magic);
    memcpy(header.hash, generated->hash, sizeof header.hash);
    const struct file_part parts[] = {{&header, sizeof header}, {generated->spirv, generated->shader.spirv_bytes}};
    (void)file_write_atomic(NULL, path, parts, 2);
}

vkg_result shader_cache_get(struct shader_cache *cache, const char *name, const char *source, const struct shader **shader)
{
    uint64_t hash[2];
    hash_source(source, hash);
    for (struct generated *g = cache->generated; g; g = g->next)
        if (g->hash[0] == hash[0] && strcmp(g->source, source) == 0) {
            *shader = &g->shader;
            return VKG_OK;
        }
    struct generated *generated = calloc(1, sizeof *generated);
    if (generated)
        generated->source = strdup(source);
    if (!generated || !generated->source) {
        free(generated);
        return vkg_fail(&cache->device->log, VKG_ERROR_OUT_OF_MEMORY, "shader cache: out of host memory");
    }
    generated->next = cache->generated;
    cache->generated = generated;
    memcpy(generated->hash, hash, sizeof hash);
    generated->shader.name = name;
    load_cached(cache, generated);
    *shader = &generated->shader;
    return VKG_OK;
}

vkg_result shader_cache_compile(struct shader_cache *cache)
{
    size_t count = 0;
    struct compilation compilation = {.cache = cache};
    for (struct generated *g = cache->generated; g; g = g->next)
        count += !g->shader.spirv;
    vkg_result result = count ? start_compiler(cache) : VKG_OK;
    if (!count || result != VKG_OK)
        return result;
    compilation.sources = calloc(count, sizeof *compilation.sources);
    if (!compilation.sources)
        return vkg_fail(&cache->device->log, VKG_ERROR_OUT_OF_MEMORY, "shader cache: out of host memory");
    count = 0;
    for (struct generated *g = cache->generated; g; g = g->next)
        if (!g->shader.spirv)
            compilation.sources[count++] = g;
    parallel_each(count, compile_one, &compilation);
    for (size_t i = count; i-- > 0;) { /* the first in the program's order says what is wrong */
        if (result != VKG_OK) {
            shaderc_result_release(compilation.sources[i]->compiled);
            compilation.sources[i]->compiled = NULL;
            continue;
        }
        result = take_compiled(cache, compilation.sources[i]);
        if (result == VKG_OK)
            store_cached(cache, compilation.sources[i]);
    }
    free(compilation.sources);
    return result;
}
