/* What a convolution's kernel does with an element of its result before it writes it, in place of a kernel behind it that
 * would read and write all of it once more: shaders/lib/epilogue.glsl. */
#ifndef VKG_KERNELS_EPILOGUE_H
#define VKG_KERNELS_EPILOGUE_H

#include "graph/graph.h"
#include "kernels/binding_format.h"

struct dispatch;
struct lowering;
struct placement;

/* In this order, each where it is there. */
struct epilogue {
    const vkg_tensor *bias; /* an element a column of the convolution, added; or NULL */
    bool activates;         /* leaky ReLU */
    float slope;            /* of that; 0: ReLU */
    const vkg_tensor *step; /* an element an element of the result, which is multiplied by 1 where that is positive, */
    float step_slope;       /* and by this where it is not; or NULL */
    bool half_step;         /* that lies in memory as the convolution's halves */
    const vkg_tensor *result; /* what is computed then; NULL: that is the convolution's own node */
    bool moments;             /* of the result, for its statistics: where the kernel can (tile_moments.h) */
    const vkg_tensor *copy;   /* the result as the convolution's halves, for the next one to read; or NULL */
    bool only_halves;         /* the result lies in memory as such halves, and nowhere in float32 */
};

/* The specialisation constant EPILOGUE: the sum of these, and, but for what only some kernels can, moments and copies. */
enum {
    EPILOGUE_BIAS = 1,
    EPILOGUE_ACTIVATION = 2,
    EPILOGUE_STEP = 4,
    EPILOGUE_OF_ALL = EPILOGUE_BIAS | EPILOGUE_ACTIVATION | EPILOGUE_STEP, /* what every kernel can */
    EPILOGUE_MOMENTS = 8,
    EPILOGUE_COPY = 16,
    EPILOGUE_ONLY_COPY = 32,
    EPILOGUE_HALF_STEP = 64
};
uint32_t epilogue_constant(const struct epilogue *epilogue);

/* Everything that is asked for. */
uint32_t epilogue_wanted(const struct epilogue *epilogue);

/* For kernels that read float32: a copy of a step of halves, for epilogue_bind; to be called before the kernel's dispatch is
 * begun. Nothing where there is none. */
vkg_result epilogue_unpack_step(struct lowering *lowering, const struct epilogue *epilogue, struct placement *floats);

/* Binds what it reads, behind the kernel's own bindings; the kernel sees these tensors by that format. floats: what
 * epilogue_unpack_step left, or NULL. */
vkg_result epilogue_bind(struct lowering *lowering, struct dispatch *dispatch, const struct epilogue *epilogue,
                         enum binding_format format, const struct placement *floats);

/* Where a kernel declares a binding that it does not use, something has to be there: a piece of what another one has,
 * which the kernel reads or writes as well. */
void epilogue_bind_nothing(struct dispatch *dispatch, uint32_t other, enum binding_format format);

#endif
