/* The table of options and the table of commands; what a run remembers. */
#include "app/options.h"

#include <math.h>
#include <string.h>

#define AT(field) offsetof(struct options, field)
const struct option_row option_rows[] = {
    {"out", "DIR", "the run folder [runs/NAME]", TEXT, TRAIN, AT(out), 0, 0, FORGOTTEN},
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
    {"lr", "X", "learning rate of both networks", REAL, TRAIN, AT(lr), 1e-9, 1, FIXED},
    {"beta1", "X", "Adam's decay of the first moment", REAL, TRAIN, AT(beta1), 0, 0.9999, FIXED},
    {"precision", "fp32|bf16|fp16", "what convolutions read; sums and all else are fp32; in the config file 0|1|2 [fp32]",
     CHOICE, TRAIN | BENCH, AT(precision), 0, 2, FIXED},
    {"seed", "N", "of everything random: the same seed on the same device gives the same bits", WHOLE,
     TRAIN | GENERATE | BENCH, AT(seed), 0, 9007199254740992.0, FIXED},
    {"sample-every", "N", "a grid of samples every so many steps", WHOLE, TRAIN, AT(sample_every), 1, 1e12, REMEMBERED},
    {"checkpoint-every", "N", "a checkpoint every so many steps", WHOLE, TRAIN, AT(checkpoint_every), 1, 1e12, REMEMBERED},
    {"log-every", "N", "a line of log.jsonl every so many steps", WHOLE, TRAIN, AT(log_every), 1, 1e12, REMEMBERED},
    {"histogram-every", "N", "histograms of weights, updates and gradients for TensorBoard every so many steps [0: none]", WHOLE,
     TRAIN, AT(histogram_every), 0, 1e12, FORGOTTEN},
    {"count", "N", "how many images", WHOLE, GENERATE, AT(count), 1, 1e6, FORGOTTEN},
    {"output", "FILE", "FILE.png is a grid, FILE.npy is uint8 [N, H, W, C]", TEXT, GENERATE, AT(output), 0, 0, FORGOTTEN},
    {"device", "D", "a Vulkan device: its number, or a part of its name [the best; see `devices`]", TEXT,
     TRAIN | GENERATE | BENCH, AT(device), 0, 0, FORGOTTEN},
    {"kernels", "K", "texel, tiled or plain [what suits the device]", TEXT, TRAIN | GENERATE | BENCH | DEVICES,
     AT(kernels), 0, 0, FORGOTTEN},
    {"profile", NULL, "where the time of a step goes, dispatch by dispatch, instead", FLAG, BENCH, AT(profile), 0, 0, FORGOTTEN},
    {"trace", "FILE", "with --profile: the dispatches as a trace for ui.perfetto.dev", TEXT, BENCH, AT(trace), 0, 0, FORGOTTEN},
    {"json", NULL, "print JSON", FLAG, BENCH, AT(json), 0, 0, FORGOTTEN},
    {"help", NULL, "this text", FLAG, TRAIN | GENERATE | BENCH | DEVICES, AT(help), 0, 0, FORGOTTEN},
};
const int option_row_count = sizeof option_rows / sizeof option_rows[0];

const struct command_row command_rows[COMMANDS] = {
    {"train", "[DATA]", "learn from images: a folder of PNG or JPEG files, IDX, or .npy [Fashion-MNIST]", TRAIN, command_train},
    {"generate", "DIR|CHECKPOINT", "draw samples from a run's newest checkpoint, or from a checkpoint file", GENERATE, command_generate},
    {"bench", "", "measure training steps on made-up images", BENCH, command_bench},
    {"devices", "", "list the Vulkan devices and what would be used of them", DEVICES, command_devices},
};

void options_fill_defaults(vkg_app *app, const struct command_row *command)
{
    const vkg_app_desc *desc = app->desc;
    app->options = (struct options){
        .steps = command->command == BENCH ? 20 : 3000, .batch = desc->batch ? desc->batch : 64,
        .width = desc->width ? desc->width : 64, .latent = desc->latent ? desc->latent : 100, .seed = 1,
        .sample_every = 250, .checkpoint_every = 1000, .log_every = 10, .count = 64,
        .lr = desc->gan.optimizer_g.lr > 0 ? (double)desc->gan.optimizer_g.lr : 0.0002,
        .beta1 = desc->gan.optimizer_g.beta1 > 0 ? (double)desc->gan.optimizer_g.beta1 : 0.5};
    /* a float's digits are not a double's: 0.0002f is to print as 0.0002 */
    app->options.lr = round(app->options.lr * 1e9) / 1e9;
    app->options.beta1 = round(app->options.beta1 * 1e6) / 1e6;
}

bool option_given(const vkg_app *app, const char *name)
{
    for (int i = 0; i < option_row_count; i++)
        if (strcmp(option_rows[i].name, name) == 0)
            return app->options.given >> i & 1;
    return false;
}

void options_each_setting(struct options *options, void (*visit)(void *user, const struct setting *setting), void *user)
{
    for (const struct option_row *row = option_rows; row < option_rows + option_row_count; row++)
        if (row->memory != FORGOTTEN)
            visit(user, &(struct setting){.name = row->name, .value = option_field(options, row), .low = row->low,
                                          .high = row->high, .whole = row->kind != REAL, .fixed = row->memory == FIXED,
                                          .choice = row->kind == CHOICE});
}

vkg_dtype option_precision(const struct options *options)
{
    static const vkg_dtype types[] = {VKG_FLOAT32, VKG_BFLOAT16, VKG_FLOAT16}; /* in the order of the option's words */
    return types[(int)options->precision];
}
