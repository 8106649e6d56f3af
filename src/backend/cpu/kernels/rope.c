/* Rotary positions: the angles of one position, and turning one head's pairs by them. */
#include "backend/cpu/row_kernels.h"
#include "backend/cpu/kernels/isa_suffix.h"
#include "backend/cpu/kernels/vec.h"
#include "backend/cpu/kernels/vmath.h"

void GR_ISA_FN(gr_row_angles)(float *cosine, float *sine, float position, const float *freq, int64_t r, float cos_scale,
                              float sin_scale)
{
    GR_EACH for (int64_t i = 0; i < r; i++)
    {
        float s, c;
        gr_vsincos(position * freq[i], &s, &c);
        cosine[i] = c * cos_scale;
        sine[i] = s * sin_scale;
    }
}

void GR_ISA_FN(gr_row_turn_halves)(float *y, const float *x, const float *cosine, const float *sine, int64_t r)
{
    GR_EACH for (int64_t i = 0; i < r; i++)
    {
        float u = x[i], w = x[i + r];
        y[i] = u * cosine[i] - w * sine[i];
        y[i + r] = w * cosine[i] + u * sine[i];
    }
}

void GR_ISA_FN(gr_row_turn_pairs)(float *y, const float *x, const float *cosine, const float *sine, int64_t r)
{
    GR_EACH for (int64_t i = 0; i < r; i++)
    {
        float u = x[2 * i], w = x[2 * i + 1];
        y[2 * i] = u * cosine[i] - w * sine[i];
        y[2 * i + 1] = w * cosine[i] + u * sine[i];
    }
}
