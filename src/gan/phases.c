/* The common case: discriminator, then generator, after PyTorch's DCGAN example, with the losses and regularisers of
 * vkg_gan_desc. */
#include "gan/augment.h"
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

vkg_tensor *network_generate(vkg_graph *graph, vkg_network generator, const char *scope, vkg_tensor *input,
                             const vkg_network_settings *settings, const uint32_t image[3])
{
    vkg_tensor *images = network_call(graph, generator, scope, input, settings);
    const vkg_shape *made = &images->shape;
    vkg_shape expected = VKG_SHAPE(input->shape.dims[0], image[0], image[1], image[2]);
    for (uint32_t i = 1; i < 3 && made->rank == 4; i++)
        expected.dims[i] = expected.dims[i] ? expected.dims[i] : made->dims[i];
    if (images->poisoned || shape_equal(made, &expected))
        return images;
    return graph_fail(graph, "the generator in \"%s\" makes images %s, expected %s", scope, SHAPE(&images->shape), SHAPE(&expected));
}

/* --- what the phases of a step share --- */

struct batches {
    vkg_tensor *real, *fake; /* of the newest discriminator's update; fake is not detached */
    vkg_tensor *shown;       /* what the discriminator was shown of fake */
    vkg_tensor *labels;      /* of both; NULL where the networks are to know none */
    vkg_tensor *input;       /* of both, in data of pairs */
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

static vkg_tensor *shared_input(vkg_step *step)
{
    struct batches *batches = shared_batches(step);
    if (!batches->input)
        batches->input = vkg_step_input(step);
    return batches->input;
}

/* Images of fresh latents, or of the inputs of pairs; *styles: what a generator with a mapping network makes them of, else
 * what they are made of. */
static vkg_tensor *generate(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor **styles)
{
    vkg_network_settings settings = gan->settings;
    settings.labels = shared_labels(step, gan);
    settings.styles = styles;
    *styles = gan->settings.input[0] != 0 ? shared_input(step) : vkg_step_latents(step);
    return network_generate(vkg_step_graph(step), gan->generator, "generator", *styles, &settings, step->image);
}

static vkg_tensor *change(vkg_graph *graph, const vkg_augment_desc *augment, uint32_t changes, vkg_tensor *images)
{
    return augment->kind == VKG_AUGMENT_DIFF ? vkg_diff_augment(graph, images, changes, NULL)
                                             : vkg_ada_augment(graph, images, changes, vkg_ada_probability(graph, "augment"), NULL);
}

/* A pair moves as one. Colours are the image's alone, as those of the input would be mixed with them. */
static vkg_tensor *change_pair(vkg_step *step, const vkg_augment_desc *augment, vkg_tensor *pair)
{
    vkg_graph *graph = vkg_step_graph(step);
    const uint32_t all = augment->kind == VKG_AUGMENT_DIFF ? DIFF_CHANGES : ADA_CHANGES;
    const uint32_t changes = augment->changes ? augment->changes : all, moves = changes & ~(uint32_t)VKG_CHANGE_COLOR;
    if (changes & VKG_CHANGE_COLOR && !pair->poisoned) {
        const uint32_t inputs = step->input[2], channels = pair->shape.dims[3] - inputs;
        vkg_tensor *image = vkg_slice(graph, pair, 3, inputs, channels, 1);
        pair = vkg_concat(graph, (vkg_tensor *[]){vkg_slice(graph, pair, 3, 0, inputs, 1),
                                                  change(graph, augment, VKG_CHANGE_COLOR, image)}, 2, 3);
    }
    return moves ? change(graph, augment, moves, pair) : pair;
}

/* Images as the discriminator sees them, and what it makes of them. */
static vkg_tensor *judge(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor *images)
{
    if (gan->augment.kind != VKG_AUGMENT_NONE)
        images = gan->conditional ? change_pair(step, &gan->augment, images)
                                  : change(vkg_step_graph(step), &gan->augment, gan->augment.changes, images);
    return discriminate(step, gan, images);
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

/* Images as they are judged: of a conditional discriminator beside what they were made of. */
static vkg_tensor *with_input(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor *images)
{
    vkg_graph *graph = vkg_step_graph(step);
    if (!gan->conditional)
        return images;
    vkg_tensor *input = shared_input(step);
    if (!input->poisoned && !images->poisoned &&
        (input->shape.dims[1] != images->shape.dims[1] || input->shape.dims[2] != images->shape.dims[2]))
        return graph_fail(graph, "a conditional discriminator sees inputs %s beside images %s: expected the same height and width",
                          SHAPE(&input->shape), SHAPE(&images->shape));
    return vkg_concat(graph, (vkg_tensor *[]){input, images}, 2, 3);
}

/* --- reports --- */

static void report_mean(vkg_step *step, const char *name, vkg_tensor *values)
{
    vkg_step_report(step, name, vkg_mean(vkg_step_graph(step), values, VKG_ALL_AXES, false));
}

/* A batch of images, and the discriminator's logits. */
struct judged {
    vkg_tensor *images, *logits;
};

/* Where logits mean probabilities, these; otherwise the logits, as scores. */
static void report_judgement(vkg_step *step, const vkg_gan_desc *gan, const struct judged *real, const struct judged *fake)
{
    vkg_graph *graph = vkg_step_graph(step);
    if (gan->loss == VKG_LOSS_NON_SATURATING || gan->loss == VKG_LOSS_MINIMAX) {
        report_mean(step, "d_real", vkg_sigmoid(graph, real->logits));
        report_mean(step, "d_fake", vkg_sigmoid(graph, fake->logits));
    } else {
        report_mean(step, "score_real", real->logits);
        report_mean(step, "score_fake", fake->logits);
    }
}

/* ADA: what is positive where real images are known as real, in the terms of the loss. */
static vkg_tensor *certainty(vkg_graph *graph, vkg_loss loss, const struct judged *real, const struct judged *fake)
{
    if (loss == VKG_LOSS_LEAST_SQUARES)
        return vkg_affine(graph, real->logits, 1, -0.5f);
    if (loss == VKG_LOSS_WASSERSTEIN || loss == VKG_LOSS_RELATIVISTIC)
        return vkg_sub(graph, real->logits, fake->logits);
    return real->logits;
}

static void adapt_augmentation(vkg_step *step, const vkg_gan_desc *gan, const struct judged *real,
                               const struct judged *fake)
{
    vkg_graph *graph = vkg_step_graph(step);
    if (gan->augment.kind != VKG_AUGMENT_ADA)
        return;
    vkg_tensor *logits = certainty(graph, gan->loss, real, fake);
    vkg_step_report(step, "sign_real", vkg_ada_adjust(graph, "augment", logits, &gan->augment.ada));
    vkg_step_report(step, "augment_p", vkg_ada_probability(graph, "augment"));
}

/* --- adaptive balance --- */

static bool is_balanced(const vkg_gan_desc *gan)
{
    return gan->balance.most != 0 || gan->balance.least != 0;
}

/* This update happens while the lead is on the right side: at most `limit`, or with `above` at least. */
static void pause_beyond(vkg_step *step, const char *report, float limit, bool above)
{
    if (limit == 0)
        return;
    vkg_graph *graph = vkg_step_graph(step);
    vkg_tensor *lead = vkg_balance_lead(graph, "balance"), *bound = vkg_constant(graph, limit, VKG_SCALAR);
    vkg_tensor *runs = above ? vkg_less_equal(graph, bound, lead) : vkg_less_equal(graph, lead, bound);
    runs = vkg_reshape(graph, runs, VKG_SCALAR);
    vkg_step_gate(step, runs);
    vkg_step_report(step, report, vkg_affine(graph, runs, -1, 1));
}

static void pause_discriminator(vkg_step *step, const vkg_gan_desc *gan)
{
    pause_beyond(step, "paused_d", gan->balance.most, false);
}

static void pause_generator(vkg_step *step, const vkg_gan_desc *gan)
{
    pause_beyond(step, "paused_g", gan->balance.least, true);
}

static void observe_lead(vkg_step *step, const vkg_gan_desc *gan, const struct judged *real, const struct judged *fake)
{
    if (is_balanced(gan))
        vkg_step_report(step, "lead", vkg_balance_observe(vkg_step_graph(step), "balance", real->logits, fake->logits,
                                                          gan->balance.memory));
}

/* --- regularisers --- */

/* Penalties that were added up, each times its weight and `scale`; loss NULL: none yet. */
struct sum {
    vkg_step *step;
    const vkg_gan_desc *gan;
    vkg_tensor *loss;
    float scale;
};

/* The penalty is reported as it is. */
static void add_penalty(struct sum *sum, const char *name, vkg_tensor *penalty, float weight)
{
    vkg_graph *graph = vkg_step_graph(sum->step);
    vkg_step_report(sum->step, name, penalty);
    vkg_tensor *weighted = vkg_affine(graph, penalty, weight * sum->scale, 0);
    sum->loss = sum->loss ? vkg_add(graph, sum->loss, weighted) : weighted;
}

/* The logits are made when they are needed, which in a phase of regularisers not all are. */
static vkg_tensor *logits_of(struct sum *sum, struct judged *batch)
{
    if (!batch->logits)
        batch->logits = judge(sum->step, sum->gan, batch->images);
    return batch->logits;
}

static void add_squared_gradient(struct sum *sum, const char *name, struct judged *batch, float gamma)
{
    if (gamma == 0)
        return;
    vkg_tensor *logits = logits_of(sum, batch);
    add_penalty(sum, name, vkg_squared_gradient(vkg_step_graph(sum->step), logits, batch->images), gamma / 2);
}

static void add_gradient_penalty(struct sum *sum, const char *name, vkg_tensor *samples, float weight)
{
    vkg_tensor *logits = judge(sum->step, sum->gan, samples);
    add_penalty(sum, name, vkg_gradient_penalty(vkg_step_graph(sum->step), logits, samples, 1,
                                                sum->gan->regularizers.one_sided), weight);
}

/* Beside the change no other augmentation is wanted. */
static void add_consistency(struct sum *sum, const char *name, struct judged *batch, float weight)
{
    if (weight == 0)
        return;
    vkg_graph *graph = vkg_step_graph(sum->step);
    const bool augmented = sum->gan->augment.kind != VKG_AUGMENT_NONE;
    vkg_tensor *logits = augmented ? discriminate(sum->step, sum->gan, batch->images) : logits_of(sum, batch);
    vkg_tensor *changed = discriminate(sum->step, sum->gan, vkg_mirror_and_shift(graph, batch->images, NULL));
    add_penalty(sum, name, vkg_consistency_penalty(graph, logits, changed), weight);
}

static bool discriminator_is_regularized(const vkg_regularizers *r)
{
    return r->r1 != 0 || r->r2 != 0 || r->gradient_penalty != 0 || r->dragan != 0 || r->consistency != 0 ||
           r->consistency_fake != 0;
}

static void regularize_discriminator(struct sum *sum, struct judged *real, struct judged *fake)
{
    const vkg_regularizers *r = &sum->gan->regularizers;
    vkg_graph *graph = vkg_step_graph(sum->step);
    add_squared_gradient(sum, "r1", real, r->r1);
    add_squared_gradient(sum, "r2", fake, r->r2);
    if (r->gradient_penalty != 0)
        add_gradient_penalty(sum, "gradient_penalty", vkg_between(graph, real->images, fake->images, NULL),
                             r->gradient_penalty);
    if (r->dragan != 0)
        add_gradient_penalty(sum, "dragan", vkg_around(graph, real->images, 0, NULL, NULL), r->dragan);
    add_consistency(sum, "consistency", real, r->consistency);
    add_consistency(sum, "consistency_fake", fake, r->consistency_fake);
}

static void regularize_generator(struct sum *sum)
{
    if (sum->gan->regularizers.path_length == 0)
        return;
    vkg_tensor *styles, *lengths, *images = generate(sum->step, sum->gan, &styles);
    const vkg_path_length_desc desc = {.name = "path_length.mean"};
    vkg_tensor *penalty = vkg_path_length_penalty(vkg_step_graph(sum->step), images, styles, &desc, &lengths);
    vkg_step_report(sum->step, "path_length", lengths);
    add_penalty(sum, "path_penalty", penalty, sum->gan->regularizers.path_length);
}

/* --- the phases --- */

/* The generated images that the discriminator sees, without a way for gradients. */
static vkg_tensor *shown_fake(vkg_step *step, const vkg_gan_desc *gan)
{
    vkg_graph *graph = vkg_step_graph(step);
    struct batches *batches = shared_batches(step);
    if (batches->shown)
        return batches->shown;
    vkg_tensor *fake = with_input(step, gan, shared_fake(step, gan));
    if (gan->history == 0)
        batches->shown = vkg_detach(graph, fake);
    else if (gan->settings.classes == 0)
        batches->shown = vkg_history(graph, "history", fake, gan->history, NULL);
    else
        batches->shown = graph_fail(graph, "a history of %u images does not know their classes, of which there are %u",
                                    gan->history, gan->settings.classes);
    return batches->shown;
}

static vkg_tensor *discriminator_loss(vkg_step *step, void *user)
{
    const vkg_gan_desc *gan = user;
    *shared_batches(step) = (struct batches){0};
    struct judged real = {.images = with_input(step, gan, shared_real(step))}, fake;
    real.logits = judge(step, gan, real.images);
    fake.images = shown_fake(step, gan);
    fake.logits = judge(step, gan, fake.images);
    vkg_tensor *loss = vkg_discriminator_loss(vkg_step_graph(step), gan->loss, real.logits, fake.logits);
    vkg_step_report(step, "loss_d", loss);
    report_judgement(step, gan, &real, &fake);
    adapt_augmentation(step, gan, &real, &fake);
    observe_lead(step, gan, &real, &fake);
    pause_discriminator(step, gan);
    struct sum sum = {step, gan, loss, 1};
    if (gan->regularizers.every <= 1)
        regularize_discriminator(&sum, &real, &fake);
    return sum.loss;
}

static uint32_t at_least_one(uint32_t count)
{
    return count ? count : 1;
}

/* Every k updates, and k times as strong: by the updated discriminator, of the same images. */
static vkg_tensor *lazy_discriminator_loss(vkg_step *step, void *user)
{
    const vkg_gan_desc *gan = user;
    struct judged real = {.images = with_input(step, gan, shared_real(step))}, fake = {.images = shown_fake(step, gan)};
    struct sum sum = {step, gan, NULL, (float)gan->regularizers.every * (float)at_least_one(gan->discriminator_times)};
    regularize_discriminator(&sum, &real, &fake);
    pause_discriminator(step, gan);
    return sum.loss;
}

/* How far generated images are from those that they should be. */
static vkg_tensor *add_distance(vkg_step *step, const vkg_gan_desc *gan, vkg_tensor *loss)
{
    vkg_graph *graph = vkg_step_graph(step);
    if (gan->l1 == 0)
        return loss;
    if (gan->settings.input[0] == 0)
        return graph_fail(graph, "vkg_gan_desc.l1 is %g, and the images are made of no inputs: settings.input is 0", (double)gan->l1);
    vkg_tensor *distance = vkg_l1_loss(graph, shared_fake(step, gan), shared_real(step));
    vkg_step_report(step, "l1", distance);
    return vkg_add(graph, loss, vkg_affine(graph, distance, gan->l1, 0));
}

/* The batches of the discriminator's phase serve again: the generator has not changed since its images were made. */
static vkg_tensor *generator_loss(vkg_step *step, void *user)
{
    const vkg_gan_desc *gan = user;
    vkg_tensor *fake_logits = judge(step, gan, with_input(step, gan, shared_fake(step, gan))), *real_logits = NULL;
    if (gan->loss == VKG_LOSS_RELATIVISTIC)
        real_logits = judge(step, gan, with_input(step, gan, shared_real(step)));
    vkg_tensor *loss = vkg_generator_loss(vkg_step_graph(step), gan->loss, fake_logits, real_logits);
    vkg_step_report(step, "loss_g", loss);
    loss = add_distance(step, gan, loss);
    pause_generator(step, gan);
    struct sum sum = {step, gan, loss, 1};
    if (gan->regularizers.path_every <= 1)
        regularize_generator(&sum);
    return sum.loss;
}

static vkg_tensor *lazy_generator_loss(vkg_step *step, void *user)
{
    const vkg_gan_desc *gan = user;
    struct sum sum = {step, gan, NULL, (float)gan->regularizers.path_every};
    regularize_generator(&sum);
    pause_generator(step, gan);
    return sum.loss;
}

uint32_t vkg_gan_phases(const vkg_gan_desc *gan, vkg_phase phases[VKG_GAN_MAX_PHASES])
{
    void *user = (void *)gan; /* read only, as all loss functions take it */
    const vkg_regularizers *r = &gan->regularizers;
    uint32_t count = 0;
    phases[count++] = (vkg_phase){.name = "discriminator", .loss = discriminator_loss, .user = user,
                                  .trains = "discriminator.", .optimizer = gan->optimizer_d,
                                  .times = gan->discriminator_times, .accumulate = gan->accumulate};
    if (r->every > 1 && discriminator_is_regularized(r))
        phases[count++] = (vkg_phase){.name = "discriminator.regularize", .loss = lazy_discriminator_loss, .user = user,
                                      .shares = "discriminator", .lazy = true, .every = r->every,
                                      .accumulate = gan->accumulate};
    phases[count++] = (vkg_phase){.name = "generator", .loss = generator_loss, .user = user, .trains = "generator.",
                                  .optimizer = gan->optimizer_g, .accumulate = gan->accumulate};
    if (r->path_every > 1 && r->path_length != 0)
        phases[count++] = (vkg_phase){.name = "generator.regularize", .loss = lazy_generator_loss, .user = user,
                                      .shares = "generator", .lazy = true, .every = r->path_every,
                                      .accumulate = gan->accumulate};
    return count;
}
