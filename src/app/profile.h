/* Profiles for people: where the time of a run goes, as a table and as a trace. */
#ifndef VKG_APP_PROFILE_H
#define VKG_APP_PROFILE_H

#include <stdio.h>

#include "vkgan/program.h"

/* What the device can do at best, measured: the shares of the table refer to it. 0: not known, no share is printed. */
struct ceilings {
    double flops, bytes; /* a second */
};

/* Dispatches grouped by label, the most expensive group first: times, share of the run, GFLOP/s, GB/s. */
vkg_result profile_print(FILE *out, const vkg_dispatch_profile *dispatches, uint32_t count, struct ceilings ceilings);
/* Chrome's trace format (chrome://tracing, ui.perfetto.dev). */
vkg_result profile_write_trace(const vkg_log *log, const char *path, const vkg_dispatch_profile *dispatches, uint32_t count);

#endif
