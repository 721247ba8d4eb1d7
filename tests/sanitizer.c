/* Linked into the tests that open a device: what the leak sanitizer needs to tell our leaks from the drivers'.
 * Link with -rdynamic (meson: export_dynamic), so that the Vulkan loader finds dlclose here. */
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef WITH_ADDRESS_SANITIZER

#define EXPORTED __attribute__((visibility("default"), used))

EXPORTED int dlclose(void *library);
EXPORTED const char *__lsan_default_suppressions(void);
EXPORTED const char *__lsan_default_options(void);

/* Drivers keep tables for the life of the process in variables of their own; unloaded, the tables would count
 * as leaked (llvmpipe of Mesa 22.3: 128 bytes a device). So nothing is unloaded. */
int dlclose(void *library)
{
    (void)library;
    return 0;
}

/* Synchronisation validation of VK_LAYER_KHRONOS_validation 1.3.239 leaks 7 KB. Where the compiler's run-time
 * library stops at C++'s operator new, that is the only name to match; nothing of vkgan is C++. (The unwinder
 * that would see further, fast_unwind_on_malloc=0, hangs in llvmpipe's compiled code.) */
const char *__lsan_default_suppressions(void)
{
    return "leak:libVkLayer_khronos_validation.so\nleak:libstdc++.so\n";
}

const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}

#else
typedef int sanitizer_is_not_used; /* a file of C must declare something */
#endif
