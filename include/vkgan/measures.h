/* vkgan: how good are samples? Features of real and generated images, and what compares two sets of them; comparisons of
 * images; and what can be counted where the true distribution is known.
 *
 *     vkg_features_create (a network and its weights) ──▶ vkg_features_compute: images → features
 *     vkg_scorer_create (features of real images, once) ──▶ vkg_scorer_score: features of samples → scores
 *
 * Features are row-major float32, [count, size]. Networks, products and distances run on the device; sums over many
 * samples are finished in double on the host, eigenvalues are LAPACK's. Thread-safety: one thread at a time a device. */
#ifndef VKGAN_MEASURES_H
#define VKGAN_MEASURES_H

#include "vkgan/io.h"
#include "vkgan/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- feature networks --- */

/* Records a network's layers, for evaluation: images [N,H,W,C] in [−1, 1] → features [N,size]. Parameters are named as
 * the file of weights names them. */
typedef vkg_tensor *(*vkg_feature_network)(vkg_graph *graph, vkg_tensor *images, const void *user);

/* The networks that the library knows; a file of weights tells by its names for which of them it is. */

/* A small convolutional classifier for images of 8×8 or more: features [N,64], the activations below its last layer.
 * Convolutions 3×3 to 16, 32 and 64 channels, the latter two with stride 2, each with batch normalisation and relu
 * ("conv1.weight", "bn1.weight" …); averages over 2×2 parts; a linear layer with relu ("fc1"). For training
 * `evaluation` is false. */
VKG_API vkg_tensor *vkg_classifier_features(vkg_graph *graph, vkg_tensor *images, bool evaluation);
/* The last layer, "fc2": features → logits [N,classes]. */
VKG_API vkg_tensor *vkg_classifier_logits(vkg_graph *graph, vkg_tensor *features, uint32_t classes);

/* Inception v3 as the Fréchet Inception Distance has it (Heusel et al. 2017): images of 1 or 3 channels, resized to 299×299
 * (bilinear, without antialiasing, as pytorch-fid does it) → the 2048 averages over places before the last layer, "pool3".
 * Weights have the names of pytorch-fid's and torchvision's files ("Mixed_7c.branch_pool.conv.weight"); distances are those
 * of the papers with TensorFlow's of 2015, which pytorch-fid converted. Padding is left out of averages, and the last
 * block's pooling takes the greatest, as there. */
VKG_API vkg_tensor *vkg_inception_features(vkg_graph *graph, vkg_tensor *images);

/* VGG's convolutions (Simonyan and Zisserman 2015), as a perceptual loss takes them: images [N,H,W,3 or 1] in [−1, 1], which
 * are brought to ImageNet's mean and deviation → what layer `last` makes of them, [N,h,w,c]. Unlike the networks above its
 * weights are no parameters: they are read from `weights`, a safetensors file with torchvision's names ("features.0.weight",
 * "features.0.bias" …, F32), when the graph is built, never change, and are in no checkpoint. The names tell which of VGG11 to
 * VGG19 it is, or a smaller network of the same kind: convolutions 3×3, each with a relu, and max pooling where a number is
 * left out. `last` is a number of torchvision's too; of VGG19 35 is the paper's φ₅,₄ with its relu, 34 without, 8 is φ₂,₂; 0: all
 * that there are, up to the last relu, as for a number behind the last. Errors, which are the graph's: a file that cannot be read, or holds
 * other tensors (of a VGG with batch normalisation, for example). */
VKG_API vkg_tensor *vkg_vgg_features(vkg_graph *graph, vkg_tensor *images, const char *weights, uint32_t last);

typedef struct vkg_features vkg_features;

typedef struct vkg_features_desc {
    /* A safetensors file, float32. NULL: the classifier that comes with the library (examples/classifier trained it on
     * Fashion-MNIST), for images of 28×28×1. */
    const char *weights;
    vkg_feature_network network; /* NULL: the one of the above whose names the file has */
    const void *user;            /* handed to `network` */
    uint32_t image[3];           /* height, width, channels */
    uint32_t batch;              /* images a run; 0 means 64, and 8 of Inception's */
} vkg_features_desc;

/* Errors: INVALID (no weights are known for such images, a network that cannot take them), those of vkg_state_load:
 * FORMAT for a file that lacks a tensor, or has it in another shape; *features is NULL then. */
VKG_API vkg_result vkg_features_create(vkg_device *device, const vkg_features_desc *desc, vkg_features **features);
/* Clears the handle. NULL is fine. */
VKG_API void vkg_features_destroy(vkg_features **features);
/* Numbers an image. */
VKG_API uint32_t vkg_features_size(const vkg_features *features);
/* Which weights they are: the file, or the built-in ones' name. Belongs to `features`. */
VKG_API const char *vkg_features_name(const vkg_features *features);
/* images [count,H,W,C] in [−1, 1] → values [count,size]. */
VKG_API vkg_result vkg_features_compute(vkg_features *features, const float *images, uint32_t count, float *values);

/* --- two sets of features --- */

/* Mean [size] and unbiased covariance [size,size] of values [count,size], all of them finite, count at least 2. The mean
 * is summed in double; deviations from it are rounded to 2⁻²² of a feature's greatest one, and their products summed
 * exactly: the same bits on every device. */
VKG_API vkg_result vkg_feature_moments(vkg_device *device, const float *values, uint32_t count, uint32_t size,
                                       double *mean, double *covariance);
/* The Fréchet distance of two normal distributions, |m₁ − m₂|² + tr(C₁ + C₂ − 2·(C₁C₂)^½), in double. Fréchet 1957; of
 * Inception's features it is the FID, Heusel et al. 2017. Covariances may be singular. */
VKG_API vkg_result vkg_frechet_distance(const vkg_log *log, uint32_t size, const double *mean_a,
                                        const double *covariance_a, const double *mean_b, const double *covariance_b,
                                        double *distance);

/* What is to be computed, as a set of bits. */
typedef enum vkg_measure {
    VKG_MEASURE_FRECHET = 1,
    VKG_MEASURE_KERNEL = 2,
    VKG_MEASURE_NEIGHBOURS = 4, /* precision, recall, density, coverage: by far the most expensive */
    VKG_MEASURE_ALL = 7,
} vkg_measure;

/* Which way is better, in brackets. NaN: not asked for. */
typedef struct vkg_scores {
    double frechet_distance; /* [lower, 0 at least] see vkg_frechet_distance */
    /* [lower, around 0 for equal distributions] The squared maximum mean discrepancy with the kernel (xᵀy/size + 1)³,
     * unbiased, averaged over blocks of 1000 samples of either set, in their order, each used once; and its standard
     * error, NaN where there is one block only. KID, Bińkowski et al. 2018. */
    double kernel_distance, kernel_distance_error;
    /* [higher, up to 1] The share of samples that lie no further from some real one than that one's third nearest
     * real neighbour; the same with real and generated exchanged. Kynkäänniemi et al. 2019. */
    double precision, recall;
    /* [higher, around 1] How many real ones' balls, which reach to their fifth nearest real neighbour, hold a sample,
     * averaged and divided by five; the share of real ones whose ball holds a sample. Naeem et al. 2020. */
    double density, coverage;
} vkg_scores;

/* The real side of the comparison, whose sums and neighbours are computed once. */
typedef struct vkg_scorer vkg_scorer;

/* real [count,size] is copied; count at least 6. Errors: INVALID, those of vkg_program_create; *scorer is NULL then. */
VKG_API vkg_result vkg_scorer_create(vkg_device *device, const float *real, uint32_t count, uint32_t size,
                                     vkg_scorer **scorer);
/* Clears the handle. NULL is fine. */
VKG_API void vkg_scorer_destroy(vkg_scorer **scorer);
/* samples [count,size], count at least 6; `measures`: bits of vkg_measure. Errors: INVALID (too few samples, numbers that
 * are not finite), those of vkg_program_run. */
VKG_API vkg_result vkg_scorer_score(vkg_scorer *scorer, const float *samples, uint32_t count, unsigned measures,
                                    vkg_scores *scores);

/* --- pairs of images: a and b [N,H,W,C], numbers that span `range` (2 for [−1, 1]) → [N]; both can be differentiated --- */

/* 10·log₁₀(range²/mean square difference), in decibels; infinite where a pair is equal. */
VKG_API vkg_tensor *vkg_psnr(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, float range);
/* The structural similarity of Wang et al. 2004: Gaussian windows of 11×11 with standard deviation 1.5, K₁ = 0.01,
 * K₂ = 0.03, averaged over all windows that lie within the image, and over channels. H and W at least 11. As
 * scikit-image's structural_similarity with gaussian_weights and use_sample_covariance=False. */
VKG_API vkg_tensor *vkg_ssim(vkg_graph *graph, vkg_tensor *a, vkg_tensor *b, float range);

/* Of a picture against its original. */
typedef struct vkg_image_score {
    float psnr, ssim; /* vkg_psnr in decibels, vkg_ssim */
} vkg_image_score;
/* How near pictures come to their original, as super-resolution measures it: of luma (MATLAB's Y, 16 to 235; grey as it is),
 * and without `border` pixels on every side, which is the factor there. scores [count]. Errors: INVALID (another shape than
 * the original's, less than 11×11 within the border), those of vkg_program_create. */
VKG_API vkg_result vkg_compare_images(vkg_device *device, const vkg_image *original, const vkg_image *images, uint32_t count,
                                      uint32_t border, vkg_image_score *scores);

/* --- samples of a known mixture of normal distributions --- */

typedef struct vkg_mixture {
    const float *centres; /* [count,dimensions] */
    uint32_t count, dimensions;
    double sigma;    /* the standard deviation in every dimension, of every component */
    double deviations; /* a sample of high quality is within so many sigmas of the nearest centre; 0 means 4 */
} vkg_mixture;

typedef struct vkg_mixture_score {
    uint32_t modes;      /* centres that are the nearest one of a sample of high quality */
    double high_quality; /* share of samples */
} vkg_mixture_score;

/* points [count,dimensions]; one that is not finite is of no quality. Srivastava et al. 2017 (with three deviations).
 * Errors: INVALID, OUT_OF_MEMORY. */
VKG_API vkg_result vkg_mixture_evaluate(const vkg_log *log, const vkg_mixture *mixture, const float *points,
                                        uint32_t count, vkg_mixture_score *score);

#ifdef __cplusplus
}
#endif
#endif
