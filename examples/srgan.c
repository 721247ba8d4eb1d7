/* SRGAN (Ledig et al. 2017, "Photo-realistic single image super-resolution using a generative adversarial network"): pictures
 * two or four times larger. The generator, SRResNet, is first trained alone on the squares of its errors, then against a
 * discriminator, with errors measured between features of a network that sees pictures (Simonyan and Zisserman 2015's VGG).
 *
 * Trains on crops of photographs and the same crops in small; `upscale` then takes pictures of any size, part by part. */
#include <stdio.h>
#include <vkgan/app.h>
#include <vkgan/layers.h>
#include <vkgan/measures.h>
#include <vkgan/resample.h>

static uint32_t option(const vkg_network_settings *s, const char *name)
{
    return (uint32_t)vkg_app_number(s->user, name);
}

static bool check(const vkg_network_settings *s, char *message, size_t message_size)
{
    const uint32_t factor = option(s, "factor"), ends = option(s, "ends");
    snprintf(message, message_size, "--factor %u --ends %u: expected 2 or 4, and an odd kernel", factor, ends);
    return (factor == 2 || factor == 4) && ends % 2 == 1;
}

/* --- the generator: SRResNet, figure 4 of the paper --- */

/* Keeps the size; its weight starts from N(0, gain²/fan_in). */
static vkg_tensor *convolution(vkg_graph *g, const char *name, vkg_tensor *x, uint32_t out, uint32_t kernel, float gain, bool bias)
{
    const vkg_init init = vkg_init_kaiming_normal(gain, kernel * kernel * vkg_tensor_shape(x).dims[3]);
    return vkg_conv2d(g, x, &(vkg_conv_desc){.name = name, .out = out, .kernel = kernel, .pad = kernel / 2, .bias = bias,
                                             .weight.init = &init});
}

/* A convolution 3×3 to as many channels and its batch normalisation, or, with --plain, its bias. */
static vkg_tensor *normalized(vkg_graph *g, const char *conv, const char *norm, vkg_tensor *x, float gain,
                              const vkg_network_settings *s)
{
    const bool plain = option(s, "plain");
    x = convolution(g, conv, x, s->width, 3, gain, plain);
    return plain ? x : vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = norm, .init_std = -1, .evaluation = s->evaluation});
}

/* The second convolution starts small, so that many blocks in a row begin as little more than the first layer. */
static vkg_tensor *residual_block(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    vkg_tensor *y = vkg_prelu_layer(g, normalized(g, "conv1", "bn1", x, 1.4f, s), "prelu");
    return vkg_add(g, x, normalized(g, "conv2", "bn2", y, 0.1f, s));
}

static vkg_tensor *generator(vkg_graph *g, vkg_tensor *small, const vkg_network_settings *s)
{
    const uint32_t blocks = option(s, "blocks"), factor = option(s, "factor"), ends = option(s, "ends");
    const bool skip = option(s, "skip");
    vkg_tensor *first = vkg_prelu_layer(g, convolution(g, "conv1", small, s->width, ends, 1, true), "prelu1"), *x = first;
    for (uint32_t i = 0; i < blocks; i++) {
        vkg_graph_enter_item(g, "trunk", i);
        x = residual_block(g, x, s);
        vkg_graph_leave(g);
    }
    x = vkg_add(g, first, normalized(g, "conv2", "bn2", x, 1, s));
    for (uint32_t i = 0; 1u << i < factor; i++) {
        vkg_graph_enter_item(g, "upsampling", i);
        x = vkg_pixel_shuffle(g, convolution(g, "conv", x, 4 * s->width, 3, 1.4f, true), 2);
        x = vkg_prelu_layer(g, x, "prelu");
        vkg_graph_leave(g);
    }
    /* Of four channels, as kernels take them; with three a processor is several times slower. */
    x = vkg_slice(g, convolution(g, "conv3", x, 4, ends, skip ? 0.1f : 1, true), 3, 0, s->image[2], 1);
    const vkg_shape shape = vkg_tensor_shape(x);
    return skip ? vkg_add(g, x, vkg_interpolate(g, small, &(vkg_interpolate_desc){
                                    .size = {shape.dims[1], shape.dims[2]}, .mode = VKG_CUBIC})) : x;
}

/* How far, in pixels of the small picture, what one pixel of the large one depends on reaches. */
static uint32_t reach(const vkg_network_settings *s)
{
    const uint32_t end = option(s, "ends") / 2, factor = option(s, "factor");
    return end + 2 * option(s, "blocks") + 1 + 2 + (end + factor - 1) / factor;
}

/* --- the discriminator --- */

enum {
    LAYERS = 8,
    FEATURES_OF = 5, /* the layer whose features measure errors where there is no VGG */
    VGG_LAYER = 35,  /* of VGG19: φ₅,₄ with its relu */
};

/* What the phases of a step hand on: the discriminator's leaves the images, every judgement its features. */
static struct {
    vkg_tensor *real, *fake, *features, *shift;
} batch;

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    for (uint32_t i = 0; i < LAYERS; i++) {
        vkg_graph_enter_item(g, "features", i);
        x = vkg_conv2d(g, x, &(vkg_conv_desc){.name = "conv", .out = s->width << i / 2, .kernel = 3, .stride = 1 + i % 2, .pad = 1,
                                              .bias = i == 0});
        if (i > 0)
            x = vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = "bn", .init_std = -1});
        x = vkg_leaky_relu(g, x, 0.2f);
        if (i == FEATURES_OF)
            batch.features = x;
        vkg_graph_leave(g);
    }
    const vkg_shape shape = vkg_tensor_shape(x);
    x = vkg_reshape(g, x, VKG_SHAPE(shape.dims[0], shape.dims[1] * shape.dims[2] * shape.dims[3]));
    x = vkg_leaky_relu(g, vkg_linear(g, x, &(vkg_linear_desc){.name = "fc1", .out = 16 * s->width, .bias = true}), 0.2f);
    return vkg_linear(g, x, &(vkg_linear_desc){.name = "fc2", .out = 1, .bias = true});
}

/* --- training --- */

static vkg_tensor *call(vkg_step *step, vkg_network network, const char *scope, vkg_tensor *input, const vkg_gan_desc *gan)
{
    vkg_graph *g = vkg_step_graph(step);
    vkg_graph_enter(g, scope);
    vkg_tensor *output = network(g, input, &gan->settings);
    vkg_graph_leave(g);
    return output;
}

/* All of a step are moved alike, so that their features can be compared. */
static vkg_tensor *judge(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor *images)
{
    if (batch.shift)
        images = vkg_diff_augment(vkg_step_graph(step), images, VKG_CHANGE_TRANSLATION, batch.shift);
    return call(step, discriminator, "discriminator", images, gan);
}

static vkg_tensor *mean_square(vkg_graph *g, vkg_tensor *a, vkg_tensor *b)
{
    return vkg_mean(g, vkg_mse_loss(g, a, b), VKG_ALL_AXES, false);
}

/* SRResNet alone. */
static vkg_tensor *pretrain_loss(vkg_step *step, void *user)
{
    vkg_tensor *fake = call(step, generator, "generator", vkg_step_input(step), user);
    vkg_tensor *loss = mean_square(vkg_step_graph(step), fake, vkg_step_real(step));
    vkg_step_report(step, "mse", loss);
    return loss;
}

static vkg_tensor *discriminator_loss(vkg_step *step, void *user)
{
    const vkg_gan_desc *gan = user;
    vkg_graph *g = vkg_step_graph(step);
    batch.real = vkg_step_real(step);
    batch.fake = call(step, generator, "generator", vkg_step_input(step), gan);
    const uint32_t images = vkg_tensor_shape(batch.real).dims[0];
    batch.shift = option(&gan->settings, "shift") ? vkg_random_uniform(g, VKG_SHAPE(images, 7)) : NULL;
    vkg_tensor *real = judge(step, gan, batch.real), *fake = judge(step, gan, vkg_detach(g, batch.fake));
    vkg_tensor *loss = vkg_discriminator_loss(g, gan->loss, real, fake);
    vkg_step_report(step, "loss_d", loss);
    vkg_step_report(step, "d_real", vkg_mean(g, vkg_sigmoid(g, real), VKG_ALL_AXES, false));
    vkg_step_report(step, "d_fake", vkg_mean(g, vkg_sigmoid(g, fake), VKG_ALL_AXES, false));
    return loss;
}

/* The distance of features, by VGG, scaled as in the paper; without it by the discriminator, which has just learned what is
 * amiss (Larsen et al. 2016). */
static vkg_tensor *content_loss(vkg_step *step, const vkg_gan_desc *gan, const char *vgg, vkg_tensor *features)
{
    vkg_graph *g = vkg_step_graph(step);
    const float scale = 1 / (12.75f * 12.75f);
    if (vgg)
        return vkg_affine(g, mean_square(g, vkg_vgg_features(g, batch.fake, vgg, VGG_LAYER),
                                         vkg_vgg_features(g, batch.real, vgg, VGG_LAYER)), scale, 0);
    judge(step, gan, batch.real);
    return vkg_affine(g, mean_square(g, features, vkg_detach(g, batch.features)), scale, 0);
}

/* What the discriminator thinks and what features differ by; without VGG also the squared error, which holds the colours. */
static vkg_tensor *generator_loss(vkg_step *step, void *user)
{
    const vkg_gan_desc *gan = user;
    const char *vgg = vkg_app_text(gan->settings.user, "vgg");
    const float weight = (float)vkg_app_number(gan->settings.user, "adversarial");
    vkg_graph *g = vkg_step_graph(step);
    vkg_tensor *real = gan->loss == VKG_LOSS_RELATIVISTIC ? judge(step, gan, batch.real) : NULL;
    vkg_tensor *adversarial = vkg_generator_loss(g, gan->loss, judge(step, gan, batch.fake), real);
    vkg_tensor *content = content_loss(step, gan, vgg, batch.features), *mse = mean_square(g, batch.fake, batch.real);
    vkg_step_report(step, "mse", mse);
    vkg_step_report(step, "loss_g", adversarial);
    vkg_step_report(step, "content", content);
    content = vgg ? content : vkg_add(g, content, mse);
    return vkg_add(g, content, vkg_affine(g, adversarial, weight, 0));
}

/* The generator alone up to a step, then both. The rate falls to a tenth where the paper's does. */
static uint32_t make_phases(const vkg_gan_desc *gan, vkg_phase *phases)
{
    const uint32_t pretrain = option(&gan->settings, "pretrain");
    const float pretrain_lr = (float)vkg_app_number(gan->settings.user, "pretrain-lr");
    uint32_t count = 0;
    void *user = (void *)gan; /* read only */
    vkg_phase alone = {"pretrain", pretrain_loss, user, "generator.", gan->optimizer_g, .until = pretrain};
    vkg_phase d = {"discriminator", discriminator_loss, user, "discriminator.", gan->optimizer_d,
                   .times = gan->discriminator_times, .from = pretrain};
    vkg_phase g = {"generator", generator_loss, user, "generator.", gan->optimizer_g, .from = pretrain};
    alone.optimizer.lr = pretrain_lr > 0 ? pretrain_lr : gan->optimizer_g.lr;
    d.optimizer.schedule = g.optimizer.schedule =
        (vkg_schedule){.kind = VKG_SCHEDULE_STEP, .hold = pretrain, .steps = 100000, .gamma = 0.1f};
    if (pretrain > 0)
        phases[count++] = alone;
    phases[count++] = d, phases[count++] = g;
    return count;
}

static vkg_result view(vkg_app *app, vkg_view_desc *view)
{
    const uint32_t factor = (uint32_t)vkg_app_number(app, "factor"), crop = (uint32_t)vkg_app_number(app, "crop");
    *view = (vkg_view_desc){.pairing = VKG_PAIRING_SMALL, .factor = factor, .crop = crop, .mirror = true};
    return VKG_OK;
}

/* --- pictures of any size: upscale and evaluate --- */

enum { BICUBIC, LANCZOS, NETWORK, METHODS };

/* The trained generator, and what evaluate sums up. */
struct work {
    vkg_app *app;
    vkg_network_settings settings;
    uint32_t factor, count;
    vkg_tiles *tiles;
    vkg_image_score sum[METHODS];
};

/* What `each` does with every picture of the command line. */
static vkg_result work_on(vkg_app *app, struct work *w, vkg_result (*each)(void *user, vkg_image *picture, const char *name))
{
    vkg_result result = vkg_app_open_run(app, &w->settings);
    if (result == VKG_OK && !vkg_app_device(app))
        result = VKG_ERROR_UNSUPPORTED;
    if (result != VKG_OK)
        return result;
    w->app = app;
    w->factor = option(&w->settings, "factor");
    result = vkg_tiles_create(vkg_app_device(app), &(vkg_tiles_desc){
        .generator = generator, .scope = vkg_app_generator_scope(app), .settings = w->settings, .factor = w->factor, .reach = reach(&w->settings),
        .side = option(&w->settings, "tile")}, &w->tiles);
    if (result == VKG_OK)
        result = vkg_app_load(app, vkg_tiles_state(w->tiles), vkg_app_generator_prefix(app));
    if (result == VKG_OK)
        result = vkg_app_each_picture(app, w->settings.image[2], each, w);
    vkg_tiles_destroy(&w->tiles);
    return result;
}

static vkg_result upscale(void *user, vkg_image *small, const char *name)
{
    const struct work *w = user;
    vkg_image large;
    vkg_result result = vkg_tiles_run_image(w->tiles, small, &large);
    if (result == VKG_OK)
        result = vkg_app_save_picture(w->app, &large, name);
    vkg_image_free(&large);
    return result;
}

static int command_upscale(vkg_app *app)
{
    struct work w = {0};
    const vkg_log *log = vkg_app_log(app);
    if (vkg_app_text(app, "output"))
        return work_on(app, &w, upscale) != VKG_OK;
    log->callback(log->user, VKG_LOG_ERROR, "upscale needs --output DIR, where the pictures go"); /* not when the first is made */
    return 2;
}

static void print_row(const char *name, const vkg_image_score *scores, uint32_t count)
{
    printf("%-40s", name);
    for (int i = 0; i < METHODS; i++)
        printf("  %6.2f %.4f", (double)scores[i].psnr / count, (double)scores[i].ssim / count);
    printf("\n");
}

/* Made smaller as for training, and larger again. */
static vkg_result evaluate(void *user, vkg_image *original, const char *name)
{
    struct work *w = user;
    const vkg_log *log = vkg_app_log(w->app);
    vkg_image small, results[METHODS] = {{0}};
    vkg_image_score scores[METHODS];
    const uint32_t width = original->width - original->width % w->factor, height = original->height - original->height % w->factor;
    vkg_image_cut(original, width, height);
    vkg_result result = vkg_image_resize(log, original, width / w->factor, height / w->factor, VKG_IMAGE_BICUBIC, &small);
    for (int i = BICUBIC; i <= LANCZOS && result == VKG_OK; i++)
        result = vkg_image_resize(log, &small, width, height, i == BICUBIC ? VKG_IMAGE_BICUBIC : VKG_IMAGE_LANCZOS, &results[i]);
    if (result == VKG_OK)
        result = vkg_tiles_run_image(w->tiles, &small, &results[NETWORK]);
    if (result == VKG_OK)
        result = vkg_compare_images(vkg_app_device(w->app), original, results, METHODS, w->factor, scores);
    for (int i = 0; i < METHODS; i++)
        vkg_image_free(&results[i]);
    vkg_image_free(&small);
    if (result != VKG_OK)
        return result;
    for (int i = 0; i < METHODS; i++)
        w->sum[i].psnr += scores[i].psnr, w->sum[i].ssim += scores[i].ssim;
    if (w->count++ == 0)
        printf("PSNR in dB and SSIM of Y, ×%-13u          bicubic         Lanczos         network\n", w->factor);
    print_row(name, scores, 1);
    return VKG_OK;
}

static int command_evaluate(vkg_app *app)
{
    struct work w = {0};
    if (work_on(app, &w, evaluate) != VKG_OK)
        return 1;
    print_row("mean", w.sum, w.count);
    return 0;
}

int main(int argc, char **argv)
{
    static const vkg_app_option options[] = {
        {"factor", "N", "how many times larger: 2 or 4", 4, 2, 4, true, NULL},
        {"crop", "N", "side of the crops of photographs that it is trained on", 96, 16, 1024, true, NULL},
        {"blocks", "N", "residual blocks of the generator", 16, 1, 64, true, NULL},
        {"ends", "N", "side of the kernels of the generator's first and last convolution", 9, 1, 15, true, NULL},
        {"plain", NULL, "no batch normalisation in the generator", 0, 0, 0, false, NULL},
        {"skip", NULL, "the generator adds to the bicubic enlargement, rather than making the whole picture", 0, 0, 0, false, NULL},
        {"pretrain", "N", "steps of the generator alone, on squared errors", 1000000, 0, 1e7, true, NULL},
        {"pretrain-lr", "X", "the learning rate of these, which --lr-schedule is for [0: as --lr-g]", 0, 0, 1, false, NULL},
        {"vgg", "FILE", "weights of VGG19, safetensors with torchvision's names [the discriminator's features]", 0, 0, 0, false, NULL},
        {"adversarial", "X", "weight of the discriminator's judgement beside the perceptual loss", 1e-3, 0, 10, false, NULL},
        {"shift", NULL, "the discriminator sees crops moved at random: else its strides leave a grid", 0, 0, 0, false, NULL},
        {"tile", "N", "side of the parts that a picture is taken in [0: after what a pixel depends on]", 0, 0, 8192, true, "upscale"},
        {0}};
    static const vkg_app_recipe recipes[] = {
        {"quick", "small, without batch normalisation, adding to the bicubic enlargement: better than it in minutes",
         "--blocks 4 --width 32 --ends 3 --plain --skip --crop 64 --pretrain-lr 1e-3 --lr-schedule cosine --lr-steps 1000 "
         "--pretrain 1000 --steps 1500 --shift"},
        {0}};
    static const vkg_app_command commands[] = {
        {"upscale", "IMAGE|FOLDER", "make pictures larger, of any size; they go to --output DIR", command_upscale, "seed"},
        {"evaluate", "IMAGE|FOLDER", "PSNR and SSIM of enlarged pictures, beside bicubic and Lanczos", command_evaluate, "seed|output"},
        {0}};
    return vkg_app_main(argc, argv, &(vkg_app_desc){
        .name = "srgan", .summary = "makes photographs two or four times larger (SRGAN, Ledig et al. 2017)",
        .gan = {.generator = generator, .discriminator = discriminator,
                .optimizer_g = {.lr = 1e-4f, .beta1 = 0.9f}, .optimizer_d = {.lr = 1e-4f, .beta1 = 0.9f}},
        .check = check, .view = view, .pairs = true, .phases = make_phases,
        .without = "size|gradient-penalty|r1|r2|dragan|reg-every|consistency|augment|history|balance|accumulate",
        .data_help = "learn from photographs of --crop pixels or more: a folder of PNG or JPEG files",
        .options = options, .recipes = recipes, .commands = commands, .width = 64, .batch = 16, .steps = 1200000, .sample_every = 1000});
}
