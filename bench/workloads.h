/* What is measured. A workload is a row: a name, and a function that builds its graph. */
#ifndef BENCH_WORKLOADS_H
#define BENCH_WORKLOADS_H

#include "vkgan/graph.h"

struct workload {
    const char *name;
    void (*build)(vkg_graph *graph, const struct workload *workload);
    /* of networks: image size, channels, width, batch; of layers: what their builder says */
    uint32_t size, channels, width, batch;
    double bytes; /* that pass through memory at least, where that bounds it; else 0 */
    bool whole;   /* the result is wanted, and not only its time */
    vkg_dtype precision; /* of products; the name says it */
};

extern const struct workload workloads[];
extern const uint32_t workload_count;
/* What is tried for the device's ceilings: copies in memory and in caches, and products. */
extern const struct workload ceiling_workloads[];
extern const uint32_t ceiling_workload_count;

/* A row of the table, or, for "dcgan-SIZE-CHANNELS-wWIDTH-bBATCH", one that is made on the spot; in mixed precision where "-bf16"
 * or "-fp16" follows. `name` must outlive it. false: no such workload. */
bool workload_find(const char *name, struct workload *workload);

#endif
