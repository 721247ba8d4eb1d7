/* The one compilation of volk, which finds Vulkan's functions at run time: vkgan does not link libvulkan, so
 * that it starts, and says what is missing, on a machine without it. */
#define VOLK_IMPLEMENTATION
#include <volk.h>
