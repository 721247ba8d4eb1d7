#include "kernels/convolution_problem.h"
#include "kernels/lowering.h"
struct conv_push { uint32_t x[20]; };
struct conv_step { const char *shader; uint32_t constant_count, constants[4]; enum binding_format formats[2]; uint32_t groups[3]; struct conv_push push; };
struct conv_plan { uint32_t step_count; struct conv_step steps[2]; uint64_t scratch_floats; double flops; };
static vkg_result conv_plan_build(const vkg_device_caps *c, enum vkg_kernel_family f, enum conv_direction d, const struct conv_problem *p, struct conv_plan *plan) { (void)c;(void)f;(void)d;(void)p;(void)plan; return VKG_ERROR_UNSUPPORTED; }
