/* The last pass: decides how every tensor lies in memory and inserts copies where a kernel needs one. */
#ifndef GR_PROGRAM_LAYOUT_H
#define GR_PROGRAM_LAYOUT_H

#include "backend/backend.h"

typedef struct gr_laid_out {
    gr_graph *graph;    /* caller frees */
    gr_layout *layouts; /* [graph->n]; caller frees with gr_free */
} gr_laid_out;

bool gr_layout_contiguous(const gr_layout *l);
gr_layout gr_layout_of(const gr_spec *s);
gr_status gr_lay_out(const gr_graph *g, gr_tensor **roots, int n_roots, const gr_device *d, gr_laid_out *out);

#endif
