/* Formatting of messages: the one road on which errors leave the library. */
#ifndef VKG_BASE_LOG_H
#define VKG_BASE_LOG_H

#include <stdarg.h>

#include "vkgan/result.h"

/* Sends one formatted message. `log` may be NULL. */
__attribute__((format(printf, 3, 4)))
void vkg_logf(const vkg_log *log, vkg_log_level level, const char *format, ...);

/* Sends an error message and returns `result`, so that a failing function ends in one line:
 *     return vkg_fail(log, VKG_ERROR_FORMAT, "%s: …", path); */
__attribute__((format(printf, 3, 4)))
vkg_result vkg_fail(const vkg_log *log, vkg_result result, const char *format, ...);

#endif
