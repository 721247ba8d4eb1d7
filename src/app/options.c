/* The table of options and the table of commands: the common ones, and the program's own behind them. */
#include "app/options.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(VKG_LOSS_COUNT == 6, "--loss names every loss, in its order");

enum { EVERY_OWN = ~(OWN - 1) }; /* all commands of the program's own */

#define AT(field) offsetof(struct options, field)
static const struct option_row common[] = {
    {"out", "DIR", "the run folder [runs/NAME]", TEXT, TRAIN, AT(out), 0, 0, FORGOTTEN},
    {"recipe", NULL, "settings by name, for options that are not given", CHOICE, TRAIN | BENCH, AT(recipe), 0, 0, FIXED},
    {"resume", NULL, "go on with the run in the folder, from its newest checkpoint, as if it had never stopped", FLAG,
     TRAIN, AT(resume), 0, 0, FORGOTTEN},
    {"steps", "N", "steps in all (train), or timed steps (bench)", WHOLE, TRAIN | BENCH, AT(steps), 1, 1e12, REMEMBERED},
    {"minutes", "X", "stop after so long, if that comes before the last step", REAL, TRAIN, AT(minutes), 0.01, 1e6, FORGOTTEN},
    {"batch", "N", "images a step", WHOLE, TRAIN | BENCH, AT(batch), 1, 65536, FIXED},
    {"width", "N", "channels of the narrowest layer of both networks", WHOLE, TRAIN | BENCH, AT(width), 1, 4096, FIXED},
    {"latent", "N", "size of the generator's input", WHOLE, TRAIN | BENCH, AT(latent), 1, 65536, FIXED},
    {"size", "N", "image size; images are cut square and resized [0: as in the data]", WHOLE, TRAIN | BENCH, AT(size), 0,
     4096, FIXED},
    {"channels", "N", "1 grey or 3 colour [0: as in the data]", WHOLE, TRAIN | BENCH, AT(channels), 0, 3, FIXED},
    {"loss", "non-saturating|minimax|least-squares|wasserstein|hinge|relativistic",
     "what the networks are trained on; minimax is the original of 2014", CHOICE, TRAIN | BENCH, AT(loss), 0, 0, FIXED},
    {"d-steps", "N", "updates of the discriminator a step, each with a batch of its own", WHOLE, TRAIN | BENCH, AT(d_steps), 1,
     64, FIXED},
    {"gradient-penalty", "X", "weight of the penalty of WGAN-GP, which has 10 [0: none]", REAL, TRAIN | BENCH,
     AT(gradient_penalty), 0, 1e6, FIXED},
    {"r1", "X", "γ of the discriminator's gradient penalty at real images; StyleGAN2 has 10 [0: none]", REAL, TRAIN | BENCH,
     AT(r1), 0, 1e6, FIXED},
    {"r2", "X", "the same at generated images [0: none]", REAL, TRAIN | BENCH, AT(r2), 0, 1e6, FIXED},
    {"dragan", "X", "weight of the penalty of DRAGAN, which has 10 [0: none]", REAL, TRAIN | BENCH, AT(dragan), 0, 1e6, FIXED},
    {"lr", "X", "learning rate", REAL, TRAIN, AT(lr), 1e-9, 1, FIXED},
    {"lr-g", "X", "of the generator [0: as --lr]", REAL, TRAIN, AT(lr_g), 0, 1, FIXED},
    {"lr-d", "X", "of the discriminator [0: as --lr]", REAL, TRAIN, AT(lr_d), 0, 1, FIXED},
    {"beta1", "X", "Adam's decay of the first moment", REAL, TRAIN, AT(beta1), 0, 0.9999, FIXED},
    {"beta2", "X", "Adam's decay of the second moment", REAL, TRAIN, AT(beta2), 0, 0.999999, FIXED},
    {"precision", "fp32|bf16|fp16", "what convolutions read; sums and all else are fp32",
     CHOICE, TRAIN | BENCH, AT(precision), 0, 2, FIXED},
    {"seed", "N", "of everything random: the same seed on the same device gives the same bits", WHOLE,
     TRAIN | GENERATE | EVALUATE | BENCH | EVERY_OWN, AT(seed), 0, 9007199254740992.0, FIXED},
    {"sample-every", "N", "a grid of samples every so many steps", WHOLE, TRAIN, AT(sample_every), 1, 1e12, REMEMBERED},
    {"checkpoint-every", "N", "a checkpoint every so many steps", WHOLE, TRAIN, AT(checkpoint_every), 1, 1e12, REMEMBERED},
    {"log-every", "N", "a line of log.jsonl every so many steps", WHOLE, TRAIN, AT(log_every), 1, 1e12, REMEMBERED},
    {"histogram-every", "N", "histograms of weights, updates and gradients for TensorBoard every so many steps [0: none]", WHOLE,
     TRAIN, AT(histogram_every), 0, 1e12, FORGOTTEN},
    {"evaluate-every", "N", "measure samples every so many steps, and keep the best checkpoint [0: never]", WHOLE, TRAIN,
     AT(evaluate_every), 0, 1e12, REMEMBERED},
    {"evaluate-count", "N", "how many samples, and as many real images, --evaluate-every measures", WHOLE, TRAIN,
     AT(evaluate_count), 6, 1e6, FIXED},
    {"features", "FILE", "weights of the network that measures, safetensors [built in, for images of 28×28×1]", TEXT,
     TRAIN | EVALUATE, AT(features), 0, 0, FIXED},
    {"data", "DATA", "the images to compare with [those of the run, or Fashion-MNIST]", TEXT, EVALUATE, AT(data), 0, 0, FORGOTTEN},
    {"count", "N", "how many images", WHOLE, GENERATE | EVALUATE, AT(count), 1, 1e6, FORGOTTEN},
    {"class", "N", "of this class alone, the first being 0 [all classes in turn]", WHOLE, GENERATE, AT(label), 0, 65535, FORGOTTEN},
    {"output", "FILE", "FILE.png is a grid, FILE.npy is uint8 [N, H, W, C]", TEXT, GENERATE, AT(output), 0, 0, FORGOTTEN},
    {"run", "DIR", "the trained run, or a checkpoint file in it [runs/NAME]", TEXT, EVERY_OWN, AT(run), 0, 0, FORGOTTEN},
    {"output", "FILE", "where the result goes", TEXT, EVERY_OWN, AT(output), 0, 0, FORGOTTEN},
    {"device", "D", "a Vulkan device: its number, or a part of its name [the best; see `devices`]", TEXT,
     TRAIN | GENERATE | EVALUATE | BENCH | EVERY_OWN, AT(device), 0, 0, FORGOTTEN},
    {"kernels", "K", "texel, tiled or plain [what suits the device]", TEXT, 
     TRAIN | GENERATE | EVALUATE | BENCH | DEVICES | EVERY_OWN, AT(kernels), 0, 0, FORGOTTEN},
    {"profile", NULL, "where the time of a step goes, dispatch by dispatch, instead", FLAG, BENCH, AT(profile), 0, 0, FORGOTTEN},
    {"trace", "FILE", "with --profile: the dispatches as a trace for ui.perfetto.dev", TEXT, BENCH, AT(trace), 0, 0, FORGOTTEN},
    {"json", NULL, "print JSON", FLAG, EVALUATE | BENCH, AT(json), 0, 0, FORGOTTEN},
    {"help", NULL, "this text", FLAG, ~0u, AT(help), 0, 0, FORGOTTEN},
};
static const struct command_row common_commands[] = {
    {"train", "[DATA]", "learn from images: a folder of PNG or JPEG files, IDX, or .npy [Fashion-MNIST]", TRAIN, command_train},
    {"generate", "DIR|CHECKPOINT", "draw samples from a run's newest checkpoint, or from a checkpoint file", GENERATE, command_generate},
    {"evaluate", "DIR|CHECKPOINT|FILE.npy", "measure samples: how near they are to the data, and how varied", EVALUATE, command_evaluate},
    {"report", "DIR", "write a run's report.html again, from what its folder holds", REPORT, command_report},
    {"bench", "", "measure training steps on made-up data", BENCH, command_bench},
    {"devices", "", "list the Vulkan devices and what would be used of them", DEVICES, command_devices},
};

enum { COMMON = sizeof common / sizeof common[0], COMMON_COMMANDS = sizeof common_commands / sizeof common_commands[0] };

/* --- building --- */

/* A program that makes its own data takes no DATA, and no size of it. */
static bool makes_data(const vkg_app *app)
{
    return app->desc->open_data && !app->desc->data_help;
}

static void add_commands(vkg_app *app)
{
    const vkg_app_command *own = app->desc->commands;
    for (int i = 0; i < COMMON_COMMANDS; i++)
        if (!app->desc->pairs || !(common_commands[i].command & (GENERATE | EVALUATE)))
            app->commands[app->command_count++] = common_commands[i];
    if (app->desc->open_data)
        app->commands[0].arguments = makes_data(app) ? "" : "[DATA]";
    if (app->desc->open_data || app->desc->data_help)
        app->commands[0].help = makes_data(app) ? "learn from data that the program makes" : app->desc->data_help;
    for (unsigned bit = OWN; own && own->name && app->command_count < MAX_COMMANDS; own++, bit *= 2)
        app->commands[app->command_count++] = (struct command_row){own->name, own->arguments, own->help, bit, own->run};
}

/* "none|a|b" of the recipes' names. */
static const char *recipe_words(vkg_app *app)
{
    char words[512] = "none";
    for (const vkg_app_recipe *r = app->desc->recipes; r->name; r++) {
        size_t used = strlen(words);
        snprintf(words + used, sizeof words - used, "|%s", r->name);
    }
    return arena_strdup(&app->memory, words);
}

static bool add_common(vkg_app *app, const struct option_row *row)
{
    if (makes_data(app) && (row->offset == AT(size) || row->offset == AT(channels)))
        return true;
    if (!app->desc->labels && row->offset == AT(label))
        return true;
    if (app->desc->pairs && (row->offset == AT(latent) || row->offset == AT(evaluate_every) || row->offset == AT(evaluate_count)))
        return true;
    struct option_row *added = &app->rows[app->row_count];
    *added = *row;
    if (row->offset == AT(recipe)) {
        if (!app->desc->recipes)
            return true;
        added->argument = recipe_words(app);
        if (!added->argument)
            return false;
    }
    app->row_count++;
    return true;
}

static enum kind kind_of(const vkg_app_option *own)
{
    if (!own->argument)
        return FLAG;
    if (own->low < own->high)
        return own->whole ? WHOLE : REAL;
    return strchr(own->argument, '|') ? CHOICE : TEXT;
}

static unsigned command_of(const vkg_app *app, const vkg_app_option *own)
{
    for (int i = 0; own->command && i < app->command_count; i++)
        if (strcmp(app->commands[i].name, own->command) == 0)
            return app->commands[i].command;
    return TRAIN | BENCH;
}

static bool add_own(vkg_app *app, const vkg_app_option *own, int number)
{
    if (number == MAX_OWN_OPTIONS || app->row_count == MAX_ROWS) {
        app_error(app, "--%s: a program may have %d options of its own", own->name, MAX_OWN_OPTIONS);
        return false;
    }
    if (options_find(app, command_of(app, own), own->name, strlen(own->name))) {
        app_error(app, "--%s is an option of every program, or of this one already", own->name);
        return false;
    }
    app->rows[app->row_count++] = (struct option_row){
        .name = own->name, .argument = own->argument, .help = own->help, .kind = kind_of(own),
        .commands = command_of(app, own), .offset = AT(own) + (size_t)number * sizeof app->options.own[0],
        .low = own->low, .high = own->high, .memory = own->command ? FORGOTTEN : FIXED};
    return true;
}

bool options_build_tables(vkg_app *app)
{
    app->rows = arena_alloc(&app->memory, MAX_ROWS * sizeof *app->rows);
    app->commands = arena_alloc(&app->memory, MAX_COMMANDS * sizeof *app->commands);
    bool good = app->rows && app->commands;
    if (good)
        add_commands(app);
    for (int i = 0; i < COMMON && good; i++)
        good = add_common(app, &common[i]);
    if (!good)
        app_error(app, "out of memory for the table of options");
    for (const vkg_app_option *own = app->desc->options; good && own && own->name; own++)
        good = add_own(app, own, (int)(own - app->desc->options));
    return good;
}

/* A float's digits are not a double's: 0.0002f is to print as 0.0002. */
static double plain(float value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.6g", (double)value);
    return strtod(digits, NULL);
}

static double or_else(double value, double otherwise)
{
    return value > 0 ? value : otherwise;
}

/* The program's own defaults of what every program has. */
static void fill_gan_defaults(struct options *o, const vkg_gan_desc *gan)
{
    const vkg_optimizer_desc *g = &gan->optimizer_g, *d = &gan->optimizer_d;
    o->loss = gan->loss;
    o->d_steps = or_else(gan->discriminator_times, 1);
    o->gradient_penalty = plain(gan->regularizers.gradient_penalty);
    o->r1 = plain(gan->regularizers.r1);
    o->r2 = plain(gan->regularizers.r2);
    o->dragan = plain(gan->regularizers.dragan);
    o->lr = or_else(plain(g->lr), 0.0002);
    o->lr_d = d->lr > 0 && d->lr != g->lr ? plain(d->lr) : 0;
    o->beta1 = g->beta1 < 0 ? 0 : or_else(plain(g->beta1), 0.5);
    o->beta2 = g->beta2 < 0 ? 0 : or_else(plain(g->beta2), 0.999);
}

void options_fill_defaults(vkg_app *app, const struct command_row *command)
{
    const vkg_app_desc *desc = app->desc;
    app->options = (struct options){
        .steps = command->command == BENCH ? 20 : or_else(desc->steps, 3000), .batch = or_else(desc->batch, 64),
        .width = or_else(desc->width, 64), .latent = or_else(desc->latent, 100), .seed = 1,
        .sample_every = or_else(desc->sample_every, 250), .checkpoint_every = 1000, .log_every = 10,
        .count = command->command == EVALUATE ? 10000 : 64, .evaluate_count = 10000};
    fill_gan_defaults(&app->options, &desc->gan);
    for (const vkg_app_option *own = desc->options; own && own->name; own++)
        if (kind_of(own) != TEXT && kind_of(own) != FLAG)
            app->options.own[own - desc->options].number = own->value;
}

/* --- asking --- */

const struct option_row *options_find(const vkg_app *app, unsigned commands, const char *name, size_t length)
{
    for (const struct option_row *row = app->rows; row < app->rows + app->row_count; row++)
        if (row->commands & commands && strlen(row->name) == length && strncmp(row->name, name, length) == 0)
            return row;
    return NULL;
}

bool option_given(const vkg_app *app, const char *name)
{
    const struct option_row *row = options_find(app, ~0u, name, strlen(name));
    return row && app->options.given[row - app->rows];
}

const char *option_word(const char *words, int number, int *length)
{
    for (; number > 0 && *words; number--) {
        words += strcspn(words, "|");
        words += *words == '|';
    }
    *length = (int)strcspn(words, "|");
    return words;
}

int option_word_number(const char *words, const char *word, size_t length)
{
    for (int number = 0; *words; number++) {
        size_t size = strcspn(words, "|");
        if (size == length && strncmp(words, word, size) == 0)
            return number;
        words += size + (words[size] == '|');
    }
    return -1;
}

vkg_dtype option_precision(const struct options *options)
{
    static const vkg_dtype types[] = {VKG_FLOAT32, VKG_BFLOAT16, VKG_FLOAT16}; /* in the order of the option's words */
    return types[(int)options->precision];
}
