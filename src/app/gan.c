/* What the options make of a program's networks. */
#include "app/app.h"

bool app_settings(vkg_app *app, const uint32_t image[3], vkg_network_settings *settings)
{
    char message[256] = "";
    *settings = (vkg_network_settings){.image = {image[0], image[1], image[2]}, .latent = (uint32_t)app->options.latent,
                                       .width = (uint32_t)app->options.width, .user = app};
    if (app->desc->check && !app->desc->check(settings, message, sizeof message)) {
        app_error(app, "images of %u×%u, %u channels: %s", image[0], image[1], image[2], message);
        return false;
    }
    return true;
}

static void apply_options(const struct options *options, vkg_optimizer_desc *optimizer)
{
    optimizer->lr = (float)options->lr;
    optimizer->beta1 = options->beta1 > 0 ? (float)options->beta1 : -1; /* −1 is 0: optimizer.h */
}

vkg_result app_create_trainer(vkg_app *app, const vkg_network_settings *settings, vkg_trainer **trainer)
{
    const struct options *options = &app->options;
    vkg_phase phases[VKG_GAN_MAX_PHASES];
    vkg_gan_desc gan = app->desc->gan;
    gan.settings = *settings;
    apply_options(options, &gan.optimizer_d);
    apply_options(options, &gan.optimizer_g);
    const uint32_t phase_count = vkg_gan_phases(&gan, phases);
    return vkg_trainer_create(app->device, &(vkg_trainer_desc){
        .phases = phases, .phase_count = phase_count, .batch = (uint32_t)options->batch,
        .image = {settings->image[0], settings->image[1], settings->image[2]}, .latent = settings->latent,
        .seed = (uint64_t)options->seed, .precision = option_precision(options)}, trainer);
}
