#include "program/kernel_checks.h"

#include <math.h>

#include "base/philox.h"
#include "kernels/choice.h"
#include "vkgan/ops.h"
#include "vkgan/optimizer.h"
#include "vkgan/resample.h"

static vkg_tensor *add_input(struct check *check, vkg_shape shape, vkg_dtype dtype)
{
    static const char *const names[CHECK_INPUTS] = {"a", "b", "c"};
    const uint32_t i = check->input_count++;
    return check->inputs[i] = vkg_input_typed(check->graph, names[i], shape, dtype);
}

static vkg_tensor *add_numbers(struct check *check, vkg_shape shape)
{
    return add_input(check, shape, VKG_FLOAT32);
}

/* --- fused kernels: chains of pointwise operations, and reductions --- */

enum { LINES = 6, COLUMNS = 20 };

static void build_fours(struct check *check)
{
    vkg_graph *g = check->graph;
    vkg_tensor *a = add_numbers(check, VKG_SHAPE(LINES, COLUMNS)), *b = add_numbers(check, VKG_SHAPE(COLUMNS));
    vkg_tensor *c = add_numbers(check, VKG_SHAPE(LINES, 1));
    check->result = vkg_leaky_relu(g, vkg_add(g, vkg_mul(g, a, b), vkg_exp(g, c)), 0.2f);
}

static void expect_fours(const struct check *check, double *elements)
{
    for (uint32_t i = 0; i < LINES * COLUMNS; i++) {
        const double y = (double)check->numbers[0][i] * (double)check->numbers[1][i % COLUMNS] +
                         exp((double)check->numbers[2][i / COLUMNS]);
        elements[i] = y > 0 ? y : 0.2 * y;
    }
}

enum { ODD_LINES = 5, ODD_COLUMNS = 7 };

static void build_ones(struct check *check)
{
    vkg_graph *g = check->graph;
    vkg_tensor *a = add_numbers(check, VKG_SHAPE(ODD_COLUMNS, ODD_LINES));
    vkg_tensor *b = add_numbers(check, VKG_SHAPE(ODD_LINES, ODD_COLUMNS));
    check->result = vkg_add(g, vkg_maximum(g, vkg_transpose(g, a, 0, 1), b), vkg_square(g, b));
}

static void expect_ones(const struct check *check, double *elements)
{
    for (uint32_t i = 0; i < ODD_LINES * ODD_COLUMNS; i++) {
        const double a = (double)check->numbers[0][i % ODD_COLUMNS * ODD_LINES + i / ODD_COLUMNS];
        const double b = (double)check->numbers[1][i];
        elements[i] = fmax(a, b) + b * b;
    }
}

/* Whole numbers through every type that a kernel stores and another one loads; turned around in between, so that they lie in memory.
 * Bytes are stored in fours, so that where columns do not come in fours a part of them is read. */
enum { STORED_COLUMNS = 12 };

static const uint32_t in_fours = STORED_COLUMNS, in_ones = 7;

static vkg_tensor *store_as(vkg_graph *graph, vkg_tensor *a, vkg_dtype dtype)
{
    return vkg_cast(graph, vkg_flip(graph, vkg_cast(graph, a, dtype), 3), VKG_FLOAT32);
}

static void build_types(struct check *check)
{
    vkg_graph *g = check->graph;
    const uint32_t *columns = check->settings;
    vkg_tensor *a = vkg_cast(g, add_input(check, VKG_SHAPE(LINES, STORED_COLUMNS), VKG_INT32), VKG_FLOAT32);
    a = vkg_slice(g, store_as(g, vkg_affine(g, a, 40, 3), VKG_UINT8), 1, 0, *columns, 1);
    a = store_as(g, store_as(g, vkg_affine(g, a, 0.25f, 0), VKG_FLOAT16), VKG_BFLOAT16);
    check->result = store_as(g, vkg_affine(g, a, -4, 0), VKG_INT32);
}

static void expect_types(const struct check *check, double *elements)
{
    const uint32_t columns = *(const uint32_t *)check->settings;
    for (uint32_t i = 0; i < LINES * columns; i++) { /* what is turned around four times: first whole, then what is left of it */
        const uint32_t line = i / columns, column = columns - 1 - i % columns;
        elements[i] = -(40.0 * check->places[0][line * STORED_COLUMNS + STORED_COLUMNS - 1 - column] + 3);
    }
}

/* Enough that sums are made of parts, whose lengths differ among neighbours; and columns that no workgroup has side by side, so that
 * another kernel adds these. */
enum { KEPT = 12, SUMMED = 1203 };

static void build_sums(struct check *check)
{
    vkg_tensor *a = add_numbers(check, VKG_SHAPE(SUMMED, KEPT)), *b = add_numbers(check, VKG_SHAPE(SUMMED, KEPT));
    check->result = vkg_sum(check->graph, vkg_mul(check->graph, a, b), 1u << 0, false);
}

static void expect_sums(const struct check *check, double *elements)
{
    for (uint32_t i = 0; i < SUMMED * KEPT; i++)
        elements[i % KEPT] += (double)check->numbers[0][i] * (double)check->numbers[1][i];
}

enum { MANY_SUMMED = 9203, IMAGES = 2, SIDE_BY_SIDE = 8 }; /* enough for several workgroups of a graphics card, which add their parts themselves */

static void build_sums_of_workgroups(struct check *check)
{
    vkg_tensor *a = add_numbers(check, VKG_SHAPE(IMAGES, MANY_SUMMED, SIDE_BY_SIDE)), *greatest = vkg_max(check->graph, a, 1u << 1, false);
    check->result = vkg_add(check->graph, vkg_sum(check->graph, a, 1u << 1, false), vkg_affine(check->graph, greatest, 100, 0));
}

static void expect_sums_of_workgroups(const struct check *check, double *elements)
{
    double greatest[IMAGES * SIDE_BY_SIDE] = {0}; /* of thousands of numbers around 0, it is above it */
    for (uint32_t i = 0; i < IMAGES * MANY_SUMMED * SIDE_BY_SIDE; i++) {
        const uint32_t column = i / (MANY_SUMMED * SIDE_BY_SIDE) * SIDE_BY_SIDE + i % SIDE_BY_SIDE;
        elements[column] += (double)check->numbers[0][i];
        greatest[column] = fmax(greatest[column], (double)check->numbers[0][i]);
    }
    for (uint32_t column = 0; column < IMAGES * SIDE_BY_SIDE; column++)
        elements[column] += 100 * greatest[column];
}

static void build_deviations(struct check *check)
{
    vkg_tensor *a = vkg_affine(check->graph, add_numbers(check, VKG_SHAPE(SUMMED, KEPT)), 1, 30); /* far from 0 */
    check->result = vkg_var(check->graph, a, 1u << 0, false, 0);
}

static void expect_deviations(const struct check *check, double *elements)
{
    double means[KEPT] = {0};
    for (uint32_t i = 0; i < KEPT * SUMMED; i++)
        means[i % KEPT] += (double)check->numbers[0][i] / SUMMED;
    for (uint32_t i = 0; i < KEPT * SUMMED; i++)
        elements[i % KEPT] += pow((double)check->numbers[0][i] - means[i % KEPT], 2) / SUMMED;
}

static void build_greatest(struct check *check)
{
    check->result = vkg_max(check->graph, add_numbers(check, VKG_SHAPE(SUMMED, KEPT)), 1u << 0, false);
}

static void expect_greatest(const struct check *check, double *elements)
{
    for (uint32_t k = 0; k < KEPT; k++)
        elements[k] = -INFINITY;
    for (uint32_t i = 0; i < KEPT * SUMMED; i++)
        elements[i % KEPT] = fmax(elements[i % KEPT], (double)check->numbers[0][i]);
}

static void build_softmax(struct check *check)
{
    check->result = vkg_softmax(check->graph, add_numbers(check, VKG_SHAPE(LINES, COLUMNS)), 1);
}

static void expect_softmax(const struct check *check, double *elements)
{
    for (uint32_t line = 0; line < LINES; line++) {
        const float *a = &check->numbers[0][line * COLUMNS];
        double sum = 0;
        for (uint32_t k = 0; k < COLUMNS; k++)
            sum += exp((double)a[k]);
        for (uint32_t k = 0; k < COLUMNS; k++)
            elements[line * COLUMNS + k] = exp((double)a[k]) / sum;
    }
}

/* --- optimisers, and the average of what they train --- */

enum { TRAINED = 22, UPDATES = 2 };

static const vkg_optimizer_desc adam = {.lr = 0.25f, .beta1 = 0.5f, .beta2 = 0.75f, .epsilon = 1e-6f};
static const vkg_optimizer_desc adamw = {.kind = VKG_OPTIMIZER_ADAMW, .lr = 0.25f, .beta1 = 0.5f, .beta2 = 0.75f,
                                         .epsilon = 1e-6f, .weight_decay = 0.5f};
static const vkg_optimizer_desc rmsprop = {.kind = VKG_OPTIMIZER_RMSPROP, .lr = 0.25f, .alpha = 0.75f, .epsilon = 1e-6f,
                                           .weight_decay = 0.5f};
static const vkg_optimizer_desc rmsprop_momentum = {.kind = VKG_OPTIMIZER_RMSPROP, .lr = 0.25f, .alpha = 0.75f,
                                                    .epsilon = 1e-6f, .momentum = 0.5f};
static const vkg_optimizer_desc sgd = {.kind = VKG_OPTIMIZER_SGD, .lr = 0.25f, .clip_value = 0.5f};
static const vkg_optimizer_desc sgd_momentum = {.kind = VKG_OPTIMIZER_SGD, .lr = 0.25f, .momentum = 0.5f,
                                                .weight_decay = 0.5f, .clip_parameters = 0.75f};

static vkg_tensor *trained(vkg_graph *graph)
{
    return vkg_parameter(graph, "check.weight", VKG_SHAPE(TRAINED), (vkg_init){VKG_INIT_CONSTANT, 0.5f, 0});
}

static void build_optimizer(struct check *check)
{
    for (int i = 0; i < UPDATES; i++) {
        vkg_tensor *parameter = trained(check->graph), *gradient = add_numbers(check, VKG_SHAPE(TRAINED));
        gradient = vkg_affine(check->graph, gradient, 2, 0);
        vkg_optimize(check->graph, "check", &parameter, &gradient, 1, check->settings);
    }
    check->result = vkg_affine(check->graph, trained(check->graph), 1, 1);
}

/* One parameter and its moments. */
struct trained_number {
    double p, m, v;
};

static double clip(double x, double limit)
{
    return limit > 0 ? fmax(-limit, fmin(limit, x)) : x;
}

static void take_step(const vkg_optimizer_desc *o, int update, double g, struct trained_number *n)
{
    const bool decoupled = o->kind == VKG_OPTIMIZER_ADAMW, is_adam = o->kind == VKG_OPTIMIZER_ADAM || decoupled;
    const double lr = (double)o->lr, decay = (double)o->weight_decay * n->p;
    const double beta1 = (double)(is_adam ? o->beta1 : o->momentum), beta2 = (double)(is_adam ? o->beta2 : o->alpha);
    g = clip(g, (double)o->clip_value) + (decoupled ? 0 : decay);
    n->p -= decoupled ? lr * decay : 0;
    n->v = beta2 * n->v + (1 - beta2) * g * g;
    if (is_adam) {
        n->m = beta1 * n->m + (1 - beta1) * g;
        n->p -= lr * n->m / (1 - pow(beta1, update)) / (sqrt(n->v / (1 - pow(beta2, update))) + (double)o->epsilon);
    } else {
        n->m = beta1 * n->m + (o->kind == VKG_OPTIMIZER_SGD ? g : g / (sqrt(n->v) + (double)o->epsilon));
        n->p -= lr * n->m;
    }
    n->p = clip(n->p, (double)o->clip_parameters);
}

static void expect_optimizer(const struct check *check, double *elements)
{
    for (uint32_t k = 0; k < TRAINED; k++) {
        struct trained_number number = {.p = 0.5};
        for (int i = 0; i < UPDATES; i++)
            take_step(check->settings, i + 1, 2 * (double)check->numbers[i][k], &number);
        elements[k] = number.p + 1;
    }
}

static const vkg_ema ema = {.of = "check.", .decay = 0.75f};

static void build_average(struct check *check)
{
    for (int i = 0; i < UPDATES; i++) {
        vkg_assign(check->graph, trained(check->graph), vkg_affine(check->graph, add_numbers(check, VKG_SHAPE(TRAINED)), 2, 0));
        vkg_ema_update(check->graph, &ema, 1);
    }
    vkg_tensor *average = vkg_buffer(check->graph, "ema.check.weight", VKG_SHAPE(TRAINED), (vkg_init){0});
    check->result = vkg_affine(check->graph, average, 1, 1);
}

/* The first averaging copies. */
static void expect_average(const struct check *check, double *elements)
{
    const double beta = (double)ema.decay;
    for (uint32_t k = 0; k < TRAINED; k++)
        elements[k] = 2 * (beta * (double)check->numbers[0][k] + (1 - beta) * (double)check->numbers[1][k]) + 1;
}

/* --- random numbers --- */

enum { DRAWN = 250 };

/* Normal numbers are these through sin and cos, of which Vulkan asks little. */
static void build_random(struct check *check)
{
    check->result = vkg_random_uniform(check->graph, VKG_SHAPE(DRAWN));
}

static void expect_random(const struct check *check, double *elements)
{
    (void)check;
    for (uint32_t i = 0; i < DRAWN; i++) {
        uint32_t words[4];
        philox4x32((uint32_t[4]){i / 4, 0, 0, 0}, (uint32_t[2]){CHECK_SEED, 0}, words);
        elements[i] = (double)philox_uniform(words[i % 4]);
    }
}

/* --- what moves elements about --- */

enum { MOVED = 18, WIDTH = 4 }; /* elements that are moved to or from CHECK_PLACES places */

static void build_gather(struct check *check)
{
    vkg_tensor *a = add_numbers(check, VKG_SHAPE(CHECK_PLACES, WIDTH));
    check->result = vkg_gather(check->graph, a, 0, add_input(check, VKG_SHAPE(MOVED, 1), VKG_INT32));
}

static void expect_gather(const struct check *check, double *elements)
{
    for (uint32_t i = 0; i < MOVED * WIDTH; i++)
        elements[i] = (double)check->numbers[0][(uint32_t)check->places[1][i / WIDTH] * WIDTH + i % WIDTH];
}

static void build_scatter(struct check *check)
{
    vkg_tensor *a = add_numbers(check, VKG_SHAPE(MOVED, WIDTH));
    vkg_tensor *index = add_input(check, VKG_SHAPE(MOVED, 1), VKG_INT32);
    check->result = vkg_scatter_add(check->graph, a, 0, index, CHECK_PLACES);
}

static void expect_scatter(const struct check *check, double *elements)
{
    for (uint32_t i = 0; i < MOVED * WIDTH; i++)
        elements[(uint32_t)check->places[1][i / WIDTH] * WIDTH + i % WIDTH] += (double)check->numbers[0][i];
}

static void build_cumsum(struct check *check)
{
    check->result = vkg_cumsum(check->graph, add_numbers(check, VKG_SHAPE(LINES, COLUMNS)), 1);
}

static void expect_cumsum(const struct check *check, double *elements)
{
    for (uint32_t i = 0; i < LINES * COLUMNS; i++)
        elements[i] = (i % COLUMNS ? elements[i - 1] : 0) + (double)check->numbers[0][i];
}

static const uint32_t map_start[] = {0, 2, 2, 5}, map_index[] = {1, 4, 0, 2, 5};
static const float map_weight[] = {0.5f, 2, -1, 0.25f, 1.5f};
enum { MAP_ROWS = sizeof map_start / sizeof *map_start - 1 };

static void build_map(struct check *check)
{
    const vkg_linear_map map = {MAP_ROWS, map_start, map_index, map_weight};
    check->result = vkg_apply_linear_map(check->graph, add_numbers(check, VKG_SHAPE(LINES, WIDTH)), 0, &map);
}

static void expect_map(const struct check *check, double *elements)
{
    for (uint32_t row = 0; row < MAP_ROWS; row++)
        for (uint32_t t = map_start[row]; t < map_start[row + 1]; t++)
            for (uint32_t k = 0; k < WIDTH; k++)
                elements[row * WIDTH + k] +=
                    (double)map_weight[t] * (double)check->numbers[0][map_index[t] * WIDTH + k];
}

/* The gradient of the greatest of windows, which overlap, of the sum of their squares. */
enum { POOLED = 6, WINDOW = 3, WINDOWS = 3, CHANNELS = 4 };

static void build_pool(struct check *check)
{
    vkg_tensor *a = add_numbers(check, VKG_SHAPE(1, POOLED, POOLED, CHANNELS));
    const vkg_pool_desc desc = {.kernel = {WINDOW, WINDOW}, .stride = {2, 2}, .padding = {1, 1}};
    vkg_gradients(check->graph, vkg_square(check->graph, vkg_max_pool(check->graph, a, &desc)), &a, 1, &check->result);
}

static void expect_pool(const struct check *check, double *elements)
{
    for (uint32_t i = 0; i < WINDOWS * WINDOWS * CHANNELS; i++) {
        const uint32_t y = i / CHANNELS / WINDOWS * 2, x = i / CHANNELS % WINDOWS * 2; /* its middle */
        uint32_t greatest = (y * POOLED + x) * CHANNELS + i % CHANNELS;
        for (uint32_t k = 0; k < WINDOW * WINDOW; k++) {
            const uint32_t row = y + k / WINDOW - 1, column = x + k % WINDOW - 1; /* or beyond the last one, in front of the first */
            const uint32_t at = (row * POOLED + column) * CHANNELS + i % CHANNELS;
            if (row < POOLED && column < POOLED && check->numbers[0][at] > check->numbers[0][greatest])
                greatest = at;
        }
        elements[greatest] += 2 * (double)check->numbers[0][greatest];
    }
}

/* --- attention --- */

/* More rows and columns than a tile has. */
enum { MATRICES = 2, QUERIES = 70, KEYS = 67, VALUES = 8 };

struct attention_check {
    vkg_dtype dtype;
    uint32_t depth; /* read by ones, or by fours and eights, as values are */
    bool masked;
};

static const struct attention_check attention_of_floats = {VKG_FLOAT32, 8, false}, gradients_of_floats = {VKG_FLOAT32, 5, true},
                                    attention_of_float16 = {VKG_FLOAT16, 8, false}, gradients_of_float16 = {VKG_FLOAT16, 5, true},
                                    attention_of_bfloat16 = {VKG_BFLOAT16, 8, false}, gradients_of_bfloat16 = {VKG_BFLOAT16, 5, true};

static float mask_of(uint32_t query, uint32_t key)
{
    return -0.25f * (float)((query * 7 + key * 3) % 5);
}

static vkg_tensor *add_attention(struct check *check)
{
    const struct attention_check *settings = check->settings;
    float mask[QUERIES * KEYS];
    for (uint32_t i = 0; i < QUERIES * KEYS; i++)
        mask[i] = mask_of(i / KEYS, i % KEYS);
    vkg_graph_set_precision(check->graph, settings->dtype);
    vkg_tensor *q = add_numbers(check, VKG_SHAPE(MATRICES, QUERIES, settings->depth));
    vkg_tensor *k = add_numbers(check, VKG_SHAPE(MATRICES, KEYS, settings->depth));
    vkg_tensor *v = add_numbers(check, VKG_SHAPE(MATRICES, KEYS, VALUES));
    return vkg_scaled_dot_product_attention(check->graph, q, k, v, &(vkg_attention_desc){
        .scale = 1, .mask = settings->masked ? vkg_data(check->graph, VKG_SHAPE(QUERIES, KEYS), VKG_FLOAT32, mask) : NULL});
}

static void build_attention(struct check *check)
{
    check->result = add_attention(check);
}

/* What one query makes of the keys: their weights, and the result. */
static void attend(const struct check *check, uint32_t query, double weights[KEYS], double y[VALUES])
{
    const struct attention_check *settings = check->settings;
    const uint32_t matrix = query / QUERIES, depth = settings->depth;
    const float *q = &check->numbers[0][query * depth], *k = &check->numbers[1][matrix * KEYS * depth];
    const float *v = &check->numbers[2][matrix * KEYS * VALUES];
    double sum = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        double score = settings->masked ? (double)mask_of(query % QUERIES, key) : 0;
        for (uint32_t i = 0; i < depth; i++)
            score += (double)q[i] * (double)k[key * depth + i];
        sum += weights[key] = exp(score);
    }
    for (uint32_t key = 0; key < KEYS; key++)
        weights[key] /= sum;
    for (uint32_t i = 0; i < VALUES; i++)
        for (uint32_t key = 0; key < KEYS; key++)
            y[i] += weights[key] * (double)v[key * VALUES + i];
}

static void expect_attention(const struct check *check, double *elements)
{
    double weights[KEYS];
    for (uint32_t query = 0; query < MATRICES * QUERIES; query++)
        attend(check, query, weights, &elements[query * VALUES]);
}

/* All three, one behind the other, of the sum of squares. */
static void build_attention_gradients(struct check *check)
{
    vkg_tensor *loss = vkg_square(check->graph, add_attention(check)), *gradients[3];
    vkg_gradients(check->graph, loss, check->inputs, 3, gradients);
    for (int i = 0; i < 3; i++)
        gradients[i] = vkg_reshape(check->graph, gradients[i], VKG_SHAPE((uint32_t)vkg_tensor_elements(gradients[i])));
    check->result = vkg_concat(check->graph, gradients, 3, 0);
}

static void expect_attention_gradients(const struct check *check, double *elements)
{
    const uint32_t depth = ((const struct attention_check *)check->settings)->depth;
    double *dq = elements, *dk = dq + MATRICES * QUERIES * depth, *dv = dk + MATRICES * KEYS * depth;
    for (uint32_t query = 0; query < MATRICES * QUERIES; query++) {
        double weights[KEYS], y[VALUES] = {0}, delta = 0;
        const uint32_t first_key = query / QUERIES * KEYS;
        attend(check, query, weights, y);
        for (uint32_t i = 0; i < VALUES; i++)
            delta += 2 * y[i] * y[i];
        for (uint32_t key = 0; key < KEYS; key++) {
            const float *v = &check->numbers[2][(first_key + key) * VALUES];
            double dp = -delta;
            for (uint32_t i = 0; i < VALUES; i++) {
                dp += 2 * y[i] * (double)v[i];
                dv[(first_key + key) * VALUES + i] += weights[key] * 2 * y[i];
            }
            for (uint32_t i = 0; i < depth; i++) {
                const uint32_t in_q = query * depth + i, in_k = (first_key + key) * depth + i;
                dq[in_q] += weights[key] * dp * (double)check->numbers[1][in_k];
                dk[in_k] += weights[key] * dp * (double)check->numbers[0][in_q];
            }
        }
    }
}

#define ATTENTION_INSTEAD "matrix products and a softmax are computed instead"

/* --- the table --- */

/* What others are made of comes first, so that the first that fails is the one to look at. */
const struct kernel_check kernel_checks[] = {
    {"pointwise chains of fours", build_fours, expect_fours, NULL, NULL},
    {"pointwise chains", build_ones, expect_ones, NULL, NULL},
    {"types by fours", build_types, expect_types, &in_fours, NULL},
    {"types", build_types, expect_types, &in_ones, NULL},
    {"sums", build_sums, expect_sums, NULL, NULL},
    {SUMS_OF_WORKGROUPS, build_sums_of_workgroups, expect_sums_of_workgroups, NULL, "a kernel more adds up the parts of sums"},
    {"squared deviations", build_deviations, expect_deviations, NULL, NULL},
    {"maxima", build_greatest, expect_greatest, NULL, NULL},
    {"softmax", build_softmax, expect_softmax, NULL, NULL},
    {"adam", build_optimizer, expect_optimizer, &adam, NULL},
    {"adamw", build_optimizer, expect_optimizer, &adamw, NULL},
    {"rmsprop", build_optimizer, expect_optimizer, &rmsprop, NULL},
    {"rmsprop with momentum", build_optimizer, expect_optimizer, &rmsprop_momentum, NULL},
    {"sgd", build_optimizer, expect_optimizer, &sgd, NULL},
    {"sgd with momentum", build_optimizer, expect_optimizer, &sgd_momentum, NULL},
    {"moving averages", build_average, expect_average, &ema, NULL},
    {"random numbers", build_random, expect_random, NULL, NULL},
    {"gather", build_gather, expect_gather, NULL, NULL},
    {"scatter_add", build_scatter, expect_scatter, NULL, NULL},
    {"cumsum", build_cumsum, expect_cumsum, NULL, NULL},
    {"linear_map", build_map, expect_map, NULL, NULL},
    {"gradients of max_pool", build_pool, expect_pool, NULL, NULL},
    {"attention", build_attention, expect_attention, &attention_of_floats, ATTENTION_INSTEAD, true, 0},
    {"attention of float16", build_attention, expect_attention, &attention_of_float16, ATTENTION_INSTEAD, true, 4e-3},
    {"attention of bfloat16", build_attention, expect_attention, &attention_of_bfloat16, ATTENTION_INSTEAD, true, 3e-2},
    {"gradients of attention", build_attention_gradients, expect_attention_gradients, &gradients_of_floats, ATTENTION_INSTEAD, true, 0},
    {"gradients of attention of float16", build_attention_gradients, expect_attention_gradients, &gradients_of_float16, ATTENTION_INSTEAD, true, 4e-3},
    {"gradients of attention of bfloat16", build_attention_gradients, expect_attention_gradients, &gradients_of_bfloat16, ATTENTION_INSTEAD, true, 3e-2},
};
const uint32_t kernel_check_count = sizeof kernel_checks / sizeof *kernel_checks;
_Static_assert(sizeof kernel_checks / sizeof *kernel_checks <= 64, "self_test.c has sets of them in 64 bits");
