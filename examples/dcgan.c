/* DCGAN (Radford, Metz and Chintala 2016): convolutions with strides, batch normalisation, no pooling, no hidden
 * fully connected layers. Layers are named as in PyTorch's DCGAN example, so that weights travel both ways.
 *
 * The networks follow the size of the images, k · 2ⁿ with k from 4 to 7: the generator opens 1×1 to k×k and doubles
 * n times, the discriminator mirrors it. 28 is 7 · 2², 32 is 4 · 2³, 64 is 4 · 2⁴ (the paper's). */
#include <stdio.h>
#include <vkgan/app.h>
#include <vkgan/layers.h>

/* "main.0", "main.1", …: the places of layers in PyTorch's Sequential, activations counted. */
struct place {
    uint32_t next;
    char name[16];
};

static const char *next_name(struct place *place)
{
    snprintf(place->name, sizeof place->name, "main.%u", place->next++);
    return place->name;
}

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    const vkg_pyramid p = vkg_pyramid_of(s->image[0]);
    struct place place = {0};
    uint32_t channels = s->width << (p.doublings - 1);
    vkg_tensor *x = vkg_reshape(g, z, VKG_SHAPE(vkg_tensor_shape(z).dims[0], 1, 1, s->latent));
    x = vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = next_name(&place), .out = channels, .kernel = p.base});
    for (uint32_t level = 1; level <= p.doublings; level++) {
        x = vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = next_name(&place), .evaluation = s->evaluation});
        x = vkg_relu(g, x);
        place.next++;
        channels = level < p.doublings ? channels / 2 : s->image[2];
        x = vkg_conv_transpose2d(g, x, &(vkg_conv_desc){.name = next_name(&place), .out = channels, .kernel = 4,
                                                        .stride = 2, .pad = 1});
    }
    return vkg_tanh(g, x);
}

enum { BATCH_NORM, SPECTRAL_NORM, NO_NORM }; /* in the order of --d-norm's words */

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    const vkg_pyramid p = vkg_pyramid_of(s->image[0]);
    const double own_width = vkg_app_number(s->user, "width-d");
    const uint32_t width = own_width > 0 ? (uint32_t)own_width : s->width;
    const int norm = (int)vkg_app_number(s->user, "d-norm");
    const vkg_weight_desc weight = {.form = norm == SPECTRAL_NORM ? VKG_WEIGHT_SPECTRAL : VKG_WEIGHT_PLAIN,
                                    .evaluation = s->evaluation};
    struct place place = {0};
    for (uint32_t level = 0; level < p.doublings; level++) {
        x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = next_name(&place), .out = width << level, .kernel = 4,
                                              .stride = 2, .pad = 1, .weight = weight});
        if (level > 0 && norm != BATCH_NORM)
            place.next++; /* names stay what they are */
        else if (level > 0)
            x = vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = next_name(&place), .evaluation = s->evaluation});
        x = vkg_leaky_relu(g, x, 0.2f);
        place.next++;
    }
    return vkg_conv2d(g, x, &(vkg_conv_desc){.name = next_name(&place), .out = 1, .kernel = p.base, .weight = weight});
}

static const vkg_app_option options[] = {
    {.name = "width-d", .argument = "N", .help = "channels of the discriminator's narrowest layer [0: as --width]", .high = 4096,
     .whole = true},
    {.name = "d-norm", .argument = "batch|spectral|none", .help = "of the discriminator's layers"},
    {0},
};

/* Batch normalisation in a discriminator mixes samples, which penalties of single ones cannot bear. */
static const vkg_app_recipe recipes[] = {
    {"modern", "two learning rates (Heusel et al. 2017), higher than the paper's, which small images bear",
     "--lr 0.001 --lr-d 0.0004"},
    {0},
};

int main(int argc, char **argv)
{
    return vkg_app_main(argc, argv, &(vkg_app_desc){
        .name = "dcgan", .summary = "learns to draw images like yours (DCGAN, Radford et al. 2016)",
        .check = vkg_pyramid_check, .latent = 100, .width = 64, .batch = 64, .options = options,
        .recipes = recipes,
        .gan = {.generator = generator, .discriminator = discriminator, .loss = VKG_LOSS_NON_SATURATING,
                .optimizer_g = {.lr = 2e-4f, .beta1 = 0.5f, .beta2 = 0.999f},
                .optimizer_d = {.lr = 2e-4f, .beta1 = 0.5f, .beta2 = 0.999f}}});
}
