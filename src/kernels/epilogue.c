#include "kernels/epilogue.h"

#include "kernels/lowering.h"

uint32_t epilogue_constant(const struct epilogue *epilogue)
{
    return (epilogue->bias ? EPILOGUE_BIAS : 0) | (epilogue->activates ? EPILOGUE_ACTIVATION : 0) |
           (epilogue->step ? EPILOGUE_STEP : 0);
}

uint32_t epilogue_wanted(const struct epilogue *epilogue)
{
    return epilogue_constant(epilogue) | (epilogue->moments ? EPILOGUE_MOMENTS : 0) |
           (epilogue->copy || epilogue->only_halves ? EPILOGUE_COPY : 0) |
           (epilogue->only_halves ? EPILOGUE_ONLY_COPY : 0) | (epilogue->half_step ? EPILOGUE_HALF_STEP : 0);
}

vkg_result epilogue_unpack_step(struct lowering *lowering, const struct epilogue *epilogue, struct placement *floats)
{
    *floats = (struct placement){0};
    return epilogue->half_step ? lowering_unpack_halves(lowering, epilogue->step, floats) : VKG_OK;
}

void epilogue_bind_nothing(struct dispatch *dispatch, uint32_t other, enum binding_format format)
{
    const struct binding *known = &dispatch->bindings[other];
    dispatch_bind(dispatch, (struct placement){.storage = known->storage, .offset = known->offset}, 16, format, known->read,
                  known->written);
}

vkg_result epilogue_bind(struct lowering *lowering, struct dispatch *dispatch, const struct epilogue *epilogue,
                         enum binding_format format, const struct placement *floats)
{
    const vkg_tensor *const tensors[] = {epilogue->bias, epilogue->step};
    vkg_result result = VKG_OK;
    for (int i = 0; i < 2 && result == VKG_OK; i++)
        if (i == 1 && floats && epilogue->half_step)
            dispatch_bind(dispatch, *floats, shape_elements(&tensors[i]->shape) * 4, format, true, false);
        else if (tensors[i])
            result = lowering_bind_tensor(lowering, dispatch, tensors[i], format, true, false);
        else
            epilogue_bind_nothing(dispatch, 0, format);
    return result;
}
