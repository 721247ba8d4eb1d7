/* Trains the small classifier whose features measure how good samples are (vkgan/measures.h), and writes its weights.
 *
 *     classifier [--data FILE] [--test FILE] [--epochs N] [--seed N] [--output FILE]
 *     classifier --check WEIGHTS [--test FILE]
 *
 * Data are any labelled set that vkg_dataset_open reads (Fashion-MNIST, if none is named); --test is what the accuracy is
 * measured on. Images of it without labels (a .npy file) count as of all classes in turn, as class-conditional programs
 * draw them: `sagan generate RUN --count 1000 --output samples.npy`. The weights that come with the library were made by
 *
 *     classifier --epochs 8 --seed 1 --output src/measures/fashion_mnist.safetensors
 *
 * on a processor (lavapipe), in seven minutes of its time: 90.53 % of the test images are right. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vkgan/vkgan.h>

enum { BATCH = 128 };

struct options {
    const char *data, *test, *output;
    const char *check; /* weights whose accuracy is measured, instead of training */
    uint64_t epochs, seed;
};

/* The network twice: as it is trained, and as it is used. */
struct classifier {
    vkg_device *device;
    vkg_dataset *train, *test;
    vkg_graph *training, *evaluation;
    vkg_state *state, *weights; /* all that training changes; the network's tensors alone, which the file holds */
    vkg_program *trainer, *judge;
    vkg_tensor *images, *labels, *loss, *test_images, *logits;
};

static void print_message(void *user, vkg_log_level level, const char *message)
{
    (void)user;
    if (level <= VKG_LOG_WARNING)
        fprintf(stderr, "classifier: %s\n", message);
}

static const vkg_log messages = {.callback = print_message};

static vkg_result refuse(const char *message)
{
    print_message(NULL, VKG_LOG_ERROR, message);
    return VKG_ERROR_INVALID;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- setting up --- */

/* Fashion-MNIST's test images lie beside the training images. */
static vkg_result open_data(struct classifier *c, const struct options *options)
{
    char beside[4096];
    vkg_result result = vkg_dataset_open(&messages, &(vkg_dataset_desc){.path = options->data}, &c->train);
    if (result != VKG_OK)
        return result;
    const vkg_dataset_info train = vkg_dataset_get_info(c->train);
    snprintf(beside, sizeof beside, "%s/t10k-images-idx3-ubyte.gz", train.path);
    result = vkg_dataset_open(&messages, &(vkg_dataset_desc){.path = options->test ? options->test : beside}, &c->test);
    if (result != VKG_OK)
        return result;
    const vkg_dataset_info test = vkg_dataset_get_info(c->test);
    if (train.classes < 2 || test.classes > train.classes)
        return refuse("the set to train on needs labels, of two classes or more, and the other no more classes");
    if (train.height != test.height || train.width != test.width || train.channels != test.channels)
        return refuse("the images of both sets must have one size");
    printf("%u images of %u classes, %u to test\n", train.count, train.classes, test.count);
    return VKG_OK;
}

static void build_training(struct classifier *c)
{
    enum { MOST = 32 };
    const vkg_dataset_info info = vkg_dataset_get_info(c->train);
    vkg_graph *g = c->training;
    vkg_tensor *parameters[MOST], *gradients[MOST];
    c->images = vkg_input(g, "images", VKG_SHAPE(BATCH, info.height, info.width, info.channels));
    c->labels = vkg_input_typed(g, "labels", VKG_SHAPE(BATCH), VKG_INT32);
    vkg_tensor *logits = vkg_classifier_logits(g, vkg_classifier_features(g, c->images, false), info.classes);
    c->loss = vkg_cross_entropy(g, logits, c->labels);
    vkg_output(g, "loss", c->loss);
    const uint32_t count = vkg_graph_parameters(g, "", parameters, MOST);
    vkg_gradients(g, c->loss, parameters, count, gradients);
    vkg_optimize(g, "classifier", parameters, gradients, count, &(vkg_optimizer_desc){.lr = 2e-3f, .beta1 = 0.9f});
}

static void build_evaluation(struct classifier *c)
{
    const vkg_dataset_info info = vkg_dataset_get_info(c->train);
    vkg_graph *g = c->evaluation;
    c->test_images = vkg_input(g, "images", VKG_SHAPE(BATCH, info.height, info.width, info.channels));
    c->logits = vkg_classifier_logits(g, vkg_classifier_features(g, c->test_images, true), info.classes);
    vkg_output(g, "logits", c->logits);
}

static vkg_result set_up(struct classifier *c, const struct options *options)
{
    vkg_result result = open_data(c, options);
    if (result == VKG_OK)
        result = vkg_device_create(&(vkg_device_desc){.log = &messages}, &c->device);
    if (result == VKG_OK)
        result = vkg_graph_create(&messages, &c->training);
    if (result == VKG_OK)
        result = vkg_graph_create(&messages, &c->evaluation);
    if (result != VKG_OK)
        return result;
    build_training(c);
    build_evaluation(c);
    result = vkg_state_create(c->device, &c->training, 1, options->seed, &c->state);
    if (result == VKG_OK)
        result = vkg_state_create(c->device, &c->evaluation, 1, 0, &c->weights);
    if (result == VKG_OK)
        result = vkg_program_create(c->device, c->training, c->state, NULL, &c->trainer);
    return result == VKG_OK ? vkg_program_create(c->device, c->evaluation, c->weights, NULL, &c->judge) : result;
}

/* --- training --- */

/* Half a cosine, from the whole rate to nothing (Loshchilov and Hutter 2017). */
static vkg_result set_rate(struct classifier *c, uint64_t step, uint64_t steps)
{
    const float rate = (float)(1e-3 * (1 + cos(3.14159265358979 * (double)step / (double)steps)));
    return vkg_state_write(c->state, vkg_state_find(c->state, "optimizer.classifier.lr"), &rate);
}

static vkg_result one_step(struct classifier *c, vkg_loader *loader, uint64_t step)
{
    uint32_t slot, indices[BATCH];
    const float *pixels;
    vkg_result result = vkg_loader_acquire(loader, &slot, &pixels);
    if (result == VKG_OK)
        result = vkg_loader_indices(loader, step, indices);
    if (result != VKG_OK)
        return result;
    memcpy(vkg_program_input(c->trainer, c->images, 0), pixels, vkg_tensor_elements(c->images) * sizeof *pixels);
    int32_t *labels = vkg_program_input(c->trainer, c->labels, 0);
    for (uint32_t i = 0; i < BATCH; i++)
        labels[i] = vkg_dataset_label(c->train, indices[i]);
    result = vkg_program_run(c->trainer);
    return result == VKG_OK ? vkg_loader_release(loader, slot) : result;
}

/* The network's tensors, out of all that training keeps. */
static vkg_result take_weights(struct classifier *c)
{
    vkg_result result = VKG_OK;
    for (uint32_t i = 0; i < vkg_state_count(c->weights) && result == VKG_OK; i++) {
        const vkg_state_entry *entry = vkg_state_get(c->weights, i);
        float *values = malloc(entry->elements * sizeof *values);
        if (!values)
            return refuse("out of memory");
        result = vkg_state_read(c->state, vkg_state_find(c->state, entry->name), values);
        if (result == VKG_OK)
            result = vkg_state_write(c->weights, i, values);
        free(values);
    }
    return result;
}

static uint32_t greatest(const float *logits, uint32_t classes)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < classes; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static uint32_t class_to_be(const struct classifier *c, uint32_t index, uint32_t classes)
{
    const int32_t label = vkg_dataset_label(c->test, index);
    return label >= 0 ? (uint32_t)label : index % classes;
}

static vkg_result measure_accuracy(struct classifier *c, double *accuracy)
{
    const vkg_dataset_info info = vkg_dataset_get_info(c->test);
    const uint32_t classes = vkg_tensor_shape(c->logits).dims[1];
    const uint64_t pixels = vkg_tensor_elements(c->test_images) / BATCH;
    uint32_t right = 0;
    vkg_result result = VKG_OK;
    for (uint32_t first = 0; first < info.count && result == VKG_OK; first += BATCH) {
        const uint32_t count = info.count - first < BATCH ? info.count - first : BATCH;
        float *images = vkg_program_input(c->judge, c->test_images, 0);
        for (uint32_t i = 0; i < count && result == VKG_OK; i++)
            result = vkg_dataset_read(c->test, first + i, images + i * pixels);
        if (result == VKG_OK)
            result = vkg_program_run(c->judge);
        const float *logits = vkg_program_output(c->judge, c->logits, 0);
        for (uint32_t i = 0; i < count && result == VKG_OK; i++)
            right += greatest(logits + i * classes, classes) == class_to_be(c, first + i, classes);
    }
    *accuracy = (double)right / info.count;
    return result;
}

static vkg_result train(struct classifier *c, const struct options *options)
{
    vkg_loader *loader;
    const uint64_t steps_an_epoch = vkg_dataset_get_info(c->train).count / BATCH, steps = options->epochs * steps_an_epoch;
    const double start = seconds_now();
    if (steps == 0)
        return refuse("there are fewer images than a batch has");
    vkg_result result = vkg_loader_create(c->train, &(vkg_loader_desc){.batch = BATCH, .seed = options->seed}, &loader);
    double loss = 0, accuracy = 0;
    for (uint64_t step = 0; step < steps && result == VKG_OK; step++) {
        if (step % 16 == 0)
            result = set_rate(c, step, steps);
        if (result == VKG_OK)
            result = one_step(c, loader, step);
        loss += result == VKG_OK ? (double)*(const float *)vkg_program_output(c->trainer, c->loss, 0) : 0;
        if (result == VKG_OK && (step + 1) % steps_an_epoch == 0) {
            result = take_weights(c);
            if (result == VKG_OK)
                result = measure_accuracy(c, &accuracy);
            printf("epoch %u of %" PRIu64 ": loss %.4f, %.2f %% of the test images right, %.0f s\n",
                   (unsigned)(step / steps_an_epoch) + 1, options->epochs, loss / (double)steps_an_epoch, 100 * accuracy,
                   seconds_now() - start);
            fflush(stdout);
            loss = 0;
        }
    }
    vkg_loader_destroy(&loader);
    return result == VKG_OK ? vkg_state_save(c->weights, options->output, steps) : result;
}

static vkg_result check(struct classifier *c, const char *path)
{
    double accuracy;
    vkg_result result = vkg_state_load(c->weights, path, NULL, NULL);
    if (result == VKG_OK)
        result = measure_accuracy(c, &accuracy);
    if (result == VKG_OK)
        printf("%.2f %% of the test images right\n", 100 * accuracy);
    return result;
}

static void tear_down(struct classifier *c)
{
    vkg_program_destroy(&c->judge);
    vkg_program_destroy(&c->trainer);
    vkg_state_destroy(&c->weights);
    vkg_state_destroy(&c->state);
    vkg_graph_destroy(&c->evaluation);
    vkg_graph_destroy(&c->training);
    vkg_dataset_close(&c->test);
    vkg_dataset_close(&c->train);
    vkg_device_destroy(&c->device);
}

/* Decimal digits and nothing else. text NULL: the value stays. */
static bool parse_whole(const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
    if (!text)
        return true;
    errno = 0;
    *value = strtoull(text, NULL, 10);
    return text[0] && text[strspn(text, "0123456789")] == 0 && errno == 0 && *value >= least && *value <= most;
}

static bool parse(int argc, char **argv, struct options *options)
{
    const char *epochs = NULL, *seed = NULL;
    const struct {
        const char *name, **value;
        bool checks; /* --check heeds it */
    } rows[] = {{"--data", &options->data, false}, {"--test", &options->test, true}, {"--epochs", &epochs, false},
                {"--seed", &seed, false}, {"--output", &options->output, false}, {"--check", &options->check, true}};
    const size_t count = sizeof rows / sizeof rows[0];
    bool trains = false;
    for (int i = 1; i < argc; i += 2) {
        size_t r = 0;
        while (r < count && strcmp(argv[i], rows[r].name) != 0)
            r++;
        if (r == count || i + 1 == argc)
            return false;
        *rows[r].value = argv[i + 1];
        trains |= !rows[r].checks;
    }
    return !(options->check && trains) && parse_whole(epochs, 1, 100000, &options->epochs) &&
           parse_whole(seed, 0, UINT64_MAX, &options->seed);
}

static int print_usage(FILE *out)
{
    fprintf(out, "usage: classifier [--data FILE] [--test FILE] [--epochs N] [--seed N] [--output FILE]\n"
                 "       classifier --check WEIGHTS [--test FILE]\n");
    return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    struct options options = {.output = "classifier.safetensors", .epochs = 8, .seed = 1};
    struct classifier c = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout);
    if (!parse(argc, argv, &options))
        return print_usage(stderr);
    vkg_result result = set_up(&c, &options);
    if (result == VKG_OK)
        result = options.check ? check(&c, options.check) : train(&c, &options);
    if (result == VKG_OK && !options.check)
        printf("wrote %s\n", options.output);
    tear_down(&c);
    return result != VKG_OK || fflush(stdout) != 0;
}
