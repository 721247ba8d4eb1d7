/* Inputs on their way: on the transfer queue they cross the bus while the run before still computes. Tensors' memory is shared
 * by all runs, so they land in a place of their slot's own, and the run's first submission takes them from there.
 * Where the device's uploads are not apart, or a program has no inputs, all of this does nothing. */
#ifndef VKG_PROGRAM_ARRIVALS_H
#define VKG_PROGRAM_ARRIVALS_H

#include "program/program.h"

/* After program->upload was made. */
vkg_result arrivals_create(struct vkg_program *program);
/* After arrivals_create, a slot after the other. */
vkg_result arrivals_record_slot(struct vkg_program *program, uint32_t index);
void arrivals_destroy(struct vkg_program *program);

/* Where a run's own commands find its inputs, laid out as program->upload is. */
VkBuffer arrivals_buffer(const struct vkg_program *program);
/* Sends the slot's inputs; its `arriving` is then what the run's first submission must wait for. */
vkg_result arrivals_send(struct vkg_program *program, uint32_t index);

#endif
