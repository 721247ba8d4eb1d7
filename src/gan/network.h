#ifndef VKG_GAN_NETWORK_H
#define VKG_GAN_NETWORK_H

#include "vkgan/gan.h"

/* Calls a network function inside its scope. */
vkg_tensor *network_call(vkg_graph *graph, vkg_network network, const char *scope, vkg_tensor *input,
                         const vkg_network_settings *settings);

#endif
