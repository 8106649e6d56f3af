/* Sizes and how they are cut. */
#ifndef GR_BACKEND_CPU_INTS_H
#define GR_BACKEND_CPU_INTS_H

#include <stdint.h>

static inline int64_t gr_min64(int64_t x, int64_t y)
{
    return x < y ? x : y;
}

static inline int64_t gr_max64(int64_t x, int64_t y)
{
    return x > y ? x : y;
}

static inline int64_t gr_ceil_div(int64_t x, int64_t y)
{
    return x / y + (x % y != 0);
}

static inline int64_t gr_round_up(int64_t x, int64_t multiple)
{
    return gr_ceil_div(x, multiple) * multiple;
}

#endif
