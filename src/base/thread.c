/* A job is one call of gr_parallel. Everything about its life is in one atomic word, so that a worker that wakes too
 * late to help is neither waited for nor able to touch the next job:
 *
 *     state = [number of the job | OPEN | workers inside]
 *
 * The caller fills in the job and opens it; workers enter while it is open, claim pieces by counters, and leave. When
 * no piece is left the caller closes the job and waits until nobody is inside. */
#include "base/thread.h"

#include "base/error.h"
#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define INSIDE ((uint64_t)0xFFFF)
#define OPEN ((uint64_t)1 << 16)
#define NEXT_JOB ((uint64_t)1 << 17)
enum { SPIN_NS = 20000, LOOKS_A_CLOCK = 16, LINE = 64, RANGES_MOST = 16 };

/* A share of a job's pieces. */
typedef struct range {
    atomic_llong next; /* piece to claim */
    int64_t end;
    char apart[LINE - 2 * sizeof(int64_t)]; /* everybody near it writes a range: each is a cache line of its own */
} range;

/* `job` says what `state` says it does: fields are written only while closed and nobody is inside. */
struct gr_pool {
    _Alignas(LINE) _Atomic uint64_t state; /* and in its cache line all that a worker reads to begin */
    gr_piece_fn fn;
    void *ctx;
    int ranges;                /* of this job */
    int threads;               /* the caller counted in */
    int spin_ns;               /* how long to look before sleeping */
    atomic_int sleepers;       /* workers that wait for `start` */
    atomic_bool caller_sleeps; /* the caller waits for `done` */
    atomic_bool stop;
    _Alignas(LINE) range range[RANGES_MOST];
    pthread_mutex_t lock; /* only for sleeping */
    pthread_cond_t start, done;
    pthread_t *ids; /* threads - 1 */
    struct worker {
        gr_pool *pool;
        int index;
    } * workers;
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A training step is a thousand short jobs, one right after the other: sleeping in between would cost more than the
 * jobs. Looks for a while whether ready(pool, seen) and returns whether it was. */
static bool spin(const gr_pool *p, bool (*ready)(const gr_pool *, uint64_t), uint64_t seen)
{
    if (p->spin_ns == 0)
        return ready(p, seen);
    int64_t end = now_ns() + p->spin_ns;
    do {
        for (int i = 0; i < LOOKS_A_CLOCK; i++) {
            if (ready(p, seen))
                return true;
            relax();
        }
    } while (now_ns() < end);
    return false;
}

static bool has_new_job(const gr_pool *p, uint64_t seen)
{
    return atomic_load(&p->state) / NEXT_JOB != seen || atomic_load(&p->stop);
}

static bool all_left(const gr_pool *p, uint64_t unused)
{
    (void)unused;
    return (atomic_load(&p->state) & INSIDE) == 0;
}

/* Who sleeps first says so, then looks again; who wakes first changes the state, then looks for sleepers. In that order
 * (all of it sequentially consistent) one of the two always sees the other. */
static void wait_for_job(gr_pool *p, uint64_t seen)
{
    if (spin(p, has_new_job, seen))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (!has_new_job(p, seen))
        pthread_cond_wait(&p->start, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_workers(gr_pool *p)
{
    if (spin(p, all_left, 0))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, true);
    while (!all_left(p, 0))
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

/* Each begins with the range that is its own, the same share of one job as of the next: what a worker wrote, rows of a batch
 * most often, it then finds in its own caches, while to fetch it from another core can take as long as from memory. What
 * others have left of theirs comes after. */
static void run_pieces(gr_pool *p, int worker)
{
    const gr_piece_fn fn = p->fn; /* copies: others take the line that these are in */
    void *const ctx = p->ctx;
    const int ranges = p->ranges, home = (int)((int64_t)worker * ranges / p->threads);
    for (int i = 0; i < ranges; i++) {
        range *r = &p->range[(home + i) % ranges];
        int64_t piece;
        while (atomic_load(&r->next) < r->end && (piece = atomic_fetch_add(&r->next, 1)) < r->end)
            fn(ctx, piece, worker);
    }
}

/* True, and counted in, if the job `state` told of is still open. */
static bool enter(gr_pool *p, uint64_t *job)
{
    uint64_t state = atomic_load(&p->state);
    do {
        *job = state / NEXT_JOB;
        if (!(state & OPEN))
            return false;
    } while (!atomic_compare_exchange_weak(&p->state, &state, state + 1));
    return true;
}

static void leave(gr_pool *p)
{
    uint64_t left = atomic_fetch_sub(&p->state, 1) - 1;
    if ((left & (INSIDE | OPEN)) != 0 || !atomic_load(&p->caller_sleeps))
        return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->done);
    pthread_mutex_unlock(&p->lock);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    gr_pool *p = w->pool;
    uint64_t job = 0;
    while (!atomic_load(&p->stop)) {
        if (enter(p, &job)) {
            run_pieces(p, w->index);
            leave(p);
        }
        wait_for_job(p, job);
    }
    return NULL;
}

static void wake(gr_pool *p, int64_t how_many)
{
    int64_t sleepers = atomic_load(&p->sleepers);
    if (sleepers == 0)
        return;
    pthread_mutex_lock(&p->lock);
    if (how_many >= sleepers)
        pthread_cond_broadcast(&p->start);
    else
        for (int64_t i = 0; i < how_many; i++)
            pthread_cond_signal(&p->start);
    pthread_mutex_unlock(&p->lock);
}

void gr_parallel(gr_pool *p, int64_t pieces, gr_piece_fn fn, void *ctx)
{
    if (!p || p->threads == 1 || pieces <= 1) {
        for (int64_t i = 0; i < pieces; i++)
            fn(ctx, i, 0);
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    p->ranges = p->threads < RANGES_MOST ? p->threads : RANGES_MOST;
    p->ranges = pieces < p->ranges ? (int)pieces : p->ranges;
    for (int64_t i = 0; i < p->ranges; i++) {
        atomic_store(&p->range[i].next, pieces * i / p->ranges);
        p->range[i].end = pieces * (i + 1) / p->ranges;
    }
    atomic_store(&p->state, (atomic_load(&p->state) / NEXT_JOB + 1) * NEXT_JOB | OPEN);
    wake(p, pieces - 1);
    run_pieces(p, 0);
    atomic_fetch_and(&p->state, ~OPEN);
    wait_for_workers(p);
}

int gr_pool_threads(const gr_pool *p)
{
    return p ? p->threads : 1;
}

/* Starts workers 1 .. threads - 1 with all signals blocked: a signal belongs to the program's own threads. Returns how
 * many run. */
static int start_workers(gr_pool *p, int *error)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int started = 0;
    for (*error = 0; started < p->threads - 1; started++) {
        p->workers[started] = (struct worker){p, started + 1};
        *error = pthread_create(&p->ids[started], NULL, work, &p->workers[started]);
        if (*error)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return started;
}

static void stop_workers(gr_pool *p, int started)
{
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < started; i++)
        pthread_join(p->ids[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->start);
    pthread_cond_destroy(&p->done);
    gr_free(p->ids);
    gr_free(p->workers);
    gr_free(p);
}

gr_pool *gr_pool_new(int threads)
{
    if (threads < 0 || threads > GR_THREADS_MOST) {
        gr_fail(GR_ERR_ARGUMENT, "making a thread pool: %d threads is out of range\nuse 1 to %d, or 0 for one per core",
                threads, GR_THREADS_MOST);
        return NULL;
    }
    int cores = gr_cpu_count();
    threads = threads ? threads : cores > GR_THREADS_MOST ? GR_THREADS_MOST : cores;
    gr_pool *p = gr_alloc_zero(1, sizeof *p);
    if (!p)
        return NULL;
    p->threads = threads;
    p->spin_ns = threads <= cores ? SPIN_NS : 0; /* with more threads than cores the one waited for needs this core */
    p->ids = gr_alloc_zero((size_t)threads, sizeof *p->ids);
    p->workers = p->ids ? gr_alloc_zero((size_t)threads, sizeof *p->workers) : NULL;
    if (!p->workers) {
        gr_free(p->ids);
        gr_free(p);
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->start, NULL);
    pthread_cond_init(&p->done, NULL);
    int error, started = start_workers(p, &error);
    if (error) {
        stop_workers(p, started);
        gr_fail(GR_ERR_MEMORY, "starting thread %d of %d: %s\nuse fewer threads", started + 2, threads,
                strerror(error));
        return NULL;
    }
    return p;
}

void gr_pool_free(gr_pool *p)
{
    if (p)
        stop_workers(p, p->threads - 1);
}
