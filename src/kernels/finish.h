/* The second kernel of a convolution whose sums are in parts: shaders/finish_parts.comp. */
#ifndef VKG_KERNELS_FINISH_H
#define VKG_KERNELS_FINISH_H

#include "kernels/lowering.h"

/* Can the device run it for a result of so many columns? */
bool finish_can(const vkg_device_caps *caps, uint64_t columns);

struct finish {
    const struct epilogue *epilogue;
    uint32_t constant; /* what is done of that: EPILOGUE_BIAS and so on */
    uint32_t parts;
    struct placement at, step; /* of the parts; of the epilogue's step: see epilogue_unpack_step */
    uint32_t images, height, width; /* of the result */
    vkg_dtype halves_type; /* of what it writes, or reads, as halves */
    const vkg_tensor *result, *halves; /* halves: where EPILOGUE_COPY is set */
};

/* Adds the parts, and does all that `constant` says; moments are noted as those of the result. */
vkg_result lower_finish(struct lowering *lowering, const struct finish *finish);

#endif
