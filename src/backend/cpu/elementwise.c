/* Element-wise ops: one executor for chains of them; a single op is a chain of one. A tile of the result at a time, each
 * op runs over registers, f32 arrays that stay in the first-level cache: however long the chain, memory is read and
 * written once.
 * Reading order: layout of inputs · registers · a tile's inputs · a tile · preparing · kernels. */
#include "backend/cpu/cpu.h"

#include "backend/cpu/convert.h"
#include "backend/cpu/elementwise_kernels.h"
#include "backend/cpu/ints.h"
#include "base/dtype.h"
#include "op/attr.h"
#include "op/fused.h"
#include "op/op.h"

#include <string.h>

enum {
    TILE = 1024,       /* elements a tile: 4 KiB a register */
    ROW_TILES = 256,   /* with rows of at least so many elements tiles do not cross their ends */
    PIECE_TILES = 8,   /* what a worker takes at a time */
    FEW_REGISTERS = 4, /* so many lie on the worker's stack, more in scratch */
};

typedef struct source {
    const char *data;
    gr_dtype dtype;
    int64_t bytes;               /* an element */
    int64_t stride[GR_MAX_DIMS]; /* along the collapsed dims */
    bool seed;                   /* read by dropout alone, never a tile */
    bool scalar, linear;         /* one value for all; or element i at i */
    float value;
    int reg; /* where a tile of it goes if it cannot be read in place; -1: nowhere */
} source;

typedef struct chain {
    const gr_fused_attr *f;
    const gr_elementwise_kernels *kernels;
    const gr_call *call;
    int ndim; /* of the result, neighbours joined where all inputs run on evenly */
    int64_t shape[GR_MAX_DIMS];
    source in[GR_FUSED_IN];
    float constant[GR_FUSED_CONSTANTS];
    gr_dtype dtype[GR_FUSED_VALUES];
    gr_loop loop[GR_FUSED_CODE]; /* NULL: dropout, the one op of a chain that is no loop over registers */
    int operands[GR_FUSED_CODE]; /* how many each step has */
    int reg[GR_FUSED_CODE];      /* of each result, -1: straight into output `direct` */
    int direct[GR_FUSED_CODE];   /* output, or -1 */
    bool same[GR_FUSED_CODE];    /* a cast to f32, which registers are already: the value is its operand */
    int narrow[GR_FUSED_CODE];   /* a cast to 16 bits: the output that it goes to straight away, or -1 */
    bool read[GR_FUSED_CODE];    /* by later steps */
    int n_registers;
    float *registers; /* scratch, n_registers a worker; NULL: the stack */
    int64_t count, width, tiles, tiles_a_row;
} chain;

/* ---- layout of inputs --------------------------------------------------------------------------------------- */

/* By how much input o moves along dim d of the result. */
static int64_t stride_along(const gr_operand *o, const gr_operand *out, int d)
{
    int own = d - (out->ndim - o->ndim);
    return own >= 0 && o->shape[own] != 1 ? o->stride[own] : 0;
}

static bool joins(const chain *c, const gr_operand *out, int d)
{
    for (int i = 0; c->ndim > 0 && i < c->f->n_in; i++)
        if (c->in[i].stride[c->ndim - 1] != out->shape[d] * stride_along(&c->call->in[i], out, d))
            return false;
    return c->ndim > 0;
}

static void collapse(chain *c, const gr_operand *out)
{
    for (int d = 0; d < out->ndim; d++) {
        if (out->shape[d] == 1)
            continue;
        if (joins(c, out, d))
            c->shape[c->ndim - 1] *= out->shape[d];
        else
            c->shape[c->ndim++] = out->shape[d];
        for (int i = 0; i < c->f->n_in; i++)
            c->in[i].stride[c->ndim - 1] = stride_along(&c->call->in[i], out, d);
    }
    if (c->ndim == 0)
        c->shape[c->ndim++] = 1;
}

static void classify(chain *c, source *s)
{
    int64_t run = 1;
    s->scalar = s->linear = true;
    for (int d = c->ndim - 1; d >= 0; d--) {
        s->scalar = s->scalar && s->stride[d] == 0;
        s->linear = s->linear && s->stride[d] == run;
        run *= c->shape[d];
    }
}

/* Long rows are cut evenly, so that a row-wise input is read where it lies. */
static void cut_tiles(chain *c)
{
    int64_t row = c->shape[c->ndim - 1];
    c->count = 1;
    for (int d = 0; d < c->ndim; d++)
        c->count *= c->shape[d];
    c->width = TILE;
    c->tiles_a_row = 0;
    c->tiles = gr_ceil_div(c->count, TILE);
    if (c->ndim > 1 && row >= ROW_TILES && c->count > 0) {
        c->width = gr_ceil_div(gr_ceil_div(row, gr_ceil_div(row, TILE)), 16) * 16;
        c->tiles_a_row = gr_ceil_div(row, c->width);
        c->tiles = c->count / row * c->tiles_a_row;
    }
}

/* ---- registers ---------------------------------------------------------------------------------------------- */

static bool is_half(gr_dtype d)
{
    return d == GR_BF16 || d == GR_F16;
}

static int output_of(const gr_fused_attr *f, int i)
{
    for (int k = 0; k < f->n_out; k++)
        if (f->out[k] == GR_FUSED_RESULT + i)
            return k;
    return -1;
}

/* The value whose register operand v is in. */
static int origin(const chain *c, int v)
{
    while (v >= GR_FUSED_RESULT && v < GR_FUSED_CONSTANT && c->same[v - GR_FUSED_RESULT])
        v = c->f->code[v - GR_FUSED_RESULT].arg[0];
    return v;
}

static void find_casts(chain *c)
{
    const gr_fused_attr *f = c->f;
    for (int i = 0; i < f->n_code; i++) {
        gr_dtype d = c->dtype[GR_FUSED_RESULT + i];
        int k = output_of(f, i);
        bool is_cast = gr_fused_op(&f->code[i]) == &gr_op_cast;
        c->same[i] = is_cast && d == GR_F32 && k < 0;
        c->narrow[i] = is_cast && is_half(d) && k >= 0 && c->call->out[k].dtype == d && c->call->out[k].data ? k : -1;
        c->read[i] = false;
        for (int a = 0; a < gr_fused_op(&f->code[i])->inputs; a++) {
            int v = origin(c, f->code[i].arg[a]) - GR_FUSED_RESULT;
            if (v >= 0 && v < GR_FUSED_CODE)
                c->read[v] = true;
        }
    }
}

/* last[v]: the last step that reads value v; outputs are read at the end. */
static void last_uses(const chain *c, int *last)
{
    const gr_fused_attr *f = c->f;
    for (int v = 0; v < GR_FUSED_VALUES; v++)
        last[v] = -1;
    for (int i = 0; i < f->n_code; i++)
        for (int k = 0; k < gr_fused_op(&f->code[i])->inputs; k++)
            last[origin(c, f->code[i].arg[k])] = i;
    for (int k = 0; k < f->n_out; k++)
        last[f->out[k]] = f->n_code;
}

/* The output that step i may write straight away: f32, and not over an input that later steps still read (the memory
 * of an input may be taken for the result). Before pointers are known nothing may. */
static int direct_output(const chain *c, int i, const int *last)
{
    const gr_fused_attr *f = c->f;
    for (int k = 0; k < f->n_out; k++) {
        const gr_operand *out = &c->call->out[k];
        if (f->out[k] != GR_FUSED_RESULT + i || out->dtype != GR_F32 || !out->data)
            continue;
        for (int v = 0; v < f->n_in; v++)
            if (!c->in[v].scalar && c->in[v].data == out->data && last[v] > i)
                return -1;
        return k;
    }
    return -1;
}

typedef struct free_list {
    int reg[GR_FUSED_VALUES], n;
} free_list;

static int take_register(chain *c, free_list *l)
{
    return l->n ? l->reg[--l->n] : c->n_registers++;
}

/* A result may take the register of an operand that nobody needs any more: loops go element by element. */
static void give_registers(chain *c)
{
    const gr_fused_attr *f = c->f;
    int last[GR_FUSED_VALUES];
    free_list l = {.n = 0};
    last_uses(c, last);
    for (int i = 0; i < f->n_in; i++) {
        source *s = &c->in[i];
        bool in_place = s->scalar || s->seed || (s->linear && s->dtype == GR_F32);
        s->reg = in_place ? -1 : c->n_registers++;
    }
    for (int i = 0; i < f->n_code; i++) {
        for (int k = 0; k < gr_fused_op(&f->code[i])->inputs; k++) {
            int v = origin(c, f->code[i].arg[k]), r = v - GR_FUSED_RESULT;
            if (r < 0 || v >= GR_FUSED_CONSTANT || last[v] != i || c->reg[r] < 0)
                continue;
            l.reg[l.n++] = c->reg[r];
            last[v] = -1; /* an op may read one value twice */
        }
        c->direct[i] = direct_output(c, i, last);
        c->reg[i] = c->direct[i] < 0 && !c->same[i] ? take_register(c, &l) : -1;
    }
}

/* ---- a tile's inputs ---------------------------------------------------------------------------------------- */

static void load_run(const chain *c, float *to, const source *s, const char *from, int64_t n)
{
    if (s->dtype == GR_F32)
        memcpy(to, from, (size_t)n * sizeof *to);
    else if (s->dtype == GR_BOOL)
        c->kernels->load_bool(to, (const uint8_t *)from, n);
    else
        gr_cpu_to_f32(s->dtype)(from, to, n);
}

/* n elements `stride` apart. */
static void load_strided(const chain *c, float *to, const source *s, const char *from, int64_t stride, int64_t n)
{
    if (stride == 1) {
        load_run(c, to, s, from, n);
        return;
    }
    if (stride == 0)
        load_run(c, to, s, from, 1);
    for (int64_t i = stride == 0; i < n; i++) {
        if (stride == 0)
            to[i] = to[0];
        else
            load_run(c, to + i, s, from + i * stride * s->bytes, 1);
    }
}

/* The row that holds element `start`: index[] of its dims but the last, and where the input's row begins. */
static int64_t find_row(const chain *c, const source *s, int64_t start, int64_t *index)
{
    int64_t row = start / c->shape[c->ndim - 1], at = 0;
    for (int d = c->ndim - 2; d >= 0; d--) {
        index[d] = row % c->shape[d];
        row /= c->shape[d];
        at += index[d] * s->stride[d];
    }
    return at;
}

static int64_t next_row(const chain *c, const source *s, int64_t at, int64_t *index)
{
    for (int d = c->ndim - 2; d >= 0; d--) {
        at += s->stride[d];
        if (++index[d] < c->shape[d])
            break;
        at -= index[d] * s->stride[d];
        index[d] = 0;
    }
    return at;
}

/* A tile that goes over the ends of rows is put together from runs. */
static void load_rows(const chain *c, const source *s, float *to, int64_t start, int64_t n)
{
    int64_t index[GR_MAX_DIMS], cols = c->shape[c->ndim - 1], stride = s->stride[c->ndim - 1], col = start % cols;
    int64_t at = find_row(c, s, start, index);
    for (int64_t done = 0; done < n; col = 0) {
        int64_t run = gr_min64(cols - col, n - done);
        load_strided(c, to + done, s, s->data + (at + col * stride) * s->bytes, stride, run);
        done += run;
        at = next_row(c, s, at, index);
    }
}

/* Where elements [start, start + n) of an input can be read; *scalar: all are the one at the pointer. */
static const float *load(const chain *c, const source *s, float *to, int64_t start, int64_t n, bool *scalar)
{
    const char *from = s->data + start * s->bytes;
    *scalar = s->scalar;
    if (s->scalar)
        return &s->value;
    if (!s->linear) {
        int64_t index[GR_MAX_DIMS], cols = c->shape[c->ndim - 1], stride = s->stride[c->ndim - 1], col = start % cols;
        if (col + n > cols || stride > 1 || stride < 0) {
            load_rows(c, s, to, start, n);
            return to;
        }
        from = s->data + (find_row(c, s, start, index) + col * stride) * s->bytes;
        *scalar = stride == 0;
        n = *scalar ? 1 : n;
    }
    if (s->dtype == GR_F32)
        return (const float *)(const void *)from;
    load_run(c, to, s, from, n);
    return to;
}

/* ---- a tile ------------------------------------------------------------------------------------------------- */

typedef struct tile {
    float *registers;
    int64_t start, n;
    const float *value[GR_FUSED_VALUES];
    bool scalar[GR_FUSED_VALUES];
    unsigned stored; /* bit k: output k is where it belongs */
} tile;

static float *register_at(const tile *t, int reg)
{
    return reg < 0 ? NULL : t->registers + reg * TILE;
}

static void run_dropout(const chain *c, const gr_fused_code *code, tile *t, float *y)
{
    const gr_dropout_attr *a = gr_fused_args(c->f, code);
    int64_t seed = *(const int64_t *)(const void *)c->in[code->arg[1]].data;
    gr_dropout_call d = {(uint64_t)seed, a->stream, (uint64_t)t->start, (float)a->p, (float)(1 / (1 - a->p))};
    c->kernels->dropout(y, t->value[code->arg[0]], t->scalar[code->arg[0]], &d, t->n);
}

/* A cast to a narrower dtype is meant, so its result loses what the dtype cannot hold. Other results of 16 bits keep f32's
 * precision until they are stored: less error, and less work. */
static void run_cast(const chain *c, int i, tile *t, float *y)
{
    static const float zero = 0;
    uint16_t half[TILE], *to = half;
    int v = c->f->code[i].arg[0], k = c->narrow[i];
    gr_dtype d = c->dtype[GR_FUSED_RESULT + i];
    const float *x = t->value[v];
    if (!is_half(d) || t->scalar[v]) {
        c->loop[i](y, &x, t->scalar[v], t->n);
        x = y;
    }
    if (d == GR_BOOL)
        c->kernels->loop[GR_LOOP_ne](y, (const float *const[]){y, &zero}, 2, t->n);
    if (!is_half(d))
        return;
    if (k >= 0) {
        to = (uint16_t *)c->call->out[k].data + t->start;
        t->stored |= 1u << k;
    }
    gr_cpu_from_f32(d)(x, to, t->n);
    if (k < 0 || c->read[i])
        gr_cpu_to_f32(d)(to, y, t->n);
}

static void store(const chain *c, int k, const tile *t)
{
    const gr_operand *out = &c->call->out[k];
    const float *x = t->value[c->f->out[k]];
    if (!out->data || c->direct[c->f->out[k] - GR_FUSED_RESULT] == k || t->stored >> k & 1)
        return;
    char *to = (char *)out->data + t->start * gr_dtype_width(out->dtype);
    if (out->dtype == GR_F32)
        memcpy(to, x, (size_t)t->n * sizeof *x);
    else if (out->dtype == GR_BOOL)
        c->kernels->store_bool((uint8_t *)to, x, t->n);
    else
        gr_cpu_from_f32(out->dtype)(x, to, t->n);
}

static void run_tile(const chain *c, tile *t)
{
    const gr_fused_attr *f = c->f;
    for (int i = 0; i < f->n_in; i++)
        if (!c->in[i].seed)
            t->value[i] = load(c, &c->in[i], register_at(t, c->in[i].reg), t->start, t->n, &t->scalar[i]);
    t->stored = 0;
    for (int i = 0; i < f->n_code; i++) {
        const gr_fused_code *code = &f->code[i];
        if (c->same[i]) {
            t->value[GR_FUSED_RESULT + i] = t->value[code->arg[0]];
            t->scalar[GR_FUSED_RESULT + i] = t->scalar[code->arg[0]];
            continue;
        }
        float *y = c->direct[i] >= 0 ? (float *)c->call->out[c->direct[i]].data + t->start : register_at(t, c->reg[i]);
        if (c->loop[i] == c->kernels->loop[GR_LOOP_cast]) {
            run_cast(c, i, t, y);
        } else if (c->loop[i]) {
            const float *x[3];
            unsigned scalar = 0;
            for (int k = 0; k < c->operands[i]; k++) {
                x[k] = t->value[code->arg[k]];
                scalar |= (unsigned)t->scalar[code->arg[k]] << k;
            }
            c->loop[i](y, x, scalar, t->n);
        } else {
            run_dropout(c, code, t, y);
        }
        t->value[GR_FUSED_RESULT + i] = y;
    }
    for (int k = 0; k < f->n_out; k++)
        store(c, k, t);
}

static void run_piece(void *ctx, int64_t piece, int worker)
{
    const chain *c = ctx;
    float few[FEW_REGISTERS * TILE];
    tile t = {.registers = c->registers ? c->registers + (int64_t)worker * c->n_registers * TILE : few};
    for (int k = 0; k < c->f->n_constants; k++) {
        t.value[GR_FUSED_CONSTANT + k] = &c->constant[k];
        t.scalar[GR_FUSED_CONSTANT + k] = true;
    }
    int64_t row = c->shape[c->ndim - 1];
    for (int64_t i = piece * PIECE_TILES; i < gr_min64((piece + 1) * PIECE_TILES, c->tiles); i++) {
        int64_t col = c->tiles_a_row ? i % c->tiles_a_row * c->width : 0;
        t.start = c->tiles_a_row ? i / c->tiles_a_row * row + col : i * TILE;
        t.n = gr_min64(c->width, c->tiles_a_row ? row - col : c->count - t.start);
        run_tile(c, &t);
    }
}

/* ---- preparing ---------------------------------------------------------------------------------------------- */

static gr_loop find_loop(const gr_elementwise_kernels *kernels, const gr_op *op)
{
#define OP(name) &gr_op_##name,
    static const gr_op *const ops[GR_LOOP_COUNT] = {GR_LOOPS(OP)};
#undef OP
    for (int i = 0; i < GR_LOOP_COUNT; i++)
        if (ops[i] == op)
            return kernels->loop[i];
    return NULL;
}

/* Everything that tiles share. Without data (when scratch is asked for) the registers are those of the worst case. */
static void prepare(chain *c, const gr_fused_attr *f, const gr_call *call)
{
    *c = (chain){.f = f, .call = call, .kernels = GR_ISA_PICK(gr_elementwise_kernels_get)()};
    gr_dtype in[GR_FUSED_IN];
    collapse(c, &call->out[0]);
    for (int i = 0; i < f->n_in; i++) {
        source *s = &c->in[i];
        in[i] = s->dtype = call->in[i].dtype;
        s->bytes = gr_dtype_width(s->dtype);
        s->data = call->in[i].data;
        classify(c, s);
        if (s->scalar && s->data)
            load_run(c, &s->value, s, s->data, 1);
    }
    for (int i = 0; i < f->n_code; i++) {
        const gr_op *op = gr_fused_op(&f->code[i]);
        c->loop[i] = find_loop(c->kernels, op);
        c->operands[i] = op->inputs;
        if (op == &gr_op_dropout)
            c->in[f->code[i].arg[1]].seed = true;
    }
    for (int k = 0; k < f->n_constants; k++)
        c->constant[k] = (float)f->constant[k];
    gr_fused_dtypes(f, in, c->dtype);
    find_casts(c);
    cut_tiles(c);
    give_registers(c);
}

static void run_chain(const gr_fused_attr *f, const gr_call *call)
{
    chain c;
    if (gr_operand_count(&call->out[0]) == 0)
        return;
    prepare(&c, f, call);
    c.registers = c.n_registers > FEW_REGISTERS ? call->scratch : NULL;
    gr_parallel(call->device->pool, gr_ceil_div(c.tiles, PIECE_TILES), run_piece, &c);
}

static size_t chain_scratch(const gr_fused_attr *f, const gr_call *call)
{
    chain c;
    gr_call unknown = *call; /* pointers may be stale or not there yet: results get registers */
    gr_operand in[GR_FUSED_IN], out[GR_FUSED_OUT];
    memcpy(in, call->in, (size_t)f->n_in * sizeof *in);
    memcpy(out, call->out, (size_t)f->n_out * sizeof *out);
    for (int i = 0; i < f->n_in; i++)
        in[i].data = NULL;
    for (int k = 0; k < f->n_out; k++)
        out[k].data = NULL;
    unknown.in = in;
    unknown.out = out;
    prepare(&c, f, &unknown);
    size_t threads = (size_t)gr_pool_threads(call->device->pool);
    return c.n_registers > FEW_REGISTERS ? threads * (size_t)c.n_registers * TILE * sizeof(float) : 0;
}

/* ---- kernels ------------------------------------------------------------------------------------------------ */

static size_t scratch_fused(const gr_call *call)
{
    return chain_scratch(call->attr, call);
}

static gr_status run_fused(const gr_call *call)
{
    run_chain(call->attr, call);
    return GR_OK;
}

/* An op has at most 3 operands, so FEW_REGISTERS are enough. */
static gr_status run_single(const gr_call *call)
{
    gr_fused_attr f;
    gr_fused_single(call->op, call->attr, call->n_in, call->out[0].dtype, &f);
    run_chain(&f, call);
    return GR_OK;
}

static void apply(gr_device *device, const gr_op *op, const void *attr, const gr_operand *in, int n_in,
                  const gr_operand *out)
{
    gr_operand operands[3], result = *out;
    memcpy(operands, in, (size_t)n_in * sizeof *in);
    gr_call call = {.op = op, .attr = attr, .n_in = n_in, .n_out = 1, .in = operands, .out = &result, .device = device};
    run_single(&call);
}

void gr_cpu_apply(gr_device *device, const gr_op *op, const gr_operand *in, int n_in, const gr_operand *out)
{
    apply(device, op, NULL, in, n_in, out);
}

void gr_cpu_cast(gr_device *device, const gr_operand *from, const gr_operand *to)
{
    apply(device, &gr_op_cast, &(gr_cast_attr){to->dtype}, from, 1, to);
}

/* Registers are f32: what that cannot hold is left to others. */
static bool fits(gr_dtype d)
{
    return gr_dtype_get(d)->is_f32_inside;
}

static bool supports_single(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    if (node->op == &gr_op_dropout)
        return fits(node->spec.dtype);
    for (int i = 0; i < node->n_in; i++)
        if (!fits(node->in[i]->spec.dtype))
            return false;
    return fits(node->spec.dtype);
}

/* Is f32 what it is rounded to, element by element? */
static bool widens(gr_dtype d)
{
    return d != GR_F64 && !gr_dtype_is_block(d);
}

/* To an integer: f32 holds what is truncated. From one: rounded once, to f32. */
static bool supports_cast(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    gr_dtype from = node->in[0]->spec.dtype, to = node->spec.dtype;
    if (!widens(from) || !widens(to))
        return false;
    return fits(from) || to == GR_F32 || to == GR_BOOL;
}

/* There is a loop for it, or it is dropout. */
static bool runs_in_chains(const gr_op *op)
{
    return op == &gr_op_dropout || find_loop(GR_ISA_PICK(gr_elementwise_kernels_get)(), op);
}

bool gr_cpu_fuses(const gr_device *d, const gr_tensor *node)
{
    bool supported = node->op == &gr_op_cast ? supports_cast(d, node) : supports_single(d, node);
    return runs_in_chains(node->op) && supported && fits(node->spec.dtype);
}

static bool supports_fused(const gr_device *d, const gr_tensor *node)
{
    (void)d;
    const gr_fused_attr *f = node->attr;
    gr_dtype dtype[GR_FUSED_VALUES];
    gr_fused_node_dtypes(node, dtype);
    for (int i = 0; i < f->n_code; i++) {
        const gr_op *op = gr_fused_op(&f->code[i]);
        if (!fits(dtype[GR_FUSED_RESULT + i]) || !runs_in_chains(op))
            return false;
        for (int k = 0; k < op->inputs; k++) {
            int v = f->code[i].arg[k];
            bool is_seed = op == &gr_op_dropout && k == 1, is_input = v < GR_FUSED_IN;
            if (is_input && !is_seed && !fits(dtype[v]) && !(op == &gr_op_cast && widens(dtype[v])))
                return false;
        }
    }
    return true;
}

#define SINGLE(name) {.op = &gr_op_##name, .supports = supports_single, .strided = 7, .in_place = 7, .run = run_single},

const gr_kernel gr_cpu_elementwise_kernels[] = {
    {.op = &gr_op_fused,
     .supports = supports_fused,
     .strided = (1u << GR_FUSED_IN) - 1,
     .in_place = (1u << GR_FUSED_IN) - 1,
     .scratch = scratch_fused,
     .run = run_fused},
    /* in front of the line that the list gives */
    {.op = &gr_op_cast, .supports = supports_cast, .strided = 1, .in_place = 1, .run = run_single},
    SINGLE(dropout) GR_LOOPS(SINGLE){0},
};
