/* Augmentation: images, gradients and gradients of gradients beside PyTorch's (tests/reference/augment.py), and ADA's
 * probability beside its formula. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "on_device.h"

static vkg_safetensors *file;

struct array {
    vkg_shape shape;
    float *data;
};

static struct array read_array(const char *name, const char *key)
{
    char full_name[64];
    snprintf(full_name, sizeof full_name, "%s/%s", name, key);
    uint32_t index = vkg_safetensors_find(file, full_name);
    if (index == UINT32_MAX)
        fail_msg("the reference has no \"%s\"", full_name);
    const vkg_safetensors_entry *entry = vkg_safetensors_get(file, index);
    struct array array = {.shape.rank = entry->rank, .data = malloc(entry->size)};
    assert_int_equal(vkg_safetensors_read(file, index, array.data, entry->size), VKG_OK);
    for (uint32_t i = 0; i < entry->rank; i++)
        array.shape.dims[i] = (uint32_t)entry->dims[i];
    return array;
}

static vkg_tensor *data_of(vkg_graph *g, const char *name, const char *key)
{
    struct array array = read_array(name, key);
    vkg_tensor *tensor = vkg_data(g, array.shape, VKG_FLOAT32, array.data);
    free(array.data);
    return tensor;
}

/* A graph and what is run of it. */
struct run {
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
};

static void begin(struct run *r)
{
    *r = (struct run){0};
    assert_int_equal(vkg_graph_create(test_log(), &r->graph), VKG_OK);
}

static void compile(struct run *r)
{
    assert_int_equal(vkg_state_create(test_device(), &r->graph, 1, 3, &r->state), VKG_OK);
    assert_int_equal(vkg_program_create(test_device(), r->graph, r->state, NULL, &r->program), VKG_OK);
}

static void end(struct run *r)
{
    vkg_program_destroy(&r->program);
    vkg_state_destroy(&r->state);
    vkg_graph_destroy(&r->graph);
}

/* --- beside PyTorch --- */

enum kind { DIFF, MIRROR, ADA };

static vkg_tensor *columns(vkg_graph *g, vkg_tensor *numbers, uint32_t count)
{
    return vkg_slice(g, numbers, 1, 0, count, 1);
}

static vkg_tensor *augment(vkg_graph *g, const char *name, enum kind kind, uint32_t changes, vkg_tensor *images)
{
    vkg_tensor *uniform = data_of(g, name, "uniform");
    if (kind == DIFF)
        return vkg_diff_augment(g, images, changes, columns(g, uniform, 7));
    if (kind == MIRROR)
        return vkg_mirror_and_shift(g, images, columns(g, uniform, 3));
    const vkg_ada_noise noise = {.uniform = uniform, .normal = data_of(g, name, "normal")};
    return vkg_ada_augment(g, images, changes, data_of(g, name, "p"), &noise);
}

/* The greatest difference, relative to the greatest element. */
static double compare(struct run *r, const char *name, const char *key, vkg_tensor *tensor)
{
    struct array expected = read_array(name, key);
    const float *found = vkg_program_output(r->program, tensor, 0);
    double worst = 0, size = 0;
    for (uint64_t i = 0; i < vkg_tensor_elements(tensor); i++) {
        worst = fmax(worst, isnan(found[i]) ? INFINITY : fabs((double)found[i] - (double)expected.data[i]));
        size = fmax(size, fabs((double)expected.data[i]));
    }
    free(expected.data);
    if (!(worst < 1e-5 * size))
        fail_msg("%s, %s: off by %g, its greatest element is %g", name, key, worst, size);
    return worst / size;
}

static void check_case(const char *group, const char *size, enum kind kind, uint32_t changes)
{
    char name[32];
    struct run r;
    snprintf(name, sizeof name, "%s_%s", group, size);
    begin(&r);
    vkg_graph *g = r.graph;
    vkg_tensor *images = data_of(g, name, "images"), *dy = data_of(g, name, "dy"), *gradient, *second;
    vkg_tensor *result = augment(g, name, kind, changes, images);
    vkg_gradients(g, vkg_mul(g, result, dy), &images, 1, &gradient);
    vkg_gradients(g, vkg_square(g, gradient), &dy, 1, &second);
    vkg_output(g, "result", result), vkg_output(g, "gradient", gradient), vkg_output(g, "second", second);
    compile(&r);
    assert_int_equal(vkg_program_run(r.program), VKG_OK);
    double a = compare(&r, name, "result", result), b = compare(&r, name, "gradient", gradient),
           c = compare(&r, name, "second", second);
    printf("%s: off by %.1e, gradient %.1e, second %.1e\n", name, a, b, c);
    end(&r);
}

static void augmentations_are_pytorchs(void **unused)
{
    (void)unused;
    static const char *const sizes[] = {"grey", "color", "one", "two"};
    assert_int_equal(vkg_safetensors_open(test_log(), VKGAN_TEST_DATA "/augment.safetensors", &file), VKG_OK);
    for (int i = 0; i < 4; i++) {
        check_case("diff", sizes[i], DIFF, 0);
        check_case("mirror", sizes[i], MIRROR, 0);
        check_case("ada", sizes[i], ADA, 0);
        check_case("some", sizes[i], ADA, 0);
        check_case("none", sizes[i], ADA, 0);
        check_case("blit", sizes[i], ADA, VKG_CHANGE_BLIT);
        check_case("geometry", sizes[i], ADA, VKG_CHANGE_GEOMETRY);
        check_case("paint", sizes[i], ADA, VKG_CHANGE_COLOR);
    }
    vkg_safetensors_close(&file);
}

/* --- fresh numbers --- */

static void numbers_are_fresh(void **unused)
{
    (void)unused;
    enum { N = 16, SIZE = 8, PIXELS = SIZE * SIZE };
    struct run r;
    begin(&r);
    vkg_graph *g = r.graph;
    vkg_tensor *images = vkg_constant(g, 1, VKG_SHAPE(N, SIZE, SIZE, 1)), *results[3];
    results[0] = vkg_diff_augment(g, images, 0, NULL);
    results[1] = vkg_ada_augment(g, images, 0, vkg_constant(g, 1, VKG_SCALAR), NULL);
    results[2] = vkg_mirror_and_shift(g, images, NULL);
    for (int i = 0; i < 3; i++)
        vkg_output(g, "result", results[i]);
    compile(&r);
    float first[3][N * PIXELS];
    for (int run = 0; run < 2; run++) {
        assert_int_equal(vkg_program_run(r.program), VKG_OK);
        for (int i = 0; i < 3; i++) {
            const float *found = vkg_program_output(r.program, results[i], 0);
            assert_true(run == 0 || memcmp(first[i], found, sizeof first[i]) != 0); /* from run to run */
            assert_true(memcmp(found, found + PIXELS, PIXELS * 4) != 0 || /* and from image to image */
                        memcmp(found, found + 2 * PIXELS, PIXELS * 4) != 0);
            memcpy(first[i], found, sizeof first[i]);
        }
    }
    end(&r);
}

/* --- ADA's probability --- */

struct follower {
    double p, signs;
    uint32_t calls;
};

static void follow(struct follower *f, const float *logits, uint32_t n, double target, uint32_t every, double images)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += logits[i] > 0 ? 1 : logits[i] < 0 ? -1 : 0;
    f->signs += sum / n;
    if (++f->calls < every)
        return;
    double mean = f->signs / every;
    f->p += (mean > target ? 1 : mean < target ? -1 : 0) * (double)(every * n) / images;
    f->p = fmin(fmax(f->p, 0), 1);
    f->calls = 0, f->signs = 0;
}

static void the_probability_follows_its_formula(void **unused)
{
    (void)unused;
    enum { N = 10 };
    struct run r;
    begin(&r);
    vkg_graph *g = r.graph;
    const vkg_ada_desc desc = {.target = 0.55f, .every = 3, .images = 400};
    vkg_tensor *logits = vkg_input(g, "logits", VKG_SHAPE(N, 1)), *sign = vkg_ada_adjust(g, "ada", logits, &desc);
    vkg_tensor *p = vkg_affine(g, vkg_ada_probability(g, "ada"), 1, 0);
    vkg_output(g, "sign", sign), vkg_output(g, "p", p);
    compile(&r);
    struct follower f = {0};
    double highest = 0, before = 0;
    for (uint32_t step = 0; step < 120; step++) {
        float *values = vkg_program_input(r.program, logits, 0), sum = 0;
        /* sure of itself, then of the reals' being generated, then in doubt */
        for (int i = 0; i < N; i++) {
            values[i] = test_random_float() + (step < 50 ? 1.5f : step < 70 ? -1.5f : 0.6f);
            sum += values[i] > 0 ? 1.0f : values[i] < 0 ? -1.0f : 0;
        }
        follow(&f, values, N, 0.55, 3, 400);
        assert_int_equal(vkg_program_run(r.program), VKG_OK);
        double found = (double)*(const float *)vkg_program_output(r.program, p, 0);
        if (!(fabs(found - f.p) < 1e-5))
            fail_msg("step %u: p is %g, expected %g", step + 1, found, f.p);
        assert_true(fabsf(*(const float *)vkg_program_output(r.program, sign, 0) - sum / N) < 1e-6f);
        assert_true(step >= 50 ? step >= 70 || found <= before : found >= before);
        before = found, highest = fmax(highest, found);
    }
    assert_true(highest == 1); /* it was reached, and not passed */
    end(&r);
}

/* --- the history of generated images --- */

enum { POOL = 10, NEW = 4, ELEMENTS = 6 };

struct history {
    float pool[POOL][ELEMENTS];
    uint32_t count;
};

/* What comes out for `images`, one after the other. */
static void exchange(struct history *h, const float *images, const float *uniform, const int32_t *places, float *shown)
{
    const bool full = h->count == POOL;
    for (uint32_t i = 0; i < NEW; i++) {
        memcpy(shown + i * ELEMENTS, images + i * ELEMENTS, ELEMENTS * 4);
        if (full && uniform[i] <= 0.5f) {
            memcpy(shown + i * ELEMENTS, h->pool[places[i]], ELEMENTS * 4);
            memcpy(h->pool[places[i]], images + i * ELEMENTS, ELEMENTS * 4);
        } else if (h->count < POOL) {
            memcpy(h->pool[h->count++], images + i * ELEMENTS, ELEMENTS * 4);
        }
    }
}

static void shuffle(int32_t *places)
{
    for (int32_t i = 0; i < POOL; i++)
        places[i] = i;
    for (uint32_t i = POOL - 1; i > 0; i--) {
        uint32_t j = test_random(i + 1);
        int32_t kept = places[i];
        places[i] = places[j], places[j] = kept;
    }
}

static void history_exchanges(void **unused)
{
    (void)unused;
    struct run r;
    struct history expected = {0};
    begin(&r);
    vkg_graph *g = r.graph;
    vkg_tensor *images = vkg_input(g, "images", VKG_SHAPE(NEW, 1, 3, 2));
    const vkg_history_noise noise = {.uniform = vkg_input(g, "uniform", VKG_SHAPE(NEW)),
                                     .places = vkg_input_typed(g, "places", VKG_SHAPE(NEW), VKG_INT32)};
    vkg_tensor *shown = vkg_history(g, "history", images, POOL, &noise);
    vkg_output(g, "shown", shown);
    compile(&r);
    uint32_t old = 0;
    for (uint32_t step = 0; step < 20; step++) {
        float *in = vkg_program_input(r.program, images, 0), *uniform = vkg_program_input(r.program, noise.uniform, 0);
        int32_t places[POOL];
        float wanted[NEW * ELEMENTS];
        shuffle(places);
        for (uint32_t i = 0; i < NEW * ELEMENTS; i++)
            in[i] = test_random_float();
        for (uint32_t i = 0; i < NEW; i++)
            uniform[i] = (float)(test_random(1000) + 1) / 1000.0f;
        memcpy(vkg_program_input(r.program, noise.places, 0), places, NEW * sizeof *places);
        exchange(&expected, in, uniform, places, wanted);
        old += memcmp(wanted, in, sizeof wanted) != 0;
        assert_int_equal(vkg_program_run(r.program), VKG_OK);
        assert_memory_equal(vkg_program_output(r.program, shown, 0), wanted, sizeof wanted);
    }
    assert_true(old > 0);
    end(&r);
}

/* Over many steps, fresh numbers show old images half of the time. */
static void history_is_random(void **unused)
{
    (void)unused;
    enum { STEPS = 100 };
    struct run r;
    begin(&r);
    vkg_graph *g = r.graph;
    vkg_tensor *images = vkg_input(g, "images", VKG_SHAPE(NEW, 1, 1, 1));
    vkg_tensor *shown = vkg_history(g, "history", images, POOL, NULL);
    vkg_output(g, "shown", shown);
    compile(&r);
    uint32_t old = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        float *in = vkg_program_input(r.program, images, 0);
        for (uint32_t i = 0; i < NEW; i++)
            in[i] = (float)(step * NEW + i + 1);
        assert_int_equal(vkg_program_run(r.program), VKG_OK);
        const float *out = vkg_program_output(r.program, shown, 0);
        for (uint32_t i = 0; i < NEW; i++) {
            assert_true(out[i] >= 1 && out[i] <= (float)(step * NEW + i + 1)); /* never an empty place */
            old += out[i] != (float)(step * NEW + i + 1);
        }
    }
    assert_in_range(old, 140, 250); /* of 388: 194 ± 5 deviations */
    end(&r);
}

/* --- names and errors --- */

static void augmentations_have_names(void **unused)
{
    (void)unused;
    for (int i = 0; i < VKG_AUGMENT_COUNT; i++) {
        vkg_augment_kind kind = VKG_AUGMENT_COUNT;
        assert_true(vkg_augment_by_name(vkg_augment_name((vkg_augment_kind)i), &kind));
        assert_int_equal(kind, i);
    }
    vkg_augment_kind kind = VKG_AUGMENT_ADA;
    assert_false(vkg_augment_by_name("", &kind));
    assert_int_equal(kind, VKG_AUGMENT_ADA);
    assert_null(vkg_augment_name(VKG_AUGMENT_COUNT));
}

static void mistakes_are_named(void **unused)
{
    (void)unused;
    static const char *const messages[] = {
        "diff_augment: the set of changes is 16, expected a sum of bits of 7",
        "ada_augment: images [2,3] must be [N,H,W,C]", "ada_augment: random numbers [2,7], expected [2,21]",
        "ada_augment: the probability [2,3] must be one number",
        "history \"h\": images [2,4,4,1] must be [N,H,W,C], and N at most the capacity 1"};
    test_expect_errors(true);
    for (int i = 0; i < 5; i++) {
        struct run r;
        begin(&r);
        vkg_graph *g = r.graph;
        vkg_tensor *images = vkg_input(g, "images", VKG_SHAPE(2, 4, 4, 1)), *flat = vkg_input(g, "flat", VKG_SHAPE(2, 3));
        vkg_tensor *half = vkg_constant(g, 0.5f, VKG_SCALAR), *seven = vkg_input(g, "seven", VKG_SHAPE(2, 7));
        if (i == 0)
            vkg_diff_augment(g, images, VKG_CHANGE_GEOMETRY, NULL);
        else if (i == 4)
            vkg_history(g, "h", images, 1, NULL);
        else
            vkg_ada_augment(g, i == 1 ? flat : images, 0, i == 3 ? flat : half,
                            i == 2 ? &(vkg_ada_noise){.uniform = seven} : NULL);
        assert_non_null(vkg_graph_error(g));
        if (!strstr(vkg_graph_error(g), messages[i]))
            fail_msg("\"%s\" does not say \"%s\"", vkg_graph_error(g), messages[i]);
        end(&r);
    }
    test_expect_errors(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(augmentations_are_pytorchs), cmocka_unit_test(numbers_are_fresh),
                                       cmocka_unit_test(the_probability_follows_its_formula),
                                       cmocka_unit_test(history_exchanges), cmocka_unit_test(history_is_random),
                                       cmocka_unit_test(augmentations_have_names), cmocka_unit_test(mistakes_are_named)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
