/* Profiles. A site is one step of one program; what it is called and what it costs is worked out when its program first
 * runs, so that timing a call is two looks at the clock. */
#include "program/profile.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/mem.h"
#include "op/op.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct site {
    char *name;  /* of the tensor that the call makes; "" where it has none */
    char *block; /* where in the model that is: "h.*.attn" */
    char *op;
    int64_t calls;
    double seconds, flops, bytes; /* all calls together; of one */
} site;

typedef struct event {
    size_t site;
    double start, seconds;
} event;

enum { MOST_EVENTS = 1 << 20 }; /* that a trace keeps: 24 MB */

struct gr_profile {
    gr_device *device;
    site *sites;
    size_t n_sites, sites_capacity;
    event *events;
    size_t n_events, events_capacity;
    int64_t left_out; /* calls behind the last event */
    int64_t runs;
    double start, run_seconds; /* of the first run; of all, copies included */
    uint64_t serial;
};

/* ---- sites -------------------------------------------------------------------------------------------------- */

/* The nearest name: the node's own, else that of the first input that has one or, so many steps back, leads to one. */
static const char *nearest_name(const gr_tensor *t, int steps)
{
    t = t->source ? t->source : t;
    if (t->name || steps == 0)
        return t->name;
    const char *name = NULL;
    for (int i = 0; !name && i < t->n_in; i++)
        name = t->in[i] ? nearest_name(t->in[i], 0) : NULL;
    for (int i = 0; !name && i < t->n_in; i++)
        name = t->in[i] ? nearest_name(t->in[i], steps - 1) : NULL;
    return name;
}

static bool is_leaf(const char *word)
{
    for (int i = 0; gr_op_list(i); i++)
        if (strcmp(gr_op_list(i)->name, word) == 0)
            return true;
    return strcmp(word, "weight") == 0 || strcmp(word, "bias") == 0;
}

/* Every number between dots becomes a '*'. */
static void join_layers(char *name)
{
    char *to = name;
    for (const char *from = name; *from; from++) { /* never behind `to` */
        bool begins = from == name || from[-1] == '.';
        while (begins && isdigit((unsigned char)from[0]) && isdigit((unsigned char)from[1]))
            from++;
        *to++ = begins && isdigit((unsigned char)*from) ? '*' : *from;
    }
    *to = '\0';
}

/* "grad.model.layers.3.mlp.up_proj.matmul.matmul" is in "model.layers.*.mlp.up_proj": without the names that nodes have of
 * their ops, but for those that stand in the layer itself ("model.layers.*.attention"). */
static char *block_of(const char *name)
{
    static const char backward[] = "grad.";
    name = name ? name : "";
    name += strncmp(name, backward, sizeof backward - 1) == 0 ? sizeof backward - 1 : 0;
    char *block = gr_strdup(name);
    if (!block)
        return NULL;
    block[strcspn(block, " ")] = '\0'; /* "matmul %5" */
    join_layers(block);
    for (char *last = strrchr(block, '.'); last && last > block && last[-1] != '*' && is_leaf(last + 1);
         last = strrchr(block, '.'))
        *last = '\0';
    return block;
}

static gr_status add_site(gr_profile *f, const gr_call *call)
{
    enum { STEPS = 4 };
    const gr_tensor *node = call->node;
    gr_status s = gr_grow(&f->sites, &f->sites_capacity, f->n_sites + 1, sizeof *f->sites);
    if (s != GR_OK)
        return s;
    site *at = &f->sites[f->n_sites];
    *at = (site){.name = gr_strdup(node->name ? node->name : "")};
    at->op = gr_strfmt("%s%s", call->op->name, node->backward ? " backward" : "");
    at->block = block_of(nearest_name(node, STEPS));
    gr_op_cost(node, &at->flops, &at->bytes);
    f->n_sites++; /* freed with the others, also when a part is missing */
    return at->name && at->op && at->block ? GR_OK : GR_ERR_MEMORY;
}

static gr_status find_sites(gr_profile *f, gr_program *p)
{
    if (p->profile == f->serial)
        return GR_OK;
    p->first_site = f->n_sites;
    for (int i = 0; i < p->code.n; i++) {
        gr_status s = add_site(f, &p->code.steps[i].call);
        if (s != GR_OK)
            return s;
    }
    p->profile = f->serial;
    return GR_OK;
}

/* ---- running ------------------------------------------------------------------------------------------------ */

static void note(gr_profile *f, size_t k, double start, double seconds)
{
    f->sites[k].calls++;
    f->sites[k].seconds += seconds;
    bool has_room = f->n_events < MOST_EVENTS &&
                    gr_grow(&f->events, &f->events_capacity, f->n_events + 1, sizeof *f->events) == GR_OK;
    if (has_room)
        f->events[f->n_events++] = (event){k, start - f->start, seconds};
    else
        f->left_out++;
}

gr_status gr_profile_run(gr_profile *f, gr_program *p)
{
    gr_status s = find_sites(f, p);
    for (int i = 0; s == GR_OK && i < p->code.n; i++) {
        double start = gr_seconds();
        s = gr_program_step(p, i);
        if (s == GR_OK)
            note(f, p->first_site + (size_t)i, start, gr_seconds() - start);
    }
    return s;
}

void gr_profile_ran(gr_profile *f, double began)
{
    f->runs++;
    f->run_seconds += gr_seconds() - began;
}

gr_profile *gr_profile_start(gr_device *d)
{
    if (gr_lacks_made(d, "gr_profile_start: device"))
        return NULL;
    gr_profile *f = gr_alloc_zero(1, sizeof *f);
    if (!f)
        return NULL;
    gr_device_lock(d);
    bool is_free = !d->profile;
    if (is_free) {
        *f = (gr_profile){.device = d, .start = gr_seconds(), .serial = ++d->profiles};
        d->profile = f;
    }
    gr_device_unlock(d);
    if (is_free)
        return f;
    gr_free(f);
    gr_fail(GR_ERR_ARGUMENT, "gr_profile_start: %s is being profiled already\nfree that profile first", d->name);
    return NULL;
}

void gr_profile_free(gr_profile *f)
{
    if (!f)
        return;
    gr_device_lock(f->device);
    f->device->profile = NULL;
    gr_device_unlock(f->device);
    for (size_t i = 0; i < f->n_sites; i++) {
        gr_free(f->sites[i].name);
        gr_free(f->sites[i].block);
        gr_free(f->sites[i].op);
    }
    gr_free(f->sites);
    gr_free(f->events);
    gr_free(f);
}

/* ---- telling ------------------------------------------------------------------------------------------------ */

static const char *key_of(const site *s, gr_profile_by by)
{
    return by == GR_PROFILE_OPS ? s->op : s->block;
}

static int slowest_first(const void *pa, const void *pb)
{
    const gr_profile_row *a = pa, *b = pb;
    if (a->seconds != b->seconds)
        return a->seconds < b->seconds ? 1 : -1;
    return strcmp(a->name, b->name);
}

static size_t find_row(const gr_profile_row *rows, size_t n, const char *name)
{
    size_t i = 0;
    while (i < n && strcmp(rows[i].name, name) != 0)
        i++;
    return i;
}

/* rows has room for all. */
static size_t sum_up(const gr_profile *f, gr_profile_by by, gr_profile_row *rows)
{
    size_t n = 0;
    for (size_t k = 0; k < f->n_sites; k++) {
        const site *s = &f->sites[k];
        size_t i = s->calls ? find_row(rows, n, key_of(s, by)) : 0;
        if (!s->calls)
            continue;
        if (i == n)
            rows[n++] = (gr_profile_row){.size = sizeof *rows, .name = key_of(s, by)};
        rows[i].calls += s->calls;
        rows[i].seconds += s->seconds;
        rows[i].flops += s->flops * (double)s->calls;
        rows[i].bytes += s->bytes * (double)s->calls;
    }
    return n;
}

gr_status gr_profile_walk(const gr_profile *f, gr_profile_by by, bool (*visit)(void *user, const gr_profile_row *row),
                          void *user)
{
    if (gr_lacks(f, "gr_profile_walk: profile") || gr_lacks(visit, "gr_profile_walk: visit"))
        return GR_ERR_ARGUMENT;
    gr_profile_row *rows = gr_alloc_zero(f->n_sites + 1, sizeof *rows);
    if (!rows)
        return GR_ERR_MEMORY;
    double kernels = 0;
    size_t n = sum_up(f, by, rows);
    for (size_t i = 0; i < n; i++)
        kernels += rows[i].seconds;
    qsort(rows, n, sizeof *rows, slowest_first);
    rows[n] = (gr_profile_row){sizeof *rows, NULL, f->runs, f->run_seconds - kernels, 0, 0};
    bool goes_on = true;
    for (size_t i = 0; goes_on && i <= n; i++)
        goes_on = visit(user, &rows[i]);
    gr_free(rows);
    return goes_on ? GR_OK : gr_fail(GR_ERR_INTERRUPTED, "gr_profile_walk: stopped");
}

/* ---- the trace: the Trace Event format that Perfetto and chrome://tracing open ------------------------------ */

/* Microseconds with three digits behind the point, whatever the locale. */
static gr_status add_time(gr_bytes *line, const char *key, double seconds)
{
    long long ns = (long long)(seconds * 1e9 + 0.5);
    char text[64];
    snprintf(text, sizeof text, ",\"%s\":%lld.%03lld", key, ns / 1000, ns % 1000);
    return gr_bytes_add_string(line, text);
}

static gr_status add_event(gr_bytes *line, const gr_profile *f, const event *e, bool is_first)
{
    const site *at = &f->sites[e->site];
    const char *name = *at->name ? at->name : at->op;
    char args[128];
    line->size = 0;
    gr_status s = gr_bytes_add_string(line, is_first ? "\n" : ",\n");
    if (s == GR_OK)
        s = gr_bytes_add_string(line, "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"cat\":");
    if (s == GR_OK)
        s = gr_json_add_text(line, at->op, strlen(at->op));
    if (s == GR_OK)
        s = gr_bytes_add_string(line, ",\"name\":");
    if (s == GR_OK)
        s = gr_json_add_text(line, name, strlen(name));
    if (s == GR_OK)
        s = add_time(line, "ts", e->start);
    if (s == GR_OK)
        s = add_time(line, "dur", e->seconds);
    snprintf(args, sizeof args, ",\"args\":{\"flops\":%.0f,\"bytes\":%.0f}}", at->flops, at->bytes);
    return s == GR_OK ? gr_bytes_add_string(line, args) : s;
}

static gr_status write_trace(const gr_profile *f, gr_writer *w)
{
    static const char begin[] = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", end[] = "\n]}\n";
    gr_bytes line = {0};
    gr_status s = gr_writer_write(w, begin, sizeof begin - 1);
    for (size_t i = 0; s == GR_OK && i < f->n_events; i++) {
        s = add_event(&line, f, &f->events[i], i == 0);
        if (s == GR_OK)
            s = gr_writer_write(w, line.data, line.size);
    }
    gr_free(line.data);
    return s == GR_OK ? gr_writer_write(w, end, sizeof end - 1) : s;
}

gr_status gr_profile_trace(const gr_profile *f, const char *path)
{
    if (gr_lacks(f, "gr_profile_trace: profile") || gr_lacks(path, "gr_profile_trace: path"))
        return GR_ERR_ARGUMENT;
    gr_writer *w = gr_writer_open(path);
    gr_status s = w ? write_trace(f, w) : gr_error_status();
    if (s != GR_OK) {
        gr_writer_cancel(w);
        return s;
    }
    if (f->left_out)
        gr_remark(GR_LOG_WARN, "%s: the first %zu calls; %lld more are in the sums alone", path, f->n_events,
                  (long long)f->left_out);
    return gr_writer_commit(w);
}
