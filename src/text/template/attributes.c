/* x.name, x[key], x[a:b:c], as Jinja's sandbox finds them: a dict's keys, a namespace's attributes, the methods of
 * methods.c. Nothing else of Python's objects can be reached: what the sandbox hides is undefined, what it shows and is not
 * supported here is an error. */
#include "text/template/run.h"

typedef gr_jinja_value value;
typedef gr_jinja_run run;
typedef gr_jinja_text text;

/* What runs is the node that asked, so messages about undefined values name it. */
static bool undefined(const run *r, value *out)
{
    *out = gr_jinja_undefined(r->at);
    return true;
}

static bool fail_undefined(run *r, const value *of, const text *name)
{
    char owner[80] = "", shown[80];
    const gr_jinja_node *n = of->as.node;
    if (n && n->text)
        gr_printable(n->text->bytes, n->text->size, owner, sizeof owner);
    gr_printable(name ? name->bytes : "an item", name ? name->size : 7, shown, sizeof shown);
    return gr_jinja_fail(r, "%s%s%s is undefined, so it has no '%s'", *owner ? "'" : "a value", owner,
                         *owner ? "'" : "", shown);
}

/* ---- loop --------------------------------------------------------------------------------------------------- */

static bool loop_attribute(run *r, const value *of, const text *name, value *out)
{
    const gr_jinja_loop *l = of->as.loop;
    const struct {
        const char *name;
        int64_t i;
    } numbers[] = {{"index", (int64_t)l->at + 1},
                   {"index0", (int64_t)l->at},
                   {"revindex", (int64_t)(l->n - l->at)},
                   {"revindex0", (int64_t)(l->n - l->at) - 1},
                   {"length", (int64_t)l->n},
                   {"depth", 1},
                   {"depth0", 0}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (gr_jinja_text_is(name, numbers[i].name))
            return *out = gr_jinja_int(numbers[i].i), true;
    if (gr_jinja_text_is(name, "first"))
        return *out = gr_jinja_bool(l->at == 0), true;
    if (gr_jinja_text_is(name, "last"))
        return *out = gr_jinja_bool(l->at + 1 == l->n), true;
    if (gr_jinja_text_is(name, "previtem"))
        return l->at ? (*out = l->items[l->at - 1], true) : undefined(r, out);
    if (gr_jinja_text_is(name, "nextitem"))
        return l->at + 1 < l->n ? (*out = l->items[l->at + 1], true) : undefined(r, out);
    return undefined(r, out);
}

/* ---- attributes and items ----------------------------------------------------------------------------------- */

/* What Python's getattr finds and the sandbox shows; *there false: nothing. */
static bool python_attribute(run *r, const value *of, const text *name, value *out, bool *there)
{
    gr_jinja_lack lack;
    *there = true;
    if (of->type == GR_VALUE_NAMESPACE) {
        const value *found = gr_jinja_find_name(of->as.dict, name->bytes, name->size);
        *there = found != NULL;
        *out = found ? *found : *out;
        return true;
    }
    const gr_jinja_function *f = gr_jinja_method_named(of, name, &lack);
    if (f) {
        gr_jinja_method *m = gr_jinja_take(r, 1, sizeof *m);
        if (!m)
            return false;
        *m = (gr_jinja_method){*of, f};
        *out = (value){.type = GR_VALUE_METHOD, .as.method = m};
        return true;
    }
    if (lack == GR_LACK_HIDDEN)
        return undefined(r, out);
    if (name->size > 3 && memcmp(name->bytes, "__", 2) == 0 && memcmp(name->bytes + name->size - 2, "__", 2) == 0)
        return undefined(r, out); /* the insides of Python's objects: the sandbox hides them */
    if (lack == GR_LACK_UNSUPPORTED)
        return gr_jinja_unsupported(r, "'%.*s' of %s is not supported", (int)name->size, name->bytes,
                                    gr_jinja_type_name(of));
    *there = false;
    return true;
}

static bool key_of(run *r, const value *of, const value *key, value *out, bool *there)
{
    const value *found = NULL;
    *there = false;
    if (of->type == GR_VALUE_DICT) {
        /* Jinja takes an unhashable key for one that is not there. */
        bool hashable = key->type != GR_VALUE_LIST && key->type != GR_VALUE_DICT;
        if (hashable && !gr_jinja_find(r, of->as.dict, key, &found))
            return false;
        *there = found != NULL;
        *out = found ? *found : *out;
        return true;
    }
    bool has;
    size_t n = gr_jinja_length(of, &has);
    if ((key->type != GR_VALUE_INT && key->type != GR_VALUE_BOOL) || !has)
        return true;
    int64_t i = gr_jinja_whole(key);
    i += i < 0 ? (int64_t)n : 0;
    if (i < 0 || (uint64_t)i >= n)
        return true;
    *there = of->type == GR_VALUE_TEXT || of->type == GR_VALUE_LIST || of->type == GR_VALUE_TUPLE ||
             of->type == GR_VALUE_RANGE;
    if (of->type == GR_VALUE_TEXT) {
        size_t from = gr_text_offset(of->as.text, (size_t)i);
        const text rest = {
            .bytes = of->as.text->bytes + from, .size = of->as.text->size - from, .points = n - (size_t)i};
        bool done = gr_jinja_charge(r, from / 64) && gr_jinja_part(r, of->as.text, from, gr_text_offset(&rest, 1), out);
        out->markup = of->markup;
        return done;
    }
    if (of->type == GR_VALUE_LIST || of->type == GR_VALUE_TUPLE)
        *out = of->as.list->items[i];
    else if (of->type == GR_VALUE_RANGE)
        *out = gr_jinja_int(of->as.range->start + i * of->as.range->step);
    return true;
}

bool gr_jinja_attribute(run *r, const value *of, const text *name, value *out)
{
    bool there;
    if (of->type == GR_VALUE_UNDEFINED)
        return fail_undefined(r, of, name);
    if (of->type == GR_VALUE_LOOP && !(name->size > 1 && name->bytes[0] == '_') && !gr_jinja_text_is(name, "cycle") &&
        !gr_jinja_text_is(name, "changed"))
        return loop_attribute(r, of, name, out);
    if (!python_attribute(r, of, name, out, &there))
        return false;
    if (!there) {
        value key = {.type = GR_VALUE_TEXT, .as.text = name};
        if (!key_of(r, of, &key, out, &there))
            return false;
    }
    return there || undefined(r, out);
}

bool gr_jinja_item(run *r, const value *of, const value *key, value *out)
{
    bool there;
    if (of->type == GR_VALUE_UNDEFINED)
        return fail_undefined(r, of, key->type == GR_VALUE_TEXT ? key->as.text : NULL);
    if (!key_of(r, of, key, out, &there))
        return false;
    if (!there && key->type == GR_VALUE_TEXT) {
        if (of->type == GR_VALUE_LOOP)
            return gr_jinja_attribute(r, of, key->as.text, out);
        if (!python_attribute(r, of, key->as.text, out, &there))
            return false;
    }
    return there || undefined(r, out);
}

/* ---- slices ------------------------------------------------------------------------------------------------- */

static bool slice_number(run *r, const value *part, int64_t *i)
{
    if (!part || part->type == GR_VALUE_NONE)
        return true;
    if (part->type != GR_VALUE_INT && part->type != GR_VALUE_BOOL)
        return gr_jinja_fail(r, "a slice's numbers are integers, not %s", gr_jinja_type_name(part));
    *i = gr_jinja_whole(part);
    return true;
}

/* Where a slice starts, how many items it takes, and by which step: as Python's slice.indices. */
static bool slice_indices(run *r, size_t size, const value *const part[3], int64_t *start, int64_t *step, size_t *count)
{
    int64_t n = (int64_t)size, stop;
    *step = 1;
    if (!slice_number(r, part[2], step))
        return false;
    if (!*step || *step == INT64_MIN)
        return gr_jinja_fail(r, "a slice's step is not 0");
    int64_t low = *step < 0 ? -1 : 0, high = *step < 0 ? n - 1 : n;
    int64_t *const ends[] = {start, &stop};
    for (int i = 0; i < 2; i++) {
        int64_t given = INT64_MIN;
        bool none = !part[i] || part[i]->type == GR_VALUE_NONE;
        if (!slice_number(r, part[i], &given))
            return false;
        if (!none && given < 0)
            given = given < -n ? low : given + n;
        *ends[i] = none ? ((*step < 0) == (i == 0) ? high : low) : given < low ? low : given > high ? high : given;
    }
    uint64_t span = *step > 0 ? (uint64_t)(stop - *start) : (uint64_t)(*start - stop);
    uint64_t stride = (uint64_t)(*step > 0 ? *step : -*step);
    bool empty = *step > 0 ? stop <= *start : stop >= *start;
    *count = empty ? 0 : (size_t)((span - 1) / stride + 1);
    return true;
}

static bool slice_text(run *r, const text *t, int64_t start, int64_t step, size_t count, value *out)
{
    gr_jinja_builder b = {0};
    if (!count)
        return gr_jinja_part(r, t, 0, 0, out);
    if (step == 1) {
        size_t from = gr_text_offset(t, (size_t)start), to = gr_text_offset(t, (size_t)start + count);
        return gr_jinja_charge(r, t->size / 64) && gr_jinja_part(r, t, from, to - from, out);
    }
    size_t *starts = gr_jinja_take(r, t->points + 1, sizeof *starts), n = 0;
    if (!starts || !gr_jinja_charge(r, t->size / 16))
        return false;
    for (size_t i = 0; i < t->size; i++)
        if (((unsigned char)t->bytes[i] & 0xC0) != 0x80)
            starts[n++] = i;
    starts[n] = t->size;
    for (int64_t i = start; count--; i += count ? step : 0)
        if (!gr_jinja_add_part(r, &b, t, starts[i], starts[i + 1] - starts[i]))
            return false;
    return gr_jinja_built(r, &b, out);
}

static bool slice_list(run *r, const value *of, int64_t start, int64_t step, size_t count, value *out)
{
    const value *from = of->as.list->items;
    value *items = NULL;
    if (step == 1 || !count)
        return gr_jinja_list_of(r, of->type, count ? from + start : from, count, out) &&
               (out->untrusted = of->untrusted, true);
    if (!(items = gr_jinja_take(r, count, sizeof *items)) || !gr_jinja_charge(r, count / 16))
        return false;
    for (size_t i = 0; i < count; i++)
        items[i] = from[start + (int64_t)i * step];
    bool done = gr_jinja_list_of(r, of->type, items, count, out);
    out->untrusted = of->untrusted;
    return done;
}

bool gr_jinja_slice(run *r, const value *of, const value *const part[3], value *out)
{
    int64_t start = 0, step = 1;
    size_t count = 0;
    bool has;
    size_t n = gr_jinja_length(of, &has);
    if (of->type == GR_VALUE_UNDEFINED)
        return fail_undefined(r, of, NULL);
    if (of->type == GR_VALUE_RANGE)
        return gr_jinja_unsupported(r, "slices of a range are not supported");
    if (of->type != GR_VALUE_TEXT && of->type != GR_VALUE_LIST && of->type != GR_VALUE_TUPLE)
        return gr_jinja_fail(r, "%s has no slices", gr_jinja_type_name(of));
    if (!slice_indices(r, n, part, &start, &step, &count))
        return false;
    if (of->type != GR_VALUE_TEXT)
        return slice_list(r, of, start, step, count, out);
    bool done = slice_text(r, of->as.text, start, step, count, out);
    out->markup = of->markup;
    return done;
}
