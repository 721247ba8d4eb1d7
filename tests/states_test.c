/* What is assigned to state, and who still reads what was there before: whichever kernels the two end up in. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "on_device.h"
#include "ops/ops.h"
#include "program/fuse.h"

static const vkg_init zero = {VKG_INIT_CONSTANT, 0, 0}, one = {VKG_INIT_CONSTANT, 1, 0};

struct built {
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
};

static void begin(struct built *b)
{
    assert_int_equal(vkg_graph_create(test_log(), &b->graph), VKG_OK);
}

static void finish(struct built *b)
{
    assert_int_equal(vkg_state_create(test_device(), &b->graph, 1, 1, &b->state), VKG_OK);
    assert_int_equal(vkg_program_create(test_device(), b->graph, b->state, NULL, &b->program), VKG_OK);
}

static void destroy(struct built *b)
{
    vkg_program_destroy(&b->program);
    vkg_state_destroy(&b->state);
    vkg_graph_destroy(&b->graph);
}

static void run(struct built *b)
{
    assert_int_equal(vkg_program_run(b->program), VKG_OK);
}

static void fill(struct built *b, const vkg_tensor *input, float value)
{
    float *numbers = vkg_program_input(b->program, input, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(input); i++)
        numbers[i] = value;
}

static void assert_near(float found, double expected)
{
    if (!(fabs((double)found - expected) <= 1e-5 * fmax(1, fabs(expected))))
        fail_msg("%.9g, expected %.9g", (double)found, expected);
}

static void assert_output(struct built *b, const vkg_tensor *output, double expected)
{
    const float *found = vkg_program_output(b->program, output, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(output); i++)
        assert_near(found[i], expected);
}

/* --- readers that compute it inside --- */

enum { SIZE = 8, RUNS = 3 };

/* x = s + p is computed inside both of its sum and of the assignment, for which the kernel in front of the sum has room. */
static void sums_are_of_the_old_value(void **unused)
{
    (void)unused;
    struct built b;
    begin(&b);
    vkg_tensor *p = vkg_input(b.graph, "p", VKG_SHAPE(SIZE, SIZE)), *s = vkg_buffer(b.graph, "s", VKG_SHAPE(SIZE, SIZE), one);
    vkg_output(b.graph, "z", vkg_mul(b.graph, p, p));
    vkg_tensor *x = vkg_add(b.graph, s, p), *y = vkg_sum(b.graph, x, VKG_ALL_AXES, false);
    vkg_output(b.graph, "y", y);
    vkg_assign(b.graph, s, x);
    finish(&b);
    fill(&b, p, 1);
    for (int i = 0; i < RUNS; i++) {
        run(&b);
        assert_output(&b, y, SIZE * SIZE * (i + 2));
    }
    destroy(&b);
}

/* n = count + 1 is computed inside both assignments: the average's is the last for which its kernel has room, an older one has room for the
 * count's. */
static void averages_are_of_the_old_count(void **unused)
{
    (void)unused;
    static const char *const names[] = {"u", "v", "w"};
    struct built b;
    begin(&b);
    vkg_tensor *p = vkg_input(b.graph, "p", VKG_SHAPE(SIZE)), *q = vkg_input(b.graph, "q", VKG_SHAPE(1));
    vkg_tensor *count = vkg_buffer(b.graph, "count", VKG_SHAPE(1), zero), *average = vkg_buffer(b.graph, "average", VKG_SHAPE(1), zero);
    vkg_output(b.graph, "z", vkg_affine(b.graph, q, 2, 0));
    vkg_tensor *sum = vkg_reshape(b.graph, vkg_sum(b.graph, p, 1, true), VKG_SHAPE(1)), *n = vkg_affine(b.graph, count, 1, 1);
    for (int i = 0; i < 3; i++)
        vkg_output(b.graph, names[i], vkg_affine(b.graph, sum, (float)(3 + i), 1));
    vkg_assign(b.graph, average, vkg_div(b.graph, sum, n));
    vkg_assign(b.graph, count, n);
    finish(&b);
    fill(&b, p, 1), fill(&b, q, 1);
    for (int i = 0; i < RUNS; i++) {
        float found;
        run(&b);
        assert_int_equal(vkg_state_read(b.state, vkg_state_find(b.state, "average"), &found), VKG_OK);
        assert_near(found, (double)SIZE / (i + 1));
    }
    destroy(&b);
}

/* A convolution's epilogue reads a bias that a kernel in front of it could assign. */
static void a_bias_is_the_old_value(void **unused)
{
    (void)unused;
    struct built b;
    begin(&b);
    vkg_tensor *p = vkg_input(b.graph, "p", VKG_SHAPE(SIZE)), *s = vkg_buffer(b.graph, "s", VKG_SHAPE(SIZE), one);
    vkg_tensor *x = vkg_input(b.graph, "x", VKG_SHAPE(1, 4, 4, SIZE)), *w = vkg_input(b.graph, "w", VKG_SHAPE(1, 1, SIZE, SIZE));
    vkg_tensor *z = vkg_mul(b.graph, p, p), *next = vkg_affine(b.graph, p, 2, 0);
    vkg_output(b.graph, "z", z);
    vkg_tensor *y = vkg_add(b.graph, vkg_convolution(b.graph, x, w, (vkg_conv_geometry){0}), s);
    vkg_output(b.graph, "y", y);
    vkg_assign(b.graph, s, next);
    finish(&b);
    fill(&b, p, 3), fill(&b, x, 1), fill(&b, w, 1);
    for (int i = 0; i < 2; i++) {
        run(&b);
        assert_output(&b, y, SIZE + (i ? 6 : 1));
    }
    destroy(&b);
}

/* --- random graphs --- */

enum { ROWS = 3, COLUMNS = 8, ELEMENTS = ROWS * COLUMNS, INPUTS = 2, STATES = 3, STEPS = 40, MOST = 96, GRAPHS = 6, FUSED_GRAPHS = 3000, TENSORS = 4 * MOST };

struct node {
    enum { INPUT, STATE, AFFINE, ADD, GREATER, FLIP, SUM, ASSIGN } kind;
    uint32_t a, b; /* the nodes that it reads */
    uint32_t rows, columns, state;
    bool shown; /* is an output */
    vkg_tensor *tensor; /* NULL: an assignment */
    double value[ELEMENTS];
};

struct random_graph {
    struct built built;
    uint32_t count, current[STATES]; /* the node of a state's latest version */
    struct node nodes[MOST];
    double kept[STATES][ELEMENTS];
};

static struct node *add_node(struct random_graph *r, struct node node)
{
    assert_true(r->count < MOST);
    r->nodes[r->count] = node;
    return &r->nodes[r->count++];
}

static vkg_shape shape_of(const struct node *node)
{
    return VKG_SHAPE(node->rows, node->columns);
}

/* Not an old version of state, of which what is turned twice is another name. */
static bool may_read(const struct node *node)
{
    return node->tensor && tensor_is_current(node->tensor);
}

/* One that may be read, mostly a late one. */
static uint32_t pick(const struct random_graph *r)
{
    for (;;) {
        const uint32_t late = r->count < 6 ? r->count : 6, node = test_random(3) ? r->count - 1 - test_random(late) : test_random(r->count);
        if (may_read(&r->nodes[node]))
            return node;
    }
}

static void name_state(struct random_graph *r, uint32_t state, uint32_t rows, uint32_t columns)
{
    char name[8];
    snprintf(name, sizeof name, "s%u", state);
    struct node *node = add_node(r, (struct node){.kind = STATE, .state = state, .rows = rows, .columns = columns});
    node->tensor = vkg_buffer(r->built.graph, name, shape_of(node), one);
    r->current[state] = r->count - 1;
}

/* Of a late value that has the state's shape; from here on there is only its new version. */
static void assign_random(struct random_graph *r)
{
    const uint32_t state = test_random(STATES), old = r->current[state];
    uint32_t from = r->count - test_random(INPUTS + STATES);
    while (from-- > 0 && (!may_read(&r->nodes[from]) || r->nodes[from].kind == STATE || r->nodes[from].rows != r->nodes[old].rows ||
                          r->nodes[from].columns != r->nodes[old].columns))
        ;
    if (from == UINT32_MAX)
        return;
    vkg_assign(r->built.graph, r->nodes[old].tensor, r->nodes[from].tensor);
    add_node(r, (struct node){.kind = ASSIGN, .a = from, .state = state, .rows = r->nodes[old].rows, .columns = r->nodes[old].columns});
    name_state(r, state, r->nodes[old].rows, r->nodes[old].columns);
}

/* Numbers stay small: what is added is halved, sums are means. */
static void compute_random(struct random_graph *r)
{
    vkg_graph *g = r->built.graph;
    const uint32_t a = test_random(2) ? pick(r) : r->current[test_random(STATES)], b = pick(r);
    const struct node *x = &r->nodes[a], *y = &r->nodes[b];
    struct node node = {.kind = AFFINE + (int)test_random(SUM - AFFINE + 1), .a = a, .b = b, .rows = x->rows, .columns = x->columns};
    if (node.kind == AFFINE) {
        node.tensor = vkg_affine(g, x->tensor, 0.5f, 0.25f);
    } else if (node.kind == FLIP) {
        node.tensor = vkg_flip(g, x->tensor, 3);
    } else if (node.kind == SUM) {
        node.rows = 1;
        node.columns = test_random(2) ? 1 : x->columns;
        node.tensor = vkg_mean(g, x->tensor, node.columns == 1 ? 3 : 1, true);
    } else {
        node.rows = y->rows > x->rows ? y->rows : x->rows;
        node.columns = y->columns > x->columns ? y->columns : x->columns;
        node.tensor = node.kind == ADD ? vkg_affine(g, vkg_add(g, x->tensor, y->tensor), 0.5f, 0.125f) : vkg_maximum(g, x->tensor, y->tensor);
    }
    node.shown = test_random(3) == 0 && tensor_storage(node.tensor)->op != &op_state; /* which is given as it is at the end */
    if (node.shown)
        vkg_output(g, "shown", node.tensor);
    add_node(r, node);
}

static void build_random(struct random_graph *r)
{
    static const uint32_t shapes[][2] = {{ROWS, COLUMNS}, {1, COLUMNS}, {1, 1}};
    *r = (struct random_graph){0};
    begin(&r->built);
    for (uint32_t i = 0; i < INPUTS; i++) {
        struct node *node = add_node(r, (struct node){.kind = INPUT, .rows = shapes[i][0], .columns = shapes[i][1]});
        node->tensor = vkg_input(r->built.graph, i ? "y" : "x", shape_of(node));
    }
    for (uint32_t i = 0; i < STATES; i++) {
        const uint32_t s = test_random(3);
        name_state(r, i, shapes[s][0], shapes[s][1]);
        for (uint32_t k = 0; k < ELEMENTS; k++)
            r->kept[i][k] = 1;
    }
    for (uint32_t i = 0; i < STEPS; i++)
        test_random(6) ? compute_random(r) : assign_random(r);
}

static double at(const struct node *node, uint32_t row, uint32_t column)
{
    return node->value[(node->rows > 1 ? row : 0) * node->columns + (node->columns > 1 ? column : 0)];
}

static double mean_of(const struct node *x, const struct node *node, uint32_t column)
{
    double sum = 0;
    for (uint32_t row = 0; row < x->rows; row++)
        for (uint32_t k = 0; k < x->columns; k++)
            sum += node->columns == 1 || k == column ? x->value[row * x->columns + k] : 0;
    return sum / (x->rows * (node->columns == 1 ? x->columns : 1));
}

static double element_of(const struct random_graph *r, const struct node *node, uint32_t row, uint32_t column)
{
    const struct node *a = &r->nodes[node->a], *b = &r->nodes[node->b];
    switch (node->kind) {
    case STATE: return r->kept[node->state][row * node->columns + column];
    case AFFINE: return 0.5 * at(a, row, column) + 0.25;
    case ADD: return 0.5 * (at(a, row, column) + at(b, row, column)) + 0.125;
    case GREATER: return fmax(at(a, row, column), at(b, row, column));
    case FLIP: return at(a, node->rows - 1 - row, node->columns - 1 - column);
    case SUM: return mean_of(a, node, column);
    default: return at(a, row, column);
    }
}

static void compute_expected(struct random_graph *r)
{
    for (uint32_t i = INPUTS; i < r->count; i++) {
        struct node *node = &r->nodes[i];
        for (uint32_t k = 0; k < node->rows * node->columns; k++)
            node->value[k] = element_of(r, node, k / node->columns, k % node->columns);
        if (node->kind == ASSIGN)
            memcpy(r->kept[node->state], node->value, sizeof node->value);
    }
}

static void check_random(struct random_graph *r)
{
    for (uint32_t i = 0; i < INPUTS; i++)
        for (uint32_t k = 0; k < r->nodes[i].rows * r->nodes[i].columns; k++)
            r->nodes[i].value[k] = (double)(((float *)vkg_program_input(r->built.program, r->nodes[i].tensor, 0))[k] = test_random_float());
    compute_expected(r);
    run(&r->built);
    for (uint32_t i = 0; i < r->count; i++)
        for (uint32_t k = 0; r->nodes[i].shown && k < r->nodes[i].rows * r->nodes[i].columns; k++)
            assert_near(((const float *)vkg_program_output(r->built.program, r->nodes[i].tensor, 0))[k], r->nodes[i].value[k]);
    for (uint32_t s = 0; s < STATES; s++) {
        const struct node *node = &r->nodes[r->current[s]];
        float found[ELEMENTS];
        assert_int_equal(vkg_state_read(r->built.state, vkg_state_find(r->built.state, tensor_storage(node->tensor)->name), found), VKG_OK);
        for (uint32_t k = 0; k < node->rows * node->columns; k++)
            assert_near(found[k], r->kept[s][k]);
    }
}

static void random_graphs(void **unused)
{
    (void)unused;
    static struct random_graph r;
    for (int i = 0; i < GRAPHS; i++) {
        build_random(&r);
        finish(&r.built);
        for (int k = 0; k < 2; k++)
            check_random(&r);
        destroy(&r.built);
    }
}

/* --- many of them, of which only the order of what is read and assigned is looked at --- */

/* Values are hashes of what they are computed of. */
struct interpreter {
    const vkg_graph *graph;
    struct fusion fusion;
    uint64_t values[TENSORS];   /* in memory, by id */
    uint64_t expected[TENSORS]; /* by id, of every node on its own, one after the other */
    uint64_t kept[STATES], expected_kept[STATES];
};

static bool is_output(const struct fused_kernel *kernel, const vkg_tensor *storage)
{
    bool found = false;
    for (uint32_t i = 0; i < kernel->output_count; i++)
        found |= kernel->outputs[i] == storage;
    return found;
}

static uint64_t add_to_hash(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x9e3779b97f4a7c15 + (hash >> 29);
}

/* Where the kernel assigns to what it reads, it is the element that it computes. */
static void check_read(const struct fused_kernel *kernel, const vkg_tensor *node, const vkg_tensor *read)
{
    for (uint32_t i = 0; i < kernel->output_count; i++)
        if (kernel->outputs[i]->op == &op_assign && kernel->outputs[i]->attributes.index == tensor_storage(read)->attributes.index)
            assert_true(kernel->axes == 0 && node->op != &op_rearrange && shape_equal(&read->shape, &kernel->space));
}

static uint64_t value_of(const struct interpreter *in, const struct fused_kernel *kernel, const vkg_tensor *node)
{
    uint64_t hash = node->id;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const vkg_tensor *storage = tensor_storage(node->inputs[i]);
        if (fused_is_inline(node->inputs[i], in->fusion.inlined) || is_output(kernel, storage)) {
            hash = add_to_hash(hash, value_of(in, kernel, storage));
        } else if (storage->op == &op_state) {
            check_read(kernel, node, node->inputs[i]);
            hash = add_to_hash(hash, in->kept[storage->attributes.index]);
        } else {
            hash = add_to_hash(hash, in->values[storage->id]);
        }
    }
    return hash;
}

static void find_expected(struct interpreter *in)
{
    for (size_t id = 0; id < in->graph->tensor_count; id++) {
        const vkg_tensor *node = in->graph->tensors[id];
        uint64_t hash = id;
        for (uint32_t i = 0; i < node->input_count; i++)
            hash = add_to_hash(hash, in->expected[tensor_storage(node->inputs[i])->id]);
        in->expected[id] = node->op == &op_state ? in->expected_kept[node->attributes.index] : hash;
        if (node->op == &op_assign)
            in->expected_kept[node->attributes.index] = hash;
    }
}

/* A kernel reads all before it writes. */
static void run_unit(struct interpreter *in, const struct unit *unit)
{
    const struct fused_kernel *kernel = &unit->fused;
    assert_null(unit->node);
    for (uint32_t i = 0; i < kernel->output_count; i++)
        assert_true(value_of(in, kernel, kernel->outputs[i]) == in->expected[kernel->outputs[i]->id]);
    for (uint32_t i = 0; i < kernel->output_count; i++) {
        const vkg_tensor *output = kernel->outputs[i];
        *(output->op == &op_assign ? &in->kept[output->attributes.index] : &in->values[output->id]) = in->expected[output->id];
    }
}

static void fusion_keeps_the_order_of_assignments(void **unused)
{
    (void)unused;
    static struct random_graph r;
    size_t assignments = 0, alone = 0;
    for (int g = 0; g < FUSED_GRAPHS; g++) {
        build_random(&r);
        struct interpreter in = {.graph = r.built.graph};
        const struct fusion_limits limits = {.device = test_device(), .bindings = 6 + test_random(8), .repeats_small = test_random(2)};
        assert_true(in.graph->tensor_count <= TENSORS);
        assert_true(fusion_create(in.graph, &limits, &in.fusion));
        for (uint32_t i = 0; i < INPUTS; i++)
            in.values[r.nodes[i].tensor->id] = r.nodes[i].tensor->id;
        find_expected(&in);
        for (size_t u = 0; u < in.fusion.unit_count; u++) {
            const struct fused_kernel *kernel = &in.fusion.units[u].fused;
            run_unit(&in, &in.fusion.units[u]);
            for (uint32_t i = 0; i < kernel->output_count; i++) {
                assignments += kernel->outputs[i]->op == &op_assign;
                alone += kernel->outputs[i]->op == &op_assign && i == 0;
            }
        }
        for (uint32_t s = 0; s < STATES; s++)
            assert_true(in.kept[s] == in.expected_kept[s]);
        fusion_free(&in.fusion);
        vkg_graph_destroy(&r.built.graph);
    }
    print_message("%zu of %zu assignments begin a kernel\n", alone, assignments);
    assert_true(alone * 4 < assignments * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_are_of_the_old_value), cmocka_unit_test(averages_are_of_the_old_count),
                                       cmocka_unit_test(a_bias_is_the_old_value), cmocka_unit_test(random_graphs),
                                       cmocka_unit_test(fusion_keeps_the_order_of_assignments)};
    return cmocka_run_group_tests(tests, NULL, test_device_close);
}
