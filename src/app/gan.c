/* What the options make of a program's networks. */
#include <math.h>

#include "app/app.h"

bool app_settings(vkg_app *app, const struct run_image *run, vkg_network_settings *settings)
{
    const uint32_t *image = run->image, *input = run->input;
    char message[256] = "";
    *settings = (vkg_network_settings){.image = {image[0], image[1], image[2]}, .input = {input[0], input[1], input[2]},
                                       .latent = (uint32_t)app->options.latent,
                                       .width = (uint32_t)app->options.width,
                                       .classes = app->desc->labels ? run->classes : 0, .user = app};
    app->classes = settings->classes;
    if (app->desc->check && !app->desc->check(settings, message, sizeof message)) {
        app_error(app, "images of %u×%u, %u channels: %s", image[0], image[1], image[2], message);
        return false;
    }
    return true;
}

static void apply_optimizer(const struct options *o, double lr, vkg_optimizer_desc *optimizer)
{
    optimizer->kind = (vkg_optimizer)o->optimizer;
    optimizer->momentum = (float)o->momentum;
    optimizer->weight_decay = o->weight_decay > 0 ? (float)o->weight_decay : -1;
    optimizer->clip_norm = (float)o->clip_norm;
    optimizer->schedule = (vkg_schedule){
        .kind = (vkg_schedule_kind)o->lr_schedule, .warm_up = (uint32_t)o->warmup,
        .steps = (uint32_t)(o->lr_schedule > 0 && o->lr_steps == 0 ? o->steps : o->lr_steps)};
    optimizer->lr = (float)(lr > 0 ? lr : o->lr);
    optimizer->beta1 = o->beta1 > 0 ? (float)o->beta1 : -1; /* −1 is 0, here and below: optimizer.h */
    optimizer->beta2 = o->beta2 > 0 ? (float)o->beta2 : -1;
}

/* The program's networks with what the options say of their training. */
static vkg_gan_desc gan_of(const vkg_app *app, const vkg_network_settings *settings)
{
    const struct options *o = &app->options;
    vkg_gan_desc gan = app->desc->gan;
    gan.settings = *settings;
    gan.loss = (vkg_loss)o->loss;
    gan.discriminator_times = (uint32_t)o->d_steps;
    gan.regularizers.gradient_penalty = (float)o->gradient_penalty;
    gan.regularizers.r1 = (float)o->r1;
    gan.regularizers.r2 = (float)o->r2;
    gan.regularizers.dragan = (float)o->dragan;
    gan.regularizers.consistency = (float)o->consistency;
    gan.regularizers.every = (uint32_t)o->reg_every;
    gan.balance.most = (float)o->balance;
    gan.l1 = (float)o->l1;
    gan.accumulate = (uint32_t)o->accumulate;
    gan.augment.kind = (vkg_augment_kind)o->augment;
    gan.history = (uint32_t)o->history;
    apply_optimizer(o, o->lr_d, &gan.optimizer_d);
    apply_optimizer(o, o->lr_g, &gan.optimizer_g);
    return gan;
}

const char *vkg_app_generator_scope(const vkg_app *app)
{
    return app->options.ema > 0 ? "ema.generator" : "generator";
}

const char *vkg_app_generator_prefix(const vkg_app *app)
{
    return app->options.ema > 0 ? "ema.generator." : "generator.";
}

double images_a_step(const struct options *options)
{
    return options->batch * options->accumulate;
}

uint32_t app_sampler_batch(const vkg_app *app, uint32_t count)
{
    const double batch = fmin(fmin(count, app->options.batch), 64);
    return (uint32_t)batch;
}

vkg_result app_create_trainer(vkg_app *app, const vkg_network_settings *settings, vkg_trainer **trainer)
{
    const struct options *options = &app->options;
    const vkg_gan_desc gan = gan_of(app, settings);
    app->phase_count = app->desc->phases ? app->desc->phases(&gan, app->phases) : vkg_gan_phases(&gan, app->phases);
    return vkg_trainer_create(app->device, &(vkg_trainer_desc){
        .phases = app->phases, .phase_count = app->phase_count, .batch = (uint32_t)options->batch,
        .image = {settings->image[0], settings->image[1], settings->image[2]},
        .input = {settings->input[0], settings->input[1], settings->input[2]}, .latent = settings->latent,
        .seed = (uint64_t)options->seed, .precision = option_precision(options), .gradient_norms = true,
        .ema = {.of = options->ema > 0 ? "generator." : NULL, .decay = (float)options->ema,
                .ramp_up = app->desc->ema_ramp_up}}, trainer);
}
