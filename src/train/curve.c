/* A curve in memory that does not grow with the run: when its room is full, neighbours become one point, and each new point
 * holds twice as many steps from there on. What it is depends on what was added alone, so a run that goes on draws what
 * one that was never stopped does. */
#include "train/run.h"

#include "base/mem.h"

#include <math.h>

static size_t capacity_for(int64_t values, size_t most)
{
    size_t room = values >= 0 && values < (int64_t)most ? (size_t)values : most;
    return (room + 2) & ~(size_t)1; /* even, for pairs */
}

gr_status gr_curve_open(gr_curve *c, int64_t values, size_t most)
{
    *c = (gr_curve){.capacity = capacity_for(values, most), .per = 1};
    c->points = gr_alloc(c->capacity * sizeof *c->points);
    return c->points ? GR_OK : GR_ERR_MEMORY;
}

size_t gr_curve_bytes(int64_t values, size_t most)
{
    return capacity_for(values, most) * sizeof(gr_curve_point);
}

void gr_curve_close(gr_curve *c)
{
    gr_free(c->points);
    *c = (gr_curve){0};
}

/* Takes in what comes behind. */
static void join(gr_curve_point *p, const gr_curve_point *next)
{
    p->step = next->step;
    p->last = next->last;
    if (next->count && (!p->count || next->low < p->low)) {
        p->low = next->low;
        p->at_low = next->at_low;
    }
    p->high = !p->count ? next->high : next->count ? fmax(p->high, next->high) : p->high;
    p->sum += next->sum;
    p->count += next->count;
}

static void halve(gr_curve *c)
{
    for (size_t i = 0; i < c->n / 2; i++) {
        gr_curve_point p = c->points[2 * i];
        join(&p, &c->points[2 * i + 1]);
        c->points[i] = p;
    }
    c->n /= 2;
    c->per *= 2;
}

void gr_curve_add(gr_curve *c, int64_t step, double value)
{
    gr_curve_point p = {.step = (double)step, .last = value};
    if (isfinite(value))
        p = (gr_curve_point){p.step, value, value, value, p.step, value, 1};
    if (c->n > 0 && c->in_last < c->per) {
        join(&c->points[c->n - 1], &p);
        c->in_last++;
        return;
    }
    if (c->n == c->capacity)
        halve(c);
    c->points[c->n++] = p;
    c->in_last = 1;
}
