/* OpenBLAS, opened when the first product asks for it, which only machines without AVX2 do. Linking it would make every
 * process pay for it: it starts its threads when it is loaded, and where address space is limited those try for ever. */
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "backend/cpu/blas.h"

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 }; /* CBLAS's own numbers */

typedef void sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                      const float *b, int ldb, float beta, float *c, int ldc);

static sgemm_fn *sgemm; /* NULL: there is none */
/* A build without threads hands out its buffers without a lock: two of our threads in it would get the same one. */
static bool one_at_a_time;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* Our pool brings the threads, but only a build that knows threads may be called by several: Debian keeps it there, and
 * the name behind it is everybody's for the usual build. */
static void *open_library(void)
{
    static const char *const names[] = {
#ifdef GR_MULTIARCH
        "/usr/lib/" GR_MULTIARCH "/openblas-pthread/libopenblas.so.0",
#endif
        "libopenblas.so.0",
        "libopenblas.so",
        "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
        "/usr/local/opt/openblas/lib/libopenblas.dylib",
    };
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

static void find(void)
{
    void *library = open_library();
    if (!library)
        return;
    void (*one_thread)(int) = NULL;
    int (*parallel)(void) = NULL;
    void *set = dlsym(library, "openblas_set_num_threads"), *product = dlsym(library, "cblas_sgemm");
    void *kind = dlsym(library, "openblas_get_parallel");
    if (!set || !product)
        return;
    /* ISO C has no cast from an object's address to a function's; POSIX says that the bits are the same. */
    memcpy(&one_thread, &set, sizeof set);
    memcpy(&sgemm, &product, sizeof product);
    memcpy(&parallel, &kind, sizeof kind);
    one_at_a_time = !parallel || parallel() == 0;
    one_thread(1);
}

bool gr_blas_present(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    return sgemm != NULL;
}

const char *gr_blas_name(void)
{
    return gr_blas_present() ? "OpenBLAS" : "no OpenBLAS";
}

bool gr_blas_fits(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc)
{
    const int64_t sizes[] = {m, n, k, lda, ldb, ldc};
    for (int i = 0; i < 6; i++)
        if (sizes[i] > INT_MAX)
            return false;
    return true;
}

void gr_blas_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                   const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (one_at_a_time)
        pthread_mutex_lock(&turn);
    sgemm(ROW_MAJOR, trans_a ? TRANS : NO_TRANS, trans_b ? TRANS : NO_TRANS, (int)m, (int)n, (int)k, 1.0f, a, (int)lda,
          b, (int)ldb, beta, c, (int)ldc);
    if (one_at_a_time)
        pthread_mutex_unlock(&turn);
}
