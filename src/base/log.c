#include "base/log.h"

#include <stdio.h>

static void send_message(const vkg_log *log, vkg_log_level level, const char *format, va_list arguments)
{
    char message[1024];
    if (!log || !log->callback)
        return;
    vsnprintf(message, sizeof message, format, arguments);
    for (char *c = message; *c; ++c)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?'; /* names out of files must not break the line or drive the terminal */
    log->callback(log->user, level, message);
}

void vkg_logf(const vkg_log *log, vkg_log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    send_message(log, level, format, arguments);
    va_end(arguments);
}

vkg_result vkg_fail(const vkg_log *log, vkg_result result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    send_message(log, VKG_LOG_ERROR, format, arguments);
    va_end(arguments);
    return result;
}

const char *vkg_result_name(vkg_result result)
{
    switch (result) {
    case VKG_OK: return "ok";
    case VKG_ERROR_INVALID: return "invalid argument";
    case VKG_ERROR_UNSUPPORTED: return "unsupported";
    case VKG_ERROR_NO_DEVICE: return "no device";
    case VKG_ERROR_OUT_OF_MEMORY: return "out of memory";
    case VKG_ERROR_DEVICE: return "device error";
    case VKG_ERROR_DEVICE_LOST: return "device lost";
    case VKG_ERROR_IO: return "input/output error";
    case VKG_ERROR_FORMAT: return "bad file format";
    }
    return "unknown result";
}
