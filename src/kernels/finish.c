#include "kernels/finish.h"

enum { WORKGROUP = 256, FOURS = 16, ROWS_EACH = 4 }; /* the last one as in the shader */

/* Two dimensions of a workgroup: fours side by side over the columns, and rows below each other. */
struct tile {
    uint32_t workgroup, fours, rows;
};

bool finish_can(const vkg_device_caps *caps, uint64_t columns)
{
    return caps->kernels != VKG_KERNELS_TEXEL && columns % 4 == 0;
}

static struct tile tile_of(const vkg_device_caps *caps, uint32_t column_fours)
{
    struct tile tile = {.workgroup = workgroup_within(caps, WORKGROUP), .fours = FOURS};
    while (tile.fours > 1 && tile.fours / 2 >= column_fours)
        tile.fours /= 2;
    tile.rows = tile.workgroup / tile.fours * ROWS_EACH;
    return tile;
}

static uint32_t tiles_of(uint32_t size, uint32_t tile)
{
    return (size + tile - 1) / tile;
}

static vkg_result bind_result(struct lowering *lowering, const struct finish *finish, struct dispatch *dispatch)
{
    if (!(finish->constant & EPILOGUE_ONLY_COPY))
        return lowering_bind_written(lowering, dispatch, finish->result, NULL);
    epilogue_bind_nothing(dispatch, 0, FORMAT_STORAGE);
    return VKG_OK;
}

static vkg_result bind_moments(struct lowering *lowering, const struct finish *finish, const struct tile *tile, struct dispatch *dispatch)
{
    struct tile_moments *moments = &lowering->moments[finish->result->id];
    const uint32_t rows = finish->images * finish->height * finish->width, row_tiles = tiles_of(rows, tile->rows);
    if (!(finish->constant & EPILOGUE_MOMENTS)) {
        epilogue_bind_nothing(dispatch, 0, FORMAT_STORAGE);
        return VKG_OK;
    }
    *moments = (struct tile_moments){
        .parts = row_tiles, .columns = (uint32_t)(shape_elements(&finish->result->shape) / rows),
        .geometry = {finish->images, finish->height, finish->width, 1, 1, row_tiles, tile->rows}};
    const uint64_t bytes = 2ull * moments->parts * moments->columns * sizeof(float);
    const vkg_result result = lowering_add_storage(lowering, STORAGE_TEMPORARY, bytes, &moments->storage);
    if (result == VKG_OK)
        dispatch_bind(dispatch, (struct placement){.storage = moments->storage}, bytes, FORMAT_STORAGE, false, true);
    return result;
}

static vkg_result bind_halves(struct lowering *lowering, const struct finish *finish, struct dispatch *dispatch)
{
    if (finish->constant & EPILOGUE_COPY)
        return lowering_bind_tensor(lowering, dispatch, finish->halves, FORMAT_STORAGE, false, true);
    epilogue_bind_nothing(dispatch, 0, FORMAT_STORAGE);
    return VKG_OK;
}

vkg_result lower_finish(struct lowering *lowering, const struct finish *finish)
{
    const char *shader = finish->halves_type == VKG_BFLOAT16 ? "finish_parts_bfloat16" : "finish_parts_float16";
    const uint64_t elements = shape_elements(&finish->result->shape);
    const uint32_t rows = finish->images * finish->height * finish->width, column_fours = (uint32_t)(elements / rows / 4);
    const struct tile tile = tile_of(&lowering->device->caps, column_fours);
    const struct {
        uint32_t rows, column_fours, parts;
        float slope, step_slope;
    } push = {rows, column_fours, finish->parts, finish->epilogue->slope, finish->epilogue->step_slope};
    struct dispatch *dispatch = lowering_add_dispatch(lowering, shader, shader_find(shader));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    dispatch->constants[0] = tile.workgroup;
    dispatch->constants[1] = finish->constant;
    dispatch->constants[2] = tile.fours;
    dispatch->constant_count = 3;
    dispatch_push(dispatch, &push, sizeof push);
    dispatch_bind(dispatch, finish->at, elements * finish->parts * sizeof(float), FORMAT_STORAGE, true, false);
    vkg_result result = bind_result(lowering, finish, dispatch);
    if (result == VKG_OK)
        result = epilogue_bind(lowering, dispatch, finish->epilogue, FORMAT_STORAGE,
                               finish->constant & EPILOGUE_HALF_STEP ? NULL : &finish->step);
    if (result == VKG_OK)
        result = bind_moments(lowering, finish, &tile, dispatch);
    if (result == VKG_OK)
        result = bind_halves(lowering, finish, dispatch);
    return result == VKG_OK ? dispatch_grid(lowering, dispatch, (uint64_t)tiles_of(column_fours, tile.fours) * tiles_of(rows, tile.rows))
                            : result;
}
