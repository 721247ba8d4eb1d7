/* WGAN-GP (Gulrajani et al. 2017): a critic that is trained five times a step and kept smooth by a penalty on its
 * gradient, algorithm 1 with its defaults. Here with the convolutions of a DCGAN; the critic normalises each sample by itself
 * (section 4: no batch normalisation, since the penalty is of single samples), `--norm none` does without.
 *
 * Sizes as in dcgan: k · 2ⁿ with k from 4 to 7; 28 is 7 · 2², 64 is 4 · 2⁴. */
#include <stdio.h>
#include <vkgan/app.h>
#include <vkgan/layers.h>

static const char *level_name(char name[16], const char *kind, uint32_t level)
{
    snprintf(name, 16, "%s%u", kind, level);
    return name;
}

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    const vkg_pyramid p = vkg_pyramid_of(s->image[0]);
    uint32_t channels = s->width << (p.doublings - 1);
    char name[16];
    vkg_tensor *x = vkg_linear(g, z, &(vkg_linear_desc){.name = "project", .out = p.base * p.base * channels});
    x = vkg_reshape(g, x, VKG_SHAPE(vkg_tensor_shape(z).dims[0], p.base, p.base, channels));
    for (uint32_t level = 1; level <= p.doublings; level++) {
        x = vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = level_name(name, "norm", level), .evaluation = s->evaluation});
        x = vkg_relu(g, x);
        channels = level < p.doublings ? channels / 2 : s->image[2];
        x = vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = level_name(name, "conv", level), .out = channels,
                                                        .kernel = 4, .stride = 2, .pad = 1});
    }
    return vkg_tanh(g, x);
}

static vkg_tensor *critic(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    const bool normalise = vkg_app_number(s->user, "norm") == 0;
    const uint32_t count = vkg_pyramid_of(s->image[0]).doublings;
    char name[16];
    for (uint32_t level = 1; level <= count; level++) {
        x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = level_name(name, "conv", level), .out = s->width << (level - 1),
                                              .kernel = 4, .stride = 2, .pad = 1});
        if (normalise && level > 1)
            x = vkg_layer_norm(g, x, &(vkg_norm_desc){.name = level_name(name, "norm", level)});
        x = vkg_leaky_relu(g, x, 0.2f);
    }
    const uint32_t batch = vkg_tensor_shape(x).dims[0];
    x = vkg_reshape(g, x, VKG_SHAPE(batch, (uint32_t)(vkg_tensor_elements(x) / batch)));
    return vkg_linear(g, x, &(vkg_linear_desc){.name = "score", .out = 1});
}

int main(int argc, char **argv)
{
    static const vkg_app_option options[] = {
        {.name = "norm", .argument = "layer|none", .help = "of the critic's hidden layers"}, {0}};
    return vkg_app_main(argc, argv, &(vkg_app_desc){
        .name = "wgan-gp", .summary = "learns to draw images like yours, by a smooth critic (WGAN-GP, Gulrajani et al. 2017)",
        .check = vkg_pyramid_check, .latent = 128, .width = 64, .batch = 64, .options = options,
        .gan = {.generator = generator, .discriminator = critic, .loss = VKG_LOSS_WASSERSTEIN, .discriminator_times = 5,
                .regularizers = {.gradient_penalty = 10},
                .optimizer_g = {.lr = 1e-4f, .beta1 = -1, .beta2 = 0.9f},
                .optimizer_d = {.lr = 1e-4f, .beta1 = -1, .beta2 = 0.9f}}});
}
