/* The command line, word by word. */
#include "app/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool set_number(const vkg_app *app, struct options *options, const struct option_row *row, const char *text)
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
    *(double *)option_field(options, row) = value;
    return true;
}

static bool set_choice(const vkg_app *app, struct options *options, const struct option_row *row, const char *text)
{
    const int number = option_word_number(row->argument, text, strlen(text));
    if (number < 0) {
        app_error(app, "--%s %s: expected %s", row->name, text, row->argument);
        return false;
    }
    *(double *)option_field(options, row) = number;
    return true;
}

static bool set_option(vkg_app *app, const struct option_row *row, const char *value)
{
    app->options.given[row - app->rows] = true;
    void *field = option_field(&app->options, row);
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

static const struct option_row *find_row(const vkg_app *app, const struct command_row *command, const char *name,
                                         size_t length)
{
    const struct option_row *found = options_find(app, command->command, name, length);
    if (found)
        return found;
    const char *names[MAX_ROWS];
    int count = 0;
    char word[64];
    for (const struct option_row *row = app->rows; row < app->rows + app->row_count; row++)
        if (row->commands & command->command)
            names[count++] = row->name;
    snprintf(word, sizeof word, "%.*s", (int)length, name);
    const char *similar = nearest_name(word, names, count);
    app_error(app, "%s has no option --%s%s%s; see %s %s --help", command->name, word,
              similar ? ": did you mean --" : "", similar ? similar : "", app->desc->name, command->name);
    return NULL;
}

static const struct command_row *find_command(const vkg_app *app, const char *name)
{
    const char *names[MAX_COMMANDS];
    for (int i = 0; i < app->command_count; i++) {
        if (strcmp(app->commands[i].name, name) == 0)
            return &app->commands[i];
        names[i] = app->commands[i].name;
    }
    const char *similar = nearest_name(name, names, app->command_count);
    app_error(app, "there is no command \"%s\"%s%s; see %s --help", name, similar ? ": did you mean " : "",
              similar ? similar : "", app->desc->name);
    return NULL;
}

/* One word of the command line, and its value where it has one. Returns how many words were used, 0 for an error. */
static int parse_word(vkg_app *app, const struct command_row *command, int words, char **argv)
{
    const char *word = strcmp(argv[0], "-h") == 0 ? "--help" : argv[0];
    if (word[0] == 0 || (word[0] == '-' && word[1] != '-')) {
        app_error(app, "\"%s\" is no option and no name (a file of that name is ./%s); see %s %s --help", word, word,
                  app->desc->name, command->name);
        return 0;
    }
    if (strncmp(word, "--", 2) != 0) {
        bool takes = command->arguments[0] != 0;
        if (!takes || app->options.target) {
            app_error(app, "\"%s\": %s takes %s", word, command->name, takes ? "one of these only" : "options only");
            return 0;
        }
        app->options.target = word;
        return 1;
    }
    size_t length = strcspn(word + 2, "=");
    const struct option_row *row = find_row(app, command, word + 2, length);
    if (!row)
        return 0;
    const char *value = word[2 + length] == '=' ? word + 2 + length + 1 : NULL;
    int used = 1;
    if (row->kind != FLAG && !value) {
        if (words < 2) {
            app_error(app, "--%s needs a value: %s", row->name, row->help);
            return 0;
        }
        value = argv[1];
        used = 2;
    } else if (row->kind == FLAG && value) {
        app_error(app, "--%s takes no value", row->name);
        return 0;
    }
    return set_option(app, row, value) ? used : 0;
}

static bool parse_words(vkg_app *app, const struct command_row *command, int words, char **argv)
{
    for (int i = 0, used; i < words; i += used)
        if ((used = parse_word(app, command, words - i, argv + i)) == 0)
            return false;
    return true;
}

/* The options of a recipe, as if they had been the defaults. bench keeps its own --steps: a recipe's say how long to train, not how many to
 * time. */
static bool apply_recipe(vkg_app *app, const struct command_row *command, const vkg_app_recipe *recipe)
{
    enum { MOST = 64 };
    char *words[MOST], *rest = arena_strdup(&app->memory, recipe->options);
    int count = 0;
    for (char *word = rest ? strtok_r(rest, " ", &rest) : NULL; word && count < MOST; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    const double steps = app->options.steps;
    if (!parse_words(app, command, count, words))
        return false;
    if (command->command == BENCH)
        app->options.steps = steps;
    memset(app->options.given, 0, sizeof app->options.given);
    return true;
}

/* Which recipe does the command line name, if any? It is read before all other words. */
static bool read_recipe(vkg_app *app, const struct command_row *command, int words, char **argv)
{
    const size_t length = strlen("--recipe");
    for (int i = 0; i < words; i++) {
        if (!app->desc->recipes || strncmp(argv[i], "--recipe", length) != 0 || (argv[i][length] && argv[i][length] != '='))
            continue;
        if (parse_word(app, command, words - i, argv + i) == 0)
            return false;
        return app->options.recipe == 0 || apply_recipe(app, command, &app->desc->recipes[(int)app->options.recipe - 1]);
    }
    return true;
}

const struct command_row *options_parse(vkg_app *app, int argc, char **argv, int *status)
{
    *status = 2;
    if (!options_build_tables(app))
        return NULL;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        options_print_usage(app, argc < 2 ? stderr : stdout);
        *status = argc < 2 ? 2 : 0;
        return NULL;
    }
    const struct command_row *command = find_command(app, argv[1]);
    if (!command)
        return NULL;
    options_fill_defaults(app, command);
    app->defaults = app->options;
    if (!read_recipe(app, command, argc - 2, argv + 2) || !parse_words(app, command, argc - 2, argv + 2))
        return NULL;
    if (app->options.help) {
        app->options = app->defaults;
        options_print_help(app, command);
        *status = 0;
        return NULL;
    }
    return command;
}
