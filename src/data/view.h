/* Views as the loader sees them. */
#ifndef VKG_DATA_VIEW_H
#define VKG_DATA_VIEW_H

#include "data/picture.h"
#include "vkgan/data.h"

/* What chance decides for one image: two fractions of 2³², where the crop lies; whether it is mirrored. */
struct view_chance {
    uint32_t x, y;
    bool mirror;
};
/* A pure function of its arguments. */
struct view_chance view_draw(uint64_t seed, uint64_t step, uint32_t place);

/* One of the two pictures on its way through the steps; zeroed is empty. */
struct view_scratch {
    struct scratch read[2];
    struct scratch_block half[2], resized[2], cut[2], floats, small;
};
void view_scratch_free(struct view_scratch *scratch);

/* vkg_view_read with memory and chance of the caller's; `chance` NULL: none. */
vkg_result view_read(const vkg_view *view, uint32_t index, const struct view_chance *chance,
                     struct view_scratch *scratch, float *target, float *input);
const vkg_dataset *view_dataset(const vkg_view *view);

#endif
