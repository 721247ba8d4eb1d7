/* Two pictures, as super-resolution compares them: by their luma, without a border. */
#include "base/log.h"
#include "device/device.h"
#include "vkgan/measures.h"

enum { SSIM_WINDOW = 11 };

/* ITU-R BT.601's as MATLAB's rgb2ycbcr has it, from 16 to 235; grey as it is. */
static float luma(const uint8_t *pixel, uint32_t channels)
{
    return channels < 3 ? pixel[0]
                        : 16 + (65.481f * (float)pixel[0] + 128.553f * (float)pixel[1] + 24.966f * (float)pixel[2]) / 255;
}

static void luma_within(const vkg_image *image, uint32_t border, float *y)
{
    for (uint32_t row = border; row < image->height - border; row++)
        for (uint32_t column = border; column < image->width - border; column++)
            *y++ = luma(image->pixels + ((size_t)row * image->width + column) * image->channels, image->channels);
}

/* A program that compares two planes of luma. */
struct comparison {
    vkg_graph *graph;
    vkg_state *state;
    vkg_program *program;
    vkg_tensor *original, *image, *psnr, *ssim;
};

static vkg_result create(vkg_device *device, uint32_t height, uint32_t width, struct comparison *c)
{
    vkg_result result = vkg_graph_create(&device->log, &c->graph);
    if (result != VKG_OK)
        return result;
    c->original = vkg_input(c->graph, "original", VKG_SHAPE(1, height, width, 1));
    c->image = vkg_input(c->graph, "image", VKG_SHAPE(1, height, width, 1));
    c->psnr = vkg_psnr(c->graph, c->original, c->image, 255);
    c->ssim = vkg_ssim(c->graph, c->original, c->image, 255);
    vkg_output(c->graph, "psnr", c->psnr);
    vkg_output(c->graph, "ssim", c->ssim);
    result = vkg_state_create(device, &c->graph, 1, 0, &c->state);
    return result == VKG_OK ? vkg_program_create(device, c->graph, c->state, NULL, &c->program) : result;
}

static void destroy(struct comparison *c)
{
    vkg_program_destroy(&c->program);
    vkg_state_destroy(&c->state);
    vkg_graph_destroy(&c->graph);
}

static vkg_result check(vkg_device *device, const vkg_image *original, const vkg_image *images, uint32_t count, uint32_t border)
{
    const uint64_t least = SSIM_WINDOW + 2 * (uint64_t)border;
    if (original->height < least || original->width < least)
        return vkg_fail(&device->log, VKG_ERROR_INVALID, "vkg_compare_images: a picture of %u×%u with a border of %u, expected at "
                        "least 11×11 within", original->width, original->height, border);
    for (uint32_t i = 0; i < count; i++)
        if (images[i].height != original->height || images[i].width != original->width || images[i].channels != original->channels)
            return vkg_fail(&device->log, VKG_ERROR_INVALID, "vkg_compare_images: pictures of %u×%u×%u and %u×%u×%u, expected one "
                            "shape", original->height, original->width, original->channels, images[i].height, images[i].width,
                            images[i].channels);
    return VKG_OK;
}

vkg_result vkg_compare_images(vkg_device *device, const vkg_image *original, const vkg_image *images, uint32_t count,
                              uint32_t border, vkg_image_score *scores)
{
    struct comparison c = {0};
    vkg_result result = check(device, original, images, count, border);
    if (result == VKG_OK)
        result = create(device, original->height - 2 * border, original->width - 2 * border, &c);
    if (result == VKG_OK)
        luma_within(original, border, vkg_program_input(c.program, c.original, 0));
    for (uint32_t i = 0; i < count && result == VKG_OK; i++) {
        luma_within(&images[i], border, vkg_program_input(c.program, c.image, 0));
        result = vkg_program_run(c.program);
        if (result == VKG_OK)
            scores[i] = (vkg_image_score){*(const float *)vkg_program_output(c.program, c.psnr, 0),
                                          *(const float *)vkg_program_output(c.program, c.ssim, 0)};
    }
    destroy(&c);
    return result;
}
