/* The common case: discriminator, then generator, after PyTorch's DCGAN example, with the losses and regularisers of
 * vkg_gan_desc. */
#include "gan/network.h"
#include "gan/step.h"
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

/* --- what the phases of a step share --- */

struct batches {
    vkg_tensor *real, *fake; /* of the newest discriminator's update; fake is not detached */
    vkg_tensor *labels;      /* of both; NULL where the networks are to know none */
};

static struct batches *shared_batches(vkg_step *step)
{
    static struct batches lost; /* the graph is out of memory, and so never runs */
    void **shared = vkg_step_shared(step);
    if (!*shared) {
        *shared = arena_alloc(&step->graph->arena, sizeof(struct batches));
        if (*shared)
            *(struct batches *)*shared = (struct batches){0};
        else
            step->graph->out_of_memory = true;
    }
    return *shared ? *shared : &lost;
}

static vkg_tensor *shared_labels(vkg_step *step, const vkg_gan_desc *gan)
{
    struct batches *batches = shared_batches(step);
    if (!batches->labels && gan->settings.classes != 0)
        batches->labels = vkg_step_labels(step);
    return batches->labels;
}

/* --- the networks: generated images are of the real ones' classes --- */

static vkg_tensor *discriminate(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor *images)
{
    vkg_network_settings settings = gan->settings;
    settings.labels = shared_labels(step, gan);
    return network_call(vkg_step_graph(step), gan->discriminator, "discriminator", images, &settings);
}

/* Images of fresh latents; *styles: what a generator with a mapping network makes them of, else the latents. */
static vkg_tensor *generate(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor **styles)
{
    vkg_network_settings settings = gan->settings;
    settings.labels = shared_labels(step, gan);
    settings.styles = styles;
    *styles = vkg_step_latents(step);
    return network_call(vkg_step_graph(step), gan->generator, "generator", *styles, &settings);
}

static vkg_tensor *shared_fake(vkg_step *step, const vkg_gan_desc *gan)
{
    struct batches *batches = shared_batches(step);
    vkg_tensor *styles;
    if (!batches->fake)
        batches->fake = generate(step, gan, &styles);
    return batches->fake;
}

static vkg_tensor *shared_real(vkg_step *step)
{
    struct batches *batches = shared_batches(step);
    if (!batches->real)
        batches->real = vkg_step_real(step);
    return batches->real;
}

/* --- reports --- */

static void report_mean(vkg_step *step, const char *name, vkg_tensor *values)
{
    vkg_step_report(step, name, vkg_mean(vkg_step_graph(step), values, VKG_ALL_AXES, false));
}

/* Where logits mean probabilities, these; otherwise the logits, as scores. */
static void report_judgement(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor *real_logits, vkg_tensor *fake_logits)
{
    vkg_graph *graph = vkg_step_graph(step);
    if (gan->loss == VKG_LOSS_NON_SATURATING || gan->loss == VKG_LOSS_MINIMAX) {
        report_mean(step, "d_real", vkg_sigmoid(graph, real_logits));
        report_mean(step, "d_fake", vkg_sigmoid(graph, fake_logits));
    } else {
        report_mean(step, "score_real", real_logits);
        report_mean(step, "score_fake", fake_logits);
    }
}

/* --- regularisers --- */

/* loss + weight · penalty; the penalty is reported as it is. */
static vkg_tensor *add_penalty(vkg_step *step, vkg_tensor *loss, const char *name, vkg_tensor *penalty, float weight)
{
    vkg_graph *graph = vkg_step_graph(step);
    vkg_step_report(step, name, penalty);
    return vkg_add(graph, loss, vkg_affine(graph, penalty, weight, 0));
}

static vkg_tensor *gradient_penalty_at(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor *samples)
{
    return vkg_gradient_penalty(vkg_step_graph(step), discriminate(step, gan, samples), samples, 1,
                                gan->regularizers.one_sided);
}

static vkg_tensor *regularize_discriminator(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor *loss, vkg_tensor *real,
                                            vkg_tensor *fake)
{
    const vkg_regularizers *r = &gan->regularizers;
    vkg_graph *graph = vkg_step_graph(step);
    if (r->r1 != 0)
        loss = add_penalty(step, loss, "r1", vkg_squared_gradient(graph, discriminate(step, gan, real), real), r->r1 / 2);
    if (r->r2 != 0)
        loss = add_penalty(step, loss, "r2", vkg_squared_gradient(graph, discriminate(step, gan, fake), fake), r->r2 / 2);
    if (r->gradient_penalty != 0)
        loss = add_penalty(step, loss, "gradient_penalty",
                           gradient_penalty_at(step, gan, vkg_between(graph, real, fake, NULL)), r->gradient_penalty);
    if (r->dragan != 0)
        loss = add_penalty(step, loss, "dragan", gradient_penalty_at(step, gan, vkg_around(graph, real, 0, NULL, NULL)),
                           r->dragan);
    return loss;
}

static vkg_tensor *regularize_generator(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor *loss)
{
    if (gan->regularizers.path_length == 0)
        return loss;
    vkg_tensor *styles, *lengths, *images = generate(step, gan, &styles);
    const vkg_path_length_desc desc = {.name = "path_length.mean"};
    vkg_tensor *penalty = vkg_path_length_penalty(vkg_step_graph(step), images, styles, &desc, &lengths);
    vkg_step_report(step, "path_length", lengths);
    return add_penalty(step, loss, "path_penalty", penalty, gan->regularizers.path_length);
}

/* --- the phases --- */

static vkg_tensor *discriminator_loss(vkg_step *step, void *user)
{
    const vkg_gan_desc *gan = user;
    vkg_graph *graph = vkg_step_graph(step);
    *shared_batches(step) = (struct batches){0};
    vkg_tensor *real = shared_real(step), *real_logits = discriminate(step, gan, real);
    vkg_tensor *fake = vkg_detach(graph, shared_fake(step, gan)), *fake_logits = discriminate(step, gan, fake);
    vkg_tensor *loss = vkg_discriminator_loss(graph, gan->loss, real_logits, fake_logits);
    vkg_step_report(step, "loss_d", loss);
    report_judgement(step, gan, real_logits, fake_logits);
    return regularize_discriminator(step, gan, loss, real, fake);
}

/* The batches of the discriminator's phase serve again: the generator has not changed since its images were made. */
static vkg_tensor *generator_loss(vkg_step *step, void *user)
{
    const vkg_gan_desc *gan = user;
    vkg_tensor *fake_logits = discriminate(step, gan, shared_fake(step, gan)), *real_logits = NULL;
    if (gan->loss == VKG_LOSS_RELATIVISTIC)
        real_logits = discriminate(step, gan, shared_real(step));
    vkg_tensor *loss = vkg_generator_loss(vkg_step_graph(step), gan->loss, fake_logits, real_logits);
    vkg_step_report(step, "loss_g", loss);
    return regularize_generator(step, gan, loss);
}

uint32_t vkg_gan_phases(const vkg_gan_desc *gan, vkg_phase phases[VKG_GAN_MAX_PHASES])
{
    void *user = (void *)gan; /* read only, as both loss functions take it */
    phases[0] = (vkg_phase){.name = "discriminator", .loss = discriminator_loss, .user = user,
                            .trains = "discriminator.", .optimizer = gan->optimizer_d, .times = gan->discriminator_times};
    phases[1] = (vkg_phase){.name = "generator", .loss = generator_loss, .user = user, .trains = "generator.",
                            .optimizer = gan->optimizer_g};
    return 2;
}
