/* vkgan: what every sample program shares: the command line, progress, the run folder, resuming. Not needed by
 * programs that use the library for themselves. Unlike the rest of the library it prints, to stdout and stderr. */
#ifndef VKGAN_APP_H
#define VKGAN_APP_H

#include "vkgan/gan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vkg_app_desc {
    const char *name;     /* "dcgan" */
    const char *summary;  /* one line for --help: what it is, and its paper */
    vkg_network generator, discriminator;
    /* NULL, or says why these images cannot be (size, channels), into message. */
    bool (*check)(const vkg_network_settings *settings, char *message, size_t message_size);
    uint32_t latent, width, batch; /* defaults of --latent, --width, --batch */
    vkg_loss loss;
    vkg_optimizer_desc optimizer_g, optimizer_d;
} vkg_app_desc;

/* Runs `argv` as one of train, generate, bench, devices; returns the process's exit status. */
VKG_API int vkg_app_main(int argc, char **argv, const vkg_app_desc *desc);

#ifdef __cplusplus
}
#endif
#endif
