/* Attention's operations: each is built of matrix products and softmaxes (attention.c), and on graphics cards one kernel
 * (attention_kernel.c). */
#ifndef VKG_OPS_ATTENTION_H
#define VKG_OPS_ATTENTION_H

#include "ops/ops.h"

enum attention_op { ATTENTION, ATTENTION_LOGSUMEXP, ATTENTION_DQ, ATTENTION_DK, ATTENTION_DV, ATTENTION_OPS };
extern const struct op attention_ops[ATTENTION_OPS];

/* Their inputs, of one type up to DY: the first three, or, of gradients, the first six; and behind these the mask, where there is one.
 * LOGSUMEXP is [B…,L,2], the greatest score and log Σ exp(score − greatest): their sum would be rounded as the greatest is.
 * DELTA is [B…,L,1], Σ dy·y. Of the attributes p is the scale, and index the scores of a block: 0 where a kernel may do without. */
enum { QUERY, KEY, VALUE, DY, LOGSUMEXP, DELTA };
static inline uint32_t attention_operands(const struct op *op)
{
    return op >= &attention_ops[ATTENTION_DQ] ? DELTA + 1 : VALUE + 1;
}

const char *attention_check(const struct vkg_device *device, const vkg_tensor *node);
vkg_result lower_attention(struct lowering *lowering, const vkg_tensor *node);

#endif
