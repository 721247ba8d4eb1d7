/* The table of options: parsing, --help and the run's config file all come from it. */
#ifndef VKG_APP_OPTIONS_H
#define VKG_APP_OPTIONS_H

#include <stddef.h>

#include "app/app.h"

/* A bit a command. */
enum command {
    TRAIN = 1, GENERATE = 2, BENCH = 4, DEVICES = 8, REPORT = 16, EVALUATE = 32,
    OWN = 64 /* and its double, … of the program's own commands */
};

enum kind {
    TEXT, WHOLE, REAL, FLAG,
    CHOICE, /* one of the words of `argument`, "a|b": its number */
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
    size_t offset; /* in struct options, of a double, bool or const char *, by its kind */
    double low, high;
    enum memory memory;
};

/* The field of a row. */
static inline void *option_field(struct options *options, const struct option_row *row)
{
    return (char *)options + row->offset;
}

struct command_row {
    const char *name, *arguments, *help;
    unsigned command;
    int (*run)(vkg_app *app); /* returns the exit status */
};

extern const struct option_row option_common[]; /* options_table.c */
extern const struct command_row command_common[];
extern const int option_common_count, command_common_count;

/* Makes app->rows and app->commands: the common ones, and the program's own. false after a message. */
bool options_build_tables(vkg_app *app);
void options_fill_defaults(vkg_app *app, const struct command_row *command);
/* The row of a name, of those that the commands (bits) take; or NULL. */
const struct option_row *options_find(const vkg_app *app, unsigned commands, const char *name, size_t length);
/* The number of a word in "a|b|c", or −1; and the other way round, its length in *length. */
int option_word_number(const char *words, const char *word, size_t length);
const char *option_word(const char *words, int number, int *length);

/* --- options_help.c --- */

/* The program: its commands, and examples. */
void options_print_usage(const vkg_app *app, FILE *out);
/* One command and its options; the defaults are what app->options holds. */
void options_print_help(vkg_app *app, const struct command_row *command);
/* The name most like a word that is none of them, for "did you mean"; or NULL. */
const char *nearest_name(const char *word, const char *const *names, int count);

#endif
