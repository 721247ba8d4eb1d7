/* Inputs that are made from the target: grey, edges, blocks. */
#ifndef VKG_DATA_MADE_INPUT_H
#define VKG_DATA_MADE_INPUT_H

#include "data/picture.h"
#include "vkgan/data.h"

/* Writes the input that `pairing` (GREY, EDGES or BLOCKS) makes of `target`, in [−1, 1]. false when memory is
 * out. */
bool make_input(vkg_pairing pairing, uint32_t factor, const struct picture *target,
                struct scratch_block *scratch, float *input);

#endif
