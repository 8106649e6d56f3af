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

/* For tests: compiles, runs once on the reference device, copies t's values to data (its dtype), size
 * bytes. Only for graphs without inputs. */
gr_status gr_eval(gr_tensor *t, void *data, size_t size);
/* The value of a one-element tensor, as gr_eval; NaN on failure. */
double gr_item(gr_tensor *t);

#endif
