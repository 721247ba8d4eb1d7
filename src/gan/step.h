/* A step under construction. */
#ifndef VKG_GAN_STEP_H
#define VKG_GAN_STEP_H

#include "graph/graph.h"
#include "vkgan/gan.h"

enum { STEP_MAX_REPORTS = 32, STEP_MAX_REALS = 64 };

struct step_report {
    const char *name;
    vkg_tensor *scalar;
    uint32_t index; /* among the trainer's names */
};

struct vkg_step {
    vkg_graph *graph;
    uint32_t batch, latent, image[3];
    vkg_tensor *real; /* of the phase that is being built; NULL until it asks */
    vkg_tensor *reals[STEP_MAX_REALS];
    uint32_t real_count;
    struct step_report reports[STEP_MAX_REPORTS];
    uint32_t report_count;
    void *shared;
};

#endif
