/* The device's memory: slabs, which are blocks of the driver, and places in them, whose
 * addresses and sizes are multiples of GR_ALLOC_ALIGN. A place's address is a number that only
 * the pool can turn into a block and an offset; slabs that were taken together have addresses one behind the other. */
#ifndef GR_BACKEND_GPU_POOL_H
#define GR_BACKEND_GPU_POOL_H

#include "backend/backend.h"
#include "backend/gpu/driver.h"

typedef struct gr_gpu_hole { /* free bytes of a slab */
    size_t offset, size;
} gr_gpu_hole;

typedef struct gr_gpu_slab {
    uint64_t base; /* its address */
    size_t size;
    void *block;
    gr_gpu_hole *holes; /* [n], by offset, no two touch */
    size_t n, capacity, places;
} gr_gpu_slab;

typedef struct gr_gpu_pool {
    const gr_gpu_driver *driver;
    void *device;
    size_t largest;     /* bytes of the largest slab; a multiple of GR_GPU_ALIGN */
    gr_gpu_slab *slabs; /* [n], by base */
    size_t n, capacity;
    uint64_t next;  /* the next slab's base; none is used twice, so a stale address is known */
    int64_t blocks; /* taken of the driver so far */
} gr_gpu_pool;

void gr_gpu_pool_open(gr_gpu_pool *p, const gr_gpu_driver *driver, void *device, size_t largest);
void gr_gpu_pool_close(gr_gpu_pool *p); /* also what was not freed */
/* Takes slabs, so that `size` bytes are free; 0: gives back those of which nothing is used. */
gr_status gr_gpu_pool_reserve(gr_gpu_pool *p, size_t size);
/* 0: gr_error() says need and have. What is larger than `largest` begins with a slab and consists of slabs of that size.
 * Not zeroed. */
uint64_t gr_gpu_pool_alloc(gr_gpu_pool *p, size_t size);
void gr_gpu_pool_free(gr_gpu_pool *p, uint64_t address, size_t size); /* 0 is fine */
/* The block and the offset behind an address, and how many bytes there are to the end of its slab. */
gr_status gr_gpu_pool_find(const gr_gpu_pool *p, uint64_t address, void **block, size_t *offset, size_t *left);
/* Bytes that can be had: holes, and what the driver has. */
gr_status gr_gpu_pool_left(const gr_gpu_pool *p, size_t *left);

#endif
