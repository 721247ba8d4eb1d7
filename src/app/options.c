/* The tables of options and commands that a program has: the common ones, and its own behind them. */
#include "app/options.h"

#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct options, field)

/* --- building --- */

/* A program that makes its own data takes no DATA, and no size of it. */
static bool makes_data(const vkg_app *app)
{
    return app->desc->open_data && !app->desc->data_help;
}

/* Programs that make images of inputs draw none; a command of the program's own takes the place of a common one. */
static bool is_wanted(const vkg_app *app, const struct command_row *row)
{
    for (const vkg_app_command *own = app->desc->commands; own && own->name; own++)
        if (strcmp(own->name, row->name) == 0)
            return false;
    return app->desc->pairs ? row->command != GENERATE && row->run != command_evaluate : row->run != command_evaluate_pairs;
}

static void add_commands(vkg_app *app)
{
    const vkg_app_command *own = app->desc->commands;
    for (int i = 0; i < command_common_count; i++)
        if (is_wanted(app, &command_common[i]))
            app->commands[app->command_count++] = command_common[i];
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

static bool is_among(const char *words, const char *name)
{
    return words && option_word_number(words, name, strlen(name)) >= 0;
}

/* An option that would do nothing is none. */
static bool does_something(const vkg_app *app, const struct option_row *row)
{
    const vkg_app_desc *desc = app->desc;
    const size_t at = row->offset;
    if (is_among(desc->without, row->name))
        return false;
    if (makes_data(app) && (at == AT(size) || at == AT(channels)))
        return false;
    if (desc->pairs && (at == AT(latent) || at == AT(features)))
        return false;
    if ((desc->pairs || desc->measure) && (at == AT(evaluate_every) || at == AT(evaluate_count)))
        return false;
    if (!desc->pairs && at == AT(output) && row->commands == EVALUATE)
        return false;
    return (desc->labels || at != AT(label)) && (desc->recipes || at != AT(recipe)) && (desc->gan.l1 != 0 || at != AT(l1));
}

static bool add_common(vkg_app *app, const struct option_row *row)
{
    struct option_row *added = &app->rows[app->row_count];
    const vkg_app_command *own = app->desc->commands;
    if (!does_something(app, row))
        return true;
    *added = *row;
    if (app->desc->measure && row->offset == AT(features)) /* which --evaluate-every would use */
        added->commands &= ~(unsigned)TRAIN;
    for (unsigned bit = OWN; own && own->name; own++, bit *= 2)
        added->commands &= is_among(own->without, row->name) ? ~bit : ~0u;
    if (row->offset == AT(recipe) && !(added->argument = recipe_words(app)))
        return false;
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
    unsigned commands = 0;
    for (int i = 0; own->command && i < app->command_count; i++)
        if (option_word_number(own->command, app->commands[i].name, strlen(app->commands[i].name)) >= 0)
            commands |= app->commands[i].command;
    return own->command ? commands : TRAIN | BENCH;
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
    for (int i = 0; i < option_common_count && good; i++)
        good = add_common(app, &option_common[i]);
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
    o->l1 = (double)gan->l1;
    o->gradient_penalty = plain(gan->regularizers.gradient_penalty);
    o->r1 = plain(gan->regularizers.r1);
    o->r2 = plain(gan->regularizers.r2);
    o->dragan = plain(gan->regularizers.dragan);
    o->consistency = plain(gan->regularizers.consistency);
    o->reg_every = or_else(gan->regularizers.every, 1);
    o->balance = plain(gan->balance.most);
    o->accumulate = or_else(gan->accumulate, 1);
    o->augment = gan->augment.kind;
    o->history = gan->history;
    o->optimizer = g->kind;
    o->momentum = plain(g->momentum);
    o->weight_decay = g->weight_decay > 0 ? plain(g->weight_decay) : 0;
    o->clip_norm = plain(g->clip_norm);
    o->lr_schedule = g->schedule.kind;
    o->lr_steps = g->schedule.steps;
    o->warmup = g->schedule.warm_up;
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
    app->options.ema = plain(desc->ema);
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
