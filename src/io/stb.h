/* The single-header libraries of Sean Barrett, as this library sets them up; compiled once, in stb.c. */
#ifndef VKG_IO_STB_H
#define VKG_IO_STB_H

/* Pictures of more pixels on a side are refused before anything is allocated for them. */
#define STBI_MAX_DIMENSIONS 16384
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_FAILURE_STRINGS /* they quote raw bytes of the file, out of a buffer that threads share */

#ifndef VKG_STB_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_resize.h>
#include <stb/stb_image_write.h>
#endif

#endif
