/* Sampling a trained generator, batch by batch. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/philox.h"
#include "device/device.h"
#include "gan/network.h"
#include "vkgan/ops.h"

struct vkg_sampler {
    vkg_device *device;
    vkg_graph *graph;
    vkg_program *program;
    vkg_tensor *latents, *images;
    uint32_t batch, latent;
    uint64_t image_elements;
};

static vkg_result build_graph(vkg_device *device, const vkg_sampler_desc *desc, vkg_graph **graph, vkg_tensor **latents,
                              vkg_tensor **images)
{
    vkg_network_settings settings = desc->settings;
    settings.evaluation = true;
    vkg_result result = vkg_graph_create(&device->log, graph);
    if (result != VKG_OK)
        return result;
    *latents = vkg_input(*graph, "latents", VKG_SHAPE(desc->batch ? desc->batch : 64, settings.latent));
    *images = network_call(*graph, desc->generator, "generator", *latents, &settings);
    vkg_output(*graph, "images", *images);
    return VKG_OK;
}

vkg_result vkg_sampler_create_state(vkg_device *device, const vkg_sampler_desc *desc, vkg_state **state)
{
    vkg_graph *graph;
    vkg_tensor *latents, *images;
    *state = NULL;
    vkg_result result = build_graph(device, desc, &graph, &latents, &images);
    if (result != VKG_OK)
        return result;
    result = vkg_state_create(device, &graph, 1, 0, state);
    vkg_graph_destroy(&graph);
    return result;
}

vkg_result vkg_sampler_create(vkg_device *device, const vkg_sampler_desc *desc, vkg_sampler **sampler)
{
    vkg_sampler *made = calloc(1, sizeof *made);
    *sampler = NULL;
    if (!made)
        return vkg_fail(&device->log, VKG_ERROR_OUT_OF_MEMORY, "vkg_sampler_create: out of host memory");
    made->device = device;
    made->batch = desc->batch ? desc->batch : 64;
    made->latent = desc->settings.latent;
    vkg_result result = build_graph(device, desc, &made->graph, &made->latents, &made->images);
    if (result == VKG_OK)
        result = vkg_program_create(device, made->graph, desc->state, &(vkg_program_desc){.name = "sampler"},
                                    &made->program);
    if (result == VKG_OK)
        made->image_elements = vkg_tensor_elements(made->images) / made->batch;
    else
        vkg_sampler_destroy(&made);
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

/* Standard normal numbers, a function of seed and image number. */
static void draw_latent(uint64_t seed, uint64_t number, uint32_t latent, float *z)
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

vkg_result vkg_sampler_generate(vkg_sampler *sampler, uint64_t seed, uint64_t first, uint32_t count, float *images)
{
    for (uint32_t done = 0; done < count; done += sampler->batch) {
        float *z = vkg_program_input(sampler->program, sampler->latents, 0);
        for (uint32_t i = 0; i < sampler->batch; i++)
            draw_latent(seed, first + done + i, sampler->latent, z + (uint64_t)i * sampler->latent);
        vkg_result result = vkg_program_run(sampler->program);
        if (result != VKG_OK)
            return result;
        uint32_t taken = count - done < sampler->batch ? count - done : sampler->batch;
        memcpy(images + done * sampler->image_elements, vkg_program_output(sampler->program, sampler->images, 0),
               taken * sampler->image_elements * sizeof *images);
    }
    return VKG_OK;
}
