/* Rows of cross-entropy over a vocabulary. */
#include "backend/cpu/row_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/vec.h"

#include <string.h>

/* Of every lane the largest so far, and the sum of e^(x - largest). */
typedef struct online {
    gr_vec largest, sum[4];
} online;

/* `count` vectors of x, 4 at most: in one pass, so that reading goes on while exponentials are computed. */
GR_INLINE void add_vectors(online *o, const float *x, const int count)
{
    gr_vec v[4], here = gr_vec_load(x);
    for (int k = 0; k < count; k++) {
        v[k] = gr_vec_load(x + k * GR_LANES);
        here = gr_vec_max(v[k], here);
    }
    if (gr_vec_any(here > o->largest)) {
        gr_vec larger = gr_vec_max(here, o->largest), factor = gr_vec_exp_negative(o->largest - larger);
        for (int k = 0; k < 4; k++)
            o->sum[k] *= factor;
        o->largest = larger;
    }
    for (int k = 0; k < count; k++)
        o->sum[k] += gr_vec_exp_negative(v[k] - o->largest);
}

/* Online, lane by lane. Of -infinity alone (tokens that are ruled out) the sum is 0, not NaN. */
float GR_ISA_FN(gr_row_log_sum_exp)(const float *x, int64_t n)
{
    enum { BEGINNING = 256 }; /* whose maximum is seldom exceeded later */
    const float least = -3.40282347e38f, first = gr_row_max(x, n < BEGINNING ? n : BEGINNING);
    const float most = first > least ? first : least;
    if (n <= BEGINNING) /* it lies in the first-level cache: two passes cost less than starting one */
        return most + gr_vlog(gr_row_exp(NULL, x, most, n));
    online o = {.largest = gr_vec_set(most)};
    int64_t i = 0;
    for (; i + 4 * GR_LANES <= n; i += 4 * GR_LANES)
        add_vectors(&o, x + i, 4);
    for (; i + GR_LANES <= n; i += GR_LANES)
        add_vectors(&o, x + i, 1);
    if (i < n) {
        float rest[GR_LANES];
        gr_vec_store(rest, gr_vec_set(-__builtin_inff()));
        memcpy(rest, x + i, (size_t)(n - i) * sizeof *rest);
        add_vectors(&o, rest, 1);
    }
    float largest = gr_vec_largest(o.largest);
    gr_vec sum = (o.sum[0] + o.sum[1]) + (o.sum[2] + o.sum[3]);
    return largest + gr_vlog(gr_vec_sum(sum * gr_vec_exp_negative(o.largest - largest)));
}

void GR_ISA_FN(gr_row_cross_entropy_grad)(float *dx, const float *x, int64_t n, int64_t target, float lse, float d)
{
    float picked = (gr_vexp(x[target] - lse) - 1) * d;
    GR_EACH for (int64_t i = 0; i < n; i++) dx[i] = gr_vexp(x[i] - lse) * d;
    dx[target] = picked;
}
