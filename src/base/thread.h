/* The thread pool. What a result is made of is cut by shape alone, so that it never depends on how many threads there are. */
#ifndef GR_BASE_THREAD_H
#define GR_BASE_THREAD_H

#include "base/machine.h"
#include "gradus.h"

typedef struct gr_pool gr_pool;
enum { GR_THREADS_MOST = 1024 };

/* `threads` workers, the calling thread counted in; 0 = one per core this process may use. */
gr_pool *gr_pool_new(int threads);
void gr_pool_free(gr_pool *p); /* NULL is fine */
int gr_pool_threads(const gr_pool *p);

/* Calls fn(ctx, piece, worker) once for each piece in [0, pieces), on all workers, and returns when all are done.
 * worker is in [0, threads): an index for per-thread scratch. Each begins with its own share of the pieces, those that
 * follow each other; what another has not come to it takes as well. Allocates nothing. Not re-entrant. A gr_fail inside fn
 * is the worker's thread's alone: pieces tell of failure through ctx. p NULL: runs them all here. */
typedef void (*gr_piece_fn)(void *ctx, int64_t piece, int worker);
void gr_parallel(gr_pool *p, int64_t pieces, gr_piece_fn fn, void *ctx);

#endif
