/* Dynamic 8-bit numbers (Dettmers et al. 2022): 256 numbers in [-1, 1] or [0, 1], closer the smaller they are; times the
 * largest of a block of values they stand for these. */
#ifndef GR_BASE_DYNAMIC8_H
#define GR_BASE_DYNAMIC8_H

#include <stdbool.h>

enum { GR_DYNAMIC8_BLOCK = 256, GR_DYNAMIC8_CODES = 256 };

/* The numbers in rising order, as bitsandbytes' create_dynamic_map makes them, and the middle between each and the next,
 * infinity behind the last: the nearest code of x is the number of middles below it. */
void gr_dynamic8_map(bool is_signed, float values[GR_DYNAMIC8_CODES], float middles[GR_DYNAMIC8_CODES]);

#endif
