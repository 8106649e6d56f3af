/* Ports by name: what a caller gives and wants, checked and put in the order in which the program has it. */
#include "program/program.h"

#include "base/mem.h"
#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

/* Whose ports, of which call; for messages. */
typedef struct side {
    const char *call, *kind;
    const gr_port *ports;
    int n;
} side;

static side inputs_of(const gr_program *p, const char *call)
{
    return (side){call, "input", p->inputs, p->n_inputs};
}

static side outputs_of(const gr_program *p, const char *call)
{
    return (side){call, "output", p->outputs, p->n_outputs};
}

/* "x f32[4,2], step i64[]", as far as there is room. */
static const char *all_ports(const side *s, char *text, size_t size)
{
    char spec[128];
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < s->n && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s %s", i ? ", " : "", s->ports[i].name,
                               gr_spec_text(&s->ports[i].spec, spec, sizeof spec));
    return s->n ? text : "none";
}

/* An output's place, whatever its tensor is called: "output 3"; -1: it is no such name. */
static int by_place(const side *s, const char *name)
{
    char place[32];
    for (int i = 0; strncmp(name, s->kind, strlen(s->kind)) == 0 && i < s->n; i++) {
        snprintf(place, sizeof place, "%s %d", s->kind, i);
        if (strcmp(place, name) == 0)
            return i;
    }
    return -1;
}

/* The port of that name; -1 and an error. */
static int find(const side *s, const char *name)
{
    char known[600];
    int found = -1;
    if (!name)
        return gr_fail(GR_ERR_ARGUMENT, "%s: the name of an %s is NULL", s->call, s->kind), -1;
    for (int i = 0; i < s->n; i++) {
        if (strcmp(s->ports[i].name, name) != 0)
            continue;
        if (found >= 0)
            return gr_fail(GR_ERR_ARGUMENT,
                           "%s: two %ss of the program are called \"%s\"\nname them apart, or say \"%s %d\"", s->call,
                           s->kind, name, s->kind, found),
                   -1;
        found = i;
    }
    found = found < 0 ? by_place(s, name) : found;
    if (found < 0)
        gr_fail(GR_ERR_ARGUMENT, "%s: there is no %s \"%s\"\nthe program's %ss: %s", s->call, s->kind, name, s->kind,
                all_ports(s, known, sizeof known));
    return found;
}

/* The port that a caller's record is for; -1 and an error if it does not fit. */
static int place(const side *s, const char *name, gr_dtype dtype, const void *data, size_t size)
{
    char spec[128];
    int i = find(s, name);
    if (i < 0)
        return -1;
    const gr_port *port = &s->ports[i];
    if (dtype == port->spec.dtype && size == port->size && (data || !size))
        return i;
    const char *is = gr_dtype_name(dtype);
    if (dtype != port->spec.dtype || size != port->size)
        gr_fail(GR_ERR_ARGUMENT, "%s: %s \"%s\" is given as %zu bytes of %s, it is %s, %zu bytes", s->call, s->kind,
                name, size, is ? is : "no dtype", gr_spec_text(&port->spec, spec, sizeof spec), port->size);
    else
        gr_fail(GR_ERR_ARGUMENT, "%s: %s \"%s\" is NULL", s->call, s->kind, name);
    return -1;
}

static gr_status doubled(const side *s, const char *name)
{
    return gr_fail(GR_ERR_ARGUMENT, "%s: %s \"%s\" is given twice", s->call, s->kind, name);
}

static gr_status give(gr_program *p, const char *call, const gr_given *inputs, int n)
{
    char spec[128];
    side s = inputs_of(p, call);
    if (n > 0 && gr_lacks(inputs, "inputs of a run"))
        return GR_ERR_ARGUMENT;
    for (int i = 0; i < s.n; i++)
        p->given[i] = NULL;
    for (int k = 0; k < n; k++) {
        const gr_given *in = &inputs[k];
        int i = place(&s, in->name, in->dtype, in->data, in->size);
        if (i < 0)
            return GR_ERR_ARGUMENT;
        if (p->given[i])
            return doubled(&s, in->name);
        p->given[i] = in->data ? in->data : ""; /* of an empty one nothing is read */
    }
    for (int i = 0; i < s.n; i++)
        if (!p->given[i] && s.ports[i].place.space != GR_SPACE_NONE)
            return gr_fail(GR_ERR_ARGUMENT, "%s: input \"%s\" %s is missing", call, s.ports[i].name,
                           gr_spec_text(&s.ports[i].spec, spec, sizeof spec));
    return GR_OK;
}

static gr_status want(gr_program *p, const char *call, const gr_wanted *outputs, int n)
{
    static char nothing;
    side s = outputs_of(p, call);
    if (n > 0 && gr_lacks(outputs, "outputs of a run"))
        return GR_ERR_ARGUMENT;
    for (int i = 0; i < s.n; i++)
        p->wanted[i] = NULL;
    for (int k = 0; k < n; k++) {
        const gr_wanted *out = &outputs[k];
        int i = place(&s, out->name, out->dtype, out->data, out->size);
        if (i < 0)
            return GR_ERR_ARGUMENT;
        if (p->wanted[i])
            return doubled(&s, out->name);
        p->wanted[i] = out->data ? out->data : &nothing;
    }
    return GR_OK;
}

gr_status gr_run(gr_program *p, const gr_given *inputs, int n_inputs, const gr_wanted *outputs, int n_outputs)
{
    if (gr_lacks(p, "gr_run: program"))
        return GR_ERR_ARGUMENT;
    gr_status s = give(p, "gr_run", inputs, n_inputs);
    if (s == GR_OK)
        s = want(p, "gr_run", outputs, n_outputs);
    return s == GR_OK ? gr_program_run(p, p->given, p->wanted) : s;
}

gr_status gr_start(gr_program *p, const gr_given *inputs, int n_inputs)
{
    if (gr_lacks(p, "gr_start: program"))
        return GR_ERR_ARGUMENT;
    gr_status s = give(p, "gr_start", inputs, n_inputs);
    return s == GR_OK ? gr_program_start(p, p->given) : s;
}

gr_status gr_finish(gr_program *p, const gr_wanted *outputs, int n_outputs)
{
    if (gr_lacks(p, "gr_finish: program"))
        return GR_ERR_ARGUMENT;
    bool fit = want(p, "gr_finish", outputs, n_outputs) == GR_OK;
    gr_status s = gr_program_finish(p, fit ? p->wanted : NULL);
    return fit ? s : want(p, "gr_finish", outputs, n_outputs); /* ended all the same; this is what to say */
}

gr_status gr_find_nonfinite(gr_program *p, const gr_given *inputs, int n_inputs, const char **name)
{
    if (gr_lacks(name, "gr_find_nonfinite: name"))
        return GR_ERR_ARGUMENT;
    *name = NULL;
    if (gr_lacks(p, "gr_find_nonfinite: program"))
        return GR_ERR_ARGUMENT;
    gr_status s = give(p, "gr_find_nonfinite", inputs, n_inputs);
    return s == GR_OK ? gr_program_find_nonfinite(p, p->given, name) : s;
}
