/* The memory plan: intervals of time get offsets in one arena. */
#ifndef GR_PROGRAM_PLAN_H
#define GR_PROGRAM_PLAN_H

#include "backend/backend.h"

typedef enum gr_kind { GR_KIND_ACTIVATION, GR_KIND_GRADIENT, GR_KIND_SCRATCH, GR_KIND_COUNT } gr_kind;

typedef struct gr_buffer {
    size_t size;     /* bytes */
    int first, last; /* steps at which it is alive, both included */
    gr_kind kind;
    size_t offset; /* the plan's answer */
} gr_buffer;

/* Places all buffers so that no two that are alive at the same step overlap, and none crosses a multiple of `largest`, the
 * bytes of a block of the device (no buffer is larger). *arena: bytes needed. peak[kind]: what
 * the buffers hold at the step where they hold most; what the arena wastes is added to scratch. */
gr_status gr_plan_buffers(gr_buffer *buffers, int n, int n_steps, size_t largest, size_t *arena,
                          size_t peak[GR_KIND_COUNT]);

#endif
