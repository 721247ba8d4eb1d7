#include "kernels/choice.h"

#include <stdio.h>
#include <string.h>

/* --- choices --- */

/* The same problem may have other candidates under another VKGAN_KERNELS, and of another type. */
static void choice_key(const vkg_device *device, enum conv_direction direction, const struct conv_plan *plan,
                       char key[CHOICE_KEY_BYTES])
{
    const struct conv_problem *p = &plan->push.problem;
    static const char *const names[] = {"forward", "input gradient", "weight gradient"};
    snprintf(key, CHOICE_KEY_BYTES,
             "%s convolution, %s: %u images %ux%u to %ux%u, channels %u to %u, kernel %ux%u, stride %ux%u, padding %ux%u, "
             "dilation %ux%u, %u groups%s%s%s",
             vkg_kernel_family_name(device->caps.kernels), names[direction], p->n, p->ih, p->iw, p->oh, p->ow, p->ci,
             p->co, p->kh, p->kw, p->sh, p->sw, p->ph, p->pw, p->dh, p->dw, p->groups, p->batched ? " batched" : "",
             plan->dtype == VKG_FLOAT32 ? "" : ", ", plan->dtype == VKG_FLOAT32 ? "" : vkg_dtype_name(plan->dtype));
}

void conv_kernel_name(const struct conv_plan *plan, char *name, size_t bytes)
{
    const struct conv_step *step = &plan->step;
    char tile[64] = "", grains[32] = "", sharers[32] = "";
    if (step->tile[0])
        snprintf(tile, sizeof tile, " %ux%ux%u by %u%s", step->tile[0], step->tile[1], step->tile[2], step->workgroup,
                 step->by_image ? " image by image" : "");
    if (step->grains[0])
        snprintf(grains, sizeof grains, " reads %u and %u", step->grains[0], step->grains[1]);
    if (step->sharers)
        snprintf(sharers, sizeof sharers, " shared by %u", step->sharers);
    const bool halves = !step->tile[0] && plan->dtype != VKG_FLOAT32 && !plan->unpacks;
    snprintf(name, bytes, "%s%s%s%s%s", step->shader, tile, grains, sharers, halves ? " of halves" : "");
}

void conv_trusted_name(const struct conv_plan *plan, char *name, size_t bytes)
{
    char kernel[96];
    conv_kernel_name(plan, kernel, sizeof kernel);
    if (plan->epilogue)
        snprintf(name, bytes, "%s%s, epilogue %u", kernel,
                 plan->finishes ? plan->dtype == VKG_BFLOAT16 ? " fours bf16" : " by fours" : plan->push.split > 1 ? " in parts" : "",
                 plan->epilogue);
    else
        snprintf(name, bytes, "%s", kernel);
}

void conv_candidate_name(const struct conv_plan *plan, char *name, size_t bytes)
{
    char kernel[96];
    conv_kernel_name(plan, kernel, sizeof kernel);
    snprintf(name, bytes, "%s split %u", kernel, plan->push.split);
}

/* Does a note's value begin with that name, and nothing that goes on? */
static bool names_candidate(const char *value, const struct conv_plan *plan)
{
    char name[128];
    conv_candidate_name(plan, name, sizeof name);
    const size_t length = strlen(name);
    return strncmp(value, name, length) == 0 && (value[length] == 0 || value[length] == ';');
}

bool conv_find_choice(const vkg_device *device, enum conv_direction direction, const struct conv_plan *plans,
                      uint32_t count, uint32_t *choice)
{
    char key[CHOICE_KEY_BYTES];
    choice_key(device, direction, &plans[0], key);
    const char *value = device_note(device, key);
    for (uint32_t i = 0; i < count && value; i++)
        if (names_candidate(value, &plans[i])) {
            *choice = i;
            return true;
        }
    return false;
}

vkg_result conv_note_choice(vkg_device *device, enum conv_direction direction, const struct conv_plan *plan,
                            const char *times)
{
    char key[CHOICE_KEY_BYTES], name[128], value[4096];
    choice_key(device, direction, plan, key);
    conv_candidate_name(plan, name, sizeof name);
    snprintf(value, sizeof value, "%s; %s", name, times);
    return device_set_note(device, key, value);
}

uint32_t conv_guess(const vkg_device *device, const struct conv_plan *plans, uint32_t count)
{
    uint32_t choice = 0;
    while (choice + 1 < count && conv_trust(device, &plans[choice]) == TRUST_WRONG)
        choice++;
    return choice;
}

uint32_t conv_choose(const vkg_device *device, enum conv_direction direction, const struct conv_plan *plans,
                     uint32_t count)
{
    uint32_t choice = 0;
    if (device->autotune && conv_find_choice(device, direction, plans, count, &choice) &&
        conv_trust(device, &plans[choice]) != TRUST_WRONG)
        return choice;
    return conv_guess(device, plans, count);
}

/* --- trust --- */

static void trust_key(const char *kernel, char key[CHOICE_KEY_BYTES])
{
    snprintf(key, CHOICE_KEY_BYTES, "kernel %s", kernel);
}

enum trust kernel_trust(const vkg_device *device, const char *kernel)
{
    char key[CHOICE_KEY_BYTES];
    if (!device->self_test)
        return TRUST_GOOD;
    trust_key(kernel, key);
    const char *value = device_note(device, key);
    return !value                            ? TRUST_UNKNOWN
           : strncmp(value, "right", 5) == 0 ? TRUST_GOOD
           : strncmp(value, "wrong", 5) == 0 ? TRUST_WRONG
                                             : TRUST_UNKNOWN; /* a line that somebody changed */
}

enum trust conv_trust(const vkg_device *device, const struct conv_plan *plan)
{
    char name[128];
    conv_trusted_name(plan, name, sizeof name);
    return kernel_trust(device, name);
}

void kernel_check_name(const vkg_device *device, const char *check, char name[64])
{
    snprintf(name, 64, "%s by %s reads", check, device->caps.kernels == VKG_KERNELS_TEXEL ? "texel" : "storage");
}

enum trust kernel_check_trust(const vkg_device *device, const char *check)
{
    char name[64];
    kernel_check_name(device, check, name);
    return kernel_trust(device, name);
}

vkg_result kernel_note_trust(vkg_device *device, const char *kernel, enum trust trust, const char *seen)
{
    char key[CHOICE_KEY_BYTES], value[64];
    trust_key(kernel, key);
    snprintf(value, sizeof value, "%s, %s", trust == TRUST_GOOD ? "right" : "wrong", seen);
    return device_set_note(device, key, value);
}
