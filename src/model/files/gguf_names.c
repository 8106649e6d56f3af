/* Tensors of a GGUF file under the architecture's names, and in its order of rows. */
#include "model/files/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/mem.h"
#include "format/store_tensors.h"

/* ---- names -------------------------------------------------------------------------------------------------- */

/* "blk.12.attn_q.weight" is "blk.{}.attn_q", 12 and ".weight". */
typedef struct parts {
    char stem[GR_MAX_GGUF_NAME + 8];
    long layer; /* -1: none */
    const char *end;
} parts;

static bool split(const char *name, parts *p)
{
    const char *dot = strrchr(name, '.'), *rest = name;
    if (!dot || strlen(name) > GR_MAX_GGUF_NAME)
        return false;
    p->end = dot;
    p->layer = -1;
    p->stem[0] = '\0';
    if (strncmp(name, "blk.", 4) == 0) {
        char *stop;
        p->layer = strtol(name + 4, &stop, 10);
        if (stop == name + 4 || p->layer < 0 || p->layer > GR_MAX_LAYERS || stop > dot)
            return false;
        rest = stop;
        snprintf(p->stem, sizeof p->stem, "blk.{}");
    }
    size_t used = strlen(p->stem);
    snprintf(p->stem + used, sizeof p->stem - used, "%.*s", (int)(dot - rest), rest);
    return true;
}

static const gr_gguf_named *find(const gr_gguf_arch *a, const char *stem)
{
    for (size_t i = 0; i < sizeof a->tensors / sizeof *a->tensors; i++)
        for (const gr_gguf_named *t = a->tensors[i]; t && t->name; t++)
            if (strcmp(t->gguf, stem) == 0)
                return t;
    return NULL;
}

/* Caller frees. */
static char *full_name(const gr_arch *arch, const gr_gguf_named *t, const parts *p)
{
    const char *hole = strstr(t->name, "{}");
    if (!hole)
        return gr_strfmt("%s%s%s", arch->prefix, t->name, p->end);
    return gr_strfmt("%s%.*s%ld%s%s", arch->prefix, (int)(hole - t->name), t->name, p->layer, hole + 2, p->end);
}

gr_status gr_gguf_own_name(const gr_arch *arch, const char *name, char **own, gr_gguf_change *change)
{
    parts p;
    const gr_gguf_named *t = split(name, &p) ? find(arch->gguf, p.stem) : NULL;
    bool head = strcmp(name, "output.weight") == 0;
    *own = NULL;
    *change = GR_GGUF_SAME;
    if (!t && !head)
        return GR_OK;
    *own = head ? gr_strdup("lm_head.weight") : full_name(arch, t, &p);
    bool of_rows = !head && (t->change == GR_GGUF_HEADS || t->change == GR_GGUF_KV_HEADS);
    if (!head && (of_rows || strcmp(p.end, ".bias") != 0)) /* rows are moved in biases, too */
        *change = t->change;
    return *own ? GR_OK : GR_ERR_MEMORY;
}

static gr_status name_tensor(gr_named_tensor *item, const gr_arch *arch)
{
    char *own;
    gr_gguf_change change;
    gr_status s = gr_gguf_own_name(arch, item->in_file, &own, &change);
    if (s != GR_OK || !own)
        return s;
    item->own = own;
    item->tensor.name = own;
    item->change = change;
    return GR_OK;
}

/* Is it in config.json? */
static bool is_rotary(const char *name)
{
    return strncmp(name, "rope_freqs.", 11) == 0 || strncmp(name, "rope_factors_", 13) == 0;
}

gr_status gr_gguf_name_tensors(gr_names *n, const gr_arch *arch)
{
    int kept = 0;
    for (int i = 0; i < n->count; i++)
        if (!is_rotary(n->items[i].in_file))
            n->items[kept++] = n->items[i];
    n->count = kept;
    for (int i = 0; i < n->count; i++)
        if (name_tensor(&n->items[i], arch) != GR_OK)
            return GR_ERR_MEMORY;
    return GR_OK;
}

/* ---- bytes -------------------------------------------------------------------------------------------------- */

/* Row 2j + half of a head in the file is row half D/2 + j of it. Rows are whole blocks, so whatever they are of they are only
 * moved. */
static gr_status move_rows(const gr_weight *t, int64_t heads, bool undo, char *to)
{
    const char *from = t->data;
    int64_t rows = t->ndim ? t->shape[0] : 0, width = heads ? rows / heads : 0;
    if (!rows || rows % heads || width % 2)
        return gr_fail(
            GR_ERR_FILE,
            "tensor \"%s\" has %lld rows, which %lld heads cannot share\nthe file is damaged: fetch it again", t->name,
            (long long)rows, (long long)heads);
    size_t row = t->bytes / (size_t)rows;
    for (int64_t own = 0; own < rows; own++) {
        int64_t half = own % width / (width / 2), j = own % (width / 2), in_file = own / width * width + 2 * j + half;
        memcpy(to + (size_t)(undo ? own : in_file) * row, from + (size_t)(undo ? in_file : own) * row, row);
    }
    return GR_OK;
}

/* In f32, in which norms are. */
static gr_status add_number(const gr_weight *t, float x, void *to)
{
    const gr_dtype_info *d = gr_dtype_get(t->dtype);
    size_t n = gr_weight_values(t);
    if (!d->is_float)
        return gr_fail(GR_ERR_UNSUPPORTED, "tensor \"%s\", a norm, is of %s\nfetch a file whose norms are F32", t->name,
                       gr_weight_dtype_name(t));
    float *wide = gr_alloc(n * sizeof *wide);
    if (!wide)
        return GR_ERR_MEMORY;
    gr_weight_to_f32(t, wide);
    for (size_t i = 0; i < n; i++)
        wide[i] += x;
    d->from_f32(wide, to, (int64_t)n);
    gr_free(wide);
    return GR_OK;
}

/* Turning is its own reverse, of the file's shape. */
static gr_status change(const gr_weight *t, gr_gguf_change how, const gr_hparams *h, bool undo, void *to)
{
    switch (how) {
    case GR_GGUF_HEADS:
        return move_rows(t, h->heads, undo, to);
    case GR_GGUF_KV_HEADS:
        return move_rows(t, h->kv_heads, undo, to);
    case GR_GGUF_TURNED:
        gr_matrix_turn(t->data, to, t->shape[0], t->shape[1], (size_t)gr_dtype_width(t->dtype));
        return GR_OK;
    case GR_GGUF_PLUS_ONE:
        return add_number(t, undo ? -1 : 1, to);
    default:
        memcpy(to, t->data, t->bytes);
        return GR_OK;
    }
}

gr_status gr_gguf_undo(const gr_weight *t, gr_gguf_change how, const gr_hparams *h, void *to)
{
    return change(t, how, h, true, to);
}

gr_status gr_gguf_apply(const gr_weight *t, gr_gguf_change how, const gr_hparams *h, void *to)
{
    return change(t, how, h, false, to);
}
