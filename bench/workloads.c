/* The workloads. bench/peers.py has the same ones in PyTorch, under the same names. */
#include "workloads.h"

#include <stdio.h>
#include <string.h>

#include "vkgan/layers.h"
#include "vkgan/optimizer.h"

enum { LATENT = 100, MOST_PARAMETERS = 256 };

/* --- pieces --- */

struct place {
    uint32_t next;
    char name[24];
};

static const char *next_name(struct place *place)
{
    snprintf(place->name, sizeof place->name, "main.%u", place->next++);
    return place->name;
}

static vkg_tensor *mean(vkg_graph *g, vkg_tensor *x)
{
    return vkg_mean(g, x, VKG_ALL_AXES, false);
}

static vkg_tensor *down(vkg_graph *g, struct place *place, vkg_tensor *x, uint32_t out, uint32_t stride)
{
    return vkg_conv2d(g, x, &(vkg_conv_desc){.name = next_name(place), .out = out, .kernel = 4, .stride = stride, .pad = 1});
}

static vkg_tensor *up(vkg_graph *g, struct place *place, vkg_tensor *x, uint32_t out)
{
    return vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = next_name(place), .out = out, .kernel = 4, .stride = 2,
                                                       .pad = 1});
}

static vkg_tensor *norm(vkg_graph *g, struct place *place, vkg_tensor *x)
{
    return vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = next_name(place)});
}

static void train(vkg_graph *g, const char *network, vkg_tensor *loss)
{
    vkg_tensor *parameters[MOST_PARAMETERS], *gradients[MOST_PARAMETERS];
    uint32_t count = vkg_graph_parameters(g, network, parameters, MOST_PARAMETERS);
    vkg_gradients(g, loss, parameters, count, gradients);
    vkg_optimize(g, network, parameters, gradients, count, &(vkg_optimizer_desc){0});
    vkg_output(g, network, loss);
}

/* --- DCGAN, and WGAN-GP with the same pyramid --- */

static uint32_t doublings(uint32_t size)
{
    uint32_t count = 0;
    for (; size % 2 == 0 && size >= 8; size /= 2)
        count++;
    return count;
}

static vkg_tensor *generator(vkg_graph *g, const struct workload *w)
{
    struct place place = {0};
    const uint32_t levels = doublings(w->size);
    vkg_graph_enter(g, "generator");
    vkg_tensor *x = vkg_random_normal(g, VKG_SHAPE(w->batch, 1, 1, LATENT));
    x = vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = next_name(&place), .out = w->width << (levels - 1),
                                                    .kernel = w->size >> levels});
    for (uint32_t level = 1; level <= levels; level++) {
        x = vkg_relu(g, norm(g, &place, x));
        x = up(g, &place, x, level < levels ? w->width << (levels - 1 - level) : w->channels);
    }
    vkg_graph_leave(g);
    return vkg_tanh(g, x);
}

static vkg_tensor *judge(vkg_graph *g, const struct workload *w, vkg_tensor *x, bool normalised)
{
    struct place place = {0};
    const uint32_t levels = doublings(w->size);
    vkg_graph_enter(g, "discriminator");
    for (uint32_t level = 0; level < levels; level++) {
        x = down(g, &place, x, w->width << level, 2);
        if (level > 0 && normalised)
            x = norm(g, &place, x);
        x = vkg_leaky_relu(g, x, 0.2f);
    }
    x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = next_name(&place), .out = 1, .kernel = w->size >> levels});
    vkg_graph_leave(g);
    return x;
}

static void dcgan(vkg_graph *g, const struct workload *w)
{
    vkg_tensor *real = vkg_input(g, "real", VKG_SHAPE(w->batch, w->size, w->size, w->channels));
    vkg_tensor *fake = generator(g, w);
    train(g, "discriminator", vkg_add(g, vkg_bce_with_logits(g, judge(g, w, real, true), 1),
                                      vkg_bce_with_logits(g, judge(g, w, vkg_detach(g, fake), true), 0)));
    train(g, "generator", vkg_bce_with_logits(g, judge(g, w, fake, true), 1));
}

/* One update of the critic, then one of the generator. Gulrajani et al. 2017. */
static void wgan_gp(vkg_graph *g, const struct workload *w)
{
    vkg_tensor *real = vkg_input(g, "real", VKG_SHAPE(w->batch, w->size, w->size, w->channels));
    vkg_tensor *fake = generator(g, w), *still = vkg_detach(g, fake);
    vkg_tensor *share = vkg_random_uniform(g, VKG_SHAPE(w->batch, 1, 1, 1));
    vkg_tensor *between = vkg_add(g, still, vkg_mul(g, share, vkg_sub(g, real, still)));
    vkg_tensor *slope;
    vkg_gradients(g, judge(g, w, between, false), &between, 1, &slope);
    vkg_tensor *length = vkg_sqrt(g, vkg_affine(g, vkg_sum(g, vkg_square(g, slope), 14, false), 1, 1e-12f));
    vkg_tensor *penalty = vkg_affine(g, mean(g, vkg_square(g, vkg_affine(g, length, 1, -1))), 10, 0);
    vkg_tensor *loss = vkg_sub(g, mean(g, judge(g, w, still, false)), mean(g, judge(g, w, real, false)));
    train(g, "discriminator", vkg_add(g, loss, penalty));
    train(g, "generator", vkg_neg(g, mean(g, judge(g, w, fake, false))));
}

/* --- pix2pix (Isola et al. 2017): a U-Net and a PatchGAN that sees 70×70 pixels --- */

static uint32_t widened(const struct workload *w, uint32_t level)
{
    return w->width << (level < 3 ? level : 3);
}

static vkg_tensor *unet(vkg_graph *g, const struct workload *w, vkg_tensor *x)
{
    vkg_tensor *skip[8];
    struct place place = {0};
    uint32_t levels = 0;
    vkg_graph_enter(g, "generator");
    for (uint32_t size = w->size; size > 1 && levels < 8; size /= 2, levels++) {
        x = down(g, &place, levels ? vkg_leaky_relu(g, x, 0.2f) : x, widened(w, levels), 2);
        if (levels > 0 && size > 2) /* one pixel has no statistics */
            x = norm(g, &place, x);
        skip[levels] = x;
    }
    for (uint32_t level = levels; level-- > 0;) {
        x = up(g, &place, vkg_relu(g, x), level > 0 ? widened(w, level - 1) : w->channels);
        if (level > 0) {
            x = norm(g, &place, x);
            x = vkg_concat(g, (vkg_tensor *[]){x, skip[level - 1]}, 2, 3);
        }
    }
    vkg_graph_leave(g);
    return vkg_tanh(g, x);
}

static vkg_tensor *patches(vkg_graph *g, const struct workload *w, vkg_tensor *from, vkg_tensor *to)
{
    struct place place = {0};
    vkg_tensor *x = vkg_concat(g, (vkg_tensor *[]){from, to}, 2, 3);
    vkg_graph_enter(g, "discriminator");
    for (uint32_t level = 0; level < 4; level++) {
        x = down(g, &place, x, w->width << level, level < 3 ? 2 : 1);
        x = vkg_leaky_relu(g, level ? norm(g, &place, x) : x, 0.2f);
    }
    x = down(g, &place, x, 1, 1);
    vkg_graph_leave(g);
    return x;
}

static void pix2pix(vkg_graph *g, const struct workload *w)
{
    const vkg_shape shape = VKG_SHAPE(w->batch, w->size, w->size, w->channels);
    vkg_tensor *from = vkg_input(g, "from", shape), *real = vkg_input(g, "real", shape);
    vkg_tensor *fake = unet(g, w, from);
    train(g, "discriminator", vkg_affine(g, vkg_add(g, vkg_bce_with_logits(g, patches(g, w, from, real), 1),
                                         vkg_bce_with_logits(g, patches(g, w, from, vkg_detach(g, fake)), 0)), 0.5f, 0));
    train(g, "generator", vkg_add(g, vkg_bce_with_logits(g, patches(g, w, from, fake), 1),
                                  vkg_affine(g, mean(g, vkg_abs(g, vkg_sub(g, fake, real))), 100, 0)));
}

/* --- single layers: operands and results are tensors of the state, so that nothing is uploaded --- */

static vkg_tensor *operand(vkg_graph *g, const char *name, vkg_shape shape)
{
    return vkg_buffer(g, name, shape, (vkg_init){VKG_INIT_NORMAL, 0, 0.5f});
}

static void keep(vkg_graph *g, const char *name, vkg_tensor *value)
{
    vkg_assign(g, vkg_buffer(g, name, vkg_tensor_shape(value), (vkg_init){0}), value);
}

/* The result itself where it is wanted, else one number of it: a copy of it would be measured as well, and a result that
 * nobody reads is not computed. */
static void keep_product(vkg_graph *g, const struct workload *w, vkg_tensor *value)
{
    for (uint32_t axis = 0; !w->whole && axis < vkg_tensor_shape(value).rank; axis++)
        value = vkg_slice(g, value, axis, 0, 1, 1);
    keep(g, "result", value);
}

static const vkg_conv_geometry halving = {.stride = {2, 2}, .padding = {1, 1}};

/* channels → width, 4×4, stride 2, of images of `size` */
static void conv_forward(vkg_graph *g, const struct workload *w)
{
    keep_product(g, w, vkg_convolution(g, operand(g, "x", VKG_SHAPE(w->batch, w->size, w->size, w->channels)),
                                       operand(g, "weight", VKG_SHAPE(4, 4, w->channels, w->width)), halving));
}

static void conv_input_gradient(vkg_graph *g, const struct workload *w)
{
    const uint32_t size[] = {w->size, w->size};
    keep_product(g, w, vkg_convolution_input_gradient(
        g, operand(g, "y", VKG_SHAPE(w->batch, w->size / 2, w->size / 2, w->width)),
        operand(g, "weight", VKG_SHAPE(4, 4, w->channels, w->width)), halving, size));
}

static void conv_weight_gradient(vkg_graph *g, const struct workload *w)
{
    const uint32_t kernel[] = {4, 4};
    keep_product(g, w, vkg_convolution_weight_gradient(
        g, operand(g, "x", VKG_SHAPE(w->batch, w->size, w->size, w->channels)),
        operand(g, "y", VKG_SHAPE(w->batch, w->size / 2, w->size / 2, w->width)), halving, kernel));
}

/* The result is the normalised x, then the gradient with respect to x of its product with y. */
static void batch_norm(vkg_graph *g, const struct workload *w)
{
    const vkg_shape shape = VKG_SHAPE(w->batch, w->size, w->size, w->channels);
    vkg_tensor *x = operand(g, "x", shape), *y = operand(g, "y", shape), *gradient;
    vkg_tensor *weight = operand(g, "weight", VKG_SHAPE(w->channels)), *bias = operand(g, "bias", VKG_SHAPE(w->channels));
    vkg_tensor *normal = vkg_batch_normalization(g, x, weight, bias, 1e-5f, NULL, NULL);
    vkg_gradients(g, vkg_mul(g, normal, y), &x, 1, &gradient);
    keep(g, "normal", normal);
    keep(g, "result", gradient);
}

/* The gradient follows from the parameter, so that its steps differ; p begins at 0. */
static void adam(vkg_graph *g, const struct workload *w)
{
    vkg_tensor *p = vkg_parameter(g, "net.p", VKG_SHAPE(w->size, w->size), (vkg_init){0});
    vkg_tensor *gradient = vkg_add(g, operand(g, "y", VKG_SHAPE(w->size, w->size)), vkg_affine(g, p, 1000, 0));
    vkg_optimize(g, "net", &p, &gradient, 1, &(vkg_optimizer_desc){0});
}

/* size×size places, `width` heads of `channels` numbers */
static vkg_tensor *attend(vkg_graph *g, const struct workload *w, vkg_tensor *qkv[3])
{
    static const char *const names[] = {"q", "k", "v"};
    for (int i = 0; i < 3; i++)
        qkv[i] = operand(g, names[i], VKG_SHAPE(w->batch, w->width, w->size * w->size, w->channels));
    return vkg_scaled_dot_product_attention(g, qkv[0], qkv[1], qkv[2], NULL);
}

static void attention(vkg_graph *g, const struct workload *w)
{
    vkg_tensor *qkv[3];
    keep_product(g, w, attend(g, w, qkv));
}

/* Of its product with y, with respect to all three. */
static void attention_gradients(vkg_graph *g, const struct workload *w)
{
    vkg_tensor *qkv[3], *gradients[3], *value = attend(g, w, qkv), *y = operand(g, "y", vkg_tensor_shape(value));
    vkg_gradients(g, vkg_mul(g, value, y), qkv, 3, gradients);
    keep(g, "dq", gradients[0]);
    keep(g, "dk", gradients[1]);
    keep(g, "dv", gradients[2]);
}

static void copy(vkg_graph *g, const struct workload *w)
{
    keep(g, "result", vkg_neg(g, operand(g, "x", VKG_SHAPE(w->size, w->size))));
}

static void matmul(vkg_graph *g, const struct workload *w)
{
    keep_product(g, w, vkg_matmul(g, operand(g, "x", VKG_SHAPE(w->size, w->size)),
                                  operand(g, "y", VKG_SHAPE(w->size, w->size)), false, false));
}

/* --- the table --- */

const struct workload workloads[] = {
    {"copy", copy, 4096, 0, 0, 0, 4096.0 * 4096 * 8},
    {"matmul", matmul, 1024, 0, 0, 0, 0},
    {"dcgan-28-1-w64-b64", dcgan, 28, 1, 64, 64, 0},
    {"dcgan-28-1-w32-b64", dcgan, 28, 1, 32, 64, 0},
    {"dcgan-64-3-w64-b64", dcgan, 64, 3, 64, 64, 0},
    {"dcgan-64-3-w32-b64", dcgan, 64, 3, 32, 64, 0},
    {"dcgan-64-3-w64-b128", dcgan, 64, 3, 64, 128, 0},
    {"wgan-gp-64", wgan_gp, 64, 3, 32, 64, 0},
    {"pix2pix-256", pix2pix, 256, 3, 64, 1, 0},
    {"conv-forward", conv_forward, 32, 64, 128, 64, 0},
    {"conv-input-gradient", conv_input_gradient, 32, 64, 128, 64, 0},
    {"conv-weight-gradient", conv_weight_gradient, 32, 64, 128, 64, 0},
    {"conv-forward-256", conv_forward, 16, 128, 256, 64, 0},
    {"conv-weight-gradient-256", conv_weight_gradient, 16, 128, 256, 64, 0},
    {"batch-norm", batch_norm, 32, 64, 0, 64, 64.0 * 32 * 32 * 64 * 4 * 6},
    {"adam-10M", adam, 3200, 0, 0, 0, 3200.0 * 3200 * 4 * 10},
    {"attention-64", attention, 64, 64, 8, 1, 0},
    {"attention-64-gradients", attention_gradients, 64, 64, 8, 1, 0},
};
const uint32_t workload_count = sizeof workloads / sizeof workloads[0];

const struct workload ceiling_workloads[] = {
    {"copy 64 MB", copy, 4096, 0, 0, 0, 0},
    {"copy 4 MB", copy, 1024, 0, 0, 0, 0},
    {"copy 1 MB", copy, 512, 0, 0, 0, 0},
    {"matmul 1024", matmul, 1024, 0, 0, 0, 0},
    {"matmul 512", matmul, 512, 0, 0, 0, 0},
    {"conv-forward", conv_forward, 32, 64, 128, 16, 0},
    {"conv-forward-256", conv_forward, 16, 128, 256, 16, 0},
    {"conv-input-gradient-256", conv_input_gradient, 16, 128, 256, 16, 0},
};
const uint32_t ceiling_workload_count = sizeof ceiling_workloads / sizeof ceiling_workloads[0];

/* The precision that a name asks for, and how long it is without. */
static vkg_dtype precision_of(const char *name, size_t *length)
{
    static const struct { const char *suffix; vkg_dtype type; } precisions[] = {{"-bf16", VKG_BFLOAT16}, {"-fp16", VKG_FLOAT16}};
    *length = strlen(name);
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        const size_t less = strlen(precisions[i].suffix);
        if (*length > less && strcmp(name + *length - less, precisions[i].suffix) == 0) {
            *length -= less;
            return precisions[i].type;
        }
    }
    return VKG_FLOAT32;
}

bool workload_find(const char *name, struct workload *workload)
{
    size_t length;
    const vkg_dtype precision = precision_of(name, &length);
    *workload = (struct workload){.build = dcgan};
    int end = 0;
    bool found = sscanf(name, "dcgan-%u-%u-w%u-b%u%n", &workload->size, &workload->channels, &workload->width, &workload->batch,
                        &end) == 4 && (size_t)end == length && workload->size <= 1024 && doublings(workload->size) > 0 &&
                 workload->channels > 0 && workload->width > 0 && workload->batch > 0;
    for (uint32_t i = 0; i < workload_count && !found; i++)
        if (strncmp(workloads[i].name, name, length) == 0 && !workloads[i].name[length]) {
            *workload = workloads[i];
            found = true;
        }
    workload->name = name;
    workload->precision = precision;
    return found;
}
