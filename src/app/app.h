/* The rooms of a sample program: options, the run folder, and one function a command. */
#ifndef VKG_APP_APP_H
#define VKG_APP_APP_H

#include <stdio.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "vkgan/app.h"
#include "vkgan/data.h"
#include "vkgan/io.h"

enum { PATH_BYTES = 4096, MAX_OWN_OPTIONS = 32, MAX_ROWS = 96, MAX_COMMANDS = 12 };

/* What the command line said, defaults filled in. Zero or NULL: not given, and there is no default. */
struct options {
    const char *target; /* DATA of train; DIR or FILE of generate */
    const char *out, *device, *kernels, *output, *trace, *run, *features, *data;
    double steps, batch, seed, width, latent, size, channels, sample_every, checkpoint_every, log_every, histogram_every, count,
        minutes;
    double evaluate_every, evaluate_count;
    double lr, lr_g, lr_d, beta1, beta2; /* lr_g, lr_d: 0 is lr */
    double label;                        /* of the class to draw, where the option was given */
    double loss;                         /* a vkg_loss */
    double d_steps, gradient_penalty, r1, r2, dragan, consistency, history;
    double augment, optimizer, lr_schedule; /* a vkg_augment_kind, a vkg_optimizer, a vkg_schedule_kind */
    double momentum, weight_decay, clip_norm, lr_steps, warmup, reg_every, balance, accumulate, ema;
    double l1;
    double precision; /* 0, 1 or 2: option_precision */
    double recipe;    /* 0: none */
    bool resume, json, help, profile;
    union {
        double number;
        const char *text;
        bool flag;
    } own[MAX_OWN_OPTIONS]; /* of the program */
    bool given[MAX_ROWS];   /* on the command line, rather than by default */
};

struct option_row;  /* options.h */
struct command_row;

/* What a run learns from. */
struct run_image {
    char data[PATH_BYTES]; /* where the images came from; "" is the default set */
    uint32_t image[3], input[3]; /* input: of pairs; 0 elsewhere */
    uint32_t classes; /* 0: unknown, or not wanted */
    uint32_t count;   /* of images; 0: unknown */
};

/* A trained generator, ready to draw. Zero it first, and close it whatever opening says. */
struct trained {
    struct run_image run;
    vkg_state *state;
    vkg_sampler *sampler;
};

struct vkg_app {
    const vkg_app_desc *desc;
    const char *command; /* how the program was called, for commands that are suggested */
    struct option_row *rows;      /* in `memory` */
    struct command_row *commands;
    int row_count, command_count;
    struct options options, defaults;
    uint32_t classes; /* that the networks know; 0: none */
    vkg_log log;
    vkg_device *device;  /* opened by the commands that need one */
    vkg_phase phases[VKG_APP_MAX_PHASES]; /* of the trainer that was made; their loss functions have been called */
    uint32_t phase_count;
    struct arena memory; /* tables and texts, until the program ends */
    char checkpoint[PATH_BYTES]; /* of the run that vkg_app_open_run opened */
    struct trained opened;       /* by vkg_app_open_sampler */
};

/* --- options*.c --- */

/* Fills app->options, and returns the command. NULL: the message is out; *status is what the process ends with (0 after
 * --help). */
const struct command_row *options_parse(vkg_app *app, int argc, char **argv, int *status);
/* Was the option on the command line? name without dashes. */
bool option_given(const vkg_app *app, const char *name);
vkg_dtype option_precision(const struct options *options);

/* --- messages --- */

/* Prints an error, as the library's are printed, and returns 1, a command's exit status. */
__attribute__((format(printf, 2, 3))) int app_error(const vkg_app *app, const char *format, ...);
/* Opens the device of --device and --kernels. */
vkg_result app_open_device(vkg_app *app);
/* Reads every number of a state. *broken: the name of the first entry that holds one that is not finite, or NULL. The
 * losses of a step tell of what broke before it, not of its own update. */
vkg_result find_broken(vkg_app *app, vkg_state *state, const char **broken);

/* --- data.c: what a run learns from --- */

/* What train sees of the images; zero: they as they are. */
struct run_view {
    vkg_view *view;
    const vkg_dataset *inputs; /* the set that the program opened for it, or NULL */
};
/* Opens the images, as the options say. path: NULL is the program's default. */
vkg_result app_open_data(vkg_app *app, const char *path, vkg_dataset **dataset);
/* The program's view of them, if it has one. Close it before the dataset, whatever opening says. whole: images that train
 * cuts from larger ones are made that size instead. */
vkg_result app_open_view(vkg_app *app, const vkg_dataset *dataset, bool whole, struct run_view *view);
void app_close_view(struct run_view *view);
/* An image as the view has it, without chance. input: see vkg_view_read. */
vkg_result run_view_read(const struct run_view *view, const vkg_dataset *dataset, uint32_t index, float *target, float *input);
/* The shapes that the program's view gives to images of that shape, or as large as what it cuts; for bench, which has no data. */
vkg_result app_view_shape(vkg_app *app, const uint32_t image[3], vkg_view_shape *shape);

/* --- gan.c --- */

/* What the networks are told, for such images; false after a message when they cannot be. */
bool app_settings(vkg_app *app, const struct run_image *image, vkg_network_settings *settings);
/* An update takes several batches where they are accumulated. */
double images_a_step(const struct options *options);
/* How many of `count` samples to draw at a time: no more than a training step holds, which is known to fit. */
uint32_t app_sampler_batch(const vkg_app *app, uint32_t count);
/* A trainer of the program's networks, as the options say. */
vkg_result app_create_trainer(vkg_app *app, const vkg_network_settings *settings, vkg_trainer **trainer);

/* --- trained.c: a run that is there already --- */

/* Reads the settings of a run folder or of a checkpoint's, and finds the (newest) checkpoint, app->checkpoint. --seed keeps
 * what the command line says: it is of what the command draws. */
vkg_result trained_open(vkg_app *app, const char *target, struct run_image *run, vkg_network_settings *settings);

/* trained_open, and the device; `count`: how many samples will be drawn. */
vkg_result trained_open_sampler(vkg_app *app, const char *target, uint32_t count, struct trained *trained);
void trained_close(struct trained *trained);

/* --- film.c --- */

/* film.png in the run folder: at most ten of its pictures in samples/, side by side from the first to the last. */
vkg_result film_write(const vkg_app *app, const char *folder, char path[PATH_BYTES]);

/* --- run.c: the run folder; config.c: its settings --- */

bool run_path(const vkg_app *app, const char *folder, const char *name, char path[PATH_BYTES]);
/* Makes a folder and those above it. */
vkg_result make_folders(const vkg_app *app, const char *folder);
/* Makes the folder and those in it, as far as they are missing, keeps others from training in it until *lock is closed
 * (base/file.h), and removes what a run that was killed had half written. */
vkg_result run_create(const vkg_app *app, const char *folder, int *lock);
bool run_exists(const char *folder);
/* config.json: the settings that a run keeps, and its images. */
vkg_result run_write_config(vkg_app *app, const char *folder, const struct run_image *image);
/* Reads it into app->options; an option on the command line that says otherwise is an error. */
vkg_result run_read_config(vkg_app *app, const char *folder, struct run_image *image);
/* The checkpoint of the highest step; *step is 0 and path "" where there is none. */
vkg_result run_newest_checkpoint(const vkg_app *app, const char *folder, char path[PATH_BYTES], uint64_t *step);
/* The pictures samples/step-NUMBER.png, by step, of which names are the order for six digits alone. free() items, whatever the result. */
struct run_sample {
    uint64_t step;
    char name[64];
};
struct run_samples {
    struct run_sample *items;
    size_t count, capacity;
};
vkg_result run_find_samples(const vkg_log *log, const char *folder, struct run_samples *samples);
/* Drops the lines of log.jsonl that are of later steps than `step`. */
vkg_result run_trim_log(const vkg_app *app, const char *folder, uint64_t step);

/* --- the commands; each returns the exit status --- */
int command_train(vkg_app *app);
int command_generate(vkg_app *app);
int command_evaluate(vkg_app *app);
int command_evaluate_pairs(vkg_app *app); /* the same of programs that make images of inputs */
int command_report(vkg_app *app);
int command_bench(vkg_app *app);
int command_devices(vkg_app *app);

/* --- time and progress --- */
/* "1 h 02 min", "3 min 20 s", "45 s" */
const char *duration_text(double seconds, char text[32]);

/* --- pictures.c --- */

/* Samples 0 … count−1 of `seed` as numbers, [count, H, W, C]; free() them. `path` is named when memory is out. */
vkg_result draw_samples(vkg_app *app, vkg_sampler *sampler, uint64_t seed, uint32_t count, const uint32_t image[3],
                        const char *path, float **samples);
/* `count` pairs of a view, evenly out of the set, and what the generator makes of their inputs: all three are to be freed. */
struct pair_samples {
    float *inputs, *outputs, *targets;
};
vkg_result pairs_translate(vkg_app *app, vkg_sampler *sampler, const vkg_view *view, uint64_t seed, uint32_t count,
                           uint32_t pairs, struct pair_samples *samples);
void pairs_free(struct pair_samples *samples);
/* A picture [from] as one of another shape: its nearest pixels, grey for each colour, and the luma of colours. */
void fit_picture(const float *values, const uint32_t from[3], const uint32_t to[3], float *fitted);
/* Rows of input, output and target. */
vkg_result pairs_write_picture(const vkg_app *app, const struct pair_samples *samples, uint32_t count,
                               const vkg_view_shape *shape, const char *path);
/* Where the result of a picture of a folder goes: its name below `folder` with the ending png; flat: folders in it become a part
 * of the file's. false after a message. */
bool result_path(const vkg_app *app, const char *folder, const char *name, bool flat, char path[PATH_BYTES]);
/* An error where two images of a set would have results of one name, such as a.png and a.jpg. */
vkg_result check_result_names(vkg_app *app, const vkg_dataset *set, bool flat);
/* A picture of them as PNG: the program's own, or a grid. */
vkg_result write_picture(vkg_app *app, const float *samples, uint32_t count, const uint32_t image[3], const char *path);

#endif
