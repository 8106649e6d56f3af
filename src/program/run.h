/* Running a program whose order of inputs and outputs the caller knows. */
#ifndef GR_PROGRAM_RUN_H
#define GR_PROGRAM_RUN_H

#include "gradus.h"

/* gr_run and its likes for callers that know the order: inputs in the order of creation of the graph's gr_inputs, outputs as
 * given to gr_compile; contiguous host arrays. NULL stands for an input that nothing depends on and for an output that
 * nobody wants. Nothing is looked up. */
gr_status gr_program_run(gr_program *p, const void *const *inputs, void *const *outputs);
gr_status gr_program_start(gr_program *p, const void *const *inputs);
gr_status gr_program_finish(gr_program *p, void *const *outputs);
gr_status gr_program_find_nonfinite(gr_program *p, const void *const *inputs, const char **name);

#endif
