/* Feature networks: a graph by the user or of the library, weights by name from a file, and images through both. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/device.h"
#include "io/safetensors.h"
#include "measures/measures.h"
#include "program/state.h"

struct vkg_features {
    vkg_device *device;
    char *name;
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
    vkg_tensor *images, *values;
    uint32_t batch, size;
    uint64_t image_elements;
};

/* --- which network a file is for --- */

static vkg_tensor *classifier(vkg_graph *graph, vkg_tensor *images, const void *user)
{
    (void)user;
    return vkg_classifier_features(graph, images, true);
}

static vkg_tensor *inception(vkg_graph *graph, vkg_tensor *images, const void *user)
{
    (void)user;
    return vkg_inception_features(graph, images);
}

struct known_network {
    const char *tensor; /* that tells it from the others */
    vkg_feature_network network;
    uint32_t batch;
};
static const struct known_network known[] = {
    {"Mixed_7c.branch_pool.conv.weight", inception, 8},
    {"fc1.weight", classifier, 64},
};
enum { KNOWN = sizeof known / sizeof known[0] };

static vkg_result find_network(const vkg_log *log, const vkg_safetensors *file, const char *name,
                               const struct known_network **network)
{
    for (int i = 0; i < KNOWN; i++)
        if (vkg_safetensors_find(file, known[i].tensor) != UINT32_MAX) {
            *network = &known[i];
            return VKG_OK;
        }
    return vkg_fail(log, VKG_ERROR_FORMAT, "%s: holds the weights of no feature network that is known: expected Inception's "
                    "(\"%s\") or the classifier's (\"%s\")", name, known[0].tensor, known[1].tensor);
}

/* --- weights --- */

static vkg_result open_weights(const vkg_log *log, const vkg_features_desc *desc, const char **name, vkg_safetensors **file)
{
    static const char BUILT_IN[] = "the built-in Fashion-MNIST classifier";
    const uint32_t *image = desc->image;
    *name = desc->weights ? desc->weights : BUILT_IN;
    *file = NULL;
    if (desc->weights)
        return vkg_safetensors_open(log, desc->weights, file);
    if (image[0] != 28 || image[1] != 28 || image[2] != 1)
        return vkg_fail(log, VKG_ERROR_INVALID, "there are no built-in weights of a feature network for images of "
                        "%u×%u, %u channels, only for 28×28, 1 channel: name a file of weights", image[0], image[1], image[2]);
    return safetensors_open_memory(log, BUILT_IN, fashion_mnist_weights, fashion_mnist_weights_size, file);
}

/* --- making one --- */

static vkg_result build_graph(vkg_features *features, const vkg_features_desc *desc, vkg_feature_network network)
{
    vkg_result result = vkg_graph_create(&features->device->log, &features->graph);
    if (result != VKG_OK)
        return result;
    features->images = vkg_input(features->graph, "images", VKG_SHAPE(features->batch, desc->image[0], desc->image[1],
                                                                      desc->image[2]));
    features->values = network(features->graph, features->images, desc->user);
    vkg_output(features->graph, "features", features->values);
    const vkg_shape shape = vkg_tensor_shape(features->values);
    if (vkg_graph_error(features->graph))
        return vkg_fail(&features->device->log, VKG_ERROR_INVALID, "%s: cannot take images of %u×%u, %u channels: %s",
                        features->name, desc->image[0], desc->image[1], desc->image[2], vkg_graph_error(features->graph));
    if (shape.rank != 2 || shape.dims[0] != features->batch)
        return vkg_fail(&features->device->log, VKG_ERROR_INVALID, "%s: the network gives a tensor of %u dimensions, "
                        "expected features [%u,size]", features->name, shape.rank, features->batch);
    features->size = shape.dims[1];
    features->image_elements = vkg_tensor_elements(features->images) / features->batch;
    return VKG_OK;
}

static vkg_result set_up(vkg_features *features, const vkg_features_desc *desc, const vkg_safetensors *file)
{
    const struct known_network own = {.network = desc->network, .batch = 64}, *network = &own;
    vkg_result result = desc->network ? VKG_OK : find_network(&features->device->log, file, features->name, &network);
    if (result != VKG_OK)
        return result;
    features->batch = desc->batch ? desc->batch : network->batch;
    result = build_graph(features, desc, network->network);
    if (result == VKG_OK)
        result = vkg_state_create(features->device, &features->graph, 1, 0, &features->state);
    if (result == VKG_OK)
        result = state_load_file(features->state, file, features->name, NULL, NULL);
    return result == VKG_OK ? vkg_program_create(features->device, features->graph, features->state,
                                                 &(vkg_program_desc){.name = "features"}, &features->program)
                            : result;
}

vkg_result vkg_features_create(vkg_device *device, const vkg_features_desc *desc, vkg_features **features)
{
    const char *name;
    vkg_safetensors *file;
    *features = NULL;
    vkg_result result = open_weights(&device->log, desc, &name, &file);
    if (result != VKG_OK)
        return result;
    vkg_features *made = calloc(1, sizeof *made);
    if (made)
        *made = (struct vkg_features){.device = device, .name = strdup(name)};
    result = made && made->name ? set_up(made, desc, file)
                                : vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of host memory", name);
    vkg_safetensors_close(&file);
    if (result != VKG_OK)
        vkg_features_destroy(&made);
    *features = made;
    return result;
}

void vkg_features_destroy(vkg_features **features)
{
    if (!features || !*features)
        return;
    vkg_program_destroy(&(*features)->program);
    vkg_state_destroy(&(*features)->state);
    vkg_graph_destroy(&(*features)->graph);
    free((*features)->name);
    free(*features);
    *features = NULL;
}

/* --- using it --- */

uint32_t vkg_features_size(const vkg_features *features)
{
    return features->size;
}

const char *vkg_features_name(const vkg_features *features)
{
    return features->name;
}

vkg_result vkg_features_compute(vkg_features *features, const float *images, uint32_t count, float *values)
{
    const uint64_t elements = features->image_elements;
    for (uint32_t done = 0; done < count; done += features->batch) {
        const uint32_t part = count - done < features->batch ? count - done : features->batch;
        memcpy(vkg_program_input(features->program, features->images, 0), images + done * elements,
               part * elements * sizeof *images);
        vkg_result result = vkg_program_run(features->program);
        if (result != VKG_OK)
            return result;
        memcpy(values + (uint64_t)done * features->size, vkg_program_output(features->program, features->values, 0),
               (uint64_t)part * features->size * sizeof *values);
    }
    return VKG_OK;
}
