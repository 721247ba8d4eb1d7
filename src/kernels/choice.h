/* Which of its candidates runs a convolution on a device: what was measured and tested there decides, and is kept in
 * the device's notes. Without notes it is the first one. */
#ifndef VKG_KERNELS_CHOICE_H
#define VKG_KERNELS_CHOICE_H

#include "device/device.h"
#include "kernels/convolution.h"

enum { CHOICE_KEY_BYTES = 320 };

/* "conv_forward_coopmat_float16 64x64x32 by 128 reads 8 and 1", "conv_forward_texel_wide_many shared by 8 of halves". */
void conv_kernel_name(const struct conv_plan *plan, char *name, size_t bytes);
/* The same with the epilogue that the plan has, "…, epilogue 2", or "… in parts, epilogue 2": what is trusted or not. */
void conv_trusted_name(const struct conv_plan *plan, char *name, size_t bytes);
/* "conv_forward_tiled split 4": tells a problem's candidates apart. */
void conv_candidate_name(const struct conv_plan *plan, char *name, size_t bytes);

/* The noted choice for a problem among its candidates; false where there is none, or what it names is no candidate. */
bool conv_find_choice(const vkg_device *device, enum conv_direction direction, const struct conv_plan *plans,
                      uint32_t count, uint32_t *choice);
/* Notes it; `times` is for people: what was measured. */
vkg_result conv_note_choice(vkg_device *device, enum conv_direction direction, const struct conv_plan *plan,
                            const char *times);

/* The first candidate whose kernel is not distrusted. */
uint32_t conv_guess(const vkg_device *device, const struct conv_plan *plans, uint32_t count);
/* The noted choice, or the first candidate, or where that kernel is distrusted the first one that is not. */
uint32_t conv_choose(const vkg_device *device, enum conv_direction direction, const struct conv_plan *plans,
                     uint32_t count);

/* What the self-test said, on this device, of a kernel of that name; `seen` is for people. Without self-tests all are
 * good. */
enum trust { TRUST_UNKNOWN, TRUST_GOOD, TRUST_WRONG };
enum trust kernel_trust(const vkg_device *device, const char *kernel);
enum trust conv_trust(const vkg_device *device, const struct conv_plan *plan);
/* "sums by texel reads": what a check of other kernels (program/kernel_checks.h) is called in the family that the device runs. */
void kernel_check_name(const vkg_device *device, const char *check, char name[64]);
/* And what is known of those kernels. */
enum trust kernel_check_trust(const vkg_device *device, const char *check);
#define SUMS_OF_WORKGROUPS "sums of workgroups" /* the check of what kernels/fused_sum.c has workgroups do */
vkg_result kernel_note_trust(vkg_device *device, const char *kernel, enum trust trust, const char *seen);

#endif
