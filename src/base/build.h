/* What tells one build of a version from another. */
#ifndef VKG_BASE_BUILD_H
#define VKG_BASE_BUILD_H

/* A digest of the shaders that the library holds; tools/embed-shaders makes it with them. */
extern const char build_shaders[];

#endif
