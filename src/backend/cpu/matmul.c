/* matmul and addmm on gr_gemm_run. Operands are read where they lie when their rows or their columns are contiguous (a transposed
 * view costs nothing); any other layout is copied first. f16 and bf16 are multiplied and summed in f32. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/gemm.h"
#include "base/dtype.h"
#include "op/attr.h"
#include "op/op.h"

#include <string.h>

enum { ALIGN = 64 };

/* A call taken apart. Scratch holds, in this order: gemm's own, copies of a and b. */
typedef struct product {
    gr_gemm gemm; /* of the innermost batch dim */
    bool copy_a, copy_b;
    int ndim; /* of the outer batch dims */
    int64_t shape[GR_MAX_DIMS], stride_a[GR_MAX_DIMS], stride_b[GR_MAX_DIMS], stride_c[GR_MAX_DIMS];
    size_t gemm_bytes, a_bytes, b_bytes;
} product;

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t bytes_of(const gr_operand *o)
{
    return gr_dtype_size(o->dtype, gr_operand_count(o));
}

/* Can the last two dims be given as (ld, transposed)? One of them must have stride 1, the other room for its rows. A
 * dim of one element has no stride that matters. */
static bool matrix_layout(const gr_operand *o, bool *flip, int64_t *ld)
{
    int64_t rows = o->shape[o->ndim - 2], cols = o->shape[o->ndim - 1];
    int64_t sr = o->stride[o->ndim - 2], sc = o->stride[o->ndim - 1];
    *flip = false;
    *ld = rows > 1 ? sr : cols;
    if ((cols <= 1 || sc == 1) && *ld >= cols)
        return true;
    *flip = true;
    *ld = cols > 1 ? sc : rows;
    return (rows <= 1 || sr == 1) && *ld >= rows;
}

/* The stride by which operand o moves along batch dim d of the result; broadcast dims stand still. */
static int64_t batch_stride(const gr_operand *o, const gr_operand *c, int d)
{
    int own = d - (c->ndim - o->ndim);
    return own >= 0 && o->shape[own] != 1 ? o->stride[own] : 0;
}

/* Batch dims of the result, neighbours joined where all three operands run on evenly; the last becomes gemm's batch. */
static void set_batch(product *p, const gr_operand *a, const gr_operand *b, const gr_operand *c)
{
    for (int d = 0; d < c->ndim - 2; d++) {
        int64_t n = c->shape[d], sa = batch_stride(a, c, d), sb = batch_stride(b, c, d), sc = c->stride[d];
        int last = p->ndim - 1;
        if (n == 1)
            continue;
        if (last >= 0 && p->stride_a[last] == n * sa && p->stride_b[last] == n * sb && p->stride_c[last] == n * sc) {
            p->shape[last] *= n;
        } else {
            last = p->ndim++;
            p->shape[last] = n;
        }
        p->stride_a[last] = sa;
        p->stride_b[last] = sb;
        p->stride_c[last] = sc;
    }
    p->gemm.batch = 1;
    if (p->ndim > 0) {
        int last = --p->ndim;
        p->gemm.batch = p->shape[last];
        p->gemm.stride_a = p->stride_a[last];
        p->gemm.stride_b = p->stride_b[last];
        p->gemm.stride_c = p->stride_c[last];
    }
}

static product take_apart(const gr_call *call)
{
    const gr_matmul_attr *t = call->attr;
    gr_operand a = call->in[0], b = call->in[1];
    const gr_operand *c = &call->out[0];
    product p = {.ndim = 0};
    gr_gemm *g = &p.gemm;
    bool flip_a, flip_b;
    p.copy_a = !matrix_layout(&a, &flip_a, &g->lda);
    p.copy_b = !matrix_layout(&b, &flip_b, &g->ldb);
    if (p.copy_a) {
        a = gr_cpu_contiguous(&a, NULL);
        p.a_bytes = aligned(bytes_of(&a));
        matrix_layout(&a, &flip_a, &g->lda);
    }
    if (p.copy_b) {
        b = gr_cpu_contiguous(&b, NULL);
        p.b_bytes = aligned(bytes_of(&b));
        matrix_layout(&b, &flip_b, &g->ldb);
    }
    g->m = c->shape[c->ndim - 2];
    g->n = c->shape[c->ndim - 1];
    g->k = a.shape[a.ndim - (t->transpose_a ? 2 : 1)];
    g->a_dtype = a.dtype;
    g->b_dtype = b.dtype;
    g->c_dtype = c->dtype;
    g->rounds = t->rounds;
    g->trans_a = t->transpose_a != flip_a;
    g->trans_b = t->transpose_b != flip_b;
    g->ldc = g->n;
    set_batch(&p, &a, &b, c);
    p.gemm_bytes = aligned(gr_gemm_scratch(g, gr_pool_threads(call->device->pool)));
    return p;
}

static size_t scratch(const gr_call *call)
{
    product p = take_apart(call);
    return p.gemm_bytes + p.a_bytes + p.b_bytes;
}

/* gemm for every index of the outer batch dims. */
static void run_products(const gr_call *call, const product *p, const char *a, const char *b, char *c, void *own)
{
    int64_t ea = gr_dtype_width(p->gemm.a_dtype);
    int64_t ec = gr_dtype_width(p->gemm.c_dtype);
    int64_t index[GR_MAX_DIMS] = {0}, count = 1;
    for (int d = 0; d < p->ndim; d++)
        count *= p->shape[d];
    for (int64_t i = 0; i < count; i++) {
        gr_gemm g = p->gemm;
        int64_t at_a = 0, at_b = 0, at_c = 0;
        for (int d = 0; d < p->ndim; d++) {
            at_a += index[d] * p->stride_a[d];
            at_b += index[d] * p->stride_b[d];
            at_c += index[d] * p->stride_c[d];
        }
        g.a = a + at_a * ea;
        g.b = b + gr_dtype_size(p->gemm.b_dtype, at_b);
        g.c = c + at_c * ec;
        gr_gemm_run(call->device->pool, &g, own);
        for (int d = p->ndim - 1; d >= 0 && ++index[d] == p->shape[d]; d--)
            index[d] = 0;
    }
}

/* out = beta out + a b */
static gr_status multiply(const gr_call *call, float beta)
{
    product p = take_apart(call);
    p.gemm.beta = beta;
    gr_operand a = call->in[0], b = call->in[1];
    char *at = call->scratch;
    void *own = at;
    at += p.gemm_bytes;
    if (p.copy_a) {
        a = gr_cpu_contiguous(&a, at);
        gr_cpu_copy(call->device, &a, &call->in[0]);
    }
    at += p.a_bytes;
    if (p.copy_b) {
        b = gr_cpu_contiguous(&b, at);
        gr_cpu_copy(call->device, &b, &call->in[1]);
    }
    run_products(call, &p, a.data, b.data, call->out[0].data, own);
    return GR_OK;
}

static gr_status run(const gr_call *call)
{
    return multiply(call, 0);
}

/* addmm: c first, then what is multiplied. */
static gr_call product_of(const gr_call *call)
{
    gr_call p = *call;
    p.in = call->in + 1;
    p.n_in = 2;
    return p;
}

static size_t scratch_added(const gr_call *call)
{
    gr_call p = product_of(call);
    return scratch(&p);
}

static gr_status run_added(const gr_call *call)
{
    gr_call p = product_of(call);
    if (call->out[0].data != call->in[0].data)
        gr_cpu_copy(call->device, &call->out[0], &call->in[0]);
    return multiply(&p, 1);
}

/* Operands that are to be rounded are multiplied as bf16, or not here; there is nothing to round of those that are bf16. */
static bool rounds_as_asked(const gr_tensor *node)
{
    bool fits = true, is_wide = false;
    for (int i = node->n_in - 2; i < node->n_in; i++) {
        gr_dtype d = node->in[i]->spec.dtype;
        fits = fits && (d == GR_F32 || d == GR_BF16);
        is_wide = is_wide || d == GR_F32;
    }
    return !((const gr_matmul_attr *)node->attr)->rounds || (fits && (!is_wide || gr_gemm_rounds()));
}

static bool supports_added(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    bool all = node->spec.dtype == GR_F32;
    for (int i = 1; i < 3; i++)
        all = all && gr_dtype_get(node->in[i]->spec.dtype)->is_activation;
    return all && rounds_as_asked(node);
}

static bool supports(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    const gr_dtype_info *a = gr_dtype_get(node->in[0]->spec.dtype), *b = gr_dtype_get(node->in[1]->spec.dtype);
    return gr_dtype_get(node->spec.dtype)->is_activation && a->is_activation && b->is_activation &&
           rounds_as_asked(node);
}

/* Rows of blocks, which lie one after the other. */
static bool supports_blocks(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    return node->in[0]->spec.dtype == GR_F32 && gr_dtype_is_block(node->in[1]->spec.dtype);
}

const gr_kernel gr_cpu_matmul_kernels[] = {
    {.op = &gr_op_matmul, .supports = supports, .strided = 3, .scratch = scratch, .run = run},
    {.op = &gr_op_matmul, .supports = supports_blocks, .strided = 1, .scratch = scratch, .run = run},
    {.op = &gr_op_addmm,
     .supports = supports_added,
     .strided = 6,
     .in_place = 1,
     .scratch = scratch_added,
     .run = run_added},
    {0},
};
