/* R3GAN (Huang, Gokaslan, Kuleshov and Tompkin 2024): "The GAN is dead; long live the GAN! A modern baseline GAN". Two
 * plain residual networks without normalisation, and a loss that is known to converge: logits of pairs, relativistic, with
 * both gradient penalties at every step. Layers are named as in the authors' PyTorch program.
 *
 * A stage of the generator is a resampling and residual blocks at one size, from k×k (k = 4 to 7) to the images' own; the
 * discriminator is its mirror. */
#include <math.h>
#include <stdio.h>
#include <vkgan/app.h>
#include <vkgan/layers.h>
#include <vkgan/resample.h>

enum {
    BLOCKS = 2,       /* a stage */
    EXPANSION = 2,    /* of a block's channels within it */
    GROUP_WIDTH = 16, /* channels of a group of its 3×3 convolution */
    WIDEST = 8,       /* times the narrowest stage */
};
static const float slope = 0.2f;

static bool check(const vkg_network_settings *s, char *message, size_t message_size)
{
    if (s->width % (GROUP_WIDTH / EXPANSION) == 0)
        return vkg_pyramid_check(s, message, message_size);
    snprintf(message, message_size, "--width %u is no multiple of %u", s->width, GROUP_WIDTH / EXPANSION);
    return false;
}

/* --- layers --- */

/* A convolution that keeps the size; its weight starts from N(0, gain²/fan_in). */
static vkg_tensor *convolution(vkg_graph *g, const char *name, vkg_tensor *x, uint32_t out, uint32_t kernel, uint32_t groups,
                               float gain)
{
    const uint32_t in = vkg_tensor_shape(x).dims[3];
    const vkg_init init = vkg_init_kaiming_normal(gain, kernel * kernel * in / groups);
    vkg_graph_enter(g, name);
    x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = "Layer", .out = out, .kernel = kernel, .pad = kernel / 2,
                                          .groups = groups, .weight.init = &init});
    vkg_graph_leave(g);
    return x;
}

static vkg_tensor *biased_activation(vkg_graph *g, const char *name, vkg_tensor *x)
{
    vkg_graph_enter(g, name);
    vkg_tensor *bias = vkg_parameter(g, "Bias", VKG_SHAPE(vkg_tensor_shape(x).dims[3]), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    vkg_graph_leave(g);
    return vkg_leaky_relu(g, vkg_add(g, x, bias), slope);
}

/* x + 1×1(3×3 in groups(1×1(x))), wider inside. With so many blocks in a row their sum would grow; so the last
 * convolution starts from 0, the others smaller by the fourth root of the number of blocks (Zhang et al. 2019, "Fixup"). */
static vkg_tensor *residual_block(vkg_graph *g, vkg_tensor *x, uint32_t blocks_in_all)
{
    const uint32_t channels = vkg_tensor_shape(x).dims[3], expanded = EXPANSION * channels;
    const float gain = sqrtf(2 / (1 + slope * slope)) * powf((float)blocks_in_all, -0.25f);
    vkg_tensor *y = convolution(g, "LinearLayer1", x, expanded, 1, 1, gain);
    y = biased_activation(g, "NonLinearity1", y);
    y = convolution(g, "LinearLayer2", y, expanded, 3, expanded / GROUP_WIDTH, gain);
    y = biased_activation(g, "NonLinearity2", y);
    return vkg_add(g, x, convolution(g, "LinearLayer3", y, channels, 1, 1, 0));
}

/* Blocks are items of the stage's list of layers, from `first` on. */
static vkg_tensor *residual_blocks(vkg_graph *g, vkg_tensor *x, uint32_t first, uint32_t stages)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        vkg_graph_enter_item(g, "Layers", first + i);
        x = residual_block(g, x, BLOCKS * stages);
        vkg_graph_leave(g);
    }
    return x;
}

/* --- between stages: linear interpolation to twice the side, and its transpose to half of it --- */

static const float triangle[3] = {0.25f, 0.5f, 0.25f};

static vkg_tensor *change_width(vkg_graph *g, vkg_tensor *x, uint32_t out)
{
    return vkg_tensor_shape(x).dims[3] == out ? x : convolution(g, "LinearLayer", x, out, 1, 1, 1);
}

static vkg_tensor *upsample(vkg_graph *g, vkg_tensor *x, uint32_t out)
{
    return vkg_upfirdn2d(g, change_width(g, x, out), &(vkg_fir_desc){.filter = triangle, .taps = 3, .up = 2, .pad_low = 1,
                                                                     .pad_high = 1, .gain = 4});
}

static vkg_tensor *downsample(vkg_graph *g, vkg_tensor *x, uint32_t out)
{
    x = vkg_upfirdn2d(g, x, &(vkg_fir_desc){.filter = triangle, .taps = 3, .down = 2, .pad_low = 1});
    return change_width(g, x, out);
}

/* --- at the ends: a map for each channel, learned. The latents weigh them; the discriminator weighs its features by them,
 * place by place, and adds up --- */

static vkg_tensor *linear(vkg_graph *g, const char *name, vkg_tensor *x, uint32_t out)
{
    const vkg_init init = vkg_init_kaiming_normal(1, vkg_tensor_shape(x).dims[1]);
    return vkg_linear(g, x, &(vkg_linear_desc){.name = name, .out = out, .weight.init = &init});
}

static vkg_tensor *generative_basis(vkg_graph *g, vkg_tensor *z, uint32_t out, uint32_t size)
{
    const vkg_init init = {VKG_INIT_NORMAL, 0, 1};
    z = vkg_reshape(g, linear(g, "LinearLayer", z, out), VKG_SHAPE(vkg_tensor_shape(z).dims[0], 1, 1, out));
    return vkg_conv_transpose2d(g, z, &(vkg_conv_desc){.name = "Basis", .out = out, .kernel = size, .groups = out,
                                                       .weight.init = &init});
}

static vkg_tensor *discriminative_basis(vkg_graph *g, vkg_tensor *x, uint32_t out, uint32_t size)
{
    const uint32_t n = vkg_tensor_shape(x).dims[0], channels = vkg_tensor_shape(x).dims[3];
    const vkg_init init = vkg_init_kaiming_normal(1, size * size);
    x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = "Basis", .out = channels, .kernel = size, .groups = channels,
                                          .weight.init = &init});
    return linear(g, "LinearLayer", vkg_reshape(g, x, VKG_SHAPE(n, channels)), out);
}

/* --- the networks --- */

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    const vkg_pyramid p = vkg_pyramid_of(s->image[0]);
    vkg_tensor *x = z;
    for (uint32_t stage = 0; stage <= p.doublings; stage++) {
        const uint32_t width = vkg_pyramid_width(s, p.base << stage, WIDEST);
        vkg_graph_enter_item(g, "MainLayers", stage);
        vkg_graph_enter_item(g, "Layers", 0);
        x = stage == 0 ? generative_basis(g, x, width, p.base) : upsample(g, x, width);
        vkg_graph_leave(g);
        x = residual_blocks(g, x, 1, p.doublings + 1);
        vkg_graph_leave(g);
    }
    return convolution(g, "AggregationLayer", x, s->image[2], 1, 1, 1);
}

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    const vkg_pyramid p = vkg_pyramid_of(s->image[0]);
    x = convolution(g, "ExtractionLayer", x, s->width, 1, 1, 1);
    for (uint32_t i = 0, size = s->image[0]; i <= p.doublings; i++, size /= 2) {
        vkg_graph_enter_item(g, "MainLayers", i);
        x = residual_blocks(g, x, 0, p.doublings + 1);
        vkg_graph_enter_item(g, "Layers", BLOCKS);
        x = i == p.doublings ? discriminative_basis(g, x, 1, p.base) : downsample(g, x, vkg_pyramid_width(s, size / 2, WIDEST));
        vkg_graph_leave(g);
        vkg_graph_leave(g);
    }
    return x;
}

static const vkg_app_recipe recipes[] = {
    {"quick", "narrow, and at a higher rate: small images in minutes",
     "--width 8 --batch 32 --lr 0.001 --ema 0.998 --steps 2000"},
    {0}};

int main(int argc, char **argv)
{
    return vkg_app_main(argc, argv, &(vkg_app_desc){
        .name = "r3gan", .summary = "a modern baseline: plain networks, and a loss that converges (R3GAN, Huang et al. 2024)",
        .gan = {.generator = generator, .discriminator = discriminator, .loss = VKG_LOSS_RELATIVISTIC,
                .regularizers = {.r1 = 0.05f, .r2 = 0.05f},
                .optimizer_g = {.lr = 2e-4f, .beta1 = -1, .beta2 = 0.99f},
                .optimizer_d = {.lr = 2e-4f, .beta1 = -1, .beta2 = 0.99f}},
        .check = check, .recipes = recipes, .latent = 64, .width = 96, .batch = 64, .ema = 0.999f, .ema_ramp_up = 0.05f});
}
