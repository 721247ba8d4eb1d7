/* Pix2Pix (Isola, Zhu, Zhou and Efros 2017, "Image-to-image translation with conditional adversarial networks"): a U-Net turns
 * an image into another, and a discriminator judges patches of the two side by side.
 *
 * Layers lie and are named as in the authors' PyTorch program, where a level of the U-Net is a Sequential inside that of the
 * level above, so that weights travel both ways: "model.model.1.model.3…". */
#include <stdio.h>
#include <string.h>
#include <vkgan/app.h>
#include <vkgan/layers.h>

enum { WIDEST = 8, MOST_LEVELS = 8 }; /* times the narrowest layer, as in the paper */

/* In the order of the options' words. */
enum { INSTANCE_NORM, BATCH_NORM };
enum { MADE_NOT, MADE_EDGES, MADE_GREY, MADE_BLOCKS };

/* --- settings --- */

/* How often both sides can be halved, down to one pixel. */
static uint32_t halvings(const uint32_t image[3])
{
    uint32_t count = 0;
    while (count < MOST_LEVELS && image[0] % (2u << count) == 0 && image[1] % (2u << count) == 0)
        count++;
    return count;
}

static uint32_t levels_of(const vkg_network_settings *s)
{
    const uint32_t wanted = (uint32_t)vkg_app_number(s->user, "levels");
    return wanted ? wanted : halvings(s->image);
}

static bool check(const vkg_network_settings *s, char *message, size_t message_size)
{
    const uint32_t levels = levels_of(s), most = halvings(s->image), layers = (uint32_t)vkg_app_number(s->user, "d-layers");
    const uint32_t side = s->image[0] < s->image[1] ? s->image[0] : s->image[1], least = 3u << layers;
    snprintf(message, message_size, "a discriminator of --d-layers %u needs sides of %u and more; fewer layers see smaller patches", layers, least);
    if (levels >= 1 && levels <= most)
        return side >= least;
    snprintf(message, message_size, "a U-Net of %u levels halves them as often, and they can be halved %u times: --size N with "
                                    "N = 256 for example, or --levels %u", levels ? levels : 1, most, most ? most : 1);
    return false;
}

static vkg_tensor *normalize(vkg_graph *g, const char *name, vkg_tensor *x, const vkg_network_settings *s)
{
    if (vkg_app_number(s->user, "norm") == INSTANCE_NORM)
        return vkg_instance_norm(g, x, &(vkg_norm_desc){.name = name, .plain = true});
    /* of a batch of one the statistics are the image's own, and so they are when it is used: section 3.3 of the paper */
    const bool running = s->evaluation && vkg_app_number(s->user, "batch") > 1;
    return vkg_batch_norm(g, x, &(vkg_batch_norm_desc){.name = name, .evaluation = running});
}

/* Where there is a batch norm behind it a bias would do nothing. */
static bool has_bias(const vkg_network_settings *s)
{
    return vkg_app_number(s->user, "norm") == INSTANCE_NORM;
}

/* --- the generator --- */

/* "model.3": the place of a layer in the level's Sequential. */
static const char *place(uint32_t number, char name[16])
{
    snprintf(name, 16, "model.%u", number);
    return name;
}

static uint32_t width_at(const vkg_network_settings *s, uint32_t level)
{
    return s->width * (level < 3 ? 1u << level : WIDEST);
}

/* Half the size on the way down, twice on the way up. */
static vkg_conv_desc halving(const char *name, uint32_t out, bool bias)
{
    return (vkg_conv_desc){.name = name, .out = out, .kernel = 4, .stride = 2, .pad = 1, .bias = bias};
}

/* What comes from below, and what it was made of: x [N,H,W,C] → [N,H,W,C + width]. Level 0 is the outermost, of the image
 * itself, whose skip does not exist. */
static vkg_tensor *level(vkg_graph *g, vkg_tensor *x, uint32_t number, uint32_t levels, const vkg_network_settings *s)
{
    const bool outermost = number == 0, innermost = number == levels - 1;
    const uint32_t out = outermost ? s->image[2] : width_at(s, number - 1);
    char name[16];
    uint32_t next = 0;
    vkg_tensor *y = outermost ? x : vkg_leaky_relu(g, x, 0.2f);
    next += !outermost;
    vkg_conv_desc desc = halving(place(next++, name), width_at(s, number), has_bias(s));
    y = vkg_conv2d(g, y, &desc);
    if (!outermost && !innermost)
        y = normalize(g, place(next++, name), y, s);
    if (!innermost) {
        vkg_graph_enter(g, place(next++, name));
        y = level(g, y, number + 1, levels, s);
        vkg_graph_leave(g);
    }
    next++;
    desc = halving(place(next++, name), out, outermost || has_bias(s));
    y = vkg_conv_transpose2d(g, vkg_relu(g, y), &desc);
    if (outermost)
        return vkg_tanh(g, y);
    y = normalize(g, place(next++, name), y, s);
    if (!innermost && (number >= 4 || number + 2 == levels)) /* where the image is small */
        y = vkg_dropout(g, y, (float)vkg_app_number(s->user, "dropout"));
    return vkg_concat(g, (vkg_tensor *[]){x, y}, 2, 3);
}

/* To a multiple of the U-Net's step, by repeating the borders at right and bottom. */
static vkg_tensor *pad_to_multiple(vkg_graph *g, vkg_tensor *x, uint32_t multiple)
{
    const vkg_shape shape = vkg_tensor_shape(x);
    for (uint32_t axis = 1; axis <= 2; axis++) {
        const uint32_t rest = shape.dims[axis] % multiple;
        if (rest != 0)
            x = vkg_pad(g, x, axis, 0, (int32_t)(multiple - rest), VKG_PAD_REPLICATE, 0);
    }
    return x;
}

/* Of images of any size: those that train sees need no padding. */
static vkg_tensor *generator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    const vkg_shape shape = vkg_tensor_shape(x);
    const uint32_t levels = levels_of(s);
    vkg_graph_enter(g, "model");
    vkg_tensor *y = level(g, pad_to_multiple(g, x, 1u << levels), 0, levels, s);
    vkg_graph_leave(g);
    y = vkg_slice(g, y, 1, 0, shape.dims[1], 1);
    return vkg_slice(g, y, 2, 0, shape.dims[2], 1);
}

/* --- the discriminator: logits of overlapping patches, of 70×70 with three layers of stride 2 --- */

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    const uint32_t layers = (uint32_t)vkg_app_number(s->user, "d-layers");
    char name[16];
    uint32_t next = 0;
    for (uint32_t i = 0; i <= layers; i++) {
        vkg_conv_desc desc = halving(place(next++, name), width_at(s, i), i == 0 || has_bias(s));
        desc.stride = i < layers ? 2 : 1;
        x = vkg_conv2d(g, x, &desc);
        if (i > 0)
            x = normalize(g, place(next++, name), x, s);
        x = vkg_leaky_relu(g, x, 0.2f);
        next++;
    }
    return vkg_conv2d(g, x, &(vkg_conv_desc){.name = place(next, name), .out = 1, .kernel = 4, .pad = 1, .bias = true});
}

/* --- data --- */

static vkg_result open_folder(vkg_app *app, const char *path, vkg_view_desc *view)
{
    vkg_dataset *inputs;
    vkg_result result = vkg_dataset_open(vkg_app_log(app), &(vkg_dataset_desc){.path = path, .any_size = true}, &inputs);
    view->inputs = inputs;
    return result;
}

static vkg_result view(vkg_app *app, vkg_view_desc *view)
{
    static const vkg_pairing made[] = {VKG_PAIRING_LEFT, VKG_PAIRING_EDGES, VKG_PAIRING_GREY, VKG_PAIRING_BLOCKS};
    const uint32_t size = (uint32_t)vkg_app_number(app, "size");
    const char *pairs = vkg_app_text(app, "pairs");
    view->pairing = made[(int)vkg_app_number(app, "input")];
    view->factor = (uint32_t)vkg_app_number(app, "block");
    view->mirror = vkg_app_number(app, "mirror") != 0;
    view->resize = size ? (uint32_t)(size * (1 + vkg_app_number(app, "jitter")) + 0.5) : 0;
    view->crop = size;
    if (!pairs || view->pairing != VKG_PAIRING_LEFT || strcmp(pairs, "left") == 0)
        return VKG_OK;
    view->pairing = strcmp(pairs, "right") == 0 ? VKG_PAIRING_RIGHT : VKG_PAIRING_DATASET;
    return view->pairing == VKG_PAIRING_DATASET ? open_folder(app, pairs, view) : VKG_OK;
}

static const vkg_app_option options[] = {
    {.name = "pairs", .argument = "WHERE", .help = "where the input is: `left` or `right`, half of an image, or DIR, the image of "
     "the same name in a folder [left]"},
    {.name = "input", .argument = "none|edges|grey|blocks", .help = "make the input of the image instead"},
    {.name = "block", .argument = "N", .help = "side of --input blocks", .value = 8, .low = 2, .high = 256, .whole = true},
    {.name = "jitter", .argument = "X", .help = "with --size: images are made larger by this share, and cut at random places; "
     "the paper has 0.117, 286 to 256", .value = 0.117, .high = 1},
    {.name = "mirror", .argument = "no|yes", .help = "left and right change places in half of all cases", .value = 1},
    {.name = "levels", .argument = "N", .help = "of the U-Net, each half the size of the one above [0: down to one pixel, at most 8]",
     .high = MOST_LEVELS, .whole = true},
    {.name = "norm", .argument = "instance|batch", .help = "of both networks"},
    {.name = "dropout", .argument = "X", .help = "share of the features of inner levels that is dropped, in use as well: the noise",
     .value = 0.5, .high = 0.9},
    {.name = "d-layers", .argument = "N", .help = "the discriminator's layers of stride 2: patches of 16, 34, 70, 142 pixels",
     .value = 3, .low = 1, .high = 4, .whole = true},
    {.name = "as-trained", .help = "images are as train sees them: their input is taken or made of them first", .command = "translate"},
    {0},
};

static int translate(vkg_app *app)
{
    return vkg_app_translate(app, vkg_app_number(app, "as-trained") != 0);
}

static const vkg_app_command commands[] = {
    {"translate", "IMAGE|FOLDER", "turn an image into another by a trained run, or all of a folder, each in its own size", translate},
    {0},
};

static const vkg_app_recipe recipes[] = {
    {"quick", "small: maps of the earth in minutes", "--size 64 --width 16 --batch 4 --d-layers 2 --steps 2750"},
    {0},
};

int main(int argc, char **argv)
{
    return vkg_app_main(argc, argv, &(vkg_app_desc){
        .name = "pix2pix", .summary = "learns to turn images into others, from pairs (Pix2Pix, Isola et al. 2017)",
        .gan = {.generator = generator, .discriminator = discriminator, .loss = VKG_LOSS_NON_SATURATING, .conditional = true,
                .l1 = 100, .optimizer_g = {.lr = 2e-4f, .beta1 = 0.5f, .beta2 = 0.999f},
                .optimizer_d = {.lr = 2e-4f, .beta1 = 0.5f, .beta2 = 0.999f}},
        .pairs = true, .view = view, .check = check, .options = options, .recipes = recipes, .commands = commands,
        .width = 64, .batch = 1, .samples = 8,
        .data_help = "learn from pairs: a folder of images that hold both side by side, or see --pairs and --input"});
}
