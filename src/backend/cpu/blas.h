/* The CBLAS library, if there is one: for machines on which our own register tile is the portable one. */
#ifndef GR_BACKEND_CPU_BLAS_H
#define GR_BACKEND_CPU_BLAS_H

#include "gradus.h"

bool gr_blas_present(void);     /* opens it when asked for the first time: ask only where it would be used */
const char *gr_blas_name(void); /* "OpenBLAS", "no OpenBLAS" */

/* c = beta * c + a * b on the calling thread, row-major as in gemm.h. Only where gr_blas_present(). */
void gr_blas_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                   const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

/* Whether these sizes fit the library's integers. */
bool gr_blas_fits(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc);

#endif
