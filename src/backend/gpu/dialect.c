/* From the dialect's heads to a driver's. */
#include "backend/gpu/dialect.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- text --------------------------------------------------------------------------------------------------- */

static bool make_room(gr_gpu_text *t, size_t more)
{
    if (t->status == GR_OK)
        t->status = gr_grow(&t->s, &t->capacity, t->n + more + 1, 1);
    return t->status == GR_OK;
}

void gr_gpu_add(gr_gpu_text *t, const char *s, size_t n)
{
    if (!make_room(t, n))
        return;
    memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = 0;
}

void gr_gpu_print(gr_gpu_text *t, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    if (n >= 0 && make_room(t, (size_t)n)) {
        vsnprintf(t->s + t->n, (size_t)n + 1, fmt, again);
        t->n += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

/* ---- heads -------------------------------------------------------------------------------------------------- */

static gr_status bad_head(const char *s)
{
    return gr_fail(GR_ERR_UNSUPPORTED, "kernel source: this is no head of a kernel: %.60s", s);
}

/* "in T x", "long rows", "fault" */
static bool parse_arg(gr_gpu_head *h, const char *s, size_t n)
{
    static const char *const words[] = {[GR_GPU_IN] = "in", [GR_GPU_OUT] = "out", [GR_GPU_INOUT] = "inout"};
    char text[96], a[16], b[16], c[24];
    if (n >= sizeof text || h->n == GR_GPU_ARGS)
        return false;
    memcpy(text, s, n);
    text[n] = 0;
    int found = sscanf(text, " %15s %15s %23s", a, b, c), k = h->n++;
    if (found == 1 && strcmp(a, "fault") == 0) {
        h->arg[k].access = GR_GPU_FAULT;
        return true;
    }
    if (found == 2) {
        memcpy(h->arg[k].type, a, sizeof a);
        memcpy(h->arg[k].name, b, sizeof b);
        return true;
    }
    for (int w = GR_GPU_IN; found == 3 && w <= GR_GPU_INOUT; w++)
        if (strcmp(a, words[w]) == 0) {
            h->arg[k].access = (gr_gpu_access)w;
            memcpy(h->arg[k].type, b, sizeof b);
            memcpy(h->arg[k].name, c, sizeof c);
            return true;
        }
    return false;
}

/* Parses "kernel name(..) group(N)" and returns what stands behind the "{" that follows; NULL: it is none. */
static const char *parse_head(const char *s, gr_gpu_head *h)
{
    const char *open = strchr(s, '('), *end = open ? strchr(open, ')') : NULL;
    *h = (gr_gpu_head){.group = 0};
    if (!end || sscanf(s, "kernel %47[A-Za-z0-9_]", h->name) != 1)
        return NULL;
    for (const char *p = open + 1; p < end;) {
        size_t n = strcspn(p, ",)");
        if (!parse_arg(h, p, n))
            return NULL;
        p += n + 1;
    }
    const char *body = strchr(end, '{');
    bool fits = sscanf(end, ") group(%d)", &h->group) == 1 && h->group >= 1 && h->group <= 256;
    return fits && body && !(h->group & (h->group - 1)) ? body + 1 : NULL;
}

gr_status gr_gpu_translate(gr_gpu_text *to, const char *source, void (*head)(gr_gpu_text *to, const gr_gpu_head *h),
                           gr_gpu_see see, void *user)
{
    static const char word[] = "kernel ";
    for (const char *line = source; *line && to->status == GR_OK;) {
        size_t n = strcspn(line, "\n");
        n += line[n] == '\n';
        if (strncmp(line, word, sizeof word - 1) == 0) {
            gr_gpu_head h;
            const char *rest = parse_head(line, &h);
            if (!rest)
                return bad_head(line);
            head(to, &h);
            gr_status s = see ? see(user, &h) : GR_OK;
            if (s != GR_OK)
                return s;
            line = rest;
        } else {
            gr_gpu_add(to, line, n);
            line += n;
        }
    }
    return to->status;
}

/* ---- names -------------------------------------------------------------------------------------------------- */

/* Made of kernels/ by cmake/kernels.cmake; closed by a line without name. */
extern const struct gr_gpu_file {
    const char *name, *text;
} gr_gpu_files[];

const char *gr_gpu_source(const char *name)
{
    for (const struct gr_gpu_file *f = gr_gpu_files; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f->text;
    return NULL;
}

const char *gr_gpu_dtype(gr_dtype d)
{
    char text[64];
    const char *name = d == GR_BOOL ? "b8" : gr_dtype_name(d); /* "bool" is taken */
    snprintf(text, sizeof text, "#define load_%s(", name);
    return strstr(gr_gpu_source("common"), text) ? name : NULL;
}
