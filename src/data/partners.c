#include "data/partners.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "data/dataset.h"

/* A name without its ending. */
struct stem {
    const char *name;
    size_t length;
    uint32_t index;
};

static struct stem make_stem(const vkg_dataset *dataset, uint32_t index)
{
    const char *name = vkg_dataset_name(dataset, index), *ending = strrchr(name, '.');
    return (struct stem){name, ending ? (size_t)(ending - name) : strlen(name), index};
}

static int compare_stems(const void *a, const void *b)
{
    const struct stem *p = a, *q = b;
    int order = memcmp(p->name, q->name, p->length < q->length ? p->length : q->length);
    return order ? order : p->length < q->length ? -1 : p->length > q->length;
}

/* All stems of a set, sorted. Errors: INVALID where two are the same. */
static vkg_result sort_stems(const vkg_dataset *set, struct stem *stems)
{
    const vkg_dataset_info info = vkg_dataset_get_info(set);
    for (uint32_t i = 0; i < info.count; ++i)
        stems[i] = make_stem(set, i);
    qsort(stems, info.count, sizeof *stems, compare_stems);
    for (uint32_t i = 1; i < info.count; ++i)
        if (compare_stems(&stems[i - 1], &stems[i]) == 0)
            return vkg_fail(dataset_log(set), VKG_ERROR_INVALID,
                            "%s: %s and %s have the same name but for the ending, by which partners are found",
                            info.path, stems[i - 1].name, stems[i].name);
    return VKG_OK;
}

/* `stems` has room for the larger of the two sets. */
static vkg_result match(const vkg_dataset *dataset, const vkg_dataset *inputs, struct stem *stems,
                        uint32_t *partners)
{
    vkg_dataset_info info = vkg_dataset_get_info(dataset), other = vkg_dataset_get_info(inputs);
    vkg_result result = sort_stems(dataset, stems);
    if (result == VKG_OK)
        result = sort_stems(inputs, stems);
    if (result != VKG_OK)
        return result;
    for (uint32_t i = 0; i < info.count; ++i) {
        struct stem stem = make_stem(dataset, i);
        const struct stem *found = bsearch(&stem, stems, other.count, sizeof *stems, compare_stems);
        if (!found)
            return vkg_fail(dataset_log(dataset), VKG_ERROR_INVALID,
                            "%s: %s has no partner, expected %.*s.png, .jpg or .jpeg in %s", info.path,
                            stem.name, (int)stem.length, stem.name, other.path);
        partners[i] = found->index;
    }
    return VKG_OK;
}

static vkg_result match_indices(const vkg_dataset *dataset, const vkg_dataset *inputs, uint32_t *partners)
{
    vkg_dataset_info info = vkg_dataset_get_info(dataset), other = vkg_dataset_get_info(inputs);
    if (info.count != other.count)
        return vkg_fail(dataset_log(dataset), VKG_ERROR_INVALID,
                        "%s: %u images, but %s has %u; expected as many", info.path, info.count, other.path,
                        other.count);
    for (uint32_t i = 0; i < info.count; ++i)
        partners[i] = i;
    return VKG_OK;
}

vkg_result find_partners(const vkg_dataset *dataset, const vkg_dataset *inputs, uint32_t **partners)
{
    vkg_dataset_info info = vkg_dataset_get_info(dataset), other = vkg_dataset_get_info(inputs);
    struct stem *stems = calloc(info.count > other.count ? info.count : other.count, sizeof *stems);
    *partners = calloc(info.count, sizeof **partners);
    bool named = vkg_dataset_name(dataset, 0) && vkg_dataset_name(inputs, 0);
    vkg_result result = VKG_ERROR_OUT_OF_MEMORY;
    if (!stems || !*partners)
        vkg_fail(dataset_log(dataset), result, "%s: no memory to find partners", info.path);
    else
        result = named ? match(dataset, inputs, stems, *partners) : match_indices(dataset, inputs, *partners);
    free(stems);
    return result;
}
