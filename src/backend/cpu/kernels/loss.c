/* Rows of cross-entropy over a vocabulary. */
#include "backend/cpu/row_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/vec.h"

#include <stddef.h>

/* Elements looked at twice, once for the maximum and once for the sum: they stay in the first-level cache, so a row
 * comes once from memory. */
enum { CHUNK = 2048 };

/* Online: what was summed is scaled down whenever a chunk brings a larger maximum. Of -infinity alone (tokens that are
 * ruled out) the sum is 0, not NaN. */
float GR_ISA_FN(gr_row_log_sum_exp)(const float *x, int64_t n)
{
    const float none = -__builtin_inff();
    float largest = none, sum = 0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t m = n - i < CHUNK ? n - i : CHUNK;
        float here = gr_row_max(x + i, m);
        if (here > largest) {
            sum *= largest == none ? 1 : gr_vexp_negative(largest - here);
            largest = here;
        }
        sum += gr_row_exp(NULL, x + i, largest == none ? 0 : largest, m);
    }
    return (largest == none ? 0 : largest) + gr_vlog(sum);
}

void GR_ISA_FN(gr_row_cross_entropy_grad)(float *dx, const float *x, int64_t n, int64_t target, float lse, float d)
{
    float picked = (gr_vexp(x[target] - lse) - 1) * d;
    GR_EACH for (int64_t i = 0; i < n; i++) dx[i] = gr_vexp(x[i] - lse) * d;
    dx[target] = picked;
}
