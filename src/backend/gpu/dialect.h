/* The dialect that kernels are written in: C with heads of its own, which become each driver's. A file of kernels is plain
 * text; its bodies stay as they are, and what words in them mean the driver's prelude says.
 *
 *     kernel softmax(in T x, out T y, long rows, long n) group(128)
 *     {
 *         for (long r = group_id; r < rows; r += group_count) {
 *             float top = -INFINITY;
 *             for (long i = tid; i < n; i += group_size)
 *                 top = fmax(top, load(T, x, r * n + i));
 *             top = group_max(top);
 *             ...
 *
 * Head: "kernel" begins its line; `in` (read), `out` (written) and `inout` arguments are memory whose elements are of the
 * dtype named (f32 f16 bf16 i64 i32 u8 b8, or words w1 w2 w4 w8 to be moved, or a macro for one: T); `fault` is the program's error word; others are values:
 * int, long, float, dims. group(N): items a group, a power of two of at most 256. Grids have one dimension, and never as
 * many groups as there may be work: loop with group_count, or FOR_EACH(i, n) over all items.
 * Words: tid, group_id, group_count, group_size; local (memory of the group, declared at the top of a kernel), global;
 * barrier_local(); fn (before a function); load(T, p, i), store(T, p, i, v); value(T), what T is computed in: float for
 * floats, long for integers, int for b8; group_sum(v), group_max(v) of floats, by all items of the group;
 * as_float, as_uint (the same bits); uniform(seed, stream, i), philox(seed, stream, i);
 * FAILED (the program has failed: kernels that write store tensors return), FAIL(what, value, position, low, limit). */
#ifndef GR_BACKEND_GPU_DIALECT_H
#define GR_BACKEND_GPU_DIALECT_H

#include "base/error.h"

enum { GR_GPU_ARGS = 112 };

typedef struct gr_gpu_dims { /* `dims` in a kernel */
    int64_t v[GR_MAX_DIMS];
} gr_gpu_dims;

/* A text that grows. Once there is no memory, nothing more is added. */
typedef struct gr_gpu_text {
    char *s; /* caller frees with gr_free */
    size_t n, capacity;
    gr_status status;
} gr_gpu_text;

void gr_gpu_add(gr_gpu_text *t, const char *s, size_t n);
void gr_gpu_print(gr_gpu_text *t, const char *fmt, ...) GR_PRINTF(2, 3);

typedef enum gr_gpu_access { GR_GPU_VALUE, GR_GPU_IN, GR_GPU_OUT, GR_GPU_INOUT, GR_GPU_FAULT } gr_gpu_access;

typedef struct gr_gpu_head {
    char name[48];
    int group, n;
    struct {
        gr_gpu_access access;
        char type[16], name[24];
    } arg[GR_GPU_ARGS];
} gr_gpu_head;

/* Appends `source` with every head in the driver's form. `seen` (may be NULL) gets every head; its failure ends all. */
typedef gr_status (*gr_gpu_see)(void *user, const gr_gpu_head *h);
gr_status gr_gpu_translate(gr_gpu_text *to, const char *source, void (*head)(gr_gpu_text *to, const gr_gpu_head *h),
                           gr_gpu_see see, void *user);

/* The files of kernels/, by name without ".k"; NULL: there is none. */
const char *gr_gpu_source(const char *name);
/* What a dtype is called in kernels; NULL: no kernel has it. f64 is there for casts, where info.has_f64. */
const char *gr_gpu_dtype(gr_dtype d);

#endif
