/* Reading the blocks of quantized weights, per ISA level. Defined in kernels/blocks.c. */
#ifndef GR_BACKEND_CPU_BLOCK_KERNELS_H
#define GR_BACKEND_CPU_BLOCK_KERNELS_H

#include "backend/cpu/isa.h"
#include "base/dtype.h"

/* n values of a row as codes with scales and offsets: gr_codes.read, by a loop of this level where the format has one. */
GR_ISA_DECLARE(void, gr_blocks_codes,
               (const gr_dtype_info *dtype, const void *src, uint8_t *codes, float *scales, float *offsets, int64_t n));
/* n values as f32, near those of to_f32: an offset is added without rounding in between where the level can. */
GR_ISA_DECLARE(void, gr_blocks_widen, (const gr_dtype_info *dtype, const void *src, float *dst, int64_t n));

typedef void gr_blocks_widen_fn(const gr_dtype_info *dtype, const void *src, float *dst, int64_t n);
typedef void gr_blocks_codes_fn(const gr_dtype_info *dtype, const void *src, uint8_t *codes, float *scales,
                                float *offsets, int64_t n);

#endif
