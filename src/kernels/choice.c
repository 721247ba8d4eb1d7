#include "kernels/choice.h"

#include <stdio.h>
#include <string.h>

/* --- choices --- */

/* The same problem may have other candidates under another VKGAN_KERNELS. */
static void choice_key(const vkg_device *device, enum conv_direction direction, const struct conv_problem *p,
                       char key[CHOICE_KEY_BYTES])
{
    static const char *const names[] = {"forward", "input gradient", "weight gradient"};
    snprintf(key, CHOICE_KEY_BYTES,
             "%s convolution, %s: %u images %ux%u to %ux%u, channels %u to %u, kernel %ux%u, stride %ux%u, padding %ux%u, "
             "dilation %ux%u, %u groups%s",
             vkg_kernel_family_name(device->caps.kernels), names[direction], p->n, p->ih, p->iw, p->oh, p->ow, p->ci,
             p->co, p->kh, p->kw, p->sh, p->sw, p->ph, p->pw, p->dh, p->dw, p->groups, p->batched ? " batched" : "");
}

void conv_candidate_name(const struct conv_plan *plan, char *name, size_t bytes)
{
    snprintf(name, bytes, "%s split %u", plan->step.shader, plan->push.split);
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
    choice_key(device, direction, &plans[0].push.problem, key);
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
    choice_key(device, direction, &plan->push.problem, key);
    conv_candidate_name(plan, name, sizeof name);
    snprintf(value, sizeof value, "%s; %s", name, times);
    return device_set_note(device, key, value);
}

uint32_t conv_choose(const vkg_device *device, enum conv_direction direction, const struct conv_plan *plans,
                     uint32_t count)
{
    uint32_t choice = 0;
    if (device->autotune && conv_find_choice(device, direction, plans, count, &choice) &&
        kernel_trust(device, plans[choice].step.shader) != TRUST_WRONG)
        return choice;
    choice = 0;
    while (choice + 1 < count && kernel_trust(device, plans[choice].step.shader) == TRUST_WRONG)
        choice++;
    return choice;
}

/* --- trust --- */

static void trust_key(const char *shader, char key[CHOICE_KEY_BYTES])
{
    snprintf(key, CHOICE_KEY_BYTES, "kernel %s", shader);
}

enum trust kernel_trust(const vkg_device *device, const char *shader)
{
    char key[CHOICE_KEY_BYTES];
    trust_key(shader, key);
    const char *value = device_note(device, key);
    return !value ? TRUST_UNKNOWN : strncmp(value, "right", 5) == 0 ? TRUST_GOOD : TRUST_WRONG;
}

vkg_result kernel_note_trust(vkg_device *device, const char *shader, enum trust trust, double error)
{
    char key[CHOICE_KEY_BYTES], value[64];
    trust_key(shader, key);
    snprintf(value, sizeof value, "%s, error %.1e", trust == TRUST_GOOD ? "right" : "wrong", error);
    return device_set_note(device, key, value);
}
