/* vkgan: generative adversarial networks on any Vulkan device. All of the public headers, lower rooms first. */
#ifndef VKGAN_VKGAN_H
#define VKGAN_VKGAN_H

#include "vkgan/result.h"
#include "vkgan/device.h"
#include "vkgan/graph.h"
#include "vkgan/custom.h"
#include "vkgan/ops.h"
#include "vkgan/resample.h"
#include "vkgan/layers.h"
#include "vkgan/recurrent.h"
#include "vkgan/optimizer.h"
#include "vkgan/program.h"
#include "vkgan/augment.h"
#include "vkgan/gan_loss.h"
#include "vkgan/gan.h"
#include "vkgan/measures.h"
#include "vkgan/io.h"
#include "vkgan/data.h"

#endif
