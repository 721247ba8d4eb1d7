/* The rows of vkgan/resample.h, and of pads that are made of its linear maps. */
#include "ops_table.h"

static void three(uint32_t *to, const double *a)
{
    for (int i = 0; i < 3; i++)
        to[i] = (uint32_t)a[i];
}

/* Attributes: axis, rows, the length of each row, all indices, all weights. */
static vkg_tensor *map_of(vkg_graph *g, vkg_tensor *x, const double *a)
{
    enum { MOST_ROWS = 65, MOST = 400 };
    uint32_t out = (uint32_t)a[1], start[MOST_ROWS + 1] = {0}, index[MOST];
    float weight[MOST];
    assert_true(out <= MOST_ROWS);
    for (uint32_t o = 0; o < out; o++)
        start[o + 1] = start[o] + (uint32_t)a[2 + o];
    assert_true(start[out] <= MOST);
    for (uint32_t t = 0; t < start[out]; t++) {
        index[t] = (uint32_t)a[2 + out + t];
        weight[t] = (float)a[2 + out + start[out] + t];
    }
    return vkg_apply_linear_map(g, x, (uint32_t)a[0], &(vkg_linear_map){out, start, index, weight});
}

static vkg_tensor *interpolated(vkg_graph *g, vkg_tensor *x, const double *a)
{
    vkg_interpolate_desc desc = {.mode = (vkg_interpolation)a[3], .align_corners = a[4] != 0, .antialias = a[5] != 0};
    three(desc.size, a);
    return vkg_interpolate(g, x, &desc);
}

static vkg_pool_desc pool_of(const double *a)
{
    vkg_pool_desc desc = {.exclude_padding = a[9] != 0};
    three(desc.kernel, a);
    three(desc.stride, a + 3);
    three(desc.padding, a + 6);
    return desc;
}

static vkg_tensor *filtered(vkg_graph *g, const struct ops_call *call)
{
    enum { MOST = 16 };
    const double *a = call->a;
    float filter[MOST];
    assert_true(call->count - 5 <= MOST);
    for (uint32_t i = 5; i < call->count; i++)
        filter[i - 5] = (float)a[i];
    return vkg_upfirdn2d(g, call->x[0], &(vkg_fir_desc){filter, call->count - 5, (uint32_t)a[0], (uint32_t)a[1], (int32_t)a[2],
                                                        (int32_t)a[3], (float)a[4]});
}

static vkg_tensor *adaptive(vkg_graph *g, vkg_tensor *x, const double *a)
{
    uint32_t size[3];
    three(size, a);
    return vkg_adaptive_avg_pool(g, x, size);
}

static vkg_tensor *grid_of(vkg_graph *g, vkg_tensor *theta, const double *a)
{
    uint32_t size[3];
    three(size, a);
    return vkg_affine_grid(g, theta, size, a[3] != 0);
}

OPS_BUILD(apply_linear_map, map_of(g, x[0], a))
OPS_BUILD(cumsum, vkg_cumsum(g, x[0], (uint32_t)a[0]))
OPS_BUILD(interpolate, interpolated(g, x[0], a))
OPS_BUILD(upfirdn2d, filtered(g, call))
OPS_BUILD(pixel_shuffle, vkg_pixel_shuffle(g, x[0], (uint32_t)a[0]))
OPS_BUILD(pixel_unshuffle, vkg_pixel_unshuffle(g, x[0], (uint32_t)a[0]))
OPS_BUILD(avg_pool, vkg_avg_pool(g, x[0], &(vkg_pool_desc[]){pool_of(a)}[0]))
OPS_BUILD(max_pool, vkg_max_pool(g, x[0], &(vkg_pool_desc[]){pool_of(a)}[0]))
OPS_BUILD(adaptive_avg_pool, adaptive(g, x[0], a))
OPS_BUILD(grid_sample, vkg_grid_sample(g, x[0], x[1], &(vkg_grid_sample_desc){(vkg_interpolation)a[0], (vkg_sample_padding)a[1],
                                                                             a[2] != 0}))
OPS_BUILD(affine_grid, grid_of(g, x[0], a))
OPS_BUILD(roi_align, vkg_roi_align(g, x[0], x[1], &(vkg_roi_align_desc){(uint32_t)a[0], (uint32_t)a[1], (float)a[2],
                                                                       (uint32_t)a[3], a[4] != 0}))
OPS_BUILD(gather, vkg_gather(g, x[0], (uint32_t)a[0], i[0]))
OPS_BUILD(scatter_add, vkg_scatter_add(g, x[0], (uint32_t)a[0], i[0], (uint32_t)a[1]))
OPS_BUILD(index_select, vkg_index_select(g, x[0], (uint32_t)a[0], i[0]))
OPS_BUILD(embedding, vkg_embedding(g, x[0], i[0]))
OPS_BUILD(one_hot, vkg_one_hot(g, i[0], (uint32_t)a[0]))

const struct ops_row ops_rows_resample[] = {
    OPS_CLOSE(apply_linear_map), OPS_CLOSE(cumsum), OPS_CLOSE(interpolate), OPS_CLOSE(upfirdn2d), OPS_EXACT(pixel_shuffle),
    OPS_EXACT(pixel_unshuffle), OPS_CLOSE(avg_pool), OPS_CLOSE(max_pool), OPS_CLOSE(adaptive_avg_pool),
    OPS_NEAR(grid_sample), OPS_CLOSE(affine_grid), OPS_NEAR(roi_align), OPS_CLOSE(gather), OPS_CLOSE(scatter_add),
    OPS_CLOSE(index_select), OPS_CLOSE(embedding), OPS_EXACT(one_hot), {0}};
