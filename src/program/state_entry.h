/* One tensor of the state, as state.c and its files see it. */
#ifndef VKG_PROGRAM_STATE_ENTRY_H
#define VKG_PROGRAM_STATE_ENTRY_H

#include "vkgan/program.h"

struct state_entry {
    vkg_state_entry public;
    vkg_init init;
    bool placed;
    uint64_t address; /* in the state's buffer */
};

#endif
