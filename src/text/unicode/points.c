/* Joining, cutting and turning round sets of code points. */
#include <stdlib.h>
#include "text/unicode/points.h"

void gr_points_free(gr_points *p)
{
    gr_free(p->span);
    *p = (gr_points){0};
}

static int compare(const void *a, const void *b)
{
    const gr_point_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

void gr_points_tidy(gr_points *p)
{
    size_t out = 0;
    if (!p->loose)
        return;
    qsort(p->span, p->n, sizeof *p->span, compare);
    for (size_t i = 0; i < p->n; i++) {
        if (out && p->span[i].first <= p->span[out - 1].last + 1) {
            if (p->span[i].last > p->span[out - 1].last)
                p->span[out - 1].last = p->span[i].last;
        } else {
            p->span[out++] = p->span[i];
        }
    }
    p->n = p->tidied = out;
    p->loose = false;
}

gr_status gr_points_add(gr_points *p, uint32_t first, uint32_t last)
{
    if (last > GR_LAST_POINT)
        last = GR_LAST_POINT;
    if (first > last)
        return GR_OK;
    if (p->n && p->span[p->n - 1].last + 1 == first) {
        p->span[p->n - 1].last = last;
        return GR_OK;
    }
    if (p->n > 2 * p->tidied + 4096)
        gr_points_tidy(p);
    gr_status s = gr_grow(&p->span, &p->cap, p->n + 1, sizeof *p->span);
    if (s != GR_OK)
        return s;
    p->loose |= p->n && p->span[p->n - 1].last >= first;
    p->span[p->n++] = (gr_point_range){first, last};
    return GR_OK;
}

gr_status gr_points_add_all(gr_points *p, const gr_points *more)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < more->n && s == GR_OK; i++)
        s = gr_points_add(p, more->span[i].first, more->span[i].last);
    return s;
}

gr_status gr_points_invert(gr_points *p)
{
    gr_points out = {0};
    uint32_t next = 0;
    gr_status s = GR_OK;
    gr_points_tidy(p);
    for (size_t i = 0; i < p->n && s == GR_OK; i++) {
        if (p->span[i].first > next)
            s = gr_points_add(&out, next, p->span[i].first - 1);
        next = p->span[i].last + 1;
    }
    if (s == GR_OK)
        s = gr_points_add(&out, next, GR_LAST_POINT);
    gr_points_free(p);
    *p = out;
    return s;
}

gr_status gr_points_keep(gr_points *p, gr_points *other)
{
    gr_points out = {0};
    gr_status s = GR_OK;
    gr_points_tidy(p);
    gr_points_tidy(other);
    for (size_t i = 0, j = 0; i < p->n && j < other->n && s == GR_OK;) {
        const gr_point_range *a = &p->span[i], *b = &other->span[j];
        uint32_t first = a->first > b->first ? a->first : b->first, last = a->last < b->last ? a->last : b->last;
        s = gr_points_add(&out, first, last);
        if (a->last <= b->last)
            i++;
        else
            j++;
    }
    gr_points_free(p);
    *p = out;
    return s;
}

gr_status gr_points_drop(gr_points *p, gr_points *other)
{
    gr_points rest = {0};
    gr_status s = gr_points_add_all(&rest, other);
    if (s == GR_OK)
        s = gr_points_invert(&rest);
    if (s == GR_OK)
        s = gr_points_keep(p, &rest);
    gr_points_free(&rest);
    return s;
}

/* The first range that ends at c or later. */
static size_t find(const gr_points *p, uint32_t c)
{
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->span[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool gr_points_has(const gr_points *p, uint32_t c)
{
    return gr_points_has_range(p, c, c);
}

bool gr_points_has_range(const gr_points *p, uint32_t first, uint32_t last)
{
    size_t i = find(p, first);
    return i < p->n && p->span[i].first <= first && p->span[i].last >= last;
}

bool gr_points_has_some(const gr_points *p, uint32_t first, uint32_t last)
{
    size_t i = find(p, first);
    return i < p->n && p->span[i].first <= last;
}

bool gr_points_have_all(const gr_points *p, const gr_points *part)
{
    for (size_t i = 0; i < part->n; i++)
        if (!gr_points_has_range(p, part->span[i].first, part->span[i].last))
            return false;
    return true;
}
