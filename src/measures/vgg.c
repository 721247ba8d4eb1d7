/* VGG (Simonyan and Zisserman 2015) as a judge of pictures: its convolutions alone, with weights that never change. */
#include <stdio.h>
#include <stdlib.h>

#include "graph/graph.h"
#include "vkgan/io.h"
#include "vkgan/layers.h"
#include "vkgan/measures.h"
#include "vkgan/resample.h"

/* A file while its network is recorded. */
struct weights {
    vkg_graph *graph;
    const char *path;
    const vkg_safetensors *file;
};

/* The index of features.NUMBER.WHAT, or UINT32_MAX. */
static uint32_t find(const struct weights *w, uint32_t number, const char *what)
{
    char name[48];
    snprintf(name, sizeof name, "features.%u.%s", number, what);
    return vkg_safetensors_find(w->file, name);
}

/* Reads a tensor of `rank`; free() it. NULL: the graph holds the message. */
static float *read_tensor(const struct weights *w, uint32_t index, uint32_t rank)
{
    const vkg_safetensors_entry *entry = vkg_safetensors_get(w->file, index);
    if (!entry || entry->dtype != VKG_FILE_F32 || entry->rank != rank || entry->size == 0) {
        graph_fail(w->graph, "%s: %s is %s with %u dimensions, expected F32 with %u of them", w->path,
                   entry ? entry->name : "a tensor", entry ? vkg_file_dtype_name(entry->dtype) : "missing", entry ? entry->rank : 0,
                   rank);
        return NULL;
    }
    float *values = malloc(entry->size);
    if (!values || vkg_safetensors_read(w->file, index, values, entry->size) != VKG_OK) {
        graph_fail(w->graph, "%s: %s cannot be read", w->path, entry->name);
        free(values);
        return NULL;
    }
    return values;
}

/* PyTorch's [out,in,3,3] as [3,3,in,out]. */
static vkg_tensor *weight_of(const struct weights *w, uint32_t number, uint32_t channels)
{
    const uint32_t index = find(w, number, "weight");
    const vkg_safetensors_entry *entry = vkg_safetensors_get(w->file, index);
    float *values = read_tensor(w, index, 4);
    if (!values)
        return w->graph->poison;
    const uint32_t out = (uint32_t)entry->dims[0];
    vkg_tensor *weight = w->graph->poison;
    float *turned = malloc(entry->size);
    if (entry->dims[1] != channels || entry->dims[2] != 3 || entry->dims[3] != 3)
        graph_fail(w->graph, "%s: %s is [%llu,%llu,%llu,%llu], expected [N,%u,3,3]", w->path, entry->name,
                   (unsigned long long)entry->dims[0], (unsigned long long)entry->dims[1], (unsigned long long)entry->dims[2],
                   (unsigned long long)entry->dims[3], channels);
    else if (!turned)
        graph_fail(w->graph, "%s: out of memory", w->path);
    else {
        for (size_t o = 0; o < out; o++)
            for (size_t in = 0; in < channels; in++)
                for (size_t place = 0; place < 9; place++)
                    turned[(place * channels + in) * out + o] = values[(o * channels + in) * 9 + place];
        weight = vkg_data(w->graph, VKG_SHAPE(3, 3, channels, out), VKG_FLOAT32, turned);
    }
    free(turned);
    free(values);
    return weight;
}

static vkg_tensor *bias_of(const struct weights *w, uint32_t number, uint32_t out)
{
    const uint32_t index = find(w, number, "bias");
    const vkg_safetensors_entry *entry = vkg_safetensors_get(w->file, index);
    float *values = read_tensor(w, index, 1);
    if (!values)
        return w->graph->poison;
    vkg_tensor *bias = entry->dims[0] == out ? vkg_data(w->graph, VKG_SHAPE(out), VKG_FLOAT32, values)
                                             : graph_fail(w->graph, "%s: %s has %llu elements, expected %u", w->path, entry->name,
                                                          (unsigned long long)entry->dims[0], out);
    free(values);
    return bias;
}

static vkg_tensor *convolution(const struct weights *w, uint32_t number, vkg_tensor *x)
{
    vkg_tensor *weight = weight_of(w, number, vkg_tensor_shape(x).dims[3]);
    if (weight->poisoned)
        return weight;
    vkg_tensor *bias = bias_of(w, number, vkg_tensor_shape(weight).dims[3]);
    return vkg_add(w->graph, vkg_convolution(w->graph, x, weight, (vkg_conv_geometry){.stride = {1, 1}, .padding = {1, 1}}), bias);
}

/* From [−1, 1] to the mean 0 and deviation 1 of ImageNet's pictures; grey ones get three channels. */
static vkg_tensor *prepare(vkg_graph *graph, vkg_tensor *images)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};
    const vkg_shape shape = vkg_tensor_shape(images);
    float factor[3], offset[3];
    for (int i = 0; i < 3; i++) {
        factor[i] = 0.5f / deviation[i];
        offset[i] = (0.5f - mean[i]) / deviation[i];
    }
    if (shape.dims[3] == 1)
        images = vkg_broadcast(graph, images, VKG_SHAPE(shape.dims[0], shape.dims[1], shape.dims[2], 3));
    images = vkg_mul(graph, images, vkg_data(graph, VKG_SHAPE(3), VKG_FLOAT32, factor));
    return vkg_add(graph, images, vkg_data(graph, VKG_SHAPE(3), VKG_FLOAT32, offset));
}

/* Layers are numbered as torchvision numbers them: a convolution, its relu, and, where the number behind these is no
 * convolution, a pooling. */
static vkg_tensor *record(const struct weights *w, vkg_tensor *x, uint32_t last)
{
    if (find(w, 0, "weight") == UINT32_MAX)
        return graph_fail(w->graph, "%s: there is no \"features.0.weight\": these are no weights of torchvision's VGG", w->path);
    for (uint32_t number = 0; number <= last && !x->poisoned;) {
        if (find(w, number, "weight") != UINT32_MAX) {
            if (find(w, number + 1, "weight") != UINT32_MAX)
                return graph_fail(w->graph, "%s: features.%u and features.%u follow each other: expected a VGG without batch normalisation",
                                  w->path, number, number + 1);
            x = convolution(w, number, x);
            if (number + 1 <= last)
                x = vkg_relu(w->graph, x);
            number += 2;
        } else if (find(w, number + 1, "weight") != UINT32_MAX || number == last) {
            x = vkg_max_pool(w->graph, x, &(vkg_pool_desc){.kernel = {2, 2}});
            number++;
        } else {
            break;
        }
    }
    return x;
}

vkg_tensor *vkg_vgg_features(vkg_graph *graph, vkg_tensor *images, const char *weights, uint32_t last)
{
    struct weights w = {.graph = graph, .path = weights};
    vkg_safetensors *file;
    const vkg_shape *shape = &images->shape;
    if (images->poisoned || graph->error)
        return graph->poison;
    if (shape->rank != 4 || (shape->dims[3] != 1 && shape->dims[3] != 3))
        return graph_fail(graph, "vkg_vgg_features: images %s, expected [N,H,W,3] or [N,H,W,1]", SHAPE(shape));
    if (vkg_safetensors_open(&graph->log, weights, &file) != VKG_OK)
        return graph_fail(graph, "%s: cannot be read as weights of VGG", weights);
    w.file = file;
    vkg_tensor *features = record(&w, prepare(graph, images), last ? last : UINT32_MAX - 1);
    vkg_safetensors_close(&file);
    return features;
}
