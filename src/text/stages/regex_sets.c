/* How a set of code points is written for PCRE2: ranges, and its own properties where these are parts of the set, which
 * makes large sets short and fast. */
#include <stdio.h>
#include <stdlib.h>
#include "text/stages/regex_reader.h"
#include "text/unicode/unicode.h"

enum { few = 16, unassigned = 0x378 }; /* so many ranges are written as they are */

void gr_regex_sets_free(gr_regex_sets *s)
{
    for (int i = 0; i < GR_REGEX_MOST_BLOCKS; i++) {
        gr_points_free(&s->block[i]);
        gr_points_free(&s->sure[i]);
    }
    gr_points_free(&s->recent);
    *s = (gr_regex_sets){0};
}

/* What block i is, and what PCRE2 has of it for sure, read when first asked for. */
static gr_status read_block(gr_regex_sets *s, int i)
{
    const gr_property_block *b = &gr_property_blocks[i];
    gr_status status = GR_OK;
    if (s->block[i].n)
        return GR_OK;
    int more = s->exact && !s->recent.n ? gr_recent_count : 0;
    for (int k = 0; k < more && status == GR_OK; k++)
        status = gr_points_add(&s->recent, gr_recent[k].first, gr_recent[k].last);
    if (status == GR_OK)
        status = gr_property_add(b->sure, &s->sure[i]);
    if (status == GR_OK && s->exact)
        status = gr_points_drop(&s->sure[i], &s->recent);
    if (status == GR_OK)
        status = gr_property_add(b->set, &s->block[i]);
    return status;
}

/* Whether older characters may stand for new ones: in this set they are where the new ones are. */
static bool is_even(const gr_points *set)
{
    for (int i = 0; i < gr_recent_count; i++) {
        const gr_range *r = &gr_recent[i];
        bool in = gr_points_has(set, (uint32_t)r->value);
        if (in ? !gr_points_has_range(set, r->first, r->last) : gr_points_has_some(set, r->first, r->last))
            return false;
    }
    return true;
}

/* A set as it will be written. */
typedef struct spelling {
    uint64_t blocks; /* bits: properties of it */
    gr_points rest;
    size_t cost;
} spelling;

static gr_status spell(gr_regex_sets *s, const gr_points *set, spelling *out)
{
    gr_status status = gr_points_add_all(&out->rest, set);
    int used = 0;
    for (int i = 0; i < gr_property_block_count && status == GR_OK && out->rest.n > few; i++) {
        gr_points rest = {0};
        if ((s->exact && !gr_property_blocks[i].exact) ||
            !gr_points_has(set, gr_property_first(gr_property_blocks[i].set)))
            continue;
        status = read_block(s, i);
        if (status != GR_OK || !gr_points_have_all(set, &s->block[i]))
            continue;
        status = gr_points_add_all(&rest, &out->rest);
        if (status == GR_OK)
            status = gr_points_drop(&rest, &s->sure[i]);
        if (status == GR_OK && rest.n + 2 < out->rest.n) {
            gr_points swap = out->rest;
            out->rest = rest;
            rest = swap;
            out->blocks |= 1ULL << i;
            used++;
        }
        gr_points_free(&rest);
    }
    out->cost = out->rest.n + (size_t)used;
    return status;
}

/* Larger ranges first: they are found sooner. */
static int by_size(const void *a, const void *b)
{
    const gr_point_range *x = a, *y = b;
    uint32_t m = x->last - x->first, n = y->last - y->first;
    return m != n ? (m < n) - (m > n) : (x->first > y->first) - (x->first < y->first);
}

/* Half of a pair of surrogates is no character: no text has it and PCRE2 takes no range that ends there. */
static gr_point_range without_surrogates(gr_point_range s)
{
    if (s.first >= 0xD800 && s.first < 0xE000)
        s.first = 0xE000;
    if (s.last >= 0xD800 && s.last < 0xE000)
        s.last = 0xD7FF;
    return s;
}

static gr_status write_spelling(spelling *sp, bool negated, gr_bytes *out)
{
    gr_status status = gr_bytes_add_string(out, negated ? "[^" : "[");
    for (int i = 0; i < gr_property_block_count && status == GR_OK; i++)
        if (sp->blocks >> i & 1)
            status = gr_bytes_add_string(out, gr_property_blocks[i].text);
    if (sp->rest.n > few)
        qsort(sp->rest.span, sp->rest.n, sizeof *sp->rest.span, by_size);
    for (size_t i = 0; i < sp->rest.n && status == GR_OK; i++) {
        char text[32];
        gr_point_range s = without_surrogates(sp->rest.span[i]);
        if (s.first > s.last)
            continue;
        int n = s.first == s.last ? snprintf(text, sizeof text, "\\x{%x}", (unsigned)s.first)
                                  : snprintf(text, sizeof text, "\\x{%x}-\\x{%x}", (unsigned)s.first, (unsigned)s.last);
        status = gr_bytes_add(out, text, (size_t)n);
    }
    return status == GR_OK ? gr_bytes_add(out, "]", 1) : status;
}

/* Nothing or everything, but for surrogates. */
static bool is_empty(const gr_points *p)
{
    return !p->n || (p->n == 1 && p->span[0].first >= 0xD800 && p->span[0].last < 0xE000);
}

/* A set without Han is long, as that is a part of most categories; it is short as what has them, but is not Han. */
static gr_status write_around_han(gr_regex_reader *r, const gr_points *set, size_t cost, bool *done)
{
    gr_points han = {0}, both = {0}, common = {0};
    spelling sp = {0}, sp_han = {0};
    gr_status s = gr_property_add(gr_property_find("han", 3), &han);
    if (s == GR_OK)
        s = gr_points_add_all(&common, &han);
    if (s == GR_OK)
        s = gr_points_add_all(&both, set);
    if (s == GR_OK)
        s = gr_points_keep(&common, &both);
    if (s == GR_OK)
        s = gr_points_add_all(&both, &han);
    gr_points_tidy(&both);
    if (s == GR_OK && !common.n)
        s = spell(&r->sets, &both, &sp);
    if (s == GR_OK && !common.n)
        s = spell(&r->sets, &han, &sp_han);
    *done = s == GR_OK && !common.n && sp.cost + sp_han.cost + 30 < cost;
    if (*done)
        s = gr_bytes_add_string(r->out, "(?:(?!");
    if (*done && s == GR_OK)
        s = write_spelling(&sp_han, false, r->out);
    if (*done && s == GR_OK)
        s = gr_bytes_add(r->out, ")", 1);
    if (*done && s == GR_OK)
        s = write_spelling(&sp, false, r->out);
    if (*done && s == GR_OK)
        s = gr_bytes_add(r->out, ")", 1);
    gr_points_free(&han);
    gr_points_free(&both);
    gr_points_free(&common);
    gr_points_free(&sp.rest);
    gr_points_free(&sp_han.rest);
    return s;
}

gr_status gr_regex_put_set(gr_regex_reader *r, gr_points *set)
{
    gr_points other = {0};
    spelling in = {0}, not_in = {0};
    bool done = false;
    gr_points_tidy(set);
    r->sets.uneven |= !r->sets.exact && !r->sets.uneven && !is_even(set);
    gr_status s = gr_points_add_all(&other, set);
    if (s == GR_OK)
        s = gr_points_invert(&other);
    if (s == GR_OK && (set->n > few && other.n > few) && r->sets.count++ == GR_REGEX_MOST_CLASSES)
        s = gr_regex_refuse(r, r->p, "a pattern of this many large classes");
    if (s == GR_OK && (is_empty(set) || is_empty(&other))) {
        s = gr_bytes_add_string(r->out, is_empty(set) ? "(?!)" : "(?s:.)");
        done = true;
    }
    /* What has unassigned characters is mostly short as what does not match. The other way is tried when that is not so. */
    bool turned = gr_points_has(set, unassigned);
    if (s == GR_OK && !done)
        s = turned ? spell(&r->sets, &other, &not_in) : spell(&r->sets, set, &in);
    if (s == GR_OK && !done && (turned ? not_in.cost : in.cost) <= 2 * few)
        (turned ? &in : &not_in)->cost = SIZE_MAX;
    else if (s == GR_OK && !done)
        s = turned ? spell(&r->sets, set, &in) : spell(&r->sets, &other, &not_in);
    if (s == GR_OK && !done && in.cost > 60 && not_in.cost > 60)
        s = write_around_han(r, set, in.cost < not_in.cost ? in.cost : not_in.cost, &done);
    if (s == GR_OK && !done)
        s = in.cost <= not_in.cost ? write_spelling(&in, false, r->out) : write_spelling(&not_in, true, r->out);
    gr_points_free(&other);
    gr_points_free(&in.rest);
    gr_points_free(&not_in.rest);
    return s;
}
