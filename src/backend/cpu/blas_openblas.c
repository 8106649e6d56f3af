#include "backend/cpu/blas.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>

bool gr_blas_present(void)
{
    return true;
}

const char *gr_blas_name(void)
{
    return "OpenBLAS";
}

bool gr_blas_fits(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc)
{
    const int64_t sizes[] = {m, n, k, lda, ldb, ldc};
    for (int i = 0; i < 6; i++)
        if (sizes[i] > INT_MAX)
            return false;
    return true;
}

/* Our pool brings the threads: OpenBLAS's own would only fight with them. */
static void use_one_thread(void)
{
    openblas_set_num_threads(1);
}

void gr_blas_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                   const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, use_one_thread);
    cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n,
                (int)k, 1.0f, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}
