/* Datasets as the loader sees them. */
#ifndef VKG_DATA_DATASET_H
#define VKG_DATA_DATASET_H

#include "data/picture.h"
#include "vkgan/data.h"

const vkg_log *dataset_log(const vkg_dataset *dataset);
/* An image as a picture: kept by the dataset, or in `scratch`, where the next read overwrites
 * it. Thread-safe. */
vkg_result dataset_picture(const vkg_dataset *dataset, uint32_t index, struct scratch *scratch,
                           struct picture *picture);

#endif
