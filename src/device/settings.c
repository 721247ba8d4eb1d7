/* Settings from arguments and the environment. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/internal.h"

const char *setting(const char *argument, const char *variable)
{
    if (argument && *argument)
        return argument;
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

vkg_result setting_switch(const vkg_log *log, const char *variable, bool *value)
{
    const char *text = setting(NULL, variable);
    if (text && strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        return vkg_fail(log, VKG_ERROR_INVALID, "the environment variable %s is \"%s\", expected 0 or 1",
                        variable, text);
    if (text)
        *value = *text == '1';
    return VKG_OK;
}
