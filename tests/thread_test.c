/* The thread pool: every piece exactly once, whatever the threads do. */
#include "test.h"

#include "base/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { MOST = 5000 };

typedef struct job {
    int threads;
    int hits[MOST]; /* plain: pieces are disjoint, and gr_parallel orders them before its caller */
    atomic_int strangers;
} job;

static void hit(void *ctx, int64_t piece, int worker)
{
    job *j = ctx;
    j->hits[piece]++;
    if (worker < 0 || worker >= j->threads)
        atomic_fetch_add(&j->strangers, 1);
}

/* Counts must be equal to `times` in [0, pieces) and untouched behind. */
static void check_hits(const job *j, int64_t pieces, int times)
{
    for (int64_t i = 0; i < pieces; i++)
        CHECK_EQ_INT(j->hits[i], times);
    CHECK(pieces == MOST || j->hits[pieces] == 0);
    CHECK_EQ_INT(atomic_load(&j->strangers), 0);
}

TEST(every_piece_once)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 7, 64, 1000, MOST};
    static const int threads[] = {1, 2, 3, 4, 9};
    static job j;
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        gr_pool *p = gr_pool_new(threads[t]);
        CHECK_MADE(p);
        CHECK_EQ_INT(gr_pool_threads(p), threads[t]);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            NOTE("%d threads, %d pieces", threads[t], (int)sizes[s]);
            memset(&j, 0, sizeof j);
            j.threads = threads[t];
            gr_parallel(p, sizes[s], hit, &j);
            check_hits(&j, sizes[s], 1);
        }
        gr_pool_free(p);
    }
    memset(&j, 0, sizeof j);
    j.threads = 1;
    gr_parallel(NULL, 10, hit, &j);
    check_hits(&j, 10, 1);
}

/* Many short jobs after each other, with pauses that let the workers fall asleep: late wakers meet the next job. */
static void storm(int threads, int rounds)
{
    static job jobs[4];
    gr_pool *p = gr_pool_new(threads);
    CHECK_MADE(p);
    memset(jobs, 0, sizeof jobs);
    for (int i = 0; i < 4; i++)
        jobs[i].threads = threads;
    for (int r = 0; r < rounds; r++) {
        gr_parallel(p, 2 + r % 4 * 3, hit, &jobs[r % 4]);
        if (r % 512 == 511)
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    gr_pool_free(p);
    for (int i = 0; i < 4; i++)
        check_hits(&jobs[i], 2 + i * 3, rounds / 4);
}

TEST(many_short_jobs)
{
    storm(2, 20000);
    storm(4, 8000);
    storm(7, 4000);
}

static void nap(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ((int *)ctx)[piece]++;
}

/* Long pieces: the caller runs out of work first and has to sleep for the others. */
TEST(the_caller_waits_for_the_last_piece)
{
    int hits[8] = {0}, late = 0;
    gr_pool *p = gr_pool_new(4);
    CHECK_MADE(p);
    for (int r = 0, wanted = 0; r < 20; r++) {
        int sum = 0;
        gr_parallel(p, 3 + r % 6, nap, hits);
        for (int i = 0; i < 8; i++)
            sum += hits[i];
        wanted += 3 + r % 6;
        late += sum != wanted;
    }
    gr_pool_free(p);
    CHECK_EQ_INT(late, 0);
}

/* Comes back only when both pieces run at the same time, or after seconds. */
static void meet(void *ctx, int64_t piece, int worker)
{
    (void)piece;
    (void)worker;
    atomic_int *met = ctx;
    atomic_fetch_add(met, 1);
    for (int i = 0; i < 5000 && atomic_load(met) % 2 != 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

TEST(sleeping_workers_are_woken)
{
    atomic_int met = 0;
    gr_pool *p = gr_pool_new(2);
    CHECK_MADE(p);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int r = 0; r < 5; r++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* longer than workers look before they sleep */
        gr_parallel(p, 2, meet, &met);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    gr_pool_free(p);
    CHECK_EQ_INT(atomic_load(&met), 10);
    CHECK(end.tv_sec - start.tv_sec < 4);
}

typedef struct shares {
    atomic_int begun; /* workers that have a piece */
    int64_t first[2]; /* of each */
} shares;

static void note_first(void *ctx, int64_t piece, int worker)
{
    shares *s = ctx;
    if (s->first[worker] >= 0)
        return;
    s->first[worker] = piece;
    atomic_fetch_add(&s->begun, 1);
    for (int i = 0; i < 5000 && atomic_load(&s->begun) < 2; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* What a worker wrote in one job is in its caches for the next. */
TEST(each_begins_with_the_same_share_of_every_job)
{
    gr_pool *p = gr_pool_new(2);
    CHECK_MADE(p);
    for (int r = 0; r < 20; r++) {
        shares s = {.first = {-1, -1}};
        gr_parallel(p, 8 + r % 3, note_first, &s);
        CHECK_EQ_INT(atomic_load(&s.begun), 2);
        CHECK_EQ_INT(s.first[0], 0);
        CHECK_EQ_INT(s.first[1], (8 + r % 3) / 2);
    }
    gr_pool_free(p);
}

static void *own_pool(void *arg)
{
    gr_pool *p = gr_pool_new(3);
    for (int r = 0; p && r < 2000; r++)
        gr_parallel(p, 5, hit, arg);
    gr_pool_free(p);
    return arg;
}

TEST(pools_of_several_threads_live_side_by_side)
{
    static job jobs[3];
    pthread_t ids[3];
    memset(jobs, 0, sizeof jobs);
    for (int i = 0; i < 3; i++) {
        jobs[i].threads = 3;
        CHECK(pthread_create(&ids[i], NULL, own_pool, &jobs[i]) == 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(ids[i], NULL);
    for (int i = 0; i < 3; i++)
        check_hits(&jobs[i], 5, 2000);
}

TEST(parallel_allocates_nothing)
{
    static job j;
    memset(&j, 0, sizeof j);
    gr_pool *p = gr_pool_new(0);
    CHECK_MADE(p);
    j.threads = gr_pool_threads(p);
    int64_t calls = gr_mem_read_stats().calls;
    for (int i = 0; i < 100; i++)
        gr_parallel(p, 100, hit, &j);
    int64_t after = gr_mem_read_stats().calls;
    gr_pool_free(p);
    CHECK_EQ_INT(after, calls);
    check_hits(&j, 100, 100);
    CHECK_EQ_INT(j.threads, gr_cpu_count());
}

/* Idle workers sleep: a pool that waits uses no processor time. */
TEST(an_idle_pool_costs_nothing)
{
    gr_pool *p = gr_pool_new(2);
    CHECK_MADE(p);
    int hits[2] = {0};
    gr_parallel(p, 2, nap, hits);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    clock_t before = clock();
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    double used = (double)(clock() - before) / CLOCKS_PER_SEC;
    gr_pool_free(p);
    CHECK_NEAR(used, 0, 0.02);
}

static gr_status make_pool(void *ctx)
{
    gr_pool *p = gr_pool_new(3);
    if (!p)
        return gr_error_status();
    gr_parallel(p, 10, hit, ctx);
    gr_pool_free(p);
    return GR_OK;
}

TEST(sweep_failing_every_allocation_of_a_pool)
{
    static job j;
    j.threads = 3;
    CHECK_EQ_INT(SWEEP_ALLOCATIONS(make_pool, &j), 3);
}

TEST(numbers_of_threads_out_of_range)
{
    CHECK(!gr_pool_new(-1));
    CHECK_ERROR(GR_ERR_ARGUMENT, "-1 threads");
    CHECK(!gr_pool_new(100000));
    CHECK_ERROR(GR_ERR_ARGUMENT, "100000 threads");
    gr_pool_free(NULL);
    CHECK_EQ_INT(gr_pool_threads(NULL), 1);
}

static void add_one(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    atomic_fetch_add((atomic_llong *)ctx + piece * 8, 1);
}

/* Counts from several threads at once: the allocator's counters and its failing. */
static void allocate(void *ctx, int64_t piece, int worker)
{
    (void)worker;
    void *p = gr_alloc((size_t)piece);
    if (!p)
        atomic_fetch_add((atomic_llong *)ctx, 1);
    gr_free(p);
}

TEST(one_allocation_of_many_threads_fails)
{
    atomic_llong failed = 0, hits[16] = {0};
    gr_pool *p = gr_pool_new(4);
    CHECK_MADE(p);
    gr_mem_fail_at(1000);
    gr_parallel(p, 5000, allocate, &failed);
    gr_parallel(p, 2, add_one, hits);
    gr_pool_free(p);
    CHECK_EQ_INT(atomic_load(&failed), 1);
    CHECK_EQ_INT(atomic_load(&hits[0]) + atomic_load(&hits[8]), 2);
}
