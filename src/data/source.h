/* What a format gives: pictures by index. A new format is a file that fills one struct source_format, and a row
 * in dataset.c. */
#ifndef VKG_DATA_SOURCE_H
#define VKG_DATA_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/picture.h"
#include "vkgan/result.h"

struct source_format;

struct picture_size {
    uint32_t width, height;
};

/* An open set as the format sees it. */
struct source {
    const struct source_format *format;
    vkg_log log;
    char *path;
    bool any_size; /* pictures of several sizes are welcome */

    /* Set by open. */
    uint32_t count;
    uint32_t width, height;     /* 0 where any_size and the sizes differ */
    struct picture_size *sizes; /* one a picture, malloced, or NULL where all have the size above */
    uint32_t channels;          /* 1 or 3; what read gives may have fewer */
    int32_t *labels;            /* one a picture, malloced, or NULL */
    const char **class_names;   /* one a class, or NULL; the format's own, like `names` */
    uint32_t class_count;       /* of class_names */
    const char **names;         /* one a picture, or NULL */
    void *state;                /* the format's own */
};

/* What is known of a path before a format is chosen. */
struct source_clue {
    const char *path;
    bool folder;
    uint8_t head[8]; /* the first bytes of a file */
    size_t head_size;
};

struct source_format {
    const char *name;
    bool costly; /* read decodes: keep its results */
    /* Is this path ours? Where a damaged file would be ours, say yes: open has the better message. */
    bool (*probe)(const struct source_clue *clue);
    /* On failure close is called all the same. */
    vkg_result (*open)(struct source *source);
    /* Gives picture `index` < count; its pixels are the source's own or lie in scratch->decoded. Thread-safe.
     */
    vkg_result (*read)(const struct source *source, uint32_t index, struct scratch *scratch,
                       struct picture *picture);
    /* Frees `state`. */
    void (*close)(struct source *source);
};

extern const struct source_format idx_format, npy_format, folder_format, own_format;

#endif
