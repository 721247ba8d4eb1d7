/* What the augmentations share. */
#ifndef VKG_GAN_AUGMENT_H
#define VKG_GAN_AUGMENT_H

#include "graph/graph.h"
#include "vkgan/augment.h"

/* All that the two know. */
enum {
    DIFF_CHANGES = VKG_CHANGE_COLOR | VKG_CHANGE_TRANSLATION | VKG_CHANGE_CUTOUT,
    ADA_CHANGES = VKG_CHANGE_BLIT | VKG_CHANGE_GEOMETRY | VKG_CHANGE_COLOR,
};

/* NULL, or a poisoned tensor: `images` are no images, or `changes` holds what is not in `known`. */
vkg_tensor *wrong_augmentation(vkg_graph *graph, const char *call, const vkg_tensor *images, uint32_t changes,
                               uint32_t known);
/* `given` of [N,count], or fresh numbers where it is NULL. */
vkg_tensor *uniform_numbers(vkg_graph *graph, const char *call, const vkg_tensor *images, vkg_tensor *given,
                            uint32_t count);
/* Column i of [N,count] as [N,1,1,1], a number an image. */
vkg_tensor *number_of_images(vkg_graph *graph, vkg_tensor *numbers, uint32_t i);
/* Uniform in (0, 1] → 0, 1, … n − 1, all alike. */
vkg_tensor *whole_number(vkg_graph *graph, vkg_tensor *uniform, uint32_t n);
/* 0, 1, … size − 1 along one axis of [1,1,1,1]. */
vkg_tensor *pixel_numbers(vkg_graph *graph, uint32_t size, uint32_t axis);

#endif
