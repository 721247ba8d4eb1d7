#include "small_programs.h"

#include <math.h>

struct uploads set_uploads(bool apart, uint64_t apart_from)
{
    vkg_device *device = test_device();
    const struct uploads usual = {device->uploads_apart, device->apart_from};
    device->uploads_apart = apart;
    device->apart_from = apart_from;
    return usual;
}

vkg_program *create_apart(vkg_graph *graph, vkg_state *state, const vkg_program_desc *desc, bool uploads_apart)
{
    vkg_program *program;
    const struct uploads usual = set_uploads(uploads_apart, 0);
    vkg_result result = vkg_program_create(test_device(), graph, state, desc, &program);
    set_uploads(usual.apart, usual.apart_from);
    assert_int_equal(result, VKG_OK);
    assert_true(uploads_apart == (program->arrivals.handle != VK_NULL_HANDLE));
    return program;
}

void toy_create(struct toy *toy, uint64_t seed)
{
    assert_int_equal(vkg_graph_create(test_log(), &toy->graph), VKG_OK);
    vkg_graph *g = toy->graph;
    toy->x = vkg_input(g, "x", VKG_SHAPE(3, 6, 6, 2));
    vkg_tensor *h = vkg_conv2d(g, toy->x, &(vkg_conv_desc){.name = "a", .out = 8, .kernel = 3, .pad = 1, .bias = true});
    h = vkg_leaky_relu(g, vkg_batch_norm(g, h, &(vkg_batch_norm_desc){.name = "b"}), 0.2f);
    h = vkg_add(g, h, vkg_affine(g, vkg_random_normal(g, VKG_SHAPE(3, 6, 6, 8)), 0.1f, 0));
    toy->y = vkg_conv2d(g, h, &(vkg_conv_desc){.name = "c", .out = 1, .kernel = 6});
    toy->loss = vkg_bce_with_logits(g, toy->y, 1);
    vkg_tensor *parameters[8], *gradients[8];
    uint32_t count = vkg_graph_parameters(g, "", parameters, 8);
    vkg_gradients(g, toy->loss, parameters, count, gradients);
    vkg_optimize(g, "all", parameters, gradients, count, &(vkg_optimizer_desc){.lr = 0.01f});
    vkg_output(g, "loss", toy->loss);
    vkg_output(g, "y", toy->y);
    assert_int_equal(vkg_state_create(test_device(), &toy->graph, 1, seed, &toy->state), VKG_OK);
}

void toy_destroy(struct toy *toy)
{
    vkg_state_destroy(&toy->state);
    vkg_graph_destroy(&toy->graph);
}

void toy_fill(struct toy *toy, vkg_program *program)
{
    float *x = vkg_program_input(program, toy->x, 0);
    for (uint64_t i = 0; i < vkg_tensor_elements(toy->x); i++)
        x[i] = sinf((float)i);
}

enum { ROWS = 300, COLUMNS = 70 };

void doubling_create(struct doubling *d, const vkg_program_desc *desc, bool uploads_apart)
{
    assert_int_equal(vkg_graph_create(test_log(), &d->graph), VKG_OK);
    d->n = vkg_input(d->graph, "n", VKG_SHAPE(1));
    d->x = vkg_input(d->graph, "x", VKG_SHAPE(ROWS, COLUMNS));
    vkg_tensor *sums = vkg_sum(d->graph, d->x, 2, true); /* a dispatch more: there is something to cut */
    d->y = vkg_add(d->graph, vkg_add(d->graph, vkg_affine(d->graph, d->x, 2, 1), vkg_affine(d->graph, sums, 0, 0)), d->n);
    vkg_output(d->graph, "y", d->y);
    d->program = create_apart(d->graph, NULL, desc, uploads_apart);
}

void doubling_destroy(struct doubling *d)
{
    vkg_program_destroy(&d->program);
    vkg_graph_destroy(&d->graph);
}

void doubling_write(struct doubling *d, uint32_t slot, uint32_t number)
{
    float *x = vkg_program_input(d->program, d->x, slot);
    d->written[slot] = number;
    *(float *)vkg_program_input(d->program, d->n, slot) = (float)(number % 100);
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
        x[i] = (float)((i + 17 * number) % 1000);
}

void doubling_check(const struct doubling *d, uint32_t slot)
{
    const float *y = vkg_program_output(d->program, d->y, slot);
    const uint32_t number = d->written[slot];
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
        if (y[i] != (float)(2 * ((i + 17 * number) % 1000) + 1 + number % 100))
            fail_msg("run %u, slot %u, element %u: %g", number, slot, i, (double)y[i]);
}
