/* How a kernel line's `run` says what to launch. It is called while a program is prepared and sees shapes, dtypes and
 * addresses, never data. A family of kernels is a file kernels/NAME.k and a file NAME.c with its table. All of it, for row
 * sums (kernels/rows.k and rows.c):
 *
 *     kernel row_sum(in T x, out T y, long rows, long n) group(256)
 *     {
 *         for (long r = group_id; r < rows; r += group_count) {
 *             float s = 0;
 *             for (long i = tid; i < n; i += group_size)
 *                 s += load(T, x, r * n + i);
 *             s = group_sum(s);
 *             if (tid == 0)
 *                 store(T, y, r, s);
 *         }
 *     }
 *
 *     static gr_status run_row_sum(const gr_call *call)
 *     {
 *         const gr_operand *x = &call->in[0];
 *         int64_t n = x->shape[x->ndim - 1];
 *         gr_launch l;
 *         gr_launch_begin(&l, call, "rows", "row_sum");
 *         gr_launch_dtype(&l, "T", x->dtype);             // constants: T is bf16, say
 *         gr_launch_operand(&l, x);                       // arguments, in the order and of the types of the head
 *         gr_launch_operand(&l, &call->out[0]);
 *         gr_launch_long(&l, gr_operand_count(x) / n);
 *         gr_launch_long(&l, n);
 *         return gr_launch_groups(&l, gr_operand_count(x) / n);
 *     }
 *
 *     const gr_kernel gr_gpu_rows_kernels[] = {{.op = &gr_op_row_sum, .supports = gr_gpu_floats, .run = run_row_sum}, {0}};
 *
 * Nothing between begin and groups needs a check: the first failure stays and is returned by the last call. One module is
 * compiled for each family and set of constants, so constants are dtypes, ranks, head sizes, flags; sizes are arguments.
 * It has all kernels of the file: what needs a constant that others are launched without stands in #ifdef.
 * A call may launch several kernels, also of other families: they run one after the other. Scratch is call->scratch's
 * address; the kernel line's `scratch` says how much. An index that comes as data is looked at by gr_launch_check before it
 * is used; kernels that use it, and all that write a store tensor, take the fault word and begin with
 * `if (FAILED) return;`. Nothing may be added to memory by atomics on floats: two runs give the same bits. */
#ifndef GR_BACKEND_GPU_LAUNCH_H
#define GR_BACKEND_GPU_LAUNCH_H

#include "backend/gpu/gpu.h"

typedef struct gr_launch {
    gr_gpu *gpu;
    const char *family, *kernel;
    const char *text; /* dialect behind the family's, made for this launch; NULL: none */
    char options[512];
    size_t n_options;
    gr_gpu_arg args[GR_GPU_ARGS];
    int n_args;
    gr_status status;
} gr_launch;

void gr_launch_begin(gr_launch *l, const gr_call *call, const char *family, const char *kernel);
/* Constants: macros of the family's source. */
void gr_launch_dtype(gr_launch *l, const char *name, gr_dtype d);
void gr_launch_define(gr_launch *l, const char *name, int64_t value);
void gr_launch_word(gr_launch *l, const char *name, gr_dtype d); /* w1 w2 w4 w8: what is moved and not looked at */
/* Arguments. An operand that was left out gives a pointer that must not be used: pass a constant that says so. */
void gr_launch_operand(gr_launch *l, const gr_operand *o);
void gr_launch_operands(gr_launch *l, const gr_operand *o, int n);
void gr_launch_optional(gr_launch *l, const gr_call *call, int input); /* an input that may be left out */
void gr_launch_address(gr_launch *l, uint64_t address);
void gr_launch_scratch(gr_launch *l, const gr_call *call, size_t offset);
void gr_launch_int(gr_launch *l, int64_t value);
void gr_launch_long(gr_launch *l, int64_t value);
void gr_launch_float(gr_launch *l, double value);
void gr_launch_dims(gr_launch *l, int n, const int64_t *v); /* the rest is 0 */
void gr_launch_fault(gr_launch *l);
/* Several values one behind the other: gr_launch_longs(&l, rows, n); */
void gr_launch_values(gr_launch *l, int n, const int64_t *v, bool wide);
void gr_launch_reals(gr_launch *l, int n, const double *v);
#define GR_LAUNCH_COUNT(type, ...)                                                                                     \
    (int)(sizeof((type[]){__VA_ARGS__}) / sizeof(type)), (const type[])                                                \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define gr_launch_longs(l, ...) gr_launch_values(l, GR_LAUNCH_COUNT(int64_t, __VA_ARGS__), true)
#define gr_launch_ints(l, ...) gr_launch_values(l, GR_LAUNCH_COUNT(int64_t, __VA_ARGS__), false)
#define gr_launch_floats(l, ...) gr_launch_reals(l, GR_LAUNCH_COUNT(double, __VA_ARGS__))
/* The end: appends the launch. groups: work that one group does, or items: that one item does; there may be fewer than
 * that, kernels loop. With none nothing is launched. */
gr_status gr_launch_groups(gr_launch *l, int64_t groups);
gr_status gr_launch_items(gr_launch *l, int64_t items);

/* Sets the error word when one of a contiguous tensor's integers is outside of [low, limit); `except` is always good (low
 * when there is no such value). what: a gr_fault_kind. The smallest position is reported. */
gr_status gr_launch_check(const gr_call *call, const gr_operand *index, int what, int64_t low, int64_t limit,
                          int64_t except);

/* For `supports`: every input and output is f32, f16 or bf16; can be moved, word by word; has a dtype that kernels have. */
bool gr_gpu_floats(const gr_device *d, const gr_tensor *node);
bool gr_gpu_plain(const gr_device *d, const gr_tensor *node);
bool gr_gpu_any(const gr_device *d, const gr_tensor *node);

/* Where an operand's memory is. */
static inline uint64_t gr_gpu_address(const gr_operand *o)
{
    return o->address;
}

/* Was input i given? */
static inline bool gr_gpu_has(const gr_call *call, int i)
{
    return i < call->n_in && gr_gpu_address(&call->in[i]);
}

/* Rows of the last dim. */
static inline int64_t gr_gpu_rows(const gr_operand *o)
{
    int64_t n = 1;
    for (int i = 0; i < o->ndim - 1; i++)
        n *= o->shape[i];
    return n;
}

#endif
