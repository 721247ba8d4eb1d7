/* Notes: what was found out about kernels on a device, a line each, "key = value", in a text file of the cache folder
 * that a person can read. One file a driver, device (with what is enabled of it), library version and set of shaders: what was found out about other
 * kernels says nothing of these. It only saves time and keeps choices as they are: whatever is
 * wrong with it, work goes on without. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/build.h"
#include "base/file.h"
#include "base/log.h"
#include "device/internal.h"

struct note {
    char *key, *value; /* value lies behind key, in one piece of memory */
};

struct notes {
    struct note *notes;
    size_t count, capacity;
    char *path; /* NULL: nothing is kept */
    bool changed;
};

static const char SEPARATOR[] = " = ";
enum { LIMIT_BYTES = 1 << 24 };

static struct note *find(const struct notes *notes, const char *key)
{
    for (size_t i = 0; i < notes->count; i++)
        if (strcmp(notes->notes[i].key, key) == 0)
            return &notes->notes[i];
    return NULL;
}

/* false when memory is out. */
static bool put(struct notes *notes, const char *key, const char *value)
{
    const size_t key_bytes = strlen(key) + 1, value_bytes = strlen(value) + 1;
    char *text = malloc(key_bytes + value_bytes);
    struct note *note = find(notes, key);
    if (!text || (!note && !array_reserve((void **)&notes->notes, &notes->capacity, notes->count, sizeof *notes->notes))) {
        free(text);
        return false;
    }
    if (note)
        free(note->key);
    else
        note = &notes->notes[notes->count++];
    memcpy(text, key, key_bytes);
    memcpy(text + key_bytes, value, value_bytes);
    *note = (struct note){text, text + key_bytes};
    return true;
}

/* Adds the file's notes of keys that are not there yet. Lines that are none are passed over. */
static void read_file(struct notes *notes)
{
    void *data;
    size_t size;
    if (!notes->path || access(notes->path, F_OK) != 0 ||
        file_read_whole(NULL, notes->path, LIMIT_BYTES, &data, &size) != VKG_OK)
        return;
    char *rest = NULL;
    for (char *line = strtok_r(data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *separator = *line == '#' ? NULL : strstr(line, SEPARATOR);
        if (!separator)
            continue;
        *separator = 0;
        if (!find(notes, line) && !put(notes, line, separator + sizeof SEPARATOR - 1))
            break;
    }
    free(data);
}

vkg_result notes_create(vkg_device *device)
{
    char extension[32];
    snprintf(extension, sizeof extension, "%s.txt", build_shaders);
    device->notes = calloc(1, sizeof *device->notes);
    if (!device->notes)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "no memory for the notes of a device");
    device->notes->path = device_cache_folder(device) ? cache_file_path(device, "kernels", extension) : NULL;
    read_file(device->notes);
    return VKG_OK;
}

void notes_destroy(vkg_device *device)
{
    struct notes *notes = device->notes;
    if (!notes)
        return;
    for (size_t i = 0; i < notes->count; i++)
        free(notes->notes[i].key);
    free(notes->notes);
    free(notes->path);
    free(notes);
    device->notes = NULL;
}

const char *device_note(const vkg_device *device, const char *key)
{
    const struct note *note = find(device->notes, key);
    return note ? note->value : NULL;
}

vkg_result device_set_note(vkg_device *device, const char *key, const char *value)
{
    if (!put(device->notes, key, value))
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "no memory for the notes of a device");
    device->notes->changed = true;
    return VKG_OK;
}

void vkg_device_each_note(const vkg_device *device, void (*visit)(void *user, const char *key, const char *value),
                          void *user)
{
    for (size_t i = 0; i < device->notes->count; i++)
        visit(user, device->notes->notes[i].key, device->notes->notes[i].value);
}

/* The whole file in new memory; NULL when that is out. */
static char *compose(const vkg_device *device, size_t *bytes)
{
    char *text = NULL;
    FILE *stream = open_memstream(&text, bytes);
    if (!stream)
        return NULL;
    fprintf(stream, "# What vkgan %s found out about its kernels on %s (%s %s).\n"
                    "# Choices stay as they are here; without this file everything is measured and tested again.\n",
            VKGAN_VERSION, device->caps.name, device->caps.driver_name, device->caps.driver_info);
    for (size_t i = 0; i < device->notes->count; i++)
        fprintf(stream, "%s%s%s\n", device->notes->notes[i].key, SEPARATOR, device->notes->notes[i].value);
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

void device_save_notes(vkg_device *device)
{
    struct notes *notes = device->notes;
    if (!notes->changed || !notes->path)
        return;
    read_file(notes); /* another process may have added some */
    size_t bytes = 0;
    char *text = compose(device, &bytes);
    if (!text)
        return;
    const struct file_part part = {text, bytes};
    if (file_write_atomic(NULL, notes->path, &part, 1) != VKG_OK)
        vkg_logf(&device->log, VKG_LOG_WARNING, "%s: what was found out about kernels cannot be kept there", notes->path);
    free(text);
    notes->changed = false;
}
