/* report.html in a run folder: the run for people to look at, in one file that needs no network. */
#ifndef VKG_APP_REPORT_H
#define VKG_APP_REPORT_H

#include "app/app.h"

/* Writes it anew out of what the folder holds: config.json, log.jsonl, samples/. `state`, of one word at first: "training", "done",
 * "stopped", "broken down". */
vkg_result report_write(const vkg_app *app, const char *folder, const char *state);

#endif
