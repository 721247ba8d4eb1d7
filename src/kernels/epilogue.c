#include "kernels/epilogue.h"

#include "kernels/lowering.h"

uint32_t epilogue_constant(const struct epilogue *epilogue)
{
    return (epilogue->bias ? EPILOGUE_BIAS : 0) | (epilogue->activates ? EPILOGUE_ACTIVATION : 0) |
           (epilogue->step ? EPILOGUE_STEP : 0);
}

/* The kernel declares the binding even where it never reads it: something has to be there. */
static void bind_anything(struct dispatch *dispatch, enum binding_format format)
{
    const struct binding *known = &dispatch->bindings[0];
    dispatch_bind(dispatch, (struct placement){.storage = known->storage, .offset = known->offset}, 16, format, true, false);
}

vkg_result epilogue_bind(struct lowering *lowering, struct dispatch *dispatch, const struct epilogue *epilogue,
                         enum binding_format format)
{
    const vkg_tensor *const tensors[] = {epilogue->bias, epilogue->step};
    vkg_result result = VKG_OK;
    for (int i = 0; i < 2 && result == VKG_OK; i++)
        if (tensors[i])
            result = lowering_bind_tensor(lowering, dispatch, tensors[i], format, true, false);
        else
            bind_anything(dispatch, format);
    return result;
}
