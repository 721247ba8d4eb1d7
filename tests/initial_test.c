/* How parameters start: distributions and orthogonality, on the host. */
#include <math.h>
#include <stdlib.h>

#include "graph/graph.h"
#include "on_device.h"
#include "program/initial.h"

/* A tensor of the state, and its first numbers. */
static struct state_entry entry_of(const char *name, vkg_shape shape, vkg_init init, const uint32_t *torch_axes)
{
    struct state_entry entry = {.public = {.name = name, .shape = shape, .elements = shape_elements(&shape)}, .init = init};
    for (uint32_t i = 0; i < VKG_MAX_RANK; i++)
        entry.public.torch_axes[i] = torch_axes ? torch_axes[i] : i;
    return entry;
}

static float *values_of(const struct state_entry *entry)
{
    float *values = malloc(entry->public.elements * sizeof *values);
    assert_true(initial_values(entry, 20261124, values));
    return values;
}

/* Mean, standard deviation and range of 200,000 numbers. */
struct statistics {
    double mean, std, low, high;
};

static struct statistics statistics_of(const char *name, vkg_init init)
{
    struct state_entry entry = entry_of(name, VKG_SHAPE(200000), init, NULL);
    float *values = values_of(&entry);
    struct statistics s = {.low = INFINITY, .high = -INFINITY};
    double n = (double)entry.public.elements;
    for (uint64_t i = 0; i < entry.public.elements; i++) {
        s.mean += (double)values[i] / n;
        s.low = fmin(s.low, (double)values[i]);
        s.high = fmax(s.high, (double)values[i]);
    }
    for (uint64_t i = 0; i < entry.public.elements; i++)
        s.std += ((double)values[i] - s.mean) * ((double)values[i] - s.mean) / n;
    s.std = sqrt(s.std);
    free(values);
    return s;
}

/* Within five standard errors of the mean, about as many of the deviation, and within [low, high] nearly filled. */
static void check_statistics(const char *name, vkg_init init, double mean, double std, double low, double high)
{
    struct statistics s = statistics_of(name, init);
    double width = high - low;
    bool right = fabs(s.mean - mean) < 5 * std / sqrt(200000.0) && fabs(s.std / std - 1) < 0.01 &&
                 s.low >= low - 1e-6 && s.high <= high + 1e-6;
    if (!right || (isfinite(width) && (s.low > low + 0.01 * width || s.high < high - 0.01 * width)))
        fail_msg("%s: mean %g, deviation %g, in [%g, %g]", name, s.mean, s.std, s.low, s.high);
}

static void distributions_are_what_they_are_called(void **unused)
{
    (void)unused;
    check_statistics("normal", (vkg_init){VKG_INIT_NORMAL, 1, 0.5f}, 1, 0.5, -INFINITY, INFINITY);
    check_statistics("uniform", (vkg_init){VKG_INIT_UNIFORM, -1, 3}, 1, 4 / sqrt(12), -1, 3);
    /* of a standard normal cut at ±2: variance 1 − 4·φ(2)/(2·Φ(2) − 1) */
    check_statistics("truncated", (vkg_init){VKG_INIT_TRUNCATED_NORMAL, 3, 0.25f}, 3, 0.25 * 0.8796256610, 2.5, 3.5);
    check_statistics("xavier_uniform", vkg_init_xavier_uniform(2, 100, 50), 0, 2 * sqrt(2.0 / 150), -0.4, 0.4);
    check_statistics("xavier_normal", vkg_init_xavier_normal(2, 100, 50), 0, 2 * sqrt(2.0 / 150), -INFINITY, INFINITY);
    check_statistics("kaiming_uniform", vkg_init_kaiming_uniform(2, 48), 0, 2 / sqrt(48), -0.5, 0.5);
    check_statistics("kaiming_normal", vkg_init_kaiming_normal(2, 48), 0, 2 / sqrt(48), -INFINITY, INFINITY);
}

static void constants_are_exact(void **unused)
{
    (void)unused;
    struct state_entry entry = entry_of("constant", VKG_SHAPE(7), (vkg_init){VKG_INIT_CONSTANT, 0.1f, INFINITY}, NULL);
    float *values = values_of(&entry);
    for (int i = 0; i < 7; i++)
        assert_true(values[i] == 0.1f);
    free(values);
}

/* The tensor as PyTorch's matrix [first dimension, all others]. */
static double *torch_matrix(const struct state_entry *entry, const float *values, uint64_t *rows)
{
    const vkg_state_entry *public = &entry->public;
    double *matrix = malloc(public->elements * sizeof *matrix);
    for (uint64_t i = 0; i < public->elements; i++) {
        uint32_t index[VKG_MAX_RANK] = {0};
        uint64_t rest = i, place = 0;
        for (uint32_t axis = public->shape.rank; axis-- > 0; rest /= public->shape.dims[axis])
            index[axis] = (uint32_t)(rest % public->shape.dims[axis]);
        for (uint32_t axis = 0; axis < public->shape.rank; axis++)
            place = place * public->shape.dims[public->torch_axes[axis]] + index[public->torch_axes[axis]];
        matrix[place] = (double)values[i];
    }
    *rows = public->shape.rank ? public->shape.dims[public->torch_axes[0]] : 1;
    return matrix;
}

/* The greatest element of |QᵀQ − gain²·I|, of rows where there are fewer of them. */
static void check_orthogonal(vkg_shape shape, const uint32_t *torch_axes, float gain)
{
    struct state_entry entry = entry_of("orthogonal", shape, (vkg_init){VKG_INIT_ORTHOGONAL, gain, 0}, torch_axes);
    float *values = values_of(&entry);
    uint64_t rows;
    double *m = torch_matrix(&entry, values, &rows), worst = 0;
    uint64_t columns = entry.public.elements / rows, count = rows < columns ? rows : columns, n = rows < columns ? columns : rows;
    uint64_t across = rows < columns ? columns : 1, along = rows < columns ? 1 : columns;
    for (uint64_t a = 0; a < count; a++)
        for (uint64_t b = 0; b < count; b++) {
            double product = 0;
            for (uint64_t i = 0; i < n; i++)
                product += m[a * across + i * along] * m[b * across + i * along];
            worst = fmax(worst, fabs(product / ((double)gain * (double)gain) - (a == b)));
        }
    if (!(worst < 1e-6))
        fail_msg("%s with gain %g: off by %g", SHAPE(&shape), (double)gain, worst);
    free(m);
    free(values);
}

static void orthogonal_is_orthogonal(void **unused)
{
    (void)unused;
    const uint32_t linear[] = {1, 0, 2, 3, 4, 5}, convolution[] = {3, 2, 0, 1, 4, 5};
    check_orthogonal(VKG_SCALAR, NULL, 1);
    check_orthogonal(VKG_SHAPE(7), NULL, 1);
    check_orthogonal(VKG_SHAPE(40, 5), linear, 1);
    check_orthogonal(VKG_SHAPE(5, 40), linear, 1.5f);
    check_orthogonal(VKG_SHAPE(64, 64), linear, 1);
    check_orthogonal(VKG_SHAPE(3, 3, 8, 16), convolution, 0.5f);
    check_orthogonal(VKG_SHAPE(1, 2, 3, 50), convolution, 1);
    check_orthogonal(VKG_SHAPE(300, 200), NULL, 1);
}

/* A name and a seed decide the numbers; nothing else does. */
static void names_decide(void **unused)
{
    (void)unused;
    static const vkg_init inits[] = {{VKG_INIT_NORMAL, 0, 1}, {VKG_INIT_UNIFORM, 0, 1}, {VKG_INIT_TRUNCATED_NORMAL, 0, 1},
                                     {VKG_INIT_ORTHOGONAL, 1, 0}};
    for (int i = 0; i < 4; i++) {
        struct state_entry a = entry_of("a", VKG_SHAPE(6, 5), inits[i], NULL), b = entry_of("b", VKG_SHAPE(6, 5), inits[i], NULL);
        float *first = values_of(&a), *again = values_of(&a), *other = values_of(&b);
        assert_memory_equal(first, again, 30 * sizeof *first);
        assert_true(first[0] != other[0] && first[29] != other[29]);
        free(first), free(again), free(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distributions_are_what_they_are_called), cmocka_unit_test(constants_are_exact),
        cmocka_unit_test(orthogonal_is_orthogonal), cmocka_unit_test(names_decide)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
