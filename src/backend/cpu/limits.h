/* The machine's own limits, by which speeds are judged. */
#ifndef GR_BACKEND_CPU_LIMITS_H
#define GR_BACKEND_CPU_LIMITS_H

#include "backend/backend.h"
#include "backend/cpu/isa.h"

/* So many steps of multiply-adds in registers; *flops: how much work that was. The value says nothing. */
GR_ISA_DECLARE(float, gr_limit_multiply_adds, (int64_t steps, double *flops));

/* f32 FLOP/s of all threads of the pool together: the best of a few tries, a fifth of a second in all. */
double gr_cpu_measure_flops(gr_pool *pool);
double gr_cpu_measure_bf16(gr_pool *pool); /* of bf16 by its own instructions; 0: there are none */
gr_status gr_cpu_measure(gr_device *d, gr_device_limits *out);

#endif
