/* Kernel and distance matrices, a block at a time. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/device.h"
#include "measures/measures.h"
#include "vkgan/ops.h"

struct pairs {
    vkg_graph *graph;
    vkg_program *program;
    vkg_tensor *a, *b, *matrix;
    uint32_t size;
};

static vkg_tensor *cubic_kernel(vkg_graph *graph, vkg_tensor *products, uint32_t size)
{
    vkg_tensor *x = vkg_affine(graph, products, 1.0f / (float)size, 1);
    return vkg_mul(graph, vkg_square(graph, x), x);
}

/* |a|² + |b|² − 2·aᵀb: exact to float32's rounding of the squares, hence for centred features. */
static vkg_tensor *squared_distance(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, vkg_tensor *products)
{
    const uint32_t rows = vkg_tensor_shape(b).dims[0];
    vkg_tensor *left = vkg_sum(graph, vkg_square(graph, a), 1u << 1, true);
    vkg_tensor *right = vkg_reshape(graph, vkg_sum(graph, vkg_square(graph, b), 1u << 1, true), VKG_SHAPE(1, rows));
    vkg_tensor *sum = vkg_add(graph, vkg_add(graph, left, right), vkg_affine(graph, products, -2, 0));
    return vkg_maximum(graph, sum, vkg_constant(graph, 0, VKG_SCALAR));
}

static vkg_result set_up(vkg_device *device, enum pair_measure measure, uint32_t rows, uint32_t size, struct pairs *pairs)
{
    vkg_result result = vkg_graph_create(&device->log, &pairs->graph);
    if (result != VKG_OK)
        return result;
    vkg_graph *graph = pairs->graph;
    pairs->size = size;
    pairs->a = vkg_input(graph, "a", VKG_SHAPE(rows, size));
    pairs->b = vkg_input(graph, "b", VKG_SHAPE(rows, size));
    vkg_tensor *products = vkg_matmul(graph, pairs->a, pairs->b, false, true);
    pairs->matrix = measure == PAIR_CUBIC_KERNEL ? cubic_kernel(graph, products, size)
                                                 : squared_distance(graph, pairs->a, pairs->b, products);
    vkg_output(graph, "pairs", pairs->matrix);
    return vkg_program_create(device, graph, NULL, &(vkg_program_desc){.name = "pairs"}, &pairs->program);
}

vkg_result pairs_create(vkg_device *device, enum pair_measure measure, uint32_t rows, uint32_t size, struct pairs **pairs)
{
    *pairs = calloc(1, sizeof **pairs);
    if (!*pairs)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "measures: out of host memory");
    vkg_result result = set_up(device, measure, rows, size, *pairs);
    if (result != VKG_OK)
        pairs_destroy(pairs);
    return result;
}

void pairs_destroy(struct pairs **pairs)
{
    if (!*pairs)
        return;
    vkg_program_destroy(&(*pairs)->program);
    vkg_graph_destroy(&(*pairs)->graph);
    free(*pairs);
    *pairs = NULL;
}

vkg_result pairs_compute(struct pairs *pairs, const float *a, uint32_t a_count, const float *b, uint32_t b_count,
                         const float **matrix)
{
    memcpy(vkg_program_input(pairs->program, pairs->a, 0), a, (uint64_t)a_count * pairs->size * sizeof *a);
    memcpy(vkg_program_input(pairs->program, pairs->b, 0), b, (uint64_t)b_count * pairs->size * sizeof *b);
    vkg_result result = vkg_program_run(pairs->program);
    *matrix = vkg_program_output(pairs->program, pairs->matrix, 0);
    return result;
}
