/* vkgan: what every sample program shares: the command line, progress, the run folder, resuming. Not needed by
 * programs that use the library for themselves. Unlike the rest of the library it prints, to stdout and stderr. */
#ifndef VKGAN_APP_H
#define VKGAN_APP_H

#include "vkgan/gan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A program while it runs: its options, and what its command opened. */
typedef struct vkg_app vkg_app;

typedef struct vkg_app_desc {
    const char *name;     /* "dcgan" */
    const char *summary;  /* one line for --help: what it is, and its paper */
    /* The networks, and the defaults of all that options can change. Its settings are filled in, settings.user with the
     * vkg_app. */
    vkg_gan_desc gan;
    /* NULL, or says why these images cannot be (size, channels), into message. */
    bool (*check)(const vkg_network_settings *settings, char *message, size_t message_size);
    uint32_t latent, width, batch; /* defaults of --latent [100], --width [64], --batch [64] */
} vkg_app_desc;

/* Runs `argv` as one of train, generate, bench, devices; returns the process's exit status. */
VKG_API int vkg_app_main(int argc, char **argv, const vkg_app_desc *desc);

#ifdef __cplusplus
}
#endif
#endif
