/* The table of tests of operations: a row says how an operation is called, and how exact it is. The cases, with what
 * PyTorch makes of them, come from a file that tests/reference/ops.py writes. */
#ifndef TESTS_OPS_TABLE_H
#define TESTS_OPS_TABLE_H

#include "on_device.h"

/* What a case hands to a row: x are differentiated; i (int32) and c (float32) are not; a are `count` attributes. */
struct ops_call {
    vkg_tensor *const *x, *const *i, *const *c;
    uint32_t x_count;
    const double *a;
    uint32_t count;
};

struct ops_row {
    const char *name; /* of the operation, and "_…" where it has several rows */
    vkg_tensor *(*build)(vkg_graph *g, const struct ops_call *call);
    double tolerance[3]; /* of ‖difference‖/‖expected‖: value, gradient, gradient of the gradient */
};

/* One list a file, ended by a row without a name. */
extern const struct ops_row ops_rows[], ops_rows_resample[];

#define OPS_BUILD(op, expression)                                                                            \
    static vkg_tensor *build_##op(vkg_graph *g, const struct ops_call *call)                                 \
    {                                                                                                        \
        vkg_tensor *const *x = call->x, *const *i = call->i, *const *c = call->c;                            \
        const double *a = call->a;                                                                           \
        (void)x, (void)i, (void)c, (void)a;                                                                  \
        return expression;                                                                                   \
    }
#define OPS_ROW(op, value, gradient, second) {#op, build_##op, {value, gradient, second}}
/* Numbers that only move; one operation, or a short sum; a long sum; several of them. The project promises 1e-5 of sums of up to 1,000 terms. */
#define OPS_EXACT(op) OPS_ROW(op, 1e-7, 1e-7, 1e-7)
#define OPS_CLOSE(op) OPS_ROW(op, 1e-6, 2e-6, 3e-6)
#define OPS_SUM(op) OPS_ROW(op, 5e-6, 5e-6, 5e-6)
#define OPS_NEAR(op) OPS_ROW(op, 5e-6, 1e-5, 1e-5)

/* What has been seen of a row. */
struct ops_record {
    uint32_t cases, differences; /* of those, held against central differences */
    double worst[3];
    char shapes[400]; /* of one case */
};

/* The case `index` of the file against the row; false where something is off, which has been printed. */
bool ops_check(vkg_safetensors *file, uint32_t index, const struct ops_row *row, struct ops_record *record);

#endif
