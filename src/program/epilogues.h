/* Which convolutions do with their result what would otherwise take a kernel behind them: kernels/epilogue.h. */
#ifndef VKG_PROGRAM_EPILOGUES_H
#define VKG_PROGRAM_EPILOGUES_H

#include "program/fuse.h"

/* Fills fusion's epilogues (zeroed before): nodes on the way from a convolution to its result are no longer live, results are
 * finished, and some lie in memory as halves. most_elements: larger tensors cannot be read by an epilogue. false: out of
 * memory. Pure: reads the graph only. */
bool epilogues_find(const vkg_graph *graph, uint64_t most_elements, struct fusion *fusion);

#endif
