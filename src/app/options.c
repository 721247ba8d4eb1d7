/* One table of options: parsing, --help and the run's config file all come from it. */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "app/app.h"

enum command { TRAIN = 1, GENERATE = 2, BENCH = 4, DEVICES = 8 };

enum kind {
    TEXT, WHOLE, REAL, FLAG,
    CHOICE, /* one of the words of `argument`, "a|b": its number, which the config file has too */
};

/* What becomes of an option in a run's config.json. */
enum memory {
    FORGOTTEN,  /* not in it */
    REMEMBERED, /* the default when the run is resumed */
    FIXED,      /* resuming cannot change it */
};

struct row {
    const char *name, *argument, *help;
    enum kind kind;
    unsigned commands;
    size_t offset;
    double low, high;
    enum memory memory;
};

#define AT(field) offsetof(struct options, field)
static const struct row rows[] = {
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
enum { ROWS = sizeof rows / sizeof rows[0] };

static const struct {
    const char *name, *arguments, *help;
    enum command command;
} commands[] = {
    {"train", "[DATA]", "learn from images: a folder of PNG or JPEG files, IDX, or .npy [Fashion-MNIST]", TRAIN},
    {"generate", "DIR|CHECKPOINT", "draw samples from a run's newest checkpoint, or from a checkpoint file", GENERATE},
    {"bench", "", "measure training steps on made-up images", BENCH},
    {"devices", "", "list the Vulkan devices and what would be used of them", DEVICES},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

/* --- help --- */

static void print_usage(const struct app *app, FILE *out)
{
    const char *name = app->desc->name;
    fprintf(out, "%s: %s\n\nusage:\n", name, app->desc->summary);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %s %s %-16s %s\n", name, commands[i].name, commands[i].arguments, commands[i].help);
    fprintf(out, "  %s COMMAND --help     the command's options\n\nexamples:\n", name);
    fprintf(out, "  %s train --out runs/fashion --steps 3000\n", name);
    fprintf(out, "  %s train ~/photos --size 64 --out runs/photos\n", name);
    fprintf(out, "  %s train --out runs/fashion --resume --steps 6000\n", name);
    fprintf(out, "  %s generate runs/fashion --count 100 --output samples.png\n", name);
}

/* The default, as it stands in the options before parsing. */
static void print_default(const struct options *options, const struct row *row)
{
    const double value = row->kind == WHOLE || row->kind == REAL
                             ? *(const double *)(const void *)((const char *)options + row->offset) : 0;
    if (value != 0)
        printf(" [%g]", value);
}

static void print_help(const struct app *app, int command)
{
    printf("%s %s %s: %s\n\n", app->desc->name, commands[command].name, commands[command].arguments,
           commands[command].help);
    for (int i = 0; i < ROWS; i++) {
        if (!(rows[i].commands & commands[command].command))
            continue;
        char left[64];
        snprintf(left, sizeof left, "--%s %s", rows[i].name, rows[i].argument ? rows[i].argument : "");
        printf("  %-27s %s", left, rows[i].help);
        print_default(&app->options, &rows[i]);
        printf("\n");
    }
}

/* --- did you mean --- */

/* Levenshtein's distance of two short words. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[64], la = (unsigned)strlen(a), lb = (unsigned)strlen(b);
    if (la > 60 || lb > 60)
        return 60;
    for (unsigned j = 0; j <= lb; j++)
        row[j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            best = best < row[j] + 1 ? best : row[j] + 1;
            best = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[lb];
}

static const char *nearest(const char *word, const char *const *names, int count)
{
    const char *best = NULL;
    unsigned least = 3;
    for (int i = 0; i < count; i++)
        if (distance(word, names[i]) < least) {
            least = distance(word, names[i]);
            best = names[i];
        }
    return best;
}

/* --- parsing --- */

static void fill_defaults(struct app *app)
{
    const vkg_app_desc *desc = app->desc;
    app->options = (struct options){
        .steps = 3000, .batch = desc->batch ? desc->batch : 64, .width = desc->width ? desc->width : 64,
        .latent = desc->latent ? desc->latent : 100, .seed = 1, .sample_every = 250, .checkpoint_every = 1000,
        .log_every = 10, .count = 64, .lr = desc->optimizer_g.lr > 0 ? (double)desc->optimizer_g.lr : 0.0002,
        .beta1 = desc->optimizer_g.beta1 > 0 ? (double)desc->optimizer_g.beta1 : 0.5};
    /* a float's digits are not a double's: 0.0002f is to print as 0.0002 */
    app->options.lr = round(app->options.lr * 1e9) / 1e9;
    app->options.beta1 = round(app->options.beta1 * 1e6) / 1e6;
}

static bool set_number(const struct app *app, struct options *options, const struct row *row, const char *text)
{
    char *end = NULL;
    errno = 0;
    /* decimal only: strtod takes "0x10", " 5" and "nan" too */
    double value = text[strspn(text, "0123456789.eE+-")] == 0 ? strtod(text, &end) : 0;
    if (!end || end == text || *end || errno || !(value >= row->low && value <= row->high) ||
        (row->kind == WHOLE && value != floor(value))) {
        app_error(app, "--%s %s: expected a %snumber from %.16g to %.16g", row->name, text, row->kind == WHOLE ? "whole " : "",
                  row->low, row->high);
        return false;
    }
    *(double *)(void *)((char *)options + row->offset) = value;
    return true;
}

static bool set_choice(const struct app *app, struct options *options, const struct row *row, const char *text)
{
    const size_t length = strlen(text);
    double number = 0;
    for (const char *word = row->argument; *word; number++) {
        size_t size = strcspn(word, "|");
        if (size == length && strncmp(word, text, size) == 0) {
            *(double *)(void *)((char *)options + row->offset) = number;
            return true;
        }
        word += size + (word[size] == '|');
    }
    app_error(app, "--%s %s: expected %s", row->name, text, row->argument);
    return false;
}

static bool set_option(struct app *app, int index, const char *value)
{
    const struct row *row = &rows[index];
    app->options.given |= 1ull << index;
    void *field = (char *)&app->options + row->offset;
    if (row->kind == FLAG)
        *(bool *)field = true;
    else if (row->kind == CHOICE)
        return set_choice(app, &app->options, row, value);
    else if (row->kind != TEXT)
        return set_number(app, &app->options, row, value);
    else if (value[0])
        *(const char **)field = value;
    else
        app_error(app, "--%s \"\": expected %s", row->name, row->argument);
    return row->kind == FLAG || value[0];
}

static int find_row(const struct app *app, int command, const char *name, size_t length)
{
    const char *names[ROWS];
    int count = 0;
    char word[64];
    for (int i = 0; i < ROWS; i++) {
        if (!(rows[i].commands & commands[command].command))
            continue;
        if (strlen(rows[i].name) == length && strncmp(rows[i].name, name, length) == 0)
            return i;
        names[count++] = rows[i].name;
    }
    snprintf(word, sizeof word, "%.*s", (int)length, name);
    const char *similar = nearest(word, names, count);
    app_error(app, "%s has no option --%s%s%s; see %s %s --help", commands[command].name, word,
              similar ? ": did you mean --" : "", similar ? similar : "", app->desc->name, commands[command].name);
    return -1;
}

static int find_command(const struct app *app, const char *name)
{
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return i;
        names[i] = commands[i].name;
    }
    const char *similar = nearest(name, names, COMMANDS);
    app_error(app, "there is no command \"%s\"%s%s; see %s --help", name, similar ? ": did you mean " : "",
              similar ? similar : "", app->desc->name);
    return -1;
}

/* One word of the command line, and its value where it has one. Returns how many words were used, 0 for an error. */
static int parse_word(struct app *app, int command, int words, char **argv)
{
    const char *word = strcmp(argv[0], "-h") == 0 ? "--help" : argv[0];
    if (word[0] == 0 || (word[0] == '-' && word[1] != '-')) {
        app_error(app, "\"%s\" is no option and no name (a file of that name is ./%s); see %s %s --help", word, word,
                  app->desc->name, commands[command].name);
        return 0;
    }
    if (strncmp(word, "--", 2) != 0) {
        bool takes = commands[command].arguments[0] != 0;
        if (!takes || app->options.target) {
            app_error(app, "\"%s\": %s takes %s", word, commands[command].name, takes ? "one of these only" : "options only");
            return 0;
        }
        app->options.target = word;
        return 1;
    }
    size_t length = strcspn(word + 2, "=");
    int index = find_row(app, command, word + 2, length);
    if (index < 0)
        return 0;
    const char *value = word[2 + length] == '=' ? word + 2 + length + 1 : NULL;
    int used = 1;
    if (rows[index].kind != FLAG && !value) {
        if (words < 2) {
            app_error(app, "--%s needs a value: %s", rows[index].name, rows[index].help);
            return 0;
        }
        value = argv[1];
        used = 2;
    } else if (rows[index].kind == FLAG && value) {
        app_error(app, "--%s takes no value", rows[index].name);
        return 0;
    }
    return set_option(app, index, value) ? used : 0;
}

bool options_parse(struct app *app, int argc, char **argv, int *status)
{
    *status = 2;
    fill_defaults(app);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(app, argc < 2 ? stderr : stdout);
        *status = argc < 2 ? 2 : 0;
        return false;
    }
    int command = find_command(app, argv[1]);
    if (command < 0)
        return false;
    if (commands[command].command == BENCH)
        app->options.steps = 20;
    struct options defaults = app->options;
    for (int i = 2, used; i < argc; i += used)
        if ((used = parse_word(app, command, argc - i, argv + i)) == 0)
            return false;
    if (app->options.help) {
        app->options = defaults;
        print_help(app, command);
        *status = 0;
        return false;
    }
    *status = command;
    return true;
}

bool option_given(const struct app *app, const char *name)
{
    for (int i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return app->options.given >> i & 1;
    return false;
}

void options_each_setting(struct options *options, void (*visit)(void *user, const struct setting *setting), void *user)
{
    for (int i = 0; i < ROWS; i++)
        if (rows[i].memory != FORGOTTEN)
            visit(user, &(struct setting){.name = rows[i].name,
                                          .value = (double *)(void *)((char *)options + rows[i].offset),
                                          .low = rows[i].low, .high = rows[i].high, .whole = rows[i].kind != REAL,
                                          .fixed = rows[i].memory == FIXED, .choice = rows[i].kind == CHOICE});
}

vkg_dtype option_precision(const struct options *options)
{
    static const vkg_dtype types[] = {VKG_FLOAT32, VKG_BFLOAT16, VKG_FLOAT16}; /* in the order of the option's words */
    return types[(int)options->precision];
}
