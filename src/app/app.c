/* A sample program: parses the command line, opens what is needed, runs the command. */
#include "vkgan/app.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/options.h"

static void print_message(void *user, vkg_log_level level, const char *message)
{
    const vkg_app *app = user;
    if (level > VKG_LOG_WARNING)
        return;
    fprintf(stderr, "%s%s: %s%s\n", isatty(2) ? "\r\x1b[K" : "", app->desc->name, /* over the progress line */
            level == VKG_LOG_WARNING ? "warning: " : "", message);
}

int app_error(const vkg_app *app, const char *format, ...)
{
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    vkg_logf(&app->log, VKG_LOG_ERROR, "%s", message);
    return 1;
}

vkg_result app_open_device(vkg_app *app)
{
    return vkg_device_create(&(vkg_device_desc){.log = &app->log, .name = app->options.device,
                                                .kernels = app->options.kernels}, &app->device);
}

static bool all_finite(const float *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

vkg_result find_broken(vkg_app *app, vkg_state *state, const char **broken)
{
    uint64_t most = 0;
    *broken = NULL;
    for (uint32_t i = 0; i < vkg_state_count(state); i++)
        most = vkg_state_get(state, i)->elements > most ? vkg_state_get(state, i)->elements : most;
    float *values = malloc((most + 1) * sizeof *values);
    vkg_result result = values ? VKG_OK : vkg_fail(&app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for the check of "
                                                                                      "parameters");
    for (uint32_t i = 0; i < vkg_state_count(state) && result == VKG_OK && !*broken; i++) {
        const vkg_state_entry *entry = vkg_state_get(state, i);
        if (entry->dtype != VKG_FLOAT32)
            continue;
        result = vkg_state_read(state, i, values);
        if (result == VKG_OK && !all_finite(values, entry->elements))
            *broken = entry->name;
    }
    free(values);
    return result;
}

const char *duration_text(double seconds, char text[32])
{
    unsigned whole = seconds > 4e9 ? 4000000000u : (unsigned)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, 32, "%u h %02u min", whole / 3600, whole / 60 % 60);
    else if (whole >= 60)
        snprintf(text, 32, "%u min %02u s", whole / 60, whole % 60);
    else
        snprintf(text, 32, "%u s", whole);
    return text;
}

/* --- for the program's own functions --- */

double vkg_app_number(const vkg_app *app, const char *name)
{
    const struct option_row *row = options_find(app, ~0u, name, strlen(name));
    struct options options = app->options;
    if (!row || row->kind == TEXT)
        return NAN;
    return row->kind == FLAG ? *(bool *)option_field(&options, row) : *(double *)option_field(&options, row);
}

const char *vkg_app_text(const vkg_app *app, const char *name)
{
    const struct option_row *row = options_find(app, ~0u, name, strlen(name));
    struct options options = app->options;
    return row && row->kind == TEXT ? *(const char **)option_field(&options, row) : NULL;
}

const char *vkg_app_target(const vkg_app *app)
{
    return app->options.target;
}

const vkg_log *vkg_app_log(const vkg_app *app)
{
    return &app->log;
}

vkg_device *vkg_app_device(vkg_app *app)
{
    return app->device || app_open_device(app) == VKG_OK ? app->device : NULL;
}

int vkg_app_main(int argc, char **argv, const vkg_app_desc *desc)
{
    vkg_app app = {.desc = desc, .command = argc > 0 ? argv[0] : desc->name};
    app.log = (vkg_log){.callback = print_message, .user = &app};
    int status;
    const struct command_row *command = options_parse(&app, argc, argv, &status);
    if (command)
        status = command->run(&app);
    trained_close(&app.opened);
    vkg_device_destroy(&app.device);
    arena_free(&app.memory);
    if (fflush(stdout) != 0 && status == 0)
        status = app_error(&app, "standard output could not be written");
    return status;
}
