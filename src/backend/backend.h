/* The contract of a backend: memory, kernels, running a list of them. The rest of the library never touches device
 * memory but through it. */
#ifndef GR_BACKEND_BACKEND_H
#define GR_BACKEND_BACKEND_H

#include "base/thread.h"
#include "graph/graph.h"

/* One line of a backend's table: a kernel for an op. */
typedef struct gr_kernel {
    const gr_op *op;
    /* Can it do this node (dtypes, arguments)? NULL: every one. Shapes it must always take. */
    bool (*supports)(const gr_tensor *node);
    unsigned strided;  /* bit i: input i may lie in memory in any way; the others come contiguous */
    unsigned in_place; /* bit i: output 0 may be input i's memory, when their dtypes and shapes are equal */
    /* Bytes of scratch for a call (its operands' shapes are set, data is not); NULL: none. */
    size_t (*scratch)(const gr_call *call);
    /* Runs one call. call->pool is the device's gr_pool. Fails only on what the data brings, as a bad index. */
    gr_status (*run)(const gr_call *call);
} gr_kernel;

typedef struct gr_step {
    const gr_kernel *kernel;
    gr_call call;
} gr_step;

typedef struct gr_backend {
    const char *name;
    bool reads_host; /* kernels read host memory where it is, so a mapped file's tensors need no copy; false: copied */
    gr_status (*open)(gr_device *d, int threads);
    void (*close)(gr_device *d);
    const gr_kernel *(*find)(const gr_tensor *node); /* NULL: none */
    /* Can this element-wise node be a part of a chain, gr_op_fused? NULL: this backend has no kernel for chains. */
    bool (*fuses)(const gr_device *d, const gr_tensor *node);
    void *(*alloc)(gr_device *d, size_t size); /* zeroed; NULL: gr_error() says need and have */
    void (*free)(gr_device *d, void *p, size_t size);
    void (*write)(gr_device *d, void *to, const void *host, size_t size);
    void (*read)(gr_device *d, void *host, const void *from, size_t size);
    void (*fill)(gr_device *d, void *to, int byte, size_t size);
    gr_status (*run)(gr_device *d, const gr_step *steps, int n);
} gr_backend;

struct gr_device {
    const gr_backend *backend;
    char description[128];
    gr_pool *pool;
    void *own; /* what the backend keeps for this device */
    /* One arena serves all programs of the device: they never run at the same time. */
    void *arena;
    size_t arena_size;
    int arena_users;
    uint64_t generation; /* changes when memory that programs are bound to moves: the arena, a store's tensor */
};

extern const gr_backend gr_backend_ref, gr_backend_cpu, gr_backend_far;
/* The backends of this build, NULL past the last. */
const gr_backend *gr_backend_list(int i);

/* Memory and running as host backends do it. */
void *gr_host_alloc(gr_device *d, size_t size);
void gr_host_free(gr_device *d, void *p, size_t size);
void gr_host_write(gr_device *d, void *to, const void *host, size_t size);
void gr_host_read(gr_device *d, void *host, const void *from, size_t size);
void gr_host_fill(gr_device *d, void *to, int byte, size_t size);
gr_status gr_host_run(gr_device *d, const gr_step *steps, int n);
/* The first line of the table (closed by a line without op) that can do the node, else NULL. */
const gr_kernel *gr_kernel_find(const gr_kernel *table, const gr_tensor *node);
/* The kernel that an op's own record brings along, else NULL. Its inputs come contiguous. */
const gr_kernel *gr_kernel_own(const gr_tensor *node);

/* ---- operands ---- */

static inline int64_t gr_operand_count(const gr_operand *o)
{
    int64_t n = 1;
    for (int i = 0; i < o->ndim; i++)
        n *= o->shape[i];
    return n;
}

#endif
