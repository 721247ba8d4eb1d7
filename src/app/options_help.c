/* --help, and "did you mean". */
#include "app/options.h"

#include <string.h>

static void print_examples(const vkg_app *app, FILE *out)
{
    const char *name = app->desc->name;
    const vkg_app_recipe *recipes = app->desc->recipes;
    if (app->desc->pairs) { /* which the default data are not */
        fprintf(out, "  %s train DATA%s%s --out runs/first\n", name, recipes ? " --recipe " : "", recipes ? recipes->name : "");
    } else {
        fprintf(out, "  %s train --out runs/first --steps 3000\n", name);
        if (!app->desc->open_data)
            fprintf(out, "  %s train ~/photos --size 64 --out runs/photos\n", name);
    }
    fprintf(out, "  %s train --out runs/first --resume --steps 6000\n", name);
    if (!app->desc->pairs)
        fprintf(out, "  %s generate runs/first --count 100 --output samples.png\n", name);
}

/* What it does stands in a column, behind the longest of them. */
static void print_command(const vkg_app *app, const char *name, const char *arguments, const char *help, FILE *out)
{
    int widest = 0;
    for (const struct command_row *row = app->commands; row < app->commands + app->command_count; row++) {
        const int width = (int)(strlen(row->name) + strlen(row->arguments));
        widest = width > widest ? width : widest;
    }
    fprintf(out, "  %s %s %-*s  %s\n", app->desc->name, name, widest - (int)strlen(name), arguments, help);
}

void options_print_usage(const vkg_app *app, FILE *out)
{
    const char *name = app->desc->name;
    fprintf(out, "%s: %s\n\nusage:\n", name, app->desc->summary);
    for (const struct command_row *row = app->commands; row < app->commands + app->command_count; row++)
        print_command(app, row->name, row->arguments, row->help, out);
    print_command(app, "COMMAND", "--help", "the command's options", out);
    for (const vkg_app_recipe *recipe = app->desc->recipes; recipe && recipe->name; recipe++)
        fprintf(out, "\n--recipe %s: %s:\n    %s\n", recipe->name, recipe->help, recipe->options);
    fprintf(out, "\nexamples:\n");
    print_examples(app, out);
}

/* The default, as it stands in the options before parsing. */
static void print_default(struct options *options, const struct option_row *row)
{
    const double value = row->kind == FLAG || row->kind == TEXT ? 0 : *(double *)option_field(options, row);
    int length;
    if (row->kind == WHOLE && value != 0) {
        printf(" [%.0f]", value);
    } else if (row->kind == CHOICE) {
        const char *word = option_word(row->argument, (int)value, &length);
        printf(" [%.*s]", length, word);
    } else if (value != 0) {
        printf(" [%g]", value);
    }
}

void options_print_help(vkg_app *app, const struct command_row *command)
{
    printf("%s %s %s: %s\n\n", app->desc->name, command->name, command->arguments, command->help);
    for (const struct option_row *row = app->rows; row < app->rows + app->row_count; row++) {
        if (!(row->commands & command->command))
            continue;
        char left[128];
        snprintf(left, sizeof left, "--%s %s", row->name, row->argument ? row->argument : "");
        printf("  %-27s%s%s", left, strlen(left) > 26 ? "\n                              " : " ", row->help);
        print_default(&app->options, row);
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

const char *nearest_name(const char *word, const char *const *names, int count)
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

