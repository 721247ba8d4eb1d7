/* The small classifier whose features are the default where it was trained: see examples/classifier.c. */
#include "vkgan/layers.h"
#include "vkgan/measures.h"
#include "vkgan/resample.h"

static vkg_tensor *block(vkg_graph *graph, vkg_tensor *x, uint32_t number, uint32_t out, uint32_t stride, bool evaluation)
{
    static const char *const convs[] = {"conv1", "conv2", "conv3"}, *const norms[] = {"bn1", "bn2", "bn3"};
    const vkg_shape shape = vkg_tensor_shape(x);
    const vkg_init init = vkg_init_kaiming_normal(sqrtf(2), 9 * shape.dims[3]);
    x = vkg_conv2d(graph, x, &(vkg_conv_desc){.name = convs[number], .out = out, .kernel = 3, .stride = stride, .pad = 1,
                                              .weight.init = &init});
    x = vkg_batch_norm(graph, x, &(vkg_batch_norm_desc){.name = norms[number], .init_std = -1, .evaluation = evaluation});
    return vkg_relu(graph, x);
}

vkg_tensor *vkg_classifier_features(vkg_graph *graph, vkg_tensor *images, bool evaluation)
{
    static const uint32_t parts[2] = {2, 2};
    vkg_tensor *x = block(graph, images, 0, 16, 1, evaluation);
    x = block(graph, x, 1, 32, 2, evaluation);
    x = block(graph, x, 2, 64, 2, evaluation);
    x = vkg_adaptive_avg_pool(graph, x, parts);
    x = vkg_reshape(graph, x, VKG_SHAPE(vkg_tensor_shape(images).dims[0], 2 * 2 * 64));
    const vkg_init init = vkg_init_kaiming_normal(sqrtf(2), 2 * 2 * 64);
    x = vkg_linear(graph, x, &(vkg_linear_desc){.name = "fc1", .out = 64, .bias = true, .weight.init = &init});
    return vkg_relu(graph, x);
}

vkg_tensor *vkg_classifier_logits(vkg_graph *graph, vkg_tensor *features, uint32_t classes)
{
    const vkg_init init = vkg_init_xavier_normal(1, 64, classes);
    return vkg_linear(graph, features, &(vkg_linear_desc){.name = "fc2", .out = classes, .bias = true, .weight.init = &init});
}
