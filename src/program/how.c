/* What runs a node, asked of the device; and what of a program it has no kernel of its own for. */
#include "program/how.h"

#include "base/dtype.h"
#include "base/log.h"
#include "op/fused.h"

#include <stdio.h>
#include <string.h>

bool gr_device_has_kernel(const gr_device *d, const gr_tensor *node)
{
    return d->backend->find(d, node) != NULL;
}

bool gr_device_fuses(const gr_device *d, const gr_tensor *node)
{
    return d->backend->fuses && gr_fused_holds(node) && d->backend->fuses(d, node);
}

static bool is_reference(const gr_device *d)
{
    return d->backend == &gr_backend_ref;
}

static gr_how how_by(const gr_device *d, const gr_tensor *node, const gr_kernel *k)
{
    if (k)
        return !is_reference(d) && k == gr_backend_ref.find(d, node) ? GR_HOW_REFERENCE : GR_HOW_KERNEL;
    return node->op->compose ? GR_HOW_COMPOSED : GR_HOW_NONE;
}

gr_how gr_device_how(const gr_device *d, const gr_tensor *node)
{
    if (node->op->view)
        return GR_HOW_VIEW;
    if (gr_device_fuses(d, node))
        return GR_HOW_FUSED;
    return how_by(d, node, d->backend->find(d, node));
}

const char *gr_how_name(gr_how how)
{
    static const char *const names[GR_HOWS] = {"none", "view", "fused", "kernel", "reference", "composed"};
    return names[how];
}

/* The result's, or what it is made of: a comparison's is that of what is compared. */
static gr_dtype dtype_of(const gr_tensor *node)
{
    bool is_float = gr_dtype_get(node->spec.dtype)->is_float || node->n_in == 0 || !node->in[0];
    return is_float ? node->spec.dtype : node->in[0]->spec.dtype;
}

void gr_fallbacks_note(gr_fallbacks *f, const gr_device *d, const gr_tensor *node, const gr_kernel *found)
{
    gr_how how = is_reference(d) ? GR_HOW_KERNEL : how_by(d, node, found);
    if (how != GR_HOW_REFERENCE && how != GR_HOW_COMPOSED)
        return;
    int i = 0;
    gr_dtype dtype = dtype_of(node);
    while (i < f->n && (f->of[i].op != node->op || f->of[i].how != how || f->of[i].dtype != dtype))
        i++;
    if (i == (int)(sizeof f->of / sizeof f->of[0])) {
        f->others++;
        return;
    }
    f->n += i == f->n;
    f->of[i].op = node->op;
    f->of[i].how = how;
    f->of[i].dtype = dtype;
    f->of[i].n++;
}

void gr_fallbacks_tell(const gr_fallbacks *f, const gr_device *d)
{
    char list[900] = "";
    size_t at = 0;
    for (int i = 0; i < f->n && at < sizeof list - 1; i++) {
        bool is_usual = f->of[i].dtype == GR_F32;
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s%s%s (%s, %d)", i ? ", " : "", f->of[i].op->name,
                               is_usual ? "" : " of ", is_usual ? "" : gr_dtype_name(f->of[i].dtype),
                               gr_how_name(f->of[i].how), f->of[i].n);
    }
    if (f->others && at < sizeof list - 1)
        snprintf(list + at, sizeof list - at, ", and %d calls of other ops", f->others);
    if (f->n)
        gr_remark(GR_LOG_INFO, "%s has no kernel of its own for %s", d->name, list);
}
