/* SAGAN (Zhang, Goodfellow, Metaxas and Odena 2019, "Self-attention generative adversarial networks"): residual networks
 * that know the class of an image, with spectral normalisation on both sides, and one layer of self-attention, by which
 * distant places agree.
 *
 * Of data without classes the networks are the same, with ordinary batch normalisation and no projection. The attention is
 * named as in BigGAN's PyTorch program, which took it from here. */
#include <stdio.h>
#include <vkgan/app.h>
#include <vkgan/layers.h>
#include <vkgan/resample.h>

enum { WIDEST = 16 }; /* times the narrowest block */

/* Where the attention is: 32×32 at the most, as the paper found best, and half of the image. */
static uint32_t attention_size(const vkg_network_settings *s)
{
    uint32_t size = s->image[0] / 2;
    while (size > 32)
        size /= 2;
    return size;
}

static bool check(const vkg_network_settings *s, char *message, size_t message_size)
{
    const uint32_t attention = attention_size(s);
    if (!vkg_pyramid_check(s, message, message_size))
        return false;
    snprintf(message, message_size, s->width % 8 != 0 ? "--width %u is no multiple of 8, which the attention's queries have an eighth of"
                                                      : "half of their side must be even, for the attention: --size 8, 12, or k·2ⁿ "
                                                        "with k from 4 to 7 and n from 2 to 8", s->width);
    return s->width % 8 == 0 && attention % 2 == 0;
}

/* --- layers, spectrally normalised --- */

static vkg_weight_desc spectral(const vkg_network_settings *s)
{
    return (vkg_weight_desc){.form = VKG_WEIGHT_SPECTRAL, .evaluation = s->evaluation};
}

static vkg_tensor *convolution(vkg_graph *g, const char *name, vkg_tensor *x, uint32_t out, uint32_t kernel,
                               const vkg_network_settings *s)
{
    return vkg_conv2d(g, x, &(vkg_conv_desc){.name = name, .out = out, .kernel = kernel, .pad = kernel / 2, .bias = true,
                                             .weight = spectral(s)});
}

static vkg_tensor *linear(vkg_graph *g, const char *name, vkg_tensor *x, uint32_t out, const vkg_network_settings *s)
{
    return vkg_linear(g, x, &(vkg_linear_desc){.name = name, .out = out, .bias = true, .weight = spectral(s)});
}

/* x + γ·o(softmax(θ(x)·φ(x)ᵀ)·g(x)), γ from 0: the network learns from its neighbourhoods first. Keys and values are read
 * at half the size. */
static vkg_tensor *attend(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    const vkg_shape shape = vkg_tensor_shape(x);
    const uint32_t n = shape.dims[0], places = shape.dims[1] * shape.dims[2], c = shape.dims[3];
    const vkg_pool_desc halve = {.kernel = {2, 2}};
    vkg_graph_enter(g, "attention");
    vkg_tensor *theta = convolution(g, "theta", x, c / 8, 1, s);
    vkg_tensor *phi = vkg_max_pool(g, convolution(g, "phi", x, c / 8, 1, s), &halve);
    vkg_tensor *values = vkg_max_pool(g, convolution(g, "g", x, c / 2, 1, s), &halve);
    vkg_tensor *y = vkg_scaled_dot_product_attention(g, vkg_reshape(g, theta, VKG_SHAPE(n, places, c / 8)),
                                                     vkg_reshape(g, phi, VKG_SHAPE(n, places / 4, c / 8)),
                                                     vkg_reshape(g, values, VKG_SHAPE(n, places / 4, c / 2)),
                                                     &(vkg_attention_desc){.scale = 1});
    y = vkg_reshape(g, y, VKG_SHAPE(n, shape.dims[1], shape.dims[2], c / 2));
    vkg_tensor *gamma = vkg_parameter(g, "gamma", VKG_SCALAR, (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    y = vkg_add(g, x, vkg_mul(g, gamma, convolution(g, "o", y, c, 1, s)));
    vkg_graph_leave(g);
    return y;
}

/* --- the generator --- */

/* Scale and bias of each class, from 1 and 0 (de Vries et al. 2017). */
static vkg_tensor *batch_norm(vkg_graph *g, const char *name, vkg_tensor *x, const vkg_network_settings *s)
{
    const vkg_batch_norm_desc desc = {.name = name, .init_std = -1, .evaluation = s->evaluation};
    const vkg_shape table = VKG_SHAPE(s->classes, vkg_tensor_shape(x).dims[3]);
    if (!s->labels)
        return vkg_batch_norm(g, x, &desc);
    vkg_graph_enter(g, name);
    vkg_tensor *gains = vkg_parameter(g, "gain.weight", table, (vkg_init){VKG_INIT_CONSTANT, 1, 0});
    vkg_tensor *biases = vkg_parameter(g, "bias.weight", table, (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    vkg_graph_leave(g);
    return vkg_conditional_batch_norm(g, x, vkg_embedding(g, gains, s->labels), vkg_embedding(g, biases, s->labels), &desc);
}

static vkg_tensor *twice(vkg_graph *g, vkg_tensor *x)
{
    const vkg_shape shape = vkg_tensor_shape(x);
    return vkg_interpolate(g, x, &(vkg_interpolate_desc){.size = {2 * shape.dims[1], 2 * shape.dims[2]}, .mode = VKG_NEAREST});
}

static vkg_tensor *block_up(vkg_graph *g, vkg_tensor *x, uint32_t out, const vkg_network_settings *s)
{
    vkg_tensor *y = vkg_relu(g, batch_norm(g, "bn1", x, s));
    y = convolution(g, "conv1", twice(g, y), out, 3, s);
    y = vkg_relu(g, batch_norm(g, "bn2", y, s));
    y = convolution(g, "conv2", y, out, 3, s);
    return vkg_add(g, y, twice(g, convolution(g, "conv_sc", x, out, 1, s)));
}

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    const vkg_pyramid p = vkg_pyramid_of(s->image[0]);
    const uint32_t widest = vkg_pyramid_width(s, p.base, WIDEST);
    vkg_tensor *x = linear(g, "linear", z, p.base * p.base * widest, s);
    x = vkg_reshape(g, x, VKG_SHAPE(vkg_tensor_shape(z).dims[0], p.base, p.base, widest));
    for (uint32_t i = 0, size = 2 * p.base; i < p.doublings; i++, size *= 2) {
        vkg_graph_enter_item(g, "blocks", i);
        x = block_up(g, x, vkg_pyramid_width(s, size, WIDEST), s);
        vkg_graph_leave(g);
        if (size == attention_size(s))
            x = attend(g, x, s);
    }
    x = vkg_relu(g, vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = "output_bn", .init_std = -1,
                                                                .evaluation = s->evaluation}));
    return vkg_tanh(g, convolution(g, "output", x, s->image[2], 3, s));
}

/* --- the discriminator --- */

static vkg_tensor *halve(vkg_graph *g, vkg_tensor *x)
{
    return vkg_avg_pool(g, x, &(vkg_pool_desc){.kernel = {2, 2}});
}

/* first: of the image itself, which no activation comes before. down: to half the side. */
static vkg_tensor *block_down(vkg_graph *g, vkg_tensor *x, uint32_t out, bool first, bool down, const vkg_network_settings *s)
{
    vkg_tensor *y = convolution(g, "conv1", first ? x : vkg_relu(g, x), out, 3, s), *shortcut = x;
    y = convolution(g, "conv2", vkg_relu(g, y), out, 3, s);
    if (down)
        shortcut = halve(g, shortcut); /* before its 1×1 convolution or behind it: the same, but for a quarter of the work */
    if (down || vkg_tensor_shape(x).dims[3] != out)
        shortcut = convolution(g, "conv_sc", shortcut, out, 1, s);
    return vkg_add(g, down ? halve(g, y) : y, shortcut);
}

/* h·(v + the class's own vector): how real, and how much of its class. Miyato and Koyama 2018. */
static vkg_tensor *project(vkg_graph *g, vkg_tensor *h, const vkg_network_settings *s)
{
    vkg_tensor *logits = linear(g, "linear", h, 1, s);
    if (!s->labels)
        return logits;
    vkg_graph_enter(g, "embed");
    vkg_tensor *classes = vkg_parameter(g, "weight_orig", VKG_SHAPE(s->classes, vkg_tensor_shape(h).dims[1]),
                                        (vkg_init){VKG_INIT_NORMAL, 0, 0.02f});
    vkg_graph_leave(g);
    classes = vkg_spectral_norm(g, "embed", classes, 0, 0, s->evaluation);
    return vkg_add(g, logits, vkg_sum(g, vkg_mul(g, h, vkg_embedding(g, classes, s->labels)), 1u << 1, true));
}

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    const vkg_pyramid p = vkg_pyramid_of(s->image[0]);
    uint32_t size = s->image[0];
    for (uint32_t i = 0; i <= p.doublings; i++) {
        const bool down = i < p.doublings;
        vkg_graph_enter_item(g, "blocks", i);
        x = block_down(g, x, vkg_pyramid_width(s, size, WIDEST), i == 0, down, s);
        vkg_graph_leave(g);
        size /= 2;
        if (down && size == attention_size(s))
            x = attend(g, x, s);
    }
    return project(g, vkg_sum(g, vkg_relu(g, x), 1u << 1 | 1u << 2, false), s);
}

static const vkg_app_recipe recipes[] = {
    {"quick", "narrow, and at higher rates: classes of small images in minutes",
     "--width 16 --latent 64 --batch 64 --lr 0.0005 --lr-d 0.002 --steps 1500"},
    {0}};

int main(int argc, char **argv)
{
    return vkg_app_main(argc, argv, &(vkg_app_desc){
        .name = "sagan", .summary = "draws images of each class, with self-attention (SAGAN, Zhang et al. 2019)",
        .gan = {.generator = generator, .discriminator = discriminator, .loss = VKG_LOSS_HINGE,
                .optimizer_g = {.lr = 1e-4f, .beta1 = -1, .beta2 = 0.9f},
                .optimizer_d = {.lr = 4e-4f, .beta1 = -1, .beta2 = 0.9f}},
        .check = check, .labels = true, .recipes = recipes, .latent = 128, .width = 64, .batch = 64});
}
