/* StyleGAN2 (Karras, Laine, Aittala, Hellsten, Lehtinen and Aila 2020, "Analyzing and improving the image quality of
 * StyleGAN"), with adaptive augmentation (Karras et al. 2020, "Training generative adversarial networks with limited data").
 *
 * A mapping network turns latents z into styles w; a synthesis network turns a learned constant into an image, and every
 * convolution's weight is scaled by the style first. Layers are named as in the authors' PyTorch program, b8 for the block
 * at 8×8; sizes go from k×k (k = 4 to 7) to the images' own. */
#include <stdio.h>
#include <stdlib.h>
#include <vkgan/app.h>
#include <vkgan/layers.h>
#include <vkgan/resample.h>

enum {
    MAPPING_LAYERS = 8,
    WIDEST = 8,      /* times the channels at the images' size */
    MAX_STYLES = 24, /* one a convolution, and one for the last picture */
};
static const float mapping_rate = 0.01f; /* of the mapping network's learning, to the other layers' */
static const float mixing = 0.9f;        /* share of images that two styles are mixed in */
static const float root_two = 1.41421356f;

/* --- layers --- */

/* Filters that keep what a size can show: [1 3 3 1]/8 in both directions. */
static const float binomial[4] = {0.125f, 0.375f, 0.375f, 0.125f};
static const vkg_fir_desc
    twice = {.filter = binomial, .taps = 4, .up = 2, .pad_low = 2, .pad_high = 1, .gain = 4},
    half = {.filter = binomial, .taps = 4, .down = 2, .pad_low = 1, .pad_high = 1},
    after_upsampling = {.filter = binomial, .taps = 4, .pad_low = 1, .pad_high = 1, .gain = 4},
    before_downsampling = {.filter = binomial, .taps = 4, .pad_low = 2, .pad_high = 2};

static void enter_block(vkg_graph *g, uint32_t size)
{
    char name[16];
    snprintf(name, sizeof name, "b%u", size);
    vkg_graph_enter(g, name);
}

/* The gain keeps the variance, as equalised weights do. */
static vkg_tensor *activation(vkg_graph *g, vkg_tensor *x)
{
    return vkg_affine(g, vkg_leaky_relu(g, x, 0.2f), root_two, 0);
}

static vkg_tensor *linear(vkg_graph *g, const char *name, vkg_tensor *x, uint32_t out, float rate)
{
    return vkg_linear(g, x, &(vkg_linear_desc){.name = name, .out = out, .bias = true,
        .weight = {.form = VKG_WEIGHT_EQUALIZED, .lr_multiplier = rate}});
}

static vkg_tensor *convolution(vkg_graph *g, const vkg_conv_desc *desc, vkg_tensor *x)
{
    vkg_conv_desc equalized = *desc;
    equalized.weight.form = VKG_WEIGHT_EQUALIZED;
    return vkg_conv2d(g, x, &equalized);
}

/* --- the mapping network --- */

static vkg_tensor *map(vkg_graph *g, vkg_tensor *z)
{
    char name[16];
    vkg_tensor *w = vkg_pixel_normalization(g, z, 1e-8f);
    vkg_graph_enter(g, "mapping");
    for (uint32_t i = 0; i < MAPPING_LAYERS; i++) {
        snprintf(name, sizeof name, "fc%u", i);
        w = activation(g, linear(g, name, w, vkg_tensor_shape(z).dims[1], mapping_rate));
    }
    vkg_graph_leave(g);
    return w;
}

/* The mean of w over training, towards which samples are truncated. */
static vkg_tensor *average_w(vkg_graph *g, const vkg_network_settings *s)
{
    return vkg_buffer(g, "mapping.w_avg", VKG_SHAPE(s->latent), (vkg_init){VKG_INIT_CONSTANT, 0, 0});
}

static void follow_average(vkg_graph *g, vkg_tensor *w, const vkg_network_settings *s)
{
    vkg_tensor *average = average_w(g, s), *present = vkg_detach(g, vkg_mean(g, w, 1u << 0, false));
    vkg_assign(g, average, vkg_add(g, vkg_affine(g, average, 0.995f, 0), vkg_affine(g, present, 0.005f, 0)));
}

/* --- styles: [N, styles, latent] --- */

static uint32_t style_count(const vkg_network_settings *s)
{
    return 2 * vkg_pyramid_of(s->image[0]).doublings + 2;
}

/* Styles before `crossover`, [N,1], are of w, those from there on of other. */
static vkg_tensor *mix(vkg_graph *g, vkg_tensor *w, vkg_tensor *other, vkg_tensor *crossover, uint32_t count)
{
    vkg_tensor *styles[MAX_STYLES];
    for (uint32_t i = 0; i < count; i++)
        styles[i] = vkg_where(g, vkg_less(g, vkg_constant(g, (float)i, VKG_SCALAR), crossover), w, other);
    return vkg_stack(g, styles, count, 1);
}

/* Neighbouring sizes must not rely on each other's style: most images of the training have two, from a random place on. */
static vkg_tensor *training_styles(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    const uint32_t count = style_count(s), n = vkg_tensor_shape(z).dims[0];
    vkg_tensor *w = map(g, z), *other = map(g, vkg_random_normal(g, vkg_tensor_shape(z)));
    follow_average(g, w, s);
    vkg_tensor *place = vkg_affine(g, vkg_random_uniform(g, VKG_SHAPE(n, 1)), (float)(count - 1) / mixing, 1);
    return mix(g, w, other, vkg_floor(g, place), count); /* one in ten lies behind the end */
}

static vkg_tensor *one_style(vkg_graph *g, vkg_tensor *w, const vkg_network_settings *s)
{
    const uint32_t n = vkg_tensor_shape(w).dims[0];
    return vkg_broadcast(g, vkg_reshape(g, w, VKG_SHAPE(n, 1, s->latent)), VKG_SHAPE(n, style_count(s), s->latent));
}

/* Nearer to the mean, images are better and more alike: Karras et al. 2019, appendix B. */
static vkg_tensor *truncated(vkg_graph *g, vkg_tensor *w, const vkg_network_settings *s)
{
    const float psi = s->user ? (float)vkg_app_number(s->user, "truncation") : 1;
    vkg_tensor *average = average_w(g, s);
    return vkg_add(g, average, vkg_affine(g, vkg_sub(g, w, average), psi, 0));
}

/* --- the synthesis network --- */

static vkg_tensor *style(vkg_graph *g, vkg_tensor *styles, uint32_t i)
{
    const vkg_shape shape = vkg_tensor_shape(styles);
    return vkg_reshape(g, vkg_slice(g, styles, 1, i, 1, 1), VKG_SHAPE(shape.dims[0], shape.dims[2]));
}

/* One number a pixel, the same for all channels; fresh in training, and one picture of it for good when it is over. */
static vkg_tensor *noise_like(vkg_graph *g, vkg_tensor *x, bool fresh)
{
    const vkg_shape shape = vkg_tensor_shape(x);
    const uint32_t n = shape.dims[0], h = shape.dims[1], w = shape.dims[2];
    vkg_tensor *kept = vkg_buffer(g, "noise_const", VKG_SHAPE(h, w), (vkg_init){VKG_INIT_NORMAL, 0, 1});
    return fresh ? vkg_random_normal(g, VKG_SHAPE(n, h, w, 1)) : vkg_reshape(g, kept, VKG_SHAPE(1, h, w, 1));
}

static vkg_tensor *add_bias(vkg_graph *g, const char *name, vkg_tensor *x)
{
    const uint32_t channels = vkg_tensor_shape(x).dims[3];
    return vkg_add(g, x, vkg_parameter(g, name, VKG_SHAPE(channels), (vkg_init){VKG_INIT_CONSTANT, 0, 0}));
}

static vkg_tensor *styled_convolution(vkg_graph *g, const vkg_modulated_conv_desc *desc, vkg_tensor *x, vkg_tensor *w,
                                      bool training)
{
    x = vkg_modulated_conv2d(g, x, w, desc);
    if (desc->upsample)
        x = vkg_upfirdn2d(g, x, &after_upsampling);
    vkg_graph_enter(g, desc->name);
    vkg_tensor *strength = vkg_parameter(g, "noise_strength", VKG_SCALAR, (vkg_init){VKG_INIT_CONSTANT, 0, 0});
    x = add_bias(g, "bias", vkg_add(g, x, vkg_mul(g, noise_like(g, x, training), strength)));
    vkg_graph_leave(g);
    return activation(g, x);
}

/* What this block adds to the picture of the block before, made twice as large. */
static vkg_tensor *to_picture(vkg_graph *g, vkg_tensor *x, vkg_tensor *w, vkg_tensor *picture, uint32_t channels)
{
    vkg_tensor *y = vkg_modulated_conv2d(g, x, w, &(vkg_modulated_conv_desc){.name = "torgb", .out = channels, .kernel = 1,
                                                                             .plain = true});
    y = add_bias(g, "torgb.bias", y);
    return picture ? vkg_add(g, vkg_upfirdn2d(g, picture, &twice), y) : y;
}

static vkg_tensor *synthesize(vkg_graph *g, vkg_tensor *styles, const vkg_network_settings *s)
{
    const vkg_pyramid p = vkg_pyramid_of(s->image[0]);
    const uint32_t n = vkg_tensor_shape(styles).dims[0];
    vkg_tensor *x = NULL, *picture = NULL;
    vkg_graph_enter(g, "synthesis");
    for (uint32_t b = 0, next = 0; b <= p.doublings; b++) {
        const uint32_t size = p.base << b, width = vkg_pyramid_width(s, size, WIDEST);
        enter_block(g, size);
        if (b == 0)
            x = vkg_broadcast(g, vkg_parameter(g, "const", VKG_SHAPE(size, size, width), (vkg_init){VKG_INIT_NORMAL, 0, 1}),
                              VKG_SHAPE(n, size, size, width));
        else
            x = styled_convolution(g, &(vkg_modulated_conv_desc){.name = "conv0", .out = width, .kernel = 3, .upsample = true},
                                   x, style(g, styles, next++), !s->evaluation);
        x = styled_convolution(g, &(vkg_modulated_conv_desc){.name = "conv1", .out = width, .kernel = 3}, x,
                               style(g, styles, next++), !s->evaluation);
        picture = to_picture(g, x, style(g, styles, next), picture, s->image[2]);
        vkg_graph_leave(g);
    }
    vkg_graph_leave(g);
    return picture;
}

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    vkg_tensor *styles = s->evaluation ? one_style(g, truncated(g, map(g, z), s), s) : training_styles(g, z, s);
    if (s->styles)
        *s->styles = styles;
    return synthesize(g, styles, s);
}

/* --- the discriminator --- */

static vkg_tensor *residual_block(vkg_graph *g, vkg_tensor *x, uint32_t out)
{
    vkg_tensor *y = convolution(g, &(vkg_conv_desc){.name = "conv0", .out = vkg_tensor_shape(x).dims[3], .kernel = 3, .pad = 1,
                                                    .bias = true}, x);
    y = vkg_upfirdn2d(g, activation(g, y), &before_downsampling);
    y = convolution(g, &(vkg_conv_desc){.name = "conv1", .out = out, .kernel = 3, .stride = 2, .bias = true}, y);
    vkg_tensor *skip = convolution(g, &(vkg_conv_desc){.name = "skip", .out = out, .kernel = 1}, vkg_upfirdn2d(g, x, &half));
    return vkg_affine(g, vkg_add(g, activation(g, y), skip), 1 / root_two, 0);
}

/* Four images at a time are told how much they differ, so that a generator of one image only is found out. */
static vkg_tensor *judge_smallest(vkg_graph *g, vkg_tensor *x)
{
    const vkg_shape shape = vkg_tensor_shape(x);
    const uint32_t n = shape.dims[0], channels = shape.dims[3], features = shape.dims[1] * shape.dims[2] * channels;
    x = vkg_minibatch_stddev(g, x, n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : 1, 1);
    x = activation(g, convolution(g, &(vkg_conv_desc){.name = "conv", .out = channels, .kernel = 3, .pad = 1, .bias = true}, x));
    x = vkg_reshape(g, vkg_permute(g, x, (const uint32_t[]){0, 3, 1, 2}), VKG_SHAPE(n, features)); /* PyTorch's order */
    return linear(g, "out", activation(g, linear(g, "fc", x, channels, 1)), 1, 1);
}

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    const vkg_pyramid p = vkg_pyramid_of(s->image[0]);
    for (uint32_t size = s->image[0]; size > p.base; size /= 2) {
        enter_block(g, size);
        if (size == s->image[0])
            x = activation(g, convolution(g, &(vkg_conv_desc){.name = "fromrgb", .out = s->width, .kernel = 1, .bias = true}, x));
        x = residual_block(g, x, vkg_pyramid_width(s, size / 2, WIDEST));
        vkg_graph_leave(g);
    }
    enter_block(g, p.base);
    x = judge_smallest(g, x);
    vkg_graph_leave(g);
    return x;
}

/* --- the commands film and mix: images whose styles lie between those of two latents --- */

enum { BLENDS = 36, FRAMES = 9, SOURCES = 6 }; /* 4 strips of 9, or 6 by 6 */

/* Images number a and b of the seed, and how far from a to b: styles before the crossover, and those from there on. */
struct blend {
    uint64_t a, b;
    float before, behind;
};

/* The generator of blends: [N, both latents and a share for each style]. */
static vkg_tensor *blended(vkg_graph *g, vkg_tensor *input, const vkg_network_settings *s)
{
    vkg_network_settings own = *s;
    const uint32_t count = style_count(s), n = vkg_tensor_shape(input).dims[0];
    own.latent = (s->latent - count) / 2;
    vkg_tensor *a = truncated(g, map(g, vkg_slice(g, input, 1, 0, own.latent, 1)), &own);
    vkg_tensor *b = truncated(g, map(g, vkg_slice(g, input, 1, own.latent, own.latent, 1)), &own);
    vkg_tensor *shares = vkg_reshape(g, vkg_slice(g, input, 1, 2 * own.latent, count, 1), VKG_SHAPE(n, count, 1));
    vkg_tensor *way = vkg_reshape(g, vkg_sub(g, b, a), VKG_SHAPE(n, 1, own.latent));
    return synthesize(g, vkg_add(g, one_style(g, a, &own), vkg_mul(g, shares, way)), &own);
}

static void fill_input(const vkg_app *app, const vkg_network_settings *s, const struct blend *blend, float *input)
{
    const uint64_t seed = (uint64_t)vkg_app_number(app, "seed");
    const uint32_t count = style_count(s), chosen = (uint32_t)vkg_app_number(app, "crossover");
    const uint32_t crossover = chosen ? chosen : count / 2;
    vkg_sampler_latents(seed, blend->a, s->latent, input);
    vkg_sampler_latents(seed, blend->b, s->latent, input + s->latent);
    for (uint32_t i = 0; i < count; i++)
        input[2 * s->latent + i] = i < crossover ? blend->before : blend->behind;
}

/* A picture of BLENDS of them, row by row. */
static int draw_blends(vkg_app *app, const struct blend *blends, uint32_t columns, const char *name)
{
    vkg_network_settings s, wide;
    vkg_sampler *sampler;
    if (vkg_app_open_run(app, &s) != VKG_OK)
        return 1;
    wide = s;
    wide.latent = 2 * s.latent + style_count(&s);
    const size_t pixels = (size_t)s.image[0] * s.image[1] * s.image[2];
    float *inputs = malloc(BLENDS * (wide.latent + pixels) * sizeof *inputs), *images = inputs + BLENDS * wide.latent;
    vkg_result result = inputs ? vkg_app_open_sampler(app, blended, &wide, columns, &sampler) : VKG_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < BLENDS && result == VKG_OK; i++)
        fill_input(app, &s, &blends[i], inputs + i * wide.latent);
    if (result == VKG_OK)
        result = vkg_sampler_draw(sampler, inputs, BLENDS, images);
    const char *output = vkg_app_text(app, "output");
    if (result == VKG_OK)
        result = vkg_app_save_grid(app, images, &s, BLENDS, columns, output ? output : name);
    free(inputs);
    return result != VKG_OK;
}

/* Each row leads from one image to the next. */
static int film(vkg_app *app)
{
    struct blend blends[BLENDS];
    for (uint32_t i = 0; i < BLENDS; i++) {
        const float share = (float)(i % FRAMES) / (FRAMES - 1);
        blends[i] = (struct blend){.a = i / FRAMES, .b = i / FRAMES + 1, .before = share, .behind = share};
    }
    return draw_blends(app, blends, FRAMES, "film.png");
}

/* Forms of the images on the left, finer styles of those on top. */
static int mix_styles(vkg_app *app)
{
    struct blend blends[BLENDS];
    for (uint32_t i = 0; i < BLENDS; i++) {
        const uint32_t row = i / SOURCES, column = i % SOURCES;
        blends[i] = (struct blend){.a = row, .b = SOURCES + column, .before = row == 0, .behind = column != 0};
    }
    return draw_blends(app, blends, SOURCES, "mix.png");
}

static const vkg_app_option options[] = {
    {"truncation", "X", "how far from the mean style: below 1 images are better and more alike", .value = 1, .high = 2,
     .command = "generate|film|mix"},
    {"crossover", "N", "the first style that is taken from above [0: the middle one]", .high = MAX_STYLES, .whole = true,
     .command = "mix"},
    {0}};

static const vkg_app_command commands[] = {
    {"film", "", "a picture of strips that lead from image to image", film},
    {"mix", "", "a picture of images that have forms of some and colours of others", mix_styles},
    {0}};

static const vkg_app_recipe recipes[] = {
    {"quick", "for small images, in minutes, with γ for their few pixels", "--width 16 --latent 128 --batch 16 --r1 0.3 --steps 4000"},
    {0}};

int main(int argc, char **argv)
{
    return vkg_app_main(argc, argv, &(vkg_app_desc){
        .name = "stylegan2", .summary = "draws images in styles that can be mixed (StyleGAN2, Karras et al. 2020)",
        .gan = {.generator = generator, .discriminator = discriminator, .loss = VKG_LOSS_NON_SATURATING,
                .regularizers = {.r1 = 10, .every = 16, .path_length = 2, .path_every = 8},
                .optimizer_g = {.lr = 2.5e-3f, .beta1 = -1, .beta2 = 0.99f},
                .optimizer_d = {.lr = 2.5e-3f, .beta1 = -1, .beta2 = 0.99f}},
        .check = vkg_pyramid_check, .latent = 512, .width = 64, .batch = 32, .ema = 0.998f, .ema_ramp_up = 0.05f,
        .options = options, .recipes = recipes, .commands = commands});
}
