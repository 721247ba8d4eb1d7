#include "program/initial.h"

#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/philox.h"

/* Four numbers for the elements i … i + 3; `draw` counts the draws for the same elements. */
struct source {
    uint32_t key[2];
    uint64_t stream;
};

static void draw_bits(const struct source *source, uint64_t i, uint32_t draw, uint32_t bits[4])
{
    const uint32_t counter[4] = {(uint32_t)(i / 4), (uint32_t)source->stream, (uint32_t)(source->stream >> 32),
                                 0x696e6974u + draw};
    philox4x32(counter, source->key, bits);
}

static void draw_uniforms(const struct source *source, uint64_t i, float numbers[4])
{
    uint32_t bits[4];
    draw_bits(source, i, 0, bits);
    for (int k = 0; k < 4; k++)
        numbers[k] = philox_uniform(bits[k]);
}

static void draw_normals(const struct source *source, uint64_t i, uint32_t draw, float numbers[4])
{
    uint32_t bits[4];
    draw_bits(source, i, draw, bits);
    philox_normals(bits[0], bits[1], numbers);
    philox_normals(bits[2], bits[3], numbers + 2);
}

/* Normals within ±2: what lies beyond is drawn again (one of twenty-two does). */
static void draw_truncated_normals(const struct source *source, uint64_t i, float numbers[4])
{
    float again[4];
    draw_normals(source, i, 0, numbers);
    for (int k = 0; k < 4; k++)
        for (uint32_t draw = 1; !(fabsf(numbers[k]) <= 2); draw++) {
            draw_normals(source, i, draw, again);
            numbers[k] = again[k];
        }
}

static void fill(const struct state_entry *entry, const struct source *source, float *values)
{
    const vkg_init *init = &entry->init;
    uint64_t elements = entry->public.elements;
    for (uint64_t i = 0; i < elements; i += 4) {
        float numbers[4] = {0}, scale = init->b, offset = init->a;
        switch (init->kind) {
        case VKG_INIT_CONSTANT: scale = 0; break;
        case VKG_INIT_UNIFORM: draw_uniforms(source, i, numbers), scale = init->b - init->a; break;
        case VKG_INIT_TRUNCATED_NORMAL: draw_truncated_normals(source, i, numbers); break;
        default: draw_normals(source, i, 0, numbers); break;
        }
        for (uint64_t k = 0; k < 4 && i + k < elements; k++)
            values[i + k] = offset + scale * numbers[k];
    }
}

/* --- orthogonal --- */

/* Σ a·b, in eight sums, so that the compiler may take several elements at once. */
static double dot(const double *a, const double *b, uint64_t n)
{
    double sums[8] = {0};
    uint64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            sums[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        sums[0] += a[i] * b[i];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

static void scale_to_unit(double *a, uint64_t n)
{
    double norm = sqrt(dot(a, a, n));
    for (uint64_t i = 0; i < n; i++)
        a[i] = norm > 0 ? a[i] / norm : 0;
}

/* Modified Gram and Schmidt over `count` ≤ n vectors of n elements: the Q of a QR decomposition whose R has a positive
 * diagonal, which is uniform among all orthogonal matrices when the vectors are normal. */
static void orthonormalise(double *vectors, uint64_t count, uint64_t n)
{
    for (uint64_t j = 0; j < count; j++) {
        double *own = &vectors[j * n];
        scale_to_unit(own, n);
        for (uint64_t k = j + 1; k < count; k++) {
            double *other = &vectors[k * n], share = dot(own, other, n);
            for (uint64_t i = 0; i < n; i++)
                other[i] -= share * own[i];
        }
    }
}

/* Our place of each element in PyTorch's order, one after the other. */
struct torch_walk {
    const vkg_state_entry *entry;
    uint32_t index[VKG_MAX_RANK];
    uint64_t ours;
};

static void walk_on(struct torch_walk *walk)
{
    const vkg_shape *shape = &walk->entry->shape;
    for (uint32_t i = shape->rank; i-- > 0;) {
        uint32_t axis = walk->entry->torch_axes[i];
        uint64_t stride = 1;
        for (uint32_t k = axis + 1; k < shape->rank; k++)
            stride *= shape->dims[k];
        walk->ours += stride;
        if (++walk->index[i] < shape->dims[axis])
            return;
        walk->ours -= stride * walk->index[i];
        walk->index[i] = 0;
    }
}

/* Saxe et al. 2014: the tensor as the matrix [rows, columns] of PyTorch's order has orthonormal rows, or columns where
 * there are more rows than columns, times a. */
static bool fill_orthogonal(const struct state_entry *entry, const struct source *source, float *values)
{
    const vkg_state_entry *public = &entry->public;
    uint64_t rows = public->shape.rank ? public->shape.dims[public->torch_axes[0]] : 1, columns = public->elements / rows;
    bool upright = rows > columns; /* the vectors are the columns */
    uint64_t count = upright ? columns : rows, n = upright ? rows : columns;
    double *vectors = malloc(public->elements * sizeof *vectors);
    if (!vectors)
        return false;
    for (uint64_t i = 0; i < public->elements; i += 4) {
        float numbers[4];
        draw_normals(source, i, 0, numbers);
        for (uint64_t k = 0; k < 4 && i + k < public->elements; k++)
            vectors[i + k] = (double)numbers[k];
    }
    orthonormalise(vectors, count, n);
    struct torch_walk walk = {.entry = public};
    for (uint64_t i = 0; i < public->elements; i++, walk_on(&walk))
        values[walk.ours] = entry->init.a * (float)vectors[upright ? i % columns * n + i / columns : i];
    free(vectors);
    return true;
}

bool initial_values(const struct state_entry *entry, uint64_t seed, float *values)
{
    struct source source = {.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                            .stream = hash_text(HASH_START, entry->public.name)};
    if (entry->init.kind == VKG_INIT_ORTHOGONAL)
        return fill_orthogonal(entry, &source, values);
    fill(entry, &source, values);
    return true;
}
