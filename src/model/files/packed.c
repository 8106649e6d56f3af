/* Which tensors are a layer's, and whether they agree with each other and with config.json. */
#include "model/files/packed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/files/names.h"

void gr_packed_free(gr_packed *p)
{
    if (!p)
        return;
    gr_free(p->group_of);
    gr_free(p->order);
    gr_free(p);
}

/* ---- what belongs together ---------------------------------------------------------------------------------- */

/* Length of what stands before such an end, 0: another. */
static size_t base_of(const char *name, const char *end)
{
    return gr_ends_with(name, end) ? strlen(name) - strlen(end) : 0;
}

/* A name that is longer than any model has is of nothing that could be found. */
static const gr_named_tensor *beside(const gr_names *n, const gr_named_tensor *item, size_t base, const char *end)
{
    char name[1024];
    if ((size_t)snprintf(name, sizeof name, "%.*s%s", (int)base, item->tensor.name, end) >= sizeof name)
        return NULL;
    return gr_names_item(n, name);
}

/* Of a tensor of codes the length of its layer's name; 0: it is something else. */
static size_t layer_of(const gr_names *n, const gr_named_tensor *item)
{
    const gr_weight *t = &item->tensor;
    static const char *const ends[] = {".weight_packed", ".qweight"};
    for (int i = 0; i < 2; i++)
        if (base_of(t->name, ends[i]))
            return base_of(t->name, ends[i]);
    size_t whole = base_of(t->name, ".weight");
    bool int8 = whole && t->stored && strcmp(t->stored->name, "I8") == 0 && beside(n, item, whole, ".weight_scale");
    return int8 ? whole : 0;
}

static gr_status disagree(const gr_weight *t, const char *what)
{
    char name[200];
    return gr_fail(GR_ERR_FILE,
                   "tensor \"%s\": %s\nthe file is damaged, or config.json is another model's: fetch both again",
                   gr_printable(t->name, strlen(t->name), name, sizeof name), what);
}

/* Takes what is beside the codes, and marks it as no item of its own. */
static gr_weight take(const gr_names *n, const gr_named_tensor *item, size_t base, const char *end, bool *gone)
{
    const gr_named_tensor *found = beside(n, item, base, end);
    if (!found)
        return (gr_weight){0};
    gone[found - n->items] = true;
    gr_weight t = found->tensor;
    t.name = found->in_file;
    return t;
}

static void take_parts(const gr_names *n, const gr_named_tensor *item, size_t base, const gr_packed_config *c,
                       gr_packed *p, gr_weight *order, bool *gone)
{
    bool of_tensors = c->method == GR_PACKED_TENSORS;
    p->in_file = item->in_file;
    p->codes = item->tensor;
    p->codes.name = item->in_file;
    p->stored_less = c->stored_less;
    p->layout = c->method == GR_PACKED_AWQ    ? GR_LAYOUT_AWQ
                : c->method == GR_PACKED_GPTQ ? GR_LAYOUT_COLUMNS
                : p->codes.stored             ? GR_LAYOUT_BYTES
                                              : GR_LAYOUT_ROWS;
    p->scales = take(n, item, base, of_tensors ? ".weight_scale" : ".scales", gone);
    p->zeros = take(n, item, base, of_tensors ? ".weight_zero_point" : ".qzeros", gone);
    p->shape = take(n, item, base, ".weight_shape", gone);
    *order = take(n, item, base, of_tensors ? ".weight_g_idx" : ".g_idx", gone);
}

/* ---- shapes ------------------------------------------------------------------------------------------------- */

static bool is_matrix(const gr_weight *t, int64_t rows, int64_t columns)
{
    return t->ndim == 2 && t->shape[0] == rows && t->shape[1] == columns;
}

static int64_t words(int64_t values, int bits)
{
    return values < INT64_MAX / 8 ? (values * bits + 31) / 32 : INT64_MAX;
}

/* N and K from codes, and what says it besides. */
static gr_status find_shape(gr_packed *p)
{
    const gr_weight *t = &p->codes;
    char what[160];
    bool bytes = p->layout == GR_LAYOUT_BYTES;
    if (t->ndim != 2 || (bytes ? !t->stored : t->stored || t->dtype != GR_I32) || t->shape[0] < 1 || t->shape[1] < 1)
        return disagree(t, bytes ? "codes are no matrix of int8" : "codes are no matrix of int32");
    p->rows = t->shape[p->layout == GR_LAYOUT_COLUMNS];
    p->width = t->shape[p->layout != GR_LAYOUT_COLUMNS];
    if (p->layout == GR_LAYOUT_AWQ) {
        p->rows = t->shape[1] * (32 / p->bits);
        p->width = t->shape[0];
    } else if (p->layout != GR_LAYOUT_BYTES) { /* whole words: the shape says how much of the last one */
        if (p->width * 32 % p->bits && p->layout == GR_LAYOUT_COLUMNS)
            return disagree(t, "codes of 3 bits are no whole columns");
        p->width = p->width * 32 / p->bits;
    }
    if (p->layout != GR_LAYOUT_ROWS)
        return GR_OK;
    int64_t says[2] = {0, 0};
    if (p->shape.data && p->shape.dtype == GR_I64 && p->shape.bytes == sizeof says)
        memcpy(says, p->shape.data, sizeof says);
    snprintf(what, sizeof what, "weight_shape %s %lld x %lld, and codes of %d bits are %lld x %lld",
             p->shape.data ? "says" : "is not there:", (long long)says[0], (long long)says[1], p->bits,
             (long long)p->rows, (long long)p->width);
    if (says[0] != p->rows || says[1] < 1 || words(says[1], p->bits) != t->shape[1])
        return disagree(t, what);
    p->width = says[1];
    return GR_OK;
}

/* Scales and zero points of as many groups as config.json says. */
static gr_status check_groups(gr_packed *p, const gr_packed_scheme *s)
{
    char what[200];
    const gr_weight *d = &p->scales;
    bool over = p->layout == GR_LAYOUT_COLUMNS || p->layout == GR_LAYOUT_AWQ;
    int64_t n = p->rows;
    p->group = s->group > 0 ? s->group : p->width;
    p->groups = (p->width + p->group - 1) / p->group;
    bool one = s->group < 0 && d->data && gr_weight_values(d) == 1;
    bool fits = d->data && !d->stored && gr_dtype_get(d->dtype)->is_float &&
                (one || is_matrix(d, over ? p->groups : n, over ? n : p->groups));
    bool row =
        !over && p->groups == 1 && d->data && d->ndim == 1 && d->shape[0] == n && !d->stored; /* [N] for [N, 1] */
    snprintf(
        what, sizeof what,
        "its scales are not there, no floats, or not of %lld groups of %lld columns in each of %lld rows, as %d bits "
        "and config.json have it",
        (long long)p->groups, (long long)p->group, (long long)n, p->bits);
    if (!fits && !(row && gr_dtype_get(d->dtype)->is_float))
        return disagree(&p->codes, what);
    const gr_weight *z = &p->zeros;
    if (!z->data && (over || !s->symmetric))
        return disagree(&p->codes, "its zero points are not there, and config.json says that it has some");
    bool plain =
        p->layout == GR_LAYOUT_BYTES || (z->data && p->layout == GR_LAYOUT_ROWS && (z->stored || z->dtype != GR_I32));
    int64_t packed = words(n, p->bits);
    bool zeros = !z->data || (plain ? gr_weight_values(z) == gr_weight_values(d) && gr_weight_is_number(z)
                                    : z->dtype == GR_I32 && !z->stored &&
                                          is_matrix(z, over ? p->groups : packed, over ? packed : p->groups));
    return zeros ? GR_OK : disagree(z, "zero points have another shape than scales, or are no int32");
}

/* ---- the order of columns ----------------------------------------------------------------------------------- */

/* Columns sorted by their group; of one group as they are. */
static gr_status sort_columns(gr_packed *p)
{
    int32_t *at = gr_alloc_zero((size_t)p->groups + 1, sizeof *at);
    p->order = at ? gr_alloc((size_t)p->width * sizeof *p->order) : NULL;
    for (int64_t k = 0; p->order && k < p->width; k++)
        at[p->group_of[k] + 1]++;
    for (int64_t g = 0; p->order && g < p->groups; g++)
        at[g + 1] += at[g];
    for (int64_t k = 0; p->order && k < p->width; k++)
        p->order[at[p->group_of[k]]++] = (int32_t)k;
    gr_free(at);
    return p->order ? GR_OK : GR_ERR_MEMORY;
}

/* Every group has as many columns as it must. */
static gr_status check_order(const gr_packed *p, const gr_weight *order)
{
    char what[160] = "";
    int64_t *count = gr_alloc_zero((size_t)p->groups, sizeof *count);
    if (!count)
        return GR_ERR_MEMORY;
    for (int64_t k = 0; k < p->width && !what[0]; k++) {
        int32_t g = p->group_of[k];
        if (g < 0 || g >= p->groups)
            snprintf(what, sizeof what, "column %lld is in group %d, and there are %lld", (long long)k, g,
                     (long long)p->groups);
        else
            count[g]++;
    }
    for (int64_t g = 0; g < p->groups && !what[0]; g++) {
        int64_t must = g + 1 < p->groups ? p->group : p->width - g * p->group;
        if (count[g] != must)
            snprintf(what, sizeof what, "group %lld has %lld columns, and must have %lld", (long long)g,
                     (long long)count[g], (long long)must);
    }
    gr_free(count);
    return what[0] ? disagree(order, what) : GR_OK;
}

static gr_status read_order(gr_packed *p, const gr_packed_scheme *s, const gr_weight *order)
{
    if (!order->data)
        return s->sorted && p->groups > 1 && p->layout == GR_LAYOUT_COLUMNS
                   ? disagree(
                         &p->codes,
                         "config.json says that columns are in another order (desc_act), and no g_idx says in which")
                   : GR_OK;
    if (order->stored || order->dtype != GR_I32 || order->ndim != 1 || order->shape[0] != p->width)
        return disagree(order, "is no int32 for each column");
    p->group_of = gr_alloc((size_t)p->width * sizeof *p->group_of);
    if (!p->group_of)
        return GR_ERR_MEMORY;
    memcpy(p->group_of, order->data, (size_t)p->width * sizeof *p->group_of);
    if (check_order(p, order) != GR_OK)
        return gr_error_status();
    bool is_usual = true;
    for (int64_t k = 0; is_usual && k < p->width; k++)
        is_usual = p->group_of[k] == k / p->group;
    if (is_usual) {
        gr_free(p->group_of);
        p->group_of = NULL;
        return GR_OK;
    }
    if (s->sorted_said && !s->sorted)
        return disagree(order,
                        "columns are in another order, and config.json says that they are not (desc_act, actorder)");
    return sort_columns(p);
}

/* ---- a layer ------------------------------------------------------------------------------------------------ */

/* What config.json says of zero points, against those that there are. */
static gr_status check_zeros(const gr_packed *p, const gr_packed_scheme *s, const uint8_t *zeros, bool *symmetric)
{
    int middle = 1 << (p->bits - 1), other = middle;
    for (int64_t i = 0; i < p->rows * p->groups && other == middle; i++)
        other = zeros[i];
    *symmetric = other == middle;
    if (*symmetric || !s->symmetric_said || !s->symmetric)
        return GR_OK;
    char what[200];
    snprintf(what, sizeof what, "has a zero point of %d, and config.json says that all are %d, the middle (sym)%s",
             other, middle,
             other == middle + 1   ? "; with \"checkpoint_format\": \"gptq_v2\" they would be"
             : other == middle - 1 ? "; with \"checkpoint_format\": \"gptq\" they would be"
                                   : "");
    return disagree(p->zeros.data ? &p->zeros : &p->codes, what);
}

/* Tells of the first layer that no blocks hold, and how many there are. */
typedef struct widened {
    int count;
    char of[240];
    const char *why;
} widened;

static gr_status make_item(gr_named_tensor *item, size_t base, const float *scales, bool symmetric, widened *wide)
{
    gr_weight *t = &item->tensor;
    const gr_packed *p = item->packed;
    const char *why;
    gr_dtype d = gr_packed_dtype(p, scales, symmetric, &why);
    if (d == GR_F32 && wide->count++ == 0) {
        gr_printable(p->in_file, strlen(p->in_file), wide->of, sizeof wide->of);
        wide->why = why;
    }
    char *name = gr_strfmt("%.*s.weight", (int)base, t->name);
    if (!name)
        return GR_ERR_MEMORY;
    gr_free(item->own);
    item->own = name;
    *t = (gr_weight){.name = name, .dtype = d, .ndim = 2, .shape = {p->rows, p->width}, .data = p->codes.data};
    t->bytes = p->width < INT32_MAX && p->rows < INT32_MAX ? gr_dtype_size(d, p->rows * p->width) : SIZE_MAX;
    return t->bytes == SIZE_MAX ? gr_fail(GR_ERR_FILE, "tensor \"%s\" is too large", p->in_file) : GR_OK;
}

/* What is in its groups decides about the dtype. */
static gr_status finish(gr_named_tensor *item, size_t base, const gr_packed_scheme *scheme, widened *wide)
{
    const gr_packed *p = item->packed;
    size_t n = (size_t)(p->rows * p->groups);
    float *scales = gr_alloc(n * sizeof *scales);
    uint8_t *zeros = gr_alloc(n);
    bool symmetric = false;
    gr_status s = scales && zeros ? gr_packed_read_groups(p, scales, zeros) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = check_zeros(p, scheme, zeros, &symmetric);
    if (s == GR_OK)
        s = make_item(item, base, scales, symmetric, wide);
    gr_free(zeros);
    gr_free(scales);
    return s;
}

static gr_status join_item(const gr_names *n, gr_named_tensor *item, size_t base, const gr_packed_config *c, bool *gone,
                           bool *used, widened *wide)
{
    char layer[1024];
    int scheme;
    gr_weight order;
    snprintf(layer, sizeof layer, "%.*s", (int)base, item->tensor.name);
    bool of_tensors = base_of(item->tensor.name, ".qweight") == 0;
    if (of_tensors != (c->method == GR_PACKED_TENSORS) || c->method == GR_PACKED_NONE)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "tensor \"%s\" has codes of a quantized weight, and %s does not say of which kind "
                       "(\"quantization_config\")\ntake config.json and weights from one model",
                       item->in_file, c->file);
    if (gr_packed_scheme_of(c, layer, &scheme) != GR_OK)
        return gr_error_status();
    gr_packed *p = item->packed = gr_alloc_zero(1, sizeof *p);
    if (!p)
        return GR_ERR_MEMORY;
    const gr_packed_scheme *s = &c->schemes[scheme];
    used[scheme] = true;
    p->bits = s->bits;
    take_parts(n, item, base, c, p, &order, gone);
    gr_status st = find_shape(p);
    if (st == GR_OK)
        st = check_groups(p, s);
    if (st == GR_OK)
        st = read_order(p, s, &order);
    return st == GR_OK ? finish(item, base, s, wide) : st;
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

static gr_status check_used(const gr_packed_config *c, const bool *used)
{
    for (int i = 0; i < c->count; i++)
        if (!used[i])
            return gr_fail(
                GR_ERR_FILE, "%s says how layers are quantized, and %s\ntake config.json and weights from one model",
                c->file,
                c->method == GR_PACKED_TENSORS ? "one of its \"config_groups\" means none that is" : "none is");
    return GR_OK;
}

static void drop(gr_names *n, const bool *gone)
{
    int kept = 0;
    for (int i = 0; i < n->count; i++)
        if (gone[i])
            gr_free(n->items[i].own);
        else
            n->items[kept++] = n->items[i];
    n->count = kept;
}

static void tell(const widened *w)
{
    if (w->count)
        gr_remark(GR_LOG_WARN, "%s: %s: read as f32, which takes more memory%s", w->of, w->why,
                  w->count > 1 ? "; so it is with others" : "");
}

gr_status gr_packed_join_names(gr_names *n, const gr_packed_config *c)
{
    bool *gone = gr_alloc_zero((size_t)n->count + 1, sizeof *gone), used[GR_PACKED_SCHEMES] = {false};
    size_t *base = gr_alloc_zero((size_t)n->count + 1, sizeof *base);
    gr_status s = gone && base ? GR_OK : GR_ERR_MEMORY;
    widened wide = {0};
    for (int i = 0; s == GR_OK && i < n->count; i++)
        base[i] = layer_of(n, &n->items[i]);
    /* From the end on, so that what a name is found by, those before it, is as it was. */
    for (int i = n->count - 1; s == GR_OK && i >= 0; i--)
        if (base[i])
            s = join_item(n, &n->items[i], base[i], c, gone, used, &wide);
    if (s == GR_OK)
        s = check_used(c, used);
    if (s == GR_OK) {
        drop(n, gone);
        tell(&wide);
    }
    gr_free(base);
    gr_free(gone);
    return s;
}
