/* Rows of any dtype to f32 and back, in the machine's vectors where the level has instructions for it. */
#ifndef GR_BACKEND_CPU_CONVERT_H
#define GR_BACKEND_CPU_CONVERT_H

#include "gradus.h"

typedef void gr_to_f32(const void *src, float *dst, int64_t n);
typedef void gr_from_f32(const float *src, void *dst, int64_t n);

/* The bits are those of the dtype's own (base/dtype.h). */
gr_to_f32 *gr_cpu_to_f32(gr_dtype d);
gr_from_f32 *gr_cpu_from_f32(gr_dtype d);

#endif
