/* A dataset that a program makes itself. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "data/dataset.h"
#include "data/source.h"

static vkg_result own_read(const struct source *source, uint32_t index, struct scratch *scratch, struct picture *picture)
{
    const vkg_dataset_source *own = source->state;
    *picture = (struct picture){source->width, source->height, source->channels, true, NULL};
    float *values = scratch_reserve(&scratch->decoded, picture_bytes(picture));
    if (!values)
        return vkg_fail(&source->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for a sample", source->path);
    picture->pixels = values;
    return own->read(own->user, index, values);
}

static void own_close(struct source *source)
{
    const vkg_dataset_source *own = source->state;
    if (own && own->close)
        own->close(own->user);
    free(source->state);
}

const struct source_format own_format = {.name = "own", .read = own_read, .close = own_close};
