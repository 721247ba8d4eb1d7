/* Small graphs that several tests run in many ways. */
#ifndef TESTS_SMALL_PROGRAMS_H
#define TESTS_SMALL_PROGRAMS_H

#include "on_device.h"
#include "program/program.h"

/* --- uploads, apart from the work or in front of it, whatever the device does by default --- */

struct uploads {
    bool apart;
    uint64_t apart_from;
};

/* Returns how they went, to be put back. */
struct uploads set_uploads(bool apart, uint64_t apart_from);
vkg_program *create_apart(vkg_graph *graph, vkg_state *state, const vkg_program_desc *desc, bool uploads_apart);

/* --- a network with all that a program can have: parameters, statistics, random numbers, an optimiser --- */

struct toy {
    vkg_graph *graph;
    vkg_tensor *x, *loss, *y;
    vkg_state *state;
};

/* The graph and its state. */
void toy_create(struct toy *toy, uint64_t seed);
void toy_destroy(struct toy *toy);
/* Numbers for the first slot's input. */
void toy_fill(struct toy *toy, vkg_program *program);

/* --- twice as much, plus a number: every run's result shows which inputs it had --- */

enum { SLOTS = 4 };

/* y = 2x + 1 + n, of a run's inputs. */
struct doubling {
    vkg_graph *graph;
    vkg_tensor *n, *x, *y;
    vkg_program *program;
    uint32_t written[SLOTS]; /* what the slot was given last */
};

void doubling_create(struct doubling *d, const vkg_program_desc *desc, bool uploads_apart);
void doubling_destroy(struct doubling *d);
void doubling_write(struct doubling *d, uint32_t slot, uint32_t number);
/* The test fails where the slot's result is not that of what was written. */
void doubling_check(const struct doubling *d, uint32_t slot);

#endif
