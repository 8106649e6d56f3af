/* The contract of a backend: memory, kernels, programs. The rest of the library never touches device memory but through
 * it. A device need not share memory with the host, nor have finished what it was told: `far` does neither, in every
 * test run. */
#ifndef GR_BACKEND_BACKEND_H
#define GR_BACKEND_BACKEND_H

#include "base/thread.h"
#include "graph/graph.h"

#include <pthread.h>

/* A place in a device's memory. An offset in bytes can be added to it, and that is all: what stands behind it, a pointer
 * or a slab and an offset, is the backend's own affair. 0: no memory. */
typedef uint64_t gr_address;

/* One line of a backend's table: a kernel for an op. */
typedef struct gr_kernel {
    const gr_op *op;
    /* Can this device do this node (dtypes, arguments)? NULL: every one. Shapes it must always take. */
    bool (*supports)(const gr_device *d, const gr_tensor *node);
    unsigned strided;  /* bit i: input i may lie in memory in any way; the others come contiguous */
    unsigned in_place; /* bit i: output 0 may be input i's memory, when their dtypes and shapes are equal */
    /* Bytes of scratch for a call (its operands' shapes are set, data is not); NULL: none. */
    size_t (*scratch)(const gr_call *call);
    /* A host's kernel computes, and fails only on what the data brings, as a bad index. A GPU's is called once, while the
     * program is prepared, and says what to launch: it appends launches to call->device and sees addresses, no data. */
    gr_status (*run)(const gr_call *call);
} gr_kernel;

typedef struct gr_step {
    const gr_kernel *kernel;
    gr_call call;
} gr_step;

/* What a kernel that cannot return found wrong in its data: the first bytes of a program's block of outputs, zeroed at the
 * beginning of a run. A kernel that writes a store tensor does nothing once `step` is set. */
typedef struct gr_fault {
    int32_t step;                        /* 1 + the number of the step in the code; 0: all is well */
    int32_t what;                        /* a gr_fault_kind */
    int64_t value, position, low, limit; /* value, found at that position, is outside [low, limit) */
} gr_fault;
typedef enum gr_fault_kind {
    GR_FAULT_INDEX,
    GR_FAULT_TARGET,
    GR_FAULT_SLOT,
    GR_FAULT_SEQUENCE,
    GR_FAULT_KINDS
} gr_fault_kind;

/* A program's home on its device. */
typedef struct gr_code {
    gr_step *steps; /* [n], every operand with its address */
    int n;
    /* One block each: a run is one copy in, the steps, one copy out. Where the host sees the device's memory outputs are
     * read one by one where they are: there is no block of them, and no fault. */
    gr_address inputs, outputs;
    size_t inputs_size, outputs_size;
    gr_address fault; /* a gr_fault, at the beginning of the outputs */
    void *own;        /* what the backend makes of it in prepare */
} gr_code;

/* Everything may be put off until `read`, `wait` or `sync`, and its failure with it. Order is kept: what is told first
 * happens first. */
typedef struct gr_backend {
    const char *name;
    int (*count)(void); /* how many such devices this machine has; 0: none, and nothing is said */
    gr_status (*open)(gr_device *d, int index, int threads); /* where there is none: says what is missing */
    void (*close)(gr_device *d);
    const gr_kernel *(*find)(const gr_device *d, const gr_tensor *node); /* NULL: none */
    /* Can this element-wise node be a part of a chain, gr_op_fused? NULL: this backend has no kernel for chains. */
    bool (*fuses)(const gr_device *d, const gr_tensor *node);

    /* What no kernel can beat (out->size is set); NULL: nobody has measured that. */
    gr_status (*measure)(gr_device *d, gr_device_limits *out);

    /* Memory. reserve takes what is about to be asked for in one go (allocs then only place), and with 0 gives back what
     * was not; a block of more than d->largest bytes consists of pieces of d->largest, and no tensor may cross from one to
     * the next. */
    gr_status (*reserve)(gr_device *d, size_t size);
    gr_address (*alloc)(gr_device *d, size_t size); /* zeroed; 0: gr_error() says need and have */
    void (*free)(gr_device *d, gr_address p, size_t size);
    gr_status (*memory)(gr_device *d, size_t *free, size_t *total); /* bytes that can be had, and that there are */

    /* Copies. write and copy never cross a border of largest. */
    gr_status (*write)(gr_device *d, gr_address to, const void *host, size_t size); /* has taken the bytes on return */
    gr_status (*read)(gr_device *d, void *host, gr_address from, size_t size);      /* waits for all before it */
    gr_status (*fill)(gr_device *d, gr_address to, int byte, size_t size);
    gr_status (*copy)(gr_device *d, gr_address to, gr_address from, size_t size); /* not overlapping */
    gr_status (*sync)(gr_device *d);                                              /* waits for everything */

    /* Programs. prepare is called after every binding of addresses; nothing is looked up, built or allocated in run. */
    gr_status (*prepare)(gr_device *d, gr_code *code);
    void (*forget)(gr_device *d, gr_code *code); /* also when never prepared */
    gr_status (*run)(gr_device *d, gr_code *code, int first, int n);
    gr_status (*wait)(gr_device *d, gr_code *code); /* what was run is done, or has failed */
} gr_backend;

struct gr_device {
    const gr_backend *backend;
    char name[32];         /* "cpu", "opencl:1" */
    char description[128]; /* what it runs on */
    bool host_visible;     /* an address is a host pointer: tensors are read, and files mapped, where they are */
    bool multiplies_bf16;  /* by instructions of its own, twice as fast as f32 and faster: products of bf16 are such */
    int64_t sum_rows; /* a product that sums over rows and is made so many at a time has the bits of the whole; where
                              no number of them promises that, it is one that is as good as any */
    size_t largest;   /* bytes of the largest block; a multiple of GR_ADDRESS_ALIGN */
    gr_pool *pool;    /* the host's threads: for kernels of host backends, and for work around any device */
    void *own;        /* what the backend keeps for this device */
    /* Held by the thread that uses the device: during every call below, and from the start of a run to its finish. Taken
     * again by the thread that holds it. */
    pthread_mutex_t lock;
    const gr_program *running; /* started and not finished */
    pthread_t runner;          /* by this thread */
    /* One arena serves all programs of the device: one of them runs at a time. */
    gr_address arena;
    size_t arena_size;
    int arena_users;
    gr_profile *profile; /* of all its runs; NULL: nobody asked for one */
    uint64_t profiles;   /* that were ever begun */
    uint64_t generation; /* changes when memory that programs are bound to moves: the arena, a store's tensor */
};

/* Every address that a program or a store is given is a multiple of the first: a cache line, and the widest vector. What
 * alloc gives takes up to a multiple of the second, which `reserve` has to be told. */
enum { GR_ADDRESS_ALIGN = 64, GR_ALLOC_ALIGN = 256 };

/* ---- using a device, from any thread ------------------------------------------------------------------------ */

void gr_device_lock(gr_device *d);
void gr_device_unlock(gr_device *d);
gr_address gr_device_alloc(gr_device *d, size_t size);
void gr_device_free(gr_device *d, gr_address p, size_t size); /* p 0: nothing */
gr_status gr_device_write(gr_device *d, gr_address to, const void *host, size_t size);
gr_status gr_device_read(gr_device *d, void *host, gr_address from, size_t size);
gr_status gr_device_copy(gr_device *d, gr_address to, gr_address from, size_t size);
/* fn(ctx, piece, worker) for every piece, on the host's threads. */
void gr_device_parallel(gr_device *d, int64_t pieces, gr_piece_fn fn, void *ctx);

/* ---- for backends ------------------------------------------------------------------------------------------- */

extern const gr_backend gr_backend_ref, gr_backend_cpu, gr_backend_far, gr_backend_opencl;
/* The backends of this build, NULL past the last. */
const gr_backend *gr_backend_list(int i);

/* What backends whose memory is the host's have in common. */
int gr_host_count(void);
gr_status gr_host_reserve(gr_device *d, size_t size);
gr_address gr_host_alloc(gr_device *d, size_t size);
void gr_host_free(gr_device *d, gr_address p, size_t size);
gr_status gr_host_memory(gr_device *d, size_t *free, size_t *total);
gr_status gr_host_write(gr_device *d, gr_address to, const void *host, size_t size);
gr_status gr_host_read(gr_device *d, void *host, gr_address from, size_t size);
gr_status gr_host_fill(gr_device *d, gr_address to, int byte, size_t size);
gr_status gr_host_copy(gr_device *d, gr_address to, gr_address from, size_t size);
gr_status gr_host_sync(gr_device *d);
gr_status gr_host_prepare(gr_device *d, gr_code *code);
void gr_host_forget(gr_device *d, gr_code *code);
gr_status gr_host_run(gr_device *d, gr_code *code, int first, int n);
gr_status gr_host_wait(gr_device *d, gr_code *code);

/* The first line of the table (closed by a line without op) that can do the node, else NULL. */
const gr_kernel *gr_kernel_find(const gr_kernel *table, const gr_device *d, const gr_tensor *node);
/* The kernel that an op's own record brings along, else NULL. Its inputs come contiguous. */
const gr_kernel *gr_kernel_own(const gr_tensor *node);
/* Fails with what was found: by the name of the call's node, or else its op's. */
gr_status gr_fault_report(const gr_call *call, const gr_fault *fault);
/* For kernels of the host: fails in the same words unless low <= value < limit. */
gr_status gr_fault_check(const gr_call *call, gr_fault_kind what, int64_t value, int64_t position, int64_t low,
                         int64_t limit);

/* ---- operands ----------------------------------------------------------------------------------------------- */

static inline int64_t gr_operand_count(const gr_operand *o)
{
    int64_t n = 1;
    for (int i = 0; i < o->ndim; i++)
        n *= o->shape[i];
    return n;
}

#endif
