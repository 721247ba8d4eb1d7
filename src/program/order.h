/* The order in which dispatches are recorded: pure arithmetic, no device. */
#ifndef VKG_PROGRAM_ORDER_H
#define VKG_PROGRAM_ORDER_H

#include "kernels/lowering.h"

/* Sorts the dispatches into waves, and sets their `wave`: those of one wave touch nothing that another of them writes,
 * so that they may overlap and share a barrier. What depends on each other keeps its order. Where the lowering spares memory, some
 * dispatches run behind others that they could run beside, and some run twice (recompute.h). */
vkg_result order_dispatches(struct lowering *lowering);

#endif
