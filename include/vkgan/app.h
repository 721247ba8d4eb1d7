/* vkgan: what every sample program shares: the command line, progress, the run folder, resuming. Not needed by
 * programs that use the library for themselves. Unlike the rest of the library it prints, to stdout and stderr.
 *
 * A program is a vkg_app_desc. Most need its first part only, two networks and their settings; the rest is for programs
 * with options, phases, data, pictures or commands of their own. */
#ifndef VKGAN_APP_H
#define VKGAN_APP_H

#include "vkgan/data.h"
#include "vkgan/gan.h"
#include "vkgan/io.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A program while it runs: its options, and what its command opened. Networks find it in settings->user. */
typedef struct vkg_app vkg_app;

enum { VKG_APP_MAX_PHASES = 16, VKG_APP_MAX_MEASURES = 8 };

/* A program's own option, --NAME. What kind it is follows from `argument` and the range. */
typedef struct vkg_app_option {
    const char *name;     /* "levels" */
    const char *argument; /* "N", "FILE"; words to choose from, "ring|grid"; NULL: a switch, without a value */
    const char *help;     /* one line */
    double value;         /* the default: a number, or the number of a word */
    double low, high;     /* low < high: a number of this range; both 0: a word or a text, whose default is none */
    bool whole;           /* only whole numbers */
    const char *command;  /* the commands that take it, "generate|film"; NULL: train and bench do, it is kept in
                           * config.json, and resuming cannot change it */
} vkg_app_option;

/* A set of options under one name, for --recipe NAME; options of the command line win. */
typedef struct vkg_app_recipe {
    const char *name, *help;
    const char *options; /* as on the command line, "--loss hinge --r1 0.1"; no value may hold a blank */
} vkg_app_recipe;

/* A command of the program's own. */
typedef struct vkg_app_command {
    const char *name, *arguments, *help; /* "translate", "IMAGE|FOLDER", "…"; arguments "": takes none */
    int (*run)(vkg_app *app);            /* returns the process's exit status */
    const char *without; /* of --run, --output, --seed, --device and --kernels those that it has no use for, "seed|output" */
} vkg_app_command;

/* Something that is measured of samples. */
typedef struct vkg_app_measure {
    const char *name; /* "modes"; a literal */
    double value;
} vkg_app_measure;

/* Zero is the default of every field but name, summary and gan's networks. Tables end with a row of zeroes. */
typedef struct vkg_app_desc {
    const char *name;    /* "dcgan" */
    const char *summary; /* one line for --help: what it is, and its paper */
    /* The networks, and the defaults of all that options can change. Its settings are filled in. */
    vkg_gan_desc gan;
    /* Says why these images cannot be (size, channels), into message. */
    bool (*check)(const vkg_network_settings *settings, char *message, size_t message_size);
    uint32_t latent, width, batch; /* defaults of --latent [100], --width [64], --batch [64] */
    float ema;                     /* default of --ema, the decay of the generator's moving average [0: none] */
    float ema_ramp_up;             /* vkg_ema.ramp_up of it */
    uint32_t steps, sample_every;  /* defaults of --steps [3000], --sample-every [250] */

    bool labels; /* where the data has classes, the networks are told them (settings.classes) */

    const vkg_app_option *options;
    const vkg_app_recipe *recipes;
    const vkg_app_command *commands;

    /* The phases of a step, at most VKG_APP_MAX_PHASES; returns how many. *gan is what the options say; it lives until the
     * trainer is made. NULL: discriminator and generator, vkg_gan_phases. */
    uint32_t (*phases)(const vkg_gan_desc *gan, vkg_phase *phases);
    /* Common options that these phases, or the view, have no use for, "r1|history": the program does not have them. */
    const char *without;

    /* Opens what train learns from (vkg_dataset_create makes a set of anything); path: DATA of the command line, or NULL.
     * NULL: images. With data_help NULL the program makes its data itself, train takes no DATA. */
    vkg_result (*open_data)(vkg_app *app, const char *path, vkg_dataset **dataset);
    const char *data_help; /* of train, what it learns from: "learn from a folder of pairs of images"; NULL: "images …" */

    /* What train sees of an image: fills *view, which is zero, as the options say. Images then keep their own sizes: --size
     * is for this function to apply. A set that it opens into view->inputs is the app's from then on. NULL: whole images. */
    vkg_result (*view)(vkg_app *app, vkg_view_desc *view);
    /* The view makes inputs, and the generator makes images of them in place of latents: networks find their shape in
     * settings.input, phases ask vkg_step_input for them, and pictures of train are rows of input, output and target. There
     * is no generate, which draws, and evaluate compares with the targets; a command of the program's own of the same name takes
     * its place. */
    bool pairs;

    /* Makes a picture of samples, [count, H, W, C] as the generator draws them; its pixels are the caller's. NULL: a grid. */
    vkg_result (*draw)(const vkg_app *app, const float *samples, uint32_t count, vkg_image *picture);
    /* What samples are worth: writes at most VKG_APP_MAX_MEASURES, returns how many. They are logged with
     * every picture of train, in log.jsonl, and printed. NULL: nothing. */
    uint32_t (*measure)(const vkg_app *app, const float *samples, uint32_t count, vkg_app_measure *measures);
    uint32_t samples; /* how many are drawn and measured [64] */
} vkg_app_desc;

/* Runs `argv` as train, generate, evaluate, report, bench, devices or one of the program's own commands; returns the process's exit
 * status. */
VKG_API int vkg_app_main(int argc, char **argv, const vkg_app_desc *desc);

/* --- for the functions of a vkg_app_desc --- */

/* An image's side as base · 2^doublings with a base from 4 to 7 (where it can be so): what networks that double or halve
 * sizes, level by level, begin or end with. 28 is 7 · 2², 32 is 4 · 2³, 256 is 4 · 2⁶. */
typedef struct vkg_pyramid {
    uint32_t base, doublings;
} vkg_pyramid;
VKG_API vkg_pyramid vkg_pyramid_of(uint32_t size);
/* For vkg_app_desc.check: squares of such a side, with 1 to 8 doublings. */
VKG_API bool vkg_pyramid_check(const vkg_network_settings *settings, char *message, size_t message_size);
/* Channels of a layer at this size: `width` at the images' own, twice as many where the side is half, and so on, up to `most`
 * times as many. */
VKG_API uint32_t vkg_pyramid_width(const vkg_network_settings *settings, uint32_t size, uint32_t most);

/* The value of an option by its name, the program's own or a common one ("width"): a number, the number of a word, 1 for a
 * switch that was given. NaN where there is no such option. */
VKG_API double vkg_app_number(const vkg_app *app, const char *name);
/* The text of an option, NULL where it was not given. Belongs to the app. */
VKG_API const char *vkg_app_text(const vkg_app *app, const char *name);
/* The name that the command line has besides its options, or NULL. */
VKG_API const char *vkg_app_target(const vkg_app *app);
VKG_API const vkg_log *vkg_app_log(const vkg_app *app);
/* The device of --device and --kernels, opened by the first call and closed when the command ends; NULL after a message. */
VKG_API vkg_device *vkg_app_device(vkg_app *app);

/* For own commands: reads the settings of a trained run (--run, a folder or a checkpoint file in it, [runs/NAME]), which
 * the options then hold. Errors: there is no run, or it is another program's. */
VKG_API vkg_result vkg_app_open_run(vkg_app *app, vkg_network_settings *settings);
/* A sampler of that run: of the generator, or of another network of its layers, which sees `settings` and takes
 * settings->latent numbers an image (vkg_sampler_draw). It belongs to the app; opening another closes it. */
VKG_API vkg_result vkg_app_open_sampler(vkg_app *app, vkg_network network, const vkg_network_settings *settings, uint32_t batch,
                                        vkg_sampler **sampler);
/* A command of programs whose generator makes images of inputs: of an image, or all of a folder (the command line's), each in its
 * own size, to --output [translated.png, or the folder translated]. made: the images are as train sees them, and their inputs
 * are taken or made of them first. Returns the exit status. */
VKG_API int vkg_app_translate(vkg_app *app, bool made);
/* Writes images as a grid, see vkg_grid_desc, to a PNG file, and says so. */
VKG_API vkg_result vkg_app_save_grid(const vkg_app *app, const float *samples, const vkg_network_settings *settings,
                                     uint32_t count, uint32_t columns, const char *path);
/* Where samples of the run are drawn from: "generator", or "ema.generator", its moving average, where --ema keeps one; and the prefix of
 * its tensors, with a dot behind. Constant strings. */
VKG_API const char *vkg_app_generator_scope(const vkg_app *app);
VKG_API const char *vkg_app_generator_prefix(const vkg_app *app);
/* Loads what a state holds and whose names begin with `prefix` from that run's checkpoint. Errors: those of vkg_state_load;
 * FORMAT for numbers that are none. */
VKG_API vkg_result vkg_app_load(vkg_app *app, vkg_state *state, const char *prefix);
/* Opens the file or folder that the command line names (vkg_app_target) and calls `work` with every picture there, of its own
 * size and so many channels, in the order of their names. `work` may change the picture, which is freed after it; `name` is
 * vkg_dataset_name. Stops at the first error. Errors: INVALID where the command line names none, or, with --output, two whose results
 * vkg_app_save_picture would give one name. */
VKG_API vkg_result vkg_app_each_picture(vkg_app *app, uint32_t channels,
                                        vkg_result (*work)(void *user, vkg_image *picture, const char *name), void *user);
/* Writes a picture into the folder of --output, which is made where it is missing, as NAME.png: `name` is an image's own
 * (vkg_dataset_name), whose folders become a part of the name and whose ending is left out; NULL: "picture". Prints what it
 * wrote. Errors: there is no --output, those of vkg_image_save_png. */
VKG_API vkg_result vkg_app_save_picture(vkg_app *app, const vkg_image *picture, const char *name);

#ifdef __cplusplus
}
#endif
#endif
