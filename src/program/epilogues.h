/* Which convolutions do with their result what would otherwise take a kernel behind them: kernels/epilogue.h. */
#ifndef VKG_PROGRAM_EPILOGUES_H
#define VKG_PROGRAM_EPILOGUES_H

#include "kernels/epilogue.h"

/* Fills epilogues (zeroed, one a tensor id); nodes on the way from a convolution to its result are no longer live.
 * finished, a flag a tensor id: the results. most_elements: larger tensors cannot be read by an epilogue. false: out of
 * memory. Pure: reads the graph only. */
bool epilogues_find(const vkg_graph *graph, uint64_t most_elements, bool *live, struct epilogue *epilogues, bool *finished);

#endif
