/* How much pictures differ: distances between small versions of them, so that a set of any size is looked at in no time. */
#ifndef VKG_APP_THUMBNAILS_H
#define VKG_APP_THUMBNAILS_H

#include <stdbool.h>
#include <stdint.h>

/* Means of blocks, at most 16 × 16 of them, channels apart. */
struct thumbnails {
    uint32_t count, size, image[3]; /* pictures; numbers of each; height, width, channels of what they are made of */
    float *values;                  /* [count, size] */
};

/* Room for pictures, to be put one by one, so that they need not all be in memory. false when that is out. */
bool thumbnails_create(struct thumbnails *thumbnails, uint32_t count, const uint32_t image[3]);
/* `picture`: [height, width, channels]. */
void thumbnails_put(struct thumbnails *thumbnails, uint32_t index, const float *picture);
void thumbnails_free(struct thumbnails *thumbnails);

/* The root of the mean variance across pictures; 0 where all are the same. */
double thumbnails_deviation(const struct thumbnails *thumbnails);
/* The mean over pictures of the distance to the nearest other one: root mean squares of differences. 0 for one picture. */
double thumbnails_nearest(const struct thumbnails *thumbnails);
/* Pictures that are further than `distance` from all those before them: groups, where what is near is linked. */
uint32_t thumbnails_distinct(const struct thumbnails *thumbnails, double distance);
/* Of `set`, which is of pictures of the same shape: the one that is nearest to a picture. */
uint32_t thumbnails_nearest_in(const struct thumbnails *set, const struct thumbnails *thumbnails, uint32_t index);
/* The share of pictures whose nearest other one has the same label. */
double thumbnails_agreement(const struct thumbnails *thumbnails, const int32_t *labels);

#endif
