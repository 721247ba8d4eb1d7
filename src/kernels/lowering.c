#include "kernels/lowering.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arithmetic.h"
#include "program/state.h"

vkg_result lowering_out_of_memory(struct lowering *lowering)
{
    return vkg_fail(&lowering->device->log, VKG_ERROR_OUT_OF_MEMORY, "building the program: out of host memory");
}

vkg_result lowering_add_storage(struct lowering *lowering, enum storage_kind kind, uint64_t bytes, uint32_t *storage)
{
    if (!array_reserve((void **)&lowering->storages, &lowering->storage_capacity, lowering->storage_count,
                       sizeof *lowering->storages))
        return lowering_out_of_memory(lowering);
    *storage = (uint32_t)lowering->storage_count;
    bytes = round_up(bytes, STORAGE_GRAIN);
    if (lowering->device->caps.kernels == VKG_KERNELS_TEXEL) /* a view of all of it is to show no neighbour, which would cost a barrier */
        bytes = view_bytes(bytes);
    lowering->storages[lowering->storage_count++] = (struct storage){.kind = kind, .bytes = bytes,
                                                                     .first = UINT32_MAX};
    return VKG_OK;
}

vkg_result lowering_add_counters(struct lowering *lowering, uint64_t count, struct placement *placement)
{
    vkg_result result = lowering->counter_bytes ? VKG_OK : lowering_add_storage(lowering, STORAGE_DATA, 0, &lowering->counters);
    if (result != VKG_OK)
        return result;
    *placement = (struct placement){lowering->counters, lowering->counter_bytes};
    lowering->counter_bytes += round_up(count * sizeof(uint32_t), STORAGE_GRAIN);
    lowering->storages[lowering->counters].bytes = lowering->counter_bytes;
    return VKG_OK;
}

static enum storage_kind storage_kind_of(const vkg_tensor *tensor)
{
    return tensor->op == &op_state   ? STORAGE_STATE
           : tensor->op == &op_input ? STORAGE_INPUT
           : tensor->op == &op_data  ? STORAGE_DATA
                                     : STORAGE_TEMPORARY;
}

vkg_dtype lowering_dtype(const struct lowering *lowering, const vkg_tensor *tensor)
{
    return lowering->memory[tensor_storage(tensor)->id];
}

uint64_t lowering_bytes(const struct lowering *lowering, const vkg_tensor *tensor)
{
    return shape_elements(&tensor->shape) * vkg_dtype_size(lowering_dtype(lowering, tensor));
}

vkg_result lowering_place(struct lowering *lowering, const vkg_tensor *tensor, struct placement *placement)
{
    tensor = tensor_storage(tensor);
    struct placement *known = &lowering->placements[tensor->id];
    vkg_result result = VKG_OK;
    if (known->storage == UINT32_MAX) {
        enum storage_kind kind = storage_kind_of(tensor);
        result = lowering_add_storage(lowering, kind, lowering_bytes(lowering, tensor), &known->storage);
        if (result == VKG_OK && kind == STORAGE_STATE)
            result = state_address(lowering->state, tensor->name, &lowering->storages[known->storage].address);
    }
    *placement = *known;
    return result;
}

void lowering_place_at(struct lowering *lowering, const vkg_tensor *tensor, uint32_t storage, uint64_t offset)
{
    struct placement *placement = &lowering->placements[tensor_storage(tensor)->id];
    assert(placement->storage == UINT32_MAX);
    *placement = (struct placement){.storage = storage, .offset = offset};
}

vkg_result lowering_state_address(const struct lowering *lowering, uint32_t declaration, uint64_t *address)
{
    return state_address(lowering->state, lowering->graph->declarations[declaration].name, address);
}

struct dispatch *lowering_add_dispatch(struct lowering *lowering, const char *label, const struct shader *shader)
{
    if (!array_reserve((void **)&lowering->dispatches, &lowering->dispatch_capacity, lowering->dispatch_count,
                       sizeof *lowering->dispatches))
        return NULL;
    struct dispatch *dispatch = &lowering->dispatches[lowering->dispatch_count++];
    *dispatch = (struct dispatch){.label = label, .shader = shader, .groups = {1, 1, 1}};
    return dispatch;
}

void dispatch_bind(struct dispatch *dispatch, struct placement placement, uint64_t bytes, enum binding_format format,
                   bool read, bool written)
{
    assert(dispatch->binding_count < PIPELINE_MAX_BINDINGS);
    static const uint64_t grains[] = {[FORMAT_STORAGE] = 16, [FORMAT_TEXEL_VEC4] = 16, [FORMAT_TEXEL_SCALAR] = 4,
                                      [FORMAT_TEXEL_VEC4_HALF] = 8, [FORMAT_TEXEL_SCALAR_HALF] = 2, [FORMAT_TEXEL_INT] = 4};
    const uint64_t grain = grains[format]; /* memory is given out in larger ones */
    dispatch->bindings[dispatch->binding_count++] = (struct binding){
        .storage = placement.storage, .offset = placement.offset, .bytes = round_up(bytes, grain),
        .format = format, .read = read, .written = written};
}

vkg_result lowering_bind_tensor(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *tensor,
                                enum binding_format format, bool read, bool written)
{
    struct placement placement;
    vkg_result result = lowering_place(lowering, tensor, &placement);
    if (result != VKG_OK)
        return result;
    uint64_t bytes = lowering_bytes(lowering, tensor);
    if (format == FORMAT_STORAGE && bytes > lowering->device->caps.max_storage_buffer_range)
        return vkg_fail(&lowering->device->log, VKG_ERROR_UNSUPPORTED,
                        "%s: a tensor of shape %s takes %llu bytes, and a buffer range on %s at most %llu "
                        "(maxStorageBufferRange): use a smaller batch or size",
                        dispatch->label, SHAPE(&tensor->shape), (unsigned long long)bytes,
                        lowering->device->caps.name, (unsigned long long)lowering->device->caps.max_storage_buffer_range);
    dispatch_bind(dispatch, placement, bytes, format, read, written);
    return VKG_OK;
}

vkg_result lowering_bind_written(struct lowering *lowering, struct dispatch *dispatch, const vkg_tensor *tensor,
                                 const struct placement *floats)
{
    if (!floats)
        return lowering_bind_tensor(lowering, dispatch, tensor, FORMAT_STORAGE, false, true);
    dispatch_bind(dispatch, *floats, shape_elements(&tensor->shape) * 4, FORMAT_STORAGE, false, true);
    return VKG_OK;
}

struct extent binding_extent(const struct lowering *lowering, const struct binding *binding)
{
    const struct storage *storage = &lowering->storages[binding->storage];
    const bool state = storage->kind == STORAGE_STATE;
    const uint64_t first = (state ? storage->address : 0) + binding->offset;
    return (struct extent){state ? lowering->storage_count : binding->storage, first, first + binding->bytes};
}

uint64_t dispatch_bytes(const struct dispatch *dispatch)
{
    uint64_t bytes = 0;
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        bytes += dispatch->bindings[b].bytes;
    return bytes;
}

vkg_result lowering_check_ranges(const struct lowering *lowering)
{
    const vkg_device_caps *caps = &lowering->device->caps;
    for (size_t d = 0; d < lowering->dispatch_count; d++)
        for (uint32_t b = 0; b < lowering->dispatches[d].binding_count; b++) {
            const struct binding *binding = &lowering->dispatches[d].bindings[b];
            if (binding->format == FORMAT_STORAGE && binding->bytes > caps->max_storage_buffer_range)
                return vkg_fail(&lowering->device->log, VKG_ERROR_UNSUPPORTED,
                                "%s: a kernel is to see %llu bytes at once, and a buffer range on %s has at most %llu "
                                "(maxStorageBufferRange): use a smaller batch or size",
                                lowering->dispatches[d].label, (unsigned long long)binding->bytes, caps->name,
                                (unsigned long long)caps->max_storage_buffer_range);
        }
    return VKG_OK;
}

void dispatch_push(struct dispatch *dispatch, const void *data, uint32_t bytes)
{
    assert(bytes <= PIPELINE_PUSH_BYTES && bytes % 4 == 0);
    memcpy(dispatch->push, data, bytes);
    dispatch->push_bytes = bytes;
}

vkg_result dispatch_grid(struct lowering *lowering, struct dispatch *dispatch, uint64_t groups)
{
    const uint32_t *most = lowering->device->caps.max_workgroup_count;
    uint64_t rows = (groups + most[0] - 1) / most[0];
    if (rows > most[1])
        return vkg_fail(&lowering->device->log, VKG_ERROR_UNSUPPORTED,
                        "%s: %llu workgroups are more than %s can run (maxComputeWorkGroupCount)", dispatch->label,
                        (unsigned long long)groups, lowering->device->caps.name);
    dispatch->groups[0] = (uint32_t)((groups + rows - 1) / rows);
    dispatch->groups[1] = (uint32_t)rows;
    return VKG_OK;
}

enum binding_format lowering_read_format(const struct lowering *lowering, uint64_t bytes, bool vec4)
{
    const vkg_device_caps *caps = &lowering->device->caps;
    if (caps->kernels != VKG_KERNELS_TEXEL || bytes > (vec4 ? 16 : 4) * caps->max_texel_buffer_elements)
        return FORMAT_STORAGE;
    return vec4 ? FORMAT_TEXEL_VEC4 : FORMAT_TEXEL_SCALAR;
}

static const char *parts_shader(const struct partial_results *partial, bool texel)
{
    static const char *const names[][2] = {[REDUCE_SUM] = {"sum_parts_storage", "sum_parts_texel"},
                                           [REDUCE_MAX] = {"max_parts_storage", "max_parts_texel"},
                                           [REDUCE_DEVIATIONS] = {"deviations_parts_storage", "deviations_parts_texel"}},
                             *const of_tiles[] = {"tile_moments_storage", "tile_moments_texel"},
                             *const finished[] = {"finished_parts_storage", "finished_parts_texel"};
    return (partial->epilogue ? finished : partial->tiles ? of_tiles : names[partial->reduction])[texel];
}

/* The push constants of reduce_parts.comp. */
static void push_parts(struct dispatch *dispatch, const struct partial_results *partial)
{
    struct {
        uint32_t count, parts, inner;
        union {
            uint32_t reduced;
            struct {
                uint32_t columns;
                float slope, step_slope;
            } epilogue;
            struct tile_geometry tiles;
        } more;
    } push = {(uint32_t)(partial->outer * partial->inner), (uint32_t)partial->parts, (uint32_t)partial->inner, {0}};
    uint32_t bytes = 12;
    if (partial->epilogue) {
        const vkg_tensor *bias = partial->epilogue->bias; /* which alone asks for the column */
        push.more.epilogue.columns = bias ? (uint32_t)shape_elements(&bias->shape) : 1;
        push.more.epilogue.slope = partial->epilogue->slope;
        push.more.epilogue.step_slope = partial->epilogue->step_slope;
        bytes += sizeof push.more.epilogue;
    } else if (partial->tiles) {
        push.more.tiles = partial->tiles->geometry;
        bytes += sizeof push.more.tiles;
    } else if (partial->reduction == REDUCE_DEVIATIONS) {
        push.more.reduced = (uint32_t)partial->reduced;
        bytes += sizeof push.more.reduced;
    }
    dispatch_push(dispatch, &push, bytes);
}

/* How many invocations share an element: on a graphics card few elements of many parts would leave it idle. */
static uint32_t choose_lanes(const vkg_device_caps *caps, uint64_t count, uint64_t parts)
{
    enum { BUSY = 32768, MOST = 64, PARTS_A_LANE = 4 };
    uint32_t lanes = 1;
    const bool shares = caps->type != VKG_DEVICE_CPU && !caps->shared_sizes_fixed;
    while (shares && lanes < MOST && count * lanes < BUSY && lanes * 2 * PARTS_A_LANE <= parts)
        lanes *= 2;
    return lanes;
}

/* Eight elements side by side, which memory brings together, by all of their lanes, where the device runs so many. */
static uint32_t workgroup_of_lanes(const vkg_device_caps *caps, uint32_t lanes)
{
    const uint32_t simple = simple_workgroup(caps), wanted = 8 * lanes;
    return wanted > simple ? wanted < caps->max_workgroup_invocations ? wanted : caps->max_workgroup_invocations : simple;
}

static vkg_result bind_reduced(struct lowering *lowering, struct dispatch *dispatch, const struct partial_results *partial,
                               const vkg_tensor *result_tensor, enum binding_format format)
{
    const vkg_tensor *const results[] = {result_tensor, partial->deviations};
    vkg_result result = VKG_OK;
    for (int i = 0; i < (partial->tiles ? 2 : 1) && result == VKG_OK; i++)
        if (results[i])
            result = lowering_bind_written(lowering, dispatch, results[i], partial->floats);
        else
            epilogue_bind_nothing(dispatch, 0, FORMAT_STORAGE);
    return result == VKG_OK && partial->epilogue ? epilogue_bind(lowering, dispatch, partial->epilogue, format, &partial->step)
                                                  : result;
}

vkg_result lowering_reduce_parts(struct lowering *lowering, const struct partial_results *partial,
                                 const vkg_tensor *result_tensor)
{
    const bool two_planes = partial->tiles || partial->reduction == REDUCE_DEVIATIONS;
    uint64_t count = partial->outer * partial->inner, bytes = count * partial->parts * (two_planes ? 8 : 4);
    enum binding_format format = lowering_read_format(lowering, bytes, false);
    const char *name = parts_shader(partial, format != FORMAT_STORAGE);
    struct dispatch *dispatch = lowering_add_dispatch(lowering, name, shader_find(name));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    const uint32_t lanes = choose_lanes(&lowering->device->caps, count, partial->parts);
    const uint32_t workgroup = workgroup_of_lanes(&lowering->device->caps, lanes);
    push_parts(dispatch, partial);
    dispatch->constants[0] = workgroup;
    dispatch->constants[1] = partial->epilogue ? epilogue_constant(partial->epilogue)
                             : partial->tiles  ? (result_tensor ? 1u : 0) + (partial->deviations ? 2u : 0)
                                               : 0;
    dispatch->constants[2] = lanes;
    dispatch->constant_count = 3;
    dispatch_bind(dispatch, partial->at, bytes, format, true, false);
    const vkg_result result = bind_reduced(lowering, dispatch, partial, result_tensor, format);
    const uint32_t elements = workgroup / lanes; /* of a workgroup */
    return result == VKG_OK ? dispatch_grid(lowering, dispatch, (count + elements - 1) / elements) : result;
}

static vkg_result convert_halves(struct lowering *lowering, const char *shader, uint64_t elements,
                                 const struct placement places[2], const uint32_t sizes[2])
{
    const vkg_device_caps *caps = &lowering->device->caps;
    const uint32_t count = (uint32_t)((elements + 3) / 4), workgroup = simple_workgroup(caps);
    struct dispatch *dispatch = lowering_add_dispatch(lowering, shader, shader_find(shader));
    if (!dispatch)
        return lowering_out_of_memory(lowering);
    dispatch_push(dispatch, &count, sizeof count);
    dispatch->constants[dispatch->constant_count++] = workgroup;
    for (int i = 0; i < 2; i++)
        dispatch_bind(dispatch, places[i], elements * sizes[i], FORMAT_STORAGE, i == 0, i == 1);
    return dispatch_grid(lowering, dispatch, (count + workgroup - 1) / workgroup);
}

vkg_result lowering_unpack_halves(struct lowering *lowering, const vkg_tensor *halves, struct placement *floats)
{
    const uint64_t elements = shape_elements(&halves->shape);
    struct placement at;
    vkg_result result = lowering_place(lowering, halves, &at);
    *floats = (struct placement){0};
    if (result == VKG_OK)
        result = lowering_add_storage(lowering, STORAGE_TEMPORARY, elements * 4, &floats->storage);
    const char *shader = lowering_dtype(lowering, halves) == VKG_FLOAT16 ? "float16_to_float32" : "bfloat16_to_float32";
    return result == VKG_OK ? convert_halves(lowering, shader, elements, (struct placement[]){at, *floats}, (uint32_t[]){2, 4}) : result;
}

vkg_result lowering_pack_halves(struct lowering *lowering, struct placement floats, const vkg_tensor *halves)
{
    struct placement at;
    const vkg_result result = lowering_place(lowering, halves, &at);
    const char *shader = lowering_dtype(lowering, halves) == VKG_FLOAT16 ? "float32_to_float16" : "float32_to_bfloat16";
    return result == VKG_OK ? convert_halves(lowering, shader, shape_elements(&halves->shape), (struct placement[]){floats, at},
                                             (uint32_t[]){4, 2})
                            : result;
}
