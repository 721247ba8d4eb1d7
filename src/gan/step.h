/* A step under construction. */
#ifndef VKG_GAN_STEP_H
#define VKG_GAN_STEP_H

#include "graph/graph.h"
#include "vkgan/gan.h"

enum { STEP_MAX_REPORTS = 32, STEP_MAX_BATCHES = 64 };

/* What a phase asked of a batch of the data: inputs of the graph, NULL where it did not. */
struct step_batch {
    vkg_tensor *images, *labels, *inputs;
};

struct step_report {
    const char *name;
    const char *phase; /* "": the trainer itself */
    vkg_tensor *scalar;
    uint32_t index; /* among the trainer's names */
};

struct vkg_step {
    vkg_graph *graph;
    uint32_t batch, latent, image[3], input[3];
    struct step_batch *current; /* of the phase that is being built; NULL until it asks */
    struct step_batch batches[STEP_MAX_BATCHES];
    uint32_t batch_count;
    struct step_report reports[STEP_MAX_REPORTS];
    uint32_t report_count;
    const char *phase; /* that is being built; "" between them */
    void *shared; /* by all phases that are not alone */
    bool alone;   /* the phase that is being built shares nothing: each of its batches is done with before the next */
    void *own;    /* instead */
    vkg_tensor *gate; /* of the update that is being built; NULL: none */
    bool averaged;    /* the moving average has something to follow */
};

/* Names, and who shares whose optimiser. */
vkg_result step_check_phases(const vkg_log *log, const vkg_trainer_desc *desc);
/* The graph of a step in which these phases (a bit each) run; a broken rule is the graph's error. The phases were
 * checked. */
vkg_result step_build(const vkg_log *log, const vkg_trainer_desc *desc, uint64_t phases, struct vkg_step *step);

#endif
