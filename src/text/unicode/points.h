/* Sets of code points, as sorted ranges that neither touch nor overlap. Zeroed memory is the empty set. */
#ifndef GR_TEXT_POINTS_H
#define GR_TEXT_POINTS_H

#include "base/buffer.h"

enum { GR_LAST_POINT = 0x10FFFF };

typedef struct gr_point_range {
    uint32_t first, last;
} gr_point_range;

typedef struct gr_points {
    gr_point_range *span;
    size_t n, cap;
    size_t tidied; /* how many were there when they were last in order */
    bool loose;    /* ranges were added behind the others since then */
} gr_points;

void gr_points_free(gr_points *p);
/* Adds first..last, as far as these are code points. Many of these cost no more than sorting them once. */
gr_status gr_points_add(gr_points *p, uint32_t first, uint32_t last);
gr_status gr_points_add_all(gr_points *p, const gr_points *more);
/* Puts ranges in order; what reads a set does it first. */
void gr_points_tidy(gr_points *p);
gr_status gr_points_invert(gr_points *p);
/* What is in both; what is in p only. */
gr_status gr_points_keep(gr_points *p, gr_points *other);
gr_status gr_points_drop(gr_points *p, gr_points *other);
/* Of sets in order. */
bool gr_points_has(const gr_points *p, uint32_t c);
/* Whether all of first..last is in the set. */
bool gr_points_has_range(const gr_points *p, uint32_t first, uint32_t last);
/* Whether any of it is. */
bool gr_points_has_some(const gr_points *p, uint32_t first, uint32_t last);
bool gr_points_have_all(const gr_points *p, const gr_points *part);

#endif
