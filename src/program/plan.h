/* The memory plan: intervals of time get offsets in one arena. */
#ifndef GR_PROGRAM_PLAN_H
#define GR_PROGRAM_PLAN_H

#include "backend/backend.h"
#include "base/mem.h"

typedef enum gr_kind { GR_KIND_ACTIVATION, GR_KIND_GRADIENT, GR_KIND_SCRATCH, GR_KIND_COUNT } gr_kind;

typedef struct gr_buffer {
    size_t size;     /* bytes */
    int first, last; /* steps at which it is alive, both included */
    gr_kind kind;
    size_t offset; /* the plan's answer */
} gr_buffer;

/* What a tensor of so many bytes takes in an arena. One without elements takes a place, too: behind the last byte of a block
 * there may be no address. */
static inline size_t gr_placed_size(size_t size)
{
    return gr_round_up(size ? size : 1, GR_ADDRESS_ALIGN);
}

/* Places all buffers so that no two that are alive at the same step overlap, and none crosses a multiple of `largest`, the
 * bytes of a block of the device (no buffer is larger). *arena: bytes needed. peak[kind]: what
 * the buffers hold at the step where they hold most; what the arena wastes is added to scratch. */
gr_status gr_plan_buffers(gr_buffer *buffers, int n, int n_steps, size_t largest, size_t *arena,
                          size_t peak[GR_KIND_COUNT]);

#endif
