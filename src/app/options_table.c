/* What every program has: its options, in the order of --help, and its commands. */
#include "app/options.h"

/* Choices are in the order of the library's enumerations. */
_Static_assert(VKG_LOSS_COUNT == 6, "--loss names every loss");
_Static_assert(VKG_AUGMENT_COUNT == 3, "--augment names every augmentation");

enum { EVERY_OWN = ~(OWN - 1) }; /* all commands of the program's own */

#define AT(field) offsetof(struct options, field)
const struct option_row option_common[] = {
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
    {"reg-every", "N", "the penalties of the discriminator every so many steps, with as many times the weight", WHOLE,
     TRAIN | BENCH, AT(reg_every), 1, 4096, FIXED},
    {"consistency", "X", "weight of consistency under shifts and mirroring, which has 10 [0: none]", REAL, TRAIN | BENCH,
     AT(consistency), 0, 1e6, FIXED},
    {"augment", "none|diffaugment|ada", "random changes of all that the discriminator sees", CHOICE, TRAIN | BENCH, AT(augment),
     0, 0, FIXED},
    {"history", "N", "the discriminator is shown generated images of earlier steps, out of so many [0: none]", WHOLE,
     TRAIN | BENCH, AT(history), 0, 65536, FIXED},
    {"balance", "X", "the discriminator pauses where it ranks more of real and generated pairs right than this share, such as "
     "0.95 [0: never]", REAL, TRAIN | BENCH, AT(balance), 0, 1, FIXED},
    {"accumulate", "N", "batches to one update", WHOLE, TRAIN | BENCH, AT(accumulate), 1, 64, FIXED},
    {"ema", "X", "decay of the generator's moving average, which samples are drawn from, such as 0.999 [0: none]", REAL,
     TRAIN | BENCH, AT(ema), 0, 0.999999, FIXED},
    {"optimizer", "adam|adamw|rmsprop|sgd", "of both networks", CHOICE, TRAIN | BENCH, AT(optimizer), 0, 0, FIXED},
    {"lr", "X", "learning rate", REAL, TRAIN | BENCH, AT(lr), 1e-9, 1, FIXED},
    {"lr-g", "X", "of the generator [0: as --lr]", REAL, TRAIN | BENCH, AT(lr_g), 0, 1, FIXED},
    {"lr-d", "X", "of the discriminator [0: as --lr]", REAL, TRAIN | BENCH, AT(lr_d), 0, 1, FIXED},
    {"beta1", "X", "Adam's decay of the first moment", REAL, TRAIN | BENCH, AT(beta1), 0, 0.9999, FIXED},
    {"beta2", "X", "Adam's decay of the second moment", REAL, TRAIN | BENCH, AT(beta2), 0, 0.999999, FIXED},
    {"momentum", "X", "of rmsprop and sgd", REAL, TRAIN | BENCH, AT(momentum), 0, 0.9999, FIXED},
    {"weight-decay", "X", "for adamw, and in the gradients of the others [0: none]", REAL, TRAIN | BENCH, AT(weight_decay), 0, 1,
     FIXED},
    {"clip-norm", "X", "the most that a network's whole gradient may measure [0: any]", REAL, TRAIN | BENCH, AT(clip_norm), 0, 1e9,
     FIXED},
    {"lr-schedule", "constant|linear|cosine|step", "how the learning rate falls; step: to a tenth", CHOICE, TRAIN | BENCH,
     AT(lr_schedule), 0, 0, FIXED},
    {"lr-steps", "N", "within so many steps, or every so many [0: all of --steps]", WHOLE, TRAIN | BENCH, AT(lr_steps), 0, 16777216,
     FIXED},
    {"warmup", "N", "steps in which the learning rate rises to its full", WHOLE, TRAIN | BENCH, AT(warmup), 0, 16777216, FIXED},
    {"precision", "fp32|bf16|fp16", "what convolutions read; sums and all else are fp32",
     CHOICE, TRAIN | BENCH, AT(precision), 0, 2, FIXED},
    {"seed", "N", "of everything random: the same seed on the same device gives the same bits", WHOLE,
     TRAIN | GENERATE | BENCH | EVERY_OWN, AT(seed), 0, 9007199254740992.0, FIXED},
    {"sample-every", "N", "a grid of samples every so many steps", WHOLE, TRAIN, AT(sample_every), 1, 1e12, REMEMBERED},
    {"checkpoint-every", "N", "a checkpoint every so many steps", WHOLE, TRAIN, AT(checkpoint_every), 1, 1e12, REMEMBERED},
    {"log-every", "N", "a line of log.jsonl every so many steps", WHOLE, TRAIN, AT(log_every), 1, 1e12, REMEMBERED},
    {"histogram-every", "N", "histograms of weights, updates and gradients for TensorBoard every so many steps [0: none]", WHOLE,
     TRAIN, AT(histogram_every), 0, 1e12, FORGOTTEN},
    {"count", "N", "how many images", WHOLE, GENERATE, AT(count), 1, 1e6, FORGOTTEN},
    {"output", "FILE", "FILE.png is a grid, FILE.npy is uint8 [N, H, W, C]", TEXT, GENERATE, AT(output), 0, 0, FORGOTTEN},
    {"run", "DIR", "the trained run, or a checkpoint file in it [runs/NAME]", TEXT, EVERY_OWN, AT(run), 0, 0, FORGOTTEN},
    {"output", "FILE", "where the result goes", TEXT, EVERY_OWN, AT(output), 0, 0, FORGOTTEN},
    {"device", "D", "a Vulkan device: its number, or a part of its name [the best; see `devices`]", TEXT,
     TRAIN | GENERATE | BENCH | EVERY_OWN, AT(device), 0, 0, FORGOTTEN},
    {"kernels", "K", "texel, tiled or plain [what suits the device]", TEXT, TRAIN | GENERATE | BENCH | DEVICES | EVERY_OWN,
     AT(kernels), 0, 0, FORGOTTEN},
    {"profile", NULL, "where the time of a step goes, dispatch by dispatch, instead", FLAG, BENCH, AT(profile), 0, 0, FORGOTTEN},
    {"trace", "FILE", "with --profile: the dispatches as a trace for ui.perfetto.dev", TEXT, BENCH, AT(trace), 0, 0, FORGOTTEN},
    {"json", NULL, "print JSON", FLAG, BENCH, AT(json), 0, 0, FORGOTTEN},
    {"help", NULL, "this text", FLAG, ~0u, AT(help), 0, 0, FORGOTTEN},
};

const struct command_row command_common[] = {
    {"train", "[DATA]", "learn from images: a folder of PNG or JPEG files, IDX, or .npy [Fashion-MNIST]", TRAIN, command_train},
    {"generate", "DIR|CHECKPOINT", "draw samples from a run's newest checkpoint, or from a checkpoint file", GENERATE, command_generate},
    {"report", "DIR", "write a run's report.html again, from what its folder holds", REPORT, command_report},
    {"bench", "", "measure training steps on made-up data", BENCH, command_bench},
    {"devices", "", "list the Vulkan devices and what would be used of them", DEVICES, command_devices},
};

const int option_common_count = sizeof option_common / sizeof option_common[0];
const int command_common_count = sizeof command_common / sizeof command_common[0];
