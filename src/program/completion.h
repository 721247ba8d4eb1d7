/* Honest completion: a word at the end of each submission, since drivers may cancel work without an error. */
#ifndef VKG_PROGRAM_COMPLETION_H
#define VKG_PROGRAM_COMPLETION_H

#include "program/program.h"

/* The first bytes of each slot's part of the upload buffer hold the run's number: room for it. */
enum { RUN_NUMBER_BYTES = STORAGE_GRAIN };

/* Bytes of the readback buffer, from completion_offset on: the number of the run that began last, then a word a segment. */
uint64_t completion_bytes(uint64_t dispatches);
/* Fresh memory may hold what looks like a later run's words. */
void completion_clear(const struct vkg_program *program, uint64_t dispatches);
/* Into a slot's upload commands: the run's number comes to the device's side. */
void completion_record_begin(const struct vkg_program *program, VkCommandBuffer commands, uint32_t slot);
/* Into a segment's commands, after its last dispatch: the run's number becomes the segment's word. */
void completion_record_end(const struct vkg_program *program, VkCommandBuffer commands, uint32_t segment);

/* Gives the slot's next run its number; before it is sent. */
void completion_start(struct vkg_program *program, uint32_t slot);
/* Whether every word of the slot's finished run is there; otherwise the device counts as lost. */
vkg_result completion_check(struct vkg_program *program, uint32_t slot);

/* Tells the device what the program has in flight, for its messages, until it is forgotten. */
void completion_watch(struct vkg_program *program);
void completion_forget(struct vkg_program *program);

#endif
