/* The one GPU backend: a driver, a pool, compiled modules, and the program that is being prepared. */
#ifndef GR_BACKEND_GPU_GPU_H
#define GR_BACKEND_GPU_GPU_H

#include "backend/backend.h"
#include "backend/gpu/pool.h"

/* A kernel with its arguments, and how many groups of how many items. */
typedef struct gr_gpu_step {
    void *bound;
    size_t groups, group;
} gr_gpu_step;

/* What a program becomes: the launches of step i are [first[i], first[i + 1]). */
typedef struct gr_gpu_code {
    gr_gpu_step *steps;
    size_t n, capacity;
    size_t *first; /* [steps of the program + 1] */
} gr_gpu_code;

/* What was done so far, for tests: a run does none of it. */
typedef struct gr_gpu_counts {
    int64_t builds, lookups, binds, launches;
} gr_gpu_counts;

typedef struct gr_gpu {
    const gr_gpu_driver *driver;
    void *device;
    gr_gpu_info info;
    gr_gpu_pool pool;
    struct gr_gpu_module **modules; /* [n_modules] */
    size_t n_modules, modules_capacity;
    gr_gpu_counts counts;
    /* While a program is prepared: where launches go, the step they are of, and the program's error word. */
    gr_gpu_code *code;
    int step;
    uint64_t fault;
} gr_gpu;

gr_status gr_gpu_open(gr_gpu *g, const gr_gpu_driver *driver, int index);
void gr_gpu_close(gr_gpu *g);
/* Launches of `code` from [first] to [last]. */
gr_status gr_gpu_run(gr_gpu *g, const gr_gpu_code *code, size_t first, size_t last);
void gr_gpu_code_clear(gr_gpu *g, gr_gpu_code *code);
void gr_gpu_modules_free(gr_gpu *g);

#endif
