/* The only allocator of the library. Everything else asks here, so one switch can fail, count or replace it all. */
#ifndef GR_BASE_MEM_H
#define GR_BASE_MEM_H

#include "base/error.h"

#include <stdarg.h>

/* Freed with gr_free (gradus.h). NULL when memory cannot be had: gr_error() then says how much was asked for. Aligned to
 * 64 bytes. A size of 0 gives a valid pointer. */
void *gr_alloc(size_t size);
void *gr_alloc_zero(size_t count, size_t size); /* count * size checked for overflow */

/* Makes room for `need` elements in *p (doubling); GR_OK or GR_ERR_MEMORY with *p and *cap unchanged. */
gr_status gr_grow(void *p, size_t *cap, size_t need, size_t elem_size);

char *gr_strdup(const char *s);
bool gr_ends_with(const char *text, const char *end);
char *gr_strfmt(const char *fmt, ...) GR_PRINTF(1, 2); /* caller frees */

/* The same in what room(of, size) gives, behind `before` bytes that are left to the caller; NULL: it gave nothing. */
char *gr_format(void *(*room)(void *of, size_t size), void *of, size_t before, const char *fmt, va_list args);

/* Zeroed whole pages for tensors, 2 MiB aligned when large (huge pages are asked for). Free with the same size. What
 * does not fit into the memory that is free now is refused here, not killed for later. */
void *gr_alloc_pages(size_t size);
void gr_free_pages(void *p, size_t size);
/* Fails as gr_alloc_pages would when so much more cannot be had now: for what is about to be taken piece by piece. */
gr_status gr_check_memory(size_t size);

/* The next multiple of `to`; of what is too large for that, the last. */
static inline size_t gr_round_up(size_t size, size_t to)
{
    return size > SIZE_MAX - to ? SIZE_MAX / to * to : (size + to - 1) / to * to;
}

/* a * b and a + b for sizes that come from files; false on overflow. */
bool gr_mul_size(size_t a, size_t b, size_t *out);
bool gr_add_size(size_t a, size_t b, size_t *out);

/* For tests: fail the n-th allocation from now (1 = the next; 0 = none); returns how many were still to go before the
 * last one asked for, 0 when it has happened. And what is alive. Thread-safe. */
int64_t gr_mem_fail_at(int64_t n);
typedef struct gr_mem_stats {
    int64_t live_blocks, live_bytes, peak_bytes, calls; /* calls: allocations since start */
} gr_mem_stats;
gr_mem_stats gr_mem_read_stats(void);

#endif
