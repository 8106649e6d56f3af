/* Points of the iq formats: grids.c. */
#ifndef GR_BASE_GGML_GRIDS_H
#define GR_BASE_GGML_GRIDS_H

#include <stdint.h>

extern const uint16_t gr_grid_iq2_xxs[256], gr_grid_iq2_xs[512], gr_grid_iq2_s[1024]; /* eight coordinates of 2 bits */
extern const uint16_t gr_grid_iq1[2048];                                              /* the same */
extern const uint16_t gr_grid_iq3_xxs[256], gr_grid_iq3_s[512];                       /* four of 3 bits */

#endif
