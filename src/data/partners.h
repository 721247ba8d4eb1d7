/* Two folders of images whose files go together by name. */
#ifndef VKG_DATA_PARTNERS_H
#define VKG_DATA_PARTNERS_H

#include "vkgan/data.h"

/* Writes, for each image of `dataset`, the index of the image of `inputs` that has its name, endings apart; of
 * the same index where images are no files. Free it. */
vkg_result find_partners(const vkg_dataset *dataset, const vkg_dataset *inputs, uint32_t **partners);

#endif
