/* A dtype of blocks that no list has: 32 values as 8-bit integers and an f16 scale. What holds for dtypes of blocks is
 * tested with it. */
#ifndef GR_TESTS_BLOCK_DTYPE_H
#define GR_TESTS_BLOCK_DTYPE_H

#include "base/dtype.h"

/* Known to this process from the first call on. */
gr_dtype block_dtype(void);
extern const gr_dtype_info block_dtype_record;

#endif
