/* The Fréchet distance of two normal distributions.
 *
 * The trace of (A·B)^½ is the sum of the roots of the eigenvalues of A·B, which are those of S·B·S with S = A^½. With
 * A = U·diag(λ)·Uᵀ they are also those of T·B·Tᵀ with T = diag(√λ)·Uᵀ: symmetric, so that eigenvalues come out real and
 * a singular covariance needs no care (against a general square root of A·B, which has to be patched there). */
#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "measures/measures.h"

/* Eigenvalues of a symmetric matrix [n,n], ascending; its memory then holds the eigenvectors as rows, where wanted. */
static vkg_result decompose(const vkg_log *log, char vectors, int n, double *matrix, double *values)
{
    /* A symmetric matrix is its own transpose: as LAPACK's columns they come out as our rows. */
    const lapack_int info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, vectors, 'U', n, matrix, n, values);
    if (info == LAPACK_WORK_MEMORY_ERROR)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "Fréchet distance: out of host memory");
    return info == 0 ? VKG_OK : vkg_fail(log, VKG_ERROR_INVALID, "Fréchet distance: the covariances have no eigenvalues "
                                         "(dsyevd: %d); are the features finite?", (int)info);
}

/* Eigenvalues that rounding has made negative are zero. */
static double root(double eigenvalue)
{
    return eigenvalue > 0 ? sqrt(eigenvalue) : 0;
}

/* tr (A·B)^½; t, product and values are room for [n,n], [n,n] and [n]. */
static vkg_result trace_of_root(const vkg_log *log, int n, const double *a, const double *b, double *t, double *product,
                                double *values, double *trace)
{
    memcpy(t, a, (size_t)n * n * sizeof *t);
    vkg_result result = decompose(log, 'V', n, t, values);
    if (result != VKG_OK)
        return result;
    for (int i = 0; i < n; i++)
        cblas_dscal(n, root(values[i]), t + (size_t)i * n, 1);
    double *whole = malloc((size_t)n * n * sizeof *whole);
    if (!whole)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "Fréchet distance: out of host memory");
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, t, n, b, n, 0, product, n);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, n, 1, product, n, t, n, 0, whole, n);
    result = decompose(log, 'N', n, whole, values);
    *trace = 0;
    for (int i = 0; i < n && result == VKG_OK; i++)
        *trace += root(values[i]);
    free(whole);
    return result;
}

static bool all_finite(const double *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

vkg_result vkg_frechet_distance(const vkg_log *log, uint32_t size, const double *mean_a, const double *covariance_a,
                                const double *mean_b, const double *covariance_b, double *distance)
{
    const uint64_t elements = (uint64_t)size * size;
    double trace = 0, squares = 0;
    *distance = NAN;
    if (size == 0 || size > 32768)
        return vkg_fail(log, VKG_ERROR_INVALID, "Fréchet distance: %u features, expected 1 to 32768", size);
    if (!all_finite(mean_a, size) || !all_finite(mean_b, size) || !all_finite(covariance_a, elements) ||
        !all_finite(covariance_b, elements))
        return vkg_fail(log, VKG_ERROR_INVALID, "Fréchet distance: means or covariances are not finite");
    double *room = malloc((2 * elements + size) * sizeof *room);
    if (!room)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "Fréchet distance: out of host memory");
    vkg_result result = trace_of_root(log, (int)size, covariance_a, covariance_b, room, room + elements, room + 2 * elements,
                                      &trace);
    free(room);
    for (uint32_t i = 0; i < size; i++)
        squares += (mean_a[i] - mean_b[i]) * (mean_a[i] - mean_b[i]) + covariance_a[(uint64_t)i * size + i] +
                   covariance_b[(uint64_t)i * size + i];
    if (result == VKG_OK)
        *distance = fmax(squares - 2 * trace, 0);
    return result;
}
