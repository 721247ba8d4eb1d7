/* Statistics of a convolution's result that its kernel leaves: of every tile's columns the mean and the sum of squared
 * deviations. Sums and squared deviations over all axes but the last are made of these, without reading the result. */
#ifndef VKG_KERNELS_TILE_MOMENTS_H
#define VKG_KERNELS_TILE_MOMENTS_H

#include "kernels/fused.h"

/* Can the node, a reduction, be made of them? */
bool moments_are_of_columns(const vkg_tensor *node);

/* Computes those outputs of the kernel of which there are moments, and takes them out of it. */
vkg_result moments_lower(struct lowering *lowering, struct fused_kernel *kernel);

#endif
