/* What a GPU's programming interface is to us: blocks of memory, kernels made from source, and one queue in which all
 * happens in the order it is told. A driver is one record and one file; nothing above it knows which it is. */
#ifndef GR_BACKEND_GPU_DRIVER_H
#define GR_BACKEND_GPU_DRIVER_H

#include "backend/gpu/dialect.h"

typedef struct gr_gpu_info {
    char name[96];
    size_t memory, largest; /* bytes in all; of the largest block */
    size_t group;           /* items of the largest group */
    int units;              /* that run groups side by side */
    bool has_f64;           /* for casts: nothing is computed in it */
    bool is_host;           /* its memory is the host's: what the host has no more, it has no more */
} gr_gpu_info;

/* One argument of a kernel: a place in memory, or a value. */
typedef struct gr_gpu_arg {
    bool is_place;
    void *block; /* NULL: no memory */
    uint64_t offset;
    unsigned size; /* of the value */
    union {
        int32_t i;
        int64_t l;
        float f;
        gr_gpu_dims dims;
    } value;
} gr_gpu_arg;

/* Every function that can fail returns a status, with the error set. What was told may fail later, in `finish` or `read`.
 * `d` is what open gave. */
typedef struct gr_gpu_driver {
    const char *name;
    const char *prelude; /* the file of kernels/ that stands before all others: what the dialect's words mean here */
    int (*count)(void);  /* 0 also when the driver's library is not there */
    gr_status (*open)(int index, void **d, gr_gpu_info *info);
    void (*close)(void *d);

    gr_status (*block_new)(void *d, size_t size,
                           void **block); /* really taken, not promised; what is in it is not known */
    void (*block_free)(void *d, void *block);
    gr_status (*memory)(void *d, size_t *free);                                             /* bytes that can be had */
    gr_status (*write)(void *d, void *block, size_t offset, const void *host, size_t size); /* has taken the bytes */
    gr_status (*read)(void *d, void *host, void *block, size_t offset, size_t size);        /* waits */
    gr_status (*fill)(void *d, void *block, size_t offset, int byte, size_t size);
    gr_status (*copy)(void *d, void *to, size_t to_offset, void *from, size_t from_offset, size_t size);

    void (*head)(gr_gpu_text *to,
                 const gr_gpu_head *h); /* a kernel's head and "{", with its arguments by their names */
    gr_status (*build)(void *d, const char *source, const char *options, void **module);
    void (*module_free)(void *d, void *module);

    /* A kernel with its arguments: what can be launched again and again. */
    gr_status (*bind)(void *d, void *module, const char *kernel, const gr_gpu_arg *args, int n, void **bound);
    void (*unbind)(void *d, void *bound);
    gr_status (*launch)(void *d, void *bound, size_t groups, size_t group);
    gr_status (*finish)(void *d); /* waits for everything */
} gr_gpu_driver;

extern const gr_gpu_driver gr_gpu_opencl;

/* For tests: the n-th call of OpenCL from now fails (0: none); how many were still to go before the last one asked for.
 * And how many objects of OpenCL are alive. */
int64_t gr_opencl_fail_at(int64_t n);
int64_t gr_opencl_live(void);

#endif
