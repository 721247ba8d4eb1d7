/* Sampling a trained generator, batch by batch. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/philox.h"
#include "device/device.h"
#include "gan/network.h"
#include "graph/graph.h"
#include "vkgan/ops.h"

struct vkg_sampler {
    vkg_device *device;
    vkg_graph *graph;
    vkg_program *program;
    vkg_tensor *input; /* latents, or the inputs of pairs */
    vkg_tensor *labels, *images; /* labels: NULL where the generator knows no classes */
    vkg_state *state;
    uint32_t random; /* the place of the random numbers in the state; UINT32_MAX: the generator draws none */
    bool of_inputs;  /* rather than of latents */
    uint32_t batch, latent, classes;
    int32_t label; /* of all images; −1: all classes in turn */
    uint64_t image_elements;
};

static uint32_t batch_of(const vkg_sampler_desc *desc)
{
    return desc->batch ? desc->batch : 64;
}

static vkg_result build_graph(vkg_device *device, const vkg_sampler_desc *desc, vkg_sampler *sampler)
{
    vkg_network_settings settings = desc->settings;
    vkg_result result = vkg_graph_create(&device->log, &sampler->graph);
    if (result != VKG_OK)
        return result;
    const uint32_t n = batch_of(desc), *input = settings.input;
    sampler->of_inputs = input[0] != 0;
    sampler->input = sampler->of_inputs
                         ? vkg_input(sampler->graph, "input", VKG_SHAPE(n, input[0], input[1], input[2]))
                         : vkg_input(sampler->graph, "latents", VKG_SHAPE(n, settings.latent));
    if (settings.classes != 0)
        sampler->labels = vkg_input_typed(sampler->graph, "labels", VKG_SHAPE(n), VKG_INT32);
    settings.evaluation = true;
    settings.labels = sampler->labels;
    const uint32_t any_size[3] = {0, 0, settings.image[2]}; /* of inputs of another size than those of the training, for example */
    sampler->images = network_generate(sampler->graph, desc->generator, desc->scope ? desc->scope : "generator",
                                       sampler->input, &settings, sampler->of_inputs ? any_size : settings.image);
    vkg_output(sampler->graph, "images", sampler->images);
    return sampler->graph->error ? VKG_ERROR_INVALID : VKG_OK; /* which was said when it happened */
}

vkg_result vkg_sampler_create_state(vkg_device *device, const vkg_sampler_desc *desc, vkg_state **state)
{
    vkg_sampler sampler = {0};
    *state = NULL;
    vkg_result result = build_graph(device, desc, &sampler);
    if (result == VKG_OK)
        result = vkg_state_create(device, &sampler.graph, 1, 0, state);
    vkg_graph_destroy(&sampler.graph);
    return result;
}

vkg_result vkg_sampler_create(vkg_device *device, const vkg_sampler_desc *desc, vkg_sampler **sampler)
{
    vkg_sampler *made = calloc(1, sizeof *made);
    *sampler = NULL;
    if (!made)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_sampler_create: out of host memory");
    made->device = device;
    made->state = desc->state;
    made->batch = batch_of(desc);
    made->latent = desc->settings.latent;
    made->classes = desc->settings.classes;
    made->label = -1;
    vkg_result result = build_graph(device, desc, made);
    if (result == VKG_OK)
        result = vkg_program_create(device, made->graph, desc->state, &(vkg_program_desc){.name = "sampler"},
                                    &made->program);
    if (result == VKG_OK) {
        made->image_elements = vkg_tensor_elements(made->images) / made->batch;
        made->random = graph_find_declaration(made->graph, "random.state") ? vkg_state_find(made->state, "random.state") : UINT32_MAX;
    } else {
        vkg_sampler_destroy(&made);
    }
    *sampler = made;
    return result;
}

void vkg_sampler_destroy(vkg_sampler **sampler)
{
    if (!sampler || !*sampler)
        return;
    vkg_program_destroy(&(*sampler)->program);
    vkg_graph_destroy(&(*sampler)->graph);
    free(*sampler);
    *sampler = NULL;
}

void vkg_sampler_image(const vkg_sampler *sampler, uint32_t image[3])
{
    const vkg_shape shape = vkg_tensor_shape(sampler->images);
    memcpy(image, shape.dims + 1, 3 * sizeof *image);
}

void vkg_sampler_latents(uint64_t seed, uint64_t number, uint32_t latent, float *z)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (uint32_t i = 0; i < latent; i += 4) {
        const uint32_t counter[4] = {i / 4, (uint32_t)number, (uint32_t)(number >> 32), 0x736d706cu};
        uint32_t bits[4];
        float normals[4];
        philox4x32(counter, key, bits);
        philox_normals(bits[0], bits[1], normals);
        philox_normals(bits[2], bits[3], normals + 2);
        memcpy(z + i, normals, (latent - i < 4 ? latent - i : 4) * sizeof *z);
    }
}

void vkg_sampler_set_label(vkg_sampler *sampler, int32_t label)
{
    sampler->label = label;
}

/* --- what a generator draws itself, as by dropout, is a function of seed and place, and a training whose state this is does not
 * notice --- */

static vkg_result keep_random(const vkg_sampler *sampler, uint32_t kept[4])
{
    return sampler->random != UINT32_MAX ? vkg_state_read(sampler->state, sampler->random, kept) : VKG_OK;
}

static vkg_result set_random(const vkg_sampler *sampler, uint64_t seed, uint64_t place)
{
    const uint32_t words[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)place, (uint32_t)(place >> 32)};
    return sampler->random != UINT32_MAX ? vkg_state_write(sampler->state, sampler->random, words) : VKG_OK;
}

/* Also behind a run that failed, whose result it is then. */
static vkg_result restore_random(const vkg_sampler *sampler, const uint32_t kept[4], vkg_result result)
{
    const vkg_result written = sampler->random != UINT32_MAX ? vkg_state_write(sampler->state, sampler->random, kept) : VKG_OK;
    return result == VKG_OK ? written : result;
}

/* --- runs --- */

/* Runs with the latents or inputs that are there, as images number, number + 1, …; writes the first `count`. */
static vkg_result run_batch(vkg_sampler *sampler, uint64_t seed, uint64_t number, uint32_t count, float *images)
{
    int32_t *labels = sampler->labels ? vkg_program_input(sampler->program, sampler->labels, 0) : NULL;
    if (labels && sampler->label >= (int32_t)sampler->classes)
        return vkg_fail(&sampler->device->log, VKG_ERROR_INVALID, "vkg_sampler_set_label: %d, and there are %u classes", sampler->label,
                        sampler->classes);
    for (uint32_t i = 0; labels && i < sampler->batch; i++)
        labels[i] = sampler->label >= 0 ? sampler->label : (int32_t)((number + i) % sampler->classes);
    vkg_result result = set_random(sampler, seed, number);
    if (result == VKG_OK)
        result = vkg_program_run(sampler->program);
    if (result == VKG_OK)
        memcpy(images, vkg_program_output(sampler->program, sampler->images, 0),
               count * sampler->image_elements * sizeof *images);
    return result;
}

/* A batch of what is given, filled up with its first; or of the latents that the seed defines. */
static void fill_batch(vkg_sampler *sampler, const float *given, uint64_t seed, uint64_t number, uint32_t count)
{
    const uint64_t elements = vkg_tensor_elements(sampler->input) / sampler->batch;
    float *filled = vkg_program_input(sampler->program, sampler->input, 0);
    for (uint32_t i = 0; i < sampler->batch; i++)
        if (given)
            memcpy(filled + i * elements, given + (i < count ? i : 0) * elements, elements * sizeof *given);
        else
            vkg_sampler_latents(seed, number + i, sampler->latent, filled + i * elements);
}

/* Images first, first + 1, … of given latents or inputs, or, where these are NULL, of the seed's latents. */
static vkg_result run_all(vkg_sampler *sampler, const float *given, uint64_t seed, uint64_t first, uint32_t count, float *images)
{
    const uint64_t elements = vkg_tensor_elements(sampler->input) / sampler->batch;
    uint32_t kept[4];
    vkg_result result = keep_random(sampler, kept);
    if (result != VKG_OK)
        return result;
    for (uint32_t done = 0; done < count && result == VKG_OK; done += sampler->batch) {
        const uint32_t part = count - done < sampler->batch ? count - done : sampler->batch;
        fill_batch(sampler, given ? given + done * elements : NULL, seed, first + done, part);
        result = run_batch(sampler, seed, first + done, part, images + done * sampler->image_elements);
    }
    return restore_random(sampler, kept, result);
}

/* --- the public calls --- */

static vkg_result wrong_call(const vkg_sampler *sampler)
{
    return vkg_fail(&sampler->device->log, VKG_ERROR_INVALID, "the generator makes images of %s, see vkg_sampler_%s",
                    sampler->of_inputs ? "inputs" : "latents", sampler->of_inputs ? "translate" : "generate");
}

vkg_result vkg_sampler_generate(vkg_sampler *sampler, uint64_t seed, uint64_t first, uint32_t count, float *images)
{
    return sampler->of_inputs ? wrong_call(sampler) : run_all(sampler, NULL, seed, first, count, images);
}

vkg_result vkg_sampler_draw(vkg_sampler *sampler, const float *latents, uint32_t count, float *images)
{
    return sampler->of_inputs ? wrong_call(sampler) : run_all(sampler, latents, 0, 0, count, images);
}

vkg_result vkg_sampler_translate(vkg_sampler *sampler, uint64_t seed, const float *inputs, uint32_t count, float *images)
{
    return sampler->of_inputs ? run_all(sampler, inputs, seed, 0, count, images) : wrong_call(sampler);
}
