/* vkgan: what every call returns, and where its messages go.
 *
 * The library never prints, never exits and never aborts on what a caller, a file or a driver did. A call
 * that fails returns a vkg_result, and says in one message what was found and what was expected; the
 * message goes to the vkg_log that the call, or the object it works on, was given. */
#ifndef VKGAN_RESULT_H
#define VKGAN_RESULT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what the shared library exports; everything else stays hidden. */
#if defined(_WIN32)
#define VKG_API
#else
#define VKG_API __attribute__((visibility("default")))
#endif

typedef enum vkg_result {
    VKG_OK = 0,
    VKG_ERROR_INVALID,       /* an argument, a graph or a setting breaks a rule: the caller can mend it */
    VKG_ERROR_UNSUPPORTED,   /* the rule is kept, but this device or this version cannot do it */
    VKG_ERROR_NO_DEVICE,     /* no Vulkan device, or none that matches the name asked for */
    VKG_ERROR_OUT_OF_MEMORY, /* host or device memory */
    VKG_ERROR_DEVICE,        /* a Vulkan call failed */
    VKG_ERROR_DEVICE_LOST,   /* sticky: every later call on the device returns it too */
    VKG_ERROR_IO,            /* the system refused: no such file, no permission, disk full */
    VKG_ERROR_FORMAT,        /* the file was read, and is not what it should be */
} vkg_result;

/* A short constant English name, "out of memory" for example. Never NULL. Thread-safety: any. */
VKG_API const char *vkg_result_name(vkg_result result);

typedef enum vkg_log_level {
    VKG_LOG_ERROR,
    VKG_LOG_WARNING,
    VKG_LOG_INFO,
    VKG_LOG_DEBUG,
} vkg_log_level;

/* Where messages go. A NULL vkg_log pointer, or a NULL callback, means silence.
 * `message` is one line without a line end, valid during the call only.
 * Thread-safety: the callback may be called from any thread that calls the library and from the
 * library's own data thread; calls for one vkg_log are not serialised. */
typedef struct vkg_log {
    void (*callback)(void *user, vkg_log_level level, const char *message);
    void *user;
} vkg_log;

#ifdef __cplusplus
}
#endif
#endif
