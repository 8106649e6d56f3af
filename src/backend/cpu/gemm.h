/* Matrix multiplication in f32: c = beta * c + a * b + bias, for each member of a batch. docs/decisions/0001-own-gemm.md
 * tells why it is our own. */
#ifndef GR_BACKEND_CPU_GEMM_H
#define GR_BACKEND_CPU_GEMM_H

#include "base/thread.h"

/* Sums over k are made of parts of so many, from the first on, where a is transposed: a sum of products that is made piece by
 * piece, with a multiple of it for a piece, has the bits of the whole. */
enum { GR_GEMM_SUM = 384 };

/* Row-major; strides in elements. m, n, k and batch may be 0; k = 0 leaves beta * c + bias. */
typedef struct gr_gemm {
    int64_t m, n, k;
    const void *a;    /* [m, k], or [k, m] if trans_a; rows lda apart */
    gr_dtype a_dtype; /* f32, f16 or bf16: widened while it is packed, or of b with few rows of a while it is read */
    int64_t lda;
    bool trans_a;
    const void *b;    /* [k, n], or [n, k] if trans_b */
    gr_dtype b_dtype; /* as a's; or blocks along the rows of a transposed b, k and ldb whole blocks: a is f32 */
    int64_t ldb;
    bool trans_b;
    void *c;          /* [m, n] */
    gr_dtype c_dtype; /* f16 or bf16: the sums are rounded to it when they are whole; any other: f32 */
    int64_t ldc;
    bool rounds;       /* f32 and bf16 operands are multiplied as bf16, if gr_gemm_rounds */
    float beta;        /* 0: c is only written; 1: added to; 0 where c is 16 bits */
    const float *bias; /* [n], added to each row; NULL: none */
    int64_t batch, stride_a, stride_b, stride_c;
} gr_gemm;

/* Whether this machine multiplies bf16. */
bool gr_gemm_rounds(void);

/* Bytes that gr_gemm_run needs at `scratch` (any alignment) with a pool of `threads`: about 1 MiB a thread. Pointers are not
 * looked at, so it can be planned ahead. */
size_t gr_gemm_scratch(const gr_gemm *g, int threads);

/* Allocates nothing. Bits do not depend on the pool; NULL: the calling thread alone, also from inside a piece. */
void gr_gemm_run(gr_pool *pool, const gr_gemm *g, void *scratch);

/* For tests and measurements: whether the CBLAS library, if there is one, may stand in for our portable tile. */
void gr_gemm_allow_blas(bool allowed);

#endif
