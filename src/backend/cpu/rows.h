/* Ops that work on rows, the last dim of n values: cut into pieces of whole rows, each row an f32 kernel's. Rows of f16
 * and bf16 are converted on the way in and out, through buffers of the worker. */
#ifndef GR_BACKEND_CPU_ROWS_H
#define GR_BACKEND_CPU_ROWS_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/row_kernels.h"

typedef struct gr_row_job gr_row_job;
typedef void (*gr_row_fn)(const gr_row_job *job, int64_t row, float *buffers);

struct gr_row_job {
    const gr_call *call;
    int64_t n, rows;    /* of input 0 */
    int buffers;        /* rows of n that each worker has, as told to gr_row_scratch */
    gr_row_fn row;      /* does one */
    const void *kernel; /* what it needs: a pointer to the level's kernel, or more */
};

/* Sets call, n and rows. */
gr_row_job gr_row_job_of(const gr_call *call, gr_row_fn row, const void *kernel, int buffers);
gr_status gr_row_run(const gr_row_job *job);
/* Bytes of `buffers` rows for each worker. */
size_t gr_row_scratch(const gr_call *call, int buffers);
/* What rows are read and written in: f32, f16, bf16. */
bool gr_row_dtype(gr_dtype d);
/* And those that attention reads keys and values in: such, and blocks. */
bool gr_is_kept(gr_dtype d);

/* Row `row` as f32: where it lies, or converted into `buffer`. */
const float *gr_row_read(const gr_operand *o, int64_t row, int64_t n, float *buffer);
/* Where an f32 row goes (`buffer` when nobody reads it), and its conversion when that is not the place itself. */
float *gr_row_place(const gr_operand *o, int64_t row, int64_t n, float *buffer);
void gr_row_store(const gr_operand *o, int64_t row, int64_t n, const float *values);

/* The d values of one head as f32, of x [.., D] from element `position` on: where they lie, or picked and converted into
 * `buffer`. Only views of odd kinds have strides between them. */
const float *gr_head_read(const gr_operand *x, int64_t position, int64_t d, float *buffer);

/* Rows in a piece of parallel work: by their length alone. */
static inline int64_t gr_rows_a_piece(int64_t n)
{
    int64_t rows = n > 0 ? 16384 / n : 16384;
    return rows > 0 ? rows : 1;
}

/* What messages call a call: its node's name. */
static inline const char *gr_call_label(const gr_call *c, char *buf, size_t size)
{
    return c->node ? gr_tensor_label(c->node, buf, size) : c->op->name;
}

/* Fails unless every one of an optional index of sequences, an operand of i64, is below n. */
gr_status gr_sequences_check(const gr_call *call, int input, int64_t n);

/* Element i of an index, i64 or i32, that lies contiguous. */
static inline int64_t gr_index_at(const gr_operand *index, int64_t i)
{
    return index->dtype == GR_I32 ? ((const int32_t *)index->data)[i] : ((const int64_t *)index->data)[i];
}

#endif
