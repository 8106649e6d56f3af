/* Memory of a rendering, values, and what Python finds equal, ordered and contained. */
#include "text/template/run.h"

#include <math.h>
#include <stddef.h>

typedef gr_jinja_value value;
typedef gr_jinja_run run;

/* ---- memory ------------------------------------------------------------------------------------------------- */

void *gr_jinja_arena_take(gr_jinja_arena *a, size_t size)
{
    enum { unit = sizeof(max_align_t), first = 1 << 12, most = 1 << 20 };
    gr_jinja_chunk *c = a->chunks;
    size_t head = gr_round_up(sizeof *c, unit);
    if (size > a->limit || a->taken > a->limit - size)
        return NULL;
    size = gr_round_up(size, unit);
    if (!c || c->size - c->used < size) {
        size_t room = !c ? first : c->size < most ? 2 * c->size : most;
        room = size > room ? size : room;
        if (room > SIZE_MAX - head || !(c = gr_alloc(head + room)))
            return NULL;
        *c = (gr_jinja_chunk){a->chunks, room, 0};
        a->chunks = c;
    }
    void *p = (char *)c + head + c->used;
    c->used += size;
    a->taken += size;
    return memset(p, 0, size);
}

void gr_jinja_arena_free(gr_jinja_arena *a)
{
    for (gr_jinja_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        gr_free(c);
    }
    *a = (gr_jinja_arena){0};
}

void *gr_jinja_take(run *r, size_t count, size_t size)
{
    size_t bytes;
    if (!gr_mul_size(count, size, &bytes))
        bytes = SIZE_MAX;
    if (bytes > r->arena.limit || r->arena.taken > r->arena.limit - bytes) {
        gr_jinja_fail(r, "needs more memory than the %zu bytes that a rendering may take", r->arena.limit);
        return NULL;
    }
    return gr_jinja_arena_take(&r->arena, bytes);
}

bool gr_jinja_charge(run *r, size_t steps)
{
    if (steps <= (size_t)r->steps) {
        r->steps -= (int64_t)steps;
        return true;
    }
    r->steps = 0;
    return gr_jinja_fail(r, "takes more than the %lld steps that a rendering may take",
                         (long long)r->input->limits.steps);
}

bool gr_jinja_push(run *r, gr_jinja_values *v, const value *item)
{
    if (v->n == v->cap) {
        size_t cap = v->cap ? 2 * v->cap : 8;
        value *items = gr_jinja_take(r, cap, sizeof *items);
        if (!items)
            return false;
        if (v->n)
            memcpy(items, v->items, v->n * sizeof *items);
        v->items = items;
        v->cap = cap;
    }
    v->items[v->n++] = *item;
    return true;
}

/* ---- making values ------------------------------------------------------------------------------------------ */

value gr_jinja_none(void)
{
    return (value){.type = GR_VALUE_NONE};
}

value gr_jinja_bool(bool truth)
{
    return (value){.type = GR_VALUE_BOOL, .as.truth = truth};
}

value gr_jinja_int(int64_t i)
{
    return (value){.type = GR_VALUE_INT, .as.i = i};
}

value gr_jinja_real(double x)
{
    return (value){.type = GR_VALUE_REAL, .as.r = x};
}

value gr_jinja_undefined(const gr_jinja_node *n)
{
    return (value){.type = GR_VALUE_UNDEFINED, .as.node = n};
}

static size_t count_points(const char *bytes, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)bytes[i] & 0xC0) != 0x80;
    return n;
}

static bool new_text(run *r, gr_jinja_text text, value *out)
{
    gr_jinja_text *t = gr_jinja_charge(r, text.size / 64) ? gr_jinja_take(r, 1, sizeof *t) : NULL;
    if (!t)
        return false;
    text.points = count_points(text.bytes, text.size);
    *t = text;
    *out = (value){.type = GR_VALUE_TEXT, .as.text = t};
    return true;
}

bool gr_jinja_literal(run *r, const char *bytes, size_t size, value *out)
{
    return new_text(r, (gr_jinja_text){.bytes = bytes, .size = size}, out);
}

bool gr_jinja_string(run *r, const char *z, value *out)
{
    return gr_jinja_literal(r, z, strlen(z), out);
}

bool gr_jinja_part(run *r, const gr_jinja_text *of, size_t from, size_t size, value *out)
{
    return new_text(r,
                    (gr_jinja_text){.bytes = of->bytes + from,
                                    .mask = of->mask ? of->mask + from : NULL,
                                    .size = size,
                                    .untrusted = of->untrusted},
                    out);
}

bool gr_jinja_list_of(run *r, gr_value_type type, const value *items, size_t n, value *out)
{
    gr_jinja_list *list = gr_jinja_take(r, 1, sizeof *list);
    if (!list)
        return false;
    *list = (gr_jinja_list){.items = items, .n = n};
    *out = (value){.type = type, .as.list = list};
    return true;
}

bool gr_jinja_new_dict(run *r, gr_value_type type, size_t room, value *out)
{
    gr_jinja_dict *d = gr_jinja_take(r, 1, sizeof *d);
    if (!d || (room && !(d->pairs = gr_jinja_take(r, room, sizeof *d->pairs))))
        return false;
    d->cap = room;
    *out = (value){.type = type, .as.dict = d};
    return true;
}

/* ---- dicts -------------------------------------------------------------------------------------------------- */

const value *gr_jinja_find_name(const gr_jinja_dict *d, const char *key, size_t size)
{
    for (size_t i = 0; i < d->n; i++) {
        const value *k = &d->pairs[i].key;
        if (k->type == GR_VALUE_TEXT && k->as.text->size == size && memcmp(k->as.text->bytes, key, size) == 0)
            return &d->pairs[i].value;
    }
    return NULL;
}

static bool check_key(run *r, const value *key)
{
    if (key->type == GR_VALUE_LIST || key->type == GR_VALUE_DICT || key->type == GR_VALUE_VIEW)
        return gr_jinja_fail(r, "a %s cannot be a key", gr_jinja_type_name(key));
    for (size_t i = 0; key->type == GR_VALUE_TUPLE && i < key->as.list->n; i++)
        if (!check_key(r, &key->as.list->items[i]))
            return false;
    return true;
}

bool gr_jinja_find(run *r, const gr_jinja_dict *d, const value *key, const value **found)
{
    *found = NULL;
    if (!check_key(r, key) || !gr_jinja_charge(r, d->n / 8))
        return false;
    if (key->type == GR_VALUE_TEXT) {
        *found = gr_jinja_find_name(d, key->as.text->bytes, key->as.text->size);
        return true;
    }
    for (size_t i = 0; i < d->n && !*found; i++) {
        bool equal;
        if (!gr_jinja_equal(r, &d->pairs[i].key, key, &equal))
            return false;
        if (equal)
            *found = &d->pairs[i].value;
    }
    return true;
}

bool gr_jinja_put(run *r, gr_jinja_dict *d, const value *key, const value *v)
{
    const value *found;
    if (!gr_jinja_find(r, d, key, &found))
        return false;
    if (found) {
        d->pairs[(size_t)((const char *)found - (const char *)d->pairs) / sizeof *d->pairs].value = *v;
        return true;
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 4;
        gr_jinja_pair *pairs = gr_jinja_take(r, cap, sizeof *pairs);
        if (!pairs)
            return false;
        if (d->n)
            memcpy(pairs, d->pairs, d->n * sizeof *pairs);
        d->pairs = pairs;
        d->cap = cap;
    }
    d->pairs[d->n++] = (gr_jinja_pair){*key, *v};
    return true;
}

/* ---- texts that grow ---------------------------------------------------------------------------------------- */

static bool make_room(run *r, gr_jinja_builder *b, size_t more)
{
    if (b->cap - b->size >= more)
        return true;
    size_t need, cap;
    if (!gr_add_size(b->size, more, &need))
        need = SIZE_MAX / 4;
    if (need > r->input->limits.text_bytes)
        return gr_jinja_fail(r, "makes a text of more than the %zu bytes that a rendering may make",
                             r->input->limits.text_bytes);
    cap = need < 32 ? 64 : 2 * need;
    char *bytes = gr_jinja_take(r, cap, 2); /* the mask behind the text */
    if (!bytes)
        return false;
    if (b->size) {
        memcpy(bytes, b->bytes, b->size);
        memcpy(bytes + cap, b->mask, b->size);
    }
    b->bytes = bytes;
    b->mask = (unsigned char *)bytes + cap;
    b->cap = cap;
    return true;
}

bool gr_jinja_add_bytes(run *r, gr_jinja_builder *b, const char *bytes, size_t size, bool untrusted)
{
    if (!size)
        return true;
    if (!gr_jinja_charge(r, size / 64) || !make_room(r, b, size))
        return false;
    memcpy(b->bytes + b->size, bytes, size);
    memset(b->mask + b->size, untrusted, size);
    b->size += size;
    b->untrusted += untrusted ? size : 0;
    return true;
}

bool gr_jinja_add_part(run *r, gr_jinja_builder *b, const gr_jinja_text *t, size_t from, size_t size)
{
    if (!gr_jinja_add_bytes(r, b, t->bytes + from, size, t->untrusted))
        return false;
    if (!t->mask || !size)
        return true;
    unsigned char *mask = b->mask + b->size - size;
    memcpy(mask, t->mask + from, size);
    b->untrusted -= t->untrusted ? size : 0;
    for (size_t i = 0; i < size; i++)
        b->untrusted += mask[i];
    return true;
}

bool gr_jinja_add_text(run *r, gr_jinja_builder *b, const gr_jinja_text *t)
{
    return gr_jinja_add_part(r, b, t, 0, t->size);
}

bool gr_jinja_built(run *r, const gr_jinja_builder *b, value *out)
{
    bool mixed = b->untrusted && b->untrusted < b->size;
    return new_text(r,
                    (gr_jinja_text){.bytes = b->size ? b->bytes : "",
                                    .mask = mixed ? b->mask : NULL,
                                    .size = b->size,
                                    .untrusted = b->untrusted > 0},
                    out);
}

/* ---- looking ------------------------------------------------------------------------------------------------ */

const char *gr_jinja_type_name(const value *v)
{
    static const char *const names[] = {
        [GR_VALUE_MISSING] = "undefined value",
        [GR_VALUE_UNDEFINED] = "undefined value",
        [GR_VALUE_NONE] = "None",
        [GR_VALUE_BOOL] = "bool",
        [GR_VALUE_INT] = "int",
        [GR_VALUE_REAL] = "float",
        [GR_VALUE_TEXT] = "str",
        [GR_VALUE_LIST] = "list",
        [GR_VALUE_TUPLE] = "tuple",
        [GR_VALUE_DICT] = "dict",
        [GR_VALUE_VIEW] = "dict view",
        [GR_VALUE_RANGE] = "range",
        [GR_VALUE_ITERATOR] = "generator",
        [GR_VALUE_NAMESPACE] = "namespace",
        [GR_VALUE_MACRO] = "macro",
        [GR_VALUE_METHOD] = "method",
        [GR_VALUE_GLOBAL] = "function",
        [GR_VALUE_LOOP] = "loop",
    };
    return names[v->type];
}

size_t gr_jinja_length(const value *v, bool *has)
{
    *has = true;
    switch (v->type) {
    case GR_VALUE_TEXT:
        return v->as.text->points;
    case GR_VALUE_LIST:
    case GR_VALUE_TUPLE:
        return v->as.list->n;
    case GR_VALUE_DICT:
        return v->as.dict->n;
    case GR_VALUE_VIEW:
        return v->as.view->dict->n;
    case GR_VALUE_RANGE:
        return gr_jinja_range_size(v->as.range);
    case GR_VALUE_LOOP:
        return v->as.loop->n;
    case GR_VALUE_UNDEFINED:
        return 0;
    default:
        *has = false;
        return 0;
    }
}

bool gr_jinja_truth(const value *v)
{
    bool has;
    size_t n = gr_jinja_length(v, &has);
    switch (v->type) {
    case GR_VALUE_MISSING:
    case GR_VALUE_UNDEFINED:
    case GR_VALUE_NONE:
        return false;
    case GR_VALUE_BOOL:
        return v->as.truth;
    case GR_VALUE_INT:
        return v->as.i != 0;
    case GR_VALUE_REAL:
        return v->as.r != 0;
    default:
        return !has || n > 0;
    }
}

double gr_jinja_as_real(const value *v)
{
    return v->type == GR_VALUE_REAL ? v->as.r : (double)gr_jinja_whole(v);
}

bool gr_jinja_is_untrusted(const value *v)
{
    return v->type == GR_VALUE_TEXT ? v->as.text->untrusted : v->untrusted;
}

bool gr_jinja_same_text(const gr_jinja_text *a, const gr_jinja_text *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

bool gr_jinja_text_is(const gr_jinja_text *text, const char *z)
{
    return text->size == strlen(z) && memcmp(text->bytes, z, text->size) == 0;
}

size_t gr_jinja_range_size(const gr_jinja_range *x)
{
    uint64_t span = x->step > 0 ? (uint64_t)x->stop - (uint64_t)x->start : (uint64_t)x->start - (uint64_t)x->stop;
    uint64_t step = x->step > 0 ? (uint64_t)x->step : 0 - (uint64_t)x->step;
    bool empty = x->step > 0 ? x->stop <= x->start : x->stop >= x->start;
    return empty ? 0 : (size_t)((span - 1) / step + 1);
}

/* ---- equal, ordered, contained ------------------------------------------------------------------------------ */

static int compare_numbers(const value *a, const value *b)
{
    if (a->type != GR_VALUE_REAL && b->type != GR_VALUE_REAL) {
        int64_t x = gr_jinja_whole(a), y = gr_jinja_whole(b);
        return (x > y) - (x < y);
    }
    double x = gr_jinja_as_real(a), y = gr_jinja_as_real(b);
    return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
}

static bool equal_lists(run *r, const gr_jinja_list *a, const gr_jinja_list *b, bool *equal)
{
    *equal = a->n == b->n;
    for (size_t i = 0; *equal && a != b && i < a->n; i++)
        if (!gr_jinja_equal(r, &a->items[i], &b->items[i], equal))
            return false;
    return true;
}

static bool equal_dicts(run *r, const gr_jinja_dict *a, const gr_jinja_dict *b, bool *equal)
{
    *equal = a->n == b->n;
    for (size_t i = 0; *equal && a != b && i < a->n; i++) {
        const value *other;
        if (!gr_jinja_find(r, b, &a->pairs[i].key, &other))
            return false;
        *equal = other != NULL;
        if (other && !gr_jinja_equal(r, &a->pairs[i].value, other, equal))
            return false;
    }
    return true;
}

static bool equal_ranges(const gr_jinja_range *a, const gr_jinja_range *b)
{
    size_t n = gr_jinja_range_size(a);
    return n == gr_jinja_range_size(b) && (!n || (a->start == b->start && (n == 1 || a->step == b->step)));
}

static bool equal_same_type(run *r, const value *a, const value *b, bool *equal)
{
    switch (a->type) {
    case GR_VALUE_UNDEFINED:
    case GR_VALUE_NONE:
        *equal = true;
        return true;
    case GR_VALUE_TEXT:
        *equal = gr_jinja_same_text(a->as.text, b->as.text);
        return gr_jinja_charge(r, a->as.text->size / 256);
    case GR_VALUE_LIST:
    case GR_VALUE_TUPLE:
        return equal_lists(r, a->as.list, b->as.list, equal);
    case GR_VALUE_DICT:
        return equal_dicts(r, a->as.dict, b->as.dict, equal);
    case GR_VALUE_RANGE:
        *equal = equal_ranges(a->as.range, b->as.range);
        return true;
    case GR_VALUE_VIEW:
        return gr_jinja_unsupported(r, "comparing views of dicts is not supported");
    case GR_VALUE_METHOD:
        return gr_jinja_unsupported(r, "comparing methods is not supported");
    default:
        *equal = a->as.list == b->as.list; /* the same object; all of these are pointers */
        return true;
    }
}

bool gr_jinja_equal(run *r, const value *a, const value *b, bool *equal)
{
    if (!gr_jinja_charge(r, 1))
        return false;
    if (gr_jinja_is_number(a) && gr_jinja_is_number(b)) {
        *equal = compare_numbers(a, b) == 0;
        return true;
    }
    *equal = false;
    if (a->type != b->type)
        return true;
    if (r->depth-- <= 0)
        return gr_jinja_fail_deep(r);
    bool done = equal_same_type(r, a, b, equal);
    r->depth++;
    return done;
}

static int compare_texts(const gr_jinja_text *a, const gr_jinja_text *b)
{
    int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static bool order_lists(run *r, const gr_jinja_list *a, const gr_jinja_list *b, const char *sign, int *order)
{
    size_t n = a->n < b->n ? a->n : b->n;
    for (size_t i = 0; i < n; i++) {
        bool equal;
        if (!gr_jinja_equal(r, &a->items[i], &b->items[i], &equal))
            return false;
        if (!equal)
            return gr_jinja_order(r, &a->items[i], &b->items[i], sign, order);
    }
    *order = (a->n > b->n) - (a->n < b->n);
    return true;
}

bool gr_jinja_order(run *r, const value *a, const value *b, const char *sign, int *order)
{
    if (!gr_jinja_charge(r, 1))
        return false;
    if (gr_jinja_is_number(a) && gr_jinja_is_number(b)) {
        *order = compare_numbers(a, b);
        return true;
    }
    if (a->type == GR_VALUE_TEXT && b->type == GR_VALUE_TEXT) {
        *order = compare_texts(a->as.text, b->as.text);
        return gr_jinja_charge(r, a->as.text->size / 256);
    }
    if (a->type == b->type && (a->type == GR_VALUE_LIST || a->type == GR_VALUE_TUPLE)) {
        if (r->depth-- <= 0)
            return gr_jinja_fail_deep(r);
        bool done = order_lists(r, a->as.list, b->as.list, sign, order);
        r->depth++;
        return done;
    }
    return gr_jinja_fail(r, "'%s' is not possible between %s and %s", sign, gr_jinja_type_name(a),
                         gr_jinja_type_name(b));
}

static bool range_contains(const gr_jinja_range *x, const value *what)
{
    if (!gr_jinja_is_number(what))
        return false;
    double real = gr_jinja_as_real(what);
    if (what->type == GR_VALUE_REAL && (real != floor(real) || fabs(real) > 1e15))
        return false;
    int64_t i = what->type == GR_VALUE_REAL ? (int64_t)real : gr_jinja_whole(what);
    bool within = x->step > 0 ? i >= x->start && i < x->stop : i <= x->start && i > x->stop;
    return within && (i - x->start) % x->step == 0;
}

bool gr_jinja_contains(run *r, const value *in, const value *what, bool *is)
{
    const value *items, *found;
    size_t n;
    *is = false;
    if (in->type == GR_VALUE_TEXT) {
        if (what->type != GR_VALUE_TEXT)
            return gr_jinja_fail(r, "'in' a str needs a str, not %s", gr_jinja_type_name(what));
        *is = gr_text_find(in->as.text, what->as.text, 0, false) != SIZE_MAX;
        return gr_jinja_charge(r, in->as.text->size / 64);
    }
    if (in->type == GR_VALUE_DICT) {
        bool done = gr_jinja_find(r, in->as.dict, what, &found);
        *is = found != NULL;
        return done;
    }
    if (in->type == GR_VALUE_RANGE) {
        *is = range_contains(in->as.range, what);
        return true;
    }
    if (!gr_jinja_can_iterate(in))
        return gr_jinja_fail(r, "'in' is not possible with %s", gr_jinja_type_name(in));
    if (!gr_jinja_items(r, in, &items, &n))
        return false;
    for (size_t i = 0; i < n && !*is; i++)
        if (!gr_jinja_equal(r, &items[i], what, is))
            return false;
    return true;
}

/* ---- going through them ------------------------------------------------------------------------------------- */

bool gr_jinja_can_iterate(const value *v)
{
    switch (v->type) {
    case GR_VALUE_UNDEFINED:
    case GR_VALUE_TEXT:
    case GR_VALUE_LIST:
    case GR_VALUE_TUPLE:
    case GR_VALUE_DICT:
    case GR_VALUE_VIEW:
    case GR_VALUE_RANGE:
    case GR_VALUE_ITERATOR:
    case GR_VALUE_LOOP:
        return true;
    default:
        return false;
    }
}

static bool view_items(run *r, const gr_jinja_dict *d, gr_jinja_view_kind kind, value *out)
{
    value *pairs = kind == GR_VIEW_ITEMS ? gr_jinja_take(r, 2 * d->n, sizeof *pairs) : NULL;
    if (kind == GR_VIEW_ITEMS && !pairs)
        return false;
    for (size_t i = 0; i < d->n; i++) {
        if (kind != GR_VIEW_ITEMS) {
            out[i] = kind == GR_VIEW_KEYS ? d->pairs[i].key : d->pairs[i].value;
            continue;
        }
        pairs[2 * i] = d->pairs[i].key;
        pairs[2 * i + 1] = d->pairs[i].value;
        if (!gr_jinja_list_of(r, GR_VALUE_TUPLE, pairs + 2 * i, 2, &out[i]))
            return false;
        out[i].untrusted = gr_jinja_is_untrusted(&d->pairs[i].key);
    }
    return true;
}

static bool characters(run *r, const gr_jinja_text *t, value *out)
{
    size_t n = 0;
    for (size_t i = 0, next; i < t->size; i = next) {
        for (next = i + 1; next < t->size && ((unsigned char)t->bytes[next] & 0xC0) == 0x80;)
            next++;
        if (!gr_jinja_part(r, t, i, next - i, &out[n++]))
            return false;
    }
    return true;
}

bool gr_jinja_items(run *r, const value *v, const value **items, size_t *n)
{
    bool has;
    *n = gr_jinja_length(v, &has);
    if (!gr_jinja_can_iterate(v))
        return gr_jinja_fail(r, "%s cannot be iterated over", gr_jinja_type_name(v));
    if (v->type == GR_VALUE_LIST || v->type == GR_VALUE_TUPLE || v->type == GR_VALUE_ITERATOR) {
        gr_jinja_list *list = v->as.list;
        *items = list->at > 0 ? list->items + list->at : list->items; /* an empty one has none */
        *n = list->n - list->at;
        if (v->type == GR_VALUE_ITERATOR)
            list->at = list->n;
        return true;
    }
    if (v->type == GR_VALUE_LOOP)
        return gr_jinja_unsupported(r, "iterating over 'loop' is not supported");
    value *made = gr_jinja_take(r, *n + 1, sizeof *made);
    if (!made || !gr_jinja_charge(r, *n / 4))
        return false;
    *items = made;
    if (v->type == GR_VALUE_TEXT)
        return characters(r, v->as.text, made);
    if (v->type == GR_VALUE_DICT || v->type == GR_VALUE_VIEW) {
        bool plain = v->type == GR_VALUE_DICT;
        return view_items(r, plain ? v->as.dict : v->as.view->dict, plain ? GR_VIEW_KEYS : v->as.view->kind, made);
    }
    for (size_t i = 0; v->type == GR_VALUE_RANGE && i < *n; i++)
        made[i] = gr_jinja_int(v->as.range->start + (int64_t)i * v->as.range->step);
    return true;
}
