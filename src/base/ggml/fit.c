/* Plain loops over short rows; q is kept as floats while scales are tried, so that they vectorize. */
#include "base/ggml/fit.h"

enum { MOST = GR_FIT_MOST, TRIES = 9, ROUNDS = 2 };

#define EIGHT 1, 1, 1, 1, 1, 1, 1, 1
#define SIXTY_FOUR EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT, EIGHT
const float gr_block_even[GR_DTYPE_BLOCK_MOST] = {SIXTY_FOUR, SIXTY_FOUR, SIXTY_FOUR, SIXTY_FOUR};

/* ---- scale and offset --------------------------------------------------------------------------------------- */

/* The scale and lowest value (at most 0) that are best for what rounding by `inverse` and `low` gives; the squared error. */
static float refit_affine(const float *x, const float *w, int n, int most, float inverse, float *scale, float *low)
{
    float q[MOST], sw = 0, sq = 0, sqq = 0, sx = 0, sxq = 0, error = 0;
    for (int i = 0; i < n; i++)
        q[i] = gr_block_nearest((x[i] - *low) * inverse, 0, (float)most);
    for (int i = 0; i < n; i++) {
        sw += w[i];
        sq += w[i] * q[i];
        sqq += w[i] * q[i] * q[i];
        sx += w[i] * x[i];
        sxq += w[i] * x[i] * q[i];
    }
    float det = sw * sqq - sq * sq;
    if (det > 0) {
        *scale = (sw * sxq - sx * sq) / det;
        *low = (sqq * sx - sq * sxq) / det;
        if (*low > 0) {
            *low = 0;
            *scale = sxq / sqq;
        }
    }
    for (int i = 0; i < n; i++) {
        float off = *scale * q[i] + *low - x[i];
        error += w[i] * off * off;
    }
    return error;
}

float gr_fit_affine(const float *x, const float *w, int n, int most, float *offset)
{
    float least = 0, greatest = x[0], best = INFINITY;
    for (int i = 0; i < n; i++) {
        least = x[i] < least ? x[i] : least;
        greatest = x[i] > greatest ? x[i] : greatest;
    }
    *offset = -least;
    float width = greatest - least, chosen = width > 0 ? width / (float)most : 0;
    for (int t = 0; width > 0 && t < TRIES; t++) {
        /* Steps around the whole width: a narrower one gives up the outermost values for the sake of the others. */
        float steps = (float)most + ((float)t - TRIES / 3) * (most > 8 ? 0.3f : 0.15f);
        float scale = width / steps, low = least;
        for (int r = 0; r < ROUNDS; r++) {
            float error = refit_affine(x, w, n, most, 1 / scale, &scale, &low);
            if (!(scale > 0))
                break;
            if (error < best) {
                best = error;
                chosen = scale;
                *offset = -low;
            }
        }
    }
    return chosen;
}

float gr_codes_affine(const float *x, const float *w, int n, int most, float scale, float offset, uint8_t *q)
{
    float inverse = gr_block_inverse(scale), error = 0;
    for (int i = 0; i < n; i++) {
        float code = gr_block_nearest((x[i] + offset) * inverse, 0, (float)most);
        float off = scale * code - offset - x[i];
        error += w[i] * off * off;
        q[i] = (uint8_t)code;
    }
    return error;
}

/* ---- scale alone -------------------------------------------------------------------------------------------- */

/* The scale that is best for what rounding by `inverse` gives; of the squared error what depends on it. */
static float refit_signed(const float *x, const float *w, int n, int half, float inverse, float *scale)
{
    float sqq = 0, sxq = 0;
    for (int i = 0; i < n; i++) {
        float q = gr_block_nearest(x[i] * inverse, (float)-half, (float)(half - 1));
        sqq += w[i] * q * q;
        sxq += w[i] * x[i] * q;
    }
    *scale = sqq > 0 ? sxq / sqq : 0;
    return -*scale * sxq;
}

float gr_fit_signed(const float *x, const float *w, int n, int half)
{
    float widest = gr_block_widest(x, n), best = INFINITY, chosen = widest / (float)-half;
    for (int t = 0; t < 2 * TRIES; t++) {
        /* The widest becomes -half or so, or half - 1: then the sign of the scale is its own. */
        float end = t % 2 ? (float)half - 1 : (float)-half;
        float scale = widest / (end * (1 + ((float)(t / 2) - TRIES / 3) * 0.25f / (float)half));
        for (int r = 0; r < ROUNDS && (scale < 0 || scale > 0); r++) {
            float error = refit_signed(x, w, n, half, 1 / scale, &scale);
            if (error < best) {
                best = error;
                chosen = scale;
            }
        }
    }
    return chosen;
}

float gr_codes_signed(const float *x, const float *w, int n, int half, float scale, int8_t *q)
{
    float inverse = gr_block_inverse(scale), error = 0;
    for (int i = 0; i < n; i++) {
        float code = gr_block_nearest(x[i] * inverse, (float)-half, (float)(half - 1)), off = scale * code - x[i];
        error += w[i] * off * off;
        q[i] = (int8_t)code;
    }
    return error;
}

/* ---- a table ------------------------------------------------------------------------------------------------ */

enum { TABLE = 16 };

static int nearest_in(const int8_t *table, float x)
{
    int code = 0;
    for (int k = 1; k < TABLE; k++)
        code += x > 0.5f * (float)(table[k - 1] + table[k]);
    return code;
}

float gr_fit_table(const float *x, const float *w, int n, const int8_t *table)
{
    float widest = gr_block_widest(x, n), best = INFINITY, chosen = widest / (float)table[0];
    for (int t = 0; t < 2 * TRIES; t++) {
        float end = (float)(t % 2 ? table[TABLE - 1] : table[0]) * (1 + ((float)(t / 2) - TRIES / 2) * 0.03f);
        float scale = widest / end;
        for (int r = 0; r < ROUNDS && (scale < 0 || scale > 0); r++) {
            float sqq = 0, sxq = 0, inverse = 1 / scale;
            for (int i = 0; i < n; i++) {
                float q = (float)table[nearest_in(table, x[i] * inverse)];
                sqq += w[i] * q * q;
                sxq += w[i] * x[i] * q;
            }
            scale = sqq > 0 ? sxq / sqq : 0;
            if (-scale * sxq < best) {
                best = -scale * sxq;
                chosen = scale;
            }
        }
    }
    return chosen;
}

float gr_codes_table(const float *x, const float *w, int n, const int8_t *table, float scale, uint8_t *q)
{
    float inverse = gr_block_inverse(scale), error = 0;
    for (int i = 0; i < n; i++) {
        int code = nearest_in(table, x[i] * inverse);
        float off = scale * (float)table[code] - x[i];
        error += w[i] * off * off;
        q[i] = (uint8_t)code;
    }
    return error;
}
