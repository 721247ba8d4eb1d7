/* How much pictures differ: distances between small versions of them, so that a set of any size is looked at in no time. */
#ifndef VKG_APP_THUMBNAILS_H
#define VKG_APP_THUMBNAILS_H

#include <stdint.h>

/* Means of blocks, at most 16 × 16 of them, channels apart, between 0 and 1. */
struct thumbnails {
    uint32_t count, size; /* pictures; numbers of each */
    float *values;        /* [count, size] */
};

/* `bytes`: pictures, [count, height, width, channels] of image = {height, width, channels}. Frees with thumbnails_free.
 * values is NULL when memory is out. */
struct thumbnails thumbnails_of(const uint8_t *bytes, uint32_t count, const uint32_t image[3]);
void thumbnails_free(struct thumbnails *thumbnails);

/* The root of the mean variance across pictures; 0 where all are the same. */
double thumbnails_deviation(const struct thumbnails *thumbnails);
/* The mean over pictures of the distance to the nearest other one: root mean squares of differences. 0 for one picture. */
double thumbnails_nearest(const struct thumbnails *thumbnails);
/* Pictures that are further than `distance` from all those before them: groups, where what is near is linked. */
uint32_t thumbnails_distinct(const struct thumbnails *thumbnails, double distance);
/* The share of pictures whose nearest other one has the same label. */
double thumbnails_agreement(const struct thumbnails *thumbnails, const int32_t *labels);

#endif
