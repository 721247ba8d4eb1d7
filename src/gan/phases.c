/* The common case: discriminator, then generator, after PyTorch's DCGAN example. */
#include "gan/network.h"
#include "vkgan/gan.h"
#include "vkgan/ops.h"

vkg_tensor *network_call(vkg_graph *graph, vkg_network network, const char *scope, vkg_tensor *input,
                         const vkg_network_settings *settings)
{
    vkg_graph_enter(graph, scope);
    vkg_tensor *output = network(graph, input, settings);
    vkg_graph_leave(graph);
    return output;
}

static vkg_tensor *discriminate(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor *images)
{
    return network_call(vkg_step_graph(step), gan->discriminator, "discriminator", images, &gan->settings);
}

static vkg_tensor *generate(vkg_step *step, const vkg_gan_desc *gan)
{
    return network_call(vkg_step_graph(step), gan->generator, "generator", vkg_step_latents(step), &gan->settings);
}

static void report_probability(vkg_step *step, const char *name, vkg_tensor *logits)
{
    vkg_graph *graph = vkg_step_graph(step);
    vkg_step_report(step, name, vkg_mean(graph, vkg_sigmoid(graph, logits), VKG_ALL_AXES, false));
}

static vkg_tensor *discriminator_loss(vkg_step *step, void *user)
{
    const vkg_gan_desc *gan = user;
    vkg_graph *graph = vkg_step_graph(step);
    vkg_tensor *real_logits = discriminate(step, gan, vkg_step_real(step));
    vkg_tensor *fake = generate(step, gan);
    *vkg_step_shared(step) = fake;
    vkg_tensor *fake_logits = discriminate(step, gan, vkg_detach(graph, fake));
    vkg_tensor *loss = vkg_add(graph, vkg_bce_with_logits(graph, real_logits, 1),
                               vkg_bce_with_logits(graph, fake_logits, 0));
    vkg_step_report(step, "loss_d", loss);
    report_probability(step, "d_real", real_logits);
    report_probability(step, "d_fake", fake_logits);
    return loss;
}

/* The fakes of the discriminator's phase serve again: the generator has not changed since they were made. */
static vkg_tensor *generator_loss(vkg_step *step, void *user)
{
    const vkg_gan_desc *gan = user;
    vkg_tensor *fake = *vkg_step_shared(step);
    if (!fake)
        fake = generate(step, gan);
    vkg_tensor *loss = vkg_bce_with_logits(vkg_step_graph(step), discriminate(step, gan, fake), 1);
    vkg_step_report(step, "loss_g", loss);
    return loss;
}

void vkg_gan_phases(const vkg_gan_desc *gan, vkg_phase phases[2])
{
    void *user = (void *)gan; /* read only, as both loss functions take it */
    phases[0] = (vkg_phase){.name = "discriminator", .loss = discriminator_loss, .user = user,
                            .trains = "discriminator.", .optimizer = gan->optimizer_d, .times = gan->discriminator_times};
    phases[1] = (vkg_phase){.name = "generator", .loss = generator_loss, .user = user, .trains = "generator.",
                            .optimizer = gan->optimizer_g};
}
