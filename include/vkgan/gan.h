/* vkgan: training. A step is a list of phases; the common case, discriminator then generator, is vkg_gan_phases.
 *
 *     phases ──▶ vkg_trainer_create ──▶ vkg_trainer_step, again and again ──▶ vkg_trainer_finish
 *
 * All phases of a step are one recorded program: a step submits, and allocates, compiles and records nothing. */
#ifndef VKGAN_GAN_H
#define VKGAN_GAN_H

#include "vkgan/augment.h"
#include "vkgan/gan_loss.h"
#include "vkgan/io.h"
#include "vkgan/optimizer.h"
#include "vkgan/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- networks --- */

/* What a network function is told of the run. */
typedef struct vkg_network_settings {
    uint32_t image[3];    /* height, width, channels of the data */
    uint32_t input[3];    /* the same of what goes with an image, in data of pairs (vkg_view); all 0: there is none */
    uint32_t latent;      /* size of the generator's input */
    uint32_t width;       /* channels of the narrowest layer ("ngf", "ndf") */
    uint32_t classes;     /* of the data, where the networks are to know them; 0: they are not */
    bool evaluation;      /* true: batch norms use running statistics */
    const void *user;     /* the program's own settings */
    /* The classes of the images that this call makes or judges, int32 [N]; NULL where `classes` is 0. Set by the library. */
    vkg_tensor *labels;
    /* Not NULL: a generator with a mapping network puts here what its images are made of ("w", [N,…,C]), for path-length
     * regularisation. Set by the library. */
    vkg_tensor **styles;
} vkg_network_settings;

/* Records a network's layers. A generator takes [N, latent], or in data of pairs their inputs [N, h, w, c], and returns
 * [N, H, W, C] in [−1, 1]; a discriminator takes images and returns logits, [N, 1] or [N, h, w, 1]. May be called several times in one graph: parameters
 * are shared by name. The library enters the network's scope ("generator", "discriminator") around it. */
typedef vkg_tensor *(*vkg_network)(vkg_graph *graph, vkg_tensor *input, const vkg_network_settings *settings);

/* --- phases --- */

/* A step under construction, as a loss function sees it. */
typedef struct vkg_step vkg_step;

VKG_API vkg_graph *vkg_step_graph(vkg_step *step);
/* This phase's batch of real images, [batch, H, W, C]. Every phase (and each of its `times`) that asks gets the
 * next batch of the data; asking twice in one phase gives the same. */
VKG_API vkg_tensor *vkg_step_real(vkg_step *step);
/* The labels of the same batch, int32 [batch]. */
VKG_API vkg_tensor *vkg_step_labels(vkg_step *step);
/* What goes with each image of the same batch, [batch, h, w, c] of vkg_trainer_desc.input: the other half of a pair, the
 * picture in small. */
VKG_API vkg_tensor *vkg_step_input(vkg_step *step);
/* Fresh latents, [batch, latent], standard normal. */
VKG_API vkg_tensor *vkg_step_latents(vkg_step *step);
/* A scalar that is logged at every step: "loss_d". A name given by several phases of a step: the last counts. */
VKG_API void vkg_step_report(vkg_step *step, const char *name, vkg_tensor *scalar);
/* This phase's update is done only where the scalar is not 0: parameters, moments and the like stay as they are
 * elsewhere. Decided on the device; of several calls for one update the last counts. */
VKG_API void vkg_step_gate(vkg_step *step, vkg_tensor *scalar);
/* One pointer that lives as long as the step's construction: phases of one step share what they built. A phase that
 * accumulates has one to itself, NULL again for each batch: what is shared would have to be kept. */
VKG_API void **vkg_step_shared(vkg_step *step);

/* Zero is the default of every field but name, loss and trains. The strings must outlive the trainer's creation. */
typedef struct vkg_phase {
    const char *name;
    /* Builds the phase's loss, a scalar, out of ordinary operations. */
    vkg_tensor *(*loss)(vkg_step *step, void *user);
    void *user;
    /* The parameters whose names begin with this: "discriminator.". What no phase trains is frozen. */
    const char *trains;
    /* Its own: phases that train the same have moments and learning rates apart from each other's, unless one `shares`. */
    vkg_optimizer_desc optimizer;
    uint32_t every;      /* runs at steps 0, every, 2·every, …; 0 means 1 */
    uint32_t times;      /* so often, one after the other, within a step; 0 means 1 */
    uint32_t accumulate; /* an update takes the mean gradient of so many batches, each of which the loss function builds
                          * anew; 0 means 1 */
    uint64_t from, until; /* runs at these of the steps only, `until` excluded; until 0: to the end */
    /* The name of the phase whose optimiser this one continues, with its moments, learning rate and settings, instead of
     * one of its own: `optimizer` is not read, and `trains` may be NULL. */
    const char *shares;
    /* Of a phase that shares: its updates are a part of those that the other's would be without it, as in lazy
     * regularisation (Karras et al. 2020, appendix B): where it runs every k steps, the optimiser's lr and betas become
     * lr · c and βᶜ with c = k/(k + 1). The loss is to be multiplied by k by whoever builds it. */
    bool lazy;
} vkg_phase;

/* --- the common case --- */

/* Weights of the regularisers (vkgan/gan_loss.h); 0 leaves one out. They are added to the loss of every update, or
 * have phases of their own every so many steps ("discriminator.regularize", "generator.regularize"), with as many times the
 * weight and the optimisers' lr and betas corrected: lazily, Karras et al. 2020, appendix B. */
typedef struct vkg_regularizers {
    float gradient_penalty; /* λ · vkg_gradient_penalty at vkg_between. WGAN-GP: 10 */
    bool one_sided;         /* only gradients longer than 1 are penalised, by gradient_penalty and dragan */
    float r1, r2;           /* γ/2 · vkg_squared_gradient at real, at generated images. StyleGAN2: r1 = 10; R3GAN: both */
    float dragan;           /* λ · vkg_gradient_penalty at vkg_around. DRAGAN: 10 */
    float consistency;      /* λ · vkg_consistency_penalty of real images and vkg_mirror_and_shift of them. CR-GAN: 10 */
    float consistency_fake; /* the same of generated ones. bCR-GAN: 10 both */
    float path_length;      /* the generator's, by settings.styles where it sets them, else by its latents. StyleGAN2: 2 */
    uint32_t every;         /* the discriminator's: steps from one to the next; 0 or 1: in every update. StyleGAN2: 16 */
    uint32_t path_every;    /* path_length's. StyleGAN2: 8 */
} vkg_regularizers;

/* Adaptive balance: who is too far ahead pauses. The rule: the lead is the share of pairs of logits, one of a real and one
 * of a generated image, in which the real one's is greater, as a running mean (vkg_balance_observe): ½ of a discriminator
 * that knows nothing, 1 of one that is always right. The discriminator is not updated while the lead is above `most`, the
 * generator not while it is below `least`. Both go on to be computed, so that the lead moves on. 0: never. */
typedef struct vkg_balance {
    float most, least;
    uint32_t memory; /* how many updates the running mean remembers; 0 means 20 */
} vkg_balance;

typedef struct vkg_gan_desc {
    vkg_network generator, discriminator; /* required */
    vkg_network_settings settings;        /* image, latent and width required */
    vkg_loss loss;
    vkg_optimizer_desc optimizer_g, optimizer_d;
    uint32_t discriminator_times;         /* discriminator updates a step; 0 means 1 */
    vkg_regularizers regularizers;
    /* Of all that the discriminator sees; ADA's buffers are called "augment". Of pairs colours change of the image alone, first. */
    vkg_augment_desc augment;
    /* The discriminator is shown vkg_history of so many images, the buffer "history", in place of the newest; 0: none. At
     * least the batch. */
    uint32_t history;
    vkg_balance balance;                  /* its buffer is called "balance" */
    uint32_t accumulate;                  /* batches an update, see vkg_phase; 0 means 1 */
    /* With settings.input, data of pairs; the generator then makes images of inputs, not of latents: */
    bool conditional; /* the discriminator judges pairs: the channels of the input, which has the size of the image, and then
                       * the image's. Pix2Pix, Isola et al. 2017 */
    float l1;         /* λ · mean |generated − real image|, added to the generator's loss. Pix2Pix: 100 */
} vkg_gan_desc;

enum { VKG_GAN_MAX_PHASES = 4 };

/* Writes the phases of a step, discriminator then generator, and returns how many there are. After PyTorch's DCGAN
 * example: the discriminator sees real and fake images in separate batches (so that batch statistics do not mix), the
 * generator's phase uses the same images once more, judged by the updated discriminator.
 * Reports loss_d and loss_g, without regularisers; the judgement in the discriminator's phase: d_real and d_fake, means of
 * σ(logits), where the loss makes probabilities of them (non-saturating, minimax), else score_real and score_fake, means of
 * logits; of the regularisers that are there, before they are weighted: gradient_penalty, r1, r2, dragan, consistency,
 * consistency_fake, path_penalty and path_length, the mean length; with ADA augment_p and sign_real, the mean sign of what
 * is positive where real images are known as real: D(x); D(x) − ½ for least squares; D(x) − D(y), y being the generated
 * images, for the Wasserstein and relativistic losses; with a balance lead, paused_d and paused_g, 1 where there was no
 * update; with l1 that mean, before it is weighted. With settings.classes generated images are of the classes of the real batch of their phase; `history`, which does
 * not know them, is an error then. `gan` must outlive the trainer's creation. */
VKG_API uint32_t vkg_gan_phases(const vkg_gan_desc *gan, vkg_phase phases[VKG_GAN_MAX_PHASES]);

/* --- the trainer --- */

typedef struct vkg_trainer vkg_trainer;

typedef struct vkg_trainer_desc {
    const vkg_phase *phases;
    uint32_t phase_count;
    uint32_t batch;
    uint32_t image[3]; /* of the data: height, width, channels */
    uint32_t input[3]; /* the same of vkg_step_input; all 0 where no phase asks for it */
    uint32_t latent;
    uint64_t seed;
    uint32_t in_flight; /* steps that may be queued at once; 0 means 2 */
    vkg_dtype precision; /* of all phases, see vkg_graph_set_precision: float32 (0), bfloat16 or float16, which turns
                          * loss_scaling on */
    /* For every phase that has none of its own (optimizer.loss_scaling); each phase has a scaler to itself. Where any
     * phase has one, every step reports "loss_scale", the least of them after the step, and "skipped_updates", of all
     * phases since the run began. */
    vkg_loss_scaling loss_scaling;
    bool gradient_norms; /* every phase that runs reports "grad_NAME", the norm of the gradient that it updates by */
    vkg_ema ema; /* once a step, at its end; the images of a step are `batch` times the greatest `accumulate` */
} vkg_trainer_desc;

/* Builds the step's programs (one for each combination of phases that coincide) and the state.
 * Errors: those of vkg_program_create; INVALID for a phase that trains nothing. */
VKG_API vkg_result vkg_trainer_create(vkg_device *device, const vkg_trainer_desc *desc, vkg_trainer **trainer);
VKG_API void vkg_trainer_destroy(vkg_trainer **trainer);

/* Everything that training changes, to be read, saved and loaded; belongs to the trainer. After loading a
 * checkpoint, tell the trainer its step. Call these with no step in flight (vkg_trainer_finish). */
VKG_API vkg_state *vkg_trainer_state(vkg_trainer *trainer);
VKG_API uint64_t vkg_trainer_get_step(const vkg_trainer *trainer); /* steps done since the run began */
VKG_API void vkg_trainer_set_step(vkg_trainer *trainer, uint64_t step);

/* Batches of real images that the next step takes; 0 where no phase that is due asks for one. */
VKG_API uint32_t vkg_trainer_batches(const vkg_trainer *trainer);
/* The most that any step takes. */
VKG_API uint32_t vkg_trainer_most_batches(const vkg_trainer *trainer);

/* What a step reported. */
typedef struct vkg_trainer_report {
    uint64_t step;    /* which step the values are of, counted from 1 */
    uint32_t count;
    const char *const *names; /* all names that any phase reports; belong to the trainer */
    const char *const *phases; /* which phase reported the value, "" for what the trainer reports itself; NULL where this
                                * step did not report the name. Valid until the next call */
    const float *values;      /* NaN where the step did not report the name; valid until the next call */
} vkg_trainer_report;

/* A batch of the data. */
typedef struct vkg_batch {
    const float *images;   /* [batch, H, W, C] */
    const int32_t *labels; /* [batch], each from 0 and less than the number of classes, which is not checked; NULL where no phase asks
                            * for them */
    const float *inputs;   /* [batch, h, w, c], see vkg_step_input; likewise */
} vkg_batch;

/* Sends one step to the device. `batches`: those that the step takes, vkg_trainer_batches of them; copied before the call
 * returns. When as many steps are in flight as may be, waits for the oldest first; *report (may be NULL) tells what the
 * newest finished step reported: report->step is 0 while none has.
 * Errors: INVALID for a batch without what a phase asks for. */
VKG_API vkg_result vkg_trainer_step(vkg_trainer *trainer, const vkg_batch *batches, vkg_trainer_report *report);
/* Waits for the oldest step in flight; report->step is 0 where none was. So every step's report can be had. */
VKG_API vkg_result vkg_trainer_wait(vkg_trainer *trainer, vkg_trainer_report *report);
/* Waits for all steps in flight; *report (may be NULL): the newest one's. */
VKG_API vkg_result vkg_trainer_finish(vkg_trainer *trainer, vkg_trainer_report *report);

/* Of the program that the next step runs: steps in which other phases coincide are other programs. */
VKG_API vkg_program_stats vkg_trainer_get_stats(const vkg_trainer *trainer);
/* The next step, as vkg_trainer_step would do it, but dispatch by dispatch (vkg_program_profile says how): it counts as a
 * step, and is finished when the call returns; so are all that were in flight. Its report comes with the next
 * call of vkg_trainer_step or vkg_trainer_finish. `dispatches` NULL: only counts; `batches` is not read then. */
VKG_API vkg_result vkg_trainer_profile(vkg_trainer *trainer, const vkg_batch *batches, vkg_dispatch_profile *dispatches,
                                       uint32_t *count);

/* --- sampling --- */

typedef struct vkg_sampler vkg_sampler;

typedef struct vkg_sampler_desc {
    vkg_network generator;
    vkg_network_settings settings; /* `evaluation` is set by the sampler */
    uint32_t batch;                /* images a run; 0 means 64 */
    vkg_state *state;              /* that holds the scope's tensors; must outlive the sampler */
    const char *scope;             /* where the generator's tensors are: NULL means "generator"; "ema.generator" is its
                                    * moving average (vkg_ema) */
} vkg_sampler_desc;

/* Errors: INVALID (images of another shape than settings.image; where they are made of inputs, of other channels), those of
 * vkg_program_create; *sampler is NULL then. */
VKG_API vkg_result vkg_sampler_create(vkg_device *device, const vkg_sampler_desc *desc, vkg_sampler **sampler);
VKG_API void vkg_sampler_destroy(vkg_sampler **sampler);
/* Height, width and channels of its images: settings.image, or what becomes of inputs of settings.input. */
VKG_API void vkg_sampler_image(const vkg_sampler *sampler, uint32_t image[3]);
/* Where settings.classes is not 0: the class of all images from now on; −1, as at first, for image i that of number
 * i mod classes. A class that there is not is an error (INVALID) of what runs next. */
VKG_API void vkg_sampler_set_label(vkg_sampler *sampler, int32_t label);
/* The latents, standard normal, that image `number` of the list of `seed` is made of: latent numbers. */
VKG_API void vkg_sampler_latents(uint64_t seed, uint64_t number, uint32_t latent, float *latents);
/* Images first … first+count−1 of the endless list that `seed` defines, [count, H, W, C] in [−1, 1]: an image
 * depends on the seed and its number (and the label) alone; where the generator draws itself, as by dropout, on `first` and
 * desc.batch too. A training whose state it is does not notice: its own random numbers stay what they were. */
VKG_API vkg_result vkg_sampler_generate(vkg_sampler *sampler, uint64_t seed, uint64_t first, uint32_t count,
                                        float *images);
/* The images of given latents, [count, settings.latent]; a generator that draws itself does so as for seed 0. */
VKG_API vkg_result vkg_sampler_draw(vkg_sampler *sampler, const float *latents, uint32_t count, float *images);
/* Where settings.input is not 0: images (of the shape of vkg_sampler_image) of `inputs`, [count, h, w, c], in place of drawn ones. What a generator draws itself,
 * as by dropout, depends on the seed, the place among the inputs and desc.batch alone; batch norms that use the statistics of
 * their batch make an image depend on the others of its run, which the last run fills up with its first. */
VKG_API vkg_result vkg_sampler_translate(vkg_sampler *sampler, uint64_t seed, const float *inputs, uint32_t count,
                                         float *images);
/* A state that holds the scope's tensors alone, for sampling from a checkpoint (vkg_state_load with prefix "generator.",
 * or the scope's). Destroy it after the sampler. */
VKG_API vkg_result vkg_sampler_create_state(vkg_device *device, const vkg_sampler_desc *desc, vkg_state **state);

/* --- pictures of any size --- */

/* Runs a generator of pairs that is made of convolutions, and draws nothing, on pictures of any size, part by part: memory is that
 * of a part. Parts overlap, and of each only that is kept whose value no border of the part can reach, so that the result is what
 * one run of the whole picture would give, to rounding. Thread-safety: as of a sampler. */
typedef struct vkg_tiles vkg_tiles;

typedef struct vkg_tiles_desc {
    vkg_network generator;
    const char *scope; /* where its tensors are: NULL means "generator"; must outlive the tiles */
    vkg_network_settings settings; /* `input` and `image` with their channels alone; sides are filled in. `user` must outlive the tiles */
    uint32_t factor; /* the output is so many times the input's size; 0 means 1 */
    uint32_t side;   /* of a part of the input, at most 16384; 0 means 128, or six times the reach (rounded up to steps) */
    /* How many pixels of the input, to either side, a pixel of the output depends on; less than half of `side`, at most 2048. A network
     * that sees its whole input at once (normalisation of each picture, attention) has no such number. */
    uint32_t reach;
    /* The product of the strides with which it gets smaller inside: parts begin at multiples of it, and sides, of parts and of
     * pictures, are multiples. 0 means 1: no strides. */
    uint32_t step;
} vkg_tiles_desc;

/* Errors: INVALID, those of vkg_sampler_create_state; *tiles is NULL then. */
VKG_API vkg_result vkg_tiles_create(vkg_device *device, const vkg_tiles_desc *desc, vkg_tiles **tiles);
/* Clears the handle. NULL is fine. */
VKG_API void vkg_tiles_destroy(vkg_tiles **tiles);
/* The generator's tensors, named "generator.…" or "SCOPE.…", to be loaded; belongs to the tiles. */
VKG_API vkg_state *vkg_tiles_state(vkg_tiles *tiles);
/* input [height, width, c] → output [height · factor, width · factor, C], both the caller's. The first picture of a size that
 * is smaller than a part takes the time of making a program. */
VKG_API vkg_result vkg_tiles_run(vkg_tiles *tiles, const float *input, uint32_t height, uint32_t width, float *output);
/* The same of bytes, which count as numbers from −1 to 1 (vkg_image_bytes); free the output with vkg_image_free. Errors: INVALID
 * (another number of channels than the generator's), OUT_OF_MEMORY; *output is zeroed then. */
VKG_API vkg_result vkg_tiles_run_image(vkg_tiles *tiles, const vkg_image *input, vkg_image *output);

#ifdef __cplusplus
}
#endif
#endif
