/* Datasets as the loader sees them. */
#ifndef VKG_DATA_DATASET_H
#define VKG_DATA_DATASET_H

#include "data/picture.h"
#include "vkgan/data.h"

const vkg_log *dataset_log(const vkg_dataset *dataset);
/* vkg_dataset_read with memory of the caller's, so that reading many images soon allocates nothing. */
vkg_result dataset_read(const vkg_dataset *dataset, uint32_t index, struct scratch *scratch, float *pixels);

#endif
