/* The kernels other than convolutions, each in a graph small enough to be run at the first use of a device, with a loop
 * that says what it computes. */
#ifndef VKG_PROGRAM_KERNEL_CHECKS_H
#define VKG_PROGRAM_KERNEL_CHECKS_H

#include "graph/graph.h"

enum { CHECK_INPUTS = 3, CHECK_SEED = 1234 };

struct check {
    vkg_graph *graph;
    vkg_tensor *inputs[CHECK_INPUTS], *result;
    uint32_t input_count;
    const void *settings; /* the row's */
    const float *numbers[CHECK_INPUTS]; /* of float32 inputs: in −1 … 1 */
    const int32_t *places[CHECK_INPUTS]; /* of int32 inputs: in 0 … CHECK_PLACES − 1, with repetitions */
};

enum { CHECK_PLACES = 6 };

struct kernel_check {
    const char *name; /* "sums": what a message and a note call these kernels */
    void (*build)(struct check *check);                            /* adds inputs and result to the graph */
    void (*expected)(const struct check *check, double *elements); /* all elements of the result; zeros before */
    const void *settings; /* of rows that share these two; or NULL */
    const char *instead;  /* what is done where they are wrong; NULL: there is nothing */
    bool on_demand; /* for graphs only that hold an operation which names it (struct op) */
    double most;    /* error; 0: that of float32 */
};

extern const struct kernel_check kernel_checks[];
extern const uint32_t kernel_check_count;

#endif
