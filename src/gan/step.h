/* A step under construction. */
#ifndef VKG_GAN_STEP_H
#define VKG_GAN_STEP_H

#include "graph/graph.h"
#include "vkgan/gan.h"

enum { STEP_MAX_REPORTS = 32, STEP_MAX_BATCHES = 64 };

/* What a phase asked of a batch of the data: inputs of the graph, NULL where it did not. */
struct step_batch {
    vkg_tensor *images, *labels;
};

struct step_report {
    const char *name;
    vkg_tensor *scalar;
    uint32_t index; /* among the trainer's names */
};

struct vkg_step {
    vkg_graph *graph;
    uint32_t batch, latent, image[3];
    struct step_batch *current; /* of the phase that is being built; NULL until it asks */
    struct step_batch batches[STEP_MAX_BATCHES];
    uint32_t batch_count;
    struct step_report reports[STEP_MAX_REPORTS];
    uint32_t report_count;
    void *shared;
};

#endif
