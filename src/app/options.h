/* The table of options: parsing, --help and the run's config file all come from it. */
#ifndef VKG_APP_OPTIONS_H
#define VKG_APP_OPTIONS_H

#include <stddef.h>

#include "app/app.h"

/* A bit a command. */
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

struct option_row {
    const char *name, *argument, *help;
    enum kind kind;
    unsigned commands;
    size_t offset;
    double low, high;
    enum memory memory;
};

/* The field of the row, a double, bool or const char *, by its kind. */
static inline void *option_field(struct options *options, const struct option_row *row)
{
    return (char *)options + row->offset;
}

/* --- options.c --- */

extern const struct option_row option_rows[];
extern const int option_row_count;

struct command_row {
    const char *name, *arguments, *help;
    enum command command;
    int (*run)(vkg_app *app); /* returns the exit status */
};
enum { COMMANDS = 4 };
extern const struct command_row command_rows[COMMANDS];

void options_fill_defaults(vkg_app *app, const struct command_row *command);

/* --- options_help.c --- */

/* The program: its commands, and examples. */
void options_print_usage(const vkg_app *app, FILE *out);
/* One command and its options; the defaults are what app->options holds. */
void options_print_help(vkg_app *app, const struct command_row *command);
/* The name most like a word that is none of them, for "did you mean"; or NULL. */
const char *nearest_name(const char *word, const char *const *names, int count);

#endif
