/* What can be known of the data before the first step: how many images are different, whether labels mean anything. */
#include "app/watch.h"

#include <math.h>
#include <stdlib.h>

/* Pictures looked at, evenly out of the set: enough for labels; files take longer to read. */
enum { LOOKED = 512, LOOKED_FILES = 64 };

struct look {
    struct thumbnails thumbnails;
    int32_t *labels;
    float *picture;
};

/* 0 … count − 1 in another order: the first few are spread over all, as the classes of a sorted set are. */
static uint32_t scattered(uint32_t n, uint32_t count)
{
    const uint64_t stride = count % 193 ? 193 : 197; /* a prime, so that every number comes once */
    return (uint32_t)(n * stride % count);
}

static vkg_result read_pictures(struct training *t, const vkg_dataset_info *info, struct look *look)
{
    vkg_result result = VKG_OK;
    for (uint32_t n = 0; n < look->thumbnails.count && result == VKG_OK; n++) {
        const uint32_t index = (uint32_t)((uint64_t)scattered(n, look->thumbnails.count) * info->count / look->thumbnails.count);
        result = run_view_read(&t->view, t->dataset, index, look->picture, NULL);
        if (result == VKG_OK)
            thumbnails_put(&look->thumbnails, n, look->picture);
        look->labels[n] = vkg_dataset_label(t->dataset, index);
    }
    return result;
}

/* Two images of a set have the same label by chance in the sum of the squares of the labels' shares. */
static void note_labels(struct diagnosis *diagnosis, const struct look *look, uint32_t classes)
{
    const double count = look->thumbnails.count;
    double *shares = calloc(classes, sizeof *shares), chance = 0;
    for (uint32_t n = 0; n < look->thumbnails.count && shares; n++)
        shares[look->labels[n]] += 1 / count;
    for (uint32_t label = 0; label < classes && shares; label++)
        chance += shares[label] * shares[label];
    free(shares);
    if (chance <= 0 || chance > 0.9) /* nearly all have one label: nothing can be told */
        return;
    diagnosis_note(diagnosis, "label_agreement", thumbnails_agreement(&look->thumbnails, look->labels));
    diagnosis_note(diagnosis, "label_chance", chance);
    diagnosis_note(diagnosis, "label_deviation", sqrt(chance * (1 - chance) / count));
}

static void note_data(struct training *t, struct look *look, const vkg_dataset_info *info)
{
    struct watch *watch = t->watch;
    const uint32_t looked = look->thumbnails.count;
    diagnosis_note(&watch->diagnosis, "data_images", info->count);
    diagnosis_note(&watch->diagnosis, "data_looked", looked);
    diagnosis_note(&watch->diagnosis, "data_distinct", thumbnails_distinct(&look->thumbnails, 0));
    if (info->classes > 1)
        note_labels(&watch->diagnosis, look, info->classes);
    watch->data_deviation = thumbnails_deviation(&look->thumbnails);
    const uint32_t samples = t->app->desc->pairs ? samples_in_picture(t) : SAMPLES; /* to compare with */
    look->thumbnails.count = looked < samples ? looked : samples;
    /* within 0.4 of how far an image is from the nearest of others, two are taken for one */
    watch->near = 0.4 * thumbnails_nearest(&look->thumbnails);
    diagnosis_note(&watch->diagnosis, "data_groups", thumbnails_distinct(&look->thumbnails, watch->near));
}

vkg_result watch_data(struct training *t)
{
    const vkg_dataset_info info = vkg_dataset_get_info(t->dataset);
    const uint32_t most = info.classes > 0 ? LOOKED : LOOKED_FILES, count = info.count < most ? info.count : most;
    const uint32_t *image = t->run.image;
    struct look look = {.labels = calloc(count, sizeof *look.labels),
                        .picture = malloc((size_t)image[0] * image[1] * image[2] * sizeof *look.picture)};
    vkg_result result = VKG_OK;
    if (!thumbnails_create(&look.thumbnails, count, image) || !look.labels || !look.picture)
        result = vkg_fail(&t->app->log, VKG_ERROR_OUT_OF_MEMORY, "out of memory for a look at the data");
    if (result == VKG_OK)
        result = read_pictures(t, &info, &look);
    if (result == VKG_OK)
        note_data(t, &look, &info);
    thumbnails_free(&look.thumbnails);
    free(look.labels);
    free(look.picture);
    return result;
}
