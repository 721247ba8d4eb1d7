#ifndef VKG_GAN_NETWORK_H
#define VKG_GAN_NETWORK_H

#include "vkgan/gan.h"

/* Calls a network function inside its scope. */
vkg_tensor *network_call(vkg_graph *graph, vkg_network network, const char *scope, vkg_tensor *input,
                         const vkg_network_settings *settings);

/* The same of a generator, which fails where its images are not [N, image[0], image[1], image[2]]; a side of 0: any. */
vkg_tensor *network_generate(vkg_graph *graph, vkg_network generator, const char *scope, vkg_tensor *input,
                             const vkg_network_settings *settings, const uint32_t image[3]);

#endif
