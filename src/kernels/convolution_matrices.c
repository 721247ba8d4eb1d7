/* Kernels of cooperative matrices. */
#include <string.h>

#include "kernels/convolution_plan.h"

/* Subgroups side by side, of so many matrices each, that take so many terms at a time; `workgroups` as in struct kernel.
 * by_image: the order of rows (lib/conv_product.glsl). */
struct matrix_tile {
    uint32_t subgroup_rows, subgroup_columns, fragment_rows, fragment_columns, depth, workgroups;
    bool by_image;
    enum { SMALL = 1, LARGE = 2, ANY = SMALL | LARGE } likely; /* for problems of this size; the others are not worth a trial */
};

/* The specialisation constants of conv_coopmat.comp from 2 on. */
static void set_matrix_constants(const vkg_matrix_shape *shape, const struct matrix_tile *t, struct conv_plan *plan)
{
    const uint32_t constants[] = {shape->m, shape->n, shape->k, t->subgroup_rows, t->subgroup_columns, t->fragment_rows,
                                  t->fragment_columns, plan->step.grains[0], plan->step.grains[1], t->depth, t->by_image};
    _Static_assert(sizeof constants <= sizeof plan->step.constants, "room for all");
    memcpy(plan->step.constants, constants, sizeof constants);
    plan->step.constant_count = sizeof constants / sizeof *constants;
    plan->step.specialized = true;
}

/* Of the inputs in shared memory, lines with a gap behind each: along the terms, or where memory has them so along rows or
 * columns. */
static uint32_t matrix_tile_bytes(enum conv_direction direction, uint32_t rows, uint32_t columns, uint32_t depth)
{
    const uint32_t a = direction == CONV_WEIGHT_GRAD ? depth * (rows + 8) : rows * (depth + 8);
    const uint32_t b = direction == CONV_INPUT_GRAD ? columns * (depth + 8) : depth * (columns + 8);
    return 2 * (a + b);
}

/* And when they are summed, of a column of matrices of each subgroup. */
static uint32_t matrix_result_bytes(const vkg_matrix_shape *shape, const struct matrix_tile *t)
{
    return t->subgroup_rows * t->subgroup_columns * t->fragment_rows * shape->m * (shape->n + 4) * 4;
}

static bool plan_matrices(const struct question *question, const vkg_matrix_shape *shape, const struct matrix_tile *t,
                          struct conv_plan *plan)
{
    static const char *const names[2][3] = {OF_EACH_DIRECTION("coopmat_float16"), OF_EACH_DIRECTION("coopmat_bfloat16")};
    const vkg_device_caps *caps = question->caps;
    const struct conv_problem *p = question->problem;
    const struct sizes *s = &question->sizes;
    const uint32_t subgroups = t->subgroup_rows * t->subgroup_columns, threads = subgroups * caps->subgroup_size;
    const struct kernel tile = {.rows = shape->m * t->fragment_rows * t->subgroup_rows,
                                .columns = shape->n * t->fragment_columns * t->subgroup_columns, .workgroups = t->workgroups};
    const uint32_t inputs = matrix_tile_bytes(question->direction, tile.rows, tile.columns, t->depth),
                   results = matrix_result_bytes(shape, t);
    const uint32_t others = tile.rows * 4 + threads * 36; /* where rows begin; moments */
    const bool one_order = question->direction == CONV_WEIGHT_GRAD || p->n == 1;
    if (!conv_suits(&tile, s, 64) || (t->by_image && one_order) || threads > caps->max_workgroup_invocations ||
        t->depth % shape->k || threads % (tile.rows / 8) || threads % (tile.columns / 8) || threads % (t->depth / 8) ||
        /* in fours, the results of a column of a subgroup's matrices come out even, and lanes keep to their columns */
        t->fragment_rows * shape->m * shape->n / 4 % caps->subgroup_size || caps->subgroup_size % (shape->n / 4) ||
        (inputs > results ? inputs : results) + others > caps->max_shared_memory)
        return false;
    plan->step.shader = names[question->dtype == VKG_BFLOAT16][question->direction];
    plan->step.workgroup = threads;
    plan->step.subgroup_size = caps->subgroup_size;
    plan->step.tile[0] = tile.rows, plan->step.tile[1] = tile.columns, plan->step.tile[2] = t->depth;
    plan->step.by_image = t->by_image;
    if (question->direction != CONV_WEIGHT_GRAD)
        plan->step.moments_tile[0] = tile.rows, plan->step.moments_tile[1] = tile.columns;
    plan->step.copies = question->direction != CONV_WEIGHT_GRAD && s->columns % 4 == 0; /* two halves share a word */
    conv_set_grains(question, 8, plan);
    set_matrix_constants(shape, t, plan);
    plan->step.formats[0] = plan->step.formats[1] = FORMAT_STORAGE;
    return conv_set_tiles(question, &tile, t->depth, plan);
}

uint32_t conv_add_matrices(const struct question *question, const struct conv_plan *unfinished, struct conv_plan *plans)
{
    /* The best guess first: that for few columns, which suits no others. What was the fastest of large problems, or of small ones, on
     * an H200: the larger a tile, the less is read; where there is little to compute, the sooner it is done the better. */
    static const struct matrix_tile tiles_tried[] = {
        {4, 1, 2, 1, 64, 0, true, ANY},      {2, 2, 2, 2, 32, 1, false, SMALL},   {2, 2, 2, 2, 32, 0, false, SMALL},
        {2, 2, 2, 2, 32, 128, false, SMALL},
        {2, 2, 4, 2, 64, 256, false, ANY},   {2, 2, 4, 4, 64, 256, true, LARGE},  {2, 2, 4, 4, 64, 256, false, LARGE},
        {2, 2, 2, 2, 64, 256, false, LARGE}};
    enum { TILES = sizeof tiles_tried / sizeof *tiles_tried };
    _Static_assert((int)TILES == (int)CONV_MOST_MATRICES, "as conv_candidates expects");
    const vkg_matrix_shape none = {0}, shape = question->dtype == VKG_FLOAT16    ? question->caps->matrix_float16
                                               : question->dtype == VKG_BFLOAT16 ? question->caps->matrix_bfloat16
                                                                                 : none;
    const double large = 1e9;
    const uint32_t size = unfinished->flops >= large ? LARGE : SMALL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < 2 * TILES && shape.m; i++) { /* the likely ones, then the others */
        const struct matrix_tile *tile = &tiles_tried[i % TILES];
        const bool unlikely = i >= TILES;
        plans[count] = *unfinished;
        plans[count].unlikely = unlikely;
        if (unlikely == !(tile->likely & size) && plan_matrices(question, &shape, tile, &plans[count]) &&
            !conv_is_there(plans, count))
            count++;
    }
    return count;
}
