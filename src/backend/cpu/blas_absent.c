/* A build without BLAS. */
#include "backend/cpu/blas.h"

bool gr_blas_present(void)
{
    return false;
}

const char *gr_blas_name(void)
{
    return "no OpenBLAS";
}

bool gr_blas_fits(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc)
{
    (void)m, (void)n, (void)k, (void)lda, (void)ldb, (void)ldc;
    return false;
}

/* Never reached: gemm.c asks gr_blas_present() first. */
void gr_blas_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                   const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    (void)trans_a, (void)trans_b, (void)m, (void)n, (void)k, (void)a, (void)lda, (void)b, (void)ldb, (void)beta;
    (void)c, (void)ldc;
}
