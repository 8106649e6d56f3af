/* What backends whose memory is the host's have in common: an address is a pointer, and everything happens at once. */
#include "backend/backend.h"

#include "base/machine.h"
#include "base/mem.h"

#include <string.h>

static void *pointer(gr_address p)
{
    return (void *)(uintptr_t)p;
}

int gr_host_count(void)
{
    return 1;
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

/* The system's own allocator has nothing to prepare; that it will not do is better known before the first piece is filled. */
gr_status gr_host_reserve(gr_device *d, size_t size)
{
    (void)d;
    return gr_check_memory(size);
}

gr_address gr_host_alloc(gr_device *d, size_t size)
{
    (void)d;
    return (uintptr_t)gr_alloc_pages(size);
}

void gr_host_free(gr_device *d, gr_address p, size_t size)
{
    (void)d;
    gr_free_pages(pointer(p), size);
}

gr_status gr_host_memory(gr_device *d, size_t *free, size_t *total)
{
    (void)d;
    *free = gr_memory_available();
    *total = gr_memory_total();
    return GR_OK;
}

/* ---- copies ------------------------------------------------------------------------------------------------- */

gr_status gr_host_write(gr_device *d, gr_address to, const void *host, size_t size)
{
    (void)d;
    if (size)
        memcpy(pointer(to), host, size);
    return GR_OK;
}

gr_status gr_host_read(gr_device *d, void *host, gr_address from, size_t size)
{
    (void)d;
    if (size)
        memcpy(host, pointer(from), size);
    return GR_OK;
}

gr_status gr_host_fill(gr_device *d, gr_address to, int byte, size_t size)
{
    (void)d;
    if (size)
        memset(pointer(to), byte, size);
    return GR_OK;
}

gr_status gr_host_copy(gr_device *d, gr_address to, gr_address from, size_t size)
{
    return gr_host_write(d, to, pointer(from), size);
}

gr_status gr_host_sync(gr_device *d)
{
    (void)d;
    return GR_OK;
}

/* ---- programs ----------------------------------------------------------------------------------------------- */

gr_status gr_host_prepare(gr_device *d, gr_code *code)
{
    (void)d;
    for (int i = 0; i < code->n; i++) {
        gr_call *c = &code->steps[i].call;
        for (int k = 0; k < c->n_in; k++)
            c->in[k].data = pointer(c->in[k].address);
        for (int k = 0; k < c->n_out; k++)
            c->out[k].data = pointer(c->out[k].address);
        c->scratch = pointer(c->scratch_address);
    }
    return GR_OK;
}

void gr_host_forget(gr_device *d, gr_code *code)
{
    (void)d, (void)code;
}

gr_status gr_host_run(gr_device *d, gr_code *code, int first, int n)
{
    (void)d;
    for (int i = first; i < first + n; i++) {
        gr_status s = code->steps[i].kernel->run(&code->steps[i].call);
        if (s != GR_OK)
            return s;
    }
    return GR_OK;
}

gr_status gr_host_wait(gr_device *d, gr_code *code)
{
    (void)d, (void)code;
    return GR_OK;
}

/* ---- kernels ------------------------------------------------------------------------------------------------ */

const gr_kernel *gr_kernel_find(const gr_kernel *table, const gr_device *d, const gr_tensor *node)
{
    for (; table->op; table++)
        if (table->op == node->op && (!table->supports || table->supports(d, node)))
            return table;
    return NULL;
}

static gr_status run_own(const gr_call *call)
{
    return call->op->kernel(call);
}

const gr_kernel *gr_kernel_own(const gr_tensor *node)
{
    static const gr_kernel own = {.run = run_own};
    return node->op->kernel ? &own : NULL;
}

gr_status gr_fault_report(const gr_call *call, const gr_fault *fault)
{
    static const char *const what[GR_FAULT_KINDS] = {"index", "target", "slot", "sequence"};
    static const char *const todo[GR_FAULT_KINDS] = {
        "check the ids and the size of the table", "mend the data, or mark rows to skip with the ignore index",
        "check the slots and how many rows the tensor has", "check the sequences and how many the cache has"};
    char label[256];
    unsigned kind = (unsigned)fault->what < GR_FAULT_KINDS ? (unsigned)fault->what : GR_FAULT_INDEX;
    return gr_fail(GR_ERR_ARGUMENT, "%s: %s %lld at position %lld is outside [%lld, %lld)\n%s",
                   call->node ? gr_tensor_label(call->node, label, sizeof label) : call->op->name, what[kind],
                   (long long)fault->value, (long long)fault->position, (long long)fault->low, (long long)fault->limit,
                   todo[kind]);
}

gr_status gr_fault_check(const gr_call *call, gr_fault_kind what, int64_t value, int64_t position, int64_t low,
                         int64_t limit)
{
    if (value >= low && value < limit)
        return GR_OK;
    gr_fault f = {.what = what, .value = value, .position = position, .low = low, .limit = limit};
    return gr_fault_report(call, &f);
}
