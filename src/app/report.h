/* report.html in a run folder: the run for people to look at, in one file that needs no network. */
#ifndef VKG_APP_REPORT_H
#define VKG_APP_REPORT_H

#include "vkgan/result.h"

/* Writes it anew out of what the folder holds: config.json, log.jsonl, samples/. `state`: "training", "done", "stopped", "broken
 * down"; or "", where that is not known. */
vkg_result report_write(const vkg_log *log, const char *folder, const char *state);

#endif
