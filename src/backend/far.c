/* The test device, as mean as a contract allows: the cpu's kernels behind addresses that are no memory, in small blocks,
 * where nothing happens before somebody waits for it, and nothing is said to have failed until then. Host code that would
 * break on a GPU breaks here, in every test run. */
#include "backend/backend.h"

#include "base/dtype.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* No pointer looks like this, and a block ends far from where the next begins. */
#define FIRST_ADDRESS ((gr_address)0x0F00 << 48)
enum { LARGEST = 1 << 20, GAP = 1 << 16 };

/* Some memory in pieces of `piece` bytes, the last one smaller. */
typedef struct block {
    struct block *next;
    gr_address first;
    size_t size, piece;
    char **pieces; /* each on pages of its own, which come zeroed */
} block;

typedef enum command_kind { WRITE, FILL, COPY, RUN } command_kind;

typedef struct command {
    command_kind kind;
    char *to, *from;
    size_t size, bytes; /* WRITE: `bytes` is where they lie among those taken */
    int byte, first, n;
    gr_code *code;
} command;

typedef struct far_device {
    block *blocks;
    gr_address next;
    command *commands; /* told and not done */
    size_t n, capacity;
    char *bytes; /* of the WRITEs among them */
    size_t n_bytes, bytes_capacity;
} far_device;

/* What prepare makes of a program: its steps with pointers, and how its last run ended. */
typedef struct far_code {
    gr_step *steps;
    gr_operand *operands;
    gr_fault *fault;
    gr_status failed;
    char failure[512];
} far_code;

/* ---- memory ------------------------------------------------------------------------------------------------- */

static size_t n_pieces(const block *b)
{
    return (b->size + b->piece - 1) / b->piece;
}

static size_t piece_size(const block *b, size_t i)
{
    return i + 1 < n_pieces(b) ? b->piece : b->size - i * b->piece;
}

/* NULL when it is nobody's, or goes over the end of a piece. */
static char *pointer(const gr_device *d, gr_address p, size_t size)
{
    const far_device *f = d->own;
    for (const block *b = f->blocks; b; b = b->next) {
        if (p < b->first || p - b->first > b->size || size > b->size - (p - b->first))
            continue;
        size_t at = (size_t)(p - b->first), i = at / b->piece;
        if (i == n_pieces(b)) /* nothing, behind the last byte */
            return b->pieces[i - 1] + piece_size(b, i - 1);
        return at - i * b->piece + size <= piece_size(b, i) ? b->pieces[i] + (at - i * b->piece) : NULL;
    }
    return NULL;
}

static gr_status no_memory_there(gr_address p, size_t size)
{
    return gr_fail(GR_ERR_ARGUMENT, "far: %zu bytes at %llx are not in one block", size, (unsigned long long)p);
}

static void free_block(block *b)
{
    for (size_t i = 0; b->pieces && i < n_pieces(b); i++)
        if (b->pieces[i])
            gr_free_pages(b->pieces[i], piece_size(b, i));
    gr_free(b->pieces);
    gr_free(b);
}

static gr_address far_alloc(gr_device *d, size_t size)
{
    far_device *f = d->own;
    block *b = gr_alloc_zero(1, sizeof *b);
    if (!b)
        return 0;
    *b = (block){.next = f->blocks, .first = f->next, .size = size ? size : 1, .piece = d->largest};
    b->pieces = gr_alloc_zero(n_pieces(b), sizeof *b->pieces);
    for (size_t i = 0; b->pieces && i < n_pieces(b); i++) {
        b->pieces[i] = gr_alloc_pages(piece_size(b, i));
        if (!b->pieces[i]) {
            free_block(b);
            return 0;
        }
    }
    if (!b->pieces) {
        gr_free(b);
        return 0;
    }
    f->blocks = b;
    f->next += (b->size + GAP) / GAP * GAP + GAP;
    return b->first;
}

/* ---- doing what was told ------------------------------------------------------------------------------------ */

/* Pages come zeroed, so what lies between a piece's end and its last page's end shows who wrote past the end. */
static gr_status check_ends(const gr_device *d)
{
    const far_device *f = d->own;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (const block *b = f->blocks; b; b = b->next)
        for (size_t k = 0; k < n_pieces(b); k++) {
            const unsigned char *bytes = (const unsigned char *)b->pieces[k];
            size_t size = piece_size(b, k);
            for (size_t i = size; i % page; i++)
                if (bytes[i])
                    return gr_fail(GR_ERR_NUMBER, "far: a kernel wrote %zu bytes past the end of a block of %zu",
                                   i - size + 1, size);
        }
    return GR_OK;
}

/* A run that has failed does no more until somebody has asked. */
static void run_now(gr_device *d, const command *c)
{
    far_code *own = c->code->own;
    gr_status s = own->failed;
    if (s != GR_OK)
        return;
    if (c->first == 0)
        *own->fault = (gr_fault){0};
    for (int i = c->first; s == GR_OK && i < c->first + c->n; i++)
        s = own->steps[i].kernel->run(&own->steps[i].call);
    if (s == GR_OK)
        s = check_ends(d);
    own->failed = s;
    if (s != GR_OK)
        snprintf(own->failure, sizeof own->failure, "%s", gr_error());
}

static void do_all(gr_device *d)
{
    far_device *f = d->own;
    for (size_t i = 0; i < f->n; i++) {
        const command *c = &f->commands[i];
        if (c->kind == WRITE)
            memcpy(c->to, f->bytes + c->bytes, c->size);
        else if (c->kind == FILL)
            memset(c->to, c->byte, c->size);
        else if (c->kind == COPY)
            memcpy(c->to, c->from, c->size);
        else
            run_now(d, c);
    }
    f->n = 0;
    f->n_bytes = 0;
}

static gr_status tell(gr_device *d, command c)
{
    far_device *f = d->own;
    gr_status s = gr_grow(&f->commands, &f->capacity, f->n + 1, sizeof *f->commands);
    if (s == GR_OK)
        f->commands[f->n++] = c;
    return s;
}

/* ---- copies ------------------------------------------------------------------------------------------------- */

static gr_status far_write(gr_device *d, gr_address to, const void *host, size_t size)
{
    far_device *f = d->own;
    char *p = pointer(d, to, size);
    if (!p)
        return no_memory_there(to, size);
    gr_status s = gr_grow(&f->bytes, &f->bytes_capacity, f->n_bytes + size, 1);
    if (s != GR_OK || !size)
        return s;
    s = tell(d, (command){.kind = WRITE, .to = p, .size = size, .bytes = f->n_bytes});
    if (s != GR_OK)
        return s;
    memcpy(f->bytes + f->n_bytes, host, size);
    f->n_bytes += size;
    return GR_OK;
}

static gr_status far_fill(gr_device *d, gr_address to, int byte, size_t size)
{
    char *p = pointer(d, to, size);
    return p ? tell(d, (command){.kind = FILL, .to = p, .byte = byte, .size = size}) : no_memory_there(to, size);
}

static gr_status far_copy(gr_device *d, gr_address to, gr_address from, size_t size)
{
    char *p = pointer(d, to, size), *q = pointer(d, from, size);
    if (!p || !q)
        return no_memory_there(p ? from : to, size);
    return tell(d, (command){.kind = COPY, .to = p, .from = q, .size = size});
}

static gr_status far_read(gr_device *d, void *host, gr_address from, size_t size)
{
    const char *p = pointer(d, from, size);
    if (!p)
        return no_memory_there(from, size);
    do_all(d);
    if (size)
        memcpy(host, p, size);
    return GR_OK;
}

static gr_status far_sync(gr_device *d)
{
    do_all(d);
    return GR_OK;
}

static void far_free(gr_device *d, gr_address p, size_t size)
{
    (void)size;
    far_device *f = d->own;
    do_all(d);
    for (block **at = &f->blocks; *at; at = &(*at)->next)
        if ((*at)->first == p) {
            block *b = *at;
            *at = b->next;
            free_block(b);
            return;
        }
}

/* ---- programs ----------------------------------------------------------------------------------------------- */

/* Bytes from the first element to behind the last. */
static size_t reach(const gr_operand *o)
{
    int64_t last = 0;
    for (int i = 0; i < o->ndim; i++)
        last += (o->shape[i] - 1) * o->stride[i];
    return gr_operand_count(o) ? gr_dtype_size(o->dtype, last + 1) : 0;
}

static gr_status locate(const gr_device *d, gr_operand *o)
{
    if (!o->address)
        return GR_OK;
    size_t size = reach(o);
    o->data = pointer(d, o->address, size);
    return o->data ? GR_OK : no_memory_there(o->address, size);
}

static gr_status locate_call(const gr_device *d, gr_call *c, gr_operand *operands)
{
    int n = c->n_in + c->n_out;
    if (n)
        memcpy(operands, c->in, (size_t)n * sizeof *operands); /* outputs stand behind inputs */
    c->in = operands;
    c->out = operands + c->n_in;
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < n; i++)
        s = locate(d, &operands[i]);
    if (s != GR_OK || !c->scratch_address)
        return s;
    c->scratch = pointer(d, c->scratch_address, c->scratch_size);
    return c->scratch ? GR_OK : no_memory_there(c->scratch_address, c->scratch_size);
}

static void far_forget(gr_device *d, gr_code *code)
{
    far_code *own = code->own;
    if (!own)
        return;
    do_all(d);
    gr_free(own->steps);
    gr_free(own->operands);
    gr_free(own);
    code->own = NULL;
}

static gr_status far_prepare(gr_device *d, gr_code *code)
{
    far_forget(d, code);
    size_t operands = 0;
    for (int i = 0; i < code->n; i++)
        operands += (size_t)(code->steps[i].call.n_in + code->steps[i].call.n_out);
    far_code *own = code->own = gr_alloc_zero(1, sizeof *own);
    if (!own)
        return GR_ERR_MEMORY;
    own->steps = gr_alloc((size_t)code->n * sizeof *own->steps);
    own->operands = gr_alloc(operands * sizeof *own->operands);
    own->fault = (gr_fault *)(void *)pointer(d, code->fault, sizeof *own->fault);
    if (!own->steps || !own->operands || !own->fault)
        return own->fault ? GR_ERR_MEMORY : no_memory_there(code->fault, sizeof *own->fault);
    gr_status s = GR_OK;
    gr_operand *next = own->operands;
    for (int i = 0; s == GR_OK && i < code->n; i++) {
        own->steps[i] = code->steps[i];
        s = locate_call(d, &own->steps[i].call, next);
        next += own->steps[i].call.n_in + own->steps[i].call.n_out;
    }
    return s;
}

static gr_status far_run(gr_device *d, gr_code *code, int first, int n)
{
    return tell(d, (command){.kind = RUN, .code = code, .first = first, .n = n});
}

static gr_status far_wait(gr_device *d, gr_code *code)
{
    far_code *own = code->own;
    do_all(d);
    gr_status s = own->failed;
    own->failed = GR_OK;
    return s == GR_OK ? s : gr_fail(s, "%s", own->failure);
}

/* ---- the device --------------------------------------------------------------------------------------------- */

static gr_status open_device(gr_device *d, int index, int threads)
{
    gr_status s = gr_backend_cpu.open(d, index, threads);
    far_device *f = s == GR_OK ? gr_alloc_zero(1, sizeof *f) : NULL;
    if (!f)
        return gr_error_status();
    f->next = FIRST_ADDRESS;
    d->own = f;
    d->host_visible = false;
    d->largest = LARGEST;
    return GR_OK;
}

static void close_device(gr_device *d)
{
    far_device *f = d->own;
    while (f->blocks)
        far_free(d, f->blocks->first, f->blocks->size);
    gr_free(f->commands);
    gr_free(f->bytes);
    gr_free(f);
    gr_backend_cpu.close(d);
}

static const gr_kernel *find(const gr_device *d, const gr_tensor *node)
{
    return gr_backend_cpu.find(d, node);
}

static gr_status measure(gr_device *d, gr_device_limits *out)
{
    return gr_backend_cpu.measure(d, out);
}

static bool fuses(const gr_device *d, const gr_tensor *node)
{
    return gr_backend_cpu.fuses(d, node);
}

const gr_backend gr_backend_far = {
    .name = "far",
    .count = gr_host_count,
    .open = open_device,
    .close = close_device,
    .find = find,
    .fuses = fuses,
    .measure = measure,
    .reserve = gr_host_reserve,
    .alloc = far_alloc,
    .free = far_free,
    .memory = gr_host_memory,
    .write = far_write,
    .read = far_read,
    .fill = far_fill,
    .copy = far_copy,
    .sync = far_sync,
    .prepare = far_prepare,
    .forget = far_forget,
    .run = far_run,
    .wait = far_wait,
};
